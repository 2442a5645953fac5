# ruff: noqa: PTH103, PTH108, PTH110, PTH112, PTH118, PTH120, PTH123, UP006, UP035
# It runs on whatever Python a host has, 3.6 or later.
"""What zkprov does to a host without Ansible, and what its Ansible modules share, by what `stands.py` says of it.

It is run as a program with `ARGUMENTS` (`act`, and that act's own), and prints one JSON document: `{"ok": …}`, or `{"problem": kind,
"text": …, "remedy": …}` with the kinds busy, interrupted, fixed (`NotSwitchable`) and unhealthy. Files and meaning are those of
`zkprov.act.local.LocalHost`; the control folder is /var/lib/zkprov/<host>.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
import time
from typing import TYPE_CHECKING, Any, Dict, List

if TYPE_CHECKING or __name__.startswith("zkprov."):
    from zkprov.shipped.remote.releases import current, goes_by_current, is_there, releases, switch
    from zkprov.shipped.remote.stands import (
        COPY,
        Problem,
        at_rest,
        disk_problem,
        exists,
        fence,
        holder,
        holds_data,
        is_active,
        run,
        servers,
        set_aside,
        still_mine,
        sync_folder,
        systemctl,
        text_in,
        unfence,
        unit_state,
        write,
    )
elif __name__.startswith("ansible."):
    from ansible.module_utils.zkprov_releases import current, goes_by_current, is_there, releases, switch
    from ansible.module_utils.zkprov_stands import (
        COPY,
        Problem,
        at_rest,
        disk_problem,
        exists,
        fence,
        holder,
        holds_data,
        is_active,
        run,
        servers,
        set_aside,
        still_mine,
        sync_folder,
        systemctl,
        text_in,
        unfence,
        unit_state,
        write,
    )

DISK, NOTE = ".zkprov-disk", ".zkprov-data"
COMMAND_TIMEOUT_S = 120.0
POINTER = re.compile(rb"^[ \t]*dynamicConfigFile[ \t]*[=:].*$", re.MULTILINE)


# --- files


def lay_list(path: str, content: bytes) -> None:
    """In place of the dynamic file at `path`, with its owner and rights."""
    before = os.lstat(path)
    if not stat.S_ISREG(before.st_mode):
        raise Problem("unhealthy", f"{path} is no file", "look what it is")
    write(path, content, before.st_mode & 0o777, before)


def index_of(kept: str) -> Dict[str, str]:
    """As `zkprov.act.former`: place → the name that its former content has in the folder `kept`, empty where there was none."""
    try:
        with open(os.path.join(kept, "index")) as file:
            return dict(json.load(file))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}


def read_zoo_cfg(zoo_cfg: str) -> str:
    """Each byte a character: what it is written back as."""
    regular(zoo_cfg)
    with os.fdopen(os.open(zoo_cfg, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return file.read().decode("latin-1")


def edit_zoo_cfg(kept: str, zoo_cfg: str, text: str, was: str) -> None:
    """`text` in place of the file whose SHA-256 was `was`."""
    if hashlib.sha256(read_zoo_cfg(zoo_cfg).encode("latin-1")).hexdigest() != was:
        raise Problem("unhealthy", f"{zoo_cfg} was written by somebody else just now", "see who writes it")
    lay_files(kept, {zoo_cfg: text}, "", "latin-1")


def lay_files(kept: str, files: Dict[str, str], unit: str, charset: str = "utf-8") -> None:
    """In place of what is there, which is in `kept` by then; a new one is its folder's owner's. zoo.cfg last."""
    known = index_of(kept)
    check_files(list(files))
    os.makedirs(kept, mode=0o700, exist_ok=True)
    for place in files:
        if place in known:
            continue
        name = ""
        if os.path.lexists(place):
            name = str(len(known))
            with os.fdopen(os.open(place, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                write(os.path.join(kept, name), file.read())
        known[place] = name
        write(os.path.join(kept, "index"), json.dumps(known).encode())
    sync_folder(os.path.dirname(kept))
    for place in sorted(files, key=lambda p: p.endswith("/zoo.cfg")):
        replace(place, files[place].encode(charset))
    read_units(files, unit)


def put_back(kept: str, unit: str) -> bool:
    """What `lay_files` replaced, with the list that the member goes by now (R10)."""
    known = index_of(kept)
    for place, name in known.items():
        if name:
            with open(os.path.join(kept, name), "rb") as file:
                former = file.read()
            now = b""
            if os.path.lexists(place):
                regular(place)
                with os.fdopen(os.open(place, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                    now = file.read()
            pointer = POINTER.findall(now)
            if pointer and not POINTER.search(former):
                continue  # its list has a version since, and `former` has none
            replace(place, POINTER.sub(lambda _: pointer[-1], former) if pointer else former)  # noqa: B023
        elif os.path.lexists(place):
            os.unlink(place)
            sync_folder(os.path.dirname(place))
    read_units(known, unit)
    drop_former(kept)
    return bool(known)


def drop_former(kept: str) -> None:
    """The index first: without it there is nothing to put back, whatever is left of the rest."""
    if os.path.isdir(kept):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(kept, "index"))
        sync_folder(kept)
        shutil.rmtree(kept, ignore_errors=True)


def check_files(places: List[str]) -> None:
    for place in places:
        if os.path.lexists(place):
            regular(place)
        elif not os.path.isdir(os.path.dirname(place)):
            raise Problem("unhealthy", f"{os.path.dirname(place)} is no folder", "look what it is")


def regular(place: str) -> os.stat_result:
    """Not through a link of the server's user: root reads and writes more than he may."""
    found = os.lstat(place)
    if stat.S_ISLNK(found.st_mode):
        raise Problem("unhealthy", f"{place} is a link", "name the folder where the file itself lies, or put it there")
    if not stat.S_ISREG(found.st_mode):
        raise Problem("unhealthy", f"{place} is no file", "look what it is")
    return found


def replace(place: str, content: bytes) -> None:
    if os.path.lexists(place):
        before = regular(place)
        write(place, content, before.st_mode & 0o777, before)
    else:
        write(place, content, 0o644 if place.endswith(".service") else 0o600)


def read_units(places: Any, unit: str) -> None:
    if any(place.endswith(f"/{unit}.service") for place in places):
        systemctl("daemon-reload")


def mark_disk(folders: List[str]) -> str:
    """As `zkprov.act.disk_marks.lay_mark`. `folders`: dataDir and dataLogDir."""
    data_dir, versions = folders[0], [os.path.join(f, "version-2") for f in dict.fromkeys(folders)]
    mark = text_in(os.path.join(data_dir, DISK))
    noted = bool(mark) and text_in(os.path.join(data_dir, NOTE)) == mark
    data = any(holds_data(f) for f in folders)
    if not mark or (noted and not (data and all(text_in(os.path.join(v, COPY)) == mark for v in versions))):
        mark, noted = secrets.token_hex(8), False
        write(os.path.join(data_dir, DISK), f"{mark}\n".encode())
    if not noted and data and all(os.path.isdir(v) for v in versions):
        for version in versions:
            write(os.path.join(version, COPY), f"{mark}\n".encode())
        write(os.path.join(data_dir, NOTE), f"{mark}\n".encode())
    return mark


# --- the server


def end(zoo_cfg: str, timeout_s: float) -> bool:
    """SIGTERM (a paused one is woken for it), SIGKILL after `timeout_s` seconds. Whether all are gone 5 s after that."""
    for number, wait_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, 5.0)):
        if number == signal.SIGTERM and timeout_s <= 0:
            continue
        told = servers(zoo_cfg)
        for pid, _ in told:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                if number == signal.SIGTERM:
                    os.kill(pid, signal.SIGCONT)
        deadline = time.monotonic() + wait_s
        while told and time.monotonic() < deadline:
            time.sleep(0.02)
            told = [one for one in servers(zoo_cfg) if one in told]
        if not told:
            break
    return not servers(zoo_cfg)


OTHERS_S = 30.0  # for an `ExecStop=`


def stop_unit(zoo_cfg: str, unit: str, timeout_s: float) -> bool:
    """The unit, and whatever else runs on its zoo.cfg; by force after `timeout_s` seconds. Whether anything ran."""
    if at_rest(zoo_cfg, unit):
        return False
    name = unit + ".service"
    state = unit_state(unit)
    if state.get("ActiveState", "inactive") not in ("inactive", "failed"):
        if state.get("ExecStop"):
            # a command of somebody else's, who may do more with it than end the server
            timeout_s = max(timeout_s, OTHERS_S)
        systemctl("stop", "--no-block", name)
        if not unit_ended(unit, timeout_s):
            try:
                systemctl("kill", "--signal=SIGKILL", name)
            except Problem:
                # it ended just now: systemd forgets a disabled unit along with its last process
                if not unit_ended(unit, 0):
                    raise
            if unit_ended(unit, 5.0) and unit_state(unit).get("ActiveState") == "failed":
                # it was told to end, and is no failure for whoever watches units
                systemctl("reset-failed", name)
    # one that was started by hand belongs to no unit
    if not end(zoo_cfg, timeout_s) or not at_rest(zoo_cfg, unit):
        raise Problem("unhealthy", "the server does not end, even by SIGKILL", f"see: systemctl status {name}")
    return True


def unit_ended(unit: str, wait_s: float) -> bool:
    """Whether the unit is at rest within `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    while unit_state(unit).get("ActiveState") not in ("inactive", "failed", None):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def disable(control: str, unit: str) -> bool:
    """The marker first: from then on the unit refuses to start, whoever asks. Whether anything changed."""
    marker, changed = os.path.join(control, "disabled"), False
    if not os.path.exists(marker):
        os.makedirs(control, mode=0o700, exist_ok=True)
        write(marker, b"")
        changed = True
    state = unit_state(unit)
    if state.get("LoadState") != "loaded":
        return changed
    if marker not in systemctl("cat", unit + ".service"):
        # A unit that somebody else wrote knows nothing of the marker.
        folder = f"/etc/systemd/system/{unit}.service.d"
        os.makedirs(folder, mode=0o755, exist_ok=True)
        text = "# Written by zkprov: a server that left is not started again while the file is there.\n[Unit]\n"
        write(os.path.join(folder, "zkprov-retired.conf"), (text + refusal_of(marker)).encode(), 0o644)
        systemctl("daemon-reload")
        changed = True
    if state.get("UnitFileState") in ("enabled", "enabled-runtime"):
        systemctl("disable", "--quiet", unit + ".service")
        changed = True
    return changed


def refusal_of(marker: str) -> str:
    """The line of a unit's [Unit] that keeps a retired server down."""
    return f"ConditionPathExists=!{marker}\n"


def enable(control: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(control, "disabled"))
        sync_folder(control)
        return True
    return False


def command(text: str) -> Dict[str, Any]:
    """One of the operator's commands, run as given, without a shell."""
    try:
        done = run(shlex.split(text), COMMAND_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Problem("unhealthy", f"`{text}` took more than {COMMAND_TIMEOUT_S:.0f} s") from None
    except OSError as error:
        remedy = "correct it in the inventory (zkprov_start_command and its like)"
        raise Problem("unhealthy", f"`{text}` cannot be run: {error.strerror}", remedy) from None
    said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return {"code": done.returncode, "said": said[-1][:200] if said else ""}


# --- as a program


def act(a: Dict[str, Any]) -> Any:
    """One act; the keys of `a` are the parameters of the function that it names."""
    kind, control, folders = a["act"], a.get("control", ""), a.get("folders", [])
    if kind == "fence":
        return fence(control, a["run"], a["attempt"])
    if kind == "unfence":
        return unfence(control, a["run"], a["attempt"])
    if kind == "fenced_by":
        return holder(control)[0] or None
    if kind == "is_active":
        return is_active(a["zoo_cfg"], a["unit"])
    if kind == "at_rest":
        return at_rest(a["zoo_cfg"], a["unit"])
    if kind == "stop":
        still_mine(control, a["run"], a["attempt"])
        return stop_unit(a["zoo_cfg"], a["unit"], a["patience"])
    if kind == "exists":
        return exists(folders)
    if kind == "has_data":
        return any(holds_data(folder) for folder in folders)
    if kind == "mark_disk":
        return mark_disk(folders)
    if kind == "set_aside":
        if not at_rest(a["zoo_cfg"], a["unit"]):
            raise Problem("unhealthy", "a server is running here", "stop it first")
        return set_aside(folders, a["label"])
    kept = os.path.join(control, "before-" + a.get("run", ""))
    if kind == "has_former":
        return bool(index_of(kept))
    if kind in ("check_files", "drop_former"):
        still_mine(control, a["run"], a["attempt"])
        return check_files(a["files"]) if kind == "check_files" else drop_former(kept)
    if kind == "read_zoo_cfg":
        return read_zoo_cfg(a["zoo_cfg"])
    if kind == "edit_zoo_cfg":
        still_mine(control, a["run"], a["attempt"])
        return edit_zoo_cfg(kept, a["zoo_cfg"], a["text"], a["was"])
    if kind in ("lay_files", "put_back", "lay_list"):
        still_mine(control, a["run"], a["attempt"])
        if not a.get("running") and not at_rest(a["zoo_cfg"], a["unit"]):
            raise Problem("unhealthy", "a server is running here", "stop it first")
        if kind == "lay_files":
            return lay_files(kept, a["files"], a["unit"])
        if kind == "put_back":
            return put_back(kept, a["unit"])
        return lay_list(a["path"], a["text"].encode())
    if kind in ("releases", "has_release", "current", "switch"):
        return of_releases(kind, a)
    if kind == "disabled":
        return os.path.exists(os.path.join(control, "disabled"))
    if kind == "enable":
        return enable(control)
    if kind == "disable":
        return disable(control, a["unit"])
    if kind == "command":
        return command(a["command"])
    raise Problem("unhealthy", f"no act {kind!r}")


def of_releases(kind: str, a: Dict[str, Any]) -> Any:
    folder = a["install_dir"]
    if kind in ("has_release", "switch"):
        still_mine(a["control"], a["run"], a["attempt"])
    if kind == "switch":
        return switch(folder, a["release"], a["zoo_cfg"], a["unit"])
    # what lies in a folder that the server is not started from tells nothing of what it runs
    goes_by_current(folder, a["unit"])
    if kind == "has_release":
        return is_there(folder, a["release"])
    return releases(folder) if kind == "releases" else current(folder)


def answer(a: Dict[str, Any]) -> Dict[str, Any]:
    """What `act` gives, or the problem, as one document."""
    try:
        try:
            return {"ok": act(a)}
        except OSError as error:
            raise disk_problem(error) from None
        except subprocess.TimeoutExpired as error:
            raise Problem("unhealthy", "{} took too long".format(" ".join(error.cmd)[:80])) from None
    except Problem as problem:
        return {"problem": problem.kind, "text": problem.text, "remedy": problem.remedy}


if "ARGUMENTS" in globals():
    print(json.dumps(answer(globals()["ARGUMENTS"])))
