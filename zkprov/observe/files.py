"""What may be asked of a server's files: by the disk reader of this machine's file system, or of what a look at another host fetched."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Protocol

MAX_BYTES = 1_000_000  # none of ZooKeeper's own comes near; a larger file is not read


class NotRead(Exception):
    """A file that is there and was not read: it is none, or too large. The text says which."""


class Files(Protocol):
    """Raises OSError, with errno and file name, for what cannot be seen."""

    def read(self, path: Path) -> bytes:
        """The whole file. Raises `NotRead` for what is no file, or larger than `MAX_BYTES`; what is no file is not waited for."""

    def exists(self, path: Path) -> bool: ...

    def is_dir(self, path: Path) -> bool: ...

    def filled(self, folder: Path, but: str) -> bool:
        """Whether the folder has anything in it but an entry of that name. What is not there, or no folder, has nothing."""


class LocalFiles:
    """This machine's."""

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
