"""`plan set-address` and `set-address`: a member is known by other ports, or by another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zkprov.cli import completion
from zkprov.cli.planned import (
    both,
    decorated,
    made_or_refused,
    nothing_to_do,
    options_of,
    step_options,
    text,
)
from zkprov.cli.target import target_options

if TYPE_CHECKING:
    from zkprov.plan.steps import Plan
    from zkprov.run.world import World

options = decorated(
    click.argument("server", metavar="SERVER", shell_complete=completion.hosts),
    target_options(),
    step_options("Set one rule aside by name (R4); needs --reason. Never R1, R2."),
)


def _made(world: World, given: dict[str, object], output: str) -> Plan:
    """The plan. A place that the list has already ends the command."""
    from zkprov.run.planning import make_address

    made = made_or_refused(
        make_address(world, str(given["server"]), options_of(world, given), text(given["made_by"])), output
    )
    if not made.steps:
        nothing_to_do(world, output)
    return made


plan_set_address, set_address = both(
    options,
    _made,
    plan=("set-address", "Plan that the list names the member SERVER (a host or an id) as the inventory does now."),
    run=(
        "set-address",
        "Give the member SERVER (a host or an id) the ports and the name that the inventory has for it now: "
        "plan, question, apply.\n\n"
        "Write them there first. The process is not restarted, its disk and its vote stay; anything else is a "
        "replacement.",
    ),
)
