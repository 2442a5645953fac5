"""Before a server is laid: names mean the same everywhere, the ways between it and the members are free, and clocks agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zkprov.judge.verdict import Evidence, GateResult, weighed
from zkprov.model.facts import Reach
from zkprov.model.server import loopback

CLOCKS_S = 60.0
"""Further apart than this, logs and ages mean nothing to each other, and certificates may not be valid yet."""
THROUGH = ("open", "refused")


def preflight(seen: Sequence[Reach], joiner: str) -> GateResult:
    """Of what the joiner and the members that can be asked make of each other. A member that cannot be asked is unknown, and told.

    ZooKeeper binds to what its own line's name resolves to *there*: a host that takes its own name for a loopback address is not heard.
    """
    asked = sum(not r.problem for r in seen)
    return weighed(
        "preflight",
        [*_names(seen), *_ports(seen), *_clocks(seen)],
        [Evidence(r.host, r.problem) for r in seen if r.problem],
        f"names, ports and clocks agree on {asked} hosts",
        ("name resolution and connections on each host, over SSH",),
        required=any(r.host == joiner and r.problem for r in seen),
        remedy="mend names, firewall or clocks, then try again",
        to_know="the hosts named, and how they are reached",
    )


def _names(seen: Sequence[Reach]) -> Iterator[Evidence]:
    for reach in seen:
        for name, why in reach.unresolved.items():
            yield Evidence(reach.host, f"{name} does not resolve there ({why})")
    for name in sorted({n for r in seen for n in r.names}):
        meant = [(r.host, r.names[name]) for r in seen if name in r.names]
        if len({addresses for _, addresses in meant}) > 1:
            told = ", ".join(f"{host}: {' '.join(addresses)}" for host, addresses in meant)
            yield Evidence(name, f"means different addresses ({told})")
        elif (
            (name == "localhost" or not loopback(name))
            and len(seen) > 1
            and meant
            and all(loopback(a) for a in meant[0][1])
        ):
            yield Evidence(name, f"resolves to {' '.join(meant[0][1])}, which is each host itself")


def _ports(seen: Sequence[Reach]) -> Iterator[Evidence]:
    for reach in seen:
        for (host, port), what in reach.ports.items():
            if what not in THROUGH:
                yield Evidence(reach.host, f"does not reach {host}:{port} ({what})")


def _clocks(seen: Sequence[Reach]) -> Iterator[Evidence]:
    told = sorted((r for r in seen if not r.problem), key=lambda r: r.ahead_s)
    if len(told) > 1 and told[-1].ahead_s - told[0].ahead_s > CLOCKS_S:
        apart = told[-1].ahead_s - told[0].ahead_s
        yield Evidence(told[-1].host, f"its clock is {apart:.0f} s ahead of {told[0].host}'s")
