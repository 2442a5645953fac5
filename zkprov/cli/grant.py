"""`grant`: the right to change the ensemble, for somebody who is not the super user."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from zkprov.cli.conduct import journal_path
from zkprov.cli.planned import ask
from zkprov.cli.target import inventory_of, target_options

if TYPE_CHECKING:
    from zkprov.run.granting import Granting


@click.command()
@target_options()
@click.option("--to", metavar="SCHEME:ID", help="Who. [default: who zkprov is by the inventory, if not the super user]")
@click.option("--replace", is_flag=True, help="Take the right from everybody else who has it by an ACL.")
@click.option("--dry-run", is_flag=True, help="Look and tell only.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--as", "made_by", metavar="WHO", help="Who does it, for the record. [default: user@host]")
@click.pass_context
def grant(
    ctx: click.Context,
    inventory: str | None,
    ensemble: str | None,
    timeout_s: float,
    to: str | None,
    replace: bool,
    dry_run: bool,
    yes: bool,
    made_by: str | None,
) -> None:
    """Let an ordinary identity change the ensemble: an ACL on /zookeeper/config and on zkprov's ledger, set once by the super user.

    Afterwards no command needs the super user. Anybody may still read the list of members. It stands in `zkprov history`.
    """
    from zkprov.model.problems import NotHealthy
    from zkprov.model.rights import parse_identity
    from zkprov.run.granting import Granter
    from zkprov.run.journal import Journal
    from zkprov.run.planning import who_am_i
    from zkprov.run.world import World

    who = parse_identity(to) if to else None
    with World(inventory_of(ctx, inventory, ensemble), timeout_s=timeout_s) as world, Granter(world) as granter:
        made = granter.look(who, replace=replace)
        if not made.changes:
            click.echo(f"{made.ensemble}: {made.who} has the right already; nothing to do")
        else:
            _show(made)
            if dry_run:
                ctx.exit(0)
            ask(yes)
            with closing(Journal(journal_path(ctx))) as journal:
                granter.carry_out(made, journal, who_am_i(made_by))
            click.echo(f"{made.ensemble}: {made.who} may change the ensemble")
        if not made.ours:
            return
        why = granter.proved(made)
        if why:
            raise NotHealthy(
                f"as {made.who} alone: {why}", place=made.ensemble, remedy="zkprov grant, then zkprov status"
            )
        click.echo("proved  asked as that identity and nobody else; the super user is needed no more")


def _show(made: Granting) -> None:
    click.echo(f"Grant on {made.ensemble}: {made.who} may change the ensemble")
    config = [c for c in made.changes if c.path == "/zookeeper/config"]
    for change in config:
        click.echo(f"  {change.path}")
        click.echo(f"    is       {', '.join(map(str, change.before))}")
        click.echo(f"    will be  {', '.join(map(str, change.after))}")
        for right in change.lost:
            click.echo(f"    loses    {right}")
    rest = len(made.changes) - len(config)
    if rest:
        click.echo(f"  /zkprov: {made.who} may write {rest} znodes of the ledger; nobody loses a right there")
