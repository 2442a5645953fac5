"""Which look a gate judges, and against which: one that is kept serves two gates, and is never compared with itself.

A look of a chosen moment cannot be had from real servers, so surveys and clock are handed in; nothing is judged here.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from zkprov.model.facts import Fact, ServerFacts, Survey
from zkprov.plan.steps import Options
from zkprov.run import gating
from zkprov.run.events import Events
from zkprov.run.gating import KEPT_S, Gatekeeper

TOOK_S = 0.1


class Scene:
    """Looks that take `TOOK_S` each and are numbered by their beginnings; what was judged, and against what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 0.0
        self.looked: list[object] = []
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

    def survey(self, names: list[str] | None = None, *, clients: bool = True) -> Survey:
        assert not clients, "no gate needs them"
        self.time += TOOK_S
        self.looked.append(names)
        began = round(self.time - TOOK_S, 3)
        servers = tuple(ServerFacts(name, None, srvr=Fact("srvr", at=began)) for name in names or ("zk4", "zk1"))
        return Survey("kafka", began, TOOK_S, servers)

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
    scene.gates.passed()
    scene.gates.keep_judged()
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


def test_one_server_looked_at_again_makes_a_look_as_old_as_the_first(scene: Scene) -> None:
    others = scene.gates.look()
    scene.time += 0.2
    look = scene.gates.look_again(others, "zk4")
    assert scene.looked == [None, ["zk4"]]
    assert (look.began, look.ended, look.latest) == (0.0, pytest.approx(0.1), pytest.approx(0.3)), "the older part's"
    assert (look.survey.began, look.survey.took) == (0.0, pytest.approx(0.4))
    assert [s.name for s in look.survey.servers] == ["zk4", "zk1"]
    assert look.survey.servers[0].srvr.at == 0.3, "as it is now"
    scene.gates.keep(look)
    scene.gates.passed(samples=2)
    assert [began for began, _ in scene.judged] == [0.0, pytest.approx(0.8)], (
        "an interval after that server was looked at"
    )


def test_the_others_are_no_older_for_it(scene: Scene) -> None:
    """Neither by the time that the one server takes to answer, nor by what passes until the look is judged."""
    others = scene.gates.look()
    scene.time += KEPT_S - 0.15
    look = scene.gates.look_again(others, "zk4")
    scene.gates.keep(look)
    scene.time += 0.1
    scene.gates.passed()
    assert scene.looked == [None, ["zk4"], None], "too old when it was to be judged"
    others = scene.gates.look()
    scene.time += KEPT_S - TOOK_S / 2
    scene.gates.look_again(others, "zk4")
    assert scene.looked[3:] == [None, ["zk4"], None], "too old when it had answered"


def test_the_others_are_looked_at_too_where_that_was_too_long_ago_or_never(scene: Scene) -> None:
    scene.gates.look_again(None, "zk4")
    old = scene.gates.look()
    scene.time += KEPT_S + 0.01
    look = scene.gates.look_again(old, "zk4")
    assert scene.looked == [None, None, None]
    assert look.began > old.ended


def test_so_are_they_where_that_server_was_none_of_them(scene: Scene) -> None:
    others = scene.gates.look()
    look = scene.gates.look_again(others, "zk5")
    assert scene.looked == [None, ["zk5"], None]
    assert look.survey.began == 0.2
