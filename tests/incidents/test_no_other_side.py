"""A leader that cannot lead and has no other side: seen by name, refused by heal with what to do; done to the letter, that leads out."""

from __future__ import annotations

import re
import resource
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from tests.incidents import outcomes
from tests.incidents.conftest import Broken
from tests.incidents.ways_out import nothing_is_lost, one_ensemble
from tests.real.driver import QUICK, Zkprov, mode, wait_for
from zkprov.act.local import LocalHost
from zkprov.lab.lab import Lab
from zkprov.lab.writers import stop_writers
from zkprov.model.inventory import InventoryHost

pytestmark = [pytest.mark.real, pytest.mark.matrix(keep=2, of="ways out")]


class Told:
    """What one `zkprov status` says, and `zkprov heal` beside it."""

    def __init__(self, zkprov: Zkprov, shape: str) -> None:
        began = time.monotonic()
        document = zkprov("status", "--output", "json").json
        self.seen_s = time.monotonic() - began
        (incident,) = document["incidents"]
        assert incident["shape"] == shape and incident["evidence"], incident
        self.steps: list[str] = incident["next"]
        refused = zkprov("heal", "--yes").expect(4, f"{shape}: ", "there is no other side to fence")
        assert all(re.sub(r"\s+", " ", step) in refused.said for step in self.steps[:1]), "heal says what to do as well"

    def step(self, words: str) -> str:
        """The one of them that has these words, up to its explanation."""
        return re.split(r"  +|[:;] the others|, and start it", next(s for s in self.steps if words in s))[0]

    def restart(self, zkprov: Zkprov) -> None:
        """As it is typed; and what a machine that nobody sits at adds to it."""
        said = shlex.split(self.step("zkprov restart"))
        assert said[0] == "zkprov"
        zkprov(*said[1:], *QUICK).expect(0)

    def stop(self, lab: Lab) -> InventoryHost:
        """The server that is to be stopped, by the command for it."""
        command = self.step("pkill -f ").partition("pkill -f ")[2]
        host = next(h for h in lab.hosts if command == f"{h.config_dir}/zoo.cfg")
        subprocess.run(["pkill", "-f", command], check=True)
        wait_for(lambda: not LocalHost(host).is_active(), what=f"{host.name} has ended")
        return host


def well_again(lab: Lab, zkprov: Zkprov) -> tuple[float, dict[str, int]]:
    """One leader, writes served by all, `check` 0, and nothing lost: when `check` said so, and what became of acknowledged writes."""
    wait_for(lambda: zkprov("check").code == 0, 60, "check says that all is well")
    well = time.monotonic()
    stop_writers(lab.folder)
    one_ensemble(lab, zkprov, list(lab.founders))
    there, letters, rest = nothing_is_lost(lab, list(lab.founders), [], ())
    assert there and not letters and not rest, rest
    return well, {"there": there, "letters": letters, "gone": len(rest)}


def make_room(host: InventoryHost) -> None:
    """What stands for room in a lab: its server may write files as large as it likes (`fill`)."""
    for process in LocalHost(host).processes():
        _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))


def test_a_full_disk(broken: Broken, tmp_path: Path) -> None:
    lab, _ = broken("full-disk-leader")
    zkprov = Zkprov(lab, tmp_path / "runs")
    told = Told(zkprov, "full-disk")
    began = time.monotonic()
    place = told.step("make room on ") if any("make room on" in s for s in told.steps) else told.step("is room on ")
    host = next(h for h in lab.founders if f"on {h.name} (df -h " in place)
    assert f"(df -h {host.data_log_dir})" in place or f"(df -h {host.data_dir})" in place
    if LocalHost(host).is_active():
        make_room(host)
    if not LocalHost(host).is_active():
        told.restart(zkprov)
    well, writes = well_again(lab, zkprov)
    outcomes.keep(shape="full-disk-leader", named="full-disk", seen_s=told.seen_s, healed_s=well - began, **writes)


def test_a_full_disk_and_no_room_to_be_had(broken: Broken, tmp_path: Path) -> None:
    """Its server is stopped: the others elect one that can write. Started again (with room, since it is another process) all is well."""
    lab, _ = broken("full-disk-leader")
    zkprov = Zkprov(lab, tmp_path / "runs")
    told = Told(zkprov, "full-disk")
    if any("pkill" in s for s in told.steps):
        told.stop(lab)
    wait_for(
        lambda: zkprov("status", "--output", "json").json["ensemble"]["verdict"] == "degraded", 30, "the others go on"
    )
    told.restart(zkprov)
    well_again(lab, zkprov)


def test_a_leader_that_does_not_know_its_name(broken: Broken, tmp_path: Path) -> None:
    lab, _ = broken("unresolvable-name")
    zkprov = Zkprov(lab, tmp_path / "runs")
    told = Told(zkprov, "cannot-commit")
    began = time.monotonic()
    leader = told.stop(lab)
    assert told.step("getent hosts").startswith(f"on {leader.name}: ")
    told.restart(zkprov)
    well, writes = well_again(lab, zkprov)
    outcomes.keep(shape="unresolvable-name", named="cannot-commit", seen_s=told.seen_s, healed_s=well - began, **writes)


def test_a_promotion_that_nobody_can_acknowledge(broken: Broken, tmp_path: Path) -> None:
    """By hand: it is no run of zkprov's."""
    lab, _ = broken("pending-promotion")
    zkprov = Zkprov(lab, tmp_path / "runs")
    told = Told(zkprov, "cannot-commit")
    began = time.monotonic()
    zkprov("resume").expect(4, "no session could be opened")
    promoted = told.stop(lab)
    assert promoted == lab.host(4)
    LocalHost(promoted).start()  # "as it is started there"
    well, writes = well_again(lab, zkprov)
    assert mode(lab.host(4)) in ("follower", "leader"), "it votes"
    outcomes.keep(shape="pending-promotion", named="cannot-commit", seen_s=told.seen_s, healed_s=well - began, **writes)
