"""A second ensemble on real machines, with clients that write on every side: seen, led out of over SSH, and nothing lost."""

from __future__ import annotations

import fcntl
import random
import re
import shlex
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.operator import Operator
from tests.hosts.wrong_runbook import Incident
from tests.incidents.ways_out import nothing_is_lost, on_no_disk, one_ensemble
from tests.real.driver import Done, events_in, mode, wait_for
from zkprov.lab.writers import stop_writers
from zkprov.model.inventory import InventoryHost
from zkprov.run.copying import PLAYS_AT_ONCE

pytestmark = pytest.mark.real
QUICK = (
    "--settle", "0", "--samples", "1", "--sample-interval", "0.1", "--season", "6s", "--reason", "a test", "--step-timeout", "60s",
)  # fmt: skip
STORIES = {"outage": 7, "static_3_5": 5, "merged": 5}
SALVAGE = re.compile(r"(zkprov salvage zk\S.*? -o dead-letters-(\w))")


@pytest.mark.timeout(900)
@pytest.mark.matrix(keep=1, of="incidents on hosts", among="stories on hosts")
@pytest.mark.parametrize("shape", STORIES)
def test_seen_healed_over_ssh_and_nothing_lost(
    operator: Callable[[int], Operator], tmp_path: Path, rng: random.Random, shape: str
) -> None:
    incident = Incident(operator(STORIES[shape]), tmp_path)
    try:
        getattr(incident, shape)()
        seen_by_name(incident, "merged" if shape == "merged" else "second-leader")
        keep = to_keep(incident, shape)
        plan = incident.zkprov("plan", "heal", "--keep", keep, *QUICK, "--output", "json").expect(0).json["plan"]
        losing = [
            s for side in plan["split"]["sides"] if side["name"] != plan["split"]["keep"] for s in side["servers"]
        ]
        # only a merge cuts logs off
        gone = on_no_disk(incident) if shape == "merged" else []
        healed = heal(incident, keep, rng if shape == "outage" else None)
    finally:
        stop_writers(tmp_path)
    members = [incident.hosts[s["id"] - 1] for s in plan["base"]["servers"]]
    one_ensemble(incident, incident.zkprov, members)
    fenced_ones_are_off(incident, members, [s["host"] for s in losing])
    incident.zkprov("heal", "--yes").expect(0, "nothing to heal")
    files = salvaged(incident, healed)
    assert [f.name for f in files] == [
        f"dead-letters-{s['name']}" for s in plan["split"]["sides"] if s["name"] != plan["split"]["keep"]
    ]
    there, letters, _ = nothing_is_lost(incident, members, files, gone)
    assert there and letters


@pytest.mark.timeout(900)
@pytest.mark.matrix(keep=1, of="copies on hosts", among="stories on hosts")
def test_copied_several_at_a_time_and_nobody_is_stopped_before(
    operator: Callable[[int], Operator], tmp_path: Path
) -> None:
    incident = Incident(operator(5), tmp_path)
    try:
        incident.static_3_5()
        keep, broken = incident.sides["old"][0].name, incident.sides["new"][-1].name
        machine = incident.made.machines[broken]
        machine.shell("touch /var/lib/zookeeper.backups")
        command = ("heal", "--keep", keep, "--yes", *QUICK)
        events = tmp_path / "events.jsonl"
        ended = incident.zkprov(*command, "--events", str(events), timeout_s=400)
        ended.expect(4, "nobody was stopped", f"{broken}: backup.yml")
        assert not _begun(events, 2) and all(mode(h) for side in incident.sides.values() for h in side)
        rest = [
            m.shell("ls -A /var/lib/zookeeper.backups 2>/dev/null || true").split()
            for m in incident.made.machines
            if m != machine
        ]
        assert all(set(names) <= {".lock"} for names in rest), "what was copied elsewhere is no backup, and is gone"
        incident.zkprov("resume").expect(0, "nothing to resume")

        machine.shell("rm /var/lib/zookeeper.backups")
        # by a signal, then by force while several are copied: it goes on from there
        assert copying(incident, command, signal.SIGINT).expect(7, "zkprov resume").took_s < 60
        assert copying(incident, ("resume",), signal.SIGKILL).code < 0
        assert all(mode(h) for side in incident.sides.values() for h in side), "nobody is stopped before all is copied"
        incident.zkprov("resume", timeout_s=400).expect(0, "done:")
    finally:
        stop_writers(tmp_path)
    one_ensemble(incident, incident.zkprov, incident.sides["old"])


def copying(incident: Incident, command: tuple[str, ...], number: signal.Signals) -> Done:
    """The command, which gets this signal while it copies the disks of several hosts."""
    plays = incident.zkprov.folder / "state" / "zkprov" / "plays"
    events = incident.folder / f"{number.name}.jsonl"
    running = incident.zkprov.start(*command, "--events", str(events))
    try:
        # what one that was killed has left lies there until the next play begins
        wait_for(lambda: _begun(events, 1) and len(_held(plays)) > 2, 120, "plays on several hosts")
        assert len(_held(plays)) <= PLAYS_AT_ONCE
    finally:
        running.signal(number)
        ended = running.wait(60)
    return ended


def _held(plays: Path) -> list[Path]:
    """The workplaces of plays that somebody is at."""

    def held(work: Path) -> bool:
        try:
            with (work / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    return [work for work in plays.glob(".play-*") if held(work)]


@pytest.mark.timeout(900)
@pytest.mark.matrix(keep=1, of="heals given up on hosts", among="stories on hosts")
def test_what_a_heal_had_fenced_that_was_given_up_is_named(operator: Callable[[int], Operator], tmp_path: Path) -> None:
    incident = Incident(operator(5), tmp_path)
    try:
        incident.static_3_5()
        keep = incident.sides["old"][0].name
        command, events = ("heal", "--keep", keep, "--yes", *QUICK), tmp_path / "events.jsonl"
        running = incident.zkprov.start(*command, "--events", str(events))
        try:
            wait_for(partial(_begun, events, 3), 120, "the second one is fenced")
        finally:
            running.signal(signal.SIGKILL)
            running.wait()
        incident.zkprov("abort").expect(4, "Aborted", "set aside: zk")
        healed = incident.zkprov(*command, timeout_s=400).expect(0, "done:", "which was given up")
    finally:
        stop_writers(tmp_path)
    members = incident.sides["old"] + [h for h in incident.named(1, 2, 3) if h not in incident.sides["old"]]
    one_ensemble(incident, incident.zkprov, members)
    there = {
        m.name: m.shell("ls -d /var/lib/zookeeper.heal-* 2>/dev/null || true").split() for m in incident.made.machines
    }
    (told,) = SALVAGE.findall(healed.said)
    assert all(f"{name}:{place}" in told[0] for name, places in there.items() for place in places), there
    assert len([p for places in there.values() for p in places]) == 3
    files = salvaged(incident, healed)
    found, letters, _ = nothing_is_lost(incident, members, files, [])
    assert found and letters
    assert "set aside" not in incident.zkprov("heal", "--yes").expect(0, "nothing to heal").said


def seen_by_name(incident: Incident, name: str) -> None:
    """By one command; of data that differ once both sides have noted a digest at one zxid."""

    def seen() -> list[str]:
        return [found["shape"] for found in incident.zkprov("status", "--output", "json").json["incidents"]]

    if name == "merged":
        wait_for(lambda: name in seen(), 60, "a digest")
        incident.zkprov("status").expect(3, "UNSAFE", name)
    else:
        assert name in seen()
        incident.zkprov("check").expect(3, "UNSAFE", name, "two leaders", "zkprov heal --plan")


def to_keep(incident: Incident, shape: str) -> str:
    """A server of the side that was there before; after a merge the side that the evidence speaks for, whose servers are a quorum."""
    if shape != "merged":
        return incident.sides["old"][0].name
    shown = incident.zkprov("heal", "--plan", *QUICK, "--output", "json").expect(0).json["plan"]["split"]
    assert shown["proposed"] == shown["keep"] and shown["told_by"] == "data"
    (kept,) = (side for side in shown["sides"] if side["name"] == shown["keep"])
    assert len(kept["servers"]) >= 3
    return str(kept["servers"][0]["host"])


def heal(incident: Incident, keep: str, kill_at: random.Random | None) -> Done:
    """To its end; with `kill_at` zkprov is killed as soon as one of its steps has begun, drawn by chance, and taken up."""
    command = ("heal", "--keep", keep, "--yes", *QUICK)
    if kill_at is None:
        return incident.zkprov(*command, timeout_s=400).expect(0, "done:")
    shown: dict[str, Any] = incident.zkprov("heal", "--keep", keep, *QUICK, "--plan", "--output", "json").json["plan"]
    number = kill_at.choice([s["number"] for s in shown["steps"]])
    events = incident.folder / "events.jsonl"
    running = incident.zkprov.start(*command, "--events", str(events))
    try:
        wait_for(partial(_begun, events, number), 240, f"step {number}")
    finally:
        running.signal(signal.SIGKILL)
        running.wait()
    assert all(mode(h) for h in incident.sides["old"]), f"the kept side serves, after step {number}"
    return incident.zkprov("resume", timeout_s=400).expect(0, "done:")


def _begun(events: Path, step: int) -> bool:
    return any(e["kind"] == "step.begun" and e["step"] == step for e in events_in(events))


def fenced_ones_are_off(incident: Incident, members: list[InventoryHost], losing: list[str]) -> None:
    """Whoever is not of the kept list runs no more, will not by itself after a reboot, and has nothing where a server would look for it."""
    here = {h.name for h in members}
    for name in losing:
        machine = incident.made.machines[name]
        assert machine.shell("ls -d /var/lib/zookeeper.heal-*").strip(), name
        if name not in here:
            assert not machine.shell("pgrep -f [Q]uorumPeerMain || true").strip()
            assert machine.shell("systemctl is-enabled zookeeper || true").strip() != "enabled"
            assert not machine.shell("ls -d /etc/zookeeper /var/lib/zookeeper 2>/dev/null || true").strip()


def salvaged(incident: Incident, healed: Done) -> list[Path]:
    """The dead letters, by what `heal` says is to be typed next, word for word."""
    files = []
    for typed, side in SALVAGE.findall(healed.said):
        program, *arguments = shlex.split(typed)
        file = incident.folder / f"dead-letters-{side}"
        done = incident.zkprov(*arguments[:-1], str(file), timeout_s=120).expect(0, "dead letters")
        assert program == "zkprov" and all(f"{word}: " in done.said for word in arguments if ":/" in word)
        assert all((file.with_name(f"{file.name}.disks")).iterdir())
        files.append(file)
    return files
