"""Several zkprovs at once: locks, fences, the kill switch, and a run that was taken over while it slept."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.faults.scene import QUICK, Instant, Scene, instants
from tests.real.driver import client, edited_inventory, events_in, live_config, version_of, wait_for


@pytest.mark.real
@pytest.mark.matrix(keep=1)
@pytest.mark.parametrize(
    "instant",
    instants("1 step.begun\n1 act\n1 step.done\n2 gates\n2 act\n2 step.done\n3 sample\n3 act\n3 answer\n4 step.begun"),
    ids=str,
)
def test_a_run_that_was_taken_over_changes_nothing_more(scene: Scene, instant: Instant) -> None:
    running = scene.add()
    scene.reach(running, instant, late=scene.rng.random() < 0.5)
    running.process.send_signal(signal.SIGSTOP)
    scene.elsewhere("resume").expect(0)
    members = [*scene.lab.founders, scene.new]
    servers, config, run = scene.servers(), live_config(*members), scene.ledger("run")
    newcomer = _created(scene, "members/4")
    running.process.send_signal(signal.SIGCONT)
    done = running.wait(60)
    if "nothing to resume" not in done.said and done.code != 0:
        done.expect(7, "taken over")
    assert (scene.servers(), live_config(*members), scene.ledger("run")) == (servers, config, run)
    assert _created(scene, "members/4") == newcomer, "the newcomer's time was begun again"
    assert set(scene.history().values()) <= {"stopped", "done"}
    scene.zkprov("resume").expect(0, "nothing to resume")
    scene.planned()
    assert set(scene.history().values()) == {"done"}, "the first machine has learnt how it ended"


def _created(scene: Scene, name: str) -> int:
    with client(*scene.lab.founders) as session:
        return int(session.exists(f"/zkprov/{name}").czxid)


@pytest.mark.real
@pytest.mark.matrix(keep=1, of="the longest faults")
@pytest.mark.matrix(keep=1, of="the slow ones")
def test_a_lock_that_lives_is_not_waited_for_for_ever(scene: Scene) -> None:
    running = scene.add("--settle", "300s")
    scene.reach(running, Instant(4, "settling"))
    began = time.monotonic()
    scene.elsewhere("resume").expect(5, "held by", "/zkprov/lock")
    assert time.monotonic() - began < 25
    scene.elsewhere("add-node", "zk5", *QUICK, "--timeout", "15").expect(5, "held by")
    assert running.process.poll() is None
    running.process.kill()
    running.process.wait()
    scene.zkprov("abort").expect(0, "is in it and stays")
    scene.planned()


@pytest.mark.real
def test_two_at_once(scene: Scene) -> None:
    first = scene.add()
    second = scene.elsewhere.start("add-node", "zk5", *QUICK)
    codes = sorted((first.wait().code, second.wait().code))
    assert codes[0] == 0 and codes[1] in (5, 6), codes
    config = live_config(*scene.lab.founders)
    assert ("server.4=" in config) != ("server.5=" in config)
    assert not (scene.servers(4) and scene.servers(5)), "two joiners were started"
    assert scene.zkprov("check").code == 0


@pytest.mark.real
def test_the_kill_switch(scene: Scene) -> None:
    before = version_of(live_config(*scene.lab.founders))
    running = scene.add()
    scene.reach(running, Instant(1, "act"))
    scene.elsewhere("pause", "--reason", "the building is on fire").expect(0)
    done = running.wait(60).expect(7, "the building is on fire", "zkprov unpause")
    assert version_of(live_config(*scene.lab.founders)) == before, "it stops before the next act"
    assert set(scene.history().values()) == {"stopped"}, done
    scene.zkprov("resume").expect(5, "the building is on fire")
    scene.elsewhere("unpause").expect(0)
    scene.resumed()
    scene.zkprov("pause", "--reason", "holidays").expect(0)
    scene.zkprov("add-node", "zk5", *QUICK).expect(5, "holidays")
    assert not scene.servers(5)


@pytest.mark.real
def test_a_host_that_another_run_has(scene: Scene) -> None:
    fence = Path(f"{scene.new.config_dir}.zkprov") / "run"
    fence.parent.mkdir(parents=True)
    fence.write_text("abc123")
    scene.add().wait().expect(5, "abc123", "zk4")
    assert not scene.servers(4) and scene.ledger("run") is None
    fence.unlink()
    scene.former(untouched=True)
    # and where it is taken a moment later
    running = scene.add()
    scene.reach(running, Instant(1, "step.begun"))
    fence.write_text("abc123")
    done = running.wait()
    assert fence.read_text() == "abc123" or done.code == 0, done
    if done.code:
        done.expect(5, "abc123")
        fence.unlink()
        scene.former(untouched=True)


@pytest.mark.real
def test_a_plan_is_applied_once(scene: Scene) -> None:
    plan = scene.folder / "plan.json"
    scene.zkprov("plan", "add", "zk4", *QUICK[1:], "--out", str(plan)).expect(0)
    running = scene.zkprov.start("apply", str(plan), "--yes", "--events", str(scene.events))
    scene._running.append(running)
    scene.reach(running, Instant(1, "act"))
    running.process.kill()
    running.process.wait()
    wait_for(lambda: "held by" not in scene.zkprov("apply", str(plan), "--yes").said, what="the lock")
    scene.zkprov("apply", str(plan), "--yes").expect(5, "unfinished", "zkprov resume")
    scene.zkprov("abort").expect(0)
    scene.former()
    # what was undone may be begun again with the same plan: the list is what it was
    scene.zkprov("apply", str(plan), "--yes", "--events", str(scene.events)).expect(0)
    scene.planned()
    # and once its end stands there is nothing to do
    scene.zkprov("apply", str(plan), "--yes").expect(0, "nothing to do")
    scene.planned()
    assert [e["evidence"]["state"] for e in events_in(scene.events) if e["kind"] == "run.ended"] == ["done"]


@pytest.mark.real
def test_a_run_whose_inventory_changed_meanwhile_can_be_ended(scene: Scene, tmp_path: Path) -> None:
    """Neither taken up nor in the way for ever; and not ended at a place where its joiner never was."""
    running = scene.add()
    scene.reach(running, Instant(2, "answer"))
    running.process.kill()
    running.wait()
    settings = {"tickTime": "1500"}
    changed = scene.elsewhere.with_inventory(
        edited_inventory(scene.lab, tmp_path / "c.yml", "zk5", zkprov_settings=settings)
    )
    moved = edited_inventory(scene.lab, tmp_path / "m.yml", "zk4", zkprov_client_port=1)
    scene.elsewhere.with_inventory(moved)("abort").expect(6, "zk4 is at", "the plan has server.4=", "zkprov abort")
    changed("resume").expect(6, "the inventory is not the one", "or end the run: zkprov abort")
    changed("add-node", "zk5", *QUICK).expect(5, "is unfinished")
    changed("abort").expect(0, "Aborted run", "4 is not in the list", "its disk is at")
    scene.former()
