"""The step by which a member is known at another place, and the way back. Each may be begun again after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkprov.act import reconfig
from zkprov.judge.one_quorum import prove_move
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.members import Members
from zkprov.model.problems import Interrupted, Stale
from zkprov.model.server import Server
from zkprov.plan.address import why_not_now
from zkprov.plan.steps import Plan, Step
from zkprov.run.acts import FRESH_S, GLANCE_S, ask, confirm, intended, live_of
from zkprov.run.gating import GateFailed
from zkprov.run.reaching import answering

if TYPE_CHECKING:
    from zkprov.judge.health import Health
    from zkprov.run.engine import Engine
    from zkprov.run.world import World

TRIES = 3


def move(run: Engine, step: Step) -> str:
    """Asked for where it is, then looked for where it is to be: there it serves, and listens for the others, and its disk has the list."""
    moved = run.plan.moved_server(step.server)
    deadline = run.clock.monotonic() + run.plan.options.step_timeout_s
    samples = run.plan.options.samples
    look_where_it_is(run.world, run.plan, run.ledger.live())
    while True:
        health = run.gates.passed(samples=samples)
        live, samples = live_of(health), 1
        present = _listed(live, step, moved.server, moved.to)
        if present == moved.to.canonical:
            break
        _may_move(run, health, live, step, moved.server, moved.to)
        _nobody_is_there(run, step)
        _proved(health, live, moved.to)
        if intended(run, step, deadline, live):
            ask(run, step, moved.to, live)
            look_where_it_is(run.world, run.plan, run.ledger.live())
            _await_serving(run, step)
    health = run.gates.passed(expect=step.after)
    live = live_of(health)
    _listens(run, step, moved.to)
    run.intend(step)
    confirm(run, health, live)
    return f"serves at {moved.to.place}; config {live.version_hex} on {len(live.servers)} servers, memory and disk"


def look_where_it_is(world: World, plan: Plan, live: Members) -> None:
    """The member's host is looked at where the list has its server: the inventory has the new place already."""
    for moved in plan.moved:
        present = live.get(moved.server.id)
        former = present is not None and present.canonical == moved.server.canonical
        world.places[moved.host] = moved.server if former else moved.to


def undo_move(engine: Engine, step: Step) -> str | None:
    """Back to its former place, from exactly the list that the way there left; None where that does not come about."""
    moved = engine.plan.moved_server(step.server)
    for tried in range(TRIES):
        # after this write whatever the session asked for is decided
        engine.fence(step.number)
        live = engine.ledger.live()
        look_where_it_is(engine.world, engine.plan, live)
        present = live.get(step.server)
        if present is not None and present.canonical == moved.server.canonical:
            return "nothing was begun" if not tried else f"{step.server} is at {moved.server.place} again"
        if present is None or present.canonical != moved.to.canonical:
            return None
        what = f"reconfig joining {moved.server.line} from config {live.version_hex}"
        engine.events.emit("undo", what=what, from_config=live.version_hex)
        outcome = reconfig.join(engine.client, moved.server, live, stop=engine.stop)
        engine.events.emit("answer", answer=str(outcome.answer), why=outcome.why)
        if engine.stop.is_set():
            raise Interrupted("stopped by a signal", remedy="zkprov abort, or zkprov resume")
    return None


def _listed(live: Members, step: Step, before: Server, to: Server) -> Server:
    """The member's line. Raises `Stale` where it is neither what it was nor what it is to be, or the rest is another list."""
    present = live.get(step.server)
    known = present is not None and present.canonical in (before.canonical, to.canonical)
    if present is None or not known or not live.with_server(before).same_list(step.before):
        raise Stale(
            f"the list is {live}, the plan expects {step.before}: somebody else changed it",
            remedy="zkprov abort, then plan again",
        )
    return present.canonical


def _may_move(run: Engine, health: Health, live: Members, step: Step, before: Server, to: Server) -> None:
    reason = why_not_now(health, live, before, to)
    if reason is None or (reason.rule == "R4" and "R4" in run.plan.options.overrides):
        return
    remedy = f"zkprov restart --only {step.host} hands over" if reason.rule == "R8" else "zkprov status"
    told = "; ".join((reason.what, *reason.evidence))
    raise GateFailed(GateResult(f"{reason.rule} place", Verdict.FAIL, told, remedy=remedy), step.server)


def _proved(health: Health, live: Members, to: Server) -> None:
    for label, proof in prove_move(health.picture, live, to):
        if not proof.safe:
            what = f"{label}: {proof.verdict}"
            raise GateFailed(GateResult("R1 one quorum", Verdict.FAIL, what, remedy="zkprov prove"), to.id)


def _nobody_is_there(run: Engine, step: Step) -> None:
    """A port that something else listens at would leave the member without it: ZooKeeper says so in its log only."""
    moved = run.plan.moved_server(step.server)
    new = ports_of(moved.to) - ports_of(moved.server)
    taken = sorted(answering(run.world, step.host, new))
    if taken:
        what = f"{step.host}: something listens at {', '.join(f'{h}:{p}' for h, p in taken)} already"
        remedy = "free the port, or name another in the inventory, and plan again"
        raise GateFailed(GateResult("place", Verdict.FAIL, what, remedy=remedy), step.server)


def _listens(run: Engine, step: Step, to: Server) -> None:
    """A follower that does not listen at its election port is missed in the next election only; so it is tried now."""
    wanted = {(a.host, a.election_port) for a in to.addresses}
    deadline = run.clock.monotonic() + run.plan.options.step_timeout_s
    while missing := wanted - answering(run.world, step.host, wanted):
        if run.clock.monotonic() > deadline:
            what = f"{step.host} serves, and does not listen at {', '.join(f'{h}:{p}' for h, p in sorted(missing))}"
            gate = GateResult("place", Verdict.FAIL, what, remedy=f"zkprov restart --only {step.host}")
            raise GateFailed(gate, step.server)
        run.gates.pause(GLANCE_S)


def ports_of(server: Server) -> set[tuple[str, int]]:
    """(host, port) of what a line says that its server listens at; the leader alone listens at its quorum port."""
    found = {(a.host, p) for a in server.addresses for p in (a.quorum_port, a.election_port)}
    if server.client is not None:
        host = server.client.host
        wild = host in (None, "0.0.0.0", "0:0:0:0:0:0:0:0", "::")  # noqa: S104 — compared, not bound
        found.add((server.address.host if wild else str(host), server.client.port))
    return found


def _await_serving(run: Engine, step: Step) -> None:
    """What comes of it, also when it takes too long, the gates judge."""
    deadline = run.clock.monotonic() + FRESH_S
    while run.clock.monotonic() < deadline and not run.world.glance(step.host).serving:
        run.gates.pause(GLANCE_S)
