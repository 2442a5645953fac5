"""What a host tells of the room on its disks, and what its server's log said of a write without room."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.unit.facts_made import disk_of, healthy, members
from zkprov.judge.room import SOON, nearly_full
from zkprov.model.facts import Room
from zkprov.model.inventory import InventoryHost
from zkprov.run.local_disks import LocalDisks
from zkprov.shipped.remote.room import BEGINS, OVER_S, TAIL, failure, room_at, unwritten

NOW = time.mktime((2026, 11, 29, 19, 5, 0, 0, 0, -1))
SEVERE = "2026-11-29 19:04:56,102 [myid:3] - ERROR [SyncThread:3:o.a.z.s.ZooKeeperCriticalThread@49] - Severe unrecoverable error"
STACK = "\tat org.apache.zookeeper.server.persistence.FileTxnLog.append(FileTxnLog.java:318)\n"
BEGUN = f"2026-11-29 19:00:00,000 [myid:3] - INFO  [main:o.a.z.Environment@98] - Server {BEGINS.decode()}3.9.5\n"


def logged(words: str = "No space left on device", time_of: str = "19:04:56", stack: str = STACK) -> str:
    return f"{SEVERE.replace('19:04:56', time_of)}\njava.io.IOException: {words}\n\tat java.base/java.io.FileOutputStream\n{stack}"


@pytest.mark.parametrize("words", ["No space left on device", "Disk quota exceeded", "File too large"])
def test_a_write_without_room_is_read_from_the_log_with_its_time(words: str) -> None:
    assert failure((BEGUN + logged(words)).encode(), NOW) == (f"java.io.IOException: {words}", 4.0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BEGUN, "nothing failed"),
        (logged() + BEGUN, "an earlier server said it"),
        (
            BEGUN + logged(stack="\tat org.eclipse.jetty.server.Server\n").replace("SyncThread", "main"),
            "it was not its data",
        ),
        (
            BEGUN + logged(time_of="19:03:00") + "2026-11-29 19:04:30,000 [myid:3] - INFO  [main] - Snapshotting\n",
            "it went on writing",
        ),
        (BEGUN + "a client named /No space left on device\n", "a client's words"),
    ],
)
def test_what_is_none(text: str, why: str) -> None:
    assert OVER_S < 90 and failure(text.encode(), NOW) is None, why


def test_a_log_that_tells_no_time() -> None:
    assert failure(f"java.io.IOException: File too large\n{STACK}".encode(), NOW) == (
        "java.io.IOException: File too large",
        -1.0,
    )


def test_the_end_of_the_newest_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "zookeeper.log").write_text("x\n" * TAIL + logged())
    (tmp_path / "out.log").write_text("")
    (tmp_path / "audit.txt").write_text(logged("Disk quota exceeded"))
    assert unwritten(str(tmp_path), NOW) == (
        "java.io.IOException: No space left on device",
        str(tmp_path / "zookeeper.log"),
        4.0,
    )
    assert unwritten(str(tmp_path / "none"), NOW) is None
    (tmp_path / "zookeeper.log").write_text("x\n" + logged() + "x\n" * TAIL)
    assert unwritten(str(tmp_path), NOW) is None


def test_room_is_that_of_the_disk_on_which_a_folder_would_be(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    assert room_at(str(tmp_path / "not" / "yet")) == pytest.approx(
        (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize), rel=0.05
    )
    assert room_at("/nul\0in it") is not None


def test_a_look_at_this_machine_tells_both(tmp_path: Path) -> None:
    one = InventoryHost(
        "zk3", "127.0.0.1", connection="local", config_dir=str(tmp_path / "conf"), data_dir=str(tmp_path / "data"),
        data_log_dir=str(tmp_path / "data"), log_dir=str(tmp_path / "log"),
    )  # fmt: skip
    for folder in ("conf", "data", "log"):
        (tmp_path / folder).mkdir()
    (tmp_path / "conf/zoo.cfg").write_text(
        f"dataDir={tmp_path}/data\ndataLogDir={tmp_path}/logs\nserver.3=127.0.0.1:1:2;3\n"
    )
    (tmp_path / "log/zookeeper.log").write_text(BEGUN + logged())
    disk = LocalDisks([one]).of_look().read(one).value
    assert disk is not None and [r.path for r in disk.rooms] == [f"{tmp_path}/data", f"{tmp_path}/logs"]
    assert disk.unwritten is not None and disk.unwritten.said == "java.io.IOException: No space left on device"


def test_nearly_full_is_a_gigabyte_and_less_on_a_small_disk() -> None:
    assert nearly_full(Room("/", SOON - 1, 10**12)) and not nearly_full(Room("/", SOON, 10**12))
    assert nearly_full(Room("/", 49 * 10**6, 10**9)) and not nearly_full(Room("/", 51 * 10**6, 10**9))


def test_a_room_that_is_not_told_is_unknown_and_stops_nothing() -> None:
    gate = healthy(3).telling("srvr").health().gate("room")
    assert (str(gate.verdict), gate.stops, gate.warnings) == ("unknown", False, ())
    untold = healthy(3).having(2, disk=disk_of(2, members((1, 2, 3)), rooms=()))
    gate = untold.health().gate("room")
    assert (str(gate.verdict), [str(e) for e in gate.evidence]) == ("unknown", ["2 (zk2): its room was not read"])
