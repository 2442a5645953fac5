"""A step of a rolling restart: a leader hands over, a server is stopped, configured, started. It may be begun again after a crash."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from zkprov.act import reconfig
from zkprov.act.hosts import STOP_S
from zkprov.judge.drift import UNIT
from zkprov.judge.leaving import in_sync, not_to_be_started, ok_to_stop
from zkprov.judge.transfer import leader_in, transfer_proofs, why_no_transfer
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.members import Members, Seat
from zkprov.model.problems import Interrupted, Problem
from zkprov.model.server import Role, Server
from zkprov.plan.rolling import leader_last
from zkprov.plan.steps import ADOPTION, Step, seconds
from zkprov.run import adopting, rebooting
from zkprov.run.acts import GLANCE_S, Process, answered, confirm, intended, live_of, log_of, prove, take
from zkprov.run.gating import GateFailed
from zkprov.run.laying import check, lay, unit_of
from zkprov.run.switching import may_run, runs_it_already
from zkprov.run.undo import listed

if TYPE_CHECKING:
    from zkprov.act.hosts import Host
    from zkprov.judge.health import Health
    from zkprov.run.engine import Engine

BACK_S = 5.0
"""For the vote of who hands over: the new leader takes it back once it has found its followers; until then ZooKeeper refuses (-13)."""


def found_anew(run: Engine, step: Step) -> Step:
    """The step in hand, with the leader of this moment as the last of those to be restarted."""
    if run.plan.kind == ADOPTION:
        step = adopting.stuck_turned(run, step)
    if step.reboots and run.attempt > 0 and step.number == run.first:
        rebooting.await_host(run, step)
    run.gates.leaving, run.gates.releases = _excused(run, step), may_run(run, step)
    health = run.gates.passed()
    run.gates.keep(health.picture.survey, run.gates.looked_at + run.gates.looked_for)
    leader = leader_in(health)
    if runs_it_already(run, step, health):
        return step
    turned = leader_last(run.plan, step.number, leader)
    if turned == run.plan:
        return step
    run.plan = turned
    run.events.emit("turned", leader=leader or 0, steps=[s.title for s in turned.steps[step.number - 1 :]])
    return turned.steps[step.number - 1]


def _excused(run: Engine, step: Step) -> frozenset[int]:
    """Who need not answer before the step: one that was down from the start, and one that an earlier attempt may have stopped."""
    taken_up = run.attempt > 0 and step.number == run.first
    return run.plan.excused(step.number) | (frozenset({step.server}) if taken_up else frozenset())


def restart(run: Engine, step: Step) -> str:
    """Stopped only where the rest is a quorum (R4); with it back, good samples in a row and a write."""
    run.gates.leaving, run.gates.releases = _excused(run, step), may_run(run, step)
    meant, host = run.plan.server(step.server), run.world.host(step.host)
    # reading a host for its unit takes longer than a look may be old
    unit = unit_of(run.world, run.world.inventory_host(step.host)) if UNIT in step.files else ""
    boot = rebooting.ready(run, step) if step.reboots else None
    _its_vote(run, step, meant)
    if boot is not None and boot.was_rebooted(run.plan.id, step.server):
        # an earlier attempt has stopped the server, and its order was carried out
        take(run, host, step)
        run.plan = run.plan.with_begun(step.number)
        run.intend(step)
        stopped_at, hands_over = run.clock.monotonic(), False
        rebooting.come_up(run, host, step)
    else:
        stopped_at, hands_over, asks = _stop(run, host, step, meant, unit)
        # from here until it runs again nothing is asked of the ensemble: it may be this very server that it waits for
        _changed(run, host, step, unit)
        if boot is None:
            run.events.emit("act", what=f"{step.host}: start")
            host.start()
        else:
            rebooting.reboot(run, host, step, asks=asks)
    await_serving(run, host, step)
    down_s = run.clock.monotonic() - stopped_at
    other = step.release or (f"another {', '.join(step.files)}" if step.files else "")
    done = "rebooted" if step.reboots else "restarted"
    run.stands = f"{step.server} was {done}" + (f" with {other}" if other else "")
    run.gates.leaving = run.plan.excused(step.number + 1)
    run.gates.releases = may_run(run, msgspec.structs.replace(step, number=step.number + 1))
    _its_vote(run, step, meant)
    health = run.gates.passed(samples=run.plan.options.samples, expect=step.after)
    run.gates.keep(health.picture.survey, run.gates.looked_at + run.gates.looked_for)
    # the write probe: a quorum acknowledges it, and a leader that cannot commit is known by it (ZOOKEEPER-4708)
    run.intend(step)
    confirm(run, health, live_of(health))
    if step.files:
        host.drop_former(run.plan.id, run.attempt)
    run.stands = ""
    led = f"{leader_in(health)} leads; " * hands_over
    now, agree = f"runs {step.release}; " if step.release else "", len(live_of(health).servers)
    now += "in another boot; " * step.reboots
    return f"{led}{now}serves again after {seconds(round(down_s, 1))}, in sync; {agree} servers agree, memory and disk"


def _stop(run: Engine, host: Host, step: Step, meant: Server, unit: str) -> tuple[float, bool, bool]:
    """When it was stopped, whether it handed over, and whether the others are a quorum that can be asked meanwhile."""
    deadline = run.clock.monotonic() + run.plan.options.step_timeout_s
    samples = run.plan.options.samples if step.number == run.first else 1
    while True:
        health = run.gates.passed(samples=samples, expect=step.after)
        live, samples = live_of(health), 1
        hands_over = leader_in(health) == step.server and _may_hand_over(run, health, step)
        _may_stop(run, health, step)
        _may_start(health, step, meant)
        take(run, host, step)
        if run.plan.kind == ADOPTION:
            adopting.runs_here(run, health, host, step.server)
        # from the next write on the ledger and the journal say that it may have been stopped
        run.plan = run.plan.with_begun(step.number)
        if step.files:
            check(run, host, health, step, unit)
        if hands_over:
            _proved(run, health, live, step)
        if intended(run, step, deadline, live):
            break
    stopped_at = run.clock.monotonic()
    if hands_over:
        _hand_over(run, host, step, live, meant)
    else:
        run.events.emit("act", what=f"{step.host}: stop")
        run.stands = f"{step.server} was stopped"
        host.stop(STOP_S)
    asks = live.quorums.contains_quorum(in_sync(health) - {step.server})
    return stopped_at, hands_over, asks


def _changed(run: Engine, host: Host, step: Step, unit: str) -> None:
    """While it is down: another release, other files."""
    if step.release:
        run.events.emit("act", what=f"{step.host}: switch to {step.release}")
        host.switch(step.release, run.plan.id, run.attempt)
        run.stands = f"{step.server} was stopped, and is to run {step.release}"
    if step.files:
        run.events.emit("act", what=f"{step.host}: lay {', '.join(step.files)}")
        lay(run, host, step, unit)
        run.stands = f"{step.server} was stopped, and has another {', '.join(step.files)}"


def _may_hand_over(run: Engine, health: Health, step: Step) -> bool:
    """Also one that came to lead meanwhile; in a plan that changes the list only."""
    why_not = why_no_transfer(health, step.server, in_sync(health)) if run.plan.reconfigures else "the plan has none"
    if why_not:
        run.events.emit(
            "gate", gate="hand-over", verdict="fail", summary=f"{step.server} is stopped while it leads: {why_not}"
        )
    return not why_not


def _may_stop(run: Engine, health: Health, step: Step) -> None:
    """Raises `GateFailed` where the rest is no quorum of a list that it goes by, unless R4 is set aside."""
    asked = ok_to_stop(health, [step.host])
    if asked.ok:
        return
    reason = asked.reasons[0]
    if reason.rule == "R4" and "R4" in run.plan.options.overrides:
        return
    told = "; ".join((reason.what, *reason.evidence))
    raise GateFailed(GateResult(f"{reason.rule} stop", Verdict.FAIL, told, remedy="zkprov status"), step.server)


def _may_start(health: Health, step: Step, meant: Server) -> None:
    """One that is down, from the start or because an earlier attempt stopped it, is started on its own data only (R5)."""
    facts = health.picture.survey.by_name(step.host)
    if facts is not None and facts.serving:
        return
    if why := not_to_be_started(facts.disk.value if facts else None, meant):
        remedy = f"see what became of its disk; zkprov remove-node {meant.id} takes it out"
        raise GateFailed(GateResult("R5 disk", Verdict.FAIL, f"{step.host}: {why}", remedy=remedy), step.server)


def _proved(run: Engine, health: Health, live: Members, step: Step) -> None:
    for label, proof in transfer_proofs(health, live, step.server):
        if not proof.safe:
            what = f"{label}: {proof.verdict}"
            raise GateFailed(GateResult("R1 one quorum", Verdict.FAIL, what, remedy="zkprov prove"), step.server)


def _hand_over(run: Engine, host: Host, step: Step, live: Members, meant: Server) -> None:
    """An observer; stopped; and a voter again meanwhile, by those that stay (FACTS, "Leadership can be handed over").

    A leader that gave its vote up notices after up to two half ticks only, and keeps its clients waiting until then (measured, tickTime
    2000: 0.7 to 1.8 s); when it is stopped they go elsewhere at once. Nothing rests on whether the first reconfig was applied: the rest is
    a quorum without it, so at the worst they elect.
    """
    observer = meant.with_role(Role.OBSERVER)
    shorter = live.with_server(observer)
    what = f"reconfig joining {observer.line} from config {live.version_hex}"
    run.events.emit("act", what=what, from_config=live.version_hex)
    run.stands = f"{step.server} may be an observer of the list"
    outcome = reconfig.join(run.client, observer, live, patience_s=BACK_S, stop=run.stop)
    run.events.emit("answer", answer=str(outcome.answer), why=outcome.why)
    if run.stop.is_set():
        raise Interrupted("stopped by a signal", remedy="zkprov resume")
    if outcome.answer is reconfig.Answer.REFUSED:
        run.stands = ""
        raise GateFailed(GateResult("reconfig", Verdict.FAIL, outcome.why, remedy="zkprov status"), step.server)
    run.events.emit("act", what=f"{step.host}: stop; reconfig joining {meant.line} meanwhile")
    run.stands = f"{step.server} was stopped, and may be an observer of the list"
    with ThreadPoolExecutor(1) as beside:
        voting = beside.submit(_vote_back, run, meant, shorter, live.seat(meant.id))
        host.stop(STOP_S)
        back = voting.result()
    run.events.emit("answer", answer=str(back.answer), why=back.why)
    if back.answer is reconfig.Answer.APPLIED:
        run.stands = f"{step.server} was stopped"
    if run.stop.is_set():
        raise Interrupted("stopped by a signal", remedy="zkprov resume")


def _vote_back(run: Engine, meant: Server, shorter: Members, seat: Seat | None) -> reconfig.Outcome:
    """From exactly the list that the way there left, as soon as ZooKeeper does it; what was proved a moment ago holds. Raises nothing."""
    deadline = run.clock.monotonic() + BACK_S
    last = reconfig.Outcome(reconfig.Answer.UNKNOWN, "no answer yet")
    while run.clock.monotonic() < deadline and not run.stop.is_set():
        with contextlib.suppress(Problem):
            # after a write of this session what it asked for is decided, and what is read through it no older
            run.ledger.now_ms()
            now = run.ledger.live()
            if now.get(meant.id) == meant:
                return reconfig.Outcome(reconfig.Answer.APPLIED, f"config {now.version_hex}")
            if not now.same_list(shorter):
                return reconfig.Outcome(reconfig.Answer.REFUSED, f"somebody else changed the list: {now}")
            left_s = max(0.1, deadline - run.clock.monotonic())
            last = reconfig.join(run.client, meant, now, seat=seat, patience_s=left_s, stop=run.stop)
        if last.answer is not reconfig.Answer.APPLIED:
            run.clock.wait(run.stop, GLANCE_S)
    return last


def _its_vote(run: Engine, step: Step, meant: Server) -> None:
    """A voter that is an observer of the list, because a hand-over was cut off, gets its vote back before anything else (R4)."""
    live = run.ledger.live()
    present = listed(run.plan, live, step.server)
    deadline = run.clock.monotonic() + run.plan.options.step_timeout_s
    while present is not None and meant.votes and not present.votes:
        health = run.gates.passed(expect=step.after.with_server(meant.with_role(Role.OBSERVER)))
        live = live_of(health)
        seat = step.after.seat(meant.id)
        prove(run, health, live, live.with_server(meant, seat), meant)
        if intended(run, step, deadline, live):
            what = f"reconfig joining {meant.line} from config {live.version_hex}"
            run.events.emit("act", what=what, from_config=live.version_hex)
            answered(run, step, reconfig.join(run.client, meant, live, seat=seat, stop=run.stop))
        present = listed(run.plan, run.ledger.live(), step.server)


def await_serving(run: Engine, host: Host, step: Step) -> None:
    """Raises `GateFailed` where the server ends, or does not serve in the step's time."""
    deadline = run.clock.monotonic() + run.plan.options.step_timeout_s
    where, process = log_of(run.world.inventory_host(step.host)), Process(host, run.clock)
    while True:
        facts = run.world.glance(step.host)
        if facts.serving:
            return
        gate = GateResult(str(step.kind), Verdict.FAIL, f"{step.host}: {facts.srvr}", remedy=where)
        if process.ended():
            ended = f"{step.host}: the server ended by itself"
            raise GateFailed(msgspec.structs.replace(gate, summary=ended), step.server)
        if run.clock.monotonic() > deadline:
            raise GateFailed(gate, step.server)
        run.gates.pause(GLANCE_S)
