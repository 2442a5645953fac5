"""The file in which Java's servers find SASL users and passwords (JAAS): written, read as Java reads it, and shown without secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import msgspec

from zkprov.model.problems import BadInput

NAME = "jaas.conf"
LOGIN_CONFIG = "java.security.auth.login.config"
MODULE = "org.apache.zookeeper.server.auth.DigestLoginModule"
SERVER, QUORUM_SERVER, QUORUM_LEARNER = "Server", "QuorumServer", "QuorumLearner"
USER = "user_"
"""Before the name of each user whom a server knows."""
_TOKEN = re.compile(r'\s+|//[^\n]*|/\*.*?\*/|"((?:[^"\\\n]|\\.)*)"|([A-Za-z0-9_.$*\xa0-\xff-]+)|([{}=;])', re.DOTALL)
_SHOWN = frozenset(
    {"username", "useKeyTab", "storeKey", "keyTab", "principal", "useTicketCache", "debug", "serviceName"}
)


class Entry(msgspec.Struct, frozen=True):
    """One login module of a section, with its options."""

    module: str
    flag: str
    options: dict[str, str]

    def __repr__(self) -> str:
        # a traceback shows values
        return f"Entry({self.module}, {sorted(self.options)})"


def jaas(quorum: tuple[str, str] | None, users: Mapping[str, str]) -> str:
    """A server's file. `quorum`: user and password of servers among themselves; `users`: those of clients. Either may be missing."""
    sections: dict[str, tuple[Entry, ...]] = {}
    if quorum is not None:
        user, password = quorum
        sections[QUORUM_SERVER] = (Entry(MODULE, "required", {f"{USER}{user}": password}),)
        sections[QUORUM_LEARNER] = (Entry(MODULE, "required", {"username": user, "password": password}),)
    if users:
        sections[SERVER] = (Entry(MODULE, "required", {f"{USER}{name}": users[name] for name in sorted(users)}),)
    return printed(sections)


def printed(sections: Mapping[str, tuple[Entry, ...]]) -> str:
    """The sections in order, one option a line."""
    lines = []
    for name, entries in sections.items():
        lines.append(f"{name} {{")
        for entry in entries:
            options = [f"    {key}={_quoted(value)}" for key, value in entry.options.items()]
            lines += [f"  {entry.module} {entry.flag}", *options]
            lines[-1] += ";"
        lines.append("};")
    return "".join(f"{line}\n" for line in lines)


def sections_of(text: str, place: str = NAME) -> dict[str, tuple[Entry, ...]]:
    """Section → its modules. Raises `BadInput` naming `place`, without a word of the text, for what Java would not read."""
    tokens = list(_tokens(text, place))
    tokens.reverse()

    def take(*wanted: str) -> str:
        if not tokens:
            raise _bad(place)
        kind, value = tokens.pop()
        if (kind not in wanted) if kind in ("word", "string") else (value not in wanted):
            raise _bad(place)
        return value

    found: dict[str, tuple[Entry, ...]] = {}
    while tokens:
        name = take("word", "string")
        take("{")
        entries = []
        while tokens and tokens[-1] != ("sign", "}"):
            module, flag = take("word", "string"), take("word")
            options: dict[str, str] = {}
            while tokens and tokens[-1] != ("sign", ";"):
                key = take("word", "string")
                take("=")
                options[key] = take("word", "string")
            take(";")
            entries.append(Entry(module, flag, options))
        take("}")
        take(";")
        found[name] = tuple(entries)
    return found


def masked(text: str, mask: Callable[[str], str], place: str = NAME) -> str:
    """The file anew, with `mask` of each value that may be a secret in its place. Raises `BadInput` for a file that Java would not read."""

    def hidden(entry: Entry) -> Entry:
        told = {k: v if k in _SHOWN else mask(v) for k, v in entry.options.items()}
        return msgspec.structs.replace(entry, options=told)

    return printed({name: tuple(map(hidden, entries)) for name, entries in sections_of(text, place).items()})


def unfit(password: str) -> str:
    """Why a password cannot stand in the file, or be used with DIGEST-MD5; empty where it can. Without a word of it."""
    if not password:
        return "it is empty"
    if not password.isascii() or not password.isprintable():
        return "it holds characters that are not printable ASCII"
    return "it holds ${, which Java replaces in this file" if "${" in password else ""


def _tokens(text: str, place: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _bad(place)
        if found[1] is not None:
            yield "string", re.sub(r"\\(.)", r"\1", found[1])
        elif found[2] is not None:
            yield "word", found[2]
        elif found[3] is not None:
            yield "sign", found[3]
        at = found.end()


def _bad(place: str) -> BadInput:
    return BadInput("not a JAAS file", place=place, remedy="see it with an editor, on that host")


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
