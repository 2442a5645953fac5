"""Key and trust stores: what the looks at them mean. What is wrong with one is a value, never an exception."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from zkprov.model.certificates import LOCATIONS, Certificate, KeyForm, KeyStore, Stores, TrustStore, tls_settings
from zkprov.model.inventory import InventoryHost
from zkprov.observe.files import Files, LocalFiles, StoreFile

if TYPE_CHECKING:
    from cryptography import x509

_END = "-----END CERTIFICATE-----\n"


def stores_of(settings: Mapping[str, str], folder: Path, files: Files) -> Stores:
    """The stores that a server's settings name; a relative path is taken as beside zoo.cfg."""
    named = {field: folder / settings[key] for field, key in LOCATIONS.items() if settings.get(key)}
    return Stores(
        **{
            field: _key_store(path, files.store(path, keys=True))
            if field.endswith("_keys")
            else _trust_store(path, files.store(path, keys=False))
            for field, path in named.items()
        }  # type: ignore[arg-type]
    )


def wished_stores(host: InventoryHost, files: Files | None = None) -> Stores:
    """The stores that the inventory names for a server to come. `files`: as a look fetched them; without, this machine's."""
    return stores_of(tls_settings(host), Path(host.config_dir), files or LocalFiles())


def unread_stores(host: InventoryHost, why: str) -> Stores:
    """The stores that the inventory names, of a host that could not be asked."""
    wished = tls_settings(host)
    named = {field: wished[key] for field, key in LOCATIONS.items() if key in wished}
    return Stores(
        **{
            field: KeyStore(path, problem=why) if field.endswith("_keys") else TrustStore(path, problem=why)
            for field, path in named.items()
        }  # type: ignore[arg-type]
    )


def _key_store(path: Path, found: StoreFile) -> KeyStore:
    problem, missing = _problem(found)
    if problem:
        return KeyStore(str(path), problem=problem, missing=missing)
    try:
        form = KeyForm(found.key)
    except ValueError:
        form = KeyForm.OTHER
    chain, odd = certificates_of(found.pem)
    return KeyStore(str(path), form, found.matches, chain, found.damage or odd, unmatched=found.why)


def _trust_store(path: Path, found: StoreFile) -> TrustStore:
    problem, missing = _problem(found)
    if problem:
        return TrustStore(str(path), problem=problem, missing=missing)
    certificates, odd = certificates_of(found.pem)
    return TrustStore(str(path), certificates, found.key != KeyForm.NOT_PEM, found.damage or odd)


def _problem(found: StoreFile) -> tuple[str, bool]:
    """Why it could not be read, and whether it is not there at all."""
    if found.errno is not None:
        return os.strerror(found.errno), found.errno in (errno.ENOENT, errno.ENOTDIR)
    if found.size is not None:
        return f"too large ({found.size} bytes); not read", False
    return ("not a file" if found.kind else ""), False


@lru_cache(maxsize=64)
def certificates_of(pem: str) -> tuple[tuple[Certificate, ...], str]:
    """The certificates of a PEM text, and what is wrong with one of them. Each text is taken apart once: every look brings it again."""
    from cryptography import x509

    read, odd = [], ""
    for number, one in enumerate(filter(None, pem.split(_END)), 1):
        try:
            read.append(_certificate(x509.load_pem_x509_certificate(f"{one}{_END}".encode()), f"{one}{_END}"))
        except ValueError:
            odd = odd or f"certificate {number} of it cannot be parsed"
    return tuple(read), odd


def _certificate(read: x509.Certificate, pem: str) -> Certificate:
    """Raises ValueError for what is no certificate inside."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        sans = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(sans.get_values_for_type(x509.DNSName))
        addresses = tuple(str(a) for a in sans.get_values_for_type(x509.IPAddress))
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        names = addresses = ()
    return Certificate(
        subject=read.subject.rfc4514_string(),
        issuer=read.issuer.rfc4514_string(),
        not_before=int(read.not_valid_before_utc.timestamp()),
        not_after=int(read.not_valid_after_utc.timestamp()),
        sha256=read.fingerprint(SHA256()).hex(),
        pem=pem,
        names=names,
        addresses=addresses,
    )
