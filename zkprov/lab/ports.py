"""Ports for labs side by side: whole blocks outside the ephemeral range, each claimed by one lab until its folder is gone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zkprov.model.problems import NotHealthy

SERVERS = 9
PORTS_EACH = 5
_BLOCK = 50
_LOWEST = 10_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def claim(folder: Path) -> int:
    """The first port of a free block for the lab in `folder`, which must exist: a claim whose folder is gone has ended.

    Labs of other state folders are seen as well (tests run side by side), those of other users by trying to bind.
    Raises `NotHealthy` when all blocks are taken.
    """
    with _claims() as claims:
        blocks = list(_blocks())
        random.shuffle(blocks)
        for base in blocks:
            mark = claims / str(base)
            with contextlib.suppress(FileNotFoundError):
                if Path(mark.read_text()).is_dir():
                    continue
            if all(_free(port) for port in range(base, base + SERVERS * PORTS_EACH)):
                mark.write_text(str(folder))
                return base
    raise NotHealthy(f"no {_BLOCK} ports in a row are free on 127.0.0.1", remedy="end labs: zkprov lab down --all")


def release(folder: Path) -> None:
    """Give back what the lab in `folder` has claimed."""
    with _claims() as claims:
        for mark in claims.iterdir():
            if mark.name.isdigit() and mark.read_text() == str(folder):
                mark.unlink()


@contextmanager
def _claims() -> Iterator[Path]:
    # One folder for all state folders of a user, so not under any of them; TMPDIR may differ between test processes.
    folder = Path(tempfile.gettempdir() if not Path("/tmp").is_dir() else "/tmp") / f"zkprov-ports-{os.getuid()}"  # noqa: S108
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise NotHealthy(f"{folder} is not ours", remedy=f"ask its owner to remove {folder}")
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _blocks() -> range:
    try:
        low = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        low = 32_768
    # Where the ephemeral range reaches down to our ports, a block can be lost to a client's connection; binding tells.
    return range(_LOWEST, (low if low > _LOWEST + 20 * _BLOCK else 32_768) - _BLOCK, _BLOCK)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
