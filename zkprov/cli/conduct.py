"""Around every command that runs something: signals, the journal, the readers of events, and the result on the screen."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from zkprov.plan.steps import Plan
    from zkprov.run.events import Event
    from zkprov.run.result import Result
    from zkprov.run.runner import Conductor
    from zkprov.run.world import World


def conducted(
    ctx: click.Context,
    world: World,
    work: Callable[[Conductor], Result | None],
    *,
    output: str = "text",
    events: str | None = None,
    who: str | None = None,
    plan: Plan | None = None,
) -> int | None:
    """Runs `work` with everything that a run needs, prints its result, and returns the exit code; None where there was nothing to do."""
    from zkprov.cli.planned import LOCK_TIMEOUT, UNTIL
    from zkprov.cli.reporting import current
    from zkprov.report import console
    from zkprov.report.progress import Progress
    from zkprov.run.clock import SystemClock
    from zkprov.run.journal import Journal
    from zkprov.run.planning import who_am_i
    from zkprov.run.runner import Conductor

    journal = Journal(journal_path(ctx))
    progress = Progress()
    stopping, reports = Stopping(), current()
    with event_lines(events) as lines, contextlib.closing(journal):
        readers: list[Callable[[Event], None]] = [progress, *([lines] if lines else [])]
        readers += [reports.account] if reports else []
        conductor = Conductor(
            world, journal, who=who_am_i(who), clock=SystemClock(), stop=stopping.asked, readers=readers
        )
        conductor.lock_timeout_s = float(ctx.meta.get(LOCK_TIMEOUT, 0.0))
        conductor.until = ctx.meta.get(UNTIL)
        stopping.last_acts = [conductor.give_up, *([reports.cut_off] if reports else [])]
        try:
            result = work(conductor)
        finally:
            progress.close()
    if result is None:
        return None
    if reports:
        reports.account.ended(result)
    try:
        if output == "json":
            from zkprov.report.documents import ChangeDocument, as_json

            click.echo(as_json(ChangeDocument(plan=plan, result=result)))
        elif events != "-":
            console.result(result)
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever called us is gone; what the run came to stands in the journal, and is the exit code
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(nowhere, stream.fileno())
    return result.exit_code


def told(
    ctx: click.Context,
    world: World,
    work: Callable[[Conductor, Callable[[str], None]], Result | None],
    *,
    events: str | None,
    who: str | None,
) -> int:
    """As `conducted`, of what tells each thing that it does in a line, on stderr and in the reports. The exit code."""
    from zkprov.cli.reporting import account

    known = account()

    def say(line: str) -> None:
        click.echo(line, err=True)
        if known is not None:
            known.say(line)

    return conducted(ctx, world, lambda conductor: work(conductor, say), events=events, who=who) or 0


def journal_path(ctx: click.Context) -> Path:
    """Of `--journal`, else where it is by default."""
    from zkprov.run.journal import default_path

    given = ctx.find_root().obj or {}
    return Path(given["journal"]) if given.get("journal") else default_path()


GIVE_UP_S = 4.2
"""From the first signal on. What was intended is recorded before each act, so the process may end anywhere."""


class Stopping:
    """SIGINT and SIGTERM set `asked`, a second one changes nothing; for good, since the end of a command is not to be cut short either.

    A command that has not ended `GIVE_UP_S` seconds later (a server that hangs, say) is ended with exit code 7; not one without `give_up`,
    which waits for commands that end by themselves.
    """

    def __init__(self, *, give_up: bool = True, again: str = "zkprov resume") -> None:
        """`again`: what goes on afterwards."""
        self.asked = threading.Event()
        self._gives_up, self._again = give_up, again
        self.last_acts: list[Callable[[], None]] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._caught)

    def _caught(self, _number: int, _frame: object) -> None:
        if not self.asked.is_set():
            self.asked.set()
            os.write(2, b"\nstopping; what is begun is being recorded\n")
            if self._gives_up:
                timer = threading.Timer(GIVE_UP_S, self._give_up)
                timer.daemon = True
                timer.start()

    def _give_up(self) -> None:
        for last_act in self.last_acts:
            last_act()
        with contextlib.suppress(OSError):
            os.write(2, f"stopped where it was; next: {self._again}\n".encode())
        os._exit(7)


@contextlib.contextmanager
def event_lines(path: str | None) -> Iterator[Callable[[Event], None] | None]:
    import msgspec

    from zkprov.model.problems import BadInput

    if path is None:
        yield None
        return
    try:
        stream = sys.stdout.buffer if path == "-" else Path(path).open("ab", buffering=0)  # noqa: SIM115 — closed below, but stdout is not
    except OSError as wrong:
        raise BadInput(
            f"cannot be written: {wrong.strerror}", place=path, remedy="give --events a file that can be written"
        ) from None

    def write(event: Event) -> None:
        # unbuffered but for stdout: what a full disk refuses is told now, and not again when the file is closed
        stream.write(msgspec.json.encode(event) + b"\n")
        stream.flush()

    try:
        yield write
    finally:
        if path != "-":
            stream.close()
