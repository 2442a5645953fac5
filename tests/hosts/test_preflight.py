"""What is seen before a server is laid: a way that is shut for one member only, clocks, names; and nothing is touched.

The names mean something among these machines alone, so everything goes through SSH."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.hosts.operator import QUICK, Operator

pytestmark = pytest.mark.real
LIST = "cat /etc/zookeeper/zoo.cfg /etc/zookeeper/zoo.cfg.dynamic*"


@pytest.mark.timeout(400)
def test_a_joiner_that_is_not_ready_is_refused_and_nothing_is_touched(operator: Callable[[int], Operator]) -> None:
    made = operator(2)
    named = {"host_vars": {m.name: {"zkprov_address": m.name} for m in made.machines}, "zkprov_tunnel": True}
    zkprov = made.of(1, **named)
    zkprov("bootstrap", *QUICK, timeout_s=200).expect(0)
    first, second = made.machines["zk1"], made.machines["zk2"]
    config = first.shell(LIST)
    assert "server.1=zk1:2888:3888" in config
    zkprov = made.of(2, **named)

    second.partition(first)
    zkprov("plan", "add", "zk2").expect(4, "not ready for each other", "zk2: does not reach", "no answer")
    second.heal()
    with second.clock(600.0):
        zkprov("plan", "add", "zk2").expect(4, "clock is", "s ahead of zk1's")
    with first.broken_dns("zk2"):
        told = f"zk2: means different addresses (zk2: {second.address}, zk1: 192.0.2.1)"
        zkprov("plan", "add", "zk2").expect(4, told)
    with first.broken_dns("zk2", None):
        zkprov("plan", "add", "zk2").expect(4, "zk1: zk2 does not resolve there")
    zkprov("plan", "add", "zk2").expect(0, "promote 2")
    assert first.shell(LIST) == config
    assert "zookeeper" not in second.shell("ls /etc /opt /var/lib")
