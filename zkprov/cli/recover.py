"""`recover`: an ensemble whose quorum is lost for good, founded anew on what is left."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from zkprov.cli.planned import Duration, ask, ci_options, world_of
from zkprov.cli.reporting import account
from zkprov.cli.target import source_options, target_options

if TYPE_CHECKING:
    from zkprov.model.recovery import Recovery
    from zkprov.plan.recovery import Attested
    from zkprov.plan.steps import Options
    from zkprov.run.recovering import Standing
    from zkprov.run.world import World


@click.command()
@target_options()
@click.option(
    "--dead",
    multiple=True,
    metavar="HOST=WHY",
    help="HOST (a name or an id) never comes back with its data, and how that is known; one for each.",
)
@click.option(
    "--wiped", multiple=True, metavar="HOST=WHY", help="HOST's disk is empty for good, not only not mounted; one each."
)
@click.option("--season", type=Duration(), default=None, help="How long a voter stays a newcomer (R2). [default: 15m]")
@click.option("--wait", is_flag=True, help="Sit out what R2 demands, so that all others come in by this command.")
@click.option(
    "--reason", default="", help="Why the time is shorter; it stands in the plan, the journal and the ledger."
)
@click.option("--settle", type=Duration(), default="30s", show_default=True, help="Good samples after each server.")
@click.option("--samples", type=click.IntRange(1, 1000), default=3, show_default=True)
@click.option("--sample-interval", type=Duration(), default="0.5", show_default=True)
@click.option("--step-timeout", type=Duration(), default="60s", show_default=True)
@source_options("yours, laid over the shipped ones")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Look and tell only.")
@click.option("--events", type=click.Path(dir_okay=False, allow_dash=True), help="JSON lines while it runs.")
@click.option("--as", "made_by", metavar="WHO", help="Who does it, for the record. [default: user@host]")
@ci_options()
@click.pass_context
def recover(ctx: click.Context, /, yes: bool, dry_run: bool, events: str | None, **given: object) -> None:
    """Found an ensemble anew on the best disk that is left, when more than half of its voters are gone for ever.

    What only they had acknowledged is lost. Every disk that is left is saved and set aside first; nothing is deleted. Run it again to go on
    where it was cut off.
    """
    from zkprov.plan.steps import Refusal
    from zkprov.report.console import refusal
    from zkprov.run.recovering import look

    attested = _attested(given)
    with world_of(ctx, given) as world:
        begun = _begun(ctx, world)
        made = begun or look(world, attested)
        if isinstance(made, Refusal):
            if (known := account()) is not None:
                known.refused(made)
            refusal(made)
            ctx.exit(made.exit_code)
        if made is None:
            click.echo(f"{world.inventory.ensemble}: a quorum serves; nothing to recover")
            ctx.exit(0)
        _show(made)
        if dry_run:
            ctx.exit(0)
        ask(yes)
        ctx.exit(_carry_out(ctx, world, made, _options(given), events, given))


def _attested(given: dict[str, object]) -> Attested:
    """Raises `BadInput` for what is not HOST=WHY, or one host twice."""
    from zkprov.model.problems import BadInput
    from zkprov.plan.recovery import Attested

    found: dict[str, dict[str, str]] = {}
    for kind in ("dead", "wiped"):
        words = found[kind] = {}
        texts = given.pop(kind)
        for text in texts if isinstance(texts, tuple) else ():
            host, equals, why = str(text).partition("=")
            host = host.strip()
            if not equals or not host or not why.strip() or not str(text).isprintable() or len(text) > 500:
                remedy = f"write --{kind} zk3='why it is certain, in words'"
                raise BadInput(f"not HOST=WHY: {text!r:.80}", place=f"--{kind}", remedy=remedy)
            if host in words:
                raise BadInput(f"{host} twice", place=f"--{kind}", remedy="name each host once")
            words[host] = why.strip()
    return Attested(found["dead"], found["wiped"])


def _begun(ctx: click.Context, world: World) -> Standing | None:
    """The recovery that was cut off on this machine."""
    from zkprov.cli.conduct import journal_path
    from zkprov.run.journal import Journal
    from zkprov.run.recovering import standing

    with contextlib.closing(Journal(journal_path(ctx), create=False)) as journal:
        return standing(journal, world.inventory.ensemble)


def _options(given: dict[str, object]) -> Options:
    from zkprov.judge.newcomers import SEASON_S
    from zkprov.plan.steps import Options

    season = given["season"]
    return Options(
        season_s=SEASON_S if season is None else float(str(season)),
        settle_s=float(str(given["settle"])),
        samples=int(str(given["samples"])),
        interval_s=float(str(given["sample_interval"])),
        step_timeout_s=float(str(given["step_timeout"])),
        wait=bool(given["wait"]),
        reason=str(given["reason"]),
    )


def _show(made: Recovery | Standing) -> None:
    from zkprov.model.recovery import Recovery

    recovery = made if isinstance(made, Recovery) else made.recovery
    going_on = "" if isinstance(made, Recovery) else f" (it was begun by {made.by}, and goes on)"
    click.echo(f"Recovery of {recovery.ensemble}, whose quorum is lost{going_on}")
    click.echo(f"  the highest list known: {recovery.base} of version {recovery.base.version_hex}")
    for survivor in recovery.survivors:
        click.echo(f"  left     {survivor}")
    for gone in recovery.gone:
        click.echo(f"  gone     {gone}")
    for note in recovery.notes:
        click.echo(f"  note     {note}")
    steps = [
        f"save the data of {', '.join(s.host for s in recovery.survivors)} into backups on their hosts",
        f"stop and set aside {', '.join((*(h for h in recovery.hosts if h != recovery.host), recovery.host))}; nothing is deleted",
        f"found {recovery.founder.id} anew on {recovery.host}, alone in its list, with a copy of its data",
        *(f"then add {name}, empty" for name in recovery.others),
    ]
    for number, step in enumerate(steps, 1):
        click.echo(f"  {number:>2}  {step}")
    click.echo(f"  {recovery.proof}; who comes in is a newcomer (R2)")
    sys.stdout.flush()


def _carry_out(
    ctx: click.Context,
    world: World,
    made: Recovery | Standing,
    options: Options,
    events: str | None,
    given: dict[str, object],
) -> int:
    from zkprov.cli.conduct import told
    from zkprov.run.recovering import recover as carried_out

    who = given["made_by"] if isinstance(given["made_by"], str) else None
    return told(ctx, world, lambda conductor, say: carried_out(conductor, made, options, say), events=events, who=who)
