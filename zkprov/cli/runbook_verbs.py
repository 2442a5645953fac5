"""The verbs of runbooks, told by the commands themselves: a runbook's options are those of the command line, by the same names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import click

from zkprov.runbook.verbs import OWN, Kind, Option, Verb

# what a runbook says for all of its steps, or what is about the screen
UNSAID = frozenset(
    [
        "inventory",
        "ensemble",
        "timeout",
        "out",
        "output",
        "detailed-exitcode",
        "junit",
        "as",
        "connect",
        "ca-file",
        "cert-file",
        "key-file",
        "sasl-user",
        "sasl-password-file",
        "events",
        "yes",
        "dry-run",
        "lock-timeout",
        "until",
        "watch",
        "interval",
        "help",
        "all",
        "limit",
        "parallel",
        "max-fail",
        "canary",
    ]
)
LOOKS = {
    "check": ("check",),
    "ok-to-stop": ("ok-to-stop",),
    "ok-to-remove": ("ok-to-remove",),
    "backup": ("backup", "create"),
}


@cache
def verbs() -> dict[str, Verb]:
    """Name → verb, in the order in which help shows them."""
    from zkprov.cli.change import plan

    changes = {
        name: _verb(name, Kind.CHANGE, ("plan", name), command)
        for name, command in plan.commands.items()
        if name != "configure"  # which shows what differs; `restart` with `config` carries it out
    }
    looks = {name: _verb(name, Kind.LOOK, words, _command(words)) for name, words in LOOKS.items()}
    planning = Verb("plan", Kind.OWN, "Plans a change of this kind, for a later `apply`.", (), kinds=changes)
    return {**looks, **changes, "plan": planning, **OWN}


def _command(words: Sequence[str]) -> click.Command:
    from zkprov.cli import zkprov

    found: click.Command = zkprov
    for word in words:
        assert isinstance(found, click.Group)  # noqa: S101 — the table above is ours
        found = found.get_command(click.Context(found), word) or found
    return found


def _verb(name: str, kind: Kind, words: tuple[str, ...], command: click.Command) -> Verb:
    options = tuple(o for p in command.params if (o := _option(p)) is not None and o.name not in UNSAID)
    return Verb(name, kind, command.get_short_help_str(200), options, words, _parser(command))


def _option(param: click.Parameter) -> Option | None:
    choices = tuple(str(c) for c in param.type.choices) if isinstance(param.type, click.Choice) else ()
    if isinstance(param, click.Argument):
        many = param.nargs != 1
        return Option(param.name or "", "", many=many, argument=True, required=param.required, choices=choices)
    assert isinstance(param, click.Option)  # noqa: S101 — click has these two
    name = next((o[2:] for o in param.opts if o.startswith("--")), "")
    if not name or param.hidden:
        return None
    return Option(
        name, param.help or "", flag=param.is_flag, many=param.multiple, required=param.required, choices=choices
    )


def _parser(command: click.Command) -> Callable[[Sequence[str]], str]:
    def said(words: Sequence[str]) -> str:
        """What click says against these words; empty where it takes them. Nothing is carried out."""
        try:
            command.make_context(command.name or "", list(words)).close()
        except click.ClickException as wrong:
            return wrong.format_message()
        return ""

    return said
