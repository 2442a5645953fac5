"""Whose AdminServer answered: with a wrong `zkprov_admin_port` one server's words must not pass for another's.

The server at the client port says who it is by `conf`, `mntr` and the id of a session; the AdminServer by `zabstate`, and by `leader`
where it leads. Two ensembles on the same hosts have the same ids: there the port for clients tells.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zkprov.model.facts import Fact, Outcome, ServerFacts

ANSWERS = ("zabstate", "leader", "voting_view", "hash")


def own_answers(servers: Sequence[ServerFacts]) -> list[ServerFacts]:
    """The servers, the AdminServer's answers unread (`Outcome.ANOTHERS`) where they are those of another one.

    Where nothing at the client port tells an id, the AdminServer's is disbelieved only if the inventory gives that other server the same
    AdminServer: whoever runs at an address of ours, of whatever id, is to be seen.
    """
    return [_without(f) if _is_anothers(f, servers) else f for f in servers]


def _is_anothers(facts: ServerFacts, servers: Sequence[ServerFacts]) -> bool:
    owner = _owner(facts)
    if owner is None:
        return False
    if told := _told(facts):
        return owner not in told or _serves_elsewhere(facts)
    known = [o for o in servers if o is not facts and o.admin == facts.admin]
    return any(owner in _told(o) or (o.expected_id == owner and not _told(o)) for o in known)


def _owner(facts: ServerFacts) -> int | None:
    """The id of the AdminServer's own server."""
    if facts.zabstate.value:
        return facts.zabstate.value.server_id
    return facts.leader.value.leader_id if facts.leader.value and facts.leader.value.is_leading else None


def _told(facts: ServerFacts) -> set[int]:
    """The ids that the server at the client port gives itself."""
    mntr = (facts.mntr.value or {}).get("zk_server_id", "")
    told = {facts.conf.value.server_id if facts.conf.value else None, facts.session.value}
    return {i for i in told if i is not None} | ({int(mntr)} if mntr.isdecimal() else set())


def _serves_elsewhere(facts: ServerFacts) -> bool:
    """Whether the AdminServer's server serves clients on another port than the one asked, which is the asked one's own by its list."""
    own = facts.config.value or (facts.conf.value.members if facts.conf.value else None)
    line = own.get(facts.zabstate.value.server_id) if own and facts.zabstate.value else None
    if facts.client is None or facts.zabstate.value is None or line is None or line.client is None:
        return False
    return line.client.port == facts.client.port and facts.zabstate.value.client_port not in (None, facts.client.port)


def _without(facts: ServerFacts) -> ServerFacts:
    first = next(f for f in (facts.zabstate, facts.leader) if f.value)
    port = facts.zabstate.value.client_port if facts.zabstate.value and _serves_elsewhere(facts) else None
    ident = f"id {_owner(facts)}" + (f", client port {port}" if port is not None else "")
    detail = (
        f"AdminServer at {facts.admin} is that of another server ({ident}): correct zkprov_admin_port of {facts.name}"
    )

    def unread(fact: Fact[object]) -> Fact[object]:
        if fact.outcome is not Outcome.OK:
            return fact
        return Fact(fact.source, Outcome.ANOTHERS, None, fact.at, detail if fact is first else "", fact.asked)

    return msgspec.structs.replace(facts, **{name: unread(getattr(facts, name)) for name in ANSWERS})
