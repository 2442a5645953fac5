"""`ok-to-stop` and `ok-to-remove`: asked by people and by other tools before they touch a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zkprov.cli.look import output_option
from zkprov.cli.target import Connect, target_options, world_to_look_at

if TYPE_CHECKING:
    from zkprov.judge.health import Health


@click.command()
@click.argument("servers", metavar="SERVER…", nargs=-1, required=True)
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
@click.argument("servers", metavar="SERVER…", nargs=-1, required=True)
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
    from zkprov.judge.leaving import ok_to_remove as removable
    from zkprov.judge.leaving import ok_to_stop as stoppable
    from zkprov.report.leaving import leave_document, leave_lines
    from zkprov.run.watch import Watcher

    inventory, ensemble, connect, timeout_s = target
    with Watcher(world_to_look_at(ctx, inventory, ensemble, connect, timeout_s), clients=False) as look:
        health = look.settled()
    names = _named(health, servers)
    found = (stoppable if act == "stop" else removable)(health, names)
    about = health.picture.survey.ensemble
    if output == "json":
        from zkprov.report.documents import as_json

        click.echo(as_json(leave_document(about, act, found)))
    else:
        from zkprov.report.console import lines

        lines(leave_lines(about, act, found))
    ctx.exit(0 if found.ok else 3)


def _named(health: Health, servers: tuple[str, ...]) -> list[str]:
    """The names that the survey has for them. Raises `BadInput` for a server that nobody knows, or that is named twice."""
    from difflib import get_close_matches

    from zkprov.model.problems import BadInput

    known = {f.name: f.name for f in health.picture.survey.servers}
    for facts in health.picture.members:
        known.setdefault(str(health.picture.member_id(facts)), facts.name)
    for server in health.picture.live.servers if health.picture.live else ():
        known.setdefault(str(server.id), str(server.id))
    unknown = next((s for s in servers if s not in known), None)
    if unknown is not None:
        near = get_close_matches(unknown, list(known), 1)
        told = ", ".join(f.name for f in health.picture.survey.servers[:20])
        remedy = f"did you mean {near[0]}?" if near else f"known here: {told}"
        raise BadInput(f"no server {unknown!r}", place=health.picture.survey.ensemble, remedy=remedy)
    names = [known[s] for s in servers]
    if len(set(names)) != len(names):
        raise BadInput("the same server twice", place=" ".join(servers), remedy="name each server once")
    return names
