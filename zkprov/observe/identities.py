"""Who zkprov is to the servers when it is not the super user: by its certificate, by SASL, by a digest of its own."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from zkprov.model.inventory import Inventory
from zkprov.model.problems import BadInput
from zkprov.model.rights import Identity
from zkprov.observe.credentials import USER
from zkprov.observe.inventory import read_auth


def identities_of(inventory: Inventory) -> tuple[Identity, ...]:
    """In the order of preference; what makes zkprov the super user is left out. Raises `BadInput` for files that cannot be read."""
    host = next(iter(inventory.hosts), None)
    if host is None:
        return ()
    found = []
    files = inventory.client_files
    if files is not None and files.cert and not host.super_dn:
        found.append(Identity("x509", _subject(files.cert)))
    if host.client_sasl and not host.sasl_super:
        found.append(Identity("sasl", host.sasl_user))
    own = digest_of(inventory)
    if own is not None:
        found.append(Identity("digest", hashed(own)))
    return tuple(found)


def digest_of(inventory: Inventory) -> str | None:
    """`user:password` of the auth file, where that is not the super user's."""
    if not inventory.auth_file:
        return None
    scheme, credential = read_auth(inventory.auth_file)
    return credential if scheme == "digest" and credential.partition(":")[0] != USER else None


def hashed(credential: str) -> str:
    """`user:password` as ZooKeeper's ACLs have it: `user:base64(sha1(user:password))`."""
    user = credential.partition(":")[0]
    return f"{user}:{base64.b64encode(hashlib.sha1(credential.encode(), usedforsecurity=False).digest()).decode()}"


def _subject(path: str) -> str:
    """As Java prints it (RFC 2253), for subjects without unusual characters."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(Path(path).read_bytes()).subject.rfc4514_string()
    except (OSError, ValueError):
        raise BadInput("zkprov_cert_file: no certificate in it", place=path, remedy="name a PEM file") from None
