"""A change of many ensembles: in which order, how many at once, and what is begun no more after a failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import msgspec

from zkprov.model.problems import BadInput

WORST = (3, 1, 7, 4, 6, 5, 2, 10, 0)
"""Exit codes, the worst first: danger, then what was not foreseen, then what stands unfinished, then what may be tried later."""


def worst(codes: Sequence[int]) -> int:
    """Of several ensembles that were looked at: unsafe before what cannot be told, and that before safe."""
    return min(codes, key=lambda code: WORST.index(code) if code in WORST else 1, default=0)


class FleetWish(msgspec.Struct, frozen=True):
    """`canaries`: who goes first, one at a time. `max_fail`: with more failures than that nobody else is begun."""

    parallel: int = 1
    max_fail: int = 0
    canaries: tuple[str, ...] = ()


def ordered(names: Sequence[str], marked: Set[str], wish: FleetWish) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The canaries and the others, each in the inventory's order.

    Canaries are those that were named, else those that the inventory marks, else the first of all. Raises `BadInput` for an unknown one.
    """
    for name in wish.canaries:
        if name not in names:
            what = f"no ensemble {name!r} among those that are to be changed: {', '.join(names[:5])}"
            raise BadInput(what, place="--canary", remedy="name one of them")
    first = set(wish.canaries) or {n for n in names if n in marked} or set(names[:1])
    return tuple(n for n in names if n in first), tuple(n for n in names if n not in first)


def may_begin(
    canaries: Sequence[str], others: Sequence[str], ended: Mapping[str, int], running: Set[str], wish: FleetWish
) -> tuple[str, ...]:
    """Who may be begun now. `ended`: exit code of each that has ended.

    A canary has everything to itself, and one that failed ends it all, whatever `max_fail` says: that is what it is for.
    """
    if over(canaries, ended, wish):
        return ()
    begun = {*ended, *running}
    for name in canaries:
        if name not in ended:
            return () if running else (name,)
    left = [n for n in others if n not in begun]
    return tuple(left[: max(0, wish.parallel - len(running))])


def over(canaries: Sequence[str], ended: Mapping[str, int], wish: FleetWish) -> bool:
    """Whether nobody else is to be begun."""
    failed = [name for name, code in ended.items() if code]
    return len(failed) > wish.max_fail or any(name in canaries for name in failed)


def outlook(
    canaries: Sequence[str], others: Sequence[str], refused: Mapping[str, int], wish: FleetWish
) -> tuple[str, ...]:
    """Who will not be begun, as far as it is known before anything is: `refused`, exit code of each for which there is no plan.

    As if one came after the other and the rest went well.
    """
    ended: dict[str, int] = {}
    one_by_one = msgspec.structs.replace(wish, parallel=1)
    while following := may_begin(canaries, others, ended, frozenset(), one_by_one):
        ended[following[0]] = refused.get(following[0], 0)
    return tuple(n for n in (*canaries, *others) if n not in ended)


def exit_code(ended: Sequence[tuple[str, int]], *, whole: bool) -> int:
    """Of the whole: that of the first failure, in the order in which they ended; 7 where without one not all were begun."""
    return next((code for _, code in ended if code), 0 if whole else 7)
