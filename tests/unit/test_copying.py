"""The copies that a heal makes before it stops anybody: some at a time, whole on all hosts, or the heal ends there."""

from __future__ import annotations

import threading
import time
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from zkprov.model.problems import Interrupted, NotHealthy
from zkprov.run.copying import PLAYS_AT_ONCE, at_once, copy_disks
from zkprov.run.world import World

SAVED = {"size": 1, "zxid": 0, "snapshot": 0}


class Hosts(dict[str, Any]):
    """zk1 … `count`. `meet`: so many copies wait for each other; `failing`: hosts whose copy fails.

    `log`: what began and ended, in order.
    """

    def __init__(self, count: int, *, meet: int = 1, failing: tuple[str, ...] = (), connection: str = "ssh") -> None:
        self.log: list[tuple[str, str]] = []
        self.failing, self.barrier, self.lock = failing, threading.Barrier(meet), threading.Lock()
        self.under_way = self.most = 0
        super().__init__(
            {
                name: SimpleNamespace(
                    name=name,
                    host=SimpleNamespace(connection=connection),
                    backup=partial(self.copy, name),
                )
                for name in (f"zk{i}" for i in range(1, count + 1))
            }
        )

    def copy(self, host: str, act: str, /, **given: Any) -> dict[str, int]:
        assert act == "copy" and given["data"]
        with self.lock:
            self.log.append(("began", host))
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            self.barrier.wait(20)
            if host in self.failing:
                raise NotHealthy("no room", place=host)
        finally:
            with self.lock:
                self.under_way -= 1
                self.log.append(("ended", host))
        return SAVED

    def of(self, what: str) -> list[str]:
        return [host for kind, host in self.log if kind == what]


def copy(hosts: Hosts, most: int, stop: threading.Event | None = None) -> None:
    copy_disks(hosts, "20270115T080000Z-4f1c", "4f1c", most, stop or threading.Event())


def test_four_at_a_time_and_in_order() -> None:
    hosts = Hosts(8, meet=4)
    copy(hosts, 4)
    assert hosts.most == 4 and sorted(hosts.of("ended")) == list(hosts)
    assert set(hosts.of("began")[:4]) == {"zk1", "zk2", "zk3", "zk4"}, "begun in the order of the plan"
    one = Hosts(3)
    copy(one, 1)
    assert one.log == [(what, host) for host in one for what in ("began", "ended")]


def test_one_that_fails_ends_it_and_is_named() -> None:
    hosts = Hosts(8, meet=2, failing=("zk2",))
    with pytest.raises(NotHealthy, match="zk2: no room"):
        copy(hosts, 2)
    assert hosts.of("began")[:2] in (["zk1", "zk2"], ["zk2", "zk1"]) and len(hosts.of("began")) <= 4
    assert sorted(hosts.of("began")) == sorted(hosts.of("ended")), "nobody writes any more when it is told"


def test_of_several_that_fail_the_first_is_told() -> None:
    with pytest.raises(NotHealthy, match="zk2: no room"):
        copy(Hosts(4, meet=4, failing=("zk4", "zk2", "zk3")), 4)


def test_stopped_none_is_begun_any_more() -> None:
    stop, hosts = threading.Event(), Hosts(6)
    hosts.barrier = SimpleNamespace(wait=lambda _: stop.set())  # type: ignore[assignment]
    with pytest.raises(Interrupted, match="stopped by a signal"):
        copy(hosts, 1, stop)
    assert hosts.of("began") == ["zk1"]


def test_what_nobody_foresaw_is_not_taken_for_a_copy() -> None:
    hosts = Hosts(3)
    hosts.barrier = SimpleNamespace(wait=lambda _: 1 / 0)  # type: ignore[assignment]
    with pytest.raises(ZeroDivisionError):
        copy(hosts, 1)
    assert hosts.of("began") == ["zk1"]


def test_the_thread_that_waits_hears_of_signals() -> None:
    """A signal is heard in the main thread alone, which waits for the copies meanwhile."""
    import os
    import signal

    stop, hosts = threading.Event(), Hosts(2)
    hosts.barrier = SimpleNamespace(wait=lambda _: stop.wait(20))  # type: ignore[assignment]
    before = signal.signal(signal.SIGUSR1, lambda *_: stop.set())
    try:
        threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            copy(hosts, 2, stop)
        assert time.monotonic() - began < 10
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_how_many_at_a_time() -> None:
    def of(hosts: Hosts, hooks: tuple[str, ...] = ()) -> int:
        return at_once(cast("World", SimpleNamespace(has_hook=lambda name: name in hooks)), hosts)

    assert of(Hosts(7)) == PLAYS_AT_ONCE == 4 and of(Hosts(2)) == 2
    assert of(Hosts(7, connection="local")) == 7
    assert of(Hosts(7), ("before-backup",)) == of(Hosts(7), ("after-backup",)) == 1
    assert of(Hosts(7), ("before-start",)) == 4
