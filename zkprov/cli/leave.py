"""`plan remove` and `remove-node`: servers leave, one at a time, and what they leave behind is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zkprov.cli import completion
from zkprov.cli.planned import (
    Duration,
    both,
    decorated,
    made_or_refused,
    no_backup_option,
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
    click.argument("servers", metavar="SERVER…", nargs=-1, required=True, shell_complete=completion.hosts),
    target_options(),
    click.option(
        "--drain",
        type=Duration(),
        default="30s",
        show_default=True,
        help="How long a server's clients are waited for before it stops.",
    ),
    no_backup_option(),
    step_options("Set one rule aside by name (R4); needs --reason. Never R1, R2."),
)


def _made(world: World, given: dict[str, object], output: str) -> Plan:
    """The plan. Servers that have left already are named; where there are no others, that ends the command."""
    from zkprov.run.planning import make_removal, who_leaves

    servers, options = given["servers"], options_of(world, given)
    names, left = who_leaves(world, tuple(str(s) for s in servers) if isinstance(servers, tuple) else ())
    for retired in left:
        place = f"; its disk is at {retired.where}" if retired.where else ""
        said = f"{retired.id} ({retired.host}) has left already ({retired.fate}){place}"
        click.echo(f"{world.inventory.ensemble}: {said}", err=True)
    if not names:
        nothing_to_do(world, output)
    return made_or_refused(make_removal(world, names, options, text(given["made_by"])), output)


plan_remove, remove_node = both(
    options,
    _made,
    plan=("remove", "Plan to remove SERVER… (names or ids), one at a time."),
    run=(
        "remove-node",
        "Remove SERVER… (names or ids), one at a time: plan, question, apply.\n\n"
        "A leader hands over first. Who has left is stopped, kept down, and its folders are set aside (never "
        "deleted); one that is down and cannot be reached stays named until somebody attests what became of "
        "its disk (zkprov retired attest).",
    ),
)
