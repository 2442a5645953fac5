"""Of an upgrade: releases laid out on hosts, and what each member may run at a step."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from zkprov.judge.picture import picture_of
from zkprov.judge.releases import running
from zkprov.model.problems import NotSwitchable, Problem
from zkprov.plan.steps import SWITCHING, Plan, Step, StepKind
from zkprov.run.acts import take

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zkprov.judge.health import Health
    from zkprov.run.engine import Engine
    from zkprov.run.world import World


def lying(world: World, names: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """(host → releases that lie there, host → why it cannot be switched, by what is found there). Not asked where the inventory tells."""
    laid, fixed = {}, {}
    for name in names:
        host = world.inventory.host(name)
        if host is None or host.why_no_switch:
            continue
        try:
            laid[name] = world.host(name).releases()
        except NotSwitchable as problem:
            fixed[name] = f"{problem.problem}: {problem.remedy}"
    return laid, fixed


def lay_out(run: Engine, step: Step) -> str:
    """Beside what runs, on each host of the step; nothing is stopped for it, and nothing of it is taken back."""
    run.gates.passed()
    for name in step.hosts:
        run.checkpoint()
        host = run.world.host(name)
        take(run, host, step)
        run.events.emit("act", what=f"{name}: lay out {step.release}")
        host.lay_release(step.release, run.plan.id, run.attempt)
    return f"{step.release} lies on {len(step.hosts)} hosts"


def may_run(run: Engine, step: Step) -> Mapping[int, frozenset[str]] | None:
    """Id → what the member may run in a step until it is done: the server in hand of a run that is taken up, the one or the other."""
    if run.plan.kind not in SWITCHING:
        return None
    found = {i: frozenset({release}) for i, release in run.plan.runs(step.number).items()}
    if step.release and step.kind is StepKind.RESTART and run.attempt > 0 and step.number == run.first:
        found[step.server] |= {step.release}
    return found


def runs_now(world: World, plan: Plan, step: Step) -> dict[int, str]:
    """Id → the release that each member runs: as it says itself; else, of the step's server, as its next start; else by the steps done."""
    step = plan.owner(step)
    told = {i: str(release) for i, release in running(picture_of(world.survey(clients=False))).items()}
    found = plan.runs(step.number)
    if step.kind is StepKind.RESTART and step.server not in told:
        with contextlib.suppress(Problem):
            found[step.server] = world.host(step.host).current() or found[step.server]
    return {**found, **told}


def runs_it_already(run: Engine, step: Step, health: Health) -> bool:
    """Whether the server of the step runs the step's release already, by an attempt that was cut off."""
    told = running(health.picture).get(step.server)
    return bool(step.release) and str(told) == step.release


def said_of(run: Engine) -> tuple[str, ...]:
    """At the end of an upgrade: the release that all run, and what is to be written where the inventory says another; empty for others."""
    if run.plan.kind not in SWITCHING:
        return ()
    target = next(s.release for s in reversed(run.plan.steps) if s.release)
    others = [h.name for h in run.world.inventory.hosts if h.release != target]
    write = f"set zkprov_release: {target} in {run.world.inventory.path}, for what is rendered and added from now on"
    return target, *([write] if others else [])
