"""Carries a plan out, step by step: survey, judge, act, survey, judge, record.

The invariant: each step begins from the list that its gates read (`from_config`), its intention is on disk and in the ledger
before the act, and its outcome is read from every server, never assumed (R9). Whatever is raised here, what stands is said.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from zkprov.act.session import leave
from zkprov.judge.verdict import GateResult
from zkprov.model.problems import Busy, Interrupted, NotHealthy, Problem, Stale
from zkprov.model.server import Role
from zkprov.plan.resting import too_late
from zkprov.plan.steps import HEAL, LEAVING, RENEWAL, SET_ADDRESS, SET_ROLE, SWITCHING, Plan, Step, StepKind
from zkprov.run import acts, adopting, confirming, leaving, moving, renewing, restarting, switching
from zkprov.run.backing_up import back_up
from zkprov.run.canary import Canary
from zkprov.run.clock import Clock
from zkprov.run.endpoints import endpoints_of
from zkprov.run.events import Events, Value, rfc3339
from zkprov.run.gating import GateFailed, Gatekeeper
from zkprov.run.journal import Journal, State
from zkprov.run.ledger import EnsembleLedger, RunDocument
from zkprov.run.result import Result
from zkprov.run.told import tell_pauses
from zkprov.run.undo import begins_with, undo
from zkprov.run.world import World

if TYPE_CHECKING:
    from kazoo.client import KazooClient


class Engine:
    """One run of one plan. The caller holds the lock, has opened the client, and has set `stop` up for signals."""

    def __init__(
        self,
        plan: Plan,
        world: World,
        *,
        client: KazooClient,
        ledger: EnsembleLedger,
        journal: Journal,
        events: Events,
        clock: Clock,
        stop: threading.Event,
        who: str,
        attempt: int = 0,
    ) -> None:
        self.plan, self.world, self.client, self.ledger = plan, world, client, ledger
        self.journal, self.events, self.clock, self.stop = journal, events, clock, stop
        self.canary: Canary | None = None
        self.came: dict[int, float] = {}  # whom this run made a voter, and when by the monotonic clock
        self.who, self.attempt = who, attempt
        self.until: float | None = None
        """By when the run rests, in seconds since 1970."""
        self.gates = Gatekeeper(world, plan.options, events, clock, stop, unneeded=plan.unneeded)
        self.in_hand: Step | None = None
        self.first = 1
        self.stands = ""  # what a step has done to a server, as long as it is not whole
        # hosts whose servers were started by somebody else on what an adoption has written, and has taken back
        self.keeps_what_was_written: list[str] = []
        world.on_play = self._played

    # -- the way through the steps

    def carry_out(self, first: int = 1) -> Result:
        """Runs the steps from number `first` on. Never raises for what the world does: it ends with a result that says what stands."""
        self.first = first
        try:
            for number in range(first, len(self.plan.steps) + 1):
                if number > first:
                    self._rest(number)
                self._take(self.plan.steps[number - 1])
        except Interrupted as stopped:
            return self.stopped(self.in_hand, stopped)
        except Stale as problem:
            return self.stopped(self.in_hand, Interrupted(problem.problem, place=problem.place, remedy=problem.remedy))
        except (GateFailed, Problem) as wrong:
            step = self.in_hand
            if self.stop.is_set():
                return self.stopped(step, Interrupted("stopped by a signal", remedy="zkprov resume"))
            assert step is not None  # noqa: S101 — raised within a step only
            if isinstance(wrong, GateFailed):
                # a danger that came up meanwhile is for a person, however clean the undoing was
                return self._ends(step, wrong.gate.summary, wrong.gate, code=3 if wrong.gate.unsafe else 4)
            return self._ends(step, str(wrong), None, wrong.remedy, wrong.exit_code if isinstance(wrong, Busy) else 4)
        except Exception:
            self._try_state(State.STOPPED, self.in_hand.number if self.in_hand else 1)
            raise
        try:
            self.fence(len(self.plan.steps))
            self.unfence()
            self.end(State.DONE, len(self.plan.steps))
        except Problem as problem:
            return self.stopped(self.in_hand, Interrupted(problem.problem, place=problem.place, remedy="zkprov resume"))
        pause = self.canary.total if self.canary else 0.0
        final, runs = self.plan.final, switching.said_of(self)
        return Result(
            self.plan.id,
            State.DONE,
            0,
            f"done: {final}" + (f", all run {runs[0]}" if runs else ""),
            stands=f"the list is {final}",
            next=runs[1:],
            longest_pause_s=round(pause, 3),
        )

    def _take(self, step: Step) -> None:
        self.in_hand, self.events.step = step, step.number
        self.gates.leaving = self.plan.excused(step.number)
        self.gates.releases = switching.may_run(self, step)
        if step.kind is StepKind.RESTART:
            self.in_hand = step = restarting.found_anew(self, step)
        self._turn_away(step)
        self.checkpoint()
        began = self.clock.monotonic()
        self.events.emit("step.begun", step=step.name, title=step.title, host=step.host)
        self.intend(step)
        self._hooks("before", step)
        said = self._done(step)
        self._hooks("after", step)
        tell_pauses(self)
        pause = self.canary.take_longest() if self.canary else 0.0
        took = self.clock.monotonic() - began
        self.events.emit("step.done", step=step.name, said=said, took_s=round(took, 2), longest_pause_s=round(pause, 3))

    def _done(self, step: Step) -> str:
        """What was done for it, in words."""
        match step.kind:
            case StepKind.START:
                return acts.start(self, step)
            case StepKind.ADMIT:
                return acts.change(self, step, Role.OBSERVER)
            case StepKind.PROMOTE:
                return acts.change(self, step, Role.PARTICIPANT)
            case StepKind.SETTLE:
                return acts.settle(self, step)
            case StepKind.SEASON:
                return acts.season(self, step)
            case StepKind.HAND_OVER | StepKind.DEMOTE:
                return leaving.hand_over(self, step)
            case StepKind.REMOVE:
                return leaving.remove(self, step)
            case StepKind.RETIRE:
                return leaving.retire(self, step)
            case StepKind.RESTART:
                return restarting.restart(self, step)
            case StepKind.RETURN:
                return renewing.bring_back(self, step)
            case StepKind.MOVE:
                return moving.move(self, step)
            case StepKind.BACKUP:
                return back_up(self, step)
            case StepKind.LAY_OUT:
                return switching.lay_out(self, step)
            case StepKind.FLAG:
                return adopting.flag(self, step)
            case StepKind.ADOPT:
                return adopting.adopt(self, step)
            case StepKind.CONFIRM:
                return confirming.confirm(self, step)
            case _:
                raise NotHealthy(f"{step.title}: it is done before the ensemble has one leader", remedy="zkprov abort")

    def _rest(self, number: int) -> None:
        """Ends the run for now where there is no time for what comes next. The step in hand is done, so the next one is named."""
        if self.until is None:
            return
        late = too_late(
            self.plan,
            number,
            now=self.clock.now(),
            until=self.until,
            measured=self.journal.measured(self.plan.ensemble),
        )
        if late:
            self.in_hand = self.plan.steps[number - 1]
            self.events.step = number
            raise Interrupted(f"it was to rest by {rfc3339(self.until)}: {late}", remedy="zkprov resume")

    def _turn_away(self, step: Step) -> None:
        """Our own sessions go to those that stay, and to those that came."""
        restarts = step.kind is StepKind.RESTART
        going = frozenset({step.server}) if restarts else self.plan.leaving if step.kind in LEAVING else frozenset()
        concerned = self.plan.leavers or self.plan.restarted
        if concerned and self.world.last and (endpoints := endpoints_of(self.world.last, going)):
            self.world.go_to(endpoints)
            if restarts:
                # what is asked for while a leader hands over is not to wait in its queue (measured: up to 1.8 s)
                leave(self.client, endpoints)

    def _played(self, line: dict[str, Any]) -> None:
        """One task of a play, as it ends. What cannot be recorded ends the run at its next own event, not within a play."""
        if line["outcome"] != "skipped":
            with contextlib.suppress(Problem):
                self.events.emit("play", **{k: line[k] for k in ("host", "play", "task", "outcome", "changed")})

    def _hooks(self, when: str, step: Step) -> None:
        """The operator's, around a step. A start over SSH is several plays, and each has hooks of its own."""
        if not step.host or self.plan.may_be_silent(step.host) or step.kind is StepKind.BACKUP:
            return
        if (
            step.kind in (StepKind.START, StepKind.RETURN)
            and self.world.inventory_host(step.host).connection != "local"
        ):
            return
        if self.world.hooks(when, str(step.kind), step.host, self.plan.id):
            self.events.emit("hook", hook=f"{when}-{step.kind}", host=step.host)

    def checkpoint(self) -> None:
        """A place where a run may end at once: a signal, or the kill switch."""
        if self.stop.is_set():
            raise Interrupted("stopped by a signal", remedy="zkprov resume")
        reason = self.ledger.paused()
        if reason is not None:
            raise Interrupted(
                f"paused: {reason or 'no reason given'}",
                place="/zkprov/paused",
                remedy="zkprov unpause, then zkprov resume",
            )

    def intend(self, step: Step) -> None:
        """On disk and in the ensemble before the act; the write in the ensemble is the fence."""
        self.journal.advance(self.plan.id, step.number, self.plan)
        self.fence(step.number)

    def fence(self, head: int) -> None:
        """Raises `Interrupted` when this run was taken over. A quorum write, so what this session asked for before it is decided."""
        self.ledger.advance(self.document(State.RUNNING, head))

    def unfence(self, *, given_up: bool = False) -> tuple[str, ...]:
        """Gives every host of the run back; those that could not be asked, and have its fence still.

        Only one of a server that leaves may be left so, or any of a restart that is given up.
        """
        stays = self.plan.rolls or self.plan.kind in (RENEWAL, HEAL)
        leaving = set(self.plan.hosts) if given_up and stays else {x.host for x in self.plan.leavers}
        left: list[str] = []
        for name in self.plan.hosts:
            try:
                self.world.host(name).unfence(self.plan.id, self.attempt)
            except Interrupted:
                raise
            except Busy:
                continue  # another run's by now
            except Problem:
                if name not in leaving:
                    raise
                left.append(name)
        return tuple(left)

    def document(self, state: State, head: int) -> RunDocument:
        return RunDocument(self.plan.id, state, head, self.attempt, self.who, self.plan)

    def end(self, state: State, head: int) -> None:
        """Records how the run ended, in the ensemble and here."""
        self.ledger.advance(self.document(state, head))
        self.journal.finish(self.plan.id, state, self.clock.now())

    # -- the ends

    def _ends(self, step: Step, why: str, gate: GateResult | None, remedy: str = "", code: int = 4) -> Result:
        """A step failed: what is surely undoable is undone, the rest stands and is said (R11)."""
        tell_pauses(self)
        self._say("step.failed", step=step.name, why=why, gate=gate.gate if gate else "")
        named = f"gate `{gate.gate}` failed" if gate else "failed"
        headline = f"Stopped at step {step.number} ({step.title}): {named}."
        evidence = tuple(str(e) for e in gate.evidence) if gate and gate.evidence else (why,)
        advice = (gate.remedy if gate else "") or remedy
        try:
            undone = undo(self, step)
            if undone is not None and self._begun_before(step):
                return self._rest_stands(step, headline, evidence, undone, advice, 3 if code == 3 else 7)
            if undone is not None:
                self.unfence()
                self.end(State.UNDONE, step.number)
        except Interrupted as stopped:
            return self.stopped(self._taken_back(step), stopped)
        except (Problem, GateFailed) as problem:
            self._try_state(State.STOPPED, self._taken_back(step).number)
            again = ("zkprov resume", "zkprov abort")
            return Result(
                self.plan.id,
                State.STOPPED,
                7,
                headline,
                (*evidence, f"undoing it failed: {problem}"),
                stands=self.stands or "see zkprov status",
                next=again,
            )
        if undone is None:
            self._try_state(State.STOPPED, self.plan.owner(step).number)
            return Result(
                self.plan.id,
                State.STOPPED,
                3 if code == 3 and self.plan.rolls else 7,
                headline,
                evidence,
                stands=self.left_standing(step),
                next=(advice or "zkprov status", "zkprov resume"),
            )
        stands, left = self._standing()
        return Result(
            self.plan.id,
            State.UNDONE,
            code,
            headline,
            evidence,
            undone,
            stands,
            (advice or "zkprov status", *left),
        )

    def _begun_before(self, step: Step) -> bool:
        """Whether other members were restarted before, so that what stands is not what was."""
        until = self.plan.owner(step).number
        return any(s.kind is StepKind.RESTART for s in self.plan.steps[: until - 1])

    def _rest_stands(
        self, step: Step, headline: str, evidence: tuple[str, ...], undone: str, advice: str, code: int
    ) -> Result:
        """A danger that came up meanwhile is for a person (3)."""
        self._try_state(State.STOPPED, self.plan.owner(step).number)
        following = (advice or "zkprov status", "zkprov resume", "zkprov abort")
        return Result(self.plan.id, State.STOPPED, code, headline, evidence, undone, self._turns(step), following)

    def _turns(self, step: Step) -> str:
        """Of a restart: who had a turn, and who not yet."""
        turns = [s for s in self.plan.steps if s.kind is StepKind.RESTART]
        until = self.plan.owner(step).number
        if self.plan.kind in SWITCHING:
            runs = self._runs(step)
            return "; ".join(
                f"{release}: {', '.join(str(i) for i in sorted(runs) if runs[i] == release)}"
                for release in sorted(set(runs.values()))
            )
        done = ", ".join(str(s.server) for s in turns if s.number < until)
        left = ", ".join(str(s.server) for s in turns if s.number >= until)
        what = "rebooted" if any(s.reboots for s in turns) else "restarted"
        return "; ".join(filter(None, (f"{what}: {done}" * bool(done), f"not yet: {left}" * bool(left))))

    def _runs(self, step: Step) -> dict[int, str]:
        """Who runs what: one that could not go back is no sign that it did."""
        if not self.stop.is_set():
            with contextlib.suppress(Problem):
                return switching.runs_now(self.world, self.plan, step)
        return self.plan.runs(self.plan.owner(step).number)

    def _taken_back(self, step: Step) -> Step:
        """Where a run that is taken up begins: with the joiner anew, once it is in the list no more."""
        with contextlib.suppress(Problem):
            if step.server not in self.ledger.live().ids:
                return self.plan.steps[begins_with(self.plan, step) - 1]
        return self.plan.owner(step)

    def left_standing(self, step: Step) -> str:
        """What of a step stands that is not undone, in words."""
        if self.plan.rolls:
            return "; ".join(filter(None, (self.stands, self._turns(step))))
        if self.plan.kind == HEAL:
            return self.stands or f"one side is alone; {step.title}: not yet"
        if self.plan.kind == RENEWAL:
            return self.stands or renewing.how_it_stands(self, step)[0]
        if self.plan.kind == SET_ADDRESS:
            with contextlib.suppress(Problem):
                return moving.how_it_stands(self, step, self.ledger.live())[0]
            return f"{step.server} is at its former place or at the new one: see zkprov status"
        if self.plan.kind == SET_ROLE:
            return (
                f"{step.server} is {'an observer' if step.server in self.plan.leaving else 'a voter'} of the list now"
            )
        if step.server not in self.plan.leaving:
            return (
                f"{step.server} is a voter of the list and stays one: a vote is not taken back without being asked for"
            )
        if step.kind in LEAVING:
            with contextlib.suppress(Problem):
                if step.server in self.ledger.live().ids:
                    return f"{step.server} is an observer of the list now, and no voter"
        return f"{step.server} is out of the list" + (
            "" if step.kind is StepKind.SETTLE else ", and not retired yet (R7)"
        )

    def _standing(self) -> tuple[str, tuple[str, ...]]:
        """The list as it is now, and the command for those of the run that it does not hold, or holds, as it should."""
        try:
            live = self.ledger.live()
        except Problem:
            return "see zkprov status", ()
        if self.plan.rolls or self.plan.kind in (RENEWAL, SET_ROLE, SET_ADDRESS):
            return f"the list is {live}", ()
        hosts = [j.host for j in self.plan.joiners if j.server.id not in live.ids]
        leavers = [x.host or str(x.server.id) for x in self.plan.leavers if x.server.id in live.ids]
        command = f"zkprov add-node {' '.join(hosts)}" if hosts else f"zkprov remove-node {' '.join(leavers)}"
        return f"the list is {live}", (command,) if hosts or leavers else ()

    def stopped(self, step: Step | None, why: Interrupted) -> Result:
        """The run ends here with what it has begun standing; `resume` takes it up."""
        tell_pauses(self)
        self._say("run.stopped", why=str(why))
        self._try_state(State.STOPPED, step.number if step else 1)
        where = f"before or in step {step.number} ({step.title})" if step else "before the first step"
        return Result(
            self.plan.id,
            State.STOPPED,
            why.exit_code,
            f"Stopped {where}: {why}.",
            stands=self.stands,
            next=(why.remedy or "zkprov resume",),
        )

    def _say(self, kind: str, **evidence: Value) -> None:
        """An event of the end, told as far as that is possible: what cannot be recorded is what ends the run."""
        with contextlib.suppress(Problem):
            self.events.emit(kind, **evidence)

    def _try_state(self, state: State, head: int) -> None:
        """The end of a run is recorded as far as that is possible; a resume reads the truth from the servers anyway."""
        try:
            self.ledger.advance(self.document(state, head))
        except Problem as problem:
            self._say("ledger.missed", why=str(problem))
        with contextlib.suppress(Problem):
            # the same place as in the ledger: whoever finds nobody who serves goes by it
            self.journal.advance(self.plan.id, head, self.plan)
            self.journal.finish(self.plan.id, state, self.clock.now())
