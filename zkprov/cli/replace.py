"""`plan replace` and `replace-node`: a new server takes the place of another, as one change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zkprov.cli.planned import Duration, ask, carry_out, one_stdout, options_of, refuse, show, text, world_of
from zkprov.cli.target import source_options, target_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from zkprov.plan.steps import Plan
    from zkprov.run.world import World


def replacement_options(command: Callable[..., object]) -> Callable[..., object]:
    """What `plan replace` and `replace-node` share."""
    options = [
        click.argument("old", metavar="OLD"),
        click.argument("new", metavar="NEW"),
        target_options(),
        click.option(
            "--season", type=Duration(), default=None, help="How long NEW stays a newcomer (R2). [default: 15m]"
        ),
        click.option(
            "--drain",
            type=Duration(),
            default="30s",
            show_default=True,
            help="How long OLD's clients are waited for before it stops.",
        ),
        click.option(
            "--settle",
            type=Duration(),
            default="30s",
            show_default=True,
            help="Good samples for this long after each server.",
        ),
        click.option(
            "--samples",
            type=click.IntRange(1, 1000),
            default=3,
            show_default=True,
            help="Good samples in a row before a change of the list.",
        ),
        click.option(
            "--sample-interval", type=Duration(), default="0.5", show_default=True, help="Between two samples."
        ),
        click.option(
            "--step-timeout",
            type=Duration(),
            default="60s",
            show_default=True,
            help="For a gate to pass before the run stops.",
        ),
        click.option(
            "--override",
            "overrides",
            multiple=True,
            metavar="RULE",
            help="Set one rule aside by name (R4); needs --reason. Never R1, R2, R6.",
        ),
        click.option("--reason", default="", help="Why; it stands in the plan, the journal and the ledger."),
        source_options("yours, laid over the shipped ones"),
        click.option("--as", "made_by", metavar="WHO", help="Who does it, for the record. [default: user@host]"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command("replace")
@replacement_options
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan, for `zkprov apply`.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--detailed-exitcode", is_flag=True, help="Return 10 where changes are pending.")
@click.pass_context
def plan_replace(
    ctx: click.Context, /, out: Path | None, output: str, detailed_exitcode: bool, **given: object
) -> None:
    """Plan to put the host NEW in the place of the member OLD (a name or an id)."""
    with world_of(ctx, given) as world:
        made = _made(world, given, output)
        if out is not None:
            from zkprov.run.files import save_plan

            save_plan(made, out)
    show(made, output)
    if out is not None and output == "text":
        click.echo(f"saved to {out}; next: zkprov apply {out}")
    ctx.exit(10 if detailed_exitcode else 0)


@click.command("replace-node")
@replacement_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Plan only.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--events",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="JSON lines while it runs, to a file or - (stdout).",
)
@click.pass_context
def replace_node(
    ctx: click.Context, /, yes: bool, dry_run: bool, output: str, events: str | None, **given: object
) -> None:
    """Put the host NEW in the place of the member OLD: plan, question, apply.

    NEW comes in, is seasoned, then OLD leaves. Of an OLD that is down, first it leaves: one voter more would be one too many to lose.
    """
    one_stdout(output, events)
    with world_of(ctx, given) as world:
        made = _made(world, given, output)
        if output == "text" and events != "-":
            show(made, "text")
        if dry_run:
            if output == "json":
                show(made, output)
            ctx.exit(0)
        ask(yes)
        ctx.exit(carry_out(ctx, world, made, output, events, text(given["made_by"])))


def _made(world: World, given: dict[str, object], output: str) -> Plan:
    from zkprov.plan.steps import Refusal
    from zkprov.run.planning import make_replacement

    made = make_replacement(
        world, str(given["old"]), str(given["new"]), options_of(world, given), text(given["made_by"])
    )
    if isinstance(made, Refusal):
        refuse(made, output)
    assert not isinstance(made, Refusal)  # noqa: S101 — refuse does not return
    return made
