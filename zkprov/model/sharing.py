"""Sharing out servers between two sides so that each holds a quorum of all its lists: exact, or given up in time.

Only *how many* servers of a kind a side gets matters, not which. Small questions are answered by trying. For large ones the
lists are weighed against each other: with any weights, what all servers together could bring must come up to what all lists
together demand. Weights that show that it does not are a proof; weights that nearly do show where to give each server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import exp
from typing import NamedTuple

from zkprov.model.quorum import Majority, QuorumSystem


class OutOfBudget(Exception):
    """The search spent its steps or its time. The verdict is then unknown."""


class Budget:
    """Steps, and a deadline by an injected clock in seconds; looked at every 32 steps, some milliseconds apart."""

    def __init__(self, steps: int, clock: Callable[[], float] | None = None, seconds: float | None = None) -> None:
        self.left = steps
        self.spent = 0
        self._clock = clock
        self._deadline = clock() + seconds if clock is not None and seconds is not None else None

    def spend(self) -> None:
        self.spent += 1
        self.left -= 1
        if self.left < 0:
            raise OutOfBudget("steps")
        if self._deadline is None or self._clock is None or self.spent % 32 != 1:
            return
        if self._clock() > self._deadline:
            raise OutOfBudget("time")


class GaveUp(Exception):
    """One sharing out took more steps than it was given; it is open whether there is one."""


class QuorumTest:
    """A quorum system over bits of ids. `size` is what `voters` are of a majority; a hierarchical list has parts instead."""

    def __init__(self, system: QuorumSystem, bit_of: dict[int, int]) -> None:
        self.voters = sum(bit_of.get(i, 0) for i in system.voters)
        self.majority = isinstance(system, Majority)
        self.quorum = len(system.voters) // 2 + 1
        self._groups: list[tuple[int, tuple[tuple[int, int], ...]]] = []
        self._kind: dict[int, tuple[int, int]] = {}
        if isinstance(system, Majority):
            return
        weight = dict(system.weights)
        for number, (_, members) in enumerate(system.groups):
            total = sum(weight.get(i, 1) for i in members)
            if total <= 0:
                continue
            by_weight: dict[int, int] = {}
            for i in members:
                if bit := bit_of.get(i, 0):
                    by_weight[weight.get(i, 1)] = by_weight.get(weight.get(i, 1), 0) | bit
                    self._kind[bit] = (number + 1, weight.get(i, 1))
            self._groups.append((total, tuple((w, m) for w, m in by_weight.items() if w)))

    def held_by(self, ids: int) -> bool:
        if self.majority:
            return (ids & self.voters).bit_count() >= self.quorum
        won = 0
        for total, parts in self._groups:
            won += 2 * sum(w * (ids & mask).bit_count() for w, mask in parts) > total
        return 2 * won > len(self._groups)

    def kind(self, bit: int) -> tuple[int, int]:
        """Ids of equal kind are interchangeable for this list; (0, 0) counts for nothing."""
        if self.majority:
            return (1, 1) if self.voters & bit else (0, 0)
        found = self._kind.get(bit, (0, 0))
        return found if found[1] else (0, 0)


class Shares(NamedTuple):
    """Ids that a side has for itself, without taking any from the other; and those that only one of them can have."""

    free: tuple[int, int]
    contested: int


def bits(mask: int) -> Iterator[int]:
    """The bits of `mask`, each as a mask, lowest first."""
    while mask:
        low = mask & -mask
        yield low
        mask ^= low


def share_out(
    first: list[QuorumTest], second: list[QuorumTest], shares: Shares, budget: Budget, patience: int
) -> tuple[int, int] | None:
    """Ids (bits) of the first and of the second side, disjoint but for what is free, or None where there are none.

    Each side then holds a quorum of all its lists. Raises GaveUp after `patience` steps, OutOfBudget.
    """
    if _hopeless(first, second, *shares.free, shares.contested):
        return None
    kinds: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for bit in bits(shares.contested):
        kinds.setdefault(tuple(x.kind(bit) for x in (*first, *second)), []).append(bit)
    # The largest kinds first: the small ones then have little left to vary.
    groups = sorted(kinds.values(), key=len, reverse=True)
    scales = None
    try:
        return _try_all(first, second, shares, groups, None, budget, min(patience, EASY))
    except GaveUp:
        if patience <= EASY:
            raise
    if all(x.majority for x in (*first, *second)):
        scales = _Scales(first, second, shares, groups)
        if scales.tip(budget):
            return scales.found
    return _try_all(first, second, shares, groups, scales, budget, patience)


EASY = 12


def _hopeless(first: list[QuorumTest], second: list[QuorumTest], a: int, b: int, left: int) -> bool:
    """Whether one list, or two of different sides, cannot be satisfied any more."""
    if not all(x.held_by(a | left) for x in first) or not all(y.held_by(b | left) for y in second):
        return True
    return any(not fits(x, y, a, b, left) for x in first if x.majority for y in second if y.majority)


def _try_all(
    first: list[QuorumTest],
    second: list[QuorumTest],
    shares: Shares,
    groups: list[list[int]],
    scales: _Scales | None,
    budget: Budget,
    patience: int,
) -> tuple[int, int] | None:
    rest = [0] * (len(groups) + 1)
    for i in range(len(groups) - 1, -1, -1):
        rest[i] = rest[i + 1] | sum(groups[i])
    stack = [(0, *shares.free, 0.0)]
    until = budget.spent + patience
    while stack:
        budget.spend()
        if budget.spent > until:
            raise GaveUp
        at, a, b, brought = stack.pop()
        left = rest[at]
        if at and _hopeless(first, second, a, b, left):
            continue
        if not left:
            return a, b
        group, n = groups[at], len(groups[at])
        ways = []
        for k in range(n + 1):
            sum_up = brought
            if scales:
                sum_up += k * scales.worth[at][0] + (n - k) * scales.worth[at][1]
                if sum_up + scales.ahead[at + 1] < scales.demand * ALMOST:
                    continue
            ways.append((at + 1, a | sum(group[:k]), b | sum(group[k:]), sum_up))
        # Pushed so that what weighs most is tried first; without weights, even shares.
        if scales:
            ways.sort(key=lambda way: way[3])
        else:
            ways.sort(key=lambda way: -abs(2 * (way[1] & sum(group)).bit_count() - n))
        stack.extend(ways)
    return None


ALMOST = 1 - 1e-9  # floating point sums of a few dozen weights are exact to far better than this


class _Scales:
    """Weights of lists, tuned by multiplicative updates: lists that miss their quorum grow, those with more than enough shrink."""

    def __init__(
        self, first: list[QuorumTest], second: list[QuorumTest], shares: Shares, groups: list[list[int]]
    ) -> None:
        self._rows = [
            (side, x.voters, need)
            for side, lists in enumerate((first, second))
            for x in lists
            if (need := x.quorum - (shares.free[side] & x.voters).bit_count()) > 0
        ]
        self._free = shares.free
        self._groups = groups
        self._sizes = [len(g) for g in groups]
        self._holds = [[r for r, (_, voters, _) in enumerate(self._rows) if voters & g[0]] for g in groups]
        self._weights = [1.0] * len(self._rows)
        self.found: tuple[int, int] | None = None
        self.worth: list[tuple[float, float]] = []
        self.ahead: list[float] = []
        self.demand = 0.0

    def tip(self, budget: Budget, rounds: int = 60) -> bool:
        """True: it is decided, `found` says how (None: impossible). False: the weights as they are now help to try."""
        rate = 2.0
        for _ in range(rounds):
            budget.spend()
            self._weigh()
            if self.ahead[0] < self.demand * ALMOST:
                return True
            got = self._give()
            missing = [need - got[r] for r, (_, _, need) in enumerate(self._rows)]
            if max(missing, default=0) <= 0:
                a, b = self._free
                for group, (mine, theirs) in zip(self._groups, self.worth, strict=True):
                    if mine > theirs:
                        a |= sum(group)
                    else:
                        b |= sum(group)
                self.found = (a, b)
                return True
            for r, (_, _, need) in enumerate(self._rows):
                self._weights[r] *= exp(rate * max(-1.0, min(1.0, missing[r] / need)))
            total = sum(self._weights)
            self._weights = [w / total for w in self._weights]
            rate *= 0.95
        self._weigh()
        return False

    def _weigh(self) -> None:
        self.worth = []
        for holds in self._holds:
            both = [0.0, 0.0]
            for r in holds:
                both[self._rows[r][0]] += self._weights[r]
            self.worth.append((both[0], both[1]))
        self.demand = sum(w * need for w, (_, _, need) in zip(self._weights, self._rows, strict=True))
        self.ahead = [0.0] * (len(self._groups) + 1)
        for i in range(len(self._groups) - 1, -1, -1):
            self.ahead[i] = self.ahead[i + 1] + self._sizes[i] * max(self.worth[i])

    def _give(self) -> list[int]:
        """What each list gets when each kind goes whole to the side that it weighs more for."""
        got = [0] * len(self._rows)
        for size, holds, (mine, theirs) in zip(self._sizes, self._holds, self.worth, strict=True):
            side = 0 if mine > theirs else 1
            for r in holds:
                if self._rows[r][0] == side:
                    got[r] += size
        return got


def fits(x: QuorumTest, y: QuorumTest, a: int, b: int, left: int) -> bool:
    """FACTS: two majorities can be disjoint exactly when what each lacks beyond its own fits into what both could use."""
    need_a = x.quorum - (a & x.voters).bit_count()
    need_b = y.quorum - (b & y.voters).bit_count()
    only_a, only_b = (left & x.voters & ~y.voters).bit_count(), (left & y.voters & ~x.voters).bit_count()
    return max(0, need_a - only_a) + max(0, need_b - only_b) <= (left & x.voters & y.voters).bit_count()
