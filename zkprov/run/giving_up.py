"""How a run ends that a person has given up: what stands, what became of the server in hand, and what that needs next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zkprov.model.members import Members
from zkprov.model.release import Release, may_go_back
from zkprov.plan.steps import ADOPTION, RENEWAL, SET_ADDRESS, SWITCHING, Step, StepKind
from zkprov.run import renewing
from zkprov.run.acts import log_of
from zkprov.run.journal import State
from zkprov.run.moving import how_it_stands
from zkprov.run.result import Result
from zkprov.run.switching import runs_now
from zkprov.run.unadopting import half_way

if TYPE_CHECKING:
    from zkprov.run.engine import Engine


def given_up(engine: Engine, step: Step, live: Members, undone: str | None, fenced: Sequence[str]) -> Result:
    """`undone`: what was undone, None where nothing could be; `fenced`: hosts that could not be asked, and have the run's fence still.

    The run is over. A member that is down, or votes no more, is not as it was: exit 4, with what brings it back. So it is with members of
    different releases.
    """
    plan, stays = engine.plan, ""
    following: tuple[str, ...] = ()
    if plan.kind == ADOPTION:
        return _adopted(engine, step, live, undone, fenced)
    step = plan.owner(step)
    if undone is None and step.kind is StepKind.RESTART:
        stays, following = _restarted(engine, step, live)
    elif undone is None and plan.kind == RENEWAL:
        said, following = renewing.how_it_stands(engine, step)
        stays = said.removeprefix(f"{step.server} ")
    elif undone is None and plan.kind == SET_ADDRESS:
        said, following = how_it_stands(engine, step, live)
        stays = said.removeprefix(f"{step.server} ")
    elif undone is None:
        stays = "is in it and stays"
        if step.server in plan.leaving:
            observer = "is an observer of it now and stays one"
            stays = observer if step.server in live.ids else "is out of it, its disk is remembered (R7)"
    stands = f"the list is {live}" + (f"; {step.server} {stays}" if stays else "")
    stands += _kept(engine, fenced)
    if plan.kind in SWITCHING:
        mixed, again = _releases(runs_now(engine.world, plan, step))
        stands, following = "; ".join((stands, mixed)), (*following, *again)
    headline = f"Aborted run {plan.id}."
    return Result(
        plan.id, State.ABORTED, 4 if following else 0, headline, undone=undone or "", stands=stands, next=following
    )


def _releases(runs: Mapping[int, str]) -> tuple[str, tuple[str, ...]]:
    """Who runs what, and what ends that: while releases differ nobody is added or removed."""
    releases = sorted({Release.parse(r) for r in runs.values()})
    told = "; ".join(f"{r}: {', '.join(str(i) for i in sorted(runs) if runs[i] == str(r))}" for r in releases)
    if len(releases) < 2:
        return told, ()
    on, back = f"zkprov upgrade --to {releases[-1]}", f"zkprov downgrade --to {releases[0]} --reason …"
    return told, ((on, back) if may_go_back(releases[-1], releases[0]).allowed else (on,))


def _kept(engine: Engine, fenced: Sequence[str]) -> str:
    files = {name: engine.world.host(name).fence_file for name in fenced}
    return "".join(
        f"; {name} could not be asked, and has this run's fence still: rm {file} there, before another run can have it"
        for name, file in files.items()
    )


def _adopted(engine: Engine, step: Step, live: Members, undone: str | None, fenced: Sequence[str]) -> Result:
    """Half way the next adoption plans the rest."""
    plan, half = engine.plan, half_way(engine.plan, step, undone)
    stands = f"the list is {live}" + f"; {half}" * bool(half) + _kept(engine, fenced)
    following: list[str] = []
    serves = not step.host or engine.world.glance(step.host).serving
    if not serves:
        stands += f"; {step.server} does not serve"
        following.append(log_of(engine.world.inventory_host(step.host)))
    following += ["zkprov adopt"] if half else []
    said, code = f"Aborted run {plan.id}.", 0 if serves else 4
    return Result(plan.id, State.ABORTED, code, said, undone=undone or "", stands=stands, next=tuple(following))


def _restarted(engine: Engine, step: Step, live: Members) -> tuple[str, tuple[str, ...]]:
    """How it stands, and what it needs."""
    member, meant = live.get(step.server), engine.plan.server(step.server)
    if not engine.world.glance(step.host).serving:
        again = f"zkprov restart --only {step.server}"
        return "does not serve", (log_of(engine.world.inventory_host(step.host)), again)
    if member is not None and meant.votes and not member.votes:
        return "is an observer of it now", (f"zkprov set-role {step.server} participant",)
    other = step.release or (f"another {', '.join(step.files)}" if step.files else "")
    return f"serves, with {other}" if other else "serves", ()
