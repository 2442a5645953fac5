"""Disks that are full, journals that are damaged, plan files that are not what they were, a member's disk that is wiped."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.faults.scene import QUICK, Instant, Scene, instants
from tests.real.driver import COMMAND, live_config, wait_for
from zkprov.act.local import LocalHost
from zkprov.lab import outage


def full(file: Path, pid: int) -> None:
    """No file that the process writes may grow beyond what `file` has now: to SQLite as good as a full disk."""
    size = file.stat().st_size
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.real
def test_a_full_disk_before_the_run(scene: Scene) -> None:
    journal = scene.folder / "full" / "journal.db"

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    command = [*COMMAND, "--journal", str(journal), "-i", str(scene.lab.inventory_path), "add-node", "zk4", *QUICK]
    done = subprocess.run(command, preexec_fn=limited, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and "make room on its disk" in done.stderr, done
    assert str(journal) in done.stderr.replace("\n", "") and "Traceback" not in done.stderr
    assert scene.ledger("run") is None and scene.ledger("ensemble") is None
    scene.former(untouched=True)


@pytest.mark.real
@pytest.mark.matrix(keep=2, of="rarer faults")
@pytest.mark.parametrize(
    "instant", instants("1 step.done\n2 gates\n2 answer\n3 sample\n3 answer\n4 step.begun"), ids=str
)
def test_a_full_disk_in_the_middle(scene: Scene, instant: Instant) -> None:
    running = scene.add()
    scene.reach(running, instant)
    full(scene.zkprov.journal.with_name("journal.db-wal"), running.process.pid)
    done = running.wait(60).expect(7, "journal", "make room on its disk")
    run = scene.ledger("run")
    assert run["state"] == "stopped", done
    scene.resumed()


@pytest.mark.real
def test_events_that_cannot_be_written(scene: Scene) -> None:
    """A reader that fails is told, and the run goes on: what it does is in the journal."""
    done = scene.zkprov("add-node", "zk4", *QUICK, "--events", "/dev/full").expect(0, "No space left")
    assert "\nserver.4=" in live_config(*scene.lab.founders), done


@pytest.mark.real
def test_a_damaged_journal_and_damaged_plans(scene: Scene) -> None:
    """All of them: one error with the file's name, exit 2, and nothing is touched."""
    journal = scene.zkprov.journal
    plan = scene.folder / "plan.json"
    scene.zkprov("plan", "add", "zk4", *QUICK[1:], "--out", str(plan)).expect(0)
    good, made = plan.read_text(), json.loads(plan.read_text())
    edited = {**made, "plan": {**made["plan"], "leader": 1}}
    newer = {**made, "format": 99}
    for text, word in ((good[:-200], "cut off"), (json.dumps(edited), "edited"), (json.dumps(newer), "format 99")):
        plan.write_text(text)
        done = scene.zkprov("apply", str(plan), "--yes").expect(2, word)
        assert str(plan) in done.err.replace("\n", "") and "next" in done.err, done
    plan.write_text(good)
    for damage, word in ((b"junk" * 2000, "not a database"), (None, "format 99")):
        journal.unlink(missing_ok=True)
        if damage is None:
            with sqlite3.connect(journal) as database:
                database.execute("PRAGMA user_version=99")
        else:
            journal.write_bytes(damage)
        before = journal.read_bytes()
        for arguments in (("apply", str(plan), "--yes"), ("resume",), ("abort",), ("history",)):
            done = scene.zkprov(*arguments).expect(2, word)
            assert str(journal) in done.err.replace("\n", ""), done
        assert journal.read_bytes() == before
    journal.unlink()
    assert scene.ledger("ensemble") is None
    scene.former(untouched=True)


@pytest.mark.real
@pytest.mark.parametrize("what", ["all", "version-2"])
def test_a_wiped_member_is_a_newcomer_again(scene: Scene, what: str) -> None:
    scene.add().wait().expect(0)
    marks = {h.id: (Path(h.data_dir) / ".zkprov-disk").read_text() for h in (*scene.lab.founders, scene.new)}
    assert len(set(marks.values())) == 4 and all(marks.values())
    assert all(scene.ledger(f"members/{i}")["disk"] == mark.strip() for i, mark in marks.items())
    wiped = next(i for i in (1, 2, 3) if i != scene.leader())
    if what == "all":
        outage.wipe(scene.lab, wiped)
    else:
        outage.kill(scene.lab, wiped)
        for folder in {scene.lab.host(wiped).data_dir, scene.lab.host(wiped).data_log_dir}:
            shutil.rmtree(Path(folder) / "version-2")
    LocalHost(scene.lab.host(wiped)).start()
    wait_for(lambda: scene.zkprov("check").code == 0, what="a healthy ensemble")
    # {wiped, 4, 5} would be a quorum of five; without the wipe {4, 5} would not
    scene.zkprov("add-node", "zk5", *QUICK).expect(3, "R2", str(wiped))
    season = ("--season", "2s", "--reason", "a test", "--wait")
    scene.zkprov("add-node", "zk5", *QUICK, *season, timeout_s=90).expect(0, "done: {1,2,3,4,5}")
    assert scene.ledger(f"members/{wiped}")["disk"] not in ("", marks[wiped].strip())


@pytest.mark.real
@pytest.mark.matrix(keep=1, of="the slow ones")
def test_a_restart_of_all_makes_no_newcomers(scene: Scene) -> None:
    scene.add().wait().expect(0)
    for server in scene.servers():
        os.kill(server.pid, 9)
    wait_for(lambda: not scene.servers(), what="the end of all")
    scene.lab.up()
    wait_for(lambda: scene.zkprov("check").code == 0, what="a healthy ensemble")
    scene.zkprov("add-node", "zk5", *QUICK).expect(0, "done: {1,2,3,4,5}")
