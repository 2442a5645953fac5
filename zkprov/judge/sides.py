"""The sides of a split: servers that act as one ensemble, told apart from those that act as another.

A leader and who follows it are a side. Servers with data that follow nobody, under one list, are a side without a leader: they may be what
is left of the real ensemble (they cannot join a leader of a lower epoch). Where one leader is left after a merge, the sides are the
servers whose trees are equal (`by_data`). Which side is kept is nobody's decision here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from zkprov.judge.history import two_histories
from zkprov.judge.leaders import Leader, leaders_of
from zkprov.judge.picture import Picture, Standing, epoch_of, member_at, own_list
from zkprov.model.facts import Identity, ServerFacts, Survey
from zkprov.model.members import Members
from zkprov.model.quorum import braces
from zkprov.model.server import HostPort

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Side(msgspec.Struct, frozen=True):
    """Servers that act as one ensemble. `name`: a letter; A is the side of the live list, as far as there is one.

    `servers`: names, by id; `ids` as they say themselves. `members`: the list that they act under. `zxid`: the highest that one shows.
    `clients`: (server, address, session) of each client session on it.
    """

    name: str
    servers: tuple[str, ...]
    ids: frozenset[int]
    leader: str = ""
    leader_id: int | None = None
    established: bool = False
    members: Members | None = None
    epoch: int | None = None
    zxid: int = 0
    identity: Identity | None = None
    clients: tuple[tuple[str, HostPort, str], ...] = ()

    def __str__(self) -> str:
        led = f"led by {self.leader}" if self.leader else "without a leader"
        whole = self.ids and (self.members is None or self.members.servers)
        return f"side {self.name}: {braces(self.ids) if whole else ', '.join(self.servers)}, {led}"


def sides_of(picture: Picture, earlier: Survey | None = None) -> tuple[Side, ...]:
    """Every side that shows itself; one of them, or none, in an ensemble that is whole.

    A leader that is a stranger by the picture is nobody's side, unless it is at a host of the inventory. A server that only asks for votes,
    and has no data, is none either.
    """
    led = [x for x in leaders_of(picture, earlier) if not x.stranger or x.name in picture.beside]
    taken = frozenset(name for x in led for name in x.names)
    groups: list[tuple[Leader | None, list[ServerFacts]]] = []
    groups += [(x, [f for f in picture.survey.servers if f.name in x.names]) for x in led]
    groups += [(None, group) for group in _leaderless(picture, taken, led)]
    # the side of the live list first: most of its members, then the longer list of servers
    live = picture.live.ids if picture.live else frozenset[int]()

    def rank(group: tuple[Leader | None, Sequence[ServerFacts]]) -> tuple[int, int, list[str]]:
        members = sum(picture.standing[f.name] is Standing.MEMBER and f.id in live for f in group[1])
        return -members, -len(group[1]), sorted(f.name for f in group[1])

    return tuple(_side(LETTERS[n], x, group) for n, (x, group) in enumerate(sorted(groups, key=rank)[: len(LETTERS)]))


def by_data(picture: Picture) -> tuple[Side, ...]:
    """The serving servers by the trees that they hold: two are apart where they tell unequal digests at one zxid (`hash`, from 3.6), or
    creations of one znode that cannot be of one history.

    One side where nothing is told to differ. A server that tells no digest, or none at a zxid that another tells too, is with the most.
    """
    serving = [f for f in picture.survey.servers if f.serving and f.name not in picture.beside]
    told = [f for f in serving if (f.hash.value and f.hash.value.by_zxid) or f.identity.value]
    groups: list[list[ServerFacts]] = []
    for facts in told:
        home = next((g for g in groups if not any(_differ(facts, other) for other in g)), None)
        if home is None:
            groups.append([facts])
        else:
            home.append(facts)
    if len(groups) < 2:
        return sides_of(picture)
    groups.sort(key=lambda g: (-len(g), min(f.name for f in g)))
    groups[0] += [f for f in picture.members if f.serving and f not in told]
    leaders = leaders_of(picture)
    found = []
    for number, group in enumerate(groups[: len(LETTERS)]):
        leader = next((x for x in leaders if any(f.name == x.name for f in group)), None)
        found.append(_side(LETTERS[number], leader, group))
    return tuple(found)


def by_groups(picture: Picture, groups: Sequence[Sequence[str]]) -> tuple[Side, ...]:
    """Servers that were told apart otherwise, by name."""
    leaders = leaders_of(picture)
    found = []
    for number, group in enumerate(groups[: len(LETTERS)]):
        servers = [f for f in picture.survey.servers if f.name in group]
        leader = next((x for x in leaders if x.name in group), None)
        found.append(_side(LETTERS[number], leader, servers))
    return tuple(found)


def _differ(one: ServerFacts, other: ServerFacts) -> bool:
    if two_histories(one, other):
        return True
    left, right = (f.hash.value for f in (one, other))
    if left is None or right is None:
        return False
    doubted = left.twice | right.twice
    return any(left.by_zxid[z] != right.by_zxid[z] for z in left.by_zxid.keys() & right.by_zxid.keys() - doubted)


def _leaderless(picture: Picture, taken: frozenset[str], led: Sequence[Leader]) -> list[list[ServerFacts]]:
    """The servers with data that follow nobody who was seen to lead, by the list that each acts under.

    One that is in the list of a side with a leader, by id and place, and could join it, is a member of it that is down: what it acts
    under is that list, or an older one.
    """
    groups: list[tuple[Members | None, list[ServerFacts]]] = []
    for facts in picture.survey.servers:
        disk = facts.disk.value
        if facts.name in taken or facts.serving or not (disk is not None and disk.has_data):
            continue
        own = own_list(facts)
        if any(_down_there(facts, own, x) for x in led):
            continue
        home = next((g for m, g in groups if (m is own or (m and own and m.same_list(own)))), None)
        if home is None:
            groups.append((own, [facts]))
        else:
            home.append(facts)
    return [group for _, group in groups]


def _down_there(facts: ServerFacts, own: Members | None, leader: Leader) -> bool:
    members, disk = leader.members, facts.disk.value
    if members is None or disk is None or own is None:
        return False
    accepted = disk.history.accepted
    if accepted is not None and leader.epoch is not None and accepted > leader.epoch:
        return False  # it accepts no leader of a lower epoch
    if own.same_list(members):
        return True
    seat = member_at(members, facts)
    return seat is not None and seat.id == facts.id and 0 < own.version < members.version


def left_over(number: int, servers: Iterable[ServerFacts]) -> Side:
    """Servers that lead nobody and follow nobody, as the side with that number."""
    return _side(LETTERS[number % len(LETTERS)], None, servers)


def _side(name: str, leader: Leader | None, servers: Iterable[ServerFacts]) -> Side:
    found = sorted(servers, key=lambda f: (f.id is None, f.id or 0, f.name))
    head = next((f for f in found if leader is not None and f.name == leader.name), found[0])
    identities = [f.identity.value for f in (head, *found) if f.identity.value]
    zxids = [f.srvr.value.zxid for f in found if f.srvr.value] + [
        f.zabstate.value.zxid for f in found if f.zabstate.value
    ]
    return Side(
        name=name,
        servers=tuple(f.name for f in found),
        ids=frozenset(f.id for f in found if f.id is not None),
        leader=leader.name if leader else "",
        leader_id=leader.id if leader else None,
        established=leader.established if leader else False,
        members=(leader.members if leader else None) or own_list(head),
        epoch=leader.epoch if leader else max((e for f in found if (e := epoch_of(f)) is not None), default=None),
        zxid=max(zxids, default=0),
        identity=identities[0] if identities else None,
        clients=tuple((f.name, c.address, c.session) for f in found for c in f.cons.value or ()),
    )
