"""A wall clock that jumps by a day neither shortens nor stretches what a run waits for.

The jump cannot be had from a real machine that others use too, so the clock is injected; around it stands the least of an engine.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.plans_made import plan
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.facts import Survey
from zkprov.model.problems import Interrupted
from zkprov.observe import znodes
from zkprov.plan.steps import Options
from zkprov.run import acts, gating
from zkprov.run.events import Event, Events
from zkprov.run.gating import GateFailed, Gatekeeper

DAY = 86_400.0


class Jumping:
    """Monotonic time goes on by what is waited; the wall clock jumps with each wait as well."""

    def __init__(self, jump: float) -> None:
        self.jump, self.wall, self.passed = jump, 1.8e9, 0.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.passed

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.passed += max(seconds, 0.001)
        self.wall += self.jump
        return stop.is_set()


@pytest.fixture(params=[0.0, DAY, -DAY], ids=["steady", "a day on", "a day back"])
def clock(request: pytest.FixtureRequest) -> Jumping:
    return Jumping(request.param)


def engine(clock: Jumping, told: list[Event], **parts: Any) -> Any:
    events = Events("4f1c00", clock.now, [told.append])
    stop = threading.Event()
    found = SimpleNamespace(clock=clock, events=events, stop=stop, plan=plan(options=Options(interval_s=1.0)), **parts)
    found.checkpoint = lambda: None
    found.came = {}
    return found


def test_settling_takes_its_time(clock: Jumping) -> None:
    told: list[Event] = []
    run = engine(clock, told)
    run.gates = SimpleNamespace(passed=lambda **_: None, pause=lambda s: clock.wait(run.stop, s), bad=None)
    acts.settle(run, run.plan.steps[3])
    assert clock.passed == pytest.approx(30.0, abs=1.1)
    assert len([e for e in told if e.kind == "settling"]) in (30, 31)


def test_a_gate_is_waited_for_as_long_as_the_step_may_take(clock: Jumping, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Event] = []
    run = engine(clock, told)
    failing = GateResult("synced", Verdict.FAIL, "4 is behind")
    judged = SimpleNamespace(gates=(failing,), leaders=(), condition="degraded", picture=SimpleNamespace(live=None))
    monkeypatch.setattr(gating, "judge", lambda *_, **__: judged)
    survey = Survey("kafka", 0.0, 0.0, ())
    world: Any = SimpleNamespace(survey=lambda names=None, clients=True: survey)
    gates = Gatekeeper(world, Options(step_timeout_s=20.0), run.events, run.clock, run.stop)
    with pytest.raises(GateFailed, match="4 is behind"):
        gates.passed()
    assert clock.passed == pytest.approx(20.0, abs=0.2)
    assert len([e for e in told if e.kind == "gate"]) == 1, "the same failure is told once"


def test_a_signal_ends_a_wait(clock: Jumping) -> None:
    run = engine(clock, [])
    world: Any = None
    gates = Gatekeeper(world, Options(), run.events, run.clock, run.stop)
    run.stop.set()
    with pytest.raises(Interrupted):
        gates.pause(1000.0)


def test_seasoning_goes_by_the_ensembles_clock_alone(clock: Jumping, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ages are told by the ledger; this machine's clock, whatever it does, seasons nobody."""
    told: list[Event] = []
    left = [900.0]
    run = engine(clock, told, ledger=SimpleNamespace(now_ms=lambda: 0))
    run.gates = SimpleNamespace(passed=lambda **_: SimpleNamespace(picture=None), pause=pause_of(clock, left))
    monkeypatch.setattr(acts, "live_of", lambda _: run.plan.steps[0].before)
    monkeypatch.setattr(acts, "newcomers_in", lambda *_: [SimpleNamespace(id=3, left_s=left[0])] if left[0] > 0 else [])
    monkeypatch.setattr(acts, "newcomers_rule", lambda _, ids: None if ids == {4} else "a quorum")
    acts.season(run, run.plan.steps[0])
    assert clock.passed == pytest.approx(900.0, abs=2.1)


def test_a_leaders_clock_that_jumps_makes_nobody_older_whom_this_run_promoted(
    clock: Jumping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the ledger 3 is seasoned at once; it was promoted a moment ago."""
    run = engine(clock, [], ledger=SimpleNamespace(now_ms=lambda: 0))
    run.gates = SimpleNamespace(
        passed=lambda **_: SimpleNamespace(picture=None), pause=lambda s: clock.wait(run.stop, s)
    )
    run.came = {3: clock.monotonic()}
    monkeypatch.setattr(acts, "live_of", lambda _: run.plan.steps[0].before)
    monkeypatch.setattr(acts, "newcomers_in", lambda *_: [])
    monkeypatch.setattr(acts, "newcomers_rule", lambda _, ids: None if ids == {4} else "a quorum")
    acts.season(run, run.plan.steps[0])
    assert clock.passed == pytest.approx(900.0, abs=2.1)


def test_the_ensembles_time_is_that_of_its_last_write() -> None:
    """An entry that a leader with a fast clock wrote, a day ahead, does not make younger voters a day old."""
    saw = znodes.Clock()
    for mzxid, mtime in ((5, 1_000), (7, 1_000 + int(DAY)), (9, 2_000), (8, 1_000 + int(DAY))):
        saw.saw((b"", SimpleNamespace(mzxid=mzxid, mtime=mtime, ctime=1_000 + int(DAY))))
    assert saw.now_ms == 2_000


def pause_of(clock: Jumping, left: list[float]) -> Any:
    def pause(seconds: float) -> None:
        clock.wait(threading.Event(), seconds)
        left[0] -= seconds

    return pause
