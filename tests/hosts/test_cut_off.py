"""An add on real machines that is cut off at some instant of its longest step: resumed or undone, in the planned or the former state."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from random import Random

import pytest

from tests.hosts.operator import QUICK, Operator
from tests.real.driver import Running, events_in, live_config, some_instant, wait_for

pytestmark = pytest.mark.real


def reached(running: Running, made: Operator, rng: Random) -> None:
    """Some instant of installing, configuring or starting: each is a play of two seconds or more."""
    events = made.folder / "events.jsonl"
    wait_for(lambda: any(e["kind"] == "act" for e in events_in(events)) or running.process.poll() is not None, 60)
    some_instant(running, rng, 10)


@pytest.mark.timeout(400)
@pytest.mark.matrix(keep=1, of="faults on hosts", among="stories on hosts")
@pytest.mark.parametrize("how", ["killed", "terminated", "power cut of the joiner"])
def test_cut_off_while_a_host_is_laid(operator: Callable[[int], Operator], how: str, rng: Random) -> None:
    made = operator(2)
    zkprov = made.of(1)
    zkprov("bootstrap", *QUICK, timeout_s=200).expect(0)
    former = live_config(made.host(1))
    zkprov = made.of(2)
    running = zkprov.start("add-node", "zk2", *QUICK, "--events", str(made.folder / "events.jsonl"))
    reached(running, made, rng)
    joiner = made.machines["zk2"]
    if how == "power cut of the joiner":
        joiner.power_cut()
        done = running.wait(150)
        joiner.power_on()
        assert done.code in (0, 4, 7), done
    elif how == "terminated":
        running.signal(signal.SIGTERM)
        began = time.monotonic()
        done = running.wait(30)
        assert done.code in (0, 7) and time.monotonic() - began < 5.5, done
    else:
        running.process.kill()
        running.process.wait()
    for _ in range(2):
        # a host that lost its power in the middle may have to be undone first
        again = zkprov("resume", timeout_s=200)
        if again.code == 0:
            break
    assert again.code == 0, again
    now = live_config(made.host(1))
    voters = [line.partition("=")[0] for line in now.splitlines() if ":participant;" in line]
    if "nothing to resume" in again.said and voters == ["server.1"]:
        assert now.splitlines()[:-1] == former.splitlines()[:-1]
        assert joiner.shell("systemctl is-active zookeeper || true").strip() != "active"
        zkprov("add-node", "zk2", *QUICK, timeout_s=200).expect(0)
    else:
        assert voters == ["server.1", "server.2"]
    zkprov("check").expect(0)
