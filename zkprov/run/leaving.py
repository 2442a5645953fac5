"""The steps of a server on its way out: handed over, removed, retired. Each may be begun again after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from zkprov.act import reconfig
from zkprov.act.hosts import STOP_S, place_aside
from zkprov.judge.leaving import in_sync, leaver_of, may_be_up, not_its_disk, vote_may_go
from zkprov.judge.newcomers import ledger_in
from zkprov.judge.picture import client_of
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.facts import GONE, LEFT_BEHIND, SET_ASIDE, Disk, Ledger, Retired
from zkprov.model.members import Members
from zkprov.model.problems import Busy, Interrupted, Problem, Stale
from zkprov.model.server import Role, Server
from zkprov.plan.steps import Leaver, Step, StepKind, seconds
from zkprov.run.acts import answered, ask, confirm, intended, live_of, prove, take
from zkprov.run.gating import GateFailed
from zkprov.run.undo import listed

if TYPE_CHECKING:
    from zkprov.act.hosts import Host
    from zkprov.judge.health import Health
    from zkprov.run.engine import Engine

TRIES = 3
"""Of a reconfig whose answer was lost and that was found not done. Removing a leader loses its answer as a rule (FACTS)."""
DRAIN_POLL_S = 1.0


def hand_over(run: Engine, step: Step) -> str:
    """The leader becomes an observer, and the rest goes on under another without an election."""
    _until_it_is(run, step, step.after)
    if step.server not in run.ledger.live().ids:
        return "out of the list already"
    health = _done(run, step)
    if step.kind is StepKind.DEMOTE:
        _unseasoned(run, health, step.server)
    leader = next((x.id for x in health.leaders if x.id is not None and not x.stranger), None)
    return f"an observer; {'another' if leader is None else leader} leads"


def _unseasoned(run: Engine, health: Health, server_id: int) -> None:
    """Who gives its vote up before it was seasoned begins anew should it vote again: an observer's time counts for nothing (R2)."""
    known = ledger_in(health.picture)
    entry = known.members.get(server_id) if known else None
    if known is None or entry is None or entry.seasoned or (known.now_ms - entry.since_ms) / 1000 >= entry.season_s:
        return
    run.ledger.member_left(server_id)


def remove(run: Engine, step: Step) -> str:
    """Out of the list, which every member then holds in memory and on disk; a write after it makes each of them act under it."""
    _until_it_is(run, step, step.after)
    health = _done(run, step)
    live = live_of(health)
    return f"out of the list; config {live.version_hex} on {len(live.servers)} servers, memory and disk"


def _until_it_is(run: Engine, step: Step, wanted: Members) -> None:
    """Asks for the step's list until it stands: a leader is made an observer before it is removed, also one that came to lead meanwhile."""
    deadline = run.clock.monotonic() + run.plan.options.step_timeout_s
    samples, tries = run.plan.options.samples, 0
    while True:
        health = run.gates.passed(samples=samples)
        live, samples = live_of(health), 1
        present = listed(run.plan, live, step.server)
        if live.same_list(wanted) or live.same_list(step.before.without(step.server)):
            return
        if present is None:
            raise Stale(f"the list is {live}: somebody else changed it", remedy="zkprov abort, then plan again")
        observer = present.with_role(Role.OBSERVER)
        if not (live.same_list(step.before) or live.same_list(step.before.with_server(observer))):
            raise Stale(
                f"the list is {live}, the plan expects {step.before}: somebody else changed it",
                remedy="zkprov abort, then plan again",
            )
        leads = any(x.id == step.server and not x.stranger for x in health.leaders)
        gives_up = present.votes and (leads or step.server in wanted.ids)
        after = live.with_server(observer) if gives_up else live.without(step.server)
        _rules(run, health, live, after, present)
        if not intended(run, step, deadline, live):
            continue
        tries += 1
        if tries > TRIES:
            what = f"{step.server} is still {'a voter' if present.votes else 'an observer'} of the list after {TRIES} tries"
            raise GateFailed(GateResult("reconfig", Verdict.FAIL, what, remedy="zkprov status"), step.server)
        if gives_up:
            ask(run, step, observer, live)
        else:
            _ask_to_leave(run, step, live)


def _ask_to_leave(run: Engine, step: Step, live: Members) -> None:
    what = f"reconfig leaving {step.server} from config {live.version_hex}"
    run.events.emit("act", what=what, from_config=live.version_hex)
    answered(run, step, reconfig.leave(run.client, step.server, live, stop=run.stop))


def _done(run: Engine, step: Step) -> Health:
    health = run.gates.passed(expect=step.after)
    # a real write: what is committed is acted under with the next transaction only (ZooKeeper's documentation of reconfig)
    run.intend(step)
    confirm(run, health, live_of(health))
    return health


def _rules(run: Engine, health: Health, live: Members, after: Members, server: Server) -> None:
    """The rules once more, on the survey that the act rests on, not on the plan's."""
    leaver = run.plan.leaver(server.id)
    asked = leaver_of(health.picture, leaver.host or str(server.id))
    if not leaver.up and (not leaver.host or not asked.up) and (why := may_be_up(health.picture, asked)):
        what = f"{server.id} was down when this was planned; now {why}"
        raise GateFailed(
            GateResult("R7 leaving", Verdict.FAIL, what, remedy="zkprov abort, then plan again"), server.id
        )
    here, new = in_sync(health), {n.id for n in health.newcomers}
    overrides = set(run.plan.options.overrides)
    if server.votes:
        for reason in vote_may_go(live, after, here, new, server.id, up=server.id in here, overrides=overrides):
            told = "; ".join((reason.what, *reason.evidence))
            raise GateFailed(
                GateResult(f"{reason.rule} leaving", Verdict.FAIL, told, remedy="zkprov status"), server.id
            )
    prove(run, health, live, after, server.with_role(Role.OBSERVER) if server.id in after.ids else server)


def retire(run: Engine, step: Step) -> str:
    """Stopped, kept down, its folders set aside, and remembered (R7). Remembered first: from then on every survey asks for it."""
    leaver = run.plan.leaver(step.server)
    health = run.gates.passed(expect=step.after)
    ledger = ledger_in(health.picture)
    before = _remembered(run, step.server, ledger)
    if before is not None and before.fate in (SET_ASIDE, *GONE):
        run.ledger.member_left(step.server)
        return f"its disk is at {before.where}" if before.fate == SET_ASIDE else f"its disk is attested {before.fate}"
    facts = health.picture.survey.by_name(leaver.host)
    last = _list_on(facts.disk.value if facts else None) or (before.last_list if before else None)
    record = before or _record(run, leaver, last)
    run.ledger.retire(record)
    host = _host(run, leaver)
    # one that an earlier attempt began to set aside was its own then
    begun = before is not None and bool(before.where)
    why_not = "" if begun else not_its_disk(facts.disk.value if facts else None, leaver.server, left=True)
    if host is None or why_not:
        if host is not None and facts is not None and facts.up:
            stop = GateResult("its own disk", Verdict.FAIL, f"{leaver.host}: {why_not}", remedy="zkprov render --diff")
            raise GateFailed(stop, step.server)
        why = f" ({why_not})" if host is not None else ""
        return f"remembered{why}; its disk may still vote: zkprov retired attest {step.server} --wiped|--destroyed --reason …"
    take(run, host, step)
    drained = _drain(run, leaver) if facts is not None and facts.serving else ""
    _still_out(run, step)
    run.events.emit("act", what=f"{leaver.host}: disable, stop, set aside")
    host.disable()
    host.stop(STOP_S)
    seen = run.world.survey([leaver.host], clients=False).servers[0]
    if seen.up:
        stop = GateResult(
            "stopped", Verdict.FAIL, f"{leaver.host} answers still: {seen.srvr}", remedy="look what runs there"
        )
        raise GateFailed(stop, step.server)
    last = _list_on(seen.disk.value) or last
    label = f"retired-{step.server}-{run.plan.id}"
    run.ledger.retire(msgspec.structs.replace(record, where=place_aside(host.host, label), last_list=last))
    _still_out(run, step)
    where = host.set_aside(label)
    run.ledger.retire(msgspec.structs.replace(record, where=where, fate=SET_ASIDE, last_list=last))
    if last is not None:
        # without its list, what was last confirmed on its disk is all that is known of it
        run.ledger.member_left(step.server)
    return f"stopped for good{drained}; its disk is at {where}"


def _still_out(run: Engine, step: Step) -> None:
    """Before a server is stopped: nobody has put it back into the list meanwhile. Raises `Stale`."""
    run.checkpoint()
    run.fence(step.number)
    live = run.ledger.live()
    if step.server in live.ids:
        what = f"the list is {live}: somebody has put {step.server} back"
        raise Stale(what, remedy="zkprov abort, then plan again")


def remember(run: Engine, step: Step) -> None:
    """Of one that is out of the list when its run is given up: its disk is a debt from now on. Nothing where it is remembered already."""
    if _remembered(run, step.server, ledger_in(run.gates.health().picture)) is None:
        run.ledger.retire(_record(run, run.plan.leaver(step.server), None))


def _remembered(run: Engine, server_id: int, ledger: Ledger | None) -> Retired | None:
    """The entry that this run has made: an earlier life of the id was another disk's."""
    entries = ledger.retired if ledger is not None else ()
    return next((r for r in entries if r.id == server_id and r.reason.startswith(_reason(run))), None)


def _record(run: Engine, leaver: Leaver, last: Members | None) -> Retired:
    host = run.world.inventory.host(leaver.host)
    name = leaver.host or leaver.server.address.host
    client = host.client if host else client_of(leaver.server)
    return Retired(leaver.server.id, name, client, run.ledger.now_ms(), "", LEFT_BEHIND, last, _reason(run))


def _reason(run: Engine) -> str:
    told = f"run {run.plan.id} by {run.plan.made_by}"
    return f"{told}: {run.plan.options.reason}" if run.plan.options.reason else told


def _list_on(disk: Disk | None) -> Members | None:
    """What a server may act under by its disk; None where that is more than one list, or not known."""
    if disk is None or disk.acting is None or disk.next is not None:
        return None
    return disk.acting.members


def _host(run: Engine, leaver: Leaver) -> Host | None:
    """The host; None for one that is none of the inventory, or that cannot be reached while its server is seen to serve nobody."""
    if run.world.inventory.host(leaver.host) is None:
        return None
    try:
        host = run.world.host(leaver.host)
        host.fenced_by()
    except (Interrupted, Busy):
        raise
    except Problem as problem:
        if run.world.glance(leaver.host).up:
            raise
        run.events.emit("act", what=f"{leaver.host} is left as it is: {problem.problem}")
        return None
    return host


def _drain(run: Engine, leaver: Leaver) -> str:
    """Waits until its clients have gone, for `drain_s` at most; in words how many had not. Those go elsewhere when it stops."""
    began = run.clock.monotonic()
    while True:
        cons = run.world.survey([leaver.host]).servers[0].cons
        if cons.value is None:
            return "; how many clients it had is not told"
        left_s = run.plan.options.drain_s - (run.clock.monotonic() - began)
        if not cons.value:
            return ""
        if left_s <= 0:
            sessions = f"{len(cons.value)} client session{'s' if len(cons.value) > 1 else ''}"
            return f"; {sessions} were still there after {seconds(run.plan.options.drain_s)}"
        run.events.emit("draining", clients=len(cons.value), left_s=round(left_s, 1), of_s=run.plan.options.drain_s)
        run.checkpoint()
        run.gates.pause(min(left_s, DRAIN_POLL_S))
