"""`zkprov lab break`: what is known to go wrong, made on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from zkprov.lab.incident import Incident
    from zkprov.lab.lab import Lab

_name = click.option(
    "--name", default="lab", show_default=True, help="Which lab; one that fits is made if it is not there."
)
_which = click.option("--name", default="lab", show_default=True, help="Which lab.")


class _Shapes(click.Group):
    """Its commands are the shapes that are known, and what is done to one server."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from zkprov.lab.shapes.registry import SHAPES

        return [*SHAPES, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self.commands.get(cmd_name) or _command(cmd_name)


@click.group("break", cls=_Shapes, invoke_without_command=True)
@click.option("--list", "listed", is_flag=True, help="Say what each shape is, in two lines.")
@click.option(
    "--stop-writers", is_flag=True, help="End the writers of the lab; what they were told is stored stays recorded."
)
@_which
@click.pass_context
def break_(ctx: click.Context, listed: bool, stop_writers: bool, name: str) -> None:
    """Break a lab on purpose, to see what the other commands say."""
    if ctx.invoked_subcommand:
        return
    if listed:
        _list()
    elif stop_writers:
        from zkprov.lab.writers import stop_writers as stop

        found = _open(name)
        click.echo(f"lab {name}: {stop(found.folder)} writers are ended; their records stay in {found.folder}/writers")
    else:
        raise click.UsageError("say which shape: zkprov lab break --list shows them", ctx)


def _list() -> None:
    from zkprov.lab.shapes.registry import SHAPES

    for shape in SHAPES.values():
        first, second = shape.about
        click.echo(f"{shape.name:18} {first}\n{'':18} {second}")
    click.echo("\nnext   zkprov lab break SHAPE")


def _command(name: str) -> click.Command:
    """Raises `BadInput` when there is no shape of that name."""
    from zkprov.lab.shapes.registry import shape_of

    shape = shape_of(name)

    @click.command(name, help="\n\n".join(shape.about), short_help=shape.about[0])
    @_name
    @click.option(
        "--release", help=f"ZooKeeper's release.  [default: {shape.needs.release or 'that of the lab, or 3.9.5'}]"
    )
    @click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
    def make(name: str, release: str | None, output: str) -> None:
        from zkprov.lab.breaking import break_lab

        incident = break_lab(name, shape, release=release)
        if output == "json":
            import msgspec

            click.echo(msgspec.json.format(msgspec.json.encode(incident)).decode())
        else:
            _tell(_open(name), incident)

    return make


def _tell(lab: Lab, incident: Incident) -> None:
    """What was done, who leads on which side, where the writers' records are, and what to type next."""
    from zkprov.lab.lab import Lab

    click.echo(f"lab {lab.name}: {incident.shape}, made in {incident.took_s:.1f} s")
    for what in incident.did:
        click.echo(f"  {what}")
    for side in incident.sides:
        led = f"led by {side.leader}" if side.leader else "no leader"
        click.echo(f"side {side.name:11} {', '.join(map(str, side.servers)):20} {led:11} {side.what}")
    for writer in incident.writers:
        click.echo(f"writer {writer.name:9} {writer.record}")
    named = "" if lab.name == "lab" else f" --name {lab.name}"
    alone = [up.name for up in Lab.list() if up.processes()] == [lab.name]
    click.echo(f"next   zkprov status{'' if alone else f' -i {lab.inventory_path}'}")
    click.echo(f"       zkprov lab break --stop-writers{named}")
    click.echo(f"       zkprov lab down{named}")


@break_.command()
@_which
@click.argument("server_id", type=int, metavar="ID")
def freeze(name: str, server_id: int) -> None:
    """Stop a server's process without ending it."""
    from zkprov.lab import outage as breaking

    breaking.freeze(_open(name), server_id)
    click.echo(f"server {server_id} is frozen\nnext   zkprov lab break thaw {server_id}")


@break_.command()
@_which
@click.argument("server_id", type=int, metavar="ID")
def thaw(name: str, server_id: int) -> None:
    """Let a frozen server go on."""
    from zkprov.lab import outage as breaking

    breaking.thaw(_open(name), server_id)
    click.echo(f"server {server_id} goes on")


@break_.command()
@_which
@click.argument("server_id", type=int, metavar="ID")
def kill(name: str, server_id: int) -> None:
    """End a server as a power cut would."""
    from zkprov.lab import outage as breaking

    breaking.kill(_open(name), server_id)
    click.echo(f"server {server_id} is killed\nnext   zkprov lab up      starts it again")


def _open(name: str) -> Lab:
    from zkprov.lab.lab import Lab

    return Lab.open(name)
