"""Breaking a lab on purpose: the outage that zkprov exists for, a frozen server, a killed one, a wiped one."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from zkprov.act.local import LocalHost
from zkprov.act.processes import await_end, send
from zkprov.lab import founding
from zkprov.lab.lab import Lab
from zkprov.lab.ready import await_modes
from zkprov.model import marks
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import BadInput, NotHealthy

_RUN = "lab-outage"


def make_outage(lab: Lab, timeout_s: float = 60.0) -> tuple[InventoryHost, ...]:
    """Elect a second leader: new servers, each with its own static list of themselves and of one less of the old ones, no `initialize`
    and `db.autocreate` left at its default. The old ones keep their list. (FACTS, "How a second ensemble forms".)

    New servers that hear a newer config than their own stay out, so the old ones are paused until the new ones have elected, as if the
    network between them had failed: 2 to 5 s. (Old ones with a static list are only ignored, and need no pause.)
    Returns the new servers once one of them leads. Raises `BadInput` when there are fewer than two spares.
    """
    old = [host for host in lab.hosts if LocalHost(host).is_active()]
    spares = [host for host in lab.hosts if not LocalHost(host).exists()]
    new = tuple(spares[: len(old) + 1])
    if len(new) < 2 or not old:
        raise BadInput(
            f"an outage needs servers that are up and two spares at the least; the lab has {len(old)} and {len(spares)}",
            place=lab.name,
            remedy="make another lab: zkprov lab up --name outage",
        )
    listed = (*old[: len(new) - 1], *new)
    for host in new:
        local = LocalHost(host)
        local.fence(_RUN)
        local.configure(founding.static_files(host, listed), _RUN)
        local.unfence(_RUN)

    def second_leader(modes: Mapping[str, str]) -> bool:
        return all(modes.values()) and list(modes.values()).count("leader") <= 1

    paused = [] if lab.static else [host.id for host in old if host.id is not None]
    try:
        for server_id in paused:
            freeze(lab, server_id)
        for host in new:
            LocalHost(host).start()
        await_modes(new, second_leader, timeout_s, "second leader")
    finally:
        for server_id in paused:
            thaw(lab, server_id)
    return new


def freeze(lab: Lab, server_id: int) -> None:
    """Stop the server's process without ending it (SIGSTOP), and wait until it has stopped. Raises `NotHealthy` when it is not up."""
    _signal(lab, server_id, signal.SIGSTOP)
    _await_state(lab, server_id, frozen=True)


def thaw(lab: Lab, server_id: int) -> None:
    """Let a frozen server go on (SIGCONT)."""
    _signal(lab, server_id, signal.SIGCONT)
    _await_state(lab, server_id, frozen=False)


def kill(lab: Lab, server_id: int) -> None:
    """End the server as a power cut would (SIGKILL), and wait for its end."""
    _signal(lab, server_id, signal.SIGKILL)
    if await_end(LocalHost(lab.host(server_id)).processes(), 5.0):
        raise NotHealthy("the server does not end", place=f"server {server_id}")


def wipe(lab: Lab, server_id: int) -> None:
    """Kill the server if it is up, and empty its data folders but for `myid`, as a new disk would be."""
    host = lab.host(server_id)
    if LocalHost(host).processes():
        kill(lab, server_id)
    for folder in {host.data_dir, host.data_log_dir}:
        shutil.rmtree(Path(folder) / "version-2", ignore_errors=True)
        (Path(folder) / marks.DISK).unlink(missing_ok=True)


def _signal(lab: Lab, server_id: int, number: signal.Signals) -> None:
    found = LocalHost(lab.host(server_id)).processes()
    if not found or not send(found[0], number):
        raise NotHealthy("it is not up", place=f"server {server_id}", remedy="zkprov lab status shows which are")


def _await_state(lab: Lab, server_id: int, *, frozen: bool) -> None:
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        for process in LocalHost(lab.host(server_id)).processes():
            state = Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
            if (state == b"T") == frozen:
                return
        time.sleep(0.01)
    raise NotHealthy(f"it does not {'freeze' if frozen else 'thaw'}", place=f"server {server_id}")
