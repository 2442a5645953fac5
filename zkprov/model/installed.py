"""What lies on one host of a server's own: files, unit, release. Of secrets there is no more here than can be compared (`model.hiding`)."""

from __future__ import annotations

import msgspec


class InstalledUnit(msgspec.Struct, frozen=True):
    """A unit as systemd knows it. `path`: of its file, empty where there is none; `text` is None where that could not be read.

    `drop_ins`: files that others laid over it. `stale`: systemd has not read its files again since they changed.
    """

    path: str = ""
    text: str | None = None
    drop_ins: tuple[str, ...] = ()
    stale: bool = False
    problem: str = ""


class Installed(msgspec.Struct, frozen=True):
    """`files`: name → text, secrets sealed; `unread`: name → why a file that is there was not read.

    `unit`: None where the host has no systemd, or is this machine. `current`: the release that `current` points to, empty for none;
    `releases`: those that lie beside each other. `java`: the path of what `zkprov_java` names there. `memory_kb`: 0 where unknown.
    `flags_of_process`: there is no jvm_flags, and those of its files are what the server that runs was started with.
    """

    files: dict[str, str]
    unread: dict[str, str] = {}
    unit: InstalledUnit | None = None
    current: str = ""
    releases: tuple[str, ...] = ()
    java: str = ""
    memory_kb: int = 0
    flags_of_process: bool = False
