"""`zkprov lab`: real ensembles on this machine, for trying things out."""

from __future__ import annotations

import click

from zkprov.cli.breaking import break_

_name = click.option("--name", default="lab", show_default=True, help="Which lab; several can stand side by side.")


@click.group()
def lab() -> None:
    """Real ensembles on this machine, for trying things out."""


@lab.command()
@_name
@click.option("--servers", type=int, help="How many founders.  [default: 3]")
@click.option("--release", help="ZooKeeper's release.  [default: 3.9.5]")
@click.option(
    "--also", multiple=True, metavar="RELEASE", help="Have this release too, for `zkprov upgrade`; repeatable."
)
@click.option("--tick", "tick_ms", type=int, help="tickTime in ms.  [default: 2000]")
@click.option(
    "--posture",
    type=click.Choice(["plain", "quorum-tls", "tls", "tls-only"]),
    help="Who speaks TLS, by certificates made for it.  [default: plain]",
)
@click.option(
    "--sasl",
    type=click.Choice(["none", "quorum", "clients", "both"]),
    help="Who says by SASL who they are: the servers to each other, clients, or both.  [default: none]",
)
def up(
    name: str,
    servers: int | None,
    release: str | None,
    also: tuple[str, ...],
    tick_ms: int | None,
    posture: str | None,
    sasl: str | None,
) -> None:
    """Make an ensemble, or start again what is not running of it."""
    from zkprov.lab.asked import make_or_open

    found = make_or_open(name, servers=servers, release=release, also=also, tick_ms=tick_ms, posture=posture, sasl=sasl)
    started = found.up()
    status = found.status()
    ids = ", ".join(s.name for s in status.servers if s.up)
    click.echo(f"lab {found.name}: ZooKeeper {status.release}, {ids} {'are up' if started else 'were up already'}")
    click.echo(f"  inventory  {status.inventory}")
    click.echo(f"  connect    {status.connect}")
    click.echo("next   zkprov status")


@lab.command()
@_name
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(name: str, output: str) -> None:
    """Say where the lab's servers, folders and ports are. How they are: zkprov status."""
    from zkprov.lab.lab import Lab

    found = Lab.open(name).status()
    if output == "json":
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    click.echo(f"lab {found.name}: ZooKeeper {found.release}")
    click.echo(f"  inventory  {found.inventory}")
    click.echo(f"  connect    {found.connect}\n")
    click.echo(f"{'id':>3}  {'server':6}  {'up':5}  {'pid':>8}  {'client':>6}  {'quorum':>6}  {'admin':>6}  log")
    for s in found.servers:
        state = "yes" if s.up else "spare" if not _has_files(s.config_dir) else "no"
        log = s.log_dir if state != "spare" else ""
        row = f"{s.pid or '':>8}  {s.client_port:>6}  {s.quorum_port:>6}  {s.admin_port or '':>6}  {log}"
        click.echo(f"{s.id:>3}  {s.name:6}  {state:5}  {row}".rstrip())
    for record in found.records:
        click.echo(f"\nwriter's record  {record}")


@lab.command()
@_name
@click.option("--all", "everything", is_flag=True, help="Every lab of yours.")
def down(name: str, everything: bool) -> None:
    """End all servers of the lab and remove it, data and all."""
    from zkprov.lab.lab import Lab

    labs = Lab.list() if everything else [found for found in Lab.list() if found.name == name]
    for found in labs:
        found.down()
        click.echo(f"lab {found.name}: all ended, all removed")
    if not labs:
        click.echo("no lab is there" if everything else f"no lab {name!r} is there")


@lab.command()
@click.option(
    "--settle", default="2s", show_default=True, help="How long each added server must do well before the next."
)
def demo(settle: str) -> None:
    """The tour: three servers, two added, a refusal, the outage made on purpose and seen. All is ended at the end."""
    from zkprov.cli.demo import tour

    tour(settle)


lab.add_command(break_)


def _has_files(config_dir: str) -> bool:
    from pathlib import Path

    return Path(config_dir).exists()
