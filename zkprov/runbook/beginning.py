"""Which run of a runbook goes on: a new one, the one that stands, the one that failed; or none now. And when its steps would come."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from zkprov.model.inventory import Inventory
from zkprov.model.problems import BadInput, Busy, Stale
from zkprov.run.journal import Journal
from zkprov.runbook.document import Runbook
from zkprov.runbook.record import OPEN, Outcome, Records, RunbookRecord, State, StepRecord, measured_s
from zkprov.runbook.runner import Runner
from zkprov.runbook.timeline import Timeline, lay_out
from zkprov.runbook.verbs import Kind, Verb
from zkprov.runbook.windows import frozen_at, open_from


def begun(
    runner: Runner, file: Path, read: Inventory, *, scheduled: bool, retry: bool, anew: bool, reason: str, wait: bool
) -> RunbookRecord | None:
    """The record to go on with. Raises `Busy` outside a window, `Stale` for a runbook that changed in the middle."""
    book, records, now = runner.book, runner.records, runner.clock.now()
    if scheduled:
        has_window(book)
    digest = digest_of(book)
    last = next(iter(records.of(book.name, read.ensemble, read.path)), None)
    window = runner.window()
    open_one = last if last is not None and last.state in OPEN else None
    amid = open_one is not None and not anew and open_one.digest == digest and runner.amid(open_one)
    if book.window is not None and window is None and not reason and not wait and not amid:
        if scheduled:
            return None
        raise Busy(_closed(runner), place=book.place, remedy="--wait for it, or --outside-window --reason …")
    if open_one is not None and anew:
        gone = "given up by --anew; what it began of a change stands: zkprov history"
        records.keep(msgspec.structs.replace(open_one, state=State.FAILED, ended=now, why=gone))
        open_one = None
    if retry and open_one is None:
        if last is None or last.state is not State.FAILED:
            raise BadInput("there is no failed run to take up", place=book.place, remedy="leave --retry out")
        failed = [i for i, s in enumerate(last.steps) if s.outcome is Outcome.FAILED] if last.digest == digest else []
        again = next((i for i in failed if not book.steps[i].goes_on), None)
        if again is not None:
            # what failed is planned anew, unless its run stands unfinished, and asked for anew; what ended well stays as it is
            records.forget_approval(last.id, last.steps[again].name)
            stands = last.steps[again].plan in {r.id for r in records.journal.unfinished(read.ensemble)}
            kept = {} if stands else {"plan": ""}
            last = last.with_step(again, outcome=Outcome.PENDING, exit_code=None, said="", began=None, **kept)
        open_one = last
    if open_one is not None:
        if open_one.digest != digest:
            raise Stale(
                "the runbook, or a parameter, is not what it was when this run began",
                place=book.place,
                remedy="put it back, or give the rest of that run up: --anew",
            )
        return msgspec.structs.replace(open_one, outside=reason or open_one.outside)
    if scheduled and window is not None and last is not None and last.window == window.opens.timestamp():
        return None
    record = RunbookRecord(
        f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}-{secrets.token_hex(3)}",
        book.name, str(file), read.ensemble, read.path, digest, runner.who, now,
        tuple(StepRecord(s.name, s.verb) for s in book.steps),
        window=window.opens.timestamp() if window else None, windows=1 if window else 0,
        outside=reason,
    )  # fmt: skip
    records.keep(record)
    return record


def has_window(book: Runbook) -> None:
    """Raises `BadInput` for one that a timer would begin anew each time that it asks."""
    if book.window is None:
        what = "it has no window, so a timer would begin it each time that it asks"
        raise BadInput(what, place=book.place, remedy="give it a window; see docs/runbooks.md")


def digest_of(book: Runbook) -> str:
    """Of the text that was read, not of what the file holds by now, and of the parameters."""
    said = repr(sorted(book.parameters.items()))
    return hashlib.sha256(f"{book.digest}\0{said}".encode("utf-8", "surrogateescape")).hexdigest()


def _closed(runner: Runner) -> str:
    frozen = frozen_at(runner.book.freezes, runner.book.zone, runner.now())
    following = next(iter(runner.windows() or ()), None)
    opens = f"; the next opens {runner.local(following.opens)}" if following else ", and none is left"
    if frozen is not None:
        return f"frozen until {frozen.last}" + (f" ({frozen.reason})" if frozen.reason else "") + opens
    return f"no window is open{opens}"


def timeline_of(
    book: Runbook, verbs: Mapping[str, Verb], journal: Journal, read: Inventory | None, now: datetime
) -> Timeline:
    """What would happen when, from now on; by what the journal has measured on this ensemble. Asks nobody, changes nothing."""
    mine = Records(journal).of(book.name, read.ensemble, read.path) if read else ()
    unit = journal.measured(read.ensemble) if read else {}
    steps = []
    for step in book.steps:
        verb = verbs[step.verb]
        took = step.takes_s if step.takes_s is not None else measured_s(mine, step.name, step.verb)
        steps.append((step.name, took or verb.takes_s(step.values), verb.kind is Kind.CHANGE or step.verb == "apply"))
    windows = open_from(book.window, book.freezes, now) if book.window else None
    return lay_out(steps, windows, now, lambda whole: min(whole, max(unit.values(), default=60.0)))
