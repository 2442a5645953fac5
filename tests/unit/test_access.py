"""How a host is reached, by Ansible's own variables: what they mean, and what of them cannot be followed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from zkprov.model.inventory import Access
from zkprov.model.problems import BadInput, BadInputs
from zkprov.model.server import Role
from zkprov.observe import ansible_inventory
from zkprov.observe.access import access_of
from zkprov.observe.ansible_inventory import Listing
from zkprov.observe.host_variables import host_of
from zkprov.observe.inventory import inventory_of, read_inventory


def of(**variables: Any) -> Access:
    return access_of("zk1", variables)


def test_nothing_said() -> None:
    assert of() == Access("zk1")


def test_all_said() -> None:
    made = of(
        ansible_host="10.0.0.1",
        ansible_port=2222,
        ansible_user="ops",
        ansible_ssh_private_key_file="~/.ssh/zk",
        ansible_ssh_common_args="-C -o ProxyJump=bastion,inner -oUserKnownHostsFile=/etc/known -J b2 -p 22 -A",
        ansible_ssh_extra_args="-o 'ServerAliveInterval 5'",
        ansible_become="yes",
        ansible_become_user="root",
        ansible_python_interpreter="/usr/bin/python3.11",
    )
    options = (
        ("ProxyJump", "bastion,inner"),
        ("UserKnownHostsFile", "/etc/known"),
        ("ProxyJump", "b2"),
        ("Port", "22"),
        ("ServerAliveInterval", "5"),
    )
    assert made == Access("10.0.0.1", 2222, "ops", "~/.ssh/zk", options, True, "/usr/bin/python3.11")


@pytest.mark.parametrize("value", ["auto", "auto_silent", "auto_legacy", ""])
def test_the_interpreter_is_python3_unless_one_is_named(value: str) -> None:
    assert of(ansible_python_interpreter=value).python == "python3"


@pytest.mark.parametrize("value, sudo", [(True, True), ("no", False), ("True", True), (False, False), ("off", False)])
def test_become(value: object, sudo: bool) -> None:
    assert of(ansible_become=value).sudo is sudo


@pytest.mark.parametrize(
    "variables, said",
    [
        ({"ansible_port": 70000}, "ansible_port"),
        ({"ansible_port": "²"}, "ansible_port"),
        ({"ansible_port": True}, "ansible_port"),
        ({"ansible_user": "-oProxyCommand=x"}, "ansible_user"),
        ({"ansible_user": "a\nb"}, "ansible_user"),
        ({"ansible_user": "{{ me }}"}, "a template"),
        ({"ansible_host": "-oProxyCommand=id"}, "ansible_host"),
        ({"ansible_host": "a b"}, "ansible_host"),
        ({"ansible_become": "perhaps"}, "ansible_become"),
        ({"ansible_become": True, "ansible_become_user": "zookeeper"}, "needs root"),
        ({"ansible_become": True, "ansible_become_method": "doas"}, "sudo"),
        ({"ansible_ssh_common_args": "-o 'unclosed"}, "cannot be split"),
        ({"ansible_ssh_common_args": "-o"}, "has no value"),
        ({"ansible_ssh_common_args": "-o Port"}, "not an option"),
        ({"ansible_ssh_common_args": "-L 1:2:3"}, "no option of ssh that zkprov can follow"),
        ({"ansible_ssh_common_args": "host"}, "no option of ssh that zkprov can follow"),
        ({"ansible_ssh_common_args": "--help"}, "no option of ssh that zkprov can follow"),
        ({"ansible_ssh_common_args": ["-C"]}, "not text"),
        ({"ansible_python_interpreter": "python3; id"}, "ansible_python_interpreter"),
        ({"ansible_python_interpreter": "-c"}, "ansible_python_interpreter"),
    ],
)
def test_what_cannot_be_followed(variables: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        of(**variables)
    with pytest.raises(BadInput) as refused:
        host_of("zk1", variables, "i.ini")
    assert "i.ini: zk1: " in str(refused.value) and "\n" not in str(refused.value)


def test_local_hosts_have_none() -> None:
    assert host_of("zk1", {"ansible_connection": "local", "ansible_port": "x"}, "i.ini").access is None


def test_further_variables() -> None:
    host = host_of(
        "zk1",
        {
            "zkprov_role": "observer",
            "zkprov_archive": "https://archive.example/zookeeper/apache-zookeeper-3.9.5-bin.tar.gz",
            "zkprov_archive_sha512": "A" * 128,
            "zkprov_unit": "zk@main.service",
            "zkprov_user": "zk",
            "zkprov_heap": "2g",
            "zkprov_install_dir": "/srv/zookeeper",
        },
        "i.ini",
    )
    assert (host.role, host.archive[:8], host.archive_sha512) == (Role.OBSERVER, "https://", "a" * 128)
    assert (host.unit, host.user, host.heap, host.install_dir) == ("zk@main", "zk", "2g", "/srv/zookeeper")


@pytest.mark.parametrize(
    "variable, value",
    [
        ("zkprov_role", "leader"),
        ("zkprov_archive", "relative.tar.gz"),
        ("zkprov_archive", "ftp://x/y"),
        ("zkprov_archive", "/a/../b.tar.gz"),
        ("zkprov_archive_sha512", "abc"),
        ("zkprov_unit", "-x"),
        ("zkprov_unit", "a/b"),
        ("zkprov_unit", "a b"),
        ("zkprov_user", "Root!"),
        ("zkprov_heap", "lots"),
        ("zkprov_heap", "0"),
        ("zkprov_install_dir", "opt"),
    ],
)
def test_further_variables_that_are_refused(variable: str, value: str) -> None:
    with pytest.raises(BadInput, match=variable) as refused:
        host_of("zk1", {variable: value}, "i.ini")
    assert refused.value.remedy


def test_all_that_is_wrong_is_told_at_once() -> None:
    hosts: dict[str, dict[str, Any]] = {
        "zk1": {"zkprov_client_port": 0, "zkprov_heap": "x", "zkprov_unti": "z"},
        "zk2": {"zkprov_id": 300},
        "zk3": {"zkprov_id": 3},
        "zk4": {"zkprov_id": 3},
    }
    with pytest.raises(BadInputs) as refused:
        inventory_of(Listing({"zk": tuple(hosts)}, hosts), "i.ini", None)
    said = str(refused.value)
    assert [line.split(" ")[2:4] for line in said.splitlines()[1:]] == [
        ["i.ini:", "zk1:"], ["i.ini:", "zk1:"], ["i.ini:", "zk1:"], ["i.ini:", "zk2:"], ["i.ini:", "zk4:"],
    ]  # fmt: skip
    for word in ("zkprov_client_port", "zkprov_heap", "did you mean zkprov_unit?", "300", "zk3's too", "5 things"):
        assert word in said


def test_and_printed_one_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "i.yml").write_text("zk:\n  hosts: {zk1: {zkprov_heap: x}, zk2: {zkprov_unti: 1}}\n")
    command = [sys.executable, "-m", "zkprov", "-i", str(tmp_path / "i.yml"), "status"]
    done = subprocess.run(command, text=True, capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert (
        lines[0] == "error: 2 things are wrong in the inventory:"
        and lines[3] == "next   correct them; nothing was touched"
    )
    assert "zk1: zkprov_heap" in lines[1] and "zk2: unknown variable zkprov_unti" in lines[2]


def test_ten_thousand_hosts_that_are_wrong_make_no_book() -> None:
    hosts: dict[str, dict[str, Any]] = {f"zk{n}": {"zkprov_heap": "x"} for n in range(10_000)}
    with pytest.raises(BadInputs) as refused:
        inventory_of(Listing({"zk": tuple(hosts)}, hosts), "i.ini", None)
    assert "10000 things" in str(refused.value) and len(str(refused.value)) < 10_000


class TestThePassword:
    SECRET = "c4nary-S3cret"

    @pytest.fixture
    def inventory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        key = tmp_path / "key"
        key.write_text("k\n")
        monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(key))
        file = tmp_path / "i" / "hosts.ini"
        file.parent.mkdir()
        file.write_text("[zk]\nzk1\n")
        return file

    def vaulted(self, *arguments: str, given: str) -> str:
        program = Path(sys.executable).with_name("ansible-vault")
        done = subprocess.run([str(program), *arguments], input=given, text=True, capture_output=True, check=True)
        return done.stdout

    @pytest.mark.parametrize("kind", ["plain", "vaulted file", "vaulted value"])
    def test_it_is_found_where_it_is_and_kept_nowhere(self, inventory: Path, kind: str, tmp_path: Path) -> None:
        text = f"zkprov_super_password: {self.SECRET}\n"
        if kind == "vaulted file":
            text = self.vaulted("encrypt", "--output=-", given=text)
        if kind == "vaulted value":
            text = self.vaulted("encrypt_string", "--stdin-name=zkprov_super_password", given=self.SECRET)
        (inventory.parent / "group_vars").mkdir()
        (inventory.parent / "group_vars" / "zk.yml").write_text(text)
        found = read_inventory(str(inventory))
        assert found.super_password == "zk1" and self.SECRET not in repr(found)
        assert ansible_inventory.password(str(inventory), "zk1") == self.SECRET
        for file in (tmp_path / "cache").rglob("*.json"):
            assert self.SECRET not in file.read_text()
        assert list((tmp_path / "cache").rglob("*.json"))

    def test_none(self, inventory: Path) -> None:
        assert read_inventory(str(inventory)).super_password == ""
        assert ansible_inventory.password(str(inventory), "zk1") is None

    @pytest.mark.parametrize("value", ["[c4nary]", '"c4n\\nary"', '"{{ c4nary }}"'])
    def test_one_that_is_none_is_refused_without_a_word_of_it(self, inventory: Path, value: str) -> None:
        (inventory.parent / "group_vars").mkdir()
        (inventory.parent / "group_vars" / "zk.yml").write_text(f"zkprov_super_password: {value}\n")
        with pytest.raises(BadInput, match="not a password") as refused:
            ansible_inventory.password(str(inventory), "zk1")
        assert "c4n" not in str(refused.value)


def test_a_yaml_bomb_ends_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    bomb = tmp_path / "i" / "hosts.yml"
    bomb.parent.mkdir()
    lines = ["zk:", "  hosts: {zk1: }", "  vars:", "    a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"    a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    bomb.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(ansible_inventory, "_TIMEOUT_S", 3.0)
    with pytest.raises(BadInput, match=r"hosts.yml: .*(MB large|cannot read|no answer in)"):
        read_inventory(str(bomb))


def test_a_python_object_in_yaml_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    evil = tmp_path / "i" / "hosts.yml"
    evil.parent.mkdir()
    evil.write_text(
        f'zk:\n  hosts: {{zk1: }}\n  vars:\n    x: !!python/object/apply:os.system ["touch {tmp_path}/hit"]\n'
    )
    with pytest.raises(BadInput, match="Ansible cannot read the inventory"):
        read_inventory(str(evil))
    assert not (tmp_path / "hit").exists()


def test_the_example_is_an_inventory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    example = Path(__file__).parents[2] / "inventory" / "example"
    copy = tmp_path / "example"
    shutil.copytree(example, copy)
    assert [h.name for h in read_inventory(str(copy)).hosts] == ["zk1", "zk2", "zk3"]
    text = (copy / "hosts.yml").read_text()
    (copy / "hosts.yml").write_text(re.sub(r"# (zk\d:)", r"\1", text))
    found = read_inventory(str(copy))
    assert (found.ensemble, [h.name for h in found.hosts]) == ("kafka_zk", ["zk1", "zk2", "zk3", "zk4", "zk5"])
    assert {h.role for h in found.hosts[:4]} == {Role.PARTICIPANT} and found.hosts[4].role is Role.OBSERVER
    assert all(
        h.access and h.access.sudo and h.access.user == "ops" and h.access.host == h.address for h in found.hosts
    )
