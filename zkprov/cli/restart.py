"""`plan restart` and `restart`: members are stopped and started, one at a time, with what templates and variables say of their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

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
    target_options(),
    click.option(
        "--only",
        multiple=True,
        metavar="SERVER",
        shell_complete=completion.hosts,
        help="These members only, by name or id: zk1,zk2 or once for each. [default: all]",
    ),
    click.option("--config", is_flag=True, help="Lay what `plan configure` shows; those that need a restart for it."),
    click.option(
        "--reboot", is_flag=True, help="Reboot each host while its server is stopped, after the hook `before-reboot`."
    ),
    click.option(
        "--reboot-timeout",
        type=Duration(),
        default="10m",
        show_default=True,
        help="For that hook, and for a host to come back from its reboot.",
    ),
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
    limited = click.get_current_context().get_parameter_source("reboot_timeout") is ParameterSource.COMMANDLINE
    if limited and not given["reboot"]:
        raise click.BadParameter("says nothing without --reboot", param_hint="--reboot-timeout")
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
        "it is stopped. With --reboot operating systems are patched: each host runs the hook before-reboot of --playbooks "
        "while its server is stopped, is rebooted, and is back in sync before the next.",
    ),
)
