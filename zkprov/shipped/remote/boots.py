# ruff: noqa: PTH115, PTH118, PTH123, PTH208, UP006, UP032, UP035, UP045
# It runs on whatever Python a host has, 3.6 or later.
"""Which boot a host is in, and the order of the next one: given once for a run and a server, whoever asks, and how often.

Run as a program behind the text of `stands.py` it prints one JSON document, as `act.py` does; Ansible's module goes by the same text. What
was ordered lies in the control folder, in `reboot`: run, server, and the boot in which it was ordered.
"""

import contextlib
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

if TYPE_CHECKING or __name__.startswith("zkprov."):
    from zkprov.shipped.remote.stands import MAIN_CLASS, Problem, alone, run, same, still_mine, text_in, write
elif __name__.startswith("ansible."):
    from ansible.module_utils.zkprov_stands import MAIN_CLASS, Problem, alone, run, same, still_mine, text_in, write

DELAY_S = 1
"""Before it goes down: for the answer to get away."""


def boot() -> str:
    """The kernel's boot id; when process 1 began, in clock ticks; and whose process 1 it is: containers may all share the first."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            ident = file.read().strip()
        with open("/proc/1/stat", "rb") as stat:
            began = int(stat.read().rpartition(b")")[2].split()[19])
        space = os.readlink("/proc/self/ns/pid")
    except (OSError, ValueError, IndexError) as error:
        raise Problem("unhealthy", f"its boot cannot be told: {error}", "let zkprov be root there") from None
    return f"{ident} {began} {space}"


def state() -> str:
    """systemd's word for the whole machine; empty without systemd."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return run(["systemctl", "is-system-running"], 20.0).stdout.decode(errors="replace").strip()
    return ""


def others(zoo_cfg: str) -> List[str]:
    """zoo.cfg of each server that runs here, and is not on this one."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                argument = os.fsdecode(words[words.index(MAIN_CLASS) + 1])
                if argument != zoo_cfg and not same(f"/proc/{name}/cwd", argument, zoo_cfg):
                    found.add(argument)
    return sorted(found)


def ordered(control: str) -> "Optional[Tuple[str, int, str]]":
    """(run, server, boot in which it was ordered) of the reboot that was asked for last."""
    words = text_in(os.path.join(control, "reboot")).split(" ", 2)
    return (words[0], int(words[1]), words[2]) if len(words) == 3 and words[1].isdigit() else None


def note(control: str, run: str, attempt: int, server: int) -> bool:
    """On the disk before the order. Whether it is still to be given: in another boot than the one that was noted it was carried out."""
    with alone(control):
        still_mine(control, run, attempt)
        before, now = ordered(control), boot()
        if before is not None and before[:2] == (run, server):
            return before[2] == now
        write(os.path.join(control, "reboot"), f"{run} {server} {now}".encode())
        return True


def order(control: str, run: str, attempt: int, only_in: str) -> bool:
    """The reboot, in a moment; whether it was ordered. Not by whoever has lost the host, nor in another boot than `only_in`."""
    with alone(control):
        still_mine(control, run, attempt)
        if boot() != only_in:
            return False
        go_down()
        return True


def go_down() -> None:
    """By a unit of its own, where there is systemd: what was started over SSH may end with its session."""
    later = [
        "systemd-run",
        "--quiet",
        f"--on-active={DELAY_S}",
        "--timer-property=AccuracySec=100ms",
        "systemctl",
        "reboot",
    ]
    with contextlib.suppress(FileNotFoundError):
        done = run(later, 20.0)
        if done.returncode == 0:
            return
        said = done.stderr.decode(errors="replace").strip().splitlines()
        text = f"systemd-run: {said[-1][:200] if said else done.returncode}"
        raise Problem("unhealthy", f"no reboot: {text}", "reboot it by hand to see why")
    nothing = subprocess.DEVNULL
    subprocess.Popen(
        ["sh", "-c", f"sleep {DELAY_S}; shutdown -r now || reboot"],
        stdin=nothing,
        stdout=nothing,
        stderr=nothing,
        start_new_session=True,
    )


# --- as a program


def act(a: Dict[str, Any]) -> Any:
    control = a["control"]
    if a["act"] == "note":
        return note(control, a["run"], a["attempt"], a["server"])
    return {"boot": boot(), "state": state(), "others": others(a["zoo_cfg"]), "ordered": ordered(control)}


def answer(a: Dict[str, Any]) -> Dict[str, Any]:
    """What `act` gives, or the problem, as one document."""
    try:
        try:
            return {"ok": act(a)}
        except OSError as error:
            what = "{}: {}".format(error.filename or control_of(a), error.strerror or error)
            raise Problem("unhealthy", what, "let zkprov be root there: ansible_become: true") from None
    except Problem as problem:
        return {"problem": problem.kind, "text": problem.text, "remedy": problem.remedy}


def control_of(a: Dict[str, Any]) -> str:
    return str(a.get("control", "the disk"))


if "ARGUMENTS" in globals():
    print(json.dumps(answer(globals()["ARGUMENTS"])))
