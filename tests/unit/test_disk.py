"""The disk reader: what a server's files say, and each way in which they can be wrong, as a fact and never as an exception."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zkprov.model.facts import Disk, Outcome
from zkprov.model.inventory import InventoryHost
from zkprov.model.members import Members
from zkprov.model.server import Server, ServerAddress
from zkprov.observe import disk as module
from zkprov.observe.disk import read_folder, read_host

THREE = "".join(f"server.{i}=zk{i}:2888:3888:participant;0.0.0.0:2181\n" for i in (1, 2, 3))
STATIC = "# static\ntickTime=2000\ndataDir=/var/lib/zookeeper\n" + THREE
DYNAMIC = "dataDir=/d\nreconfigEnabled=true\ndynamicConfigFile=/etc/zookeeper/zoo.cfg.dynamic.100000000\n"


def lay(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("latin-1"))
    return folder


def read(folder: Path, files: dict[str, str | bytes]) -> Disk:
    fact = read_folder(lay(folder, files), "zk1")
    assert fact.outcome is Outcome.OK
    assert fact.value
    return fact.value


def test_a_static_list(tmp_path: Path) -> None:
    disk = read(tmp_path, {"zoo.cfg": STATIC, "myid": "1\n"})
    assert disk.my_id == 1
    assert disk.acting
    assert disk.acting.source == "zk1/zoo.cfg:4"
    assert disk.acting.members.version == 0
    assert disk.acting.members.voters == {1, 2, 3}
    assert disk.next is None
    assert disk.problems == ()
    assert disk.has_data  # config files only: it may have data
    assert disk.settings["dataDir"] == "/var/lib/zookeeper"


def test_only_the_dynamic_file_that_is_pointed_at_counts(tmp_path: Path) -> None:
    other = "server.9=zk9:2888:3888:participant\n"
    disk = read(
        tmp_path,
        {
            "zoo.cfg": DYNAMIC,
            "myid": "2",
            "zoo.cfg.dynamic.100000000": THREE,
            "zoo.cfg.dynamic.200000000": other,
            "zoo.cfg.dynamic": other,
            "zoo.cfg.dynamic.next": other + "version=100000007\n",
        },
    )
    assert disk.acting
    assert disk.acting.source == "zk1/zoo.cfg.dynamic.100000000"
    assert disk.acting.members.version == 0x100000000
    assert disk.acting.members.voters == {1, 2, 3}
    assert disk.next
    assert disk.next.source == "zk1/zoo.cfg.dynamic.next"
    assert disk.next.members == Members.of(Server(9, (ServerAddress("zk9", 2888, 3888),)), version=0x100000007)
    assert disk.problems == ()
    assert disk.reconfig_enabled


def test_a_next_beside_a_static_list_is_not_read_by_zookeeper(tmp_path: Path) -> None:
    assert read(tmp_path, {"zoo.cfg": STATIC, "zoo.cfg.dynamic.next": THREE}).next is None


def test_no_list_at_all_is_a_standalone_server(tmp_path: Path) -> None:
    disk = read(tmp_path, {"zoo.cfg": "dataDir=/d\nclientPort=2181\n"})
    assert disk.acting
    assert disk.acting.members == Members(())
    assert disk.acting.source == "zk1/zoo.cfg"
    assert disk.problems == ()


def test_secrets_stay_on_the_disk(tmp_path: Path) -> None:
    disk = read(tmp_path, {"zoo.cfg": STATIC + "ssl.quorum.keyStore.password=hunter2\n"})
    assert "hunter2" not in repr(disk)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"myid": "1\n"}, "zk1/zoo.cfg: missing"),
        ({"zoo.cfg": DYNAMIC}, "zk1/zoo.cfg:3: names zk1/zoo.cfg.dynamic.100000000, which is not there"),
        ({"zoo.cfg": DYNAMIC + THREE, "zoo.cfg.dynamic.100000000": THREE}, "zk1/zoo.cfg:4: holds a member list beside"),
        ({"zoo.cfg": STATIC[:-30]}, "zk1/zoo.cfg:6: server.3: 'zk3:2888:' is not"),
        ({"zoo.cfg": b"\x7fELF\x00\x00\x01"}, "zk1/zoo.cfg:1: not a text file"),
        ({"zoo.cfg": "\u00ef\u00bb\u00bf" + STATIC}, "zk1/zoo.cfg:1: starts with a byte order mark"),
        ({"zoo.cfg": STATIC.replace(":3888", ":2888")}, "zk1/zoo.cfg:4: server.1: quorum port and election port"),
        (
            {"zoo.cfg": DYNAMIC, "zoo.cfg.dynamic.100000000": "clientPort=2181\n"},
            "zk1/zoo.cfg.dynamic.100000000:1: clientPort",
        ),
        (
            {"zoo.cfg": DYNAMIC, "zoo.cfg.dynamic.100000000": THREE + "version=1"},
            "zk1/zoo.cfg.dynamic.100000000:4: a dynamic",
        ),
        ({"zoo.cfg": STATIC + "\n" * module.MAX_BYTES}, "zk1/zoo.cfg: too large"),
    ],
)
def test_a_list_that_cannot_be_known_is_a_problem_with_its_place(
    tmp_path: Path, files: dict[str, str | bytes], problem: str
) -> None:
    disk = read(tmp_path, files)
    assert disk.acting is None
    assert disk.problems[0].startswith(problem)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"zoo.cfg": STATIC, "myid": "one\n"}, "zk1/myid:1: not a server id: 'one'"),
        ({"zoo.cfg": STATIC, "myid": "1 \n"}, "zk1/myid:1: not a server id: '1 '"),
        ({"zoo.cfg": STATIC, "myid": ""}, "zk1/myid:1: not a server id: ''"),
        ({"zoo.cfg": STATIC + "standaloneEnabled=no\n"}, "zk1/zoo.cfg:7: standaloneEnabled must be true or false"),
        ({"zoo.cfg": STATIC + "server.2=zk9:1:2\n"}, "zk1/zoo.cfg:7: server.2 stands twice (first in line 5)"),
        (
            {"zoo.cfg": DYNAMIC, "zoo.cfg.dynamic.100000000": THREE + "server.1=zk9:1:2"},
            "zk1/zoo.cfg.dynamic.100000000:4: server.1 stands twice",
        ),
        ({"zoo.cfg": DYNAMIC, "zoo.cfg.dynamic.100000000": ""}, "zk1/zoo.cfg.dynamic.100000000: no server line"),
        (
            {"zoo.cfg": DYNAMIC.replace("00\n", "0x\n"), "zoo.cfg.dynamic.10000000x": THREE},
            "zoo.cfg.dynamic.10000000x: '10000000x' at the end",
        ),
        (
            {"zoo.cfg": DYNAMIC, "zoo.cfg.dynamic.100000000": THREE, "zoo.cfg.dynamic.next": "server.1=a"},
            "zk1/zoo.cfg.dynamic.next:1: server.1: 'a' is not",
        ),
    ],
)
def test_what_is_odd_beside_a_known_list_is_told(tmp_path: Path, files: dict[str, str | bytes], problem: str) -> None:
    disk = read(tmp_path, files)
    assert disk.acting
    assert disk.problems
    assert disk.problems[0].startswith(problem)


def test_a_junk_version_is_the_version_that_zookeeper_takes(tmp_path: Path) -> None:
    disk = read(tmp_path, {"zoo.cfg": DYNAMIC.replace("00\n", "0x\n"), "zoo.cfg.dynamic.10000000x": THREE})
    assert disk.acting
    assert disk.acting.members.version == 0


def test_nothing_there_is_absent(tmp_path: Path) -> None:
    assert read_folder(tmp_path / "none", "zk1").outcome is Outcome.ABSENT
    (tmp_path / "empty").mkdir()
    assert read_folder(tmp_path / "empty", "zk1").outcome is Outcome.ABSENT
    assert read_folder(lay(tmp_path / "other", {"README": "x"}), "zk1").outcome is Outcome.ABSENT


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(lay(tmp_path, {"myid": "1\n"}) / "zoo.cfg")
    fact = read_folder(tmp_path, "zk1")
    assert fact.value
    assert fact.value.problems == ("zk1/zoo.cfg: not a file",)
    (tmp_path / "zoo.cfg").unlink()
    (tmp_path / "zoo.cfg").symlink_to("zoo.cfg")
    fact = read_folder(tmp_path, "zk1")
    assert fact.value
    assert fact.value.problems[0].startswith("zk1/zoo.cfg: cannot be read")


READ = "import sys; from pathlib import Path; from zkprov.observe.disk import read_folder; f = read_folder(Path(sys.argv[1]), 'zk1'); "
READ += "print(f.outcome, *(f.value.problems if f.value else ()), sep='|')"
# Root may read everything, unless the right to is taken away; then the modes hold for it too.
BOUND = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def read_by_one_who_is_bound(folder: Path) -> str:
    command = [*BOUND, sys.executable, "-c", READ, str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_what_may_not_be_read(tmp_path: Path) -> None:
    (lay(tmp_path, {"zoo.cfg": STATIC, "myid": "1"}) / "zoo.cfg").chmod(0)
    assert read_by_one_who_is_bound(tmp_path) == "ok|zk1/zoo.cfg: cannot be read (Permission denied)"
    tmp_path.chmod(0)
    try:
        assert read_by_one_who_is_bound(tmp_path) == "denied"
    finally:
        tmp_path.chmod(0o700)


def test_an_empty_version_folder_is_seen_as_no_data(tmp_path: Path) -> None:
    lay(tmp_path, {"zoo.cfg": STATIC})
    (tmp_path / "version-2").mkdir()
    assert not read(tmp_path, {}).has_data
    assert read(tmp_path, {"version-2/log.1": "x"}).has_data


def host(tmp_path: Path, **changes: str) -> InventoryHost:
    folders = {
        "config_dir": str(tmp_path / "conf"),
        "data_dir": str(tmp_path / "data"),
        "data_log_dir": str(tmp_path / "log"),
    }
    return InventoryHost("zk1", "127.0.0.1", connection="local", **(folders | changes))


def test_a_host(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    cfg = f"dataDir={tmp_path}/data\ndataLogDir={tmp_path}/log\ndynamicConfigFile={conf}/zoo.cfg.dynamic.1a\n"
    lay(conf, {"zoo.cfg": cfg, "zoo.cfg.dynamic.1a": THREE})
    lay(tmp_path, {"data/myid": "3\n", "data/.zkprov-disk": "d1\n", "log/initialize": ""})
    disk = read_host(host(tmp_path)).value
    assert disk
    assert disk.acting
    assert disk.acting.source == f"{conf}/zoo.cfg.dynamic.1a"
    assert (disk.my_id, disk.acting.members.version, disk.disk_id) == (3, 0x1A, "d1")
    assert disk.initialize
    assert not disk.has_data
    assert disk.problems == ()
    lay(tmp_path, {"log/version-2/log.1": "x"})
    again = read_host(host(tmp_path)).value
    assert again
    assert again.has_data


def test_initialize_in_data_dir_is_of_no_use(tmp_path: Path) -> None:
    lay(tmp_path, {"conf/zoo.cfg": f"dataDir={tmp_path}/data\ndataLogDir={tmp_path}/log\n", "data/initialize": ""})
    disk = read_host(host(tmp_path)).value
    assert disk
    assert not disk.initialize
    assert "of no use here" in disk.problems[0]


def test_data_elsewhere_than_in_the_inventory_is_found_and_told(tmp_path: Path) -> None:
    lay(tmp_path, {"conf/zoo.cfg": f"dataDir={tmp_path}/other\n", "other/version-2/log.1": "x", "other/myid": "7"})
    disk = read_host(host(tmp_path)).value
    assert disk
    assert (disk.my_id, disk.has_data) == (7, True)
    assert disk.problems[0].startswith(f"{tmp_path}/conf/zoo.cfg:1: the data is in {tmp_path}/other")


def test_data_without_a_config_is_no_empty_host(tmp_path: Path) -> None:
    lay(tmp_path, {"data/version-2/log.1": "x"})
    disk = read_host(host(tmp_path)).value
    assert disk
    assert disk.has_data
    assert disk.problems == (f"{tmp_path}/conf/zoo.cfg: missing",)


def test_a_next_beside_it_does_not_hide_that_the_config_is_missing(tmp_path: Path) -> None:
    lay(tmp_path, {"data/version-2/log.1": "x", "conf/zoo.cfg.dynamic.next": THREE + "version=900000001\n"})
    disk = read_host(host(tmp_path)).value
    assert disk
    assert f"{tmp_path}/conf/zoo.cfg: missing" in disk.problems


@pytest.mark.parametrize("files", [{}, {"zoo.cfg": "dataDir=/d\n"}], ids=["nothing else", "a package's zoo.cfg"])
def test_a_next_that_an_earlier_server_left_is_told(tmp_path: Path, files: dict[str, str | bytes]) -> None:
    """With a zoo.cfg of ours written beside it, the joiner would act under it as well."""
    folder = lay(Path(host(tmp_path).config_dir), files)
    lay(folder, {"zoo.cfg.dynamic.next": THREE + "version=900000001\n"})
    fact = read_host(host(tmp_path))
    assert fact.value is not None
    assert any("zoo.cfg.dynamic.next: left" in p for p in fact.value.problems)


def test_an_empty_host_is_absent(tmp_path: Path) -> None:
    assert read_host(host(tmp_path)).outcome is Outcome.ABSENT
    (tmp_path / "data").mkdir()
    assert read_host(host(tmp_path)).outcome is Outcome.ABSENT
