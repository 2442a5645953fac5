"""What a run's events tell beside its steps: who led at each look, when clients could not write, and how it ended."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.facts_made import Made, healthy, outage
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.plan.steps import Options
from zkprov.run import canary as canary_module
from zkprov.run.canary import MOST, Canary, Pause
from zkprov.run.clock import SystemClock
from zkprov.run.events import Event, Events
from zkprov.run.gating import GateFailed, Gatekeeper, moment
from zkprov.run.journal import NotRecorded, State
from zkprov.run.result import Result
from zkprov.run.told import tell_end, tell_pauses


class Scene:
    """Gates over a survey that stays as it is."""

    def __init__(self, made: Made) -> None:
        self.told: list[Event] = []
        world: Any = SimpleNamespace(survey=lambda *_, **__: made.survey)
        clock = SystemClock()
        options = Options(samples=2, interval_s=0.0, step_timeout_s=0.0)
        self.events = Events("4f1c00", clock.now, [self.told.append])
        self.gates = Gatekeeper(world, options, self.events, clock, threading.Event(), frozenset({"ledger", "dynamic"}))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [e.evidence for e in self.told if e.kind == kind]


def test_each_look_tells_who_leads() -> None:
    scene = Scene(healthy(3))
    scene.gates.passed(samples=2)
    now = {"leader": 3, "epoch": 7, "config": "700000012"}
    assert [now.items() <= said.items() for said in (*scene.of("sample"), *scene.of("gates"))] == [True] * 3


def test_what_gates_say_is_told_once() -> None:
    scene = Scene(healthy(3))
    scene.gates.passed()
    scene.gates.passed()
    first, second = scene.of("gates")
    assert first["said"]["one leader"] == "one leader: 3 (epoch 7, followed by 1, 2)" and second["said"] == {}
    assert first["passed"] == second["passed"] == list(first["said"])


def test_a_gate_that_does_not_pass_tells_its_evidence() -> None:
    scene = Scene(healthy(3).down(2))
    with pytest.raises(GateFailed) as caught:
        scene.gates.passed()
    (said,) = scene.of("gate")
    gate: GateResult = caught.value.gate
    assert gate.verdict is Verdict.FAIL and said["evidence"] == [str(e) for e in gate.evidence] != []
    assert said["leader"] == 3


def test_of_two_leaders_none_is_told() -> None:
    assert moment(outage().health())["leader"] is None


# The canary ---------------------------------------------------------------------------------------------------------


class Time:
    """A clock that is put on by hand, for the canary alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(canary_module.time, "monotonic", lambda: self.now)


def sang(monkeypatch: pytest.MonkeyPatch, *took_s: float | None) -> tuple[Canary, Time]:
    """A canary whose writes took so long, begun a second apart; None: it failed, after a second."""
    time, left = Time(monkeypatch), list(took_s)
    canary = Canary(lambda: None, [])  # type: ignore[arg-type, return-value]

    def write(_: object) -> None:
        took = left.pop(0)
        time.now += 1.0 if took is None else took
        if not left:
            canary._stop.set()
        if took is None:
            raise RuntimeError("lost")

    def wait(_: float) -> bool:
        time.now += 1.0
        return False

    monkeypatch.setattr(canary, "_write", write)
    monkeypatch.setattr(canary._stop, "wait", wait)
    canary._write_on(None)  # type: ignore[arg-type]
    return canary, time


def test_moments_of_pauses_and_the_longest_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    canary, _ = sang(monkeypatch, 0.01, 0.4, 0.03)
    assert canary.take_pauses() == (Pause(1001.01, pytest.approx(0.4)),)
    assert canary.take_pauses() == ()
    calm, _ = sang(monkeypatch, 0.01, 0.02)
    assert calm.take_pauses() == (Pause(1001.01, pytest.approx(0.02)),)


def test_writes_that_fail_are_one_pause_until_one_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    canary, _ = sang(monkeypatch, 0.01, None, None, 0.5)
    assert canary.take_pauses() == (Pause(1001.01, pytest.approx(4.5)),)


def test_one_that_lasts_is_told_as_far_as_it_got(monkeypatch: pytest.MonkeyPatch) -> None:
    canary, time = sang(monkeypatch, 0.01, None)
    assert canary.take_pauses() == (Pause(1001.01, pytest.approx(2.0)),)
    time.now += 5
    assert canary.take_pauses() == (Pause(1001.01, pytest.approx(7.0)),)


def test_of_many_the_longest_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    canary, _ = sang(monkeypatch, *(0.1 + n / 1000 for n in range(100)))
    found = canary.take_pauses()
    assert len(found) == MOST and min(p.lasted_s for p in found) == pytest.approx(0.18)
    assert list(found) == sorted(found)


# The ends -----------------------------------------------------------------------------------------------------------


def engine(told: list[Event], *, broken: bool = False, pauses: tuple[Pause, ...] = ()) -> Any:
    def record(event: Event) -> None:
        if broken:
            raise NotRecorded("the disk is full")
        told.append(event)

    clock = SimpleNamespace(now=lambda: 1_000_000.0, monotonic=lambda: 500.0)
    canary = SimpleNamespace(take_pauses=lambda: pauses)
    return SimpleNamespace(events=Events("4f1c00", clock.now, [record]), canary=canary, clock=clock)


def test_a_pause_has_the_time_of_day_at_which_it_began() -> None:
    told: list[Event] = []
    tell_pauses(engine(told, pauses=(Pause(499.0, 0.4832),)))
    assert [e.evidence for e in told] == [{"began": "1970-01-12T13:46:39.000Z", "lasted_s": 0.483}]


def test_the_end_tells_what_stands_and_what_is_next() -> None:
    told: list[Event] = []
    result = Result("4f1c00", State.STOPPED, 7, "Stopped.", ("zk4: x",), "a", "b", ("zkprov resume",), 0.5)
    assert tell_end(engine(told), result) is result
    (end,) = told
    assert (end.kind, end.step) == ("run.ended", 0)
    assert end.evidence == {
        "state": "stopped", "exit_code": 7, "headline": "Stopped.", "evidence": ["zk4: x"], "undone": "a", "stands": "b",
        "next": ["zkprov resume"], "longest_pause_s": 0.5,
    }  # fmt: skip


def test_an_end_that_cannot_be_recorded_is_an_end_all_the_same() -> None:
    result = Result("4f1c00", State.DONE, 0, "done")
    assert tell_end(engine([], broken=True), result) is result
    tell_pauses(engine([], broken=True, pauses=(Pause(1.0, 1.0),)))
