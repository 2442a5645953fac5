"""A machine loses its power for good, and leaves; then it comes back all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.hosts.operator import QUICK, Operator
from tests.real.driver import live_config, mode, wait_for

pytestmark = pytest.mark.real


@pytest.mark.timeout(600)
@pytest.mark.matrix(keep=1, of="faults on hosts", among="stories on hosts")
def test_a_machine_without_power_leaves_and_comes_back(operator: Callable[[int], Operator]) -> None:
    """What it left behind is named until it is attested; back again it elects nobody, and is named still."""
    made = operator(3)
    zkprov = made.of(3)
    zkprov("bootstrap", *QUICK, timeout_s=300).expect(0, "done: {1,2,3}")
    dead = next(n for n in (1, 2, 3) if mode(made.host(n)) == "follower")
    rest = [made.host(n) for n in (1, 2, 3) if n != dead]
    machine = made.machines[f"zk{dead}"]
    machine.power_cut()
    zkprov("status").expect(0, "DEGRADED")
    command = ("remove-node", f"zk{dead}", *QUICK)
    # its leader counts it until it has been silent for long enough: whether it is down cannot be told before
    told = wait_for(lambda: (done := zkprov(*command, timeout_s=300)).code != 4 and done, 60, "the leader's notice")
    told.expect(0, f"R7: {dead} is down", "remembered", f"retired attest {dead}", f"none of zk{dead}: ")
    assert f"server.{dead}=" not in live_config(*rest)
    owed = f"zkprov retired attest {dead}"
    zkprov("status", "--timeout", "1").expect(0, "SAFE", "left behind", owed)

    machine.power_on()
    # its unit starts it, under the list that it died with
    wait_for(lambda: machine.shell("pgrep -f [Q]uorumPeerMain || true").strip(), 60, "its server")
    for _ in range(3):
        zkprov("status").expect(0, "SAFE", owed)
    assert sum(mode(h) == "leader" for h in made.hosts()) == 1
    zkprov("prove").expect(0)
