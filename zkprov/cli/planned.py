"""What the commands share that plan a change, show it, ask, and carry it out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zkprov.cli.reporting import account, report_options
from zkprov.cli.target import inventory_of, source_options

if TYPE_CHECKING:
    from zkprov.model.server import Role
    from zkprov.plan.steps import Options, Plan, Refusal
    from zkprov.run.world import World

    Make = Callable[[World, dict[str, object], str], Plan]


class Duration(click.ParamType[float]):
    """`30`, `30s`, `2m`, `1h`, `7d`: seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from zkprov.model.durations import duration_s

        try:
            return duration_s(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a duration; write e.g. 30s, 15m or 1h", param, ctx)


class Until(click.ParamType[float]):
    """A time with its zone, `2026-11-29T03:00+01:00`, or a duration from now: seconds since 1970."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        import time
        from datetime import datetime

        if isinstance(value, float):
            return value
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            return time.time() + Duration().convert(value, param, ctx)
        if at.tzinfo is None:
            self.fail(f"{value!r} names no zone; write e.g. {value}+01:00, or {value}Z", param, ctx)
        # what stands in the middle of a server is brought to its end whatever the time
        if at.timestamp() <= time.time() and (ctx is None or ctx.info_name != "resume"):
            self.fail(f"{value} is over", param, ctx)
        return at.timestamp()


Decorator = Callable[[Callable[..., object]], Callable[..., object]]
LOCK_TIMEOUT = "zkprov.lock_timeout_s"
UNTIL = "zkprov.until"


def decorated(*options: Decorator) -> Decorator:
    """A decorator that puts `options` on a command, in this order."""

    def put(command: Callable[..., object]) -> Callable[..., object]:
        for option in reversed(options):
            command = option(command)
        return command

    return put


def step_options(overridable: str, settle: str = "30s") -> Decorator:
    """How a run goes about its steps, for all commands that change members. `overridable`: what is said of `--override`."""
    return decorated(
        click.option(
            "--settle",
            type=Duration(),
            default=settle,
            show_default=True,
            help="Good samples for this long on end after each server.",
        ),
        click.option(
            "--samples",
            type=click.IntRange(1, 1000),
            default=3,
            show_default=True,
            help="Good samples in a row before a change of the list.",
        ),
        click.option(
            "--sample-interval", type=Duration(), default="0.5", show_default=True, help="Between two samples."
        ),
        click.option(
            "--step-timeout",
            type=Duration(),
            default="60s",
            show_default=True,
            help="For a gate to pass before the run stops.",
        ),
        click.option("--override", "overrides", multiple=True, metavar="RULE", help=overridable),
        click.option("--reason", default="", help="Why; it stands in the plan, the journal and the ledger."),
        source_options("yours, laid over the shipped ones"),
        click.option("--as", "made_by", metavar="WHO", help="Who does it, for the record. [default: user@host]"),
    )


def no_backup_option() -> Decorator:
    """Of the commands whose plans begin with a backup."""
    return click.option("--no-backup", is_flag=True, help="Without a backup of configs, epochs and data before it.")


def plan_options() -> Decorator:
    """Of a command that only plans."""
    return decorated(
        click.option(
            "--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan, for `zkprov apply`."
        ),
        click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True),
        click.option("--detailed-exitcode", is_flag=True, help="Return 10 where changes are pending."),
        report_options,
    )


def run_options() -> Decorator:
    """Of a command that plans, asks and carries out."""
    return decorated(
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Plan only."),
        click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True),
        click.option(
            "--events",
            type=click.Path(dir_okay=False, allow_dash=True),
            help="JSON lines while it runs, to a file or - (stdout).",
        ),
        ci_options(),
    )


def ci_options() -> Decorator:
    """Of every command that runs a plan: what it leaves for CI, how long it waits for another run, and by when it rests."""
    return decorated(
        click.option(
            "--lock-timeout",
            type=Duration(),
            default="0s",
            show_default=True,
            expose_value=False,
            callback=lambda ctx, _, value: ctx.meta.update({LOCK_TIMEOUT: value}),
            help="Wait for another run's lock this long, instead of exit 5 at once.",
        ),
        click.option(
            "--until",
            type=Until(),
            expose_value=False,
            callback=lambda ctx, _, value: ctx.meta.update({UNTIL: value}),
            help="Begin with no server that would not be done by then; rest, and exit 7 for `zkprov resume`.",
        ),
        report_options,
    )


def both(
    options: Decorator, make: Make, *, plan: tuple[str, str], run: tuple[str, str], fleet: bool = False
) -> tuple[click.Command, click.Command]:
    """The command of `plan` that works a change out, and the one that plans, asks and carries out; (name, help) of each.

    `fleet`: the second can be about all ensembles of an inventory.
    """

    def only(ctx: click.Context, /, **given: object) -> None:
        plan_only(ctx, given, make)

    def whole(ctx: click.Context, /, **given: object) -> None:
        plan_and_run(ctx, given, make)

    plans = click.command(plan[0], help=plan[1])(options(plan_options()(click.pass_context(only))))
    if not fleet:
        return plans, click.command(run[0], help=run[1])(options(run_options()(click.pass_context(whole))))
    from zkprov.cli.fleet_change import Kept, fleet_change

    many = fleet_change(plans)(click.pass_context(whole))
    return plans, click.command(run[0], help=run[1], cls=Kept)(options(run_options()(many)))


def plan_only(ctx: click.Context, given: dict[str, object], make: Make) -> None:
    """A `plan` command: made, saved where that is asked for, shown. Ends the command."""
    output, out = str(given["output"]), given["out"]
    with world_of(ctx, given) as world:
        made = told(make(world, given, output))
        if isinstance(out, Path):
            from zkprov.run.files import save_plan

            save_plan(made, out)
    show(made, output)
    if out is not None and output == "text":
        click.echo(f"saved to {out}; next: zkprov apply {out}")
    ctx.exit(10 if given["detailed_exitcode"] and made.steps else 0)


def plan_and_run(ctx: click.Context, given: dict[str, object], make: Make) -> None:
    """Plan, question, apply. Ends the command."""
    output, events = str(given["output"]), text(given["events"])
    one_stdout(output, events)
    with world_of(ctx, given) as world:
        made = told(make(world, given, output))
        if output == "text" and events != "-":
            show(made, "text")
        if given["dry_run"]:
            if output == "json":
                show(made, output)
            ctx.exit(0)
        ask(bool(given["yes"]))
        ctx.exit(carry_out(ctx, world, made, output, events, text(given["made_by"])))


def told(made: Plan) -> Plan:
    """The plan, once it is known to what the command leaves for CI."""
    if (known := account()) is not None:
        known.planned(made)
    return made


def made_or_refused(made: Plan | Refusal, output: str) -> Plan:
    """The plan; a refusal is printed and ends the command with its exit code."""
    from zkprov.plan.steps import Refusal

    if isinstance(made, Refusal):
        refuse(made, output)
    assert not isinstance(made, Refusal)  # noqa: S101 — refuse does not return
    return made


def nothing_to_do(world: World, output: str) -> None:
    """Says so, and ends the command with 0."""
    if output == "json":
        from zkprov.report.documents import ChangeDocument, as_json

        click.echo(as_json(ChangeDocument()))
    else:
        click.echo(f"{world.inventory.ensemble}: nothing to do")
    raise click.exceptions.Exit(0)


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
        "soak_s": "soak",
        "reboot_timeout_s": "reboot_timeout",
    }
    numbers = {field: float(str(given[flag])) for field, flag in by_flag.items() if given.get(flag) is not None}
    reason, overrides = str(given["reason"]), given["overrides"]
    named = [str(r).upper() for r in overrides] if isinstance(overrides, tuple) else []
    options = Options(
        samples=int(str(given["samples"])),
        wait=bool(given.get("wait")),
        reason=reason,
        backup=given.get("no_backup") is False,
        overrides=dict.fromkeys(named, reason),
        handover=not given.get("no_handover"),
        configure=bool(given.get("config")),
        reboot=bool(given.get("reboot")),
    )
    given_too = {**numbers, **({"role": role} if role else {})}
    return checked(msgspec.structs.replace(options, **given_too), world.inventory)


def one_stdout(output: str, events: str | None) -> None:
    if output == "json" and events == "-":
        raise click.UsageError("--output json and --events - would both write to stdout; give --events a file")


def refuse(refused: Refusal, output: str) -> None:
    from zkprov.report.console import refusal
    from zkprov.report.documents import ChangeDocument, as_json

    if (known := account()) is not None:
        known.refused(refused)
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
