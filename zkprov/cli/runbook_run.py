"""A runbook begun, or taken up where it stands: its record, its lock, its signals."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import select
import sys
import termios
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from zkprov.model.inventory import Inventory
    from zkprov.runbook.document import Runbook
    from zkprov.runbook.record import Records, RunbookRecord
    from zkprov.runbook.runner import Runner
    from zkprov.runbook.timeline import Timeline
    from zkprov.runbook.windows import Open


def carried_out(
    ctx: click.Context,
    book: Runbook,
    file: Path,
    read: Inventory,
    *,
    who: str | None,
    wait: bool,
    scheduled: bool,
    retry: bool,
    anew: bool,
    reason: str,
    quiet: bool,
) -> RunbookRecord | None:
    """What stands in the end; None where there is nothing to do. `reason`: why windows do not matter. Raises any `Problem`."""
    from zkprov.cli.conduct import Stopping
    from zkprov.model.problems import Busy
    from zkprov.run.clock import SystemClock
    from zkprov.run.planning import who_am_i
    from zkprov.runbook.lock import locked
    from zkprov.runbook.runner import Runner

    name, stopping = who_am_i(who), Stopping(give_up=False)
    say: Callable[[str], None] = lambda line: click.echo(line, err=True)  # noqa: E731
    with records_of(ctx) as records:
        folder = records.journal.path.parent / "runbooks"
        try:
            with locked(folder, book.name, read.ensemble, read.path, name) as lock:
                from zkprov.cli.runbook_verbs import verbs

                runner = Runner(
                    book, verbs(), records, target=("-i", read.path, "-E", read.ensemble), who=name, clock=SystemClock(),
                    stop=stopping.asked, say=say, folder=folder, lock=lock, waits=wait, heedless=bool(reason),
                    ask=_answered if sys.stdin.isatty() and not (scheduled or quiet) else None,
                )  # fmt: skip
                record = _begun(
                    runner, file, read, scheduled=scheduled, retry=retry, anew=anew, reason=reason, wait=wait
                )
                return None if record is None else runner.run(record)
        except Busy as busy:
            if scheduled:
                say(f"{busy.problem}: nothing is begun")
                return None
            raise


def _begun(
    runner: Runner, file: Path, read: Inventory, *, scheduled: bool, retry: bool, anew: bool, reason: str, wait: bool
) -> RunbookRecord | None:
    """The record to go on with. Raises `Busy` outside a window, `Stale` for a runbook that changed in the middle."""
    import msgspec

    from zkprov.model.problems import BadInput, Busy, Stale
    from zkprov.runbook.record import OPEN, Outcome, RunbookRecord, State, StepRecord

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
    from zkprov.model.problems import BadInput

    if book.window is None:
        what = "it has no window, so a timer would begin it each time that it asks"
        raise BadInput(what, place=book.place, remedy="give it a window; see docs/runbooks.md")


def digest_of(book: Runbook) -> str:
    """Of the text that was read, not of what the file holds by now, and of the parameters."""
    said = repr(sorted(book.parameters.items()))
    return hashlib.sha256(f"{book.digest}\0{said}".encode("utf-8", "surrogateescape")).hexdigest()


def _closed(runner: Runner) -> str:
    from zkprov.runbook.windows import frozen_at

    frozen = frozen_at(runner.book.freezes, runner.book.zone, runner.now())
    following = next(iter(runner.windows() or ()), None)
    opens = f"; the next opens {runner.local(following.opens)}" if following else ", and none is left"
    if frozen is not None:
        return f"frozen until {frozen.last}" + (f" ({frozen.reason})" if frozen.reason else "") + opens
    return f"no window is open{opens}"


def _answered(first: bool) -> bool | None:
    """What was typed at the terminal, if anything; nobody is waited for, so that a signal, or an approval from elsewhere, is heard.

    `first`: what was typed before the question is no answer.
    """
    stdin = sys.stdin.fileno()
    if first:
        termios.tcflush(stdin, termios.TCIFLUSH)
    if os.tcgetpgrp(stdin) != os.getpgrp() or not select.select([stdin], [], [], 0)[0]:
        return None
    said = os.read(stdin, 1024).decode(errors="replace").strip().lower()
    return True if said in ("y", "yes") else False if said in ("n", "no") else None


@contextlib.contextmanager
def records_of(ctx: click.Context) -> Iterator[Records]:
    from zkprov.cli.conduct import journal_path
    from zkprov.run.journal import Journal
    from zkprov.runbook.record import Records

    with contextlib.closing(Journal(journal_path(ctx))) as journal:
        yield Records(journal)


def timeline_of(ctx: click.Context, book: Runbook, read: Inventory | None) -> Timeline:
    """What would happen when, from now on; by what the journal has measured on this ensemble. Asks nobody, changes nothing."""
    from zkprov.cli.conduct import journal_path
    from zkprov.cli.runbook_verbs import verbs
    from zkprov.run.journal import Journal
    from zkprov.runbook.record import Records, measured_s
    from zkprov.runbook.timeline import lay_out
    from zkprov.runbook.verbs import Kind
    from zkprov.runbook.windows import open_from

    known, now = verbs(), datetime.now(UTC)
    with contextlib.closing(Journal(journal_path(ctx), create=False)) as journal:
        mine = Records(journal).of(book.name, read.ensemble, read.path) if read else ()
        unit = journal.measured(read.ensemble) if read else {}
    steps = []
    for step in book.steps:
        verb = known[step.verb]
        took = step.takes_s if step.takes_s is not None else measured_s(mine, step.name, step.verb)
        steps.append((step.name, took or verb.takes_s(step.values), verb.kind is Kind.CHANGE or step.verb == "apply"))
    windows: Iterator[Open] | None = open_from(book.window, book.freezes, now) if book.window else None
    return lay_out(steps, windows, now, lambda whole: min(whole, max(unit.values(), default=60.0)))
