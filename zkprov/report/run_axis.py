"""One time axis for a whole run: attempts one after the other, and the time in which nothing went on between them shortened. Pure."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from zkprov.plan.steps import seconds

STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 604800)
"""Between two ticks."""
BREAK = 0.25
"""Nothing may go on for this part of all that went on before it is shortened."""
SHORT = 0.05
"""What it is shortened to, of the same."""


class Gap(NamedTuple):
    """A shortened part: from where to where on the axis, and how long it was, in words."""

    begin: float
    end: float
    lasted: str


class Tick(NamedTuple):
    place: float
    label: str


class Axis:
    """Places on it are seconds of what went on. `spans`: when something did, in seconds since 1970."""

    def __init__(self, spans: Sequence[tuple[float, float]]) -> None:
        merged: list[tuple[float, float]] = []
        active = max(sum(max(0.0, end - begin) for begin, end in spans), 0.1)
        for begin, end in sorted(spans):
            if merged and begin - merged[-1][1] <= active * BREAK:
                merged[-1] = merged[-1][0], max(merged[-1][1], end)
            else:
                merged.append((begin, max(end, begin)))
        self._spans = merged or [(0.0, 0.1)]
        self._begins = [begin for begin, _ in self._spans]
        self._places: list[float] = []
        self.gaps: list[Gap] = []
        place, before = 0.0, self._spans[0][0]
        for begin, end in self._spans:
            if self._places:
                width = active * SHORT
                self.gaps.append(Gap(place, place + width, seconds(round(begin - before, 1))))
                place += width
            self._places.append(place)
            place, before = place + (end - begin), end
        self.length = max(place, 0.1)

    def place(self, time: float) -> float:
        """Of a moment, in seconds since 1970; what lies in a gap is at its beginning."""
        number = max(0, bisect.bisect_right(self._begins, time) - 1)
        begin, end = self._spans[number]
        return self._places[number] + min(max(0.0, time - begin), end - begin)

    def ticks(self, most: int = 9) -> list[Tick]:
        """Whole times of day (UTC), at most about `most`."""
        step = next((s for s in STEPS_S if self.length / s <= most), STEPS_S[-1])
        found: list[Tick] = []
        for (begin, end), place in zip(self._spans, self._places, strict=True):
            number = int(begin // step) + (begin % step > 0)
            while number * step <= end:
                found.append(Tick(place + number * step - begin, _of_day(number * step, step)))
                number += 1
        apart = self.length / (2 * most)
        kept: list[Tick] = []
        for tick in found:
            if not kept or tick.place - kept[-1].place >= apart:
                kept.append(tick)
        return kept or [Tick(0.0, _of_day(self._spans[0][0], 1))]


def _of_day(time: float, step: float) -> str:
    moment = datetime.fromtimestamp(round(time, 3), UTC)
    if step >= 86400:
        return moment.strftime("%m-%d")
    text = moment.strftime("%H:%M" if step >= 60 else "%H:%M:%S")
    return f"{text}.{moment.microsecond // 100_000}" if step < 1 else text
