#!/usr/bin/python
"""Orders a reboot for a run that has the host, in the boot that it was asked for in; it does not wait."""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.zkprov_boots import boot, order
from ansible.module_utils.zkprov_stands import Problem, disk_problem, still_mine


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **{word: {"type": "str", "required": True} for word in ("control", "run", "boot")},
            "attempt": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    p = module.params
    try:
        try:
            if module.check_mode:
                still_mine(p["control"], p["run"], p["attempt"])
                changed = boot() == p["boot"]
            else:
                changed = order(p["control"], p["run"], p["attempt"], p["boot"])
        except OSError as error:
            raise disk_problem(error) from None
    except Problem as problem:
        module.fail_json(**problem.told())
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
