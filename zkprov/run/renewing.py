"""A member whose disk is new is laid with the live list and started, and is a newcomer then. It may be begun again after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkprov.act.hosts import STOP_S
from zkprov.judge.health import Health, judge
from zkprov.judge.leaving import in_sync, ok_to_stop
from zkprov.judge.new_disk import not_new
from zkprov.judge.newcomers import newcomers_in, newcomers_rule
from zkprov.judge.picture import release_of
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.problems import Busy, Interrupted, Problem
from zkprov.model.server import Server
from zkprov.plan.steps import Step, seconds
from zkprov.run.acts import FRESH_S, confirm, live_of, log_of, preflight, prove, remember_newcomer, take
from zkprov.run.gating import GateFailed
from zkprov.run.restarting import await_serving

if TYPE_CHECKING:
    from zkprov.act.hosts import Host
    from zkprov.run.engine import Engine


def bring_back(run: Engine, step: Step) -> str:
    """Laid and started only on a new disk; done when it is in sync in good samples, and the ledger knows it as a newcomer."""
    meant, host = run.plan.server(step.server), run.world.host(step.host)
    health = run.gates.passed(samples=run.plan.options.samples, expect=step.after)
    began = run.clock.monotonic()
    facts = health.picture.survey.by_name(step.host)
    # what an earlier attempt has started may serve by now
    if not (facts is not None and facts.serving and host.fenced_by() == run.plan.id):
        _lay(run, host, step, meant, health)
        await_serving(run, host, step)
    run.stands = f"{step.server} runs on its new disk"
    run.gates.leaving = run.plan.excused(step.number + 1)
    health = run.gates.passed(samples=run.plan.options.samples, expect=step.after)
    run.gates.keep(health.picture.survey, run.gates.looked_at + run.gates.looked_for)
    run.intend(step)
    live = live_of(health)
    new = remember_newcomer(run, health, live, step.server, step.host, anew=True) if meant.votes else frozenset[int]()
    confirm(run, health, live, new)
    run.stands = ""
    took, agree = seconds(round(run.clock.monotonic() - began, 1)), len(live.servers)
    newcomer = "; a newcomer" if meant.votes else ""
    return f"serves again after {took}, in sync{newcomer}; {agree} servers agree, memory and disk"


def _lay(run: Engine, host: Host, step: Step, meant: Server, health: Health) -> None:
    mine = host.fenced_by() == run.plan.id
    if not mine:
        _still_new(health, step, meant)
    _rules(run, health, step, meant)
    take(run, host, step)
    run.checkpoint()
    if run.clock.monotonic() - run.gates.looked_at > FRESH_S:
        health = run.gates.passed()
    if host.exists():
        host.stop(STOP_S)
        run.fence(step.number)
        where = host.set_aside(f"set-aside-{run.plan.id}" + (f"-{run.attempt}" if run.attempt else ""))
        run.events.emit("act", what=f"{step.host}: what lay there is at {where}")
    live = live_of(health)
    prove(run, health, live, live, meant)
    preflight(run, step, health, meant)
    files = run.world.render_member(step.host, meant, live, release_of(health.picture))
    run.events.emit("act", what=f"{step.host}: install, configure ({', '.join(sorted(files))}), start")
    host.install()
    run.fence(step.number)
    host.configure_and_start(dict(files), run.plan.id, run.attempt)


def _still_new(health: Health, step: Step, meant: Server) -> None:
    facts = health.picture.survey.by_name(step.host)
    if why := not_new(facts, meant):
        gate = GateResult(
            "R5 disk",
            Verdict.FAIL,
            f"{step.host}: {why}",
            remedy=f"see what lies on {step.host}, move aside what is not needed, and plan again",
        )
        raise GateFailed(gate, step.server)


def _rules(run: Engine, health: Health, step: Step, meant: Server) -> None:
    """Once more, on the survey that the act rests on: the others are a quorum (R4), and with it newcomers are none (R2)."""
    live = live_of(health)
    here = in_sync(health) - {step.server}
    if not live.quorums.contains_quorum(here):
        summary = f"in sync without {step.server}: {sorted(here)}; {live.quorums.describe()}"
        raise GateFailed(GateResult("R4 spare", Verdict.FAIL, summary, remedy="zkprov status"), step.server)
    young = {n.id for n in newcomers_in(health.picture, run.plan.options.season_s)} | {step.server}
    if meant.votes and (violated := newcomers_rule(live, young)):
        remedy = f"zkprov replace-node {step.server} --same-host, when their time is over"
        raise GateFailed(GateResult("R2 newcomers", Verdict.FAIL, str(violated), remedy=remedy), step.server)


def how_it_stands(engine: Engine, step: Step) -> tuple[str, tuple[str, ...]]:
    """In words, and what it needs: one that is not in sync is no worse than absent, and one that is, a newcomer."""
    host = engine.world.inventory_host(step.host)
    if engine.world.glance(step.host).serving:
        return f"{step.server} serves on its new disk", ()
    again = f"zkprov replace-node {step.server} --same-host"
    return f"{step.server} does not serve: it is absent as it was", (log_of(host), again)


def undo_return(engine: Engine, step: Step) -> str | None:
    """Absent again: stopped, what was laid set aside; None where the others need it by now, or it cannot be done."""
    run, host = engine.plan.id, engine.world.host(step.host)
    try:
        if host.fenced_by() != run:
            return "nothing was begun"
        host.fence(run, engine.attempt)
        if host.is_active() and not ok_to_stop(judge(engine.world.survey(clients=False)), [step.host]).ok:
            engine.events.emit("undo", what=f"{step.host} is left as it is: the others are no quorum without it (R4)")
            return None
        if not host.exists():
            return "nothing was laid"
        engine.fence(step.number)
        host.stop(STOP_S)
        engine.fence(step.number)
        where = host.set_aside(f"set-aside-{run}" + (f"-{engine.attempt}" if engine.attempt else "") + ".u")
    except (Interrupted, Busy):
        raise
    except Problem as problem:
        engine.events.emit("undo", what=f"{step.host} is left as it is: {problem.problem}")
        return None
    engine.events.emit("undo", what=f"{step.host}: stopped; what was laid is at {where}")
    return f"{step.server} is stopped again; what was laid is at {where}"
