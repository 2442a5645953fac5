"""How a host is reached, from the variables that Ansible itself goes by: looks over SSH and plays meet the same sshd."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from zkprov.model.inventory import Access

VARIABLES = (
    "ansible_host",
    "ansible_connection",
    "ansible_port",
    "ansible_ssh_port",
    "ansible_user",
    "ansible_ssh_user",
    "ansible_ssh_private_key_file",
    "ansible_private_key_file",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
    "ansible_become",
    "ansible_become_user",
    "ansible_become_method",
    "ansible_python_interpreter",
)
"""All that is read of Ansible's own; no password is among them."""

_ARGUMENTS = ("ansible_ssh_common_args", "ansible_ssh_extra_args")
_TRUE, _FALSE = ("yes", "true", "on", "1"), ("no", "false", "off", "0")
# What of ssh's flags has a word in ssh_config, with a value and without; the third make no difference to a look.
_WITH_VALUE = {"J": "ProxyJump", "p": "Port", "l": "User", "i": "IdentityFile"}
_NOTHING = frozenset("46aACnqTvxX")
_OPTION = re.compile(r"([A-Za-z][A-Za-z0-9]{1,40})(?:\s*=\s*|\s+)(.+)", re.DOTALL)


def access_of(name: str, variables: Mapping[str, Any]) -> Access:
    """Of the host `name`. Raises ValueError naming the variable for what cannot be followed."""
    interpreter = _text(variables, "ansible_python_interpreter")
    if interpreter.startswith("auto") or not interpreter:
        interpreter = "python3"
    if not re.fullmatch(r"/?[A-Za-z0-9._/+-]+", interpreter) or interpreter.startswith("-"):
        raise ValueError("ansible_python_interpreter: not the path of an interpreter")
    port = _text(variables, "ansible_port") or _text(variables, "ansible_ssh_port")
    if port and not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
        raise ValueError(f"ansible_port: not a port: {port!r:.40}")
    user = _text(variables, "ansible_user") or _text(variables, "ansible_ssh_user")
    if user and not re.fullmatch(r"[A-Za-z0-9_.][A-Za-z0-9_.@\\-]{0,63}", user):
        raise ValueError(f"ansible_user: not the name of a user: {user!r:.60}")
    host = _text(variables, "ansible_host") or name
    if not _reachable(host):
        raise ValueError(f"ansible_host: not a host name or address: {host!r:.60}")
    key = _text(variables, "ansible_ssh_private_key_file") or _text(variables, "ansible_private_key_file")
    options = tuple(option for variable in _ARGUMENTS for option in _options(_text(variables, variable), variable))
    return Access(host, int(port) if port else None, user or None, key or None, options, _sudo(variables), interpreter)


def _reachable(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host.split("%", maxsplit=1)[0]))
    except ValueError:
        return re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})", host) is not None


def _text(variables: Mapping[str, Any], name: str) -> str:
    value = variables.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{name}: not text")
    text = str(value)
    if "{{" in text or "{%" in text:
        raise ValueError(f"{name}: a template, once it was rendered: what makes one is not rendered again")
    if not text.isprintable():
        raise ValueError(f"{name}: holds a line break or a control character")
    return text.strip()


def _sudo(variables: Mapping[str, Any]) -> bool:
    value = variables.get("ansible_become", False)
    if isinstance(value, str) and value.strip().lower() in (*_TRUE, *_FALSE):
        value = value.strip().lower() in _TRUE
    if not isinstance(value, bool):
        raise ValueError("ansible_become: neither true nor false")
    if value and (who := _text(variables, "ansible_become_user")) not in ("", "root"):
        raise ValueError(f"ansible_become_user: {who!r:.40}; what zkprov reads and lays needs root")
    if value and (method := _text(variables, "ansible_become_method")) not in ("", "sudo", "ansible.builtin.sudo"):
        raise ValueError(f"ansible_become_method: {method!r:.40}; zkprov knows sudo")
    return value


def _options(text: str, variable: str) -> Iterator[tuple[str, str]]:
    """ssh's arguments as words of `ssh_config`."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{variable}: cannot be split into words: {error}") from None
    while words:
        word = words.pop(0)
        flag, rest = word[1:2], word[2:]
        if not word.startswith("-") or word.startswith("--") or not flag:
            raise ValueError(f"{variable}: {word!r:.60} is no option of ssh that zkprov can follow")
        if flag == "o" or flag in _WITH_VALUE:
            if not rest and not words:
                raise ValueError(f"{variable}: {word} has no value")
            value = rest or words.pop(0)
            if flag != "o":
                yield _WITH_VALUE[flag], value
                continue
            match = _OPTION.fullmatch(value)
            if not match:
                raise ValueError(f"{variable}: not an option: {value!r:.60}")
            yield match[1], match[2].strip()
        elif set(word[1:]) - _NOTHING:
            raise ValueError(f"{variable}: {word!r:.60} is no option of ssh that zkprov can follow")
