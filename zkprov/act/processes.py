"""ZooKeeper servers among this machine's processes, told by the zoo.cfg on their command line, never by a process id alone."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

MAIN_CLASS = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
_PROC = Path("/proc")


class ServerProcess(msgspec.Struct, frozen=True):
    """A running server. `started` is the process's start in clock ticks since boot: with it, `pid` means one process for ever."""

    pid: int
    started: int
    zoo_cfg: str


def running_servers() -> Iterator[ServerProcess]:
    """Every ZooKeeper server of this machine whose main class is on its command line; zombies are not running."""
    for entry in os.scandir(_PROC):
        if entry.name.isdigit() and (found := server_process(int(entry.name))):
            yield found


def server_process(pid: int) -> ServerProcess | None:
    """The server that runs as `pid`, or None when there is no such process or it is none."""
    try:
        # of every process of the machine, several times a second: so no Path, which takes as long as the reading
        with open(f"{_PROC}/{pid}/cmdline", "rb", buffering=0) as file:  # noqa: PTH123
            arguments = file.readall().split(b"\0")
        if MAIN_CLASS.encode() not in arguments:
            return None
        state, started = _stat(pid)
    except OSError:
        return None
    if state in (b"Z", b"X"):
        return None
    zoo_cfg = arguments[arguments.index(MAIN_CLASS.encode()) + 1]
    return ServerProcess(pid, started, os.fsdecode(zoo_cfg))


def command_line(server: ServerProcess) -> tuple[str, ...]:
    """What it was started with; empty when it is gone."""
    try:
        words = (_PROC / str(server.pid) / "cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return ()
    return tuple(os.fsdecode(word) for word in words) if server_process(server.pid) == server else ()


def since(server: ServerProcess) -> float:
    """When it was started, in seconds since 1970."""
    uptime = float((_PROC / "uptime").read_text().split()[0])
    return time.time() - uptime + server.started / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> tuple[bytes, int]:
    """State and start: after the command's name, which may hold anything, they stand as fields 3 and 22. Raises OSError: no process."""
    fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    return fields[0], int(fields[19])


def end(servers: Iterable[ServerProcess], timeout_s: float) -> list[ServerProcess]:
    """SIGTERM (a paused one is woken for it), SIGKILL after `timeout_s` seconds; returns what is still there 5 s later.

    Raises PermissionError for another user's process.
    """
    left = list(servers)
    for number, wait_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, 5.0)):
        if not left or (number is signal.SIGTERM and timeout_s <= 0):
            continue
        for server in left:
            send(server, number)
            if number is signal.SIGTERM:
                send(server, signal.SIGCONT)
        left = await_end(left, wait_s)
    return left


def send(server: ServerProcess, number: signal.Signals) -> bool:
    """Signal that very process; False when it is gone. A recycled pid is never signalled: the pidfd is taken before the check."""
    try:
        handle = os.pidfd_open(server.pid)
    except ProcessLookupError:
        return False
    try:
        if server_process(server.pid) != server:
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        return True
    finally:
        os.close(handle)


def await_end(servers: Iterable[ServerProcess], timeout_s: float) -> list[ServerProcess]:
    """Those of `servers` that still run after at most `timeout_s` seconds.

    One has ended once its last thread is gone, for only then are its ports and files free: its command line is gone before that.
    """
    deadline = time.monotonic() + timeout_s
    left = []
    for server in servers:
        try:
            handle = os.pidfd_open(server.pid)
        except ProcessLookupError:
            continue
        try:
            if _stat(server.pid)[1] != server.started:
                continue  # the number is another process's by now
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            if not poll.poll(max(0, int((deadline - time.monotonic()) * 1000))):
                left.append(server)
        except (FileNotFoundError, ProcessLookupError):
            continue
        finally:
            os.close(handle)
    return left
