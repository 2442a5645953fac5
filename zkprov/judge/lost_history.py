"""Whether the history that is served is the one that the ensemble had: by disks, by zkprov's marks, and by what a watch saw before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from zkprov.judge.history import two_histories
from zkprov.judge.leaders import Leader
from zkprov.judge.picture import Picture, Standing
from zkprov.judge.verdict import Evidence
from zkprov.model.facts import LASTING, History, Outcome, ServerFacts, Survey
from zkprov.model.quorum import braces

LEDGER = LASTING[0]


class Confirmed(msgspec.Struct, frozen=True):
    """What a watch saw of the ensemble when it was well last: what comes later goes on from there. `zxid`: the highest of its leaders'."""

    survey: Survey
    zxid: int = 0


def gone_back(
    picture: Picture, leader: Leader, earlier: Survey | None, confirmed: Confirmed | None
) -> tuple[tuple[Evidence, ...], tuple[Evidence, ...]]:
    """(proved, suspected): zxids that the ensemble had, and that an established leader is not past.

    What is on a disk is compared with what the leader said at a look after the one that read it: an election in between makes a leader's
    zxid larger, never smaller. A list on disk was committed at its version, and a snapshot holds what was committed; a log may hold more.
    """
    facts = picture.survey.by_name(leader.name)
    if facts is None or facts.srvr.value is None or picture.live is None:
        return (), ()
    head = facts.srvr.value.zxid
    found: list[Evidence] = []
    if confirmed is not None and confirmed.zxid > head:
        found.append(Evidence(leader.name, f"is at {head:#x}; this watch saw the ensemble at {confirmed.zxid:#x}"))
    before = confirmed.survey.by_name(leader.name) if confirmed else None
    if before is not None and two_histories(facts, before):
        found.append(
            Evidence(leader.name, f"holds {_history(facts)}; the ensemble held {_history(before)} in this watch")
        )
    doubted: list[Evidence] = []
    for one in picture.members:
        for told in _beyond(one, head, leader):
            stood = (was := earlier.by_name(one.name) if earlier else None) is not None and told in list(
                _beyond(was, head, leader)
            )
            (found if stood else doubted).append(Evidence(picture.label(one), told))
    return tuple(found), tuple(doubted)


def _beyond(facts: ServerFacts, head: int, leader: Leader) -> list[str]:
    disk, told = facts.disk.value, []
    if disk is None or not (facts.name in leader.names or not facts.serving):
        return []
    if disk.acting is not None and disk.acting.members.version > head:
        told.append(
            f"its list on disk was committed at {disk.acting.members.version:#x} ({disk.acting.source}), the leader is at {head:#x}"
        )
    history = disk.history
    if not disk.has_data:
        return told
    if history.snapshots and history.snapshots[-1] > head:
        told.append(f"has a snapshot of {history.snapshots[-1]:#x}, the leader is at {head:#x}")
    epoch = max(head >> 32, leader.epoch or 0)
    if (history.current or 0) > epoch:
        told.append(f"followed a leader of epoch {history.current} (currentEpoch), the leader's is {epoch}")
    return told


def begun_anew(picture: Picture, leader: Leader) -> tuple[Evidence, ...]:
    """Voters that serve with data that is all younger than what lies on the disk of one that is down, and that goes less far.

    Either the leader's own began anew: nothing of what was is in it. Or it goes on from before the end of that disk, and those that are
    known to have been there are too few to say that the rest was never acknowledged. A leader that was killed often has an end of its
    own; what it alone had, no client was told.
    """
    head = picture.survey.by_name(leader.name)
    if picture.live is None or head is None or not (disk := head.disk.value):
        return ()
    for down in picture.members:
        left = down.disk.value
        if (
            left is None
            or not left.has_data
            or down.serving
            or down.name in leader.names
            or left.history.newest_s is None
        ):
            continue
        anew = [f for f in picture.members if f.name in leader.names and _younger(f, left.history)]
        end, newest = left.history.end or 0, left.history.newest_s
        ids = frozenset(picture.member_id(f) for f in anew) & picture.live.voters
        if head in anew and _starts_over(disk.history, end) and all(f in anew for f in _readable(picture, leader)):
            what = f"is down, with data up to {end:#x}; all that {braces(ids)} hold was begun after its last write, and begins anew"
            return Evidence(picture.label(down), what), *_when(picture, anew, newest)
        stale = _ended(disk.history, end)
        enough = picture.live.quorums.contains_quorum(ids | {picture.member_id(down)})
        if anew and head not in anew and stale is not None and stale < end and enough:
            what = f"is down, with data up to {end:#x}; leader {leader.name} went on from {stale:#x}"
            return Evidence(picture.label(down), what), *_when(picture, anew, newest)
    return ()


def _when(picture: Picture, anew: Sequence[ServerFacts], newest: float) -> Iterator[Evidence]:
    for facts in anew:
        history = facts.disk.value.history if facts.disk.value else History()
        if history.oldest_s is not None:
            later = f"its oldest file of data was written {history.oldest_s - newest:.0f} s after the last write there: it was empty"
            yield Evidence(picture.label(facts), later)


def _readable(picture: Picture, leader: Leader) -> list[ServerFacts]:
    return [f for f in picture.members if f.name in leader.names and f.disk.value and f.disk.value.has_data]


def _younger(facts: ServerFacts, left: History) -> bool:
    disk = facts.disk.value
    return (
        disk is not None
        and disk.history.oldest_s is not None
        and left.newest_s is not None
        and disk.history.oldest_s > left.newest_s
    )


def _starts_over(history: History, end: int) -> bool:
    """Whether its first log begins before that end: a server that came in by a snapshot has none that does."""
    return bool(history.logs) and history.logs[0] <= end


def _ended(history: History, end: int) -> int | None:
    """Where a leader of a later epoch went on from, within the epoch of `end`: it took a snapshot then. None where it is not told."""
    within = [z for z in history.snapshots if z >> 32 == end >> 32]
    logs = [z for z in history.logs if z >> 32 == end >> 32]
    later = any(z >> 32 > end >> 32 for z in history.logs)
    return max(within) if within and later and max(within) >= max(logs, default=0) else None


def _lost_identity(facts: ServerFacts, before: ServerFacts) -> bool:
    """Whether a znode that nobody deletes was there and is gone, or is another one now."""
    was = before.identity.value
    if was is None or not was.lasting:
        return False
    return facts.identity.outcome is Outcome.ABSENT or two_histories(facts, before) or _path_lost(facts, before)


def _path_lost(facts: ServerFacts, before: ServerFacts) -> bool:
    now, was = facts.identity.value, before.identity.value
    return now is not None and was is not None and was.path == LEDGER and now.path != LEDGER


def _history(facts: ServerFacts) -> str:
    value = facts.identity.value
    return f"{value.path} of czxid {value.czxid:#x}" if value else "no permanent znode"


def wiped_history(picture: Picture, leader: Leader) -> tuple[Evidence, ...]:
    """Members on whose disks zkprov noted data that is gone, while what the leader serves has no ledger: both were lost together."""
    if not _ledger_gone(picture, leader):
        return ()
    what = f"its data was wiped (the mark that was noted in dataDir is not in it), and the ledger ({LEDGER}) is gone"
    meant = "; if that was meant, remove .zkprov-data from its dataDir"
    return tuple(
        Evidence(picture.label(f), what + meant)
        for f in picture.members
        if f.disk.value is not None and f.disk.value.wiped
    )


def captured_by(picture: Picture, leader: Leader, confirmed: Confirmed | None) -> tuple[Evidence, ...]:
    """Members that this watch saw under another leader, with another history, and that follow one now which was no member then."""
    if confirmed is None or picture.live is None:
        return ()
    before = confirmed.survey
    found = []
    head = picture.survey.by_name(leader.name)
    was_outside = (old := before.by_name(leader.name)) is None or not old.config.value
    if head is None or not was_outside:
        return ()
    for facts in picture.of(Standing.MEMBER, Standing.JOINER):
        then = before.by_name(facts.name)
        if facts.name in leader.names and then is not None and _lost_identity(facts, then):
            found.append(
                Evidence(
                    picture.label(facts),
                    f"held {_history(then)} in this watch; it holds {_history(facts)} now, and follows {leader.name}",
                )
            )
    return tuple(found)


def _ledger_gone(picture: Picture, leader: Leader) -> bool:
    """Whether each server of the leader's that answers shows a history without zkprov's ledger."""
    asked = [f for f in picture.survey.servers if f.name in leader.names and f.serving]
    told = [
        f.identity.outcome is Outcome.ABSENT or (f.identity.value is not None and f.identity.value.path != LEDGER)
        for f in asked
    ]
    return bool(told) and all(told)
