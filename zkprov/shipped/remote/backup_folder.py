# ruff: noqa: E501, PTH103, PTH105, PTH112, PTH118, PTH120, PTH123, PTH208, UP006, UP035, UP045
# It runs on whatever Python a host has, 3.6 or later.
"""The folder of a host's backups: whose it is, what lies there, and how a file gets there. `backup.py` uses it; it stands between that one's
text and `backup_files.py`'s.
"""

import contextlib
import fcntl
import json
import os
import re
import stat
import time
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional

if TYPE_CHECKING or __name__.startswith("zkprov."):
    from zkprov.shipped.remote.backup_files import Problem
elif __name__.startswith("ansible."):
    from ansible.module_utils.zkprov_backup_files import Problem

MANIFEST = "manifest.json"
NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9._-]{1,64}")
WAIT_S = 30.0


@contextlib.contextmanager
def alone(folder: str) -> Iterator[None]:
    """The folder of all backups, made where there is none, without another that makes or removes one there. Ends with the process."""
    if not os.path.isdir(folder):
        os.makedirs(folder, mode=0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        text = f"{folder} is no folder of ours alone: others may write there"
        raise Problem("unhealthy", text, f"chmod go-w {folder}, or name another with zkprov_backup_dir")
    descriptor = os.open(os.path.join(folder, ".lock"), os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Problem("busy", "another backup is being made here", "try again when it is done") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def place(p: Dict[str, Any]) -> str:
    if not NAME.fullmatch(p["name"]):
        raise Problem("unhealthy", f"not the name of a backup: {p['name']!r}", "zkprov backup list")
    return "{dir}/{name}".format(**p)


def names(folder: str) -> List[str]:
    """Newest first."""
    try:
        found = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted((n for n in found if NAME.fullmatch(n)), reverse=True)


def manifest(folder: str) -> Optional[Dict[str, Any]]:
    """None for one that is not whole, or whose manifest is damaged."""
    try:
        with open(os.path.join(folder, MANIFEST), "rb") as file:
            found = json.loads(file.read(50_000_000).decode())
        ours = isinstance(found, dict) and all(checked(f["path"]) and f["sha256"] for f in found["files"])
        return found if ours else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def checked(path: str) -> str:
    """A path below a backup's folder, as we write them; nothing else."""
    if not re.fullmatch(r"(config|data|data/version-2)/[A-Za-z0-9][A-Za-z0-9._-]{0,254}", path):
        raise ValueError(path)
    return path


def write(path: str, content: bytes) -> None:
    """Whole or not at all, and on the disk when this returns."""
    unfinished = path + ".part"
    with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)
    sync_folder(os.path.dirname(path))


def sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
