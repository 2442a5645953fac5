"""Parameters in a runbook's values: `{{ name }}`, as in Ansible, and nothing more: whoever checks a file runs nothing of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MARK = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
LONGEST = 4096


def filled(value: Any, parameters: Mapping[str, str]) -> Any:
    """`value` with the parameters in it, in every text of a list too. Raises `ValueError` for one that is not there."""
    if isinstance(value, list):
        return [filled(item, parameters) for item in value]
    if not isinstance(value, str) or "{" not in value:
        return value

    def put(match: re.Match[str]) -> str:
        name = match[1].strip()
        if name not in parameters:
            raise ValueError(f"there is no parameter {name[:60]!r}")
        return parameters[name]

    text = MARK.sub(put, value)
    if "{{" in MARK.sub("", value) or "{%" in value:
        raise ValueError("a parameter is `{{ name }}`, and nothing else is a template here")
    if len(text) > LONGEST:
        raise ValueError(f"longer than {LONGEST} letters")
    return text
