"""Whether each member has room to write: by the disks of its data, and by what it said in its log when it could not.

A member without room serves nobody for long. Where it leads it fails with the highest zxid, so it may be elected again and again, and
nothing is committed meanwhile; which of its ends is seen (it leads, it comes and goes, it has ended) differs from moment to moment.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import msgspec

from zkprov.judge.gates import NO_LIST, listed, unseen
from zkprov.judge.leaders import Leader
from zkprov.judge.picture import Picture, leads
from zkprov.judge.verdict import Evidence, GateResult, Purpose, weighed
from zkprov.model.facts import Disk, Room, ServerFacts

GATE = "room"
SOURCES = ("free space of dataDir and dataLogDir", "the server's log")
FULL = 1 << 20
"""Bytes. One transaction may be as large (jute.maxbuffer), and the kernel gives whole blocks."""
SOON, SOON_OF = 1 << 30, 0.05
"""Nearly full: less than 1 GiB, or than 5 % of a disk below 20 GiB. What comes at once is a snapshot, the whole tree, which seldom is
larger than 1 GB, and a log of 64 MB laid out ahead; a share of a large disk says nothing of those, and a small disk never has that much."""
TO_KNOW = "the disks of the members must be readable for zkprov"
RECENT_S = 20.0
"""A server that serves and failed to write within this time has not got over it: between two elections it serves for a moment."""


class NoRoom(msgspec.Struct, frozen=True):
    """A member that cannot write, or that ended since it could not. `ended`: it runs no more, and its disk has room by now."""

    facts: ServerFacts
    where: str
    evidence: tuple[Evidence, ...]
    ended: bool = False


def without_room(picture: Picture) -> tuple[NoRoom, ...]:
    """Of the members, in the order of their ids."""
    return tuple(found for facts in picture.members if (found := _without_room(picture, facts)) is not None)


def _without_room(picture: Picture, facts: ServerFacts) -> NoRoom | None:
    disk = facts.disk.value
    if disk is None:
        return None
    # two folders of one disk have the same room
    apart = tuple({(r.free, r.size): r for r in disk.rooms}.values())
    label, rooms = picture.label(facts), ", ".join(_told(r) for r in apart)
    full = [r for r in apart if r.free < FULL]
    said = disk.unwritten
    runs = facts.up or disk.active is True
    failed = said is not None and (not facts.serving or 0 <= said.ago_s <= RECENT_S)
    told = [Evidence(label, f"cannot write: {', '.join(_told(r) for r in full)}")] if full else []
    if said is not None and failed:
        ago = f", {said.ago_s:.0f} s ago" if said.ago_s >= 0 else ""
        what = "could not write" if runs else "ended, and could not write"
        told.append(Evidence(label, f"{what}: {said.said} ({said.log}{ago})"))
        if not full:
            told.append(
                Evidence(
                    label,
                    f"{rooms or 'its room was not read'}: a quota, a limit of the process (ulimit -f), or room made since",
                )
            )
    if not told:
        return None
    where = full[0].path if full else disk.rooms[-1].path if disk.rooms else "its dataLogDir"
    return NoRoom(facts, where, tuple(told), ended=not full and not runs)


def concerns_leader(one: NoRoom, leaders: Sequence[Leader]) -> bool:
    """Whether writes fail for it, or will in a moment: it leads, or nobody does."""
    return leads(one.facts) or not any(x.established for x in leaders if not x.stranger)


def steps_out(one: NoRoom) -> tuple[str, ...]:
    """What leads out of it, in order, as a person types it."""
    name, disk = one.facts.name, one.facts.disk.value
    room = f"make room on {name} (df -h {one.where}): move away what is not ZooKeeper's, and of version-2 what is older than 3 snapshots"
    start = f"zkprov restart --only {name}        where it has ended; where it runs it comes back by itself"
    stop = f"no room to be had soon: on {name}, {stopped_by(disk)}; the others go on"
    if one.ended:
        return room.replace("make room", "see that there is room"), start, "zkprov check"
    return room, start, stop, "zkprov check"


def stopped_by(disk: Disk | None) -> str:
    """How a person stops a server that zkprov cannot: without a quorum that commits there is no ledger to write to."""
    if disk is not None and disk.unit:
        return f"systemctl stop {disk.unit}"
    if disk is not None and disk.acting is not None and (folder := disk.acting.source.rpartition("/")[0]):
        return f"pkill -f {folder}/zoo.cfg"
    return "stop the server"


def room(picture: Picture, purpose: Purpose, excused: Set[int] = frozenset()) -> GateResult:
    """The gate. A disk that is nearly full is a warning; a room that is not told is unknown, and stops nothing.

    A server that ended for want of room, and has room now, may be started.
    """
    bad = {id(x.facts): x for x in without_room(picture)}
    failed: list[Evidence] = []
    unknown = [] if picture.live else [NO_LIST]
    warned: list[Evidence] = []
    remedy = ""
    asked = listed(picture, excused)
    for server, facts in asked:
        found = bad.get(id(facts))
        if found is not None and not found.ended:
            failed += found.evidence
            remedy = remedy or steps_out(found)[0]
        elif found is not None:
            warned += found.evidence
        elif facts is None or facts.disk.value is None:
            unknown.append(unseen(picture, server, facts, *([facts.disk] if facts else [])))
        elif not facts.disk.value.rooms:
            unknown.append(Evidence(picture.label(facts), "its room was not read"))
        else:
            told = {(r.free, r.size): _told(r) for r in facts.disk.value.rooms if nearly_full(r)}.values()
            warned += [Evidence(picture.label(facts), f"{what}: make room before it is full") for what in told]
    passed = f"{len(asked)} members have some"
    result = weighed(GATE, failed, unknown, passed, SOURCES, required=False, remedy=remedy, to_know=TO_KNOW)
    return msgspec.structs.replace(result, warnings=tuple(warned))


def nearly_full(one: Room) -> bool:
    return one.free < min(SOON, SOON_OF * one.size)


def _told(one: Room) -> str:
    return f"{_size(one.free)} of {_size(one.size)} are free at {one.path}"


def _size(number: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} B"
