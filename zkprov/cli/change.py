"""`plan`, `apply` and `add-node`: a change is worked out, shown, asked for and carried out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zkprov.cli.leave import plan_remove
from zkprov.cli.planned import Duration, ask, carry_out, one_stdout, options_of, refuse, show, text, world_of
from zkprov.cli.replace import plan_replace
from zkprov.cli.target import source_options, target_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from zkprov.plan.steps import Plan
    from zkprov.run.world import World


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


plan.add_command(plan_remove)
plan.add_command(plan_replace)


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
    show(made, output)
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
    one_stdout(output, events)
    with world_of(ctx, given) as world:
        made = _made(world, given, output)
        if output == "text" and events != "-":
            show(made, "text")
        if dry_run:
            if output == "json":
                show(made, output)
            ctx.exit(0)
        ask(yes)
        ctx.exit(carry_out(ctx, world, made, output, events, text(given["made_by"])))


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

    one_stdout(output, events)
    made = load_plan(file)
    with world_of(ctx, given) as world:
        if output == "text" and events != "-":
            show(made, "text")
        ask(yes)
        ctx.exit(carry_out(ctx, world, made, output, events, text(given["made_by"])))


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
    said = text(given["role"])
    role = Role(said) if said else role_of(world, names)
    made = make_plan(world, names, options_of(world, given, role), text(given["made_by"]))
    if isinstance(made, Refusal):
        refuse(made, output)
    assert not isinstance(made, Refusal)  # noqa: S101 — refuse does not return
    return made
