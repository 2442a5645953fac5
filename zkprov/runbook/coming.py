"""What comes of a step's turn: it ended, or it rests until the next window."""

from __future__ import annotations

import msgspec

from zkprov.runbook.record import Outcome


class Came(msgspec.Struct, frozen=True):
    """The step is over. `exit_code`: its command's own; `code`: the one that the runbook ends with, should this end it."""

    outcome: Outcome
    exit_code: int | None = None
    said: str = ""
    code: int = 0
    approved_by: str = ""


class Rest(msgspec.Struct, frozen=True):
    """There is no time for it, or for the rest of it."""

    why: str
