"""Plans to bring all members to a newer release: by the way that the table of releases knows, one minor release at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from zkprov.judge.health import Health
from zkprov.model.inventory import Inventory
from zkprov.model.release import Release, UpgradeStep, may_upgrade, way
from zkprov.plan.steps import UPGRADE, Plan, Refusal
from zkprov.plan.switch import SwitchWish, plan_switch, who_runs


class UpgradeWish(SwitchWish, frozen=True, kw_only=True):
    """As a `SwitchWish`."""

    @property
    def command(self) -> str:
        return f"zkprov upgrade --to {self.target}"


def plan_upgrade(health: Health, inventory: Inventory, wish: UpgradeWish) -> Plan | Refusal | None:
    """As `plan_switch`."""
    wish = msgspec.structs.replace(wish, known=_known(inventory, wish))

    def notes(old: Release) -> Iterator[str]:
        hops = way(old, wish.target, wish.known)
        if len(hops) > 1:
            yield f"{old} to {wish.target} goes through {', '.join(map(str, hops[:-1]))}: all members run one before the next"
        for before, release in zip((old, *hops), hops, strict=False):
            yield from (f"{before} to {release}: {note}" for note in may_upgrade(before, release).notes)

    return plan_switch(health, inventory, wish, UPGRADE, _hops, notes)


def _known(inventory: Inventory, wish: SwitchWish) -> frozenset[Release]:
    each = []
    for name in wish.names:
        host = inventory.host(name)
        each.append({*wish.laid.get(name, ()), *(host.releases if host is not None else ())})
    return frozenset(Release.parse(r) for r in set[str]().union(*each) if all(r in one for one in each))


def _hops(_health: Health, told: Mapping[int, Release], wish: SwitchWish) -> tuple[Release, ...] | Refusal:
    who, target = who_runs(told), wish.target
    rest = sorted({r for r in told.values() if r != target})
    if not rest:
        return ()
    if rest[-1] > target:
        headline = f"{target} is older than what runs: an upgrade goes forward only."
        told_why = (*who, "an older release may not read what a newer one has written")
        return Refusal("", headline, told_why, ((f"zkprov plan downgrade --to {target} --reason …", "whether it may"),))
    if len(rest) > 1:
        finish = f"zkprov upgrade --to {rest[-1]}"
        ways = ((finish, "ends what was begun"),) if may_upgrade(rest[0], rest[-1]).allowed else ()
        return Refusal("R8", "the members run different releases.", who, (*ways, ("zkprov status", "shows who is who")))
    hops = way(rest[0], target, wish.known)
    if not hops:
        step = may_upgrade(rest[0], target)
        return Refusal("", f"{step.reason}.", who, _instead(step))
    if len(set(told.values())) > 1:
        if may_upgrade(rest[0], target).allowed:
            return (target,)
        headline = f"some run {target}, and {may_upgrade(rest[0], target).reason}."
        return Refusal("R8", headline, who, (("zkprov status", "shows who is who; bring those on one release first"),))
    return hops


def _instead(step: UpgradeStep) -> tuple[tuple[str, str], ...]:
    if step.via:
        return ((f"zkprov upgrade --to {step.via[0]}", "the next step; zkprov_releases must name it"),)
    return (("", "name a release that this zkprov knows, or use a newer zkprov"),)
