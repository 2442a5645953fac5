"""Lays the marks by which a wiped or replaced disk is seen (R2); may be repeated at any point, and then ends in the same state."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from zkprov.model.marks import COPY, DISK, NOTE

Write = Callable[[Path, bytes], None]


def lay_mark(folders: Sequence[str], write: Write) -> str:
    """The disk's mark: the one that is there, or a new one where there is none, or where the data that it stood for is gone.

    `folders`: dataDir and dataLogDir. `write`: a file, whole or not at all. Raises OSError.
    """
    data_dir, versions = Path(folders[0]), [Path(f) / "version-2" for f in dict.fromkeys(folders)]
    mark = _text(data_dir / DISK)
    noted = bool(mark) and _text(data_dir / NOTE) == mark
    kept = any(holds_data(f) for f in folders) and all(_text(v / COPY) == mark for v in versions)
    if not mark or (noted and not kept):
        mark, noted = secrets.token_hex(8), False
        write(data_dir / DISK, f"{mark}\n".encode())
    if not noted and all(v.is_dir() for v in versions) and any(holds_data(f) for f in folders):
        # what may not be written beside ZooKeeper's files leaves the disk with the mark alone
        with contextlib.suppress(PermissionError):
            for version in versions:
                write(version / COPY, f"{mark}\n".encode())
            write(data_dir / NOTE, f"{mark}\n".encode())
    return mark


def holds_data(folder: str) -> bool:
    """Whether `version-2` in it has anything in it but the mark's copy."""
    try:
        with os.scandir(Path(folder) / "version-2") as entries:
            return any(entry.name != COPY for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
