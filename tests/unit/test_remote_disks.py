"""Disks of the losing side on their hosts, as `salvage` is given them: named, copied whole, and refused where that cannot be."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from tests.unit import zookeeper_files as zk
from tests.unit.test_backups import Server, log
from tests.unit.test_remote_act import Here
from tests.unit.test_salvage import COMMON, KEPT, LOST, ROOT
from zkprov.act import disks
from zkprov.act.ansible import AnsibleHost
from zkprov.act.plays import Plays
from zkprov.cli.salvage import salvage
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import BadInput, NotHealthy
from zkprov.observe.data_files import find
from zkprov.run.remote_disks import HostDisk, copies_beside, fetched, on_host
from zkprov.run.salvage_file import ready
from zkprov.run.world import World


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """zk4, whose disk was set aside; its data and its logs are apart."""
    return Server(tmp_path / "zk4")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """With zk4 over SSH, for which this machine stands."""
    zk4 = InventoryHost(name="zk4", address="127.0.0.1", data_dir=str(tmp_path / "none"))
    host = AnsibleHost(zk4, Here(), Plays(str(tmp_path / "inventory"), artifacts=tmp_path / "artifacts"))
    inventory = SimpleNamespace(host={"zk4": zk4}.get)
    return cast(World, SimpleNamespace(inventory=inventory, host={"zk4": host}.__getitem__))


def of(server: Server) -> HostDisk:
    return HostDisk("zk4", str(server.data), str(server.logs))


def test_what_names_a_host_and_what_a_folder_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert on_host(Path("zk4:/srv/data.heal-1")) == HostDisk("zk4", "/srv/data.heal-1")
    assert str(on_host(Path("zk4:/srv/data:/srv/log"))) == "zk4:/srv/data:/srv/log"
    assert all(on_host(Path(p)) is None for p in ("/srv/data", "/srv/data:/srv/log", "data:log", "zk4:data"))
    (tmp_path / "data").mkdir()
    assert on_host(Path("data:/srv/log")) is None, "DATADIR:LOGDIR of this machine"


def test_a_disk_is_copied_whole_for_us_alone_and_read_under_its_own_name(
    server: Server, world: World, tmp_path: Path
) -> None:
    out, said = tmp_path / "lost", list[str]()
    server.log("log.100000008", log(0x100000008, padding=5 << 20))
    (server.data / "version-2" / "zkprov-disk").write_text("a mark")
    found = fetched(world, [of(server)], copies_beside(out), said.append)
    (copy,) = found.values()
    assert copy == tmp_path / "lost.disks" / "zk4-data"
    at = {str(p.relative_to(copy)): p for p in copy.rglob("*") if p.is_file()}
    assert set(at) == {
        "myid", "version-2/snapshot.0", "version-2/snapshot.100000005",
        "version-2/log.100000001", "version-2/log.100000006", "version-2/log.100000008",
    }  # fmt: skip
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in at.values())
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o700 for p in (copy, copy.parent, copy / "version-2"))
    last = at["version-2/log.100000008"].read_bytes()
    whole = log(0x100000008, padding=0)
    assert last.rstrip(b"\0") == whole.rstrip(b"\0"), "not the padding"
    assert 0 < len(last) - len(whole) < 100, "but that there is some: it was not cut off"
    source = Path(str(of(server)))
    (side,), _ = ready([source], out, copies={source: copy})
    assert (side.name, side.myid) == (str(source), 1) and len(side.logs) == 3
    assert find(copy).logs == side.logs
    # a second time what is there is taken
    assert fetched(world, [of(server)], copies_beside(out), said.append) == found and "there already" in said[-1]
    server.log("log.100000008", log(0x100000008, 0x100000009))
    with pytest.raises(BadInput, match="of another time"):
        fetched(world, [of(server)], copies_beside(out), said.append)


def test_a_copy_that_was_cut_off_is_begun_anew(
    server: Server, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = tmp_path / "lost.disks"
    (into / ".zk4-data.part" / "version-2").mkdir(parents=True)
    monkeypatch.setattr(disks, "PIECE", 7)
    zk4 = world.host("zk4")
    files = disks.files_on(zk4, str(server.data), str(server.logs))
    longer = tuple(disks.DiskFile(f.path, f.size + 1) for f in files)
    (tmp_path / "into").mkdir()
    with pytest.raises(NotHealthy, match="got shorter"):
        disks.fetch(zk4, str(server.data), longer[-1:], tmp_path / "into")
    (copy,) = fetched(world, [HostDisk("zk4", str(server.data))], into, lambda _: None).values()
    assert (copy / "version-2/snapshot.0").read_bytes() == (server.data / "version-2/snapshot.0").read_bytes()
    assert not (into / ".zk4-data.part").exists()


@pytest.mark.parametrize(
    ("disk", "problem", "words"),
    [
        (HostDisk("zk9", "/srv/data"), BadInput, "nor a host 'zk9'"),
        (HostDisk("zk4", "/no/such/folder"), NotHealthy, "neither a snapshot nor a log of ZooKeeper's in /no"),
    ],
)
def test_what_cannot_be_copied(
    world: World, tmp_path: Path, disk: HostDisk, problem: type[Exception], words: str
) -> None:
    with pytest.raises(problem, match=words):
        fetched(world, [disk], tmp_path / "lost.disks", lambda _: None)
    assert not (tmp_path / "lost.disks").exists()


def test_no_room(server: Server, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(BadInput, match="no room for a copy"):
        fetched(world, [of(server)], tmp_path / "lost.disks", lambda _: None)


def test_no_other_file_is_read(server: Server, world: World) -> None:
    """Links are not followed that somebody else may have made, and nothing but a server's data is given away."""
    zk4: Any = world.host("zk4")
    for path in (server.config / "jaas.conf", server.data / "version-2" / "currentEpoch"):
        with pytest.raises(NotHealthy, match="no file of a server's data"):
            zk4.backup("disk_read", data=str(server.data), path=str(path), offset=0, most=10)
    (server.data / "real").mkdir()
    shutil.move(server.data / "version-2", server.data / "real" / "version-2")
    (server.data / "version-2").symlink_to(server.data / "real" / "version-2")
    with pytest.raises(NotHealthy, match="neither a snapshot nor a log"):
        disks.files_on(zk4, str(server.data))


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(salvage, arguments)


def test_what_is_typed_wrong_is_said_before_anything_is_reached(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yml"
    inventory.write_text("all: {children: {kafka: {hosts: {zk4: {ansible_connection: local}}}}}\n")
    out = tmp_path / "lost"
    done = typed("zk4:/srv/data", "-o", str(out), "--connect", "127.0.0.1:1")
    assert done.exit_code == 2 and "reached by an inventory: -i, not --connect" in done.output
    problem = typed("zk9:/srv/data", "-o", str(out), "-i", str(inventory)).exception
    assert isinstance(problem, BadInput) and "nor a host 'zk9' in the inventory" in str(problem)
    out.write_text("")
    problem = typed("zk4:/srv/data", "-o", str(out), "-i", str(inventory)).exception
    assert isinstance(problem, BadInput) and "there is a file already" in str(problem)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["inventory.yml", "lost"]


def test_the_kept_side_may_be_a_folder_while_the_disks_lie_on_hosts(tmp_path: Path) -> None:
    """The inventory says then where the disks are, `--kept` what they are compared with. This machine stands for the host."""
    inventory, out = tmp_path / "inventory.yml", tmp_path / "lost"
    inventory.write_text("all: {children: {kafka: {hosts: {zk4: {ansible_connection: local}}}}}\n")
    lost, kept = tmp_path / "lost-side", tmp_path / "kept"
    zk.disk(lost, [*COMMON, *LOST], nodes=ROOT)
    zk.disk(kept, [*COMMON, *KEPT], nodes=ROOT)
    done = typed(f"zk4:{lost}", "--kept", str(kept), "-i", str(inventory), "-o", str(out), "--output", "json")
    assert done.exit_code == 0, done.output
    origin = json.loads(done.stdout)["origin"]
    assert origin["sources"] == [f"zk4:{lost}"] and origin["letters"] > 5, "under its own name"
    assert find(tmp_path / "lost.disks" / "zk4-lost-side").logs
