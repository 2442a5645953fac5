"""Plans to bring all members back to an older release: one step back, and only where it can read what was written meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zkprov.judge.health import Health
from zkprov.model.inventory import Inventory
from zkprov.model.release import Release, may_go_back
from zkprov.plan.steps import DOWNGRADE, Plan, Refusal
from zkprov.plan.switch import SwitchWish, plan_switch, who_runs

COMPRESSION = "snapshot.compression.method"
UNCOMPRESSED = (
    f"take {COMPRESSION} out of zoo.cfg, restart, and wait until each has a new snapshot without .gz or .snappy"
)


class DowngradeWish(SwitchWish, frozen=True, kw_only=True):
    """As a `SwitchWish`."""

    @property
    def command(self) -> str:
        return f"zkprov downgrade --to {self.target} --reason …"


def plan_downgrade(health: Health, inventory: Inventory, wish: DowngradeWish) -> Plan | Refusal | None:
    """As `plan_switch`."""

    def notes(old: Release) -> Iterator[str]:
        line = f"{old.line[0]}.{old.line[1]}"
        if wish.target.line == old.line:
            yield f"within {line} the format of the data is the same; that {wish.target} reads what {old} has written was not tried"
        else:
            yield f"{wish.target} reads what {old} has written (measured); clients that use what only {line} has will fail"

    return plan_switch(health, inventory, wish, DOWNGRADE, _back, notes)


def _back(health: Health, told: Mapping[int, Release], wish: SwitchWish) -> tuple[Release, ...] | Refusal:
    who, target = who_runs(told), wish.target
    rest = sorted({r for r in told.values() if r != target})
    if not rest:
        return ()
    if rest[0] < target:
        return Refusal(
            "", f"{target} is newer than what runs.", who, ((f"zkprov upgrade --to {target}", "goes there"),)
        )
    if len(rest) > 1:
        return Refusal("R8", "the members run different releases.", who, (("zkprov status", "shows who is who"),))
    step = may_go_back(rest[0], target)
    if not step.allowed:
        restore = ("zkprov backup list", "a backup of before is read by the release that wrote it")
        nearer = [(f"zkprov downgrade --to {r} --reason …", "one step back") for r in step.via[:1]]
        return Refusal("", f"{step.reason}.", who, (*nearer, restore))
    if unread := tuple(_unreadable(health, target)):
        return Refusal(
            "",
            f"{target} could not read what the members have.",
            tuple(what for what, _ in unread),
            tuple(dict.fromkeys(("", way_out) for _, way_out in unread)),
        )
    return (target,)


def _unreadable(health: Health, target: Release) -> Iterator[tuple[str, str]]:
    """What the members have that came in with 3.6, where `target` is older, and what to do about it."""
    if target.has_multi_address:
        return
    for facts in health.picture.members:
        method = facts.disk.value.settings.get(COMPRESSION, "") if facts.disk.value else ""
        if method.strip().lower() not in ("", "none"):
            what = f"{health.picture.label(facts)}: {COMPRESSION}={method}: its snapshots are compressed, which came with 3.6"
            yield what, UNCOMPRESSED
    for server in health.picture.live.servers if health.picture.live else ():
        if len(server.addresses) > 1:
            yield f"{server.id}: has several addresses, which came with 3.6", f"give {server.id} one address"
