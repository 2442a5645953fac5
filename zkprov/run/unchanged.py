"""Whether a plan still fits: the ensemble, the inventory, the templates and the hosts are those that it was made from."""

from __future__ import annotations

import time

from zkprov.judge.adoption import digests
from zkprov.judge.health import judge
from zkprov.judge.picture import picture_of, release_of
from zkprov.judge.verdict import Purpose
from zkprov.model.facts import Survey
from zkprov.model.problems import NotHealthy, Stale, Unsafe
from zkprov.plan.reached import another_history, other_releases, reached
from zkprov.plan.steps import LEAVING, Plan, StepKind
from zkprov.run.journal import State
from zkprov.run.ledger import RunDocument
from zkprov.run.result import Result
from zkprov.run.world import World

REST_S = 2.0
"""How long a plan whose list stands is given to be seen whole: a sample may lag a moment."""
LOOK_S = 0.2


def renders(world: World, plan: Plan, survey: Survey) -> None:
    """What the templates make for each joiner, rendered and judged before anything is begun. Raises `BadInput`."""
    release = release_of(picture_of(survey))
    for step in plan.steps if release else ():
        if step.kind is StepKind.START:
            world.render(step.host, plan.joiner(step.server).server, step.before, release)


def still_true(world: World, plan: Plan, survey: Survey) -> None:
    """Raises `Stale` where the ensemble, or what the plan was made from, is another now."""
    same_sources(world, plan)
    picture = judge(survey, Purpose.LOOK).picture
    live = picture.live
    if live is None:
        raise NotHealthy("no server tells the list of members", place=plan.ensemble, remedy="zkprov status")
    if not live.same_config(plan.base):
        raise Stale(
            f"the list is {live} of version {live.version_hex}, the plan was made for {plan.base} of {plan.base.version_hex}",
            place=f"plan {plan.id}",
            remedy=f"plan again: zkprov plan {plan.kind} …",
        )
    _same_history(plan, survey)
    if others := other_releases(plan, picture):
        raise Stale("; ".join(others), place=f"plan {plan.id}", remedy=f"plan again: zkprov plan {plan.kind} …")
    now = digests(picture)
    if other := [x.host for x in plan.restarted if plan.zoo_cfgs.get(x.server.id) not in (None, now.get(x.server.id))]:
        what = f"{', '.join(other)}: zoo.cfg says something else than when this was planned"
        raise Stale(what, place=f"plan {plan.id}", remedy=f"see who wrote it; then plan again: zkprov plan {plan.kind}")


def carried_out(world: World, plan: Plan, survey: Survey, standing: RunDocument | None) -> Result | None:
    """How a plan ends whose end stands already, by whichever run; None for any other.

    `survey`: one of this moment; `standing`: the ledger's last run, which is over. What is a moment behind is looked at again.
    Raises `Stale` where the list is that one and the rest is not, `NotHealthy` where it does not serve, `Unsafe` in danger.
    """
    ran = standing.run if standing is not None and standing.state is State.DONE else ""
    deadline = time.monotonic() + REST_S
    while True:
        health = judge(survey, Purpose.LOOK)
        found = reached(plan, health, ran)
        if found is None or found.done or found.danger or found.lacks or time.monotonic() > deadline:
            break
        time.sleep(LOOK_S)
        survey = world.survey(clients=False)
    if found is None:
        return None
    place, live = f"plan {plan.id}", plan.final
    if found.danger:
        what = f"the list is {live}, as the plan ends, and the ensemble is unsafe: {found.danger.summary}"
        raise Unsafe(what, place=place, remedy=f"zkprov status; {found.danger.remedy}".rstrip("; "))
    _same_history(plan, survey)
    if found.lacks:
        what = f"the list is {live}, as the plan ends, but no run has brought it there: {'; '.join(found.lacks)}"
        raise Stale(what, place=place, remedy="zkprov status; zkprov retired list")
    if found.weak:
        what = f"the list is {live}, as the plan ends: {'; '.join(found.weak)}"
        raise NotHealthy(what, place=place, remedy="zkprov status")
    return Result(
        plan.id,
        State.DONE,
        0,
        f"nothing to do: plan {plan.id} is carried out",
        found.said,
        stands=f"the list is {live}",
    )


def _same_history(plan: Plan, survey: Survey) -> None:
    if other := another_history(plan, survey):
        raise Stale(other, place=f"plan {plan.id}", remedy="zkprov status; plan again, if it shows one ensemble")


def same_place(world: World, standing: RunDocument) -> None:
    """What an abort needs of the inventory: the joiner's host where the plan had it. Raises `Stale`, or `BadInput` without it."""
    step = standing.plan.steps[standing.head - 1]
    if not step.host or step.kind in (StepKind.SETTLE, StepKind.SEASON, StepKind.BACKUP) or step.kind in LEAVING:
        return  # no host is touched there, and a season's server is not the one that comes next
    host, meant = world.inventory_host(step.host), standing.plan.server(step.server)
    port, ours = (part.port if part else None for part in (meant.client, host.client_part))
    # the lines of a static list mostly say nothing of clients
    silent = standing.plan.rolls and meant.client is None
    if host.server_address not in meant.addresses or (port != ours and not silent):
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
