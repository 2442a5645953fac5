"""Takes a joiner back: out of the list, stopped, its disk set aside; only while it votes for nothing (R11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkprov.act import reconfig
from zkprov.model.problems import Interrupted, NotHealthy
from zkprov.plan.steps import Step, StepKind

if TYPE_CHECKING:
    from zkprov.run.engine import Engine

TRIES = 3
STOP_S = 10.0
"""For a joiner to end by itself, before it is ended by force."""


def undo_joiner(engine: Engine, step: Step) -> str | None:
    """What was undone, in words; None where nothing may be: the server is a voter, or the step only waits.

    Raises `NotHealthy` when the ensemble or the host does not let it be done, `Interrupted` on a signal or when the run was taken over.
    May be repeated.
    """
    if step.kind in (StepKind.SETTLE, StepKind.SEASON):
        return "" if step.kind is StepKind.SEASON else None
    listed = step.kind is not StepKind.START or engine.attempt > 0
    for _ in range(TRIES):
        # after this write whatever the session asked for is decided, and the list that is read now is the last word
        engine.fence(step.number)
        live = engine.gates.health().picture.live
        if live is None:
            raise NotHealthy("no server tells the list of members", remedy="zkprov resume, when a quorum serves")
        present = live.get(step.server)
        if present is None:
            break
        if present.votes:
            return None
        what = f"reconfig leaving {step.server} from config {live.version_hex}"
        engine.events.emit("undo", what=what, from_config=live.version_hex)
        outcome = reconfig.change(engine.client, leaving=step.server, from_config=live.version, stop=engine.stop)
        engine.events.emit("answer", answer=str(outcome.answer), why=outcome.why)
        if engine.stop.is_set():
            raise Interrupted("stopped by a signal", remedy="zkprov abort, or zkprov resume")
    else:
        raise NotHealthy(f"{step.server} is still in the list", remedy="zkprov resume")
    done = [f"{step.server} is not in the list (config {live.version_hex})"] if listed else []
    host = engine.world.host(step.host)
    if host.fenced_by() == engine.plan.id:
        if host.exists():
            host.stop(STOP_S)
            where = host.set_aside(f"set-aside-{engine.plan.id}" + (f"-{engine.attempt}.u" if engine.attempt else ""))
            engine.events.emit("undo", what=f"{step.host}: stopped; its disk is at {where}")
            done.append(f"stopped; its disk is at {where}")
        host.unfence(engine.plan.id)
    return "; ".join(done) or "nothing was begun"
