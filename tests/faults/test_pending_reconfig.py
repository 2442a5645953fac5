"""A voter stands still as the promotion is asked for, for longer than the leader waits for it: what was proposed can never be committed.

The joiner's acknowledgement does not count before it votes; who wakes votes by both lists and finds no leader. The run restarts the joiner.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scene import LISTS, NEW, Instant, Scene
from tests.real.conftest import MakeLab
from tests.real.driver import Running, client, events_in, live_config, mode, wait_for, word
from zkprov.act.local import LocalHost
from zkprov.run.ledger import LOCK

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
MENDED = "waits to be committed"


@pytest.fixture
def quick(make_lab: MakeLab, tmp_path: Path, rng: random.Random) -> Iterator[Scene]:
    """As `scene`, of servers that give each other up after 2.5 s."""
    with Scene(make_lab(3, seats=rng.choice(LISTS), tick_ms=500), tmp_path, rng) as found:
        yield found


def without_the_run(scene: Scene) -> int:
    """A follower that has no session of the run's: what is asked for is asked of others."""
    with client(*scene.lab.founders) as session:
        (lock,) = session.get_children(LOCK)
        (_, stat) = session.get(f"{LOCK}/{lock}")
    held = next(h.id for h in scene.lab.founders if f"sid=0x{stat.ephemeralOwner:x}" in word(h, "cons"))
    return next(h.id for h in scene.lab.founders if h.id not in (held, scene.leader()) and h.id)


def stuck(scene: Scene, *, wakes: bool = True) -> tuple[Running, int]:
    """The run, which waits for its answer, and who stood still; it goes on when the leader has given it up."""
    running = scene.add("--step-timeout", "40")
    scene.reach(running, Instant(3, "step.begun"))
    still = without_the_run(scene)
    scene.reach(running, Instant(3, "gates"))
    # between its last look and what it asks for
    running.signal(signal.SIGSTOP)
    scene.woken.add(scene.lab.host(still).name)
    scene.signal(signal.SIGSTOP, still)
    running.signal(signal.SIGCONT)
    leader = scene.lab.host(scene.leader())
    wait_for(lambda: "zk_synced_followers\t1" in word(leader, "mntr"), what="the leader gives it up")
    assert next_list(scene, leader.id), "nothing was proposed"
    if wakes:
        scene.signal(signal.SIGCONT, still)
    return running, still


def next_list(scene: Scene, server_id: int | None) -> bool:
    return any(Path(scene.lab.host(server_id or 0).config_dir).glob("zoo.cfg.dynamic.next"))


@pytest.mark.matrix(keep=1, of="the longest faults")
@pytest.mark.parametrize("how", ["by itself", "resume", "abort"])
def test_a_voter_stands_still_as_the_promotion_is_asked_for(quick: Scene, how: str) -> None:
    running, _ = stuck(quick)
    if how == "by itself":
        done = running.wait(120).expect(0, "done: {1,2,3,4}")
    else:
        running.process.kill()
        running.process.wait()
        # nothing of the run is known there, and nobody can be asked: what is wrong is told, and what a person can do
        quick.elsewhere("resume").expect(4, "no session could be opened")
        quick.elsewhere("status").expect(3, "cannot-commit", MENDED, "it restarts zk4", "look by both lists")
        quick.elsewhere("heal", "--yes").expect(4, "there is no other side to fence", MENDED)
        done = quick.zkprov(how).expect(0, "is in it and stays" if how == "abort" else "done: {1,2,3,4}")
    assert MENDED in done.said and "restart zk4, so that all elect" in done.said, done
    nobody_is_held(quick)


def nobody_is_held(scene: Scene) -> None:
    assert all(LocalHost(h).fenced_by() is None for h in (*scene.lab.founders, scene.new))
    scene.planned()


@pytest.mark.matrix(keep=1, of="the longest faults")
@pytest.mark.parametrize("ends", ["resume", "abort"])
def test_killed_after_it_has_stopped_the_joiner(quick: Scene, ends: str) -> None:
    """The others elect without it meanwhile, and commit."""
    running, _ = stuck(quick)
    was = quick.servers(NEW)
    wait_for(lambda: [e for e in events_in(quick.events) if e["kind"] == "mend"], 60, "the restart")
    wait_for(lambda: quick.servers(NEW) != was, what="it is stopped")
    running.process.kill()
    running.process.wait()
    # as if it had been killed a moment earlier: this test cannot come between the two
    quick.signal(signal.SIGKILL, NEW)
    wait_for(
        lambda: sorted(mode(h) for h in quick.lab.founders) == ["follower", "follower", "leader"], 60, "they elect"
    )
    wait_for(lambda: f"server.{NEW}=" in live_config(*quick.lab.founders), 60, "it is committed")
    assert not quick.servers(NEW)
    quick.zkprov(ends).expect(0, "is in it and stays" if ends == "abort" else "done: {1,2,3,4}")
    nobody_is_held(quick)


@pytest.mark.matrix(keep=1, of="the longest faults")
def test_stopped_by_a_signal_while_it_elects(quick: Scene) -> None:
    running, _ = stuck(quick)
    wait_for(lambda: [e for e in events_in(quick.events) if e["kind"] == "mend"], 60, "the restart")
    running.signal(signal.SIGINT)
    running.wait(60).expect(7, "zkprov resume")
    quick.zkprov("resume").expect(0, "done: {1,2,3,4}")
    nobody_is_held(quick)


@pytest.mark.matrix(keep=1, of="the longest faults")
def test_the_voter_is_gone_for_good(quick: Scene) -> None:
    """Then who is promoted votes in its place; its run waits for the one that is missing, and stops with the joiner a voter."""
    running, still = stuck(quick, wakes=False)
    quick.signal(signal.SIGKILL, still)
    wait_for(lambda: [e for e in events_in(quick.events) if e["kind"] == "mend"], 60, "the restart")
    left = [h for h in (*quick.lab.founders, quick.new) if h.id != still]
    wait_for(lambda: sorted(mode(h) for h in left) == ["follower", "follower", "leader"], 60, "they elect without it")
    with client(*left) as session:
        session.create("/written")
    LocalHost(quick.lab.host(still)).start()
    done = running.wait(120)
    if done.code == 7:
        done = quick.zkprov("resume")
    done.expect(0, "done: {1,2,3,4}")
    nobody_is_held(quick)
