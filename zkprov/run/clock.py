"""The one clock of a run, injected: wall time for records, monotonic time for waiting, and waits that a signal ends."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since 1970."""

    def monotonic(self) -> float:
        """Seconds that only ever grow, whatever becomes of the wall clock."""

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Waits; True as soon as `stop` is set."""


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        return stop.wait(max(0.0, seconds))
