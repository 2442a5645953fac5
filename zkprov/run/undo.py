"""Takes a joiner back: out of the list, stopped, its disk set aside; only while it votes for nothing (R11). Who left does not come back.

A member whose restart failed gets its former files, and is started with them; a leader that gave its vote up for a moment gets it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkprov.act import reconfig
from zkprov.act.hosts import STOP_S
from zkprov.judge.gates import release_told
from zkprov.judge.health import judge
from zkprov.judge.leaving import as_it_is, not_to_be_started, ok_to_stop
from zkprov.judge.one_quorum import prove_step
from zkprov.model.facts import Survey
from zkprov.model.members import Members
from zkprov.model.problems import Busy, Interrupted, NotHealthy, Problem, Stale
from zkprov.model.server import Server
from zkprov.plan.steps import ADOPTION, HEAL, LEAVING, SET_ROLE, SWITCHING, Plan, Step, StepKind
from zkprov.run import unadopting
from zkprov.run.rebooting import cannot_be_taken_back

if TYPE_CHECKING:
    from zkprov.run.engine import Engine

TRIES = 3
AGAIN_S = 0.05


def undo(engine: Engine, step: Step, *, asked: bool = False) -> str | None:
    """What was undone, in words; None where nothing may be: a joiner is a voter, a leaver's vote is gone, or the step only waits.

    `asked`: by a person, who gives the run up. A leaver that only gave its vote up gets it back then.

    Raises `NotHealthy` when the ensemble or the host does not let it be done, `Interrupted` on a signal or when the run was taken over.
    May be repeated.
    """
    if engine.plan.kind == HEAL:
        return None  # who is fenced stays so, and who came back empty serves or is absent: `resume` goes on
    if engine.plan.kind == ADOPTION:
        return unadopting.undone(engine, step, lambda back: start_again(engine, step, asked=asked, back=back))
    if (owner := engine.plan.owner(step)) != step:
        # whoever takes the run up in the middle of this begins with that server anew
        engine.journal.advance(engine.plan.id, owner.number)
        engine.fence(owner.number)
        step = owner
    if step.kind in (StepKind.SETTLE, StepKind.SEASON, StepKind.BACKUP, StepKind.LAY_OUT):
        return None if step.kind is StepKind.SETTLE else ""
    if step.kind in LEAVING:
        return _undo_leaver(engine, step, asked=asked)
    if step.kind is StepKind.RESTART:
        again = start_again(engine, step, asked=asked)
        return None if again and step.reboots and not asked and cannot_be_taken_back(engine, step) else again
    if step.kind is StepKind.RETURN:
        from zkprov.run.renewing import undo_return

        return undo_return(engine, step)
    if step.kind is StepKind.MOVE:
        from zkprov.run.moving import undo_move

        return undo_move(engine, step)
    if engine.plan.kind == SET_ROLE:
        engine.fence(step.number)
        present = listed(engine.plan, engine.ledger.live(), step.server)
        return None if present is not None and present.votes else "nothing was begun"
    admitted = step.kind is not StepKind.START or engine.attempt > 0
    head = begins_with(engine.plan, step)
    for _ in range(TRIES):
        # After this write whatever the session asked for is decided, and the list read through the same session is the last word.
        # A survey's is not: the servers that answer may lag behind, and show a voter as not yet there.
        engine.fence(step.number)
        live = engine.ledger.live()
        present = listed(engine.plan, live, step.server)
        if present is None or not present.votes:
            # whoever takes the run up in the middle of this begins with the joiner anew
            engine.journal.advance(engine.plan.id, head)
            engine.fence(head)
        if present is None:
            break
        if present.votes:
            return None
        what = f"reconfig leaving {step.server} from config {live.version_hex}"
        engine.events.emit("undo", what=what, from_config=live.version_hex)
        outcome = reconfig.leave(engine.client, step.server, live, stop=engine.stop)
        engine.events.emit("answer", answer=str(outcome.answer), why=outcome.why)
        if engine.stop.is_set():
            raise Interrupted("stopped by a signal", remedy="zkprov abort, or zkprov resume")
    else:
        raise NotHealthy(f"{step.server} is still in the list", remedy="zkprov resume")
    done = [f"{step.server} is not in the list (config {live.version_hex})"] if admitted else []
    host = engine.world.host(step.host)
    if host.fenced_by() == engine.plan.id:
        host.fence(engine.plan.id, engine.attempt)
        if host.exists():
            engine.fence(head)
            host.stop(STOP_S)
            engine.fence(head)
            where = host.set_aside(f"set-aside-{engine.plan.id}" + (f"-{engine.attempt}.u" if engine.attempt else ""))
            engine.events.emit("undo", what=f"{step.host}: stopped; its disk is at {where}")
            done.append(f"stopped; its disk is at {where}")
        host.unfence(engine.plan.id, engine.attempt)
    elif admitted and engine.world.glance(step.host).up:
        done.append(f"what runs on {step.host} is left alone: no fence of this run is there")
    return "; ".join(done) or "nothing was begun"


def begins_with(plan: Plan, step: Step) -> int:
    """The number of the step by which the step's joiner comes in."""
    return next((s.number for s in plan.steps if s.kind is StepKind.START and s.server == step.server), step.number)


def _undo_leaver(engine: Engine, step: Step, *, asked: bool) -> str | None:
    """Nothing was done as long as the list has it as what it was. With its vote back the list is the one that the run began with."""
    engine.fence(step.number)
    live, meant = engine.ledger.live(), engine.plan.server(step.server)
    present = listed(engine.plan, live, step.server)
    if present is None:
        return None
    if present.role is meant.role:
        return "nothing was begun"
    if not asked:
        return None
    return _give_back(engine, step, live, meant)


def start_again(engine: Engine, step: Step, *, asked: bool, back: bool = True) -> str | None:
    """As it was before it was stopped, where it does not serve as it is; None where it does not serve then either, or as it should not.
    `back`: whether what was laid may be taken back.

    To start what this run has stopped takes the host's own fence and nothing of the ensemble: that may wait for this very server.
    """
    run, host = engine.plan.id, engine.world.host(step.host)
    try:
        # the fence is there since a release was laid out; what the next start would run may be unlike what runs without our doing
        never = engine.plan.kind in SWITCHING and not engine.plan.begun_step(step.number)
        if never or host.fenced_by() != run:
            return "nothing was begun"
        host.fence(run, engine.attempt)
        laid, active = host.has_former(run), host.is_active()
        former = engine.plan.former(step)
        switched = bool(former) and host.current() != former
        lies = not switched or former in host.releases()
    except (Interrupted, Busy):
        raise
    except Problem as problem:
        _not_undone(engine, step, problem.problem)
        return None
    survey = engine.world.survey(clients=False)
    facts = survey.by_name(step.host)
    # what the next start would run is no sign of what runs
    switched = switched and not (facts is not None and facts.serving and str(release_told(facts)) == former)
    if facts is not None and facts.serving and not switched:
        if not laid:
            return _with_its_vote(engine, step, f"{step.server} serves" + (f" with {former}" if former else ""))
        # what was laid is in force there, and is not what was
        if asked:
            host.drop_former(run, engine.attempt)
        return None
    said, laid = [], laid and back
    if laid or switched:
        gone = "" if lies or not switched else f"it is to run {step.release}, and {former} does not lie there any more"
        if stays := gone or (_why_it_runs_on(engine, step, survey, laid=laid) if active else ""):
            _not_undone(engine, step, stays)
            return None
        host.stop(STOP_S)
        if laid:
            host.put_back(run, engine.attempt)
            engine.events.emit("undo", what=f"{step.host}: its former {', '.join(step.files)} lies there again")
            said.append("has its former files")
        if switched:
            host.switch(former, run, engine.attempt)
            engine.events.emit("undo", what=f"{step.host}: switched back to {former}")
            said.append(f"is back on {former}")
        survey = engine.world.survey([step.host], clients=False)
        facts = survey.by_name(step.host)
    if not host.is_active():
        if why := not_to_be_started(facts.disk.value if facts else None, engine.plan.server(step.server)):
            _not_undone(engine, step, f"{why} (R5)")
            return None
        host.start()
    deadline = engine.clock.monotonic() + engine.plan.options.step_timeout_s
    while not engine.world.glance(step.host).serving:
        if engine.clock.monotonic() > deadline or not host.is_active():
            return None
        engine.gates.pause(AGAIN_S)
    return _with_its_vote(engine, step, f"{step.server} " + " and ".join((*said, "serves again")))


def _why_it_runs_on(engine: Engine, step: Step, survey: Survey, *, laid: bool) -> str:
    """Why one that runs is not stopped, in words: it may vote, whether it serves us or not."""
    reasons = ok_to_stop(judge(survey), [step.host]).reasons
    if not reasons or "R4" in engine.plan.options.overrides:
        return ""
    new = "the new files" if laid else step.release
    quorum = any(r.rule == "R4" for r in reasons)
    why = "the others are no quorum without it (R4)" if quorum else str(reasons[0])
    return f"it runs with {new}, and {why}"


def _not_undone(engine: Engine, step: Step, why: str) -> None:
    """Says why a server is left as it is."""
    engine.events.emit("undo", what=f"{step.host} is left as it is: {why}")


def _with_its_vote(engine: Engine, step: Step, done: str) -> str | None:
    """A leader that was handing over is a voter again; None where it stays an observer."""
    engine.fence(step.number)
    live, meant = engine.ledger.live(), engine.plan.server(step.server)
    present = listed(engine.plan, live, step.server)
    if present is None or present.role is meant.role:
        return done
    back = _give_back(engine, step, live, meant)
    return f"{done}; {back}" if back else None


def _give_back(engine: Engine, step: Step, live: Members, meant: Server) -> str | None:
    """Its vote, where it serves and one quorum stays proved; None where it stays an observer. ZooKeeper gives none that is alone a second
    voter by way of an observer (-13: observers do not count for the new quorum).
    """
    health = engine.gates.health()
    seen = health.picture.member(step.server)
    seat = engine.plan.base.seat(meant.id)
    why_not = next((str(r) for r in as_it_is(health)), "")
    # a list that got groups, or lost them, is another's as well: the seat of before is none of it
    if health.picture.live != live or seen is None or not seen.serving or live.hierarchical is (seat is None):
        why_not = why_not or f"{step.server} does not serve, or somebody else changed the list"
    if why_not or any(not p.safe for _, p in prove_step(health.picture, live, live.with_server(meant, seat), meant)):
        engine.events.emit("undo", what=f"no vote back for {step.server}: {why_not or 'one quorum is not proved'}")
        return None
    engine.fence(step.number)
    what = f"reconfig joining {meant.line} from config {live.version_hex}"
    engine.events.emit("undo", what=what, from_config=live.version_hex)
    outcome = reconfig.join(engine.client, meant, live, seat=seat, stop=engine.stop)
    engine.events.emit("answer", answer=str(outcome.answer), why=outcome.why)
    if engine.stop.is_set():
        raise Interrupted("stopped by a signal", remedy="zkprov abort, or zkprov resume")
    engine.fence(step.number)
    return f"{step.server} votes again" if engine.ledger.live().get(step.server) == meant else None


def listed(plan: Plan, live: Members, server_id: int) -> Server | None:
    """The line in the list of one that the plan is about, or None. Raises `Stale` where its id is there with other addresses."""
    found, meant = live.get(server_id), plan.server(server_id)
    if found is not None and not found.same_place(meant):
        raise Stale(
            f"the list has {found.line}, the plan {meant.line}: somebody else uses this id",
            place=f"config {live.version_hex}",
            remedy=f"take {server_id} out of the list if it is not needed, then zkprov abort",
        )
    return found
