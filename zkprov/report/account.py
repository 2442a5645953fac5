"""What a command did, gathered from the events of its runs: what JUnit files, annotations and summaries are made from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from zkprov.judge.verdict import Verdict
from zkprov.model.problems import BadInputs, Problem
from zkprov.plan.steps import Plan, Refusal
from zkprov.report.documents import GateRow, StatusDocument
from zkprov.run.events import Event
from zkprov.run.result import Result

MEANINGS = {
    0: "done",
    1: "failed",
    2: "wrong usage",
    3: "refused",
    4: "not healthy",
    5: "busy or paused",
    6: "stale",
    7: "interrupted",
    10: "changes are pending",
}
"""Of exit codes, in a word or two."""
FAILING = frozenset(range(1, 8))


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Failure(msgspec.Struct, frozen=True):
    """`kind`: the rule, the gate, or what the exit code means. `next`: commands to type, or what to look at."""

    kind: str
    headline: str
    evidence: tuple[str, ...] = ()
    next: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        return (*self.evidence, *(f"next  {step}" for step in self.next))


class Case(msgspec.Struct, frozen=True):
    """One step, one gate, or the command as a whole. Times in seconds. `said`: how it ended, or why it was skipped."""

    name: str
    outcome: Outcome
    said: str = ""
    took_s: float = 0.0
    pause_s: float = 0.0
    failure: Failure | None = None
    number: int = 0


class Suite(msgspec.Struct, frozen=True):
    """The cases of one run, or of a command that ran nothing. `lines`: what was said beside them."""

    name: str
    cases: tuple[Case, ...]
    lines: tuple[str, ...] = ()
    run: str = ""


class _Run:
    """A run as its events tell it; never leaves this module."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.titles: dict[int, str] = {}
        self.first = 1
        self.begun: dict[int, str] = {}  # number → when, RFC 3339
        self.ended: dict[int, Case] = {}
        self.why: dict[int, tuple[str, str]] = {}  # number → (gate, why), of one that failed
        self.lines: list[str] = []
        self.last = ""

    def take(self, event: Event) -> None:
        said, number = event.evidence, event.step
        self.last = event.time
        match event.kind:
            case "run.begun":
                titles = said.get("titles")
                self.titles = dict(enumerate(titles, 1)) if isinstance(titles, list) else {}
            case "run.resumed":
                self.first = int(str(said["head"]))
            case "step.begun":
                self.titles.setdefault(number, str(said["title"]))
                self.begun[number] = event.time
            case "step.done":
                took, pause = float(str(said["took_s"])), float(str(said["longest_pause_s"]))
                self.ended[number] = Case(
                    self._name(number), Outcome.PASSED, str(said["said"]), took, pause, None, number
                )
            case "step.failed":
                self.why[number] = (str(said["gate"]), str(said["why"]))
                self.begun.setdefault(number, event.time)
            case "undo" | "mend":
                self.lines.append(f"{event.kind}: {said['what']}")

    def _name(self, number: int) -> str:
        return f"{number} {self.titles.get(number, 'step')}"

    @property
    def pending(self) -> int | None:
        """The step that was begun and has not ended well."""
        return next((n for n in sorted(self.begun, reverse=True) if n not in self.ended), None)

    def cases(self, failure: Failure | None) -> list[Case]:
        """`failure`: how the run ended, if not well; the step in hand has it."""
        found = []
        for number in sorted({*self.titles, *self.begun}):
            if number in self.ended:
                found.append(self.ended[number])
            elif number == self.pending and failure is not None:
                gate, why = self.why.get(number, ("", ""))
                told = failure if not gate else msgspec.structs.replace(failure, kind=f"gate {gate}")
                took = _between(self.begun[number], self.last)
                found.append(Case(self._name(number), Outcome.FAILED, why, took, 0.0, told, number))
            else:
                why = "done before" if number < self.first else "not reached"
                found.append(Case(self._name(number), Outcome.SKIPPED, why, number=number))
        return found


class Account:
    """A reader of events, and of what else a command comes to. `command` as typed: `zkprov apply`."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.ensemble = ""
        self.plan: Plan | None = None
        self.result: Result | None = None
        self.failure: Failure | None = None
        self.gates: tuple[GateRow, ...] = ()
        self.code = 0
        self.took_s = 0.0
        self._runs: dict[str, _Run] = {}
        self._lines: list[str] = []
        self._verdict = ""
        self._ensembles: list[Case] = []

    def __call__(self, event: Event) -> None:
        self._runs.setdefault(event.run, _Run(event.run)).take(event)

    def say(self, line: str) -> None:
        """Something that was done without a run."""
        self._lines.append(line)

    def planned(self, plan: Plan) -> None:
        self.plan, self.ensemble = plan, plan.ensemble

    def refused(self, refused: Refusal) -> None:
        following = tuple(f"{command}  {what}".strip() for command, what in refused.next)
        kind = refused.rule or MEANINGS.get(refused.exit_code, "refused")
        self.failure = Failure(kind, str(refused), refused.evidence, following)

    def judged(self, document: StatusDocument) -> None:
        head = document.ensemble
        self.ensemble, self.gates, self._verdict = head.name, tuple(document.gates), f"{head.verdict}: {head.headline}"
        self.failure = Failure(str(head.verdict), self._verdict, (), tuple(document.next))

    def fleet(self, inventory: str, ends: Sequence[tuple[str, int, str, tuple[str, ...]]]) -> None:
        """Of many ensembles, each: its name, exit code (−1: not begun), how it ended, and what to do next."""
        self.ensemble = inventory
        for name, code, said, following in ends:
            outcome = Outcome.SKIPPED if code < 0 else Outcome.FAILED if code else Outcome.PASSED
            failed = Failure(MEANINGS.get(code, "failed"), f"{name}: {said}", (), following) if code > 0 else None
            self._ensembles.append(Case(name, outcome, said, failure=failed))
            self.failure = self.failure or failed

    def ended(self, result: Result) -> None:
        self.result = result
        if result.exit_code:
            evidence = list(result.evidence)
            evidence += [f"undone  {result.undone}"] if result.undone else []
            evidence += [f"stands  {result.stands}"] if result.stands else []
            kind = MEANINGS.get(result.exit_code, "failed")
            self.failure = Failure(kind, result.headline, tuple(evidence), result.next)

    def stopped(self, code: int, wrong: BaseException) -> None:
        """By what was raised. What a person gets to read on the screen is read here."""
        kind = MEANINGS.get(code, "failed")
        if isinstance(wrong, BadInputs):
            each = tuple(f"{one}; {one.remedy}" if one.remedy else str(one) for one in wrong.each)
            self.failure = Failure(kind, wrong.problem, each, (wrong.remedy,))
        elif isinstance(wrong, Problem):
            self.failure = Failure(kind, str(wrong), (), (wrong.remedy,) if wrong.remedy else ())
        else:
            self.failure = Failure(kind, str(getattr(wrong, "message", "") or wrong) or type(wrong).__name__)

    @property
    def failed(self) -> Failure | None:
        """Why the command did not end well; None where it did."""
        if self.code not in FAILING:
            return None
        return self.failure or Failure(MEANINGS[self.code], f"{self.command} ended with exit code {self.code}")

    @property
    def headline(self) -> str:
        """How it ended, in one line."""
        if (failed := self.failed) is not None:
            return failed.headline
        if self.result is not None:
            return self.result.headline
        if self.gates:
            return self._verdict
        if self._ensembles:
            return f"{len(self._ensembles)} ensembles"
        steps = len(self.plan.steps) if self.plan else 0
        return f"{steps} steps planned, nothing was changed" if steps else "nothing to do"

    @property
    def bad_gates(self) -> tuple[GateRow, ...]:
        """Those that failed, or are unknown though they are required."""
        return tuple(g for g in self.gates if _stops(g))

    @property
    def suites(self) -> tuple[Suite, ...]:
        """Never empty, and a command that did not end well has a case that failed."""
        found = [
            Suite(
                f"{self.command} {self.ensemble}".strip(),
                tuple(seen.cases(self._failure_of(seen))),
                tuple(seen.lines),
                seen.run,
            )
            for seen in self._runs.values()
        ]
        found = [s for s in found if s.cases]
        own: list[Case] = [*self._ensembles, *(_gate_case(g) for g in self.gates)]
        told = any(c.outcome is Outcome.FAILED for s in found for c in s.cases) or any(c.failure for c in own)
        if self.failed is not None and not told:
            own.append(Case(self.command, Outcome.FAILED, "", self.took_s, 0.0, self.failed))
        elif self._lines or not (found or own or self._only_planned()):
            own.append(Case(self.command, Outcome.PASSED, self.headline, 0.0 if found else self.took_s))
        if not found:
            own += self._only_planned()
        if own:
            found.insert(0, Suite(f"{self.command} {self.ensemble}".strip(), tuple(own), tuple(self._lines)))
        return tuple(found)

    def _failure_of(self, seen: _Run) -> Failure | None:
        last = next(reversed(self._runs.values()), None)
        return self.failed if seen is last else None

    def _only_planned(self) -> list[Case]:
        if self.plan is None or (self.result is not None and not self.result.exit_code):
            return []
        why = "not begun" if self.failed else "planned only"
        return [Case(f"{s.number} {s.title}", Outcome.SKIPPED, why, number=s.number) for s in self.plan.steps]


def _stops(gate: GateRow) -> bool:
    return gate.verdict is Verdict.FAIL or (gate.verdict is Verdict.UNKNOWN and gate.required)


def _gate_case(gate: GateRow) -> Case:
    if gate.verdict is Verdict.PASS:
        return Case(f"gate {gate.gate}", Outcome.PASSED, gate.summary)
    if not _stops(gate):
        return Case(f"gate {gate.gate}", Outcome.SKIPPED, f"not told: {gate.summary}")
    return Case(f"gate {gate.gate}", Outcome.FAILED, str(gate.verdict), failure=_of_gate(gate))


def _of_gate(gate: GateRow) -> Failure:
    kind = "unsafe" if gate.unsafe and gate.verdict is Verdict.FAIL else str(gate.verdict)
    remedies = (gate.remedy,) if gate.remedy else ()
    return Failure(kind, f"gate `{gate.gate}`: {gate.summary}", tuple(gate.evidence), remedies)


def _between(began: str, ended: str) -> float:
    """Seconds from one RFC 3339 time to another; 0 where the clock was put back."""
    if not began or not ended:
        return 0.0
    return max(0.0, (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds())
