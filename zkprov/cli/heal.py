"""`plan heal` and `heal`: out of a split, by one side that is kept."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from zkprov.cli import completion
from zkprov.cli.planned import (
    Duration,
    decorated,
    made_or_refused,
    nothing_to_do,
    options_of,
    plan_and_run,
    plan_only,
    plan_options,
    refuse,
    run_options,
    step_options,
    text,
)
from zkprov.cli.target import target_options

if TYPE_CHECKING:
    from pathlib import Path

    from zkprov.plan.steps import Plan
    from zkprov.run.planning_heal import Looked
    from zkprov.run.world import World

options = decorated(
    target_options(),
    click.option(
        "--keep",
        default="",
        metavar="SIDE",
        help="The side to keep: its letter, or the name of a server on it. [default: asked for]",
    ),
    click.option(
        "--fenced",
        multiple=True,
        metavar="SERVER",
        shell_complete=completion.hosts,
        help="A server that cannot be reached, and stays off by your word; needs --reason.",
    ),
    click.option(
        "--season", type=Duration(), default=None, help="How long who comes back stays a newcomer (R2). [default: 15m]"
    ),
    step_options("None can be set aside here.", settle="10s"),
)


def _made(world: World, given: dict[str, object], output: str) -> Plan:
    """The plan. Where there is one side alone, it ends the command."""
    from zkprov.run.journal import Journal
    from zkprov.run.planning_heal import histories_known, look_at_sides, make_heal

    context = click.get_current_context()
    fenced = given["fenced"]
    named = [s for one in fenced for s in str(one).split(",") if s] if isinstance(fenced, tuple) else []
    reason = str(given["reason"]).strip()
    if given["overrides"]:
        raise click.UsageError("--override: no rule can be set aside where a split is healed")
    if named and not reason:
        raise click.UsageError("--fenced is a person's word: say --reason as well, it stands in the plan")
    asked = options_of(world, given)
    from zkprov.cli.conduct import journal_path

    with contextlib.closing(Journal(journal_path(context), create=False)) as journal:
        known = histories_known(journal, world.inventory.ensemble)
    looked = look_at_sides(world, known)
    if looked is None:
        _nothing(world, output, journal_path(context))
    assert looked is not None  # noqa: S101 — _nothing does not return
    keep = str(given["keep"]).strip() or _asked(looked, given, output)
    made = make_heal(world, looked, keep, dict.fromkeys(named, reason), asked, text(given["made_by"]))
    return made_or_refused(made, output)


def _nothing(world: World, output: str, journal: Path) -> None:
    from zkprov.report.console import result
    from zkprov.run.disks_aside import nothing_to_heal
    from zkprov.run.journal import Journal

    said = f"{world.inventory.ensemble}: one side; nothing to heal"
    with contextlib.closing(Journal(journal, create=False)) as runs:
        ended = nothing_to_heal(said, world, runs)
    if output == "text":
        result(ended)
    elif ended.evidence:
        from zkprov.report.documents import ChangeDocument, as_json

        click.echo(as_json(ChangeDocument(result=ended)))
    else:
        nothing_to_do(world, output)
    raise click.exceptions.Exit(0)


def _asked(looked: Looked, given: dict[str, object], output: str) -> str:
    """What a person says; empty for the side that is proposed, where a plan is only shown. Never silently: refused without a terminal."""
    shown = bool(given.get("dry_run")) or ("out" in given and given["out"] is None)
    if shown and looked.proposal.side:
        return ""
    if sys.stdin.isatty() and output == "text" and not shown:
        from click.termui import prompt

        from zkprov.report.heal import sides

        sides(looked)
        names = [s.name for s in looked.sides]
        default = looked.proposal.side or None
        return str(prompt("\nWhich side is kept?", type=click.Choice(names, case_sensitive=False), default=default))
    from zkprov.plan.heal import not_said

    refuse(not_said(looked.sides, looked.proposal), output)
    return ""


@click.command("heal")
@options
@plan_options()
@click.pass_context
def plan_heal(ctx: click.Context, /, **given: object) -> None:
    """Plan the way out of a split: who is on which side, what speaks for each, and what would be done. Nothing is changed."""
    plan_only(ctx, given, _made)


@click.command("heal")
@options
@click.option("--plan", "only", is_flag=True, help="As --dry-run.")
@run_options()
@click.pass_context
def heal(ctx: click.Context, /, only: bool, **given: object) -> None:
    """Lead out of a second ensemble, or of data that differ: plan, question, apply. Nothing is merged, and nothing deleted.

    One side is kept. First the disks of every side are copied; then each server of the others is stopped, disabled and its disk set aside,
    those that clients are on first. When one quorum is proved, members that were on the other side come back empty, one at a time.
    """
    given["dry_run"] = bool(given["dry_run"]) or only
    plan_and_run(ctx, given, _made)
