"""Ports that are reached over SSH: those that listen on their host alone, or all of a host whose ports are closed to us."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zkprov.model.inventory import InventoryHost
from zkprov.model.server import HostPort

if TYPE_CHECKING:
    from zkprov.observe.ssh import Connections


class Tunnels:
    """Whichever endpoints of `hosts` have one; `connections` is called when one is opened."""

    def __init__(self, hosts: Sequence[InventoryHost], connections: Callable[[], Connections]) -> None:
        self._connections = connections
        self._ways = {at: (host, there) for host in hosts for at, there in host.tunnels.items()}

    def __contains__(self, at: HostPort) -> bool:
        return at in self._ways

    def opened(self, at: HostPort, timeout_s: float) -> socket.socket:
        """A connection to `at`, which has a tunnel; it blocks. Raises `Unreached`."""
        host, there = self._ways[at]
        return self._connections().forward(host, there, timeout_s=timeout_s)


def _none() -> Connections:
    raise LookupError("there is no tunnel to open")


NO_TUNNELS = Tunnels((), _none)
