"""kazoo over TLS by a context of ours: its own would trust the system's authorities too, and read the key again for each connection."""

from __future__ import annotations

import select
import socket
import ssl
import time
from typing import Any

from kazoo.handlers.threading import SequentialThreadingHandler


class TlsHandler(SequentialThreadingHandler):  # type: ignore[misc]  # kazoo has no types
    """Opens each connection by `context`, the name in the certificate checked against the one that was asked for."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context

    def create_connection(
        self, address: tuple[str, int], hostname: str | None = None, timeout: float | None = None, **_: Any
    ) -> ssl.SSLSocket:
        deadline = time.monotonic() + (timeout or 10.0)
        plain = socket.create_connection(address, timeout=timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(max(0.01, deadline - time.monotonic()))
            return self._context.wrap_socket(plain, server_hostname=hostname or address[0])
        except BaseException:
            plain.close()
            raise

    def select(self, *args: Any, **kwargs: Any) -> tuple[list[Any], list[Any], list[Any]]:
        """What was decrypted already would not wake a `select`."""
        ready = [s for s in args[0] if isinstance(s, ssl.SSLSocket) and s.pending()]
        if not ready:
            waited: tuple[list[Any], list[Any], list[Any]] = super().select(*args, **kwargs)
            return waited
        _, writable, _ = select.select([], args[1], [], 0)
        return ready, writable, []
