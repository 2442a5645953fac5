#!/usr/bin/python
"""Saves config and epochs, and with `data` snapshots and logs: a folder that is a backup once it is sealed. The server is left alone."""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.zkprov_backup_act import copy, disk_problem, seal
from ansible.module_utils.zkprov_backup_files import Problem


def main() -> None:
    words = ("dir", "name", "config_dir", "data_dir", "data_log_dir")
    module = AnsibleModule(
        argument_spec={
            **{word: {"type": "str", "required": True} for word in words},
            "data": {"type": "bool", "default": True},
            "seal": {"type": "bool", "default": True},
            "keep": {"type": "int", "default": 5},
            "about": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    p: dict[str, Any] = module.params
    try:
        try:
            found = copy(p, module.check_mode)
            if p["seal"] and not module.check_mode:
                seal(p)
        except OSError as error:
            raise disk_problem(error, p) from None
    except Problem as problem:
        module.fail_json(**problem.told())
    changed = found.pop("changed")
    module.exit_json(changed=changed, zkprov_result=found)


if __name__ == "__main__":
    main()
