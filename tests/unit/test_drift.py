"""Drift: what a server reads from its files is compared, not how they are written; each way of reading them gives the same."""

from __future__ import annotations

import ast
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_release_module import _loaded
from tests.unit.test_remote_look import Here
from zkprov.act.render import render_host
from zkprov.act.render_unit import OURS, heap_of, render_unit
from zkprov.judge.drift import Kind, Wanted, drift_of, flags_in, settings_in, unit_settings
from zkprov.model.facts import Fact, Outcome
from zkprov.model.hiding import Seal
from zkprov.model.installed import Installed
from zkprov.model.inventory import Access, InventoryHost
from zkprov.model.members import Members
from zkprov.model.problems import BadInput, Unreached
from zkprov.model.release import Release
from zkprov.model.server import ClientAddress, Server, ServerAddress
from zkprov.observe.installed import read_local_installed, read_remote_installed
from zkprov.observe.remote import program
from zkprov.run.files import load_plan
from zkprov.shipped import shipped

SEAL = Seal(b"one command's")
SERVER = Server(1, (ServerAddress("zk1", 2888, 3888),), client=ClientAddress(2181))
KEYS = st.from_regex(r"[a-z][a-zA-Z0-9.]{0,12}", fullmatch=True).filter(
    lambda k: not k.startswith(("server.", "group.", "weight.", "version", "admin.", "data", "client", "db."))
)
VALUES = st.text(st.characters(min_codepoint=32, exclude_categories=("C", "Zl", "Zp")), max_size=20).map(str.strip)
SETTINGS = st.dictionaries(KEYS | st.sampled_from(["ssl.keyStore.password", "syncEnabled"]), VALUES, max_size=6)
FLAGS = st.lists(st.sampled_from(["-Xmx1g", "-XX:+UseG1GC", "-Dx=y", "-Dz", "-Xss512k"]), unique=True)


def rendered(folder: Path, given_settings: dict[str, str], flags: list[str]) -> tuple[InventoryHost, dict[str, str]]:
    host = InventoryHost(
        "zk1",
        "zk1",
        config_dir=str(folder / "conf"),
        data_dir=str(folder / "data"),
        data_log_dir=str(folder / "data"),
        install_dir=str(folder / "opt"),
        settings=given_settings,
        jvm_flags=tuple(flags),
        access=Access("zk1"),
    )
    files = render_host(host, Members.of(SERVER), release=Release(3, 9, 5), server_id=1)
    for name, text in files.items():
        place = folder / ("data" if name == "myid" else "conf") / name
        place.parent.mkdir(exist_ok=True)
        # as hosts write them
        place.write_bytes(text.encode())
    return host, files


def sealed(files: dict[str, str]) -> dict[str, str]:
    return {name: SEAL.text(name, text) for name, text in files.items()}


@settings(max_examples=40, deadline=None)
@given(SETTINGS, FLAGS)
def test_what_was_rendered_and_is_read_back_is_no_drift(given_settings: dict[str, str], flags: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        host, files = rendered(Path(name), given_settings, flags)
        local = read_local_installed(host, SEAL)
        remote = read_remote_installed(Here(), host, SEAL)
    assert local.value is not None and remote.value is not None
    assert local.value.files == remote.value.files
    for there in (local.value, remote.value):
        assert drift_of(Wanted(sealed(files)), there) == ()


@given(SETTINGS, st.randoms(use_true_random=False))
def test_order_and_comments_are_no_drift(given_settings: dict[str, str], rng: random.Random) -> None:
    lines = [f"{k}={v}" for k, v in given_settings.items() if "\\" not in v]
    again = [*lines, "# a comment", "", "! another", "dynamicConfigFile=/x/zoo.cfg.dynamic.1a"]
    rng.shuffle(again)
    want, there = (SEAL.text("zoo.cfg", "\n".join(x) + "\n") for x in (lines, again))
    assert drift_of(Wanted({"zoo.cfg": want}), Installed({"zoo.cfg": there})) == ()


@given(SETTINGS.filter(bool), st.data())
def test_one_setting_is_one_difference(given_settings: dict[str, str], data: st.DataObject) -> None:
    plain = {k: v.replace("\\", "/") for k, v in given_settings.items()}
    key = data.draw(st.sampled_from(sorted(plain)))
    other = data.draw(st.none() | VALUES.map(lambda v: v.replace("\\", "/")))
    changed = {k: v for k, v in {**plain, key: other}.items() if v is not None}

    def text(values: dict[str, str]) -> str:
        return SEAL.text("zoo.cfg", "".join(f"{k}={v}\n" for k, v in values.items()))

    same = other is not None and settings_in(text(plain)).get(key) == settings_in(text(changed)).get(key)
    found = drift_of(Wanted({"zoo.cfg": text(plain)}), Installed({"zoo.cfg": text(changed)}))
    assert [(s.key, f.restart) for f in found for s in f.settings] == ([] if same else [(key, True)])


def test_a_secret_is_told_to_differ_and_no_more() -> None:
    want = SEAL.text("zoo.cfg", "ssl.keyStore.password=c4nary\n")
    there = SEAL.text("zoo.cfg", "ssl.keyStore.password=other-c4nary\n")
    (found,) = drift_of(Wanted({"zoo.cfg": want}), Installed({"zoo.cfg": there}))
    assert str(found.settings[0]) == "ssl.keyStore.password differs, a secret"
    assert "c4nary" not in repr(found) and "(hidden:" not in repr(found)


def test_a_file_without_flags_need_not_be_there() -> None:
    assert drift_of(Wanted({"jvm_flags": "\n# none\n"}), Installed({})) == ()
    (found,) = drift_of(Wanted({"jvm_flags": "-Xmx1g\n"}), Installed({}))
    assert (found.kind, found.restart) == (Kind.MISSING, True)
    assert drift_of(Wanted({"jvm_flags": "-Xmx1g\n"}, stands_in=frozenset({"jvm_flags"})), Installed({})) == ()


def test_flags() -> None:
    assert flags_in(" -Xmx1g\n#no\n-XX:-UsePerfData\n-Da=b=c\n-Xmx2g\n-Xlog:cds=off\n-ea\n") == {
        "-Xmx": "2g",
        "-XX:UsePerfData": "off",
        "-Da": "b=c",
        "-Xlog:cds": "off",
        "-ea": "",
    }


def test_unit_settings() -> None:
    text = "# x\n[Unit]\nAfter=a\nAfter=b\n[Service]\nExecStart=java \\\n   -cp x\n; y\n"
    assert unit_settings(text) == {"Unit.After": "a; b", "Service.ExecStart": "java -cp x"}


def test_the_flags_of_a_server_that_has_no_such_file(tmp_path: Path) -> None:
    host, _ = rendered(tmp_path, {}, ["-Xmx1g"])
    (tmp_path / "conf" / "jvm_flags").unlink()
    line = ("java", "-Xmx2g", "-Dlogback.configurationFile=x", "-cp", "y", "Main", "zoo.cfg")
    found = read_local_installed(host, SEAL, line).value
    assert found and found.flags_of_process and found.files["jvm_flags"] == "-Xmx2g"
    for other in (None, (), ("java", "-cp", "y", "Main")):
        found = read_local_installed(host, SEAL, other).value
        assert found and not found.flags_of_process and "jvm_flags" not in found.files


def test_what_cannot_be_read_is_told_and_is_no_difference(tmp_path: Path) -> None:
    host, files = rendered(tmp_path, {}, ["-Xmx1g"])
    conf = tmp_path / "conf"
    (conf / "zoo.cfg").write_bytes(b"password=\\uZZZZ c4nary\n")
    (conf / "jvm_flags").unlink()
    os.mkfifo(conf / "jvm_flags")
    (conf / "logback.xml").write_bytes(b"x" * 1_000_001)
    (tmp_path / "data" / "myid").unlink()
    (tmp_path / "data" / "myid").mkdir()
    for fact in (read_local_installed(host, SEAL), read_remote_installed(Here(), host, SEAL)):
        assert fact.value is not None
        assert fact.value.unread["myid"] == "not a file"
        assert fact.value.unread["jvm_flags"] == "not a file"
        assert "too large" in fact.value.unread["logback.xml"]
        assert "c4nary" not in repr(fact) and "zoo.cfg" in fact.value.unread
        assert drift_of(Wanted(sealed(files)), fact.value) == ()


def test_the_software_of_a_host(tmp_path: Path) -> None:
    host, _ = rendered(tmp_path, {}, [])
    for release in ("3.9.4", "3.9.5"):
        lib = tmp_path / "opt" / f"apache-zookeeper-{release}-bin" / "lib"
        lib.mkdir(parents=True)
        (lib / "zookeeper.jar").touch()
    (tmp_path / "opt" / "apache-zookeeper-3.9.6-bin").mkdir()
    (tmp_path / "opt" / "current").symlink_to("apache-zookeeper-3.9.4-bin")
    found = read_remote_installed(Here(), host, SEAL).value
    assert found and (found.current, found.releases) == ("3.9.4", ("3.9.4", "3.9.5"))
    assert found.memory_kb > 100_000
    (tmp_path / "opt" / "current").unlink()
    (tmp_path / "opt" / "current").symlink_to("apache-zookeeper-9-bin")
    found = read_remote_installed(Here(), host, SEAL).value
    assert found and found.current == ""


class Odd(Here):
    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.odd = answer

    def run(self, *_: Any, **__: Any) -> Any:
        if isinstance(self.odd, Exception):
            raise self.odd
        return self.odd


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        {"files": {"zoo.cfg": {"data": "%"}}, "unit": None, "current": "", "releases": [], "java": "", "memory_kb": 1},
    ],
)
def test_an_odd_answer_is_a_fact(tmp_path: Path, answer: Any) -> None:
    assert read_remote_installed(Odd(answer), InventoryHost("zk1", "zk1"), SEAL).outcome is Outcome.JUNK


def test_a_host_that_is_not_reached_is_a_fact() -> None:
    lost = Unreached("no answer in time", outcome="timeout", place="zk1", remedy="try again")
    fact: Fact[Installed] = read_remote_installed(Odd(lost), InventoryHost("zk1", "zk1"), SEAL)
    assert (fact.outcome, fact.detail) == (Outcome.TIMEOUT, "no answer in time (try again)")


def test_the_program_is_python_3_6() -> None:
    ast.parse(program("installed"), feature_version=(3, 6))


# -- the unit


def unit_of(host: InventoryHost, playbooks: Path | None = None) -> str:
    control = f"/var/lib/zkprov/{host.name}"
    return render_unit(host, control=control, java="/usr/bin/java", memory_kb=8_000_000, playbooks=playbooks)


def test_the_unit() -> None:
    host = InventoryHost("zk1", "zk1", data_log_dir="/srv/log", unit="zk")
    text = unit_of(host)
    assert OURS in text
    found = unit_settings(text)
    assert "-Xmx2560m" in found["Service.ExecStart"] and found["Service.SyslogIdentifier"] == "zk"
    assert found["Service.ReadWritePaths"] == "/etc/zookeeper /var/lib/zookeeper /srv/log /var/log/zookeeper"
    assert found["Service.ProtectHome"] == "yes"
    at_home = msgspec.structs.replace(host, classpath="/home/zk/lib/*", heap="77m")
    found = unit_settings(unit_of(at_home))
    assert found["Service.ProtectHome"] == "read-only" and "-Xmx77m" in found["Service.ExecStart"]


def test_a_unit_of_the_operator_s(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    template = tmp_path / "templates" / "zookeeper.service.j2"
    template.write_text("[Service]\nUser={{ zkprov_user }}\n")
    assert unit_of(InventoryHost("zk1", "zk1"), tmp_path) == "[Service]\nUser=zookeeper\n"
    for needs_ansible in ("{{ my_variable }}", "{{ zkprov_user | regex_replace('a', 'b') }}", "{% if %}"):
        template.write_text(needs_ansible)
        with pytest.raises(BadInput, match="cannot be rendered without Ansible"):
            unit_of(InventoryHost("zk1", "zk1"), tmp_path)


def test_the_heap_is_the_playbooks_own(monkeypatch: pytest.MonkeyPatch) -> None:
    here = shipped("playbooks")
    beside = [
        (f"ansible.module_utils.{n}", here / "module_utils" / f"{n}.py")
        for n in ("zkprov_stands", "zkprov_releases", "zkprov_owned")
    ]
    module = _loaded("zkprov_look", here / "library" / "zkprov_look.py", monkeypatch, *beside)
    theirs: Callable[[int], str] = module.heap_of
    for memory_kb in (0, 100_000, 999_999, 2_000_000, 8_123_456, 64_000_000):
        assert heap_of(memory_kb) == theirs(memory_kb)


def test_apply_takes_no_drift(tmp_path: Path) -> None:
    file = tmp_path / "drift.json"
    file.write_text('{"drift": {}, "format": 1}')
    with pytest.raises(BadInput, match="and no plan"):
        load_plan(file)
