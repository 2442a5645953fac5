"""A member's own files replaced while its server is down, and put back where it does not come up with them.

What was there is kept first, in a folder of the run's beside the fence: a crash between the two leaves what can be put back.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from zkprov.act.durable import sync_folder, write
from zkprov.model.problems import NotHealthy

POINTER = re.compile(rb"^[ \t]*dynamicConfigFile[ \t]*[=:].*$", re.MULTILINE)
"""ZooKeeper's to write: an older one would put the member back to an older list (R10)."""


def replace_files(kept: Path, files: Mapping[Path, bytes]) -> None:
    """Writes `files`, each whole or not at all, with the rights that it had; what they replace is in the folder `kept` by then."""
    index, known = kept / "index", _index(kept)
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    for place in files:
        if str(place) in known:
            continue
        name = ""
        if os.path.lexists(place):
            _regular(place)
            name = f"{len(known)}"
            write(kept / name, place.read_bytes())
        known[str(place)] = name
        write(index, msgspec.json.encode(known))
    sync_folder(kept.parent)
    # zoo.cfg last: without it no server starts, and with it each other file is there
    for place in sorted(files, key=lambda p: p.name == "zoo.cfg"):
        write(place, files[place], _rights(place))


def put_back(kept: Path) -> bool:
    """Whether there was anything to put back. A list that a member took since stays the one that it goes by. May be repeated."""
    known = _index(kept)
    for text, name in known.items():
        place = Path(text)
        if name:
            former = (kept / name).read_bytes()
            now = place.read_bytes() if place.exists() else b""
            write(place, with_pointer(former, now), _rights(place))
        else:
            place.unlink(missing_ok=True)
            sync_folder(place.parent)
    shutil.rmtree(kept, ignore_errors=True)
    return bool(known)


def with_pointer(former: bytes, now: bytes) -> bytes:
    """`former` with the `dynamicConfigFile` of `now`, where both have one."""
    pointer = POINTER.findall(now)
    return POINTER.sub(lambda _: pointer[-1], former) if pointer else former


def _regular(place: Path) -> os.stat_result:
    found = place.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise NotHealthy(f"{place} is no file", remedy="look what it is")
    return found


def _rights(place: Path) -> int:
    return _regular(place).st_mode & 0o777 if os.path.lexists(place) else 0o600


def _index(kept: Path) -> dict[str, str]:
    """Place → the name that its former content has in the folder, empty where there was none."""
    try:
        return msgspec.json.decode((kept / "index").read_bytes(), type=dict[str, str])
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return {}
