"""Maintenance windows: a zone, a recurrence by RFC 5545, a length, less the dates on which nothing is touched. Pure; in UTC.

Local times are those of the zone: one that a change of clock leaves out is read with the offset before it, one that comes twice is
the first (RFC 5545, 3.3.5). A window's length is elapsed time, so one that crosses a change of clock is as long as any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from dateutil.rrule import HOURLY, rrule, rrulestr

HORIZON = timedelta(days=5 * 366)
"""A window that does not open in this time never opens."""
STEADY = {"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}
"""Frequencies that open every so many seconds of local time; they take no BY…: DAILY with BYHOUR says the same."""
BY_DAY = frozenset({"BYMONTH", "BYDAY", "BYHOUR", "BYMINUTE", "BYSECOND"})
"""What goes with DAILY and WEEKLY. With the others a rule may be met on no day, and is then searched for day by day to the year 9999."""


class Freeze(msgspec.Struct, frozen=True):
    """Nothing is touched from the first moment of `first` to the last of `last`, in the window's zone."""

    first: date
    last: date
    reason: str = ""


class Window(msgspec.Struct, frozen=True):
    """`start`: the first one's local begin, without a zone. `recurrence`: an RRULE, empty for a single one. `length_s`: seconds."""

    zone: str
    start: datetime
    length_s: float
    recurrence: str = ""


class Open(msgspec.Struct, frozen=True):
    """One stretch of time in which things may be touched."""

    opens: datetime
    closes: datetime

    @property
    def length_s(self) -> float:
        return (self.closes - self.opens).total_seconds()


def rule_of(window: Window, after: datetime | None = None) -> rrule | None:
    """The recurrence; None where there is none. Raises `ValueError` for what is no RRULE, or one that would be searched for ever.

    `after`: what comes earlier is not asked for, and a rule of hours or less is begun near it, since it is gone through from its start.
    """
    if not window.recurrence:
        return None
    said = window.recurrence.removeprefix("RRULE:")
    parts = dict(part.partition("=")[::2] for part in said.upper().split(";"))
    if not re.fullmatch(r"[A-Z0-9=;,+\-]+", said, re.IGNORECASE) or "FREQ" not in parts:
        raise ValueError("one RRULE, as FREQ=WEEKLY;BYDAY=SA")
    if int(parts.get("INTERVAL", 1)) < 1:
        raise ValueError("INTERVAL is 1 or more")
    start, step_s = window.start, STEADY.get(parts["FREQ"])
    by = {k for k in parts if k.startswith("BY")}
    if step_s is not None and by:
        raise ValueError(f"FREQ={parts['FREQ']} goes with INTERVAL, COUNT and UNTIL alone")
    if parts["FREQ"] in ("DAILY", "WEEKLY") and by - BY_DAY:
        raise ValueError(f"{min(by - BY_DAY)} goes with FREQ=MONTHLY or YEARLY")
    if step_s is not None and after is not None:
        every = timedelta(seconds=step_s * max(1, int(parts.get("INTERVAL", 1))))
        passed = max(0, (after.replace(tzinfo=None) - start) // every - 1)
        start += passed * every
        if "COUNT" in parts:
            parts["COUNT"] = str(int(parts["COUNT"]) - passed)
            if int(parts["COUNT"]) <= 0:
                return rrule(HOURLY, dtstart=start.replace(tzinfo=ZoneInfo(window.zone)), count=0)
            said = ";".join(f"{k}={v}" for k, v in parts.items())
    made = rrulestr(said, dtstart=start.replace(tzinfo=ZoneInfo(window.zone)))
    if not isinstance(made, rrule):
        raise ValueError("one RRULE, as FREQ=WEEKLY;BYDAY=SA")
    return made


def begins(window: Window, after: datetime) -> Iterator[datetime]:
    """The instants from `after` on at which the window opens, in order, each once; for as long as `HORIZON`."""
    zone = ZoneInfo(window.zone)
    # a day earlier: a rule is by local times, and their order is not that of instants where clocks change
    earliest, latest = after.astimezone(zone) - timedelta(days=1), after + HORIZON
    rule = rule_of(window, earliest)
    first = window.start.replace(tzinfo=zone)
    last: datetime | None = None
    found = iter([first]) if rule is None else rule.xafter(earliest, inc=True)
    for local in found:
        instant = local.astimezone(UTC)
        if instant > latest:
            return
        if instant >= after and (last is None or instant > last):
            last = instant
            yield instant


def open_from(window: Window, freezes: tuple[Freeze, ...], now: datetime) -> Iterator[Open]:
    """The stretches that are open now or later, in order, without what is frozen."""
    length = timedelta(seconds=window.length_s)
    frozen = [_frozen(f, window.zone) for f in freezes]
    for begin in begins(window, now - length):
        pieces = [(begin, begin + length)]
        for first, last in frozen:
            pieces = [
                piece
                for opens, closes in pieces
                for piece in ((opens, min(closes, first)), (max(opens, last), closes))
                if piece[0] < piece[1]
            ]
        yield from (Open(opens, closes) for opens, closes in sorted(set(pieces)) if closes > now)


def frozen_at(freezes: tuple[Freeze, ...], zone: str, now: datetime) -> Freeze | None:
    """The freeze that holds now."""
    for freeze in freezes:
        first, last = _frozen(freeze, zone)
        if first <= now < last:
            return freeze
    return None


def overlap(window: Window) -> tuple[datetime, datetime] | None:
    """The first two begins of which the second comes before the first one is over; looked for in the next years."""
    length = timedelta(seconds=window.length_s)
    last: datetime | None = None
    for number, begin in enumerate(begins(window, window.start.replace(tzinfo=ZoneInfo(window.zone)).astimezone(UTC))):
        if last is not None and begin < last + length:
            return last, begin
        last = begin
        if number >= 2000:
            return None
    return None


def _frozen(freeze: Freeze, zone: str) -> tuple[datetime, datetime]:
    local = ZoneInfo(zone)
    day_after = freeze.last + timedelta(days=1)
    return (
        datetime(freeze.first.year, freeze.first.month, freeze.first.day, tzinfo=local).astimezone(UTC),
        datetime(day_after.year, day_after.month, day_after.day, tzinfo=local).astimezone(UTC),
    )
