"""Hands the values of variables to zkprov by a pipe in a private folder: no result, no log and no callback sees them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

MOST = 100_000
# All that is told of a failure: other texts may quote what a value is made from.
UNDEFINED = re.compile(
    r"'\w[\w. ]{0,100}' is undefined|(object of type )?'[\w .]{1,60}' (object )?has no attribute '\w{1,100}'"
)


class ActionModule(ActionBase):  # type: ignore[misc]
    """Once, for all hosts: each is asked for its own variables, as a template of its own would see them."""

    BYPASS_HOST_LOOP = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        folder = Path(os.environ["ZKPROV_VALUES"])
        asked: dict[str, list[str]] = json.loads((folder / "asked").read_text())
        hosts = (task_vars or {})["hostvars"]
        answer = {host: {name: _value(hosts, host, name) for name in names} for host, names in asked.items()}
        (folder / "answer").write_text(json.dumps(answer))
        return result


def _value(hosts: Mapping[str, Mapping[str, Any]], host: str, name: str) -> dict[str, Any]:
    """{`value`}, or {`problem`}: a few words without any value."""
    try:
        value = _plain(hosts[host][name])
    except RecursionError:
        return {"problem": "renders itself, without end"}
    except Exception as error:  # a template is a program of the operator's: whatever it throws is told
        found = UNDEFINED.search(str(error))
        return {"problem": found[0] if found else f"cannot be rendered ({type(error).__name__})"}
    if len(json.dumps(value)) > MOST:
        return {"problem": f"renders to more than {MOST} characters"}
    return {"value": value}


def _plain(value: Any) -> Any:
    """As JSON has it; Ansible's own kinds of text and numbers are made plain ones."""
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value)
