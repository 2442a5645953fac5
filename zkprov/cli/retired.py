"""`retired`: the servers that left, whose addresses stay in every survey until a person says what became of their disks."""

from __future__ import annotations

import click

from zkprov.cli.target import inventory_of, target_options


@click.group()
def retired() -> None:
    """Servers that left. Their addresses stay in every survey until they are cleared (R7)."""


@retired.command("list")
@target_options()
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def list_retired(
    ctx: click.Context, inventory: str | None, ensemble: str | None, timeout_s: float, output: str
) -> None:
    """Who left, when, and where the disk was set aside."""
    import msgspec

    from zkprov.report.console import console, lines, table
    from zkprov.run.events import rfc3339
    from zkprov.run.world import World

    with World(inventory_of(ctx, inventory, ensemble), timeout_s=timeout_s) as world:
        world.survey()
        found = world.retired
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    rows = [[r.id, r.host, rfc3339(r.since_ms / 1000), r.fate] for r in found]
    table(console(), ["id", "host", "since", "fate"], rows)
    more = [f"{r.id}: {'; '.join(filter(None, (r.where, r.reason)))}" for r in found if r.where or r.reason]
    lines(["", *more] if more else [])


@retired.command()
@click.argument("server_id", metavar="ID", type=click.IntRange(0))
@target_options()
@click.pass_context
def clear(ctx: click.Context, server_id: int, inventory: str | None, ensemble: str | None, timeout_s: float) -> None:
    """Forget that ID was a member: its address leaves the surveys, and its id is free. Only after `attest`."""
    from zkprov.run.retiring import clear_retired

    read = inventory_of(ctx, inventory, ensemble)
    clear_retired(read, timeout_s, server_id)
    click.echo(f"{read.ensemble}: {server_id} is no longer listed as retired")


@retired.command()
@click.argument("server_id", metavar="ID", type=click.IntRange(0))
@target_options()
@click.option(
    "--destroyed", "fate", flag_value="destroyed", help="Its disk does not exist any more: it may act under no list."
)
@click.option("--wiped", "fate", flag_value="wiped", help="Its disk is empty: the id may be used again there.")
@click.option("--reason", required=True, help="How you know.")
@click.pass_context
def attest(
    ctx: click.Context,
    server_id: int,
    inventory: str | None,
    ensemble: str | None,
    timeout_s: float,
    fate: str | None,
    reason: str,
) -> None:
    """Say, in your name, what became of the disk of ID."""
    from zkprov.run.retiring import attest_retired

    if fate is None:
        raise click.UsageError("say --destroyed or --wiped")
    read = inventory_of(ctx, inventory, ensemble)
    attest_retired(read, timeout_s, server_id, fate, reason)
    click.echo(f"{read.ensemble}: {server_id} attested {fate}")
