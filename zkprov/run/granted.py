"""What the journal keeps of a `grant`: to whom, by whom, each ACL as it is and as it is to be, recorded before it is set."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from types import TracebackType

import msgspec

from zkprov import __version__
from zkprov.judge.health import Health
from zkprov.model.inventory import Inventory
from zkprov.model.members import Members
from zkprov.model.problems import Problem
from zkprov.plan.beginning import begun
from zkprov.plan.steps import GRANT, Options
from zkprov.run.events import Events
from zkprov.run.journal import Journal, State


class Given(msgspec.Struct, frozen=True):
    """What a record says of the moment and the hand; a grant has no wishes else."""

    plan_id: str
    made_at: float
    made_by: str
    options: Options = Options()
    zkprov: str = __version__
    templates_digest: str = ""


class Record:
    """One grant in the journal. Use it with `with`: it ends as the block does. There is nothing to resume: a grant is made again."""

    def __init__(
        self, journal: Journal, health: Health, live: Members, inventory: Inventory, *, who: str, notes: Sequence[str]
    ) -> None:
        """`notes`: what is to be done, in words. Raises `BadInput` where it cannot be recorded."""
        made = Given(secrets.token_hex(3), time.time(), who)
        plan = begun(health, live, inventory, made, kind=GRANT, steps=())
        self.plan = msgspec.structs.replace(plan, notes=tuple(notes))
        self._journal, self._inventory = journal, inventory
        self._events = Events(self.plan.id, time.time, [journal.record])
        self._done = 0

    def __enter__(self) -> Record:
        # one that was cut off is over: this one does what it left undone
        for left in self._journal.runs(self.plan.ensemble, (State.RUNNING,), kinds=(GRANT,)):
            self._journal.finish(left.id, State.ABORTED, time.time())
        self._journal.begin(self.plan, self._inventory.path, self.plan.made_by, time.time())
        self._events.emit(
            "run.begun",
            plan=self.plan.id,
            kind_of=GRANT,
            who=self.plan.made_by,
            ensemble=self.plan.ensemble,
            base=self.plan.base.version_hex,
            steps=0,
            titles=[],
        )
        return self

    def intends(self, what: str) -> None:
        """On disk when this returns: what is done next. Raises `NotRecorded` where it cannot be."""
        self._events.emit("act", what=what)
        self._done += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state = State.DONE if error is None else State.ABORTED
        code = error.exit_code if isinstance(error, Problem) else 7 if isinstance(error, KeyboardInterrupt) else 1
        stands = f"up to {self._done} of {len(self.plan.notes)} ACLs are set; none is taken back" if error else ""
        self._journal.finish(self.plan.id, state, time.time())
        self._events.emit(
            "run.ended",
            state=str(state),
            exit_code=code if error else 0,
            headline=(str(error) or type(error).__name__) if error else "",
            evidence=[],
            undone="",
            stands=stands,
            next=["zkprov grant: it looks again"] if error else [],
            longest_pause_s=0.0,
        )
