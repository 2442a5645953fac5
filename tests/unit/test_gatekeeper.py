"""Which look a gate judges, and against which: one that is kept serves two gates, and is never compared with itself.

A look of a chosen moment cannot be had from real servers, so surveys and clock are handed in; nothing is judged here.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from zkprov.model.facts import Survey
from zkprov.plan.steps import Options
from zkprov.run import gating
from zkprov.run.events import Events
from zkprov.run.gating import KEPT_S, Gatekeeper

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
