"""A heal that was given up with servers fenced already: what lies on their disks is named by the next one, and nothing is lost."""

from __future__ import annotations

import re
import shlex
import signal
from pathlib import Path

import pytest

from tests.incidents.conftest import Broken
from tests.incidents.ways_out import QUICK, nothing_is_lost, one_ensemble, salvaged
from tests.real.driver import Done, Zkprov, events_in, mode, wait_for
from zkprov.lab.lab import Lab
from zkprov.lab.writers import stop_writers
from zkprov.model.inventory import InventoryHost
from zkprov.plan.steps import StepKind

pytestmark = pytest.mark.real


def given_up(zkprov: Zkprov, keep: str, kind: StepKind, nth: int, home: Path) -> Done:
    """A heal that is killed as soon as its `nth` step of this kind has begun; what `abort` says then."""
    shown = zkprov("plan", "heal", "--keep", keep, *QUICK, "--output", "json").expect(0).json["plan"]
    number = [s["number"] for s in shown["steps"] if s["kind"] == kind][nth - 1]
    events = home / f"{len(list(home.glob('*.jsonl')))}.jsonl"
    running = zkprov.start("heal", "--keep", keep, "--yes", *QUICK, "--events", str(events))
    try:
        wait_for(lambda: any(e["kind"] == "step.begun" and e["step"] == number for e in events_in(events)), 60)
    finally:
        running.signal(signal.SIGKILL)
        running.wait()
    return zkprov("abort").expect(4, "Aborted", "fenced: zk", "set aside: zk", "zkprov heal")


def set_aside(lab: Lab) -> dict[str, str]:
    """Server → where its data lies now, of those that were fenced; found without asking zkprov."""
    found = {h.name: list(Path(h.data_dir).parent.glob(f"{Path(h.data_dir).name}.heal-*")) for h in lab.hosts}
    assert all(len(places) < 2 for places in found.values()), found
    return {name: str(places[0]) for name, places in found.items() if places}


def named_in(told: Done) -> set[str]:
    """The data folders that the `salvage` commands of an output are to read."""
    words = [w for line in re.findall(r"zkprov (salvage .*)", told.out) for w in shlex.split(line)]
    return {w.partition(":")[0] for w in words if ".heal-" in w}


@pytest.mark.matrix(keep=1, of="rarer ways out")
def test_the_next_heal_names_what_the_one_before_had_fenced(broken: Broken, tmp_path: Path) -> None:
    lab, _ = broken("outage")
    zkprov, keep = Zkprov(lab, tmp_path / "runs"), lab.founders[0].name
    given_up(zkprov, keep, StepKind.FENCE, 2, tmp_path)
    first = set_aside(lab)
    assert 1 <= len(first) <= 2, "it was killed as the second one was about to be fenced"
    second = given_up(zkprov, keep, StepKind.FENCE, 2, tmp_path)
    both = set_aside(lab)
    assert len(first) < len(both) < 4 and not set(first.values()) & named_in(second)
    healed = zkprov("heal", "--keep", keep, "--yes", *QUICK, timeout_s=240).expect(0, "done:", "which was given up")
    stop_writers(lab.folder)
    every = set_aside(lab)
    assert sorted(every) == ["zk4", "zk5", "zk6", "zk7"] and named_in(healed) == set(every.values())
    assert len(re.findall("zkprov salvage", healed.out)) == 1, (
        "they are of one side, and a letter is on so many of its disks"
    )
    salvaged_and_whole(lab, zkprov, healed, tmp_path)


@pytest.mark.matrix(keep=1, of="rarer ways out")
def test_all_of_a_side_was_fenced_and_nothing_is_left_to_heal(broken: Broken, tmp_path: Path) -> None:
    """No heal comes to an end any more whose last words they could be: `nothing to heal` has them, until they are salvaged."""
    lab, _ = broken("outage")
    zkprov, keep = Zkprov(lab, tmp_path / "runs"), lab.founders[0].name
    told = given_up(zkprov, keep, StepKind.ALONE, 1, tmp_path)
    stop_writers(lab.folder)
    every = set_aside(lab)
    assert sorted(every) == ["zk4", "zk5", "zk6", "zk7"] and all(f"set aside: {n}:" in told.said for n in every)
    nothing = zkprov("heal", "--yes").expect(0, "nothing to heal", "which was given up")
    assert named_in(nothing) == set(every.values())
    said = zkprov("heal", "--yes", "--output", "json").expect(0).json["result"]
    assert len(said["evidence"]) == 4 and any(command in nothing.out for command in said["next"])
    salvaged_and_whole(lab, zkprov, nothing, tmp_path)


def salvaged_and_whole(lab: Lab, zkprov: Zkprov, told: Done, home: Path) -> None:
    """What was acknowledged on any side is on the kept one or in the dead letters; then nobody is told of those disks any more."""
    members: list[InventoryHost] = list(lab.founders)
    assert all(mode(h) for h in members)
    one_ensemble(lab, zkprov, members)
    files = salvaged(zkprov, told.out, home)
    there, letters, gone = nothing_is_lost(lab, members, files, [])
    assert there and letters and not gone
    again = zkprov("heal", "--yes").expect(0, "nothing to heal")
    assert not named_in(again) and "set aside" not in again.said
