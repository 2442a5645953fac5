"""What a quorum is: majorities and hierarchical groups, as values that know nothing of the network.

Source: ZooKeeper's `QuorumMaj` and `QuorumHierarchical` (release 3.9.5), and FACTS, "The quorum rule".
"""

from __future__ import annotations

from collections.abc import Set

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

    def least_to_break(self, ids: Set[int]) -> int:
        """How many of `ids`, which hold a quorum, must fail for the rest to hold none: the heaviest of each group, the cheapest groups."""
        weight = dict(self.weights)
        costs = []
        counted = 0
        for _, members in self.groups:
            total = sum(weight.get(i, 1) for i in members)
            counted += total > 0
            left = sorted((weight.get(i, 1) for i in members & ids), reverse=True)
            gone = next((n for n in range(len(left) + 1) if 2 * sum(left[n:]) <= total), 0)
            if total > 0 and gone:
                costs.append(gone)
        # of the groups that are won now, as many are broken as must be for half of all to be won at most
        return sum(sorted(costs)[: len(costs) - counted // 2])

    @property
    def parts(self) -> dict[int, str]:
        """Each group that counts: `{1,2}`, and `{1*3,2}` where the weight of 1 is 3."""
        weight = dict(self.weights)
        told = {}
        for number, members in self.groups:
            if any(weight.get(i, 1) for i in members):
                ids = (f"{i}*{w}" if (w := weight.get(i, 1)) != 1 else str(i) for i in sorted(members))
                told[number] = "{" + ",".join(ids) + "}"
        return told

    def describe(self) -> str:
        return f"a quorum is more than half of the groups {', '.join(self.parts.values())}"


QuorumSystem = Majority | Hierarchical


def spare(system: QuorumSystem, up: Set[int]) -> int:
    """How many of the voters in `up` may fail, whichever they are, before `up` holds no quorum; −1 if it holds none now."""
    voting = sorted(system.voters & up)
    if not system.contains_quorum(frozenset(voting)):
        return -1
    if isinstance(system, Majority):
        return len(voting) - (len(system.voters) // 2 + 1)
    return system.least_to_break(frozenset(voting)) - 1


def braces(ids: Set[int]) -> str:
    """`{1,2,3}`: how sets of ids are written everywhere."""
    return "{" + ",".join(str(i) for i in sorted(ids)) + "}"
