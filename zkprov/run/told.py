"""What readers are told of a run beside its steps: when clients could not write, and how it ended."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from zkprov.model.problems import Problem
from zkprov.run.events import rfc3339

if TYPE_CHECKING:
    from zkprov.run.engine import Engine
    from zkprov.run.result import Result


def tell_pauses(engine: Engine) -> None:
    """As the canary saw them since this was last told. What cannot be recorded ends the run at its next own event."""
    if engine.canary is None:
        return
    ahead_s = engine.clock.now() - engine.clock.monotonic()
    for began, lasted_s in engine.canary.take_pauses():
        with contextlib.suppress(Problem):
            engine.events.emit("pause", began=rfc3339(began + ahead_s), lasted_s=round(lasted_s, 3))


def tell_end(engine: Engine, result: Result) -> Result:
    """The same. What became of the run is recorded already; a reader that fails now changes nothing of it."""
    engine.events.step = 0
    with contextlib.suppress(Problem):
        engine.events.emit(
            "run.ended",
            state=str(result.state),
            exit_code=result.exit_code,
            headline=result.headline,
            evidence=list(result.evidence),
            undone=result.undone,
            stands=result.stands,
            next=list(result.next),
            longest_pause_s=result.longest_pause_s,
        )
    return result
