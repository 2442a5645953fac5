"""The witness of an unsafe state: who could elect whom, by which file's which list; and the rule for one given set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from zkprov.model.acting import How, Option, ProofServer, options_of
from zkprov.model.members import Members
from zkprov.model.proof_search import Actor, Choice, QuorumTest, bits
from zkprov.model.quorum import braces


class Standing(msgspec.Struct, frozen=True):
    """One server of one side, and what it acts under. `members` as lists are written; `version` and `next_version` in hex."""

    server: str
    id: int
    members: str
    version: str
    source: str
    how: How
    next: str = ""
    next_version: str = ""
    next_source: str = ""

    def told(self) -> str:
        """Where it stands that this server acts under its list."""
        where = f"{self.source} with {self.next_source}" if self.next else self.source
        if self.how is How.ADOPTED:
            return f"{self.server} takes over {where}"
        if self.how is How.ASSUMED:
            return f"{self.server} (not seen) perhaps as {where}"
        return where if where.startswith(self.server) else f"{self.server}: {where}"


class Side(msgspec.Struct, frozen=True):
    """A set of servers that can elect `leader`, which then leads under the list `under`."""

    leader: int
    leader_server: str
    under: str
    servers: tuple[Standing, ...]

    @property
    def ids(self) -> frozenset[int]:
        return frozenset(s.id for s in self.servers)


class Witness(msgspec.Struct, frozen=True):
    """Two disjoint sets of servers, each of which can elect a leader."""

    first: Side
    second: Side

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.first, self.second

    def lines(self) -> list[str]:
        """One line a side: `{1,2}    elect 2 under {1,2,3}         zk1/zoo.cfg:9, zk2/zoo.cfg:9`."""
        who = [braces(side.ids) for side in self.sides]
        what = [f"elect {side.leader} under {side.under}" for side in self.sides]
        first, second = max(map(len, who)), max(map(len, what))
        return [
            f"{w:<{first}}  {e:<{second}}  {', '.join(s.told() for s in side.servers)}"
            for w, e, side in zip(who, what, self.sides, strict=True)
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    @property
    def assumed(self) -> tuple[str, ...]:
        """The servers of which the witness only assumes what they act under."""
        return tuple(sorted({s.server for side in self.sides for s in side.servers if s.how is How.ASSUMED}))


class _Election(NamedTuple):
    """Bits of servers, the position of the leader, and per position the option that the server acts under."""

    group: int
    leader: int
    under: dict[int, Option]


class Case:
    """Servers made ready for the search: each list once, each id a bit, each option a choice. `assume`: count what is assumed."""

    def __init__(self, servers: Sequence[ProofServer]) -> None:
        self.servers = [s for s in servers if not s.gone]
        self._bit_of = {i: 1 << n for n, i in enumerate(dict.fromkeys(s.id for s in self._unique_first()))}
        self.lists: list[QuorumTest] = []
        self._index: dict[object, int] = {}
        self._compiled: dict[int, tuple[Members, int, int]] = {}
        self._ways: list[list[tuple[Option, Choice]]] = [
            self._ways_of(options) if server.may_vote else []
            for server, options in zip(self.servers, options_of(self.servers), strict=True)
        ]

    def _ways_of(self, options: Sequence[Option]) -> list[tuple[Option, Choice]]:
        """Of options that come to the same, the first: its own before another's."""
        first: dict[Choice, Option] = {}
        for option in options:
            first.setdefault(self._choice(option), option)
        return [(option, choice) for choice, option in first.items()]

    def _unique_first(self) -> list[ProofServer]:
        """Second servers of an id go to the end, so that mostly a server's position is the place of its id's bit."""
        seen: set[int] = set()
        twins = [s for s in self.servers if s.id in seen or seen.add(s.id)]  # type: ignore[func-returns-value]
        self.servers = [s for s in self.servers if not any(s is t for t in twins)] + twins
        return self.servers

    def _compile(self, members: Members) -> tuple[int, int]:
        """The number of the list among those of equal quorums, and its voters as bits of ids."""
        known = self._compiled.get(id(members))
        if known is None:
            voters = members.voters
            key = members.quorums if members.hierarchical else voters
            if key not in self._index:
                self._index[key] = len(self.lists)
                self.lists.append(QuorumTest(members.quorums, self._bit_of))
            # The members are kept, or their id() could come to mean another list.
            known = (members, self._index[key], sum(self._bit_of.get(i, 0) for i in voters))
            self._compiled[id(members)] = known
        return known[1], known[2]

    def _choice(self, option: Option) -> Choice:
        number, voters = self._compile(option.list.members)
        needs, knows = 1 << number, voters
        if option.list.next is not None:
            number, more = self._compile(option.list.next)
            needs, knows = needs | 1 << number, knows | more
        return Choice(needs, knows, voters)

    def actors(self, assume: bool) -> list[Actor]:
        return [
            Actor(self._bit_of[s.id], tuple(c for o, c in ways if assume or o.how is not How.ASSUMED))
            for s, ways in zip(self.servers, self._ways, strict=True)
        ]

    def witness(self, sides: tuple[int, int], assume: bool) -> Witness:
        """As small as it goes, first without what is assumed or adopted; then with those who stand beside their leader anyway."""
        first = self._least(sides[0], assume)
        second = self._least(sides[1], assume)
        first = self._with_like(first, ~second.group, assume)
        second = self._with_like(second, ~first.group, assume)
        one, two = self._side(first), self._side(second)
        return Witness(*sorted((one, two), key=lambda side: sorted(side.ids)))

    def _least(self, group: int, assume: bool) -> _Election:
        election = self._elect(group, assume)
        if election is None:
            raise AssertionError("the search named a set that cannot elect by the rule")
        ranks, under = list(How), election.under
        for position in sorted(under, key=lambda p: (-ranks.index(under[p].how), -self.servers[p].id)):
            election = self._elect(election.group & ~(1 << position), assume) or election
        return election

    def _with_like(self, election: _Election, allowed: int, assume: bool) -> _Election:
        """Adds servers that on their own list act just as the leader does: a person would count them in."""
        alike = self._key(election.under[election.leader])
        group = election.group
        for position, ways in enumerate(self._ways):
            if allowed >> position & 1 and any(o.how is How.OWN and self._key(o) == alike for o, _ in ways):
                group |= 1 << position
        larger = self._elect(group, assume)
        return larger if larger and larger.group == group else election

    @staticmethod
    def _key(option: Option) -> tuple[Members, Members | None]:
        return option.list.members, option.list.next

    def _elect(self, group: int, assume: bool) -> _Election | None:
        """The rule for one set: the largest part of it that can elect the leader of the highest id possible, or None."""
        for position in sorted((b.bit_length() - 1 for b in bits(group)), key=lambda p: -self.servers[p].id):
            me = self._bit_of[self.servers[position].id]
            for option, choice in self._ways[position]:
                if not me & choice.leads or (option.how is How.ASSUMED and not assume):
                    continue
                if found := self._follow(group, position, option, choice, assume):
                    return found
        return None

    def _follow(self, group: int, leader: int, option: Option, choice: Choice, assume: bool) -> _Election | None:
        leader_bit = self._bit_of[self.servers[leader].id]
        under: dict[int, tuple[Option, Choice]] = {leader: (option, choice)}
        able: dict[int, list[tuple[Option, Choice]]] = {leader: [(option, choice)]}
        for b in bits(group & ~(1 << leader)):
            position = b.bit_length() - 1
            if self._bit_of[self.servers[position].id] & choice.knows:
                able[position] = [
                    (o, c)
                    for o, c in self._ways[position]
                    if c.knows & leader_bit and (assume or o.how is not How.ASSUMED)
                ]
        while True:
            ids = 0
            for position in able:
                ids |= self._bit_of[self.servers[position].id]
            held = sum(1 << n for n, test in enumerate(self.lists) if test.held_by(ids))
            under = {
                p: good[0] for p, ways in able.items() if (good := [way for way in ways if not way[1].needs & ~held])
            }
            if leader not in under:
                return None
            if len(under) == len(able):
                return _Election(sum(1 << p for p in under), leader, {p: o for p, (o, _) in under.items()})
            able = {p: able[p] for p in under}

    def _side(self, election: _Election) -> Side:
        standings = []
        for position, option in sorted(election.under.items(), key=lambda item: (self.servers[item[0]].id, item[0])):
            server, seen = self.servers[position], option.list
            standing = Standing(
                server.name, server.id, str(seen.members), seen.members.version_hex, seen.source, option.how
            )
            if seen.next is not None:
                standing = msgspec.structs.replace(
                    standing, next=str(seen.next), next_version=seen.next.version_hex, next_source=seen.next_source
                )
            standings.append(standing)
        leader = self.servers[election.leader]
        return Side(leader.id, leader.name, str(election.under[election.leader].list), tuple(standings))
