"""The gates that ask whether all servers hold the same data: synced, one history, equal digests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set

from zkprov.judge.gates import NO_LIST, listed, unseen
from zkprov.judge.history import past, two_histories
from zkprov.judge.picture import Picture, Standing, leads
from zkprov.judge.verdict import Evidence, GateResult, Purpose, weighed
from zkprov.model.facts import LASTING, Identity, Outcome, ServerFacts, Survey

MAX_BEHIND = 1000
"""Transactions that a synced follower may be behind, or before, within one survey, whose answers are not of one instant."""
ON_ITS_WAY_S = 0.25
"""What the leader had so shortly before a follower may have not written yet: looks of one command may follow each other at once."""
COUNT = "zk_digest_mismatches_count"
UNTOLD = frozenset({Outcome.NOT_ASKED, Outcome.CLOSED, Outcome.REFUSED, Outcome.DENIED, Outcome.ABSENT})
"""How the digests of a server that serves come out when it has none to tell, at this look and at the next."""

LOST = frozenset({Outcome.TIMEOUT, Outcome.TRUNCATED})


def synced(
    picture: Picture, purpose: Purpose, earlier: Survey | None = None, excused: Set[int] = frozenset()
) -> GateResult:
    """Every member has what the leader has: by its zxid, against the leader's of the sample before where there is one.

    Where no zxid can be read, by a write through another member that was read on this one (`probe`).
    """
    leaders = [f for f in picture.members if leads(f)]
    leader = leaders[0] if len(leaders) == 1 else None
    head = _zxid(leader)
    failed: list[Evidence] = []
    unknown: list[Evidence] = [] if picture.live else [NO_LIST]
    if len(leaders) > 1:
        unknown.append(Evidence("", "more than one member says that it leads"))
    for server, facts in listed(picture, excused) if len(leaders) < 2 else ():
        own = _zxid(facts)
        if facts is None:
            unknown.append(unseen(picture, server, facts))
        elif leader is not None and own is not None and head is not None:
            if facts is leader:
                continue
            label = picture.label(facts)
            behind = _behind(facts, own, head)
            if behind is None and head & 0xFFFFFFFF == 0:
                what = f"is at {own:#x}; the leader's epoch {head >> 32} has no transaction yet"
                unknown.append(Evidence(label, what))
            elif behind is None:
                what = f"is in epoch {own >> 32}, leader {picture.label(leader)} in {head >> 32}"
                failed.append(Evidence(label, what))
            elif (past := _past(leader, head, earlier, facts, picture.survey)) is not None and own < past:
                what = f"is at {own:#x}, the leader was past {past:#x} one sample ago: {behind} behind"
                failed.append(Evidence(label, what))
            elif abs(behind) > MAX_BEHIND:
                where = f"{behind} behind" if behind > 0 else f"{-behind} before it"
                failed.append(Evidence(label, f"is at {own:#x}, leader at {head:#x}: {where}"))
        elif facts.probe.outcome is Outcome.ABSENT:
            failed.append(Evidence(picture.label(facts), f"has not shown a write made elsewhere ({facts.probe})"))
        elif facts.probe.value is None and facts is not leader:
            told = facts.srvr if own is None else facts.probe
            what = "its zxid cannot be read" if own is None else "no leader's zxid to compare its own with"
            unknown.append(Evidence(picture.label(facts), f"{what} ({told})"))
    return weighed(
        "synced",
        failed,
        unknown,
        "every member has what the leader has",
        ("srvr zxid", "zabstate zxid", "probe: a write through another member, read here"),
        required=purpose is Purpose.CHANGE,
        remedy="look at the disk and the network of the servers named",
    )


def _past(leader: ServerFacts, head: int, earlier: Survey | None, facts: ServerFacts, later: Survey) -> int | None:
    """What the leader of this epoch had in the earlier look, long enough before the follower was asked that it must have it."""
    led = earlier.by_name(leader.name) if earlier else None
    before = _zxid(led)
    if earlier is None or led is None or before is None or before >> 32 != head >> 32 or not before & 0xFFFFFFFF:
        return None
    between = (later.began + facts.srvr.asked) - (earlier.began + led.srvr.at)
    return None if 0 < between < ON_ITS_WAY_S else before


def _behind(facts: ServerFacts, own: int, head: int) -> int | None:
    """Transactions that a follower is behind; None where it is in another epoch than the leader.

    A follower that broadcasts in the leader's epoch had all that came before it; its zxid shows that only with the first transaction.
    """
    if own >> 32 == head >> 32:
        return head - own
    zab = facts.zabstate.value
    if zab is not None and zab.phase == "BROADCAST" and zab.epoch == head >> 32 > own >> 32:
        return head & 0xFFFFFFFF
    return None


def _zxid(facts: ServerFacts | None) -> int | None:
    if facts is None:
        return None
    if facts.srvr.value:
        return facts.srvr.value.zxid
    return facts.zabstate.value.zxid if facts.zabstate.value else None


def same_history(picture: Picture, purpose: Purpose, excused: Set[int] = frozenset()) -> GateResult:
    """Every server holds the same permanent znode, created at the same zxid and time. Equal proves nothing alone.

    Different creations of one path are two histories, or a server is a moment behind an application that made its znode anew
    (`history`). One that lacks a znode which nobody deletes is a moment behind too, unless it was past the creation when it was asked.
    """
    asked = [(s.id, picture.member(s.id)) for s, _ in listed(picture, excused)]
    servers = [f for _, f in asked if f is not None] + list(picture.of(Standing.JOINER))
    unknown = [unseen(picture, s, f) for s, f in listed(picture, excused) if f is None]
    unknown += [] if picture.live else [NO_LIST]
    unknown += [
        Evidence(picture.label(f), str(f.identity))
        for f in servers
        if f.identity.value is None and f.identity.outcome is not Outcome.ABSENT
    ]
    holders: dict[Identity, list[ServerFacts]] = defaultdict(list)
    for facts in servers:
        if facts.identity.value is not None:
            holders[facts.identity.value].append(facts)
    failed: list[Evidence] = []
    differing: list[Evidence] = []
    for v, who in sorted(holders.items(), key=lambda item: -len(item[1])):
        if any(w.path == v.path and w != v for w in holders):
            what = f"{v.path} of czxid {v.czxid:#x}, ctime {v.ctime_ms}"
            proved = any(two_histories(f, other) for f in who for other in servers)
            (failed if proved else differing).append(Evidence(", ".join(picture.label(f) for f in who), what))
    unknown = differing + unknown
    first = min(holders, key=lambda v: (LASTING.index(v.path) if v.lasting else len(LASTING), v.path), default=None)
    if first is not None and not failed:
        for facts in servers:
            own = facts.identity.value
            if (own is None and facts.identity.outcome is Outcome.ABSENT) or (own and own.path != first.path):
                surely = first.lasting and past(facts, first.czxid)
                (failed if surely else unknown).append(
                    Evidence(
                        picture.label(facts),
                        f"has no {first.path}" + (", and was past its creation" if surely else " yet"),
                    )
                )
    return weighed(
        "same history",
        failed,
        unknown,
        "one history on every server" if holders else "no server holds a permanent znode yet",
        ("identity znode (czxid, ctime)",),
        required=purpose is Purpose.CHANGE or bool(differing),
        unsafe=True,
        remedy='docs: incidents, "A second leader"',
        to_know="look again: zkprov status",
    )


def digests_equal(picture: Picture, purpose: Purpose, earlier: Survey | None = None) -> GateResult:
    """Equal digests at a common zxid, no mismatch counted. Taken where available: a missing one is reported (3.5 has none).

    A server that came in by a snapshot while clients wrote sometimes counts a few mismatches before it has caught up (measured: 2, in 2 of
    70 joins on 3.9.5 at 50 writes/s). What it counted is cleared only by an equal digest later; every server logs one at each
    zxid that 128 divides (`DataTree.logZxidDigest`). Until then it is unknown, and stops a change. A count that grows while its server
    serves is a failure, and so is one at a server that has no digests to tell: nothing could ever clear it. (One that is stopped while it
    is asked has none either, and a moment ago it had.) An answer that was lost
    where the AdminServer's others came is unknown, and stops a change: a difference seen a look before would be hidden by it.
    """
    failed: list[Evidence] = []
    waiting: list[Evidence] = []
    serving = [f for f in (*picture.members, *picture.of(Standing.JOINER)) if f.serving]
    for facts in serving:
        count = _mismatches(facts)
        if not count:
            continue
        what = f"zk_digest_mismatches_count is {count}"
        counted = Evidence(picture.label(facts), what)
        before = _before(facts, earlier)
        grown = before is not None and _mismatches(before) < count
        if before is not None and grown and _same_process(before, facts):
            failed.append(counted)
        elif facts.hash.value is None:
            if facts.hash.outcome in UNTOLD and not _ends(facts, earlier):
                failed.append(counted)
            else:
                waiting.append(Evidence(picture.label(facts), f"{what}, and its digests were not read ({facts.hash})"))
        elif not _cleared(facts, serving, (_zxid(before) or 0) if grown else 0):
            waiting.append(counted)
    # an AdminServer that answered just before: a difference may hide behind the silence
    waiting += [
        Evidence(picture.label(f), f"its digests were not read ({f.hash})")
        for f in serving
        if f.hash.outcome in LOST and (f.zabstate.value or f.leader.value) and not _mismatches(f)
    ]
    told = [(f, f.hash.value.by_zxid) for f in serving if f.hash.value and f.hash.value.by_zxid]
    compared = 0
    for i, (one, left) in enumerate(told):
        for other, right in told[i + 1 :]:
            common = sorted(left.keys() & right.keys())
            compared += bool(common)
            bad = next((z for z in common if left[z] != right[z]), None)
            if bad is not None:
                what = f"differs from {picture.label(other)} at {bad:#x}: {left[bad]:#x}, {right[bad]:#x}"
                failed.append(Evidence(picture.label(one), what))
    alone = picture.live is not None and len(picture.live.servers) == 1 and len(serving) == 1
    unknown = waiting or ([] if compared or alone else [Evidence("", "no two members tell a digest at the same zxid")])
    return weighed(
        "digests",
        failed,
        unknown,
        f"equal wherever two were told at one zxid ({compared} pair{'' if compared == 1 else 's'})",
        ("AdminServer hash", "mntr zk_digest_mismatches_count"),
        required=bool(waiting),
        unsafe=True,
        remedy='the data of these servers differs: docs, incidents, "After a split"',
        to_know="look again: zkprov check; an equal digest, logged at each zxid that 128 divides, clears a count"
        if waiting
        else "",
    )


def _ends(facts: ServerFacts, earlier: Survey | None) -> bool:
    """Whether it told its count and was gone before its digests were asked for: the AdminServer that refuses told something, now or a look
    before, or the port for clients refuses by now.
    """
    if facts.hash.outcome is not Outcome.REFUSED:
        return False
    before = earlier.by_name(facts.name) if earlier else None
    told = [f for one in (facts, before) if one is not None for f in (one.zabstate, one.leader, one.hash)]
    gone = any(f.outcome in (Outcome.REFUSED, Outcome.TRUNCATED) for f in (facts.config, facts.identity))
    return gone or any(f.value is not None for f in told)


def _before(facts: ServerFacts, earlier: Survey | None) -> ServerFacts | None:
    """The server in an earlier sample in which it served and told its count."""
    before = earlier.by_name(facts.name) if earlier else None
    return before if before is not None and before.serving and COUNT in (before.mntr.value or {}) else None


def _cleared(facts: ServerFacts, serving: list[ServerFacts], since: int) -> bool:
    """Whether the last digest that the server logged, after zxid `since`, is one that another logged too: equal, or told elsewhere."""
    digests = facts.hash.value.by_zxid if facts.hash.value else {}
    last = max(digests, default=0)
    doubted = max(facts.hash.value.twice, default=0) if facts.hash.value else 0
    return last > max(since, doubted) and any(
        o is not facts and o.hash.value and last in o.hash.value.by_zxid for o in serving
    )


def _same_process(before: ServerFacts, facts: ServerFacts) -> bool:
    """By `zk_uptime`, which begins again with each process and with each change of role; where it is not told, it is the same."""
    earlier, now = ((f.mntr.value or {}).get("zk_uptime", "") for f in (before, facts))
    return not (earlier.isdecimal() and now.isdecimal() and int(now) < int(earlier))


def _mismatches(facts: ServerFacts) -> int:
    """`zk_digest_mismatches_count`; 0 where it is not told, 1 where it is no number."""
    text = (facts.mntr.value or {}).get(COUNT, "0").strip()
    try:
        return int(float(text or "0"))
    except (ValueError, OverflowError):
        return 1
