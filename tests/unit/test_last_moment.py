"""What is looked at once more between the gates and an act, and in which order: rules, fence, kill switch, the age of the look.

A pause that is asked for between two writes, or a file that comes up between two looks, cannot be timed on real servers.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.unit.facts_made import NOW_MS, OTHERS, Made, disk_of, healthy, host, members
from tests.unit.facts_made import server as known
from tests.unit.test_acts import THREE, Host, Waiting, engine
from zkprov.act import reconfig
from zkprov.judge.health import Health
from zkprov.judge.newcomers import SEASON_S
from zkprov.judge.verdict import GateResult, Purpose, Verdict
from zkprov.model.facts import Conf, Digests, Disk
from zkprov.model.problems import Interrupted
from zkprov.model.server import Role
from zkprov.plan.steps import Step, StepKind
from zkprov.run import acts
from zkprov.run.gating import GateFailed

# -- the age of the look


def start_until_proof(run: Any, monkeypatch: pytest.MonkeyPatch, looks: list[float], waits: list[float]) -> None:
    """`acts.start` up to the proof; each fence takes what `waits` says, each look is noted in `looks`."""

    def passed(**_: Any) -> Any:
        looks.append(run.clock.now)
        run.gates.looked_at = run.clock.now
        return SimpleNamespace(picture=SimpleNamespace(live=THREE))

    def fence(_: int) -> None:
        run.clock.now += waits.pop(0)

    def prove(*_: Any) -> None:
        raise Interrupted("enough")

    run.clock, run.gates.passed, run.fence = Waiting(), passed, fence
    monkeypatch.setattr(acts, "_still_empty", lambda *_: None)
    monkeypatch.setattr(acts, "prove", prove)
    with pytest.raises(Interrupted, match="enough"):
        acts.start(run, run.plan.steps[0])


@pytest.mark.parametrize(("waited", "looks"), [(1.9, [0.0]), (2.1, [0.0, 2.1])])
def test_a_start_that_had_to_wait_for_its_fence_looks_again(
    waited: float, looks: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []
    start_until_proof(engine(Host(None, active=False), THREE), monkeypatch, found, [waited])
    assert found == looks


# -- the kill switch is read after the fence


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_pause_that_came_while_the_fence_waited_is_seen(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has written `/zkprov/paused` and sees no later write of the run knows that no act follows."""
    target = Host(None, active=False)
    run = engine(target, THREE)
    step = msgspec.structs.replace(run.plan.steps[number - 1], before=THREE)
    paused = [False]

    def fence(_: int) -> None:
        paused[0] = True

    def checkpoint() -> None:
        if paused[0]:
            raise Interrupted("paused: maintenance")

    run.fence, run.intend, run.checkpoint = fence, lambda s: fence(s.number), checkpoint
    run.ledger.now_ms = lambda: NOW_MS
    monkeypatch.setattr(acts, "_still_empty", lambda *_: None)
    monkeypatch.setattr(acts, "_rules", lambda *_: None)
    monkeypatch.setattr(acts, "prove", lambda *_: None)
    monkeypatch.setattr(reconfig, "change", lambda *_, **__: pytest.fail("asked for a reconfig"))
    for act in ("install", "configure", "enable", "start"):
        monkeypatch.setattr(Host, act, lambda *_: pytest.fail("touched the host"), raising=False)
    with pytest.raises(Interrupted, match="maintenance"):
        if step.kind is StepKind.START:
            acts.start(run, step)
        else:
            acts.change(run, step, Role.OBSERVER if step.kind is StepKind.ADMIT else Role.PARTICIPANT)
    assert target.done == []


# -- R5 once more, at the start


@pytest.mark.parametrize(
    "came",
    [
        Disk(None, {}, None, None, initialize=True),
        disk_of(4, members((1, 2, 3, 4)), active=False),
        disk_of(4, members((4,)), has_data=False, active=False),
    ],
    ids=["initialize", "data", "list"],
)
def test_a_file_that_came_since_the_plan_was_made_stops_the_start(came: Disk) -> None:
    made = healthy(3).ledger((1, 2, 3)).spare("zk4")
    run = engine(Host(None, active=False), THREE)
    run.world.inventory_host = lambda _: host(4)
    acts._still_empty(run, made.health(Purpose.CHANGE), run.plan.steps[0])
    with pytest.raises(GateFailed, match="R5") as refused:
        acts._still_empty(run, made.having("zk4", disk=came).health(Purpose.CHANGE), run.plan.steps[0])
    assert (refused.value.gate.verdict, refused.value.server) == (Verdict.FAIL, 4)


# -- R2: a shorter seasoning time needs equal digests at each promotion, not only where it was planned


def promote(made: Made, *, season_s: float, lab: bool = False) -> GateResult | None:
    """What stops the promotion of 4, an observer of `made`."""
    run = engine(Host(None), THREE)
    run.came = {}
    run.plan = msgspec.structs.replace(run.plan, options=msgspec.structs.replace(run.plan.options, season_s=season_s))
    run.world.inventory = SimpleNamespace(lab=lab)
    health: Health = made.health(Purpose.CHANGE)
    try:
        acts._rules(run, health, made.live, made.live.with_server(known(4)), known(4), NOW_MS)
    except GateFailed as failed:
        return failed.gate
    return None


OBSERVED = healthy(3, observers=(4,)).ledger((1, 2, 3))
UNTOLD = OBSERVED.having(2, hash=None).having(3, hash=None).having(4, hash=None)


def test_the_time_of_old_needs_no_digests() -> None:
    assert promote(OBSERVED, season_s=SEASON_S) is None
    assert promote(UNTOLD, season_s=SEASON_S) is None


def test_a_shorter_time_does() -> None:
    assert promote(OBSERVED, season_s=60) is None
    stopped = promote(UNTOLD, season_s=60)
    assert stopped and stopped.gate == "digests" and "needs equal digests" in stopped.summary
    assert promote(UNTOLD, season_s=60, lab=True) is None


def test_digests_that_differ_stop_both() -> None:
    """The gate itself fails then; that the rule does too is what is seen here."""
    differing = OBSERVED.having(4, hash=Digests({0x7000004A1 - 33: 0xBAD}))
    stopped = promote(differing, season_s=60)
    assert stopped and stopped.verdict is Verdict.FAIL


def test_a_time_shorter_than_the_members_limits_allow_stops_it() -> None:
    """The plan was made when they ran with others."""
    slow = OBSERVED.having(1, conf=Conf({"serverId": "1", "initLimit": "600", "tickTime": "2000"}, OBSERVED.live))
    stopped = promote(slow, season_s=SEASON_S)
    assert stopped and "900 s is less than" in stopped.summary and "2400 s" in stopped.summary


def test_another_ensembles_ledger_is_none_of_ours() -> None:
    """Without a ledger nobody's age is known."""
    unwritten = healthy(3, observers=(4,), identity=OTHERS)
    stopped = promote(unwritten, season_s=SEASON_S)
    assert stopped and (stopped.gate, stopped.verdict) == ("R2 newcomers", Verdict.UNKNOWN)


def test_steps_are_what_they_are_taken_for() -> None:
    """The cases above name steps by their number."""
    kinds: list[Step] = list(engine(Host(None), THREE).plan.steps)
    assert [s.kind for s in kinds[:3]] == [StepKind.START, StepKind.ADMIT, StepKind.PROMOTE]
