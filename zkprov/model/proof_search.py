"""Whether two disjoint sets of servers can each elect: an exact search over which lists each side relies on.

Searching over sets of servers drowns (25 voters have millions of quorums). Searching over lists does not: say of each list and
side whether some server of that side acts under it. "In" means that the side must hold a quorum of the list; "out" means that
servers with nothing else to act under leave the side. Both are strong statements, so in histories made one change at a time
a contradiction comes after a few of them. What is left when each list is decided is a small question of sharing out servers,
and there only *how many* servers of a kind a side gets matters, not which. Leaders are looked at last: without them the
search allows more than the rule does, so what it finds impossible is impossible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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


class Choice(NamedTuple):
    """One way for a server to act: the lists that must each have a quorum, whom it knows as voters, who may lead under it.

    `needs`: bits of lists; `knows` and `leads`: bits of ids.
    """

    needs: int
    knows: int
    leads: int

    def beats(self, other: Choice) -> bool:
        """Whether whatever `other` allows, this allows too."""
        return not self.needs & ~other.needs and not other.knows & ~self.knows and not other.leads & ~self.leads


class Actor(NamedTuple):
    """A physical server: the bit of its id, and its choices."""

    id_bit: int
    choices: tuple[Choice, ...]


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


class _Node(NamedTuple):
    """What is decided: per side, the lists that are out and in (bits of lists)."""

    out: tuple[int, int]
    into: tuple[int, int]


class _Shares(NamedTuple):
    """Ids that a side has for itself, without taking any from the other; and those that only one of them can have."""

    free: tuple[int, int]
    contested: int


def bits(mask: int) -> Iterator[int]:
    """The bits of `mask`, each as a mask, lowest first."""
    while mask:
        low = mask & -mask
        yield low
        mask ^= low


class Search:
    """One question: these actors, these lists. `find` answers it exactly, or raises OutOfBudget."""

    def __init__(self, actors: list[Actor], lists: list[QuorumTest], budget: Budget) -> None:
        self.actors = [Actor(a.id_bit, _best(a.choices)) for a in actors]
        self.lists = lists
        self.budget = budget
        self._every_list = (1 << len(lists)) - 1
        self._single = [sum({c.needs for c in a.choices if c.needs.bit_count() == 1}) for a in self.actors]
        self._several = [sorted({c.needs for c in a.choices if c.needs.bit_count() > 1}) for a in self.actors]
        positions: dict[int, int] = {}
        for i, a in enumerate(self.actors):
            positions[a.id_bit] = positions.get(a.id_bit, 0) | 1 << i
        self._twins = [p for p in positions.values() if p.bit_count() > 1]
        self._plain = all(a.id_bit == 1 << i for i, a in enumerate(self.actors))
        self._pairs: dict[tuple[int, int, _Shares], bool] = {}

    def find(self) -> tuple[int, int] | None:
        """Two disjoint sets of actors (bits of their positions) that can each elect, or None where there are none."""
        # An own stack: no input can exhaust Python's.
        stack = [_Node((0, 0), (0, 0))]
        while stack:
            self.budget.spend()
            found = self._narrow(stack.pop())
            if found is None:
                continue
            node, fit = found
            side, chosen = self._next(node, fit)
            if not chosen:
                if split := self._settle(node, fit):
                    return split
                continue
            symmetric = not any(node.into) and node.out[0] == node.out[1]
            # The two sides have no names yet: "out of the first, in the second" is the mirror of the other branch.
            stack.append(_Node(_with(node.out, side, chosen, both=symmetric), node.into))
            stack.append(_Node(node.out, _with(node.into, side, chosen)))
        return None

    # -- what follows from what is decided

    def _fit(self, out: int) -> tuple[int, int]:
        """The actors that still have something to act under, and the lists that they may need for it."""
        fit = useful = 0
        for i, single in enumerate(self._single):
            ways = single & ~out
            for needs in self._several[i]:
                if not needs & out:
                    ways |= needs
            if ways:
                fit |= 1 << i
                useful |= ways
        return fit, useful

    def _ids(self, actors: int) -> int:
        if self._plain:
            return actors
        return _union(self.actors[b.bit_length() - 1].id_bit for b in bits(actors))

    def _narrow(self, node: _Node) -> tuple[_Node, tuple[int, int]] | None:
        """All that follows, until nothing more does; None for a contradiction."""
        out, into = list(node.out), node.into
        while True:
            fit = []
            for side in (0, 1):
                narrowed = self._narrow_side(out[side], into[side])
                if narrowed is None:
                    return None
                out[side], able = narrowed
                fit.append(able)
            before = tuple(out)
            shares = self._shares(fit[0], fit[1])
            for side in (0, 1):
                for mine in bits(into[side]):
                    for other in bits(self._every_list & ~out[1 - side]):
                        pair = (mine, other) if side == 0 else (other, mine)
                        if self._can_share(*pair, shares):
                            continue
                        if other & into[1 - side]:
                            return None
                        out[1 - side] |= other
            if tuple(out) == before:
                return _Node((out[0], out[1]), into), (fit[0], fit[1])

    def _narrow_side(self, out: int, into: int) -> tuple[int, int] | None:
        """The greatest set of actors that each see a quorum in it, and the lists that it cannot rely on."""
        while True:
            fit, useful = self._fit(out)
            useful |= into
            ids = self._ids(fit)
            lost = self._every_list & ~out & ~useful
            for one in bits(useful & ~out):
                if not self.lists[one.bit_length() - 1].held_by(ids):
                    lost |= one
            if lost & into or not self._every_list & ~out & ~lost:
                return None
            if not lost:
                return out, fit
            out |= lost

    def _shares(self, mine: int, theirs: int) -> _Shares:
        first, second, common = self._ids(mine & ~theirs), self._ids(theirs & ~mine), mine & theirs
        ids = self._ids(common)
        # Of two servers with one id, each side can have one.
        twice = _union(self._ids(t) for t in self._twins if (t & common).bit_count() > 1)
        a, b = first | twice | ids & second, second | twice | ids & first
        return _Shares((a, b), ids & ~a & ~b)

    def _can_share(self, mine: int, theirs: int, shares: _Shares) -> bool:
        """Whether the two sides can hold a quorum of one list each. FACTS' formula, with what is not contested taken off."""
        x, y = self.lists[mine.bit_length() - 1], self.lists[theirs.bit_length() - 1]
        if x.majority and y.majority:
            return _fits(x, y, shares.free[0], shares.free[1], shares.contested)
        key = (mine, theirs, shares)
        if key not in self._pairs:
            self._pairs[key] = self._share_out(mine, theirs, shares) is not None
        return self._pairs[key]

    # -- what to decide next

    def _next(self, node: _Node, fit: tuple[int, int]) -> tuple[int, int]:
        """The side and list whose being out would cost most actors; (0, 0) when nothing is open."""
        best = (-1, 0, 0)
        for side in (0, 1):
            open_lists = self._every_list & ~node.out[side] & ~node.into[side]
            if not open_lists:
                continue
            allowed = self._every_list & ~node.out[side]
            costs = dict.fromkeys(bits(open_lists), 0)
            for b in bits(fit[side]):
                i = b.bit_length() - 1
                single = self._single[i] & allowed
                if single & (single - 1):
                    continue
                ways = [n for n in self._several[i] if not n & node.out[side]]
                common = single if single else self._every_list
                for needs in ways:
                    common &= needs
                for one in bits(common & open_lists):
                    costs[one] += 1
            one, cost = max(costs.items(), key=lambda item: item[1])
            if cost > best[0]:
                best = (cost, side, one)
        return best[1], best[2]

    # -- when each list is decided

    def _settle(self, node: _Node, fit: tuple[int, int]) -> tuple[int, int] | None:
        """The rule itself for these lists: leaders, who knows whom, and the sharing out of the servers."""
        if not node.into[0] or not node.into[1] or self._share(node, *fit) is None:
            return None
        first, second = self._electorates(node.into[0], fit[0]), self._electorates(node.into[1], fit[1])
        for a, leaders_a in first.items():
            for b, leaders_b in second.items():
                if self._share(node, a, b) is None:
                    continue
                for la in bits(leaders_a):
                    for lb in bits(leaders_b & ~la):
                        self.budget.spend()
                        if sides := self._share(node, a & ~lb, b & ~la):
                            return sides
        return None

    def _electorates(self, relied: int, fit: int) -> dict[int, int]:
        """Sets of actors that could follow one leader, with the leaders for which the set is the same."""
        found: dict[int, int] = {}
        for b in bits(fit):
            leader = self.actors[b.bit_length() - 1]
            for choice in leader.choices:
                if not choice.leads & leader.id_bit or choice.needs & ~relied:
                    continue
                group = b
                for other in bits(fit & ~b):
                    actor = self.actors[other.bit_length() - 1]
                    if actor.id_bit & choice.knows and any(
                        c.knows & leader.id_bit and not c.needs & ~relied for c in actor.choices
                    ):
                        group |= other
                found[group] = found.get(group, 0) | b
        return found

    def _share(self, node: _Node, mine: int, theirs: int) -> tuple[int, int] | None:
        """Two disjoint sets of actors out of these, each with a quorum of every list that its side relies on."""
        ids = self._share_out(node.into[0], node.into[1], self._shares(mine, theirs))
        if ids is None:
            return None
        a, b = mine & ~theirs, theirs & ~mine
        for i, actor in enumerate(self.actors):
            one = 1 << i
            if not one & mine & theirs:
                continue
            # A twin goes where its id is still missing.
            if actor.id_bit & ids[0] & ~self._ids(a):
                a |= one
            else:
                b |= one
        return a, b

    def _share_out(self, mine: int, theirs: int, shares: _Shares) -> tuple[int, int] | None:
        """Share the contested ids so that the sides hold quorums of all their lists; ids of each side, or None."""
        first = [self.lists[b.bit_length() - 1] for b in bits(mine)]
        second = [self.lists[b.bit_length() - 1] for b in bits(theirs)]
        kinds: dict[tuple[tuple[int, int], ...], list[int]] = {}
        for bit in bits(shares.contested):
            kinds.setdefault(tuple(x.kind(bit) for x in (*first, *second)), []).append(bit)
        # The largest kinds first: the small ones then have little left to vary.
        groups = sorted(kinds.values(), key=len, reverse=True)
        rest = [0] * (len(groups) + 1)
        for i in range(len(groups) - 1, -1, -1):
            rest[i] = rest[i + 1] | sum(groups[i])
        stack = [(0, shares.free[0], shares.free[1])]
        while stack:
            self.budget.spend()
            at, a, b = stack.pop()
            left = rest[at]
            if not all(x.held_by(a | left) for x in first) or not all(y.held_by(b | left) for y in second):
                continue
            if not left:
                return a, b
            if any(not _fits(x, y, a, b, left) for x in first if x.majority for y in second if y.majority):
                continue
            group = groups[at]
            half = len(group) // 2
            # Pushed so that even shares are tried first.
            shares_of = sorted(range(len(group) + 1), key=lambda n: abs(n - half), reverse=True)
            stack.extend((at + 1, a | sum(group[:k]), b | sum(group[k:])) for k in shares_of)
        return None


def _fits(x: QuorumTest, y: QuorumTest, a: int, b: int, left: int) -> bool:
    """FACTS: two majorities can be disjoint exactly when what each lacks beyond its own fits into what both could use."""
    need_a = x.quorum - (a & x.voters).bit_count()
    need_b = y.quorum - (b & y.voters).bit_count()
    only_a, only_b = (left & x.voters & ~y.voters).bit_count(), (left & y.voters & ~x.voters).bit_count()
    return max(0, need_a - only_a) + max(0, need_b - only_b) <= (left & x.voters & y.voters).bit_count()


def _union(masks: Iterable[int]) -> int:
    united = 0
    for mask in masks:
        united |= mask
    return united


def _with(pair: tuple[int, int], side: int, bit: int, both: bool = False) -> tuple[int, int]:
    first, second = pair
    return (first | bit if side == 0 or both else first, second | bit if side == 1 or both else second)


def _best(choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """Without choices that another one beats: they can make nothing possible that was not."""
    kept: list[Choice] = []
    for choice in sorted(set(choices), key=lambda c: c.needs.bit_count()):
        if not any(k.beats(choice) for k in kept):
            kept = [k for k in kept if not choice.beats(k)]
            kept.append(choice)
    return tuple(kept)
