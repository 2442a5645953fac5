"""A change as a step: planned into a file, applied, resumed in a later window. Its plan's id tells what became of it, whoever died."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zkprov.model.problems import Interrupted, Problem
from zkprov.plan.resting import stands_amid, too_late
from zkprov.plan.steps import Plan
from zkprov.run.events import rfc3339
from zkprov.run.files import load_plan
from zkprov.run.journal import OPEN_STATES, Run
from zkprov.run.journal import State as RunState
from zkprov.runbook.children import Ended, document
from zkprov.runbook.coming import Came, Rest
from zkprov.runbook.record import Outcome
from zkprov.runbook.windows import Open

if TYPE_CHECKING:
    from zkprov.runbook.document import Step
    from zkprov.runbook.runner import Runner

SOURCES = ("templates", "playbooks")
PENDING = 10
KILLED_AGAIN = 3
"""How often a command may be killed, by whomever, in one turn of a step."""


class Changes:
    """Of one runbook's run; its plans lie in `folder`, each under its id."""

    def __init__(self, runner: Runner, folder: Path) -> None:
        self._runner, self._folder = runner, folder

    def plan(self, step: Step, number: int, *, kind: str) -> Came:
        """The plan made, kept, and known to the record."""
        runner, verb = self._runner, self._runner.verbs[kind]
        values = {k: v for k, v in step.values.items() if k != "kind"}
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._folder / f".{os.getpid()}.plan.json"
        words = [
            *verb.command,
            *runner.target,
            "--as",
            runner.who,
            "--out",
            str(part),
            "--output",
            "json",
            "--detailed-exitcode",
        ]
        ended = runner.child([*words, *verb.words(values)])
        if runner.stop.is_set():
            raise Interrupted("stopped by a signal", remedy="zkprov runbook run")
        if ended.exit_code == 0:
            part.unlink(missing_ok=True)
            return Came(Outcome.NOTHING, 0, "nothing to do")
        if ended.exit_code != PENDING:
            part.unlink(missing_ok=True)
            return Came(Outcome.FAILED, ended.exit_code, _said(ended), ended.exit_code)
        made = load_plan(part)
        part.replace(self.file(made.id))
        runner.planned(number, made.id)
        return Came(Outcome.DONE, 0, f"plan {made.id}: {len(made.steps)} steps, {made.base} to {made.final}")

    def file(self, plan: str) -> Path:
        return self._folder / f"{plan}.plan.json"

    def change(self, step: Step, plan: str, number: int, window: Open | None) -> Came | Rest:
        """Planned, unless a run of its plan is known, and applied."""
        if not plan or self._run(plan) is None:
            came = self.plan(step, number, kind=step.verb)
            if came.outcome is not Outcome.DONE:
                return came
            plan = self._runner.record.steps[number].plan
        return self.apply(step, plan, window)

    def amid(self, plan: str) -> bool:
        """Whether the plan's run ended, wherever it was, with a server that is not whole: it is brought to its end whatever the time."""
        run = self._run(plan) if plan else None
        return run is not None and run.state in OPEN_STATES and self._stands_amid(run)

    def stands(self, plan: str) -> bool:
        """Whether the plan's run stands unfinished."""
        run = self._run(plan) if plan else None
        return run is not None and run.state in OPEN_STATES

    def apply(self, step: Step, plan: str, window: Open | None, *, since: float = 0.0) -> Came | Rest:
        """Begun, or taken up where it stands; again, where its command was killed.

        `since`: when the step was begun. What was undone before it is applied again: that is what `--retry` asks for.
        """
        for _ in range(KILLED_AGAIN):
            came = self._applied(step, plan, window, since)
            if came is not None:
                return came
        what = f"its command was killed {KILLED_AGAIN} times (run {plan})"
        return Came(Outcome.FAILED, 7, what, 7)

    def _applied(self, step: Step, plan: str, window: Open | None, since: float) -> Came | Rest | None:
        """None where it is to be tried again."""
        runner, run = self._runner, self._run(plan)
        if run is not None and run.state is RunState.UNDONE and (run.ended or since) < since:
            run = None
        if run is not None and run.state not in OPEN_STATES:
            done = run.state is RunState.DONE
            said = f"run {plan}: {run.state}"
            return Came(Outcome.DONE, 0, said) if done else Came(Outcome.FAILED, 4, said, 4)
        if why := self._late(plan, window) if run is None else self._late_to_resume(run, window):
            return Rest(why)
        ended = runner.child(self._words(step, plan, run, window))
        resumed, run = run is not None, self._run(plan)
        if ended.exit_code == 0 and run is not None and run.state is not RunState.DONE:
            said = f"run {plan} was ended by somebody else: {run.state}"
            return Came(Outcome.FAILED, 4, said, 4)
        if ended.exit_code == 0 and not (resumed and run is None):
            return Came(Outcome.DONE, 0, _said(ended))
        if runner.stop.is_set():
            raise Interrupted("stopped by a signal", remedy="zkprov runbook run")
        # killed; or what was taken up had died before it began anything
        if ended.exit_code <= 0:
            return None
        # it rests, or it found that it is too late to begin, a moment after we found that it is not
        rests = (2, 5) if run is None else (5, 7) if run.state in OPEN_STATES else ()
        if ended.exit_code in rests and (
            why := self._late(plan, window) if run is None else self._late_to_resume(run, window)
        ):
            return Rest(why)
        return Came(Outcome.FAILED, ended.exit_code, _said(ended), ended.exit_code)

    def _words(self, step: Step, plan: str, run: Run | None, window: Open | None) -> list[str]:
        runner, sources = self._runner, self._sources(step)
        until = ["--until", rfc3339(window.closes.timestamp())] if window is not None else []
        if run is not None:
            return ["resume", *runner.target, "--output", "json", *sources, *until, "--run", plan]
        by = ["--yes", "--as", runner.who, "--output", "json"]
        return ["apply", *runner.target, *by, *sources, *until, "--", str(self.file(plan))]

    def _run(self, plan: str) -> Run | None:
        """The run of the plan, as the journal knows it; None for one that was given up before it began anything."""
        journal = self._runner.records.journal
        found = next((r for r in journal.runs() if r.id == plan), None)
        unbegun = found is not None and found.state is RunState.ABORTED and not journal.events(plan)
        return None if unbegun else found

    def _late(self, plan: str, window: Open | None) -> str:
        """Why there is no time for the first server of the plan."""
        if window is None:
            return ""
        try:
            return self._too_late(load_plan(self.file(plan)), 1, window)
        except Problem:
            return ""  # whoever applies it says what is wrong with it

    def _stands_amid(self, run: Run) -> bool:
        return stands_amid(run.plan, run.head, begun=self._runner.records.journal.begun(run.id, run.head))

    def _late_to_resume(self, run: Run, window: Open | None) -> str:
        return "" if self._stands_amid(run) else self._too_late(run.plan, run.head, window)

    def _too_late(self, plan: Plan, number: int, window: Open | None) -> str:
        if window is None:
            return ""
        measured = self._runner.records.journal.measured(plan.ensemble)
        now = self._runner.clock.now()
        return too_late(plan, number, now=now, until=window.closes.timestamp(), measured=measured)

    def _sources(self, step: Step) -> list[str]:
        """`--templates` and `--playbooks` of the step that plans: the plan is bound to them."""
        return [f"--{name}={step.values[name]}" for name in SOURCES if name in step.values]


def _said(ended: Ended) -> str:
    """The headline of what a change came to, or the last thing that it said."""
    from zkprov.runbook.runner import last_of

    found = document(ended.output)
    for part in (found.get("result"), found.get("refusal")):
        if isinstance(part, dict) and part.get("headline"):
            run = f" (run {part['run']})" if part.get("run") else ""
            return f"{part['headline']}{run}"[:300]
    errors = [line for line in ended.said.splitlines() if line.startswith("error")]
    return last_of(errors[0] if errors else ended.said)
