"""A server's folders moved out of its way on this machine, never deleted; may be repeated at any point. As `stands.py` on hosts."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Sequence
from pathlib import Path

from zkprov.act.durable import sync_folder
from zkprov.act.hosts import ASIDE
from zkprov.model.problems import NotHealthy


def set_aside(folders: Sequence[str], label: str) -> tuple[str, ...]:
    """Each folder to `<folder>.<label>`, in this order; a mount point stays, and all that it holds goes to a folder within it.

    The folders that are such. Raises `NotHealthy`, with nothing moved, where something is there already; OSError.
    """
    paths = [Path(folder) for folder in folders]
    for source in paths:
        if source.is_mount():
            _movable(source, source / f"{ASIDE}{label}")
        elif source.exists() and Path(f"{source}.{label}").exists():
            raise _both(source, Path(f"{source}.{label}"))
    for source in paths:
        if not source.exists():
            continue
        within = source.is_mount()
        if not within:
            try:
                source.rename(f"{source}.{label}")
                sync_folder(source.parent)
            except OSError as error:
                # mounted from elsewhere on the same file system: nothing else tells
                within = error.errno == errno.EBUSY
                if not within:
                    raise
        if within and held(source):
            target = source / f"{ASIDE}{label}"
            _movable(source, target)
            target.mkdir(mode=0o700, exist_ok=True)
            for name in held(source):
                (source / name).rename(target / name)
            for changed in (target, source):
                sync_folder(changed)
    return tuple(str(s) for s in paths if (s / f"{ASIDE}{label}").is_dir())


def held(folder: Path) -> list[str]:
    """What lies in it, but for a file system's own and what was set aside within it."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(p.name for p in folder.iterdir() if p.name != "lost+found" and not p.name.startswith(ASIDE))
    return []


def _movable(source: Path, target: Path) -> None:
    if target.is_symlink():
        raise _both(source, target)
    for name in held(source):
        if (target / name).exists():
            raise _both(source / name, target / name)
        if (source / name).is_mount():
            what = f"{source / name} is a mount point within another"
            raise NotHealthy(what, remedy="move what it holds by hand")


def _both(source: Path, target: Path) -> NotHealthy:
    return NotHealthy(
        f"both {source} and {target} are there", remedy=f"look which is needed; then move {target} elsewhere"
    )
