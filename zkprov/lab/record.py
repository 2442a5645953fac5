"""What is kept of a lab between commands, and what is told of it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from zkprov.model.inventory import InventoryHost


class State(msgspec.Struct, frozen=True):
    """`lab.json`. `founded`: all founders were seen voting once; before that nothing in it is worth keeping."""

    name: str
    release: str
    founders: int
    hosts: tuple[InventoryHost, ...]
    static: bool = False
    founded: bool = False
    format: int = 1


class ServerStatus(msgspec.Struct, frozen=True):
    """One server of `lab status`. `up`: its process runs (also when it is frozen, or has no quorum)."""

    id: int
    name: str
    pid: int | None
    up: bool
    address: str
    client_port: int
    quorum_port: int
    election_port: int
    admin_port: int | None
    config_dir: str
    data_dir: str
    data_log_dir: str
    log_dir: str


class LabStatus(msgspec.Struct, frozen=True):
    """`lab status --output json`. `release`: of its servers, several where they differ.

    `connect` names the servers that have files, up or not. `records`: a file for each writer of a lab
    that was broken, with what it was told is stored.
    """

    name: str
    release: str
    folder: str
    inventory: str
    connect: str
    servers: tuple[ServerStatus, ...]
    records: tuple[str, ...] = ()
    format: int = 1


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and readable by its owner only: the super user's password and digest are in these files."""
    unfinished = path.with_name(f".{path.name}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)
