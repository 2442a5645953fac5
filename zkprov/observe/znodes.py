"""What one server's own tree says: its list of members, the identity of its history, and zkprov's ledger. Local reads, nothing written.

The ledger's documents have their one description here, for the reader and for the room that writes them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from typing import Any, TypeVar

import msgspec

from zkprov.model.facts import LASTING, Fact, Identity, Ledger, LedgerMember, Outcome, Retired
from zkprov.model.members import Members
from zkprov.model.server import HostPort
from zkprov.observe.dial import Dialer, Unanswered
from zkprov.observe.fourletter import membership_of
from zkprov.observe.session import Session
from zkprov.observe.sessions import Sessions

T = TypeVar("T")
D = TypeVar("D", bound="Document")

CONFIG = "/zookeeper/config"
LEDGER = "/zkprov"
FORMAT = 1
MAX_ENTRIES = 1000
OURS_ONLY = frozenset({"zookeeper", "zkprov"})


class NewerFormat(ValueError):
    """An entry that a newer zkprov wrote."""


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every ledger znode has. `zkprov`: the version that wrote it."""

    format: int = FORMAT
    zkprov: str = ""

    def encode(self) -> bytes:
        # omit_defaults leaves the format out, and a reader needs it
        return msgspec.json.encode({"format": self.format, **msgspec.to_builtins(self)})


class EnsembleDocument(Document, frozen=True, kw_only=True):
    """`/zkprov/ensemble`."""

    uuid: str
    founding: bool = False


class MemberDocument(Document, frozen=True, kw_only=True):
    """`/zkprov/members/<id>`; since when is the znode's ctime."""

    disk: str = ""
    confirmed: int = 0
    seasoned: bool = False
    season_s: float = 900.0

    @classmethod
    def of(cls, member: LedgerMember) -> MemberDocument:
        return cls(disk=member.disk, confirmed=member.confirmed, seasoned=member.seasoned, season_s=member.season_s)

    def member(self, since_ms: int) -> LedgerMember:
        return LedgerMember(since_ms, self.disk, self.confirmed, self.seasoned, self.season_s)


class RetiredDocument(Document, frozen=True, kw_only=True):
    """`/zkprov/retired/<id>`; since when is the znode's ctime."""

    id: int
    host: str
    client: HostPort | None = None
    where: str = ""
    fate: str = "set aside"
    last_list: Members | None = None
    reason: str = ""

    @classmethod
    def of(cls, retired: Retired) -> RetiredDocument:
        return cls(
            id=retired.id,
            host=retired.host,
            client=retired.client,
            where=retired.where,
            fate=retired.fate,
            last_list=retired.last_list,
            reason=retired.reason,
        )

    def retired(self, since_ms: int) -> Retired:
        return Retired(self.id, self.host, self.client, since_ms, self.where, self.fate, self.last_list, self.reason)


def decode(data: bytes, kind: type[D], path: str) -> D:
    """A ledger document. Raises ValueError naming `path`; NewerFormat says which zkprov is needed."""
    try:
        head = msgspec.json.decode(data, type=Document)
    except (msgspec.MsgspecError, ValueError, RecursionError) as wrong:
        raise ValueError(f"{path}: not a ledger entry: {wrong}") from None
    if head.format > FORMAT:
        writer = f"zkprov {head.zkprov[:20]}" if head.zkprov else "a newer zkprov"
        raise NewerFormat(
            f"{path}: format {head.format}, needs {writer} or later; this one reads up to format {FORMAT}"
        )
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as wrong:
        raise ValueError(f"{path}: {wrong}") from None


async def look(sessions: Sessions, at: HostPort, dialer: Dialer) -> tuple[Fact[Members], Fact[Identity], Fact[Ledger]]:
    """The three facts of the server `at`, read at the same time through one session; always facts, by the deadline."""
    opened = await dialer.fact(f"session@{at}", sessions.session(at, dialer))
    if opened.value is None:

        def not_opened(source: str) -> Fact[Any]:
            return Fact(f"{source}@{at}", opened.outcome, at=opened.at, detail=f"no session: {opened.detail}")

        return not_opened(CONFIG), not_opened("identity"), not_opened(LEDGER)
    session = opened.value
    config, identity, ledger = await asyncio.gather(
        dialer.fact(f"{CONFIG}@{at}", read_config(session)),
        dialer.fact(f"identity@{at}", read_identity(session)),
        read_ledger_fact(session, dialer),
    )
    if session.kept and not session.alive:
        # a session kept from an earlier look may have died unnoticed; the server itself is asked anew, once
        return await look(sessions, at, dialer)
    return config, identity, ledger


async def read_config(session: Session) -> Members:
    """The list in memory; version 0 for a static list. Raises `Unanswered`: ABSENT for a standalone server."""
    found = await session.data(CONFIG)
    text = found[0].decode("utf-8", "replace").strip() if found else ""
    if not text:
        raise Unanswered(Outcome.ABSENT, f"{CONFIG} is empty: a standalone server, or one before 3.5")
    try:
        return membership_of(text + "\n", f"{CONFIG} of {session.at}")
    except ValueError as wrong:
        raise Unanswered(Outcome.JUNK, str(wrong)[:300]) from None


async def read_identity(session: Session) -> Identity:
    """Of `/zkprov/ensemble`, else `/cluster/id`, else the first permanent child of `/` in the order of names, `/zookeeper` aside.

    Raises `Unanswered`: ABSENT where the tree holds no permanent znode. Containers and znodes with a time to live are not permanent.
    """
    stats = await asyncio.gather(*(session.stat(path) for path in LASTING))
    for path, stat in zip(LASTING, stats, strict=True):
        if stat is not None:
            return Identity(path, stat.czxid, stat.ctime)
    for name in (await session.children("/") or [])[:MAX_ENTRIES]:
        if name == "zookeeper":
            continue
        stat = await session.stat(f"/{name}")
        if stat is not None and stat.ephemeralOwner == 0:
            return Identity(f"/{name}", stat.czxid, stat.ctime)
    raise Unanswered(Outcome.ABSENT, "the tree holds no permanent znode")


async def read_ledger_fact(session: Session, dialer: Dialer) -> Fact[Ledger]:
    """The ledger; entries that cannot be read are left out and named in `detail`."""
    problems: list[ValueError] = []
    fact = await dialer.fact(f"{LEDGER}@{session.at}", read_ledger(session, problems))
    if fact.value is None or not problems:
        return fact
    told = "; ".join(str(p)[:300] for p in problems[:5])
    if any(isinstance(p, NewerFormat) for p in problems):
        # what a newer zkprov recorded is not to be guessed at: a newer reader is needed before anything is judged by it
        return Fact(fact.source, Outcome.JUNK, at=fact.at, detail=told)
    return Fact(fact.source, Outcome.OK, fact.value, fact.at, told)


async def read_ledger(session: Session, problems: list[ValueError]) -> Ledger:
    """Raises `Unanswered`: ABSENT where no ledger was ever written. Adds to `problems` what could not be read."""
    clock = Clock()

    async def attempt(work: Awaitable[T], otherwise: T) -> T:
        try:
            return await work
        except ValueError as wrong:
            problems.append(wrong)
        except Unanswered as reason:
            if reason.outcome is not Outcome.DENIED:
                raise
            problems.append(ValueError(reason.detail))
        return otherwise

    async def text(path: str) -> str:
        found = clock.saw(await session.data(path))
        return found[0].decode("utf-8", "replace")[:200] if found else ""

    async def paused() -> str:
        reason = await text(f"{LEDGER}/paused")
        # a pause without a reason is a pause
        return reason or ("no reason given" if await session.stat(f"{LEDGER}/paused") else "")

    async def ensemble() -> tuple[str, bool]:
        path = f"{LEDGER}/ensemble"
        found = clock.saw(await session.data(path))
        if not found:
            return "", False
        document = decode(found[0], EnsembleDocument, path)
        # with anything of anybody's in it, it is an ensemble like any other, whatever its founding came to
        bare = document.founding and set(await session.children("/") or ()) <= OURS_ONLY
        return document.uuid, bare

    async def entries(name: str) -> list[str]:
        return [
            f"{LEDGER}/{name}/{child}" for child in (await session.children(f"{LEDGER}/{name}") or [])[:MAX_ENTRIES]
        ]

    async def member(path: str) -> tuple[int, LedgerMember] | None:
        found = clock.saw(await session.data(path))
        if found is None:
            return None
        last = path.rsplit("/", 1)[1]
        if not re.fullmatch(r"[0-9]{1,3}", last):
            raise ValueError(f"{path}: {last!r} is no server id")
        return int(last), decode(found[0], MemberDocument, path).member(found[1].ctime)

    async def retired(path: str) -> Retired | None:
        found = clock.saw(await session.data(path))
        return decode(found[0], RetiredDocument, path).retired(found[1].ctime) if found else None

    async def members() -> dict[int, LedgerMember]:
        found = await asyncio.gather(*(attempt(member(p), None) for p in await entries("members")))
        return dict(sorted(entry for entry in found if entry))

    async def gone() -> tuple[Retired, ...]:
        found = await asyncio.gather(*(attempt(retired(p), None) for p in await entries("retired")))
        return tuple(sorted((r for r in found if r), key=lambda r: r.id))

    async def holder() -> str:
        # kazoo's Lock: the child with the lowest sequence holds it, whatever its prefix
        for path in sorted(await entries("lock"), key=lambda p: p[-10:]):
            found = clock.saw(await session.data(path))
            if found and found[1].ephemeralOwner:
                return found[0].decode("utf-8", "replace")[:200] or "unnamed"
        return ""

    async def time_told(name: str) -> None:
        stat = await session.stat(f"{LEDGER}/{name}")
        clock.saw((b"", stat) if stat else None)

    # all at once: a cold server takes longest for the way there and back
    root, told, _, _ = await asyncio.gather(
        session.stat(LEDGER),
        asyncio.gather(
            attempt(ensemble(), ("", False)),
            attempt(members(), {}),
            attempt(gone(), ()),
            attempt(paused(), ""),
            attempt(holder(), ""),
            attempt(text(f"{LEDGER}/run"), ""),
        ),
        time_told("clock"),  # written to tell the time
        time_told("canary"),  # written while a run goes on
    )
    if root is None:
        raise Unanswered(Outcome.ABSENT, "no ledger: zkprov never changed this ensemble")
    (uuid, founding), known, left, reason, locked, run = told
    return Ledger(uuid, known, left, reason, locked, run, clock.now_ms, founding)


class Clock:
    """The ensemble's clock as far as reading tells it: when the last write was made that is seen, in ms since 1970.

    The last by zxid, not by time: a leader whose clock was ahead for a while would make newcomers old for as long as its entries stand.
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self._zxid = -1

    def saw(self, found: tuple[bytes, Any] | None) -> tuple[bytes, Any] | None:
        if found and found[1].mzxid > self._zxid:
            self._zxid, self.now_ms = found[1].mzxid, found[1].mtime
        return found
