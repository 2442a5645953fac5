"""What may be asked of a server's files: by the disk reader of this machine's file system, or of what a look at another host fetched."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Annotated, Protocol

import msgspec

from zkprov.observe.decoding import decoded
from zkprov.shipped.remote.history import history_at
from zkprov.shipped.remote.stores import store_at

MAX_BYTES = 1_000_000  # none of ZooKeeper's own comes near; a larger file is not read


Errno = Annotated[int, msgspec.Meta(ge=1, le=4095)]


class StoreFile(msgspec.Struct, frozen=True):
    """What a look at a key or trust store gave (`shipped/remote/stores.py`): never its private key."""

    errno: Errno | None = None
    kind: str = ""
    size: int | None = None
    key: str = ""
    pem: str = ""
    damage: str = ""
    matches: bool | None = None
    why: str = ""


class DataFiles(msgspec.Struct, frozen=True):
    """What a look at the files of `version-2` gave (`shipped/remote/history.py`)."""

    accepted: int | None = None
    current: int | None = None
    snapshots: tuple[int, ...] = ()
    logs: tuple[int, ...] = ()
    last: int | None = None
    oldest: float | None = None
    newest: float | None = None


class NotRead(Exception):
    """A file that is there and was not read: it is none, or too large. The text says which."""


class Files(Protocol):
    """Raises OSError, with errno and file name, for what cannot be seen."""

    def read(self, path: Path) -> bytes:
        """The whole file. Raises `NotRead` for what is no file, or larger than `MAX_BYTES`; what is no file is not waited for."""

    def store(self, path: Path, *, keys: bool) -> StoreFile:
        """A key store (`keys`) or trust store without its private key. What is wrong with it is a value too."""

    def history(self, data: Path, logs: Path) -> DataFiles:
        """Of the `version-2` of dataDir and of dataLogDir. Raises nothing: what cannot be seen is not told."""

    def exists(self, path: Path) -> bool: ...

    def is_dir(self, path: Path) -> bool: ...

    def filled(self, folder: Path, but: str) -> bool:
        """Whether the folder has anything in it but an entry of that name. What is not there, or no folder, has nothing."""


class LocalFiles:
    """This machine's."""

    def __init__(self, walk: bool = False) -> None:
        """`walk`: whether the newest log is walked to its end; not while a server writes to it."""
        self.walk = walk

    def read(self, path: Path) -> bytes:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except ValueError:
            raise FileNotFoundError(
                errno.ENOENT, os.strerror(errno.ENOENT), str(path)
            ) from None  # a NUL: names nothing
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise NotRead("not a file")
            if found.st_size > MAX_BYTES:
                raise too_large(found.st_size)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(MAX_BYTES)
        finally:
            os.close(descriptor)

    def store(self, path: Path, *, keys: bool) -> StoreFile:
        return decoded(store_at(str(path), keys, MAX_BYTES, [MAX_BYTES]), StoreFile)

    def history(self, data: Path, logs: Path) -> DataFiles:
        return decoded(history_at(str(data), str(logs), self.walk), DataFiles)

    def exists(self, path: Path) -> bool:
        return path.exists()

    def is_dir(self, path: Path) -> bool:
        return path.is_dir()

    def filled(self, folder: Path, but: str) -> bool:
        try:
            with os.scandir(folder) as entries:
                return any(entry.name != but for entry in entries)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return False


def too_large(size: int) -> NotRead:
    return NotRead(f"too large ({size} bytes); not read")
