"""Runs on a host, for zkprov to see what lies there of a server's own; reads, and changes nothing. Python 3.6 and later.

`ARGUMENTS` (see `zkprov.observe.installed`): files (name → path), max_bytes, unit, install_dir, java. Prints one JSON document.
`stands.py` and `releases.py` stand before it.
"""

# ruff: noqa: F821, PTH112, PTH123, UP031

import base64
import errno
import json
import os
import re
import shutil
import stat
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from zkprov.shipped.remote.releases import current, releases

    ARGUMENTS: "dict[str, Any]"

SHOWN = ("LoadState", "FragmentPath", "DropInPaths", "NeedDaemonReload")


def content(path: "str", most: "int") -> "dict[str, Any]":
    """`data` in base64, or `absent`, or the `problem` for which there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return {"absent": True}
        return {"problem": error.strerror}
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return {"problem": "not a file"}
        if found.st_size > most:
            return {"problem": "too large (%d bytes); not read" % found.st_size}
        # a folder has no file object at all
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return {"data": base64.b64encode(file.read(most)).decode("ascii")}
    except OSError as error:
        return {"problem": error.strerror}
    finally:
        os.close(descriptor)


def unit(name: "str", most: "int") -> "dict[str, Any] | None":
    if not name or not os.path.isdir("/run/systemd/system"):
        return None
    words = ["systemctl", "show", "--no-pager"] + ["--property=" + one for one in SHOWN] + ["--", name + ".service"]
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=8, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"problem": str(getattr(error, "strerror", None) or "systemctl does not end")}
    said = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        return {"problem": (said.strip().splitlines() or ["systemctl failed"])[-1]}
    shown = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    path = shown.get("FragmentPath", "")
    found = content(path, most) if path else {"absent": True}
    # a unit whose file was removed since it was read
    return {
        "path": "" if found.get("absent") else path,
        "file": found,
        "drop_ins": shown.get("DropInPaths", "").split(),
        "stale": shown.get("NeedDaemonReload") == "yes",
    }


def memory_kb() -> "int":
    try:
        with open("/proc/meminfo") as file:
            found = re.search(r"MemTotal:\s+(\d+)", file.read())
    except OSError:
        return 0
    return int(found.group(1)) if found else 0


def main(wanted: "dict[str, Any]") -> "dict[str, Any]":
    most = wanted["max_bytes"]
    return {
        "files": {name: content(path, most) for name, path in wanted["files"].items()},
        "unit": unit(wanted["unit"], most),
        "current": current(wanted["install_dir"]),
        "releases": releases(wanted["install_dir"]),
        "java": shutil.which(wanted["java"], path=os.environ.get("PATH", "") + ":/usr/local/bin:/usr/bin:/bin") or "",
        "memory_kb": memory_kb(),
    }


print(json.dumps(main(ARGUMENTS)))
