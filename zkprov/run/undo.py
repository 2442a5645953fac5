"""Takes a joiner back: out of the list, stopped, its disk set aside; only while it votes for nothing (R11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkprov.act import reconfig
from zkprov.model.problems import NotHealthy
from zkprov.plan.steps import Step, StepKind

if TYPE_CHECKING:
    from zkprov.run.engine import Engine

TRIES = 3


def undo_joiner(engine: Engine, step: Step) -> str | None:
    """What was undone, in words; None where nothing may be: the server is a voter, or the step only waits.

    Raises `NotHealthy` when the ensemble or the host does not let it be done. May be repeated.
    """
    if step.kind in (StepKind.SETTLE, StepKind.SEASON):
        return "" if step.kind is StepKind.SEASON else None
    done: list[str] = []
    for _ in range(TRIES):
        live = engine.gates.health().picture.live
        if live is None:
            raise NotHealthy("no server tells the list of members", remedy="zkprov resume, when a quorum serves")
        present = live.get(step.server)
        if present is None:
            break
        if present.votes:
            return None
        engine.events.emit("undo", what=f"reconfig leaving {step.server} from config {live.version_hex}")
        outcome = reconfig.change(engine.client, leaving=step.server, from_config=live.version)
        engine.events.emit("answer", answer=str(outcome.answer), why=outcome.why)
    else:
        raise NotHealthy(f"{step.server} is still in the list", remedy="zkprov resume")
    if step.kind is not StepKind.START or engine.attempt:
        engine.gates.passed(expect=live)
        done.append(f"{step.server} is not in the list (config {live.version_hex})")
    host = engine.world.host(step.host)
    if host.fenced_by() in (engine.plan.id, None) and host.exists() and host.fenced_by():
        host.stop(10)
        where = host.set_aside(f"set-aside-{engine.plan.id}" + (f"-{engine.attempt}.u" if engine.attempt else ""))
        engine.events.emit("undo", what=f"{step.host}: stopped; its disk is at {where}")
        done.append(f"stopped; its disk is at {where}")
        host.unfence(engine.plan.id)
    return "; ".join(done) or "nothing was begun"
