"""A kazoo client that acts: reconfig, ledger, lock. It may go to any member; looking is done by other sessions, one per server."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zkprov.model.problems import NotHealthy
from zkprov.model.server import HostPort

if TYPE_CHECKING:
    from kazoo.client import KazooClient


def connect(
    servers: Sequence[HostPort], auth: tuple[str, str] | None, timeout_s: float = 10.0, patience_s: float = 8.0
) -> KazooClient:
    """A started client. Raises `NotHealthy` when no member opens a session within `patience_s`."""
    from kazoo.client import KazooClient
    from kazoo.exceptions import KazooException
    from kazoo.handlers.threading import KazooTimeoutError

    quiet = logging.getLogger("zkprov.kazoo")
    quiet.setLevel(logging.CRITICAL)
    quiet.propagate = False
    client = KazooClient(
        hosts=",".join(str(s) for s in servers),
        timeout=timeout_s,
        auth_data=[auth] if auth else None,
        connection_retry={"max_tries": -1, "delay": 0.05, "backoff": 1.5, "max_delay": 1.0},
        command_retry={"max_tries": 3, "delay": 0.05},
        logger=quiet,
    )
    try:
        client.start(timeout=patience_s)
    except (KazooTimeoutError, KazooException) as wrong:
        close(client)
        where = ", ".join(str(s) for s in servers[:9])
        raise NotHealthy(
            f"no session could be opened: {type(wrong).__name__}", place=where, remedy="zkprov status"
        ) from None
    return client


def close(client: KazooClient) -> None:
    """Ends a client, whatever state it is in; never raises."""
    import contextlib

    with contextlib.suppress(Exception):
        client.stop()
    with contextlib.suppress(Exception):
        client.close()
