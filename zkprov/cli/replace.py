"""`plan replace` and `replace-node`: a new server takes the place of another, as one change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zkprov.cli.planned import (
    Duration,
    both,
    decorated,
    made_or_refused,
    no_backup_option,
    options_of,
    step_options,
    text,
)
from zkprov.cli.target import target_options

if TYPE_CHECKING:
    from zkprov.plan.steps import Plan
    from zkprov.run.world import World

options = decorated(
    click.argument("old", metavar="OLD"),
    click.argument("new", metavar="NEW"),
    target_options(),
    click.option("--season", type=Duration(), default=None, help="How long NEW stays a newcomer (R2). [default: 15m]"),
    click.option(
        "--drain",
        type=Duration(),
        default="30s",
        show_default=True,
        help="How long OLD's clients are waited for before it stops.",
    ),
    no_backup_option(),
    step_options("Set one rule aside by name (R4); needs --reason. Never R1, R2, R6."),
)


def _made(world: World, given: dict[str, object], output: str) -> Plan:
    from zkprov.run.planning import make_replacement

    options, who = options_of(world, given), text(given["made_by"])
    return made_or_refused(make_replacement(world, str(given["old"]), str(given["new"]), options, who), output)


plan_replace, replace_node = both(
    options,
    _made,
    plan=("replace", "Plan to put the host NEW in the place of the member OLD (a name or an id)."),
    run=(
        "replace-node",
        "Put the host NEW in the place of the member OLD: plan, question, apply.\n\n"
        "NEW comes in, is seasoned, then OLD leaves. Of an OLD that is down, first it leaves: one voter more "
        "would be one too many to lose.",
    ),
)
