"""What one variable of an inventory may hold, and what is said when it does not."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable
from typing import Any

from zkprov.model.inventory import STOPPED, ReleaseSource
from zkprov.model.posture import Posture
from zkprov.model.server import Role

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_SETTING = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
# What zkprov writes itself: from the live config, never from an inventory (R10).
_NOT_SETTINGS = re.compile(r"(server|group|weight)\.\d+|dynamicConfigFile|peerType|version", re.IGNORECASE)


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
        raise ValueError("a template, once it was rendered: what makes one is not rendered again")
    if not checked_name(value) and value:
        raise ValueError("holds characters that cannot be printed, or a line break")
    return value


def _integer(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,12}", value, re.ASCII):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"not a whole number: {value!r:.60}")
    return value


def _count(value: object) -> int:
    number = _integer(value)
    if not 1 <= number <= 1000:
        raise ValueError(f"{number} is not a number of backups: 1 to 1000")
    return number


def _id(value: object) -> int:
    number = _integer(value)
    if not 1 <= number <= 255:
        raise ValueError(f"{number} is not an id: ids are 1 to 255")
    return number


def _seat(value: object) -> int:
    """ZooKeeper takes any long for the number of a group; a weight that is none of the small ones is a slip."""
    number = _integer(value)
    if not 0 <= number <= 1_000_000:
        raise ValueError(f"{number} is not a whole number from 0 to 1000000")
    return number


def _port(value: object) -> int:
    number = _integer(value)
    if not 1 <= number <= 65535:
        raise ValueError(f"{number} is not a port: ports are 1 to 65535")
    return number


def _admin_port(value: object) -> int | None:
    return None if value in ("", 0, "0") and value is not False else _port(value)


def address_of(value: object) -> str:
    """A host name or address. Raises ValueError."""
    if not is_host_name(value):
        raise ValueError(f"not a host name or address: {value!r:.80}")
    return str(value)


def _client_host(value: object) -> str | None:
    return None if value == "" else address_of(value)


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


_OF_A_RELEASE = {"classpath": _classpath, "java": _java, "archive": _archive, "sha512": _sha512}


def _releases(value: object) -> dict[str, ReleaseSource]:
    """Release → where it comes from. All that is wrong with it is said at once."""
    if not isinstance(value, dict):
        raise ValueError("not a dictionary")
    found, wrong = {}, []
    for key, given in value.items():
        try:
            release = _release(key)
            found[release] = _source(release, given)
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("; ".join(wrong[:10]))
    return found


def _source(release: str, given: object) -> ReleaseSource:
    if not isinstance(given, dict):
        raise ValueError(f"{release}: not a dictionary")
    fields, wrong = {}, []
    for key, value in given.items():
        reader = _OF_A_RELEASE.get(key) if isinstance(key, str) else None
        try:
            if reader is None:
                raise ValueError(f"none of {', '.join(_OF_A_RELEASE)}")
            fields[str(key)] = reader(value)
        except ValueError as error:
            wrong.append(f"{release}: {key!s:.40}: {error}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return ReleaseSource(**fields)


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


def _stopped(value: object) -> str:
    if value != STOPPED:
        raise ValueError(f"not {STOPPED}: {value!r:.60}")
    return STOPPED


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


def _sasl_user(value: object) -> str:
    text = _plain(value)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", text):
        raise ValueError(f"not the name of a SASL user: {text!r:.60}")
    return text


def _sasl_users(value: object) -> tuple[str, ...]:
    """The names. Of their passwords nothing was kept but whether they are equal from host to host."""
    if not isinstance(value, list):
        raise ValueError("not users with their passwords")
    return tuple(_sasl_user(pair[0]) for pair in value)


def _folders(value: object) -> tuple[str, ...]:
    return tuple(_folder(one) for one in (value if isinstance(value, list) else [value]))


READERS: dict[str, Callable[[object], Any]] = {
    "id": _id,
    "address": address_of,
    "client_port": _port,
    "client_host": _client_host,
    "quorum_port": _port,
    "election_port": _port,
    "admin_port": _admin_port,
    "admin_address": _client_host,
    "tunnel": _truth,
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
    "quorum_sasl": _truth,
    "quorum_sasl_user": _sasl_user,
    "client_sasl": _truth,
    "sasl_user": _sasl_user,
    "sasl_super": _truth,
    "sasl_users": _sasl_users,
    "other_servers": _folders,
    "backup_dir": _folder,
    "backup_keep": _count,
    "quorum_group": _seat,
    "quorum_weight": _seat,
    "releases": _releases,
    "foreign_config_manager": _stopped,
}
"""Field of `InventoryHost` → what reads its value; raises ValueError."""

REMEDIES = {
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
    **dict.fromkeys(("enforce_auth", "quorum_sasl", "client_sasl", "sasl_super", "tunnel"), "write true or false"),
    **dict.fromkeys(("quorum_sasl_user", "sasl_user"), "write it like zookeeper: letters, digits, dots and hyphens"),
    "sasl_users": "write a dictionary of users and passwords, the passwords or the whole file vaulted",
    **dict.fromkeys(
        ("config_dir", "data_dir", "data_log_dir", "log_dir", "install_dir", "backup_dir"),
        "write an absolute path without blanks",
    ),
    "releases": "write a dictionary like 3.9.5: {archive: URL, sha512: …}, or {classpath: …, java: …} for hosts that are this machine",
    "backup_keep": "write how many are to be kept, such as 5",
    "quorum_group": "write the number of its group in the list, such as 2; only for lists with groups",
    "quorum_weight": "write what its vote counts for in its group: 1 as a rule, 0 for nothing",
    "foreign_config_manager": f"write {STOPPED}, once no other program writes zoo.cfg; or take it out",
    **dict.fromkeys(("java", "classpath", "key_store", "trust_store", "other_servers"), "write absolute paths"),
}
