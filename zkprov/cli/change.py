"""`plan`, `apply` and `add-node`: a change is worked out, shown, asked for and carried out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zkprov.cli import completion
from zkprov.cli.address import plan_set_address
from zkprov.cli.adopt import plan_adopt
from zkprov.cli.heal import plan_heal
from zkprov.cli.leave import plan_remove
from zkprov.cli.planned import (
    Duration,
    ask,
    both,
    carry_out,
    ci_options,
    decorated,
    made_or_refused,
    nothing_to_do,
    one_stdout,
    options_of,
    show,
    step_options,
    text,
    told,
    world_of,
)
from zkprov.cli.replace import plan_replace
from zkprov.cli.restart import plan_restart
from zkprov.cli.role import plan_set_role
from zkprov.cli.target import source_options, target_options
from zkprov.cli.upgrade import plan_downgrade, plan_upgrade

if TYPE_CHECKING:
    from zkprov.plan.steps import Plan
    from zkprov.run.world import World


add_options = decorated(
    click.argument("hosts", nargs=-1, metavar="HOST…", shell_complete=completion.hosts),
    target_options(),
    click.option("--all-missing", is_flag=True, help="Every host of the group that is no member yet."),
    click.option("--role", type=click.Choice(["participant", "observer"]), help="[default: zkprov_role of the hosts]"),
    click.option(
        "--season", type=Duration(), default=None, help="How long a voter stays a newcomer (R2). [default: 15m]"
    ),
    click.option("--wait", is_flag=True, help="Sit out what R2 demands, instead of being refused."),
    step_options("Set one rule aside by name; needs --reason. Never R1, R2, R6."),
)


@click.group()
def plan() -> None:
    """Work a change out, prove each step, and print it or refuse. Nothing is changed."""


plan.add_command(plan_remove)
plan.add_command(plan_replace)
plan.add_command(plan_set_role)
plan.add_command(plan_set_address)
plan.add_command(plan_restart)
plan.add_command(plan_upgrade)
plan.add_command(plan_downgrade)
plan.add_command(plan_adopt)
plan.add_command(plan_heal)


@plan.command("configure")
@target_options()
@click.option(
    "--limit",
    "limit",
    multiple=True,
    metavar="HOST",
    shell_complete=completion.hosts,
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
@ci_options()
@click.pass_context
def apply(ctx: click.Context, /, file: Path, yes: bool, output: str, events: str | None, **given: object) -> None:
    """Carry out the plan in FILE. Exit 6 when the ensemble, or what the plan was made from, changed since.

    Where the plan was carried out already there is nothing to do: exit 0.
    """
    from zkprov.run.files import load_plan

    one_stdout(output, events)
    made = told(load_plan(file))
    with world_of(ctx, given) as world:
        if output == "text" and events != "-":
            show(made, "text")
        ask(yes)
        ctx.exit(carry_out(ctx, world, made, output, events, text(given["made_by"])))


def _made(world: World, given: dict[str, object], output: str) -> Plan:
    """The plan; a refusal is printed and ends the command with its exit code."""
    from zkprov.model.server import Role
    from zkprov.run.planning import make_plan, missing, role_of

    hosts, every = given["hosts"], bool(given["all_missing"])
    names = tuple(str(h) for h in hosts) if isinstance(hosts, tuple) else ()
    if bool(names) is every:
        raise click.UsageError("name the hosts to add, or say --all-missing" + (", not both" if every else ""))
    if every:
        names = missing(world)
        if not names:
            if output == "json":
                nothing_to_do(world, output)
            click.echo(f"{world.inventory.ensemble}: every host is a member; nothing to do")
            raise click.exceptions.Exit(0)
    said = text(given["role"])
    role = Role(said) if said else role_of(world, names)
    made = make_plan(world, names, options_of(world, given, role), text(given["made_by"]))
    return made_or_refused(made, output)


plan_add, add_node = both(
    add_options,
    _made,
    plan=("add", "Plan to add HOST…, one at a time."),
    run=("add-node", "Add HOST…, one at a time, each step gated and proved: plan, question, apply."),
)
plan.add_command(plan_add)
