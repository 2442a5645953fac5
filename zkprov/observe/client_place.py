"""Where a member serves clients, by its line in the list alone."""

from __future__ import annotations

import ipaddress
import socket

from zkprov.model.server import WILDCARDS, HostPort, Server, loopback


def client_of(server: Server) -> tuple[HostPort | None, str]:
    """Where to ask a member for which only its line is known, or None and the reason.

    A line whose client part is a loopback address while its quorum address is not serves clients on its own host only; from elsewhere
    that address would reach *our* host's server. It is taken only when the quorum address is one of this machine's.
    """
    if server.client is None:
        return None, "its line has no client address"
    host = server.client.host
    if host is None or host in WILDCARDS:
        return HostPort(server.address.host, server.client.port), ""
    if loopback(host) and not loopback(server.address.host) and not ours(server.address.host):
        return None, f"its line serves clients on {host} only, which is not this machine"
    return HostPort(host, server.client.port), ""


def ours(host: str) -> bool:
    """Whether `host` is an address of this machine: one that a socket can be bound to. Names are not looked up here."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except (OSError, ValueError):
        return False
    return True
