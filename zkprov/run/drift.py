"""Reads what lies on the hosts and compares it with what templates and variables say: for `zkprov plan configure`; nothing is written."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

import msgspec

from zkprov.act.ansible import CONTROL
from zkprov.act.render_unit import OURS, render_unit
from zkprov.judge.drift import FLAGS, LOGBACK, UNIT, Wanted
from zkprov.judge.health import Health
from zkprov.model.facts import Fact, Outcome
from zkprov.model.hiding import Seal
from zkprov.model.installed import Installed
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import BadInput
from zkprov.plan.configure import Drift, Seen, configure_plan
from zkprov.run.rendering import host_of, live_of, made_for
from zkprov.run.watch import Watcher
from zkprov.run.world import World


def find_drift(world: World, limit: Sequence[str] = ()) -> Drift:
    """Of the hosts named in `limit`, else of all. Raises `BadInput` for unknown hosts and templates that cannot be rendered,
    `NotHealthy` where no list of members can be read. A host that cannot be read is told in the value.
    """
    hosts = tuple(host_of(world, name) for name in dict.fromkeys(limit)) or world.inventory.hosts
    health = Watcher(world).settled()
    live_of(world, health)
    seal = Seal(secrets.token_bytes(32))
    there = world.installed(hosts, seal)
    seen = [_seen(world, health, host, there[host.name], seal) for host in hosts]
    return configure_plan(health, seen, hosts=world.inventory.hosts)


def _seen(world: World, health: Health, host: InventoryHost, fact: Fact[Installed], seal: Seal) -> Seen:
    made = made_for(world, health, host)
    facts = health.picture.survey.by_name(host.name)
    seen = Seen(host, made.member, facts, fact, None)
    if elsewhere := _elsewhere(seen):
        return elsewhere
    if made.violations:
        return msgspec.structs.replace(seen, refused=tuple(str(v) for v in made.violations))
    files = {name: seal.text(name, text) for name, text in made.files.items()}
    if made.member is None and host.id is None:
        # which id it will get is settled when it comes in
        files.pop("myid", None)
    wanted = Wanted(files, release=_release(host), stands_in=_stands_in(host))
    if fact.value is None:
        return msgspec.structs.replace(seen, wanted=wanted)
    return _with_software(world, msgspec.structs.replace(seen, wanted=wanted), wanted, fact.value, seal)


def _elsewhere(seen: Seen) -> Seen | None:
    """A member whose files or data are not where the inventory says: what was compared there would be nonsense, and to lay it, harm."""
    disk = seen.facts.disk if seen.facts and seen.member else None
    if disk is None:
        return None
    missing = disk.value.server_elsewhere if disk.value else ""
    if disk.outcome is Outcome.ANOTHERS or missing:
        detail = f"{missing or disk.detail}: correct zkprov_config_dir"
        return msgspec.structs.replace(seen, there=Fact(seen.there.source, Outcome.ANOTHERS, detail=detail))
    data = disk.value.data_elsewhere if disk.value else ""
    refused = (f"R5: {data}: correct zkprov_data_dir and zkprov_data_log_dir; a member keeps its data where it lies",)
    return msgspec.structs.replace(seen, refused=refused) if data else None


def _with_software(world: World, seen: Seen, wanted: Wanted, there: Installed, seal: Seal) -> Seen:
    """With unit and release, where they are zkprov's to lay."""
    host, unit = seen.host, there.unit
    notes: tuple[str, ...] = ()
    runs = seen.facts.disk.value.unit if seen.facts and seen.facts.disk.value else ""
    if unit is not None and not host.start_command and runs not in ("", f"{host.unit}.service"):
        problem = f"the server is run by {runs}: correct zkprov_unit"
        files = {n: t for n, t in wanted.files.items() if n not in (FLAGS, LOGBACK)}
        there = msgspec.structs.replace(there, unread={**there.unread, UNIT: problem}, current="", releases=())
        wanted = msgspec.structs.replace(wanted, files=files)
        return msgspec.structs.replace(seen, wanted=wanted, there=msgspec.structs.replace(seen.there, value=there))
    foreign = unit is not None and bool(unit.path) and OURS not in (unit.text or OURS)
    if foreign and unit is not None:
        notes = (f"the unit {unit.path} is not zkprov's: it is left as it is, and so is what it does not name",)
        wanted = msgspec.structs.replace(
            wanted, files={n: t for n, t in wanted.files.items() if n not in (FLAGS, LOGBACK) or n in (unit.text or "")}
        )
    elif unit is not None and not host.start_command:
        try:
            text = render_unit(
                host,
                control=f"{CONTROL}/{host.name}",
                java=there.java,
                memory_kb=there.memory_kb,
                playbooks=world.playbooks,
            )
            wanted = msgspec.structs.replace(wanted, unit=seal.text(UNIT, text))
        except BadInput as bad:
            notes = (f"the unit is not compared: {bad} ({bad.remedy})",)
    if foreign or host.classpath or host.start_command:
        there = msgspec.structs.replace(there, current="", releases=())
    fact = msgspec.structs.replace(seen.there, value=there)
    return msgspec.structs.replace(seen, wanted=wanted, there=fact, notes=notes)


def _release(host: InventoryHost) -> str:
    """As the playbooks have it: what the inventory names, else what the archive's name says."""
    named = re.search(r"apache-zookeeper-([0-9.]+[0-9])-bin", host.archive)
    return host.release or (named[1] if named else "")


def _stands_in(host: InventoryHost) -> frozenset[str]:
    """Servers of this machine that zkprov starts itself get its own logging, and the inventory's flags, where they have no such file."""
    return frozenset({FLAGS, LOGBACK}) if host.connection == "local" and not host.start_command else frozenset()
