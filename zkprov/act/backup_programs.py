"""The programs of a host's backups, carried out here or made ready for a host over SSH: the same text does the same on both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from zkprov.model.inventory import InventoryHost, for_others
from zkprov.model.problems import Busy, Interrupted, NotHealthy, NotSwitchable, Problem
from zkprov.shipped import shipped

QUICK_S, SLOW_S = 60.0, 3600.0
"""For an answer: of what reads a manifest, and of what reads all data."""
_SLOW = frozenset({"damaged", "load", "history", "reached", "restore", "disk_files"})
_OF_DISKS = frozenset({"disk_files", "disk_read"})


class _Answer(msgspec.Struct):
    """What a program on the host says. `kind`: busy, interrupted, fixed or unhealthy."""

    ok: Any = None
    problem: str = ""
    text: str = ""
    remedy: str = ""


_ANSWER = msgspec.json.Decoder(_Answer)


def answered(said: Any, act: str, name: str) -> Any:
    """What an act gave on the host `name`, or the problem that it met, raised."""
    try:
        answer = msgspec.convert(said, _Answer)
    except msgspec.ValidationError:
        raise NotHealthy(f"{act}: an answer that is none of ours", place=name) from None
    if not answer.problem:
        return answer.ok
    kinds: dict[str, type[Problem]] = {"busy": Busy, "interrupted": Interrupted, "fixed": NotSwitchable}
    raise kinds.get(answer.problem, NotHealthy)(answer.text, place=name, remedy=answer.remedy)


def backup_here(host: InventoryHost, act: str, given: Mapping[str, Any]) -> Any:
    """On this machine."""
    arguments = _arguments(host, act, given)
    if act in _OF_DISKS:
        from zkprov.shipped.remote import disk

        return answered(disk.answer(arguments), act, host.name)
    if act != "load":
        from zkprov.shipped.remote import backup

        return answered(backup.answer(arguments), act, host.name)
    # in a process of its own: it starts a server that is to end with it, whatever ends it
    text = f"import json\nARGUMENTS = json.loads({json.dumps(json.dumps(arguments))})\n{_text('load')}"
    done = subprocess.run(
        [sys.executable, "-"],
        input=text.encode(),
        capture_output=True,
        check=False,
        timeout=SLOW_S,
        env=for_others(os.environ),
    )
    try:
        return answered(json.loads(done.stdout), act, host.name)
    except json.JSONDecodeError:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise NotHealthy(f"{act}: {last or 'no answer'}"[:300], place=host.name) from None


def backup_program(host: InventoryHost, act: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any], float]:
    """What is to be run on the host, with what, and how many seconds it has."""
    program = _text("load") if act == "load" else _disk_text() if act in _OF_DISKS else _backup_text()
    return program, _arguments(host, act, given), SLOW_S if act in _SLOW else QUICK_S


def backup_variables(host: InventoryHost, given: Mapping[str, Any]) -> dict[str, str | float | bool]:
    """For the playbook that copies data."""
    return {
        "zkprov_backup_dir": host.backups,
        "zkprov_backup_keep": host.backup_keep,
        "zkprov_backup_name": given["name"],
        "zkprov_backup_data": True,
        "zkprov_backup_seal": False,
    }


def _arguments(host: InventoryHost, act: str, given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "act": act,
        "dir": host.backups,
        "keep": host.backup_keep,
        "config_dir": host.config_dir,
        "data_dir": host.data_dir,
        "data_log_dir": host.data_log_dir,
        **given,
    }
    if act == "load":
        found |= {
            "backup": _backup_text(),
            "java": host.java,
            "classpath": host.classpath,
            "install_dir": host.install_dir,
            "flags": list(host.flags),
            "user": host.user if host.connection != "local" else "",
        }
    return found


def _backup_text() -> str:
    return f"{_text('backup_files')}\n{_text('backup_folder')}\n{_text('backup')}"


def _disk_text() -> str:
    return f"{_text('backup_files')}\n{_text('disk')}"


@lru_cache(maxsize=4)
def _text(name: str) -> str:
    return (shipped("remote") / f"{name}.py").read_text()
