"""Times, dates, zones and durations, read from what a runbook says. Each raises `ValueError` or `TypeError` for anything else."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from zkprov.model.durations import duration_s

LAST_YEAR = 9998


def zone(said: Any) -> str:
    if not isinstance(said, str) or not re.fullmatch(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+){0,2}", said):
        raise ValueError("no zone")
    ZoneInfo(said)
    return said


def local_time(said: Any) -> datetime:
    found = datetime.fromisoformat(said)
    if found.tzinfo is not None:
        raise ValueError("with a zone")
    _near(found.year)
    return found


def a_date(said: Any) -> date:
    found = date.fromisoformat(said)
    _near(found.year)
    return found


def _near(year: int) -> None:
    """What is further off cannot be told in every zone, nor by every rule in a time that anybody waits for."""
    if not 1970 <= year <= LAST_YEAR:
        raise ValueError(f"not between the years 1970 and {LAST_YEAR}: {year}")


def duration(said: Any) -> float:
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        raise TypeError("no duration")
    return duration_s(str(said))
