"""Which ensemble a command is about: an inventory, servers named by `--connect`, or the lab that is up."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import click

from zkprov.cli.reporting import account

if TYPE_CHECKING:
    from zkprov.model.inventory import Inventory
    from zkprov.model.posture import ClientFiles
    from zkprov.model.server import HostPort
    from zkprov.run.world import World

F = TypeVar("F", bound=Callable[..., Any])


def target_options(connect: bool = False) -> Callable[[F], F]:
    """`-i`, `-E` and `--timeout`; with `connect` also `--connect`, for commands that only look."""

    def add(command: F) -> F:
        options = [
            click.option("-i", "--inventory", metavar="FILE", help="Ansible inventory. [env: ZKPROV_INVENTORY; else the lab that is up]"),
            click.option("-E", "--ensemble", metavar="GROUP", help="The group in it. [env: ZKPROV_ENSEMBLE]"),
            click.option(
                "--timeout", "timeout_s", type=click.FloatRange(0.05, 300), default=3.0, show_default=True,
                help="Seconds for one look at all servers.",
            ),
        ]  # fmt: skip
        for option in reversed(options):
            command = option(command)
        return connect_options(command) if connect else command

    return add


class Connect(NamedTuple):
    """What `--connect` says: servers, what TLS to them takes, and who we are by SASL (empty: nobody) with the file of the password."""

    endpoints: str
    files: ClientFiles | None
    sasl_user: str = ""
    password_file: str = ""

    def world(self, timeout_s: float) -> World:
        """These servers, and those that they name. Raises `BadInput`."""
        from zkprov.observe.sasl import sasl_at
        from zkprov.run.world import World

        endpoints = endpoints_of(self.endpoints)
        sasl = sasl_at(endpoints, self.sasl_user, self.password_file) if self.sasl_user else None
        return World.connected(endpoints, timeout_s=timeout_s, files=self.files, sasl=sasl)


def connect_options(command: F) -> F:
    """`--connect` with its files and user; the command gets them as `connect`, a `Connect` or None."""

    @wraps(command)
    def with_connect(
        *args: Any,
        connect: str | None,
        ca_file: str | None,
        cert_file: str | None,
        key_file: str | None,
        sasl_user: str | None,
        sasl_password_file: str | None,
        **more: Any,
    ) -> Any:
        if (cert_file is None) != (key_file is None) or (cert_file and not ca_file):
            raise click.UsageError("--cert-file and --key-file go together, and need --ca-file")
        if ca_file and not connect:
            raise click.UsageError("--ca-file belongs to --connect; an inventory has zkprov_ca_file")
        if (sasl_user or sasl_password_file) and not connect:
            raise click.UsageError("--sasl-user belongs to --connect; an inventory has zkprov_client_sasl")
        # of the environment it is for --connect alone
        user = sasl_user or os.environ.get("ZKPROV_SASL_USER") or ""
        if sasl_password_file and not user:
            raise click.UsageError("--sasl-password-file needs --sasl-user")
        from zkprov.model.posture import ClientFiles

        files = ClientFiles(ca_file, cert_file or "", key_file or "") if ca_file else None
        given = Connect(connect, files, user, sasl_password_file or "") if connect else None
        return command(*args, connect=given, **more)

    a_file = click.Path(dir_okay=False)
    found: Callable[..., Any] = with_connect
    for option in (
        click.option(
            "--sasl-password-file",
            type=a_file,
            help="The password of --sasl-user, readable by its owner alone. [env: ZKPROV_SASL_PASSWORD, the password itself]",
        ),
        click.option(
            "--sasl-user",
            metavar="NAME",
            help="Who we are to the servers of --connect, by SASL. [env: ZKPROV_SASL_USER]",
        ),
        click.option("--key-file", type=a_file, help="The key of --cert-file, readable by its owner alone."),
        click.option("--cert-file", type=a_file, help="PEM file: who we are, where they ask for a certificate."),
        click.option("--ca-file", type=a_file, help="PEM file: whom to trust; the servers of --connect speak TLS."),
        click.option(
            "--connect", metavar="HOST:PORT,…", help="Look at these servers and those that they name; no inventory."
        ),
    ):
        found = option(found)
    return cast(F, found)


def source_options(what: str) -> Callable[[F], F]:
    """`--templates` and `--playbooks`: what hosts are made from. `what` says of them in the help which those are."""

    def add(command: F) -> F:
        from pathlib import Path

        folder = click.Path(exists=True, file_okay=False, path_type=Path)
        command = click.option("--playbooks", type=folder, help=f"Playbooks and hooks: {what}.")(command)
        return click.option("--templates", type=folder, help=f"Templates: {what}.")(command)

    return add


def inventory_of(ctx: click.Context, inventory: str | None, ensemble: str | None) -> Inventory:
    """The inventory that the command, its environment or the lab that is up names. Raises `BadInput`."""
    from zkprov.observe.inventory import read_inventory

    given = ctx.find_root().obj or {}
    group = ensemble or given.get("ensemble") or os.environ.get("ZKPROV_ENSEMBLE")
    read = read_inventory(inventory_path(ctx, inventory), group)
    if (known := account()) is not None:
        known.ensemble = read.ensemble
    return read


def inventory_path(ctx: click.Context, inventory: str | None) -> str:
    """Where that inventory is. Raises `BadInput`."""
    given = ctx.find_root().obj or {}
    path = inventory or given.get("inventory") or os.environ.get("ZKPROV_INVENTORY")
    if path:
        return str(path)
    from zkprov.lab import default_lab
    from zkprov.model.problems import BadInput

    lab = default_lab()
    if lab is None:
        raise BadInput(
            "no ensemble is named", remedy="name one with -i INVENTORY (or ZKPROV_INVENTORY), or try: zkprov lab up"
        )
    return str(lab.inventory_path)


def world_to_look_at(
    ctx: click.Context, inventory: str | None, ensemble: str | None, connect: Connect | None, timeout_s: float
) -> World:
    """What `--connect` names, else the inventory's. Raises `BadInput`."""
    from zkprov.run.world import World

    return connect.world(timeout_s) if connect else World(inventory_of(ctx, inventory, ensemble), timeout_s=timeout_s)


def endpoints_of(text: str) -> tuple[HostPort, ...]:
    """`host:port,host:port`; the port is 2181 where none is given; IPv6 in brackets. Raises `BadInput`."""
    from zkprov.model.problems import BadInput
    from zkprov.model.server import HostPort

    found = []
    for part in text.split(","):
        entry = part.strip()
        host, colon, port = entry.rpartition(":")
        if not colon or entry.endswith("]"):
            host, port = entry, "2181"
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            host = ""
        try:
            found.append(HostPort(host, int(port)))
        except ValueError:
            raise BadInput(
                f"not host:port: {entry!r}",
                place="--connect",
                remedy="write e.g. zk1:2181,zk2:2181, an IPv6 address in brackets",
            ) from None
    return tuple(dict.fromkeys(found))
