"""When each step of a runbook is thought to begin and to end, window by window. Pure: from the windows and how long steps take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

import msgspec

from zkprov.runbook.windows import Open

MOST_WINDOWS = 100


class Planned(msgspec.Struct, frozen=True):
    """A step, or the part of one, in the window number `window` (0: the first). `rests`: it is taken up again in the next one."""

    name: str
    window: int
    begins: datetime
    ends: datetime
    rests: bool = False


class Timeline(msgspec.Struct, frozen=True):
    """`windows`: those that are used, in order. `unplaced`: the steps for which none is left or long enough."""

    windows: tuple[Open, ...]
    planned: tuple[Planned, ...]
    unplaced: tuple[str, ...] = ()


def lay_out(
    steps: Iterable[tuple[str, float, bool]],
    windows: Iterable[Open] | None,
    now: datetime,
    unit_s: Callable[[float], float],
) -> Timeline:
    """Each step as (name, seconds that it takes, whether it can rest between two servers), from `now` on.

    Without `windows` everything follows at once. `unit_s`: of a step that can rest, how long a part of it takes, by its whole time: no part
    is begun that would not be over when its window closes.
    """
    at, planned = now, list[Planned]()
    if windows is None:
        for name, takes_s, _ in steps:
            planned.append(Planned(name, 0, at, at + timedelta(seconds=takes_s)))
            at = planned[-1].ends
        return Timeline((), tuple(planned))
    coming: Iterator[Open] = iter(windows)
    used: list[Open] = []

    def opened() -> bool:
        """The next window, in which time goes on."""
        nonlocal at
        found = next(coming, None) if len(used) < MOST_WINDOWS else None
        if found is not None:
            used.append(found)
            at = max(at, found.opens)
        return found is not None

    unplaced: list[str] = []
    for name, takes_s, divisible in steps:
        if unplaced:  # nothing comes before its turn
            unplaced.append(name)
            continue
        left_s, part_s = takes_s, min(takes_s, unit_s(takes_s)) if divisible else takes_s
        while True:
            room_s = (used[-1].closes - at).total_seconds() if used else -1.0
            fits_s = left_s if left_s <= room_s else part_s * int(room_s // part_s) if divisible and part_s > 0 else 0.0
            if fits_s > 0 or left_s <= room_s:
                ends = at + timedelta(seconds=fits_s)
                left_s -= fits_s
                planned.append(Planned(name, len(used) - 1, at, ends, rests=left_s > 0))
                at = ends
                if left_s <= 0:
                    break
            if not opened():
                unplaced.append(name)
                break
    return Timeline(tuple(used), tuple(planned), tuple(unplaced))
