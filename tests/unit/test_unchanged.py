"""Whether a plan still fits, and what is said of one that was carried out already: the exit code is the point."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.unit.facts_made import OTHERS, Made, healthy, inventory
from tests.unit.test_reached import added, adding, known, removed, removing
from zkprov.model.problems import NotHealthy, Stale, Unsafe
from zkprov.plan.steps import Plan
from zkprov.run.journal import State
from zkprov.run.ledger import RunDocument
from zkprov.run.result import Result
from zkprov.run.unchanged import REST_S, carried_out, still_true


def world(made: Made) -> Any:
    return SimpleNamespace(
        inventory=inventory(lab=True), templates_digest=lambda: "", survey=lambda clients=True: made.survey
    )


def result(plan: Plan, made: Made, standing: RunDocument | None = None) -> Result | None:
    return carried_out(world(made), plan, made.survey, standing)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert REST_S > 0
    monkeypatch.setattr("zkprov.run.unchanged.REST_S", 0.0)


def test_a_plan_that_was_carried_out_is_done() -> None:
    found = result(adding(), added())
    assert found is not None
    assert (found.exit_code, found.state) == (0, State.DONE)
    assert "nothing to do" in found.headline and found.stands == "the list is {1,2,3,4}"
    assert result(adding(), known(healthy(3), 1, 2, 3)) is None


def test_by_the_run_that_did_it_or_by_another() -> None:
    plan = msgspec.structs.replace(adding(), history="/app@5/6")
    with pytest.raises(Stale, match="cannot be told"):
        result(plan, added())
    assert result(plan, added(), RunDocument(plan.id, State.DONE, 1, 0, "you", plan))
    for state in (State.UNDONE, State.ABORTED):
        with pytest.raises(Stale):
            result(plan, added(), RunDocument(plan.id, state, 1, 0, "you", plan))


def test_what_is_not_complete_is_stale_what_does_not_serve_is_not_healthy_and_danger_is_danger() -> None:
    with pytest.raises(Stale, match=r"not retired \(R7\)"):
        result(removing(), removed(retired=()))
    with pytest.raises(NotHealthy, match="does not serve"):
        result(adding(), added().down(4, disk=True))
    with pytest.raises(Unsafe, match="unsafe: ") as danger:
        result(adding(), added().having(1, identity=OTHERS))
    assert danger.value.exit_code == 3 and danger.value.remedy


def test_what_is_a_moment_behind_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkprov.run.unchanged.REST_S", 5.0)
    monkeypatch.setattr("zkprov.run.unchanged.LOOK_S", 0.0)
    behind = added().down(4, disk=True)
    assert carried_out(world(added()), adding(), behind.survey, None) is not None


def test_another_release_makes_a_plan_stale() -> None:
    plan, now = msgspec.structs.replace(adding(), inventory_digest="digest"), known(healthy(3), 1, 2, 3)
    still_true(world(now), plan, now.survey)
    other = now.reading(2, release="3.8.4")
    with pytest.raises(Stale, match=r"2 runs 3\.8\.4, the plan was made for 3\.9\.5") as stale:
        still_true(world(other), plan, other.survey)
    assert "plan again" in stale.value.remedy
