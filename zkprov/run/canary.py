"""A low-rate client that writes under the ledger while a run goes on, and tells the longest pause that a client would have seen."""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from zkprov.act.session import close
from zkprov.model.problems import Problem

if TYPE_CHECKING:
    from kazoo.client import KazooClient

EVERY_S = 0.1
PATH = "/zkprov/canary"
PAUSE_S = 0.1
"""A write that took at least this long is one whose moment is told; of a step, the longest is told in any case."""
MOST = 20
"""How many of a step are told, the longest: each is an event on disk."""


class Pause(NamedTuple):
    """From when (by the monotonic clock) and for how long no write succeeded, in seconds."""

    began: float
    lasted_s: float


class Canary:
    """Writes every 0.1 s in a thread of its own. A pause is the time until the next write that succeeds, in seconds.

    `connect` opens its session, in that thread; where it raises `Problem` there is no canary.
    """

    def __init__(self, connect: Callable[[], KazooClient], acl: list[Any]) -> None:
        self._connect, self._acl = connect, acl
        self._client: KazooClient | None = None
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._longest = 0.0
        self._total = 0.0
        self._since: float | None = None
        self._pauses: list[tuple[float, float]] = []  # (lasted, began), a heap: the longest are kept
        self.writes = 0
        self._thread = threading.Thread(target=self._sing, daemon=True, name="zkprov-canary")

    def start(self) -> None:
        self._thread.start()

    def _sing(self) -> None:
        with contextlib.suppress(Problem):
            self._client = self._connect()
            self._write_on(self._client)

    def _write_on(self, client: KazooClient) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            with self._guard:
                self._since = self._since or began
            with contextlib.suppress(Exception):
                self._write(client)
                with self._guard:
                    since = self._since or began
                    took = time.monotonic() - since
                    self._since = None
                    self._note(took, since)
                    self._longest, self._total = max(self._longest, took), max(self._total, took)
                    self.writes += 1
            self._stop.wait(EVERY_S)

    def _write(self, client: KazooClient) -> None:
        from kazoo.exceptions import NodeExistsError, NoNodeError

        try:
            client.set_async(PATH, b"").get(timeout=5)
        except NoNodeError:
            with contextlib.suppress(NodeExistsError):
                client.create_async(PATH, b"", self._acl).get(timeout=5)

    def _note(self, took: float, since: float) -> None:
        heapq.heappush(self._pauses, (took, since))
        if len(self._pauses) > MOST:
            heapq.heappop(self._pauses)

    def take_pauses(self) -> tuple[Pause, ...]:
        """Those worth telling since this was last asked, in order; one that still lasts as far as it got, and once more when it is over."""
        with self._guard:
            if self._since is not None:
                self._note(time.monotonic() - self._since, self._since)
            found, self._pauses = self._pauses, []
        longest = max(found, default=None)
        return tuple(sorted(Pause(since, took) for took, since in found if took >= PAUSE_S or (took, since) == longest))

    def take_longest(self) -> float:
        """The longest pause in seconds since this was last asked, one that still lasts included."""
        with self._guard:
            lasting = 0.0 if self._since is None else time.monotonic() - self._since
            longest, self._longest = max(self._longest, lasting), 0.0
            self._total = max(self._total, longest)
            return longest

    @property
    def total(self) -> float:
        """The longest pause of the whole run, in seconds."""
        return self._total

    def stop(self) -> None:
        self._stop.set()
        # a write that hangs ends with its client
        self._thread.join(0.3)
        if self._client is not None:
            close(self._client)
