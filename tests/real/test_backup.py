"""Backups of a real ensemble: made before a server leaves, loaded by the release itself, and not sound once a bit of them is another."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.conftest import MakeLab
from tests.real.driver import Done, Load, Zkprov, client, edited_inventory, events_in, live_config, mode, wait_for
from zkprov.lab.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("backup")]
QUICK = ("--yes", "--settle", "0", "--samples", "1", "--drain", "0", "--step-timeout", "20")


class Saved:
    """Four servers of which one has left, under load, with a backup before it."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder, self.zkprov = lab, folder, Zkprov(lab, folder)
        self.events_file = folder / "events.jsonl"
        wait_for(lambda: any(mode(h) == "leader" for h in lab.founders), what="a leader")
        leaves = next(h for h in lab.founders if mode(h) == "follower")
        with Load([h for h in lab.founders if h != leaves], per_s=200) as load:
            # a digest is noted every 128 transactions
            wait_for(lambda: len(load.acknowledged) > 300)
            self.done: Done = self.zkprov("remove-node", leaves.name, *QUICK, "--events", str(self.events_file))
        event = next(e for e in events_in(self.events_file) if e["kind"] == "backup")["evidence"]
        self.name: str = event["name"]
        self.hosts: dict[str, str] = event["hosts"]
        self.source = next(h for h in lab.founders if self.hosts[h.name].endswith("data"))
        self.place = Path(self.source.backups) / self.name

    def resummed(self, *paths: Path) -> None:
        """As if what lies there had been saved so: the sums agree."""
        file = self.place / "manifest.json"
        manifest = json.loads(file.read_text())
        for entry in manifest["files"]:
            if self.place / entry["path"] in paths:
                content = (self.place / entry["path"]).read_bytes()
                entry |= {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        file.write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def saved(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saved]:
    home = tmp_path_factory.mktemp("saved")
    lab = Lab.create("saved", 4, home=home)
    try:
        lab.up()
        yield Saved(lab, home / "runs")
    finally:
        lab.down()


def test_a_removal_begins_with_one(saved: Saved) -> None:
    saved.done.expect(0, "back up: configs and epochs of all, data of", f"backup {saved.source.id}", "done: {")
    assert saved.hosts.keys() == {h.name for h in saved.lab.founders}
    steps = [e["evidence"]["step"].split()[0] for e in events_in(saved.events_file) if e["kind"] == "step.begun"]
    assert steps == ["backup", "remove", "retire"]
    for path in (saved.place, *saved.place.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    listed = saved.zkprov("backup", "list", "--output", "json").expect(0).json["backups"]
    assert {(b["host"], b["state"]) for b in listed} == {(h.name, "whole") for h in saved.lab.founders}
    assert {tuple(b["what"]) for b in listed} == {("config", "epochs"), ("config", "epochs", "data")}
    run = events_in(saved.events_file)[0]["run"]
    assert {b["run"] for b in listed} == {run} and saved.name.endswith(run)
    saved.zkprov("history", run).expect(0, f"backup {saved.source.id}")


def test_its_own_release_loads_it(saved: Saved) -> None:
    done = saved.zkprov("backup", "verify", "--output", "json").expect(0)
    (data,) = (b for b in done.json["backups"] if b["zxid"])
    checks = {c["what"]: c for c in data["checks"]}
    assert [checks[w]["ok"] for w in ("checksums", "loads", "zxid", "digest")] == [True] * 4, checks
    assert "by release 3.9.5" in checks["loads"]["said"] and "the server's at" in checks["digest"]["said"]
    assert not list(Path(saved.source.backups).parent.glob("*.verify-*"))
    # the servers have noticed nothing: same list, and nobody else serves
    saved.zkprov("check").expect(0)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(bytes(content))


def newest(place: Path, kind: str) -> Path:
    return max((place / "data/version-2").glob(f"{kind}.*"), key=lambda p: int(p.name.rpartition(".")[2], 16))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


DAMAGE: dict[str, tuple[Callable[[Saved], Path], bool, str]] = {
    "a bit of the log": (lambda s: changed(newest(s.place, "log"), lambda p: flip(p, 2000)), False, "another SHA-256"),
    "a bit of the snapshot, sums agree": (
        lambda s: changed(newest(s.place, "snapshot"), lambda p: flip(p, 300)), True, "does not start on it",
    ),
    "a bit of the log, sums agree": (
        lambda s: changed(newest(s.place, "log"), lambda p: flip(p, 2000)), True, "saved was up to|does not start on it",
    ),
    "the log's end, sums agree": (lambda s: changed(newest(s.place, "log"), cut), True, "saved was up to"),
}  # fmt: skip


def changed(path: Path, how: Callable[[Path], None]) -> Path:
    how(path)
    return path


@pytest.mark.matrix(keep=2)
@pytest.mark.parametrize("what", DAMAGE)
def test_one_that_is_damaged_is_not_sound(saved: Saved, what: str, tmp_path: Path) -> None:
    damage, sums_agree, words = DAMAGE[what]
    kept = tmp_path / "kept"
    shutil.copytree(saved.place, kept)
    try:
        path = damage(saved)
        if sums_agree:
            saved.resummed(path)
        done = saved.zkprov("backup", "verify", saved.name, "--host", saved.source.name).expect(
            4, "FAILED", "NOT SOUND"
        )
        assert any(word in done.said for word in words.split("|")), done
    finally:
        shutil.rmtree(saved.place)
        shutil.copytree(kept, saved.place)


def test_fetched(saved: Saved, tmp_path: Path) -> None:
    here = tmp_path / "here"
    saved.zkprov("backup", "fetch", str(here), "--host", saved.source.name).expect(0, str(here), saved.name)
    fetched = here / saved.name / saved.source.name
    assert {p.relative_to(fetched) for p in fetched.rglob("*")} == {
        p.relative_to(saved.place) for p in saved.place.rglob("*")
    }
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in fetched.rglob("*") if p.is_file())
    saved.zkprov("backup", "fetch", str(here), "--host", saved.source.name).expect(0, "is there already")
    kept = (saved.place / "data/myid").read_bytes()
    (saved.place / "data/myid").write_bytes(b"9")
    try:
        done = saved.zkprov("backup", "fetch", str(tmp_path / "other"), "--host", saved.source.name)
        done.expect(4, "data/myid", "not what was saved")
        assert not [p for p in (tmp_path / "other").rglob("*") if p.is_file()]
    finally:
        (saved.place / "data/myid").write_bytes(kept)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("verify", "20200101T000000Z-none"), 2, "zkprov backup list"),
        (("fetch", "/dev/null/x"), 2, "cannot be written"),
        (("verify", "--host", "zk77"), 2, "no host 'zk77'"),
        (("create", "--data-of", "zk77"), 2, "no server 'zk77'"),
        (("fetch",), 2, "Missing argument 'DIR'"),
    ],
)
def test_bad_input(saved: Saved, arguments: tuple[str, ...], code: int, words: str) -> None:
    saved.zkprov("backup", *arguments).expect(code, words)


def twice(path: Path, change: Callable[[bytes], bytes] = bytes) -> int:
    """Some transactions of the log stand in it again, and what follows them once, as 3.6 may write it. How many.

    `change`: what the last of the log is made to say, with a sum that fits.
    """
    record = struct.Struct(">qi")
    content = path.read_bytes()
    head, rest, records = content[:16], content[16:], list[bytes]()
    while len(rest) > record.size and (length := record.unpack(rest[: record.size])[1]) > 0:
        end = record.size + length + 1
        records.append(rest[:end])
        rest = rest[end:]
    again = records[-40:-30]
    body = change(records[-1][record.size : -1])
    last = record.pack(zlib.adler32(body), len(body)) + body + b"B"
    path.write_bytes(head + b"".join((*records[:-30], *again, *records[-30:-1], last)))
    return len(again)


def flipped(body: bytes) -> bytes:
    """Another digest of the tree than it has after that transaction: the end of one."""
    return bytes((*body[:-1], body[-1] ^ 1))


def test_transactions_that_stand_in_a_log_twice_are_told_from_damage(saved: Saved, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(saved.place, kept)
    try:
        log = newest(saved.place, "log")
        whole = log.read_bytes()
        count = twice(log)
        saved.resummed(log)
        verify = ("backup", "verify", saved.name, "--host", saved.source.name)
        saved.zkprov(*verify).expect(0, f"{count} transactions stand in the log twice", "none differs")
        log.write_bytes(whole)
        assert twice(log, flipped) == count
        saved.resummed(log)
        saved.zkprov(*verify).expect(4, "FAILED", f"nor is it without the {count} that stand in it twice", "NOT SOUND")
    finally:
        shutil.rmtree(saved.place)
        shutil.copytree(kept, saved.place)


@pytest.mark.parametrize("method", ["gz", "snappy"])
def test_compressed_snapshots_are_loaded(make_lab: MakeLab, tmp_path: Path, method: str) -> None:
    lab = make_lab(1, spares=0, settings={"snapshot.compression.method": method, "snapCount": "100"})
    zkprov = Zkprov(lab, tmp_path / "runs")
    with client(lab.host(1), lab=lab) as session:
        session.create("/app")
        for number in range(300):
            session.create(f"/app/{number}", b"x" * number)
    folder = Path(lab.host(1).data_dir) / "version-2"
    wait_for(lambda: len(list(folder.glob(f"snapshot.*.{method}"))) > 1, what="a snapshot beyond the first")
    zkprov("backup", "create").expect(0)
    done = zkprov("backup", "verify", "--output", "json").expect(0)
    checks = {c["what"]: c["ok"] for c in done.json["backups"][0]["checks"]}
    # a digest is noted every 128 transactions: mostly none is since the last snapshot
    assert checks.pop("digest") is not False
    assert checks == dict.fromkeys(("checksums", "loads", "zxid", "znodes"), True), done
    kept = [p.name for p in Path(lab.host(1).backups).glob("*/data/version-2/snapshot.*")]
    assert kept and all(name.endswith(f".{method}") for name in kept), kept


# -- where there is none


@contextlib.contextmanager
def full_disk(place: Path) -> Iterator[str]:
    """A folder on a disk that has no room; for who may not mount any, one that cannot be made. What is said of it."""
    if os.geteuid() != 0:
        place.write_text("in its place")
        yield str(place)
        return
    place.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24k,mode=0700", "tmpfs", str(place)], check=True)
    try:
        yield "no room for a backup"
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_without_room_nothing_is_changed(saved: Saved, tmp_path: Path) -> None:
    lab = saved.lab
    before = live_config(saved.source)
    with full_disk(tmp_path / "full") as words:
        other = edited_inventory(
            lab, tmp_path / "full.yml", saved.source.name, zkprov_backup_dir=str(tmp_path / "full")
        )
        zkprov = saved.zkprov.with_inventory(other)
        leaves = next(h for h in lab.founders if h != saved.source and mode(h) == "follower")
        force = ("--override", "R4", "--reason", "fire")
        done = zkprov("remove-node", leaves.name, *QUICK, *force)
        done.expect(4, "Stopped at step 1 (back up", words, "--no-backup", "zkprov_backup_dir")
        assert live_config(saved.source) == before and mode(leaves) == "follower"
        left = {b["name"] for b in zkprov("backup", "list", "--output", "json").json["backups"]}
        assert left <= {saved.name}, "nothing half done stays on any host"
        zkprov("resume").expect(0, "nothing to resume")
        zkprov("backup", "create", "--data-of", saved.source.name).expect(4, words)
        plan = zkprov("plan", "remove", leaves.name, *force, "--no-backup").expect(0)
        assert "back up" not in plan.out


def test_cut_off_in_the_middle_it_is_made_anew(saved: Saved, tmp_path: Path) -> None:
    """Killed while it waits for a host's folder: what is there by then is no backup, and is gone with the next."""
    lab, events = saved.lab, tmp_path / "events.jsonl"
    leaves = next(h for h in lab.founders if h != saved.source and mode(h) == "follower")
    with (Path(saved.source.backups) / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        force = ("--override", "R4", "--reason", "fire")
        running = saved.zkprov.start("remove-node", leaves.name, *QUICK, *force, "--events", str(events))

        def partial() -> list[Any]:
            listed = saved.zkprov("backup", "list", "--output", "json").json["backups"]
            return [b for b in listed if b["state"] == "partial"]

        wait_for(partial, what="a part of it")
        running.signal(signal.SIGKILL)
        running.wait(10)
    name = partial()[0]["name"]
    saved.zkprov("backup", "verify", name).expect(4, "partial", "FAILED")
    saved.zkprov("backup", "fetch", str(tmp_path / "here"), name).expect(4, "partial")
    saved.zkprov("resume").expect(0, "done: {", f"backup {saved.source.id}")
    listed = saved.zkprov("backup", "list", "--output", "json").expect(0).json["backups"]
    assert {b["state"] for b in listed} == {"whole"} and name not in {b["name"] for b in listed}
    assert len({b["name"] for b in listed}) == 2
    with client(saved.source) as session:
        assert session.exists("/zkprov/ensemble")
