"""A kazoo client that acts: reconfig, ledger, lock. It may go to any member; looking is done by other sessions, one per server."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zkprov.model.problems import Interrupted, NotHealthy
from zkprov.model.server import HostPort

if TYPE_CHECKING:
    import ssl

    from kazoo.client import KazooClient

    from zkprov.act.connecting import Tunnelled


CLOSE_S = 1.0
"""How long the end of a session may take; the server ends it without us too, at its timeout."""


def connect(
    servers: Sequence[HostPort],
    auth: tuple[str, str] | None,
    timeout_s: float = 10.0,
    patience_s: float = 8.0,
    stop: threading.Event | None = None,
    tls: ssl.SSLContext | None = None,
    sasl: tuple[str, str] | None = None,
    tunnels: Tunnelled | None = None,
) -> KazooClient:
    """A started client; all of `servers` speak TLS where `tls` is given, and those in `tunnels` are reached through them.

    `auth`: (scheme, credential); `sasl`: (user, password).

    Raises `NotHealthy` when no member opens a session within `patience_s` or one refuses `sasl`, `Interrupted` once `stop` is set.
    """
    from kazoo.client import KazooClient

    from zkprov.act.connecting import Handler

    handler = Handler(servers, tls=tls, tunnels=tunnels)
    quiet = logging.getLogger("zkprov.kazoo")
    quiet.setLevel(logging.CRITICAL)
    quiet.propagate = False
    client = KazooClient(
        hosts=handler.hosts,
        timeout=timeout_s,
        auth_data=[auth] if auth else None,
        connection_retry={"max_tries": -1, "delay": 0.05, "backoff": 1.5, "max_delay": 1.0},
        command_retry={"max_tries": 3, "delay": 0.05},
        logger=quiet,
        handler=handler,
    )
    ours = None
    if sasl is not None:
        from zkprov.act.sasl import by_sasl

        ours = by_sasl(client, *sasl, logger=quiet)
    began = time.monotonic()
    opened = client.start_async()

    def came_out() -> bool:
        # kazoo calls a session open before it has said who it is, and no longer once that was refused
        if ours is not None and (not ours.settled.wait(0.05) or ours.refused):
            return bool(ours.refused)
        return bool(opened.wait(0.05))

    while not came_out():
        if stop is not None and stop.is_set():
            close(client)
            raise Interrupted("stopped by a signal before anything was begun")
        if time.monotonic() - began > patience_s:
            close(client)
            where = ", ".join(str(s) for s in servers[:9])
            raise NotHealthy("no session could be opened", place=where, remedy="zkprov status")
    if ours is not None and ours.refused:
        close(client)
        remedy = "see that zkprov_sasl_user and its password are those that the servers know (jaas.conf)"
        raise NotHealthy(ours.refused, place=", ".join(str(s) for s in servers[:9]), remedy=remedy)
    return client


def redirect(client: KazooClient, servers: Sequence[HostPort]) -> None:
    """From the next connection on the client goes to one of `servers`; the one that it has stays."""
    client.set_hosts(client.handler.named(servers))


def leave(client: KazooClient, servers: Sequence[HostPort], patience_s: float = 3.0) -> None:
    """Now, and to one of `servers`, where the client's connection is to another one: the session is the same. Where it takes longer than
    `patience_s`, it goes on by itself.
    """
    redirect(client, servers)
    if client.handler.is_at(servers):
        return
    client.handler.drop()
    deadline = time.monotonic() + patience_s
    while not (client.handler.is_at(servers) and client.connected) and time.monotonic() < deadline:
        time.sleep(0.005)


def close(client: KazooClient, patience_s: float = CLOSE_S) -> None:
    """Ends a client, whatever state it is in, within `patience_s`; never raises. What takes longer ends with the process."""

    def end() -> None:
        with contextlib.suppress(Exception):
            client.stop()
        with contextlib.suppress(Exception):
            client.close()

    ending = threading.Thread(target=end, daemon=True, name="zkprov-close")
    ending.start()
    ending.join(patience_s)
