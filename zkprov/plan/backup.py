"""The backup before a change, as a plan's first step."""

from __future__ import annotations

import msgspec

from zkprov.judge.backups import data_source
from zkprov.judge.gates import serving_voters
from zkprov.judge.health import Health
from zkprov.model.inventory import Inventory
from zkprov.model.quorum import spare
from zkprov.plan.steps import Plan, Step, StepKind


def with_backup(plan: Plan, health: Health, inventory: Inventory) -> Plan:
    """The plan, with a backup before its first step, where its options say so; the plan itself where there is nothing to do."""
    if not plan.options.backup or not plan.steps:
        return plan
    hosts = frozenset(h.name for h in inventory.hosts)
    source = data_source(health, hosts, plan.leaving)
    live = plan.base
    step = Step(
        number=1,
        kind=StepKind.BACKUP,
        server=health.picture.member_id(source) if source else plan.steps[0].server,
        host=source.name if source else "",
        before=live.at_version(0),
        after=live.at_version(0),
        spare_after=spare(live.quorums, serving_voters(health.picture)),
        asks=tuple(g.gate for g in health.gates),
    )
    steps = (step, *(msgspec.structs.replace(s, number=s.number + 1) for s in plan.steps))
    known = {health.picture.member_id(f) for f in health.picture.members if f.name in hosts}
    without = sorted(live.ids - known)
    notes = [f"no backup of {i}: it is no host of the inventory" for i in without]
    notes += [] if source else ["no backup of any data: no member that serves is a host of the inventory"]
    return msgspec.structs.replace(plan, steps=steps, notes=(*plan.notes, *notes))
