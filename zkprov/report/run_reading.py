"""From a run's record and its events to its report. Pure. A journal of an older release lacks some, and is told as far as it goes."""

from __future__ import annotations

from collections.abc import Sequence

from zkprov.plan.steps import Plan, seconds
from zkprov.report.run_document import (
    Artifact,
    Attempt,
    Ending,
    GateTold,
    RunReport,
    StepRow,
    Tone,
    milliseconds,
)
from zkprov.report.run_reader import Reader
from zkprov.run.events import Event, rfc3339
from zkprov.run.journal import Run, State

TONES = {State.DONE: Tone.GOOD, State.UNDONE: Tone.WARNING, State.ABORTED: Tone.WARNING, State.STOPPED: Tone.BAD}


def run_report(run: Run, events: Sequence[Event], journal: str) -> RunReport:
    """`journal`: where it lies."""
    read = Reader(run)
    for event in events:
        read.take(event)
    read.close(run.state is State.RUNNING)
    plan, options = run.plan, run.plan.options
    attempts = [a.told() for a in read.attempts]
    steps = [_step(plan, n, read) for n in range(1, len(plan.steps) + 1)]
    pauses = read.pauses
    measured = [t.pause_s for s in steps for t in s.tries if t.pause_s is not None] + [p.lasted_s for p in pauses]
    began = attempts[0].began if attempts else rfc3339(run.began)
    ended = attempts[-1].ended if attempts else rfc3339(run.ended or run.began)
    carried_out = list(dict.fromkeys(a.who for a in attempts if a.who)) or [run.who]
    pause_s = max(measured, default=None)
    return RunReport(
        run=run.id,
        ensemble=run.ensemble,
        kind=run.kind,
        state=str(run.state),
        tone=TONES.get(run.state, Tone.OPEN),
        verdict=_verdict(run, attempts, steps, pause_s),
        began=began,
        ended=ended,
        took_s=round(sum(a.took_s for a in attempts), 3),
        planned_by=plan.made_by,
        planned_at=rfc3339(plan.made_at),
        carried_out_by=carried_out,
        reason=options.reason,
        overrides=dict(options.overrides),
        options=options,
        zkprov=plan.zkprov,
        list_before=str(plan.base),
        list_after=str(plan.final),
        base_version=plan.base.version_hex,
        states_proved=plan.states_proved,
        notes=list(plan.notes),
        pause_s=pause_s,
        attempts=attempts,
        steps=steps,
        moments=read.moments,
        moments_told=read.told,
        pauses=pauses,
        gates=[GateTold(g, p, h, read.said.get(g, "")) for g, (p, h) in read.gates.items()],
        stops=read.stops,
        happenings=read.happenings,
        artifacts=_artifacts(run, read, journal),
        events=len(events),
    )


def _step(plan: Plan, number: int, read: Reader) -> StepRow:
    step, tries = plan.steps[number - 1], read.tries.get(number, [])
    last = tries[-1] if tries else None
    return StepRow(
        number=number,
        name=step.name,
        title=step.title,
        server=step.server,
        host=step.host,
        list_after=str(step.after),
        proof=step.proof,
        may_fail_after=step.spare_after,
        ending=last.ending if last else Ending.NOT_REACHED,
        said=last.said if last else "",
        tasks=read.tasks.get(number, 0),
        tries=tries,
    )


def _verdict(run: Run, attempts: Sequence[Attempt], steps: Sequence[StepRow], pause_s: float | None) -> str:
    """One sentence."""
    if not steps:
        return _of_no_steps(run, attempts)
    done = sum(s.ending is Ending.DONE for s in steps)
    last = attempts[-1] if attempts else None
    took = seconds(round(sum(a.took_s for a in attempts), 1))
    more = f", in {len(attempts)} attempts" if len(attempts) > 1 else ""
    headline = (last.headline if last else "").rstrip(".")
    told = f": {headline}" if headline else ""
    in_hand = next((s for s in steps if s.ending in (Ending.IN_HAND, Ending.CUT_OFF, Ending.FAILED)), None)
    where = f" at step {in_hand.number} ({in_hand.title})" if in_hand else f" before step {min(run.head, len(steps))}"
    match run.state:
        case State.DONE:
            pause = f"; clients could not write for {milliseconds(pause_s)} at the longest" if pause_s else ""
            all_of = f"{done} of {len(steps)} steps" if done != len(steps) else f"all {done} steps"
            return f"Done: {run.kind} on {run.ensemble}, {all_of}, {took}{more}{pause}."
        case State.UNDONE:
            return f"Not done, and what was begun was taken back{told}."
        case State.ABORTED:
            left = (last.undone or last.stands) if last else ""
            became = f"; {left.rstrip('.')}" if left else ""
            return f"Given up{where}; {done} of {len(steps)} steps had been done{more}{became}."
        case State.STOPPED:
            why = f": {in_hand.said.rstrip('.')}" if in_hand is not None and in_hand.said else ""
            return f"Stopped{where}{more}{why}; what it had begun stands, and zkprov resume takes it up."
        case State.RUNNING:
            return f"Not over{where}: it goes on, or was cut off without a word; zkprov status tells which."


def _of_no_steps(run: Run, attempts: Sequence[Attempt]) -> str:
    """Of a right that was given."""
    last = attempts[-1] if attempts else None
    told = f": {last.headline.rstrip('.')}" if last and last.headline else ""
    match run.state:
        case State.DONE:
            return f"Done: {run.kind} on {run.ensemble}."
        case State.RUNNING:
            return "Not over: it goes on, or was cut off without a word; made again, it does what is left."
        case _:
            return f"Given up{told}."


def _artifacts(run: Run, read: Reader, journal: str) -> list[Artifact]:
    found = [
        Artifact("the journal, with every event", journal, f"zkprov history {run.id}"),
        Artifact("this report as data", "", f"zkprov report {run.id} --output json"),
        Artifact("the inventory it was made with", run.inventory),
    ]
    if run.plan.steps:
        found.insert(2, Artifact("the plan and its head, in the ensemble until the next run", "/zkprov/run"))
    found += [Artifact("a backup", name, "zkprov backup list") for name in dict.fromkeys(read.backups) if name]
    kept = [h.what for h in read.happenings if h.kind in ("act", "undo") and " is at " in h.what]
    return found + [Artifact("set aside, not deleted", what) for what in dict.fromkeys(kept)]
