"""One host's `zkprov_*` variables: what each may hold, and what is said when it does not."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from zkprov.model.inventory import InventoryHost
from zkprov.model.posture import Posture
from zkprov.model.problems import BadInput, BadInputs
from zkprov.model.server import Role
from zkprov.observe.access import access_of

MAX_TOLD = 50
PREFIX = "zkprov_"

# Every variable of a host, and the field of InventoryHost that it fills.
_FIELDS = {
    "zkprov_id": "id",
    "zkprov_address": "address",
    "zkprov_client_port": "client_port",
    "zkprov_client_host": "client_host",
    "zkprov_quorum_port": "quorum_port",
    "zkprov_election_port": "election_port",
    "zkprov_admin_port": "admin_port",
    "zkprov_admin_address": "admin_address",
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
}
# What the playbooks alone go by.
_OF_PLAYBOOKS = ("zkprov_archive_keyring", "zkprov_java_package", "zkprov_stop_timeout")
# What is the group's.
_OF_GROUP = (
    "zkprov_auth_file",
    "zkprov_super_password",
    "zkprov_lab",
    "zkprov_ca_file",
    "zkprov_cert_file",
    "zkprov_key_file",
)
VARIABLES = frozenset({*_FIELDS, *_OF_PLAYBOOKS, *_OF_GROUP})

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_SETTING = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
# What zkprov writes itself: from the live config, never from an inventory (R10).
_NOT_SETTINGS = re.compile(r"(server|group|weight)\.\d+|dynamicConfigFile|peerType|version", re.IGNORECASE)


def host_of(name: str, variables: Mapping[str, Any], path: str) -> InventoryHost:
    """The host, with defaults where a variable is not set. Raises `BadInput` naming inventory, host, variable and remedy."""
    place = f"{path}: {checked_name(name) or repr(name)[:80]}"
    if not is_host_name(name):
        raise BadInput("not a host name", place=place, remedy="use letters, digits, hyphens and dots, or an IP address")
    fields: dict[str, Any] = {}
    wrong: list[BadInput] = []
    for variable, field in _FIELDS.items():
        value = variables.get(variable)
        if value is None:
            continue
        try:
            fields[field] = _READERS[field](value)
        except ValueError as error:
            wrong.append(BadInput(f"{variable}: {error}", place=place, remedy=_REMEDIES.get(field, "")))
    if "address" not in fields and "zkprov_address" not in variables:
        try:
            fields["address"] = _address(variables.get("ansible_host", name))
        except ValueError as error:
            wrong.append(BadInput(f"ansible_host: {error}", place=place, remedy=_REMEDIES["address"]))
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
    if not wrong:
        wrong += _tls(place, fields)
    raise_all(wrong)
    return InventoryHost(name=name, connection=connection, **fields)


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
    alone = [f"zkprov_{s}" for s in ("super_dn", "enforce_auth") if fields.get(s)]
    if alone and not posture.clients:
        remedy = "set zkprov_posture: tls, or take it out"
        yield BadInput(f"{' and '.join(alone)} set, and clients do not use TLS", place=place, remedy=remedy)


def raise_all(wrong: Sequence[BadInput]) -> None:
    """Raises what is wrong, if anything is: one problem as it is, several as one `BadInput` that tells them all."""
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        shown = [f"{one}" + (f" ({one.remedy})" if one.remedy else "") for one in wrong[:MAX_TOLD]]
        more = [f"and {len(wrong) - MAX_TOLD} more"] if len(wrong) > MAX_TOLD else []
        what = "\n  ".join([f"{len(wrong)} things are wrong in the inventory:", *shown, *more])
        raise BadInputs(what, wrong)


def is_host_name(text: object) -> bool:
    """RFC 1123 names (and underscores, which many inventories have), IPv4 and IPv6 addresses; nothing else."""
    if not isinstance(text, str) or not 0 < len(text) <= 253 or not text.isascii():
        return False
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        pass
    labels = text.split(".")
    # 999.1.1.1 or 10.0.1 is a mistyped address, not a name.
    return all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit()


def checked_name(text: str) -> str:
    """`text` where it can be printed on one line and stand in a path, else an empty string."""
    unsafe = any(not c.isprintable() for c in text) or "{{" in text or "{%" in text
    return "" if unsafe else text


def _plain(value: object) -> str:
    """One line of text without templates. A dict is what ansible-inventory makes of vaulted text."""
    if not isinstance(value, str):
        raise ValueError("vaulted or not text" if isinstance(value, dict) else f"not text: {value!r:.60}")
    if "{{" in value or "{%" in value:
        raise ValueError("a template: zkprov reads inventories without running them")
    if not checked_name(value) and value:
        raise ValueError("holds characters that cannot be printed, or a line break")
    return value


def _integer(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,12}", value, re.ASCII):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"not a whole number: {value!r:.60}")
    return value


def _id(value: object) -> int:
    number = _integer(value)
    if not 1 <= number <= 255:
        raise ValueError(f"{number} is not an id: ids are 1 to 255")
    return number


def _port(value: object) -> int:
    number = _integer(value)
    if not 1 <= number <= 65535:
        raise ValueError(f"{number} is not a port: ports are 1 to 65535")
    return number


def _admin_port(value: object) -> int | None:
    return None if value in ("", 0, "0") and value is not False else _port(value)


def _address(value: object) -> str:
    if not is_host_name(value):
        raise ValueError(f"not a host name or address: {value!r:.80}")
    return str(value)


def _client_host(value: object) -> str | None:
    return None if value == "" else _address(value)


def _folder(value: object) -> str:
    text = _plain(value)
    if not text.startswith("/"):
        raise ValueError(f"not an absolute path: {text!r:.80}")
    clean = "/" + "/".join(part for part in text.split("/") if part)
    # ZooKeeper reads zoo.cfg as Java properties, and paths stand on command lines: nothing that either would take apart.
    if not re.fullmatch(r"(/[A-Za-z0-9._+@=~-]+)+", clean) or ".." in clean.split("/"):
        raise ValueError(f"not a path that can stand in zoo.cfg: {text!r:.80}")
    return clean


def _release(value: object) -> str:
    text = _plain(value)
    if not re.fullmatch(r"\d{1,2}\.\d{1,2}\.\d{1,2}", text):
        raise ValueError(f"not a release: {text!r:.60}")
    return text


def _java(value: object) -> str:
    text = _plain(value)
    return text if re.fullmatch(r"[A-Za-z0-9._-]+", text) else _folder(text)


def _classpath(value: object) -> str:
    entries = value if isinstance(value, list) else _plain(value).split(":")
    checked = []
    for entry in entries:
        text = _plain(entry)
        if not text:
            continue
        checked.append(_folder(text[:-2]) + "/*" if text.endswith("/*") else _folder(text))
    return ":".join(checked)


def _flags(value: object) -> tuple[str, ...]:
    flags = tuple(_plain(flag) for flag in value) if isinstance(value, list) else tuple(shlex.split(_plain(value)))
    for flag in flags:
        if not flag.startswith("-"):
            raise ValueError(f"not a JVM flag: {flag!r:.60}")
        if re.search(r"superDigest|password|secret", flag, re.IGNORECASE):
            raise ValueError(
                f"{flag.split('=')[0]!r:.80} puts a secret on the command line, where everybody can read it"
            )
    return flags


def _settings(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("not a dictionary")
    return {_setting(key): _setting_value(key, given) for key, given in value.items()}


def _setting(key: object) -> str:
    if not isinstance(key, str) or not _SETTING.fullmatch(key):
        raise ValueError(f"not a setting of zoo.cfg: {key!r:.60}")
    if _NOT_SETTINGS.fullmatch(key):
        raise ValueError(f"{key} is membership, which only the live config says (R10)")
    return key


def _setting_value(key: object, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    try:
        return _plain(value)
    except ValueError as error:
        # The value is not shown: settings hold secrets.
        raise ValueError(f"{key}: {'not text' if str(error).startswith('not text') else error}") from None


def _command(value: object) -> str:
    text = _plain(value)
    try:
        shlex.split(text)
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from None
    return text


def _role(value: object) -> Role:
    try:
        return Role(_plain(value))
    except ValueError:
        raise ValueError(f"not a role: {value!r:.60}") from None


def _archive(value: object) -> str:
    text = _plain(value)
    if re.fullmatch(r"(https?|file)://[A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]+", text):
        return text
    return _folder(text)


def _sha512(value: object) -> str:
    text = _plain(value).lower()
    if not re.fullmatch(r"[0-9a-f]{128}", text):
        raise ValueError(f"not a SHA-512 in hex: {text!r:.40}")
    return text


def _unit(value: object) -> str:
    text = _plain(value).removesuffix(".service")
    if not re.fullmatch(r"[A-Za-z0-9:_.@-]{1,200}", text) or text.startswith(("-", ".")):
        raise ValueError(f"not the name of a unit: {text!r:.60}")
    return text


def _user(value: object) -> str:
    text = _plain(value)
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", text):
        raise ValueError(f"not the name of a user: {text!r:.60}")
    return text


def _heap(value: object) -> str:
    text = _plain(value)
    if not re.fullmatch(r"[1-9][0-9]{0,9}[kKmMgG]?", text):
        raise ValueError(f"not a size as in -Xmx: {text!r:.60}")
    return text


def _posture(value: object) -> Posture:
    try:
        return Posture(_plain(value))
    except ValueError:
        raise ValueError(f"not a posture: {value!r:.60}") from None


def _subject(value: object) -> str:
    text = _plain(value)
    if not re.fullmatch(r"[A-Za-z0-9.]+=[^=]+(,[A-Za-z0-9.]+=[^=]+)*", text):
        raise ValueError(f"not a subject: {text!r:.80}")
    return text


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"neither true nor false: {value!r:.60}")
    return value


_READERS: dict[str, Callable[[object], Any]] = {
    "id": _id,
    "address": _address,
    "client_port": _port,
    "client_host": _client_host,
    "quorum_port": _port,
    "election_port": _port,
    "admin_port": _admin_port,
    "admin_address": _client_host,
    "config_dir": _folder,
    "data_dir": _folder,
    "data_log_dir": _folder,
    "log_dir": _folder,
    "release": _release,
    "java": _java,
    "classpath": _classpath,
    "jvm_flags": _flags,
    "settings": _settings,
    "start_command": _command,
    "stop_command": _command,
    "is_active_command": _command,
    "role": _role,
    "archive": _archive,
    "archive_sha512": _sha512,
    "install_dir": _folder,
    "unit": _unit,
    "user": _user,
    "heap": _heap,
    "posture": _posture,
    "secure_client_port": _port,
    "key_store": _folder,
    "trust_store": _folder,
    "super_dn": _subject,
    "enforce_auth": _truth,
}

_REMEDIES = {
    "id": "give each host a zkprov_id from 1 to 255, or none to have the next free one",
    "address": "use letters, digits, hyphens and dots, or an IP address",
    "client_host": "use letters, digits, hyphens and dots, or an IP address",
    "admin_address": "use letters, digits, hyphens and dots, or an IP address",
    "admin_port": "write a port, or 0 where there is no AdminServer",
    "release": "write it like 3.9.5",
    "settings": "write a dictionary of zoo.cfg settings and their values",
    "jvm_flags": "write a list of flags; settings with secrets belong into zkprov_settings",
    **dict.fromkeys(
        ("client_port", "quorum_port", "election_port", "secure_client_port"), "write a port, such as 2181"
    ),
    "role": "write participant or observer",
    "archive": "write an URL, or an absolute path on this machine",
    "archive_sha512": "copy it from the .sha512 file that comes with the archive",
    "unit": "write it like zookeeper",
    "user": "write it like zookeeper",
    "heap": "write it like 512m or 4g",
    "posture": f"write one of {', '.join(Posture)}",
    "super_dn": "write the certificate's subject in the order of RFC 2253, like CN=zkprov,O=Example",
    "enforce_auth": "write true or false",
    **dict.fromkeys(
        ("config_dir", "data_dir", "data_log_dir", "log_dir", "install_dir"), "write an absolute path without blanks"
    ),
    **dict.fromkeys(("java", "classpath", "key_store", "trust_store"), "write absolute paths"),
}
