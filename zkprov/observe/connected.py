"""Servers that no list and no inventory has: who is connected to a server of ours by the ports for servers, and serves clients itself.

Where no host can be looked at, those ports are told by nobody. `cons` tells who is connected to the ports for clients: a client, as a
rule, and one library has one connection. A host that has sessions on several servers at once may be one on which a server runs, too: it is
asked, seldom and briefly, and is in the survey only if a server answers there that tells its list.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

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
CLIENT = "client of "
OF_SEVERAL = 2
"""Servers to whose client ports an address must be connected at once to be tried."""
MOST_CALLERS = 8
CALLERS_WITHIN_S = 0.25
"""Of hosts that are mere clients: a look is not made longer for them than an answer takes that is on its way."""


def candidates(peers: Iterable[Peer], known: frozenset[str], ports: Iterable[int], by: str) -> Iterator[Target]:
    """Where each unknown host may serve clients: at the ports where ours do, and the usual one. `known`: addresses, not names."""
    for address in sorted({p.address for p in peers} - known)[:MOST]:
        yield from _guesses(address, ports, f"{CONNECTED}{by}")


def _guesses(address: str, ports: Iterable[int], why: str) -> Iterator[Target]:
    for port in list(dict.fromkeys([USUAL_PORT, *ports]))[:MOST_PORTS]:
        at = HostPort(address, port)
        yield Target(str(at), at, known_as=(why,))


def callers(cons: Mapping[str, Iterable[str]], known: frozenset[str], ports: Iterable[int]) -> Iterator[Target]:
    """The same of who is connected to the client ports of several servers at once, those of most first. `cons`: server → addresses."""
    of: dict[str, list[str]] = {}
    for name, addresses in cons.items():
        for address in set(addresses) - known:
            of.setdefault(address, []).append(name)
    several = [(address, names) for address, names in of.items() if len(names) >= OF_SEVERAL]
    for address, names in sorted(several, key=lambda x: (-len(x[1]), x[0]))[:MOST_CALLERS]:
        yield from _guesses(address, ports, f"{CLIENT}{', '.join(sorted(names))}")


def only_connected(facts: ServerFacts) -> bool:
    return bool(facts.known_as) and all(k.startswith((CONNECTED, CLIENT)) for k in facts.known_as)


def only_client(facts: ServerFacts) -> bool:
    return bool(facts.known_as) and all(k.startswith(CLIENT) for k in facts.known_as)


def worth_telling(facts: ServerFacts) -> bool:
    """A guess that led nowhere is no server; and of a mere client's host only one that tells its list is."""
    if only_client(facts):
        return facts.config.value is not None or (facts.conf.value is not None and facts.conf.value.members is not None)
    return not only_connected(facts) or facts.up


class Silent:
    """The guesses that led nowhere, kept between the looks of a watch."""

    def __init__(self) -> None:
        self._until: dict[HostPort, float] = {}
        self._callers_at = 0.0
        self.heard: frozenset[HostPort] = frozenset()
        """Clients' hosts at which a server answered in the last look: they are asked at each."""

    def callers_due(self) -> bool:
        """Whether clients may be tried now: at the first look, and then once in `AGAIN_S`."""
        due = time.monotonic() >= self._callers_at
        if due:
            self._callers_at = time.monotonic() + AGAIN_S
        return due

    def __contains__(self, at: HostPort) -> bool:
        return self._until.get(at, 0.0) > time.monotonic()

    def note(self, servers: Iterable[ServerFacts]) -> None:
        servers = tuple(servers)
        self._until = {at: until for at, until in self._until.items() if until > time.monotonic()}
        self.heard = frozenset(f.client for f in servers if f.client and only_client(f) and worth_telling(f))
        for facts in servers:
            if facts.client is not None and only_connected(facts) and not facts.up:
                slow = facts.srvr.outcome is not Outcome.REFUSED
                self._until[facts.client] = time.monotonic() + (10 * AGAIN_S if slow else AGAIN_S)
