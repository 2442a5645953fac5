"""Calls that take milliseconds each, one after the other in one thread: a thread for each would take longer than they do.

Many threads at once keep the interpreter's lock from each other and from the loop that asks the servers meanwhile. Measured: the files of
nine hosts of this machine, 17 ms of processor in nine threads, 8 in one.
"""

from __future__ import annotations

import _thread
import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TURN_S = 0.05


class InTurn:
    """Of one loop. Whoever takes longer than `TURN_S` (a disk that hangs) keeps the others no longer: another thread takes them on."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._watched = False

    async def read(self, call: Callable[[], T]) -> T:
        """`call()` in its turn; raises what it raises. Cancelled, it leaves the thread to end by itself."""
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
            loop.call_soon_threadsafe(settle, result, error)

        self._waiting.append(work)
        if not self._watched:
            self._watched = True
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
        try:
            while True:
                self._waiting.popleft()()
        except (IndexError, RuntimeError):
            return  # none is left; or the loop is gone, and nobody waits any more
