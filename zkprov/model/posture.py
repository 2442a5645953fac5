"""Which of a server's connections are TLS."""

from __future__ import annotations

from enum import StrEnum


class Posture(StrEnum):
    """What `zkprov_posture` says of a server. Every member of an ensemble has the same."""

    PLAIN = "plain"
    QUORUM = "quorum-tls"  # between servers only
    TLS = "tls"  # clients too; the plain client port on loopback alone
    TLS_ONLY = "tls-only"  # no plain client port, and no client part in the server lines

    @property
    def quorum(self) -> bool:
        """Whether the connections between servers are TLS."""
        return self is not Posture.PLAIN

    @property
    def clients(self) -> bool:
        """Whether clients' connections are TLS."""
        return self in (Posture.TLS, Posture.TLS_ONLY)
