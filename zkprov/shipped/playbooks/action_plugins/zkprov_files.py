"""Reads the rendered files on this machine and hands them to the module, so that they go to the host in one piece."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

MOST = 1_000_000


class ActionModule(ActionBase):  # type: ignore[misc]
    """`src`: a folder with plain files."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        source = str(arguments.pop("src", "") or "")
        folder = Path(source)
        if not source or not folder.is_dir():
            what = f"{source} is no folder" if source else "no files are named"
            return {**result, **_refused(what, "set zkprov_files to what `zkprov render` has written")}
        files = {}
        for path in sorted(folder.iterdir()):
            if path.is_file():
                if path.stat().st_size > MOST:
                    return {**result, **_refused(f"{path.name} is larger than {MOST} bytes", "take it out")}
                files[path.name] = base64.b64encode(path.read_bytes()).decode()
        arguments["files"] = files
        return {**result, **self._execute_module("zkprov_files", module_args=arguments, task_vars=task_vars)}


def _refused(text: str, remedy: str) -> dict[str, Any]:
    """As the modules fail."""
    problem = {"kind": "unhealthy", "text": text, "remedy": remedy}
    return {"failed": True, "msg": f"{text} ({remedy})", "zkprov_problem": problem}
