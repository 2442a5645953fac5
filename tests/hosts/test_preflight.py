"""What is seen before a server is laid: a way that is shut for one member only, clocks; and nothing is touched.

Names that mean different things are seen in tests/unit: these machines' names mean nothing on the one that runs the test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.hosts.operator import QUICK, Operator
from tests.real.driver import live_config

pytestmark = pytest.mark.real


@pytest.mark.timeout(400)
def test_a_joiner_that_is_not_ready_is_refused_and_nothing_is_touched(operator: Callable[[int], Operator]) -> None:
    made = operator(2)
    zkprov = made.of(1)
    zkprov("bootstrap", *QUICK, timeout_s=200).expect(0)
    config = live_config(made.host(1))
    first, second = made.machines["zk1"], made.machines["zk2"]
    zkprov = made.of(2)

    second.partition(first)
    zkprov("plan", "add", "zk2").expect(4, "not ready for each other", "zk2: does not reach", "no answer")
    second.heal()
    with second.clock(600.0):
        zkprov("plan", "add", "zk2").expect(4, "clock is", "s ahead of zk1's")
    zkprov("plan", "add", "zk2").expect(0, "promote 2")
    assert live_config(made.host(1)) == config
    assert "zookeeper" not in second.shell("ls /etc /opt /var/lib")
