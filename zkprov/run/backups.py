"""Backups as a person asks for them: made by hand, listed, loaded to see whether they are sound, fetched."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from zkprov.act import backups
from zkprov.judge.backups import Check, compared, named_source
from zkprov.judge.health import Condition, Health
from zkprov.model.backup import Backup, Loaded
from zkprov.model.problems import BadInput, NotHealthy, Problem
from zkprov.plan.steps import Refusal
from zkprov.run.backing_up import Made, make_backup
from zkprov.run.world import World


class Found(msgspec.Struct, frozen=True):
    """What the hosts have, newest first; `unread`: (host, why it was not read)."""

    backups: tuple[Backup, ...]
    unread: tuple[tuple[str, str], ...] = ()


class Verified(msgspec.Struct, frozen=True):
    """One host's part of a backup. `loaded`: None where there is no data in it."""

    backup: Backup
    checks: tuple[Check, ...]
    loaded: Loaded | None = None


def create(world: World, health: Health, by: str, data_of: str | None = None) -> Made | Refusal:
    """By hand. With two leaders, or two histories, a person says whose data is to be saved. Raises `BadInput` for a server that is none."""
    source = None
    if data_of is not None:
        source = named_source(health.picture, data_of)
        if source is None or world.inventory.host(source.name) is None:
            what = f"{data_of} is no host of the inventory" if source else f"no server {data_of!r}"
            raise BadInput(what, place="--data-of", remedy="name a server as zkprov status shows it")
    elif health.condition is Condition.UNSAFE:
        again = ("zkprov backup create --data-of SERVER", "saves the data of that one; once for each side")
        evidence = (health.headline,)
        return Refusal(
            "R8", "whose data is the ensemble's cannot be told.", evidence, (("zkprov status", "shows both"), again)
        )
    made = make_backup(world, health, by=by, now=time.time(), source=source)
    if not made.backups:
        why = "; ".join(f"{member}: {told}" for member, told in made.missing) or "no member is a host of the inventory"
        raise NotHealthy(f"nothing was saved: {why}", place=world.inventory.ensemble, remedy="zkprov status")
    return made


def find(world: World) -> Found:
    """On all hosts of the inventory at once, members or not."""
    names = [h.name for h in world.inventory.hosts]

    def one(name: str) -> tuple[Backup, ...] | Problem:
        try:
            return backups.listed(world.host(name))
        except Problem as problem:
            return problem

    with ThreadPoolExecutor(max(1, len(names))) as pool:
        answers = dict(zip(names, pool.map(one, names), strict=True))
    found = [b for said in answers.values() if not isinstance(said, Problem) for b in said]
    unread = tuple((n, said.problem) for n, said in answers.items() if isinstance(said, Problem))
    return Found(tuple(sorted(found, key=lambda b: (b.name, b.data), reverse=True)), unread)


def chosen(found: Found, world: World, name: str | None, hosts: Sequence[str]) -> tuple[Backup, ...]:
    """The parts of the backup `name` (the newest with data, if none is named) on `hosts`, if any are. Raises `BadInput`, `NotHealthy`."""
    place = world.inventory.ensemble
    unknown = next((h for h in hosts if world.inventory.host(h) is None), None)
    if unknown:
        raise BadInput(f"no host {unknown!r}", place="--host", remedy="name hosts of the inventory")
    there = [b for b in found.backups if not hosts or b.host in hosts]
    if name is None:
        name = next((b.name for b in there if b.data), None)
        if name is None:
            more = "; ".join(f"{host} was not read: {why}" for host, why in found.unread)
            raise NotHealthy(
                f"no backup with data{f' ({more})' if more else ''}", place=place, remedy="zkprov backup create"
            )
    parts = tuple(b for b in there if b.name == name)
    if not parts:
        raise BadInput(f"no backup {name!r}", place=place, remedy="zkprov backup list")
    return parts


def verify(world: World, parts: Sequence[Backup], timeout_s: float, say: Callable[[str], None]) -> list[Verified]:
    """One after the other: checksums of all, and the data loaded where there is any."""
    found = []
    for part in parts:
        if part.state != "whole":
            found.append(Verified(part, (Check("manifest", False, f"{part.state}: no manifest that can be read"),)))
            continue
        host = world.host(part.host)
        if part.data:
            say(f"{part.host}: loading the data of {part.name}")
            loaded = backups.load(host, part.name, timeout_s)
            found.append(Verified(part, compared(part, loaded), loaded))
            continue
        wrong = backups.damaged(host, part.name)
        checks = tuple(Check("checksums", False, what) for what in wrong)
        found.append(Verified(part, checks or (Check("checksums", True, f"{part.count} files are what was saved"),)))
    return found


def fetch(world: World, parts: Sequence[Backup], into: Path, say: Callable[[str], None]) -> list[tuple[Backup, Path]]:
    """Each part to `into/NAME/HOST`, for our user alone; one that is there already is left. Raises `BadInput`, `NotHealthy`."""
    found = []
    for part in parts:
        if part.state != "whole":
            raise NotHealthy(f"{part.name} is {part.state} there", place=part.host, remedy="zkprov backup list")
        place = into / part.name / part.host
        found.append((part, place))
        if (place / backups.MANIFEST).exists():
            say(f"{place} is there already")
            continue
        unfinished = place.with_name(f".{part.host}.part")
        try:
            for folder in (into, place.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(mode=0o700)
            say(f"{part.host}: {part.name}, {part.what}")
            backups.fetch(world.host(part.host), part.name, unfinished)
            unfinished.rename(place)
        except OSError as error:
            raise BadInput(
                f"cannot be written: {error.strerror}",
                place=str(error.filename or place),
                remedy="make room there, or name another folder",
            ) from None
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return found
