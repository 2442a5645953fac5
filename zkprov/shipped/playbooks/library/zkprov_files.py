#!/usr/bin/python
# ruff: noqa: PTH103, PTH104, PTH105, PTH108, PTH110, PTH114, PTH119, PTH120, PTH123
"""Lays a new server's files, which zkprov rendered and judged: all or none, durable, and only where no server has been."""

import base64
import contextlib
import hashlib
import json
import os
import pwd
import re
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.zkprov_act import mark_disk
from ansible.module_utils.zkprov_stands import (
    Problem,
    alone,
    at_rest,
    disk_problem,
    holds_data,
    still_mine,
    sync_folder,
    systemctl,
    unit_state,
    write,
)

# nobody's but the server's user's
PRIVATE = {"jaas.conf": 0o600}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
KEPT = ("zoo.cfg", "logback.xml")
OF_UNIT = ("jvm_flags", "logback.xml")
OURS = "Written by zkprov"
SECRET = re.compile(r"(?i)^(\s*[^#=:\s]*(?:pass|secret|digest|credential)[^=:\s]*\s*[=:]\s*).*$", re.MULTILINE)


def content_of(path: str) -> "bytes | None":
    # not through a link of the server's user: root reads more than he may, and a diff shows it
    if os.path.islink(path) and os.lstat(path).st_uid != 0:
        return b""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def shown(path: str, content: "bytes | None") -> str:
    """For a diff: text, with the secrets in it left out; all of a file that has nothing else."""
    if os.path.basename(path) in PRIVATE and content:
        return "(hidden)\n"
    return SECRET.sub(r"\1(hidden)", (content or b"").decode(errors="replace"))


def foreign(unit: str) -> bool:
    """Whether somebody else wrote the unit."""
    return unit_state(unit).get("LoadState") == "loaded" and OURS not in systemctl("cat", unit + ".service")


def laid_before(control: str) -> "dict[str, str]":
    """Name → SHA-256 of what was laid here last."""
    with contextlib.suppress(OSError, ValueError), open(f"{control}/laid") as file:
        known = json.load(file)
        return known if isinstance(known, dict) else {}
    return {}


def original(path: str, run: str) -> str:
    """A name beside `path` that is free."""
    name = f"{path}.{run or 'by-hand'}.orig"
    number = 1
    while os.path.lexists(name):
        number += 1
        name = f"{path}.{run or 'by-hand'}.{number}.orig"
    return name


def lay_all(files: "dict[str, bytes]", owner: str, modes: "dict[str, int]") -> None:
    """All on the disk under other names, then renamed; zoo.cfg last, without which no server starts."""
    ready: dict[str, str] = {}
    user = pwd.getpwnam(owner)
    try:
        for path, content in files.items():
            descriptor, ready[path] = tempfile.mkstemp(dir=os.path.dirname(path), prefix=f".{os.path.basename(path)}.")
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), user.pw_uid, user.pw_gid)
                os.fchmod(file.fileno(), modes.get(os.path.basename(path), 0o640))
                file.flush()
                os.fsync(file.fileno())
        for path in sorted(ready, key=lambda path: path.endswith("/zoo.cfg")):
            os.replace(ready.pop(path), path)
            sync_folder(os.path.dirname(path))
    finally:
        for unfinished in ready.values():
            with contextlib.suppress(OSError):
                os.unlink(unfinished)


def make_folders(p: "dict[str, Any]") -> None:
    user = pwd.getpwnam(p["user"])
    for folder in (p["config_dir"], p["data_dir"], p["data_log_dir"], p["log_dir"]):
        if not os.path.exists(folder):
            os.makedirs(folder, mode=0o750)
            if os.geteuid() == 0:
                os.chown(folder, user.pw_uid, user.pw_gid)


def configure(p: "dict[str, Any]", check: bool) -> "dict[str, Any]":
    folders = {"myid": p["data_dir"], "initialize": p["data_log_dir"]}
    for name in p["files"]:
        if not NAME.fullmatch(name):
            raise Problem("unhealthy", f"not a plain file name: {name!r}", "name files without folders")
    wanted = {f"{folders.get(n, p['config_dir'])}/{n}": base64.b64decode(c) for n, c in p["files"].items()}
    still_mine(p["control"], p["run"], p["attempt"])
    before = {path: content_of(path) for path in wanted}
    if foreign(p["unit"]):
        # whoever wrote the unit says how the server is started, and how it logs
        wanted = {f: c for f, c in wanted.items() if os.path.basename(f) not in OF_UNIT or before[f] is None}
    other = [path for path, content in wanted.items() if before[path] != content]
    if not other and not p["run"]:
        return {"changed": False}
    if not at_rest(f"{p['config_dir']}/zoo.cfg", p["unit"]):
        raise Problem("unhealthy", "a server is running here", "stop it first, if it is not needed")
    for folder in (p["data_dir"], p["data_log_dir"]):
        if holds_data(folder):
            text = f"{folder}/version-2 is not empty: a server that comes in must have no data (R5)"
            raise Problem("unhealthy", text, f"if nobody needs it, set it aside: mv {folder} {folder}.set-aside")
    diff = [
        {"before_header": f, "after_header": f, "before": shown(f, before[f]), "after": shown(f, wanted[f])}
        for f in other
    ]
    result: dict[str, Any] = {"changed": bool(other), "diff": diff}
    if check:
        return result
    with alone(p["control"]):
        # once more, where nobody can take it meanwhile
        still_mine(p["control"], p["run"], p["attempt"])
        make_folders(p)
        known = laid_before(p["control"])
        for path in other:
            there, name = before[path], os.path.basename(path)
            if name in KEPT and there is not None and hashlib.sha256(there).hexdigest() != known.get(name):
                kept = original(path, p["run"])
                os.rename(path, kept)
                result["kept"] = kept if name == "zoo.cfg" else result.get("kept", kept)
        if other:
            # what ZooKeeper itself rewrites, it takes over with the folder's mode
            lay_all({path: wanted[path] for path in other}, p["user"], PRIVATE)
            sums = {os.path.basename(path): hashlib.sha256(content).hexdigest() for path, content in wanted.items()}
            write(f"{p['control']}/laid", json.dumps({**known, **sums}).encode())
        mark = mark_disk([p["data_dir"], p["data_log_dir"]])
    result["zkprov_result"] = {"mark": mark, **({"kept": result["kept"]} if "kept" in result else {})}
    return result


def main() -> None:
    words = ("config_dir", "data_dir", "data_log_dir", "log_dir", "control", "unit", "user")
    module = AnsibleModule(
        argument_spec={
            **{word: {"type": "str", "required": True} for word in words},
            "run": {"type": "str", "default": ""},
            "attempt": {"type": "int", "default": 0},
            "files": {"type": "dict", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    try:
        try:
            result = configure(module.params, module.check_mode)
        except OSError as error:
            raise disk_problem(error) from None
        except KeyError:
            raise Problem("unhealthy", f"no user {module.params['user']}", "install first") from None
    except Problem as problem:
        module.fail_json(**problem.told())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
