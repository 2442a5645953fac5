"""A lab with SASL: users and random passwords of its own, in files that its owner alone can read."""

from __future__ import annotations

import secrets
from enum import StrEnum
from pathlib import Path
from typing import Any

from zkprov.lab.record import write_private
from zkprov.model.inventory import InventoryHost
from zkprov.model.jaas import NAME, jaas

QUORUM_FILE, CLIENT_FILE = "quorum-password", "client-password"


class Secured(StrEnum):
    """Who says by SASL who they are."""

    NOTHING = "none"
    QUORUM = "quorum"
    CLIENTS = "clients"
    BOTH = "both"

    @property
    def quorum(self) -> bool:
        """The servers to each other."""
        return self in (Secured.QUORUM, Secured.BOTH)

    @property
    def clients(self) -> bool:
        return self in (Secured.CLIENTS, Secured.BOTH)

    @classmethod
    def of(cls, host: InventoryHost) -> Secured:
        """As one of the lab's servers is."""
        return next(s for s in cls if (s.quorum, s.clients) == (host.quorum_sasl, host.client_sasl))


def make(folder: Path, secured: Secured) -> None:
    """Writes the passwords that are needed into the lab's folder."""
    for name, wanted in ((QUORUM_FILE, secured.quorum), (CLIENT_FILE, secured.clients)):
        if wanted:
            write_private(folder / name, f"{secrets.token_urlsafe(24)}\n")


def file_of(host: InventoryHost) -> dict[str, str]:
    """The file with SASL's users and passwords for one of the lab's servers; none where it needs none."""
    quorum = (host.quorum_sasl_user, _password(host, QUORUM_FILE)) if host.quorum_sasl else None
    client = client_of(host)
    return {NAME: jaas(quorum, dict([client] if client else []))} if host.has_sasl else {}


def client_of(host: InventoryHost) -> tuple[str, str] | None:
    """User and password of a client; None where clients use no SASL."""
    return (host.sasl_user, _password(host, CLIENT_FILE)) if host.client_sasl else None


def variables(host: InventoryHost) -> dict[str, Any]:
    """For the lab's inventory."""
    found: dict[str, Any] = {}
    if host.quorum_sasl:
        found |= {"zkprov_quorum_sasl": True, "zkprov_quorum_sasl_password_file": str(_folder(host) / QUORUM_FILE)}
    if host.client_sasl:
        found |= {"zkprov_client_sasl": True, "zkprov_sasl_password_file": str(_folder(host) / CLIENT_FILE)}
    return found


def _folder(host: InventoryHost) -> Path:
    return Path(host.config_dir).parent.parent


def _password(host: InventoryHost, name: str) -> str:
    return (_folder(host) / name).read_text().strip()
