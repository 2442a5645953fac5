"""Durations as people write them: `30`, `30s`, `15m`, `1h`, `7d`."""

from __future__ import annotations

LONGEST_S = 30 * 86400.0
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_s(text: str) -> float:
    """Seconds; a number alone is seconds. Raises `ValueError` for anything else, and for more than 30 days."""
    said = text.strip().lower()
    factor = _UNITS.get(said[-1:], 0.0)
    seconds = float(said[:-1]) * factor if factor else float(said)
    if not 0 <= seconds <= LONGEST_S:
        raise ValueError(f"not between 0 s and 30 days: {text}")
    return seconds


def told(seconds: float) -> str:
    """`45 s`, `3 min`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min" + (f" {whole % 60:02} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60:02} min" if whole % 3600 // 60 else "")
