"""Whether two disjoint sets of servers can each elect: an exact search over which lists each side relies on.

Searching over sets of servers drowns (25 voters have millions of quorums). Searching over lists does not: say of each list and
side whether some server of that side acts under it. "In" means that the side must hold a quorum of the list; "out" means that
servers with nothing else to act under leave the side. Both are strong statements, so in histories made one change at a time
a contradiction comes after a few of them. What is left when each list is decided is a small question of sharing out servers,
and there only *how many* servers of a kind a side gets matters, not which. Leaders are looked at last: without them the
search allows more than the rule does, so what it finds impossible is impossible.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from zkprov.model import few_servers
from zkprov.model.sharing import Budget, GaveUp, OutOfBudget, QuorumTest, Shares, bits, fits, share_out

__all__ = ["Actor", "Budget", "Choice", "OutOfBudget", "QuorumTest", "Search", "bits"]


EASY = 40  # steps of the search over lists before few servers are looked at set by set
FEW = 16  # pairs of leaders' followings that are looked at one by one


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


class _Node(NamedTuple):
    """What is decided: per side, the lists that are out and in (bits of lists)."""

    out: tuple[int, int]
    into: tuple[int, int]


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
        self._pairs: dict[tuple[int, int, Shares], bool] = {}
        self._patience = 0
        self._gave_up = False
        self._until = 2**62

    def find(self) -> tuple[int, int] | None:
        """Two disjoint sets of actors (bits of their positions) that can each elect, or None where there are none."""
        if sum(bool(a.choices) for a in self.actors) <= few_servers.FEW:
            return self._find_few()
        # One hard sharing out must not hold up all the easy ones: at first each gets a few steps, and only if nothing was found, more.
        for patience in (60, 1000, 2**62):
            self._patience, self._gave_up = patience, False
            sides = self._find()
            if sides or not self._gave_up:
                return sides
        raise AssertionError("without a limit nothing is given up")

    def _find_few(self) -> tuple[int, int] | None:
        self._patience, self._until = 20, self.budget.spent + EASY
        try:
            sides = self._find()
        except GaveUp:
            self._gave_up = True
        else:
            if sides or not self._gave_up:
                return sides
        return few_servers.two_sets(self.actors, self.lists, self.budget)

    def _find(self) -> tuple[int, int] | None:
        # An own stack: no input can exhaust Python's.
        stack = [_Node((0, 0), (0, 0))]
        while stack:
            self.budget.spend()
            if self.budget.spent > self._until:
                raise GaveUp
            found = self._narrow(stack.pop())
            if found is None:
                continue
            node, fit = found
            wide = [self._electorates(self._every_list & ~node.out[n], node.into[n], fit[n]) for n in (0, 1)]
            if not all(wide) or (any(node.into) and not self._could_share(node, *wide)):
                continue
            fit = (_union(wide[0]), _union(wide[1]))
            sure = (self._fit(~node.into[0])[0], self._fit(~node.into[1])[0])
            if all(node.into) and (sides := self._settle(node, *sure)):
                return sides
            side, chosen = self._next(node, fit, sure)
            if not chosen:
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

    def _shares(self, mine: int, theirs: int) -> Shares:
        first, second, common = self._ids(mine & ~theirs), self._ids(theirs & ~mine), mine & theirs
        ids = self._ids(common)
        # Of two servers with one id, each side can have one.
        twice = _union(self._ids(t) for t in self._twins if (t & common).bit_count() > 1)
        a, b = first | twice | ids & second, second | twice | ids & first
        return Shares((a, b), ids & ~a & ~b)

    def _can_share(self, mine: int, theirs: int, shares: Shares) -> bool:
        """Whether the two sides can hold a quorum of one list each. FACTS' formula, with what is not contested taken off."""
        x, y = self.lists[mine.bit_length() - 1], self.lists[theirs.bit_length() - 1]
        if x.majority and y.majority:
            return fits(x, y, shares.free[0], shares.free[1], shares.contested)
        key = (mine, theirs, shares)
        if key not in self._pairs:
            self._pairs[key] = not self._cannot_share(mine, theirs, shares)
        return self._pairs[key]

    def _cannot_share(self, mine: int, theirs: int, shares: Shares) -> bool:
        """Whether the lists of the two sides surely exclude each other."""
        try:
            return self._share_out(mine, theirs, shares) is None
        except GaveUp:
            return False

    # -- what to decide next

    def _next(self, node: _Node, fit: tuple[int, int], sure: tuple[int, int]) -> tuple[int, int]:
        """The side and list that would let most actors in which now depend on open lists; (0, 0) when nothing is open."""
        best = (-1, 0, 0)
        for side in (0, 1):
            open_lists = self._every_list & ~node.out[side] & ~node.into[side]
            if not open_lists:
                continue
            gains = dict.fromkeys(bits(open_lists), 0)
            for b in bits(fit[side] & ~sure[side]):
                i = b.bit_length() - 1
                ways = self._single[i] & open_lists
                for needs in self._several[i]:
                    if not needs & node.out[side]:
                        ways |= needs & open_lists
                for one in bits(ways):
                    gains[one] += 1
            one, gain = max(gains.items(), key=lambda item: item[1])
            if gain > best[0]:
                best = (gain, side, one)
        return best[1], best[2]

    # -- when enough is decided

    def _could_share(self, node: _Node, first: Iterable[int], second: Iterable[int]) -> bool:
        """Whether nothing is known that forbids it: for all followers of any leader together, or, if they are few, for each two leaders."""
        first, second = _largest(first), _largest(second)
        if len(first) * len(second) > FEW:
            first, second = [_union(first)], [_union(second)]
        return any(not self._cannot_share(*node.into, self._shares(a, b)) for a in first for b in second)

    def _settle(self, node: _Node, mine: int, theirs: int) -> tuple[int, int] | None:
        """The rule itself for the lists that are in: leaders, who knows whom, and the sharing out of the servers."""
        if self._share(node, mine, theirs) is None:
            return None
        first = self._electorates(node.into[0], node.into[0], mine)
        second = self._electorates(node.into[1], node.into[1], theirs)
        if not self._could_share(node, first, second):
            return None
        pairs = sorted(((a, b) for a in first for b in second), key=lambda p: -p[0].bit_count() - p[1].bit_count())
        if len(pairs) > self._patience:
            pairs, self._gave_up = pairs[: self._patience], True
        for a, b in pairs:
            sides = self._share(node, a, b)
            if sides is None:
                continue
            if sides[0] & first[a] and sides[1] & second[b]:
                return sides
            for la in bits(first[a]):
                for lb in bits(second[b] & ~la):
                    self.budget.spend()
                    if sides := self._share(node, a & ~lb, b & ~la):
                        return sides
        return None

    def _electorates(self, usable: int, into: int, fit: int) -> dict[int, int]:
        """Sets of actors that could follow one leader acting under `usable` lists, with the leaders for which the set is the same.

        Only sets that hold a quorum of each list that is in.
        """
        ways = {b: [c for c in self.actors[b.bit_length() - 1].choices if not c.needs & ~usable] for b in bits(fit)}
        knows = {b: _union(c.knows for c in choices) for b, choices in ways.items()}
        found: dict[int, int] = {}
        needed = [self.lists[b.bit_length() - 1] for b in bits(into)]
        for b, choices in ways.items():
            me = self.actors[b.bit_length() - 1].id_bit
            admirers = sum(other for other, known in knows.items() if known & me)
            for voters in {c.knows for c in choices if c.leads & me}:
                group = b | admirers & self._actors_of(voters)
                found[group] = found.get(group, 0) | b
        return {g: leaders for g, leaders in found.items() if all(x.held_by(self._ids(g)) for x in needed)}

    def _actors_of(self, ids: int) -> int:
        if self._plain:
            return ids
        return sum(1 << i for i, actor in enumerate(self.actors) if actor.id_bit & ids)

    def _share(self, node: _Node, mine: int, theirs: int) -> tuple[int, int] | None:
        """Two disjoint sets of actors out of these, each with a quorum of every list that its side relies on."""
        try:
            ids = self._share_out(node.into[0], node.into[1], self._shares(mine, theirs))
        except GaveUp:
            self._gave_up = True
            return None
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

    def _share_out(self, mine: int, theirs: int, shares: Shares) -> tuple[int, int] | None:
        first = [self.lists[b.bit_length() - 1] for b in bits(mine)]
        second = [self.lists[b.bit_length() - 1] for b in bits(theirs)]
        return share_out(first, second, shares, self.budget, self._patience)


def _largest(sets: Iterable[int]) -> list[int]:
    """Without those that lie within another one."""
    kept: list[int] = []
    for one in sorted(sets, key=lambda s: -s.bit_count()):
        if not any(not one & ~other for other in kept):
            kept.append(one)
    return kept


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
