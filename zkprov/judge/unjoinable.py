"""Members with data that run and cannot join: a server refuses a leader whose epoch is less than the one that it has accepted."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zkprov.judge.leaders import Leader
from zkprov.judge.picture import Picture, leads, member_at
from zkprov.judge.verdict import Evidence
from zkprov.model.facts import ServerFacts, Survey
from zkprov.model.members import Members
from zkprov.model.quorum import braces


def left_outside(
    picture: Picture, leader: Leader, earlier: Survey | None
) -> tuple[tuple[Evidence, ...], tuple[Evidence, ...]]:
    """(proved, suspected). `leader` is established.

    Who has accepted an epoch belonged to a quorum that was about to follow its leader, and follows no older one: so a leader of an older
    epoch, with a quorum, is one of another history. A disk is read a moment later than the leader is asked, and an election may
    lie in between: only a leader that still has the older epoch at the next look is one.
    """
    found: list[Evidence] = []
    doubted: list[Evidence] = []
    if leader.epoch is None:
        return (), ()
    for facts in picture.survey.servers:
        disk = facts.disk.value
        if disk is None or not disk.has_data or facts.serving or not (facts.up or disk.active):
            continue
        if facts.name in leader.names or not _concerned(picture, facts):
            continue
        accepted = disk.history.accepted
        if accepted is None or accepted <= leader.epoch:
            continue
        phase = f", phase {facts.zabstate.value.phase}" if facts.zabstate.value else ""
        what = f"runs and serves nobody{phase}; it accepted epoch {accepted} (acceptedEpoch), the leader's is {leader.epoch}"
        before = earlier.by_name(facts.name) if earlier else None
        told = before.disk.value.history.accepted if before and before.disk.value else None
        stood = before is not None and not before.serving and told is not None and told > leader.epoch
        (found if stood and _led(leader, earlier) else doubted).append(Evidence(picture.label(facts), what))
    return tuple(found), tuple(doubted)


def gone_over(
    picture: Picture, leader: Leader, earlier: Survey | None
) -> tuple[tuple[Evidence, ...], tuple[Evidence, ...]]:
    """(proved, suspected): one is left alone with its data, under a list without the leader, whose other voters follow that leader.

    An older list of ours is that of a member that was down, and nothing of the kind: so its version must not be the lower one.
    """
    theirs = leader.members
    if theirs is None or leader.id is None:
        return (), ()
    found: list[Evidence] = []
    doubted: list[Evidence] = []
    for facts in picture.survey.servers:
        disk = facts.disk.value
        runs = facts.up or (disk is not None and bool(disk.active))
        if disk is None or disk.acting is None or not disk.has_data or facts.serving or not runs:
            continue
        own = disk.acting.members
        seat = member_at(theirs, facts)
        stays = seat is not None and seat.id == facts.id and facts.id in own.voters
        if not stays or own.same_list(theirs) or own.version < theirs.version or leader.id in own.ids:
            continue
        taken = frozenset(i for i in own.voters & leader.followers if _same_place(own, theirs, i))
        if not taken or own.quorums.contains_quorum(own.voters - taken):
            continue
        what = f"runs with its data and serves nobody under {own} ({disk.acting.source}), of which {braces(taken)} follow {leader.id}"
        before = earlier.by_name(facts.name) if earlier else None
        stood = before is not None and not before.serving and before.disk.value is not None
        (found if stood and _led(leader, earlier) else doubted).append(Evidence(picture.label(facts), what))
    return tuple(found), tuple(doubted)


class Origin(msgspec.Struct, frozen=True):
    """Where the history that a leader serves comes from, as far as its files tell. `own`: it began on that disk; none of ours is in it."""

    own: bool
    evidence: Evidence


def origin(picture: Picture, leader: Leader, alone: Sequence[Evidence]) -> Origin:
    """Of the leader whom the others of a list follow, while who acts under that list is left `alone`.

    Somebody took them over; or the list is being rolled out by hand, and who is alone was not restarted yet. Both leave the same lists, and
    an equal identity proves nothing. What differs is how the leader, who was not in that list, came by its data. A server that joins gets a
    snapshot, which lies before its first log; one that began by itself has its empty `snapshot.0` and none. That is proof as long as
    nothing was purged (then `snapshot.0` is gone first) and as its first log is of a later epoch than those who are alone went through: a
    founder of theirs that was taken out of the list once has both as well.
    """
    facts = picture.survey.by_name(leader.name)
    name = picture.label(facts) if facts is not None else leader.name
    disk = facts.disk.value if facts is not None else None
    if disk is None or not disk.history.snapshots or not disk.history.logs:
        return Origin(False, Evidence(name, "where its history comes from was not read: its disk tells no files"))
    snapshots, first = disk.history.snapshots, disk.history.logs[0]
    before = [z for z in snapshots if 0 < z < first]
    if before:
        what = f"came in by a snapshot of {before[0]:#x}, which lies before its first log, of {first:#x}: its history began elsewhere"
        return Origin(False, Evidence(name, f"{what}, perhaps with theirs"))
    past = max((e for f in _named(picture, alone) for e in _epochs(f)), default=None)
    if snapshots[0] == 0 and past is not None and first >> 32 > past:
        what = f"its history began on its own disk: an empty snapshot.0, and a first log of {first:#x} with no snapshot before it"
        return Origin(True, Evidence(name, f"{what}; nothing of epoch {past} is in it"))
    return Origin(
        False, Evidence(name, f"its files do not tell where its history comes from (its first log is of {first:#x})")
    )


def _named(picture: Picture, told: Sequence[Evidence]) -> list[ServerFacts]:
    names = {e.server for e in told}
    return [f for f in picture.survey.servers if picture.label(f) in names]


def _epochs(facts: ServerFacts) -> list[int]:
    """Those that a server with data of its own went through, as far as it is told."""
    history = facts.disk.value.history if facts.disk.value else None
    if history is None:
        return []
    return [e for e in (history.current, history.accepted) if e is not None]


def _same_place(one: Members, other: Members, server_id: int) -> bool:
    here, there = one.get(server_id), other.get(server_id)
    return here is not None and there is not None and here.same_place(there)


def _led(leader: Leader, earlier: Survey | None) -> bool:
    before = earlier.by_name(leader.name) if earlier else None
    return before is not None and leads(before)


def _concerned(picture: Picture, facts: ServerFacts) -> bool:
    """Whether it is one of ours: in the live list, or a host of the inventory that is not of another ensemble's list alone."""
    return picture.member_id(facts) in (picture.live.ids if picture.live else ()) or "inventory" in facts.known_as
