"""How far a disk reaches, and a backup's data laid where none is; here and by the program that goes over SSH."""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path

import pytest

from tests.unit.test_backups import NAME, Server, contents, either, host, log, made, place, server  # noqa: F401
from zkprov.act import backups
from zkprov.act.hosts import Host
from zkprov.act.local import LocalHost
from zkprov.model.backup import Reached
from zkprov.model.problems import NotHealthy


def test_how_far_a_disk_reaches(either: Host) -> None:  # noqa: F811
    assert backups.reached(either) == Reached(2, 1, 0x100000007, 0x100000005, _time(40))


def _time(size: int) -> int:
    """What stands where a transaction has its time, in those of `test_backups`."""
    return int(struct.unpack(">q", bytes(range(size))[:8])[0])


def test_a_log_that_is_cut_off_reaches_up_to_what_is_whole(either: Host, server: Server) -> None:  # noqa: F811
    server.log("log.100000006", log(0x100000006, 0x100000007, padding=0)[:-20])
    found = backups.reached(either)
    assert (found.zxid, found.damaged) == (0x100000006, "")


def test_what_is_damaged_before_the_end_is_told(either: Host, server: Server) -> None:  # noqa: F811
    content = bytearray(log(0x100000006, 0x100000007))
    content[40] ^= 1
    server.log("log.100000006", bytes(content))
    assert "log.100000006: damaged at byte 16" in backups.reached(either).damaged


def test_without_epochs_or_log(either: Host, server: Server) -> None:  # noqa: F811
    server.drop("log.100000001", "log.100000006", "currentEpoch")
    (server.data / "version-2" / "acceptedEpoch").write_text("junk")
    assert backups.reached(either) == Reached(None, None, 0x100000005, 0x100000005)


def test_without_a_snapshot(either: Host, server: Server) -> None:  # noqa: F811
    server.drop("snapshot.0", "snapshot.100000005")
    assert "no finished snapshot" in backups.reached(either).damaged


def test_a_backup_is_laid_where_nothing_is(either: Host, server: Server) -> None:  # noqa: F811
    made(LocalHost(either.host))
    before = {p: (server.data / p).read_bytes() for p in contents(server.data) if "snapshot.0" not in p}
    logs = {p: (server.logs / p).read_bytes().rstrip(b"\0") for p in contents(server.logs)}
    for folder in (server.data, server.logs):
        shutil.rmtree(folder / "version-2")
    # what an earlier try left
    (server.data / ".version-2.part").mkdir()
    (server.data / ".version-2.part" / "snapshot.100000005").write_text("half")
    backups.restore(either, NAME)
    assert {p: (server.data / p).read_bytes() for p in contents(server.data)} == before
    laid = {p: (server.logs / p).read_bytes().rstrip(b"\0") for p in contents(server.logs)}
    assert laid and all(logs[p] == laid[p] for p in laid)
    assert backups.reached(either) == Reached(2, 1, 0x100000007, 0x100000005, _time(40))


def test_nothing_is_written_over(either: Host, server: Server) -> None:  # noqa: F811
    made(LocalHost(either.host))
    shutil.rmtree(server.data / "version-2")
    with pytest.raises(NotHealthy, match="data_log/version-2 is not empty"):
        backups.restore(either, NAME)
    assert not (server.data / "version-2").exists()


def test_what_is_not_as_it_was_saved_is_not_laid(either: Host, server: Server) -> None:  # noqa: F811
    made(LocalHost(either.host))
    for folder in (server.data, server.logs):
        shutil.rmtree(folder / "version-2")
    saved = place(either.host) / "data" / "version-2" / "snapshot.100000005"
    content = bytearray(saved.read_bytes())
    content[50] ^= 1
    saved.write_bytes(bytes(content))
    with pytest.raises(NotHealthy, match="not what was saved"):
        backups.restore(either, NAME)
    assert not any((f / "version-2").exists() for f in (server.data, server.logs))


def test_a_backup_without_data_lays_nothing(either: Host, server: Server) -> None:  # noqa: F811
    made(either, data=False)
    for folder in (server.data, server.logs):
        shutil.rmtree(folder / "version-2")
    with pytest.raises(NotHealthy, match="holds no data"):
        backups.restore(either, NAME)


def test_a_time_is_where_zookeeper_has_it() -> None:
    """TxnHeader: clientId, cxid, zxid, time, type (`zookeeper.jute`)."""
    from zkprov.shipped.remote import backup_files as files

    body = struct.pack(">qiqqi", 1, 2, 3, 1_772_323_200_000, 5)
    record = struct.pack(">qi", zlib.adler32(body), len(body)) + body + b"B"
    assert files.TIME.unpack_from(record, files.RECORD.size + files.TXN.size) == (1_772_323_200_000,)


def test_a_path_that_climbs_out_is_none(either: Host, server: Server, tmp_path: Path) -> None:  # noqa: F811
    made(LocalHost(either.host))
    manifest = place(either.host) / "manifest.json"
    manifest.write_text(manifest.read_text().replace("data/version-2/currentEpoch", "data/version-2/../../x"))
    with pytest.raises(NotHealthy):
        backups.restore(either, NAME)
    assert not (tmp_path / "x").exists()
