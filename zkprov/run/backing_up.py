"""Backups of an ensemble: configs and epochs of all its members, the data of one that is in sync, each kept on its own host.

Copied everywhere first, and sealed (with a manifest) when all of it is there: what is cut off in between is no backup, and the next one
removes it as soon as nobody can be at it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from zkprov import __version__
from zkprov.act import backups
from zkprov.judge.backups import data_source
from zkprov.model.backup import About, Backup, Look, name_of
from zkprov.model.facts import ServerFacts
from zkprov.model.problems import Interrupted, Problem

if TYPE_CHECKING:
    from zkprov.act.hosts import Host
    from zkprov.judge.health import Health
    from zkprov.plan.steps import Step
    from zkprov.run.engine import Engine
    from zkprov.run.world import World

MOST_DIGESTS = 32
"""Of one server's, that a manifest keeps."""


class Made(msgspec.Struct, frozen=True):
    """A backup on its hosts. `missing`: (member, why it has none)."""

    name: str
    backups: tuple[Backup, ...]
    missing: tuple[tuple[str, str], ...] = ()

    @property
    def data(self) -> Backup | None:
        return next((b for b in self.backups if b.data), None)

    @property
    def size(self) -> int:
        return sum(b.size for b in self.backups)

    def __str__(self) -> str:
        told = f"{self.name}: config and epochs of {', '.join(str(b.server) for b in self.backups)}"
        if self.data:
            told += f", data of {self.data.server} up to {self.data.zxid:#x}"
        told += f" ({mb(self.size)})"
        return told + "".join(f"; none of {member}: {why}" for member, why in self.missing)


def back_up(run: Engine, step: Step) -> str:
    """The step. Before any change: one that fails ends the run, and the former state stands."""
    health = run.gates.passed()
    run.checkpoint()
    run.fence(step.number)
    run.events.emit("act", what="copy configs, epochs and data into backups on their hosts")
    try:
        made = make_backup(
            run.world,
            health,
            by=run.who,
            now=run.clock.now(),
            run=run.plan.id,
            leaving=run.plan.leaving,
            source=data_source(health, {h.name for h in run.world.inventory.hosts}, run.plan.leaving, step.host),
            around=lambda when, host: run.world.hooks(when, "backup", host, run.plan.id),
        )
    except Interrupted:
        raise
    except Problem as problem:
        problem.remedy = "; or ".join(filter(None, (problem.remedy, "without a backup: --no-backup")))
        raise
    hosts = {b.host: b.what for b in made.backups}
    run.events.emit(
        "backup", name=made.name, hosts=hosts, size=made.size, zxid=f"{made.data.zxid:#x}" if made.data else ""
    )
    return str(made)


def make_backup(
    world: World,
    health: Health,
    *,
    by: str,
    now: float,
    run: str = "",
    leaving: Set[int] = frozenset(),
    source: ServerFacts | None = None,
    around: Callable[[str, str], object] = lambda _when, _host: None,
) -> Made:
    """Makes one of all members that are hosts of the inventory. `source`: whose data; a follower in sync that stays, if none is named.

    `around`: what is called with `before` and `after` and each host of this machine; a play has hooks of its own.
    A member that is down and cannot be reached has none, and that is told. Raises what another host cannot do; nothing is sealed then.
    """
    picture = health.picture
    members = {f.name: f for f in picture.members if world.inventory.host(f.name) is not None}
    source = source or data_source(health, members.keys(), leaving)
    if source is not None:
        members.setdefault(source.name, source)
    name = name_of(now, run)
    # whose disk was not read a moment ago is not asked once more: that takes as long as a silence may
    missing = {n: str(f.disk) for n, f in members.items() if not f.up and f.disk.value is None and f is not source}
    hosts = {n: world.host(n) for n in members if n not in missing}
    local = [n for n in hosts if hosts[n].host.connection == "local"]
    for host in local:
        around("before", host)
    for host, why in _copied(hosts, members, name, run, source).items():
        del hosts[host]
        missing[host] = why
    abouts = {
        n: About(
            world.inventory.ensemble,
            n,
            picture.member_id(members[n]),
            release_of(members[n]),
            now,
            by,
            run,
            __version__,
        )
        for n in hosts
    }
    if source is not None and source.name in hosts:
        abouts[source.name] = _with_figures(world, abouts[source.name], source)
    with ThreadPoolExecutor(max(1, len(hosts))) as pool:
        sealed = list(pool.map(lambda n: backups.seal(hosts[n], name, abouts[n]), hosts))
    for host in local:
        around("after", host)
    known = {picture.member_id(members[n]) for n in members}
    others = [
        (str(i), "no host of the inventory") for i in sorted((picture.live.ids if picture.live else set()) - known)
    ]
    return Made(name, tuple(sealed), (*missing.items(), *others))


def _copied(
    hosts: Mapping[str, Host], members: Mapping[str, ServerFacts], name: str, run: str, source: ServerFacts | None
) -> dict[str, str]:
    """Copies on all hosts at once; who was down and could not be reached, and why. Leaves nothing where another fails."""
    missing: dict[str, str] = {}
    failed: Problem | None = None
    first = [source.name] if source is not None else []
    with ThreadPoolExecutor(max(1, len(hosts))) as pool:
        rest = {n: pool.submit(backups.copy, hosts[n], name, run, data=False) for n in hosts if n not in first}
        try:
            for host in first:
                # in this thread: a play is stopped from here
                backups.copy(hosts[host], name, run, data=True)
        except Problem as problem:
            failed = problem
        for host, future in rest.items():
            try:
                future.result()
            except Problem as problem:
                if members[host].up:
                    failed = failed or problem
                else:
                    missing[host] = problem.problem
    if failed is not None:
        for host in hosts:
            with contextlib.suppress(Problem):
                backups.drop(hosts[host], name)
        raise failed
    return missing


def release_of(facts: ServerFacts) -> str:
    return facts.srvr.value.release if facts.srvr.value else ""


def _with_figures(world: World, about: About, before: ServerFacts) -> About:
    """What the server says of itself after its data was copied, beside what it said before."""
    after = world.survey([before.name], clients=False).servers[0]
    looks = tuple(Look(s.zxid, s.znodes) for f in (before, after) if (s := f.srvr.value))
    found = {
        **(before.hash.value.by_zxid if before.hash.value else {}),
        **(after.hash.value.by_zxid if after.hash.value else {}),
    }
    newest = sorted(found)[-MOST_DIGESTS:]
    return msgspec.structs.replace(
        about, looks=looks if len(looks) == 2 else (), digests={str(zxid): found[zxid] for zxid in newest}
    )


def mb(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB" if size >= 100_000 else f"{size / 1000:.1f} kB"
