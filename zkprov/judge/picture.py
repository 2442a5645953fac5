"""Who is who in a survey: the live list, its members, and the servers that serve beside it."""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum
from functools import lru_cache

import msgspec

from zkprov.judge.history import two_histories
from zkprov.model.facts import Mode, Outcome, ServerFacts, Survey
from zkprov.model.members import Members
from zkprov.model.server import WILDCARDS, HostPort, Server, loopback

MOMENTARY = frozenset({Outcome.TIMEOUT, Outcome.TRUNCATED, Outcome.REFUSED, Outcome.NOT_SERVING})
"""How a question comes out that may be answered at the next look."""


class Standing(StrEnum):
    """What a surveyed server is to the ensemble."""

    MEMBER = "member"
    JOINER = "joiner"  # follows our leader and is in no list of ours yet (or no longer)
    ROGUE = "rogue"
    STRANGER = "stranger"
    DOWN = "down"  # known, not a member, and serves nobody


class Picture(msgspec.Struct, frozen=True):
    """A survey with every server's standing. `live` None: no list could be read anywhere.

    `unclear`: joiners by name that may as well belong to another ensemble, as they do not say whom they follow, or that led until
    they were removed. `beside`: strangers by name that serve at hosts of the inventory: another ensemble where ours is looked for.
    """

    survey: Survey
    live: Members | None
    standing: dict[str, Standing]
    why: dict[str, str]
    unclear: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()

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


@lru_cache(maxsize=4096)
def client_of(server: Server) -> HostPort | None:
    """Where clients reach a member: its client part; a wildcard there stands for the server's own first address.

    None where the line does not say where clients from elsewhere are: without a client part, or with one on loopback of a server that is
    not there itself (TLS). All members may have that one alike.
    """
    if server.client is None:
        return None
    host = server.client.host
    if host is not None and loopback(host) and not loopback(server.address.host):
        return None
    return HostPort(server.address.host if host is None or host in WILDCARDS else host, server.client.port)


def own_list(facts: ServerFacts) -> Members | None:
    """The list that a server acts under as far as it tells: in its memory, else by `conf`, else on its disk."""
    told = told_list(facts)
    if told is not None:
        return told
    return facts.disk.value.acting.members if facts.disk.value and facts.disk.value.acting else None


def told_list(facts: ServerFacts) -> Members | None:
    """The list that it says it acts under. `/zookeeper/config` is a znode, and of a static list it may be that of the leader before:
    `conf` is of the server itself (measured on 3.9.5: restarted under a list of five, it shows the three of its snapshot there).
    """
    there, own = facts.config.value, facts.conf.value.members if facts.conf.value else None
    if there is not None and (there.version or own is None or own.version or not own.servers):
        return there
    return own


def member_at(live: Members, facts: ServerFacts) -> Server | None:
    """The member that this server is: by its endpoint; else by its id, where its own list gives that id our addresses.

    The id alone is believed only where neither our list gives an endpoint nor the server a list: ids are small, and every
    ensemble has a 1.
    """
    by_endpoint = next((m for m in live.servers if is_at(facts, m)), None)
    if by_endpoint:
        return by_endpoint
    named = live.get(facts.id) if facts.id is not None else None
    if named is None:
        return None
    own = own_list(facts)
    if own is None:
        elsewhere = facts.address is not None and facts.address not in named.addresses
        return named if client_of(named) is None and not elsewhere else None
    return named if _same_server(own.get(named.id), named) else None


def is_at(facts: ServerFacts, member: Server) -> bool:
    """Whether the server was asked at the member's endpoint; or at the member's host, whose line tells no endpoint for clients from
    elsewhere (TLS), unless its own list puts it at another place.
    """
    if facts.client is not None and client_of(member) == facts.client:
        return True
    if facts.address is None or facts.address not in member.addresses:
        return False
    own = own_list(facts)
    return own is None or member.id not in own.ids or _same_server(own.get(member.id), member)


def _same_server(one: Server | None, other: Server | None) -> bool:
    return one is not None and other is not None and bool(set(one.addresses) & set(other.addresses))


def holds(facts: ServerFacts, members: Members) -> bool:
    """Whether a server's disk shows this list, at this version, and none that is to follow."""
    disk = facts.disk.value
    if disk is None or disk.acting is None or not disk.acting.members.same_config(members):
        return False
    return disk.next is None or disk.next.members.version <= members.version


def release_of(picture: Picture) -> str:
    """The release that the first member says which tells one; empty where none does."""
    return next((f.srvr.value.release for f in picture.members if f.srvr.value), "")


def tells_mode(facts: ServerFacts) -> bool:
    """Whether a server says if it leads."""
    return bool(facts.srvr.value or facts.leader.value or "zk_server_state" in (facts.mntr.value or {}))


def leads(facts: ServerFacts) -> bool:
    """Whether a server declares itself a leader; one that serves alone does, of itself."""
    if facts.srvr.value:
        return facts.srvr.value.mode in (Mode.LEADER, Mode.STANDALONE)
    if facts.mntr.value and "zk_server_state" in facts.mntr.value:
        return facts.mntr.value["zk_server_state"] in ("leader", "standalone")
    return facts.leader.value is not None and facts.leader.value.is_leading


def live_list(survey: Survey) -> Members | None:
    """The list that the ensemble acts under now: in the memory of a server that serves; without any, the newest on a disk.

    Where servers disagree, a list comes first of which the inventory knows most: an ensemble of others is not ours for one host
    that it has of ours, whatever its tree holds. Then the history that zkprov wrote into, then a list whose leader answers, then one
    that a quorum of itself holds, then the longer-lived history, the higher version, the more holders. (That they disagree is the
    gates' affair.)
    """
    holders: dict[Members, list[ServerFacts]] = defaultdict(list)
    for facts in survey.servers:
        held = told_list(facts) if facts.config.value else None
        if held is not None and held.servers:
            holders[held].append(facts)

    def rank(item: tuple[Members, list[ServerFacts]]) -> tuple[bool, bool, bool, bool, int, int, int]:
        members, held_by = item
        at_home = {m.id for f in survey.servers if "inventory" in f.known_as and (m := member_at(members, f))}
        identities = [f.identity.value for f in held_by if f.identity.value]
        ours = any(i.path == "/zkprov/ensemble" for i in identities)
        inside = [f for f in held_by if f.id in members.ids]
        quorum = members.quorums.contains_quorum(frozenset(f.id for f in inside if f.id is not None))
        oldest = min((i.ctime_ms for i in identities), default=2**62)
        home = 2 * len(at_home) > len(members.servers)
        return home, ours, any(leads(f) for f in inside), quorum, -oldest, members.version, len(inside)

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
    if members is None:
        return Picture(
            survey,
            None,
            {f.name: Standing.STRANGER if f.up else Standing.DOWN for f in survey.servers},
            {f.name: "no list of ours is known" if f.up else "nothing serves there" for f in survey.servers},
        )
    around = _Around(survey, members)
    stands = {f.name: around.stand(f) for f in survey.servers}
    return Picture(
        survey,
        members,
        {name: standing for name, (standing, _) in stands.items()},
        {name: why for name, (_, why) in stands.items()},
        frozenset(f.name for f in survey.servers if stands[f.name][0] is Standing.JOINER and not around.follows(f)),
        frozenset(f.name for f in survey.servers if stands[f.name][0] is Standing.STRANGER and around.is_beside(f)),
    )


class _Around:
    """A survey with its live list, while standings are given; never leaves this module."""

    def __init__(self, survey: Survey, live: Members) -> None:
        self.survey, self.live = survey, live
        at = [(f, member_at(live, f)) for f in survey.servers]
        self.holders = [f for f, m in at if m and f.identity.value]
        self.identities = {f.identity.value for f, m in at if m and f.identity.value}
        self.leaders = [f for f, m in at if m and leads(f)]
        ledgers = [x for f in survey.servers if (x := f.ledger.value)]
        self.retired = {p for x in ledgers for r in x.retired for p in (r.client, r.host) if p}
        self.by_endpoint = {m.id: f for f, m in at if m and is_at(f, m)}

    def stand(self, facts: ServerFacts) -> tuple[Standing, str]:
        member, own = member_at(self.live, facts), own_list(facts)
        if member is not None and facts.id in (None, member.id):
            outside = leads(facts) and own is not None and own.servers and member.id not in own.ids
            if outside and not self._led_until_removed(facts):
                return Standing.ROGUE, "leads under a list without itself"
            if self._is_copy(facts, self.by_endpoint.get(member.id)):
                return Standing.ROGUE, f"says that it is {member.id}, which serves elsewhere"
            return Standing.MEMBER, ""
        if not facts.up:
            return Standing.DOWN, "nothing serves there"
        if not facts.serving:
            return Standing.DOWN, "runs, and serves nobody"
        if member is not None:
            return Standing.ROGUE, f"says id {facts.id} at the address of member {member.id}"
        follows = self.follows(facts)
        if follows:
            return Standing.JOINER, "follows our leader without being in the list"
        if follows is None and facts.config.value is None:
            return Standing.JOINER, f"serves, and what it holds could not be read ({facts.config})"
        if follows is None:
            return Standing.JOINER, f"holds the list {own} and does not say whom it follows"
        if self._led_until_removed(facts):
            return Standing.JOINER, "was the leader until it was removed from the list, and says to lead still"
        if facts.identity.value is not None and facts.identity.value in self.identities:
            return Standing.ROGUE, "serves outside the config and carries our identity"
        names = names_us(own, self.live) or names_us(_list_on_disk(facts), self.live)
        if names:
            return Standing.ROGUE, f"acts under its own list, which names {names} of ours"
        if leads(facts) and self._unread(facts):
            return Standing.JOINER, f"leads, and what it holds could not be read ({facts.config})"
        return Standing.STRANGER, "serves at an address that we know, with nothing of ours"

    def is_beside(self, facts: ServerFacts) -> bool:
        """Whether a stranger is at a host that the inventory has as ours, or talks to servers of ours: clients may be sent there, and so to
        another ensemble. Where a server of ours once was, and left, another may have come.
        """
        connected = any(k.startswith("connected to ") for k in facts.known_as)
        if (
            not ("inventory" in facts.known_as or connected)
            or facts.client in self.retired
            or facts.name in self.retired
        ):
            return False
        own = own_list(facts)
        return facts.serving and (leads(facts) or (own is not None and bool(own.servers)))

    def _unread(self, facts: ServerFacts) -> bool:
        """Whether this look failed to show what tells ours from others, and nothing that it did show is another ensemble's.

        A session that could not be opened in time proves nothing; one that is never granted will not show more at the next look.
        """
        identity = facts.identity.outcome in MOMENTARY
        if facts.config.value is not None:
            return identity and bool(names_us(facts.config.value, self.live)) and epoch_of(facts) in self._epochs()
        if not (facts.config.outcome in MOMENTARY and (identity or facts.identity.value in self.identities)):
            return False
        lists = [x for x in (own_list(facts), _list_on_disk(facts)) if x is not None and x.servers]
        return not lists or any(names_us(x, self.live) for x in lists)

    def _epochs(self) -> set[int | None]:
        return {epoch_of(f) for f in self.leaders}

    def _led_until_removed(self, facts: ServerFacts) -> bool:
        """Whether it is the leader that a reconfig of its own removed, which says `leader` until it notices.

        Its epoch is the one in which the list without it was committed. Its own list and the live one are that list, or the one before.
        Whether that moment lasts too long, or a quorum follows it all the same, is the gate's affair that compares leaders.
        """
        own, identity = own_list(facts), facts.identity.value
        if not leads(facts) or own is None or facts.id is None:
            return False
        if identity not in self.identities and facts.identity.outcome not in MOMENTARY:
            return False
        before, after = sorted((own, self.live), key=lambda m: m.version)
        if epoch_of(facts) != after.version >> 32:
            return False
        if own.same_config(self.live):
            return facts.id not in own.ids
        led = before.get(facts.id)
        return led is not None and led.votes and before.without(facts.id).same_list(after)

    def _is_copy(self, facts: ServerFacts, member: ServerFacts | None) -> bool:
        """Another server of a member's id, and not that member by a second name: it leads where that one does not, or the like."""
        if member is None or member is facts or not (facts.serving and member.serving):
            return False
        modes = facts.srvr.value is not None and member.srvr.value is not None
        return (modes and leads(facts) != leads(member)) or two_histories(facts, member)

    def follows(self, facts: ServerFacts) -> bool | None:
        """Whether it follows our leader: by its own word, else by sharing list and history; None where that cannot be told."""
        if leads(facts) or not facts.serving:
            return False
        identity = facts.identity.value
        if any(two_histories(facts, f) for f in self.holders):
            return False
        # another creation of a znode that may be made anew: either of us may be behind
        behind = identity is not None and any(i.path == identity.path and i != identity for i in self.identities)
        own = facts.config.value
        same_list = own is not None and own.same_list(self.live)
        ours = same_list or (identity is not None and identity in self.identities)
        told = facts.leader.value.leader_id if facts.leader.value else -1
        leader = self.live.get(told)
        if told >= 0 and (leader is None or not leader.votes):
            return False
        if not (ours and own) and self._unread(facts):
            return None
        if told >= 0:
            if not ours:
                return None if behind else False
            # an answer of a moment before or after the leader's own
            return True if any(member_at(self.live, f) == leader for f in self.leaders) else None
        if same_list:
            return True
        # a list of a moment ago, or another ensemble's that began as a copy of ours: as long as its epoch is our leader's, either
        led_here = own is not None and any(
            (m := member_at(self.live, f)) and _same_server(own.get(m.id), m) for f in self.leaders
        )
        return None if (ours or behind) and led_here and epoch_of(facts) in self._epochs() else False


def epoch_of(facts: ServerFacts) -> int | None:
    if facts.zabstate.value:
        return facts.zabstate.value.epoch
    return facts.srvr.value.epoch if facts.srvr.value else None


def _list_on_disk(facts: ServerFacts) -> Members | None:
    return facts.disk.value.acting.members if facts.disk.value and facts.disk.value.acting else None


def names_us(own: Members | None, live: Members) -> str:
    """The ids of ours, with our addresses, that a foreign list names."""
    if own is None:
        return ""
    both = [s.id for s in own.servers if (m := live.get(s.id)) is not None and set(m.addresses) & set(s.addresses)]
    return ", ".join(str(i) for i in both)
