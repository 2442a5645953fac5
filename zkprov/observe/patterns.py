"""`--limit`, by Ansible's own code: no dialect of ours. What is asked besides is that each part of a pattern matches something."""

from __future__ import annotations

from zkprov.model.problems import BadInput
from zkprov.observe.ansible_inventory import Listing


def hosts_matched(found: Listing, pattern: str) -> frozenset[str]:
    """The hosts that `ansible-playbook --limit PATTERN` would leave. Raises `BadInput` for a part that matches nothing: it may be misspelt.

    It takes most of a second, for Ansible is imported.
    """
    from ansible import constants
    from ansible.errors import AnsibleError
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader

    # what it has to say is said by us, as an error
    constants.HOST_PATTERN_MISMATCH = "ignore"
    constants.TRANSFORM_INVALID_GROUP_CHARS = "ignore"
    known = InventoryManager(DataLoader(), parse=False)
    for host in found.variables:
        known.add_host(host)
    for group, hosts in found.groups.items():
        known.add_group(group)
        for host in hosts:
            known.add_host(host, group)
    remedy = "write it as for Ansible: kafka_*, prod:&eu, prod:!kafka_test, @FILE"
    try:
        known.subset(pattern)
        parts = [part for part in known._subset or () if part]
        nothing = [part for part in parts if not known.get_hosts(part.lstrip("!&") or " ", ignore_limits=True)]
        matched = known.list_hosts("all") if parts else []
    except (AnsibleError, OSError, ValueError) as wrong:
        raise BadInput(f"{pattern!r}: {wrong}"[:300], place="--limit", remedy=remedy) from None
    if nothing or not parts:
        what = f"{nothing[0]!r} matches no group and no host" if nothing else "an empty pattern"
        raise BadInput(what, place="--limit", remedy=remedy)
    return frozenset(str(host) for host in matched)
