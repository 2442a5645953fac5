"""`upgrade` and `downgrade`, and their plans: all members are brought to another release, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zkprov.cli.planned import (
    Decorator,
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
    from zkprov.plan.steps import Plan, Refusal
    from zkprov.run.world import World


def _options(overridable: str) -> Decorator:
    return decorated(
        target_options(),
        click.option(
            "--to", "target", required=True, metavar="RELEASE", help="Which release all are to run, e.g. 3.9.5."
        ),
        click.option(
            "--soak",
            type=Duration(),
            default="60s",
            show_default=True,
            help="Good samples for this long after the first server of each release.",
        ),
        click.option("--no-handover", is_flag=True, help="Stop the leader while it leads; the others elect."),
        no_backup_option(),
        step_options(overridable, settle="0s"),
    )


def _upgrade(world: World, given: dict[str, object], output: str) -> Plan:
    from zkprov.run.planning_rolls import make_upgrade

    return _plan(
        world, output, make_upgrade(world, str(given["target"]), options_of(world, given), text(given["made_by"]))
    )


def _downgrade(world: World, given: dict[str, object], output: str) -> Plan:
    from zkprov.run.planning_rolls import make_downgrade

    return _plan(
        world, output, make_downgrade(world, str(given["target"]), options_of(world, given), text(given["made_by"]))
    )


def _plan(world: World, output: str, made: Plan | Refusal | None) -> Plan:
    """The plan. Where all run that release it ends the command."""
    if made is None:
        nothing_to_do(world, output)
    assert made is not None  # noqa: S101 — nothing_to_do does not return
    return made_or_refused(made, output)


plan_upgrade, upgrade = both(
    _options("Set one rule aside by name (R4); needs --reason. Never R1, R2."),
    _upgrade,
    fleet=True,
    plan=("upgrade", "Plan to bring all members to another release, through those that lie between."),
    run=(
        "upgrade",
        "Bring all members to another release, one at a time: plan, question, apply.\n\n"
        "Every release of the way is laid out on all hosts before the first stop. One server, no leader, runs it alone for "
        "--soak; then the others, the leader last. A server that does not come up goes back to the release that it ran.",
    ),
)
plan_downgrade, downgrade = both(
    _options("Set one rule aside by name (R4). Never R1, R2."),
    _downgrade,
    fleet=True,
    plan=("downgrade", "Plan to bring all members back to an older release; needs --reason."),
    run=(
        "downgrade",
        "Bring all members back to an older release, one at a time; needs --reason: plan, question, apply.\n\n"
        "One step back only, where the older release was seen to read what the newer one writes. It goes as an upgrade does.",
    ),
)
