"""The joiner, a member or the leader dies or freezes while zk4 is on its way in."""

from __future__ import annotations

import re
import signal

import pytest

from tests.faults.scene import NEW, Instant, Scene, instants
from tests.real.driver import live_config, wait_for

UP_TO_PROMOTION = instants(
    "1 step.done\n2 step.begun\n2 gates\n2 act\n2 answer\n2 gates 2\n2 step.done\n3 step.begun\n3 sample\n3 gates"
)


def voter(scene: Scene) -> bool:
    return bool(re.search(rf"^server\.{NEW}=\S+:participant;", live_config(*scene.lab.founders), re.MULTILINE))


@pytest.mark.real
@pytest.mark.matrix(keep=1)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "paused"])
@pytest.mark.parametrize("instant", (Instant(1, "act"), *UP_TO_PROMOTION), ids=str)
def test_the_joiner_fails_before_it_votes(scene: Scene, instant: Instant, how: signal.Signals) -> None:
    others = scene.servers(1, 2, 3)
    # samples enough that those of the promotion are still being taken
    running = scene.add("--samples", "15", "--step-timeout", "6")
    scene.reach(running, instant)
    wait_for(lambda: scene.servers(NEW) or running.process.poll() is not None, what="the joiner's process")
    scene.signal(how, NEW)
    done = running.wait(90)
    assert scene.servers(1, 2, 3) == others, "another member was touched"
    if voter(scene):  # the promotion was already asked for when the signal came
        assert instant == Instant(3, "gates") and done.code in (0, 7), done
        return
    done.expect(4, "set-aside", "stopped; its disk is at")
    assert scene.set_aside()
    assert set(scene.history().values()) == {"undone"}
    scene.former()


@pytest.mark.real
@pytest.mark.matrix(keep=1, of="the slow ones")
def test_a_joiner_that_votes_is_not_taken_back(scene: Scene) -> None:
    running = scene.add("--step-timeout", "12", "--settle", "60s")
    scene.reach(running, Instant(4, "settling"))
    scene.signal(signal.SIGKILL, NEW)
    done = running.wait(60).expect(7, "voter", "zkprov resume")
    assert voter(scene) and set(scene.history().values()) == {"stopped"}, done
    scene.zkprov("add-node", "zk5", "--yes").expect(4)  # a member is missing
    from zkprov.act.local import LocalHost

    LocalHost(scene.new).start()
    wait_for(lambda: scene.zkprov("check").code == 0, what="a healthy ensemble")
    scene.zkprov("add-node", "zk5", "--yes").expect(5, "unfinished", "zkprov resume")
    scene.zkprov("abort").expect(0, "is in it and stays")
    scene.planned()


@pytest.mark.real
@pytest.mark.matrix(keep=2, of="rarer faults")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "paused"])
@pytest.mark.parametrize("which", ["leader", "follower", "other follower"])
@pytest.mark.parametrize("instant", instants("1 act\n2 gates\n2 act\n3 sample\n3 act\n3 answer"), ids=str)
def test_a_member_fails(scene: Scene, instant: Instant, which: str, how: signal.Signals) -> None:
    """One of the three holds the session that asks for the reconfig: it loses its answer. One of them leads: there is an election."""
    leader = scene.leader()
    followers = [i for i in (1, 2, 3) if i != leader]
    failing = {"leader": leader, "follower": followers[0], "other follower": followers[1]}[which]
    running = scene.add("--step-timeout", "20")
    scene.reach(running, instant)
    scene.signal(how, failing)
    returns = scene.rng.random() < 0.5
    if returns:
        wait_for(lambda: running.process.poll() is not None or scene.rng.random() < 0.02, 90, "chance")
        back(scene, failing, how)
    done = running.wait(120)
    if not returns:
        back(scene, failing, how)
    assert done.code in (0, 4, 7), done
    wait_for(lambda: len({live_config(h) for h in scene.lab.founders}) == 1, what="one list")
    if done.code == 4:
        assert set(scene.history().values()) == {"undone"}
        scene.former()
    elif done.code == 0:
        scene.planned()
    else:
        wait_for(scene.leader, what="a leader")
        scene.zkprov("resume").expect(0)
        scene.planned()


def back(scene: Scene, server_id: int, how: signal.Signals) -> None:
    """The member is started again, or goes on."""
    if how is signal.SIGSTOP:
        scene.woken.add(scene.lab.host(server_id).name)
        scene.signal(signal.SIGCONT, server_id)
    else:
        from zkprov.act.local import LocalHost

        LocalHost(scene.lab.host(server_id)).start()


@pytest.mark.real
@pytest.mark.matrix(keep=2, of="rarer faults")
@pytest.mark.parametrize("ends", ["resume", "abort"])
@pytest.mark.parametrize("instant", instants("2 step.failed\n2 undo\n2 answer 2\n2 undo 2"), ids=str)
def test_killed_while_it_undoes(scene: Scene, instant: Instant, ends: str) -> None:
    running = scene.add("--step-timeout", "4")
    scene.reach(running, Instant(2, "answer"))
    scene.signal(signal.SIGKILL, NEW)
    scene.reach(running, instant, late=scene.rng.random() < 0.5)
    running.process.kill()
    running.process.wait()
    done = scene.elsewhere(ends)
    if "nothing to" not in done.said:  # else it was undone by then
        done.expect(4 if ends == "resume" else 0)
    assert scene.set_aside()
    scene.former()
