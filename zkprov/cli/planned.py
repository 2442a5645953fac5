"""What the commands share that plan a change, show it, ask, and carry it out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zkprov.cli.target import inventory_of

if TYPE_CHECKING:
    from zkprov.model.server import Role
    from zkprov.plan.steps import Options, Plan, Refusal
    from zkprov.run.world import World


class Duration(click.ParamType[float]):
    """`30`, `30s`, `2m`, `1h`: seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip().lower()
        factor = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:], 0.0)
        try:
            found = float(text[:-1]) * factor if factor else float(text)
        except ValueError:
            found = -1.0
        if not 0 <= found <= 30 * 86400:
            self.fail(f"{value!r} is not a duration; write e.g. 30s, 15m or 1h", param, ctx)
        return found


def world_of(ctx: click.Context, given: dict[str, object]) -> World:
    from zkprov.run.world import World

    inventory, ensemble, timeout_s = given["inventory"], given["ensemble"], given["timeout_s"]
    templates = given.get("templates")
    read = inventory_of(ctx, text(inventory), text(ensemble))
    playbooks = given.get("playbooks")
    return World(
        read,
        timeout_s=float(str(timeout_s)),
        templates=templates if isinstance(templates, Path) else None,
        playbooks=playbooks if isinstance(playbooks, Path) else None,
    )


def text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def options_of(world: World, given: dict[str, object], role: Role | None = None) -> Options:
    """What was given on the command line; what a command has no flag for stays as it is by default. Raises `BadInput`."""
    import msgspec

    from zkprov.plan.options import checked
    from zkprov.plan.steps import Options

    by_flag = {
        "season_s": "season",
        "settle_s": "settle",
        "interval_s": "sample_interval",
        "step_timeout_s": "step_timeout",
        "drain_s": "drain",
    }
    numbers = {field: float(str(given[flag])) for field, flag in by_flag.items() if given.get(flag) is not None}
    reason, overrides = str(given["reason"]), given["overrides"]
    named = [str(r).upper() for r in overrides] if isinstance(overrides, tuple) else []
    options = Options(
        samples=int(str(given["samples"])),
        wait=bool(given.get("wait")),
        reason=reason,
        overrides=dict.fromkeys(named, reason),
    )
    given_too = {**numbers, **({"role": role} if role else {})}
    return checked(msgspec.structs.replace(options, **given_too), world.inventory)


def one_stdout(output: str, events: str | None) -> None:
    if output == "json" and events == "-":
        raise click.UsageError("--output json and --events - would both write to stdout; give --events a file")


def refuse(refused: Refusal, output: str) -> None:
    from zkprov.report.console import refusal
    from zkprov.report.documents import ChangeDocument, as_json

    if output == "json":
        click.echo(as_json(ChangeDocument(refusal=refused)))
    refusal(refused)
    raise click.exceptions.Exit(refused.exit_code)


def show(made: Plan, output: str) -> None:
    if output == "json":
        from zkprov.report.documents import ChangeDocument, as_json

        click.echo(as_json(ChangeDocument(plan=made)))
        return
    from zkprov.report.console import plan as shown

    shown(made)


def ask(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask on; say --yes to go on, or --dry-run to only plan")
    from click.termui import confirm

    if not confirm("\nApply?", default=False):
        click.echo("nothing was changed", err=True)
        raise click.exceptions.Exit(0)


def carry_out(ctx: click.Context, world: World, made: Plan, output: str, events: str | None, who: str | None) -> int:
    from zkprov.cli.conduct import conducted

    return (
        conducted(ctx, world, lambda conductor: conductor.apply(made), output=output, events=events, who=who, plan=made)
        or 0
    )
