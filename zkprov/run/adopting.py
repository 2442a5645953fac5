"""What is an adoption's own in a run: lines of zoo.cfg written and put back, who is stuck restarted first, and the look at the whole.

Once a server may have been stopped for it nothing is put back on the others: a member without `reconfigEnabled` may not find back to those
that have it (FACTS, "Static to dynamic"), while it stands on every disk, whoever dies comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkprov.act import reconfig
from zkprov.judge.adoption import behind
from zkprov.judge.health import Health
from zkprov.judge.picture import picture_of
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.config import HIDDEN, POINTER
from zkprov.model.problems import NotHealthy
from zkprov.observe.credentials import super_settings
from zkprov.plan.adopt import ZOO_CFG, stuck_first
from zkprov.plan.steps import Step, StepKind
from zkprov.run.acts import confirm, live_of, take
from zkprov.run.gating import GateFailed
from zkprov.run.no_right import rights_remedy
from zkprov.run.unadopting import drop_formers

if TYPE_CHECKING:
    from zkprov.act.hosts import Host
    from zkprov.run.engine import Engine


def settings_of(run: Engine, server_id: int) -> dict[str, str]:
    """What is to stand in the member's zoo.cfg, its secrets from where they are kept. Raises `NotHealthy` where one is gone."""
    found = dict(run.plan.lacks.get(server_id, {}))
    hidden = [key for key, value in found.items() if value == HIDDEN]
    secret = super_settings(run.world.inventory) if hidden else {}
    for key in hidden:
        if key not in secret:
            raise NotHealthy(f"no password to make {key} of", place=run.world.inventory.path, remedy="give it again")
        found[key] = secret[key]
    return found


def flag(run: Engine, step: Step) -> str:
    """Everywhere before the first restart. Each file may be written again after a crash: what stands already is left."""
    health = run.gates.passed(samples=run.plan.options.samples, expect=step.after)
    changed, settings = [], {i: settings_of(run, i) for i in run.plan.lacks}
    concerned = [(x, run.world.host(x.host)) for x in run.plan.restarted if x.server.id in settings]
    # what one of them refuses is known before the first is written
    for member, host in concerned:
        run.checkpoint()
        take(run, host, step)
        host.check_files({ZOO_CFG: ""}, run.plan.id, run.attempt)
        runs_here(run, health, host, member.server.id)
    for member, host in concerned:
        run.checkpoint()
        take(run, host, step)
        lines = settings[member.server.id]
        run.events.emit("act", what=f"{member.host}: write {', '.join(lines)} into zoo.cfg")
        if host.edit_zoo_cfg(lines, run.plan.id, run.attempt):
            changed.append(member.host)
    health = run.gates.passed(expect=step.after)
    if unwritten := _unwritten(run, health):
        gate = GateResult("files", Verdict.FAIL, "; ".join(unwritten), remedy="see who else writes zoo.cfg there (R10)")
        raise GateFailed(gate)
    return f"written on {', '.join(changed) or 'none: it stood there'}; read back, and nobody was restarted"


def runs_here(run: Engine, health: Health, host: Host, server_id: int) -> None:
    """Raises `GateFailed` where a member serves and its host says that no server runs on this zoo.cfg: another one is in force there."""
    facts = health.picture.member(server_id)
    if facts is None or not facts.serving or host.is_active():
        return
    where = run.world.inventory_host(facts.name).config_dir
    what = f"{facts.name} serves, and no server runs on {where}/{ZOO_CFG}"
    remedy = f"correct zkprov_config_dir (zkprov_unit, zkprov_is_active_command) in {run.world.inventory.path}"
    raise GateFailed(GateResult("files", Verdict.FAIL, what, remedy=remedy), server_id)


def _unwritten(run: Engine, health: Health) -> list[str]:
    """What does not stand where it was written."""
    found = []
    for facts in health.picture.members:
        disk, wanted = facts.disk.value, run.plan.lacks.get(health.picture.member_id(facts), {})
        there = disk.settings if disk is not None else {}
        wrong = [k for k, v in wanted.items() if k not in there or (v != HIDDEN and there[k] != v)]
        if wrong:
            found.append(f"{facts.name}: zoo.cfg has not the {', '.join(wrong)} that was written")
    return found


def edit(run: Engine, host: Host, step: Step) -> None:
    """While its server is down: also where an earlier attempt has put the former file back."""
    host.edit_zoo_cfg(settings_of(run, step.server), run.plan.id, run.attempt)


def stuck_turned(run: Engine, step: Step) -> Step:
    """The step in hand, with those first that do not serve any more: the others are a quorum, and a restart is what they need.

    One that runs without `reconfigEnabled`, after those that have it have elected, waits for ever (FACTS, "Static to dynamic").
    """
    survey = run.gates.look()
    picture = picture_of(survey)
    late = behind(picture)
    waiting = {s.server for s in run.plan.steps[step.number - 1 :] if s.kind is StepKind.RESTART and not s.begun}
    named = {x.server.id for x in run.plan.restarted if not x.up}
    stuck = late & waiting - named
    if not stuck:
        return step
    run.plan = stuck_first(run.plan, step.number, stuck)
    run.events.emit(
        "turned",
        leader=0,
        stuck=[f"{i} does not take part: it is restarted first" for i in sorted(stuck)],
        steps=[s.title for s in run.plan.steps[step.number - 1 :]],
    )
    return run.plan.steps[step.number - 1]


def adopt(run: Engine, step: Step) -> str:
    """One list of a version on every member, in memory and on disk; it can be changed from here; the ledger says so."""
    health = run.gates.passed(samples=run.plan.options.samples, expect=step.after, also=_dynamic)
    live = live_of(health)
    if refused := reconfig.rights(run.client, live.servers[0]):
        remedy = rights_remedy(refused, run.world)
        raise GateFailed(GateResult("right", Verdict.FAIL, f"the list cannot be changed: {refused}", remedy=remedy))
    run.intend(step)
    confirm(run, health, live)
    drop_formers(run)
    return f"config {live.version_hex} on {len(live.servers)} members, memory and disk; it can be changed from here"


def _dynamic(health: Health) -> GateResult | None:
    """What a run without a dynamic list has done without until now."""
    gate = health.gate("dynamic")
    if gate.stops:
        return gate
    without = [f.name for f in health.picture.members if f.disk.value and POINTER not in f.disk.value.settings]
    if not without:
        return None
    what = f"{', '.join(without)}: zoo.cfg names no {POINTER}"
    return GateResult("dynamic", Verdict.FAIL, what, remedy="zkprov adopt, once nobody else writes zoo.cfg")
