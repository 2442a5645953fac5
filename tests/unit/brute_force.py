"""The oracle: FACTS' quorum rule word for word, over all pairs of disjoint sets, all leaders and all choices of lists.

It shares no code with the proof: own quorum arithmetic, own reading of what may be taken over. Its input is plain tuples.
Only for a handful of servers: it looks at 3^n pairs.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple


class List(NamedTuple):
    """`groups`: tuples of ids, empty for a majority; `weights`: id → weight."""

    version: int
    voters: frozenset[int]
    groups: tuple[tuple[int, ...], ...] = ()
    weights: tuple[tuple[int, int], ...] = ()


class Acts(NamedTuple):
    now: List
    next: List | None = None


class Physical(NamedTuple):
    id: int
    acts: tuple[Acts, ...]
    empty_without_vote: bool = False
    takes_over: bool = False
    seen: bool = True
    confirmed: int = 0
    destroyed: bool = False


def is_quorum(ids: set[int], of: List) -> bool:
    if not of.groups:
        return len([i for i in of.voters if i in ids]) > len(of.voters) / 2
    weights = dict(of.weights)
    counted = won = 0
    for group in of.groups:
        whole = sum(weights.get(i, 1) for i in group if i in of.voters)
        part = sum(weights.get(i, 1) for i in group if i in of.voters and i in ids)
        if whole > 0:
            counted += 1
            if part > whole / 2:
                won += 1
    return won > counted / 2


def newer(after: List | None, now: List) -> List | None:
    return after if after is not None and after.version > now.version else None


def may_act_under(one: int, servers: list[Physical], assume: bool) -> list[Acts]:
    me = servers[one]
    if me.destroyed:
        return []
    all_acts = [a for s in servers if not s.destroyed for a in s.acts]
    found = [Acts(a.now, newer(a.next, a.now)) for a in me.acts]
    if me.takes_over:
        for mine in me.acts:
            found += [
                Acts(sent.now, newer(mine.next, sent.now)) for sent in all_acts if sent.now.version > mine.now.version
            ]
    if not me.seen and assume:
        anything = []
        for a in all_acts:
            following = newer(a.next, a.now)
            anything += [Acts(a.now, following), Acts(a.now)]
            if following is not None:
                anything.append(Acts(following))
        found += [a for a in anything if a.now.version >= me.confirmed] or anything
    return found


def knows(acts: Acts, server_id: int) -> bool:
    return server_id in acts.now.voters or (acts.next is not None and server_id in acts.next.voters)


def agrees(acts: Acts, ids: set[int]) -> bool:
    return is_quorum(ids, acts.now) and (acts.next is None or is_quorum(ids, acts.next))


def can_elect(group: tuple[int, ...], servers: list[Physical], acts: list[list[Acts]]) -> bool:
    ids = {servers[i].id for i in group}
    if any(servers[i].empty_without_vote for i in group):
        return False
    for leader in group:
        lid = servers[leader].id
        for mine in acts[leader]:
            if lid not in mine.now.voters or not agrees(mine, ids):
                continue
            if all(
                knows(mine, servers[a].id) and any(knows(theirs, lid) and agrees(theirs, ids) for theirs in acts[a])
                for a in group
                if a != leader
            ):
                return True
    return False


def two_leaders(servers: list[Physical], *, assume: bool) -> bool:
    """Whether two disjoint sets can each elect. `assume`: with servers that nobody has seen acting under any list."""
    acts = [may_act_under(i, servers, assume) for i in range(len(servers))]
    everyone = range(len(servers))
    able = [
        set(group)
        for size in range(1, len(servers) + 1)
        for group in combinations(everyone, size)
        if can_elect(group, servers, acts)
    ]
    return any(not a & b for a, b in combinations(able, 2))


def verdict(servers: list[Physical]) -> str:
    if not two_leaders(servers, assume=True):
        return "safe"
    return "unsafe" if two_leaders(servers, assume=False) else "unknown"
