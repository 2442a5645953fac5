"""`plan replace` and `replace-node`: a new server takes the place of another, as one change."""

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
    options_of,
    step_options,
    text,
)
from zkprov.cli.target import target_options

if TYPE_CHECKING:
    from zkprov.plan.steps import Plan
    from zkprov.run.world import World

options = decorated(
    click.argument("old", metavar="OLD", shell_complete=completion.hosts),
    click.argument("new", metavar="NEW", required=False, shell_complete=completion.hosts),
    target_options(),
    click.option("--same-host", is_flag=True, help="OLD itself comes back, with a new disk: no NEW."),
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
    from zkprov.run.planning import make_renewal, make_replacement

    options, who, old, new = options_of(world, given), text(given["made_by"]), str(given["old"]), text(given["new"])
    if given["same_host"] is (new is not None):
        raise click.UsageError("name NEW, or say --same-host where OLD itself has a new disk: one of them")
    if new is None:
        return made_or_refused(make_renewal(world, old, options, who), output)
    return made_or_refused(make_replacement(world, old, new, options, who), output)


plan_replace, replace_node = both(
    options,
    _made,
    plan=("replace", "Plan to put the host NEW in the place of the member OLD (a name or an id)."),
    run=(
        "replace-node",
        "Put the host NEW in the place of the member OLD: plan, question, apply.\n\n"
        "NEW comes in, is seasoned, then OLD leaves. Of an OLD that is down, first it leaves: one voter more "
        "would be one too many to lose.\n\n"
        "With --same-host OLD itself, which is down and whose disk is new, comes back under its id, with the live list: a newcomer "
        "again. Until it is in sync it cannot vote (`db.autocreate=false`, from 3.6 on).",
    ),
)
