"""`plan adopt` and `adopt`: an ensemble that zkprov did not make becomes one that it can change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zkprov.cli.planned import (
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
    target_options(),
    no_backup_option(),
    click.option("--no-handover", is_flag=True, help="Stop the leader while it leads; the others elect."),
    step_options("Set one rule aside by name (R4); needs --reason. Never R1, R2.", settle="0s"),
)


def _made(world: World, given: dict[str, object], output: str) -> Plan:
    """The plan. Where nothing is missing, it ends the command."""
    from zkprov.run.adoption import make_adoption

    made = make_adoption(world, options_of(world, given), text(given["made_by"]))
    if made is None:
        nothing_to_do(world, output)
    assert made is not None  # noqa: S101 — nothing_to_do does not return
    return made_or_refused(made, output)


plan_adopt, adopt = both(
    options,
    _made,
    fleet=True,
    plan=(
        "adopt",
        "Show what zkprov lacks there, and plan one rolling restart for all of it.",
    ),
    run=(
        "adopt",
        "Take over an ensemble that zkprov did not make: plan, question, apply.\n\n"
        "What is missing is written into zoo.cfg of every member, in place, the rest of it untouched; then they are "
        "restarted one at a time, the leader last. A static list becomes one of a version, with the same members. Say "
        "zkprov_foreign_config_manager: stopped first.",
    ),
)
