"""What can be done with a host's backups: made, sealed, listed, fetched, loaded. On whatever host, by the same programs."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import msgspec

from zkprov.act.hosts import Host
from zkprov.model.backup import About, Backup, Loaded, Manifest, Reached, readable
from zkprov.model.problems import NotHealthy

PIECE = 2_000_000
"""Bytes of a file at a time: in base64 it is well below what is taken of an answer."""
MANIFEST = "manifest.json"


class Saved(msgspec.Struct, frozen=True):
    """What was copied. `size` in bytes; `zxid` of the last whole transaction, 0 where no data was copied."""

    size: int
    zxid: int = 0
    snapshot: int = 0


def copy(host: Host, name: str, run: str, *, data: bool) -> Saved:
    """Copies into the backup `name`, which is none before it is sealed. Nothing is left of one that fails: raises `NotHealthy`, `Busy`."""
    return msgspec.convert(host.backup("copy", name=name, run=run, data=data), Saved)


def seal(host: Host, name: str, about: About) -> Backup:
    """Writes the manifest; then the oldest beyond the host's `backup_keep` go. May be repeated."""
    return msgspec.convert(host.backup("seal", name=name, about=msgspec.to_builtins(about)), Backup)


def drop(host: Host, name: str) -> None:
    """Removes what was copied and not sealed."""
    host.backup("drop", name=name)


class Known(msgspec.Struct, frozen=True):
    """By which permanent znode the data on a disk is known (`path` empty: it has none), and up to which zxid it reaches."""

    path: str
    czxid: int
    ctime_ms: int
    zxid: int


def history(host: Host) -> Known:
    """Of the data as it lies there, served or not. Raises `NotHealthy` where it cannot be read."""
    return msgspec.convert(host.backup("history"), Known)


def listed(host: Host) -> tuple[Backup, ...]:
    """Newest first, partial and damaged ones as well."""
    found = msgspec.convert(host.backup("list"), tuple[Backup, ...])
    for one in found:
        readable(one.format, f"{host.name}: {one.name}")
    return tuple(msgspec.structs.replace(one, host=host.name) for one in found)


def load(host: Host, name: str, timeout_s: float) -> Loaded:
    """The host's own release loads a copy, alone, on loopback; it has `timeout_s` to serve. Raises `NotHealthy` for other obstacles."""
    return msgspec.convert(host.backup("load", name=name, timeout_s=timeout_s), Loaded)


def reached(host: Host) -> Reached:
    """How far the server's own disk reaches, whether it runs or not; nothing of a backup."""
    return msgspec.convert(host.backup("reached"), Reached)


def restore(host: Host, name: str) -> None:
    """Lays a backup's data into the host's data folders, which must hold none: a copy. Its server is down, and who calls has the host."""
    host.backup("restore", name=name)


def damaged(host: Host, name: str) -> tuple[str, ...]:
    """Which of its files are not what was saved, in words."""
    return msgspec.convert(host.backup("damaged", name=name), tuple[str, ...])


def fetch(host: Host, name: str, into: Path) -> int:
    """Copies it into the folder `into`, which must not be there, all of it for our user alone; each file is what the manifest says.

    Returns its size in bytes. Raises `NotHealthy` for a file that is another, and leaves nothing then.
    """
    text = file_of(host, name, MANIFEST)
    manifest = msgspec.json.decode(text, type=Manifest)
    readable(manifest.format, f"{host.name}: {name}")
    size = 0
    for entry in manifest.files:
        place = into / _checked(entry.path, host.name)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        digest = hashlib.sha256()
        got = 0
        with os.fdopen(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            while got < entry.size:
                piece = _piece(host, name, entry.path, got)
                if not piece:
                    break
                file.write(piece)
                digest.update(piece)
                got += len(piece)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != entry.sha256:
            what = f"{entry.path} of {name} is not what was saved: another SHA-256"
            raise NotHealthy(what, place=host.name, remedy="fetch an older one: zkprov backup list")
        size += got
    with os.fdopen(os.open(into / MANIFEST, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(text)
    return size


def file_of(host: Host, name: str, path: str) -> bytes:
    """One file of a whole backup."""
    found = b""
    while piece := _piece(host, name, path, len(found)):
        found += piece
    return found


def _piece(host: Host, name: str, path: str, offset: int) -> bytes:
    return base64.b64decode(host.backup("read", name=name, path=path, offset=offset, most=PIECE))


def _checked(path: str, place: str) -> str:
    """A path of a manifest, which a host could have written as it likes."""
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") or not part.isprintable() for part in parts):
        raise NotHealthy(f"not a path in a backup: {path!r:.80}", place=place, remedy="zkprov backup verify")
    return path
