#!/usr/bin/python
# ruff: noqa: PTH110, PTH120, PTH123
"""What a host has of what a server needs; changes nothing. With `require`, what is missing is one error that tells all of it."""

import hashlib
import os
import pwd
import re
import shutil
import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.zkprov_owned import differs
from ansible.module_utils.zkprov_releases import current, is_there
from ansible.module_utils.zkprov_stands import Problem, at_rest, holder, holds_data, systemctl, unit_state

LEAST_JAVA = 11
OURS = "Written by zkprov"


def java_of(name: str) -> "dict[str, Any]":
    """`path` and `major` of the Java that `name` means here; an empty path where there is none."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/bin:/usr/bin:/bin")
    if not path:
        return {"path": "", "major": 0, "said": ""}
    try:
        done = subprocess.run(
            [path, "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False
        )
        said = done.stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return {"path": path, "major": int(found.group(1)) if found else 0, "said": said.strip().splitlines()[:1]}


def heap_of(memory_kb: int) -> str:
    """A third of the memory in steps of 64 MB, 4 GB at most, so that a reboot that finds a few pages less changes nothing."""
    return f"{max(64, min(4096, memory_kb // 1024 // 3 // 64 * 64))}m"


def memory_kb() -> int:
    with open("/proc/meminfo") as file:
        found = re.search(r"MemTotal:\s+(\d+)", file.read())
    return int(found.group(1)) if found else 0


def free_mb(folder: str) -> int:
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return shutil.disk_usage(folder).free // 1_000_000


def sha1_of(path: str) -> str:
    """Of root's file that everybody may read; empty for any other."""
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            ours = (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (0, 0, 0o644)
            return hashlib.sha1(file.read()).hexdigest() if ours else ""  # noqa: S324
    except OSError:
        return ""


def folders_of(p: "dict[str, Any]", foreign: bool) -> "list[dict[str, str]]":
    """Those that are not as they should be. Whoever wrote the unit laid the folders too: of those that are there only zoo.cfg's is
    closed to others, for a secret will lie in it.
    """
    changes = [change for wish in p["folders"] for change in [differs(wish, p["user"])] if change]
    if not foreign:
        return changes
    ours = [c for c in changes if c["path"] == p["config_dir"] or c["before"] == "not there"]
    return [c for c in ours if c["path"] != p["install_dir"]]


def look(p: "dict[str, Any]") -> "dict[str, Any]":
    state = unit_state(p["unit"])
    loaded = state.get("LoadState") == "loaded"
    foreign = loaded and OURS not in systemctl("cat", p["unit"] + ".service")
    try:
        user = bool(pwd.getpwnam(p["user"]))
    except KeyError:
        user = False
    return {
        "java": java_of(p["java"]),
        "heap": p["heap"] or heap_of(memory_kb()),
        "user": user,
        "systemd": bool(state),
        "foreign_unit": foreign,
        "unit": state,
        "unit_sha1": sha1_of(f"/etc/systemd/system/{p['unit']}.service"),
        "folders": folders_of(p, foreign),
        "at_rest": at_rest(f"{p['config_dir']}/zoo.cfg", p["unit"]),
        "release_there": bool(p["release"]) and is_there(p["install_dir"], p["release"]),
        "current": current(p["install_dir"]),
        "data": [f for f in dict.fromkeys((p["data_dir"], p["data_log_dir"])) if holds_data(f)],
        "disabled": os.path.exists(f"{p['control']}/disabled"),
        "fenced_by": holder(p["control"])[0],
        "free_mb": {
            f: free_mb(f) for f in dict.fromkeys((p["install_dir"], p["data_dir"], p["data_log_dir"], p["log_dir"]))
        },
    }


def missing(p: "dict[str, Any]", seen: "dict[str, Any]") -> "list[tuple[str, str]]":
    """(what, remedy) for each thing without which no server can be installed or started."""
    if p["start_command"]:
        return []
    wrong = []
    if not seen["systemd"]:
        wrong.append(("no systemd", "set zkprov_start_command, zkprov_stop_command and zkprov_is_active_command"))
    java, get = seen["java"], f"install Java {LEAST_JAVA} or later, or name it with zkprov_java"
    if not java["path"] and not p["java_comes"]:
        wrong.append((f"no executable {p['java']}", get))
    elif java["path"] and java["major"] < LEAST_JAVA:
        what = f"Java {java['major']}" if java["major"] else "no Java"
        wrong.append((f"{java['path']} is {what}", get))
    if not seen["foreign_unit"] and not p["classpath"] and not seen["release_there"]:
        if not p["release"] and not seen["current"]:
            wrong.append(("no release is named", "set zkprov_release"))
        elif p["release"] and not p["archive"]:
            what = f"ZooKeeper {p['release']} is not in {p['install_dir']}"
            get = "set zkprov_archive to an URL, or to a path on the machine that runs Ansible"
            own = f", or correct zkprov_unit: there is no unit {p['unit']} here"
            wrong.append((what, get + ("" if seen["unit"].get("LoadState") == "loaded" else own)))
    wrong += [(f"less than 100 MB are free at {f}", "make room there") for f, mb in seen["free_mb"].items() if mb < 100]
    return wrong


def main() -> None:
    words = (
        "config_dir",
        "data_dir",
        "data_log_dir",
        "log_dir",
        "install_dir",
        "control",
        "java",
        "unit",
        "user",
        "release",
    )
    texts = ("heap", "classpath", "archive", "start_command")
    module = AnsibleModule(
        argument_spec={
            **{word: {"type": "str", "required": True} for word in words},
            **{word: {"type": "str", "default": ""} for word in texts},
            "folders": {"type": "list", "elements": "dict", "default": []},
            "require": {"type": "bool", "default": False},
            "java_comes": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        seen = look(module.params)
    except Problem as problem:
        module.fail_json(**problem.told())
    wrong = missing(module.params, seen) if module.params["require"] else []
    if len(wrong) == 1:
        module.fail_json(**Problem("unhealthy", *wrong[0]).told(), **seen)
    if wrong:
        text = "; ".join(f"{what} ({remedy})" for what, remedy in wrong)
        module.fail_json(**Problem("unhealthy", text).told(), **seen)
    module.exit_json(changed=False, zkprov_result={"java": seen["java"]["path"], "current": seen["current"]}, **seen)


if __name__ == "__main__":
    main()
