"""Certificates and the stores that hold them, as they were found on a host. A private key is in none of these values, in no form."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from zkprov.model.flags import flags_of
from zkprov.model.inventory import InventoryHost
from zkprov.model.posture import SUPER_DN
from zkprov.model.sasl import FIPS

LOCATIONS = {
    "quorum_keys": "ssl.quorum.keyStore.location",
    "quorum_trust": "ssl.quorum.trustStore.location",
    "client_keys": "ssl.keyStore.location",
    "client_trust": "ssl.trustStore.location",
}
"""The field of `Stores`, and the setting that names its file."""


class Certificate(msgspec.Struct, frozen=True):
    """One certificate. `subject` and `issuer` in the order of RFC 2253; times in seconds since 1970; `sha256` in hex.

    `pem` is the whole of it. `names` and `addresses`: what its subject alternative names (SANs) say, DNS and IP.
    """

    subject: str
    issuer: str
    not_before: int
    not_after: int
    sha256: str
    pem: str
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    @property
    def sans(self) -> tuple[str, ...]:
        return (*self.names, *self.addresses)

    def covers(self, host: str) -> bool:
        """Whether a SAN is `host`, a name or an address as it stands in a server line. `*` stands for one whole first label."""
        address = _address(host)
        if address is not None:
            return any(_address(a) == address for a in self.addresses)
        name = host.lower().removesuffix(".")
        first, dot, rest = name.partition(".")
        wild = f"*.{rest}" if first and dot and rest else name
        return any(n.lower().removesuffix(".") in (name, wild) for n in self.names)


def is_address(host: str) -> bool:
    """Whether a host is an IP address, and no name."""
    return _address(host) is not None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


GUARDS = {
    "enforce.auth.enabled": "false",
    "enforce.auth.schemes": "",
    SUPER_DN: "",
    "portUnification": "false",
    "client.portUnification": "false",
    "ssl.clientAuth": "need",
    "ssl.quorum.clientAuth": "need",
}
"""Settings that say who gets in and as whom, beside certificates; each with ZooKeeper's default. (Providers are not among them: their names
are free.)"""


class KeyForm(StrEnum):
    """How a private key is written, by the label of its PEM block. ZooKeeper takes PKCS#8 alone, encrypted if it knows the password."""

    PKCS8 = "pkcs8"
    ENCRYPTED = "encrypted pkcs8"
    PKCS1 = "pkcs1"  # -----BEGIN RSA PRIVATE KEY-----
    SEC1 = "sec1"  # -----BEGIN EC PRIVATE KEY-----
    OTHER = "other"
    NONE = "none"
    NOT_PEM = "not PEM"  # a Java key store, or PKCS#12: not looked into
    UNREAD = "unread"


class KeyStore(msgspec.Struct, frozen=True):
    """A file with a private key and its certificate chain, the server's own first.

    `matches`: whether key and first certificate belong together; None where that cannot be told, and `unmatched` may say why.
    `damage`: what in it is no PEM. `problem`: why it could not be read; then nothing else is known. `missing`: there is no such file.
    """

    path: str
    form: KeyForm = KeyForm.UNREAD
    matches: bool | None = None
    chain: tuple[Certificate, ...] = ()
    damage: str = ""
    problem: str = ""
    missing: bool = False
    unmatched: str = ""

    @property
    def pem_file(self) -> bool:
        """False for a Java key store or PKCS#12, which is not looked into."""
        return self.form is not KeyForm.NOT_PEM

    @property
    def leaf(self) -> Certificate | None:
        return self.chain[0] if self.chain else None

    @property
    def pem(self) -> str:
        return "".join(c.pem for c in self.chain)


class TrustStore(msgspec.Struct, frozen=True):
    """A file with the certificates of CAs. `pem_file`: False for a Java key store or PKCS#12, which is not looked into."""

    path: str
    certificates: tuple[Certificate, ...] = ()
    pem_file: bool = True
    damage: str = ""
    problem: str = ""
    missing: bool = False


class Stores(msgspec.Struct, frozen=True):
    """The stores that a server's settings name; None where they name none."""

    quorum_keys: KeyStore | None = None
    quorum_trust: TrustStore | None = None
    client_keys: KeyStore | None = None
    client_trust: TrustStore | None = None


def quorum_tls(settings: Mapping[str, str]) -> bool:
    """Whether a zoo.cfg makes the connections between servers TLS."""
    return settings.get("sslQuorum", "").strip().lower() == "true"


def client_tls(settings: Mapping[str, str]) -> bool:
    """Whether a zoo.cfg opens a port for clients with TLS."""
    return bool(settings.get("secureClientPort", "").strip())


def tls_settings(host: InventoryHost) -> dict[str, str]:
    """What a host is to have of TLS: by its flags, before them by its posture, first by its own settings. Empty where all is plain."""
    said = flags_of(host.jvm_flags).settings | host.posture_settings | host.settings
    named = ("sslQuorum", "secureClientPort", FIPS, *GUARDS)
    return {k: v for k, v in said.items() if v and (k.startswith("ssl.") or k in named)}
