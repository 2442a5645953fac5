"""Each known way to a second ensemble, seen by name, healed to one ensemble, and nothing that was acknowledged lost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.incidents import outcomes
from tests.incidents.conftest import Broken
from tests.incidents.ways_out import (
    QUICK,
    history_of,
    is_named,
    nothing_is_lost,
    of,
    on_no_disk,
    one_ensemble,
    salvaged,
    to_keep,
)
from tests.real.driver import Zkprov, wait_for
from zkprov.lab.incident import Incident
from zkprov.lab.lab import Lab
from zkprov.lab.shapes.registry import SHAPES
from zkprov.lab.writers import acknowledged, stop_writers
from zkprov.run.dead_letters import DeadLetters

pytestmark = pytest.mark.real

NAMED = {
    "outage": "second-leader",
    "static-3-5": "second-leader",
    "blind-joiners": "second-leader",
    "paused-seed": "second-leader",
    "pair": "pair",
    "lonely": "lonely",
    "promoted-rogue": "promoted-rogue",
    "wiped-two": "wiped",
    "wiped-and-stale": "wiped",
    "restored-founders": "restored-founders",
    "merged": "merged",
    "epoch-loop": "epoch-loop",
    "captured": "captured",
}


OTHER_KEPT = ("merged", "captured")
"""Shapes of which somebody may keep the second ensemble: what servers had before they went over to it lies on the kept side then."""


@pytest.mark.matrix(keep=2, of="ways out")
@pytest.mark.parametrize("name", NAMED)
def test_seen_healed_and_nothing_lost(broken: Broken, tmp_path: Path, name: str) -> None:
    lab, incident = broken(name)
    zkprov = Zkprov(lab, tmp_path / "runs")
    began = time.monotonic()
    seen_by_name(zkprov, NAMED[name])
    seen_s = time.monotonic() - began
    if NAMED[name] == "second-leader":
        zkprov("recover", "--yes").expect(
            3, "Refused by R1", "the ensemble is unsafe: second-leader", "zkprov heal --plan"
        )
    row = led_out(lab, incident, zkprov, tmp_path, to_keep(lab, incident))
    outcomes.keep(shape=name, named=NAMED[name], seen_s=seen_s, **row)


@pytest.mark.matrix(keep=2, of="ways out")
@pytest.mark.parametrize("name", OTHER_KEPT)
def test_nothing_is_lost_when_the_other_side_is_kept(broken: Broken, tmp_path: Path, name: str) -> None:
    lab, incident = broken(name)
    zkprov = Zkprov(lab, tmp_path / "runs")
    seen_by_name(zkprov, NAMED[name])
    led_out(lab, incident, zkprov, tmp_path, "zk4")
    if name == "captured":
        what_only_a_kept_server_has_left(lab, zkprov, tmp_path)


def led_out(lab: Lab, incident: Incident, zkprov: Zkprov, home: Path, keep: str) -> dict[str, Any]:
    """Healed, and every acknowledged write is on the kept side, in a file of dead letters, or named as cut off. For the table."""
    shown = zkprov("plan", "heal", "--keep", keep, *QUICK, "--output", "json").expect(0).json["plan"]
    gone = on_no_disk(lab)
    healed = zkprov("heal", "--keep", keep, "--yes", *QUICK, timeout_s=240).expect(0, "done:")
    stop_writers(lab.folder)
    members = [lab.host(s["id"]) for s in shown["base"]["servers"]]
    one_ensemble(lab, zkprov, members)
    zkprov("heal", "--yes").expect(0, "nothing to heal")
    files = salvaged(zkprov, healed.out, home)
    assert len(files) == len(shown["split"]["sides"]) - 1
    there, letters, rest = nothing_is_lost(lab, members, files, gone)
    assert all(is_named(lost, incident, lab, files) for lost in rest), "what lies on no disk is named"
    assert there and (letters or len(incident.writers) == 1)
    return {"healed_s": healed.took_s, "there": there, "letters": letters, "gone": len(rest)}


def what_only_a_kept_server_has_left(lab: Lab, zkprov: Zkprov, home: Path) -> None:
    """As if the losing side's one disk were broken: the copy of a server that went over has what it had acknowledged before."""
    (copy,) = (Path(lab.host(1).data_dir).parent / "data.backups").glob("2*")
    file = home / "of-one-that-went-over"
    zkprov("salvage", str(copy), "-o", str(file)).expect(0, "took over the tree of another history")
    logged = history_of([str(copy)])
    before = [x for x in acknowledged(lab.folder) if x.writer == "old" and x.kind == "create" and x.zxid >> 32 == 1]
    old = [x for x in before if of(x) in logged]
    with DeadLetters(file) as letters:
        found = {(x.zxid, x.path, x.data) for x, _ in letters.letters()}
    assert old and not [
        x for x in old if of(x) not in found and "/both-" not in x.path and x.path.startswith("/lab/writes/")
    ]


def seen_by_name(zkprov: Zkprov, shape: str) -> None:
    """By one command; of data that differ once both have noted a digest at one zxid: each that 128 divides (`DataTree.logZxidDigest`)."""

    def seen() -> list[str]:
        document = zkprov("status", "--output", "json").json
        return [found["shape"] for found in document["incidents"]]

    if shape == "merged":
        wait_for(lambda: shape in seen(), 60, "a digest")
    else:
        assert shape in seen()


def test_every_shape_has_its_name() -> None:
    without = {"full-disk-leader", "unresolvable-name", "pending-promotion"}  # nobody to fence: test_no_other_side.py
    assert set(NAMED) | without == set(SHAPES)
