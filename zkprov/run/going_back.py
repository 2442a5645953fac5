"""An upgrade that is given up in its middle goes back over the members that are done: by a run of its own, with the same gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from zkprov.model.problems import Problem
from zkprov.model.release import Release, may_go_back
from zkprov.plan.steps import UPGRADE, Plan, Refusal, Step, StepKind
from zkprov.run.journal import State
from zkprov.run.planning_rolls import make_downgrade
from zkprov.run.switching import runs_now

if TYPE_CHECKING:
    from zkprov.run.result import Result
    from zkprov.run.runner import Conductor


def abort(conductor: Conductor, *, stay: bool) -> Result | None:
    """As `Conductor.abort`; members that a former release is left of go back to it then. `stay`: nobody else is touched.

    A downgrade that is given up stays as it is: whoever wanted to go on would not have gone back.
    """
    result = conductor.abort()
    if result is None or stay or result.state is not State.ABORTED:
        return result
    run = next((r for r in conductor.journal.runs(conductor.world.inventory.ensemble) if r.id == result.run), None)
    if run is None or run.plan.kind != UPGRADE:
        return result
    step = run.plan.owner(run.plan.steps[run.head - 1])
    runs = runs_now(conductor.world, run.plan, step)
    releases = sorted({Release.parse(r) for r in runs.values()})
    if len(releases) < 2:
        return result
    if others := _not_ours(run.plan, step, runs, str(releases[-1])):
        before = (
            f"{', '.join(map(str, others))} had {releases[-1]} before run {run.plan.id}, which has not restarted it"
        )
        return msgspec.structs.replace(result, evidence=(*result.evidence, f"nobody else goes back: {before}"))
    if not (may := may_go_back(releases[-1], releases[0])).allowed:
        return msgspec.structs.replace(result, evidence=(*result.evidence, f"nobody else goes back: {may.reason}"))
    try:
        made = _way_back(conductor, run.plan, str(releases[0]))
        if isinstance(made, Plan):
            back = conductor.apply(made)
            done = f"{result.headline} Run {made.id} went back: {back.headline}"
            undone = "; ".join(filter(None, (result.undone, back.undone)))
            return msgspec.structs.replace(back, headline=done, undone=undone)
        why = (made.headline, *made.evidence) if made else ()
    except Problem as problem:
        why = (str(problem),)
    return msgspec.structs.replace(
        result, evidence=(*result.evidence, *(f"nobody else goes back: {w}" for w in why[:1]), *why[1:])
    )


def _not_ours(plan: Plan, step: Step, runs: Mapping[int, str], release: str) -> list[int]:
    """Who runs `release`, and not because this plan has restarted it by step `step`: an upgrade that went on where another had ended."""
    turns = {s.server for s in plan.steps[: step.number] if s.kind is StepKind.RESTART and s.release == release}
    return [i for i in sorted(runs) if runs[i] == release and i not in turns]


def _way_back(conductor: Conductor, plan: Plan, release: str) -> Plan | Refusal | None:
    """Without a backup, which the upgrade began with, and without a soak: that release ran until now."""
    options = msgspec.structs.replace(
        plan.options, soak_s=0.0, backup=False, reason=plan.options.reason or f"run {plan.id} was given up"
    )
    return make_downgrade(conductor.world, release, options, conductor.who)
