"""Members are restarted one after another, and something breaks at any instant: in the end every voter votes, and each was restarted."""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scene import QUICK, Instant, Scene, admin, instants
from tests.real.conftest import MakeLab
from tests.real.driver import Done, Running, Zkprov, live_config, mode, wait_for
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


@pytest.mark.matrix(keep=2, of="restarts")
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


@pytest.mark.matrix(keep=2, of="restarts")
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
