"""Whether hosts may be rebooted: each a machine of its own, on which no other server of any ensemble goes down with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zkprov.model.boots import Boot, one_machine
from zkprov.plan.steps import Refusal

BEFORE = "before-reboot"
"""The operator's hook that patches a host, once its server is stopped."""


def may_reboot(
    hosts: Sequence[str], boots: Mapping[str, Boot | str], command: str, *, overridden: bool = False
) -> Refusal | None:
    """`boots`: of each member's host its boot, or why it was not read. A host that was not read may be the same machine as any other.

    `overridden`: R4 is set aside for servers of other ensembles; never for two members of this one.
    """
    unread = {name: why for name, why in boots.items() if isinstance(why, str)}
    unread |= {name: "it was not asked" for name in hosts if name not in boots}
    if unread:
        told = tuple(f"{name}: {why}" for name, why in unread.items())
        again = (command, "again, when every member's host answers")
        first = next(iter(unread))
        return Refusal("R8", f"which boot {first} is in could not be read.", told, (again,), exit_code=4)
    known = {name: boot for name, boot in boots.items() if isinstance(boot, Boot)}
    for name in hosts:
        if same := one_machine(known, name):
            told = (f"{', '.join((name, *same))}: one machine, in the boot {known[name].boot}",)
            way = ("", "give each member a machine of its own; without --reboot they are restarted one at a time")
            return Refusal("R4", f"a reboot of {name} would stop {_few((name, *same))} at once.", told, (way,))
    busy = {name: known[name].others for name in hosts if known[name].others}
    if busy and not overridden:
        told = tuple(f"{name}: {', '.join(others)}" for name, others in busy.items())
        ways = (
            ("", "stop those first, when zkprov ok-to-stop says so of their own ensembles"),
            (f"{command} --override R4 --reason …", "they go down with the host, whatever their ensembles need"),
        )
        first = next(iter(busy))
        return Refusal("R4", f"a reboot of {first} would stop servers of other ensembles too.", told, ways)
    return None


def _few(names: Sequence[str]) -> str:
    return f"{len(names)} members"


def notes_of(hosts: Sequence[str], boots: Mapping[str, Boot | str], patched: bool, limit: str) -> list[str]:
    """What a plan says of its reboots. `patched`: whether the operator has a hook for it; `limit`: the time for each, in words."""
    hook = (
        f"the hook {BEFORE} is run on each, while its server is stopped"
        if patched
        else f"no hook {BEFORE}: nothing is patched, the hosts are rebooted as they are"
    )
    notes = [f"each host has {limit} to come back from its reboot; {hook}"]
    for name in hosts:
        boot = boots.get(name)
        if isinstance(boot, Boot) and boot.others:
            notes.append(f"{name}: {', '.join(boot.others)} goes down with it")
    return notes
