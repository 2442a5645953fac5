"""A host on this machine: files laid whole, servers told apart from all other processes, folders set aside and never deleted.

The "server" is a process with a server's command line: what is tested is how it is found, ended and guarded.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from zkprov.act import local as local_module
from zkprov.act.hosts import Host
from zkprov.act.local import LocalHost
from zkprov.act.processes import MAIN_CLASS, ServerProcess, command_line, end, running_servers, send, server_process
from zkprov.model.inventory import InventoryHost, ReleaseSource
from zkprov.model.marks import COPY, NOTE
from zkprov.model.problems import BadInput, Busy, Interrupted, NotHealthy
from zkprov.observe.disk import read_host

# Stands for `java`: takes a server's arguments, and runs until it is told to end.
FAKE_JAVA = """#!/bin/sh
exec {python} -c '
import signal, sys
stubborn = "-Dstubborn" in sys.argv
signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: sys.exit(0))
open(sys.argv[-1] + ".ready", "w").close()
while True: signal.pause()
' "$@"
"""
FILES = {"zoo.cfg": "tickTime=2000\n", "zoo.cfg.dynamic.0": "server.1=x\n", "myid": "1\n", "initialize": b""}


@pytest.fixture
def host(tmp_path: Path) -> InventoryHost:
    java = tmp_path / "java"
    java.write_text(FAKE_JAVA.format(python=sys.executable))
    java.chmod(0o755)
    jar = tmp_path / "zookeeper.jar"
    jar.touch()
    folders = {f"{kind}_dir": str(tmp_path / "zk1" / kind) for kind in ("config", "data", "data_log", "log")}
    return InventoryHost(
        name="zk1", address="127.0.0.1", id=1, connection="local", java=str(java), classpath=str(jar), **folders
    )


@pytest.fixture
def local(host: InventoryHost) -> Iterator[LocalHost]:
    local = LocalHost(host)
    yield local
    end([p for p in running_servers() if p.zoo_cfg == f"{host.config_dir}/zoo.cfg"], 0)


def configure(local: LocalHost, files: Mapping[str, str | bytes], run: str) -> None:
    local.fence(run)
    local.configure(files, run)


def started(local: LocalHost) -> ServerProcess:
    """Configured and running, and past the point where it listens to signals."""
    if not Path(local.host.config_dir).exists():
        configure(local, FILES, "r1")
    local.start()
    ready = Path(f"{local.host.config_dir}/zoo.cfg.ready")
    (process,) = local.processes()
    while not ready.exists():
        # while the shell becomes the "server", the process shows no command line
        assert Path(f"/proc/{process.pid}").exists(), Path(f"{local.host.log_dir}/out.log").read_text()
    return process


def test_it_is_a_host(local: LocalHost) -> None:
    as_host: Host = local
    assert as_host.name == "zk1"


class TestFence:
    def test_one_run_has_it_and_may_ask_again(self, local: LocalHost) -> None:
        assert local.fenced_by() is None
        local.fence("r1")
        local.fence("r1")
        assert local.fenced_by() == "r1"
        with pytest.raises(Busy, match="run r1 has this host"):
            local.fence("r2")
        assert local.fenced_by() == "r1"

    def test_only_its_run_gives_it_back(self, local: LocalHost) -> None:
        local.unfence("r1")
        local.fence("r1")
        with pytest.raises(Busy, match="r1"):
            local.unfence("r2")
        local.unfence("r1")
        local.unfence("r1")
        local.fence("r2")
        assert local.fenced_by() == "r2"

    def test_it_keeps_other_runs_from_configuring(self, local: LocalHost) -> None:
        local.fence("r1")
        with pytest.raises(Busy):
            local.configure(FILES, "r2")
        assert not local.exists()

    def test_a_later_attempt_takes_it_over_and_keeps_it(self, local: LocalHost) -> None:
        assert not local.fence("r1")
        assert local.fence("r1", 1), "an attempt at this run had it before"
        with pytest.raises(Interrupted, match="taken over"):
            local.fence("r1", 0)
        with pytest.raises(Interrupted, match="taken over"):
            local.configure(FILES, "r1", 0)
        local.unfence("r1", 0)
        assert local.fenced_by() == "r1", "it is the later attempt's to give back"
        local.unfence("r1", 1)
        assert local.fenced_by() is None and not local.exists()

    def test_who_lost_it_does_not_take_it_again_by_configuring(self, local: LocalHost) -> None:
        """A process that was frozen before it wrote, and wakes when the run that took over has ended."""
        local.fence("r1")
        local.unfence("r1", 1)
        with pytest.raises(Interrupted, match="zk1: run r1 was taken over"):
            local.configure(FILES, "r1")
        assert local.fenced_by() is None and not local.exists()

    def test_of_many_at_once_one_gets_it(self, local: LocalHost) -> None:
        from concurrent.futures import ThreadPoolExecutor

        def take(run: str) -> bool:
            try:
                LocalHost(local.host).fence(run)
            except Busy:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(take, [f"r{i}" for i in range(16)])) == 1


class TestConfigure:
    def test_each_file_lies_where_zookeeper_looks_for_it(self, local: LocalHost) -> None:
        for _ in range(2):
            configure(local, FILES, "r1")
            assert Path(local.host.config_dir, "zoo.cfg").read_text() == FILES["zoo.cfg"]
            assert Path(local.host.data_dir, "myid").read_text() == "1\n"
            assert Path(local.host.data_log_dir, "initialize").read_bytes() == b""
        assert Path(local.host.config_dir, "zoo.cfg").stat().st_mode & 0o777 == 0o600
        names = {p.name for p in Path(local.host.config_dir).iterdir()}
        assert names == {"zoo.cfg", "zoo.cfg.dynamic.0"}, "nothing unfinished is left"

    @pytest.mark.parametrize("folder", ["data_dir", "data_log_dir"])
    def test_a_disk_with_data_is_refused(self, local: LocalHost, folder: str) -> None:
        version_2 = Path(getattr(local.host, folder), "version-2")
        version_2.mkdir(parents=True)
        configure(local, FILES, "r1")
        (version_2 / "log.1").touch()
        assert local.has_data()
        with pytest.raises(NotHealthy, match=r"version-2 is not empty.*R5"):
            configure(local, {"zoo.cfg": "other"}, "r1")
        assert Path(local.host.config_dir, "zoo.cfg").read_text() == FILES["zoo.cfg"]

    def test_a_running_server_is_refused(self, local: LocalHost) -> None:
        started(local)
        with pytest.raises(NotHealthy, match="server is running"):
            configure(local, FILES, "r1")

    @pytest.mark.parametrize("name", ["../zoo.cfg", "/etc/passwd", "a/b", "", ".", "..", "a\nb", "-x", "x" * 200])
    def test_names_that_could_leave_the_folder(self, local: LocalHost, name: str) -> None:
        with pytest.raises(BadInput, match="not a plain file name"):
            configure(local, {name: "x"}, "r1")
        assert not local.exists()

    def test_a_disk_that_cannot_be_written_is_named(self, local: LocalHost, tmp_path: Path) -> None:
        (tmp_path / "zk1").write_text("a file in the way")
        with pytest.raises(NotHealthy, match=rf"zk1: cannot write {tmp_path}/zk1.*Not a directory"):
            configure(local, FILES, "r1")

    @pytest.mark.parametrize("option, word", [("ro", "Read-only file system"), ("size=4k", "No space left")])
    def test_a_read_only_or_full_disk(self, local: LocalHost, tmp_path: Path, option: str, word: str) -> None:
        disk = tmp_path / "zk1"
        disk.mkdir()
        mounting = ["mount", "-t", "tmpfs", "-o", option, "none", str(disk)]
        mounted = subprocess.run(mounting, capture_output=True, check=False).returncode == 0
        if not mounted:  # only root can; a folder that may not be written is the nearest that others have
            disk.chmod(0o500)
            word = "Permission denied"
        try:
            with pytest.raises(NotHealthy, match=word) as caught:
                configure(local, {**FILES, "zoo.cfg": "x" * 100_000}, "r1")
            assert str(disk) in str(caught.value) and caught.value.remedy
        finally:
            if mounted:
                subprocess.run(["umount", str(disk)], check=True)


class TestServer:
    def test_started_once_found_and_ended(self, local: LocalHost) -> None:
        assert not local.is_active()
        process = started(local)
        local.start()
        assert local.processes() == [process] and local.is_active()
        assert os.getsid(process.pid) == process.pid, "it is in a session of its own"
        local.stop(5)
        local.stop(5)
        assert not local.is_active() and server_process(process.pid) is None

    def test_found_without_its_record(self, local: LocalHost) -> None:
        process = started(local)
        Path(f"{local.host.config_dir}.zkprov", "server").unlink()
        assert LocalHost(local.host).processes() == [process]
        local.start()
        assert LocalHost(local.host).processes() == [process]
        LocalHost(local.host).stop(5)
        assert not local.is_active()

    @pytest.mark.parametrize("record", [b"", b"{", b'{"pid":1}', b"[]"])
    def test_found_with_a_damaged_record(self, local: LocalHost, record: bytes) -> None:
        process = started(local)
        Path(f"{local.host.config_dir}.zkprov", "server").write_bytes(record)
        assert local.processes() == [process]

    def test_a_recycled_pid_is_neither_taken_for_it_nor_ended(self, local: LocalHost) -> None:
        configure(local, FILES, "r1")
        stranger = subprocess.Popen(["sleep", "60"])
        try:
            record = ServerProcess(stranger.pid, 1, f"{local.host.config_dir}/zoo.cfg")
            Path(f"{local.host.config_dir}.zkprov", "server").write_bytes(msgspec.json.encode(record))
            assert not local.is_active()
            local.stop(0)
            assert not send(record, signal.SIGKILL)
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()

    def test_another_hosts_server_is_not_ours(self, local: LocalHost, tmp_path: Path) -> None:
        started(local)
        for folder in ("config2", "confi"):
            other = msgspec.structs.replace(local.host, config_dir=str(tmp_path / "zk1" / folder))
            assert not LocalHost(other).is_active()

    def test_one_that_does_not_listen_is_ended_by_force(self, local: LocalHost) -> None:
        deaf = LocalHost(msgspec.structs.replace(local.host, jvm_flags=("-Dstubborn",)))
        process = started(deaf)
        deaf.stop(0.2)
        assert server_process(process.pid) is None

    def test_a_frozen_one_is_active_and_is_ended(self, local: LocalHost) -> None:
        process = started(local)
        send(process, signal.SIGSTOP)
        assert local.is_active()
        local.stop(5)
        assert server_process(process.pid) is None

    def test_a_zombie_is_not_running(self) -> None:
        command = [sys.executable, "-c", "pass", MAIN_CLASS, "/nowhere/zoo.cfg"]
        child = subprocess.Popen(command)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert server_process(child.pid) is None
        child.wait()

    def test_flags_come_from_the_file_that_was_rendered(self, local: LocalHost) -> None:
        other = LocalHost(msgspec.structs.replace(local.host, jvm_flags=("-Dfrom=inventory",)))
        configure(other, {**FILES, "jvm_flags": "-Dfrom=file\n# a remark\n\n-Xmx80m\n"}, "r1")
        arguments = Path(f"/proc/{started(other).pid}/cmdline").read_bytes().split(b"\0")
        assert b"-Dfrom=file" in arguments and b"-Xmx80m" in arguments and b"" not in arguments[:-1]
        assert b"-Dfrom=inventory" not in arguments

    def test_it_gets_none_of_the_commands_environment(self, local: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOME_TOKEN", "hidden")
        process = started(local)
        assert b"hidden" not in Path(f"/proc/{process.pid}/environ").read_bytes()

    def test_without_files_or_when_disabled_it_does_not_start(self, local: LocalHost) -> None:
        with pytest.raises(NotHealthy, match=r"no .*zoo\.cfg"):
            local.start()
        configure(local, FILES, "r1")
        local.disable()
        local.disable()
        with pytest.raises(NotHealthy, match="disabled"):
            local.start()
        local.enable()
        local.enable()
        local.start()
        assert local.is_active()

    def test_java_that_cannot_be_run_is_said_so(self, local: LocalHost) -> None:
        Path(local.host.java).write_bytes(b"\x7fELF no program")
        configure(local, FILES, "r1")
        with pytest.raises(NotHealthy, match=r"java cannot be run: Exec format error"):
            local.start()
        assert not local.is_active()

    def test_one_that_ends_at_once_leaves_its_last_words(self, local: LocalHost) -> None:
        Path(local.host.java).write_text("#!/bin/sh\necho 'Unrecognized option: -Xnonsense'\nexit 1\n")
        configure(local, FILES, "r1")
        # It may end before or after `start` has seen it run.
        with contextlib.suppress(NotHealthy):
            local.start()
        while local.is_active():
            pass
        assert "Unrecognized option" in Path(local.host.log_dir, "out.log").read_text()


class TestInstall:
    def test_what_is_there(self, local: LocalHost) -> None:
        local.install()

    @pytest.mark.parametrize(
        "change, word",
        [
            ({"java": "/nowhere/java"}, "no executable /nowhere/java"),
            ({"classpath": "/nowhere/zookeeper.jar"}, "not there: /nowhere/zookeeper.jar"),
            ({"classpath": "/nowhere/*"}, r"not there: /nowhere/\*"),
            ({"classpath": ""}, "no ZooKeeper jars"),
        ],
    )
    def test_what_is_missing(self, host: InventoryHost, change: dict[str, str], word: str) -> None:
        with pytest.raises(NotHealthy, match=word) as caught:
            LocalHost(msgspec.structs.replace(host, **change)).install()
        assert "zkprov_" in caught.value.remedy


class TestReleases:
    """`zkprov_releases` names 3.8.6 and 3.9.5, of which 3.9.5 is not there yet."""

    @pytest.fixture
    def two(self, host: InventoryHost, tmp_path: Path) -> LocalHost:
        known = {"3.8.6": ReleaseSource(host.classpath), "3.9.5": ReleaseSource(str(tmp_path / "nine.jar"))}
        return LocalHost(msgspec.structs.replace(host, release="3.8.6", classpath="", releases=known))

    def test_laid_out_and_switched(self, two: LocalHost, tmp_path: Path) -> None:
        two.install()
        assert two.releases() == ("3.8.6",) and two.current() == "3.8.6"
        two.fence("r1")
        for act in (two.lay_release, two.switch):
            with pytest.raises(NotHealthy, match=r"not there: .*nine\.jar"):
                act("3.9.5", "r1")
            with pytest.raises(NotHealthy, match=r"nothing says where 3\.7\.2 lies"):
                act("3.7.2", "r1")
        (tmp_path / "nine.jar").touch()
        two.lay_release("3.9.5", "r1")
        assert two.releases() == ("3.8.6", "3.9.5") and two.current() == "3.8.6", "what is in force is not touched"
        two.switch("3.9.5", "r1")
        two.switch("3.9.5", "r1")
        assert two.current() == LocalHost(two.host).current() == "3.9.5"

    def test_the_one_in_force_is_started(self, two: LocalHost, tmp_path: Path) -> None:
        configure(two, FILES, "r1")
        (tmp_path / "nine.jar").touch()
        two.switch("3.9.5", "r1")
        two.start()
        try:
            line = command_line(two.processes()[0])
            assert line[line.index("-cp") + 1] == str(tmp_path / "nine.jar")
            with pytest.raises(NotHealthy, match="a server is running"):
                two.switch("3.8.6", "r1")
        finally:
            two.stop(5)
        # never another one in its place
        forgetful = LocalHost(msgspec.structs.replace(two.host, releases={}, classpath=two.host.java))
        with pytest.raises(NotHealthy, match=r"nothing says where 3\.9\.5 lies") as caught:
            forgetful.start()
        assert "zkprov_releases" in caught.value.remedy and not forgetful.is_active()

    def test_what_was_started_is_in_force_whatever_the_inventory_says_by_then(self, two: LocalHost) -> None:
        configure(two, FILES, "r1")
        assert not Path(f"{two.host.config_dir}.zkprov", "release").exists()
        two.start()
        two.stop(5)
        edited = LocalHost(msgspec.structs.replace(two.host, release="3.9.5"))
        assert edited.current() == "3.8.6"
        edited.start()
        try:
            line = command_line(edited.processes()[0])
            assert line[line.index("-cp") + 1] == two.host.releases["3.8.6"].classpath
        finally:
            edited.stop(5)
        # jars that are named by zkprov_classpath alone are what runs
        plain = msgspec.structs.replace(two.host, config_dir=f"{two.host.config_dir}2", releases={})
        plain = msgspec.structs.replace(plain, classpath=two.host.releases["3.8.6"].classpath)
        configure(LocalHost(plain), FILES, "r1")
        LocalHost(plain).start()
        LocalHost(plain).stop(5)
        assert not Path(f"{plain.config_dir}.zkprov", "release").exists()

    def test_only_whoever_has_the_host(self, two: LocalHost) -> None:
        two.fence("r1", 1)
        for act in (two.lay_release, two.switch):
            with pytest.raises(Busy):
                act("3.8.6", "r2")
            with pytest.raises(Interrupted):
                act("3.8.6", "r1", 0)

    def test_one_that_comes_in_runs_what_the_inventory_says(self, two: LocalHost, tmp_path: Path) -> None:
        (tmp_path / "nine.jar").touch()
        two.fence("r1")
        two.switch("3.9.5", "r1")
        configure(two, FILES, "r1")
        assert two.current() == "3.8.6"


class TestSetAside:
    def test_all_is_moved_and_nothing_deleted(self, local: LocalHost) -> None:
        configure(local, FILES, "r1")
        Path(local.host.data_dir, "version-2").mkdir()
        Path(local.host.data_dir, "version-2", "snapshot.0").write_text("data")
        moved = local.set_aside("retired-1")
        assert moved == f"{local.host.data_dir}.retired-1"
        assert not local.exists()
        assert Path(moved, "version-2", "snapshot.0").read_text() == "data"
        assert Path(f"{local.host.config_dir}.retired-1", "zoo.cfg").exists()
        assert local.set_aside("retired-1") == moved

    def test_after_a_crash_half_way_it_goes_on(self, local: LocalHost) -> None:
        configure(local, FILES, "r1")
        Path(local.host.config_dir).rename(f"{local.host.config_dir}.x1")
        with pytest.raises(NotHealthy, match=r"no .*zoo\.cfg"):
            local.start()
        assert local.set_aside("x1") == f"{local.host.data_dir}.x1"
        assert not local.exists()

    def test_a_running_server_is_refused(self, local: LocalHost) -> None:
        started(local)
        with pytest.raises(NotHealthy, match="running"):
            local.set_aside("x1")
        assert Path(local.host.config_dir, "zoo.cfg").exists()

    def test_a_label_used_before_is_refused_and_nothing_moved(self, local: LocalHost) -> None:
        configure(local, FILES, "r1")
        local.set_aside("x1")
        configure(local, FILES, "r1")
        with pytest.raises(NotHealthy, match="both"):
            local.set_aside("x1")
        assert Path(local.host.config_dir).exists() and Path(local.host.data_dir).exists()

    @pytest.mark.parametrize("label", ["", "../x", "a/b", "a b", "x" * 80, "a\n"])
    def test_labels_that_cannot_be(self, local: LocalHost, label: str) -> None:
        with pytest.raises(BadInput, match="label"):
            local.set_aside(label)

    def test_one_folder_within_another_is_moved_with_it(self, host: InventoryHost) -> None:
        local = LocalHost(msgspec.structs.replace(host, data_log_dir=f"{host.data_dir}/log"))
        configure(local, FILES, "r1")
        assert local.set_aside("x1") == f"{host.data_dir}.x1"
        assert Path(f"{host.data_dir}.x1/log/initialize").exists()
        same = LocalHost(msgspec.structs.replace(host, data_log_dir=host.data_dir))
        configure(same, FILES, "r1")
        assert same.set_aside("x2") == f"{host.data_dir}.x2"


class TestCommands:
    @pytest.fixture
    def commanded(self, host: InventoryHost, tmp_path: Path) -> LocalHost:
        flag = tmp_path / "is up"
        return LocalHost(
            msgspec.structs.replace(
                host,
                start_command=f"touch '{flag}'",
                stop_command=f"rm '{flag}'",
                is_active_command=f"test -e '{flag}'",
            )
        )

    def test_the_operators_commands_are_run_without_a_shell(self, commanded: LocalHost) -> None:
        assert not commanded.is_active()
        commanded.stop(1)
        commanded.start()
        commanded.start()
        assert commanded.is_active()
        commanded.stop(1)
        assert not commanded.is_active()

    def test_a_shells_signs_are_nothing_special(self, commanded: LocalHost, tmp_path: Path) -> None:
        hostile = LocalHost(msgspec.structs.replace(commanded.host, start_command=f"true ; touch {tmp_path}/pwned"))
        hostile.start()
        assert not (tmp_path / "pwned").exists()

    @pytest.mark.parametrize("command, word", [("false", "exit code 1"), ("/nowhere/x", "cannot be run: No such file")])
    def test_one_that_fails_is_said_so(self, commanded: LocalHost, command: str, word: str) -> None:
        with pytest.raises(NotHealthy, match=word):
            LocalHost(msgspec.structs.replace(commanded.host, start_command=command)).start()


class TestMark:
    """What tells a wiped disk from the one that a voter was seasoned on (R2)."""

    @pytest.fixture
    def folders(self, local: LocalHost) -> set[Path]:
        """`version-2` of a server that has data."""
        configure(local, FILES, "r1")
        found = {Path(f, "version-2") for f in (local.host.data_dir, local.host.data_log_dir)}
        for folder in found:
            folder.mkdir(parents=True)
            (folder / "currentEpoch").write_text("1")
        return found

    def seen(self, local: LocalHost) -> tuple[str, bool]:
        disk = read_host(local.host).value
        assert disk is not None
        return disk.disk_id, disk.data_marked

    def test_before_there_is_data_the_mark_stands_alone(self, local: LocalHost) -> None:
        configure(local, FILES, "r1")
        mark = local.mark_disk()
        assert self.seen(local) == (mark, False)
        assert not local.has_data(), "a mark would make the joiner's disk look used"

    def test_it_is_tied_to_the_data_and_stays(self, local: LocalHost) -> None:
        configure(local, FILES, "r1")
        mark = local.mark_disk()
        for folder in {local.host.data_dir, local.host.data_log_dir}:
            Path(folder, "version-2").mkdir()
            Path(folder, "version-2", "currentEpoch").write_text("1")
        assert self.seen(local) == (mark, False), "an older zkprov's mark, or a joiner's, is no wiped one"
        assert local.mark_disk() == mark == local.mark_disk()
        assert self.seen(local) == (mark, True)

    def test_data_wiped_by_name_is_another_disk_as_long_as_it_is_gone(
        self, local: LocalHost, folders: set[Path]
    ) -> None:
        mark = local.mark_disk()
        for folder in folders:
            for file in [f for f in folder.iterdir() if f.name != COPY]:
                file.unlink()
        assert self.seen(local) == ("", False)
        assert local.mark_disk() != mark

    @pytest.mark.parametrize("how", ["the folders", "what they hold", "the last of it"])
    def test_a_wipe_of_the_data_alone_is_another_disk(self, local: LocalHost, folders: set[Path], how: str) -> None:
        mark = local.mark_disk()
        assert self.seen(local) == (mark, True)
        wiped = folders if how != "the last of it" else {max(folders)}
        for folder in wiped:
            shutil.rmtree(folder)
            if how == "what they hold":
                folder.mkdir()
        assert self.seen(local) == ("", False)
        # it came back and took a snapshot from the leader
        for folder in wiped:
            folder.mkdir(exist_ok=True)
            (folder / "snapshot.700000000").write_text("x")
        assert self.seen(local) == ("", False)
        again = local.mark_disk()
        assert again != mark
        assert self.seen(local) == (again, True)
        assert local.mark_disk() == again

    def test_after_a_wipe_a_new_mark_waits_for_data(self, local: LocalHost, folders: set[Path]) -> None:
        mark = local.mark_disk()
        for folder in folders:
            shutil.rmtree(folder)
        again = local.mark_disk()
        assert again != mark
        assert self.seen(local) == (again, False)

    @pytest.mark.parametrize("writes", range(4))
    def test_a_crash_at_any_point_of_it(
        self, local: LocalHost, folders: set[Path], monkeypatch: pytest.MonkeyPatch, writes: int
    ) -> None:
        """The mark is the same before and after, whatever was written of it."""
        mark = local.mark_disk()
        for folder in (*folders, Path(local.host.data_dir)):
            for name in (COPY, NOTE):
                (folder / name).unlink(missing_ok=True)
        whole, left = local_module.write, [writes]

        def write(path: Path, content: bytes) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            whole(path, content)

        monkeypatch.setattr(local_module, "write", write)
        with contextlib.suppress(KeyboardInterrupt):
            local.mark_disk()
        assert self.seen(local)[0] == mark
        monkeypatch.setattr(local_module, "write", whole)
        assert local.mark_disk() == mark
        assert self.seen(local) == (mark, True)

    def test_the_copy_alone_is_no_data(self, local: LocalHost, folders: set[Path]) -> None:
        local.mark_disk()
        for folder in folders:
            (folder / "currentEpoch").unlink()
        assert not local.has_data()
        disk = read_host(local.host).value
        assert disk is not None and not disk.has_data
