"""Calls that may block, in daemon threads: one thread each, or short ones one after the other; a loop waits for what comes of them."""

from __future__ import annotations

import _thread
import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TURN_S = 0.05


async def in_thread(call: Callable[[], T], limit: asyncio.Semaphore) -> T:
    """`call()` in a daemon thread of its own; raises what it raises. Cancelled, it leaves the thread to end by itself."""
    future, work = _promised(call)
    async with limit:
        # `threading` would wait until the new thread runs, with all questions to all servers waiting meanwhile.
        _thread.start_new_thread(work, ())
        return await future


class InTurn:
    """Of one loop: calls that take milliseconds each, for which a thread each would take longer than they do.

    Many threads at once keep the interpreter's lock from each other and from the loop that asks the servers meanwhile. Measured: the files
    of nine hosts of this machine, 17 ms of processor in nine threads, 8 in one. Whoever takes longer than `TURN_S` (a disk that hangs)
    keeps the others no longer: another thread takes them on.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._watched = False

    async def read(self, call: Callable[[], T]) -> T:
        """`call()` in its turn; raises what it raises. Cancelled, it leaves the thread to end by itself."""
        future, work = _promised(call)
        self._waiting.append(work)
        if not self._watched:
            self._watched = True
            loop = asyncio.get_running_loop()
            # not before all that wait in this turn of the loop stand in line
            loop.call_soon(self._go_on, loop)
        return await future

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Another thread, as long as any wait."""
        self._watched = bool(self._waiting)
        if self._watched:
            _thread.start_new_thread(self._work, ())
            loop.call_later(TURN_S, self._go_on, loop)

    def _work(self) -> None:
        while self._waiting:
            try:
                work = self._waiting.popleft()
            except IndexError:
                return  # another thread took the last
            work()


def _promised(call: Callable[[], T]) -> tuple[asyncio.Future[T], Callable[[], None]]:
    """What comes of `call`, for the running loop, and the work that sees to it in any thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = call()
        except BaseException as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            return  # the loop is gone: nobody waits any more

    return future, work
