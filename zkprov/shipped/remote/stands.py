# ruff: noqa: PTH102, PTH103, PTH104, PTH105, PTH108, PTH112, PTH114, PTH115, PTH116, PTH118, PTH119, PTH120, PTH121, PTH123, PTH208, UP006, UP022, UP035, UP045
# It runs on whatever Python a host has, 3.6 or later.
"""What stands on a host: which run has it, whether its server runs, whether there is data. `act.py` and Ansible's modules go by it.

Over SSH it stands before `act.py`'s text. The fence is what a run writes of its own; the control folder is /var/lib/zkprov/<host>.
"""

import contextlib
import errno
import fcntl
import os
import subprocess
import tempfile
from typing import Any, Dict, Iterator, List, Optional, Tuple

MAIN_CLASS = b"org.apache.zookeeper.server.quorum.QuorumPeerMain"
COPY = "zkprov-disk"
ASIDE = "zkprov-aside."


class Problem(Exception):
    """Told on stdout, for zkprov to raise as the kind that it is."""

    def __init__(self, kind: str, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.kind, self.text, self.remedy = kind, text, remedy

    def told(self) -> Dict[str, Any]:
        """What an Ansible module fails with: `msg` for people, the rest for zkprov."""
        msg = f"{self.text} ({self.remedy})" if self.remedy else self.text
        return {"msg": msg, "zkprov_problem": {"kind": self.kind, "text": self.text, "remedy": self.remedy}}


def disk_problem(error: OSError) -> Problem:
    """What a disk refuses is said with its path."""
    remedies = {
        errno.EROFS: "mount it for writing",
        errno.ENOSPC: "make room on it",
        errno.EDQUOT: "make room on it",
        errno.EACCES: "let zkprov be root there: ansible_become: true",
    }
    text = "cannot write {}: {}".format(error.filename or "the disk", error.strerror or error)
    remedy = remedies.get(error.errno or 0, "correct the folder or its rights, or zkprov_*_dir in the inventory")
    return Problem("unhealthy", text, remedy)


# --- the fence


def holder(control: str) -> Tuple[str, int]:
    """The run that has the host, and which attempt at it; an empty name when it is free."""
    run, _, attempt = text_in(os.path.join(control, "run")).partition(" ")
    return run, int(attempt) if attempt.isdigit() else 0


def free_for(control: str, run: str) -> None:
    held = holder(control)[0]
    if held and held != run:
        remedy = f"finish it first: zkprov resume, or zkprov abort; over for sure? rm {control}/run"
        raise Problem("busy", f"run {held} has this host", remedy)


def taken_over(run: str) -> Problem:
    return Problem("interrupted", f"run {run} was taken over; nothing further is done here", "zkprov history")


def still_mine(control: str, run: str, attempt: int) -> None:
    """Whoever has lost the fence is not to take it again: the run may be over. Without a run: that nobody has the host."""
    free_for(control, run)
    if run and holder(control) != (run, attempt):
        raise taken_over(run)


@contextlib.contextmanager
def alone(control: str) -> Iterator[None]:
    """Without another process of this machine at the control folder; ends with the process that holds it."""
    os.makedirs(control, mode=0o700, exist_ok=True)
    with open(os.path.join(control, ".lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fence(control: str, run: str, attempt: int) -> bool:
    with alone(control):
        held, before = holder(control)
        free_for(control, run)
        if held and before > attempt:
            raise taken_over(run)
        if not held or before < attempt:
            write(os.path.join(control, "run"), f"{run} {attempt}".encode())
        return bool(held)


def unfence(control: str, run: str, attempt: int) -> None:
    if not holder(control)[0]:
        return
    with alone(control):
        held, by = holder(control)
        free_for(control, run)
        if held and by <= attempt:
            os.unlink(os.path.join(control, "run"))
            with contextlib.suppress(FileNotFoundError):
                # which reboot it has ordered: another attempt at the same plan orders its own
                os.unlink(os.path.join(control, "reboot"))
            sync_folder(control)


# --- the server


def servers(zoo_cfg: str) -> List[Tuple[int, str]]:
    """(pid, start in clock ticks) of every process that is a server on this zoo.cfg; zombies are not running."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                argument = os.fsdecode(words[words.index(MAIN_CLASS) + 1])
                if argument != zoo_cfg and not same(f"/proc/{name}/cwd", argument, zoo_cfg):
                    continue
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                if fields[0] not in (b"Z", b"X"):
                    found.append((int(name), fields[19].decode()))
    return found


def same(cwd: str, argument: str, zoo_cfg: str) -> bool:
    """Whether a server's zoo.cfg is ours under another path: relative, or by a link."""
    try:
        return os.path.samefile(os.path.join(os.readlink(cwd), argument), zoo_cfg)
    except OSError:
        return False


def unit_state(unit: str) -> Dict[str, str]:
    """LoadState, ActiveState, SubState, … of systemd's unit; nothing where there is no systemd."""
    names = "LoadState,ActiveState,SubState,UnitFileState,FragmentPath,Result,NeedDaemonReload,ExecStop"
    try:
        done = run(["systemctl", "show", "--property=" + names, unit + ".service"], 20.0)
    except OSError:
        return {}
    return dict(line.partition("=")[::2] for line in done.stdout.decode(errors="replace").splitlines())


def is_active(zoo_cfg: str, unit: str) -> bool:
    """Whether a server process runs. A unit that systemd will start again in a moment is not, just now."""
    if servers(zoo_cfg):
        return True
    state = unit_state(unit)
    going = state.get("ActiveState") in ("active", "activating", "deactivating", "reloading")
    return going and state.get("SubState") != "auto-restart"


def at_rest(zoo_cfg: str, unit: str) -> bool:
    """Whether no server runs, nor will by itself in a moment."""
    return not servers(zoo_cfg) and unit_state(unit).get("ActiveState", "inactive") in ("inactive", "failed")


def systemctl(*arguments: str) -> str:
    done = run(["systemctl", *arguments], 90.0)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        text = "systemctl {}: {}".format(" ".join(arguments), said[-1][:200] if said else done.returncode)
        raise Problem("unhealthy", text, "run it by hand to see why")
    return done.stdout.decode(errors="replace")


def run(words: List[str], timeout_s: float) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=timeout_s,
        check=False,
    )


# --- files


def entries(folder: str) -> List[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def holds_data(folder: str) -> bool:
    """Whether `version-2` in it has anything in it but the mark's copy."""
    return any(name != COPY for name in entries(os.path.join(folder, "version-2")))


def held(folder: str) -> List[str]:
    """What lies in it, but for a file system's own and what was set aside within a mount point."""
    return [name for name in entries(folder) if name != "lost+found" and not name.startswith(ASIDE)]


def exists(folders: List[str]) -> bool:
    """Whether one of the folders holds anything: an install lays them empty."""
    return any(held(folder) for folder in folders)


def set_aside(folders: List[str], label: str) -> List[str]:
    """Each folder to `<folder>.<label>`, in this order; none that is not there. As `zkprov.act.aside`, which returns the same."""
    for source in folders:
        if os.path.ismount(source):
            movable(source, f"{source}/{ASIDE}{label}")
        elif os.path.lexists(source) and os.path.lexists(f"{source}.{label}"):
            raise both(source, f"{source}.{label}")
    for source in folders:
        if not os.path.lexists(source):
            continue
        within = os.path.ismount(source)
        if not within:
            try:
                os.rename(source, f"{source}.{label}")
                sync_folder(os.path.dirname(source))
            except OSError as error:
                # mounted from elsewhere on the same file system: nothing else tells
                within = error.errno == errno.EBUSY
                if not within:
                    raise
        if within and held(source):
            target = f"{source}/{ASIDE}{label}"
            movable(source, target)
            if not os.path.isdir(target):
                os.mkdir(target, 0o700)
            for name in held(source):
                os.rename(os.path.join(source, name), os.path.join(target, name))
            sync_folder(target)
            sync_folder(source)
    return [source for source in folders if os.path.isdir(f"{source}/{ASIDE}{label}")]


def movable(source: str, target: str) -> None:
    if os.path.islink(target):
        raise both(source, target)
    for name in held(source):
        if os.path.lexists(os.path.join(target, name)):
            raise both(os.path.join(source, name), os.path.join(target, name))
        if os.path.ismount(os.path.join(source, name)):
            text = f"{source}/{name} is a mount point within another"
            raise Problem("unhealthy", text, "move what it holds by hand")


def both(source: str, target: str) -> Problem:
    text, remedy = "both {} and {} are there", "look which is needed; then move {} elsewhere"
    return Problem("unhealthy", text.format(source, target), remedy.format(target))


def text_in(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read(65536).strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def write(path: str, content: bytes, mode: int = 0o600, owner: Optional[os.stat_result] = None) -> None:
    """Whole or not at all, on the disk when this returns, and `owner`'s, else its folder's owner's."""
    folder = os.path.dirname(path)
    descriptor, unfinished = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            owner = owner or os.stat(folder)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise
    sync_folder(folder)


def sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
