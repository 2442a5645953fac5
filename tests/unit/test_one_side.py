"""What is "nothing to heal", and what only looks like it."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.facts_made import healthy
from zkprov.judge.health import Health, judge
from zkprov.judge.incidents import Found, Incident, Shape, gate_of
from zkprov.judge.verdict import Evidence, Purpose
from zkprov.model.problems import NotHealthy
from zkprov.run.planning_heal import one_side


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
