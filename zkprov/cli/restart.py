"""`plan restart` and `restart`: members are stopped and started, one at a time, with what templates and variables say of their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

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
    target_options(),
    click.option(
        "--only",
        multiple=True,
        metavar="SERVER",
        help="These members only, by name or id: zk1,zk2 or once for each. [default: all]",
    ),
    click.option("--config", is_flag=True, help="Lay what `plan configure` shows; those that need a restart for it."),
    click.option("--no-handover", is_flag=True, help="Stop the leader while it leads; the others elect."),
    step_options("Set one rule aside by name (R4); needs --reason. Never R1, R2.", settle="0s"),
)


def _made(world: World, given: dict[str, object], output: str) -> Plan:
    """The plan. Where nothing differs that a restart would mend, it ends the command."""
    from zkprov.run.planning_rolls import make_restart

    only = given["only"]
    servers = [s for one in only for s in str(one).split(",") if s] if isinstance(only, tuple) else []
    if only and not servers:
        raise click.BadParameter("names no server", param_hint="--only")
    made = make_restart(world, servers, options_of(world, given), text(given["made_by"]))
    if made is None:
        nothing_to_do(world, output)
    assert made is not None  # noqa: S101 — nothing_to_do does not return
    return made_or_refused(made, output)


plan_restart, restart = both(
    options,
    _made,
    fleet=True,
    plan=("restart", "Plan a rolling restart: observers, then followers, the leader last."),
    run=(
        "restart",
        "Restart members one at a time, each only while the rest is a quorum: plan, question, apply.\n\n"
        "Those that are down come first, then observers, followers, and the leader, which hands over before "
        "it is stopped.",
    ),
)
