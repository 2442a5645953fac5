"""How a kazoo client that acts reaches a server: over TLS by a context of ours, and through an SSH tunnel where there is one.

kazoo's own TLS would trust the system's authorities too, and read the key again for each connection.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any, Protocol

from kazoo.handlers.threading import SequentialThreadingHandler

from zkprov.model.problems import Unreached
from zkprov.model.server import HostPort


def _same(opened: str, told: str) -> bool:
    """kazoo asks for connections by address; what it was told may be a name."""
    if opened == told:
        return True
    host, _, port = told.rpartition(":")
    with contextlib.suppress(OSError, ValueError):
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        return any("{!s}:{}".format(*at[4][:2]) == opened for at in found)
    return False


class Tunnelled(Protocol):
    """Endpoints that are reached through a tunnel (`observe.tunnels.Tunnels`)."""

    def __contains__(self, at: HostPort) -> bool: ...

    def opened(self, at: HostPort, timeout_s: float) -> socket.socket: ...


class Handler(SequentialThreadingHandler):  # type: ignore[misc]  # kazoo has no types
    """Opens each connection by `tls`, if that is given, the name in the certificate checked against the one that was asked for.

    A host whose name means something at its own place only has no address here, and kazoo would pass it over: so each tunnelled endpoint
    goes by a number, as `hosts` says it.
    """

    def __init__(
        self, servers: Sequence[HostPort], *, tls: ssl.SSLContext | None = None, tunnels: Tunnelled | None = None
    ) -> None:
        super().__init__()
        self._tls, self._tunnels = tls, tunnels
        self._numbered: dict[tuple[str, int], HostPort] = {}
        self._opened: tuple[str, socket.socket] | None = None
        self.hosts = self.named(servers)
        """What the client is told: it asks for connections by these."""

    def named(self, servers: Sequence[HostPort]) -> str:
        """`servers` as the client is told of them. A number that was given once stays what it is: the client may still ask by it."""
        for at in servers:
            if self._tunnels is not None and at in self._tunnels and at not in self._numbered.values():
                self._numbered[("0.0.0.0", len(self._numbered) + 1)] = at  # noqa: S104
        shown = {at: f"{host}:{n}" for (host, n), at in self._numbered.items()}
        return ",".join(shown.get(at, str(at)) for at in servers)

    def create_connection(
        self, address: tuple[str, int], hostname: str | None = None, timeout: float | None = None, **_: Any
    ) -> socket.socket:
        limit_s = timeout or 10.0
        deadline = time.monotonic() + limit_s
        numbered = self._numbered.get((address[0], address[1]))
        if numbered is not None and self._tunnels is not None:
            plain = self._through(self._tunnels, numbered, limit_s)
            hostname = numbered.host
        else:
            plain = socket.create_connection(address, timeout=limit_s)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made = plain
        if self._tls is not None:
            try:
                plain.settimeout(max(0.01, deadline - time.monotonic()))
                made = self._tls.wrap_socket(plain, server_hostname=hostname or address[0])
            except BaseException:
                plain.close()
                raise
        self._opened = f"{address[0]}:{address[1]}", made
        return made

    def is_at(self, servers: Sequence[HostPort]) -> bool:
        """Whether the connection that was opened last is to one of them."""
        if self._opened is None:
            return False
        return any(_same(self._opened[0], told) for told in self.named(servers).split(","))

    def drop(self) -> None:
        """Ends that connection; the client opens another one."""
        if self._opened is not None:
            with contextlib.suppress(OSError):
                self._opened[1].shutdown(socket.SHUT_RDWR)

    def _through(self, tunnels: Tunnelled, at: HostPort, limit_s: float) -> socket.socket:
        try:
            return tunnels.opened(at, limit_s)
        except Unreached as problem:
            raise ConnectionError(str(problem)) from None  # what kazoo tries again at the next server

    def select(self, *args: Any, **kwargs: Any) -> tuple[list[Any], list[Any], list[Any]]:
        """What was decrypted already would not wake a `select`."""
        ready = [s for s in args[0] if isinstance(s, ssl.SSLSocket) and s.pending()]
        if not ready:
            waited: tuple[list[Any], list[Any], list[Any]] = super().select(*args, **kwargs)
            return waited
        _, writable, _ = select.select([], args[1], [], 0)
        return ready, writable, []
