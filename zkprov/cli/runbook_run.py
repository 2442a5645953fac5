"""A runbook begun, or taken up where it stands: its record, its lock, its signals."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from zkprov.model.inventory import Inventory
    from zkprov.runbook.document import Runbook
    from zkprov.runbook.record import Records, RunbookRecord
    from zkprov.runbook.timeline import Timeline


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
    from zkprov.runbook.beginning import begun
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
                record = begun(
                    runner, file, read, scheduled=scheduled, retry=retry, anew=anew, reason=reason, wait=wait
                )
                return None if record is None else runner.run(record)
        except Busy as busy:
            if scheduled:
                say(f"{busy.problem}: nothing is begun")
                return None
            raise


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
    """As the journal of this machine has it."""
    from zkprov.cli.conduct import journal_path
    from zkprov.cli.runbook_verbs import verbs
    from zkprov.run.journal import Journal
    from zkprov.runbook import beginning

    with contextlib.closing(Journal(journal_path(ctx), create=False)) as journal:
        return beginning.timeline_of(book, verbs(), journal, read, datetime.now(UTC))
