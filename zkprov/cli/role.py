"""`plan set-role` and `set-role`: a member gets a vote, or gives it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zkprov.cli import completion
from zkprov.cli.planned import (
    Duration,
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
    click.argument("role", type=click.Choice(["participant", "observer"])),
    target_options(),
    click.option(
        "--season", type=Duration(), default=None, help="How long a new voter stays a newcomer (R2). [default: 15m]"
    ),
    step_options("Set one rule aside by name (R4); needs --reason. Never R1, R2."),
)


def _made(world: World, given: dict[str, object], output: str) -> Plan:
    """The plan. A role that the server has already ends the command."""
    from zkprov.model.server import Role
    from zkprov.run.planning import make_role

    options, who = options_of(world, given), text(given["made_by"])
    role = Role(str(given["role"]))
    made = made_or_refused(make_role(world, str(given["server"]), role, options, who), output)
    if not made.steps:
        nothing_to_do(world, output)
    return made


plan_set_role, set_role = both(
    options,
    _made,
    plan=("set-role", "Plan that the member SERVER (a name or an id) votes, or observes."),
    run=(
        "set-role",
        "Give the member SERVER (a name or an id) a vote, or take it: plan, question, apply.\n\n"
        "Its process and its disk stay. A leader hands over; a new voter is a newcomer until it is seasoned.",
    ),
)
