"""Where nobody serves because a restart was cut off: the server that this run has stopped is started again, on what lay there before.

Only what the journal of this machine has as begun, on a host that still has that run's fence: nobody serves, so there is no ledger to ask.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from zkprov.judge.leaving import not_to_be_started
from zkprov.judge.picture import picture_of
from zkprov.model.facts import Survey
from zkprov.model.problems import Interrupted, NotHealthy, Problem
from zkprov.plan.steps import ADOPTION, Plan, Restarted, Step, StepKind, seconds
from zkprov.run.clock import Clock
from zkprov.run.events import Events
from zkprov.run.journal import Journal, Run
from zkprov.run.world import World

if TYPE_CHECKING:
    import threading

LOOK_S = 0.3
"""Between two looks while they elect."""


def standing_roll(journal: Journal, ensemble: str) -> tuple[Run, Step] | None:
    """The restart that this machine has as begun and not ended, and its step in hand."""
    found = journal.unfinished(ensemble)
    if not found or not found[0].plan.rolls or not 0 < found[0].head <= len(found[0].plan.steps):
        return None
    step = found[0].plan.steps[found[0].head - 1]
    return (found[0], step) if step.kind is StepKind.RESTART else None


def _stopped(plan: Plan, step: Step) -> list[Restarted]:
    """Who may have been stopped for it, of those whose hosts have its fence: to lay a release out, or to write zoo.cfg, takes all hosts."""
    if not any(s.kind in (StepKind.LAY_OUT, StepKind.FLAG) for s in plan.steps):
        return list(plan.restarted)
    turns = [s for s in plan.steps if s.kind is StepKind.RESTART and (s.begun or s.number < step.number)]
    return [m for m in plan.restarted if any(s.server == m.server.id for s in turns)]


def start_stopped(
    world: World, standing: tuple[Run, Step], survey: Survey, *, events: Events, clock: Clock, stop: threading.Event
) -> Survey:
    """A survey in which somebody serves. To start a server that was a voter a moment ago, on its own data, needs nobody's leave.

    Where they run already they may just be electing, which is waited for. Raises `NotHealthy` where none runs and none is to be started,
    or nobody serves in the end; `Busy` or `Interrupted` where others have the host.
    """
    run, step = standing
    events.step = step.number
    told: list[str] = []
    awaited = False  # somebody was started, or runs, and elects
    for member in _stopped(run.plan, step):
        host = world.host(member.host)
        try:
            if host.fenced_by() != run.id:
                continue
            if host.is_active():
                awaited = True
                continue
            host.fence(run.id, run.attempt)
            facts = survey.by_name(member.host)
            # one without reconfigEnabled may not find back to those that have it (FACTS, "Static to dynamic")
            keeps = run.plan.kind == ADOPTION and not run.plan.base.version
            if not keeps and host.has_former(run.id):
                host.put_back(run.id, run.attempt)
                told.append(f"{member.host} has its former files")
            in_hand = member.server.id == step.server
            former = run.plan.former(step) if in_hand and step.begun else ""
            if former and host.current() != former:
                host.switch(former, run.id, run.attempt)
                told.append(f"{member.host} is back on {former}")
            if why := not_to_be_started(facts.disk.value if facts else None, member.server):
                told.append(f"{member.host} is not started: {why} (R5)")
                continue
            why = f"this run has stopped {member.host}" if in_hand else f"{member.host}, which it restarted, is down"
            events.emit("mend", what=f"nobody serves, and {why}: start")
            host.start()
            awaited = True
            told.append(f"{member.host} is started")
        except Interrupted:
            raise
        except Problem as problem:
            told.append(f"{member.host}: {problem.problem}")
    if awaited and not told:
        limit = seconds(run.plan.options.step_timeout_s)
        what = f"nobody serves, and whom this run may have stopped runs: an election is waited for, {limit} at the most"
        events.emit("mend", what=what)
    served = _somebody_serves(world, run.plan.options.step_timeout_s, clock, stop) if awaited else None
    if served is not None:
        return served
    with contextlib.suppress(Problem):
        events.emit("mend", what="; ".join(told) or f"no host has the fence of run {run.id} and a server that is down")
    what = (
        f"no member of the ensemble could be read; {'; '.join(told) or f'run {run.id} has stopped nobody who is down'}"
    )
    raise NotHealthy(what, place=world.inventory.path, remedy="zkprov status; start the members that are down by hand")


def _somebody_serves(world: World, limit_s: float, clock: Clock, stop: threading.Event) -> Survey | None:
    """A survey in which somebody does; None where nobody did for so long."""
    deadline = clock.monotonic() + limit_s
    while True:
        survey = world.survey(clients=False)
        if any(f.serving for f in picture_of(survey).members):
            return survey
        if clock.monotonic() > deadline:
            return None
        if clock.wait(stop, LOOK_S):
            raise Interrupted("stopped by a signal", remedy="zkprov resume")
