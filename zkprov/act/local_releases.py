"""The releases that a host which is this machine may run: by the inventory, each where its jars lie; and the one in force."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from zkprov.act.durable import write
from zkprov.model.inventory import InventoryHost, ReleaseSource
from zkprov.model.problems import NotHealthy
from zkprov.model.release import Release

IN_FORCE = "release"
"""A file in the host's control folder; without it the inventory's `zkprov_release` is in force. One that comes in has none yet."""


def in_force(control: Path) -> str:
    """What was started or switched to last; empty where nothing ever was, or nothing names it."""
    try:
        return (control / IN_FORCE).read_text(errors="replace").strip()[:40]
    except (FileNotFoundError, NotADirectoryError):
        return ""


def remember(host: InventoryHost, control: Path) -> None:
    """What was started is in force from now on: whoever edits `zkprov_release` switches nothing, not even at the next start.

    Only what `zkprov_releases` names: where jars are named by `zkprov_classpath` alone, that says what runs.
    """
    if host.release in host.releases and not in_force(control):
        write(control / IN_FORCE, f"{host.release}\n".encode())


def named(host: InventoryHost, release: str) -> ReleaseSource:
    """Where `release` lies, its `java` filled in. Raises `NotHealthy` where the inventory does not say it: no other one is run for it."""
    found = host.source_of(release)
    if found is None or not found.classpath:
        raise NotHealthy(
            f"nothing says where {release} lies, which is the release to run here",
            place=host.name,
            remedy=f"name it in zkprov_releases, as {release}: {{classpath: …}}",
        )
    return msgspec.structs.replace(found, java=found.java or host.java)


def wanted(host: InventoryHost) -> ReleaseSource:
    """What the inventory wants to run in the end; its `classpath` is empty where it says nothing."""
    found = host.source_of(host.release) or ReleaseSource(host.classpath)
    return msgspec.structs.replace(found, java=found.java or host.java)


def laid(host: InventoryHost) -> tuple[str, ...]:
    """Those of the inventory that are there, oldest first."""
    names = {*host.releases, *([host.release] if host.release and host.source_of(host.release) else [])}
    return tuple(str(r) for r in sorted(map(Release.parse, names)) if not _missing(named(host, str(r))))


def check(host: InventoryHost, source: ReleaseSource) -> None:
    """Raises `NotHealthy` naming what is not there of it."""
    if what := _missing(source):
        java = what.startswith("no executable")
        remedy = (
            "install Java, or name it with zkprov_java in the inventory"
            if java
            else "install ZooKeeper, or correct zkprov_classpath (or zkprov_releases) in the inventory"
        )
        raise NotHealthy(what, place=host.name, remedy=remedy)


def _missing(source: ReleaseSource) -> str:
    if not shutil.which(source.java):
        return f"no executable {source.java}"
    entries = [e for e in source.classpath.split(":") if e]
    missing = next((e for e in entries if not _on_disk(e)), "")
    return f"not there: {missing}" if missing else "" if entries else "no ZooKeeper jars are named"


def _on_disk(entry: str) -> bool:
    """Whether a classpath entry is there: a file, a folder, or `folder/*` (Java's way to say all jars of it)."""
    if entry.endswith("/*"):
        return any(Path(entry[:-2]).glob("*.jar"))
    return Path(entry).exists()
