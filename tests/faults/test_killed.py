"""Kill -9 of zkprov at any instant of an add, then `resume` or `abort`: the planned or the former state, never between."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.faults.scene import EVERY, NEW, Instant, Scene
from tests.real.driver import live_config


@pytest.mark.real
@pytest.mark.matrix(keep=2)
@pytest.mark.parametrize("late", [False, True], ids=["now", "late"])
@pytest.mark.parametrize("instant", EVERY, ids=str)
def test_killed_and_resumed(scene: Scene, instant: Instant, late: bool) -> None:
    running = scene.add()
    scene.reach(running, instant, late=late)
    running.process.kill()
    running.process.wait()
    where = scene.rng.choice(["here", "journal lost", "elsewhere"])
    if where == "journal lost":
        shutil.rmtree(scene.zkprov.journal.parent)
        scene.zkprov.journal.parent.mkdir()
    scene.resumed(scene.elsewhere if where == "elsewhere" else scene.zkprov)


@pytest.mark.real
@pytest.mark.matrix(keep=1)
@pytest.mark.parametrize("instant", EVERY, ids=str)
def test_killed_and_aborted(scene: Scene, instant: Instant) -> None:
    running = scene.add()
    scene.reach(running, instant, late=scene.rng.random() < 0.5)
    running.process.kill()
    running.process.wait()
    voted = re.compile(rf"^server\.{NEW}=\S+:participant;", re.MULTILINE)
    done = scene.rng.choice([scene.zkprov, scene.elsewhere])("abort").expect(0)
    if voted.search(live_config(*scene.lab.founders)):
        assert "is in it and stays" in done.said or "nothing to abort" in done.said
        scene.planned()
    else:
        scene.former(untouched="nothing to abort" in done.said)


@pytest.mark.real
@pytest.mark.matrix(keep=1, of="the longest faults")
def test_killed_again_and_again(scene: Scene) -> None:
    """Also the resume of a resume is killed, three times."""
    running = scene.add()
    scene.reach(running, Instant(1, "act"), late=True)
    for instant in (Instant(0, "run.resumed"), Instant(1, "act", 2), Instant(2, "act")):
        running.process.kill()
        running.process.wait()
        running = scene.zkprov.start("resume", "--events", str(scene.events))
        scene._running.append(running)
        scene.reach(running, instant, late=True)
    running.process.kill()
    running.process.wait()
    scene.resumed(scene.elsewhere)
