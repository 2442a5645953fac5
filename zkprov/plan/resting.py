"""Where a run may rest until another day: not in the middle of what concerns one server. Pure; for runs that must end by a time.

The invariant: whoever waits behind a rest is whole. No joiner runs beside the list, no server that left runs on, none is stopped. Nor does
one wait that an election would leave behind: an adoption that gives a static list its version goes through from the first line that it
writes, since who was not restarted yet cannot follow one that was (FACTS, "Static to dynamic").
"""

from __future__ import annotations

from collections.abc import Mapping

from zkprov.model.durations import told
from zkprov.plan.steps import Plan, Step, StepKind

WAITS = frozenset({StepKind.SETTLE, StepKind.SEASON})
HARMLESS = frozenset({*WAITS, StepKind.BACKUP, StepKind.LAY_OUT})
"""What may be left in its middle."""


def rests_before(plan: Plan, number: int) -> bool:
    """Whether a run may stop for long before step `number`, once all before it is done."""
    if number <= 1:
        return True
    before, step = plan.steps[number - 2], plan.steps[number - 1]
    if any(s.kind is StepKind.FLAG for s in plan.steps[: number - 1]):
        return False
    return step.server != before.server or step.kind in WAITS


def stands_amid(plan: Plan, number: int, *, begun: bool) -> bool:
    """Whether a run that ended in step `number`, wherever it was, has left a server that is not whole. `begun`: the step was begun."""
    step = plan.steps[number - 1]
    if step.kind is StepKind.RESTART:
        begun = plan.begun_step(number)
    return not rests_before(plan, number) or (begun and step.kind not in HARMLESS)


def until_rest(plan: Plan, number: int) -> tuple[Step, ...]:
    """Step `number` and those after it, up to the next rest."""
    last = number
    while last < len(plan.steps) and not rests_before(plan, last + 1):
        last += 1
    return plan.steps[number - 1 : last]


def takes_s(plan: Plan, number: int, measured: Mapping[str, float]) -> float:
    """Seconds from the begin of step `number` to the next rest. `measured`: kind of step → the longest that one took before.

    A step that never was measured is taken to need its whole time limit; a wait its own.
    """
    return sum(_takes_s(step, plan, measured) for step in until_rest(plan, number))


def _takes_s(step: Step, plan: Plan, measured: Mapping[str, float]) -> float:
    if step.kind in WAITS:
        return step.wait_s
    limit_s = plan.options.reboot_timeout_s if step.reboots else plan.options.step_timeout_s
    return measured.get(_word(step), limit_s)


def _word(step: Step) -> str:
    """What such steps are measured by: the first word of their names."""
    return step.name.partition(" ")[0]


def too_late(plan: Plan, number: int, *, now: float, until: float, measured: Mapping[str, float]) -> str:
    """Why step `number` is not begun `now` by a run that rests by `until` (seconds since 1970); empty where it may begin.

    What is no rest goes on whatever the time: what has begun of a server is brought to its end.
    """
    if not rests_before(plan, number):
        return ""
    needed, left = takes_s(plan, number, measured), until - now
    if needed <= left:
        return ""
    steps = until_rest(plan, number)
    known = all(s.kind in WAITS or _word(s) in measured for s in steps)
    what = f"step {number} ({plan.steps[number - 1].title})"
    how = "took up to" if known else "may take"
    return f"{what} {how} {told(needed)}, and {told(max(0.0, left))} are left"
