"""The table of an inventory's variables: names and defaults as the code has them, and what each means in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from zkprov.model.inventory import InventoryHost
from zkprov.observe import host_variables
from zkprov.observe.variable_values import READERS

KINDS = {
    "_id": "1 to 255",
    "address_of": "host name or address",
    "_port": "port",
    "_admin_port": "port, or 0 for none",
    "_client_host": "host name or address, or empty",
    "_truth": "true or false",
    "_folder": "absolute path",
    "_folders": "absolute path, or a list of them",
    "_release": "release, like 3.9.5",
    "_java": "program or absolute path",
    "_classpath": "list of absolute paths",
    "_flags": "list of JVM flags",
    "_settings": "dictionary",
    "_command": "command",
    "_role": "`participant` or `observer`",
    "_archive": "URL or absolute path",
    "_sha512": "SHA-512, in hex",
    "_unit": "name of a unit",
    "_user": "name of a user",
    "_heap": "size, like 512m or 4g",
    "_posture": "`plain`, `quorum-tls`, `tls` or `tls-only`",
    "_subject": "subject (RFC 2253)",
    "_sasl_user": "name",
    "_sasl_users": "dictionary of names and passwords",
    "_count": "1 to 1000",
    "_seat": "whole number",
    "_releases": "dictionary",
    "_stopped": "`stopped`",
}
"""By what reads a value."""

OTHERS = {
    "zkprov_archive_keyring": ("absolute path", "none"),
    "zkprov_java_package": ("name of a package", "`default-jre-headless` (Debian), `java-17-openjdk-headless` (RHEL)"),
    "zkprov_stop_timeout": ("seconds", "`30`"),
    "zkprov_auth_file": ("path", "none"),
    "zkprov_super_password": ("text, vaulted", "none"),
    "zkprov_lab": ("true or false", "`false`"),
    "zkprov_ensemble": ("name of a group", "none"),
    "zkprov_canary": ("true or false", "`false`"),
    "zkprov_ca_file": ("path", "none"),
    "zkprov_cert_file": ("path", "none"),
    "zkprov_key_file": ("path", "none"),
    "zkprov_quorum_sasl_password": ("text, vaulted", "none"),
    "zkprov_quorum_sasl_password_file": ("path", "none"),
    "zkprov_sasl_password": ("text, vaulted", "none"),
    "zkprov_sasl_password_file": ("path", "none"),
}
"""Of no field of `InventoryHost`: (kind, default)."""

DEFAULTS = {
    "zkprov_id": "the next id that was never used",
    "zkprov_address": "`ansible_host`, else the host's name",
    "zkprov_data_log_dir": "`zkprov_data_dir`",
    "zkprov_client_host": "all addresses",
    "zkprov_release": "the archive's; of a joiner the members'",
    "zkprov_heap": "a third of the memory, at most 4 GB",
    "zkprov_backup_dir": "`zkprov_data_dir` + `.backups`",
    "zkprov_quorum_weight": "`1`",
}
"""Where the default of the field does not say it."""

SECTIONS: dict[str, dict[str, str]] = {
    "Who and where": {
        "zkprov_id": "`myid`. Of a member the live list says it, whatever stands here (R10)",
        "zkprov_address": "what stands in its server line, by which the others reach it",
        "zkprov_role": "what it is to be when it comes in; `--role` goes before it",
        "zkprov_ensemble": "the group that is its ensemble, for [`--all`](fleet.md#which-groups-are-ensembles)",
        "zkprov_canary": "its ensemble goes first, alone, where [many](fleet.md#changing) are changed",
        "zkprov_quorum_group": "where it votes in a [list with groups](groups.md); never guessed",
        "zkprov_quorum_weight": "what its vote counts for in its group",
        "zkprov_client_port": "where clients are served in the clear",
        "zkprov_client_host": "the address of that port; `127.0.0.1` is reached "
        "[over SSH](hosts.md#ports-that-only-the-host-itself-reaches)",
        "zkprov_quorum_port": "the first port of its server line: followers follow there",
        "zkprov_election_port": "the second port: where leaders are elected",
        "zkprov_admin_port": "AdminServer",
        "zkprov_admin_address": "what the AdminServer listens on; empty: all addresses",
        "zkprov_tunnel": "clients' port and AdminServer are reached over SSH whatever they listen on",
    },
    "Software": {
        "zkprov_release": "what is installed on a bare host",
        "zkprov_archive": "the official `apache-zookeeper-…-bin.tar.gz`",
        "zkprov_archive_sha512": "checked before anything is unpacked; it or a key ring must be given",
        "zkprov_archive_keyring": "a key ring on this machine: `<archive>.asc` must be a good signature by one of its keys",
        "zkprov_releases": "for [`upgrade`](upgrading.md): `3.9.5: {archive: …, sha512: …}`, for hosts that are this machine "
        "`{classpath: …, java: …}`",
        "zkprov_install_dir": "releases side by side, and `current`, a link",
        "zkprov_java": "what starts the server; 11 or later",
        "zkprov_java_package": "installed where there is no such program",
        "zkprov_classpath": "jars that lie elsewhere: no release is installed then",
    },
    "The server": {
        "zkprov_settings": "more of `zoo.cfg`: whatever no rule and no other variable decides",
        "zkprov_jvm_flags": "`jvm_flags`; no secret may stand there",
        "zkprov_heap": "as in `-Xmx`",
        "zkprov_unit": "of systemd",
        "zkprov_user": "who runs it",
        "zkprov_start_command": "for a server that is no unit: what starts it; all three or none",
        "zkprov_stop_command": "what stops it",
        "zkprov_is_active_command": "what tells whether it runs, by its exit code",
        "zkprov_stop_timeout": "how long a server has to end by itself, in a playbook run by hand ([zkprov](design.md): 0.1 s)",
    },
    "Folders": {
        "zkprov_config_dir": "`zoo.cfg`, the list, `jvm_flags`, `logback.xml`",
        "zkprov_data_dir": "`dataDir`: `myid`, `version-2`, the disk's mark",
        "zkprov_data_log_dir": "`dataLogDir`",
        "zkprov_log_dir": "what the server writes about itself",
        "zkprov_backup_dir": "where [backups](backup.md) lie; best another disk",
        "zkprov_backup_keep": "how many of them are kept",
        "zkprov_other_servers": "`zoo.cfg` of servers of other ensembles on the same host",
    },
    "TLS": {
        "zkprov_posture": "[who speaks TLS](tls.md); the same everywhere",
        "zkprov_secure_client_port": "where clients are served by TLS",
        "zkprov_key_store": "PEM file on the host: private key (PKCS#8) and chain",
        "zkprov_trust_store": "PEM file on the host: whom it trusts",
        "zkprov_super_dn": "whose certificate makes a client the super user",
        "zkprov_enforce_auth": "clients who say not who they are get nothing (ZooKeeper 3.7 and later)",
        "zkprov_ca_file": "PEM file on *this* machine: whom zkprov trusts among the servers",
        "zkprov_cert_file": "PEM file on this machine: who zkprov is",
        "zkprov_key_file": "its key, readable by its owner alone",
    },
    "SASL": {
        "zkprov_quorum_sasl": "[servers say to each other who they are](sasl.md)",
        "zkprov_quorum_sasl_user": "the same on every server",
        "zkprov_quorum_sasl_password": "its password; `$ZKPROV_QUORUM_SASL_PASSWORD` goes before it",
        "zkprov_quorum_sasl_password_file": "a file on this machine with it, of mode 0600",
        "zkprov_client_sasl": "clients may say who they are, and zkprov does",
        "zkprov_sasl_user": "zkprov's own name",
        "zkprov_sasl_password": "its password; `$ZKPROV_SASL_PASSWORD` goes before it",
        "zkprov_sasl_password_file": "a file on this machine with it, of mode 0600",
        "zkprov_sasl_super": "that user is the super user",
        "zkprov_sasl_users": "your clients",
    },
    "The right to change, and leave to": {
        "zkprov_super_password": "of ZooKeeper's super user; `$ZKPROV_SUPER_PASSWORD` goes before it ([Secrets](hosts.md#secrets))",
        "zkprov_auth_file": "a file on this machine, of mode 0600: `digest:user:password` of who may reconfig",
        "zkprov_foreign_config_manager": "said once no other program writes `zoo.cfg`: [adopt](adopting.md) asks for it",
        "zkprov_lab": "allows a seasoning time that is too short for real data",
    },
}


class Variable(NamedTuple):
    name: str
    kind: str
    default: str
    meaning: str


def variables() -> Iterator[tuple[str, list[Variable]]]:
    """(section, its variables). Raises KeyError for a variable that the code has and this table does not, or the other way round."""
    told = {name for section in SECTIONS.values() for name in section}
    if unlike := told ^ host_variables.VARIABLES:
        raise KeyError(f"manual/variables.py and the variables that zkprov reads differ: {', '.join(sorted(unlike))}")
    for title, section in SECTIONS.items():
        yield title, [Variable(name, *_told_of(name), meaning) for name, meaning in section.items()]


def _told_of(name: str) -> tuple[str, str]:
    field = host_variables.FIELDS.get(name)
    if field is None:
        return OTHERS[name]
    return KINDS[READERS[field].__name__], DEFAULTS.get(name) or _default(field)


def _default(field: str) -> str:
    default = next(f.default for f in msgspec.structs.fields(InventoryHost) if f.name == field)
    if default in (None, "", (), msgspec.NODEFAULT) or default is msgspec.NODEFAULT:
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def page() -> str:
    """The page, in Markdown."""
    out = ["# Variables of the inventory", "", INTRODUCTION, ""]
    for title, rows in variables():
        out += [f"## {title}", "", "| variable | what it may be | default | meaning |", "|---|---|---|---|"]
        out += [f"| `{v.name}` | {v.kind} | {v.default} | {v.meaning} |" for v in rows]
        out.append("")
    return "\n".join(out)


INTRODUCTION = """\
Every variable that zkprov reads. Whatever else begins with `zkprov_` is refused, with the name that was probably meant. How a host
is reached is said by Ansible's own variables, see [Hosts](hosts.md#the-inventory). This page is made from the code that reads them.

What is the group's (passwords, files on this machine, postures) must be the same for all its hosts. A secret belongs into a vault,
a file of mode 0600, or the environment: [Secrets](hosts.md#secrets)."""
