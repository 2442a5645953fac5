"""Backups on a host: what is saved, what is none, what goes, and what is refused; here and by the program that goes over SSH."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import stat
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.test_remote_act import Here
from zkprov.act import backups
from zkprov.act.ansible import AnsibleHost
from zkprov.act.hosts import Host
from zkprov.act.local import LocalHost
from zkprov.act.plays import Plays
from zkprov.model.backup import About, Look
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import BadInput, Busy, NotHealthy
from zkprov.shipped.remote import backup as program
from zkprov.shipped.remote import backup_files as files
from zkprov.shipped.remote import backup_folder, load

NAME, LATER = "20261128T235508Z-4f1c2a", "20261129T000000Z-by-hand"
ABOUT = About(
    "kafka", "zk1", 1, "3.9.5", 1_800_000_000.0, "you@here", "4f1c2a", "9.9.9", (Look(7, 5), Look(7, 5)), {"0": 1}
)
SNAPSHOT = b"ZKSN" + bytes(100) + files.SEAL


def txn(zxid: int, size: int = 40) -> bytes:
    body = struct.pack(">qiq", 1, 2, zxid) + bytes(range(size))
    return struct.pack(">qi", zlib.adler32(body), len(body)) + body + b"B"


def log(*zxids: int, padding: int = 1 << 20) -> bytes:
    return struct.pack(">4siq", b"ZKLG", 2, 0) + b"".join(map(txn, zxids)) + bytes(padding)


class Server:
    """A server's files by hand."""

    def __init__(self, folder: Path) -> None:
        self.config, self.data, self.logs = (folder / name for name in ("config", "data", "data_log"))
        for place in (self.config, self.data / "version-2", self.logs / "version-2"):
            place.mkdir(parents=True)
        dynamic = self.config / "zoo.cfg.dynamic.100000000"
        (self.config / "zoo.cfg").write_text(f"dataDir=/d\ndynamicConfigFile={dynamic}\n")
        dynamic.write_text("server.1=zk1:2888:3888;2181\n")
        (self.config / "jaas.conf").write_text("secret")
        (self.config / "keys.pem").write_text("secret")
        (self.data / "myid").write_text("1\n")
        for name, text in (("currentEpoch", "1"), ("acceptedEpoch", "2")):
            (self.data / "version-2" / name).write_text(text)
        self.snapshot("snapshot.0")
        self.snapshot("snapshot.100000005")
        self.log("log.100000001", log(0x100000001, 0x100000005))
        self.log("log.100000006", log(0x100000006, 0x100000007))

    def snapshot(self, name: str, content: bytes = SNAPSHOT) -> None:
        (self.data / "version-2" / name).write_bytes(content)

    def log(self, name: str, content: bytes) -> None:
        (self.logs / "version-2" / name).write_bytes(content)

    def drop(self, *names: str) -> None:
        for name in names:
            for folder in (self.data, self.logs):
                (folder / "version-2" / name).unlink(missing_ok=True)


@pytest.fixture
def host(tmp_path: Path) -> InventoryHost:
    place = tmp_path / "zk1"
    folders = {f"{kind}_dir": str(place / kind) for kind in ("config", "data", "data_log", "log")}
    return InventoryHost(name="zk1", address="127.0.0.1", id=1, unit="zkprov-no-such-unit", backup_keep=2, **folders)  # type: ignore[arg-type]


@pytest.fixture
def server(host: InventoryHost, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(program, "RESERVE", 0)
    return Server(Path(host.config_dir).parent)


class NoPlay(AnsibleHost):
    """Whose data is copied by the program as well: playbooks have tests of their own."""

    def backup(self, act: str, **given: Any) -> Any:
        return super().backup(act, **{**given, **({"data": False} if act == "copy" else {})})


@pytest.fixture(params=["over SSH", "local"])
def either(request: pytest.FixtureRequest, host: InventoryHost, server: Server, tmp_path: Path) -> Host:
    plays = Plays(str(tmp_path / "inventory"), artifacts=tmp_path / "artifacts")
    return LocalHost(host) if request.param == "local" else NoPlay(host, Here(), plays)


def place(host: InventoryHost, name: str = NAME) -> Path:
    return Path(host.backups) / name


def made(host: Host, name: str = NAME, *, data: bool = True) -> backups.Saved:
    saved = backups.copy(host, name, "4f1c2a", data=data)
    backups.seal(host, name, ABOUT)
    return saved


def contents(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_config_and_epochs_on_either_way(either: Host) -> None:
    made(either, data=False)
    (found,) = backups.listed(either)
    assert (found.name, found.state, found.what, found.count) == (NAME, "whole", "config, epochs", 5)
    assert (found.server, found.release, found.looks, found.digests) == (1, "3.9.5", ABOUT.looks, {"0": 1})
    assert backups.damaged(either, NAME) == ()
    made(either, data=False)  # once more changes nothing
    assert len(backups.listed(either)) == 1
    with pytest.raises(NotHealthy, match="no whole backup"):
        backups.damaged(either, LATER)
    with pytest.raises(NotHealthy, match="not the name of a backup"):
        backups.damaged(either, "../../etc")


def test_of_a_log_that_grows_while_it_is_copied_no_half_transaction_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "log.1", tmp_path / "copy"
    source.write_bytes(log(1, 2, 3))
    target.mkdir()
    monkeypatch.setattr(program, "filled", lambda _: len(log(1, 2, padding=0)))
    saved = program.save_log(str(source), str(target), "log.1")
    content = (target / "log.1").read_bytes()
    assert content == log(1, 2, padding=files.ZEROS)
    assert (saved["size"], saved["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_what_is_saved(host: InventoryHost, server: Server) -> None:
    saved = made(LocalHost(host))
    folder = place(host)
    assert contents(folder) == {
        "manifest.json", "config/zoo.cfg", "config/zoo.cfg.dynamic.100000000", "data/myid",
        "data/version-2/currentEpoch", "data/version-2/acceptedEpoch", "data/version-2/snapshot.100000005",
        # what was before the snapshot in a log is of no use, but the log has what came after it
        "data/version-2/log.100000001", "data/version-2/log.100000006",
    }  # fmt: skip
    assert (saved.zxid, saved.snapshot) == (0x100000007, 0x100000005)
    for path in (folder, *folder.rglob("*"), Path(host.backups)):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        content = (folder / entry["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["size"], entry["sha256"])
    log = (folder / "data/version-2/log.100000006").read_bytes()
    assert len(log) < 1000 and log.endswith(b"B" + bytes(files.ZEROS)), (
        "of the padding is left what shows that there was some"
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        # one that is being written, and the one before it
        (
            lambda s: s.snapshot("snapshot.100000007", SNAPSHOT[:-2]),
            {"snapshot.100000005", "log.100000001", "log.100000006"},
        ),
        (lambda s: s.snapshot("snapshot.100000006"), {"snapshot.100000006", "log.100000006"}),
        # nobody sees whether a compressed one is finished
        (
            lambda s: s.snapshot("snapshot.100000006.gz", b"\x1f\x8b"),
            {"snapshot.100000006.gz", "snapshot.100000005", "log.100000001", "log.100000006"},
        ),
        (lambda s: s.drop("snapshot.100000005"), {"snapshot.0", "log.100000001", "log.100000006"}),
        (lambda s: s.drop("log.100000001", "log.100000006"), {"snapshot.100000005"}),
        # a leader sent it: what the server had before, it has in its older logs alone
        (
            lambda s: s.snapshot("snapshot.200000009"),
            {"snapshot.200000009", "snapshot.100000005", "snapshot.0", "log.100000001", "log.100000006"},
        ),
    ],
)
def test_which_data_is_saved(host: InventoryHost, server: Server, change: Any, expected: set[str]) -> None:
    change(server)
    made(LocalHost(host))
    found = {p.name for p in (place(host) / "data/version-2").iterdir()}
    assert found == expected | {"currentEpoch", "acceptedEpoch"}


def test_a_list_that_lies_elsewhere_is_saved_too(host: InventoryHost, server: Server, tmp_path: Path) -> None:
    (tmp_path / "members.100000003").write_text("server.1=zk1:2888:3888;2181\n")
    (server.config / "zoo.cfg").write_text(f"dynamicConfigFile={tmp_path}/members.100000003\n")
    made(LocalHost(host), data=False)
    assert "config/members.100000003" in contents(place(host))


class TestLogs:
    @pytest.mark.parametrize(
        ("content", "zxid"),
        [
            (log(1, 2, 3), 3),
            (log(1, 2, 3, padding=0), 3),
            # as 3.6 may write it, and cut off while it writes them again
            (log(1, 2, 3, 1, 2), 3),
            # cut in the middle of a transaction: up to the last whole one, as ZooKeeper reads it
            (log(1, 2, 3, padding=0)[:-1], 2),
            (log(1, 2, 3, padding=0)[:-40], 2),
            (log(1, 2, padding=0) + txn(3)[:8], 2),
            (log(), 0),
            (b"ZKLG", 0),
            (b"", 0),
        ],
    )
    def test_how_far_one_reaches(self, tmp_path: Path, content: bytes, zxid: int) -> None:
        (tmp_path / "log.1").write_bytes(content)
        assert files.last_zxid(str(tmp_path / "log.1")) == zxid
        assert files.filled(str(tmp_path / "log.1")) == len(content.rstrip(b"\0"))

    @pytest.mark.parametrize(
        ("content", "reached", "left", "found"),
        [
            (log(1, 2, 3), 0, log(1, 2, 3, padding=0), (3, 0)),
            (log(1, 2, 3, 2, 3, 4), 0, log(1, 2, 3, 4, padding=0), (4, 2)),
            (log(2, 3, 4), 3, log(4, padding=0), (4, 2)),  # they stand in the log before it
            (log(1, 2, 2, padding=0)[:-1], 0, log(1, 2, padding=0), (2, 0)),
            (log(), 7, log(padding=0), (7, 0)),
            (b"", 7, b"", (7, 0)),
        ],
    )
    def test_without_what_stands_in_it_twice(
        self, tmp_path: Path, content: bytes, reached: int, left: bytes, found: tuple[int, int]
    ) -> None:
        (tmp_path / "log.1").write_bytes(content)
        assert files.once(str(tmp_path / "log.1"), str(tmp_path / "once"), reached) == found
        assert (tmp_path / "once").read_bytes() == left

    def test_one_that_is_damaged_is_not_saved(self, host: InventoryHost, server: Server) -> None:
        content = bytearray(log(0x100000006, 0x100000007))
        content[40] ^= 1
        server.log("log.100000006", bytes(content))
        with pytest.raises(NotHealthy, match=r"log\.100000006: damaged at byte 16"):
            backups.copy(LocalHost(host), NAME, "", data=True)
        assert contents(Path(host.backups)) == {".lock"}

    def test_one_that_is_written_to_is_read_again(
        self, host: InventoryHost, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a reader sees of a write that goes on is mixed, for a moment."""
        tries = iter([ValueError("damaged at byte 16"), None])
        whole = program.last_zxid

        def mixed(path: str) -> int:
            if path.endswith("log.100000006") and (wrong := next(tries)):
                raise wrong
            return whole(path)

        monkeypatch.setattr(program, "last_zxid", mixed)
        assert backups.copy(LocalHost(host), NAME, "", data=True).zxid == 0x100000007


def test_without_a_finished_snapshot_nothing_is_saved(host: InventoryHost, server: Server) -> None:
    server.drop("snapshot.0", "snapshot.100000005")
    with pytest.raises(NotHealthy, match="no finished snapshot") as refused:
        backups.copy(LocalHost(host), NAME, "", data=True)
    # whoever has an option to do without says so
    assert "--data-of SERVER" in refused.value.remedy and "--no-backup" not in refused.value.remedy


# -- what is none, and what goes


def test_what_was_cut_off_is_none_and_the_next_removes_it(either: Host) -> None:
    backups.copy(either, NAME, "", data=False)
    (partial,) = backups.listed(either)
    assert (partial.name, partial.state, partial.what) == (NAME, "partial", "") and partial.size > 0
    again = "20261129T000000Z-4f1c2a"  # of the same run, taken up
    made(either, again, data=False)
    assert [(b.name, b.state) for b in backups.listed(either)] == [(again, "whole")]
    with pytest.raises(NotHealthy, match="not there, or not whole"):
        backups.seal(either, NAME, ABOUT)


def test_what_waits_for_its_seal_is_left_for_a_while(either: Host, host: InventoryHost) -> None:
    """Somebody else's, who copies on other hosts still."""
    backups.copy(either, NAME, "", data=False)
    made(either, LATER, data=False)
    assert [(b.name, b.state) for b in backups.listed(either)] == [(LATER, "whole"), (NAME, "partial")]
    backups.seal(either, NAME, ABOUT)
    (place(host) / "manifest.json").rename(place(host) / "unsealed.json")
    os.utime(place(host) / "unsealed.json", (0, 0))
    made(either, "20261130T000000Z-by-hand", data=False)
    assert {b.state for b in backups.listed(either)} == {"whole"} and not place(host).exists()


def test_what_was_not_copied_whole_is_removed_by_whoever_comes(either: Host, host: InventoryHost) -> None:
    backups.copy(either, NAME, "", data=False)
    (place(host) / "unsealed.json").unlink()
    made(either, LATER, data=False)
    assert not place(host).exists()


def test_what_is_given_up_is_removed_and_a_whole_one_never(either: Host) -> None:
    backups.drop(either, NAME)  # where there is nothing at all
    backups.copy(either, NAME, "", data=False)
    backups.drop(either, NAME)
    assert backups.listed(either) == ()
    made(either, data=False)
    backups.drop(either, NAME)
    assert [b.state for b in backups.listed(either)] == ["whole"]


def test_the_newest_are_kept_and_none_goes_before_the_new_one_is_whole(host: InventoryHost, server: Server) -> None:
    local = LocalHost(host)
    names = [f"2026112{n}T000000Z-{n}" for n in range(1, 5)]
    for name in names[:2]:
        made(local, name, data=False)
    backups.copy(local, names[2], "", data=False)
    assert {b.name for b in backups.listed(local) if b.state == "whole"} == set(names[:2])
    backups.seal(local, names[2], ABOUT)
    assert [b.name for b in backups.listed(local)] == [names[2], names[1]], "backup_keep is 2"
    (place(host, names[2]) / "manifest.json").write_text("{")
    made(local, names[3], data=False)
    assert [(b.name, b.state) for b in backups.listed(local)] == [
        (names[3], "whole"), (names[2], "damaged"), (names[1], "whole")
    ]  # fmt: skip


def test_those_of_another_server_in_the_same_folder_are_its_own(
    host: InventoryHost, server: Server, tmp_path: Path
) -> None:
    folders = {f"{kind}_dir": str(tmp_path / "zk9" / kind) for kind in ("config", "data", "data_log", "log")}
    Server(tmp_path / "zk9")
    other = LocalHost(InventoryHost(name="zk9", address="127.0.0.1", backup_dir=host.backups, **folders))  # type: ignore[arg-type]
    made(other, "20260101T000000Z-other", data=False)
    for number in range(1, 4):
        made(LocalHost(host), f"2026112{number}T000000Z-{number}", data=False)
    assert len(backups.listed(LocalHost(host))) == 2, "backup_keep is 2"
    assert [b.name for b in backups.listed(other)] == ["20260101T000000Z-other"]


def test_files_that_others_put_there_are_left(host: InventoryHost, server: Server) -> None:
    (Path(host.backups) / "mine").mkdir(parents=True, mode=0o700)
    Path(host.backups).chmod(0o700)
    made(LocalHost(host), data=False)
    assert [b.name for b in backups.listed(LocalHost(host))] == [NAME] and (Path(host.backups) / "mine").is_dir()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "data/myid").unlink(), "data/myid is missing"),
        (lambda f: (f / "data/myid").write_text("2\n"), "data/myid is not what was saved"),
        (lambda f: (f / "config/zoo.cfg").write_text(""), "config/zoo.cfg is not what was saved: 0 bytes of"),
    ],
)
def test_what_is_damaged_is_named(either: Host, host: InventoryHost, damage: Any, said: str) -> None:
    made(either, data=False)
    damage(place(host))
    (told,) = backups.damaged(either, NAME)
    assert told.startswith(said)


def test_a_manifest_of_a_newer_zkprov(host: InventoryHost, server: Server) -> None:
    made(LocalHost(host), data=False)
    file = place(host) / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 2}))
    with pytest.raises(BadInput, match="a backup of format 2; this zkprov reads 1"):
        backups.listed(LocalHost(host))


# -- what is refused


def test_no_room(host: InventoryHost, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "RESERVE", 1 << 60)
    with pytest.raises(NotHealthy, match=r"no room for a backup in .*stay free for ZooKeeper") as refused:
        backups.copy(LocalHost(host), NAME, "", data=True)
    assert "zkprov_backup_dir" in refused.value.remedy
    assert contents(Path(host.backups)) == {".lock"} and backups.listed(LocalHost(host)) == ()


def test_a_disk_that_is_full_in_the_middle(
    host: InventoryHost, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(LocalHost(host))

    def full(source: str, target: str, path: str, most: int | None = None, zeros: int = 0) -> dict[str, Any]:
        if "log" in path:
            raise OSError(errno.ENOSPC, "No space left on device", f"{target}/{path}")
        return save(source, target, path, most, zeros)

    save = program.save
    monkeypatch.setattr(program, "save", full)
    with pytest.raises(NotHealthy, match="No space left on device") as refused:
        backups.copy(LocalHost(host), LATER, "", data=True)
    assert "make room" in refused.value.remedy
    assert [b.name for b in backups.listed(LocalHost(host))] == [NAME], "the older one is still there"
    assert not place(host, LATER).exists()


def test_a_folder_where_others_may_write(either: Host, host: InventoryHost) -> None:
    Path(host.backups).mkdir()
    Path(host.backups).chmod(0o777)
    with pytest.raises(NotHealthy, match="others may write there"):
        backups.copy(either, NAME, "", data=False)


def test_a_folder_that_is_a_link(either: Host, host: InventoryHost, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Path(host.backups).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotHealthy, match="no folder of ours alone"):
        backups.copy(either, NAME, "", data=False)


def test_through_no_link_of_the_server_s_user(
    host: InventoryHost, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("secret")
    (server.data / "myid").unlink()
    (server.data / "myid").symlink_to(tmp_path / "secret")
    real = os.lstat

    def of_another(path: Any, **more: Any) -> Any:
        found = real(path, **more)
        return SimpleNamespace(st_mode=found.st_mode, st_uid=4711) if stat.S_ISLNK(found.st_mode) else found

    monkeypatch.setattr(files.os, "lstat", of_another)
    with pytest.raises(NotHealthy, match="a link that somebody else than root has made"):
        backups.copy(LocalHost(host), NAME, "", data=False)


def test_two_at_once(either: Host, host: InventoryHost, monkeypatch: pytest.MonkeyPatch) -> None:
    made(either, data=False)
    if isinstance(either, AnsibleHost):
        text = "WAIT_S = 30.0"
        monkeypatch.setattr("zkprov.act.backup_programs._text", _without_patience(text))
    monkeypatch.setattr(backup_folder, "WAIT_S", 0.1)
    with (Path(host.backups) / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another backup is being made here"):
            backups.copy(either, LATER, "", data=False)
    made(either, LATER, data=False)


def _without_patience(text: str) -> Any:
    from zkprov.shipped import shipped

    def read(name: str) -> str:
        return (shipped("remote") / f"{name}.py").read_text().replace(text, "WAIT_S = 0.1")

    return read


# -- fetched


def test_fetched(either: Host, host: InventoryHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "PIECE", 50)
    made(either, data=False)
    into = tmp_path / "here"
    into.mkdir(mode=0o700)
    size = backups.fetch(either, NAME, into)
    assert contents(into) == contents(place(host))
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in into.rglob("*") if p.is_file())
    assert all((into / p).read_bytes() == (place(host) / p).read_bytes() for p in contents(into))
    assert size == sum(p.stat().st_size for p in into.rglob("*") if p.is_file() and p.name != "manifest.json")


def test_fetched_is_what_was_saved_or_nothing(either: Host, host: InventoryHost, tmp_path: Path) -> None:
    made(either, data=False)
    (place(host) / "data/myid").write_text("2\n")
    (tmp_path / "here").mkdir()
    with pytest.raises(NotHealthy, match=r"data/myid of .* is not what was saved"):
        backups.fetch(either, NAME, tmp_path / "here")


def test_a_host_that_names_files_elsewhere(tmp_path: Path) -> None:
    """A manifest is what a host says it is."""

    class Hostile:
        name = "zk1"

        def backup(self, act: str, **given: Any) -> str:
            import base64

            text = json.dumps({"files": [{"path": "../../out", "size": 1, "sha256": "00"}], "format": 1}).encode()
            return base64.b64encode(text[given["offset"] :]).decode()

    with pytest.raises(NotHealthy, match="not a path in a backup"):
        backups.fetch(Hostile(), NAME, tmp_path)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_the_program_reads_nothing_else(host: InventoryHost, server: Server) -> None:
    made(LocalHost(host), data=False)
    for path in ("../../../zk1/config/jaas.conf", "/etc/passwd", "config/../manifest.json", "unsealed.json"):
        with pytest.raises(NotHealthy, match="not a path in a backup"):
            LocalHost(host).backup("read", name=NAME, path=path, offset=0, most=10)


def test_what_the_playbook_gets(host: InventoryHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Mapping[str, Any]] = []

    def played(self: Plays, name: str, on: str, extra: Mapping[str, Any], *_: Any, **__: Any) -> Any:
        given.append({"playbook": name, "host": on, **extra})
        return SimpleNamespace(facts={"size": 7, "zxid": 5, "snapshot": 3})

    monkeypatch.setattr(Plays, "play", played)
    remote = AnsibleHost(host, Here(), Plays(str(tmp_path / "inventory"), artifacts=tmp_path / "artifacts"))
    assert backups.copy(remote, NAME, "4f1c2a", data=True) == backups.Saved(7, 5, 3)
    (said,) = given
    assert (said["playbook"], said["host"], said["zkprov_run"]) == ("backup", "zk1", "4f1c2a")
    assert (said["zkprov_backup_dir"], said["zkprov_backup_name"]) == (host.backups, NAME)
    assert (said["zkprov_backup_data"], said["zkprov_backup_seal"]) == (True, False)


def test_a_digest_that_is_told_twice_and_differs_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [(128, 7), (256, 8), (256, 9), (384, 5), (384, 5)]
    body = json.dumps({"digests": [{"zxid": zxid, "digest": digest} for zxid, digest in told]}).encode()
    monkeypatch.setattr(load.urllib.request, "urlopen", lambda *_, **__: io.BytesIO(body))
    assert load.digests(1) == {"128": 7, "384": 5}
