"""What the super user is known by: from the environment, a private file or the inventory; held in memory only, shown nowhere."""

from __future__ import annotations

import base64
import hashlib
import os
from functools import lru_cache

from zkprov.model.config import SUPER_DIGEST
from zkprov.model.inventory import SUPER_PASSWORD, Inventory
from zkprov.model.problems import BadInput
from zkprov.observe.ansible_inventory import PASSWORD, password
from zkprov.observe.inventory import read_auth

SETTING = SUPER_DIGEST
USER = "super"


def credential_of(inventory: Inventory) -> tuple[str, str] | None:
    """(scheme, credential) for reconfig and the ledger: `$ZKPROV_SUPER_PASSWORD`, else the auth file, else `zkprov_super_password`.

    None where there is none of them. Raises `BadInput` naming where it was looked for, without a word of what was found.
    """
    given = os.environ.get(SUPER_PASSWORD)
    if given:
        if not given.isprintable():
            raise BadInput(
                "not a password: it holds what cannot be printed", place=f"${SUPER_PASSWORD}", remedy="correct it"
            )
        return "digest", f"{USER}:{given}"
    if inventory.auth_file:
        return read_auth(inventory.auth_file)
    if inventory.super_password:
        return "digest", f"{USER}:{_found(inventory.path, inventory.super_password, inventory.digest)}"
    return None


def acting_credential(inventory: Inventory) -> tuple[str, str] | None:
    """As `credential_of`, where zkprov is not the super user by its certificate or by SASL anyway: then no password is sent."""
    host, files = next(iter(inventory.hosts), None), inventory.client_files
    by_certificate = host is not None and bool(host.super_dn and files and files.cert)
    by_sasl = host is not None and host.client_sasl and host.sasl_super
    return None if by_certificate or by_sasl else credential_of(inventory)


def super_settings(inventory: Inventory) -> dict[str, str]:
    """The setting by which a server knows that super user; none where the password is in an auth file.

    `user:base64(sha1(user:password))`, as ZooKeeper's `DigestAuthenticationProvider` wants it. Who names an auth file writes the
    setting (or an ACL on `/zookeeper/config`) as well.
    """
    credential = credential_of(inventory)
    given = bool(os.environ.get(SUPER_PASSWORD)) or not inventory.auth_file
    if credential is None or not given:
        return {}
    digest = hashlib.sha1(credential[1].encode(), usedforsecurity=False).digest()
    return {SETTING: f"{USER}:{base64.b64encode(digest).decode()}"}


@lru_cache(maxsize=4)
def _found(path: str, host: str, _digest: str) -> str:
    found = password(path, host)
    if found is None:
        raise BadInput(
            f"{PASSWORD} is gone", place=f"{path}: {host}", remedy="set it again, or name a zkprov_auth_file"
        )
    return found
