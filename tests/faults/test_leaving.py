"""A leader leaves an ensemble of four, and something breaks at any instant: it has left, completely, or is what it was."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.faults.departure import LEAVING, Departure
from tests.faults.scene import LISTS, Instant, instants
from tests.real.conftest import MakeLab
from tests.real.driver import edited_inventory, wait_for
from zkprov.act.local import LocalHost

pytestmark = pytest.mark.real


@pytest.fixture
def scene(make_lab: MakeLab, tmp_path: Path, rng: random.Random) -> Iterator[Departure]:
    with Departure(make_lab(4, seats=rng.choice(LISTS)), tmp_path, rng) as found:
        yield found


@pytest.mark.matrix(keep=2, of="members that leave")
@pytest.mark.parametrize("late", [False, True], ids=["now", "late"])
@pytest.mark.parametrize("instant", LEAVING, ids=str)
def test_killed_and_resumed(scene: Departure, instant: Instant, late: bool) -> None:
    running = scene.remove()
    scene.reach(running, instant, late=late)
    running.process.kill()
    running.process.wait()
    where = scene.rng.choice(["here", "journal lost", "elsewhere"])
    if where == "journal lost":
        shutil.rmtree(scene.zkprov.journal.parent)
        scene.zkprov.journal.parent.mkdir()
    scene.resumed(scene.elsewhere if where == "elsewhere" else scene.zkprov)


@pytest.mark.matrix(keep=2, of="members that leave")
@pytest.mark.parametrize("instant", LEAVING, ids=str)
def test_killed_and_aborted(scene: Departure, instant: Instant) -> None:
    """A vote that was only given up is given back; out of the list is out, and what lies there is remembered."""
    running = scene.remove()
    scene.reach(running, instant, late=scene.rng.random() < 0.5)
    running.process.kill()
    running.process.wait()
    done = scene.rng.choice([scene.zkprov, scene.elsewhere])("abort").expect(0)
    if scene.line():
        scene.former()
    elif scene.set_aside() and scene.ledger(f"retired/{scene.new.id}")["fate"] == "set aside":
        assert "is out of it" in done.said or "nothing to abort" in done.said
        scene.planned()
    else:
        assert "is out of it, its disk is remembered" in done.said
        scene.given_up()


@pytest.mark.matrix(keep=2, of="members that leave")
def test_given_up_without_its_host(scene: Departure) -> None:
    """Who was removed, and not retired yet, is taken out of the inventory: the run can be ended, and its disk stays named."""
    running = scene.remove()
    scene.reach(running, Instant(4, "step.begun"))
    running.process.kill()
    running.process.wait()
    without = edited_inventory(scene.lab, scene.folder / "without.yml")
    document = yaml.safe_load(without.read_text())
    del document["all"]["children"][scene.lab.name]["hosts"][scene.new.name]
    without.write_text(yaml.safe_dump(document, sort_keys=False))
    other = scene.elsewhere.with_inventory(without)
    other("resume").expect(6, "zkprov abort")
    if not scene.set_aside():
        other("abort").expect(0, "its disk is remembered")
        scene.given_up()


@pytest.mark.matrix(keep=2, of="members that leave")
@pytest.mark.parametrize("instant", LEAVING[1:], ids=str)
def test_terminated_it_ends_at_once(scene: Departure, instant: Instant) -> None:
    running = scene.remove()
    scene.reach(running, instant, late=scene.rng.random() < 0.5)
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    done = running.wait(30)
    assert done.code in (0, 7) and time.monotonic() - began < 6, done
    scene.resumed()


@pytest.mark.matrix(keep=2, of="members that leave")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "paused"])
@pytest.mark.parametrize(
    "instant", instants("1 act\n2 sample\n2 act\n2 answer\n3 sample\n3 act\n3 answer\n4 gates\n4 act"), ids=str
)
def test_who_leaves_need_not_answer(scene: Departure, instant: Instant, how: signal.Signals) -> None:
    """The leader fails as it leaves: there is an election then, and it leaves all the same."""
    assert scene.new.id is not None
    running = scene.remove("--step-timeout", "40")
    scene.reach(running, instant)
    scene.signal(how, scene.new.id)
    done = running.wait(150)
    if done.code == 7:
        scene.zkprov("resume").expect(0)
    else:
        done.expect(0)
    scene.planned()


@pytest.mark.matrix(keep=2, of="members that leave")
@pytest.mark.parametrize(
    "instant", instants("1 act\n2 sample\n2 act\n2 answer\n3 sample\n3 act\n3 answer\n4 gates\n4 act"), ids=str
)
def test_another_member_fails(scene: Departure, instant: Instant) -> None:
    """With one of the rest down nobody leaves; what is done already stands, and goes on when it is back."""
    other = scene.rng.choice(scene.rest)
    assert other.id is not None
    running = scene.remove("--step-timeout", "6")
    scene.reach(running, instant)
    scene.signal(signal.SIGKILL, other.id)
    done = running.wait(120)
    LocalHost(other).start()
    scene.elected()
    wait_for(lambda: scene.zkprov("check").code == 0, 60, "health")
    assert done.code in (0, 4, 7), done
    if done.code == 4:
        scene.former()
    elif done.code == 7:
        scene.zkprov("resume").expect(0)
        scene.planned()
    else:
        scene.planned()
