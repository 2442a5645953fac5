"""`render`: a host's files as they would be written, and how they differ from what is there."""

from __future__ import annotations

from pathlib import Path

import click

from zkprov.cli import completion
from zkprov.cli.target import inventory_of, target_options


@click.command()
@click.argument("host", shell_complete=completion.hosts)
@target_options()
@click.option(
    "--templates",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Your templates, laid over the shipped ones.",
)
@click.option("--diff", is_flag=True, help="Against what is there now; exit 0 also where they differ.")
@click.pass_context
def render(
    ctx: click.Context,
    host: str,
    inventory: str | None,
    ensemble: str | None,
    timeout_s: float,
    templates: Path | None,
    diff: bool,
) -> None:
    """Show HOST's files as they would be written, secrets hidden. A member keeps its live list (R10). Exit 3 when a rule forbids them."""
    from zkprov.run.rendering import rendered
    from zkprov.run.world import World

    with World(inventory_of(ctx, inventory, ensemble), timeout_s=timeout_s, templates=templates) as world:
        made = rendered(world, host, compared=diff)
    for name, text in made.files.items():
        if diff:
            click.echo(made.difference(name), nl=False)
        else:
            click.echo(f"# ---- {name}\n{text}", nl=not text.endswith("\n"))
    for violation in made.violations:
        click.echo(f"refused by {violation}", err=True)
    ctx.exit(3 if made.violations else 0)
