"""The program that acts on a host reached over SSH: the same fences, marks and folders as on a local one.

The program is run as it is on a host, by an interpreter that reads it from its standard input; only the way there is left out.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.test_local_host import FAKE_JAVA
from zkprov.act import ansible
from zkprov.act.ansible import AnsibleHost, act_program
from zkprov.act.hosts import Host
from zkprov.act.local import LocalHost
from zkprov.act.plays import Plays
from zkprov.act.processes import MAIN_CLASS, end, running_servers
from zkprov.model.inventory import InventoryHost
from zkprov.model.marks import COPY, DISK, NOTE
from zkprov.model.problems import BadInput, Busy, Interrupted, NotHealthy


class Here:
    """In place of `Connections`: this machine stands for the host."""

    def run(
        self, host: InventoryHost, program: str, arguments: Mapping[str, Any], *, timeout_s: float | None = None
    ) -> Any:
        text = f"import json\nARGUMENTS = json.loads({json.dumps(arguments)!r})\n{program}"
        done = subprocess.run([sys.executable, "-"], input=text, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def host(tmp_path: Path) -> InventoryHost:
    folders = {f"{kind}_dir": str(tmp_path / "zk1" / kind) for kind in ("config", "data", "data_log", "log")}
    return InventoryHost(name="zk1", address="127.0.0.1", id=1, unit="zkprov-no-such-unit", **folders)


@pytest.fixture
def remote(host: InventoryHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AnsibleHost:
    monkeypatch.setattr(ansible, "CONTROL", str(tmp_path / "control"))
    return AnsibleHost(host, Here(), Plays(str(tmp_path / "inventory"), artifacts=tmp_path / "artifacts"))


@pytest.fixture(params=["over SSH", "local"])
def either(request: pytest.FixtureRequest, remote: AnsibleHost, host: InventoryHost) -> Host:
    return remote if request.param == "over SSH" else LocalHost(host)


def put(folder: str, names: Mapping[str, str]) -> None:
    for name, content in names.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_it_runs_on_python_3_6() -> None:
    ast.parse(act_program(), feature_version=(3, 6))


def test_the_program_that_ansible_ships_is_the_same() -> None:
    beside = Path(ansible.__file__).parents[1] / "shipped" / "playbooks" / "module_utils"
    assert (
        "\n".join((beside / f"zkprov_{name}.py").read_text() for name in ("stands", "releases", "act")) == act_program()
    )


def test_a_fence_is_one_run_s(either: Host) -> None:
    assert either.fenced_by() is None
    assert either.fence("r1") is False
    assert either.fence("r1") is True
    assert either.fenced_by() == "r1"
    with pytest.raises(Busy, match="run r1 has this host") as busy:
        either.fence("r2")
    assert busy.value.place == "zk1" and "zkprov resume" in busy.value.remedy
    with pytest.raises(Busy):
        either.unfence("r2")
    assert either.fenced_by() == "r1"
    either.unfence("r1")
    either.unfence("r1")
    assert either.fenced_by() is None


def test_a_later_attempt_takes_the_host_over(either: Host) -> None:
    either.fence("r1", 1)
    assert either.fence("r1", 2) is True
    with pytest.raises(Interrupted, match="taken over"):
        either.fence("r1", 1)
    either.unfence("r1", 1)
    assert either.fenced_by() == "r1", "an earlier attempt gives nothing back"
    either.unfence("r1", 3)
    assert either.fenced_by() is None


def test_one_of_many_gets_the_host(either: Host) -> None:
    won: list[str] = []

    def reach(run: str) -> None:
        try:
            either.fence(run)
        except Busy:
            return
        won.append(run)

    threads = [threading.Thread(target=reach, args=(f"r{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert either.fenced_by() == won[0]


def test_the_fence_is_the_file_that_a_local_host_writes(remote: AnsibleHost, tmp_path: Path) -> None:
    remote.fence("r1", 2)
    fence = tmp_path / "control" / "zk1" / "run"
    assert fence.read_text() == "r1 2"
    assert fence.stat().st_mode & 0o777 == 0o600
    assert fence.parent.stat().st_mode & 0o777 == 0o700


def test_a_control_folder_that_cannot_be_made(remote: AnsibleHost, tmp_path: Path) -> None:
    (tmp_path / "control").write_text("a file")
    with pytest.raises(NotHealthy, match=r"cannot write .*control/zk1: Not a directory"):
        remote.fence("r1")
    assert remote.fenced_by() is None


def test_a_list_is_laid_in_place_of_the_one_before(either: Host, host: InventoryHost) -> None:
    dynamic = Path(host.config_dir) / "zoo.cfg.dynamic.100000000"
    put(host.config_dir, {dynamic.name: "server.1=before\n", "zoo.cfg": "dynamicConfigFile=x\n"})
    dynamic.chmod(0o640)
    either.fence("r1", 2)
    for _ in range(2):
        either.lay_list(str(dynamic), "server.1=after\n", "r1", 2)
        assert dynamic.read_text() == "server.1=after\n"
    assert dynamic.stat().st_mode & 0o777 == 0o640
    assert {p.name for p in Path(host.config_dir).iterdir()} == {dynamic.name, "zoo.cfg"}, "nothing unfinished is left"
    with pytest.raises(Interrupted, match="taken over"):
        either.lay_list(str(dynamic), "server.1=late\n", "r1", 1)
    with pytest.raises(Busy, match="run r1 has this host"):
        either.lay_list(str(dynamic), "server.1=other\n", "r2")
    for elsewhere in ("/etc/passwd", f"{host.config_dir}/../x", "zoo.cfg.dynamic.100000000", f"{host.config_dir}/.."):
        with pytest.raises(BadInput, match="no file in"):
            either.lay_list(elsewhere, "server.1=late\n", "r1", 2)
    with pytest.raises(NotHealthy, match="No such file"):
        either.lay_list(f"{host.config_dir}/zoo.cfg.dynamic.2", "server.1=late\n", "r1", 2)
    (Path(host.config_dir) / "zoo.cfg.dynamic.3").symlink_to(dynamic)
    with pytest.raises(NotHealthy, match="is no file"):
        either.lay_list(f"{host.config_dir}/zoo.cfg.dynamic.3", "server.1=late\n", "r1", 2)
    assert dynamic.read_text() == "server.1=after\n"


def test_a_member_s_files_are_replaced_and_put_back(either: Host, host: InventoryHost) -> None:
    folder = Path(host.config_dir)
    before = {"zoo.cfg": "tickTime=2000\ndynamicConfigFile=/old.1\nclientPort=1\n", "jvm_flags": "-Xmx1g\n"}
    put(host.config_dir, before)
    (folder / "jvm_flags").chmod(0o640)
    either.fence("r1", 2)
    assert either.put_back("r1", 2) is False, "nothing was laid"
    new = {"zoo.cfg": "tickTime=3000\ndynamicConfigFile=/old.1\n", "jvm_flags": "-Xmx2g\n", "logback.xml": "<x/>"}
    for _ in range(2):  # again, as after a crash: what was there first is what is kept
        either.lay_files(new, "r1", 2)
        assert {p.name: p.read_text() for p in folder.iterdir()} == new
    assert (folder / "jvm_flags").stat().st_mode & 0o777 == 0o640
    assert (folder / "logback.xml").stat().st_mode & 0o777 == 0o600
    # meanwhile the server took another list, and wrote so
    put(host.config_dir, {"zoo.cfg": "dynamicConfigFile=/new.2\ntickTime=3000\n"})
    assert either.put_back("r1", 2) is True
    back = {p.name: p.read_text() for p in folder.iterdir()}
    assert back == {**before, "zoo.cfg": before["zoo.cfg"].replace("/old.1", "/new.2")}
    assert either.put_back("r1", 2) is False
    assert (folder / "jvm_flags").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="to give files away takes root")
def test_a_file_that_is_replaced_stays_its_owner_s(either: Host, host: InventoryHost) -> None:
    """zkprov may be root, and the server somebody who must read it."""
    nobody, folder = 65534, Path(host.config_dir)
    put(host.config_dir, {"zoo.cfg": "tickTime=2000\n"})
    for path in (folder, folder / "zoo.cfg"):
        os.chown(path, nobody, nobody)
    (folder / "zoo.cfg").chmod(0o600)
    either.fence("r1")
    either.lay_files({"zoo.cfg": "tickTime=3000\n", "jvm_flags": "-Xmx1g\n"}, "r1")
    assert {p.stat().st_uid for p in folder.iterdir()} == {nobody}
    assert either.has_former("r1") and either.put_back("r1")
    assert [(p.name, p.stat().st_uid, p.stat().st_mode & 0o777) for p in folder.iterdir()] == [
        ("zoo.cfg", nobody, 0o600)
    ]


def test_what_was_replaced_is_dropped_once_it_is_not_needed(either: Host, host: InventoryHost) -> None:
    """It may hold passwords."""
    put(host.config_dir, {"zoo.cfg": "tickTime=2000\n"})
    either.fence("r1")
    assert not either.has_former("r1")
    either.drop_former("r1")
    either.lay_files({"zoo.cfg": "tickTime=3000\n"}, "r1")
    assert either.has_former("r1") and not either.has_former("r2")
    either.drop_former("r1")
    assert not either.has_former("r1") and not either.put_back("r1")
    assert (Path(host.config_dir) / "zoo.cfg").read_text() == "tickTime=3000\n"
    control = Path(host.config_dir).parents[1] / "control" / "zk1"
    kept = [*control.glob("before-*"), *Path(f"{host.config_dir}.zkprov").glob("before-*")]
    assert kept == []


def test_files_are_checked_before_a_server_is_stopped_for_them(either: Host, host: InventoryHost) -> None:
    put(host.config_dir, {"zoo.cfg": "tickTime=2000\n"})
    either.fence("r1", 1)
    either.check_files({"zoo.cfg": "x", "jvm_flags": "x"}, "r1", 1)
    (Path(host.config_dir) / "jvm_flags").mkdir()
    with pytest.raises(NotHealthy, match="is no file"):
        either.check_files({"zoo.cfg": "x", "jvm_flags": "x"}, "r1", 1)
    with pytest.raises(Interrupted, match="taken over"):
        either.check_files({"zoo.cfg": "x"}, "r1", 0)
    assert (Path(host.config_dir) / "zoo.cfg").read_text() == "tickTime=2000\n"


def test_who_was_taken_over_neither_stops_nor_starts_here(host: InventoryHost) -> None:
    """(Over SSH the play looks for itself.) Also when the run that took it is over, and the host free."""
    slept, later = LocalHost(host), LocalHost(host)
    slept.fence("r1")
    later.fence("r1", 1)
    for act in (slept.start, lambda: slept.stop(1)):
        with pytest.raises(Interrupted, match="taken over"):
            act()
    later.unfence("r1", 1)
    for act in (slept.start, lambda: slept.stop(1)):
        with pytest.raises(Interrupted, match="taken over"):
            act()
    later.stop(1)


def test_what_is_not_to_be_replaced_is_not(either: Host, host: InventoryHost) -> None:
    put(host.config_dir, {"zoo.cfg": "tickTime=2000\n"})
    link = Path(host.config_dir) / "jvm_flags"
    link.symlink_to(Path(host.config_dir) / "zoo.cfg")
    either.fence("r1", 2)
    for name in ("myid", "initialize", "zoo.cfg.dynamic", "zoo.cfg.dynamic.100000000", "../zoo.cfg", "a/b", ""):
        with pytest.raises(BadInput):
            either.lay_files({name: "x"}, "r1", 2)
    with pytest.raises(NotHealthy, match="is a link"):
        either.lay_files({"jvm_flags": "x"}, "r1", 2)
    with pytest.raises(Interrupted, match="taken over"):
        either.lay_files({"zoo.cfg": "late\n"}, "r1", 1)
    with pytest.raises(Interrupted, match="taken over"):
        either.put_back("r1", 1)
    with pytest.raises(Busy, match="run r1 has this host"):
        either.lay_files({"zoo.cfg": "other\n"}, "r2")
    assert (Path(host.config_dir) / "zoo.cfg").read_text() == "tickTime=2000\n"


@pytest.mark.parametrize("mutate", [None, "wipe", "wipe of the data"])
def test_the_mark_tells_a_wiped_disk(either: Host, host: InventoryHost, mutate: str | None) -> None:
    Path(host.data_dir).mkdir(parents=True)
    before = either.mark_disk()
    assert either.mark_disk() == before and len(before) == 16
    data, logs = {"version-2/snapshot.0": "s", "myid": "1"}, {"version-2/log.1": "l"}
    put(host.data_dir, data)
    put(host.data_log_dir, logs)
    assert either.mark_disk() == before
    for folder in (host.data_dir, host.data_log_dir):
        assert (Path(folder) / "version-2" / COPY).read_text().strip() == before
    assert (Path(host.data_dir) / NOTE).read_text().strip() == before
    for folder in (host.data_dir, host.data_log_dir):
        for path in (Path(folder) / "version-2").iterdir() if mutate else ():
            path.unlink()
    if mutate == "wipe":
        (Path(host.data_dir) / DISK).unlink()
    assert (either.mark_disk() == before) is (mutate is None)


def test_both_read_each_other_s_marks(remote: AnsibleHost, host: InventoryHost) -> None:
    put(host.data_dir, {"version-2/snapshot.0": "s"})
    put(host.data_log_dir, {"version-2/log.1": "l"})
    assert remote.mark_disk() == LocalHost(host).mark_disk()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_mark_is_the_folder_s_owner_s(remote: AnsibleHost, host: InventoryHost) -> None:
    Path(host.data_dir).mkdir(parents=True)
    os.chown(host.data_dir, 12345, 12346)
    remote.mark_disk()
    found = (Path(host.data_dir) / DISK).stat()
    assert (found.st_uid, found.st_gid) == (12345, 12346)


def test_data_is_what_version_2_holds(either: Host, host: InventoryHost) -> None:
    assert not either.has_data()
    put(host.data_log_dir, {f"version-2/{COPY}": "mark"})
    assert not either.has_data()
    put(host.data_log_dir, {"version-2/log.1": ""})
    assert either.has_data()


def test_folders_are_set_aside(either: Host, host: InventoryHost) -> None:
    put(host.config_dir, {"zoo.cfg": "x"})
    put(host.data_dir, {"myid": "1"})
    assert either.exists()
    assert either.set_aside("gone-1") == f"{host.data_dir}.gone-1"
    assert (Path(f"{host.config_dir}.gone-1") / "zoo.cfg").read_text() == "x"
    assert not either.exists()
    assert either.set_aside("gone-1") == f"{host.data_dir}.gone-1", "again, and nothing is there"


def test_folders_within_each_other_go_as_one(remote: AnsibleHost, host: InventoryHost) -> None:
    within = msgspec.structs.replace(host, data_dir=f"{host.config_dir}/data", data_log_dir=f"{host.config_dir}/log")
    put(within.data_dir, {"myid": "1"})
    inner = AnsibleHost(within, Here(), remote._plays)
    assert inner.set_aside("gone") == f"{host.config_dir}.gone/data"
    assert Path(f"{host.config_dir}.gone/data/myid").exists()


def test_nothing_is_set_aside_onto_something(either: Host, host: InventoryHost) -> None:
    put(host.config_dir, {"zoo.cfg": "x"})
    put(host.data_dir, {"myid": "1"})
    put(f"{host.data_dir}.gone", {"myid": "2"})
    with pytest.raises(NotHealthy, match=r"both .*data and .*data\.gone are there"):
        either.set_aside("gone")
    assert (Path(host.config_dir) / "zoo.cfg").exists()
    with pytest.raises(BadInput):
        either.set_aside("../gone")


@pytest.fixture
def mounted(host: InventoryHost) -> Iterator[Path]:
    """data_dir is a file system of its own."""
    place = Path(host.data_dir)
    place.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    (place / "lost+found").mkdir()
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_mount_point_stays_and_what_it_holds_is_set_aside_within(
    either: Host, host: InventoryHost, mounted: Path
) -> None:
    put(host.config_dir, {"zoo.cfg": "x"})
    put(host.data_dir, {"myid": "1", "version-2/log.1": "data"})
    aside = mounted / "zkprov-aside.gone-1"
    assert either.set_aside("gone-1") == str(aside)
    assert (Path(f"{host.config_dir}.gone-1") / "zoo.cfg").exists()
    assert (aside / "version-2/log.1").read_text() == "data" and aside.stat().st_mode & 0o777 == 0o700
    assert sorted(p.name for p in mounted.iterdir()) == ["lost+found", aside.name]
    assert not either.exists() and not either.has_data()
    assert either.set_aside("gone-1") == str(aside), "again, and nothing is there"
    # the next one on this disk, and cut off half way
    put(host.config_dir, {"zoo.cfg": "y"})
    put(host.data_dir, {"myid": "2", "version-2/log.1": "other"})
    assert either.exists() and either.has_data()
    other = mounted / "zkprov-aside.gone-2"
    other.mkdir()
    (mounted / "myid").rename(other / "myid")
    assert either.set_aside("gone-2") == str(other)
    assert (other / "myid").read_text() == "2" and (other / "version-2/log.1").read_text() == "other"
    assert (aside / "version-2/log.1").read_text() == "data"


def test_within_a_mount_point_nothing_is_set_aside_onto_something(
    either: Host, host: InventoryHost, mounted: Path
) -> None:
    put(host.config_dir, {"zoo.cfg": "x"})
    put(host.data_dir, {"myid": "1", "zkprov-aside.gone/myid": "2"})
    with pytest.raises(NotHealthy, match=r"both .*/myid and .*/zkprov-aside\.gone/myid are there"):
        either.set_aside("gone")
    assert (Path(host.config_dir) / "zoo.cfg").exists() and (mounted / "myid").read_text() == "1"
    (mounted / "zkprov-aside.link").symlink_to(host.config_dir)
    with pytest.raises(NotHealthy, match="both"):
        either.set_aside("link")


def test_a_folder_that_is_bound_to_its_place_is_a_mount_point_too(
    either: Host, host: InventoryHost, tmp_path: Path
) -> None:
    """On the same file system, where only the attempt tells."""
    Path(host.data_dir).mkdir(parents=True)
    put(str(tmp_path / "disk"), {"myid": "1"})
    command = ["mount", "--bind", str(tmp_path / "disk"), host.data_dir]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    try:
        assert either.set_aside("gone") == f"{host.data_dir}/zkprov-aside.gone"
        assert (tmp_path / "disk/zkprov-aside.gone/myid").read_text() == "1"
        assert either.set_aside("gone") == f"{host.data_dir}/zkprov-aside.gone"
    finally:
        subprocess.run(["umount", "-l", host.data_dir], check=True)


def test_installed_folders_without_anything_are_no_leavings(remote: AnsibleHost, host: InventoryHost) -> None:
    for folder in (host.config_dir, host.data_dir, host.data_log_dir):
        Path(folder).mkdir(parents=True)
    (Path(host.data_dir) / "lost+found").mkdir()
    assert not remote.exists()
    put(host.config_dir, {"zoo.cfg": "x"})
    assert remote.exists()


@pytest.fixture
def server(host: InventoryHost, tmp_path: Path) -> Iterator[Callable[[], None]]:
    java = tmp_path / "java"
    java.write_text(FAKE_JAVA.format(python=sys.executable))
    java.chmod(0o755)
    put(host.config_dir, {"zoo.cfg": "x"})
    zoo_cfg = f"{host.config_dir}/zoo.cfg"
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        started.append(subprocess.Popen([str(java), MAIN_CLASS, zoo_cfg]))
        while not Path(f"{zoo_cfg}.ready").exists():
            assert started[-1].poll() is None

    yield start
    end([p for p in running_servers() if p.zoo_cfg == zoo_cfg], 0)
    for process in started:
        process.wait()


def test_a_server_is_a_process_on_this_zoo_cfg(
    remote: AnsibleHost, host: InventoryHost, server: Callable[[], None]
) -> None:
    assert not remote.is_active()
    server()
    assert remote.is_active()
    with pytest.raises(NotHealthy, match="a server is running here"):
        remote.set_aside("gone")
    assert Path(host.config_dir).exists()


def test_what_left_is_kept_down_by_a_file(remote: AnsibleHost, tmp_path: Path) -> None:
    marker = tmp_path / "control" / "zk1" / "disabled"
    remote.disable()
    remote.disable()
    assert marker.exists()
    remote.enable()
    remote.enable()
    assert not marker.exists()


def test_commands_are_run_as_given_and_by_no_shell(remote: AnsibleHost, host: InventoryHost, tmp_path: Path) -> None:
    def with_command(command: str) -> AnsibleHost:
        own = msgspec.structs.replace(host, start_command="true", stop_command="true", is_active_command=command)
        return AnsibleHost(own, Here(), remote._plays)

    assert with_command("true").is_active()
    assert not with_command("false").is_active()
    assert not with_command(f"test -e '{tmp_path}/a b; touch {tmp_path}/c'").is_active()
    assert not (tmp_path / "c").exists()
    with pytest.raises(NotHealthy, match=r"`/no/such` cannot be run: No such file"):
        with_command("/no/such").is_active()
    with pytest.raises(NotHealthy, match="a server is running here"):
        with_command("true").set_aside("gone")


@pytest.mark.parametrize("answer", [None, 7, {"ok": 1, "problem": 3}])
def test_an_odd_answer_is_a_problem(remote: AnsibleHost, answer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Here, "run", lambda *_, **__: answer)
    with pytest.raises(NotHealthy, match="an answer that is none of ours"):
        remote.fenced_by()


OWN = b"# ours, f\xfcr alle\r\ntickTime=2000\r\nreconfigEnabled=false\r\nserver.1=127.0.0.1:2888:3888"
WANTED = {"reconfigEnabled": "true", "standaloneEnabled": "false"}


@pytest.fixture
def own_zoo_cfg(host: InventoryHost) -> Path:
    """A zoo.cfg that the operator wrote, with a list in it."""
    place = Path(host.config_dir) / "zoo.cfg"
    place.parent.mkdir(parents=True)
    place.write_bytes(OWN)
    place.chmod(0o640)
    return place


def test_lines_of_a_zoo_cfg_are_changed_and_put_back(either: Host, own_zoo_cfg: Path) -> None:
    """Byte for byte but for these lines, however often it is done; the rights stay."""
    either.fence("r1")
    assert either.edit_zoo_cfg(WANTED, "r1") is True
    now = OWN.replace(b"reconfigEnabled=false", b"reconfigEnabled=true") + b"\r\nstandaloneEnabled=false\r\n"
    assert own_zoo_cfg.read_bytes() == now and own_zoo_cfg.stat().st_mode & 0o777 == 0o640
    assert either.edit_zoo_cfg(WANTED, "r1") is False
    # what is kept is what was there before the run's first edit
    assert either.edit_zoo_cfg({"db.autocreate": "false"}, "r1") is True
    assert either.has_former("r1")
    assert either.put_back("r1", running=True) is True
    assert own_zoo_cfg.read_bytes() == OWN and own_zoo_cfg.stat().st_mode & 0o777 == 0o640
    assert not either.has_former("r1") and either.put_back("r1", running=True) is False


def test_a_zoo_cfg_whose_list_has_a_version_since_is_not_put_back(either: Host, own_zoo_cfg: Path) -> None:
    either.fence("r1")
    either.edit_zoo_cfg(WANTED, "r1")
    # as ZooKeeper writes it, once the list has a version
    own_zoo_cfg.write_bytes(
        now := b"tickTime=2000\nreconfigEnabled=true\ndynamicConfigFile=/x/zoo.cfg.dynamic.200000000\n"
    )
    assert either.put_back("r1", running=True) is True
    assert own_zoo_cfg.read_bytes() == now


@pytest.mark.parametrize("kind", ["a link", "a folder", "nothing", "no properties"])
def test_a_zoo_cfg_that_is_not_to_be_edited_is_not(either: Host, own_zoo_cfg: Path, kind: str) -> None:
    either.fence("r1")
    own_zoo_cfg.unlink()
    aside = own_zoo_cfg.with_name("own.cfg")
    aside.write_bytes(OWN)
    if kind == "a link":
        own_zoo_cfg.symlink_to(aside)
    elif kind == "a folder":
        own_zoo_cfg.mkdir()
    elif kind == "no properties":
        own_zoo_cfg.write_bytes(b"x=\\u12\n")
    with pytest.raises(BadInput if kind == "no properties" else NotHealthy) as refused:
        either.edit_zoo_cfg(WANTED, "r1")
    assert "zoo.cfg" in str(refused.value)
    assert aside.read_bytes() == OWN and not either.has_former("r1")


def test_only_who_has_the_host_edits(either: Host, own_zoo_cfg: Path) -> None:
    either.fence("r1", 1)
    with pytest.raises(Busy):
        either.edit_zoo_cfg(WANTED, "r2")
    with pytest.raises(Interrupted):
        either.edit_zoo_cfg(WANTED, "r1", 0)
    assert own_zoo_cfg.read_bytes() == OWN


def test_who_else_writes_at_this_moment_is_not_written_over(
    remote: AnsibleHost, own_zoo_cfg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.fence("r1")
    acts = remote._act

    def slowly(kind: str, **arguments: Any) -> Any:
        if kind == "edit_zoo_cfg":
            own_zoo_cfg.write_bytes(b"tickTime=1\n")
        return acts(kind, **arguments)

    monkeypatch.setattr(remote, "_act", slowly)
    with pytest.raises(NotHealthy, match="written by somebody else just now"):
        remote.edit_zoo_cfg(WANTED, "r1")
    assert own_zoo_cfg.read_bytes() == b"tickTime=1\n"


SYSTEMCTL = """#!/bin/sh
cd {folder}
case $1 in
show) cat state ;;
stop) echo ActiveState=deactivating >state ;;
kill) {ends}; echo "Failed to kill unit zk.service: Unit zk.service not loaded." >&2; exit 1 ;;
esac
"""


@pytest.mark.parametrize("ended", [True, False])
def test_a_unit_that_ends_just_before_it_is_killed(
    remote: AnsibleHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    """Disabled before, as one that is fenced or retired: systemd has forgotten it by then, and that is its end and no failure."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "state").write_text("ActiveState=active\n")
    ends = "echo ActiveState=inactive >state" if ended else "true"
    (folder / "systemctl").write_text(SYSTEMCTL.format(folder=folder, ends=ends))
    (folder / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    if ended:
        remote.stop(0.1)
        assert not remote.is_active()
    else:
        with pytest.raises(NotHealthy, match="not loaded"):
            remote.stop(0.1)


def test_whether_it_is_to_stay_down_is_told(remote: AnsibleHost) -> None:
    assert remote._act("disabled") is False
    remote.disable()
    assert remote._act("disabled") is True
    remote.enable()
    assert remote._act("disabled") is False
