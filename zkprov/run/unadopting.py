"""An adoption taken back, as far as that is right: before a server was stopped for it everywhere, after that nowhere but on that server.

A member without `reconfigEnabled` may not find back to those that have it, once they have elected (FACTS, "Static to dynamic"); while it
stands on every disk, whoever dies comes back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zkprov.judge.picture import picture_of
from zkprov.model.problems import Problem
from zkprov.plan.steps import Plan, Restarted, Step, StepKind

if TYPE_CHECKING:
    from zkprov.run.engine import Engine


def undone(run: Engine, step: Step, start_again: Callable[[bool], str | None]) -> str | None:
    """What was taken back, in words; None where nothing may be: a server may have been stopped, and runs with what was written.

    `start_again`: what undoes a restart; whether the former file may be put back is handed to it.
    """
    if step.kind is StepKind.BACKUP:
        return ""
    if run.plan.stopped_nobody:
        return _put_back(run, run.plan.restarted)
    if step.kind is not StepKind.RESTART:
        return None
    static = not run.plan.base.version
    # of a list without a version each member may go back to what it had
    back = not static or _without_version(run)
    host = run.world.host(step.host)
    laid = host.has_former(run.plan.id)
    done = start_again(back)
    if not static or any(s.begun for s in run.plan.steps if s.number != step.number):
        return done
    if done is not None and laid and not host.has_former(run.plan.id) and _without_version(run):
        others = tuple(x for x in run.plan.restarted if x.server.id != step.server)
        return "; ".join(filter(None, (done, _put_back(run, others))))
    return None


def _put_back(run: Engine, members: Sequence[Restarted]) -> str | None:
    """zoo.cfg as it was, while its server runs on; None where the list has a version by now: then nothing is taken from anybody."""
    if not run.plan.base.version and not _without_version(run):
        return None
    back, read = [], _read_since(run, members)
    for member in members:
        host = run.world.host(member.host)
        if host.fenced_by() != run.plan.id:
            continue
        host.fence(run.plan.id, run.attempt)
        if member.host in read and host.has_former(run.plan.id):
            run.keeps_what_was_written.append(member.host)
        if host.put_back(run.plan.id, run.attempt, running=True):
            run.events.emit("undo", what=f"{member.host}: its former zoo.cfg lies there again")
            back.append(member.host)
    kept = f"; {keepers(run)}" * bool(run.keeps_what_was_written)
    return f"zoo.cfg of {', '.join(back)} is as it was{kept}" if back else "nothing was begun"


def keepers(run: Engine) -> str:
    """Whom somebody else has restarted meanwhile: what was written is in force there until the next restart."""
    who = run.keeps_what_was_written
    runs = (
        "was restarted by somebody else meanwhile and runs"
        if len(who) == 1
        else "were restarted by somebody else meanwhile and run"
    )
    return f"{', '.join(who)} {runs} with what was written, until the next restart"


def _read_since(run: Engine, members: Sequence[Restarted]) -> frozenset[str]:
    """The hosts whose servers were started on zoo.cfg as this run has written it."""
    survey = run.world.survey(clients=False)
    seen = {m.host: f.disk.value for m in members if (f := survey.by_name(m.host)) is not None}
    return frozenset(host for host, disk in seen.items() if disk is not None and disk.written_since is False)


def _without_version(run: Engine) -> bool:
    """Whether a server that serves has the list without a version still, and none has one of a version."""
    survey = run.world.survey(clients=False)
    told = [f.config.value.version for f in picture_of(survey).members if f.config.value is not None]
    return bool(told) and not any(told)


def drop_formers(run: Engine) -> None:
    """What was kept for putting back is needed no more."""
    for member in run.plan.restarted:
        with contextlib.suppress(Problem):
            host = run.world.host(member.host)
            if host.fenced_by() == run.plan.id and host.has_former(run.plan.id):
                host.fence(run.plan.id, run.attempt)
                host.drop_former(run.plan.id, run.attempt)


def half_way(plan: Plan, step: Step, undone: str | None) -> str:
    """How an adoption stands that was given up at `step`; empty where all of it was taken back."""
    if plan.stopped_nobody or (undone is not None and not any(s.begun for s in plan.steps if s.number != step.number)):
        return ""
    roll = [s for s in plan.steps if s.kind is StepKind.RESTART]
    begun = ", ".join(str(s.server) for s in roll if s.begun)
    left = ", ".join(str(s.server) for s in roll if not s.begun)
    stays = "what was written into zoo.cfg stays on every host"
    return "; ".join(filter(None, (f"restarted: {begun}", f"not yet: {left}" * bool(left), stays)))
