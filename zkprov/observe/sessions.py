"""The sessions and connections of looks: one a server for a whole run, all on one thread's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from zkprov.model.facts import Fact, Outcome
from zkprov.model.sasl import Sasl
from zkprov.model.server import HostPort
from zkprov.observe.adminserver import Connection
from zkprov.observe.connected import Silent
from zkprov.observe.dial import MAX_SOCKETS, Dialer, Limits
from zkprov.observe.session import CLOSE_S, Session
from zkprov.observe.tls import Tls
from zkprov.observe.tunnels import Tunnels

T = TypeVar("T")

MAX_KEPT = 64
"""Connections to AdminServers that are kept between two looks."""


class Loop:
    """A thread with an event loop, for the sessions of many ensembles, and what their looks may have under way together.

    `servers`: how many there are: each has a session, and a connection to its AdminServer, besides what is asked just now.
    """

    def __init__(self, servers: int = 0) -> None:
        self.limits = Limits(MAX_SOCKETS + 2 * servers) if servers else None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="zkprov-observe")
        self._thread.start()

    @property
    def closed(self) -> bool:
        return self._loop.is_closed()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Carries out `work` on the loop and returns what it returns; raises TimeoutError if it is not done by then."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except BaseException:
            future.cancel()
            raise

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Ends the thread, once `last` is done; a second call does nothing."""
        if self.closed:
            return
        with contextlib.suppress(TimeoutError):
            self.run(self._end(last), CLOSE_S + 2)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2)
        if not self._thread.is_alive():
            self._loop.close()

    async def _end(self, last: Coroutine[Any, Any, None] | None) -> None:
        if last is not None:
            await last
        rest = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


class Sessions:
    """The sessions of a run or a watch, by server. Use it with `with`.

    `timeout_s` is the session timeout that is asked for; `auth`: (scheme, credential); `tls`, `sasl`, `tunnels`: for looks by them.
    `loop`: on which they live, together with others'; without it they have one of their own, which ends with them.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 10.0,
        auth: tuple[str, str] | None = None,
        tls: Tls | None = None,
        sasl: Sasl | None = None,
        tunnels: Tunnels | None = None,
        loop: Loop | None = None,
    ) -> None:
        self._tls, self._sasl, self._tunnels = tls, sasl, tunnels
        self._timeout_s = timeout_s
        self._auth = auth
        self._open: dict[HostPort, Session] = {}
        self._ids: set[str] = set()
        self._admin: dict[HostPort, Connection] = {}
        self.silent = Silent()
        self._shared, self.loop = loop is not None, loop or Loop()

    def dialer(self, timeout_s: float) -> Dialer:
        """Connections of one look over these sessions. On the loop's thread only."""
        return Dialer(timeout_s, self._tls, self._tunnels, self.loop.limits)

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
        session = Session(at, self._timeout_s, self._auth, self._sasl.pair_at(at) if self._sasl else None)
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

    async def open_anew(self, at: HostPort, dialer: Dialer) -> None:
        """Opens one more session on `at`, and closes it. On the loop's thread only. Raises `Unanswered`."""
        session = Session(at, self._timeout_s, self._auth, self._sasl.pair_at(at) if self._sasl else None)
        try:
            await session.open(dialer)
        finally:
            if session.id:
                self._ids.add(session.id)
            await session.close()

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
        """As `Loop.run`."""
        return self.loop.run(work, timeout_s)

    def close(self) -> None:
        """Ends all sessions, and the loop where it is their own; a second call does nothing."""
        if self.loop.closed:
            return
        if not self._shared:
            self.loop.close(self.end_all())
            return
        with contextlib.suppress(TimeoutError):
            self.run(self.end_all(), CLOSE_S + 2)

    async def end_all(self) -> None:
        """Ends all sessions and connections. On the loop's thread only."""
        await asyncio.gather(*(s.close() for s in self._open.values()))
        self._open.clear()
        for connection in self._admin.values():
            await connection.end()
        self._admin.clear()

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


def opens_session(sessions: Sessions, at: HostPort, timeout_s: float) -> bool | None:
    """Whether `at` opens a session that is new, and closed at once: only a leader that can commit does. None: it did not come to that."""

    async def probe() -> Fact[bool]:
        dialer = sessions.dialer(timeout_s)

        async def open_one() -> bool:
            await sessions.open_anew(at, dialer)
            return True

        return await dialer.fact(f"session@{at}", open_one())

    found = sessions.run(probe(), timeout_s + 5)
    return found.value or (False if found.outcome is Outcome.TIMEOUT else None)


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
        dialer = sessions.dialer(timeout_s)

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
