"""A low-rate client that writes under the ledger while a run goes on, and tells the longest pause that a client would have seen."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zkprov.act.session import close
from zkprov.model.problems import Problem

if TYPE_CHECKING:
    from kazoo.client import KazooClient

EVERY_S = 0.1
PATH = "/zkprov/canary"


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
                    took = time.monotonic() - (self._since or began)
                    self._since = None
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
