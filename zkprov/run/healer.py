"""A heal from its beginning to its end: first by the journal alone (`healing`), then, with one leader, as any run: lock, ledger, engine."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from zkprov.judge.picture import picture_of
from zkprov.model.problems import Busy, Interrupted, Problem, Stale
from zkprov.plan.options import checked
from zkprov.plan.steps import HEAL, SPLIT_STEPS, Plan
from zkprov.run.disks_aside import Aside, nothing_to_heal, set_aside_by
from zkprov.run.events import Events
from zkprov.run.gating import GateFailed
from zkprov.run.healing import Healing
from zkprov.run.journal import OPEN_STATES, Journal, Run, State
from zkprov.run.planning_heal import look_at_sides
from zkprov.run.result import Result
from zkprov.run.unchanged import same_sources

if TYPE_CHECKING:
    from zkprov.run.runner import Conductor


def standing_heal(journal: Journal, ensemble: str) -> Run | None:
    """The heal that this machine has as begun and not ended, if it is the last thing that was begun here."""
    found = journal.unfinished(ensemble)
    return found[0] if found and found[0].kind == HEAL else None


def asks_nobody(run: Run) -> bool:
    """Whether its next step needs no quorum."""
    return run.plan.steps[min(max(run.head, 1), len(run.plan.steps)) - 1].kind in SPLIT_STEPS


class Healer:
    """On one conductor."""

    def __init__(self, conductor: Conductor) -> None:
        self.conductor, self.world, self.journal = conductor, conductor.world, conductor.journal

    def apply(self, plan: Plan) -> Result:
        """Raises any `Problem` as long as nothing was begun; `Stale` where the sides are others than when it was planned."""
        same_sources(self.world, plan)
        checked(plan.options, self.world.inventory)
        before = next((r for r in self.journal.runs(plan.ensemble) if r.id == plan.id), None)
        if before is not None and before.state in OPEN_STATES:
            raise Busy(f"run {plan.id} is unfinished", place="the journal", remedy="zkprov resume, or zkprov abort")
        self._free(plan)
        if look_at_sides(self.world) is None:
            nothing = nothing_to_heal(f"nothing to heal: one side, {plan.base}", self.world, self.journal, plan.id)
            return msgspec.structs.replace(nothing, stands=f"the list is {plan.base}")
        self._not_paused(plan)
        if self.conductor.stop.is_set():
            raise Interrupted("stopped by a signal before anything was begun")
        attempt = before.attempt + 1 if before is not None else 0
        self.conductor.begin(plan, 1, attempt)
        return self._go(plan, 1, attempt)

    def resume(self, run: Run, only: str = "") -> Result:
        """From the step in hand. Raises `Busy` where another run is meant, `Stale` where the sources are others."""
        if only not in ("", run.id):
            raise Busy(f"run {run.id} is unfinished", place="the journal", remedy="zkprov resume, or zkprov abort")
        same_sources(self.world, run.plan, "or end the run: zkprov abort")
        self._free(run.plan)
        self._not_paused(run.plan)
        attempt = run.attempt + 1
        self.conductor.begin(run.plan, run.head, attempt)
        return self._go(run.plan, run.head, attempt)

    def abort(self, run: Run) -> Result:
        """Gives the hosts back; who is fenced stays so, and his disk where it is."""
        plan, attempt = run.plan, run.attempt + 1
        self.conductor.begin(plan, run.head, attempt)
        healing = self._healing(plan, attempt)
        healing.in_hand = plan.steps[min(run.head, len(plan.steps)) - 1]
        if not asks_nobody(run):
            self.conductor.end_in_ledger(plan, run.head, attempt)
        left = self._unfence(plan, attempt)
        self.journal.finish(plan.id, State.ABORTED, self.conductor.clock.now())
        stands = healing.stands + "".join(
            f"; {name} could not be asked, and has this run's fence still" for name in left
        )
        following = ("zkprov heal", "zkprov status") if healing.touched else ()
        aside: list[Aside] = []
        with contextlib.suppress(Problem):  # it is ended all the same, and the next heal names them
            aside = set_aside_by(run, self.world, self.journal)
        return Result(
            plan.id, State.ABORTED, 4 if following else 0, f"Aborted run {plan.id}.", tuple(f"set aside: {d}" for d in aside),
            undone="" if healing.touched else "nothing was begun", stands=stands, next=following,
        )  # fmt: skip

    # -- the way through it

    def _healing(self, plan: Plan, attempt: int) -> Healing:
        c = self.conductor
        events = Events(plan.id, c.clock.now, c.readers)
        return Healing(
            plan,
            self.world,
            journal=self.journal,
            events=events,
            clock=c.clock,
            stop=c.stop,
            who=c.who,
            attempt=attempt,
        )

    def _go(self, plan: Plan, first: int, attempt: int) -> Result:
        healing = self._healing(plan, attempt)
        healing.in_hand = plan.steps[first - 1]
        try:
            if attempt == 0:
                healing.events.emit(
                    "run.begun", plan=plan.id, kind_of=plan.kind, who=healing.who, ensemble=plan.ensemble,
                    base=plan.base.version_hex, steps=len(plan.steps), titles=[s.title for s in plan.steps],
                )  # fmt: skip
            else:
                healing.events.emit("run.resumed", head=first, attempt=attempt, first_by=plan.made_by)
            healing.carry_out(first)
        except (GateFailed, Problem) as wrong:
            return self._stopped(healing, wrong)
        except Exception:
            with contextlib.suppress(Problem):
                self.journal.finish(plan.id, State.STOPPED, self.conductor.clock.now())
            raise
        rest = next(s.number for s in plan.steps if s.kind not in SPLIT_STEPS)
        try:
            self.journal.advance(plan.id, max(first, rest), plan)
            result = self.conductor.go_on(plan, max(first, rest), attempt)
        except Problem as wrong:
            return self._stopped(healing, wrong, fenced=True)
        return result

    def _stopped(self, healing: Healing, wrong: GateFailed | Problem, *, fenced: bool = False) -> Result:
        """What stands is said. Before anybody may have been stopped nothing does, and the run is over."""
        plan, step = healing.plan, healing.in_hand
        gate = wrong.gate if isinstance(wrong, GateFailed) else None
        why = gate.summary if gate else str(wrong)
        remedy = gate.remedy if gate else wrong.remedy if isinstance(wrong, Problem) else ""
        with contextlib.suppress(Problem):
            healing.events.emit("step.failed", step=step.name, why=why, gate=gate.gate if gate else "")
        named = f"gate `{gate.gate}` failed" if gate else "failed"
        headline = f"Stopped at step {step.number} ({step.title}): {named}."
        evidence = tuple(str(e) for e in gate.evidence) if gate and gate.evidence else (why,)
        interrupted = isinstance(wrong, Interrupted) or self.conductor.stop.is_set()
        if healing.touched or fenced or interrupted:
            state, code, following = State.STOPPED, 7, tuple(filter(None, (remedy, "zkprov resume")))
            stands = healing.stands
        else:
            self._unfence(plan, healing.attempt)
            state, stands = State.ABORTED, "nobody was stopped"
            code = 4 if gate or isinstance(wrong, GateFailed) else wrong.exit_code
            code = 6 if isinstance(wrong, Stale) else code
            following = tuple(filter(None, (remedy,)))
        with contextlib.suppress(Problem):
            self.journal.finish(plan.id, state, self.conductor.clock.now())
        result = Result(plan.id, state, code, headline, evidence, stands=stands, next=tuple(dict.fromkeys(following)))
        with contextlib.suppress(Problem):
            healing.events.emit(
                "run.ended", state=str(state), exit_code=code, headline=headline, evidence=list(evidence), undone="", stands=stands,
                next=list(result.next), longest_pause_s=0.0,
            )  # fmt: skip
        return result

    def _free(self, plan: Plan) -> None:
        for name in plan.hosts:
            self.conductor.free(plan, name)

    def _unfence(self, plan: Plan, attempt: int) -> list[str]:
        left = []
        for name in plan.hosts:
            try:
                host = self.world.host(name)
                if host.fenced_by() == plan.id:
                    host.unfence(plan.id, attempt)
            except Problem:
                left.append(name)
        return left

    def _not_paused(self, plan: Plan) -> None:
        """The kill switch of the kept side, where it can be read."""
        survey = self.world.last or self.world.survey(clients=False)
        kept = {x.name for x in plan.split.kept.servers} if plan.split else set()
        reasons = [
            f.ledger.value.paused
            for f in picture_of(survey, plan.base).survey.servers
            if f.name in kept and f.ledger.value
        ]
        if reason := next((r for r in reasons if r), ""):
            raise Busy(f"paused: {reason}", place="/zkprov/paused", remedy="zkprov unpause, when the reason is gone")
