"""Who the super user is: where the password is looked for, what a server is told of it, and that nothing zkprov starts inherits it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import msgspec
import pytest

from tests.unit.facts_made import inventory
from zkprov.act.plays import Plays
from zkprov.model.inventory import SUPER_PASSWORD, Inventory
from zkprov.model.problems import BadInput
from zkprov.observe import credentials
from zkprov.observe.ansible_inventory import password
from zkprov.observe.credentials import SETTING, credential_of, super_settings
from zkprov.observe.inventory import read_inventory

SECRET = "c4nary-S3cret"
DIGEST = base64.b64encode(hashlib.sha1(f"super:{SECRET}".encode(), usedforsecurity=False).digest()).decode()


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SUPER_PASSWORD, raising=False)
    credentials._found.cache_clear()


def with_file(tmp_path: Path) -> Inventory:
    file = tmp_path / "auth"
    file.write_text("digest:other:pw\n")
    file.chmod(0o600)
    return msgspec.structs.replace(inventory(), auth_file=str(file))


def test_nobody() -> None:
    assert credential_of(inventory()) is None and super_settings(inventory()) == {}


def test_the_environment_comes_first_and_servers_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SUPER_PASSWORD, SECRET)
    for given in (inventory(), with_file(tmp_path)):
        assert credential_of(given) == ("digest", f"super:{SECRET}")
        assert super_settings(given) == {SETTING: f"super:{DIGEST}"}


def test_who_names_a_file_writes_the_setting_himself(tmp_path: Path) -> None:
    assert credential_of(with_file(tmp_path)) == ("digest", "other:pw")
    assert super_settings(with_file(tmp_path)) == {}


def test_the_inventorys_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "password", lambda _path, host: SECRET if host == "zk1" else None)
    given = msgspec.structs.replace(inventory(), super_password="zk1")
    assert credential_of(given) == ("digest", f"super:{SECRET}")
    assert super_settings(given) == {SETTING: f"super:{DIGEST}"}
    gone = msgspec.structs.replace(inventory(), super_password="zk9")
    with pytest.raises(BadInput, match="is gone"):
        credential_of(gone)


def test_a_password_that_is_none_is_refused_without_a_word_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SUPER_PASSWORD, f"{SECRET}\n")
    with pytest.raises(BadInput, match=SUPER_PASSWORD) as refused:
        credential_of(inventory())
    assert SECRET not in str(refused.value)


def test_ansible_and_hooks_do_not_inherit_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SUPER_PASSWORD, SECRET)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "playbooks"
    folder.mkdir()
    hook = folder / "before-start"
    hook.write_text(f'#!/bin/sh\n[ -z "${SUPER_PASSWORD}" ]\n')
    hook.chmod(0o700)
    source = tmp_path / "i" / "hosts.sh"
    source.parent.mkdir()
    source.write_text(
        f'#!/bin/sh\n[ -z "${SUPER_PASSWORD}" ] && echo \'{{"zk": {{"hosts": ["zk1"]}}, "_meta": {{"hostvars": {{}}}}}}\'\n'
    )
    source.chmod(0o700)
    plays = Plays(str(source), playbooks=folder, artifacts=tmp_path / "artifacts")
    assert plays.hooks("before", "start", "zk1", "4f1c00")
    assert plays._environment("mark")[SUPER_PASSWORD] == ""
    assert password(str(source), "zk1") is None


def test_a_password_that_is_null_is_none(tmp_path: Path) -> None:
    """As with every other variable: a host or group takes one out by `null`."""
    (tmp_path / "i.yml").write_text("zk:\n  hosts: {zk1: {ansible_connection: local, zkprov_super_password: null}}\n")
    inventory = read_inventory(str(tmp_path / "i.yml"))
    assert inventory.super_password == "" and credential_of(inventory) is None
