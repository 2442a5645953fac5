#!/usr/bin/python
# ruff: noqa: PTH110
"""Starts, stops or retires the server: systemd's unit, or whatever process runs on its zoo.cfg."""

import errno
import os
import socket
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.zkprov_act import (
    command,
    disable,
    stop_unit,
)
from ansible.module_utils.zkprov_stands import (
    Problem,
    at_rest,
    disk_problem,
    held,
    servers,
    set_aside,
    still_mine,
    systemctl,
    unit_state,
)


def started(p: "dict[str, Any]", check: bool) -> bool:
    if os.path.exists(f"{p['control']}/disabled"):
        raise Problem("unhealthy", "this server was disabled when it left", "enable it first")
    if p["start_command"]:
        if runs_by_command(p):
            return False
        if not check:
            told(p["start_command"])
        return True
    unit = p["unit"] + ".service"
    state = unit_state(p["unit"])
    if not state:
        raise Problem("unhealthy", "no systemd here", "set zkprov_start_command and its like")
    if state.get("LoadState") != "loaded":
        raise Problem("unhealthy", f"no unit {unit}", "install first, or correct zkprov_unit")
    changed = False
    if state.get("UnitFileState") == "disabled":
        changed = True
        if not check:
            systemctl("enable", "--quiet", unit)
    if not servers(zoo_cfg(p)) and (state.get("ActiveState") != "active"):
        changed = True
        if not check:
            launch(p, unit)
    return changed


def launch(p: "dict[str, Any]", unit: str) -> None:
    if not os.path.isfile(zoo_cfg(p)):  # noqa: PTH113
        raise Problem("unhealthy", f"no {zoo_cfg(p)}", "configure the host first")
    ports_are_free(p)
    state = unit_state(p["unit"])
    if state.get("NeedDaemonReload") == "yes":
        systemctl("daemon-reload")
    # a unit that gave up earlier would be refused for its past failures
    if state.get("ActiveState") == "failed":
        systemctl("reset-failed", unit)
    systemctl("start", unit)
    state = unit_state(p["unit"])
    if state.get("ActiveState") not in ("active", "activating"):
        text = f"{unit} does not start: {state.get('ActiveState')}, {state.get('Result')}"
        raise Problem("unhealthy", text, f"see: journalctl -u {unit}")


def ports_are_free(p: "dict[str, Any]") -> None:
    """A server without its election port follows, is promoted, and ends seconds later by itself (3.9.5, measured)."""
    for variable, port in (p["ports"] or {}).items():
        try:
            family, kind, _, _, address = socket.getaddrinfo(p["address"], int(port), type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                remedy = f"free it, or correct {variable} in the inventory"
                raise Problem("unhealthy", f"port {port} ({variable}) is taken", remedy) from None


def stopped(p: "dict[str, Any]", check: bool) -> bool:
    if p["stop_command"]:
        if not runs_by_command(p):
            return False
        if not check:
            told(p["stop_command"])
        return True
    if check:
        return not at_rest(zoo_cfg(p), p["unit"])
    return bool(stop_unit(zoo_cfg(p), p["unit"], p["timeout"]))


def retired(p: "dict[str, Any]", check: bool) -> bool:
    """Disabled before it is stopped: whatever happens in between, it is not started again."""
    folders = list(dict.fromkeys(p["folders"]))
    outer = [f for f in folders if not any(f.startswith(other + "/") for other in folders)]
    if check:
        return stopped(p, True) or not os.path.exists(f"{p['control']}/disabled") or any(map(to_move, outer))
    changed = disable(p["control"], p["unit"])
    changed |= stopped(p, False)
    there = [f for f in outer if to_move(f)]
    set_aside(there, p["label"])
    return changed or bool(there)


def to_move(folder: str) -> bool:
    """A mount point stays."""
    return bool(held(folder)) if os.path.ismount(folder) else os.path.lexists(folder)


def zoo_cfg(p: "dict[str, Any]") -> str:
    return f"{p['config_dir']}/zoo.cfg"


def runs_by_command(p: "dict[str, Any]") -> bool:
    return not p["is_active_command"] or bool(command(p["is_active_command"])["code"] == 0)


def told(text: str) -> None:
    done = command(text)
    if done["code"] != 0:
        said = f": {done['said']}" if done["said"] else ""
        raise Problem("unhealthy", f"`{text}` failed with exit code {done['code']}{said}", "run it by hand to see why")


def main() -> None:
    texts = ("start_command", "stop_command", "is_active_command", "run", "label", "address")
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": ["started", "stopped", "retired"]},
            **{word: {"type": "str", "required": True} for word in ("unit", "config_dir", "control")},
            **{word: {"type": "str", "default": ""} for word in texts},
            "attempt": {"type": "int", "default": 0},
            "timeout": {"type": "float", "default": 30.0},
            "folders": {"type": "list", "elements": "str", "default": []},
            "ports": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    p = module.params
    acts = {"started": started, "stopped": stopped, "retired": retired}
    try:
        try:
            # by hand a server may be stopped whoever has the host
            if p["run"] or p["state"] == "retired":
                still_mine(p["control"], p["run"], p["attempt"])
            changed = acts[p["state"]](p, module.check_mode)
        except OSError as error:
            raise disk_problem(error) from None
    except Problem as problem:
        module.fail_json(**problem.told())
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
