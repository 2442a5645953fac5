"""How a run ended, as a value: what stands, what was undone, and what to type next."""

from __future__ import annotations

import msgspec

from zkprov.run.journal import State


class Result(msgspec.Struct, frozen=True):
    """How a run ended. `stands`: what is in place now; `undone`: what was taken back; `next`: commands to type."""

    run: str
    state: State
    exit_code: int
    headline: str
    evidence: tuple[str, ...] = ()
    undone: str = ""
    stands: str = ""
    next: tuple[str, ...] = ()
    longest_pause_s: float = 0.0
