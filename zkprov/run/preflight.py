"""What is asked of a joiner's host and of the members' before anything is laid: for a plan, and once more by the step that lays it."""

from __future__ import annotations

from zkprov.judge.certificates import joiner_certificates
from zkprov.judge.picture import Picture
from zkprov.judge.preflight import preflight
from zkprov.judge.verdict import GateResult
from zkprov.model.members import Members
from zkprov.model.server import Server
from zkprov.run.world import World


def preflights(world: World, picture: Picture, name: str, live: Members, server: Server) -> tuple[GateResult, ...]:
    """The joiner `name` and the members, each asked over its own connection; names, ways and clocks only where hosts are apart."""
    certificates = joiner_certificates(picture, world.inventory_host(name), server, world.stores(name))
    seen = world.reach(name, live, server)
    return (certificates, preflight(seen, name)) if seen else (certificates,)
