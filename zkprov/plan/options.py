"""What an operator may set, checked: rules are overridden one at a time, by name and with a reason, and three of them never."""

from __future__ import annotations

from zkprov.judge.newcomers import SEASON_S, longest_join_s
from zkprov.model.inventory import Inventory
from zkprov.model.problems import BadInput
from zkprov.plan.steps import Options, seconds

NEVER = {
    "R1": "one quorum",
    "R2": "newcomers are never a quorum",
    "R6": "a server that led or followed elsewhere is never promoted",
}
OVERRIDABLE = ("R4",)
"""The rules of adding that a person may set aside. The others of R1–R12 have no meaning to be set aside here."""


def checked(options: Options, inventory: Inventory) -> Options:
    """The same options. Raises `BadInput` (exit 2) naming the flag."""
    for rule in options.overrides:
        if rule in NEVER:
            raise BadInput(
                f"{rule} ({NEVER[rule]}) cannot be overridden", place="--override", remedy="change the plan instead"
            )
        if rule not in OVERRIDABLE:
            raise BadInput(
                f"no such rule to override here: {rule}", place="--override", remedy=f"one of {', '.join(OVERRIDABLE)}"
            )
    if options.overrides and not options.reason.strip():
        raise BadInput("an override needs a reason", place="--override", remedy='--reason "…"')
    if options.reboot and options.reboot_timeout_s < 1:
        what = "no time for a host to come back"
        raise BadInput(what, place="--reboot-timeout", remedy="--reboot-timeout 10m")
    if options.season_s < SEASON_S:
        if not options.reason.strip():
            raise BadInput(
                f"a seasoning time of {seconds(options.season_s)} is shorter than {seconds(SEASON_S)} and needs a reason",
                place="--season",
                remedy='--reason "…"; it stands in the plan',
            )
        least = least_season_s(inventory)
        if not inventory.lab and options.season_s < least:
            raise BadInput(
                f"{seconds(options.season_s)} is less than 2 × initLimit × tickTime = {seconds(least)}",
                place="--season",
                remedy=f"--season {least:.0f}s or more",
            )
    return options


def least_season_s(inventory: Inventory) -> float:
    """2 × initLimit × tickTime by the inventory's settings, ZooKeeper's defaults (10 and 2000 ms) where it names none."""
    return longest_join_s(host.settings for host in inventory.hosts)
