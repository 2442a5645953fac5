"""Machines on this one: each a systemd of its own with its own address, sshd and disk, all on one bridge."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import yaml

from tests.hosts.base import Missing, base
from tests.hosts.machine import Machine
from tests.hosts.place import MachineFailed, claimed, kill

__all__ = ["Machine", "MachineFailed", "Machines", "Missing"]


class Machines:
    """A set of machines, up within `with` and gone after it. `folder` gets the key, known hosts and what consoles said.

    `key`: logs in as root, as `ops` (who may sudo without a password) and as `nosudo` (who may not). `known_hosts`: their true host keys.
    `gateway`: this machine's address on their bridge. Raises `Missing` where machines cannot be had.
    """

    def __init__(self, folder: Path, count: int, *, prefix: str = "zk") -> None:
        self.folder = folder
        self.key = folder / "key"
        self.known_hosts = folder / "known_hosts"
        self.gateway = ""
        self._names = [f"{prefix}{i}" for i in range(1, count + 1)]
        self._machines: dict[str, Machine] = {}
        self._ending = ExitStack()
        self._starter: ThreadPoolExecutor | None = None

    def __iter__(self) -> Iterator[Machine]:
        return iter(self._machines.values())

    def __len__(self) -> int:
        return len(self._machines)

    def __getitem__(self, which: str | int) -> Machine:
        """By name, or by number from 0."""
        return self._machines[which] if isinstance(which, str) else list(self)[which]

    def __enter__(self) -> Self:
        root = base()
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._ending:
            place = self._ending.enter_context(claimed(self._names))
            self.gateway = place.gateway
            for i, name in enumerate(self._names):
                console = self.folder / f"{name}.console"
                self._machines[name] = Machine(place, name, place.address(i), console, self._start)
            self._write_keys_and_disks(root)
            self._starter = self._ending.enter_context(ThreadPoolExecutor(1))
            # Ended in the opposite order: first the machines, all at once, then what they stand on.
            self._ending.callback(self._cut_all)
            self._ending.callback(kill, place.group)
            for machine in self:
                machine.power_on(wait=False)
            for machine in self:
                machine.wait_until_up()
            self._ending = self._ending.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def _start(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """Calls `start` in a thread that lives as long as the set does: a machine ends with the *thread* that started it."""
        if not self._starter:
            raise MachineFailed("the set is not up")
        return self._starter.submit(start).result()

    def hosts(self) -> str:
        """Their /etc/hosts: all names, and this machine as `control`."""
        lines = [("127.0.0.1", "localhost"), (self.gateway, "control"), *((m.address, m.name) for m in self)]
        return "".join(f"{address} {name}\n" for address, name in lines)

    def inventory(
        self,
        path: Path,
        *,
        hosts: Iterable[Machine] | None = None,
        host_vars: Mapping[str, Mapping[str, Any]] | None = None,
        user: str = "ops",
        **group_vars: Any,
    ) -> Path:
        """Writes an Ansible inventory with these machines (by default all) as group `kafka`, and returns its path."""
        variables = {
            "ansible_user": user,
            "ansible_become": user != "root",
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.known_hosts}",
            # Asked for at each contact otherwise.
            "ansible_python_interpreter": "/usr/bin/python3",
            **group_vars,
        }
        listed = {m.name: {"ansible_host": m.address, **(host_vars or {}).get(m.name, {})} for m in hosts or self}
        path.write_text(
            yaml.safe_dump({"all": {"children": {"kafka": {"hosts": listed, "vars": variables}}}}, sort_keys=False)
        )
        return path

    def _write_keys_and_disks(self, root: Path) -> None:
        private, logs_in = _new_key()
        self.key.unlink(missing_ok=True)
        self.key.touch(mode=0o600)
        self.key.write_text(private)
        known = []
        for machine in self:
            host_key, public = _new_key()
            machine.add_disk(root, hosts=self.hosts(), host_key=host_key, public_key=logs_in)
            known.append(f"{machine.address},{machine.name} {public}")
        self.known_hosts.write_text("".join(known))

    def _cut_all(self) -> None:
        for machine in self:
            machine.power_cut()


def _new_key() -> tuple[str, str]:
    """(private, public) in OpenSSH's formats, the public one with its line end."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()}\n"
