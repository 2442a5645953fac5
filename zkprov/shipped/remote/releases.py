# ruff: noqa: PTH105, PTH108, PTH110, PTH114, PTH118, PTH119, PTH211, UP006, UP035
# It runs on whatever Python a host has, 3.6 or later.
"""The releases that lie beside each other on a host, and `current`, a link to the one that its unit starts.

`act.py`, `installed.py` and Ansible's modules go by it; over SSH it stands behind `stands.py`. A folder that is there is whole: it is
unpacked under another name.
"""

import os
import re
from typing import TYPE_CHECKING, List

if TYPE_CHECKING or __name__.startswith("zkprov."):
    from zkprov.shipped.remote.stands import Problem, at_rest, entries, sync_folder, systemctl
elif __name__.startswith("ansible."):
    from ansible.module_utils.zkprov_stands import Problem, at_rest, entries, sync_folder, systemctl

FOLDER = re.compile(r"apache-zookeeper-([0-9][A-Za-z0-9.-]*)-bin")


def folder_of(install_dir: str, release: str) -> str:
    return f"{install_dir}/apache-zookeeper-{release}-bin"


def is_there(install_dir: str, release: str) -> bool:
    return any(name.endswith(".jar") for name in entries(folder_of(install_dir, release) + "/lib"))


def releases(install_dir: str) -> List[str]:
    """Those whose jars lie there."""
    found = [FOLDER.fullmatch(name) for name in entries(install_dir)]
    return sorted(one.group(1) for one in found if one and is_there(install_dir, one.group(1)))


def current(install_dir: str) -> str:
    """The release that `current` leads to; empty where there is none, or it leads elsewhere."""
    path = os.path.join(install_dir, "current")
    found = FOLDER.fullmatch(os.path.basename(os.path.realpath(path)))
    return found.group(1) if found and os.path.exists(path) else ""


def goes_by_current(install_dir: str, unit: str) -> None:
    """Raises where the unit, whoever wrote it and whatever lies over it, starts something else: that is not ours to switch."""
    try:
        started = systemctl("show", "--property=ExecStart", unit + ".service")
    except OSError:
        # no systemd
        started = ""
    if not re.search(re.escape(install_dir) + r"/current(?=[/\s:;]|\Z)", started):
        text = f"{unit}.service does not start what lies in {install_dir}/current, so zkprov cannot switch its release"
        remedy = "correct zkprov_unit or zkprov_install_dir; else switch it by hand, after zkprov ok-to-stop"
        raise Problem("fixed", text, remedy)


def point(install_dir: str, release: str) -> None:
    """`current` leads to `release`: at once or not at all, and on the disk when this returns."""
    link = f"{install_dir}/current"
    if os.path.lexists(link) and not os.path.islink(link):
        raise Problem("unhealthy", f"{link} is no link", "move it elsewhere")
    unfinished = f"{install_dir}/.current-next"
    if os.path.lexists(unfinished):
        # one that was cut off
        os.unlink(unfinished)
    os.symlink(os.path.basename(folder_of(install_dir, release)), unfinished)
    os.replace(unfinished, link)
    sync_folder(install_dir)


def switch(install_dir: str, release: str, zoo_cfg: str, unit: str) -> None:
    """What the next start runs; only while no server does."""
    goes_by_current(install_dir, unit)
    if not at_rest(zoo_cfg, unit):
        raise Problem("unhealthy", "a server is running here", "stop it first")
    if not is_there(install_dir, release):
        raise Problem("unhealthy", f"ZooKeeper {release} is not in {install_dir}", "lay it out first: release.yml")
    if current(install_dir) != release:
        point(install_dir, release)
