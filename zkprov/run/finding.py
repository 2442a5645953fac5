"""Which runs of a journal are asked for: of which ensemble, of what kind, begun when, ended how."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from zkprov.run.journal import Journal, Run, State

KINDS = {
    "add-node": ("add",), "remove-node": ("remove",), "replace-node": ("replace", "renew"), "set-role": ("set-role",),
    "set-address": ("set-address",), "restart": ("restart",), "upgrade": ("upgrade",), "downgrade": ("downgrade",),
    "adopt": ("adopt",), "heal": ("heal",), "grant": ("grant",),
    "add": ("add",), "remove": ("remove",), "replace": ("replace", "renew"), "renew": ("renew",),
}  # fmt: skip
"""A verb as it is typed, or the kind that `history` prints → the kinds of plans."""
REFUSED = "refused"
"""An outcome of its own: a rule or a danger stopped the run (exit 3), whatever became of what it had begun."""
OUTCOMES = (*(str(state) for state in State), REFUSED)
AGO = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(s|m|h|d|w)")
DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}|\d{4}-?W\d{2}(?:-?\d)?")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Wanted(NamedTuple):
    """`kind` of `KINDS`, `outcome` of `OUTCOMES`; `since` and `until` in seconds since 1970, of the beginning; None: any."""

    ensemble: str | None = None
    kind: str | None = None
    since: float | None = None
    until: float | None = None
    outcome: str | None = None
    limit: int | None = None


def found(journal: Journal, wanted: Wanted) -> tuple[Run, ...]:
    """Newest first. Raises `BadInput` for a journal that cannot be read."""
    refused = wanted.outcome == REFUSED
    states = (State(wanted.outcome),) if wanted.outcome and not refused else tuple(State)
    runs = journal.runs(
        wanted.ensemble,
        states,
        kinds=KINDS[wanted.kind] if wanted.kind else (),
        since=wanted.since,
        until=wanted.until,
        limit=None if refused else wanted.limit,
    )
    if not refused:
        return runs
    return tuple(r for r in runs if journal.exit_code(r.id) == 3)[: wanted.limit]


def moment(text: str, now: float, *, end: bool = False) -> float:
    """Seconds since 1970 of a date, a date and time (UTC, unless it says another zone), or how long ago: `7d`, `12h`.

    `end`: of a date, its end. Raises `ValueError`.
    """
    text = text.strip()
    if ago := AGO.fullmatch(text.lower()):
        return now - float(ago[1]) * UNITS_S[ago[2]]
    told = datetime.fromisoformat(text)
    try:
        if end and DATE.fullmatch(text):
            told += timedelta(days=1)
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    except OverflowError as wrong:
        raise ValueError(str(wrong)) from None
