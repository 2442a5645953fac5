"""A server's data as it lies on its host, a disk that was set aside above all: named, and copied to this machine; left as it is."""

from __future__ import annotations

import base64
import os
from pathlib import Path, PurePosixPath

import msgspec

from zkprov.act.backups import PIECE
from zkprov.act.hosts import Host
from zkprov.model.problems import NotHealthy


class DiskFile(msgspec.Struct, frozen=True):
    """A file there. `size` in bytes: of a log as far as it is written."""

    path: str
    size: int

    @property
    def place(self) -> str:
        """Where it belongs in a copy."""
        at = PurePosixPath(self.path)
        return at.name if at.name == "myid" else f"version-2/{at.name}"


def files_on(host: Host, data: str, log: str = "") -> tuple[DiskFile, ...]:
    """Snapshots, logs and `myid` of the data folder `data`; `log`: where its logs are elsewhere. Raises `NotHealthy` for none."""
    return msgspec.convert(host.backup("disk_files", data=data, log=log), tuple[DiskFile, ...])


def fetch(host: Host, data: str, files: tuple[DiskFile, ...], into: Path) -> None:
    """Copies them into the folder `into`, which is empty, for our user alone. Raises `NotHealthy` for one that changes meanwhile."""
    for file in files:
        place = into / file.place
        place.parent.mkdir(mode=0o700, exist_ok=True)
        got = 0
        with os.fdopen(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as copy:
            while got < file.size:
                most = min(PIECE, file.size - got)
                piece = base64.b64decode(host.backup("disk_read", data=data, path=file.path, offset=got, most=most))
                if not piece:
                    what = f"{file.path} got shorter while it was copied"
                    raise NotHealthy(what, place=host.name, remedy="stop the server that writes there")
                copy.write(piece)
                got += len(piece)
            copy.flush()
            os.fsync(copy.fileno())
