"""Disks of the losing side that lie on their hosts, as `salvage` is given them: `HOST:DATADIR`, or `HOST:DATADIR:LOGDIR`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import msgspec

from zkprov.act import disks
from zkprov.act.hosts import Host
from zkprov.model.problems import BadInput
from zkprov.run.world import World

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*):(/[^:]*)(?::(/[^:]*))?")


class HostDisk(msgspec.Struct, frozen=True):
    """A server's data on a host of the inventory. `log`: where its logs are, if that is another folder."""

    host: str
    data: str
    log: str = ""

    def __str__(self) -> str:
        return ":".join(filter(None, (self.host, self.data, self.log)))

    @property
    def folder(self) -> str:
        """How its copy is called."""
        return f"{self.host}-{PurePosixPath(self.data).name}"


def on_host(source: Path) -> HostDisk | None:
    """What the source names, unless it names folders of this machine."""
    found = _NAMED.fullmatch(str(source))
    if found is None or source.exists() or Path(found[1]).is_dir():
        return None
    return HostDisk(found[1], found[2], found[3] or "")


def copies_beside(out: Path) -> Path:
    """The folder of the copies that belong to a file of dead letters."""
    return out.with_name(f"{out.name}.disks")


def fetched(world: World, named: Iterable[HostDisk], into: Path, say: Callable[[str], None]) -> dict[HostDisk, Path]:
    """Each disk, copied to a folder of its own in `into`, for our user alone. A copy that is there already is taken if it is as long.

    Raises `BadInput` for what is no host, for a folder that cannot be written, and where there is no room; `NotHealthy` as `disks` does.
    """
    found: dict[HostDisk, Path] = {}
    for disk in dict.fromkeys(named):
        if world.inventory.host(disk.host) is None:
            what = f"there is neither such a folder here, nor a host {disk.host!r} in the inventory"
            raise BadInput(what, place=str(disk), remedy="name a host of the inventory, with -i")
        host, place = world.host(disk.host), into / disk.folder
        if place in found.values():
            raise BadInput(f"two disks of the name {disk.folder}", place=str(disk), remedy="one of them at a time")
        files = disks.files_on(host, disk.data, disk.log)
        if place.is_dir():
            if any(not (place / f.place).is_file() or (place / f.place).stat().st_size != f.size for f in files):
                what = f"{place} is a copy of something else, or of another time"
                raise BadInput(what, place=str(disk), remedy=f"move it away: mv {place} {place}.old")
            say(f"{disk}: its copy {place} is there already")
        else:
            _fetch(host, disk, files, place, say)
        found[disk] = place
    return found


def _fetch(
    host: Host, disk: HostDisk, files: tuple[disks.DiskFile, ...], place: Path, say: Callable[[str], None]
) -> None:
    size = sum(file.size for file in files)
    unfinished = place.with_name(f".{place.name}.part")
    try:
        place.parent.mkdir(mode=0o700, exist_ok=True)
        free = shutil.disk_usage(place.parent).free
        if size > free:
            what = f"no room for a copy: it takes {size / 1e6:.1f} MB, {free / 1e6:.1f} MB are free"
            raise BadInput(what, place=str(place.parent), remedy="give -o a place on another disk")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        say(f"{disk}: {size / 1e6:.1f} MB are copied to {place}")
        disks.fetch(host, disk.data, files, unfinished)
        unfinished.rename(place)
    except OSError as error:
        what = f"cannot be written: {error.strerror}"
        raise BadInput(what, place=str(error.filename or place), remedy="give -o another place") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


__all__ = ["HostDisk", "copies_beside", "fetched", "on_host"]
