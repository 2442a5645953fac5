"""Takes an archive of this machine to the host, but only where the host lacks the release and has the room for it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    """Two rounds: the module says what it needs, and gets it."""

    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        archive, keyring = str(arguments.get("archive") or ""), str(arguments.get("keyring") or "")
        local = bool(archive) and "://" not in archive
        asked = {**arguments, "size": _size(archive) if local else 0}
        first: dict[str, Any] = self._execute_module("zkprov_release", module_args=asked, task_vars=task_vars)
        if first.get("failed") or not first.get("wants"):
            return {**result, **first}
        sent = {}
        wanted = {"archive": archive, "signature": f"{archive}.asc"} if local else {}
        wanted = {k: v for k, v in wanted.items() if k == "archive" or keyring}
        if keyring:
            wanted["keyring"] = keyring
        for what, path in wanted.items():
            if not Path(path).is_file():
                variable = "zkprov_archive (or zkprov_releases)" if what == "archive" else "zkprov_archive_keyring"
                return {**result, **_refused(f"{path} is not on this machine", f"put it there, or correct {variable}")}
        if local and (wrong := _wrong_sum(archive, str(arguments.get("sha512") or ""))):
            return {**result, **_refused(wrong, "get the archive anew, or correct the sum")}
        if self._task.check_mode:
            return {**result, **first}
        try:
            if wanted:
                self._make_tmp_path()
            for kind, path in wanted.items():
                there = self._connection._shell.join_path(self._connection._shell.tmpdir, kind)
                self._transfer_file(path, there)
                sent[kind] = there
            final = {**asked, "sent": sent}
            second = self._execute_module("zkprov_release", module_args=final, task_vars=task_vars)
        finally:
            if wanted:
                self._remove_tmp_path(self._connection._shell.tmpdir)
        return {**result, **second}


def _size(archive: str) -> int:
    try:
        return Path(archive).stat().st_size
    except OSError:
        return 0


def _wrong_sum(archive: str, want: str) -> str:
    """Looked at before the way is paid for; the host looks again at what has arrived."""
    with Path(archive).open("rb") as file:
        found = hashlib.file_digest(file, "sha512").hexdigest()
    if want and found != want.lower():
        return f"{archive} is not what its sha512 in the inventory says: its SHA-512 is {found[:16]}…"
    return ""


def _refused(text: str, remedy: str) -> dict[str, Any]:
    """As the modules fail."""
    problem = {"kind": "unhealthy", "text": text, "remedy": remedy}
    return {"failed": True, "msg": f"{text} ({remedy})", "zkprov_problem": problem}
