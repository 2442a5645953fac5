"""The super user's password in zkprov's environment is for zkprov alone: what it starts on this machine is not given it."""

from __future__ import annotations

from pathlib import Path

import pytest

from zkprov.act.local import LocalHost
from zkprov.model.inventory import SUPER_PASSWORD, Access, InventoryHost
from zkprov.model.problems import Unreached
from zkprov.observe.ssh import Connections

CANARY = "c4nary-in-the-environment"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(SUPER_PASSWORD, CANARY)
    monkeypatch.setenv("OTHER", "is handed on")
    return tmp_path / "told"


def program(path: Path, told: Path, then: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\nenv >>{told}\n{then}\n")
    path.chmod(0o755)
    return str(path)


def handed_on(told: Path) -> None:
    text = told.read_text()
    assert "OTHER=is handed on" in text and SUPER_PASSWORD not in text and CANARY not in text


def test_ssh_and_a_proxy_command(told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = program(tmp_path / "proxy", told.with_name("proxy.told"), "exit 1")
    said = f"hostname zk1\nport 22\nuser op\nuserknownhostsfile /dev/null\nproxycommand {proxy}\n"
    program(tmp_path / "bin" / "ssh", told, f"printf '{said}'")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=":")
    with Connections(timeout_s=5) as connections, pytest.raises(Unreached):
        connections.run(InventoryHost("zk1", "zk1", access=Access("zk1")), "print(1)", {})
    handed_on(told)
    handed_on(told.with_name("proxy.told"))


def test_a_command_of_the_operator_s(told: Path, tmp_path: Path) -> None:
    command = program(tmp_path / "status", told, "exit 0")
    assert LocalHost(InventoryHost("zk1", "zk1", connection="local", is_active_command=command)).is_active()
    handed_on(told)
