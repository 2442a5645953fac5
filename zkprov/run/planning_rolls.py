"""Plans by which members are stopped and started, one at a time, made from a survey of this moment: restarts, and other releases."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import TypeVar

from zkprov import __version__
from zkprov.act.reconfig import rights
from zkprov.judge.health import Health, judge
from zkprov.judge.leaving import leaver_of
from zkprov.judge.releases import running
from zkprov.judge.verdict import Purpose
from zkprov.model.problems import BadInput, NotHealthy
from zkprov.model.release import Release
from zkprov.plan.configure import to_lay
from zkprov.plan.downgrade import DowngradeWish, plan_downgrade
from zkprov.plan.reboot import BEFORE
from zkprov.plan.rolling import RestartWish, plan_restart
from zkprov.plan.steps import Options, Plan, Refusal
from zkprov.plan.switch import SwitchWish
from zkprov.plan.upgrade import UpgradeWish, plan_upgrade
from zkprov.run.planning import acting, steady_health, who_am_i, who_leaves
from zkprov.run.rebooting import hosts_of, not_here, read_boots
from zkprov.run.switching import lying
from zkprov.run.world import World

Wished = TypeVar("Wished", bound=SwitchWish)


def make_restart(
    world: World, servers: Sequence[str], options: Options, made_by: str | None = None
) -> Plan | Refusal | None:
    """Plans to restart the members `servers` (names or ids; none for all), one at a time; None where nothing is to be laid on any of them.

    Raises `BadInput` for one that is no member, and for a host that is to be rebooted and is this machine.
    """
    survey = world.survey()
    picture = judge(survey, Purpose.LOOK).picture
    if picture.live is None:
        raise NotHealthy("no server tells the list of members", place=survey.ensemble, remedy="zkprov status")
    wanted = servers or [str(s.id) for s in picture.live.servers]
    names, left = who_leaves(world, wanted)
    if left:
        raise BadInput(
            f"{left[0].host} has left", place=survey.ensemble, remedy="zkprov add-node brings in a new server"
        )
    files: dict[str, tuple[str, ...]] = {}
    if options.configure:
        from zkprov.run.drift import find_drift

        known = [n for n in names if world.inventory.host(n)]
        found = to_lay(find_drift(world, known))
        if isinstance(found, Refusal):
            return found
        files = found
        names = tuple(n for n in names if n in files or n not in known)
        if not files:
            return None
    boots, patched = {}, False
    if options.reboot:
        hosts = dict.fromkeys((*hosts_of(world, picture), *(n for n in names if world.inventory.host(n))))
        not_here(world, {}, names)
        boots = read_boots(world, tuple(hosts))
        not_here(world, boots, names)
        patched = world.has_hook(BEFORE)
    asked = [leaver_of(picture, n) for n in names]
    no_right = ""
    if options.handover and picture.live.version and any(x.part == "leader" for x in asked):
        with acting(world) as client:
            no_right = rights(client, picture.live.servers[0])
    health = steady_health(world, frozenset(x.id for x in asked if not x.up and x.id is not None))
    wish = RestartWish(
        secrets.token_hex(3),
        names,
        files,
        no_right,
        options,
        time.time(),
        who_am_i(made_by),
        __version__,
        world.templates_digest(),
        boots,
        patched,
    )
    return plan_restart(health, world.inventory, wish)


def make_upgrade(world: World, target: str, options: Options, made_by: str | None = None) -> Plan | Refusal | None:
    """Plans to bring all members to the newer release `target`, one at a time; None where all run it.

    Raises `BadInput` for what is no release.
    """
    wish, health = _switch(world, UpgradeWish, target, options, made_by)
    return plan_upgrade(health, world.inventory, wish)


def make_downgrade(world: World, target: str, options: Options, made_by: str | None = None) -> Plan | Refusal | None:
    """As `make_upgrade`, back to an older one. Raises `BadInput` where no reason is given, too."""
    if not options.reason.strip():
        raise BadInput("going back needs a reason", place="--reason", remedy="say why; it stands in the journal")
    wish, health = _switch(world, DowngradeWish, target, options, made_by)
    return plan_downgrade(health, world.inventory, wish)


def _switch(
    world: World, kind: type[Wished], target: str, options: Options, made_by: str | None
) -> tuple[Wished, Health]:
    """What is asked of all members, and the ensemble judged with the releases that run now taken as they are."""
    wanted = Release.parse(target, place="--to")
    if str(wanted) != target.strip():
        raise BadInput(f"not a ZooKeeper release: {target[:40]!r}", place="--to", remedy="write it like 3.9.5")
    survey = world.survey()
    picture = judge(survey, Purpose.LOOK).picture
    if picture.live is None:
        raise NotHealthy("no server tells the list of members", place=survey.ensemble, remedy="zkprov status")
    names, _ = who_leaves(world, [str(s.id) for s in picture.live.servers])
    no_right = ""
    if options.handover and picture.live.version:
        with acting(world) as client:
            no_right = rights(client, picture.live.servers[0])
    told = running(picture)
    laid, fixed = lying(world, names) if set(told.values()) - {wanted} else ({}, {})
    health = steady_health(world, releases={i: frozenset({str(r)}) for i, r in told.items()})
    wish = kind(
        secrets.token_hex(3),
        names,
        {},
        no_right,
        options,
        time.time(),
        who_am_i(made_by),
        __version__,
        world.templates_digest(),
        target=wanted,
        laid=laid,
        fixed=fixed,
    )
    return wish, health
