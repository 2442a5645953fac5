"""A real ensemble is brought to another release, under load; one that does not start with it goes back, and a cut is taken up."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.real.driver import Load, Sampler, Zkprov, edited_inventory, epoch, events_in, mode, wait_for, word
from tests.real.test_remove_node import leader_of
from tests.real.test_restart import pids
from zkprov.lab.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("upgrade")]
QUICK = ("--yes", "--samples", "2", "--sample-interval", "0.1", "--step-timeout", "30", "--soak", "1s")


def releases(lab: Lab) -> list[str]:
    """What each founder says that it runs."""
    return [word(h).partition("version: ")[2].partition("-")[0] for h in lab.founders]


def with_a_broken(lab: Lab, path: Path, release: str, host: str, *, there: bool = True) -> Path:
    """The inventory, in which `release` on `host` has no server in it, or does not lie there at all."""
    known = yaml.safe_load(lab.inventory_path.read_text())["all"]["children"][lab.name]["vars"]["zkprov_releases"]
    jar = path.with_suffix(".jar")
    if there:
        jar.write_bytes(b"")
    return edited_inventory(
        lab, path, host, zkprov_releases={**known, release: {**known[release], "classpath": str(jar)}}
    )


@pytest.mark.matrix(keep=1, of="releases that are left", among="changes under load")
@pytest.mark.parametrize("old, new", [("3.8.6", "3.9.5"), ("3.7.2", "3.8.6"), ("3.6.4", "3.7.2"), ("3.5.10", "3.6.4")])
def test_all_of_them_under_load(make_lab: Any, tmp_path: Path, old: str, new: str) -> None:
    lab = make_lab(3, release=old, also=[new])
    zkprov, hosts, file = Zkprov(lab, tmp_path / "runs"), list(lab.founders), str(tmp_path / "plan.json")
    leader, was = leader_of(hosts), epoch(hosts[0])
    zkprov("plan", "upgrade", "--to", new, *QUICK[1:], "--out", file, "--detailed-exitcode").expect(
        10, f"lay out {new} on zk", f"hand over and restart {leader.id} with {new}"
    )
    with Load(hosts, per_s=50) as load, Sampler(lab) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        zkprov("apply", file, "--yes", "--events", str(tmp_path / "e.jsonl")).expect(
            0, f"all run {new}", f"set zkprov_release: {new}"
        )
        wait_for(lambda: all(mode(h) for h in hosts))
    assert releases(lab) == [new] * 3
    turns = [e["evidence"]["step"] for e in events_in(tmp_path / "e.jsonl") if e["kind"] == "step.done"]
    first = min(h.id or 0 for h in hosts if h != leader)
    assert turns[:4] == ["backup 1", f"lay-out {new}", f"restart {first}", f"settle {first}"]
    assert turns[-1] == f"restart {leader.id}"
    # a leader more by the hand-over, and no election besides
    assert [epoch(h) for h in hosts] == [was + 1] * 3
    assert all(len(names) <= 1 for names in sampler.leaders)
    assert not any(load.missing(h) for h in hosts)
    zkprov("check").expect(0, new)
    zkprov("backup", "create").expect(0)
    zkprov("backup", "verify").expect(0)
    now = pids(lab)
    zkprov("upgrade", "--to", new, *QUICK).expect(0, "nothing to do")
    zkprov("apply", file, "--yes").expect(0, "nothing to do")
    zkprov("upgrade", "--to", old, *QUICK).expect(3, "older than what runs", f"zkprov plan downgrade --to {old}")
    # started again it is what it was switched to
    zkprov("restart", "--only", "zk1", *QUICK[:-2]).expect(0)
    assert releases(lab) == [new] * 3 and {n for n in now if pids(lab)[n] != now[n]} == {"zk1"}
    # and back, on the data that the newer one has written
    was = epoch(hosts[0])
    with Load(hosts, per_s=50) as load, Sampler(lab) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        zkprov("downgrade", "--to", old, "--reason", "clients that fail", *QUICK).expect(0, f"all run {old}")
        wait_for(lambda: all(mode(h) for h in hosts))
    assert releases(lab) == [old] * 3 and all(len(names) <= 1 for names in sampler.leaders)
    assert [epoch(h) for h in hosts] == [was + 1] * 3
    assert not any(load.missing(h) for h in hosts)


@pytest.mark.matrix(keep=1, of="upgrades that meet something", among="long changes")
def test_what_does_not_start_goes_back_and_what_was_cut_off_is_taken_up(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(3, release="3.8.6", also=["3.9.5"])
    hosts, plan = list(lab.founders), str(tmp_path / "plan.json")
    zkprov = Zkprov(lab, tmp_path / "runs")
    first, second = [h for h in hosts if mode(h) == "follower"]
    before = pids(lab)
    zkprov("plan", "upgrade", "--to", "3.9.5", *QUICK[1:], "--out", plan).expect(0)
    for target, code, said in (
        ("3.9.6", 2, "does not name 3.9.6"),
        ("nine", 2, "not a ZooKeeper release"),
        ("3.9.5-rc1", 2, "not a ZooKeeper release"),
        ("4.0.0", 3, "newer than the releases that this zkprov knows"),
        ("3.8.4", 3, "older than what runs"),
    ):
        zkprov("upgrade", "--to", target, *QUICK).expect(code, said)
    # not there on one host: nobody is stopped
    missing = with_a_broken(lab, tmp_path / "missing.yml", "3.9.5", hosts[1].name, there=False)
    zkprov.with_inventory(missing)("upgrade", "--to", "3.9.5", *QUICK).expect(4, "lay out 3.9.5", "not there:")
    assert pids(lab) == before
    # it does not start: the first one goes back, and nobody else is touched
    broken = with_a_broken(lab, tmp_path / "broken.yml", "3.9.5", first.name)
    zkprov.with_inventory(broken)("upgrade", "--to", "3.9.5", *QUICK).expect(
        4, f"{first.id} is back on 3.8.6 and serves again"
    )
    assert releases(lab) == ["3.8.6"] * 3
    assert {n for n in before if pids(lab)[n] != before[n]} == {first.name}
    # the second alone: the first stays as it is, and while they differ nobody comes in
    half = zkprov.with_inventory(with_a_broken(lab, tmp_path / "half.yml", "3.9.5", second.name))
    half("upgrade", "--to", "3.9.5", *QUICK).expect(
        7, f"{second.id} is back on 3.8.6 and serves again", f"3.9.5: {first.id}", "zkprov resume", "zkprov abort"
    )
    half("plan", "add", "zk4").expect(4, "gate `release` failed")
    # who gives it up has them all back
    half("abort").expect(0, "Aborted run", "went back: done:", "all run 3.8.6")
    assert releases(lab) == ["3.8.6"] * 3
    # killed where the second is stopped and switched; taken up it ends
    events = tmp_path / "e.jsonl"
    running = zkprov.start("upgrade", "--to", "3.9.5", *QUICK, "--events", str(events))
    try:
        wait_for(lambda: any("switch to 3.9.5" in str(e["evidence"].get("what")) for e in events_in(events)))
    finally:
        running.signal(signal.SIGKILL)
        running.wait()
    zkprov("resume").expect(0, "all run 3.9.5")
    assert releases(lab) == ["3.9.5"] * 3
    zkprov("check").expect(0)
    zkprov("apply", plan, "--yes").expect(6, "the plan was made for {1,2,3} of 100000000")
    for target, code, *said in (
        ("3.9.6", 3, "newer than what runs"),
        ("3.6.4", 3, "3.9.5 to 3.6.4 is more than one step back", "zkprov downgrade --to 3.8.6"),
        ("3.4.14", 3, "whether 3.4.14 reads what 3.9.5 has written is not known"),
    ):
        zkprov("downgrade", "--to", target, "--reason", "why not", *QUICK).expect(code, *said)
    zkprov("downgrade", "--to", "3.8.6", *QUICK).expect(2, "needs a reason")
    assert not any((Path(f"{h.config_dir}.zkprov") / "run").exists() for h in hosts), "a fence is left"
