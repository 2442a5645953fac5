"""A change of many ensembles: what became of each, as a document and as one table; and one line on stderr for each that goes on."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING

import msgspec

from zkprov.plan.steps import Plan, Refusal
from zkprov.report.account import MEANINGS
from zkprov.report.console import _plain, console, table
from zkprov.run.fleet import NOT_BEGUN, End, Planned

if TYPE_CHECKING:
    from zkprov.run.events import Event

NOT_BEGUN_WORD = "not begun"


class EndRow(msgspec.Struct, frozen=True):
    """One ensemble. `outcome`: done, nothing to do, planned, not begun, or what its exit code means. `exit_code` None: not begun.

    `run`: its run's id, for `zkprov history`. `plan`: what was approved, `refusal` why there is none.
    """

    ensemble: str
    outcome: str
    exit_code: int | None
    took_s: float
    run: str
    headline: str
    next: list[str]
    plan: Plan | None = None
    refusal: Refusal | None = None


class FleetChangeDocument(msgspec.Struct, frozen=True):
    """A change of many ensembles, in the order in which they ended, those that were not begun last. `command`: restart, backup create, …"""

    command: str
    inventory: str
    exit_code: int
    took_s: float
    ensembles: list[EndRow]
    next: list[str] = []
    left_out: list[str] = []
    format: int = 1


def rows_of(
    names: Sequence[str], ends: Sequence[End], planned: Mapping[str, Planned], inventory: str, *, dry: bool = False
) -> list[EndRow]:
    """`ends`: of those that were begun. `dry`: nobody was to be."""
    rows = []
    begun = {end.ensemble for end in ends}
    for end in (*ends, *(End(n, NOT_BEGUN) for n in names if n not in begun)):
        of = planned.get(end.ensemble, Planned(end.ensemble, 0))
        headline, following = end.headline or of.headline, end.next or of.next
        code: int | None = end.code
        if end.code == NOT_BEGUN:
            code = of.code if dry else None
            word = (
                ("planned" if of.plan else "nothing to do" if not of.code else _word(of.code))
                if dry
                else NOT_BEGUN_WORD
            )
        else:
            word = "nothing to do" if not end.code and headline == "nothing to do" else _word(end.code)
        commands = [_of_one(text, end.ensemble, inventory) for text in following] if code else []
        rows.append(EndRow(end.ensemble, word, code, end.took_s, end.run, headline, commands, of.plan, of.refusal))
    return rows


def _word(code: int) -> str:
    return MEANINGS.get(code, "failed")


def _of_one(command: str, ensemble: str, inventory: str) -> str:
    """The command as it is typed for one ensemble of the inventory; what is no command of ours stays as it is."""
    if not command.startswith("zkprov ") or " -E " in command:
        return command
    verb, _, what = command.partition("  ")
    return f"{verb} -i {inventory} -E {ensemble}" + (f"  {what.strip()}" if what else "")


def show_planned(planned: Sequence[Planned], canaries: Set[str], left: Set[str], not_begun: Sequence[str]) -> None:
    """Every plan, and then who comes when. `left`: hosts of no ensemble. `not_begun`: who will not be, for want of a plan of another."""
    from zkprov.report.console import plan, refusal

    out = console()
    for one in planned:
        if one.plan is not None:
            plan(one.plan)
            out.print()
        elif one.refusal is not None:
            console(err=True).print(_plain(f"{one.ensemble}:"), style="bold")
            refusal(one.refusal)
    rows = []
    for number, one in enumerate(planned, 1):
        what = f"{one.headline}" if not one.code else f"no plan (exit {one.code}): {one.headline}"
        turn = "will not be begun" if one.ensemble in not_begun else "canary" if one.ensemble in canaries else ""
        rows.append([number, one.ensemble, turn, what])
    table(out, ["#", "ensemble", "turn", "what is to be done"], rows)
    if left:
        out.print(_plain(f"note  of no ensemble, and left alone: {', '.join(sorted(left)[:8])}"))


def show_ends(document: FleetChangeDocument) -> None:
    out = console()
    out.print()
    rows = [
        [
            row.ensemble,
            row.outcome,
            "-" if row.exit_code is None else row.exit_code,
            f"{row.took_s:.1f} s" if row.took_s else "-",
            row.run or "-",
            "" if row.outcome in ("done", "nothing to do", NOT_BEGUN_WORD) else row.headline,
        ]
        for row in document.ensembles
    ]
    counts = Counter(row.outcome for row in document.ensembles)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    out.print(_plain(f"{document.command} of {len(document.ensembles)} ensembles: {told}"), style="bold")
    table(out, ["ensemble", "outcome", "exit", "time", "run", "why"], rows, right=(2, 3))
    steps = [f"{row.ensemble}: {row.next[0]}" for row in document.ensembles if row.next]
    for number, step in enumerate((*steps[:8], *document.next)):
        out.print(_plain(f"{'next  ' if number == 0 else '      '}{step}"), soft_wrap=True)


class FleetProgress:
    """A reader of the events of many runs: on a terminal one line that lives, with who does what; a line for each step that is over."""

    def __init__(self) -> None:
        self._out = console(err=True)
        self._live = sys.stderr.isatty()
        self._status = self._out.status("", spinner="line") if self._live else None
        self._now: dict[str, str] = {}

    def __call__(self, ensemble: str, event: Event) -> None:
        said = event.evidence
        match event.kind:
            case "step.begun":
                self._now[ensemble] = f"{event.step} {said['title']}"
            case "waiting":
                self._now[ensemble] = f"waiting for the lock, held by {said['holder']}"
            case "gate":
                self._now[ensemble] = f"waiting, gate `{said['gate']}`"
            case "step.done":
                self._line(f"{ensemble}  {event.step:>2} {said['step']:<12} {said['took_s']:>6} s  {said['said']}")
            case "step.failed":
                self._line(f"{ensemble}  {event.step:>2} {said['step']}: failed: {said['why']}")
            case "undo" | "mend":
                self._line(f"{ensemble}     {event.kind}: {said['what']}")
            case "run.ended" | "run.stopped":
                self._now.pop(ensemble, None)
                if "headline" in said:
                    self._line(f"{ensemble}  {said['headline']}")
        if self._status is not None:
            self._status.update(_plain(" · ".join(f"{name}: {what}" for name, what in self._now.items())))
            self._status.start()

    def _line(self, text: str) -> None:
        self._out.print(_plain(text), soft_wrap=True)

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()
