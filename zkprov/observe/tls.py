"""TLS to servers: whom we trust there, who we are, and which endpoints speak it."""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec

from zkprov.model.inventory import Inventory
from zkprov.model.posture import ClientFiles
from zkprov.model.problems import BadInput
from zkprov.model.server import HostPort


class Tls(msgspec.Struct, frozen=True):
    """`context` for connections to the endpoints `at`; everything else is asked in the clear."""

    context: ssl.SSLContext
    at: frozenset[HostPort]

    def context_at(self, endpoint: HostPort) -> ssl.SSLContext | None:
        return self.context if endpoint in self.at else None


def tls_of(inventory: Inventory) -> Tls | None:
    """What the inventory's hosts need; None where all of them serve clients in the clear.

    Raises `BadInput` for files that are missing, do not belong together, or that others can read.
    """
    at = frozenset(host.client for host in inventory.hosts if host.posture.clients)
    if not at or inventory.client_files is None:
        return None
    return Tls(context_of(inventory.client_files), at)


def context_of(files: ClientFiles, named: str = "zkprov_{}_file") -> ssl.SSLContext:
    """TLS 1.2 or later with the names in certificates checked; no other authority than the one given is trusted.

    `named`: what the three (`ca`, `cert`, `key`) are called where they were given. Raises `BadInput`.
    """
    ca, cert, key = (named.format(word) for word in ("ca", "cert", "key"))
    # not `create_default_context`: it would trust the system's authorities as well where ours cannot be read
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(files.ca)
    except (OSError, ssl.SSLError) as error:
        why = _said(error, "it holds no certificate")
        raise BadInput(f"{ca}: {why}", place=files.ca, remedy="name a PEM file of CA certificates") from None
    if not files.cert:
        return context
    _private(files.key, key)
    try:
        # without a pass phrase of its own OpenSSL would ask on the terminal
        context.load_cert_chain(files.cert, files.key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        missing = next((f for f in (files.cert, files.key) if not Path(f).is_file()), files.cert)
        why = _said(error, "it and the key do not belong together, or the key has a pass phrase")
        remedy = "name a certificate and its key, both PEM, the key without a pass phrase"
        raise BadInput(f"{cert}, {key}: {why}", place=missing, remedy=remedy) from None
    return context


def _private(path: str, named: str) -> None:
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise BadInput(f"{named}: {_said(error, '')}", place=path, remedy="name the certificate's key") from None
    if mode & 0o077:
        raise BadInput(f"others can read the key (mode {mode & 0o777:04o})", place=path, remedy=f"chmod 600 {path}")


def _said(error: OSError, otherwise: str) -> str:
    """An `ssl.SSLError` is an OSError too, whose own words are OpenSSL's."""
    return otherwise if isinstance(error, ssl.SSLError) else f"cannot be read: {(error.strerror or '').lower()}"


def untrusted(error: ssl.SSLError) -> str:
    """What a failed handshake means, in words. Empty where it says nothing of trust."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message.lower().rstrip('.')}"
    alert = (error.reason or "").upper()
    if "ALERT" in alert:
        return f"it refused our certificate ({alert.lower().replace('_', ' ')})"
    return ""
