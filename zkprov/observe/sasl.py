"""SASL's users and passwords: from the environment, a private file or the inventory; held in memory only, shown nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache

from zkprov.model.inventory import QUORUM_SASL_PASSWORD, SASL_PASSWORD, Inventory, InventoryHost
from zkprov.model.jaas import jaas, unfit
from zkprov.model.problems import BadInput
from zkprov.model.sasl import Sasl
from zkprov.model.server import HostPort
from zkprov.observe.ansible_inventory import QUORUM_SASL, SASL, SASL_USERS, sasl_passwords
from zkprov.observe.inventory import read_password
from zkprov.observe.variable_values import READERS, REMEDIES

_ENVIRONMENT = {QUORUM_SASL: QUORUM_SASL_PASSWORD, SASL: SASL_PASSWORD}


def sasl_of(inventory: Inventory) -> Sasl | None:
    """Who zkprov is to the inventory's servers; None where clients do not use SASL. Raises `BadInput` for a missing or unfit password."""
    at = frozenset(host.client for host in inventory.hosts if host.client_sasl)
    if not at:
        return None
    # the same on all hosts, as the inventory was checked to say
    return Sasl(inventory.hosts[0].sasl_user, _password(inventory, SASL), at)


def sasl_at(endpoints: Iterable[HostPort], user: str, password_file: str) -> Sasl:
    """Who zkprov is to these servers, without an inventory; the password is `$ZKPROV_SASL_PASSWORD`, else the one line of that file.

    Servers that these name are told nothing. Raises `BadInput` for a missing or unfit password, or a name that is none.
    """
    try:
        name = str(READERS["sasl_user"](user))
    except ValueError as wrong:
        raise BadInput(str(wrong), place="--sasl-user", remedy=REMEDIES["sasl_user"]) from None
    if given := os.environ.get(SASL_PASSWORD):
        password = _fit(given, SASL_PASSWORD, "$" + SASL_PASSWORD)
    elif password_file:
        password = read_password(password_file, "--sasl-password-file")
    else:
        raise BadInput(
            f"nothing says the password of the SASL user {name}",
            place="--connect",
            remedy=f"set {SASL_PASSWORD} in the environment, or name a file of mode 0600 with --sasl-password-file",
        )
    return Sasl(name, password, frozenset(endpoints))


def jaas_of(inventory: Inventory, host: InventoryHost) -> str:
    """The file with all users and passwords of a host's server; empty where it uses no SASL. Raises `BadInput` as `sasl_of`."""
    if not host.has_sasl:
        return ""
    quorum = (host.quorum_sasl_user, _password(inventory, QUORUM_SASL)) if host.quorum_sasl else None
    users: dict[str, str] = {}
    if host.client_sasl:
        users = {**_users(inventory), host.sasl_user: _password(inventory, SASL)}
    return jaas(quorum, users)


def _password(inventory: Inventory, variable: str) -> str:
    environment = _ENVIRONMENT[variable]
    if given := os.environ.get(environment):
        return _fit(given, environment, "$" + environment)
    if file := inventory.password_files.get(variable):
        return read_password(file, f"{variable}_file")
    if host := inventory.passwords.get(variable):
        found = _found(inventory.path, host, inventory.digest)[0].get(variable, "")
        return _fit(found, variable, f"{inventory.path}: {host}")
    raise BadInput(
        f"nothing says {variable}",
        place=inventory.path,
        remedy=f"set it (vaulted), or {environment} in the environment, or name a file with {variable}_file",
    )


def _users(inventory: Inventory) -> dict[str, str]:
    host = inventory.passwords.get(SASL_USERS)
    if host is None:
        return {}
    found = _found(inventory.path, host, inventory.digest)[1]
    return {name: _fit(p, f"{SASL_USERS}: {name}", f"{inventory.path}: {host}") for name, p in found.items()}


def _fit(password: str, name: str, place: str) -> str:
    if why := unfit(password):
        raise BadInput(f"{name} is not a password that can be used: {why}", place=place, remedy="choose another")
    return password


@lru_cache(maxsize=4)
def _found(path: str, host: str, _digest: str) -> tuple[dict[str, str], dict[str, str]]:
    return sasl_passwords(path, host)
