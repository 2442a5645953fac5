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

if TYPE_CHECKING:
    from zkprov.judge.health import Health
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
    help="Seconds between two looks of --watch.",
)
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
) -> None:
    """Every server, who leads whom, and one verdict. Exit 0 when safe or degraded, 3 when unsafe, 4 when it cannot be told."""
    with _watcher(ctx, inventory, ensemble, timeout_s, connect) as look:
        health = look.settled()
        _print(health, output, gates=False, clear=watch)
        with contextlib.suppress(KeyboardInterrupt):
            while watch:
                time.sleep(interval)
                health = look.settled()
                _print(health, output, gates=False, clear=watch)
    ctx.exit({"safe": 0, "degraded": 0, "unsafe": 3, "unknown": 4}[str(health.condition)])


@click.command()
@target_options(connect=True)
@output_option
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
) -> None:
    """All gates once. Exit 0 when safe, 3 when unsafe, 4 when degraded or when it cannot be told."""
    with _watcher(ctx, inventory, ensemble, timeout_s, connect) as look:
        health = look.settled()
    _print(health, output, gates=True, clear=False)
    ctx.exit({"safe": 0, "degraded": 4, "unsafe": 3, "unknown": 4}[str(health.condition)])


def _watcher(
    ctx: click.Context, inventory: str | None, ensemble: str | None, timeout_s: float, connect: Connect | None
) -> Watcher:
    from zkprov.run.watch import Watcher

    return Watcher(world_to_look_at(ctx, inventory, ensemble, connect, timeout_s))


def _print(health: Health, output: str, *, gates: bool, clear: bool) -> None:
    from zkprov.report.documents import status_document

    document = status_document(health)
    if (known := account()) is not None:
        known.judged(document)
    if output == "json":
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
        return
    from zkprov.report import console

    if clear and sys.stdout.isatty():
        from click.termui import clear as clear_screen

        clear_screen()
    console.status(document, gates=gates)
