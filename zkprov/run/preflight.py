"""What is asked of a joiner's host and of the members' before anything is laid: for a plan, and once more by the step that lays it."""

from __future__ import annotations

import secrets
from collections.abc import Set

from zkprov.judge.certificates import joiner_certificates
from zkprov.judge.picture import Picture
from zkprov.judge.preflight import preflight
from zkprov.judge.sasl import joiner_sasl
from zkprov.judge.sasl_passwords import sasl_passwords
from zkprov.judge.verdict import GateResult
from zkprov.model.hiding import Seal
from zkprov.model.jaas import NAME
from zkprov.model.members import Members
from zkprov.model.server import Server
from zkprov.run.reaching import reach
from zkprov.run.world import World


def preflights(
    world: World, picture: Picture, name: str, live: Members, server: Server, excused: Set[int] = frozenset()
) -> tuple[GateResult, ...]:
    """The joiner `name` and the members, each asked over its own connection; names, ways and clocks only where hosts are apart.

    `excused`: members of whom nothing need lie there just now.
    """
    certificates = joiner_certificates(picture, world.inventory_host(name), server, world.stores(name), excused)
    sasl = joiner_sasl(picture, world.inventory_host(name), server, excused)
    gates = [sasl, certificates]
    if world.inventory_host(name).quorum_sasl:
        gates.append(_passwords(world, name, live))
    seen = reach(world, name, live, server)
    return (*gates, preflight(seen, name)) if seen else tuple(gates)


def _passwords(world: World, name: str, live: Members) -> GateResult:
    """Sealed as they are read: no password is compared as such."""
    seal = Seal(secrets.token_bytes(32))
    members = [h for h in world.inventory.hosts for s in live.servers if h.is_server(s) and h.name != name]
    to_come = world.passwords_file(world.inventory_host(name)).get(NAME, "")
    return sasl_passwords(name, seal.text(NAME, to_come), world.installed(members, seal))
