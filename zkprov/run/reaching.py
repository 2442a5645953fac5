"""What servers and their hosts make of each other's places: asked of the hosts themselves."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Set
from typing import TYPE_CHECKING

from zkprov.model.facts import Reach
from zkprov.model.members import Members
from zkprov.model.problems import NotHealthy
from zkprov.model.server import HostPort, Server, ServerAddress
from zkprov.run.world import over_ssh

if TYPE_CHECKING:
    from zkprov.run.world import World


def reach(world: World, name: str, live: Members, server: Server) -> tuple[Reach, ...]:
    """What the joiner `name` and the members that can be asked make of each other; empty for a joiner on this machine."""
    joiner = world.inventory_host(name)
    if not over_ssh(joiner):
        return ()
    from zkprov.observe.reach import look_reach

    members = [(h, s) for h in world.inventory.hosts for s in live.servers if h.is_server(s) and h.name != name]
    there = [(a.host, p) for s in live.servers if s.id != server.id for a in s.addresses for p in _ports(a)]
    here = [(a.host, p) for a in server.addresses for p in _ports(a)]
    asked = [(joiner, there), *((h, here) for h, _ in members if over_ssh(h))]
    names = dict.fromkeys(a.host for s in (*live.servers, server) for a in s.addresses)
    others = {s.id for s in live.servers} - {s.id for h, s in members if over_ssh(h)} - {server.id}
    why = "not asked: it is no host of the inventory that is reached over SSH"
    unasked = tuple(Reach(str(server_id), problem=why) for server_id in sorted(others))
    return (*look_reach(world.connections, asked, list(names)), *unasked)


def answering(world: World, name: str, places: Set[HostPort]) -> set[HostPort]:
    """Of `places` of the host `name`'s server those at which something listens, as the host itself sees it.

    Raises `NotHealthy` where the host cannot be asked.
    """
    host = world.inventory_host(name)
    if over_ssh(host):
        from zkprov.observe.reach import look_reach

        (seen,) = look_reach(world.connections, [(host, sorted((p.host, p.port) for p in places))], [])
        if seen.problem:
            raise NotHealthy(seen.problem, place=name, remedy="zkprov status")
        return {p for p in places if seen.ports.get((p.host, p.port)) == "open"}
    return {p for p in places if _listens_at(p)}


def _listens_at(place: HostPort) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((place.host, place.port), 1.0):
        return True
    return False


def _ports(address: ServerAddress) -> tuple[int, int]:
    return address.quorum_port, address.election_port
