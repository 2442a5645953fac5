"""`ok-to-stop` and `ok-to-remove`: asked by people and by other tools before they touch a host."""

from __future__ import annotations

import click

from zkprov.cli import completion
from zkprov.cli.look import output_option
from zkprov.cli.target import Connect, target_options, world_to_look_at


@click.command()
@click.argument("servers", metavar="SERVER…", nargs=-1, required=True, shell_complete=completion.hosts)
@target_options(connect=True)
@output_option
@click.pass_context
def ok_to_stop(
    ctx: click.Context,
    servers: tuple[str, ...],
    inventory: str | None,
    ensemble: str | None,
    timeout_s: float,
    connect: Connect | None,
    output: str,
) -> None:
    """Whether all of SERVER… (names or ids) may be stopped at once: exit 0, or 3 and why not.

    What stays must be a quorum, in sync, of every list that it goes by. Nothing is changed.
    """
    _answer(ctx, "stop", servers, (inventory, ensemble, connect, timeout_s), output)


@click.command()
@click.argument("servers", metavar="SERVER…", nargs=-1, required=True, shell_complete=completion.hosts)
@target_options(connect=True)
@output_option
@click.pass_context
def ok_to_remove(
    ctx: click.Context,
    servers: tuple[str, ...],
    inventory: str | None,
    ensemble: str | None,
    timeout_s: float,
    connect: Connect | None,
    output: str,
) -> None:
    """Whether all of SERVER… (names or ids) may leave the list, one after the other: exit 0, or 3 and why not.

    One quorum is proved before, within and after each removal, and as many may fail as before, or one. Nothing is changed.
    """
    _answer(ctx, "remove", servers, (inventory, ensemble, connect, timeout_s), output)


def _answer(
    ctx: click.Context,
    act: str,
    servers: tuple[str, ...],
    target: tuple[str | None, str | None, Connect | None, float],
    output: str,
) -> None:
    from zkprov.judge.leaving import named
    from zkprov.judge.leaving import ok_to_remove as removable
    from zkprov.judge.leaving import ok_to_stop as stoppable
    from zkprov.report.leaving import leave_document, leave_lines
    from zkprov.run.watch import Watcher

    inventory, ensemble, connect, timeout_s = target
    with Watcher(world_to_look_at(ctx, inventory, ensemble, connect, timeout_s), clients=False) as look:
        health = look.settled()
    names = named(health, servers)
    found = (stoppable if act == "stop" else removable)(health, names)
    about = health.picture.survey.ensemble
    if output == "json":
        from zkprov.report.documents import as_json

        click.echo(as_json(leave_document(about, act, found)))
    else:
        from zkprov.report.console import lines

        lines(leave_lines(about, act, found))
    ctx.exit(0 if found.ok else 3)
