"""Two of three machines are lost for good; the third founds the ensemble anew, and a lost one that is back elects nobody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.hosts.operator import QUICK, Operator
from tests.real.driver import client, live_config, mode, wait_for

pytestmark = pytest.mark.real


@pytest.mark.timeout(600)
@pytest.mark.matrix(keep=1, of="faults on hosts", among="stories on hosts")
def test_the_last_machine_founds_it_anew(operator: Callable[[int], Operator]) -> None:
    made = operator(3)
    zkprov = made.of(3)
    zkprov("bootstrap", *QUICK, timeout_s=300).expect(0, "done: {1,2,3}")
    with client(*made.hosts()) as session:
        written = [session.create(f"/kept-{n}", b"x" * n) for n in range(10)]
    left = made.host(1)
    for name in ("zk2", "zk3"):
        made.machines[name].power_cut()
    # a leader counts its followers until they have been silent for long enough
    told = wait_for(lambda: (done := zkprov("recover", "--yes", timeout_s=60)).code != 4 and done, 60, "its notice")
    told.expect(3, "Refused by R1", "--dead zk2=WHY --dead zk3=WHY")
    said = ("--dead", "zk2=its disk is scrap", "--dead", "zk3=its disk is scrap")
    zkprov("recover", *QUICK, *said, timeout_s=200).expect(0, "zk1: set aside at", "is founded anew: {1}")
    assert mode(left) == "leader" and "server.2=" not in live_config(left)
    with client(left) as session:
        assert all(session.exists(path) for path in written)
    machine = made.machines["zk1"]
    assert "zookeeper" in machine.shell(f"stat -c %U {left.data_dir}/version-2"), "the server's user has the copy"
    assert machine.shell(f"ls -d {left.data_dir}.recovered-*").strip()

    made.machines["zk2"].power_on()
    wait_for(lambda: made.machines["zk2"].shell("pgrep -f [Q]uorumPeerMain || true").strip(), 60, "its server")
    for _ in range(3):
        zkprov("status", "--timeout", "2").expect(0, "SAFE", "destroyed")
    assert mode(left) == "leader" and mode(made.host(2)) != "leader"
