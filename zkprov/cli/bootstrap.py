"""`bootstrap`: an ensemble made of bare hosts."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from zkprov.cli.planned import Duration, ask, ci_options, world_of
from zkprov.cli.reporting import account
from zkprov.cli.target import source_options, target_options

if TYPE_CHECKING:
    from zkprov.plan.founding import Founding
    from zkprov.plan.steps import Options
    from zkprov.run.world import World


@click.command()
@target_options()
@click.option("--settle", type=Duration(), default="0s", show_default=True, help="Good samples after each server.")
@click.option("--samples", type=click.IntRange(1, 1000), default=3, show_default=True)
@click.option("--sample-interval", type=Duration(), default="0.5", show_default=True)
@click.option("--step-timeout", type=Duration(), default="60s", show_default=True)
@source_options("yours, laid over the shipped ones")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Look and tell only.")
@click.option("--events", type=click.Path(dir_okay=False, allow_dash=True), help="JSON lines while it runs.")
@click.option("--as", "made_by", metavar="WHO", help="Who does it, for the record. [default: user@host]")
@ci_options()
@click.pass_context
def bootstrap(ctx: click.Context, /, yes: bool, dry_run: bool, events: str | None, **given: object) -> None:
    """Make an ensemble of the hosts of the group, which must be bare: nothing may answer or lie on any of them.

    One founder, then one server at a time. Run it again to go on where it was cut off.
    """
    from zkprov.plan.steps import Refusal
    from zkprov.report.console import refusal
    from zkprov.run.founding import look

    with world_of(ctx, given) as world:
        run = _lost_second(ctx, world)
        made = look(world, patient=run is None)
        if isinstance(made, Refusal) and run is not None:
            click.echo(f"Bootstrap of {world.inventory.ensemble}")
            click.echo(f"  take up run {run}, in which the second voter was lost; then go on")
            if dry_run:
                ctx.exit(0)
            ask(yes)
            code = _take_up(ctx, world, events, given)
            if code:
                ctx.exit(code)
            made, yes = look(world), True
        if isinstance(made, Refusal):
            if (known := account()) is not None:
                known.refused(made)
            refusal(made)
            ctx.exit(made.exit_code)
        if made is None:
            click.echo(f"{world.inventory.ensemble}: every host is a member; nothing to do")
            ctx.exit(0)
        _show(made, world)
        if dry_run:
            ctx.exit(0)
        ask(yes)
        ctx.exit(_carry_out(ctx, world, made, _options(given), events, given))


def _lost_second(ctx: click.Context, world: World) -> str | None:
    """The run of this machine's that stands where one voter becomes two. With nobody to serve, what lies there looks like another's."""
    from zkprov.cli.conduct import journal_path
    from zkprov.run.awaited_vote import standing_run
    from zkprov.run.journal import Journal

    with contextlib.closing(Journal(journal_path(ctx), create=False)) as journal:
        found = standing_run(journal, world.inventory.ensemble)
    return found[0].id if found else None


def _take_up(ctx: click.Context, world: World, events: str | None, given: dict[str, object]) -> int:
    from zkprov.cli.conduct import conducted

    who = given["made_by"] if isinstance(given["made_by"], str) else None
    return conducted(ctx, world, lambda conductor: conductor.resume(), events=events, who=who) or 0


def _options(given: dict[str, object]) -> Options:
    from zkprov.plan.steps import Options

    return Options(
        settle_s=float(str(given["settle"])),
        samples=int(str(given["samples"])),
        interval_s=float(str(given["sample_interval"])),
        step_timeout_s=float(str(given["step_timeout"])),
    )


def _show(made: Founding, world: World) -> None:
    from zkprov.model.server import Role
    from zkprov.plan.founding import Stage

    click.echo(f"Bootstrap of {made.ensemble}")
    before = {
        Stage.BEGUN: " (again: it was cut off)",
        Stage.LAID: " (its server has run: it is started again)",
        Stage.LEADS: " (it leads already)",
    }
    if made.stage is Stage.FOUNDED:
        click.echo(f"  founded on {made.host} already; goes on from there")
    else:
        click.echo(f"  found {made.founder.id} on {made.host}{before.get(made.stage, '')}")
    for name in made.others:
        observer = world.inventory_host(name).role is Role.OBSERVER
        click.echo(f"  then add {name}" + (" as an observer" if observer else ""))
    click.echo("  one at a time; one quorum is proved before each step")


def _carry_out(
    ctx: click.Context, world: World, made: Founding, options: Options, events: str | None, given: dict[str, object]
) -> int:
    from zkprov.cli.conduct import told
    from zkprov.run.founding import bootstrap as carried_out

    who = given["made_by"] if isinstance(given["made_by"], str) else None
    return told(ctx, world, lambda conductor, say: carried_out(conductor, made, options, say), events=events, who=who)
