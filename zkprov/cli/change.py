"""`plan`, `apply` and `add-node`: a change is worked out, shown, asked for and carried out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zkprov.cli.target import inventory_of, source_options, target_options

if TYPE_CHECKING:
    from collections.abc import Callable

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


def add_options(command: Callable[..., object]) -> Callable[..., object]:
    """What `plan add` and `add-node` share."""
    options = [
        click.argument("hosts", nargs=-1, metavar="HOST…"),
        target_options(),
        click.option("--all-missing", is_flag=True, help="Every host of the group that is no member yet."),
        click.option(
            "--role", type=click.Choice(["participant", "observer"]), help="[default: zkprov_role of the hosts]"
        ),
        click.option(
            "--season", type=Duration(), default=None, help="How long a voter stays a newcomer (R2). [default: 15m]"
        ),
        click.option(
            "--settle",
            type=Duration(),
            default="30s",
            show_default=True,
            help="Good samples for this long after each server.",
        ),
        click.option(
            "--samples",
            type=click.IntRange(1, 1000),
            default=3,
            show_default=True,
            help="Good samples in a row before a promotion.",
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
        click.option("--wait", is_flag=True, help="Sit out what R2 demands, instead of being refused."),
        click.option(
            "--override",
            "overrides",
            multiple=True,
            metavar="RULE",
            help="Set one rule aside by name; needs --reason. Never R1, R2, R6.",
        ),
        click.option("--reason", default="", help="Why; it stands in the plan and in the journal."),
        source_options("yours, laid over the shipped ones"),
        click.option("--as", "made_by", metavar="WHO", help="Who does it, for the record. [default: user@host]"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def plan() -> None:
    """Work a change out, prove each step, and print it or refuse. Nothing is changed."""


@plan.command("add")
@add_options
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan, for `zkprov apply`.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--detailed-exitcode", is_flag=True, help="Return 10 where changes are pending.")
@click.pass_context
def plan_add_command(
    ctx: click.Context, /, out: Path | None, output: str, detailed_exitcode: bool, **given: object
) -> None:
    """Plan to add HOST…, one at a time."""
    with world_of(ctx, given) as world:
        made = _made(world, given, output)
        if out is not None:
            from zkprov.run.files import save_plan

            save_plan(made, out)
    _show(made, output)
    if out is not None and output == "text":
        click.echo(f"saved to {out}; next: zkprov apply {out}")
    ctx.exit(10 if detailed_exitcode and made.steps else 0)


@plan.command("configure")
@target_options()
@click.option(
    "--limit",
    "limit",
    multiple=True,
    metavar="HOST",
    help="Of these hosts only: zk1,zk2 or once for each. [default: all]",
)
@source_options("yours, laid over the shipped ones")
@click.option("--diff", is_flag=True, help="With unified diffs, secrets hidden.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--detailed-exitcode", is_flag=True, help="Return 10 where anything differs.")
@click.pass_context
def plan_configure_command(
    ctx: click.Context,
    /,
    limit: tuple[str, ...],
    diff: bool,
    output: str,
    detailed_exitcode: bool,
    **given: object,
) -> None:
    """Show what differs on each host from what templates and variables say, in the order of restarts. Nothing is changed.

    Membership is the live list's and never compared (R10). Exit 3 where a rule forbids what templates make, 4 where a host was not read.
    """
    from zkprov.report.documents import as_json
    from zkprov.report.drift import drift_document, show
    from zkprov.run.drift import find_drift

    with world_of(ctx, given) as world:
        drift = find_drift(world, [name for given_at_once in limit for name in given_at_once.split(",") if name])
    document = drift_document(drift)
    if output == "json":
        click.echo(as_json(document))
    else:
        show(document, diff=diff)
    ctx.exit(3 if drift.refused else 4 if drift.unread else 10 if detailed_exitcode and drift.differs else 0)


@click.command("add-node")
@add_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Plan only.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--events",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="JSON lines while it runs, to a file or - (stdout).",
)
@click.pass_context
def add_node(ctx: click.Context, /, yes: bool, dry_run: bool, output: str, events: str | None, **given: object) -> None:
    """Add HOST…, one at a time, each step gated and proved: plan, question, apply."""
    _one_stdout(output, events)
    with world_of(ctx, given) as world:
        made = _made(world, given, output)
        if output == "text" and events != "-":
            _show(made, "text")
        if dry_run:
            if output == "json":
                _show(made, output)
            ctx.exit(0)
        ask(yes)
        ctx.exit(_carry_out(ctx, world, made, output, events, _text(given["made_by"])))


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@target_options()
@click.option("--yes", is_flag=True, help="Do not ask.")
@source_options("those that the plan was made with")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--events",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="JSON lines while it runs, to a file or - (stdout).",
)
@click.option("--as", "made_by", metavar="WHO", help="Who does it, for the record. [default: user@host]")
@click.pass_context
def apply(ctx: click.Context, /, file: Path, yes: bool, output: str, events: str | None, **given: object) -> None:
    """Carry out the plan in FILE. Exit 6 when the ensemble, or what the plan was made from, changed since."""
    from zkprov.run.files import load_plan

    _one_stdout(output, events)
    made = load_plan(file)
    with world_of(ctx, given) as world:
        if output == "text" and events != "-":
            _show(made, "text")
        ask(yes)
        ctx.exit(_carry_out(ctx, world, made, output, events, _text(given["made_by"])))


def _one_stdout(output: str, events: str | None) -> None:
    if output == "json" and events == "-":
        raise click.UsageError("--output json and --events - would both write to stdout; give --events a file")


def world_of(ctx: click.Context, given: dict[str, object]) -> World:
    from zkprov.run.world import World

    inventory, ensemble, timeout_s = given["inventory"], given["ensemble"], given["timeout_s"]
    templates = given.get("templates")
    read = inventory_of(ctx, _text(inventory), _text(ensemble))
    playbooks = given.get("playbooks")
    return World(
        read,
        timeout_s=float(str(timeout_s)),
        templates=templates if isinstance(templates, Path) else None,
        playbooks=playbooks if isinstance(playbooks, Path) else None,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _options(world: World, given: dict[str, object], role: Role) -> Options:
    from zkprov.judge.newcomers import SEASON_S
    from zkprov.plan.options import checked
    from zkprov.plan.steps import Options

    season = given["season"]
    reason = str(given["reason"])
    overrides = given["overrides"]
    named = [str(r).upper() for r in overrides] if isinstance(overrides, tuple) else []
    options = Options(
        role=role,
        season_s=SEASON_S if season is None else float(str(season)),
        settle_s=float(str(given["settle"])),
        samples=int(str(given["samples"])),
        interval_s=float(str(given["sample_interval"])),
        step_timeout_s=float(str(given["step_timeout"])),
        wait=bool(given["wait"]),
        reason=reason,
        overrides=dict.fromkeys(named, reason),
    )
    return checked(options, world.inventory)


def _made(world: World, given: dict[str, object], output: str) -> Plan:
    """The plan; a refusal is printed and ends the command with its exit code."""
    from zkprov.model.server import Role
    from zkprov.plan.steps import Refusal
    from zkprov.run.planning import make_plan, missing, role_of

    hosts, every = given["hosts"], bool(given["all_missing"])
    names = tuple(str(h) for h in hosts) if isinstance(hosts, tuple) else ()
    if bool(names) is every:
        raise click.UsageError("name the hosts to add, or say --all-missing" + (", not both" if every else ""))
    if every:
        names = missing(world)
        if not names:
            click.echo(f"{world.inventory.ensemble}: every host is a member; nothing to do")
            raise click.exceptions.Exit(0)
    said = _text(given["role"])
    role = Role(said) if said else role_of(world, names)
    made = make_plan(world, names, _options(world, given, role), _text(given["made_by"]))
    if isinstance(made, Refusal):
        _refuse(made, output)
    assert not isinstance(made, Refusal)  # noqa: S101 — _refuse does not return
    return made


def _refuse(refused: Refusal, output: str) -> None:
    from zkprov.report.console import refusal
    from zkprov.report.documents import ChangeDocument, as_json

    if output == "json":
        click.echo(as_json(ChangeDocument(refusal=refused)))
    refusal(refused)
    raise click.exceptions.Exit(refused.exit_code)


def _show(made: Plan, output: str) -> None:
    if output == "json":
        from zkprov.report.documents import ChangeDocument, as_json

        click.echo(as_json(ChangeDocument(plan=made)))
        return
    from zkprov.report.console import plan as show

    show(made)


def ask(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask on; say --yes to go on, or --dry-run to only plan")
    from click.termui import confirm

    if not confirm("\nApply?", default=False):
        click.echo("nothing was changed", err=True)
        raise click.exceptions.Exit(0)


def _carry_out(ctx: click.Context, world: World, made: Plan, output: str, events: str | None, who: str | None) -> int:
    from zkprov.cli.conduct import conducted

    return (
        conducted(ctx, world, lambda conductor: conductor.apply(made), output=output, events=events, who=who, plan=made)
        or 0
    )
