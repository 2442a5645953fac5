"""From one voter to two both must be there at once: the joiner dies as it is promoted, and comes in all the same, with nothing lost."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.driver import Zkprov, client, events_in, mode, wait_for
from zkprov.act.local import LocalHost
from zkprov.lab.lab import Lab
from zkprov.model.inventory import InventoryHost

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
SAMPLES = ("--samples", "1", "--sample-interval", "0.1", "--step-timeout", "8")
QUICK = ("--yes", "--settle", "0", *SAMPLES)


def list_file(host: InventoryHost) -> Path:
    """The one that `zoo.cfg` names."""
    (line,) = re.findall(r"(?m)^dynamicConfigFile=(.*)$", Path(host.config_dir, "zoo.cfg").read_text())
    return Path(line.replace("\\", ""))


@pytest.fixture
def one(software: None, tmp_path: Path) -> Iterator[Lab]:
    lab = Lab.create("onetwo", 1, home=tmp_path / "lab")
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


def lost(lab: Lab, zkprov: Zkprov, *command: str) -> None:
    """The second is gone in the moment of its promotion, as when its power is cut: its connection stands, and nothing comes over it."""
    events = lab.folder / "events"
    running = zkprov.start(*command, "--events", str(events))
    wait_for(lambda: [e for e in events_in(events) if e["step"] == 2 and e["kind"] == "gates"], what="the gates")
    os.kill(running.process.pid, signal.SIGSTOP)
    (pid,) = (server.pid for server in lab.processes() if lab.host(2).config_dir in str(server))
    os.kill(pid, signal.SIGSTOP)
    running.signal(signal.SIGCONT)
    running.wait(120).expect(7)
    os.kill(pid, signal.SIGKILL)
    zkprov("status").expect(4, "same config", "100000000")


@pytest.mark.matrix(keep=1, of="the longest faults")
@pytest.mark.parametrize("how", ["resumed", "started meanwhile", "by hand"])
def test_the_second_is_lost_as_it_is_promoted(one: Lab, tmp_path: Path, how: str) -> None:
    zkprov, first, second = Zkprov(one, tmp_path / "runs"), one.host(1), one.host(2)
    with client(first, lab=one) as session:
        session.create("/precious", b"data")
    lost(one, zkprov, "add-node", "zk2", *QUICK)
    zkprov("abort").expect(4, "zkprov resume")
    if how == "started meanwhile":
        # as a unit does when its host is back
        LocalHost(second).start()
    if how == "by hand":
        elsewhere = Zkprov(one, tmp_path / "another machine")
        elsewhere("resume").expect(4, "no member of the ensemble could be read")
        by_hand(one)
        zkprov = elsewhere
    told = zkprov("resume").expect(0, "done: {1,2}")
    assert ("zk1 waits for a second vote: zk2 gets its list ({1,2}), start" in told.said) is (how != "by hand")
    zkprov("check").expect(0, "SAFE")
    assert sorted((mode(first), mode(second))) == ["follower", "leader"]
    assert LocalHost(second).fenced_by() is None
    with client(second, lab=one) as session:
        assert session.get("/precious")[0] == b"data"


def by_hand(lab: Lab) -> None:
    """docs/incidents.md, "One server became two": the first's list for the second, and its server started."""
    first, second = list_file(lab.host(1)), list_file(lab.host(2))
    proposed = first.with_name("zoo.cfg.dynamic.next")
    waiting = (proposed if proposed.exists() else first).read_text()
    assert "server.2=" in waiting and "server.2=" not in second.read_text()
    servers = [line for line in waiting.splitlines() if line.startswith("server.")]
    second.write_text("\n".join([*servers, ""]))
    LocalHost(lab.host(2)).start()
    wait_for(lambda: mode(lab.host(1)) == "leader" and mode(lab.host(2)) == "follower", 60, "a quorum of both")


@pytest.mark.matrix(keep=1, of="the longest faults")
def test_a_host_that_is_not_the_runs_any_more_is_left_alone(one: Lab, tmp_path: Path) -> None:
    zkprov, second = Zkprov(one, tmp_path / "runs"), one.host(2)
    lost(one, zkprov, "add-node", "zk2", *QUICK)
    fence = Path(f"{second.config_dir}.zkprov", "run")
    run, before = fence.read_text(), list_file(second).read_text()
    fence.unlink()
    zkprov("resume").expect(4, f"zk2 has no fence of run {run.split()[0]}", "One server became two")
    fence.write_text(f"{run.split()[0]} 9")
    zkprov("resume").expect(7, "was taken over")
    assert list_file(second).read_text() == before and not LocalHost(second).is_active()


@pytest.mark.matrix(keep=1, of="the longest faults")
def test_a_bootstrap_goes_on_by_itself(software: None, tmp_path: Path) -> None:
    lab = Lab.create("foundtwo", 3, home=tmp_path / "lab", spares=0)
    try:
        zkprov = Zkprov(lab, tmp_path / "runs")
        lost(lab, zkprov, "bootstrap", "--yes", *SAMPLES)
        zkprov("bootstrap", "--dry-run").expect(0, "in which the second voter was lost; then go on")
        zkprov("bootstrap", "--yes", *SAMPLES).expect(0, "zk2 gets its list ({1,2})", "done: {1,2,3}")
        zkprov("check").expect(0, "SAFE")
    finally:
        lab.down()
