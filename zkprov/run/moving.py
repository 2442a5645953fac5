"""The step by which a member is known at another place, and the way back. Each may be begun again after a crash."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from zkprov.act import reconfig
from zkprov.judge.one_quorum import prove_move
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.members import Members
from zkprov.model.problems import Interrupted, Stale
from zkprov.model.server import HostPort, Server
from zkprov.plan.address import why_not_now
from zkprov.plan.steps import Moved, Plan, Step
from zkprov.run.acts import GLANCE_S, ask, confirm, intended, live_of, log_of
from zkprov.run.gating import GateFailed
from zkprov.run.reaching import answering

if TYPE_CHECKING:
    from zkprov.judge.health import Health
    from zkprov.run.engine import Engine
    from zkprov.run.world import World

TRIES = 3
LISTENS_S = 2.0
"""For a server to listen at its new ports (measured: 0.06 s); less than ZooKeeper takes to give up and end."""


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
        _nobody_is_there(run, step, moved.server, moved.to)
        _proved(health, live, moved.to)
        if intended(run, step, deadline, live):
            ask(run, step, moved.to, live)
            live = run.ledger.live()
            look_where_it_is(run.world, run.plan, live)
            if live.get(step.server) != moved.server:
                _listens(run, step, moved.to)
    _listens(run, step, moved.to)
    health = run.gates.passed(expect=step.after)
    live = live_of(health)
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
    """Back to its former place, from exactly the list that the way there left; None where that does not come about, or where it does not
    serve there. One that has ended with the new place on its disk keeps it: it is started where its own list has it.
    """
    moved = engine.plan.moved_server(step.server)
    for tried in range(TRIES):
        # after this write whatever the session asked for is decided
        engine.fence(step.number)
        live = engine.ledger.live()
        look_where_it_is(engine.world, engine.plan, live)
        present = live.get(step.server)
        if present is not None and present.canonical == moved.server.canonical:
            if not _serves(engine, step, moved.server):
                return None
            return "nothing was begun" if not tried else f"{step.server} is at {moved.server.place} again"
        if present is None or present.canonical != moved.to.canonical or _ended_there(engine, moved):
            return None
        what = f"reconfig joining {moved.server.line} from config {live.version_hex}"
        engine.events.emit("undo", what=what, from_config=live.version_hex)
        outcome = reconfig.join(engine.client, moved.server, live, stop=engine.stop)
        engine.events.emit("answer", answer=str(outcome.answer), why=outcome.why)
        if engine.stop.is_set():
            raise Interrupted("stopped by a signal", remedy="zkprov abort, or zkprov resume")
    return None


def _ended_there(engine: Engine, moved: Moved) -> bool:
    if engine.world.host(moved.host).is_active():
        return False
    facts = engine.world.survey([moved.host], clients=False).by_name(moved.host)
    disk = facts.disk.value if facts is not None else None
    own = disk.acting.members.get(moved.server.id) if disk is not None and disk.acting is not None else None
    return own is not None and own.canonical == moved.to.canonical


def _serves(engine: Engine, step: Step, at: Server) -> bool:
    """Whether it is found there by clients and members."""
    deadline = engine.clock.monotonic() + engine.plan.options.step_timeout_s
    while not engine.world.glance(step.host).serving or _silent(engine, step, at):
        if engine.clock.monotonic() > deadline or not engine.world.host(step.host).is_active():
            return False
        engine.gates.pause(GLANCE_S)
    return True


def _silent(run: Engine, step: Step, at: Server) -> set[HostPort]:
    """The places of that line at which nothing listens; the leader alone listens at its quorum port."""
    wanted = at.listens_at - {HostPort(a.host, a.quorum_port) for a in at.addresses}
    return set(wanted - answering(run.world, step.host, wanted))


def how_it_stands(engine: Engine, step: Step, live: Members) -> tuple[str, tuple[str, ...]]:
    """Of one that was to move, and is not as it was: how it stands, and what it needs."""
    moved, present = engine.plan.moved_server(step.server), live.get(step.server)
    where = f"{step.server} is at {present.place} by the list" if present else f"{step.server} is out of the list"
    if present is None or engine.world.glance(step.host).serving:
        return where, ()
    again = f"zkprov restart --only {step.host}, with that place in the inventory"
    return f"{where}, and does not serve there", (log_of(engine.world.inventory_host(moved.host)), again)


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


def _nobody_is_there(run: Engine, step: Step, before: Server, to: Server) -> None:
    """A port that something else listens at would leave the member without it: ZooKeeper says so in its log only."""
    taken = answering(run.world, step.host, to.listens_at - before.listens_at)
    if taken:
        what = f"{step.host}: something listens at {_named(taken)} already"
        remedy = "free the port, or name another in the inventory, and plan again"
        raise GateFailed(GateResult("place", Verdict.FAIL, what, remedy=remedy), step.server)


def _listens(run: Engine, step: Step, to: Server) -> None:
    """A follower that does not listen at its election port would be missed in the next election only; so it is tried now, and soon:
    ZooKeeper tries three times, and then ends (3.9.5: 3 s).
    """
    deadline = run.clock.monotonic() + LISTENS_S
    while missing := _silent(run, step, to):
        if run.clock.monotonic() > deadline:
            what = f"{step.host} does not listen at {_named(missing)}"
            gate = GateResult("place", Verdict.FAIL, what, remedy=log_of(run.world.inventory_host(step.host)))
            raise GateFailed(gate, step.server)
        run.gates.pause(GLANCE_S)


def _named(places: Set[HostPort]) -> str:
    return ", ".join(str(place) for place in sorted(places))
