"""Members are restarted one after another, and something breaks at any instant: in the end every voter votes, and each was restarted."""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scene import QUICK, Instant, Scene, admin, instants
from tests.real.conftest import MakeLab
from tests.real.driver import Done, Running, Zkprov, edited_inventory, events_in, live_config, mode, wait_for
from zkprov.act.local import LocalHost

pytestmark = pytest.mark.real
# every event of the restart of one that follows, and of the leader, each of them next to a different act, write or wait
FOLLOWER = instants("1 step.begun\n1 sample\n1 gates\n1 act\n1 act 2\n1 sample 3\n1 gates 2\n1 step.done")
LEADER = instants(
    "3 gates\n3 step.begun\n3 gates 2\n3 act\n3 answer\n3 act 2\n3 answer 2\n3 act 3\n3 sample\n3 gates 3\n3 step.done"
)
EVERY = (Instant(0, ""), *instants("0 run.begun"), *FOLLOWER, *LEADER)
STEP = ("--settle", "0")


class Rolling(Scene):
    """As a `Scene`, of which nobody comes in or leaves."""

    def restart(self, *more: str) -> Running:
        self.led = self.leader()
        self.before = self.pids()
        running = self.zkprov.start("restart", *QUICK, *STEP, *more, "--events", str(self.events))
        self._running.append(running)
        return running

    def modes(self) -> dict[int, str]:
        return {h.id or 0: mode(h) for h in self.lab.founders}

    def pids(self) -> dict[int, int]:
        return {h.id or 0: p.pid for h in self.lab.founders for p in LocalHost(h).processes()}

    def everybody_votes(self) -> None:
        """As before: the same list in memory and on disk, everybody votes, and nothing of the run stands."""
        hosts = list(self.lab.founders)
        wait_for(lambda: self.zkprov("check").code == 0, what="a healthy ensemble")
        self._same_list(hosts)
        assert len(re.findall(r":participant;", live_config(*hosts))) == len(hosts)
        assert all(admin(h, "zabstate")["voting"] for h in hosts)
        assert not any((Path(f"{h.config_dir}.zkprov") / "run").exists() for h in hosts), "a fence is left"
        self.healthy()

    def restarted(self) -> None:
        now = self.pids()
        assert now.keys() == self.before.keys() and not set(now.values()) & set(self.before.values()), "all run anew"
        self.everybody_votes()

    def resumed(self, machine: Zkprov | None = None) -> Done:
        done = (machine or self.zkprov)("resume", "--events", str(self.folder / "resumed.jsonl")).expect(0)
        if "nothing to resume" in done.said:
            # it was killed before anything was begun, or when all was done
            assert self.pids() == self.before or not set(self.pids().values()) & set(self.before.values())
            self.everybody_votes()
        else:
            self.restarted()
        return done


@pytest.fixture
def scene(make_lab: MakeLab, tmp_path: Path, rng: random.Random) -> Iterator[Rolling]:
    with Rolling(make_lab(3), tmp_path, rng) as found:
        yield found


@pytest.mark.matrix(keep=1, of="restarts")
@pytest.mark.parametrize("taken_up", ["here", "elsewhere", "given up"])
@pytest.mark.parametrize("instant", EVERY, ids=str)
def test_killed(scene: Rolling, instant: Instant, taken_up: str) -> None:
    running = scene.restart()
    scene.woken.add(scene.lab.host(scene.led).name)
    scene.reach(running, instant, late=scene.rng.random() < 0.5)
    running.process.kill()
    running.process.wait()
    if taken_up == "given up":
        scene.zkprov("abort").expect(0)
        scene.everybody_votes()
    else:
        scene.resumed(scene.elsewhere if taken_up == "elsewhere" else scene.zkprov)


@pytest.mark.matrix(keep=1, of="restarts")
@pytest.mark.parametrize("ended", ["the one that is restarted", "the leader", "another follower"])
@pytest.mark.parametrize("instant", [*FOLLOWER, *LEADER], ids=str)
def test_a_server_is_killed(scene: Rolling, instant: Instant, ended: str) -> None:
    """It is started again, by whoever looks after it, and the run goes on, by itself or by `resume`."""
    running = scene.restart()
    scene.woken.add(scene.lab.host(scene.led).name)
    scene.reach(running, instant, late=scene.rng.random() < 0.5)
    order = [i for i in sorted(scene.before) if i != scene.led] + [scene.led]
    own = order[instant.step - 1]
    others = [i for i in order if i != own]
    leads = next(
        (h.id for h in scene.lab.founders if h.id in others and scene.modes().get(h.id) == "leader"), others[0]
    )
    target = {
        "the one that is restarted": own,
        "the leader": leads,
        "another follower": next(i for i in others if i != leads),
    }[ended]
    scene.signal(signal.SIGKILL, target)
    if target != own:
        LocalHost(scene.lab.host(target)).start()
    done = running.wait(120)
    assert done.code in (0, 4, 7), done
    if target == own and not LocalHost(scene.lab.host(own)).processes():
        LocalHost(scene.lab.host(own)).start()
    if done.code == 7:
        wait_for(lambda: scene.zkprov("resume").code in (0, 4), 60, "a run that can be taken up")
    scene.everybody_votes()


def _wait_for_act(scene: Rolling, running: Running, what: str) -> None:
    wait_for(
        lambda: (
            running.process.poll() is not None
            or any(e["kind"] == "act" and what in e["evidence"]["what"] for e in events_in(scene.events))
        ),
        60,
        what,
    )


def _killed_with_one_stopped(scene: Rolling) -> tuple[int, int]:
    """zkprov is gone, and the first follower is down; it, and the other follower."""
    leader = scene.leader()
    first, other = (i for i in (1, 2, 3) if i != leader)
    running = scene.restart("--only", f"zk{first}")
    _wait_for_act(scene, running, f"zk{first}: stop")
    running.process.kill()
    running.process.wait()
    for process in scene.servers(first):  # the start was quicker than the kill
        os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not scene.servers(first), what="its end")
    return first, other


@pytest.mark.matrix(keep=1, of="restarts that meet something else")
def test_another_dies_while_one_is_stopped(scene: Rolling) -> None:
    """Then nobody can write until the stopped one is back: it is started, whatever the ensemble says."""
    leader = scene.leader()
    first, other = (i for i in (1, 2, 3) if i != leader)
    running = scene.restart("--only", f"zk{first}")
    _wait_for_act(scene, running, f"zk{first}: stop")
    scene.signal(signal.SIGKILL, other)
    done = running.wait(120)
    assert done.code in (4, 7), done
    assert scene.servers(first), "the one that was stopped runs again"
    wait_for(scene.leader, what="a leader, by the two that are left")
    LocalHost(scene.lab.host(other)).start()
    wait_for(lambda: scene.zkprov("resume").code in (0, 4), 60, "a run that can be taken up")
    scene.everybody_votes()


@pytest.mark.matrix(keep=1, of="restarts that meet something else")
@pytest.mark.parametrize("taken_up", ["resume", "abort"])
def test_nobody_serves_since_zkprov_was_killed_with_one_stopped(scene: Rolling, taken_up: str) -> None:
    first, other = _killed_with_one_stopped(scene)
    scene.signal(signal.SIGKILL, other)
    wait_for(lambda: not any(mode(h) for h in scene.lab.founders), what="nobody that serves")
    said = scene.zkprov(taken_up)
    assert scene.servers(first), (said, "the one that was stopped runs again")
    LocalHost(scene.lab.host(other)).start()
    wait_for(lambda: scene.zkprov("resume").code in (0, 4), 60, "a run that can be taken up")
    scene.everybody_votes()


@pytest.mark.matrix(keep=1, of="restarts that meet something else")
@pytest.mark.parametrize("taken_up", ["resume", "abort"])
def test_its_data_is_gone_when_the_run_is_taken_up(scene: Rolling, taken_up: str) -> None:
    """R5: neither the run nor its undoing starts an empty voter."""
    first, _ = _killed_with_one_stopped(scene)
    host, aside = scene.lab.host(first), scene.folder / "aside"
    data = [Path(d) / "version-2" for d in (host.data_dir, host.data_log_dir)]
    aside.mkdir()
    for number, folder in enumerate(data):
        if folder.exists():
            folder.rename(aside / str(number))
    told = "is unfinished (step 1): zkprov resume, or zkprov abort"
    wait_for(lambda: told in scene.zkprov("status").said, 30, "the end of the lock of who was killed")
    said = scene.zkprov(taken_up)
    assert said.code == (7 if taken_up == "resume" else 4), said
    assert "its data is gone" in said.said or taken_up == "abort"
    assert not scene.servers(first), "an empty voter was started"
    for number, folder in enumerate(data):
        if (aside / str(number)).exists():
            (aside / str(number)).rename(folder)
    if taken_up == "resume":
        scene.zkprov("resume").expect(0)
    else:
        scene.zkprov("restart", "--only", f"zk{first}", *QUICK, *STEP).expect(0)
    scene.everybody_votes()


@pytest.mark.matrix(keep=1, of="restarts that meet something else")
def test_who_slept_while_his_run_was_taken_over_stops_nobody(scene: Rolling) -> None:
    leader = scene.leader()
    running = scene.restart("--only", f"zk{leader}")
    scene.woken.add(f"zk{leader}")
    _wait_for_act(scene, running, "observer")
    os.kill(running.process.pid, signal.SIGSTOP)
    try:
        # its session is to end, for its lock to be given up
        scene.elsewhere("resume", timeout_s=180).expect(0)
        now = scene.pids()
    finally:
        os.kill(running.process.pid, signal.SIGCONT)
    done = running.wait(120)
    assert done.code in (0, 7), done
    assert scene.pids() == now, "what the other made of it stands"
    scene.everybody_votes()


@pytest.mark.matrix(keep=1, of="restarts that meet something else")
def test_files_that_do_not_start_are_taken_back_from_the_only_server(make_lab: MakeLab, tmp_path: Path) -> None:
    """While it is down nobody can be asked for leave."""
    lab = make_lab(1)
    bad = {**lab.host(1).settings, "maxSessionTimeout": "1"}
    path = edited_inventory(lab, tmp_path / "bad.yml", everywhere={"zkprov_settings": bad})
    zkprov = Zkprov(lab, tmp_path / "runs").with_inventory(path)
    before = (Path(lab.host(1).config_dir) / "zoo.cfg").read_text()
    command = ("restart", "--config", *QUICK, *STEP, "--override", "R4", "--reason", "x")
    zkprov(*command).expect(4, "has its former files and serves again")
    assert (Path(lab.host(1).config_dir) / "zoo.cfg").read_text() == before
    assert not list(Path(f"{lab.host(1).config_dir}.zkprov").glob("before-*"))
    zkprov("check").expect(0)
    zkprov("resume").expect(0, "nothing to resume")
