"""What a quorum is: majorities and hierarchical groups, as values that know nothing of the network.

Source: ZooKeeper's `QuorumMaj` and `QuorumHierarchical` (release 3.9.5), and FACTS, "The quorum rule".
"""

from __future__ import annotations

from collections.abc import Set
from itertools import combinations

import msgspec


class Majority(msgspec.Struct, frozen=True, tag="majority"):
    """More than half of the voters."""

    voters: frozenset[int]

    def contains_quorum(self, ids: Set[int]) -> bool:
        return 2 * len(self.voters & ids) > len(self.voters)

    def describe(self) -> str:
        return f"a quorum of {braces(self.voters)} is {len(self.voters) // 2 + 1}"


class Hierarchical(msgspec.Struct, frozen=True, tag="hierarchical"):
    """A group is won by more than half of its weight; a quorum wins more than half of the groups of non-zero weight."""

    groups: tuple[tuple[int, frozenset[int]], ...]
    weights: tuple[tuple[int, int], ...]

    @property
    def voters(self) -> frozenset[int]:
        return frozenset[int]().union(*(members for _, members in self.groups))

    def contains_quorum(self, ids: Set[int]) -> bool:
        weight = dict(self.weights)
        totals = [(sum(weight.get(i, 1) for i in m), sum(weight.get(i, 1) for i in m & ids)) for _, m in self.groups]
        counted = [(total, won) for total, won in totals if total > 0]
        return 2 * sum(2 * won > total for total, won in counted) > len(counted)

    def describe(self) -> str:
        return f"a quorum is more than half of the groups {', '.join(braces(m) for _, m in self.groups)}"


QuorumSystem = Majority | Hierarchical


def spare(system: QuorumSystem, up: Set[int]) -> int:
    """How many of the voters in `up` may fail, whichever they are, before `up` holds no quorum; −1 if it holds none now."""
    voting = sorted(system.voters & up)
    if not system.contains_quorum(frozenset(voting)):
        return -1
    if isinstance(system, Majority):
        return len(voting) - (len(system.voters) // 2 + 1)
    for lost in range(1, len(voting) + 1):
        if any(not system.contains_quorum(frozenset(voting) - frozenset(gone)) for gone in combinations(voting, lost)):
            return lost - 1
    return len(voting)


def braces(ids: Set[int]) -> str:
    """`{1,2,3}`: how sets of ids are written everywhere."""
    return "{" + ",".join(str(i) for i in sorted(ids)) + "}"
