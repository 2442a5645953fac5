"""kazoo with SASL of our own: its own needs a further library, and tells of a wrong password at the first request only."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any

from kazoo.exceptions import AuthFailedError, ConnectionDropped
from kazoo.protocol.connection import ConnectionHandler
from kazoo.protocol.serialization import SASL

from zkprov.model.digest_md5 import NOT_KNOWN, DigestMd5, Refused

if TYPE_CHECKING:
    import logging

    from kazoo.client import KazooClient

MECHANISM = "DIGEST-MD5"


class SaslConnection(ConnectionHandler):  # type: ignore[misc]  # kazoo has no types
    """Says who we are at the beginning of each connection. `settled`: the first time that came out; `refused`: why it failed, then."""

    def __init__(self, client: KazooClient, user: str, password: str, logger: logging.Logger) -> None:
        super().__init__(client, client._conn_retry.copy(), logger=logger, sasl_options={"mechanism": MECHANISM})
        self._user, self._password = user, password
        self.settled = threading.Event()
        self.refused = ""

    def _authenticate_with_sasl(self, host: str, timeout: float) -> None:
        """Called by kazoo for each connection. Raises `AuthFailedError`, after which the client ends, and what reading raises."""
        exchange = DigestMd5(self._user, self._password, secrets.token_hex(16))
        said, xid = b"", 0
        try:
            while not exchange.done:
                xid += 1
                self._submit(SASL(said), timeout, xid)
                header, buffer, offset = self._read_header(timeout)
                if header.err in NOT_KNOWN:
                    raise AuthFailedError(
                        f"the servers refuse the SASL user {self._user}: unknown, or a wrong password"
                    )
                if header.err or header.xid != xid:
                    raise ConnectionDropped(f"error {header.err} in SASL")
                challenge, _ = SASL.deserialize(buffer, offset)
                if challenge is None:
                    break
                said = exchange.answer(bytes(challenge))
        except Refused as wrong:
            self._end(f"SASL: {wrong}")
            raise AuthFailedError(self.refused) from None
        except AuthFailedError as wrong:
            self._end(str(wrong))
            raise
        self.settled.set()

    def _end(self, why: str) -> None:
        self.refused = why
        self.settled.set()


def by_sasl(client: KazooClient, user: str, password: str, logger: logging.Logger) -> SaslConnection:
    """Lets a client that was not started yet say who it is by SASL."""
    connection: Any = SaslConnection(client, user, password, logger)
    client._connection = connection
    found: SaslConnection = connection
    return found
