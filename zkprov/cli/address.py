"""`plan set-address` and `set-address`: a member is known by other ports, or by another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zkprov.cli.planned import (
    decorated,
    made_or_refused,
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
    click.argument("server", metavar="SERVER"),
    target_options(),
    step_options("Set one rule aside by name (R4); needs --reason. Never R1, R2."),
)


@click.command("set-address")
@options
@plan_options()
@click.pass_context
def plan_set_address(ctx: click.Context, /, **given: object) -> None:
    """Plan that the list names the member SERVER (a host or an id) as the inventory does now."""
    plan_only(ctx, given, _made)


@click.command("set-address")
@options
@run_options()
@click.pass_context
def set_address(ctx: click.Context, /, **given: object) -> None:
    """Give the member SERVER (a host or an id) the ports and the name that the inventory has for it now: plan, question, apply.

    Write them there first. The process is not restarted, its disk and its vote stay; anything else is a replacement.
    """
    plan_and_run(ctx, given, _made)


def _made(world: World, given: dict[str, object], output: str) -> Plan:
    """The plan. A place that the list has already ends the command."""
    from zkprov.run.planning import make_address

    made = made_or_refused(
        make_address(world, str(given["server"]), options_of(world, given), text(given["made_by"])), output
    )
    if not made.steps:
        nothing_to_do(world, output)
    return made
