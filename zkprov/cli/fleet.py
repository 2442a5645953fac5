"""`--all` and `--limit`: a command on many ensembles of one inventory."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from zkprov.cli.reporting import account
from zkprov.cli.target import inventory_path

if TYPE_CHECKING:
    from zkprov.observe.fleet import Fleet

F = TypeVar("F", bound=Callable[..., Any])


def which_options(command: F) -> F:
    """`--all` and `--limit`."""
    command = click.option(
        "--limit",
        "fleet_limit",
        metavar="PATTERN",
        help="These ensembles only, by Ansible's pattern: kafka_*:!kafka_test.",
    )(command)
    return click.option("--all", "fleet_all", is_flag=True, help="Every ensemble of the inventory.")(command)


def fleet_look(command: F) -> F:
    """Of `status` and `check`: with `--all` or `--limit` all of those are looked at, and the command itself is not called."""

    @wraps(command)
    def either(*args: Any, fleet_all: bool, fleet_limit: str | None, **given: Any) -> Any:
        if not fleet_all and fleet_limit is None:
            return command(*args, **given)
        ctx = click.get_current_context()
        if given.get("output") == "nagios" or given.get("metrics_file") or given.get("notify") or given.get("trees"):
            raise click.UsageError("nagios, --metrics-file, --notify and --trees are for one ensemble: name it with -E")
        if given.get("watch"):
            raise click.UsageError("--watch is for one ensemble; of many, look again: watch -n 5 zkprov status --all")
        fleet = fleet_asked(ctx, given, fleet_limit)
        return _look(ctx, fleet, float(given["timeout_s"]), str(given["output"]))

    return which_options(cast(F, either))


def fleet_asked(ctx: click.Context, given: dict[str, Any], limit: str | None) -> Fleet:
    """The ensembles that were asked for. Raises `BadInput`, and `UsageError` for options that are of one ensemble."""
    from zkprov.observe.fleet import read_fleet

    root = ctx.find_root().obj or {}
    one = given.get("ensemble") or root.get("ensemble")
    if one:
        raise click.UsageError(f"--all and --limit are for many ensembles, -E {one} is for one: leave one of them out")
    if given.get("connect"):
        raise click.UsageError("--all and --limit go by an inventory: leave --connect out")
    return read_fleet(inventory_path(ctx, given["inventory"]), limit)


def _look(ctx: click.Context, fleet: Fleet, timeout_s: float, output: str) -> None:
    from zkprov.report.documents import as_json, status_document
    from zkprov.report.fleet import fleet_document, seen_row, show_seen, wrong_row
    from zkprov.run.fleet_look import look_at

    began = time.monotonic()
    degraded = 4 if ctx.command.name == "check" else 0
    codes = {"safe": 0, "degraded": degraded, "unsafe": 3, "unknown": 4}
    rows = []
    for seen in look_at(fleet.ensembles, timeout_s):
        if seen.health is not None:
            rows.append(seen_row(status_document(seen.health), codes[str(seen.health.condition)]))
        elif seen.wrong is not None:
            rows.append(wrong_row(seen.name, seen.wrong))
    document = fleet_document(fleet.path, rows, fleet.left_out, time.monotonic() - began)
    if (known := account()) is not None:
        known.fleet(fleet.path, [(r.ensemble, r.exit_code, f"{r.verdict}: {r.headline}", tuple(r.next)) for r in rows])
    if output == "json":
        click.echo(as_json(document))
    else:
        show_seen(document)
    ctx.exit(document.exit_code)
