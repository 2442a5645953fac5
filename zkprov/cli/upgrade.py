"""`plan upgrade` and `upgrade`: all members are brought to another release, one at a time, by the way that ZooKeeper promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zkprov.cli.planned import (
    Duration,
    decorated,
    made_or_refused,
    no_backup_option,
    nothing_to_do,
    options_of,
    plan_and_run,
    plan_only,
    plan_options,
    run_options,
    step_options,
    text,
)
from zkprov.cli.target import target_options

if TYPE_CHECKING:
    from zkprov.plan.steps import Plan
    from zkprov.run.world import World

options = decorated(
    target_options(),
    click.option("--to", "target", required=True, metavar="RELEASE", help="Which release all are to run, e.g. 3.9.5."),
    click.option(
        "--soak",
        type=Duration(),
        default="60s",
        show_default=True,
        help="Good samples for this long after the first server of each release.",
    ),
    click.option("--no-handover", is_flag=True, help="Stop the leader while it leads; the others elect."),
    no_backup_option(),
    step_options("Set one rule aside by name (R4); needs --reason. Never R1, R2.", settle="0s"),
)


@click.command("upgrade")
@options
@plan_options()
@click.pass_context
def plan_upgrade(ctx: click.Context, /, **given: object) -> None:
    """Plan to bring all members to another release, through those that lie between."""
    plan_only(ctx, given, _made)


@click.command("upgrade")
@options
@run_options()
@click.pass_context
def upgrade(ctx: click.Context, /, **given: object) -> None:
    """Bring all members to another release, one at a time: plan, question, apply.

    Every release of the way is laid out on all hosts before the first stop. One server, no leader, runs it alone for --soak; then the
    others, the leader last. A server that does not come up goes back to the release that it ran.
    """
    plan_and_run(ctx, given, _made)


def _made(world: World, given: dict[str, object], output: str) -> Plan:
    """The plan. Where all run that release it ends the command."""
    from zkprov.run.planning import make_upgrade

    made = make_upgrade(world, str(given["target"]), options_of(world, given), text(given["made_by"]))
    if made is None:
        nothing_to_do(world, output)
    assert made is not None  # noqa: S101 — nothing_to_do does not return
    return made_or_refused(made, output)
