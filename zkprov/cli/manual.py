"""What the commands say of themselves, as values, and the manual page made of it. The documentation is made of the same values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import click

from zkprov.cli import COMMANDS, zkprov


class Command(NamedTuple):
    """One command. `path`: its words after `zkprov`. `text`: paragraphs; one that begins with \\b keeps its lines. `options`: (how it is
    written, what it does); `commands`: (name, what it does) of a group.
    """

    path: tuple[str, ...]
    usage: str
    text: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return " ".join(("zkprov", *self.path))


def commands() -> Iterator[Command]:
    """zkprov itself, then every command in the order of `--help`, each group before its own."""
    yield from _commands(zkprov, click.Context(zkprov, info_name="zkprov", **zkprov.context_settings), ())


def _commands(command: click.Command, context: click.Context, path: tuple[str, ...]) -> Iterator[Command]:
    names = command.list_commands(context) if isinstance(command, click.Group) else []
    below = [(name, command.get_command(context, name)) for name in names] if isinstance(command, click.Group) else []
    told = [(n, COMMANDS[n][1] if not path else c.get_short_help_str(200)) for n, c in below if c and not c.hidden]
    options = [param for param in command.get_params(context) if isinstance(param, click.Option)]
    records = [record for option in options if (record := option.get_help_record(context))]
    paragraphs = tuple(filter(None, re.split(r"\n\s*\n", (command.help or "").strip())))
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    yield Command(path, usage, paragraphs, tuple(records), tuple(told))
    for name, one in below:
        if one and not one.hidden:
            yield from _commands(one, click.Context(one, parent=context, info_name=name), (*path, name))


def man_page(version: str) -> str:
    """zkprov.1, in the man macros of troff; all commands on one page."""
    everything = list(commands())
    root = everything[0]
    out = [f'.TH ZKPROV 1 "" "zkprov {_escaped(version)}" "zkprov"', ".SH NAME"]
    out += [r"zkprov \- change the membership of Apache ZooKeeper ensembles safely", ".SH SYNOPSIS"]
    out += [f".B {_escaped(root.usage)}", ".SH DESCRIPTION", *_paragraphs(root.text), ".SH OPTIONS", *_options(root)]
    out.append(".SH COMMANDS")
    for command in everything[1:]:
        out += [f".SS {_escaped(' '.join(command.path))}", f".B {_escaped(command.usage)}", *_paragraphs(command.text)]
        out += _options(command)
    out.append(".SH ENVIRONMENT")
    for name, text in ENVIRONMENT.items():
        out += [".TP", f".B {name}", _line(text)]
    out.append(".SH EXIT STATUS")
    for code, text in EXIT_CODES.items():
        out += [".TP", f".B {code}", _line(text)]
    out += [".SH FILES", *(line for f, t in FILES.items() for line in (".TP", f".I {_escaped(f)}", _line(t)))]
    return "\n".join(out) + "\n"


def _paragraphs(text: tuple[str, ...]) -> Iterator[str]:
    for paragraph in text:
        yield ".PP"
        if paragraph.startswith("\b"):
            yield from (".nf", *(_line(line) for line in paragraph.lstrip("\b\n").splitlines()), ".fi")
        else:
            yield _line(" ".join(paragraph.split()))


def _options(command: Command) -> Iterator[str]:
    for option, text in command.options:
        yield from (".TP", f".B {_escaped(option)}", _line(text))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-").replace("…", "...")


def _line(text: str) -> str:
    """One line of text that no macro is taken from."""
    escaped = _escaped(text)
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


ENVIRONMENT = {
    "ZKPROV_INVENTORY": "The inventory, where -i names none.",
    "ZKPROV_ENSEMBLE": "The group in it, where -E names none.",
    "ZKPROV_JOURNAL": "Where runs are recorded, where --journal does not say it.",
    "ZKPROV_NOTIFY": "Whom status --watch tells, where --notify does not say it: a command, or a webhook's address.",
    "ZKPROV_SUPER_PASSWORD": "The password of ZooKeeper's super user; it goes before the inventory's.",
    "ZKPROV_QUORUM_SASL_PASSWORD": "The password by which servers know each other (SASL).",
    "ZKPROV_SASL_USER": "Who zkprov is by SASL to the servers of --connect, where --sasl-user does not say it.",
    "ZKPROV_SASL_PASSWORD": "The password by which servers know zkprov (SASL); with --connect too. It goes before a file's.",
    "ZKPROV_RUNBOOK": "Set for a runbook's probes, as ZKPROV_INVENTORY and ZKPROV_ENSEMBLE are: its name.",
    "ZKPROV_TRACEBACK": "Set to anything: where zkprov itself fails, the traceback is printed.",
    "XDG_STATE_HOME": "Journal and labs lie in zkprov/ in it; ~/.local/state by default.",
    "XDG_CACHE_HOME": "What a lab has downloaded lies in zkprov/ in it; ~/.cache by default.",
}
"""Of the process; the passwords are kept from whatever zkprov starts."""

EXIT_CODES = {
    0: "Done, or safe, or nothing to do.",
    1: "Failed: something broke that was not foreseen.",
    2: "Wrong usage or an invalid input file; nothing was touched.",
    3: "Refused by a rule, or unsafe as it is.",
    4: "Not healthy: a gate failed or time ran out; the former state stands.",
    5: "Busy or paused: another run holds the lock.",
    6: "Stale: the ensemble, or what the plan was made from, changed since.",
    7: "Interrupted, or stopped with something begun and standing: zkprov resume.",
    10: "With --detailed-exitcode: changes are pending.",
}

FILES = {
    "~/.local/state/zkprov/": "The journal of all runs from this machine, and labs.",
    "/var/lib/zkprov/": "On each host: which run has it, and whether its server may be started.",
}
