"""The writers of a lab: processes of their own, one for each side, found by their command line whatever became of anything else."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

import zkprov
from zkprov.lab.writer import Acknowledged
from zkprov.model.inventory import InventoryHost, for_others
from zkprov.model.problems import NotHealthy

FOLDER = "writers"
MODULE = "zkprov.lab.writer"
_BEGUN = 16
"""So many acknowledgements show that a writer is at work."""
_PROC = Path("/proc")
_children: list[subprocess.Popen[bytes]] = []


class Writer(msgspec.Struct, frozen=True):
    """A writer as it is told: `record` is its file of acknowledged operations."""

    name: str
    record: str
    servers: tuple[int, ...]


def start_writer(lab: Path, name: str, hosts: Sequence[InventoryHost], timeout_s: float = 30.0) -> Writer:
    """A writer to `hosts` and to no other server, once it has been acknowledged some writes. Raises `NotHealthy` when it is not."""
    folder = lab / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    record = folder / f"{name}.jsonl"
    environment = {**for_others(os.environ), "PYTHONPATH": str(Path(zkprov.__file__).parents[1])}
    command = [sys.executable, "-P", "-m", MODULE, str(record), ",".join(str(h.client) for h in hosts)]
    with (folder / f"{name}.err").open("ab") as said:
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
    _children[:] = [*(c for c in _children if c.poll() is None), child]
    await_writes(record, _BEGUN, timeout_s)
    return Writer(name, str(record), tuple(h.id or 0 for h in hosts))


def await_writes(record: Path, more: int, timeout_s: float = 30.0) -> None:
    """Until that many more operations have been acknowledged. Raises `NotHealthy` when time runs out."""
    enough = len(read(record)) + more
    deadline = time.monotonic() + timeout_s
    while len(read(record)) < enough:
        if time.monotonic() > deadline:
            raise NotHealthy(
                f"the writer {record.stem!r} is not acknowledged {more} writes within {timeout_s:.0f} s",
                place=str(record),
                remedy=f"see {record.with_suffix('.err')}",
            )
        time.sleep(0.02)


def read(record: Path) -> list[Acknowledged]:
    """What one record holds, in the order of the acknowledgements; a last line that is cut off is none yet."""
    try:
        lines = record.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return [msgspec.json.decode(line, type=Acknowledged) for line in lines]


def records(lab: Path) -> tuple[Path, ...]:
    return tuple(sorted((lab / FOLDER).glob("*.jsonl")))


def acknowledged(lab: Path) -> tuple[Acknowledged, ...]:
    """All that any writer of the lab in that folder was told is stored, by writer and in its order."""
    return tuple(line for record in records(lab) for line in read(record))


def running_writers(lab: Path) -> Iterator[int]:
    """The process ids of the lab's writers."""
    for entry in os.scandir(_PROC):
        if entry.name.isdigit() and _is_writer(int(entry.name), lab):
            yield int(entry.name)


def _is_writer(pid: int, lab: Path) -> bool:
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return MODULE.encode() in words and any(word.startswith(f"{lab}/".encode()) for word in words)


def stop_writers(lab: Path, timeout_s: float = 5.0) -> int:
    """End them all by force: a record is whole up to its last line break whenever that is. How many there were."""
    ended = 0
    for pid in list(running_writers(lab)):
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                # taken before the second look: the number may have become another process's
                if not _is_writer(pid, lab):
                    continue
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                if not poll.poll(int(timeout_s * 1000)):
                    raise NotHealthy(f"the writer {pid} does not end, even by SIGKILL", place=str(lab))
                ended += 1
            finally:
                os.close(handle)
    _children[:] = [child for child in _children if child.poll() is None]
    return ended
