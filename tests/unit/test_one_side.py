"""What is "nothing to heal", and what only looks like it."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from tests.unit.facts_made import Made, disk_of, healthy, inventory, members, outage
from zkprov.judge.health import Health, judge
from zkprov.judge.incidents import Found, Incident, Shape, gate_of
from zkprov.judge.verdict import Evidence, Purpose
from zkprov.model.problems import NotHealthy
from zkprov.run import planning_heal
from zkprov.run.planning_heal import look_at_sides, one_side
from zkprov.run.world import World


def showing(found: Found) -> Health:
    health = judge(healthy(3).survey)
    gates = tuple(gate_of(found, Purpose.LOOK) if g.gate == "no incident" else g for g in health.gates)
    return msgspec.structs.replace(health, gates=gates, incidents=found.incidents)


def test_a_healthy_ensemble_is_one_side() -> None:
    assert one_side(judge(healthy(3).survey))


def test_a_leader_that_cannot_commit_is_not_nothing() -> None:
    stuck = Incident(
        Shape.CANNOT_COMMIT, "leader 3 commits nothing", next=("look at its disk", "stop it", "docs: watching")
    )
    with pytest.raises(NotHealthy, match="commits nothing; there is no other side to fence") as told:
        one_side(showing(Found((stuck,))))
    assert told.value.remedy == "look at its disk; stop it"


def test_what_is_suspected_is_looked_at_again() -> None:
    assert not one_side(showing(Found(suspected=(Evidence("zk1", "may have lost its history"),))))


class Looks:
    """A world that shows one of these at each look, the last one for ever; `read`: whose disks were asked for their history."""

    def __init__(self, *shown: Made) -> None:
        self.shown, self.inventory, self.stop, self.looks = list(shown), inventory(9), threading.Event(), 0
        self.read: list[str] = []

    def survey(self, **_: Any) -> Any:
        self.looks += 1
        return (self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]).survey

    def host(self, name: str) -> Any:
        self.read.append(name)
        known = {"path": "/app", "czxid": 2, "ctime_ms": 1, "zxid": 0x10000000C}
        return SimpleNamespace(backup=lambda _: known)


def test_a_side_that_has_just_lost_its_leader_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """4, of four that hold something else, was fenced a moment ago, and the run given up: 5 to 7 serve nobody from now on."""
    monkeypatch.setattr(planning_heal, "APART_S", 0.0)
    seven = members(range(1, 8), version=0)
    before = outage().without(4, 6, 7).having(5, disk=disk_of(5, seven))
    after = before.looking(5)
    world = Looks(before.without(5), after, after)
    look_at_sides(cast("World", world))
    assert world.looks == 3 and world.read == ["zk5"], "its disk tells what it holds"


def test_who_comes_and_goes_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning_heal, "APART_S", 0.0)
    well = healthy(3)
    world = Looks(*(x for _ in range(20) for x in (well, well.looking(1))))
    assert look_at_sides(cast("World", world)) is None
    assert world.looks < 20
