"""One server that was asked under several names counts once: a second name for it must not pass for a second server.

The id of a session says which process opened it: the server's id (1 byte), the moment at which its process began to count, in
milliseconds (5 bytes), and a counter (2 bytes) that runs over into them. (`SessionTrackerImpl.initializeNextSessionId`; the first
byte measured on 3.9.5, 3.6.4 and 3.5.10, members of static lists too. A server that runs alone does not put its id there.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from zkprov.model.facts import Fact, Outcome, ServerFacts

NEAR = 1 << 20
"""Sessions of one process that one survey holds differ by less: a million sessions, or 16 ms between two servers' beginnings."""


def server_id_of(session: int) -> int | None:
    """The id of the server that opened the session, where it says one."""
    return session >> 56 or None


def one_each(servers: Sequence[ServerFacts], sessions: Mapping[str, int]) -> tuple[ServerFacts, ...]:
    """Each server once, under the first of its names, with the facts of all. `sessions`: a server's name → the id of our session there.

    Hosts of an inventory all stay: a plan asks for them by name.
    """
    kept: list[ServerFacts] = []
    for facts in servers:
        if "inventory" not in facts.known_as:
            twin = next((n for n, k in enumerate(kept) if _same(sessions.get(k.name), sessions.get(facts.name))), None)
            if twin is not None:
                kept[twin] = _filled(kept[twin], facts)
                continue
            if facts.client is None and any(_is_named(facts, other) for other in servers):
                continue
        kept.append(facts)
    return tuple(kept)


def _same(one: int | None, other: int | None) -> bool:
    return (
        one is not None and other is not None and server_id_of(one) == server_id_of(other) and abs(one - other) < NEAR
    ) and bool(server_id_of(one))


def _filled(facts: ServerFacts, other: ServerFacts) -> ServerFacts:
    """`facts`, with what only the other name told."""
    told = {
        name: theirs
        for name in ServerFacts.__struct_fields__
        if isinstance(theirs := getattr(other, name), Fact)
        and theirs.outcome is Outcome.OK
        and getattr(facts, name).outcome is not Outcome.OK
    }
    known_as = tuple(dict.fromkeys((*facts.known_as, *other.known_as)))
    return msgspec.structs.replace(facts, known_as=known_as, **told)


def _is_named(named: ServerFacts, other: ServerFacts) -> bool:
    """Whether `named`, of which only a line without a client part is known, is `other`: by its own word, under that very line. Of one that
    is down its disk says it.
    """
    if other.client is None or other.id is None or other.id != named.expected_id:
        return False
    own = other.config.value or (other.conf.value.members if other.conf.value else None)
    disk = other.disk.value
    if own is None and disk is not None and disk.my_id == other.id and disk.acting is not None:
        own = disk.acting.members
    line = own.get(other.id) if own else None
    return line is not None and f"{line.address.host}:{line.address.quorum_port}" == named.name
