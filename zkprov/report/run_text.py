"""The report of a run as text: short, for a terminal, and in Markdown for a ticket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zkprov.report.markdown import fenced, inline
from zkprov.report.markdown import table as markdown_table
from zkprov.report.run_document import Ending, Moment, RunReport, StepRow, Tone, milliseconds
from zkprov.report.run_html import date_and_time, took

STYLES = {Tone.GOOD: "green", Tone.WARNING: "yellow", Tone.BAD: "bold red", Tone.OPEN: "yellow"}
MOST_STEPS = 100
MOST_STOPS = 8


def show(report: RunReport) -> None:
    """On stdout, for people."""
    from zkprov.report.console import console, table
    from zkprov.report.markdown import plain

    out = console()
    out.print(plain(f"{report.ensemble}  run {report.run}  {report.kind} {_lists(report)}"), style="bold")
    out.print(plain(report.verdict), style=STYLES[report.tone])
    out.print()
    steps = _ends(report.steps)
    rows = [[s.number, s.title, str(s.ending), *_figures(s), s.said] for s in steps]
    table(out, ["#", "step", "came out", "took", "pause", "what was seen"], rows, right=(0, 3, 4))
    if len(steps) < len(report.steps):
        out.print(f"{len(report.steps) - len(steps)} more steps are in between")
    out.print()
    for name, line in told(report):
        out.print(plain(f"{name:<9} {line}"), soft_wrap=True)


def told(report: RunReport) -> Iterable[tuple[str, str]]:
    """(what, in words): what is said beside the steps, by all that is text."""
    yield (
        "when",
        f"{date_and_time(report.began)} to {date_and_time(report.ended)} UTC; at work for {took(report.took_s)}",
    )
    yield "who", f"planned by {report.planned_by}; carried out by {', '.join(report.carried_out_by)}"
    for name, values in _over_time(report.moments).items():
        yield name, " → ".join(values)
    yield "pauses", f"{milliseconds(report.pause_s)}, the longest" if report.pause_s is not None else "not measured"
    for rule, reason in report.overrides.items():
        yield "set aside", f"{rule}: {reason or report.reason}"
    if report.reason and not report.overrides:
        yield "reason", report.reason
    if len(report.attempts) > 1:
        for a in report.attempts:
            at_step = f" at step {a.from_step}" if a.from_step else ""
            yield (
                "attempt",
                f"{a.number}: {a.kind}{at_step} by {a.who or '?'}, {took(a.took_s)}, {a.ending}. {a.headline}",
            )
    for stop in report.stops[-MOST_STOPS:]:
        yield "held up", f"step {stop.step}, gate {stop.gate}: {stop.summary}"
    if report.last is not None and report.last.exit_code:
        for line in report.last.evidence:
            yield "evidence", line
    if report.last is not None:
        for name, line in (("undone", report.last.undone), ("stands", report.last.stands)):
            if line:
                yield name, line
        for line in report.last.next:
            yield "next", line
    yield "journal", report.artifacts[0].where


def markdown(report: RunReport) -> str:
    """For a ticket."""
    parts = [
        f"### {inline(report.kind)} on {inline(report.ensemble)}, run {inline(report.run)}",
        f"**{inline(report.verdict)}**",
    ]
    steps = _ends(report.steps)
    rows = [[str(s.number), s.title, str(s.ending), *_figures(s), s.list_after, s.proof, s.said] for s in steps]
    parts.append(
        markdown_table(("#", "step", "came out", "took", "pause", "list after", "proof", "what was seen"), rows)
    )
    if len(steps) < len(report.steps):
        parts.append(f"{len(report.steps) - len(steps)} more steps are in between.")
    lines = list(told(report))
    parts.append("\n".join(f"- {name}: {inline(line)}" for name, line in lines if name not in ("evidence", "next")))
    if commands := [f"{name}  {line}" for name, line in lines if name in ("evidence", "next")]:
        parts.append(fenced(commands))
    if report.gates:
        held = [[g.gate, str(g.passed), str(g.held_up), g.said] for g in report.gates]
        parts.append(markdown_table(("gate", "passed", "held up", "evidence"), held))
    if report.notes:
        parts.append("\n".join(f"- note: {inline(note)}" for note in report.notes))
    return "\n\n".join(parts) + "\n"


def _lists(report: RunReport) -> str:
    changed = f" → {report.list_after}" if report.list_after != report.list_before else ""
    return f"{report.list_before}{changed}"


def _figures(step: StepRow) -> tuple[str, str]:
    """How long the last try at it took, and the longest pause in it."""
    if not step.tries or step.ending is Ending.NOT_REACHED:
        return "", ""
    last = step.tries[-1]
    return took(last.took_s), "" if last.pause_s is None else milliseconds(last.pause_s)


def _ends(steps: Sequence[StepRow]) -> Sequence[StepRow]:
    half = MOST_STEPS // 2
    return steps if len(steps) <= MOST_STEPS else [*steps[:half], *steps[-half:]]


def _over_time(moments: Sequence[Moment]) -> dict[str, list[str]]:
    """What each of them was, one value after the other; of many the first and the last."""
    found: dict[str, list[str]] = {"leader": [], "epoch": [], "config": []}
    for moment in moments:
        now = {
            "leader": "nobody" if moment.leader is None else str(moment.leader),
            "epoch": "" if moment.epoch is None else str(moment.epoch),
            "config": moment.config or "",
        }
        for name, value in now.items():
            if value and (not found[name] or found[name][-1] != value):
                found[name].append(value)
    return {n: v if len(v) <= 10 else [*v[:5], "…", *v[-4:]] for n, v in found.items() if v}
