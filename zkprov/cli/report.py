"""`report`: one run, from this machine's journal, as a page, a ticket's text, data, or a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from zkprov.report.run_document import RunReport


@click.command()
@click.argument("run")
@click.option("-E", "--ensemble", metavar="GROUP", help="Only this ensemble's runs; for `last`.")
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    help="Write one page that stands alone, with the timeline; light, dark, and to be printed.",
)
@click.option("--md", is_flag=True, help="Markdown on stdout, for a ticket.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def report(ctx: click.Context, run: str, ensemble: str | None, html: Path | None, md: bool, output: str) -> None:
    """What a run did: its steps, who led, write pauses, gates with their evidence, who asked for it, what was set aside.

    RUN is an id of `zkprov history`, the beginning of one, or `last`. Nothing but the journal is read; no server is asked.
    """
    import contextlib

    from zkprov.cli.conduct import journal_path
    from zkprov.model.problems import BadInput
    from zkprov.report.run_reading import run_report
    from zkprov.run.journal import Journal

    if md and output == "json":
        raise BadInput("stdout has room for one of them", place="--md, --output json", remedy="give one of the two")
    path = journal_path(ctx)
    with contextlib.closing(Journal(path, create=False)) as journal:
        record = journal.named(run, ensemble)
        made = run_report(record, journal.events(record.id), str(path))
    if html is not None:
        _write(html, made)
    if md:
        from zkprov.report.run_text import markdown

        click.echo(markdown(made), nl=False)
    elif output == "json":
        from zkprov.report.documents import as_json

        click.echo(as_json(made))
    elif html is None:
        from zkprov.report.run_text import show

        show(made)
    if html is not None:
        click.echo(f"{html}: run {made.run}, {made.state}", err=md or output == "json")


def _write(path: Path, made: RunReport) -> None:
    """The whole page, or the file that was there. Raises `BadInput`."""
    from zkprov.cli.reporting import replace_file
    from zkprov.model.problems import BadInput
    from zkprov.report.run_html import page

    text = page(made)
    try:
        replace_file(path, text.encode(errors="replace"))
    except OSError as wrong:
        raise BadInput(
            f"the page cannot be written: {wrong.strerror}",
            place=str(path),
            remedy="give --html a file that can be written, on a disk with room",
        ) from None
