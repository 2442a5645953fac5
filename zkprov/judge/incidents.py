"""The known ways in which a second ensemble, a lost history or a leader that cannot lead shows itself: each by its name, with its evidence.

A gate says that something is wrong; an incident says what it is, who is on which side, and what leads out of it. A moment of an
election is none: what one look cannot tell apart is `suspected`, and told at the next look, which is compared with the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from zkprov.judge.leaders import Leader
from zkprov.judge.lost_history import Confirmed, begun_anew, captured_by, gone_back, wiped_history
from zkprov.judge.pending_reconfig import pending_reconfig
from zkprov.judge.pending_reconfig import steps_out as pending_steps
from zkprov.judge.picture import Picture, Standing, leads, member_at
from zkprov.judge.room import concerns_leader, steps_out, stopped_by, without_room
from zkprov.judge.sides import Side, by_data, by_groups, left_over, sides_of
from zkprov.judge.stuck import stuck
from zkprov.judge.unjoinable import gone_over, left_outside, origin
from zkprov.judge.verdict import Evidence, GateResult, Purpose, Verdict
from zkprov.model.facts import LASTING, Mode, ServerFacts, Survey
from zkprov.model.members import Members
from zkprov.model.quorum import braces
from zkprov.model.tree import Compared

LEADERS, ROGUE, ALONE, HISTORY, DIGESTS = "one leader", "no rogue", "no standalone", "same history", "digests"
MOST = 12
"""Lines of evidence of one incident."""


class Shape(StrEnum):
    """What an incident is called, in `status`, JSON, notifications and metrics."""

    SECOND_LEADER = "second-leader"
    PROMOTED_ROGUE = "promoted-rogue"
    PAIR = "pair"
    LONELY = "lonely"
    STANDALONE = "standalone"
    RESTORED_FOUNDERS = "restored-founders"
    CAPTURED = "captured"
    WIPED = "wiped"
    MERGED = "merged"
    EPOCH_LOOP = "epoch-loop"
    CANNOT_COMMIT = "cannot-commit"
    FULL_DISK = "full-disk"


HEAL = "zkprov heal --plan        shows how to lead out of it, and what would be kept"
TREES = "zkprov check --trees      names the znodes that differ"
DOCS = "docs: watching"
BESIDE_US = "keep clients away from the other side; restart no member: a restart may move it over"


class Incident(msgspec.Struct, frozen=True):
    """One of them. `sentence` names ids and figures; `evidence` servers and figures; `next` what to type, or to look at, in order.

    `foreign`: an ensemble that has nothing of ours, where ours is looked for. `weak`: writes go on all the same; it is no danger.
    """

    shape: Shape
    sentence: str
    sides: tuple[Side, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    next: tuple[str, ...] = ()
    foreign: bool = False
    weak: bool = False

    def __str__(self) -> str:
        return f"{self.shape}: {self.sentence}"


class Found(msgspec.Struct, frozen=True):
    """`suspected`: what the next look will tell, in words; never an incident by itself."""

    incidents: tuple[Incident, ...] = ()
    suspected: tuple[Evidence, ...] = ()


def incidents_of(
    picture: Picture,
    leaders: Sequence[Leader],
    gates: Sequence[GateResult],
    earlier: Survey | None = None,
    confirmed: Confirmed | None = None,
    commits: bool | None = None,
    trees: Compared | None = None,
    shut_s: float = 0.0,
) -> Found:
    """What a judged look shows. `earlier`: the look before. `commits`: whether the leader opened a new session when it was asked for one
    just now; None where it was not asked. `trees`: a comparison, where one was made. `shut_s`: for how long no session was opened.
    """
    unsafe = {g.gate: g for g in gates if g.unsafe and g.verdict is Verdict.FAIL}
    sides = sides_of(picture, earlier)
    found = list(_beside(picture, sides, unsafe))
    ours = [x for x in leaders if not x.stranger]
    suspected: tuple[Evidence, ...] = ()
    if not found and len(ours) == 1 and ours[0].established:
        found, suspected = _under_one(picture, ours[0], sides, earlier, confirmed, commits, shut_s)
    # why a leader commits nothing, or none stands, where the disk tells it
    if not found or found[0].shape is Shape.CANNOT_COMMIT:
        full = list(_full_disks(picture, leaders, sides))
        found = full if any(not i.weak for i in full) else [*found, *full]
    if not found and trees is not None and trees.differences:
        apart = by_groups(picture, trees.alike)
        who = " and ".join(braces(s.ids) for s in apart)
        what = f"the trees of {who} differ at {len(trees.differences)} of {trees.znodes} znodes"
        found = [_incident(Shape.MERGED, what, apart, _of_trees(trees), HEAL)]
    if not found and (bad := unsafe.get(DIGESTS) or unsafe.get(HISTORY)) is not None:
        apart = by_data(picture)
        who = " and ".join(braces(s.ids) for s in apart) if len(apart) > 1 else "its servers"
        led_by = f"one leader ({_name(ours[0])})" if len(ours) == 1 else "one ensemble"
        what = f"{led_by}, and the data of {who} differs"
        found = [_incident(Shape.MERGED, what, apart, bad.evidence, TREES, HEAL)]
    named = any(not i.weak for i in found)
    return Found((*found, *_strangers(picture, sides)), () if named else suspected)


def _full_disks(picture: Picture, leaders: Sequence[Leader], sides: Sequence[Side]) -> Iterable[Incident]:
    """One for each member without room; those first for which nothing is committed."""
    found = []
    for one in without_room(picture):
        name, weak = picture.label(one.facts), not concerns_leader(one, leaders)
        if one.ended:
            what = f"{name} ended, for it could not write"
        elif leads(one.facts):
            what = f"{name} leads, and cannot write: what is sent to it is not committed"
        elif weak:
            what = f"{name} cannot write, and stays behind; the others go on without it"
        else:
            what = f"{name} cannot write, and nobody leads: elected with the highest zxid it fails again"
        incident = _incident(Shape.FULL_DISK, what, [s for s in sides if s.leader], one.evidence, *steps_out(one))
        found.append(msgspec.structs.replace(incident, weak=weak))
    return sorted(found, key=lambda i: i.weak)


def _of_trees(trees: Compared) -> Iterable[Evidence]:
    for one in trees.differences[:MOST]:
        by_value: dict[str, list[str]] = {}
        for name, found in one.on.items():
            by_value.setdefault("none" if found is None else str(found), []).append(name)
        yield Evidence(one.path, "; ".join(f"{', '.join(names)}: {value}" for value, names in by_value.items()))


def _under_one(
    picture: Picture,
    leader: Leader,
    sides: Sequence[Side],
    earlier: Survey | None,
    confirmed: Confirmed | None,
    commits: bool | None,
    shut_s: float,
) -> tuple[list[Incident], tuple[Evidence, ...]]:
    """What may be wrong under one established leader: (the first that is proved, what is suspected)."""
    name = _name(leader)
    outside, suspected = left_outside(picture, leader, earlier)
    if outside:
        what = f"{braces(_ids(picture, outside))} accepted a later epoch than leader {name} leads, and cannot join it"
        return [_incident(Shape.EPOCH_LOOP, what, sides, outside, HEAL)], ()
    if taken := captured_by(picture, leader, confirmed):
        what = f"{braces(_ids(picture, taken))} follow leader {name}, which serves another history than theirs was"
        return [_incident(Shape.CAPTURED, what, sides, taken, HEAL)], ()
    alone, second = gone_over(picture, leader, earlier)
    if alone:
        who = braces(_ids(picture, alone))
        what = f"the others of the list that {who} acts under with its data follow leader {name}, which is not in it"
        begun = origin(picture, leader, alone)
        if not begun.own:
            what += f": they were taken over, or a roll of the list by hand stopped before {who}"
        steps = (HEAL,) if begun.own else (HEAL, *_roll_or_captured(who, name))
        return [_incident(Shape.CAPTURED, what, sides, (*alone, begun.evidence), *steps)], ()
    back, doubt = gone_back(picture, leader, earlier, confirmed)
    if lost := back or wiped_history(picture, leader) or begun_anew(picture, leader):
        what = f"leader {name} serves a younger history than the ensemble had: data was lost"
        left = [f for f in picture.members if not f.serving and any(e.server == picture.label(f) for e in lost)]
        known = {n for s in sides for n in s.servers}
        if left and not any(f.name in known for f in left):
            sides = (*sides, left_over(len(sides), left))
        return [_incident(Shape.WIPED, what, sides, lost, HEAL)], ()
    stopped, third = stuck(picture, leader, earlier, commits, shut_s)
    if stopped and (pending := pending_reconfig(picture, leader.name)) is not None:
        told = (*stopped[:1], *pending.evidence, *stopped[1:])
        what = f"leader {name} commits nothing: {pending}"
        return [_incident(Shape.CANNOT_COMMIT, what, sides, told, *pending_steps(picture, pending))], ()
    if stopped:
        what = f"leader {name} has a quorum behind it and commits nothing: it opens no session, so no write succeeds"
        return [_incident(Shape.CANNOT_COMMIT, what, sides, stopped, *_restart(picture, leader))], ()
    return [], (*suspected, *second, *doubt, *third)


def gate_of(found: Found, purpose: Purpose) -> GateResult:
    """The gate: a run goes on over none of them, and over no doubt.

    An ensemble of others, at hosts that are no members, is a warning to who changes ours: what is to be done on such a host R6 refuses.
    So is what is no danger: whether it stops a change its own gate says.
    """
    sources = ("all gates", "disks: epochs, marks, zxids", "the look before")
    passing = [i for i in found.incidents if (i.foreign or i.weak) and purpose is Purpose.CHANGE]
    warned = tuple(Evidence("", str(i)) for i in passing)
    stopping = [i for i in found.incidents if i not in passing]
    if stopping:
        said = tuple(Evidence("", str(i)) for i in stopping)
        told = "; ".join(str(e) for e in said)
        step = stopping[0].next[0] if stopping[0].next else ""
        danger = any(not i.weak for i in stopping)
        return GateResult("no incident", Verdict.FAIL, told, said, sources, unsafe=danger, remedy=step, warnings=warned)
    if found.suspected:
        told = "; ".join(str(e) for e in found.suspected[:3])
        again = "look again: zkprov status"
        return GateResult("no incident", Verdict.UNKNOWN, told, found.suspected, sources, remedy=again, warnings=warned)
    return GateResult("no incident", Verdict.PASS, "none of the known shapes", (), sources, warnings=warned)


def _beside(picture: Picture, sides: Sequence[Side], unsafe: dict[str, GateResult]) -> Iterable[Incident]:
    """One incident for each side with a leader beside the first; or for what serves beside us, where no leader of it was seen."""
    led = [s for s in sides if s.leader and s.leader not in picture.beside]
    names = (LEADERS, ROGUE, ALONE, *((HISTORY,) if len(led) > 1 else ()))
    bad = [unsafe[name] for name in names if name in unsafe]
    if not bad:
        return
    home = next((s for s in led if _at_home(picture, s)), None)
    others = [s for s in led if s is not home]
    for other in others:
        shape = _shape(picture, home, other)
        both = (*((home,) if home else ()), other)
        said = [Evidence("", g.summary) for g in bad[:1] if _same(other.members, picture.live)]
        told = (*said, *_told(picture, home, other))
        yield _incident(shape, _sentence(shape, picture, home, other), both, told, HEAL)
    if not others:
        rest = next((g for g in (unsafe.get(ALONE), unsafe.get(ROGUE), unsafe.get(LEADERS)) if g), bad[0])
        shape = Shape.STANDALONE if rest.gate == ALONE else Shape.SECOND_LEADER
        yield _incident(shape, rest.summary, sides, rest.evidence, HEAL)


def _strangers(picture: Picture, sides: Sequence[Side]) -> Iterable[Incident]:
    """Ensembles that have nothing of ours, at hosts of the inventory: a client that looks for ours there finds another."""
    home = next((s for s in sides if s.leader and _at_home(picture, s)), None)
    found = [s for s in sides if s.leader in picture.beside]
    for other in found:
        shape = _shape(picture, None, other)
        both = (*((home,) if home else ()), other)
        what = _sentence(shape, picture, home, other) + "; it has nothing of ours, and is at a host of the inventory"
        yield msgspec.structs.replace(_incident(shape, what, both, _told(picture, home, other), HEAL), foreign=True)
    if not found:
        for facts in picture.of(Standing.STRANGER):
            if facts.name in picture.beside:
                what = (
                    f"{picture.label(facts)} serves in an ensemble that has nothing of ours, at a host of the inventory"
                )
                yield msgspec.structs.replace(_incident(Shape.SECOND_LEADER, what, sides, (), HEAL), foreign=True)


def _at_home(picture: Picture, side: Side) -> bool:
    """Whether the side is that of the live list: its leader acts under it as a member."""
    if picture.live is None or picture.standing.get(side.leader) is not Standing.MEMBER:
        return False
    return side.members is None or side.members.same_list(picture.live)


def _shape(picture: Picture, home: Side | None, other: Side) -> Shape:
    leader = picture.survey.by_name(other.leader)
    if leader is not None and leader.srvr.value and leader.srvr.value.mode is Mode.STANDALONE:
        return Shape.STANDALONE
    live, own = picture.live, other.members
    if home is not None and live is not None and live.version and own is not None:
        if 0 < own.version < live.version and other.identity is not None and other.identity == home.identity:
            return Shape.RESTORED_FOUNDERS
        seat = member_at(live, leader) if leader is not None else None
        if seat is not None and seat.votes and not _same(own, live):
            return Shape.PROMOTED_ROGUE
        if not own.same_list(live) and any(_is_voter(picture, name, live) for name in other.servers):
            return Shape.CAPTURED
    if own is not None and len(own.voters) < 3 and not _same(own, live):
        return Shape.LONELY if len(own.voters) < 2 else Shape.PAIR
    return Shape.SECOND_LEADER


def _same(one: Members | None, other: Members | None) -> bool:
    return one is not None and other is not None and one.same_list(other)


def _is_voter(picture: Picture, name: str, live: Members) -> bool:
    facts = picture.survey.by_name(name)
    seat = member_at(live, facts) if facts is not None else None
    return seat is not None and seat.votes and facts is not None and facts.id == seat.id


def _sentence(shape: Shape, picture: Picture, home: Side | None, other: Side) -> str:
    ident = _ident(other)
    who = f"two leaders: {_led(home)} and {_led(other)}" if home is not None else f"{_led(other)} leads"
    own = other.members
    whose = "the same list" if _same(own, picture.live) else "its own list"
    listed = f" under {whose} {own} of version {own.version_hex}" if own is not None and own.servers else ""
    match shape:
        case Shape.STANDALONE:
            what = f"{ident} serves alone, and takes writes of its own"
        case Shape.LONELY:
            what = f"{ident} leads itself alone{listed}"
        case Shape.PAIR:
            what = f"two servers that name each other{listed.replace('its own', 'their own')}"
        case Shape.PROMOTED_ROGUE:
            what = f"{ident} leads an ensemble of its own{listed}, and is a voter of the live list"
        case Shape.RESTORED_FOUNDERS:
            what = f"{ident} serves with our history{listed}, which the ensemble has left behind"
        case Shape.CAPTURED:
            names = (n for n in other.servers if picture.live is not None and _is_voter(picture, n, picture.live))
            taken = frozenset(f.id for n in names if (f := picture.survey.by_name(n)) and f.id is not None)
            what = f"{braces(taken)} of the live list follow {ident}{listed}"
        case _:
            what = f"{ident} acts{listed or ' under a list that was not read'}"
    return f"{who}; {what}"


def _ident(side: Side) -> str:
    """Its leader's id; the name of one that has no list, which says 0."""
    bare = side.members is not None and not side.members.servers
    return side.leader if side.leader_id is None or bare else str(side.leader_id)


def _led(side: Side) -> str:
    ident = _ident(side)
    epoch = "" if side.epoch is None else f"epoch {side.epoch}, "
    rest = sorted(side.ids - {side.leader_id})
    by = "followed by " + ", ".join(str(i) for i in rest) if rest else "followed by nobody"
    return f"{ident} ({epoch}{by})"


def _told(picture: Picture, home: Side | None, other: Side) -> Iterable[Evidence]:
    for side in (*((home,) if home else ()), other):
        history = "no permanent znode"
        if side.identity is not None:
            value = side.identity
            history = f"{value.path} of czxid {value.czxid:#x}, ctime {value.ctime_ms}"
        listed = side.members is not None and side.members.servers
        acts = f"; acts under {side.members} of version {side.members.version_hex}" if listed and side.members else ""
        yield Evidence(
            side.leader,
            f"leads {braces(side.ids) if side.ids else 'itself'}, at {side.zxid:#x}{acts}; history: {history}",
        )
        clients = sorted({c.host for _, c, _ in side.clients})
        if clients and side is other:
            more = " …" if len(clients) > 5 else ""
            yield Evidence("", f"{len(side.clients)} client sessions are on that side ({', '.join(clients[:5])}{more})")
    if home is not None and other.identity is not None and other.identity == home.identity:
        lasting = "an equal identity proves nothing" if other.identity.path in LASTING else "equal znodes prove nothing"
        yield Evidence("", f"both sides hold the same {other.identity.path}: {lasting}, both may have it from before")
    for facts in picture.of(Standing.ROGUE):
        if facts.name in other.servers and not leads(facts):
            yield Evidence(picture.label(facts), picture.why[facts.name])


def _incident(
    shape: Shape, sentence: str, sides: Iterable[Side], evidence: Iterable[Evidence], *steps: str
) -> Incident:
    return Incident(shape, sentence, tuple(sides), tuple(evidence)[:MOST], (*steps, f'{DOCS}, "{shape}"'))


def _ids(picture: Picture, evidence: Sequence[Evidence]) -> frozenset[int]:
    named = {picture.label(f): f for f in picture.survey.servers}
    found = [named[e.server] for e in evidence if e.server in named]
    return frozenset(i for f in found if (i := _id(picture, f)) is not None)


def _id(picture: Picture, facts: ServerFacts) -> int | None:
    ident = picture.member_id(facts)
    return facts.id if ident < 0 else ident


def _name(leader: Leader) -> str:
    return leader.name if leader.id is None else str(leader.id)


def _roll_or_captured(who: str, leader: str) -> tuple[str, ...]:
    """What a person looks at, where the files of a leader do not tell how it came by its data."""
    return (
        f"which? heal --plan reads the disk of {who}. A roll: one identity on both sides, and {who} goes up to no more than the newest",
        f"snapshot of that epoch in version-2 of {leader} and its followers: there they went on from, and {who} has no more",
        f"a roll: write their list into the zoo.cfg of {who} and restart it, by hand; taken over: heal --keep the side that has the data",
    )


def _restart(picture: Picture, leader: Leader) -> tuple[str, ...]:
    """Out of a leader that commits nothing. zkprov's own restart writes to the ledger first, which nobody can now."""
    facts = picture.survey.by_name(leader.name)
    line = picture.live.get(leader.id) if picture.live is not None and leader.id is not None else None
    own = line.address.host if line is not None else "its own name"
    return (
        f"on {leader.name}: does its own name resolve there (getent hosts {own}; ZOOKEEPER-4708)? Has its disk room (df -h)?",
        f"then, on {leader.name}, {stopped_by(facts.disk.value if facts else None)}: the others elect one that commits",
        f"zkprov restart --only {leader.name}        starts it again",
        "zkprov check",
    )
