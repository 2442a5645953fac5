"""What a restart lays on a member's host: rendered anew from the look at hand, judged, and only what its plan names."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from zkprov.act.ansible import CONTROL
from zkprov.act.render_unit import render_unit
from zkprov.judge.drift import UNIT
from zkprov.judge.health import Health, judge
from zkprov.judge.verdict import GateResult, Purpose, Verdict
from zkprov.model.hiding import Seal
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import NotHealthy
from zkprov.observe.disk import ZOO_CFG
from zkprov.plan.steps import ADOPTION, Step
from zkprov.run import adopting
from zkprov.run.gating import GateFailed
from zkprov.run.rendering import made_for
from zkprov.run.world import World

if TYPE_CHECKING:
    from zkprov.act.hosts import Host
    from zkprov.run.engine import Engine


def checked_files(run: Engine, health: Health, step: Step, unit: str) -> Mapping[str, str]:
    """Name → text of what the step lays, with the `unit`. Raises `GateFailed` where it may not be laid, `BadInput` for a template."""
    host = run.world.inventory_host(step.host)
    seen = health.picture.survey.by_name(step.host)
    disk, live = seen.disk.value if seen else None, health.picture.live
    # a leader that was stopped as it handed over may not have written what the others have
    if disk is None or live is None or disk.acting is None or disk.acting.members.version > live.version:
        found = disk.acting.members if disk and disk.acting else "not read"
        what = f"{step.host}: the list on its disk is not known to be the ensemble's: {found}"
        raise GateFailed(GateResult("files", Verdict.FAIL, what, remedy="zkprov status"), step.server)
    made = made_for(run.world, health, host)
    if made.violations:
        what = f"{step.host}: " + "; ".join(str(v) for v in made.violations[:3])
        raise GateFailed(GateResult("files", Verdict.FAIL, what, remedy=f"zkprov render {step.host}"), step.server)
    files = {name: made.files[name] for name in step.files if name in made.files}
    if UNIT in step.files:
        files[UNIT] = unit
    return files


def unit_of(world: World, host: InventoryHost) -> str:
    """The unit as the playbook `install` would write it. Raises `NotHealthy` where the host was not read, `BadInput`."""
    there = world.installed([host], Seal(secrets.token_bytes(32)))[host.name]
    if there.value is None:
        raise NotHealthy(there.detail or str(there.outcome), place=host.name, remedy="zkprov plan configure")
    java, memory = there.value.java, there.value.memory_kb
    return render_unit(host, control=f"{CONTROL}/{host.name}", java=java, memory_kb=memory, playbooks=world.playbooks)


def check(run: Engine, host: Host, health: Health, step: Step, unit: str) -> None:
    """Before the server is stopped: raises what `lay` would, but for a server that runs."""
    files = {ZOO_CFG: ""} if run.plan.kind == ADOPTION else checked_files(run, health, step, unit)
    host.check_files(files, run.plan.id, run.attempt)


def lay(run: Engine, host: Host, step: Step, unit: str) -> None:
    """While its server is down: ZooKeeper writes zoo.cfg itself with each new list, until it is."""
    if run.plan.kind == ADOPTION:
        adopting.edit(run, host, step)
        return
    health = judge(run.gates.look(), Purpose.LOOK)
    host.lay_files(checked_files(run, health, step, unit), run.plan.id, run.attempt)
