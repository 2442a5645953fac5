"""Who is who in a survey: the live list, its members, and the servers that serve beside it."""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum

import msgspec

from zkprov.model.facts import Identity, Mode, ServerFacts, Survey
from zkprov.model.members import Members
from zkprov.model.server import HostPort, Server

WILDCARDS = frozenset({"0.0.0.0", "::", "0:0:0:0:0:0:0:0"})  # noqa: S104 — compared with, not bound


class Standing(StrEnum):
    """What a surveyed server is to the ensemble."""

    MEMBER = "member"
    JOINER = "joiner"  # follows our leader and is in no list of ours yet (or no longer)
    ROGUE = "rogue"
    STRANGER = "stranger"
    DOWN = "down"  # known, not a member, and serves nobody


class Picture(msgspec.Struct, frozen=True):
    """A survey with every server's standing. `live` None: no list could be read anywhere."""

    survey: Survey
    live: Members | None
    standing: dict[str, Standing]
    why: dict[str, str]

    def of(self, *standings: Standing) -> tuple[ServerFacts, ...]:
        return tuple(s for s in self.survey.servers if self.standing[s.name] in standings)

    @property
    def members(self) -> tuple[ServerFacts, ...]:
        """The surveyed members in the order of their ids."""
        return tuple(sorted(self.of(Standing.MEMBER), key=self.member_id))

    def member_id(self, facts: ServerFacts) -> int:
        server = member_at(self.live, facts) if self.live else None
        return server.id if server else (facts.id if facts.id is not None else -1)

    def member(self, server_id: int) -> ServerFacts | None:
        return next((s for s in self.members if self.member_id(s) == server_id), None)

    def label(self, facts: ServerFacts) -> str:
        """How a server is called in evidence: its id where known, and its name."""
        ident = self.member_id(facts)
        return facts.name if ident < 0 else f"{ident} ({facts.name})"


def client_of(server: Server) -> HostPort | None:
    """Where clients reach a member: its client part; a wildcard there stands for the server's own first address."""
    if server.client is None:
        return None
    host = server.client.host
    return HostPort(server.address.host if host is None or host in WILDCARDS else host, server.client.port)


def member_at(live: Members, facts: ServerFacts) -> Server | None:
    """The member that this server is: by its endpoint, or by its id where the list gives no endpoint or another name for it."""
    by_endpoint = next((m for m in live.servers if facts.client is not None and client_of(m) == facts.client), None)
    if by_endpoint:
        return by_endpoint
    named = live.get(facts.id) if facts.id is not None else None
    if named is None:
        return None
    same_list = facts.config.value is not None and facts.config.value.same_list(live)
    on_disk = facts.disk.value is not None and facts.disk.value.acting is not None
    same_disk = (
        on_disk and facts.disk.value is not None and facts.disk.value.my_id == named.id and "member" in facts.known_as
    )
    return named if client_of(named) is None or same_list or same_disk else None


def leads(facts: ServerFacts) -> bool:
    """Whether a server declares itself a leader; one that serves alone does, of itself."""
    if facts.srvr.value:
        return facts.srvr.value.mode in (Mode.LEADER, Mode.STANDALONE)
    if facts.mntr.value and "zk_server_state" in facts.mntr.value:
        return facts.mntr.value["zk_server_state"] in ("leader", "standalone")
    return facts.leader.value is not None and facts.leader.value.is_leading


def live_list(survey: Survey) -> Members | None:
    """The list that the ensemble acts under now: in the memory of a server that serves; without any, the newest on a disk.

    Where servers disagree, the history that zkprov wrote into comes first, then the one that more servers of the list itself
    hold, then the higher version, then the longer-lived history. (That they disagree is the gates' affair.)
    """
    holders: dict[Members, list[ServerFacts]] = defaultdict(list)
    for facts in survey.servers:
        if facts.config.value and facts.config.value.servers:
            holders[facts.config.value].append(facts)

    def rank(item: tuple[Members, list[ServerFacts]]) -> tuple[bool, bool, bool, int, int, int]:
        members, held_by = item
        identities = [f.identity.value for f in held_by if f.identity.value]
        ours = any(i.path == "/zkprov/ensemble" for i in identities)
        inside = [f for f in held_by if f.id in members.ids]
        quorum = members.quorums.contains_quorum(frozenset(f.id for f in inside if f.id is not None))
        oldest = min((i.ctime_ms for i in identities), default=2**62)
        return ours, any(leads(f) for f in inside), quorum, members.version, len(inside), -oldest

    if holders:
        return max(holders.items(), key=rank)[0]
    shown = [
        f.conf.value.members
        for f in survey.servers
        if f.conf.value and f.conf.value.members and f.conf.value.members.servers
    ]
    on_disk = [
        f.disk.value.acting.members
        for f in survey.servers
        if f.disk.value and f.disk.value.acting and f.disk.value.my_id in f.disk.value.acting.members.ids
    ]
    return max((*shown, *on_disk), key=lambda m: m.version, default=None)


def picture_of(survey: Survey, live: Members | None = None) -> Picture:
    """Gives every surveyed server its standing. `live` overrides what the survey says (a run knows its list)."""
    members = live if live is not None else live_list(survey)
    standing: dict[str, Standing] = {}
    why: dict[str, str] = {}
    ours = {f.identity.value for f in survey.servers if members and member_at(members, f) and f.identity.value}
    for facts in survey.servers:
        standing[facts.name], why[facts.name] = _stand(facts, survey, members, ours)
    return Picture(survey, members, standing, why)


def _stand(facts: ServerFacts, survey: Survey, live: Members | None, ours: set[Identity]) -> tuple[Standing, str]:
    if live is None:
        return (Standing.STRANGER, "no list of ours is known") if facts.up else (Standing.DOWN, "nothing serves there")
    member = member_at(live, facts)
    own = facts.config.value or (facts.conf.value.members if facts.conf.value else None)
    if member is not None and (facts.id is None or facts.id == member.id):
        if leads(facts) and own is not None and facts.id not in own.ids:
            return Standing.ROGUE, "leads under a list without itself"
        return Standing.MEMBER, ""
    if member is not None and facts.up:
        return Standing.ROGUE, f"says id {facts.id} at the address of member {member.id}"
    if not facts.up:
        return Standing.DOWN, "nothing serves there"
    if not facts.serving:
        return Standing.DOWN, "runs, and serves nobody"
    if follows_ours(facts, survey, live):
        return Standing.JOINER, "follows our leader without being in the list"
    if facts.identity.value is not None and facts.identity.value in ours and facts.srvr.value is not None:
        return Standing.ROGUE, "serves outside the config and carries our identity"
    names = _names_us(own, live) or _names_us(_list_on_disk(facts), live)
    if names:
        return Standing.ROGUE, f"acts under its own list, which names {names} of ours"
    return Standing.STRANGER, "serves at an address that we know, with nothing of ours"


def follows_ours(facts: ServerFacts, survey: Survey, live: Members) -> bool:
    """A follower or observer whose leader is one of our members, by its own word, or by sharing memory list and history."""
    if leads(facts) or not facts.serving:
        return False
    if facts.leader.value and facts.leader.value.leader_id >= 0:
        if facts.leader.value.leader_id not in live.voters:
            return False
        leader = live.get(facts.leader.value.leader_id)
        ours = next((f for f in survey.servers if leader and member_at(live, f) == leader), None)
        if ours is None or not leads(ours):
            return False
    return facts.config.value is not None and facts.config.value.same_list(live)


def _list_on_disk(facts: ServerFacts) -> Members | None:
    return facts.disk.value.acting.members if facts.disk.value and facts.disk.value.acting else None


def _names_us(own: Members | None, live: Members) -> str:
    """The ids of ours, with our addresses, that a foreign list names."""
    if own is None:
        return ""
    both = [s.id for s in own.servers if (m := live.get(s.id)) is not None and set(m.addresses) & set(s.addresses)]
    return ", ".join(str(i) for i in both)
