# ruff: noqa: PTH114, PTH116
"""Whose a folder is and who may enter it, beside whose it should be."""

import grp
import os
import pwd
import stat
from typing import Any, Dict  # noqa: UP035

from ansible.module_utils.zkprov_stands import Problem


def differs(wish: Dict[str, Any], user: str) -> Dict[str, str]:  # noqa: UP006
    """`path`, `before` and `after` of a folder that is not as `wish` (path, owner, mode) says; its group is the first of `user`."""
    path = wish["path"]
    after = "{}:{} {:04o}".format(wish["owner"], group_of_user(user), int(wish["mode"], 8))
    # whoever runs the server could name a folder of the system's so, for root to give it away
    if os.path.islink(path) and os.lstat(path).st_uid != 0:
        raise Problem("unhealthy", f"{path} is a link that somebody else than root has made", "look who, and remove it")
    try:
        found = os.stat(path)
        before = f"{name_of(found.st_uid)}:{group_of(found.st_gid)} {stat.S_IMODE(found.st_mode):04o}"
    except FileNotFoundError:
        before = "not there"
    return {} if before == after else {"path": path, "before": before, "after": after}


def group_of_user(user: str) -> str:
    """His first group; in check mode there may be no such user yet, who will then have one of his name."""
    try:
        return group_of(pwd.getpwnam(user).pw_gid)
    except KeyError:
        return user


def name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_of(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
