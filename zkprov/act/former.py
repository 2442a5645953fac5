"""A member's own files replaced while its server is down, and put back where it does not come up with them.

What was there is kept first, in a folder of the run's beside the fence: a crash between the two leaves what can be put back.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from zkprov.act.durable import sync_folder, write
from zkprov.model.problems import NotHealthy

INDEX = "index"
POINTER = re.compile(rb"^[ \t]*dynamicConfigFile[ \t]*[=:].*$", re.MULTILINE)
"""ZooKeeper's to write: an older one would put the member back to an older list (R10)."""


def replace_files(kept: Path, files: Mapping[Path, bytes]) -> None:
    """Writes `files`, each whole or not at all, with the owner and rights that it had; what they replace is in `kept` by then."""
    index, known = kept / INDEX, _index(kept)
    check_files(files)
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    for place in files:
        if str(place) in known:
            continue
        name = ""
        if os.path.lexists(place):
            name = f"{len(known)}"
            write(kept / name, place.read_bytes())
        known[str(place)] = name
        write(index, msgspec.json.encode(known))
    sync_folder(kept.parent)
    # zoo.cfg last: without it no server starts, and with it each other file is there
    for place in sorted(files, key=lambda p: p.name == "zoo.cfg"):
        _write(place, files[place])


def check_files(files: Iterable[Path]) -> None:
    """Raises `NotHealthy` for a place where no file is, or can be."""
    for place in files:
        if os.path.lexists(place):
            _regular(place)
        elif not place.parent.is_dir():
            raise NotHealthy(f"{place.parent} is no folder", remedy="look what it is")


def has_former(kept: Path) -> bool:
    return bool(_index(kept))


def put_back(kept: Path) -> bool:
    """Whether there was anything to put back. A list that a member took since stays the one that it goes by. May be repeated."""
    known = _index(kept)
    for text, name in known.items():
        place = Path(text)
        if name:
            now = place.read_bytes() if os.path.lexists(place) and _regular(place) else b""
            _write(place, with_pointer((kept / name).read_bytes(), now))
        else:
            place.unlink(missing_ok=True)
            sync_folder(place.parent)
    drop(kept)
    return bool(known)


def drop(kept: Path) -> None:
    """The index first: without it there is nothing to put back, whatever is left of the rest."""
    if kept.exists():
        (kept / INDEX).unlink(missing_ok=True)
        sync_folder(kept)
        shutil.rmtree(kept, ignore_errors=True)


def with_pointer(former: bytes, now: bytes) -> bytes:
    """`former` with the `dynamicConfigFile` of `now`, where both have one; `now`, where it has one alone: its list has a version since."""
    pointer = POINTER.findall(now)
    if pointer and not POINTER.search(former):
        return now
    return POINTER.sub(lambda _: pointer[-1], former) if pointer else former


def _write(place: Path, content: bytes) -> None:
    """Its owner's with its rights; a new one is its folder's owner's, and nobody else reads it."""
    before = _regular(place) if os.path.lexists(place) else None
    owner = before or place.parent.stat()
    write(place, content, before.st_mode & 0o777 if before else 0o600, owner)


def _regular(place: Path) -> os.stat_result:
    found = place.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise NotHealthy(f"{place} is a link", remedy="name the folder where the file itself lies, or put it there")
    if not stat.S_ISREG(found.st_mode):
        raise NotHealthy(f"{place} is no file", remedy="look what it is")
    return found


def _index(kept: Path) -> dict[str, str]:
    """Place → the name that its former content has in the folder, empty where there was none."""
    try:
        return msgspec.json.decode((kept / INDEX).read_bytes(), type=dict[str, str])
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return {}
