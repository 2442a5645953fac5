"""The question of two leaders for a handful of servers: the rule for each of their 2^n sets. Slow to start, and never slow.

With many lists and few servers the search over lists has the larger space. Exactness comes from the rule itself: a set can elect
or it cannot; and there are two leaders exactly when a set and its complement each have a part that can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zkprov.model.sharing import Budget, QuorumTest, bits

if TYPE_CHECKING:
    from zkprov.model.proof_search import Actor

FEW = 10  # 1024 sets: some 50 ms at the worst


def two_sets(actors: Sequence[Actor], lists: Sequence[QuorumTest], budget: Budget) -> tuple[int, int] | None:
    """Two disjoint sets of actors (bits of their positions) that can each elect, or None. Raises OutOfBudget."""
    acting = [i for i, a in enumerate(actors) if a.choices]
    electing = _Electing(actors, lists)
    # For each set, a part of it that can elect: itself, or what the set without one of its servers has.
    part: dict[int, int] = {0: 0}
    everyone = sum(1 << i for i in acting)
    for index in range(1, 1 << len(acting)):
        budget.spend()
        group = sum(1 << i for n, i in enumerate(acting) if index >> n & 1)
        found = next((p for one in bits(group) if (p := part[group & ~one])), 0)
        part[group] = found or (group if electing.can(group) else 0)
    for group, mine in part.items():
        if mine and (theirs := part[everyone & ~group]):
            return mine, theirs
    return None


class _Electing:
    """The rule for one set of actors, with what it finds remembered."""

    def __init__(self, actors: Sequence[Actor], lists: Sequence[QuorumTest]) -> None:
        self._actors = actors
        self._lists = list(lists)
        self._needs = [0] * len(actors)
        for i, actor in enumerate(actors):
            for choice in actor.choices:
                self._needs[i] |= choice.needs
        self._held: dict[int, int] = {}
        self._known: dict[tuple[int, int], int] = {}

    def can(self, group: int) -> bool:
        members = [b.bit_length() - 1 for b in bits(group)]
        ids = 0
        for i in members:
            ids |= self._actors[i].id_bit
        held = self._held_by(ids)
        knows = [self._knows(i, held & self._needs[i]) for i in members]
        for n, i in enumerate(members):
            me = self._actors[i].id_bit
            if not all(known & me for m, known in enumerate(knows) if m != n):
                continue
            others = 0
            for m in members:
                if m != i:
                    others |= self._actors[m].id_bit
            for choice in self._actors[i].choices:
                if choice.leads & me and not choice.needs & ~held and not others & ~choice.knows:
                    return True
        return False

    def _held_by(self, ids: int) -> int:
        if ids not in self._held:
            self._held[ids] = sum(1 << n for n, test in enumerate(self._lists) if test.held_by(ids))
        return self._held[ids]

    def _knows(self, i: int, held: int) -> int:
        """Whom the actor may know as a voter while it sees quorums of `held`; 0 when it has nothing to act under."""
        key = (i, held)
        if key not in self._known:
            known = 0
            for choice in self._actors[i].choices:
                if not choice.needs & ~held:
                    known |= choice.knows
            self._known[key] = known
        return self._known[key]
