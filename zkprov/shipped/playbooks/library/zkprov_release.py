#!/usr/bin/python
# ruff: noqa: PTH104, PTH110, PTH114, PTH115, PTH118, PTH119, PTH120, PTH123
"""One release in a folder of its own beside the others, and, unless `current` is false, `current` to name it.

Unpacked under a name that nobody uses, looked through before anything is written, and renamed: a folder that is there is whole.
"""

import hashlib
import http.client
import os
import posixpath
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.zkprov_releases import folder_of, is_there
from ansible.module_utils.zkprov_releases import point as point_to
from ansible.module_utils.zkprov_stands import Problem, at_rest, disk_problem, entries, still_mine, sync_folder

MOST = 2_000_000_000
"""Bytes of an archive when unpacked; an official one has 30 MB."""
SPARE = 50_000_000


def place_of(p: "dict[str, Any]") -> str:
    return str(folder_of(p["install_dir"], p["release"]))


def needs_room(folder: str, needed: int) -> None:
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        text = f"not enough space at {folder}: {free // 1_000_000} MB are free, {(needed + SPARE) // 1_000_000} MB are needed"
        raise Problem("unhealthy", text, "make room there, or name another zkprov_install_dir")


def fetched(url: str, folder: str, name: str) -> str:
    """Certificates are checked, and proxies taken from the environment, as Python does."""
    path = os.path.join(folder, name)
    try:
        with urllib.request.urlopen(url, timeout=60) as response, open(path, "wb") as out:  # noqa: S310
            size = 0
            for part in iter(lambda: response.read(1 << 20), b""):
                size += len(part)
                if size > MOST:
                    raise Problem("unhealthy", f"{url} does not end", "correct zkprov_archive")
                needs_room(folder, len(part))
                out.write(part)
    except (TimeoutError, urllib.error.URLError, http.client.HTTPException) as error:
        text = f"cannot fetch {url}: {str(getattr(error, 'reason', '') or error)[:200]}"
        raise Problem(
            "unhealthy", text, "correct zkprov_archive, or name a path on the machine that runs Ansible"
        ) from None
    return path


def check_sum(path: str, want: str) -> None:
    digest = hashlib.sha512()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
    if want and digest.hexdigest() != want.lower():
        text = f"the archive is not what its sha512 in the inventory says: its SHA-512 is {digest.hexdigest()[:16]}…"
        raise Problem("unhealthy", text, "get the archive anew, or correct the sum")


def check_signature(path: str, signature: str, keyring: str) -> None:
    gpgv = shutil.which("gpgv")
    if not gpgv:
        raise Problem(
            "unhealthy", "no gpgv here to check the signature with", "install gpgv, or empty zkprov_archive_keyring"
        )
    words = [gpgv, "--keyring", keyring, signature, path]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    if done.returncode != 0:
        said = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
        raise Problem(
            "unhealthy", f"the archive's signature is not good: {said[-1][:200] if said else ''}", "get it anew"
        )


def members_of(archive: "tarfile.TarFile", top: str) -> "list[tarfile.TarInfo]":
    """All of them, each a plain file or folder below `top`. Raises Problem naming the first that is not.

    Links are refused, wherever they lead: one within another leads elsewhere than it reads, and a release has none.
    """
    found = []
    size = 0
    for member in archive:
        path = posixpath.normpath(member.name)
        out = member.name.startswith("/") or (path != top and not path.startswith(top + "/"))
        if out or not (member.isreg() or member.isdir()) or ".." in member.name.split("/"):
            text = f"the archive holds {member.name[:100]!r}, which does not belong into {top}"
            raise Problem("unhealthy", text, "take the archive that Apache publishes; nothing was unpacked")
        size += member.size
        if size > MOST:
            raise Problem(
                "unhealthy", "the archive is too large when unpacked", "take the archive that Apache publishes"
            )
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        found.append(member)
    return found


def unpack(path: str, p: "dict[str, Any]") -> None:
    top = os.path.basename(place_of(p))
    try:
        with tarfile.open(path) as archive:
            members = members_of(archive, top)
            needs_room(p["install_dir"], sum(m.size for m in members))
            unfinished = tempfile.mkdtemp(dir=p["install_dir"], prefix=".unpacking-")
            try:
                # what was looked through is what is written
                archive.extractall(unfinished, members=members)  # noqa: S202
                if not any(n.endswith(".jar") for n in entries(f"{unfinished}/{top}/lib")):
                    raise Problem("unhealthy", f"the archive has no {top}/lib with jars", "name another zkprov_archive")
                os.sync()
                if os.path.lexists(place_of(p)):
                    os.rename(place_of(p), f"{unfinished}/half")
                os.rename(f"{unfinished}/{top}", place_of(p))
                sync_folder(p["install_dir"])
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise Problem("unhealthy", f"the archive cannot be read: {str(error)[:100]}", "get it anew") from None


def sweep(install_dir: str) -> None:
    """What an unpacking that was cut off has left."""
    for name in entries(install_dir):
        if name.startswith(".unpacking-"):
            shutil.rmtree(os.path.join(install_dir, name), ignore_errors=True)


def point(p: "dict[str, Any]", check: bool) -> bool:
    """Whether `current` was changed, or would be."""
    current, want = f"{p['install_dir']}/current", os.path.basename(place_of(p))
    if os.path.islink(current) and os.readlink(current) == want:
        return False
    if os.path.exists(current) and not at_rest(f"{p['config_dir']}/zoo.cfg", p["unit"]):
        text = f"a server runs here from {os.path.realpath(current)}: {p['release']} is laid, and not made current"
        raise Problem("unhealthy", text, "stop it first, or leave zkprov_release as it is")
    if not check:
        point_to(p["install_dir"], p["release"])
    return True


def install(module: Any) -> "dict[str, Any]":
    p = module.params
    if not p["release"]:
        raise Problem("unhealthy", "no release is named", "set zkprov_release")
    if is_there(p["install_dir"], p["release"]):
        return {"changed": p["current"] and point(p, module.check_mode), "release": p["release"]}
    if not p["archive"]:
        text = f"ZooKeeper {p['release']} is not in {p['install_dir']}"
        raise Problem(
            "unhealthy",
            text,
            "set zkprov_archive (or its archive in zkprov_releases) to an URL or to a path on the machine that runs Ansible",
        )
    if not p["sha512"] and not p["keyring"]:
        text = f"nothing says what is right in {p['archive']}"
        raise Problem("unhealthy", text, "set zkprov_archive_sha512, from the .sha512 file beside the archive")
    # an archive of jars unpacks to little more than its own size
    needs_room(p["install_dir"], 3 * p["size"])
    if module.check_mode or (p["sent"] is None):
        return {"changed": True, "wants": True, "release": p["release"]}
    sweep(p["install_dir"])
    folder = tempfile.mkdtemp(dir=p["install_dir"], prefix=".unpacking-")
    try:
        sent = p["sent"]
        path = sent.get("archive") or fetched(p["archive"], folder, "archive")
        check_sum(path, p["sha512"])
        if p["keyring"]:
            signature = sent.get("signature") or fetched(p["archive"] + ".asc", folder, "signature")
            check_signature(path, signature, sent["keyring"])
        unpack(path, p)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if p["current"]:
        point(p, False)
    return {"changed": True, "release": p["release"]}


def main() -> None:
    words = ("install_dir", "release", "config_dir", "unit")
    module = AnsibleModule(
        argument_spec={
            **{word: {"type": "str", "required": True} for word in words},
            **{word: {"type": "str", "default": ""} for word in ("archive", "sha512", "keyring", "control", "run")},
            "attempt": {"type": "int", "default": 0},
            "current": {"type": "bool", "default": True},
            "size": {"type": "int", "default": 0},
            "sent": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    try:
        try:
            if module.params["control"]:
                still_mine(module.params["control"], module.params["run"], module.params["attempt"])
            result = install(module)
        except OSError as error:
            raise disk_problem(error) from None
    except Problem as problem:
        module.fail_json(**problem.told())
    result["diff"] = {"before": "", "after": f"{place_of(module.params)}\n" if result["changed"] else ""}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
