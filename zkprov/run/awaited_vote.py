"""Where one voter waits for a second that died as it was promoted: the second gets the list that the first waits with, and is started.

Only what the journal of this machine has as begun, on a host that still has that run's fence: nobody serves, so there is no ledger to ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkprov.act.hosts import STOP_S
from zkprov.judge.awaited_vote import Awaited, awaited_vote, is_second_vote
from zkprov.judge.picture import picture_of
from zkprov.model.facts import Survey
from zkprov.model.problems import Interrupted, NotHealthy
from zkprov.plan.steps import Step, StepKind
from zkprov.run.clock import Clock
from zkprov.run.events import Events
from zkprov.run.journal import Journal, Run
from zkprov.run.unchanged import same_sources
from zkprov.run.world import World

if TYPE_CHECKING:
    import threading

LOOK_S = 0.5
"""Between two looks while both elect."""
BY_HAND = 'docs/incidents.md, "One server became two", says what a person does then'


def standing_run(journal: Journal, ensemble: str) -> tuple[Run, Step] | None:
    """The run that this machine has as begun and not ended, if it stands where one voter becomes two; and that step."""
    found = journal.unfinished(ensemble)
    if not found or not 0 < found[0].head <= len(found[0].plan.steps):
        return None
    step = found[0].plan.steps[found[0].head - 1]
    promotes = step.kind is StepKind.PROMOTE and is_second_vote(step.before, step.after)
    return (found[0], step) if promotes else None


def bring_vote(
    world: World, standing: tuple[Run, Step], survey: Survey, *, events: Events, clock: Clock, stop: threading.Event
) -> Survey:
    """The second comes in; a survey in which somebody serves. May be repeated.

    Raises `NotHealthy` where this is another case, or comes to nothing; `Busy` or `Interrupted` where others have the host; `Stale` for
    other sources than the plan's.
    """
    run, step = standing
    found = awaited_vote(picture_of(survey), step.before, step.after, step.host)
    if isinstance(found, str):
        raise _unread(world, found)
    same_sources(world, run.plan, BY_HAND)
    host = world.host(step.host)
    if host.fenced_by() != run.id:
        raise _unread(world, f"{step.host} has no fence of run {run.id}")
    host.fence(run.id, run.attempt)
    events.step = step.number
    events.emit("mend", what=_told(found))
    host.stop(STOP_S)
    if not found.laid:
        host.lay_list(found.path, found.text, run.id, run.attempt)
    host.start()
    deadline = clock.monotonic() + run.plan.options.step_timeout_s
    while True:
        survey = world.survey(clients=False)
        if any(f.serving for f in picture_of(survey).members):
            return survey
        if clock.monotonic() > deadline:
            raise _unread(world, f"{found.second} has the list that {found.first} waits with, and they do not elect")
        if clock.wait(stop, LOOK_S):
            raise Interrupted("stopped by a signal", remedy="zkprov resume")


def _told(found: Awaited) -> str:
    laid = "has" if found.laid else "gets"
    return f"{found.first} waits for a second vote: {found.second} {laid} its list ({found.wanted}), start"


def _unread(world: World, why: str) -> NotHealthy:
    what = f"no member of the ensemble could be read; {why}"
    return NotHealthy(what, place=world.inventory.path, remedy=f"zkprov status; {BY_HAND}")
