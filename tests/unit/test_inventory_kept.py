"""What Ansible said of an inventory is kept, and asked for anew when anything that it was made from has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.inventories import THREE, calls, own_cache, write
from zkprov.observe import ansible_inventory
from zkprov.observe.ansible_inventory import Listing
from zkprov.observe.inventory import read_inventory

__all__ = ["calls", "own_cache", "write"]


class TestTheKeptAnswer:
    def test_ansible_is_asked_once(self, write, calls, own_cache: Path) -> None:
        path = write(THREE)
        assert read_inventory(path) == read_inventory(path)
        assert len(calls) == 1
        (kept,) = own_cache.iterdir()
        assert kept.stat().st_mode & 0o077 == 0

    @pytest.mark.parametrize(
        "changed", ["inventory.ini", "group_vars/all.yml", "host_vars/zk1/main.yml", "ansible.cfg"]
    )
    def test_and_again_when_anything_changed(self, write, calls, changed: str) -> None:
        path = write(THREE)
        read_inventory(path)
        write(
            {"inventory.ini": THREE.replace("zk3", "zk4"), "ansible.cfg": "[defaults]\nforks=3\n"}.get(
                changed, "zkprov_client_port: 2182\n"
            ),
            changed,
        )
        hosts = read_inventory(path).hosts
        assert len(calls) == 2
        assert changed in ("inventory.ini", "ansible.cfg") or hosts[0].client_port == 2182

    def test_and_when_ansibles_environment_changed(self, write, calls, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(THREE)
        read_inventory(path)
        monkeypatch.setenv("ANSIBLE_FORKS", "7")
        read_inventory(path)
        assert len(calls) == 2

    def test_the_newest_are_kept(self, write, calls, own_cache: Path) -> None:
        own_cache.mkdir(parents=True, exist_ok=True)
        for number in range(ansible_inventory._KEPT + 3):
            (own_cache / f"{number}.json").write_bytes(b"{}")
            os.utime(own_cache / f"{number}.json", (number, number))
        path = write(THREE)
        read_inventory(path)
        left = {f.stem for f in own_cache.iterdir()}
        assert len(left) == ansible_inventory._KEPT and not left & {"0", "1", "2", "3"}
        assert read_inventory(path) and len(calls) == 1

    def test_no_password_is_kept(self, write, own_cache: Path) -> None:
        read_inventory(write(THREE + "ansible_password=hidden\nansible_become_pass=hidden\n"))
        assert all(b"hidden" not in file.read_bytes() for file in own_cache.iterdir())

    @pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"groups":{},"variables":3}', b"\xff"])
    def test_a_damaged_one_is_ignored(self, write, calls, own_cache: Path, damage: bytes) -> None:
        path = write(THREE)
        first = read_inventory(path)
        for file in own_cache.iterdir():
            file.write_bytes(damage)
        assert read_inventory(path) == first and len(calls) == 2

    def test_one_that_cannot_be_written_is_done_without(self, write, calls, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("a file where a folder is wanted")
        path = write(THREE)
        assert read_inventory(path) == read_inventory(path) and len(calls) == 2

    def test_an_inventory_plugins_file_is_asked_each_time(self, write, calls, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ansible_inventory, "_parse", lambda *_: Listing({"zk": ("h1",)}, {"h1": {}}))
        path = write("plugin: ansible.builtin.constructed\nstrict: false\n", "aws.yml")
        for _ in range(2):
            assert read_inventory(path).hosts[0].name == "h1"
        assert len(calls) == 2

    def test_a_folder_of_inventories(self, write, calls, tmp_path: Path) -> None:
        write("[zk]\nzk1\n", "inv/a.ini")
        write("zkprov_client_port: 2190\n", "inv/group_vars/zk.yml")
        folder = str(tmp_path / "inv")
        assert read_inventory(folder).hosts[0].client_port == read_inventory(folder).hosts[0].client_port == 2190
        assert len(calls) == 1
        write("[zk]\nzk2\n", "inv/b.ini")
        assert len(read_inventory(folder).hosts) == 2
