"""Each known way to a second ensemble, seen by name, healed to one ensemble, and nothing that was acknowledged lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.incidents import outcomes
from tests.incidents.conftest import Broken
from tests.incidents.ways_out import QUICK, lost_already, nothing_is_lost, one_ensemble, set_aside, to_keep
from tests.real.driver import Zkprov, wait_for
from zkprov.lab.shapes.registry import SHAPES
from zkprov.lab.writers import stop_writers

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
    keep = to_keep(lab, incident)
    shown = zkprov("plan", "heal", "--keep", keep, *QUICK, "--output", "json").expect(0).json["plan"]
    losing = [
        x["host"] for side in shown["split"]["sides"] if side["name"] != shown["split"]["keep"] for x in side["servers"]
    ]
    # only a merge cuts logs off
    gone = lost_already(lab, losing) if name == "merged" else set[tuple[int, str]]()
    healed = zkprov("heal", "--keep", keep, "--yes", *QUICK, timeout_s=240).expect(0, "done:")
    stop_writers(lab.folder)
    members = [lab.host(s["id"]) for s in shown["base"]["servers"]]
    one_ensemble(lab, zkprov, members)
    zkprov("heal", "--yes").expect(0, "nothing to heal")
    files = []
    for side in shown["split"]["sides"]:
        if side["name"] != shown["split"]["keep"]:
            files.append(tmp_path / f"dead-letters-{side['name']}")
            disks = set_aside(lab, [x["host"] for x in side["servers"]])
            zkprov("salvage", *disks, "-o", str(files[-1]), timeout_s=120).expect(0)
    there, letters, cut_off = nothing_is_lost(lab, zkprov, members, files, gone)
    assert there and (letters or len(incident.writers) == 1)
    row = {"seen_s": seen_s, "healed_s": healed.took_s, "there": there, "letters": letters, "gone": cut_off}
    outcomes.keep(shape=name, named=NAMED[name], **row)


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
    without = {"full-disk-leader", "unresolvable-name"}  # nobody to fence: test_no_other_side.py
    assert set(NAMED) | without == set(SHAPES)
