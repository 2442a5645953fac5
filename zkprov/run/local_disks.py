"""The files of hosts of this machine, and whether a server runs on them; all those of one look share what costs the machine most."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from zkprov.model.facts import READS_WITHIN_S, Disk, Fact, Peer
from zkprov.model.inventory import InventoryHost

if TYPE_CHECKING:
    from zkprov.act.processes import ServerProcess

TURN_S = 0.05
"""A reading that takes longer (a disk that hangs) keeps the others no more."""


class LocalDisks:
    """One look at them: all processes, and all connections, are gone through once for it.

    They are read one after the other: many at once keep the interpreter's lock from each other and from whoever asks the servers
    meanwhile (measured: nine hosts at once took 80 ms, in turn 20).
    """

    def __init__(self, hosts: Sequence[InventoryHost]) -> None:
        self._ports = [port for host in hosts for port in (host.quorum_port, host.election_port)]
        self._turn = threading.Lock()

    def read(self, host: InventoryHost) -> Fact[Disk]:
        mine = self._turn.acquire(timeout=TURN_S)
        try:
            return self._read(host)
        finally:
            if mine:
                self._turn.release()

    def _read(self, host: InventoryHost) -> Fact[Disk]:
        from zkprov.act.local import LocalHost
        from zkprov.act.processes import since
        from zkprov.observe.disk import ZOO_CFG, read_host
        from zkprov.observe.files import LocalFiles

        here, written = LocalHost(host), None
        runs = here.processes(lambda: self._running)
        fact = read_host(host, LocalFiles(walk=not runs))
        if fact.value is None:
            return fact
        active = here.is_active() if host.is_active_command else bool(runs)
        with contextlib.suppress(OSError):
            written = (
                (Path(host.config_dir) / ZOO_CFG).stat().st_mtime > since(runs[0]) + READS_WITHIN_S if runs else None
            )
        peers = self._peers(host) if active else ()
        found = msgspec.structs.replace(fact.value, active=active, written_since=written, peers=peers)
        return msgspec.structs.replace(fact, value=found)

    @cached_property
    def _running(self) -> tuple[ServerProcess, ...]:
        from zkprov.act.processes import running_servers

        return tuple(running_servers())

    @cached_property
    def _established(self) -> set[tuple[str, int, str, int]]:
        from zkprov.shipped.remote.peers import established

        return established(self._ports)

    def _peers(self, host: InventoryHost) -> tuple[Peer, ...]:
        from zkprov.shipped.remote.peers import connected

        return tuple(Peer(*one) for one in connected([host.quorum_port, host.election_port], self._established))
