"""What stands of a runbook's run, as a value in the journal: written before a step and after it, so that a killed one is taken up."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from zkprov.model.problems import BadInput
from zkprov.run.journal import Journal

FORMAT = 1
KIND, APPROVAL = "runbook", "approval"


class State(StrEnum):
    """Of a runbook's run. RUNNING of one whose process is gone: it was killed, and is taken up as STOPPED is."""

    RUNNING = "running"
    RESTING = "resting"  # its window is over; the next one goes on
    STOPPED = "stopped"  # by a signal
    DONE = "done"
    FAILED = "failed"


OPEN = (State.RUNNING, State.RESTING, State.STOPPED)


class Outcome(StrEnum):
    PENDING = "pending"
    BEGUN = "begun"
    DONE = "done"
    NOTHING = "nothing"  # there was nothing to do
    FAILED = "failed"
    SKIPPED = "skipped"  # its condition did not hold


class StepRecord(msgspec.Struct, frozen=True):
    """Times are seconds since 1970. `worked_s`: how long it took, without rests. `plan`: the id of the plan that it carries out."""

    name: str
    verb: str
    outcome: Outcome = Outcome.PENDING
    began: float | None = None
    ended: float | None = None
    worked_s: float = 0.0
    exit_code: int | None = None
    plan: str = ""
    said: str = ""
    approved_by: str = ""


class RunbookRecord(msgspec.Struct, frozen=True):
    """One run of one runbook. `digest`: of its file and parameters. `window`: when the last one opened that it used; `windows`: how many
    it used. `outside`: why it was run whatever its window says, if it was."""

    id: str
    runbook: str
    place: str
    ensemble: str
    inventory: str
    digest: str
    who: str
    began: float
    steps: tuple[StepRecord, ...]
    state: State = State.RUNNING
    ended: float | None = None
    exit_code: int | None = None
    window: float | None = None
    windows: int = 0
    why: str = ""
    outside: str = ""
    format: int = FORMAT

    @property
    def position(self) -> int:
        """The number (from 0) of the step that is next or in hand."""
        over = (Outcome.PENDING, Outcome.BEGUN)
        return next((i for i, s in enumerate(self.steps) if s.outcome in over), len(self.steps))

    def step(self, name: str) -> StepRecord:
        return next(s for s in self.steps if s.name == name)

    def with_step(self, number: int, **changed: object) -> RunbookRecord:
        steps = list(self.steps)
        steps[number] = msgspec.structs.replace(steps[number], **changed)
        return msgspec.structs.replace(self, steps=tuple(steps))


class Approval(msgspec.Struct, frozen=True):
    """What somebody said of a step that asks. `yes` false: it is refused."""

    run: str
    step: str
    who: str
    at: float
    yes: bool
    reason: str = ""


class Records:
    """The runs of runbooks in a journal. Raises what the journal raises, and `BadInput` for what a newer zkprov wrote."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def keep(self, record: RunbookRecord) -> None:
        """On disk when this returns."""
        self.journal.keep(KIND, record.id, msgspec.json.encode(record))

    def all(self) -> tuple[RunbookRecord, ...]:
        """All runs, the newest first."""
        found = [self._read(document) for document in self.journal.kept(KIND)]
        return tuple(sorted(found, key=lambda r: r.began, reverse=True))

    def of(self, runbook: str, ensemble: str, inventory: str) -> tuple[RunbookRecord, ...]:
        """The runs of one runbook on one ensemble, the newest first."""
        mine = (runbook, ensemble, inventory)
        return tuple(r for r in self.all() if (r.runbook, r.ensemble, r.inventory) == mine)

    def approve(self, approval: Approval) -> None:
        self.journal.keep(APPROVAL, f"{approval.run}/{approval.step}", msgspec.json.encode(approval))

    def approval(self, run: str, step: str) -> Approval | None:
        found = self.journal.kept(APPROVAL, f"{run}/{step}")
        return msgspec.json.decode(found[0], type=Approval) if found else None

    def forget_approval(self, run: str, step: str) -> None:
        """It is asked for again."""
        self.journal.drop(APPROVAL, f"{run}/{step}")

    def _read(self, document: bytes) -> RunbookRecord:
        try:
            return msgspec.json.decode(document, type=RunbookRecord)
        except (msgspec.MsgspecError, ValueError) as wrong:
            raise BadInput(
                f"a run of a runbook cannot be read: {wrong}",
                place=str(self.journal.path),
                remedy="use the zkprov that wrote it",
            ) from None


def measured_s(records: tuple[RunbookRecord, ...], name: str, verb: str) -> float | None:
    """The longest that the step took in the last five runs in which it was carried out whole; None where it never was."""
    took = [
        s.worked_s for r in records for s in r.steps if (s.name, s.verb) == (name, verb) and s.outcome is Outcome.DONE
    ]
    return max(took[:5], default=None)
