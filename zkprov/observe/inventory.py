"""Ansible inventories, as Ansible itself reads them, checked so that no value of theirs can hurt a config or a command line."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.jaas import unfit
from zkprov.model.posture import ClientFiles
from zkprov.model.problems import BadInput, BadInputs
from zkprov.observe.ansible_inventory import PASSWORD, QUORUM_SASL, SASL, SASL_USERS, Listing, listing
from zkprov.observe.ansible_values import with_values
from zkprov.observe.host_variables import PREFIX, VARIABLES, host_of, raise_all
from zkprov.observe.variable_values import checked_name

_SECURITY = ("posture", "super_dn", "enforce_auth")
_SASL = ("quorum_sasl", "quorum_sasl_user", "client_sasl", "sasl_user", "sasl_super")


def read_inventory(path: str, ensemble: str | None = None) -> Inventory:
    """The hosts of one ensemble: the group `ensemble` of the inventory at `path`, or its only group with hosts.

    Raises `BadInput` naming the inventory, the host and the variable, for all that is wrong in it.
    """
    found = listing(path)
    return inventory_of(with_values(found, found.groups[_group(found, path, ensemble)], path), path, ensemble)


def inventory_of(found: Listing, path: str, ensemble: str | None) -> Inventory:
    """As `read_inventory`, of what Ansible said."""
    group = _group(found, path, ensemble)
    names = found.groups[group]
    hosts: list[InventoryHost] = []
    wrong: list[BadInput] = []
    for name in names:
        variables = found.variables.get(name, {})
        wrong += _unknown(path, name, variables)
        try:
            hosts.append(host_of(name, variables, path))
        except BadInputs as several:
            wrong += several.each
        except BadInput as one:
            wrong.append(one)
    folders = _config_folders(found)
    hosts = [_with_neighbours(host, folders) for host in hosts]
    wrong += _clashes(path, hosts)
    wrong += _postures(path, hosts)
    variables = {name: found.variables.get(name, {}) for name in names}
    wrong += _passwords_differ(path, variables)
    raise_all(wrong)
    passwords = {
        v: next(n for n in names if variables[n].get(v) is not None)
        for v in (QUORUM_SASL, SASL, SASL_USERS)
        if any(variables[n].get(v) is not None for n in names)
    }
    password_files = {v: f for v in (QUORUM_SASL, SASL) if (f := _password_file(path, variables, f"{v}_file"))}
    files = {v: _group_file(path, variables, v) for v in ("zkprov_ca_file", "zkprov_cert_file", "zkprov_key_file")}
    return Inventory(
        ensemble=group,
        path=path,
        hosts=tuple(hosts),
        digest=hashlib.sha256(msgspec.json.encode((group, hosts), order="sorted")).hexdigest(),
        auth_file=_auth_file(path, variables),
        client_files=_client_files(path, hosts, *files.values()),
        super_password=next((n for n in names if found.variables.get(n, {}).get(PASSWORD) is not None), ""),
        passwords=passwords,
        password_files=password_files,
        lab=bool(names) and all(found.variables.get(name, {}).get("zkprov_lab") is True for name in names),
    )


def read_auth(path: str) -> tuple[str, str]:
    """(scheme, credential) of an auth file: one line, `digest:user:password`. Raises `BadInput`; the content is in no message.

    A file that others than its owner can read is refused.
    """
    file = Path(path)
    try:
        mode = file.stat().st_mode
        text = file.read_text().strip() if file.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise BadInput(f"cannot read the auth file: {reason}", place=path, remedy="correct zkprov_auth_file") from None
    if mode & 0o077:
        raise BadInput(
            f"others can read the auth file (mode {mode & 0o777:04o})", place=path, remedy=f"chmod 600 {path}"
        )
    scheme, _, credential = text.partition(":")
    if "\n" in text or not scheme.isalnum() or not credential:
        raise BadInput("not an auth file", place=path, remedy="write one line in it: digest:USER:PASSWORD")
    return scheme, credential


def read_password(path: str, variable: str) -> str:
    """The one line of a file that its owner alone can read. Raises `BadInput`; the content is in no message."""
    file = Path(path)
    try:
        mode = file.stat().st_mode
        text = file.read_text().removesuffix("\n") if file.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise BadInput(f"{variable} cannot be read: {reason}", place=path, remedy=f"correct {variable}") from None
    if mode & 0o077:
        what = f"others can read {variable} (mode {mode & 0o777:04o})"
        raise BadInput(what, place=path, remedy=f"chmod 600 {path}")
    if why := unfit(text):
        raise BadInput(f"{variable}: not a password: {why}", place=path, remedy="write one line of text in it")
    return text


def _group(found: Listing, path: str, ensemble: str | None) -> str:
    filled = {group: hosts for group, hosts in found.groups.items() if hosts}
    named = [group for group in filled if group not in ("all", "ungrouped")]
    if ensemble is None:
        candidates = named or [group for group in filled if group == "ungrouped"]
        if not candidates:
            raise BadInput("no hosts in the inventory", place=path, remedy="list the ensemble's hosts in a group")
        if len(candidates) > 1:
            raise BadInput(
                f"several groups have hosts: {', '.join(sorted(candidates))}",
                place=path,
                remedy=f"say which one is the ensemble: -E {sorted(candidates)[0]}",
            )
        return candidates[0]
    if ensemble not in found.groups:
        raise BadInput(
            f"no group {ensemble!r}; it has {', '.join(sorted(named)) or 'none'}",
            place=path,
            remedy=_did_you_mean(ensemble, named) or "name one of its groups with -E",
        )
    if ensemble not in filled:
        raise BadInput(f"the group {ensemble!r} has no hosts", place=path, remedy="list the ensemble's hosts in it")
    return ensemble


def _unknown(path: str, name: str, variables: Mapping[str, Any]) -> Iterator[BadInput]:
    for variable in variables:
        if variable.startswith(PREFIX) and variable not in VARIABLES:
            yield BadInput(
                f"unknown variable {variable}",
                place=f"{path}: {name}",
                remedy=_did_you_mean(variable, VARIABLES)
                or 'see docs, "Variables of the inventory", for those that zkprov knows',
            )


def _did_you_mean(word: str, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(words), n=1)
    return f"did you mean {near[0]}?" if near else ""


def _config_folders(found: Listing) -> dict[str, list[tuple[str, str]]]:
    """Machine → the hosts on it, and where each has its zoo.cfg."""
    folders: dict[str, list[tuple[str, str]]] = {}
    for name, variables in found.variables.items():
        if folder := variables.get("zkprov_config_dir"):
            folders.setdefault(str(variables.get("ansible_host", name)), []).append((name, str(folder).rstrip("/")))
    return folders


def _with_neighbours(host: InventoryHost, known: Mapping[str, Sequence[tuple[str, str]]]) -> InventoryHost:
    """Servers that the inventory, any group of it, has on the same machine: each is no trouble to the other."""
    place = host.access.host if host.access else ""
    folders = [folder for name, folder in known.get(place, ()) if name != host.name]
    others = dict.fromkeys([*host.other_servers, *(f"{f}/zoo.cfg" for f in folders if checked_name(f))])
    return msgspec.structs.replace(host, other_servers=tuple(others)) if folders else host


def _clashes(path: str, hosts: Sequence[InventoryHost]) -> Iterator[BadInput]:
    """No two hosts with one id, one address and port, or one folder on one machine."""
    ids: dict[int, str] = {}
    ports: dict[tuple[str, int], str] = {}
    folders: dict[tuple[str, str], str] = {}
    for host in hosts:
        place = f"{path}: {host.name}"
        if host.id is not None and (other := ids.setdefault(host.id, host.name)) != host.name:
            yield BadInput(f"zkprov_id {host.id} is {other}'s too", place=place, remedy="give each host its own id")
        wanted = {
            "zkprov_client_port": host.client_port,
            "zkprov_quorum_port": host.quorum_port,
            "zkprov_election_port": host.election_port,
            "zkprov_admin_port": host.admin_port,
            "zkprov_secure_client_port": host.secure_client_port if host.posture.clients else None,
        }
        for variable, port in wanted.items():
            if port is None:
                continue
            here = f"{host.name}'s {variable}"
            other = ports.setdefault((host.address.lower(), port), here)
            if other != here:
                yield BadInput(
                    f"{variable} {port} at {host.address} is {other} too",
                    place=place,
                    remedy="give each its own address or port",
                )
        machine = "this machine" if host.connection == "local" else host.address.lower()
        for folder in dict.fromkeys((host.config_dir, host.data_dir, host.data_log_dir, host.backups)):
            if (other := folders.setdefault((machine, folder), host.name)) != host.name:
                yield BadInput(
                    f"{folder} on {machine} is {other}'s folder too",
                    place=place,
                    remedy="give each host its own zkprov_config_dir, zkprov_data_dir, zkprov_data_log_dir and zkprov_backup_dir",
                )


def _postures(path: str, hosts: Sequence[InventoryHost]) -> Iterator[BadInput]:
    """A server of another posture would hear nobody; one that takes another for the super user, or asks for less, is a back door."""
    for host in hosts:
        first = hosts[0]
        for field in (*_SECURITY, *_SASL):
            own, usual = getattr(host, field), getattr(first, field)
            if own != usual:
                yield BadInput(
                    f"zkprov_{field} is {_shown(own)}, that of {first.name} is {_shown(usual)}",
                    place=f"{path}: {host.name}",
                    remedy="set it once, for the whole group",
                )


def _passwords_differ(path: str, variables: Mapping[str, Mapping[str, Any]]) -> Iterator[BadInput]:
    """Servers that know other passwords hear each other not, or let in whom the others keep out."""
    for variable in (QUORUM_SASL, SASL, SASL_USERS):
        given = {name: values.get(variable) for name, values in variables.items()}
        first = next(iter(given), "")
        for name, value in given.items():
            if value != given[first]:
                what = f"{variable} is not that of {first}"
                yield BadInput(what, place=f"{path}: {name}", remedy="set it once, for the whole group")


def _password_file(path: str, variables: Mapping[str, Mapping[str, Any]], variable: str) -> str | None:
    file = _group_file(path, variables, variable)
    if file:
        read_password(file, variable)
    return file


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or "unset"


def _client_files(
    path: str, hosts: Sequence[InventoryHost], ca: str | None, cert: str | None, key: str | None
) -> ClientFiles | None:
    needed = any(host.posture.clients for host in hosts)
    if needed and ca is None:
        remedy = "set zkprov_ca_file, and zkprov_cert_file with zkprov_key_file: files on this machine"
        raise BadInput("nothing says whom to trust among the servers", place=path, remedy=remedy)
    if (cert is None) != (key is None):
        raise BadInput("one of zkprov_cert_file and zkprov_key_file is missing", place=path, remedy="set both or none")
    return ClientFiles(ca, cert or "", key or "") if needed and ca else None


def _auth_file(path: str, variables: Mapping[str, Mapping[str, Any]]) -> str | None:
    auth_file = _group_file(path, variables, "zkprov_auth_file")
    if auth_file:
        read_auth(auth_file)
    return auth_file


def _group_file(path: str, variables: Mapping[str, Mapping[str, Any]], variable: str) -> str | None:
    """A file on this machine that all hosts of the group name alike; None where none does."""
    given = {name: values[variable] for name, values in variables.items() if values.get(variable)}
    if not given:
        return None
    name, file = next(iter(given.items()))
    place = f"{path}: {name}"
    if any(other != file for other in given.values()):
        raise BadInput(f"{variable} differs between hosts", place=path, remedy="set it once, for the whole group")
    if not isinstance(file, str) or not checked_name(file):
        raise BadInput(f"{variable} is not a path", place=place, remedy="write an absolute path")
    if not Path(file).is_absolute():
        raise BadInput(f"{variable} is a relative path", place=place, remedy="write an absolute path")
    return file
