"""`runbook`: run, validate, approve, status, schedule, schema."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zkprov.cli.target import inventory_of

if TYPE_CHECKING:
    from zkprov.model.inventory import Inventory
    from zkprov.runbook.document import Runbook
    from zkprov.runbook.record import RunbookRecord

file_argument = click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
set_option = click.option(
    "--set", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the runbook, instead of its default."
)
inventory_option = click.option(
    "-i", "--inventory", metavar="FILE", help="Ansible inventory. [env: ZKPROV_INVENTORY; else the lab that is up]"
)
ensemble_option = click.option(
    "-E", "--ensemble", metavar="GROUP", help="The group in it. [default: the runbook's, else ZKPROV_ENSEMBLE]"
)
who_option = click.option("--as", "who", metavar="WHO", help="Who does it, for the record. [default: user@host]")
output_option = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.group()
def runbook() -> None:
    """Files of steps with maintenance windows: validated, laid out in time, run unattended, resumed where they stopped."""


@runbook.command()
@file_argument
@inventory_option
@ensemble_option
@set_option
@click.option("--dry-run", is_flag=True, help="Print the whole timeline, window by window; nothing is asked or done.")
@click.option(
    "--wait", is_flag=True, help="Wait for the window to open, and for the next ones, instead of exit 5 and 7."
)
@click.option(
    "--scheduled",
    is_flag=True,
    help="For timers: exit 0 where no window is open, where its turn is over, or where it rests.",
)
@click.option("--retry", is_flag=True, help="Take the last run up again at the step that failed.")
@click.option("--anew", is_flag=True, help="Give up the run that stands unfinished, and begin with the first step.")
@click.option("--outside-window", is_flag=True, help="Whatever the window and the freeze dates say; needs --reason.")
@click.option("--reason", default="", help="Why; it stands in the record.")
@who_option
@output_option
@click.pass_context
def run(
    ctx: click.Context,
    file: Path,
    inventory: str | None,
    ensemble: str | None,
    given: tuple[str, ...],
    dry_run: bool,
    wait: bool,
    scheduled: bool,
    retry: bool,
    anew: bool,
    outside_window: bool,
    reason: str,
    who: str | None,
    output: str,
) -> None:
    """Carry out the runbook in FILE, from where it stopped.

    Exit 0 done, 5 outside its window or run by somebody else, 6 changed since it began, 7 resting until the next window or stopped by a
    signal; else the exit code of the step that failed.
    """
    from zkprov.cli.runbook_run import carried_out

    if outside_window and not reason.strip():
        raise click.UsageError("--outside-window needs a --reason")
    if retry and anew:
        raise click.UsageError("--retry and --anew do not go together")
    if scheduled and (retry or anew or wait or outside_window):
        raise click.UsageError(
            "--scheduled is for timers, and goes with none of --wait, --retry, --anew, --outside-window"
        )
    book = book_of(file, given)
    if dry_run:
        _timeline(ctx, book, inventory, ensemble, output)
        return
    read = ensemble_of(ctx, book, inventory, ensemble)
    record = carried_out(
        ctx, book, file, read, who=who, wait=wait, scheduled=scheduled, retry=retry, anew=anew,
        reason=reason if outside_window else "", quiet=output == "json",
    )  # fmt: skip
    if record is None:
        ctx.exit(0)
    if output == "json":
        _json(record)
    else:
        from zkprov.cli.runbook_shown import record as shown

        shown(record, book)
    # to rest is what a timer's runbook does by itself: only what needs somebody is an exit code that is told
    ctx.exit(0 if scheduled and record.state == "resting" else record.exit_code or 0)


@runbook.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@set_option
@click.pass_context
def validate(ctx: click.Context, files: tuple[Path, ...], given: tuple[str, ...]) -> None:
    """Whether FILE… can be run: each thing that is wrong, with file, line, key and remedy. No server is asked anything."""
    from zkprov.model.problems import BadInput
    from zkprov.report.console import problem

    worst = 0
    for file in files:
        try:
            book = book_of(file, given)
        except BadInput as wrong:
            problem(wrong)
            worst = wrong.exit_code
        else:
            window = f", window {book.window.recurrence or 'once'} ({book.zone})" if book.window else ""
            click.echo(f"{file}: {book.name}: {len(book.steps)} steps{window}: valid")
    ctx.exit(worst)


@runbook.command()
@file_argument
@click.argument("step")
@inventory_option
@ensemble_option
@set_option
@click.option("--refuse", is_flag=True, help="Say no: the step fails.")
@click.option("--reason", default="", help="Why; it stands in the record.")
@who_option
@click.pass_context
def approve(
    ctx: click.Context,
    file: Path,
    step: str,
    inventory: str | None,
    ensemble: str | None,
    given: tuple[str, ...],
    refuse: bool,
    reason: str,
    who: str | None,
) -> None:
    """Say yes to STEP of the run of FILE that waits, or rests before it."""
    import time

    from zkprov.cli.runbook_run import records_of
    from zkprov.model.problems import BadInput
    from zkprov.run.planning import who_am_i
    from zkprov.runbook.record import OPEN, Approval, Outcome

    book = book_of(file, given)
    read = ensemble_of(ctx, book, inventory, ensemble)
    asking = [s.name for s in book.steps if s.verb == "approve"]
    if step not in asking:
        known = ", ".join(asking) or "it has none"
        raise BadInput(f"no step {step!r} that asks for an approval", place=str(file), remedy=f"one of: {known}")
    with records_of(ctx) as records:
        last = next(iter(records.of(book.name, read.ensemble, read.path)), None)
        if last is None or last.state not in OPEN or last.step(step).outcome not in (Outcome.PENDING, Outcome.BEGUN):
            raise BadInput(
                f"no run of {book.name} on {read.ensemble} waits for {step!r}",
                place=str(records.journal.path),
                remedy="zkprov runbook status",
            )
        records.approve(Approval(last.id, step, who_am_i(who), time.time(), not refuse, reason))
    planned = "".join(f", {s.name}: {s.said}" for s in last.steps if s.plan and s.verb == "plan")
    click.echo(f"{book.name}: {step} {'refused' if refuse else 'approved'} (run {last.id}{planned})")


@runbook.command()
@click.option("-E", "--ensemble", metavar="GROUP", help="Only this ensemble's.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many, the newest first."
)
@output_option
@click.pass_context
def status(ctx: click.Context, ensemble: str | None, limit: int, output: str) -> None:
    """The runs of runbooks that this machine's journal knows, and how each stands."""
    from zkprov.cli.runbook_run import records_of
    from zkprov.cli.runbook_shown import listing

    with records_of(ctx) as records:
        found = [r for r in records.all() if ensemble in (None, r.ensemble)][:limit]
    if output == "json":
        _json(found)
    else:
        listing(found)


@runbook.command()
@file_argument
@inventory_option
@ensemble_option
@set_option
@click.option("--print", "shown", is_flag=True, required=True, help="Print them; where they go is yours to say.")
@click.option("--cron", is_flag=True, help="A line for /etc/cron.d instead of systemd units.")
@click.option("--user", help="Who runs it. [default: whoever calls this]")
@click.pass_context
def schedule(
    ctx: click.Context,
    file: Path,
    inventory: str | None,
    ensemble: str | None,
    given: tuple[str, ...],
    shown: bool,
    cron: bool,
    user: str | None,
) -> None:
    """A systemd service and its timer, or a line for cron, that run FILE unattended: they ask often whether its window is open."""
    import getpass
    import os

    from zkprov.runbook import schedule as made
    from zkprov.runbook.beginning import has_window

    book = book_of(file, given)
    has_window(book)
    read = ensemble_of(ctx, book, inventory, ensemble)
    called = (
        [str(Path(sys.argv[0]).absolute())] if Path(sys.argv[0]).name == "zkprov" else [sys.executable, "-m", "zkprov"]
    )
    recorded = (ctx.find_root().obj or {}).get("journal") or os.environ.get("ZKPROV_JOURNAL")
    words = [
        *called,
        # what a timer runs is approved, and looked at, where its journal is
        *(["--journal", os.path.abspath(recorded)] if recorded else []),  # noqa: PTH100
        "runbook",
        "run",
        str(file.absolute()),
        "-i",
        str(Path(read.path).absolute()),
        "-E",
        read.ensemble,
    ]
    words += [*(f"--set={one}" for one in given), "--scheduled"]
    user = user or getpass.getuser()
    if cron:
        click.echo(made.cron(words, os.getcwd(), user), nl=False)  # noqa: PTH109 — where it is called is where it runs
        return
    for name, text in made.systemd(f"{book.name}-{read.ensemble}", words, os.getcwd(), user).items():  # noqa: PTH109
        click.echo(f"# /etc/systemd/system/{name}\n{text}")
    click.echo(f"# then: systemctl enable --now zkprov-{book.name}-{read.ensemble}.timer")


@runbook.command()
def schema() -> None:
    """The JSON Schema of runbooks, for editors: `# yaml-language-server: $schema=…` in a file's first line."""
    from zkprov.cli.runbook_schemas import schemas

    click.echo(schemas()["runbook"], nl=False)


def book_of(file: Path, given: tuple[str, ...]) -> Runbook:
    """The runbook in the file, checked whole. Raises `BadInput`."""
    from datetime import UTC, datetime

    from zkprov.cli.runbook_verbs import verbs
    from zkprov.runbook.document import runbook as book
    from zkprov.runbook.yaml_text import read

    values = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise click.UsageError(f"--set {one}: write NAME=VALUE")
        values[name] = value
    return book(read(file), verbs(), datetime.now(UTC), values)


def ensemble_of(ctx: click.Context, book: Runbook, inventory: str | None, ensemble: str | None) -> Inventory:
    """The ensemble that it runs on, its inventory by the whole path: a run is known by it. Raises `BadInput` for one that it is not for."""
    import os

    import msgspec

    from zkprov.model.problems import BadInput

    read = inventory_of(ctx, inventory, ensemble or book.ensemble or None)
    if book.ensemble and read.ensemble != book.ensemble:
        raise BadInput(
            f"the runbook is for {book.ensemble}, and this is {read.ensemble}",
            place=book.place,
            remedy=f"-E {book.ensemble}, or a runbook without `ensemble`",
        )
    return msgspec.structs.replace(read, path=os.path.abspath(read.path))  # noqa: PTH100 — Path does not take `..` out


def _timeline(ctx: click.Context, book: Runbook, inventory: str | None, ensemble: str | None, output: str) -> None:
    from zkprov.cli.runbook_run import timeline_of
    from zkprov.cli.runbook_shown import timeline as shown
    from zkprov.model.problems import BadInput

    try:
        read: Inventory | None = ensemble_of(ctx, book, inventory, ensemble)
    except BadInput:
        if inventory or ensemble:
            raise
        read = None  # no ensemble is named: then nothing was measured
    found = timeline_of(ctx, book, read)
    if output == "json":
        _json(found)
    else:
        shown(found, book)
    ctx.exit(4 if found.unplaced else 0)


def _json(document: RunbookRecord | object) -> None:
    from zkprov.report.documents import as_json

    click.echo(as_json(document))
