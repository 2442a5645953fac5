"""Which look a gate judges, and against which: one that is kept serves two gates, and is never compared with itself.

A look of a chosen moment cannot be had from real servers, so surveys and clock are handed in; nothing is judged here.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.unit.plans_made import plan
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.facts import Survey
from zkprov.plan.steps import Options
from zkprov.run import acts, gating
from zkprov.run.events import Events
from zkprov.run.gating import KEPT_S, GateFailed, Gatekeeper

TOOK_S = 0.1


class Scene:
    """Looks that take `TOOK_S` each and are numbered by their beginnings; what was judged, and against what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 0.0
        self.judged: list[tuple[float, float | None]] = []
        stop = threading.Event()
        clock: Any = SimpleNamespace(monotonic=lambda: self.time, now=lambda: self.time, wait=self.wait)
        world: Any = SimpleNamespace(survey=self.survey)
        options = Options(interval_s=0.5, samples=3)
        self.gates = Gatekeeper(world, options, Events("4f1c00", clock.now, []), clock, stop)
        monkeypatch.setattr(gating, "judge", self.judge)

    def wait(self, _: threading.Event, seconds: float) -> bool:
        self.time += seconds
        return False

    def survey(self, names: object = None, *, clients: bool = True) -> Survey:
        assert not clients, "no gate needs them"
        self.time += TOOK_S
        return Survey("kafka", round(self.time - TOOK_S, 3), TOOK_S, ())

    def judge(self, survey: Survey, *_: object, earlier: Survey | None, **__: object) -> Any:
        self.judged.append((survey.began, earlier.began if earlier else None))
        return SimpleNamespace(
            gates=(), leaders=(), condition="safe", picture=SimpleNamespace(live=None, survey=survey)
        )

    def outage(self, monkeypatch: pytest.MonkeyPatch, *bad: tuple[float, float]) -> None:
        """Looks that are begun from the one moment to the other fail."""

        def first_stop(_: object) -> GateResult | None:
            fails = any(since <= self.judged[-1][0] < until for since, until in bad)
            return GateResult("synced", Verdict.FAIL, "2 is behind") if fails else None

        monkeypatch.setattr(self.gates, "first_stop", first_stop)

    def settled(self, wait_s: float, limit_s: float) -> str:
        options = Options(interval_s=0.5, step_timeout_s=limit_s)
        run: Any = SimpleNamespace(
            gates=self.gates, clock=self.gates._clock, plan=plan(options=options), checkpoint=lambda: None,
            events=SimpleNamespace(emit=lambda *_, **__: None),
        )  # fmt: skip
        step = msgspec.structs.replace(run.plan.steps[3], wait_s=wait_s)
        # what the list is expected to be is not what this is about
        return acts.settle(run, msgspec.structs.replace(step, after=None))  # type: ignore[arg-type]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_samples_are_an_interval_apart_each_against_the_one_before(scene: Scene) -> None:
    scene.gates.passed(samples=3)
    assert scene.judged == [(0.0, None), (0.5, 0.0), (1.0, 0.5)]


def test_a_kept_look_is_the_first_sample_and_is_not_compared_with_itself(scene: Scene) -> None:
    scene.gates.passed()
    last = scene.gates.passed()
    scene.gates.keep(last.picture.survey)
    scene.time += 0.05
    scene.gates.passed(samples=3)
    assert scene.judged == [(0.0, None), (0.1, 0.0), (0.1, 0.0), (0.6, 0.1), (1.1, 0.6)]


def test_it_serves_once(scene: Scene) -> None:
    scene.gates.keep(scene.gates.look())
    scene.gates.passed()
    scene.gates.passed()
    assert scene.judged == [(0.0, None), (0.1, 0.0)]


def test_one_that_was_kept_too_long_is_not_judged(scene: Scene) -> None:
    scene.gates.keep(scene.gates.look())
    scene.time += KEPT_S + 0.01
    scene.gates.passed()
    assert scene.judged == [(0.61, None)]


def test_what_was_waited_for_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.outage(monkeypatch, (0.0, 3.0))
    scene.gates.passed()
    assert scene.gates.bad is not None and scene.gates.bad_s == pytest.approx(3.0, abs=0.2)
    scene.gates.passed()
    assert scene.gates.bad is None and scene.gates.bad_s == 0


def test_a_wait_begins_anew_after_a_bad_stretch(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """6 s of good samples on end: 14 s in which they were bad are none of them, nor are those before."""
    scene.outage(monkeypatch, (3.0, 17.0))
    said = scene.settled(6.0, limit_s=30.0)
    assert 17.0 + 6.0 <= scene.time < 17.0 + 8.0 and said.startswith(("6 good samples in", "7 good samples in"))


def test_one_that_is_never_well_for_long_ends_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.outage(monkeypatch, *((at, at + 1.0) for at in range(4, 400, 4)))
    with pytest.raises(GateFailed, match=r"2 is behind: not well for .* of this wait, 10 s at the most"):
        scene.settled(6.0, limit_s=10.0)
    assert scene.time < 80.0
