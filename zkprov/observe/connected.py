"""Servers that no list and no inventory has: who is connected to a server of ours by the ports for servers, and serves clients itself."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from zkprov.model.facts import Outcome, Peer, ServerFacts
from zkprov.model.server import HostPort
from zkprov.observe.target import Target

USUAL_PORT = 2181
MOST = 32
MOST_PORTS = 4
AGAIN_S = 30.0
WITHIN_S = 1.0
"""Who does not answer within this time is asked again after `AGAIN_S`: a watch does not wait for it at each look."""
CONNECTED = "connected to "


def candidates(peers: Iterable[Peer], known: frozenset[str], ports: Iterable[int], by: str) -> Iterator[Target]:
    """Where each unknown host may serve clients: at the ports where ours do, and the usual one. `known`: addresses, not names."""
    tried = list(dict.fromkeys([USUAL_PORT, *ports]))[:MOST_PORTS]
    for address in sorted({p.address for p in peers} - known)[:MOST]:
        for port in tried:
            at = HostPort(address, port)
            yield Target(str(at), at, known_as=(f"{CONNECTED}{by}",))


def only_connected(facts: ServerFacts) -> bool:
    return bool(facts.known_as) and all(k.startswith(CONNECTED) for k in facts.known_as)


def worth_telling(facts: ServerFacts) -> bool:
    """A guess that led nowhere is no server."""
    return not only_connected(facts) or facts.up


class Silent:
    """The guesses that led nowhere, kept between the looks of a watch."""

    def __init__(self) -> None:
        self._until: dict[HostPort, float] = {}

    def __contains__(self, at: HostPort) -> bool:
        return self._until.get(at, 0.0) > time.monotonic()

    def note(self, servers: Iterable[ServerFacts]) -> None:
        for facts in servers:
            if facts.client is not None and only_connected(facts) and not facts.up:
                slow = facts.srvr.outcome is not Outcome.REFUSED
                self._until[facts.client] = time.monotonic() + (10 * AGAIN_S if slow else AGAIN_S)
