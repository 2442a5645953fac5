#!/usr/bin/python
# ruff: noqa: PTH101, PTH103
"""A server's folders, each with its owner, the group of the server's user, and its mode; what lies in them is left alone."""

import os
import pwd
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.zkprov_owned import differs
from ansible.module_utils.zkprov_stands import Problem, disk_problem


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folders": {"type": "list", "elements": "dict", "required": True},
            "user": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    changes = []
    try:
        for wish in module.params["folders"]:
            change = differs(wish, module.params["user"])
            if change and not module.check_mode:
                lay(wish, module.params["user"])
            changes += [change] if change else []
    except Problem as problem:
        module.fail_json(**problem.told())
    except OSError as error:
        module.fail_json(**disk_problem(error).told())
    before = "".join(f"{c['path']}: {c['before']}\n" for c in changes)
    after = "".join(f"{c['path']}: {c['after']}\n" for c in changes)
    module.exit_json(changed=bool(changes), diff={"before": before, "after": after})


def lay(wish: "dict[str, Any]", user: str) -> None:
    os.makedirs(wish["path"], mode=0o755, exist_ok=True)
    os.chown(wish["path"], pwd.getpwnam(wish["owner"]).pw_uid, pwd.getpwnam(user).pw_gid)
    os.chmod(wish["path"], int(wish["mode"], 8))


if __name__ == "__main__":
    main()
