"""SIGINT and SIGTERM at any instant: exit 7 within 5 s, recorded, and `resume` completes; also while the ensemble hangs."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.faults.scene import EVERY, Instant, Scene, instants
from tests.real.driver import Done, Running, wait_for

LIMIT_S = 5.0


def stop(running: Running, number: signal.Signals, *, again: bool = True) -> Done:
    """Signals the command, and once more a moment later; it ends in time."""
    began = time.monotonic()
    running.process.send_signal(number)
    if again and running.process.poll() is None:
        time.sleep(0.1)  # in the middle of whatever the first one began
        running.process.send_signal(number)
    done = running.wait(30)
    assert time.monotonic() - began <= LIMIT_S, done
    return done


def hears(pid: int, number: signal.Signals) -> bool:
    """Whether the process catches the signal, as the kernel tells."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1]
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.real
@pytest.mark.matrix(keep=1)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
@pytest.mark.parametrize("instant", EVERY, ids=str)
def test_a_signal_at_any_instant(scene: Scene, instant: Instant, number: signal.Signals) -> None:
    running = scene.add()
    scene.reach(running, instant, late=scene.rng.random() < 0.5)
    done = stop(running, number)
    if done.code == 0:  # it was done before the signal was heard
        assert "done: {1,2,3,4}" in done.said
        scene.planned()
        return
    done.expect(7)
    states = set(scene.history().values())
    assert states <= {"stopped", "aborted"}, states
    scene.resumed(scene.rng.choice([scene.zkprov, scene.elsewhere]))


@pytest.mark.real
@pytest.mark.matrix(keep=2, of="rarer faults")
@pytest.mark.parametrize(
    "instant", instants("1 step.begun\n1 act\n2 step.begun\n2 act\n3 sample\n3 act\n4 step.begun"), ids=str
)
def test_a_signal_while_the_ensemble_hangs(scene: Scene, instant: Instant) -> None:
    running = scene.add()
    scene.reach(running, instant)
    scene.signal(signal.SIGSTOP, 1, 2, 3)
    time.sleep(scene.rng.uniform(0, 3))  # chance is the point: whatever it waits for by now
    done = stop(running, scene.rng.choice([signal.SIGINT, signal.SIGTERM]))
    scene.signal(signal.SIGCONT, 1, 2, 3)
    done.expect(7)
    assert set(scene.history().values()) == {"stopped"}
    wait_for(scene.leader, what="a leader")
    wait_for(lambda: scene.zkprov("check").code == 0 or scene.servers(4), what="a healthy ensemble")
    scene.resumed()


@pytest.mark.real
def test_a_signal_while_resume_waits_for_the_lock(scene: Scene) -> None:
    running = scene.add()
    scene.reach(running, Instant(1, "act"))
    running.process.kill()
    running.process.wait()
    resuming = scene.zkprov.start("resume")
    # before that Python itself is still starting, and ends as the system has it
    wait_for(lambda: hears(resuming.process.pid, signal.SIGTERM) or resuming.process.poll() is not None)
    time.sleep(scene.rng.uniform(0, 3))  # chance is the point
    stop(resuming, signal.SIGTERM).expect(7)
    scene.resumed()
