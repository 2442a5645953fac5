"""Opens and closes what a run needs around its engine: session, rights, lock, kill switch, ledger, journal, canary."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from zkprov.act import reconfig
from zkprov.act.session import close
from zkprov.judge.gates import fixed_list
from zkprov.judge.picture import picture_of
from zkprov.model.facts import Survey
from zkprov.model.problems import Busy, Interrupted, NotHealthy, Problem
from zkprov.model.server import HostPort
from zkprov.plan.founding import FENCE
from zkprov.plan.options import checked
from zkprov.plan.resting import stands_amid, too_late
from zkprov.plan.steps import ADOPTION, HEAL, Plan, Step
from zkprov.run import lock
from zkprov.run.awaited_vote import bring_vote, standing_run
from zkprov.run.canary import Canary
from zkprov.run.clock import Clock
from zkprov.run.disks_aside import told_at_end
from zkprov.run.endpoints import endpoints_of
from zkprov.run.engine import Engine
from zkprov.run.entries import ensure_ledger
from zkprov.run.events import Event, Events, rfc3339
from zkprov.run.gating import GateFailed
from zkprov.run.giving_up import given_up
from zkprov.run.healer import Healer, standing_heal
from zkprov.run.journal import OPEN_STATES, Journal, Run, State
from zkprov.run.leaving import remember
from zkprov.run.ledger import LOCK, EnsembleLedger, RunDocument
from zkprov.run.moving import look_where_it_is
from zkprov.run.no_right import rights_remedy
from zkprov.run.pending_reconfig import commit_pending, standing_change, start_left
from zkprov.run.result import Result
from zkprov.run.stopped_server import standing_roll, start_stopped
from zkprov.run.told import tell_end
from zkprov.run.unadopting import drop_formers
from zkprov.run.unchanged import carried_out, renders, same_place, same_sources, still_true
from zkprov.run.undo import undo
from zkprov.run.world import SESSION_S, World

if TYPE_CHECKING:
    from kazoo.client import KazooClient


class Conductor:
    """Carries out, resumes and aborts runs on one world. `readers` get every event; `stop` ends a run within seconds."""

    def __init__(
        self,
        world: World,
        journal: Journal,
        *,
        who: str,
        clock: Clock,
        stop: threading.Event,
        readers: list[Callable[[Event], None]],
    ) -> None:
        self.world, self.journal, self.who, self.clock, self.stop = world, journal, who, clock, stop
        self.readers = self._readers = [journal.record, *readers]
        self.lock_timeout_s = 0.0  # how long another run's lock is waited for; 0: as long as a dead one's takes to go
        self.until: float | None = None  # by when the run rests, in seconds since 1970
        world.stop = stop
        self._run = ""

    def give_up(self) -> None:
        """For whoever must end this process at once after a signal: records that the run stopped here. Raises nothing."""
        with contextlib.suppress(Exception):
            if self._run:
                self.journal.finish(self._run, State.STOPPED, self.clock.now())

    def apply(self, plan: Plan) -> Result:
        """Carries a plan out; of one whose end stands already it says so. Raises any `Problem` as long as nothing was begun."""
        if plan.kind == HEAL:
            return Healer(self).apply(plan)
        survey = self.world.last or self.world.survey()
        live = picture_of(survey).live if plan.moved else None
        if live is not None:
            look_where_it_is(self.world, plan, live)
            survey = self.world.survey()
        same_sources(self.world, plan)
        # a plan is a file, and what it may ask for was checked where it was made
        checked(plan.options, self.world.inventory)
        self._all_free(plan)
        renders(self.world, plan, survey)
        with self._acting(survey) as (client, ledger, endpoints):
            refused = reconfig.rights(client, plan.servers[0]) if plan.servers and plan.reconfigures else ""
            if refused:
                raise NotHealthy(
                    f"this ensemble cannot be changed from here: {refused}",
                    place=plan.ensemble,
                    remedy=rights_remedy(refused, self.world),
                )
            if self.stop.is_set():
                raise Interrupted("stopped by a signal before anything was begun")
            with self._locked(ledger, plan.id, wait_s=SESSION_S * 2, for_nobody=True):
                self._all_free(plan, waited=True)
                survey, ended = self.world.survey(clients=False), self.clock.monotonic()
                standing = ledger.read_run()
                unfinished = standing if standing is not None and standing.state in OPEN_STATES else None
                if unfinished is None:
                    if (nothing := carried_out(self.world, plan, survey, standing)) is not None:
                        return nothing
                    still_true(self.world, plan, survey)
                _not_paused(ledger)
                if unfinished is not None:
                    raise _unfinished(unfinished)
                self._in_time(plan, 1)
                # a plan that was undone may be applied again, and then lays disks aside under other names
                attempt = standing.attempt + 1 if standing is not None and standing.run == plan.id else 0
                self.begin(plan, 1, attempt)
                try:
                    ensure_ledger(self.world, ledger, plan, survey)
                    ledger.claim(RunDocument(plan.id, State.RUNNING, 1, attempt, self.who, plan))
                except Problem:
                    self.journal.finish(plan.id, State.ABORTED, self.clock.now())
                    raise
                run = self._engine(plan, client, ledger, attempt)
                run.engine.gates.keep(survey, ended)
                return run.result(first=1, endpoints=endpoints)

    def _all_free(self, plan: Plan, *, waited: bool = False) -> None:
        """Raises `Busy` where another run has one of the plan's hosts. One that may end while its lock is waited for, is asked of then."""
        if waited is (self.lock_timeout_s > 0):
            for name in plan.hosts:
                self.free(plan, name)

    def free(self, plan: Plan, name: str) -> None:
        """Raises `Busy` where another run has the host."""
        host = self.world.host(name)
        try:
            holder = host.fenced_by()
        except Problem:
            if plan.may_be_silent(name):
                return
            raise
        if holder not in (None, plan.id):
            over = f"over for sure? rm {host.fence_file}, on {name}"
            remedy = f"finish it first, where it was begun: zkprov resume, or zkprov abort; {over}"
            if holder.startswith(FENCE):
                remedy = "the founding is not over: zkprov bootstrap"
            raise Busy(f"run {holder} has this host", place=name, remedy=remedy)

    def resume(self, only: str = "") -> Result | None:
        """Takes up the run that stands unfinished, by the ledger, else by the journal; None where there is none.

        `only`: the run that is meant. Raises `Busy` where another one stands.

        Where one voter waits for a second that died in its promotion, the second is brought in first (`awaited_vote`); where nobody serves
        because of a restart that was cut off, who was stopped for it is started (`stopped_server`).
        Raises `Stale` when the inventory or the templates are not those that the plan was made from.
        """
        if (heal := standing_heal(self.journal, self.world.inventory.ensemble)) is not None:
            return Healer(self).resume(heal, only)
        survey = self._somebody_serves(standing_run, bring_vote, self.world.survey())
        survey = self._commits(self._somebody_serves(standing_roll, start_stopped, survey))
        with self._acting(survey) as (client, ledger, endpoints):
            standing = self._standing(ledger)
            if standing is None:
                return None
            with self._locked(ledger, standing.run, wait_s=SESSION_S * 2):
                _not_paused(ledger)
                standing = self._standing(ledger)
                if standing is None:
                    return None
                if only not in ("", standing.run):
                    raise _unfinished(standing)
                same_sources(self.world, standing.plan, "or end the run: zkprov abort")
                checked(standing.plan.options, self.world.inventory)
                begun = self.journal.begun(standing.run, standing.head)
                if not stands_amid(standing.plan, standing.head, begun=begun):
                    self._in_time(standing.plan, standing.head)
                plan, attempt = self._taken(standing, ledger)
                ensure_ledger(self.world, ledger, plan)
                ledger.claim(RunDocument(plan.id, State.RUNNING, standing.head, attempt, self.who, plan))
                run = self._engine(plan, client, ledger, attempt)
                run.engine.events.emit("run.resumed", head=standing.head, attempt=attempt, first_by=standing.who)
                return run.result(first=standing.head, endpoints=endpoints)

    def abort(self) -> Result | None:
        """Ends the unfinished run: a joiner that votes for nothing is taken back, the rest stands; None where there is none."""
        heal = standing_heal(self.journal, self.world.inventory.ensemble)
        if heal is not None:
            return Healer(self).abort(heal)
        survey = self.world.survey()
        if not endpoints_of(survey) and standing_run(self.journal, self.world.inventory.ensemble):
            what = (
                "no member of the ensemble could be read, and one voter may wait for a second: that is not taken back"
            )
            raise NotHealthy(what, place=self.world.inventory.path, remedy="zkprov resume")
        survey = self._commits(self._somebody_serves(standing_roll, start_stopped, survey))
        with self._acting(survey) as (client, ledger, _):
            standing = self._standing(ledger)
            if standing is None:
                return None
            with self._locked(ledger, standing.run, wait_s=SESSION_S * 2, whatever_is_paused=True):
                standing = self._standing(ledger)
                if standing is None:
                    return None
                same_place(self.world, standing)
                plan, attempt = self._taken(standing, ledger)
                ledger.claim(RunDocument(plan.id, State.RUNNING, standing.head, attempt, self.who, plan))
                engine = self._engine(plan, client, ledger, attempt).engine
                step = plan.steps[standing.head - 1]
                engine.gates.leaving = plan.excused(step.number)
                try:
                    engine.events.emit("run.aborting", head=standing.head, by=self.who)
                    undone = undo(engine, step, asked=True)
                    if undone is None and step.server in plan.leaving:
                        if step.server not in ledger.live().ids:
                            remember(engine, step)
                    elif undone is None:
                        # a voter that came in unrecorded is a newcomer from now on (R2)
                        ensure_ledger(self.world, ledger, plan)
                    live = ledger.live()
                    if plan.kind == ADOPTION:
                        drop_formers(engine)
                    left = engine.unfence(given_up=True)
                    engine.end(State.ABORTED, standing.head)
                except (Problem, GateFailed) as wrong:
                    remedy = getattr(wrong, "remedy", "") or "zkprov abort, or zkprov resume"
                    return tell_end(engine, engine.stopped(step, Interrupted(f"not aborted: {wrong}", remedy=remedy)))
                return tell_end(engine, given_up(engine, step, live, undone, left))

    def go_on(self, plan: Plan, head: int, attempt: int) -> Result:
        """The rest of a heal, once one side is alone: by lock and ledger, which has the run from now on.

        Raises `Busy` where the ensemble is paused, or its ledger has another run as unfinished.
        """
        with (
            self._acting(self.world.survey()) as (client, ledger, endpoints),
            self._locked(ledger, plan.id, wait_s=SESSION_S * 2),
        ):
            _not_paused(ledger)
            standing = ledger.read_run()
            if standing is not None and standing.run == plan.id:
                attempt = max(attempt, standing.attempt + 1)
                if standing.state in OPEN_STATES:
                    head = max(head, standing.head)
            elif standing is not None and standing.state in OPEN_STATES:
                raise _unfinished(standing)
            self.begin(plan, head, attempt)
            ensure_ledger(self.world, ledger, plan)
            ledger.claim(RunDocument(plan.id, State.RUNNING, head, attempt, self.who, plan))
            return self._engine(plan, client, ledger, attempt).rest(head, endpoints)

    def end_in_ledger(self, plan: Plan, head: int, attempt: int) -> None:
        """A heal that is given up once one side is alone: the ledger, where it has the run as unfinished, has it as aborted then."""
        with (
            self._acting(self.world.survey()) as (_, ledger, _endpoints),
            self._locked(ledger, plan.id, wait_s=SESSION_S * 2, whatever_is_paused=True),
        ):
            standing = ledger.read_run()
            if standing is not None and standing.run == plan.id and standing.state in OPEN_STATES:
                ledger.claim(RunDocument(plan.id, State.ABORTED, head, attempt, self.who, plan))

    def _in_time(self, plan: Plan, number: int) -> None:
        """Raises `Busy` where there is no time for the first thing to do: nothing is begun then."""
        if self.until is None:
            return
        measured = self.journal.measured(plan.ensemble)
        if late := too_late(plan, number, now=self.clock.now(), until=self.until, measured=measured):
            raise Busy(
                f"not begun, since it is to rest by {rfc3339(self.until)}: {late}",
                remedy="begin earlier, or give it until later",
            )

    def _somebody_serves(
        self,
        standing: Callable[[Journal, str], tuple[Run, Step] | None],
        mend: Callable[..., Survey],
        survey: Survey,
    ) -> Survey:
        """Where nobody serves, and the journal says that it is this run's doing: mended first, and looked at again."""
        found = None if endpoints_of(survey) else standing(self.journal, self.world.inventory.ensemble)
        if found is None:
            return survey
        self._run = found[0].id
        events = Events(self._run, self.clock.now, self._readers)
        return mend(self.world, found, survey, events=events, clock=self.clock, stop=self.stop)

    def _commits(self, survey: Survey) -> Survey:
        """Where a promotion of the run that stands keeps the ensemble from committing anything: mended first, and looked at again."""
        found = standing_change(self.journal, self.world.inventory.ensemble)
        if found is None:
            return survey
        self._run = found[0].id
        events = Events(self._run, self.clock.now, self._readers)
        survey = start_left(self.world, self.journal, found, survey, events=events, clock=self.clock, stop=self.stop)
        return commit_pending(self.world, found, survey, events=events, clock=self.clock, stop=self.stop)

    def _standing(self, ledger: EnsembleLedger) -> RunDocument | None:
        """The unfinished run that the ledger holds. What only the journal takes for unfinished ended elsewhere, or never got there."""
        found = ledger.read_run()
        standing = found if found is not None and found.state in OPEN_STATES else None
        for mine in self.journal.unfinished(self.world.inventory.ensemble):
            if standing is None or mine.id != standing.run:
                ended = found.state if found is not None and found.run == mine.id else State.ABORTED
                self.journal.finish(mine.id, ended, self.clock.now())
        return standing

    def _taken(self, standing: RunDocument, ledger: EnsembleLedger) -> tuple[Plan, int]:
        """The plan of a run that is taken up, and the number of this attempt; recorded here before anything is done."""
        attempt = standing.attempt + 1
        self.begin(standing.plan, standing.head, attempt)
        look_where_it_is(self.world, standing.plan, ledger.live())
        return standing.plan, attempt

    def begin(self, plan: Plan, head: int, attempt: int) -> None:
        """Recorded here before anything is done."""
        self.journal.begin(plan, self.world.inventory.path, self.who, self.clock.now(), head=head, attempt=attempt)
        self._run = plan.id

    # -- around a run

    @contextlib.contextmanager
    def _acting(self, survey: Survey) -> Iterator[tuple[KazooClient, EnsembleLedger, tuple[HostPort, ...]]]:
        endpoints = endpoints_of(survey)
        if not endpoints:
            raise NotHealthy(
                "no member of the ensemble could be read", place=self.world.inventory.path, remedy="zkprov status"
            )
        client = self.world.connect(endpoints, self.stop)
        try:
            fixed = fixed_list(picture_of(survey))
            yield client, EnsembleLedger(client, self.world.is_known, self.stop, fixed), endpoints
        finally:
            close(client)

    @contextlib.contextmanager
    def _locked(
        self,
        ledger: EnsembleLedger,
        run: str,
        *,
        wait_s: float,
        for_nobody: bool = False,
        whatever_is_paused: bool = False,
    ) -> Iterator[None]:
        """The lock, waited for `wait_s` seconds, or `--lock-timeout`. `for_nobody`: without that flag only as long as no run is under
        way: it is then a run's that begins, or was killed before it began, and goes with its session.
        """
        # who waits has begun nothing: that is shown, and no event of a run for the journal
        events = Events(run, self.clock.now, self._readers[1:])
        limit_s = self.lock_timeout_s or wait_s if for_nobody else max(wait_s, self.lock_timeout_s)

        def meanwhile(holder: str, left_s: float) -> None:
            if not whatever_is_paused:
                _not_paused(ledger)
            if for_nobody and not self.lock_timeout_s:
                standing = ledger.read_run()
                if standing is not None and standing.state in OPEN_STATES:
                    raise lock.held(holder, LOCK)
            events.emit("waiting", holder=holder, left_s=round(left_s, 1), of_s=limit_s)

        ledger.lock(f"{self.who} run {run}", limit_s, self.stop, meanwhile)
        try:
            yield
        finally:
            ledger.unlock()

    def _engine(self, plan: Plan, client: KazooClient, ledger: EnsembleLedger, attempt: int) -> _Run:
        return _Run(self, plan, client, ledger, attempt)


class _Run:
    """An engine with its canary."""

    def __init__(
        self, conductor: Conductor, plan: Plan, client: KazooClient, ledger: EnsembleLedger, attempt: int
    ) -> None:
        self._conductor = conductor
        events = Events(plan.id, conductor.clock.now, conductor._readers)
        self.engine = Engine(
            plan, conductor.world, client=client, ledger=ledger, journal=conductor.journal, events=events, clock=conductor.clock,
            stop=conductor.stop, who=conductor.who, attempt=attempt,
        )  # fmt: skip
        self.engine.until = conductor.until

    def rest(self, first: int, endpoints: Sequence[HostPort]) -> Result:
        """Of a run that was begun already."""
        with self._singing(endpoints):
            result, plan = self.engine.carry_out(first), self.engine.plan
            return tell_end(self.engine, told_at_end(plan, result, self.engine.world, self.engine.journal))

    def result(self, first: int, endpoints: Sequence[HostPort]) -> Result:
        engine, plan = self.engine, self.engine.plan
        with self._singing(endpoints):
            try:
                engine.events.emit(
                    "run.begun",
                    plan=plan.id,
                    kind_of=plan.kind,
                    who=engine.who,
                    ensemble=plan.ensemble,
                    base=plan.base.version_hex,
                    steps=len(plan.steps),
                    titles=[step.title for step in plan.steps],
                )
            except Interrupted as stopped:
                return engine.stopped(None, stopped)
            return tell_end(engine, engine.carry_out(first))

    @contextlib.contextmanager
    def _singing(self, endpoints: Sequence[HostPort]) -> Iterator[None]:
        """With a canary, where a session of its own can be opened: it is told, not needed."""
        world, stop = self._conductor.world, self._conductor.stop
        canary = Canary(lambda: world.connect(endpoints, stop), self.engine.ledger.acl)
        self.engine.canary = canary
        canary.start()
        try:
            yield
        finally:
            canary.stop()


def _unfinished(run: RunDocument) -> Busy:
    what = f"run {run.run} by {run.who} is unfinished (step {run.head})"
    return Busy(what, place="/zkprov/run", remedy="zkprov resume, or zkprov abort")


def _not_paused(ledger: EnsembleLedger) -> None:
    reason = ledger.paused()
    if reason is not None:
        raise Busy(
            f"paused: {reason or 'no reason given'}",
            place="/zkprov/paused",
            remedy="zkprov unpause, when the reason is gone",
        )
