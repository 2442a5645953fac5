"""The files of hosts of this machine, and whether a server runs on them; all those of one look share what costs the machine most."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from zkprov.model.facts import READS_WITHIN_S, Disk, Fact, Peer, Room, Unwritten
from zkprov.model.flags import flags_of
from zkprov.model.inventory import InventoryHost

if TYPE_CHECKING:
    from zkprov.act.processes import ServerProcess

AGAIN_S = 0.9
"""A run looks several times a second, and the kernel takes 4 ms to tell all connections, those that have ended included."""


class LocalDisks:
    """`of_look` is one look at them, for which all processes are gone through once."""

    def __init__(self, hosts: Sequence[InventoryHost]) -> None:
        self._ports = {port for host in hosts for port in (host.quorum_port, host.election_port)}
        self._established: set[tuple[str, int, str, int]] = set()
        self._read_at = float("-inf")

    def of_look(self) -> LocalLook:
        return LocalLook(self)

    def peers(self, host: InventoryHost) -> tuple[Peer, ...]:
        """Who is connected to the server, or was `AGAIN_S` ago."""
        from zkprov.shipped.remote.peers import connected, established

        own = [host.quorum_port, host.election_port]
        if time.monotonic() - self._read_at > AGAIN_S or not self._ports.issuperset(own):
            self._ports.update(own)
            self._established = established(sorted(self._ports))
            self._read_at = time.monotonic()
        return tuple(Peer(*one) for one in connected(own, self._established))


class LocalLook:
    def __init__(self, disks: LocalDisks) -> None:
        self._disks = disks

    def read(self, host: InventoryHost) -> Fact[Disk]:
        from zkprov.act.local import LocalHost
        from zkprov.act.processes import MAIN_CLASS, command_line, since
        from zkprov.observe.disk import ZOO_CFG, read_host
        from zkprov.observe.files import LocalFiles
        from zkprov.shipped.remote.room import unwritten

        here, written = LocalHost(host), None
        runs = here.processes(lambda: self._running)
        words = command_line(runs[0]) if runs else ()
        flags = flags_of(words[: words.index(MAIN_CLASS)]) if MAIN_CLASS in words else None
        fact = read_host(host, LocalFiles(walk=not runs), flags)
        if fact.value is None:
            return fact
        active = here.is_active() if host.is_active_command else bool(runs)
        with contextlib.suppress(OSError):
            written = (
                (Path(host.config_dir) / ZOO_CFG).stat().st_mtime > since(runs[0]) + READS_WITHIN_S if runs else None
            )
        peers = self._disks.peers(host) if active else ()
        rooms, said = _rooms(host, fact.value), unwritten(host.log_dir, time.time())
        found = msgspec.structs.replace(
            fact.value,
            active=active,
            written_since=written,
            peers=peers,
            rooms=rooms,
            unwritten=Unwritten(*said) if said else None,
        )
        return msgspec.structs.replace(fact, value=found)

    @cached_property
    def _running(self) -> tuple[ServerProcess, ...]:
        from zkprov.act.processes import running_servers

        return tuple(running_servers())


def _rooms(host: InventoryHost, disk: Disk) -> tuple[Room, ...]:
    """Of dataDir and dataLogDir, as its zoo.cfg has them."""
    from zkprov.shipped.remote.room import room_at

    data = disk.settings.get("dataDir") or host.data_dir
    logs = disk.settings.get("dataLogDir") or (data if disk.settings.get("dataDir") else host.data_log_dir) or data
    folders = dict.fromkeys(str(Path(host.config_dir) / folder) for folder in (data, logs))
    return tuple(Room(path, *found) for path in folders if (found := room_at(path)) is not None)
