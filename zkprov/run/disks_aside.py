"""Where the disks lie that heals have set aside, and the commands that read them.

Those of the heal that ends, and those of heals before it that this machine's journal has as given up: who was fenced by one of them is on
no side any more when the next one looks, and what he had acknowledged is told by nobody else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from zkprov.act import backups, disks
from zkprov.act.hosts import folders_of, place_aside
from zkprov.model.backup import name_of
from zkprov.model.problems import NotHealthy, Problem, Unreached
from zkprov.model.split import Split
from zkprov.plan.steps import HEAL, Plan, StepKind
from zkprov.run.journal import OPEN_STATES, Journal, Run, State
from zkprov.run.result import Result
from zkprov.run.world import World

SALVAGED = "salvaged"
"""The journal's kind of document for a disk whose dead letters were written; its key is the disk as `salvage` was given it."""


class Aside(msgspec.Struct, frozen=True):
    """A disk that was set aside: of which side, on which host, where its data is, and its log where that is elsewhere.

    `run`: the heal that was given up and had set it aside; empty for the heal that ends.
    """

    side: str
    host: str
    data: str
    log: str
    local: bool
    id: int | None = None
    run: str = ""

    def __str__(self) -> str:
        by = f" (by heal {self.run}, which was given up)" * bool(self.run)
        return f"{self.host}:{self.data}" + f" (log: {self.log})" * bool(self.log) + by

    @property
    def source(self) -> str:
        """As `salvage` takes it, here or on its host."""
        return ":".join(filter(None, ("" if self.local else self.host, self.data, self.log)))


class LostSide(msgspec.Struct, frozen=True):
    """The disks of one side that was not kept. `name`: what its file of dead letters is called by; `identity` as `SideSeen` has it.

    `left`: those of its servers that the heal had not fenced when it was given up, by name.
    """

    name: str
    disks: tuple[Aside, ...]
    left: frozenset[str] = frozenset()
    identity: str = ""

    def salvage(self, kept: Iterable[Aside] = ()) -> str:
        """The command that reads them. `kept`: copies of the kept side's; one of a server of this side is left out.

        (By its id `salvage` tells the disks of one side from the other's.)
        """
        ids = {d.id for d in self.disks} - {None}
        beside = "".join(f" --kept-disk {d.source}" for d in kept if d.id not in ids)
        return f"zkprov salvage {' '.join(d.source for d in self.disks)}{beside} -o dead-letters-{self.name}"


# -- of one run


def fenced_disks(plan: Plan, world: World, journal: Journal, head: int | None = None) -> tuple[Aside, ...]:
    """Each disk that the run has set aside: by its record here, else where it is unless the folder is a mount point.

    `head`: the last step that it had begun; none of a run that came to its end.
    """
    if plan.split is None:
        return ()
    told = [e.evidence for e in journal.events(plan.id) if e.kind == "act" and "where" in e.evidence]
    seen = {str(e["host"]): str(e["where"]) for e in told}
    begun = {s.host for s in plan.steps if s.kind is StepKind.FENCE and (head is None or s.number <= head)}
    found = []
    for side in plan.split.lost:
        for server in (x for x in side.servers if x.host in begun):
            name, host, label = server.host, world.inventory.host(server.host), plan.split.label
            if host is None:
                # the inventory may have dropped it since: it was no member
                if data := seen.get(name, ""):
                    found.append(Aside(side.name, name, data, "", Path(data).is_dir(), server.id))
                continue
            usual = place_aside(host, label)
            data = seen.get(name, usual)
            log = place_aside(host, label, folder=host.data_log_dir) if data == usual else ""
            found.append(
                Aside(side.name, name, data, "" if log == data else log, host.connection == "local", server.id)
            )
    return tuple(found)


def kept_copies(plan: Plan, world: World) -> tuple[Aside, ...]:
    """The copies of the kept side's disks that the run has made before anything else: what their logs have from an earlier history."""
    if plan.split is None:
        return ()
    name, found = name_of(plan.made_at, plan.id), list[Aside]()
    for server in plan.split.kept.servers:
        host = world.inventory.host(server.host) if server.host and not server.gone else None
        if host is not None:
            place = f"{host.backups}/{name}"
            found.append(Aside(plan.split.keep, host.name, place, "", host.connection == "local", server.id))
    return tuple(found)


# -- of those before it


def still_lost(world: World, journal: Journal, plan: Plan | None = None) -> tuple[LostSide, ...]:
    """What heals have set aside that were given up since the last one that was not, as far as it lies there and nobody has salvaged it.

    `plan`: the heal that ends, which is not one of them.
    """
    found: tuple[LostSide, ...] = ()
    for run in reversed(_given_up(world, journal, plan)):
        if run.plan.split is None:
            continue
        there = [msgspec.structs.replace(d, run=run.id) for d in set_aside_by(run, world, journal)]
        there = [d for d in there if not journal.kept(SALVAGED, d.source)]
        found = joined(run.plan.split, there, found, partial("{}-{}".format, run.id))
    return found


def set_aside_by(run: Run, world: World, journal: Journal) -> list[Aside]:
    """What a heal that was given up has set aside, as far as it lies there."""
    if run.plan.split is None:
        return []
    label = run.plan.split.label
    found = [_where(world, d, label) for d in fenced_disks(run.plan, world, journal, run.head)]
    return [d for d in found if d is not None]


def _given_up(world: World, journal: Journal, plan: Plan | None = None) -> list[Run]:
    """Newest first."""
    found = list[Run]()
    for run in journal.runs(world.inventory.ensemble, kinds=(HEAL,)):
        if plan is not None and run.id == plan.id:
            continue
        if run.state is State.DONE:
            break
        if run.state not in OPEN_STATES:
            found.append(run)
    return found


def _where(world: World, disk: Aside, label: str) -> Aside | None:
    """Where it lies; None where it has no data, as one that was not yet set aside. Of a host that cannot be asked that is not known."""
    host = world.inventory.host(disk.host)
    if host is None:
        return disk
    # a run that was killed before it wrote down where that is
    within = msgspec.structs.replace(disk, data=place_aside(host, label, folders_of(host)), log="")
    for place in (disk, within):
        try:
            disks.files_on(world.host(disk.host), place.data, place.log)
        except Unreached:
            return disk
        except NotHealthy:
            continue
        return place
    return None


def joined(
    split: Split, aside: Sequence[Aside], before: Sequence[LostSide], named: Callable[[str], str]
) -> tuple[LostSide, ...]:
    """The sides that were not kept, each with what was set aside of it before.

    A side of an earlier heal is the one now that has servers which it had left, unless it holds another history. Two disks of one server
    are never on one side. `named`: the side's letter → the name of its file. Those that are on none of these sides stay what they were.
    """
    rest, found = list(before), list[LostSide]()
    for side in split.lost:
        names = frozenset(x.name for x in side.servers)
        own = tuple(d for d in aside if d.side == side.name)
        left = names - {d.host for d in own}
        for one in tuple(rest) if own else ():
            if not one.left & names or _another(one.identity, side.identity):
                continue
            taken = {d.host for d in own}, {d.id for d in own} - {None}
            apart = tuple(d for d in one.disks if d.host in taken[0] or d.id in taken[1])
            own += tuple(d for d in one.disks if d not in apart)
            rest.remove(one)
            rest += [msgspec.structs.replace(one, disks=apart)] if apart else []
        found += [LostSide(named(side.name), own, left, side.identity)] if own else []
    return (*found, *rest)


def _another(one: str, other: str) -> bool:
    """Whether they are two histories for sure: of one znode, made twice."""
    return bool(one and other) and one.partition("@")[0] == other.partition("@")[0] and one != other


def note_salvaged(path: Path, sources: Iterable[Path], out: Path) -> None:
    """Notes in the journal at `path`, if there is one, that the dead letters of these disks are in `out`. Raises as `Journal`."""
    with contextlib.closing(Journal(path, create=False)) as journal:
        for source in sources:
            journal.keep(SALVAGED, _named(source), msgspec.json.encode({"file": str(out.absolute())}))


def _named(source: Path) -> str:
    """As `Aside.source`: folders of this machine in full."""
    parts = [str(source)] if source.is_dir() else str(source).split(":")
    return ":".join(os.path.abspath(part) if Path(part).is_dir() else part for part in parts)  # noqa: PTH100 — no link is followed


# -- how it is told


def told_of(
    plan: Plan, result: Result, aside: Sequence[Aside], kept: Sequence[Aside] = (), before: Sequence[LostSide] = ()
) -> Result:
    """With where each disk lies that was set aside, who is to be restarted, and what reads those disks.

    `kept`: copies of the kept side's. `before`: what heals before this one have set aside.
    """
    if result.state is not State.DONE or plan.split is None:
        return result
    clients = [n for n in plan.notes if n.startswith("restart the client")]
    earlier = [d for one in before for d in one.disks]
    evidence = (f"kept: side {plan.split.keep}", *(f"set aside: {d}" for d in (*aside, *earlier)), *clients)
    following = [one.salvage(kept) for one in joined(plan.split, aside, before, str)]
    return msgspec.structs.replace(result, evidence=(*result.evidence, *evidence), next=(*result.next, *following))


def told_at_end(plan: Plan, result: Result, world: World, journal: Journal) -> Result:
    """The same, of a heal that has come to its end here. Raises nothing: what it has done stands."""
    if result.state is not State.DONE or plan.split is None:
        return result
    aside, kept = fenced_disks(plan, world, journal), kept_copies(plan, world)
    try:
        return told_of(plan, result, aside, kept, still_lost(world, journal, plan))
    except Problem as why:
        told = told_of(plan, result, aside, kept)
        unknown = f"what heals that were given up have set aside is not known: {why}"
        return msgspec.structs.replace(told, evidence=(*told.evidence, unknown))


def nothing_to_heal(said: str, world: World, journal: Journal, run: str = "") -> Result:
    """One side is left; and what heals that were given up have set aside. Raises as `Journal`."""
    lost = still_lost(world, journal)
    kept = _sound(kept_copies(_given_up(world, journal)[0].plan, world), world) if lost else ()
    evidence = tuple(f"set aside: {d}" for one in lost for d in one.disks)
    return Result(run, State.DONE, 0, said, evidence, next=tuple(one.salvage(kept) for one in lost))


def _sound(copies: Iterable[Aside], world: World) -> tuple[Aside, ...]:
    """Those that are there still, and whole: the oldest go when later ones are made."""
    found = []
    for copy in copies:
        with contextlib.suppress(Problem):
            there = backups.listed(world.host(copy.host))
            found += [copy for b in there if b.state == "whole" and b.name == Path(copy.data).name]
    return tuple(found)
