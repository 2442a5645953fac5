"""A member whose disk is new comes back as itself, under load: absent until it is in sync, and a newcomer from then on."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.real.driver import Load, Sampler, Zkprov, epoch, lists_on_disk, mode, wait_for
from tests.real.test_remove_node import leader_of, ledger, members
from zkprov.act.local import LocalHost
from zkprov.act.processes import await_end, end
from zkprov.model.inventory import InventoryHost
from zkprov.model.marks import DISK

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("new disk")]
QUICK = ("--yes", "--settle", "0", "--samples", "1", "--season", "20s", "--reason", "a lab", "--no-backup")


def killed(host: InventoryHost) -> None:
    found = LocalHost(host).processes()
    end(found, 0)
    assert not await_end(found, 10)


def wiped(host: InventoryHost, *, data_alone: bool = False) -> None:
    """Killed, and its disk replaced by an empty one."""
    killed(host)
    config = [] if data_alone else [host.config_dir, f"{host.config_dir}.zkprov"]
    for folder in (host.data_dir, host.data_log_dir, *config):
        shutil.rmtree(folder, ignore_errors=True)


def newcomers(zkprov: Zkprov) -> list[int]:
    return [int(i) for i in zkprov("status", "--output", "json").json["ensemble"]["newcomers"]]


@pytest.mark.matrix(keep=1, of="new disks under load", among="changes under load")
def test_it_comes_back_under_load(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(3)
    zkprov, hosts, plan = Zkprov(lab, tmp_path / "runs"), list(lab.founders), str(tmp_path / "plan.json")
    leader = leader_of(hosts)
    first, second = [h for h in hosts if h != leader]
    # the ledger is there, and knows its former disk
    zkprov("restart", "--only", first.name, "--yes", "--settle", "0", "--samples", "1").expect(0)
    disk, was = ledger(leader, f"members/{first.id}")["disk"], epoch(leader)
    with Load(hosts, per_s=50) as load, Sampler(lab) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        wiped(first)
        zkprov("restart", "--only", first.name, "--yes").expect(3, f"replace-node {first.name} --same-host")
        zkprov("plan", "replace", first.name, "--same-host", *QUICK[1:], "--out", plan).expect(0, "counts as absent")
        zkprov("apply", plan, "--yes").expect(0, "serves again after", "a newcomer")
        wait_for(lambda: mode(first) == "follower")
    assert not load.missing(first) and members(first) == {1, 2, 3}
    assert all(len(names) <= 1 for names in sampler.leaders) and epoch(leader) == was, "an election"
    now = ledger(leader, f"members/{first.id}")["disk"]
    assert now not in ("", disk) and now == (Path(first.data_dir) / DISK).read_text().strip()
    assert newcomers(zkprov) == [first.id]
    assert len({lists_on_disk(h) for h in hosts}) == 1
    zkprov("apply", plan, "--yes").expect(0, "nothing to do")
    # a second one would make newcomers a quorum, until the first is seasoned
    wiped(second, data_alone=True)
    zkprov("replace-node", second.name, "--same-host", *QUICK, "--season", "60s").expect(3, "Refused by R2")
    wait_for(lambda: zkprov("plan", "replace", second.name, "--same-host", *QUICK[1:]).code == 0, 60, "its season")
    zkprov("replace-node", second.name, "--same-host", *QUICK).expect(0, "a newcomer")
    assert not load.missing(second)
    zkprov("check").expect(0)
    zkprov("prove").expect(0)


@pytest.mark.matrix(keep=1, of="new disks that meet something", among="long changes")
def test_killed_and_taken_up_or_given_up(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(3)
    zkprov, hosts = Zkprov(lab, tmp_path / "runs"), list(lab.founders)
    leader = leader_of(hosts)
    host = next(h for h in hosts if h != leader)
    wiped(host)

    def cut_off() -> None:
        running = zkprov.start("replace-node", host.name, "--same-host", *QUICK)
        try:
            wait_for((Path(host.config_dir) / "zoo.cfg").exists)
        finally:
            running.signal(signal.SIGKILL)
            running.wait()

    cut_off()
    zkprov("abort").expect(0, "what was laid is at")
    assert mode(host) != "follower" and not Path(host.data_dir).exists()
    cut_off()
    zkprov("resume").expect(0, "done: {1,2,3}")
    assert mode(host) == "follower"
    zkprov("check").expect(0)
    assert not (Path(f"{host.config_dir}.zkprov") / "run").exists(), "a fence is left"
    # what has data is no new disk, also where it came after the plan
    plan = str(tmp_path / "plan.json")
    kept = tmp_path / "kept"
    LocalHost(host).stop(5)
    zkprov("replace-node", host.name, "--same-host", *QUICK).expect(3, "data lies there: it is no new disk", "restart")
    shutil.move(host.data_dir, kept)
    shutil.move(host.data_log_dir, f"{kept}.log")
    zkprov("plan", "replace", host.name, "--same-host", *QUICK[1:], "--out", plan).expect(0)
    shutil.move(kept, host.data_dir)
    shutil.move(f"{kept}.log", host.data_log_dir)
    zkprov("apply", plan, "--yes").expect(4, "data lies there")
    zkprov("restart", "--only", host.name, "--yes", "--settle", "0").expect(0)
    zkprov("check").expect(0)
