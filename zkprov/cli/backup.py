"""`backup`: made by hand, listed, verified, fetched. Changes make their own before they begin (`--no-backup`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zkprov.cli.fleet_change import Kept, fleet_change
from zkprov.cli.planned import Duration, refuse
from zkprov.cli.target import target_options

if TYPE_CHECKING:
    from zkprov.report.backups import BackupDocument
    from zkprov.run.world import World

output_option = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
host_option = click.option(
    "--host", "hosts", multiple=True, metavar="HOST", help="Of these hosts only.  [default: all]"
)


@click.group()
def backup() -> None:
    """Configs and epochs of all members and the data of one, kept on their hosts: create, list, verify, fetch."""


@backup.command(cls=Kept)
@target_options()
@click.option("--data-of", metavar="SERVER", help="Whose data (a name or an id). [default: a follower in sync]")
@click.option(
    "--playbooks",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Playbooks and hooks: yours, laid over the shipped ones.",
)
@click.option("--as", "made_by", metavar="WHO", help="Who does it, for the record. [default: user@host]")
@output_option
@fleet_change()
@click.pass_context
def create(ctx: click.Context, /, data_of: str | None, made_by: str | None, output: str, **given: object) -> None:
    """Make one now. Nothing of the ensemble is changed, and no server is stopped for it.

    Exit 3 where the ensemble is unsafe and nobody said whose data is meant, 4 where a host has no room for it.
    """
    from zkprov.plan.steps import Refusal
    from zkprov.report.backups import created
    from zkprov.run.backups import create as make
    from zkprov.run.planning import who_am_i
    from zkprov.run.watch import Watcher

    with _world(ctx, given) as world:
        health = Watcher(world, clients=False).settled()
        made = make(world, health, who_am_i(made_by), data_of)
    if isinstance(made, Refusal):
        refuse(made, output)
    else:
        _print(ctx, created(world.inventory.ensemble, made), output)


@backup.command("list")
@target_options()
@output_option
@click.pass_context
def list_backups(ctx: click.Context, /, output: str, **given: object) -> None:
    """What each host of the inventory has, newest first. Exit 4 where a host was not read."""
    from zkprov.report.backups import listing
    from zkprov.run.backups import find

    with _world(ctx, given) as world:
        found = find(world)
    _print(ctx, listing(world.inventory.ensemble, found), output)


@backup.command()
@click.argument("name", required=False)
@target_options()
@host_option
@click.option(
    "--load-timeout", type=Duration(), default="2m", show_default=True, help="For the release to load the data."
)
@output_option
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    name: str | None,
    hosts: tuple[str, ...],
    load_timeout: float,
    output: str,
    **given: object,
) -> None:
    """Whether NAME (the newest with data, if none is named) is what was saved, and can be loaded. Exit 4 where it is not sound.

    The host's own release loads a copy in a scratch folder, alone, on loopback; its last transaction, number of znodes and digest are
    compared with what was noted. It takes the room and the memory of a second server for that time.
    """
    from zkprov.report.backups import verified
    from zkprov.run.backups import chosen, find
    from zkprov.run.backups import verify as verified_ones

    with _world(ctx, given) as world:
        found = find(world)
        parts = chosen(found, world, name, hosts)
        done = verified_ones(world, parts, load_timeout, _say)
    _print(ctx, verified(world.inventory.ensemble, done, found.unread), output)


@backup.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.argument("name", required=False)
@target_options()
@host_option
@output_option
@click.pass_context
def fetch(
    ctx: click.Context, /, folder: Path, name: str | None, hosts: tuple[str, ...], output: str, **given: object
) -> None:
    """Copy NAME (the newest with data, if none is named) to DIR/NAME/HOST on this machine, checked by its sums, mode 0600."""
    from zkprov.report.backups import fetched
    from zkprov.run.backups import chosen, find
    from zkprov.run.backups import fetch as fetched_ones

    with _world(ctx, given) as world:
        done = fetched_ones(world, chosen(find(world), world, name, hosts), folder, _say)
    _print(ctx, fetched(world.inventory.ensemble, done), output)


def _world(ctx: click.Context, given: dict[str, object]) -> World:
    from zkprov.cli.planned import world_of

    return world_of(ctx, given)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _print(ctx: click.Context, document: BackupDocument, output: str) -> None:
    if output == "json":
        from zkprov.report.documents import as_json

        click.echo(as_json(document))
    else:
        from zkprov.report.backups import show

        show(document)
    ctx.exit(0 if document.ok else 4)
