"""Carries a plan out, step by step: survey, judge, act, survey, judge, record.

The invariant: each step begins from the list that its gates read (`from_config`), its intention is on disk and in the ledger
before the act, and its outcome is read from every server, never assumed (R9). Whatever is raised here, what stands is said.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from zkprov.act import reconfig
from zkprov.judge.gates import serving_voters
from zkprov.judge.health import Condition, Health, judge, ledger_of
from zkprov.judge.joiner import joiner_follows
from zkprov.judge.newcomers import another_disk, newcomers, newcomers_rule
from zkprov.judge.one_quorum import prove_step
from zkprov.judge.picture import picture_of
from zkprov.judge.verdict import GateResult, Purpose, Verdict, first_stop
from zkprov.model.facts import LedgerMember, Survey
from zkprov.model.members import Members
from zkprov.model.problems import Busy, Interrupted, Problem, Stale
from zkprov.model.server import Role, Server
from zkprov.plan.steps import Plan, Step, StepKind, seconds
from zkprov.run.canary import Canary
from zkprov.run.clock import Clock
from zkprov.run.events import Events
from zkprov.run.journal import Journal, State
from zkprov.run.ledger import EnsembleLedger, RunDocument
from zkprov.run.undo import undo_joiner
from zkprov.run.world import World

if TYPE_CHECKING:
    from kazoo.client import KazooClient

POLL_S = 0.05
"""Between two looks while a fact is waited for."""


class GateFailed(Exception):
    """A gate that a step needs did not pass in time."""

    def __init__(self, gate: GateResult, server: int | None = None) -> None:
        super().__init__(gate.summary)
        self.gate, self.server = gate, server


class Result(msgspec.Struct, frozen=True):
    """How a run ended. `stands`: what is in place now; `undone`: what was taken back; `next`: commands to type."""

    run: str
    state: State
    exit_code: int
    headline: str
    evidence: tuple[str, ...] = ()
    undone: str = ""
    stands: str = ""
    next: tuple[str, ...] = ()
    longest_pause_s: float = 0.0


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
        self.who, self.attempt = who, attempt
        self._doubted_since: float | None = None
        self._last: Survey | None = None

    # -- the way through the steps

    def carry_out(self, first: int = 1) -> Result:
        """Runs the steps from number `first` on. Never raises for what the world does: it ends with a result that says what stands."""
        step: Step | None = None
        try:
            for step in self.plan.steps[first - 1 :]:
                self._take(step)
        except GateFailed as failed:
            assert step is not None  # noqa: S101 — raised within a step only
            return self._ends(step, failed.gate.summary, failed.gate)
        except Interrupted as stopped:
            return self._stopped(step, stopped)
        except (Busy, Stale) as problem:
            return self._stopped(step, Interrupted(problem.problem, place=problem.place, remedy=problem.remedy))
        except Problem as problem:
            if step is None:
                raise
            return self._ends(step, str(problem), None, remedy=problem.remedy)
        for joiner in self.plan.joiners:
            self.world.host(joiner.host).unfence(self.plan.id)
        self.end(State.DONE, len(self.plan.steps))
        pause = self.canary.total if self.canary else 0.0
        final = self.plan.final
        return Result(
            self.plan.id,
            State.DONE,
            0,
            f"done: {final}",
            stands=f"the list is {final}",
            longest_pause_s=round(pause, 3),
        )

    def _take(self, step: Step) -> None:
        self.events.step = step.number
        self._checkpoint()
        began = self.clock.monotonic()
        self.events.emit("step.begun", step=step.name, title=step.title, host=step.host)
        self._intend(step)
        match step.kind:
            case StepKind.START:
                said = self._start(step)
            case StepKind.ADMIT:
                said = self._change(step, Role.OBSERVER)
            case StepKind.PROMOTE:
                said = self._change(step, Role.PARTICIPANT)
            case StepKind.SETTLE:
                said = self._settle(step)
            case StepKind.SEASON:
                said = self._season(step)
        pause = self.canary.take_longest() if self.canary else 0.0
        took = self.clock.monotonic() - began
        self.events.emit("step.done", step=step.name, said=said, took_s=round(took, 2), longest_pause_s=round(pause, 3))

    def _checkpoint(self) -> None:
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

    def _intend(self, step: Step) -> None:
        """On disk and in the ensemble before the act; the write in the ensemble is the fence."""
        self.journal.advance(self.plan.id, step.number)
        self.ledger.advance(self.document(State.RUNNING, step.number))

    def document(self, state: State, head: int) -> RunDocument:
        return RunDocument(self.plan.id, state, head, self.attempt, self.who, self.plan)

    def end(self, state: State, head: int) -> None:
        """Records how the run ended, in the ensemble and here."""
        self.ledger.advance(self.document(state, head))
        self.journal.finish(self.plan.id, state, self.clock.now())

    # -- looking

    def look(self, names: list[str] | None = None) -> Survey:
        return self.world.survey(names)

    def health(self) -> Health:
        """One sample, judged for a change; remembers for how long two leaders have been declared."""
        survey = self.look()
        doubted = 0.0 if self._doubted_since is None else self.clock.monotonic() - self._doubted_since
        health = judge(survey, Purpose.CHANGE, earlier=self._last, doubted_s=doubted)
        several = sum(not x.stranger for x in health.leaders) > 1
        self._doubted_since = (self._doubted_since or self.clock.monotonic()) if several else None
        self._last = survey
        return health

    def gates(
        self,
        *,
        samples: int = 1,
        expect: Members | None = None,
        also: Callable[[Health], GateResult | None] | None = None,
    ) -> Health:
        """Waits until all gates pass in `samples` surveys in a row. Raises `GateFailed` when time runs out, at once when unsafe."""
        deadline = self.clock.monotonic() + self.plan.options.step_timeout_s
        good, told = 0, ""
        while True:
            health = self.health()
            failing = first_stop(health.gates) or _expected(health, expect) or (also(health) if also else None)
            if failing is None:
                good += 1
                if samples > 1:
                    self.events.emit("sample", good=good, of=samples, evidence=[f"{len(health.gates)} gates pass"])
                if good >= samples:
                    self.events.emit("gates", passed=[g.gate for g in health.gates if g.verdict is Verdict.PASS])
                    return health
            else:
                good = 0
                if failing.summary != told:
                    told = failing.summary
                    self.events.emit("gate", gate=failing.gate, verdict=str(failing.verdict), summary=failing.summary)
                if health.condition is Condition.UNSAFE or self.clock.monotonic() > deadline:
                    raise GateFailed(failing)
            self._pause(self.plan.options.interval_s if good else POLL_S)

    def _pause(self, wait_s: float) -> None:
        if self.clock.wait(self.stop, wait_s):
            raise Interrupted("stopped by a signal", remedy="zkprov resume")

    # -- the steps

    def _start(self, step: Step) -> str:
        joiner = self.plan.joiner(step.server)
        health = self.gates()
        live = _live(health)
        if live.get(step.server):
            return "is in the list already"
        host = self.world.host(step.host)
        host.fence(self.plan.id)
        if host.exists() and self.attempt:
            host.stop(10)
            where = host.set_aside(f"set-aside-{self.plan.id}-{self.attempt}")
            self.events.emit("act", what=f"{step.host}: what an earlier attempt left is at {where}")
        self._prove(health, live, live, joiner.server)
        release = next((f.srvr.value.release for f in health.picture.members if f.srvr.value), "")
        files = self.world.render(step.host, joiner.server, live, release)
        self.events.emit("act", what=f"{step.host}: install, configure ({', '.join(sorted(files))}), start")
        host.install()
        host.configure(dict(files), self.plan.id)
        host.enable()
        host.start()
        deadline = self.clock.monotonic() + self.plan.options.step_timeout_s
        while True:
            survey = self.look([step.host])
            facts = survey.by_name(step.host)
            if facts is not None and facts.serving:
                survey = self.look()
                gate = joiner_follows(picture_of(survey), step.host, step.server)
                if gate.verdict is Verdict.PASS:
                    return gate.summary
                summary = gate.summary
            else:
                summary = f"{step.host}: {facts.srvr if facts else 'not seen'}"
                gate = GateResult(
                    "joiner",
                    Verdict.FAIL,
                    summary,
                    remedy=f"look at the log in {self.world.inventory_host(step.host).log_dir}",
                )
            if not host.is_active():
                raise GateFailed(
                    msgspec.structs.replace(
                        gate, verdict=Verdict.FAIL, summary=f"{step.host}: the server ended by itself"
                    )
                )
            if self.clock.monotonic() > deadline:
                raise GateFailed(gate)
            self._pause(POLL_S)

    def _change(self, step: Step, role: Role) -> str:
        joiner = self.plan.joiner(step.server)
        want = joiner.server.with_role(role)
        promote = role is Role.PARTICIPANT
        samples = self.plan.options.samples if promote else 1

        def follows(health: Health) -> GateResult | None:
            listed = health.picture.live.get(step.server) if health.picture.live else None
            if listed is not None:
                return None
            gate = joiner_follows(health.picture, step.host, step.server)
            return None if gate.verdict is Verdict.PASS else gate

        health = self.gates(samples=samples, also=follows)
        live = _live(health)
        present = live.get(step.server)
        applied = present is not None and (present.role is role or present.votes)
        if not applied:
            if not live.same_list(step.before):
                raise Stale(
                    f"the list is {live}, the plan expects {step.before}: somebody else changed it",
                    remedy="zkprov abort, then plan again",
                )
            self._rules(health, live, live.with_server(want), want)
            self._checkpoint()
            self._intend(step)
            self.events.emit("act", what=f"reconfig joining {want.line} from config {live.version_hex}")
            outcome = reconfig.change(self.client, joining=want, from_config=live.version, stop=self.stop)
            self.events.emit("answer", answer=str(outcome.answer), why=outcome.why)
            if outcome.answer is reconfig.Answer.REFUSED:
                raise GateFailed(GateResult("reconfig", Verdict.FAIL, outcome.why, remedy="zkprov status"), step.server)
        health = self.gates(expect=step.after)
        live = _live(health)
        if promote:
            self._remember(health, live, step.server)
        self._confirm(health, live)
        what = "voting" if promote else "an observer"
        return f"{what}; config {live.version_hex} on all {len(live.servers)} servers, memory and disk"

    def _rules(self, health: Health, live: Members, after: Members, server: Server) -> None:
        """The rules once more, on the survey that the act rests on, not on the plan's."""
        self._prove(health, live, after, server)
        if server.role is not Role.PARTICIPANT:
            return
        self.ledger.now_ms()
        ledger = ledger_of(self.look())
        new = {n.id for n in newcomers(live, ledger, self.plan.options.season_s)}
        violated = newcomers_rule(after, new | {server.id})
        if violated:
            raise GateFailed(
                GateResult("R2 newcomers", Verdict.FAIL, str(violated), remedy="zkprov resume --wait, or later"),
                server.id,
            )
        up = serving_voters(health.picture)
        if len(live.voters) > 1 and not after.quorums.contains_quorum(up) and "R4" not in self.plan.options.overrides:
            summary = f"in sync without the joiner: {sorted(up)}; {after.quorums.describe()}"
            raise GateFailed(GateResult("R4 spare", Verdict.FAIL, summary, remedy="zkprov status"), server.id)

    def _prove(self, health: Health, before: Members, after: Members, server: Server) -> None:
        for label, proof in prove_step(health.picture, before, after, server):
            if str(proof.verdict) != "safe":
                raise GateFailed(
                    GateResult("R1 one quorum", Verdict.FAIL, f"{label}: {proof.verdict}", remedy="zkprov prove"),
                    server.id,
                )

    def _remember(self, health: Health, live: Members, server_id: int) -> None:
        """The newcomer's time begins: a quorum write, and the ledger's entry."""
        facts = health.picture.member(server_id)
        disk = facts.disk.value.disk_id if facts and facts.disk.value else ""
        known = ledger_of(health.picture.survey)
        entry = known.members.get(server_id) if known else None
        if entry is None or another_disk(entry, disk):
            season = self.plan.options.season_s
            self.ledger.member_came(server_id, LedgerMember(0, disk, live.version, False, season))

    def _confirm(self, health: Health, live: Members) -> None:
        """Each voter's last version confirmed on its disk: what it may act under at the least, should it fall silent (R1)."""
        known = ledger_of(health.picture.survey)
        for facts in health.picture.members:
            server_id = health.picture.member_id(facts)
            entry = known.members.get(server_id) if known else None
            if entry is not None and facts.disk.value is not None and entry.confirmed < live.version:
                self.ledger.member_is(server_id, msgspec.structs.replace(entry, confirmed=live.version))

    def _settle(self, step: Step) -> str:
        """Good samples for `wait_s` on end; a bad one is waited out for the step's time, then the run stops."""
        began = self.clock.monotonic()
        count = 0
        while (left := step.wait_s - (self.clock.monotonic() - began)) > 0 or count == 0:
            self.gates(expect=step.after)
            count += 1
            self._checkpoint()
            self.events.emit("settling", left_s=round(max(0.0, left), 1), of_s=step.wait_s, good=count)
            self._pause(min(max(left, 0.0), max(1.0, self.plan.options.interval_s)))
        return f"{count} good samples in {seconds(self.clock.monotonic() - began)}"

    def _season(self, step: Step) -> str:
        """Until R2 allows the next promotion, by the ensemble's own clock."""
        promotion = next(s for s in self.plan.steps[step.number :] if s.kind is StepKind.PROMOTE)
        while True:
            self.ledger.now_ms()
            health = self.gates()
            live = _live(health)
            new = newcomers(live, ledger_of(health.picture.survey), self.plan.options.season_s)
            after = live.with_server(self.plan.joiner(promotion.server).server)
            if newcomers_rule(after, {n.id for n in new} | {promotion.server}) is None:
                return f"newcomers now: {', '.join(str(n.id) for n in new) or 'none'}"
            left = min((n.left_s for n in new), default=1.0)
            self.events.emit("seasoning", left_s=round(left, 1), of_s=step.wait_s, newcomers=[str(n.id) for n in new])
            self._checkpoint()
            self._pause(min(max(left, 0.1), 2.0))

    # -- the ends

    def _ends(self, step: Step, why: str, gate: GateResult | None, remedy: str = "") -> Result:
        """A step failed: what is surely undoable is undone, the rest stands and is said (R11)."""
        self.events.emit("step.failed", step=step.name, why=why, gate=gate.gate if gate else "")
        named = f"gate `{gate.gate}` failed" if gate else "failed"
        headline = f"Stopped at step {step.number} ({step.title}): {named}."
        evidence = tuple(str(e) for e in gate.evidence) if gate and gate.evidence else (why,)
        advice = (gate.remedy if gate else "") or remedy
        try:
            undone = undo_joiner(self, step)
        except (Problem, GateFailed) as problem:
            self._try_state(State.STOPPED, step.number)
            again = ("zkprov resume", "zkprov abort")
            return Result(
                self.plan.id,
                State.STOPPED,
                7,
                headline,
                (*evidence, f"undoing it failed: {problem}"),
                stands="see zkprov status",
                next=again,
            )
        if undone is None:
            self._try_state(State.STOPPED, step.number)
            stands = (
                f"{step.server} is a voter of the list and stays one: a vote is not taken back without being asked for"
            )
            return Result(
                self.plan.id,
                State.STOPPED,
                7,
                headline,
                evidence,
                stands=stands,
                next=(advice or "zkprov status", "zkprov resume"),
            )
        self._try_state(State.UNDONE, step.number)
        stands = f"the list is {step.before.without(step.server)}"
        return Result(
            self.plan.id,
            State.UNDONE,
            4,
            headline,
            evidence,
            undone,
            stands,
            (advice or "zkprov status", f"zkprov add-node {step.host}"),
        )

    def _stopped(self, step: Step | None, why: Interrupted) -> Result:
        self.events.emit("run.stopped", why=str(why))
        self._try_state(State.STOPPED, step.number if step else 1)
        where = f"before or in step {step.number} ({step.title})" if step else "before the first step"
        return Result(
            self.plan.id,
            State.STOPPED,
            why.exit_code,
            f"Stopped {where}: {why}.",
            next=(why.remedy or "zkprov resume",),
        )

    def _try_state(self, state: State, head: int) -> None:
        """The end of a run is recorded as far as that is possible; a resume reads the truth from the servers anyway."""
        try:
            self.end(state, head)
        except Problem as problem:
            self.journal.finish(self.plan.id, state, self.clock.now())
            self.events.emit("ledger.missed", why=str(problem))


def _live(health: Health) -> Members:
    assert health.picture.live is not None  # noqa: S101 — the gates that passed have read it
    return health.picture.live


def _expected(health: Health, expect: Members | None) -> GateResult | None:
    live = health.picture.live
    if expect is None or (live is not None and live.same_list(expect)):
        return None
    return GateResult("same config", Verdict.FAIL, f"the list is {live}, expected {expect}", remedy="zkprov status")
