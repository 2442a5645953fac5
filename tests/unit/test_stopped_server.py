"""Where nobody serves and a restart was cut off: by the journal's plan of that moment, and none but whom the run has stopped.

That nobody serves is handed in; the journal is a real one.
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.facts_made import healthy
from tests.unit.test_going_back import downgrade
from tests.unit.test_start_again import RUN
from tests.unit.test_upgrade import Switched, looking, on
from zkprov.model.problems import NotHealthy
from zkprov.plan.rolling import leader_last
from zkprov.plan.steps import Plan, Step, StepKind
from zkprov.run.clock import SystemClock
from zkprov.run.engine import Engine
from zkprov.run.events import Events
from zkprov.run.journal import Journal, State
from zkprov.run.stopped_server import standing_roll, start_stopped


class Member(Switched):
    """Runs 3.8.6, and has a fence of the run, as all have since a release was laid out."""

    def __init__(self, *, active: bool, release: str) -> None:
        super().__init__(active=active)
        self.release = release


def engine(plan: Plan, journal: Journal, world: Any = None) -> Engine:
    ledger: Any = SimpleNamespace(advance=lambda _: None)
    world = world or SimpleNamespace()
    nobody: Any = None
    return Engine(
        plan, world, client=nobody, ledger=ledger, journal=journal, events=Events(RUN, lambda: 0.0, []),
        clock=SystemClock(), stop=threading.Event(), who="you",
    )  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


def back() -> Plan:
    plan = downgrade(on(healthy(3), "3.9.5"), "3.8.6")
    assert isinstance(plan, Plan)
    return plan


def restarts(plan: Plan) -> list[Step]:
    return [s for s in plan.steps if s.kind is StepKind.RESTART]


class Quick(SystemClock):
    """A clock that goes by what is waited for alone."""

    waited = 0.0

    def monotonic(self) -> float:
        return self.waited

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.waited += seconds
        return stop.is_set()


def taken_up(
    journal: Journal, hosts: dict[str, Member], *, serves_after_s: float = 0.0, told: list[str] | None = None
) -> Quick:
    """`start_stopped` of what stands in the journal; who is started serves, or who runs, after so long."""
    standing, seen, clock = standing_roll(journal, back().ensemble), healthy(3), Quick()
    assert standing is not None
    nobody = seen.down(1, disk=True).down(2, disk=True).down(3, disk=True)
    world: Any = SimpleNamespace(
        inventory=SimpleNamespace(path="hosts.yml"),
        host=lambda name: hosts[name],
        survey=lambda **_: seen.survey if clock.waited >= serves_after_s else nobody.survey,
    )
    heard: list[str] = [] if told is None else told
    start_stopped(
        world,
        standing,
        nobody.survey,
        events=Events(RUN, lambda: 0.0, [lambda e: heard.append(str(e.evidence["what"]))]),
        clock=clock,
        stop=threading.Event(),
    )
    return clock


@pytest.mark.parametrize("stopped", [False, True], ids=["killed", "stopped"])
def test_a_turned_plan_stands_in_the_journal_with_the_place_in_it(journal: Journal, stopped: bool) -> None:
    """Turned to 2, 1, 3 while the second of them is in hand: 1 is that, and 2 is done and keeps what it runs."""
    plan = back()
    journal.begin(plan, "hosts.yml", "you", 0.0)
    run = engine(plan, journal)
    first, second, _ = restarts(plan)
    run.plan = leader_last(plan, first.number, 1)
    turned = restarts(run.plan)
    assert [s.server for s in turned] == [2, 3, 1]
    if stopped:
        run._try_state(State.STOPPED, second.number)
    else:
        run.plan = run.plan.with_begun(first.number).with_begun(second.number)
        run.intend(run.plan.steps[second.number - 1])
    found = standing_roll(journal, plan.ensemble)
    assert found is not None and found[0].plan == run.plan and found[1].server == 3
    if stopped:
        return
    hosts = {f"zk{i}": Member(active=False, release="3.8.6" if i == 2 else "3.9.5") for i in (1, 2, 3)}
    taken_up(journal, hosts)
    assert hosts["zk2"].done == ["start"] and hosts["zk2"].release == "3.8.6"
    assert hosts["zk3"].done == ["start"]


def standing_at(journal: Journal, *, begun: bool) -> Plan:
    plan = back()
    step = restarts(plan)[0]
    journal.begin(plan, "hosts.yml", "you", 0.0)
    journal.advance(plan.id, step.number, plan.with_begun(step.number) if begun else plan)
    return plan


def test_who_was_stopped_by_somebody_else_stays_so(journal: Journal) -> None:
    """All have the fence, because a release was laid out on them; only one was stopped for it."""
    standing_at(journal, begun=True)
    hosts = {f"zk{i}": Member(active=False, release="3.9.5") for i in (1, 2, 3)}
    hosts["zk1"].release = "3.8.6"
    taken_up(journal, hosts)
    assert hosts["zk1"].done == ["switch 3.9.5", "start"]
    assert hosts["zk2"].done == hosts["zk3"].done == []


def test_before_the_first_stop_nobody_is_started(journal: Journal) -> None:
    standing_at(journal, begun=False)
    hosts = {f"zk{i}": Member(active=False, release="3.9.5") for i in (1, 2, 3)}
    with pytest.raises(NotHealthy, match="has stopped nobody who is down"):
        taken_up(journal, hosts)
    assert not any(h.done for h in hosts.values())


def test_those_that_run_may_be_electing_and_are_waited_for(journal: Journal) -> None:
    standing_at(journal, begun=True)
    hosts = {f"zk{i}": Member(active=True, release="3.9.5") for i in (1, 2, 3)}
    told: list[str] = []
    clock = taken_up(journal, hosts, serves_after_s=5.0, told=told)
    assert 5 <= clock.waited < 6 and not any(h.done for h in hosts.values())
    assert told == [
        "nobody serves, and whom this run may have stopped runs: an election is waited for, 60 s at the most"
    ]


def test_those_that_run_and_never_elect_are_told_after_the_limit(journal: Journal) -> None:
    standing_at(journal, begun=True)
    hosts = {f"zk{i}": Member(active=True, release="3.9.5") for i in (1, 2, 3)}
    with pytest.raises(NotHealthy, match="has stopped nobody who is down") as caught:
        taken_up(journal, hosts, serves_after_s=61.0)
    assert "zkprov status" in caught.value.remedy and not any(h.done for h in hosts.values())


def test_what_stands_is_what_the_members_say(journal: Journal) -> None:
    """1 ran the older release alone, failed in that time, and could not go back."""
    plan = back()
    soak = next(s for s in plan.steps if s.kind is StepKind.SETTLE)
    run = engine(plan, journal, looking(on(on(healthy(3), "3.9.5"), "3.8.6", 1).down(2)))
    assert run.left_standing(soak) == "3.8.6: 1; 3.9.5: 2, 3"
