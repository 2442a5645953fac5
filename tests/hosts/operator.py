"""Somebody with machines, an inventory and `zkprov`; the super user's password is a canary that must turn up nowhere."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any, cast

from tests.hosts.machines import Machines
from tests.real.driver import Zkprov
from zkprov.lab.lab import Lab
from zkprov.model.inventory import InventoryHost
from zkprov.observe.inventory import read_inventory

PASSWORD = "c4nary-of-the-super-user"
DIGEST = base64.b64encode(hashlib.sha1(f"super:{PASSWORD}".encode(), usedforsecurity=False).digest()).decode()
QUICK = ("--yes", "--settle", "0", "--samples", "2", "--sample-interval", "0.2")


class Operator:
    """`zkprov` with an inventory of these machines; `hosts(n)` are the first n of them."""

    def __init__(self, machines: Machines, archive: tuple[Path, str], folder: Path) -> None:
        self.machines, self.folder = machines, folder
        self.variables: dict[str, Any] = {
            "zkprov_release": "3.9.5",
            "zkprov_archive": str(archive[0]),
            "zkprov_archive_sha512": archive[1],
            "zkprov_heap": "128m",
            "zkprov_super_password": PASSWORD,
        }
        self.inventory = folder / "inventory.yml"
        # there is no lab: what it is for, the secrets and the inventory, is given
        self.zkprov = Zkprov(cast(Lab, None), folder / "runs", self.inventory, (PASSWORD, DIGEST))

    def of(self, count: int, **more: Any) -> Zkprov:
        """The command, with the first `count` machines in the inventory."""
        self.machines.inventory(self.inventory, hosts=list(self.machines)[:count], **{**self.variables, **more})
        self.inventory.chmod(0o600)
        return self.zkprov

    def host(self, number: int) -> InventoryHost:
        return self.hosts()[number - 1]

    def hosts(self) -> list[InventoryHost]:
        return list(read_inventory(str(self.inventory)).hosts)
