"""How the servers of an ensemble, and its clients, speak to each other: in the clear or by TLS."""

from __future__ import annotations

from enum import StrEnum

import msgspec

NETTY = "org.apache.zookeeper.server.NettyServerCnxnFactory"
X509 = "org.apache.zookeeper.server.auth.X509AuthenticationProvider"
SUPER_DN = "X509AuthenticationProvider.superUser"


class Posture(StrEnum):
    """What is TLS. The same on every member and on a joiner: a server of another posture hears nobody."""

    PLAIN = "plain"
    QUORUM = "quorum-tls"  # the servers among themselves
    TLS = "tls"  # clients as well; those in the clear from the host itself alone
    TLS_ONLY = "tls-only"  # clients by TLS and not otherwise: the server's line has no client part

    @property
    def quorum(self) -> bool:
        """Whether servers speak TLS to each other."""
        return self is not Posture.PLAIN

    @property
    def clients(self) -> bool:
        """Whether clients from elsewhere, zkprov among them, speak TLS."""
        return self in (Posture.TLS, Posture.TLS_ONLY)


class ClientFiles(msgspec.Struct, frozen=True):
    """PEM files on *this* machine: whom zkprov trusts, and who it is. Their contents are in no value."""

    ca: str
    cert: str = ""
    key: str = ""
