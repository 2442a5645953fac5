"""How far the history on a disk goes: by two small files, by names, and by the log of a server that does not run."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from zkprov.shipped.remote.history import history_at, last_zxid

RECORD = struct.Struct(">qiqiqqi")


def log_of(*zxids: int, tail: bytes = b"\0" * 4096, body: int = 100) -> bytes:
    """A log as ZooKeeper lays it: a header, records, and what is laid out ahead."""
    data = b"ZKLG" + (2).to_bytes(4, "big") + (0).to_bytes(8, "big")
    for zxid in zxids:
        data += RECORD.pack(1, RECORD.size - 12 + body, 5, 1, zxid, 1000, 1) + b"x" * body + b"B"
    return data + tail


def test_the_last_whole_transaction(tmp_path: Path) -> None:
    file = tmp_path / "log.1"
    file.write_bytes(log_of(1, 2, 0x100000007))
    assert last_zxid(os.fsencode(file)) == 0x100000007


@pytest.mark.parametrize("cut", [1, 20, 60, 120])
def test_one_that_is_cut_off_ends_before(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "log.1"
    whole = log_of(1, 2, 3, tail=b"")
    file.write_bytes(whole[:-cut])
    assert last_zxid(os.fsencode(file)) == 2


@pytest.mark.parametrize("data", [b"", b"ZKLG", b"nothing of the kind", log_of()])
def test_of_nothing(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "log.1"
    file.write_bytes(data)
    assert last_zxid(os.fsencode(file)) is None


def test_names_epochs_and_times(tmp_path: Path) -> None:
    data, logs = tmp_path / "data", tmp_path / "logs"
    for folder in (data, logs):
        folder.mkdir()
    (data / "acceptedEpoch").write_text("9\n")
    (data / "currentEpoch").write_text("8")
    for n, name in enumerate(("snapshot.0", "snapshot.100000003.gz", "snapshot.junk", "other")):
        (data / name).write_bytes(b"")
        os.utime(data / name, (10 + n, 10 + n))
    (logs / "log.100000001").write_bytes(log_of(0x100000001, 0x100000002))
    os.utime(logs / "log.100000001", (50, 50))
    found = history_at(str(data), str(logs), True)
    assert found == {
        "accepted": 9,
        "current": 8,
        "snapshots": [0, 0x100000003],
        "logs": [0x100000001],
        "last": 0x100000002,
        "oldest": 10,
        "newest": 50,
    }
    assert "last" not in history_at(str(data), str(logs), False), "a server writes to it"


def test_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert history_at(str(tmp_path / "a"), str(tmp_path / "b\0"), True) == {"snapshots": [], "logs": []}


@pytest.mark.parametrize("text", ["", "x", "-1", "1" * 30])
def test_an_epoch_that_is_junk(tmp_path: Path, text: str) -> None:
    (tmp_path / "acceptedEpoch").write_text(text)
    assert "accepted" not in history_at(str(tmp_path), str(tmp_path), False)
