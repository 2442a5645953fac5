"""A leader gives its vote up, or gets it back, and zkprov is killed at any instant: it is what was asked for, or what it was."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.departure import Departure
from tests.faults.scene import LISTS, QUICK, Instant, instants
from tests.real.conftest import MakeLab
from tests.real.driver import live_config, wait_for

pytestmark = pytest.mark.real
EVERY = instants("0 run.begun\n1 step.begun\n1 gates\n1 act\n1 answer\n1 gates 2\n1 step.done\n2 settling\n2 step.done")


@pytest.fixture
def scene(make_lab: MakeLab, tmp_path: Path, rng: random.Random) -> Iterator[Departure]:
    with Departure(make_lab(4, seats=rng.choice(LISTS)), tmp_path, rng) as found:
        yield found


def role(scene: Departure) -> str:
    lines = {re.search(rf"^server\.{scene.new.id}=[^;]*:(\w+);", live_config(h), re.M)[1] for h in scene.lab.founders}  # type: ignore[index]
    assert len(lines) == 1
    return lines.pop()


def turn(scene: Departure, to: str, *more: str) -> None:
    scene.zkprov("set-role", scene.new.name, to, *QUICK, *more).expect(0)


@pytest.mark.matrix(keep=2, of="members that leave")
@pytest.mark.parametrize("ends", ["resume", "abort"])
@pytest.mark.parametrize("to", ["observer", "participant"])
@pytest.mark.parametrize("instant", EVERY, ids=str)
def test_killed(scene: Departure, instant: Instant, to: str, ends: str) -> None:
    was = "participant"
    if to == "participant":
        was = "observer"
        turn(scene, was)
    running = scene.zkprov.start("set-role", scene.new.name, to, *QUICK, "--events", str(scene.events))
    scene._running.append(running)
    scene.reach(running, instant, late=scene.rng.random() < 0.5)
    running.process.kill()
    running.process.wait()
    done = scene.rng.choice([scene.zkprov, scene.elsewhere])(ends).expect(0)
    wait_for(lambda: scene.zkprov("check").code == 0, what="a healthy ensemble")
    if ends == "resume" and "nothing to resume" not in done.said:
        assert role(scene) == to
    if "votes again" in done.said:
        assert role(scene) == was == "participant"
    if "stays one" in done.said or "is in it and stays" in done.said:
        assert role(scene) == to
    assert scene.servers(scene.new.id or 0), "it runs on"
    assert not scene.set_aside() and scene.ledger(f"retired/{scene.new.id}") is None
    scene.healthy()
