"""Whether a plan still fits: the ensemble, the inventory, the templates and the hosts are those that it was made from."""

from __future__ import annotations

from zkprov.judge.health import judge
from zkprov.judge.picture import picture_of, release_of
from zkprov.judge.verdict import Purpose
from zkprov.model.facts import Survey
from zkprov.model.problems import NotHealthy, Stale
from zkprov.plan.steps import LEAVING, Plan, StepKind
from zkprov.run.ledger import RunDocument
from zkprov.run.world import World


def renders(world: World, plan: Plan, survey: Survey) -> None:
    """What the templates make for each joiner, rendered and judged before anything is begun. Raises `BadInput`."""
    release = release_of(picture_of(survey))
    for step in plan.steps if release else ():
        if step.kind is StepKind.START:
            world.render(step.host, plan.joiner(step.server).server, step.before, release)


def still_true(world: World, plan: Plan, survey: Survey) -> None:
    """Raises `Stale` where the ensemble, or what the plan was made from, is another now."""
    same_sources(world, plan)
    live = judge(survey, Purpose.LOOK).picture.live
    if live is None:
        raise NotHealthy("no server tells the list of members", place=plan.ensemble, remedy="zkprov status")
    if not live.same_config(plan.base):
        raise Stale(
            f"the list is {live} of version {live.version_hex}, the plan was made for {plan.base} of {plan.base.version_hex}",
            place=f"plan {plan.id}",
            remedy=f"plan again: zkprov plan {plan.kind} …",
        )
    found = {f"{i.path}@{i.czxid:x}/{i.ctime_ms}" for f in survey.servers if (i := f.identity.value)}
    same_path = {h for h in found if h.split("@")[0] == plan.history.split("@")[0]}
    if plan.history and same_path and plan.history not in same_path:
        raise Stale(
            f"another history: {', '.join(sorted(same_path))}, the plan knew {plan.history}",
            place=f"plan {plan.id}",
            remedy="zkprov status; plan again, if it shows one ensemble",
        )


def same_place(world: World, standing: RunDocument) -> None:
    """What an abort needs of the inventory: the joiner's host where the plan had it. Raises `Stale`, or `BadInput` without it."""
    step = standing.plan.steps[standing.head - 1]
    if step.kind in (StepKind.SETTLE, StepKind.SEASON, StepKind.BACKUP) or step.kind in LEAVING:
        return  # no host is touched there, and a season's server is not the one that comes next
    host, meant = world.inventory_host(step.host), standing.plan.server(step.server)
    port, ours = (part.port if part else None for part in (meant.client, host.client_part))
    if host.server_address not in meant.addresses or port != ours:
        raise Stale(
            f"{step.host} is at {host.server_address} (client {host.client}) by the inventory, the plan has {meant.line}",
            place=world.inventory.path,
            remedy=f"give {step.host} the address and ports of the plan again, then zkprov abort",
        )


def same_sources(world: World, plan: Plan, otherwise: str = "or plan again") -> None:
    if plan.inventory_digest != world.inventory.digest:
        raise Stale(
            "the inventory is not the one that the plan was made from",
            place=world.inventory.path,
            remedy=f"use the inventory of then, {otherwise}",
        )
    if plan.templates_digest != world.templates_digest():
        raise Stale(
            "the templates are not those that the plan was made from (or the playbooks are not)",
            place="templates",
            remedy=f"use those of then, {otherwise}",
        )
