"""The AdminServer's `zabstate`, `leader`, `hash` and `voting_view`: GETs over one connection, nothing followed, odd answers told apart.

Errors mostly arrive as HTTP 200 with an `error` field. Forms: `Commands` and `JsonOutputter` of ZooKeeper 3.9.5.
"""

from __future__ import annotations

import re
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Annotated, TypeVar

import msgspec

from zkprov.model.facts import Digests, Fact, LeaderView, Outcome, ZabState
from zkprov.model.server import HostPort
from zkprov.observe.dial import MAX_ANSWER, Dialer, Unanswered, read_all
from zkprov.observe.fourletter import NOT_SERVING, glimpse

T = TypeVar("T")

MAX_HEAD = 64 * 1024
MAX_HEADERS = 100
Headers = dict[str, str]
CLIENT_PORT = re.compile(r"(?:[^:]*|\[[^\]]*\]|(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}):([0-9]{1,5})")
PHASES = frozenset({"ELECTION", "DISCOVERY", "SYNCHRONIZATION", "BROADCAST"})
Long = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class Answer(msgspec.Struct):
    """What every answer has."""

    command: str
    error: str | None = None


class ZabStateAnswer(Answer):
    zabstate: str = ""
    voting: bool = False
    myid: Long | None = None
    zab_epoch: Long | None = None
    last_zxid: Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{1,16}$")] | None = None
    client_address: object = None


class LeaderAnswer(Answer):
    is_leader: bool | None = None
    leader_id: Long | None = None
    leader_ip: str | None = None


class VotingViewAnswer(Answer):
    current_config: dict[int, msgspec.Raw] | None = None


class Digest(msgspec.Struct):
    zxid: Long
    digest: Long


class HashAnswer(Answer):
    digests: list[Digest] | None = None


COMMANDS: dict[type[Answer], str] = {
    ZabStateAnswer: "zabstate",
    LeaderAnswer: "leader",
    VotingViewAnswer: "voting_view",
    HashAnswer: "hash",
}


def parse_zabstate(body: bytes) -> ZabState:
    """Raises `Unanswered`: with NOT_SERVING also for a standalone server, which has no such state."""
    answer = decode(body, ZabStateAnswer)
    if answer.myid is None and not answer.zabstate:
        raise Unanswered(Outcome.NOT_SERVING, "no server of a quorum runs there: it is standalone or has no quorum")
    phase = answer.zabstate.upper()
    if answer.myid is None or answer.zab_epoch is None or answer.last_zxid is None or phase not in PHASES:
        raise Unanswered(Outcome.JUNK, f"not an answer to zabstate: {glimpse(body.decode('utf-8', 'replace'))}")
    port = CLIENT_PORT.fullmatch(answer.client_address) if isinstance(answer.client_address, str) else None
    zxid = int(answer.last_zxid, 16)
    return ZabState(answer.myid, answer.voting, answer.zab_epoch, zxid, phase, int(port[1]) if port else None)


def parse_leader(body: bytes) -> LeaderView:
    """Raises `Unanswered`: with ABSENT for a standalone server."""
    answer = decode(body, LeaderAnswer)
    if answer.is_leader is None or answer.leader_id is None or answer.leader_ip is None:
        raise Unanswered(Outcome.JUNK, f"not an answer to leader: {glimpse(body.decode('utf-8', 'replace'))}")
    return LeaderView(answer.is_leader, answer.leader_id, answer.leader_ip)


def parse_voting_view(body: bytes) -> tuple[int, ...]:
    """The voters' ids in order; none for a standalone server. Raises `Unanswered`."""
    answer = decode(body, VotingViewAnswer)
    if answer.current_config is None:
        raise Unanswered(Outcome.JUNK, f"not an answer to voting_view: {glimpse(body.decode('utf-8', 'replace'))}")
    return tuple(sorted(answer.current_config))


def parse_hash(body: bytes) -> Digests:
    """Raises `Unanswered`."""
    answer = decode(body, HashAnswer)
    if answer.digests is None:
        raise Unanswered(Outcome.JUNK, f"not an answer to hash: {glimpse(body.decode('utf-8', 'replace'))}")
    told: dict[int, set[int]] = {}
    for one in answer.digests:
        told.setdefault(one.zxid, set()).add(one.digest)
    twice = frozenset(zxid for zxid, digests in told.items() if len(digests) > 1)
    return Digests({d.zxid: d.digest for d in answer.digests if d.zxid not in twice}, twice)


A = TypeVar("A", bound=Answer)


def decode(body: bytes, kind: type[A]) -> A:
    """The JSON document of `kind`; raises `Unanswered` for errors in it and for anything else."""
    try:
        answer = msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as wrong:
        raise Unanswered(Outcome.JUNK, f"not the JSON of an AdminServer: {str(wrong)[:200]}") from None
    if answer.error is not None:
        raise Unanswered(*meaning(answer.error))
    if answer.command != COMMANDS[kind]:
        raise Unanswered(Outcome.JUNK, f"an answer to {glimpse(answer.command)}, which was not asked")
    return answer


def meaning(error: str) -> tuple[Outcome, str]:
    """What an `error` field says."""
    detail = error[:200]
    if NOT_SERVING in error:
        return Outcome.NOT_SERVING, "not currently serving requests: it has no quorum"
    if error == "server is not initialized":  # `leader` on a server that runs without a quorum
        return Outcome.ABSENT, "the server is not of a quorum (standalone)"
    return Outcome.CLOSED, detail


PARSERS: dict[str, Callable[[bytes], object]] = {
    "zabstate": parse_zabstate,
    "leader": parse_leader,
    "hash": parse_hash,
    "voting_view": parse_voting_view,
}


def check_status(status: int, headers: Headers, body: bytes) -> None:
    """Raises `Unanswered` for anything but success."""
    if status == 200:
        return
    if status in (401, 403):
        raise Unanswered(Outcome.DENIED, f"HTTP {status}")
    if status == 404:
        raise Unanswered(Outcome.CLOSED, "HTTP 404: no such command, or commandURL is not /commands")
    if 300 <= status < 400:
        target = ascii(headers.get("location", ""))[:100]
        raise Unanswered(Outcome.JUNK, f"HTTP {status}: it redirects to {target}, which is not followed")
    if status >= 500 and b"AdminServer" in body:
        # Jetty's page names the servlet; seen on 3.9.4 while there is no quorum
        raise Unanswered(Outcome.NOT_SERVING, f"HTTP {status}")
    raise Unanswered(Outcome.JUNK, f"HTTP {status}")


class Connection:
    """Questions to one AdminServer, one after the other over one connection; opened anew where the server ended it.

    The first one costs a server that has just started 80 to 100 ms of its processor; later ones 2 to 9 ms, and a connection 1 to 2 (3.9.5).
    """

    def __init__(self, at: HostPort) -> None:
        self._at = at
        self._held = AsyncExitStack()
        self._open: tuple[StreamReader, StreamWriter] | None = None

    async def ask(self, dialer: Dialer, command: str, parse: Callable[[bytes], T]) -> Fact[T]:
        """GETs `/commands/<command>`; always a fact, by the dialer's deadline."""

        async def question() -> T:
            kept = self._open is not None
            try:
                status, headers, body = await self._get(dialer, command)
            except (Unanswered, OSError):
                await self.end()
                if not kept:
                    raise
                status, headers, body = await self._get(dialer, command)
            check_status(status, headers, body)
            return parse(body)

        whole = False
        try:
            fact = await dialer.fact(f"{command}@{self._at}", question())
            whole = fact.outcome is not Outcome.TIMEOUT
        finally:
            if not whole:
                await self.end()  # its answer may still come, and would be taken for the next one's
        return fact

    async def _get(self, dialer: Dialer, command: str) -> tuple[int, Headers, bytes]:
        if self._open is None:
            self._open = await self._held.enter_async_context(dialer.connect(self._at))
        reader, writer = self._open
        # 1.0: no chunks. Whoever does not say that the connection stays, ends it.
        head = f"GET /commands/{command} HTTP/1.0\r\nHost: {self._at}\r\nAccept: application/json\r\n"
        writer.write(f"{head}Connection: keep-alive\r\n\r\n".encode("ascii", "replace"))
        status, headers, body = await read_answer(reader)
        if "content-length" not in headers or headers.get("connection", "").lower() != "keep-alive":
            await self.end()
        return status, headers, body

    async def end(self) -> None:
        """Ends the connection; the next question opens one."""
        self._open = None
        await self._held.aclose()


async def read_answer(reader: StreamReader) -> tuple[int, Headers, bytes]:
    """Status, headers (names in lower case) and body of one HTTP answer; raises `Unanswered`."""
    first = await line_of(reader)
    match = re.fullmatch(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r?\n", first)
    if not match:
        if not first.endswith(b"\n") and first.startswith(b"HTTP/1."[: len(first)]):
            raise Unanswered(
                Outcome.TRUNCATED, "closed the connection without an answer" if not first else "half an answer"
            )
        raise Unanswered(Outcome.JUNK, f"not HTTP: {glimpse(first.decode('latin-1'))}")
    headers: Headers = {}
    size = 0
    while (line := await line_of(reader)) not in (b"\r\n", b"\n"):
        if not line.endswith(b"\n"):
            raise Unanswered(Outcome.TRUNCATED, "half an answer: ends within its headers")
        size += len(line)
        if size > MAX_HEAD:
            raise Unanswered(Outcome.TOO_LARGE, f"more than {MAX_HEAD} bytes of headers")
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or len(headers) >= MAX_HEADERS:
            raise Unanswered(
                Outcome.JUNK, f"not HTTP: {glimpse(line.decode('latin-1')) if not colon else 'too many headers'}"
            )
        headers.setdefault(name.strip().lower(), value.strip())
    return int(match[1]), headers, await body_of(reader, headers.get("content-length"))


async def body_of(reader: StreamReader, stated: str | None) -> bytes:
    """As many bytes as `stated`, or all; raises `Unanswered`."""
    if stated is None:
        return await read_all(reader)
    if not re.fullmatch(r"[0-9]{1,18}", stated):
        raise Unanswered(Outcome.JUNK, f"Content-Length is no number: {glimpse(stated)}")
    length = int(stated)
    if length > MAX_ANSWER:
        raise Unanswered(Outcome.TOO_LARGE, f"{length} bytes announced")
    body = b""
    while len(body) < length:
        part = await reader.read(length - len(body))
        if not part:
            raise Unanswered(Outcome.TRUNCATED, f"half an answer: {len(body)} of {length} bytes")
        body += part
    return body


async def line_of(reader: StreamReader) -> bytes:
    """One line with its end, or what there is before the end of the stream; raises `Unanswered` for an endless one."""
    try:
        return await reader.readline()
    except ValueError:  # longer than the reader's buffer, 64 KiB
        raise Unanswered(Outcome.JUNK, "a line of more than 64 KiB") from None
