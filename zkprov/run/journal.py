"""The local journal: every run with its whole plan, every event, each intention on disk before its act (SQLite, WAL, synchronous FULL)."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from zkprov.model.problems import BadInput, Interrupted, Problem
from zkprov.plan.steps import Plan
from zkprov.run.events import Event

FORMAT = 1

SCHEMA = """
CREATE TABLE IF NOT EXISTS run (
  id TEXT PRIMARY KEY, ensemble TEXT NOT NULL, kind TEXT NOT NULL, inventory TEXT NOT NULL, plan BLOB NOT NULL,
  who TEXT NOT NULL, zkprov TEXT NOT NULL, began REAL NOT NULL, ended REAL, state TEXT NOT NULL, head INTEGER NOT NULL DEFAULT 1,
  attempt INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS event (run TEXT NOT NULL, seq INTEGER PRIMARY KEY AUTOINCREMENT, event BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS event_of_run ON event (run, seq);
"""
# Of later releases: laid into the journals of earlier ones too, which those read as before.
LATER = "CREATE TABLE IF NOT EXISTS document (kind TEXT NOT NULL, key TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (kind, key))"
MEASURED_RUNS = 20
"""How many of an ensemble's last runs tell how long a step takes."""

COLUMNS = "id, ensemble, kind, inventory, plan, who, began, ended, state, head, attempt"


class State(StrEnum):
    """Of a run. RUNNING, STOPPED: `resume` has something to do."""

    RUNNING = "running"
    STOPPED = "stopped"  # interrupted, or stopped with something begun and standing
    DONE = "done"
    UNDONE = "undone"  # failed, and what was begun was undone
    ABORTED = "aborted"


OPEN_STATES = (State.RUNNING, State.STOPPED)


class NotRecorded(Interrupted):
    """What happens can no longer be recorded, so nothing further is done."""


class Run(msgspec.Struct, frozen=True):
    """A run's record. `head` is the number of the step that is next or in hand; `attempt` grows with each resume."""

    id: str
    ensemble: str
    kind: str
    inventory: str
    plan: Plan
    who: str
    began: float
    ended: float | None
    state: State
    head: int
    attempt: int


def default_path() -> Path:
    """`$ZKPROV_JOURNAL`, else `zkprov/journal.db` under the state folder of the XDG rules."""
    given = os.environ.get("ZKPROV_JOURNAL")
    if given:
        return Path(given)
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "zkprov" / "journal.db"


class Journal:
    """Raises `BadInput` with the path and the remedy for whatever the disk or the file refuses; once a run is on, `NotRecorded`."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        with self._told():
            if create:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            elif not path.exists():
                self._db = sqlite3.connect(":memory:")
                self._db.executescript(f"{SCHEMA};{LATER}")
                return
            # what others write takes milliseconds, and a signal is not heard while SQLite waits
            self._db = sqlite3.connect(path, timeout=2, isolation_level=None, check_same_thread=False)
            found = self._format()
            if found > FORMAT:
                raise BadInput(
                    f"journal of format {found}; this zkprov reads up to {FORMAT}",
                    place=str(path),
                    remedy="use a newer zkprov, or another --journal",
                )
            tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
            if tables and not {"run", "event"} <= tables:
                raise BadInput(
                    "this is a database of something else", place=str(path), remedy="name another file with --journal"
                )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            if found == 0:
                self._lay_out()
            self._db.execute(LATER)
            self._db.execute("SELECT id, plan, state, head, attempt FROM run LIMIT 1").fetchone()
            damage = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                raise sqlite3.DatabaseError(f"damaged: {' '.join(damage.split())}")
            path.chmod(0o600)

    def _format(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _lay_out(self) -> None:
        """The tables of an empty file, all at once: two runs may find it empty at the same time."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if self._format() == 0:
                for statement in SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={FORMAT}")
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _told(self, problem: type[Problem] = BadInput) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as wrong:
            text = str(wrong)
            if "malformed" not in text and ("disk" in text or "full" in text):
                remedy = "make room on its disk; nothing is done that cannot be recorded"
            elif "locked" in text:
                remedy = "another zkprov is writing; try again"
            elif "readonly" in text or "unable to open" in text:
                remedy = "set --journal or ZKPROV_JOURNAL to a file that can be written"
            else:
                remedy = "move the file aside; `zkprov resume` then goes by the ledger in the ensemble"
            raise problem(f"the journal cannot be used: {text}", place=str(self.path), remedy=remedy) from None
        except OSError as wrong:
            raise problem(
                f"the journal cannot be used: {wrong.strerror}",
                place=str(self.path),
                remedy="set --journal or ZKPROV_JOURNAL",
            ) from None

    def begin(self, plan: Plan, inventory: str, who: str, now: float, *, head: int = 1, attempt: int = 0) -> None:
        """Records the whole plan before anything is done. A run taken over from the ledger comes in with its head."""
        with self._told():
            self._db.execute(
                "INSERT OR REPLACE INTO run VALUES (?,?,?,?,?,?,?,?,NULL,?,?,?)",
                (
                    plan.id, plan.ensemble, plan.kind, inventory, msgspec.json.encode(plan), who, plan.zkprov, now,
                    State.RUNNING, head, attempt,
                ),
            )  # fmt: skip

    def advance(self, run: str, head: int, plan: Plan | None = None) -> None:
        """The intention: step `head` is now in hand. On disk when this returns.

        `plan`: as it is now, where its steps may be in another order since: `head` is a place in it, so both are written at once.
        """
        now = None if plan is None else msgspec.json.encode(plan)
        with self._told(NotRecorded):
            self._db.execute(
                "UPDATE run SET head=?, state=?, plan=coalesce(?, plan) WHERE id=?", (head, State.RUNNING, now, run)
            )

    def finish(self, run: str, state: State, now: float) -> None:
        with self._told(NotRecorded):
            self._db.execute("UPDATE run SET state=?, ended=? WHERE id=?", (state, now, run))

    def record(self, event: Event) -> None:
        with self._told(NotRecorded):
            self._db.execute("INSERT INTO event (run, event) VALUES (?,?)", (event.run, msgspec.json.encode(event)))

    def runs(
        self,
        ensemble: str | None = None,
        states: Sequence[State] = tuple(State),
        *,
        kinds: Sequence[str] = (),
        since: float | None = None,
        until: float | None = None,
        limit: int | None = None,
    ) -> tuple[Run, ...]:
        """The runs, newest first. A record whose plan is of another release or damaged is named, not skipped.

        `since`, `until`: when they began, in seconds since 1970; `until` itself is left out. `limit`: of those that are left.
        """
        with self._told():
            rows = self._db.execute(
                f"SELECT {COLUMNS} FROM run WHERE (?1 IS NULL OR ensemble=?1) AND (?2 IS NULL OR began>=?2)"  # noqa: S608 — ours
                " AND (?3 IS NULL OR began<?3) ORDER BY began DESC",
                (ensemble, since, until),
            ).fetchall()
        asked = [r for r in rows if r[8] in states or r[8] not in tuple(State)]
        asked = [r for r in asked if not kinds or r[2] in kinds]
        return tuple(self._run(row) for row in asked[:limit])

    def named(self, run: str, ensemble: str | None = None) -> Run:
        """By its id, by the beginning of it where that is one run's, or `last`. Raises `BadInput`, with what to type next."""
        with self._told():
            rows = self._db.execute(
                f"SELECT {COLUMNS} FROM run WHERE (?1 IS NULL OR ensemble=?1) AND (?2='last' OR substr(id,1,length(?2))=?2)"  # noqa: S608
                " ORDER BY began DESC",
                (ensemble, run),
            ).fetchall()
        found = rows[:1] if run == "last" else [r for r in rows if r[0] == run] or rows
        if not run or not found:
            what = "no run is recorded here" if run == "last" else f"no run {run!r}"
            raise BadInput(what, place=str(self.path), remedy="zkprov history")
        if len(found) > 1:
            ids = ", ".join(r[0] for r in found[:5]) + (", …" if len(found) > 5 else "")
            raise BadInput(
                f"{len(found)} runs begin with {run!r}: {ids}", place="RUN", remedy="more of its id, or last"
            )
        return self._run(found[0])

    def _run(self, row: tuple[Any, ...]) -> Run:
        try:
            plan = msgspec.json.decode(row[4], type=Plan)
            known = dict(zip(Run.__struct_fields__, row, strict=True))
            return Run(**{**known, "plan": plan, "state": State(row[8])})
        except (msgspec.MsgspecError, ValueError, RecursionError) as wrong:
            remedy = "use the zkprov that wrote it"
            raise BadInput(f"run {row[0]} cannot be read: {wrong}", place=str(self.path), remedy=remedy) from None

    def unfinished(self, ensemble: str) -> tuple[Run, ...]:
        """Those that `resume` has something to do for, as far as this machine knows; newest first. What has no steps has no rest."""
        return tuple(run for run in self.runs(ensemble, OPEN_STATES) if run.plan.steps)

    def events(self, run: str) -> tuple[Event, ...]:
        with self._told():
            rows = self._db.execute("SELECT event FROM event WHERE run=? ORDER BY seq", (run,)).fetchall()
        try:
            return tuple(msgspec.json.decode(row[0], type=Event) for row in rows)
        except (msgspec.MsgspecError, ValueError) as wrong:
            remedy = "use the zkprov that wrote it"
            raise BadInput(
                f"an event of run {run} cannot be read: {wrong}", place=str(self.path), remedy=remedy
            ) from None

    def begun(self, run: str, step: int) -> bool:
        """Whether the run began this step. Of one without any event here it is not known that it did not."""
        events = self.events(run)
        return not events or any(e.kind == "step.begun" and e.step == step for e in events)

    def measured(self, ensemble: str) -> dict[str, float]:
        """Kind of step → the longest that one took, in seconds, in the last runs on this ensemble."""
        with self._told():
            rows = self._db.execute(
                "SELECT event FROM event WHERE run IN (SELECT id FROM run WHERE ensemble=? ORDER BY began DESC LIMIT ?)"
                " AND CAST(event AS TEXT) LIKE '%\"step.done\"%' ORDER BY seq DESC LIMIT 1000",
                (ensemble, MEASURED_RUNS),
            ).fetchall()
        longest: dict[str, float] = {}
        for (row,) in rows:
            with contextlib.suppress(msgspec.MsgspecError, ValueError):
                done = msgspec.json.decode(row, type=Event).evidence
                kind, took = str(done.get("step", "")).partition(" ")[0], done.get("took_s")
                if isinstance(took, int | float):
                    longest[kind] = max(longest.get(kind, 0.0), float(took))
        return longest

    def keep(self, kind: str, key: str, document: bytes) -> None:
        """Keeps a document of `kind` under `key`, in the place of the one that was there. On disk when this returns."""
        with self._told(NotRecorded):
            self._db.execute("INSERT OR REPLACE INTO document VALUES (?,?,?)", (kind, key, document))

    def drop(self, kind: str, key: str) -> None:
        with self._told(NotRecorded):
            self._db.execute("DELETE FROM document WHERE kind=? AND key=?", (kind, key))

    def kept(self, kind: str, key: str | None = None) -> tuple[bytes, ...]:
        """The documents of `kind`, or the one under `key`, by their keys."""
        with self._told():
            rows = self._db.execute(
                "SELECT document FROM document WHERE kind=?1 AND (?2 IS NULL OR key=?2) ORDER BY key", (kind, key)
            ).fetchall()
        return tuple(row[0] for row in rows)

    def exit_code(self, run: str) -> int | None:
        """How its last attempt ended; None where no event tells it."""
        with self._told():
            row = self._db.execute(
                'SELECT event FROM event WHERE run=? AND CAST(event AS TEXT) LIKE \'%"kind":"run.ended"%\' ORDER BY seq DESC LIMIT 1',
                (run,),
            ).fetchone()
        code = None if row is None else msgspec.json.decode(row[0], type=Event).evidence.get("exit_code")
        return code if isinstance(code, int) else None

    def close(self) -> None:
        self._db.close()
