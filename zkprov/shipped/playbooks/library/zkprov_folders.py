#!/usr/bin/python
# ruff: noqa: PTH103, PTH114, PTH116
"""A server's folders, each with its owner, the group of the server's user, and its mode; what lies in them is left alone."""

import grp
import os
import pwd
import stat
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.zkprov_act import Problem, disk_problem


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folders": {"type": "list", "elements": "dict", "required": True},
            "user": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    wrong: list[dict[str, Any]] = []
    try:
        group = group_of_user(module.params["user"])
        for wish in module.params["folders"]:
            change = lay(module, wish["path"], wish["owner"], group, int(wish["mode"], 8))
            if change:
                wrong.append(change)
    except Problem as problem:
        module.fail_json(**problem.told())
    except OSError as error:
        module.fail_json(**disk_problem(error).told())
    before = "".join(f"{c['path']}: {c['before']}\n" for c in wrong)
    after = "".join(f"{c['path']}: {c['after']}\n" for c in wrong)
    module.exit_json(changed=bool(wrong), diff={"before": before, "after": after})


def lay(module: Any, path: str, owner: str, group: str, mode: int) -> "dict[str, str]":
    """What was changed, or would be; nothing where all is well."""
    after = f"{owner}:{group} {mode:04o}"
    # whoever runs the server could name a folder of the system's so, for root to give it away
    if os.path.islink(path) and os.lstat(path).st_uid != 0:
        raise Problem("unhealthy", f"{path} is a link that somebody else than root has made", "look who, and remove it")
    try:
        found = os.stat(path)
        before = f"{name_of(found.st_uid)}:{group_of(found.st_gid)} {stat.S_IMODE(found.st_mode):04o}"
    except FileNotFoundError:
        before = "not there"
    if before == after:
        return {}
    if not module.check_mode:
        os.makedirs(path, mode=0o755, exist_ok=True)
        os.chown(path, pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid)
        os.chmod(path, mode)  # noqa: PTH101
    return {"path": path, "before": before, "after": after}


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


if __name__ == "__main__":
    main()
