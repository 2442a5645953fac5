"""Members of a real ensemble are restarted one after another, under load, the leader last and handed over; with other files, or refused."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.driver import (
    Load,
    Sampler,
    Touched,
    Zkprov,
    edited_inventory,
    epoch,
    events_in,
    live_config,
    mode,
    version_of,
    wait_for,
    word,
)
from tests.real.test_remove_node import leader_of
from zkprov.act.local import LocalHost
from zkprov.lab.lab import Lab
from zkprov.lab.outage import kill
from zkprov.model.inventory import InventoryHost

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("restart")]
QUICK = ("--yes", "--samples", "2", "--sample-interval", "0.1", "--step-timeout", "20")


def pids(lab: Lab) -> dict[str, int]:
    return {h.name: p.pid for h in lab.hosts for p in LocalHost(h).processes()}


def turns(events: Path) -> list[str]:
    return [e["evidence"]["step"] for e in events_in(events) if e["kind"] == "step.done"]


def voters(hosts: list[InventoryHost]) -> list[str]:
    return re.findall(r"^server\.(\d+)=\S+:participant", live_config(*hosts), re.MULTILINE)


@pytest.mark.matrix(keep=1, of="releases that are restarted", among="changes under load")
@pytest.mark.parametrize("release", ["3.9.5", "3.8.6", "3.7.2", "3.6.4"])
def test_all_of_them_under_load(make_lab: Any, tmp_path: Path, release: str) -> None:
    lab = make_lab(3, release=release)
    zkprov, hosts = Zkprov(lab, tmp_path / "runs"), list(lab.founders)
    leader, before, was = leader_of(hosts), pids(lab), epoch(hosts[0])
    with Load(hosts, per_s=50) as load, Sampler(lab) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        zkprov("restart", *QUICK, "--events", str(tmp_path / "e.jsonl")).expect(0, f"hand over and restart {leader.id}")
        wait_for(lambda: all(mode(h) for h in hosts))
    assert turns(tmp_path / "e.jsonl")[-1] == f"restart {leader.id}" and len(turns(tmp_path / "e.jsonl")) == 3
    now = pids(lab)
    assert now.keys() == before.keys() and not set(now.values()) & set(before.values()), "each runs anew"
    # a leader more by the hand-over, and no election besides: nobody was ever without a leader to elect
    assert [epoch(h) for h in hosts] == [was + 1] * 3
    assert mode(leader) == "follower" and sorted(voters(hosts)) == ["1", "2", "3"]
    assert all(len(names) <= 1 for names in sampler.leaders[-3:])
    assert not any(load.missing(h) for h in hosts)
    zkprov("check").expect(0)
    zkprov("resume").expect(0, "nothing to resume")


@pytest.fixture(scope="module")
def three(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkprov]:
    home = tmp_path_factory.mktemp("restart")
    lab = Lab.create("three", 3, home=home)
    try:
        lab.up()
        yield Zkprov(lab, home / "runs")
    finally:
        lab.down()


def settings(lab: Lab, **more: str) -> dict[str, str]:
    return {**lab.host(1).settings, **more}


def test_other_files_are_laid_and_those_that_do_not_start_are_taken_back(three: Zkprov, tmp_path: Path) -> None:
    lab, hosts = three.lab, list(three.lab.founders)
    three("restart", "--config", *QUICK).expect(0, "nothing to do")
    mine = edited_inventory(
        lab, tmp_path / "mine.yml", everywhere={"zkprov_settings": settings(lab, maxClientCnxns="77")}
    )
    other, version = three.with_inventory(mine), version_of(live_config(*hosts))
    other("plan", "restart", "--config", "--detailed-exitcode").expect(10, "with another zoo.cfg", "hand over")
    other("restart", "--config", *QUICK, "--events", str(tmp_path / "e.jsonl")).expect(0)
    assert all("maxClientCnxns=77" in word(h, "conf") for h in hosts)
    assert len(turns(tmp_path / "e.jsonl")) == 3 and version_of(live_config(*hosts)) != version, "handed over"
    other("restart", "--config", *QUICK).expect(0, "nothing to do")
    other("check").expect(0)
    # one that ZooKeeper does not start with: the first is taken back, and nobody else is touched
    before, texts = pids(lab), [(Path(h.config_dir) / "zoo.cfg").read_text() for h in hosts]
    bad = settings(lab, maxClientCnxns="77", snapCount="2000", maxSessionTimeout="1")
    broken = three.with_inventory(edited_inventory(lab, tmp_path / "bad.yml", everywhere={"zkprov_settings": bad}))
    done = broken("restart", "--config", *QUICK, "--no-handover").expect(
        4, "undone", "has its former files and serves again"
    )
    first = re.search(r"Stopped at step 1 \(restart (\d)", done.said)
    assert first, done.said
    now = pids(lab)
    assert {n for n in now if now[n] != before[n]} == {f"zk{first[1]}"}
    assert [(Path(h.config_dir) / "zoo.cfg").read_text() for h in hosts] == texts
    other("check").expect(0)
    # the second alone: what was done stands, and the run is there to be given up, for its inventory is wrong
    follower = [h for h in hosts if mode(h) == "follower"][1]
    one = edited_inventory(
        lab,
        tmp_path / "one.yml",
        follower.name,
        everywhere={"zkprov_settings": settings(lab, maxClientCnxns="78")},
        zkprov_settings=bad,
    )
    half = three.with_inventory(one)
    said = half("restart", "--config", *QUICK).expect(7, "restarted: ", "not yet: ", "zkprov resume", "zkprov abort")
    assert f"{follower.id} has its former files and serves again" in said.said
    half("check").expect(0)
    half("resume").expect(7, "has its former files")
    half("abort").expect(0, "Aborted run")
    assert "maxClientCnxns=77" in word(follower, "conf")
    assert sorted(voters(hosts)) == ["1", "2", "3"]
    half("check").expect(0)
    half("resume").expect(0, "nothing to resume")


def test_what_is_refused(three: Zkprov, tmp_path: Path) -> None:
    lab, hosts = three.lab, list(three.lab.founders)
    touched, before = Touched(lab, "zk1"), pids(lab)
    for arguments, code, words in (
        (("--only", "zk99"), 2, ("no server 'zk99'",)),
        (("--only", "zk9"), 2, ("zk9 is no member",)),
        (("--only", "zk1,zk1"), 2, ("the same server twice",)),
        (("--only", ","), 2, ("names no server",)),
        (("--only", "$(reboot)"), 2, ("no server",)),
        (("--override", "R2", "--reason", "x"), 2, ("cannot be overridden",)),
        (("--override", "R4"), 2, ("needs a reason",)),
        (("--reboot",), 2, ("zk1: this host is the machine on which zkprov runs", "as a lab's hosts are")),
        (("--reboot-timeout", "5m"), 2, ("says nothing without --reboot",)),
    ):
        three("restart", *arguments, *QUICK).expect(code, *words)
    three("restart", "--samples", "2").expect(2, "--yes")
    follower = next(h for h in hosts if mode(h) == "follower")
    others = [h for h in hosts if h != follower]
    [process] = LocalHost(follower).processes()
    os.kill(process.pid, signal.SIGSTOP)
    try:
        three("restart", "--only", others[0].name, *QUICK, "--step-timeout", "3").expect(4, "members answer")
    finally:
        os.kill(process.pid, signal.SIGCONT)
    wait_for(lambda: three("check").code == 0, what="a healthy ensemble")
    touched.nothing()
    assert pids(lab) == before


def test_one_that_is_down_is_started_first(three: Zkprov, tmp_path: Path) -> None:
    lab, hosts = three.lab, list(three.lab.founders)
    follower = next(h for h in hosts if mode(h) == "follower")
    kill(lab, follower.id or 0)
    three("restart", "--no-handover", *QUICK, "--events", str(tmp_path / "e.jsonl")).expect(
        0, f"{follower.name} served nobody", "leadership is not handed over (--no-handover)"
    )
    assert turns(tmp_path / "e.jsonl")[0] == f"restart {follower.id}"
    assert all(mode(h) for h in hosts)
    three("check").expect(0)
    kill(lab, follower.id or 0)
    three("restart", "--only", str(follower.id), *QUICK).expect(0)
    three("check").expect(0)


def test_a_saved_plan_is_carried_out_once(three: Zkprov, tmp_path: Path) -> None:
    """Whether members were restarted for it no server tells: the ledger does, as long as no other run came after."""
    lab, hosts, file = three.lab, list(three.lab.founders), str(tmp_path / "plan.json")
    follower = next(h for h in hosts if mode(h) == "follower")
    samples = QUICK[1:]
    three("plan", "restart", "--only", follower.name, *samples, "--out", file, "--detailed-exitcode").expect(10)
    before = pids(lab)
    three("apply", file, "--yes").expect(0, "done")
    now = pids(lab)
    assert {n for n in now if now[n] != before[n]} == {follower.name}
    three("apply", file, "--yes").expect(0, "nothing to do")
    assert pids(lab) == now


def test_without_the_right_to_change_the_list(three: Zkprov, tmp_path: Path) -> None:
    """The ledger is the super user's: nothing can be recorded, so nothing is begun. In a fresh ensemble it is anybody's."""
    lab = three.lab
    nobody = three.with_inventory(edited_inventory(lab, tmp_path / "i.yml", everywhere={"zkprov_auth_file": None}))
    nobody("plan", "restart").expect(0, "leadership is not handed over (no right to reconfig")
    before = pids(lab)
    nobody("restart", *QUICK).expect(4, "NoAuth")
    assert pids(lab) == before


@pytest.mark.matrix(keep=1, of="small ensembles that are restarted")
@pytest.mark.parametrize("kind", ["static", "two", "fresh, without the right"])
def test_a_list_that_stays_as_it_is(make_lab: Any, tmp_path: Path, kind: str) -> None:
    lab = make_lab(2 if kind == "two" else 3, static=kind == "static")
    hosts, before = list(lab.founders), pids(lab)
    zkprov = Zkprov(lab, tmp_path / "runs")
    config = live_config(*hosts)
    more: tuple[str, ...] = ()
    if kind == "two":
        zkprov("restart", *QUICK).expect(3, "Refused by R4", "--override R4")
        more = ("--override", "R4", "--reason", "kernel")
    if kind.startswith("fresh"):
        path = edited_inventory(lab, tmp_path / "i.yml", everywhere={"zkprov_auth_file": None})
        zkprov = zkprov.with_inventory(path)
    zkprov("restart", *QUICK, *more).expect(0, "leadership is not handed over", "the list stays as it is")
    wait_for(lambda: all(mode(h) for h in hosts))
    assert not set(pids(lab).values()) & set(before.values())
    assert live_config(*hosts) == config
