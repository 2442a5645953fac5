"""Ansible's ssh is to notice a host that has fallen silent: it would else wait for an answer for as long as a play may take."""

from __future__ import annotations

import configparser
import os
import stat
from pathlib import Path

VARIABLE = "ANSIBLE_SSH_EXTRA_ARGS"
ALIVE = "-o ServerAliveInterval=10 -o ServerAliveCountMax=3"
"""Silent for 40 s is gone. ssh takes the first value that it is given: the operator's own go before it."""


def ssh_extra_args() -> str:
    """For Ansible's environment: what the operator has there or in ansible.cfg, and `ALIVE`. (The inventory's go before both.)"""
    own = os.environ.get(VARIABLE)
    return f"{_configured() if own is None else own} {ALIVE}".strip()


def _configured() -> str:
    """`ssh_extra_args` of the ansible.cfg that Ansible finds; empty where there is none that can be read."""
    found = next((path for path in _places() if os.access(path, os.R_OK)), None)
    if found is None:
        return ""
    parser = configparser.ConfigParser(inline_comment_prefixes=(";",), interpolation=None)
    try:
        parser.read_string(found.read_text())
    except (OSError, ValueError, configparser.Error):
        return ""  # Ansible itself says what is wrong with it
    return parser.get("ssh_connection", "ssh_extra_args", fallback="").strip()


def _places() -> list[Path]:
    """In Ansible's order; it takes none from a folder where anybody may write."""
    found = []
    if given := os.environ.get("ANSIBLE_CONFIG"):
        named = Path(given).expanduser()
        found.append(named / "ansible.cfg" if named.is_dir() else named)
    if not Path.cwd().stat().st_mode & stat.S_IWOTH:
        found.append(Path("ansible.cfg"))
    return [*found, Path("~/.ansible.cfg").expanduser(), Path("/etc/ansible/ansible.cfg")]
