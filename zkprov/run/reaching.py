"""What servers and their hosts make of each other's places: asked of the hosts themselves."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Set
from typing import TYPE_CHECKING

from zkprov.model.facts import Reach
from zkprov.model.members import Members
from zkprov.model.problems import NotHealthy
from zkprov.model.server import Server, ServerAddress
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


def answering(world: World, name: str, places: Set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Of (host, port) places of the host `name`'s server those at which something listens, as the host itself sees it.

    Raises `NotHealthy` where the host cannot be asked.
    """
    host = world.inventory_host(name)
    if over_ssh(host):
        from zkprov.observe.reach import look_reach

        (seen,) = look_reach(world.connections, [(host, sorted(places))], [])
        if seen.problem:
            raise NotHealthy(seen.problem, place=name, remedy="zkprov status")
        return {place for place in places if seen.ports.get(place) == "open"}
    return {place for place in places if _listens_at(*place)}


def _listens_at(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1.0):
        return True
    return False


def _ports(address: ServerAddress) -> tuple[int, int]:
    return address.quorum_port, address.election_port
