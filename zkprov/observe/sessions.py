"""ZooKeeper sessions for looking: each pinned to one server, one per server for a whole run, all on one thread's event loop.

So are the connections to AdminServers.

The bytes are kazoo's (`kazoo.protocol.serialization`), the connection is ours: a kazoo client costs three threads, tries again by itself
and cannot be cancelled; here a thousand servers cost one thread, a lost session is opened again only by the next look, and a
deadline ends everything. Sessions that act (reconfig, ledger, lock) are kazoo clients and live elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from kazoo.protocol import serialization as wire

from zkprov.model.facts import Fact, Outcome
from zkprov.model.server import HostPort
from zkprov.observe.adminserver import Connection
from zkprov.observe.dial import MAX_ANSWER, Dialer, Unanswered

T = TypeVar("T")

PING_XID = -2
AUTH_XID = -4
MAX_WELCOME = 4096
"""Bytes of the answer to a new session; ZooKeeper's has 41."""

MAX_KEPT = 64
"""Connections to AdminServers that are kept between two looks."""

CLOSE_S = 0.3
"""How long the end of a session waits for the server's word; the server ends the session without it too."""

# ZooKeeper's KeeperException.Code
ERRORS = {
    -4: (Outcome.TRUNCATED, "the connection was lost"),
    -6: (Outcome.CLOSED, "the server does not know this operation"),
    -101: (Outcome.ABSENT, "no such znode"),
    -102: (Outcome.DENIED, "not allowed to read it"),
    -110: (Outcome.CLOSED, "the znode exists"),
    -112: (Outcome.TRUNCATED, "the session expired"),
    -115: (Outcome.DENIED, "authentication failed"),
    -124: (Outcome.DENIED, "no session without authentication (enforce.auth.enabled)"),
}
NO_NODE = -101
NODE_EXISTS = -110


class ZooKeeperError(Unanswered):
    """An error code in a reply."""

    def __init__(self, code: int, path: str = "") -> None:
        outcome, text = ERRORS.get(code, (Outcome.JUNK, f"error {code}"))
        super().__init__(outcome, f"{path}: {text}" if path else text)
        self.code = code


class Session:
    """One session on one server. All methods raise `Unanswered`, ConnectionError or TimeoutError of the caller's deadline."""

    def __init__(self, at: HostPort, timeout_s: float, auth: tuple[str, str] | None) -> None:
        self.at = at
        self.id = ""
        self.kept = False
        """Whether an earlier look opened it: it may have died since without our noticing."""
        self._timeout_s = timeout_s
        self._auth = auth
        self._xid = 0
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._opened = asyncio.Event()
        self._why: Exception | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._unsent: list[bytes] = []
        self._ended = asyncio.Event()

    @property
    def alive(self) -> bool:
        return self._writer is not None and self._why is None

    async def open(self, dialer: Dialer) -> None:
        """Opens the session; afterwards it keeps itself alive until `close`."""
        self._tasks.append(asyncio.get_running_loop().create_task(self._live(dialer)))
        try:
            await self._opened.wait()
            if self._why:
                raise self._why
            if self._auth:
                await self._call(wire.Auth(0, *self._auth), AUTH_XID)
        except BaseException:
            self.cut()
            raise

    async def _live(self, dialer: Dialer) -> None:
        try:
            async with dialer.connect(self.at) as (reader, writer):
                patience = await self._handshake(reader, writer)
                self._writer = writer
                self._opened.set()
                self._tasks.append(asyncio.get_running_loop().create_task(self._ping(patience / 3)))
                while True:
                    self._take(await read_frame(reader, patience))
        except TimeoutError:
            self._fail(Unanswered(Outcome.TIMEOUT, "the server fell silent"))
        except (OSError, asyncio.IncompleteReadError):
            if self._opened.is_set():
                self._fail(Unanswered(Outcome.TRUNCATED, "the connection was cut"))
            else:
                why = "closed the connection without opening a session (no quorum, TLS only, or too many connections)"
                self._fail(Unanswered(Outcome.TRUNCATED, why))
        except Unanswered as reason:
            self._fail(reason)
        except (struct.error, ValueError, IndexError) as wrong:
            self._fail(Unanswered(Outcome.JUNK, f"not ZooKeeper's protocol: {type(wrong).__name__}"))
        finally:
            self._fail(Unanswered(Outcome.TRUNCATED, "the session is closed"))

    async def _handshake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
        """Opens the session; returns the timeout that the server allows, in seconds."""
        hello = wire.Connect(0, 0, int(self._timeout_s * 1000), 0, bytes(16), False).serialize()
        writer.write(wire.int_struct.pack(len(hello)) + hello)
        reply, _ = wire.Connect.deserialize(await read_frame(reader, None, MAX_WELCOME), 0)
        if reply.time_out <= 0 or not reply.session_id:
            raise Unanswered(Outcome.JUNK, "the server opened no session")
        self.id = f"0x{reply.session_id & (1 << 64) - 1:x}"
        return float(reply.time_out) / 1000

    async def _ping(self, every_s: float) -> None:
        ping = wire.int_int_struct.pack(PING_XID, wire.Ping.type)
        while self.alive:
            await asyncio.sleep(every_s)
            with contextlib.suppress(Unanswered):  # it ended while we slept; whoever asks next is told why
                self._send(ping)

    def _send(self, frame: bytes) -> None:
        if self._writer is None or self._why is not None:
            raise self._why or Unanswered(Outcome.TRUNCATED, "the session is not open")
        if not self._unsent:
            # what is asked for in one turn of the loop goes out at once: a look has some twenty questions to each server
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += (wire.int_struct.pack(len(frame)), frame)

    def _flush(self) -> None:
        unsent, self._unsent = b"".join(self._unsent), []
        if self.alive and self._writer is not None:
            self._writer.write(unsent)

    def _take(self, frame: bytes) -> None:
        header, offset = wire.ReplyHeader.deserialize(frame, 0)
        future = self._waiting.pop(header.xid, None)
        if future is None or future.done():
            return  # a ping's answer, or one that nobody waits for any more
        if header.err:
            future.set_exception(ZooKeeperError(header.err))
        else:
            future.set_result(frame[offset:])

    def _fail(self, reason: Exception) -> None:
        self._why = self._why or reason
        self._opened.set()
        self._ended.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._why)
        self._waiting.clear()

    async def _call(self, request: Any, xid: int | None = None) -> bytes:
        if xid is None:
            self._xid = xid = self._xid % 0x7FFFFFFF + 1
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[xid] = future
        try:
            self._send(wire.int_int_struct.pack(xid, request.type) + bytes(request.serialize()))
            return await future
        except ZooKeeperError as error:
            raise ZooKeeperError(error.code, getattr(request, "path", "")) from None
        finally:
            self._waiting.pop(xid, None)

    async def _ask(self, request: Any) -> Any:
        """The decoded reply; None where there is no such znode."""
        try:
            return type(request).deserialize(await self._call(request), 0)
        except ZooKeeperError as error:
            if error.code == NO_NODE:
                return None
            raise
        except (struct.error, ValueError, IndexError) as wrong:
            raise Unanswered(Outcome.JUNK, f"not ZooKeeper's protocol: {type(wrong).__name__}") from None

    async def data(self, path: str) -> tuple[bytes, Any] | None:
        """Data and stat (kazoo's `ZnodeStat`), or None where there is no such znode."""
        found = await self._ask(wire.GetData(path, False))
        return None if found is None else (found[0] or b"", found[1])

    async def stat(self, path: str) -> Any | None:
        """kazoo's `ZnodeStat`, or None where there is no such znode."""
        return await self._ask(wire.Exists(path, False))

    async def children(self, path: str) -> list[str] | None:
        """The names in order, or None where there is no such znode."""
        found = await self._ask(wire.GetChildren(path, False))
        return None if found is None else sorted(found)

    async def write(self, path: str, data: bytes) -> Any:
        """Sets `path`, creating it where it is missing; its stat. Used by the probe only, never by a look."""
        from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE

        stat = await self._ask(wire.SetData(path, data, -1))
        if stat is None:
            acl = [*READ_ACL_UNSAFE, *CREATOR_ALL_ACL] if self._auth else OPEN_ACL_UNSAFE
            with contextlib.suppress(ZooKeeperError):
                await self._call(wire.Create(path, data, acl, 0))
            stat = await self._ask(wire.SetData(path, data, -1))
        if stat is None:
            raise Unanswered(Outcome.ABSENT, f"{path}: cannot be created")
        return stat

    async def close(self) -> None:
        """Ends the session at the server and here; never waits longer than `CLOSE_S`."""
        if self.alive:
            with contextlib.suppress(Exception):
                self._send(wire.int_int_struct.pack(1, wire.Close.type))
                async with asyncio.timeout(CLOSE_S):
                    await self._ended.wait()
        self.cut()

    def cut(self) -> None:
        """Ends it here only; the server lets it expire."""
        for task in self._tasks:
            task.cancel()
        self._fail(Unanswered(Outcome.TRUNCATED, "the session is closed"))


async def read_frame(reader: asyncio.StreamReader, patience_s: float | None, cap: int = MAX_ANSWER) -> bytes:
    """One length-prefixed frame; raises `Unanswered` for an absurd length, TimeoutError when nothing comes for `patience_s`."""
    async with asyncio.timeout(patience_s):
        head = await reader.readexactly(4)
        size = wire.int_struct.unpack(head)[0]
        if head.isascii() and head.decode().isprintable():
            raise Unanswered(Outcome.JUNK, f"not ZooKeeper's protocol: it begins {head.decode()!r}")
        if size < 0 or size > cap == MAX_WELCOME:
            raise Unanswered(Outcome.JUNK, f"not ZooKeeper's protocol: it begins {head.hex()}")
        if size > cap:
            raise Unanswered(Outcome.TOO_LARGE, f"a frame of {size} bytes")
        return await reader.readexactly(size)


class Sessions:
    """The sessions of a run or a watch, by server, and the thread that they live on. Use it with `with`.

    `timeout_s` is the session timeout that is asked for; `auth` is (scheme, credential).
    """

    def __init__(self, *, timeout_s: float = 10.0, auth: tuple[str, str] | None = None) -> None:
        self._timeout_s = timeout_s
        self._auth = auth
        self._open: dict[HostPort, Session] = {}
        self._ids: set[str] = set()
        self._admin: dict[HostPort, Connection] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="zkprov-observe")
        self._thread.start()

    @property
    def own_ids(self) -> frozenset[str]:
        """The ids (`0x…`) of all sessions that were ever opened here: left out when clients are counted."""
        return frozenset(self._ids)

    def id_at(self, at: HostPort) -> int | None:
        """The id of the session on `at`, where one is or was open."""
        held = self._open.get(at)
        return int(held.id, 16) if held and held.id else None

    async def session(self, at: HostPort, dialer: Dialer) -> Session:
        """The living session on `at`, opened where there is none. On the loop's thread only. Raises `Unanswered`."""
        kept = self._open.get(at)
        if kept and kept.alive:
            kept.kept = True
            return kept
        session = Session(at, self._timeout_s, self._auth)
        try:
            await session.open(dialer)
        finally:
            if session.id:
                self._ids.add(session.id)
        other = self._open.get(at)
        if other and other.alive:
            await session.close()
            return other
        self._open[at] = session
        return session

    @contextlib.asynccontextmanager
    async def admin(self, at: HostPort) -> AsyncIterator[Connection]:
        """The connection to the AdminServer at `at`, for one look at a time; kept for the next, as far as `MAX_KEPT` goes."""
        connection = self._admin.pop(at, None) or Connection(at)
        try:
            yield connection
        except BaseException:
            await connection.end()
            raise
        if at in self._admin or len(self._admin) >= MAX_KEPT:
            await connection.end()
        else:
            self._admin[at] = connection

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Carries out `work` on the loop and returns what it returns; raises TimeoutError if it is not done by then."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Ends all sessions and the thread; a second call does nothing."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(TimeoutError):
            self.run(self._close_all(), CLOSE_S + 2)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2)
        if not self._thread.is_alive():
            self._loop.close()

    async def _close_all(self) -> None:
        await asyncio.gather(*(s.close() for s in self._open.values()))
        self._open.clear()
        for connection in self._admin.values():
            await connection.end()
        self._admin.clear()
        rest = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def __enter__(self) -> Sessions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextlib.contextmanager
def sessions_or_own(given: Sessions | None, timeout_s: float) -> Iterator[Sessions]:
    """`given`, left open; or sessions of one's own, closed at the end."""
    if given is not None:
        yield given
    else:
        with Sessions(timeout_s=timeout_s) as own:
            yield own


def probe_write_and_read(
    sessions: Sessions,
    writer: HostPort,
    readers: Sequence[HostPort],
    *,
    path: str = "/zkprov/probe",
    timeout_s: float = 3.0,
) -> tuple[Fact[int], dict[HostPort, Fact[int]]]:
    """Writes `path` through `writer`, then reads it locally on each of `readers` until the write is seen.

    For the engine only: it changes a znode. Returns the write's zxid, and per reader the `mzxid` that it shows: OK once that
    is the write or a later one, else TIMEOUT.
    """

    async def probe() -> tuple[Fact[int], dict[HostPort, Fact[int]]]:
        dialer = Dialer(timeout_s)

        async def write() -> int:
            session = await sessions.session(writer, dialer)
            return int((await session.write(path, b"")).mzxid)

        wrote = await dialer.fact(f"{path}@{writer}", write())

        async def read(at: HostPort, seen: list[int]) -> int:
            session = await sessions.session(at, dialer)
            while True:
                stat = await session.stat(path)
                seen[:] = [int(stat.mzxid) if stat else 0]
                if seen[0] >= (wrote.value or 0):
                    return seen[0]
                await asyncio.sleep(0.01)

        async def one(at: HostPort) -> Fact[int]:
            source = f"{path}@{at}"
            if wrote.value is None:
                return Fact(source, detail=f"not asked: the write failed ({wrote})")
            seen: list[int] = []
            fact = await dialer.fact(source, read(at, seen))
            if fact.outcome is Outcome.TIMEOUT and seen:
                detail = f"shows 0x{seen[0]:x} after {timeout_s:g} s, written was 0x{wrote.value:x}"
                return Fact(source, Outcome.TIMEOUT, at=fact.at, detail=detail)
            return fact

        found = await asyncio.gather(*(one(at) for at in readers))
        return wrote, dict(zip(readers, found, strict=True))

    return sessions.run(probe(), timeout_s + 5)
