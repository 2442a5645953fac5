"""What Ansible's events say of one play: what changed, what was given back, why it failed; and what of that may be kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec


class Told(msgspec.Struct):
    """What the events of one play said."""

    changed: int = 0
    facts: dict[str, Any] = {}
    diff: list[str] = []
    task: str = ""
    failed: dict[str, Any] | None = None
    unreachable: bool = False


def hear(event: dict[str, Any], told: Told) -> dict[str, Any] | None:
    """Takes from an event what the result needs, and returns what may be kept of it."""
    kind, data = str(event.get("event", "")), event.get("event_data") or {}
    if kind == "playbook_on_task_start":
        told.task = str(data.get("name") or data.get("task") or "")
        return None
    outcome = kind.removeprefix("runner_on_")
    if outcome not in ("ok", "failed", "unreachable", "skipped"):
        return None
    result = data.get("res")
    result = result if isinstance(result, dict) else {}
    changed = outcome == "ok" and result.get("changed") is True
    told.changed += changed
    if outcome == "ok":
        given = result.get("zkprov_result") or (result.get("ansible_facts") or {}).get("zkprov_result")
        if isinstance(given, dict):
            told.facts = {**told.facts, **given}
        told.diff += diff_of(result.get("diff"))
    elif outcome in ("failed", "unreachable") and not data.get("ignore_errors"):
        told.failed, told.unreachable = result, outcome == "unreachable"
        told.task = str(data.get("task") or told.task)
    line = {
        "time": str(event.get("created", "")),
        "host": str(data.get("host", "")),
        "task": str(data.get("task", "")),
        "outcome": outcome,
        "changed": changed,
    }
    if outcome in ("failed", "unreachable"):
        line["message"] = message_of(result)
    return line


def part_of(name: str, event: Mapping[str, Any]) -> str:
    """Which playbook an event is of: of one made of several (`configure_and_start`) the one whose play has its name."""
    play = str((event.get("event_data") or {}).get("play") or "").lower()
    return play if play in name.split("_and_") else name


def diff_of(diff: Any) -> list[str]:
    lines: list[str] = []
    for one in diff if isinstance(diff, list) else [diff]:
        if not isinstance(one, dict):
            continue
        if one.get("prepared"):
            lines += str(one["prepared"]).splitlines()
            continue
        before, after = str(one.get("before") or ""), str(one.get("after") or "")
        if before != after:
            from difflib import unified_diff

            old, new = (str(one.get(f"{side}_header") or side) for side in ("before", "after"))
            told = unified_diff(before.splitlines(), after.splitlines(), old, new, lineterm="")
            lines += list(told)
    return lines


def message_of(result: Mapping[str, Any]) -> str:
    """The reason, in one line. What is said to standard output or error is only told where there is nothing else."""
    if result.get("censored"):
        return "it failed, and its output is withheld (no_log)"
    parts = [str(result.get(key) or "") for key in ("msg", "stderr", "module_stderr", "stdout", "exception")]
    text = next((part for part in parts if part.strip()), "it failed and says nothing")
    if text.startswith(("non-zero return code", "MODULE FAILURE")) and (more := parts[1] or parts[2] or parts[3]):
        text = f"{text.splitlines()[0]}: {more.strip().splitlines()[-1]}"
    return condensed(text)


def condensed(text: str) -> str:
    return re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text)).strip()[:400]
