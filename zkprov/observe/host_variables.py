"""One host's `zkprov_*` variables: which there are, and what they make of the host together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zkprov.model.inventory import InventoryHost
from zkprov.model.jaas import LOGIN_CONFIG
from zkprov.model.posture import Posture
from zkprov.model.problems import BadInput, BadInputs
from zkprov.observe.access import access_of
from zkprov.observe.variable_values import READERS, REMEDIES, address_of, checked_name, is_host_name

MAX_TOLD = 50
PREFIX = "zkprov_"

# Every variable of a host, and the field of InventoryHost that it fills.
FIELDS = {
    "zkprov_id": "id",
    "zkprov_address": "address",
    "zkprov_client_port": "client_port",
    "zkprov_client_host": "client_host",
    "zkprov_quorum_port": "quorum_port",
    "zkprov_election_port": "election_port",
    "zkprov_admin_port": "admin_port",
    "zkprov_admin_address": "admin_address",
    "zkprov_tunnel": "tunnel",
    "zkprov_config_dir": "config_dir",
    "zkprov_data_dir": "data_dir",
    "zkprov_data_log_dir": "data_log_dir",
    "zkprov_log_dir": "log_dir",
    "zkprov_release": "release",
    "zkprov_java": "java",
    "zkprov_classpath": "classpath",
    "zkprov_jvm_flags": "jvm_flags",
    "zkprov_settings": "settings",
    "zkprov_start_command": "start_command",
    "zkprov_stop_command": "stop_command",
    "zkprov_is_active_command": "is_active_command",
    "zkprov_role": "role",
    "zkprov_archive": "archive",
    "zkprov_archive_sha512": "archive_sha512",
    "zkprov_install_dir": "install_dir",
    "zkprov_unit": "unit",
    "zkprov_user": "user",
    "zkprov_heap": "heap",
    "zkprov_posture": "posture",
    "zkprov_secure_client_port": "secure_client_port",
    "zkprov_key_store": "key_store",
    "zkprov_trust_store": "trust_store",
    "zkprov_super_dn": "super_dn",
    "zkprov_enforce_auth": "enforce_auth",
    "zkprov_quorum_sasl": "quorum_sasl",
    "zkprov_quorum_sasl_user": "quorum_sasl_user",
    "zkprov_client_sasl": "client_sasl",
    "zkprov_sasl_user": "sasl_user",
    "zkprov_sasl_super": "sasl_super",
    "zkprov_sasl_users": "sasl_users",
    "zkprov_other_servers": "other_servers",
    "zkprov_backup_dir": "backup_dir",
    "zkprov_backup_keep": "backup_keep",
    "zkprov_releases": "releases",
    "zkprov_foreign_config_manager": "foreign_config_manager",
    "zkprov_quorum_group": "quorum_group",
    "zkprov_quorum_weight": "quorum_weight",
}
# What the playbooks alone go by.
_OF_PLAYBOOKS = ("zkprov_archive_keyring", "zkprov_java_package", "zkprov_stop_timeout")
# What is the group's.
_OF_GROUP = (
    "zkprov_auth_file",
    "zkprov_super_password",
    "zkprov_lab",
    "zkprov_ensemble",
    "zkprov_canary",
    "zkprov_ca_file",
    "zkprov_cert_file",
    "zkprov_key_file",
    "zkprov_quorum_sasl_password",
    "zkprov_quorum_sasl_password_file",
    "zkprov_sasl_password",
    "zkprov_sasl_password_file",
)
VARIABLES = frozenset({*FIELDS, *_OF_PLAYBOOKS, *_OF_GROUP})


def host_of(name: str, variables: Mapping[str, Any], path: str) -> InventoryHost:
    """The host, with defaults where a variable is not set. Raises `BadInput` naming inventory, host, variable and remedy."""
    place = f"{path}: {checked_name(name) or repr(name)[:80]}"
    if not is_host_name(name):
        raise BadInput("not a host name", place=place, remedy="use letters, digits, hyphens and dots, or an IP address")
    fields: dict[str, Any] = {}
    wrong: list[BadInput] = []
    for variable, field in FIELDS.items():
        value = variables.get(variable)
        if value is None:
            continue
        try:
            fields[field] = READERS[field](value)
        except ValueError as error:
            wrong.append(BadInput(f"{variable}: {error}", place=place, remedy=REMEDIES.get(field, "")))
    if "address" not in fields and "zkprov_address" not in variables:
        try:
            fields["address"] = address_of(variables.get("ansible_host", name))
        except ValueError as error:
            wrong.append(BadInput(f"ansible_host: {error}", place=place, remedy=REMEDIES["address"]))
    if "data_dir" in fields:
        fields.setdefault("data_log_dir", fields["data_dir"])
    commands = [c for c in ("start_command", "stop_command", "is_active_command") if variables.get(f"zkprov_{c}")]
    if 0 < len(commands) < 3:
        what = f"zkprov_{commands[0]} is set, and not all three of zkprov_start_command, _stop_command and _is_active_command"
        wrong.append(BadInput(what, place=place, remedy="set all three or none"))
    connection = variables.get("ansible_connection", "ssh")
    if not isinstance(connection, str) or not re.fullmatch(r"[A-Za-z0-9_.]{1,100}", connection):
        what = "ansible_connection is not the name of a connection"
        wrong.append(BadInput(what, place=place, remedy="write local or ssh"))
    if connection != "local" and not any("ansible_host" in one.problem for one in wrong):
        try:
            fields["access"] = access_of(name, variables)
        except ValueError as error:
            wrong.append(BadInput(str(error), place=place, remedy="put what ssh needs into ~/.ssh/config"))
    wrong += _releases(place, fields, local=connection == "local")
    if not wrong:
        wrong += [*_tls(place, fields), *_sasl(place, fields)]
    raise_all(wrong)
    host = InventoryHost(name=name, connection=connection, **fields)
    if inside := next((f for f in (host.config_dir, host.data_dir, host.data_log_dir) if _within(host.backups, f)), ""):
        what = f"zkprov_backup_dir: {host.backups} lies in {inside}, and would be set aside with it"
        raise BadInput(what, place=place, remedy="name a folder beside it, or on another disk")
    return host


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _releases(place: str, fields: Mapping[str, Any], *, local: bool) -> Iterator[BadInput]:
    """A release of a host that is this machine is run from where it lies, one of any other is laid out from an archive."""
    needed, remedy = ("classpath", "name its jars") if local else ("archive", "name the archive, with its sha512")
    for release, source in fields.get("releases", {}).items():
        other = "archive" if local else "classpath"
        if getattr(source, other):
            what = f"zkprov_releases: {release} has {other}, which means nothing for a host that is {'' if local else 'not '}this machine"
            yield BadInput(what, place=place, remedy=f"{remedy} in its place")
        elif not getattr(source, needed):
            yield BadInput(f"zkprov_releases: {release} has no {needed}", place=place, remedy=remedy)


def _tls(place: str, fields: Mapping[str, Any]) -> Iterator[BadInput]:
    """What TLS needs of a host, and what means nothing without."""
    posture: Posture = fields.get("posture", Posture.PLAIN)
    stores = [f"zkprov_{s}" for s in ("key_store", "trust_store") if bool(fields.get(s)) != posture.quorum]
    if stores and posture.quorum:
        remedy = f"name the PEM {'files' if len(stores) > 1 else 'file'} on the host with {' and '.join(stores)}"
        yield BadInput(f"zkprov_posture {posture} needs {' and '.join(stores)}", place=place, remedy=remedy)
    elif stores:
        yield BadInput(
            f"{' and '.join(stores)} set, and zkprov_posture is plain", place=place, remedy="set zkprov_posture: tls"
        )
    sasl = bool(fields.get("client_sasl"))
    alone = [f"zkprov_{s}" for s in ("super_dn", "enforce_auth") if fields.get(s) and not (sasl and s[0] == "e")]
    if alone and not posture.clients:
        remedy = "set zkprov_posture: tls, or take it out"
        what = (
            "clients do not use TLS"
            if sasl or "zkprov_enforce_auth" not in alone
            else "clients use neither TLS nor SASL"
        )
        yield BadInput(f"{' and '.join(alone)} set, and {what}", place=place, remedy=remedy)


def _sasl(place: str, fields: Mapping[str, Any]) -> Iterator[BadInput]:
    """What SASL means nothing with, or without."""
    flags = [f for f in fields.get("jvm_flags", ()) if f.startswith(f"-D{LOGIN_CONFIG}")]
    on = [f"zkprov_{s}" for s in ("quorum_sasl", "client_sasl") if fields.get(s)]
    if flags and on:
        remedy = f"take -D{LOGIN_CONFIG} out of zkprov_jvm_flags, or do without {' and '.join(on)}"
        yield BadInput(
            f"{' and '.join(on)} set, and zkprov_jvm_flags names another JAAS file", place=place, remedy=remedy
        )
    needs = {"quorum_sasl": ("quorum_sasl_user",), "client_sasl": ("sasl_user", "sasl_super", "sasl_users")}
    for switch, others in needs.items():
        alone = [f"zkprov_{o}" for o in others if o in fields]
        if alone and not fields.get(switch):
            yield BadInput(
                f"{' and '.join(alone)} set, and zkprov_{switch} is not",
                place=place,
                remedy=f"set zkprov_{switch}: true",
            )
    if fields.get("sasl_user", "zkprov") in fields.get("sasl_users", ()):
        what = "zkprov_sasl_user is one of zkprov_sasl_users too"
        yield BadInput(what, place=place, remedy="give zkprov a user of its own")


def raise_all(wrong: Sequence[BadInput]) -> None:
    """Raises what is wrong, if anything is: one problem as it is, several as one `BadInput` that tells them all."""
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        shown = [f"{one}" + (f" ({one.remedy})" if one.remedy else "") for one in wrong[:MAX_TOLD]]
        more = [f"and {len(wrong) - MAX_TOLD} more"] if len(wrong) > MAX_TOLD else []
        what = "\n  ".join([f"{len(wrong)} things are wrong in the inventory:", *shown, *more])
        raise BadInputs(what, wrong)
