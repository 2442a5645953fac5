"""One run of a runbook at a time on this machine: a lock that goes with its process, and with the commands that it started."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from zkprov.model.problems import BadInput, Busy


@contextlib.contextmanager
def locked(folder: Path, runbook: str, ensemble: str, inventory: str, who: str) -> Iterator[int]:
    """The lock's descriptor, for children to inherit: one that outlives a killed runbook holds it on. Raises `Busy` with who has it."""
    name = hashlib.sha256(f"{runbook}\0{ensemble}\0{inventory}".encode()).hexdigest()[:16]
    path = folder / f"{runbook}-{name}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as wrong:
        raise BadInput(
            f"cannot be written: {wrong.strerror}", place=str(path), remedy="set --journal to where one can write"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace") or "somebody"
            found = re.search(r"\(pid ([0-9]+)\)$", holder)
            if found is not None and not Path(f"/proc/{found[1]}").exists() and Path("/proc/self").exists():
                raise Busy(
                    f"runbook {runbook} is being run on {ensemble} by a command that outlives it: {holder} was killed",
                    place=str(path),
                    remedy=f"wait for it, or end it: fuser -v {shlex.quote(str(path))}",
                ) from None
            raise Busy(
                f"runbook {runbook} is being run on {ensemble} by {holder}",
                place=str(path),
                remedy="wait for it; zkprov runbook status shows where it is",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{who} (pid {os.getpid()})".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)
