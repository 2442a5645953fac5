"""`resume`, `abort`, `pause`, `unpause`, `history`: runs that were stopped, and the kill switch."""

from __future__ import annotations

from pathlib import Path

import click

from zkprov.cli.planned import ci_options
from zkprov.cli.target import inventory_of, source_options, target_options

run_output = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.command()
@target_options()
@source_options("those that the plan was made with")
@run_output
@click.option(
    "--events",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="JSON lines while it runs, to a file or - (stdout).",
)
@click.option("--run", "only", default="", hidden=True, help="Only this run; exit 5 where another stands.")
@ci_options()
@click.pass_context
def resume(
    ctx: click.Context,
    inventory: str | None,
    ensemble: str | None,
    timeout_s: float,
    templates: Path | None,
    playbooks: Path | None,
    output: str,
    events: str | None,
    only: str,
) -> None:
    """Take up the run that stands unfinished: by the ledger in the ensemble, so from any machine with the same inventory and templates."""
    from zkprov.cli.conduct import conducted
    from zkprov.run.world import World

    read = inventory_of(ctx, inventory, ensemble)
    with World(read, timeout_s=timeout_s, templates=templates, playbooks=playbooks) as world:
        code = conducted(ctx, world, lambda conductor: conductor.resume(only), output=output, events=events)
    if code is None:
        click.echo(f"{world.inventory.ensemble}: nothing to resume", err=True)
    ctx.exit(code or 0)


@click.command()
@target_options()
@source_options("those that the plan was made with")
@run_output
@click.option(
    "--no-rollback", is_flag=True, help="Of an upgrade: leave the members that are done as they are, whatever they run."
)
@ci_options()
@click.pass_context
def abort(
    ctx: click.Context,
    inventory: str | None,
    ensemble: str | None,
    timeout_s: float,
    templates: Path | None,
    playbooks: Path | None,
    output: str,
    no_rollback: bool,
) -> None:
    """End the unfinished run: a joiner that votes for nothing is taken out, stopped and set aside; the rest stands.

    Of an upgrade, the members that are done go back to the former release, one at a time, where that reads what the new one has written.
    """
    from zkprov.cli.conduct import conducted
    from zkprov.run.going_back import abort as aborted
    from zkprov.run.world import World

    read = inventory_of(ctx, inventory, ensemble)
    with World(read, timeout_s=timeout_s, templates=templates, playbooks=playbooks) as world:
        code = conducted(ctx, world, lambda conductor: aborted(conductor, stay=no_rollback), output=output)
    if code is None:
        click.echo(f"{world.inventory.ensemble}: nothing to abort", err=True)
    ctx.exit(code or 0)


@click.command()
@target_options()
@click.option("--reason", required=True, help="Why; whoever is stopped by it will read it.")
@click.pass_context
def pause(ctx: click.Context, inventory: str | None, ensemble: str | None, timeout_s: float, reason: str) -> None:
    """The kill switch: no run begins, and one that goes on stops before its next act."""
    from zkprov.run.planning import ledger_writer

    read = inventory_of(ctx, inventory, ensemble)
    with ledger_writer(read, timeout_s) as ledger:
        ledger.pause(reason)
    click.echo(f"{read.ensemble}: paused; next: zkprov unpause")


@click.command()
@target_options()
@click.pass_context
def unpause(ctx: click.Context, inventory: str | None, ensemble: str | None, timeout_s: float) -> None:
    """Lift the kill switch."""
    from zkprov.run.planning import ledger_writer

    read = inventory_of(ctx, inventory, ensemble)
    with ledger_writer(read, timeout_s) as ledger:
        was = ledger.unpause()
    click.echo(
        f"{read.ensemble}: {'no longer paused' if was else 'was not paused'}; a run that was stopped by it: zkprov resume"
    )


class When(click.ParamType[float]):
    """`2026-11-24`, `2026-11-24T22:00`, or how long ago: `7d`. Seconds since 1970; of a date its beginning, or its end."""

    name = "when"

    def __init__(self, *, end: bool = False) -> None:
        self._end = end

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        import time

        from zkprov.run.finding import moment

        try:
            return moment(str(value), time.time(), end=self._end)
        except ValueError:
            self.fail(f"{value!r} is no time; write e.g. 2026-11-24, 2026-11-24T22:00 (UTC), or 7d for ago", param, ctx)


class Known(click.ParamType[str]):
    """One of the words that the table of the same name in `zkprov.run.finding` has; it is imported when it is needed."""

    def __init__(self, name: str, table: str) -> None:
        self.name, self._table = name, table

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from zkprov.run import finding

        known = tuple(getattr(finding, self._table))
        if value not in known:
            self.fail(f"{value!r} is none of {', '.join(known)}", param, ctx)
        return str(value)


@click.command()
@click.argument("run", required=False)
@click.option("-E", "--ensemble", metavar="GROUP", help="Only this ensemble's runs.")
@click.option("--kind", "--verb", "kind", type=Known("kind", "KINDS"), help="Only these: add-node, restart, upgrade, …")
@click.option("--since", type=When(), help="Begun at or after: a date, a date and time (UTC), or 7d for ago.")
@click.option("--until", type=When(end=True), help="Begun before; of a date, its whole day.")
@click.option(
    "--outcome",
    type=Known("outcome", "OUTCOMES"),
    help="Only: done, undone, stopped, aborted, running; or refused, those that a rule or a danger stopped (exit 3).",
)
@click.option("--limit", type=click.IntRange(1), help="The newest so many.")
@run_output
@click.pass_context
def history(
    ctx: click.Context,
    run: str | None,
    ensemble: str | None,
    kind: str | None,
    since: float | None,
    until: float | None,
    outcome: str | None,
    limit: int | None,
    output: str,
) -> None:
    """The runs that this machine's journal knows, newest first; with RUN (an id, its beginning, or `last`), every event of one."""
    import msgspec

    from zkprov.cli.conduct import journal_path
    from zkprov.model.problems import BadInput
    from zkprov.report.console import console, table
    from zkprov.run.events import rfc3339
    from zkprov.run.finding import Wanted, found
    from zkprov.run.journal import Journal

    path = journal_path(ctx)
    journal = Journal(path, create=False)
    if run is None:
        runs = found(journal, Wanted(ensemble, kind, since, until, outcome, limit))
        if output == "json":
            click.echo(msgspec.json.format(msgspec.json.encode(runs), indent=2).decode())
            return
        rows = [
            [
                r.id,
                rfc3339(r.began),
                r.ensemble,
                r.kind,
                " ".join(dict.fromkeys((*r.plan.hosts, *(str(x.server.id) for x in r.plan.leavers if not x.host)))),
                str(r.state),
                f"step {r.head}",
                r.who,
            ]
            for r in runs
        ]
        table(console(), ["run", "began", "ensemble", "kind", "hosts", "state", "at", "who"], rows, right=())
        return
    if any((kind, since, until, outcome, limit)):
        raise BadInput("these are of the list of runs", place="--kind and its like", remedy=f"zkprov history {run}")
    # what was recorded of a run that never began is found by its whole id
    events = journal.events(run) or journal.events(journal.named(run, ensemble).id)
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(events), indent=2).decode())
        return
    for event in events:
        click.echo(
            f"{event.time} {event.step:>3} {event.kind:<14} " + " ".join(f"{k}={v}" for k, v in event.evidence.items())
        )
