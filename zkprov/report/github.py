"""GitHub Actions: annotations, as workflow commands, and the summary of a step in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zkprov.judge.verdict import Verdict
from zkprov.report.account import MEANINGS, Account, Case
from zkprov.report.markdown import MOST_LINES, fenced, inline, plain, table

MOST_NOTES = 5
"""GitHub shows ten annotations of each kind for a step, and drops the others without a word."""
MOST_GATES = 9


def annotated(account: Account) -> list[str]:
    """Lines that GitHub reads in a step's log; each stands alone on its line."""
    title = f"{account.command} {account.ensemble}".strip()
    found = [_command("warning", f"{title}: note", [note]) for note in (account.plan.notes if account.plan else ())]
    found = found[:MOST_NOTES]
    bad = account.bad_gates
    for gate in bad[:MOST_GATES]:
        level = "error" if gate.verdict is Verdict.FAIL else "warning"
        told = [*(gate.evidence or [gate.summary]), *([f"next  {gate.remedy}"] if gate.remedy else [])]
        found.append(_command(level, f"{title}: gate {gate.gate}", told))
    if (failed := account.failed) is None:
        found.append(_command("notice", title, [account.headline, *_pause(account)]))
    elif not bad:
        meaning = MEANINGS.get(account.code, "failed")
        found.append(_command("error", f"{title}: {meaning} (exit {account.code})", [failed.headline, *failed.lines]))
    return found


def _command(level: str, title: str, lines: Iterable[str]) -> str:
    """`::error title=…::…`, escaped as the runner unescapes it."""
    text = "\n".join(plain(line) for line in list(lines)[:MOST_LINES])
    return f"::{level} title={_property(plain(title))}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _pause(account: Account) -> list[str]:
    longest = account.result.longest_pause_s if account.result else 0.0
    return [f"longest pause that a client saw: {longest * 1000:.0f} ms"] if longest else []


def summary(account: Account) -> str:
    """The step's summary: how it ended, the plan with what was done of it, and the refusal with evidence and the next command."""
    outcome = MEANINGS.get(account.code, "failed")
    parts = [f"### {inline(account.command)} {inline(account.ensemble)}".rstrip()]
    parts.append(f"**{outcome}** (exit {account.code}): {inline(account.headline)}")
    if account.plan is not None:
        plan = account.plan
        by = f"Plan {inline(plan.id)} of {inline(plan.made_by)}, made for config {plan.base.version_hex}"
        parts.append(f"{by}, list {inline(str(plan.base))}, leader {plan.leader}.")
    cases = [c for s in account.suites for c in s.cases if c.number]
    if cases:
        parts.append(_steps(account, cases))
    if account.gates:
        rows = [[g.gate, str(g.verdict), g.summary] for g in account.gates]
        parts.append(table(("gate", "verdict", "evidence"), rows))
    if account.plan is not None and account.plan.notes:
        parts.append("\n".join(f"- {inline(note)}" for note in account.plan.notes))
    if (failed := account.failed) is not None and failed.lines:
        parts.append(fenced(failed.lines))
    if account.result is not None and not account.result.exit_code:
        told = [account.result.stands, *account.result.evidence, *_pause(account)]
        parts.append("\n".join(f"- {inline(line)}" for line in told if line))
    return "\n\n".join(part for part in parts if part) + "\n\n"


def _steps(account: Account, cases: Sequence[Case]) -> str:
    """With what the plan says of each step, where there is one plan and it is known here."""
    known = {s.number: s for s in account.plan.steps} if account.plan else {}
    rows = []
    for case in cases:
        step, title = known.get(case.number), case.name.partition(" ")[2]
        planned = [str(step.after), step.proof, str(step.spare_after)] if step else [""] * 3
        ended = case.failure.kind if case.failure else case.said
        took = f"{case.took_s:.1f} s" if case.took_s else ""
        rows.append([str(case.number), title, *(planned if known else []), ended, took])
    of_plan = ("list after", "proof", "may fail after") if known else ()
    return table(("#", "step", *of_plan, "outcome", "took"), rows)
