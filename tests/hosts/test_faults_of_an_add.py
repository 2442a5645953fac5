"""Whatever is cut, and in whichever phase of an add: the run ends in time and says what to do, and what it says leads to the planned
or the former state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.scene import Instant, instants
from tests.hosts.cuts import LIMIT_S, QUICK, Phase, Scene

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(900),
    pytest.mark.matrix(keep=1, of="faults on hosts", among="stories on hosts"),
]
NEW = "zk4"
PLAYS: tuple[Phase, ...] = tuple(
    f"{when} {play}" for play in ("install", "configure", "start") for when in ("before", "in")
)
PHASES: tuple[Phase, ...] = (
    Instant(1, "gates"),  # before the preflight
    *PLAYS,
    *instants("2 gates\n2 act\n2 answer\n3 sample\n3 gates\n3 act\n3 answer"),
)


@pytest.fixture
def scene(make_scene: Callable[..., Scene], three_members: str) -> Scene:
    return make_scene(three_members, count=4, members=3)


def add(scene: Scene, phase: Phase) -> Any:
    running = scene.start(phase, "add-node", NEW, *QUICK, host=NEW)
    scene.reach(running, phase)
    return running


@pytest.mark.parametrize("healed", ["while it waits", "afterwards"])
@pytest.mark.parametrize("phase", PHASES, ids=str)
def test_cut_off_from_everyone(scene: Scene, phase: Phase, healed: str) -> None:
    running = add(scene, phase)
    scene.cut_off()
    scene.go(running)
    if healed == "while it waits":
        scene.a_while(running, 12)
        scene.mend()
    done = running.wait(LIMIT_S)
    scene.mend()
    scene.carried_on(done, NEW)


@pytest.mark.parametrize("whose", ["joiner", "follower", "leader"])
@pytest.mark.parametrize("phase", PHASES, ids=str)
def test_power_cut(scene: Scene, phase: Phase, whose: str) -> None:
    leader = scene.leader()
    follower = next(h.name for h in scene.founders if h.name != leader)
    running = add(scene, phase)
    scene.power_cut({"joiner": NEW, "follower": follower, "leader": leader}[whose])
    scene.go(running)
    if scene.rng.random() < 0.5:
        scene.a_while(running, 8)
        scene.mend()
    done = running.wait(LIMIT_S)
    scene.mend()
    scene.carried_on(done, NEW)


@pytest.mark.parametrize("phase", PHASES, ids=str)
def test_killed_with_all_that_it_started(scene: Scene, phase: Phase) -> None:
    running = add(scene, phase)
    scene.kill(running, everything=True)
    scene.release()
    scene.carried_on(None, NEW)


@pytest.mark.parametrize("released", ["at once", "afterwards"])
@pytest.mark.parametrize("phase", PLAYS, ids=str)
def test_killed_alone(scene: Scene, phase: Phase, released: str) -> None:
    """What it has started goes on without it: at once, or when somebody else has carried on and is done."""
    running = add(scene, phase)
    scene.kill(running)
    orphans = scene.orphans()
    assert orphans, "nothing is left"
    if released == "at once":
        scene.release()
    found = scene.carried_on(None, NEW)
    if released == "afterwards":
        scene.release()
        scene.await_end(orphans)
        assert scene.ended(NEW) == found
