"""Where the promotion of a run waits for acknowledgements that nobody can give any more: who is promoted is restarted, and it is committed.

It is done where no session is opened, so no write is lost by the election that comes of it. The host is the run's own, and what runs there
has no vote yet. There is no ledger to ask meanwhile: what the journal of this machine has as begun is gone by, and the host's fence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from zkprov.act.hosts import STOP_S
from zkprov.judge.leaving import not_to_be_started
from zkprov.judge.may_act import servers_of
from zkprov.judge.pending_reconfig import Pending, pending_reconfig
from zkprov.judge.picture import epoch_of, leads, picture_of
from zkprov.judge.stuck import SHUT_S
from zkprov.model import proof
from zkprov.model.facts import ServerFacts, Survey
from zkprov.model.problems import Busy, Interrupted, NotHealthy
from zkprov.plan.steps import Plan, Step, StepKind
from zkprov.run.clock import Clock
from zkprov.run.events import Events
from zkprov.run.journal import Journal, Run
from zkprov.run.world import World

if TYPE_CHECKING:
    import threading

MEND = "mend"
BY_HAND = "zkprov status says what leads out of it"
LOOK_S = 0.3
"""Between two looks, besides the time that a session is waited for."""


class Stands(Protocol):
    """A run, as far as is needed of one here."""

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

    Raises `NotHealthy` when that does not come about in the time of a step, or at once where what waits is no promotion of the run's;
    `Busy` where another run has the host; `Interrupted` on a signal.
    """
    run, step = standing
    deadline = clock.monotonic() + run.plan.options.step_timeout_s
    was: object = None
    since = clock.monotonic()
    while (found := waits(survey)) is not None:
        leader = _leader(survey)
        opens = world.opens_session(leader.client) if leader is not None and leader.client is not None else None
        if opens:
            return survey
        now, stands = clock.monotonic(), _stands(leader, found)
        if opens is None or stands != was:
            was, since = stands, now
        elif found.to_restart and now - since >= SHUT_S:
            if not _ours(found, step):
                raise NotHealthy(f"{found}; it is none of run {run.plan.id}", place=found.leader, remedy=BY_HAND)
            if _restarted(world, run, step, survey, found, leader, events):
                return _committing(world, run, events=events, clock=clock, stop=stop)
            was = None
        if now > deadline:
            raise NotHealthy(str(found), place=found.leader, remedy=BY_HAND)
        _pause(clock, stop)
        survey = world.survey(clients=False)
    return survey


def _ours(found: Pending, step: Step) -> bool:
    """Whether it is the promotion that the step makes; any other is a person's."""
    return step.kind is StepKind.PROMOTE and found.to_restart == step.host and found.after.same_list(step.after)


def start_left(
    world: World,
    journal: Journal,
    standing: tuple[Run, Step],
    survey: Survey,
    *,
    events: Events,
    clock: Clock,
    stop: threading.Event,
) -> Survey:
    """Starts who is promoted, where this run stopped it for that and was ended before it had started it again. Else `survey` as it is."""
    run, step = standing
    facts = survey.by_name(step.host)
    if step.kind is not StepKind.PROMOTE or facts is None or facts.up:
        return survey
    if not any(e.kind == MEND and e.step == step.number for e in journal.events(run.id)):
        return survey
    host = world.host(step.host)
    if (
        host.fenced_by() != run.id
        or host.is_active()
        or not_to_be_started(facts.disk.value, run.plan.server(step.server))
    ):
        return survey
    events.step = step.number
    host.fence(run.id, run.attempt)
    events.emit(MEND, what=f"this run has stopped {step.host}: start")
    host.start()
    return _committing(world, run, events=events, clock=clock, stop=stop)


def _restarted(
    world: World, run: Stands, step: Step, survey: Survey, found: Pending, leader: ServerFacts | None, events: Events
) -> bool:
    """Whether it was, since nothing is committed to the last."""
    proved = proof.prove(servers_of(picture_of(survey)))
    if not proved.safe:
        raise NotHealthy(f"{found}; one quorum is not proved: {proved.verdict} (R1)", remedy="zkprov prove")
    host = world.host(step.host)
    if (holder := host.fenced_by()) != run.plan.id:
        what = f"run {holder} has this host" if holder else f"this host has no fence of run {run.plan.id}"
        raise Busy(what, place=step.host, remedy=BY_HAND)
    host.fence(run.plan.id, run.attempt)
    if leader is None or leader.client is None or world.opens_session(leader.client) is not False:
        return False
    events.step = step.number
    events.emit(MEND, what=f"{found}: restart {step.host}, so that all elect by both lists")
    host.stop(STOP_S)
    host.start()
    return True


def _committing(world: World, run: Stands | Run, *, events: Events, clock: Clock, stop: threading.Event) -> Survey:
    """The first survey in which one leads and opens a session. Raises `NotHealthy` where that takes too long."""
    began = clock.monotonic()
    while True:
        survey = world.survey(clients=False)
        leader = _leader(survey)
        if leader is not None and leader.client is not None and world.opens_session(leader.client):
            took = clock.monotonic() - began
            events.emit(MEND, what=f"{leader.name} leads and commits, after {took:.1f} s")
            return survey
        if clock.monotonic() - began > run.plan.options.step_timeout_s:
            raise NotHealthy("nobody leads and commits after the restart", remedy="zkprov status, then zkprov resume")
        _pause(clock, stop)


def _leader(survey: Survey) -> ServerFacts | None:
    leading = [f for f in picture_of(survey).members if leads(f)]
    return leading[0] if len(leading) == 1 else None


def _stands(leader: ServerFacts | None, found: Pending) -> object:
    """What must stay as it is for a while: who leads, at which zxid, and what each voter does."""
    if leader is None or leader.srvr.value is None:
        return object()
    return leader.name, epoch_of(leader), leader.srvr.value.zxid, found.acknowledge, found.look, found.missing


def _pause(clock: Clock, stop: threading.Event) -> None:
    if clock.wait(stop, LOOK_S):
        raise Interrupted("stopped by a signal", remedy="zkprov resume")
