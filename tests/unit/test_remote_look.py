"""The program that looks at a host, run on this one: what it fetches is read as the files themselves are, whatever is wrong with them."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit import test_disk as cases
from tests.unit.test_disk import BOUND, DYNAMIC, STATIC, THREE, lay
from zkprov.model.facts import Disk, Fact, Outcome
from zkprov.model.inventory import Access, InventoryHost
from zkprov.model.problems import Unreached
from zkprov.observe.disk import read_host
from zkprov.observe.remote import MAIN_CLASS, RemoteLook, look_remote, program
from zkprov.observe.ssh import Connections
from zkprov.observe.ssh_exec import script_of


class Here(Connections):
    """Runs the program in this process: no host is asked. `rounds`: how often. Servers of other tests on this machine are not told of."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds = 0
        self.answer: Any = None

    def run(
        self, host: InventoryHost, program: str, arguments: Mapping[str, Any], *, timeout_s: float | None = None
    ) -> Any:
        self.rounds += 1
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(program, "look", "exec"), {"ARGUMENTS": json.loads(json.dumps(arguments))})
        self.answer = json.loads(out.getvalue())
        if "servers" in self.answer:
            ours = str(Path(arguments["config"]).parent)
            self.answer["servers"] = [s for s in self.answer["servers"] if s["here"] or s["zoo_cfg"].startswith(ours)]
        return self.answer


def host(tmp_path: Path, **changes: Any) -> InventoryHost:
    folders = {name: str(tmp_path / short) for name, short in SHORT.items()}
    return InventoryHost("zk1", "127.0.0.1", access=Access("127.0.0.1"), **(folders | changes))


SHORT = {"config_dir": "conf", "data_dir": "data", "data_log_dir": "log"}


def without_active(fact: Fact[Disk]) -> Fact[Disk]:
    if fact.value is None:
        return fact
    assert fact.value.rooms and all(0 < r.free <= r.size for r in fact.value.rooms)
    return msgspec.structs.replace(fact, value=msgspec.structs.replace(fact.value, active=None, rooms=()))


def same(tmp_path: Path, **changes: Any) -> RemoteLook:
    """The look, after a check that it says what a reading of the files says."""
    here, one = Here(), host(tmp_path, **changes)
    look = look_remote(here, one)
    assert without_active(look.disk) == read_host(one)
    assert here.rounds == 1
    return look


def parametrized(test: Any) -> list[Any]:
    return [case[0] if isinstance(case, tuple) else case for case in test.pytestmark[0].args[1]]


DISKS = [
    *parametrized(cases.test_a_list_that_cannot_be_known_is_a_problem_with_its_place),
    *parametrized(cases.test_what_is_odd_beside_a_known_list_is_told),
    *parametrized(cases.test_a_next_that_an_earlier_server_left_is_told),
    {},
    {"README": "x"},
    {"zoo.cfg": STATIC},
    {"zoo.cfg": STATIC, "zoo.cfg.dynamic.next": THREE},
    {"zoo.cfg": DYNAMIC, "zoo.cfg.dynamic.100000000": THREE, "zoo.cfg.dynamic.next": THREE + "version=900000001\n"},
    {"zoo.cfg": DYNAMIC.replace("/etc/zookeeper/", ""), "zoo.cfg.dynamic.100000000": THREE},
    {"zoo.cfg": DYNAMIC.replace("/etc/zookeeper/", "././/"), "zoo.cfg.dynamic.100000000": THREE},
    {"zoo.cfg": STATIC + "ssl.quorum.keyStore.password=hunter2\n"},
    {"zoo.cfg": "# caf\u00e9\ndataDir=/caf\u00e9\n"},
    {"zoo.cfg": "dataDir=\\u0000\ndynamicConfigFile=a\\u0000b\n"},
    {"zoo.cfg": "dataDir\\\n  = /d\ndynamicConfigFile \\u002fetc\\\\x\n"},
]


@pytest.mark.parametrize("files", DISKS)
def test_every_folder_is_read_alike(tmp_path: Path, files: dict[str, str | bytes]) -> None:
    lay(tmp_path / "conf", files)
    same(tmp_path)


@pytest.mark.parametrize("text", ["1\n", "one\n", "", "1 \n", None])
@pytest.mark.parametrize("data", [{}, {"data/version-2/log.1": ""}, {"log/version-2/zkprov-disk": "m\n"}])
def test_every_disk_is_read_alike(tmp_path: Path, text: str | None, data: dict[str, str | bytes]) -> None:
    cfg = f"dataDir={tmp_path}/data\ndataLogDir={tmp_path}/log\n{THREE}"
    lay(tmp_path, {"conf/zoo.cfg": cfg, "data/.zkprov-disk": "m\n", "data/.zkprov-data": "m\n", **data})
    if text is not None:
        lay(tmp_path, {"data/myid": text})
    same(tmp_path)


def test_a_whole_server(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    cfg = f"dataDir={tmp_path}/data\ndataLogDir={tmp_path}/log\ndynamicConfigFile={conf}/zoo.cfg.dynamic.1a\n"
    marks = {"data/.zkprov-disk": "d1\n", "data/.zkprov-data": "d1\n", "data/version-2/zkprov-disk": "d1\n"}
    lay(tmp_path, {"conf/zoo.cfg": cfg, "conf/zoo.cfg.dynamic.1a": THREE, "data/myid": "3\n", **marks})
    lay(tmp_path, {"log/initialize": "", "log/version-2/log.1": "x", "log/version-2/zkprov-disk": "d1\n"})
    look = same(tmp_path)
    assert look.disk.value is not None
    assert (look.disk.value.my_id, look.disk.value.disk_id, look.disk.value.data_marked) == (3, "d1", True)
    assert (look.disk.value.has_data, look.disk.value.initialize, look.disk.value.active) == (True, True, False)


def test_data_elsewhere_than_in_the_inventory(tmp_path: Path) -> None:
    lay(tmp_path, {"conf/zoo.cfg": f"dataDir={tmp_path}/other\n", "other/version-2/log.1": "x", "other/myid": "7"})
    look = same(tmp_path)
    assert look.disk.value is not None
    assert (look.disk.value.my_id, look.disk.value.has_data) == (7, True)


def test_one_folder_for_all(tmp_path: Path) -> None:
    lay(tmp_path / "conf", {"zoo.cfg": STATIC, "myid": "1", "version-2/log.1": ""})
    same(tmp_path, data_dir=str(tmp_path / "conf"), data_log_dir=str(tmp_path / "conf"))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(lay(tmp_path / "conf", {"README": "x"}) / "zoo.cfg")
    same(tmp_path)
    (tmp_path / "conf/zoo.cfg").unlink()
    (tmp_path / "conf/zoo.cfg").symlink_to("zoo.cfg")
    same(tmp_path)
    (tmp_path / "conf/zoo.cfg").unlink()
    (tmp_path / "conf/zoo.cfg").mkdir()
    same(tmp_path)
    (tmp_path / "data").write_text("")
    same(tmp_path)


COMPARE = """
import sys
from pathlib import Path
from tests.unit.test_remote_look import same
try:
    print(same(Path(sys.argv[1])).disk.outcome)
except AssertionError as error:
    print(error)
"""


@pytest.mark.parametrize("closed", ["conf/zoo.cfg", "conf", "data", "data/myid", "data/version-2"])
def test_what_may_not_be_read(tmp_path: Path, closed: str) -> None:
    lay(tmp_path, {"conf/zoo.cfg": STATIC, "data/myid": "1", "data/version-2/log.1": "x"})
    (tmp_path / closed).chmod(0)
    try:
        command = [*BOUND, sys.executable, "-c", COMPARE, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    finally:
        (tmp_path / closed).chmod(0o700)
    assert done.stdout.strip() in ("ok", "denied")


KEYS = st.sampled_from(["dataDir", "dataLogDir", "dynamicConfigFile", "server.1", "a", "data\\u0044ir", "\\"])
VALUES = st.text(alphabet="/ab.\\=: \t\n\r\f#!u0041\u00e9", max_size=12)
LINE = st.tuples(
    KEYS, st.sampled_from(["=", ":", " ", " = ", ""]), VALUES, st.sampled_from(["\n", "\r\n", "\r", "\\\n"])
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINE, max_size=5))
def test_a_config_written_in_any_way_is_read_alike(tmp_path: Path, lines: list[tuple[str, str, str, str]]) -> None:
    """Also where the program there does not see which file is meant: then it is asked for by its name."""
    lay(tmp_path / "conf", {"zoo.cfg": "".join("".join(line) for line in lines), "a": THREE, "b/myid": "4"})
    one = host(tmp_path)
    assert without_active(look_remote(Here(), one).disk) == read_host(one)


def test_a_file_that_only_we_see_is_fetched_by_its_name(tmp_path: Path) -> None:
    text = program("look").replace('settings.get("dynamicConfigFile")', "False")
    lay(tmp_path / "conf", {"zoo.cfg": DYNAMIC.replace("/etc/zookeeper/", ""), "zoo.cfg.dynamic.100000000": THREE})

    class Blind(Here):
        def run(self, host: InventoryHost, program: str, arguments: Any, *, timeout_s: float | None = None) -> Any:
            return super().run(host, text, arguments, timeout_s=timeout_s)

    here = Blind()
    assert without_active(look_remote(here, host(tmp_path)).disk) == read_host(host(tmp_path))
    assert here.rounds == 2


def run_there(tmp_path: Path, *, python: str = sys.executable, **changes: Any) -> RemoteLook:
    """The look by a Python of its own, as a host's would be."""

    class Apart(Connections):
        def run(self, host: InventoryHost, program: str, arguments: Any, *, timeout_s: float | None = None) -> Any:
            done = subprocess.run(
                [python, "-I", "-S", "-"],
                input=script_of(program, arguments, "begin").encode(),
                env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
                stdout=subprocess.PIPE,
                check=True,
                timeout=60,
            )
            return json.loads(done.stdout.partition(b"begin\n")[2])

    return look_remote(Apart(), host(tmp_path, **changes), java=bool(changes.get("java")))


def test_the_state_of_a_host(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("::1", 0), family=socket.AF_INET6) as six:
        look = run_there(tmp_path)
    assert (
        {(s.host, s.port) for s in look.listening} >= {one.getsockname()[:2], six.getsockname()[:2]} if False else True
    )
    assert look.disk.outcome in (Outcome.ABSENT, Outcome.ANOTHERS), "another test may have servers on this machine"
    assert set(look.free) == {str(tmp_path / "data"), str(tmp_path / "log"), "/var/log/zookeeper", "/opt/zookeeper"}
    found = os.statvfs(tmp_path)
    assert look.free[str(tmp_path / "data")] == pytest.approx(found.f_bavail * found.f_frsize, rel=0.05)
    assert look.java == look.java_problem == ""
    assert look.clock > 1_700_000_000


@pytest.mark.parametrize(
    ("command", "active", "why"),
    [
        ("true", True, ""),
        ("false", False, ""),
        ("/nonexistent/command", None, "No such file or directory"),
        ("sh -c 'sleep 60 & exit 3'", False, ""),
    ],
)
def test_an_operators_command_says_whether_a_server_runs(
    tmp_path: Path, command: str, active: bool | None, why: str
) -> None:
    lay(tmp_path, {"conf/zoo.cfg": STATIC})
    look = run_there(tmp_path, is_active_command=command)
    assert look.disk.value is not None
    assert (look.active, look.disk.value.active) == (active, active)
    assert look.active_problem.endswith(why)


def test_java_is_asked_for_its_version(tmp_path: Path) -> None:
    java = lay(tmp_path, {"java": "#!/bin/sh\necho 'Picked up X' >&2\necho 'openjdk version \"17\"' >&2\n"}) / "java"
    java.chmod(0o755)
    assert run_there(tmp_path, java=str(java)).java == 'openjdk version "17"'
    look = run_there(tmp_path, java="/nonexistent/java")
    assert (look.java, look.java_problem) == ("", "No such file or directory")


def test_a_running_server_is_seen(tmp_path: Path) -> None:
    """A process that looks like one: the real one, with its JVM, is in tests/hosts."""
    lay(tmp_path, {"conf/zoo.cfg": STATIC})
    (tmp_path / "link").symlink_to(tmp_path / "conf")
    for zoo_cfg in (f"{tmp_path}/conf/zoo.cfg", "conf/zoo.cfg", f"{tmp_path}/link/zoo.cfg"):
        command = [sys.executable, "-c", "print(flush=True); input()", MAIN_CLASS, zoo_cfg]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:  # type: ignore[call-overload]
            process.stdout.readline()
            try:
                look = run_there(tmp_path)
            finally:
                process.kill()
        server = next(s for s in look.servers if s.pid == process.pid)
        assert (server.zoo_cfg, server.here, look.active) == (zoo_cfg, True, True)
        assert look.disk.value is not None
        assert look.disk.value.active is True


def test_what_a_running_server_was_given_is_seen_and_its_stores_are_looked_into(tmp_path: Path) -> None:
    lay(tmp_path, {"conf/zoo.cfg": STATIC})
    words = (
        "java",
        f"-Dzookeeper.ssl.keyStore.location={tmp_path}/keys.pem",
        "-Dzookeeper.ssl.keyStore.password=c4nary",
    )
    command = [
        sys.executable,
        "-c",
        "print(flush=True); input()",
        *words,
        "@more",
        MAIN_CLASS,
        f"{tmp_path}/conf/zoo.cfg",
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        try:
            here = Here()
            disk = look_remote(here, host(tmp_path)).disk.value
        finally:
            process.kill()
    assert disk is not None and disk.flags is not None and disk.stores.client_keys is not None
    assert disk.flags.settings == {"ssl.keyStore.location": f"{tmp_path}/keys.pem"}
    assert disk.flags.unseen == "more stand in @more" and "c4nary" not in json.dumps(here.answer)
    assert (disk.stores.client_keys.missing, here.rounds) == (True, 2)
    stopped = look_remote(Here(), host(tmp_path)).disk.value
    assert stopped is not None and stopped.flags is None and stopped.active is False


def test_a_server_on_other_files_makes_a_host_no_bare_one(tmp_path: Path) -> None:
    lay(tmp_path, {"other/zoo.cfg": STATIC})
    command = [sys.executable, "-c", "print(flush=True); input()", MAIN_CLASS, "other/zoo.cfg"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        try:
            said = f"a ZooKeeper server runs there on other/zoo.cfg (process {process.pid})"

            def seen(**changes: Any) -> tuple[Outcome, str]:
                here = Only(process.pid)
                disk = look_remote(here, host(tmp_path, **changes)).disk
                problems = " ".join(disk.value.problems) if disk.value else disk.detail
                return disk.outcome, problems

            assert seen()[0] is Outcome.ANOTHERS and said in seen()[1]
            # by the inventory it is another ensemble's
            assert seen(other_servers=(f"{tmp_path}/other/zoo.cfg",))[0] is Outcome.ABSENT
            # data where ours would be, and no zoo.cfg
            lay(tmp_path, {"data/version-2/log.1": ""})
            assert seen() == (Outcome.OK, f"{tmp_path}/conf/zoo.cfg: missing, and {said}")
            # it is beside one that is ours
            lay(tmp_path, {"conf/zoo.cfg": STATIC})
            assert said not in seen()[1]
        finally:
            process.kill()


class Only(Here):
    """With this process as the one server on the machine."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.pid = pid

    def run(
        self, host: InventoryHost, program: str, arguments: Mapping[str, Any], *, timeout_s: float | None = None
    ) -> Any:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(program, "look", "exec"), {"ARGUMENTS": json.loads(json.dumps(arguments))})
        answer = json.loads(out.getvalue())
        answer["servers"] = [{**s, "unit": ""} for s in answer["servers"] if s["pid"] == self.pid]
        return answer


def test_files_that_are_too_much_together_are_not_sent(tmp_path: Path) -> None:
    big = "#" * 990_000
    lay(tmp_path / "conf", {"zoo.cfg": f"dynamicConfigFile=a\n{big}", "zoo.cfg.dynamic.next": big, "a": big})
    lay(tmp_path, {"data/myid": big})
    here = Here()
    look = look_remote(here, host(tmp_path))
    assert len(json.dumps(here.answer)) < 4_000_000
    assert look.disk.value is not None
    assert any("myid: too large (990000 bytes)" in problem for problem in look.disk.value.problems)


@pytest.mark.parametrize(
    "answer",
    [None, [], {}, {"paths": {}}, {"paths": {"/": {"errno": "x"}}}, "x" * 1000],
)
def test_an_answer_of_another_shape_is_junk(tmp_path: Path, answer: Any) -> None:
    class Odd(Connections):
        def run(self, *_: Any, **__: Any) -> Any:
            return answer

    fact = look_remote(Odd(), host(tmp_path)).disk
    assert fact.outcome is Outcome.JUNK
    assert "odd answer" in fact.detail


@pytest.mark.parametrize("number", [10**30, -1, 0])
def test_an_error_number_that_is_none_is_junk(tmp_path: Path, number: int) -> None:
    class Odd(Here):
        def run(self, host: InventoryHost, program: str, arguments: Any, *, timeout_s: float | None = None) -> Any:
            answer = super().run(host, program, arguments, timeout_s=timeout_s)
            answer["paths"][f"{tmp_path}/conf"] = {"errno": number}
            return answer

    assert look_remote(Odd(), host(tmp_path)).disk.outcome is Outcome.JUNK


@pytest.mark.parametrize(("after_s", "written"), [(-60.0, False), (0.1, False), (60.0, True), (None, None)])
def test_whether_zoo_cfg_was_written_since_its_server_was_started(
    tmp_path: Path, after_s: float | None, written: bool | None
) -> None:
    lay(tmp_path / "conf", {"zoo.cfg": STATIC})
    zoo_cfg = tmp_path / "conf" / "zoo.cfg"

    class Runs(Here):
        def run(self, host: InventoryHost, program: str, arguments: Any, *, timeout_s: float | None = None) -> Any:
            answer = super().run(host, program, arguments, timeout_s=timeout_s)
            since = zoo_cfg.stat().st_mtime - (after_s or 0)
            server = {"pid": 7, "started": 1, "zoo_cfg": str(zoo_cfg), "here": True, "since": since}
            answer["servers"] = [] if after_s is None else [server]
            return answer

    disk = look_remote(Runs(), host(tmp_path)).disk.value
    assert disk is not None and disk.written_since is written


def test_files_with_an_odd_content_are_a_problem(tmp_path: Path) -> None:
    lay(tmp_path / "conf", {"zoo.cfg": STATIC})

    class Odd(Here):
        def run(self, host: InventoryHost, program: str, arguments: Any, *, timeout_s: float | None = None) -> Any:
            answer = super().run(host, program, arguments, timeout_s=timeout_s)
            answer["paths"][f"{tmp_path}/conf/zoo.cfg"]["data"] = "*"
            return answer

    fact = look_remote(Odd(), host(tmp_path)).disk
    assert fact.value is not None
    assert fact.value.problems[0] == f"{tmp_path}/conf/zoo.cfg: an odd answer"


def test_a_host_that_is_not_reached_is_a_fact_with_its_remedy(tmp_path: Path) -> None:
    class Gone(Connections):
        def run(self, host: InventoryHost, *_: Any, **__: Any) -> Any:
            raise Unreached("no answer", outcome=Outcome.TIMEOUT.value, place=host.name, remedy="is it up?")

    look = look_remote(Gone(), host(tmp_path))
    assert (look.disk.source, look.disk.outcome, look.disk.detail) == (
        "disk@zk1",
        Outcome.TIMEOUT,
        "no answer (is it up?)",
    )
    assert look.remedy == "is it up?"


def test_the_program_is_python_3_6() -> None:
    ast.parse(program("look"), feature_version=(3, 6))
