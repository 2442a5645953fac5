"""`status` and `check`: one look, judged and printed; nothing is changed."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

import click

from zkprov.cli.fleet import fleet_look
from zkprov.cli.reporting import account, report_options
from zkprov.cli.target import Connect, target_options, world_to_look_at
from zkprov.cli.watching import metrics_option, notify_option, outlets, plugin

if TYPE_CHECKING:
    from pathlib import Path

    from zkprov.judge.health import Health
    from zkprov.model.tree import Compared
    from zkprov.report.documents import StatusDocument
    from zkprov.run.watch import Watcher

output_option = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.command()
@target_options(connect=True)
@output_option
@click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    help="Seconds from one look of --watch to the next.",
)
@notify_option
@metrics_option
@fleet_look
@click.pass_context
def status(
    ctx: click.Context,
    inventory: str | None,
    ensemble: str | None,
    timeout_s: float,
    connect: Connect | None,
    output: str,
    watch: bool,
    interval: float,
    notify: str | None,
    metrics_file: Path | None,
) -> None:
    """Every server, who leads whom, and one verdict. Exit 0 when safe or degraded, 3 when unsafe, 4 when it cannot be told.

    With --watch and --output json it prints one JSON document a line for each look.
    """
    if notify and not watch and ctx.get_parameter_source("notify") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--notify tells changes: it goes with --watch")
    with (
        outlets(metrics_file, notify if watch else None) as out,
        _watcher(ctx, inventory, ensemble, timeout_s, connect) as look,
    ):
        began = time.monotonic()
        health = look.once() if watch else look.settled()
        out.looked(health, _print(health, output, gates=False, watch=watch))
        with contextlib.suppress(KeyboardInterrupt):
            while watch:
                time.sleep(max(0.0, began + interval - time.monotonic()))
                began = time.monotonic()
                # a moment is shown as one: the next look tells more
                health = look.once()
                out.looked(health, _print(health, output, gates=False, watch=True))
    ctx.exit({"safe": 0, "degraded": 0, "unsafe": 3, "unknown": 4}[str(health.condition)])


@click.command()
@target_options(connect=True)
@click.option(
    "--output",
    type=click.Choice(["text", "json", "nagios"]),
    default="text",
    show_default=True,
    help="nagios: a monitoring plugin's line, with its exit codes: 0 ok, 1 warning, 2 critical, 3 unknown.",
)
@click.option(
    "--trees",
    is_flag=True,
    help="Compare the members' trees, znode by znode, up to 50,000: for releases without digests.",
)
@metrics_option
@plugin
@report_options
@fleet_look
@click.pass_context
def check(
    ctx: click.Context,
    inventory: str | None,
    ensemble: str | None,
    timeout_s: float,
    connect: Connect | None,
    output: str,
    trees: bool,
    metrics_file: Path | None,
) -> None:
    """All gates once. Exit 0 when safe, 3 when unsafe, 4 when degraded or when it cannot be told."""
    with (
        outlets(metrics_file, None) as out,
        _watcher(ctx, inventory, ensemble, timeout_s, connect) as look,
    ):
        health, compared = look.settled(), None
        if trees:
            health, compared = look.with_trees(health)
    document = _print(health, output, gates=True, trees=compared)
    out.looked(health, document)
    if output == "nagios":
        from zkprov.report.watching import NAGIOS

        ctx.exit(NAGIOS[health.condition])
    ctx.exit({"safe": 0, "degraded": 4, "unsafe": 3, "unknown": 4}[str(health.condition)])


def _watcher(
    ctx: click.Context, inventory: str | None, ensemble: str | None, timeout_s: float, connect: Connect | None
) -> Watcher:
    from zkprov.run.watch import Watcher

    return Watcher(world_to_look_at(ctx, inventory, ensemble, connect, timeout_s))


def _print(
    health: Health, output: str, *, gates: bool, watch: bool = False, trees: Compared | None = None
) -> StatusDocument:
    """Prints what a look came to, and returns it as a document."""
    from zkprov.report.documents import status_document

    document = status_document(health, trees)
    if (known := account()) is not None:
        known.judged(document)
    if output == "json":
        import msgspec

        encoded = msgspec.json.encode(document)
        click.echo((encoded if watch else msgspec.json.format(encoded, indent=2)).decode())
        sys.stdout.flush()
        return document
    if output == "nagios":
        from zkprov.report.watching import nagios

        click.echo(nagios(document)[0])
        return document
    from zkprov.report import console

    if watch and sys.stdout.isatty():
        from click.termui import clear as clear_screen

        clear_screen()
    console.status(document, gates=gates)
    return document
