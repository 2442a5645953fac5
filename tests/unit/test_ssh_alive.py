"""What Ansible's ssh is told besides what the operator tells it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from zkprov.act.ssh_alive import ALIVE, VARIABLE, ssh_extra_args


@pytest.fixture(autouse=True)
def nothing_of_the_operators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = tmp_path / "here"
    here.mkdir(mode=0o755)
    monkeypatch.chdir(here)


def config(path: Path, value: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[ssh_connection]\nssh_extra_args = {value} ; why\n")
    return path


def test_the_operators_own_go_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert ssh_extra_args() == ALIVE
    config(tmp_path / "home/.ansible.cfg", "-o A=home")
    assert ssh_extra_args() == f"-o A=home {ALIVE}"
    config(tmp_path / "here/ansible.cfg", "-o A=%h")
    assert ssh_extra_args() == f"-o A=%h {ALIVE}"
    named = config(tmp_path / "named/ansible.cfg", "-o A=named")
    for place in (named, named.parent):
        monkeypatch.setenv("ANSIBLE_CONFIG", str(place))
        assert ssh_extra_args() == f"-o A=named {ALIVE}"
    monkeypatch.setenv(VARIABLE, "-o A=env")
    assert ssh_extra_args() == f"-o A=env {ALIVE}"


def test_what_ansible_does_not_read(tmp_path: Path) -> None:
    here = config(tmp_path / "here/ansible.cfg", "-o A=anybody").parent
    here.chmod(0o777)
    assert ssh_extra_args() == ALIVE
    here.chmod(0o755)
    (here / "ansible.cfg").write_text("no section\n\xff")
    assert ssh_extra_args() == ALIVE


def test_ssh_takes_the_first() -> None:
    """As this reads them, and as ssh does."""
    told = ["ssh", "-G", "-F", "none", "-o", "ServerAliveInterval=7", *ALIVE.split(), "zk1"]
    said = subprocess.run(told, capture_output=True, text=True, check=True).stdout
    assert "serveraliveinterval 7\n" in said and "serveralivecountmax 3\n" in said
