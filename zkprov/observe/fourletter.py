"""The four letter words `srvr`, `mntr`, `conf` and `cons`: asked whole, parsed strictly, and every odd answer told apart.

The forms are those of ZooKeeper 3.9.5: `StatCommand`, `ServerStats`, `MonitorCommand`, `ZooKeeperServer.dumpConf`,
`QuorumZooKeeperServer.dumpConf`, `ServerCnxn.dumpConnectionInfo`; 3.5 to 3.8 print the same. kazoo's `command()` truncates at 8 KiB.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from zkprov.model.dynamic import parse_members
from zkprov.model.facts import ClientSession, Conf, Fact, Mode, Outcome, Srvr
from zkprov.model.members import Members
from zkprov.model.problems import Problem
from zkprov.model.server import HostPort
from zkprov.observe.dial import Dialer, Unanswered, read_all
from zkprov.observe.remembered import remembered

T = TypeVar("T")

NOT_SERVING = "This ZooKeeper instance is not currently serving requests"
VALUE = re.compile(r"^(zk_[^\t\n]*)\t([^\n]*)\n", re.MULTILINE)
NOT_LISTED = re.compile(r"\A\w{4} is not executed because it is not in the whitelist\.\s*\Z")
MAX_LONG = (1 << 63) - 1


class Incomplete(ValueError):
    """The answer begins like ZooKeeper's and ends too early."""


class ReadOnly(ValueError):
    """A server without quorum that serves readers only (`readonlymode.enabled`)."""


def parse_srvr(text: str) -> Srvr:
    """`srvr`. Raises Incomplete for a half answer, ReadOnly, ValueError for anything that is not one."""
    head = "Zookeeper version: "
    if not text.startswith(head[: len(text)]):
        raise ValueError(f"not an answer to srvr: {glimpse(text)}")
    whole = text.split("\n")[:-1]  # a line without its end may be half a line
    fields: dict[str, str] = {}
    for line in whole:
        key, colon, value = line.rstrip("\r").partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    missing = [k for k in ("Zookeeper version", "Connections", "Zxid", "Mode", "Node count") if k not in fields]
    if missing:
        raise Incomplete(f"ends before {missing[0]}")
    if fields["Mode"] == "read-only":
        raise ReadOnly("read-only mode: it has no quorum")
    try:
        mode = Mode(fields["Mode"])
    except ValueError:
        raise ValueError(f"unknown mode: {glimpse(fields['Mode'])}") from None
    return Srvr(
        mode=mode,
        zxid=hexadecimal(fields["Zxid"]),
        release=re.split(r"[-,\s]", fields["Zookeeper version"], maxsplit=1)[0][:40],
        connections=decimal(fields["Connections"]),
        znodes=decimal(fields["Node count"]),
    )


def parse_mntr(text: str) -> dict[str, str]:
    """`mntr`: key to value as printed. It has no end mark, so a cut between two lines is not seen. Raises Incomplete, ValueError."""
    if not text.startswith("zk_version\t"[: len(text)]):
        raise ValueError(f"not an answer to mntr: {glimpse(text)}")
    values = {key: value.rstrip("\r") for key, value in VALUE.findall(text)}
    if not text.endswith("\n") or "zk_server_state" not in values:
        raise Incomplete("ends within a line" if values else "ends too early")
    return values


def parse_conf(text: str, place: str = "conf") -> Conf:
    """`conf`: settings, and the members where it is of a quorum. `place` names the text in errors. Raises Incomplete, ValueError."""
    if not text.startswith("clientPort="[: len(text)]):
        raise ValueError(f"not an answer to conf: {glimpse(text)}")
    before, mark, membership = text.partition("membership: ")
    settings: dict[str, str] = {}
    for line in before.split("\n")[:-1]:
        key, equals, value = line.rstrip("\r").partition("=")
        if equals:
            settings[key.strip()] = value.strip()
    if "serverId" not in settings:
        raise Incomplete("ends before serverId")
    if not mark:
        # a server that is alone says 0 and ends here; one of a quorum says its id, and goes on
        if settings["serverId"] != "0" or "initLimit" in settings or not before.endswith("\n"):
            raise Incomplete("ends before membership")
        return Conf(settings)
    last = membership.rstrip().rsplit("\n", 1)[-1]
    if not re.fullmatch(r"version=[0-9a-f]+", last):
        raise Incomplete("ends within membership")
    return Conf(settings, membership_of(membership.strip() + "\n", place))


@remembered
def membership_of(text: str, place: str) -> Members:
    """The list in `text`, lines as in a dynamic file with `version=`. Raises ValueError."""
    try:
        return parse_members(text, place)
    except Problem as wrong:
        raise ValueError(str(wrong)) from None


# " /10.0.0.7:51234[1](queued=0,recved=3,sent=3,sid=0x1000…,lop=PING,est=…,to=10000,…)"; a name may stand before the slash
CONNECTION = re.compile(
    r" [^/\s]*/\[?(?P<host>[0-9A-Fa-f:.]+?)(?:%[^\]:/\s]+)?\]?:(?P<port>\d{1,5})\[[0-9a-f]+\]\((?P<rest>[^)]*)\)?"
)


def parse_cons(text: str) -> tuple[ClientSession, ...]:
    """`cons`: every connection, those without a session (four letter words, our own too) included. Raises Incomplete, ValueError."""
    if text[:1] not in ("", " ", "\r", "\n"):
        raise ValueError(f"not an answer to cons: {glimpse(text)}")
    found: list[ClientSession] = []
    lines = text.split("\n")
    for line in (whole.rstrip("\r") for whole in lines[:-1]):
        if not line or line.startswith(" null["):  # the client left while the list was printed
            continue
        match = CONNECTION.fullmatch(line)
        if not match or not line.endswith(")"):
            raise ValueError(f"not a connection: {glimpse(line)}")
        fields = dict(part.partition("=")[::2] for part in match["rest"].split(","))
        session = fields.get("sid", "")
        if session and not re.fullmatch(r"0x[0-9a-f]{1,16}", session):
            raise ValueError(f"not a session id: {glimpse(session)}")
        timeout = decimal(fields["to"]) if "to" in fields else 0
        found.append(ClientSession(HostPort(match["host"], int(match["port"])), session, timeout))
    # the list ends with an empty line
    if lines[-1] or lines[-2:-1] not in ([""], ["\r"]):
        raise Incomplete("ends before the last line")
    return tuple(found)


def decimal(text: str) -> int:
    """A Java long in decimal. Raises ValueError."""
    if not re.fullmatch(r"-?[0-9]{1,19}", text) or not -MAX_LONG <= int(text) <= MAX_LONG:
        raise ValueError(f"not a number: {glimpse(text)}")
    return int(text)


def hexadecimal(text: str) -> int:
    """A zxid as ZooKeeper prints it, `0x…`. Raises ValueError."""
    if not re.fullmatch(r"0x[0-9a-f]{1,16}", text):
        raise ValueError(f"not a zxid: {glimpse(text)}")
    return int(text, 16)


def glimpse(text: str) -> str:
    """The beginning of an answer, fit to be printed on one line."""
    kinds = (("HTTP/", "an HTTP server"), ("SSH-", "an SSH server"), ("220 ", "a mail or FTP server"))
    for start, kind in kinds:
        if text.startswith(start):
            return kind
    if text[:1] in ("\x15", "\x16") and text[1:2] == "\x03":
        return "a TLS server"
    return ascii(text[:40])


def classify(word: str, text: str, parse: Callable[[str], T]) -> T:
    """The value in a whole answer to `word`; raises `Unanswered` with the outcome that it means."""
    if not text:
        raise Unanswered(Outcome.TRUNCATED, "closed the connection without an answer")
    if text.strip() == NOT_SERVING:
        raise Unanswered(Outcome.NOT_SERVING, "not currently serving requests: it has no quorum")
    if NOT_LISTED.match(text):
        raise Unanswered(Outcome.CLOSED, f"{word} is not in 4lw.commands.whitelist")
    try:
        return parse(text)
    except Incomplete as half:
        raise Unanswered(Outcome.TRUNCATED, f"half an answer: {half}") from None
    except ReadOnly as why:
        raise Unanswered(Outcome.NOT_SERVING, str(why)) from None
    except ValueError as wrong:
        raise Unanswered(Outcome.JUNK, str(wrong)[:300]) from None


async def ask(dialer: Dialer, at: HostPort, word: str, parse: Callable[[str], T]) -> Fact[T]:
    """Sends `word` to `at` and parses the answer; always a fact, by the dialer's deadline."""

    async def question() -> T:
        async with dialer.connect(at) as (reader, writer):
            # exactly four bytes: one more left unread would make the server's close a reset
            writer.write(word.encode("ascii"))
            answer = await read_all(reader)
        return classify(word, answer.decode("utf-8", "replace"), parse)

    return await dialer.fact(f"{word}@{at}", question())
