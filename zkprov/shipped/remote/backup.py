# ruff: noqa: E501, PTH101, PTH102, PTH104, PTH106, PTH108, PTH112, PTH116, PTH118, PTH119, PTH123, PTH202, PTH208, UP006, UP035, UP045
# It runs on whatever Python a host has, 3.6 or later.
"""Backups on the host that they are of: made, sealed, listed, read, looked over.

Run as a program with `ARGUMENTS` it prints one JSON document, as `act.py` does; Ansible's module and zkprov itself import it.

A backup is a folder `<dir>/<name>` with `config/`, `data/` and, written last, `manifest.json` with the SHA-256 of each file: what has no
manifest is none. Nothing is linked: ZooKeeper cuts finished logs in place, and a link has the owner and mode of the original.
"""

import base64
import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional

if TYPE_CHECKING or __name__.startswith("zkprov."):
    from zkprov.shipped.remote.backup_files import (
        CHUNK,
        LOG,
        SNAPSHOT,
        ZEROS,
        Problem,
        config_files,
        data_files,
        epochs,
        filled,
        former,
        history,
        last_zxid,
        opened,
        reached,
        worth,
    )
    from zkprov.shipped.remote.backup_folder import MANIFEST, alone, checked, manifest, names, place, sync_folder, write
elif __name__.startswith("ansible."):
    from ansible.module_utils.zkprov_backup_files import (
        CHUNK,
        LOG,
        SNAPSHOT,
        ZEROS,
        Problem,
        config_files,
        data_files,
        epochs,
        filled,
        former,
        history,
        last_zxid,
        opened,
        reached,
        worth,
    )
    from ansible.module_utils.zkprov_backup_folder import (
        MANIFEST,
        alone,
        checked,
        manifest,
        names,
        place,
        sync_folder,
        write,
    )

UNSEALED = "unsealed.json"
# Of the disk on which ZooKeeper writes: a full one has split brains (ZOOKEEPER-3701).
RESERVE = 100_000_000
SEALED_WITHIN_S = 3600.0
BY_HAND = "by-hand"
TRIES = 3


# --- making one


def copy(p: Dict[str, Any], check: bool = False) -> Dict[str, Any]:
    """Saves into `name`, without a manifest: what was saved, for `seal`. `data`: snapshots and logs too. One that is sealed is left."""
    target = place(p)
    known = manifest(target)
    if known is not None:
        return {"changed": False, **{k: known.get(k) for k in ("size", "zxid", "snapshot")}}
    if check:
        data_files(p) if p["data"] else None
        return {"changed": True}
    with alone(p["dir"]):
        sweep(p)
        for number in range(TRIES):
            try:
                return {"changed": True, **_copied(p, target)}
            except (ValueError, FileNotFoundError) as error:
                # a log that was written to while it was read; a file that was purged meanwhile
                shutil.rmtree(target, ignore_errors=True)
                if number == TRIES - 1:
                    text = f"not saved: {error}"
                    raise Problem(
                        "unhealthy", text, "save another server's data (--data-of); see zkprov check"
                    ) from None
            except BaseException:
                shutil.rmtree(target, ignore_errors=True)
                raise
    raise AssertionError


def _copied(p: Dict[str, Any], target: str) -> Dict[str, Any]:
    snapshots, logs = data_files(p) if p["data"] else ([], [])
    config = config_files(p)
    older, before = former(p, snapshots, logs) if snapshots else ([], [])
    need = sum(os.path.getsize(s) for s in snapshots + older) + sum(worth(f) for f in logs + before)
    room(p, need + len(config) * 16_384)
    for folder in ("", "config", "data", "data/version-2"):
        os.mkdir(os.path.join(target, folder), 0o700)
    files = [save(source, target, path) for source, path in config]
    zxid = 0
    files += [save(s, target, "data/version-2/" + os.path.basename(s)) for s in snapshots + older]
    files += [save_log(f, target, "data/version-2/" + os.path.basename(f)) for f in before]
    for source in logs:
        path = "data/version-2/" + os.path.basename(source)
        files.append(save_log(source, target, path))
        try:
            zxid = last_zxid(os.path.join(target, path)) or zxid
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from None
    files += [save(source, target, path) for source, path in epochs(p)]
    at = int(SNAPSHOT.fullmatch(os.path.basename(snapshots[0])).group(1), 16) if snapshots else 0  # type: ignore[union-attr]
    for folder in ("data/version-2", "data", "config", ""):
        sync_folder(os.path.join(target, folder))
    found = {
        "data": bool(p["data"]),
        "config_dir": p["config_dir"],
        "files": files,
        "size": sum(f["size"] for f in files),
        "zxid": max(zxid, at),
        "snapshot": at,
    }
    write(os.path.join(target, UNSEALED), json.dumps(found).encode())
    sync_folder(p["dir"])
    return {k: found[k] for k in ("size", "zxid", "snapshot")}


def save_log(source: str, target: str, path: str) -> Dict[str, Any]:
    """A log as far as it is filled just now, whatever is written to it meanwhile; and zeros behind that, where it has any."""
    end = filled(source)
    return save(source, target, path, end, min(ZEROS, os.path.getsize(source) - end))


def save(source: str, target: str, path: str, most: Optional[int] = None, zeros: int = 0) -> Dict[str, Any]:
    """Copies `source`, its first `most` bytes at most, and as many zeros; on the disk when this returns."""
    digest, size = hashlib.sha256(), 0
    there = os.open(os.path.join(target, path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with opened(source) as file, os.fdopen(there, "wb") as out:
        while most is None or size < most:
            piece = file.read(CHUNK if most is None else min(CHUNK, most - size))
            if not piece:
                break
            out.write(piece)
            digest.update(piece)
            size += len(piece)
        if zeros > 0:
            out.write(bytes(zeros))
            digest.update(bytes(zeros))
            size += zeros
        out.flush()
        os.fsync(out.fileno())
    return {"path": path, "size": size, "sha256": digest.hexdigest()}


def room(p: Dict[str, Any], need: int) -> None:
    """Raises where there is no room; ZooKeeper's own disk is never filled up."""
    free = os.statvfs(p["dir"])
    left = free.f_bavail * free.f_frsize
    disks = {os.stat(f).st_dev for f in (p["data_dir"], p["data_log_dir"]) if os.path.isdir(f)}
    reserve = RESERVE if os.stat(p["dir"]).st_dev in disks else 0
    if need + reserve > left:
        keeps = f", and {reserve // 1_000_000} MB stay free for ZooKeeper" if reserve else ""
        text = f"no room for a backup in {p['dir']}: it takes {mb(need)} MB{keeps}; {mb(left)} MB are free"
        raise Problem("unhealthy", text, "make room there, or name another disk with zkprov_backup_dir")


def mb(size: int) -> str:
    return f"{size / 1_000_000:.1f}"


def seal(p: Dict[str, Any]) -> Dict[str, Any]:
    """Makes what was saved a backup, with `about` in its manifest; then the oldest beyond `keep` go. The manifest, without its files."""
    target = place(p)
    with alone(p["dir"]):
        found = manifest(target)
        if found is None:
            try:
                with open(os.path.join(target, UNSEALED), "rb") as file:
                    saved = json.loads(file.read().decode())
            except (FileNotFoundError, NotADirectoryError, ValueError):
                raise Problem("unhealthy", f"{target} is not there, or not whole", "zkprov backup create") from None
            found = {**p["about"], **saved, "name": p["name"], "format": 1}
            write(os.path.join(target, MANIFEST), json.dumps(found, indent=1, sort_keys=True).encode() + b"\n")
            os.unlink(os.path.join(target, UNSEALED))
        prune(p, max(1, p["keep"]))
    return brief(found)


def of_another(p: Dict[str, Any], found: Dict[str, Any]) -> bool:
    """Whether it is of another server, of another ensemble maybe, whose backups lie in the same folder."""
    return bool(found.get("config_dir", p["config_dir"]) != p["config_dir"])


def prune(p: Dict[str, Any], keep: int) -> None:
    folder = p["dir"]
    known = ((n, manifest(os.path.join(folder, n))) for n in names(folder))
    ours = [n for n, found in known if found is not None and not of_another(p, found)]
    for name in ours[keep:]:
        # without its manifest first: one that is half removed is none
        os.unlink(os.path.join(folder, name, MANIFEST))
        shutil.rmtree(os.path.join(folder, name))


def sweep(p: Dict[str, Any]) -> None:
    """What somebody left who was cut off. We are alone here, so nobody is at it; but what was copied may wait for its seal.

    A run that makes one anew waits for none of its own any more.
    """
    run = p["name"].partition("-")[2]
    for name in names(p["dir"]):
        folder = os.path.join(p["dir"], name)
        if os.path.lexists(os.path.join(folder, MANIFEST)):
            continue
        with contextlib.suppress(FileNotFoundError):
            age = time.time() - os.stat(os.path.join(folder, UNSEALED)).st_mtime
            if age < SEALED_WITHIN_S and (run == BY_HAND or name.partition("-")[2] != run):
                continue
        shutil.rmtree(folder, ignore_errors=True)


def drop(p: Dict[str, Any]) -> None:
    """What is not sealed."""
    target = place(p)
    if os.path.isdir(p["dir"]):
        with alone(p["dir"]):
            if not os.path.lexists(os.path.join(target, MANIFEST)):
                shutil.rmtree(target, ignore_errors=True)


# --- going back to one


def restore(p: Dict[str, Any]) -> Dict[str, Any]:
    """Lays the data of a whole backup into data_dir and data_log_dir, in which no data lies: a copy, each file what its manifest says.

    What an earlier try left is begun anew. The folders' owner gets it. Callers see to it that nothing runs there, and that they have the host.
    """
    entries = [e for e in whole(p)["files"] if e["path"].startswith("data/version-2/")]
    if not any(SNAPSHOT.fullmatch(os.path.basename(e["path"])) for e in entries):
        raise Problem("unhealthy", f"{place(p)} holds no data", "zkprov backup list")
    folders = list(dict.fromkeys((p["data_log_dir"], p["data_dir"])))
    for folder in folders:
        if os.path.lexists(os.path.join(folder, "version-2")) and names_in(os.path.join(folder, "version-2")):
            raise Problem("unhealthy", f"{folder}/version-2 is not empty", "set it aside; nothing is written over")
    for folder in folders:
        shutil.rmtree(os.path.join(folder, UNFINISHED), ignore_errors=True)
        os.mkdir(os.path.join(folder, UNFINISHED), 0o700)
    for entry in entries:
        name = os.path.basename(checked(entry["path"]))
        folder = p["data_log_dir"] if LOG.fullmatch(name) else p["data_dir"]
        laid = save(os.path.join(place(p), entry["path"]), os.path.join(folder, UNFINISHED), name)
        if laid["sha256"] != entry["sha256"]:
            raise Problem("unhealthy", f"{entry['path']} of {p['name']} is not what was saved: another SHA-256")
    # the folder without which a server takes its disk for an empty one comes last
    for folder in folders:
        unfinished, there = os.path.join(folder, UNFINISHED), os.path.join(folder, "version-2")
        owned(unfinished, folder)
        sync_folder(unfinished)
        if os.path.isdir(there):
            os.rmdir(there)
        os.rename(unfinished, there)
        sync_folder(folder)
    return {"files": len(entries)}


UNFINISHED = ".version-2.part"


def names_in(folder: str) -> List[str]:
    return os.listdir(folder) if os.path.isdir(folder) else [folder]


def owned(folder: str, like: str) -> None:
    """The files of `folder`, and it, become those of the owner of `like`, with the rights that he gave it."""
    found = os.stat(like)
    for name in ("", *os.listdir(folder)):
        path = os.path.join(folder, name) if name else folder
        if os.geteuid() == 0:
            os.chown(path, found.st_uid, found.st_gid)
        os.chmod(path, stat.S_IMODE(found.st_mode) & (0o777 if not name else 0o666))


# --- looking


def brief(found: Dict[str, Any]) -> Dict[str, Any]:
    return {**{k: v for k, v in found.items() if k != "files"}, "count": len(found["files"])}


def listed(p: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Newest first. One without a manifest has its name and size alone."""
    found = []
    for name in names(p["dir"]):
        folder = os.path.join(p["dir"], name)
        known = manifest(folder)
        if known and of_another(p, known):
            continue
        size = sum(os.path.getsize(os.path.join(at, f)) for at, _, files in os.walk(folder) for f in files)
        state = "damaged" if os.path.lexists(os.path.join(folder, MANIFEST)) else "partial"
        found.append(
            {**brief(known), "name": name, "state": "whole"} if known else {"name": name, "size": size, "state": state}
        )
    return found


def whole(p: Dict[str, Any]) -> Dict[str, Any]:
    found = manifest(place(p))
    if found is None:
        raise Problem("unhealthy", f"{place(p)} is no whole backup", "zkprov backup list")
    return found


def damaged(p: Dict[str, Any]) -> List[str]:
    """What is not as its manifest says, in words."""
    wrong = []
    for entry in whole(p)["files"]:
        path = os.path.join(place(p), checked(entry["path"]))
        try:
            digest, size = hashlib.sha256(), 0
            with opened(path) as file:
                for piece in iter(lambda: file.read(CHUNK), b""):
                    digest.update(piece)
                    size += len(piece)
        except FileNotFoundError:
            wrong.append(f"{entry['path']} is missing")
            continue
        if digest.hexdigest() != entry["sha256"]:
            wrong.append(f"{entry['path']} is not what was saved: {size} bytes of {entry['size']}, another SHA-256")
    return wrong


def read(p: Dict[str, Any]) -> str:
    """Up to `most` bytes of a file of the backup, from `offset`, in base64."""
    path = MANIFEST if p["path"] == MANIFEST else checked(p["path"])
    with opened(os.path.join(place(p), path)) as file:
        file.seek(p["offset"])
        return base64.b64encode(file.read(p["most"])).decode()


def told(p: Dict[str, Any]) -> Dict[str, Any]:
    """By what znode the data that lies there, served or not, is known, and how far it reaches."""
    try:
        return history(p)
    except (ValueError, EOFError) as error:
        text = f"whose history it is cannot be read: {error}"
        raise Problem(
            "unhealthy", text, "see zkprov check; a damaged disk tells it after its server has served"
        ) from None


# --- as a program

ACTS = {
    "copy": copy,
    "seal": seal,
    "drop": drop,
    "list": listed,
    "whole": whole,
    "damaged": damaged,
    "read": read,
    "reached": reached,
    "restore": restore,
    "history": told,
}


def disk_problem(error: OSError, p: Dict[str, Any]) -> Problem:
    where = error.filename or p.get("dir", "the disk")
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedies = {errno.EROFS: "mount it for writing", errno.EACCES: "let zkprov be root there: ansible_become: true"}
    remedy = (
        "make room on it, or name another disk with zkprov_backup_dir" if full else remedies.get(error.errno or 0, "")
    )
    return Problem("unhealthy", f"no backup: {where}: {error.strerror or error}", remedy or "correct zkprov_backup_dir")


def answer(p: Dict[str, Any]) -> Dict[str, Any]:
    """What `act` of `ACTS` gives, or the problem, as one document."""
    try:
        try:
            return {"ok": ACTS[p["act"]](p)}
        except OSError as error:
            raise disk_problem(error, p) from None
        except ValueError as error:
            raise Problem("unhealthy", f"not a path in a backup: {error}", "zkprov backup list") from None
    except Problem as problem:
        return {"problem": problem.kind, "text": problem.text, "remedy": problem.remedy}


if "ARGUMENTS" in globals():
    print(json.dumps(answer(globals()["ARGUMENTS"])))
