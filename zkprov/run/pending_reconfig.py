"""Where the reconfig of a run waits for acknowledgements that nobody can give any more: the leader is restarted, and it is committed.

It is done where no session is opened, so nobody loses anything by an election. Who restarts has the list on its disk (`.next`), as all that
look have, and they elect by both lists. There is no ledger to ask meanwhile: what the journal of this machine has as begun is gone by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from zkprov.act.hosts import STOP_S
from zkprov.judge.may_act import servers_of
from zkprov.judge.pending_reconfig import Pending, pending_reconfig
from zkprov.judge.picture import epoch_of, leads, member_at, picture_of
from zkprov.judge.stuck import SHUT_S
from zkprov.model import proof
from zkprov.model.facts import ServerFacts, Survey
from zkprov.model.problems import Busy, Interrupted, NotHealthy
from zkprov.plan.steps import Plan, Step
from zkprov.run.clock import Clock
from zkprov.run.events import Events
from zkprov.run.journal import Journal, Run
from zkprov.run.world import World

if TYPE_CHECKING:
    import threading

LOOK_S = 0.3
"""Between two looks, besides the time that a session is waited for."""


class Stands(Protocol):
    """A run as far as its reconfig needs one."""

    @property
    def plan(self) -> Plan: ...
    @property
    def attempt(self) -> int: ...


def standing_change(journal: Journal, ensemble: str) -> tuple[Run, Step] | None:
    """The run that this machine has as begun and not ended, and its step in hand, where it changes the list."""
    found = journal.unfinished(ensemble)
    if not found or not 0 < found[0].head <= len(found[0].plan.steps):
        return None
    step = found[0].plan.steps[found[0].head - 1]
    return (found[0], step) if found[0].plan.reconfigures else None


def waits(survey: Survey) -> Pending | None:
    """The list that waits under the one leader, and that cannot be committed as things stand."""
    leader = _leader(survey)
    return pending_reconfig(picture_of(survey), leader.name) if leader is not None else None


def commit_pending(
    world: World,
    standing: tuple[Stands, Step],
    survey: Survey,
    *,
    events: Events,
    clock: Clock,
    stop: threading.Event,
) -> Survey:
    """Returns once the leader opens sessions: `survey`, or a later one. At once where nothing waits; may be repeated.

    Who is paused or away is waited for, as long as a step of the run may take. Raises `NotHealthy` when it comes to nothing, or where the
    list that waits is none of the run's; `Busy` where another run has the leader's host; `Interrupted` on a signal.
    """
    run, step = standing
    deadline = clock.monotonic() + run.plan.options.step_timeout_s
    was: tuple[str, int | None, int] | None = None
    since = clock.monotonic()
    while (found := waits(survey)) is not None:
        leader = _leader(survey)
        if leader is None or leader.client is None or world.opens_session(leader.client):
            return survey
        now, stands = clock.monotonic(), _stands(leader)
        if stands != was:
            was, since = stands, now
        elif found.waits_for_leader and now - since >= SHUT_S:
            return _restart(world, run, step, survey, found, events=events, clock=clock, stop=stop)
        if now > deadline:
            raise NotHealthy(str(found), place=leader.name, remedy="zkprov status")
        _pause(clock, stop)
        survey = world.survey(clients=False)
    return survey


def start_left(
    world: World, standing: tuple[Run, Step], survey: Survey, *, events: Events, clock: Clock, stop: threading.Event
) -> Survey:
    """Where nobody serves: a leader that this run restarted, and was ended before it had started it again. Else `survey` as it is."""
    run, step = standing
    for facts in survey.servers:
        other = facts.name in run.plan.hosts or world.inventory.host(facts.name) is None
        if other or facts.serving or member_at(step.before, facts) is None:
            continue
        host = world.host(facts.name)
        if host.fenced_by() != run.plan.id:
            continue
        events.step = step.number
        host.fence(run.plan.id, run.attempt)
        if not host.is_active():
            events.emit("mend", what=f"nobody serves, and this run has stopped {facts.name}: start")
            host.start()
        survey = _committing(world, run, events=events, clock=clock, stop=stop)
        host.unfence(run.plan.id, run.attempt)
        return survey
    return survey


def _restart(
    world: World,
    run: Stands,
    step: Step,
    survey: Survey,
    found: Pending,
    *,
    events: Events,
    clock: Clock,
    stop: threading.Event,
) -> Survey:
    if not any(found.after.same_list(x) for s in run.plan.steps for x in (s.before, s.after)):
        what = f"{found}; that is none of run {run.plan.id}"
        raise NotHealthy(what, place=found.leader, remedy="zkprov status says what leads out of it")
    proved = proof.prove(servers_of(picture_of(survey)))
    if not proved.safe:
        raise NotHealthy(f"{found}; one quorum is not proved: {proved.verdict} (R1)", remedy="zkprov prove")
    host = world.host(found.leader)
    if (holder := host.fenced_by()) not in (None, run.plan.id):
        raise Busy(f"run {holder} has this host", place=found.leader, remedy="zkprov status")
    host.fence(run.plan.id, run.attempt)
    events.step = step.number
    events.emit("mend", what=f"{found}: restart the leader, {found.leader}, so that all elect by both lists")
    host.stop(STOP_S)
    host.start()
    committed = _committing(world, run, events=events, clock=clock, stop=stop)
    if found.leader not in run.plan.hosts:
        host.unfence(run.plan.id, run.attempt)
    return committed


def _committing(world: World, run: Stands, *, events: Events, clock: Clock, stop: threading.Event) -> Survey:
    """The first survey in which one leads and opens a session. Raises `NotHealthy` where that takes too long."""
    began = clock.monotonic()
    while True:
        survey = world.survey(clients=False)
        leader = _leader(survey)
        if leader is not None and leader.client is not None and world.opens_session(leader.client):
            took = clock.monotonic() - began
            events.emit("mend", what=f"{leader.name} leads and commits, after {took:.1f} s")
            return survey
        if clock.monotonic() - began > run.plan.options.step_timeout_s:
            raise NotHealthy("nobody leads and commits after the restart", remedy="zkprov status")
        _pause(clock, stop)


def _leader(survey: Survey) -> ServerFacts | None:
    leading = [f for f in picture_of(survey).members if leads(f)]
    return leading[0] if len(leading) == 1 else None


def _stands(leader: ServerFacts) -> tuple[str, int | None, int]:
    return leader.name, epoch_of(leader), leader.srvr.value.zxid if leader.srvr.value else 0


def _pause(clock: Clock, stop: threading.Event) -> None:
    if clock.wait(stop, LOOK_S):
        raise Interrupted("stopped by a signal", remedy="zkprov resume")
