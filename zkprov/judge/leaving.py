"""Whether servers may be stopped, or removed from the list, all of them: what stays, and which lists it is a quorum of.

Stopping changes no list, so one quorum (R1) is a matter of the lists as they are; whether the rest still is one is R4. A removal is looked
at as zkprov would do it: one at a time, observers first, then voters that are down, then the others, the leader last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from difflib import get_close_matches

import msgspec

from zkprov.judge.gates import dynamic, serving_voters
from zkprov.judge.health import Health
from zkprov.judge.leaders import number_in
from zkprov.judge.newcomers import newcomers_rule
from zkprov.judge.one_quorum import prove_step
from zkprov.judge.picture import Picture, leads, member_at, own_list
from zkprov.judge.verdict import Purpose, Verdict
from zkprov.model.facts import Disk, Outcome, ServerFacts
from zkprov.model.members import Members
from zkprov.model.problems import BadInput
from zkprov.model.quorum import braces, spare
from zkprov.model.server import Server

NO_MEMBER = "no member"


class Leaver(msgspec.Struct, frozen=True):
    """One that is asked about. `part`: leader, voter, observer, or `no member`; `up`: whether it serves."""

    name: str
    id: int | None
    part: str
    up: bool


class Reason(msgspec.Struct, frozen=True):
    """Why not. `rule` as in the design; `evidence`: figures, a line each."""

    rule: str
    what: str
    evidence: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.what} ({self.rule})"


class Leave(msgspec.Struct, frozen=True):
    """The answer. `staying`: the voters in sync that would be left; `spare_*`: how many of them may fail, −1 for no quorum."""

    leavers: tuple[Leaver, ...]
    staying: tuple[int, ...]
    list_after: str
    spare_before: int
    spare_after: int
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.reasons


def named(health: Health, servers: Sequence[str]) -> list[str]:
    """The names that the survey has for `servers` (names or ids). Raises `BadInput` for one that nobody knows, or that is named twice."""
    known = {f.name: f.name for f in health.picture.survey.servers}
    for facts in health.picture.members:
        known.setdefault(str(health.picture.member_id(facts)), facts.name)
    for server in health.picture.live.servers if health.picture.live else ():
        known.setdefault(str(server.id), str(server.id))
    unknown = next((s for s in servers if s not in known), None)
    if unknown is not None:
        near = get_close_matches(unknown, list(known), 1)
        told = ", ".join(f.name for f in health.picture.survey.servers[:20])
        remedy = f"did you mean {near[0]}?" if near else f"known here: {told}"
        raise BadInput(f"no server {unknown!r}", place=health.picture.survey.ensemble, remedy=remedy)
    names = [known[s] for s in servers]
    if len(set(names)) != len(names):
        raise BadInput("the same server twice", place=" ".join(servers), remedy="name each server once")
    return names


def ok_to_stop(health: Health, names: Sequence[str]) -> Leave:
    """Whether all of `names` (of servers in the survey) may be stopped at once: the rest is a quorum of every list that it goes by."""
    picture, live = health.picture, health.picture.live
    leavers = tuple(leaver_of(picture, name) for name in names)
    if live is None:
        return Leave(leavers, (), "", -1, -1, (untold(health),))
    gone = {x.id for x in leavers if x.id is not None and x.part != NO_MEMBER}
    here = in_sync(health)
    staying = here - gone
    reasons = [*as_it_is(health), *_broken(picture, live, here, gone)]
    led = [x for x in leavers if x.part == "leader" and x.up]
    notes = [f"{x.name} leads: the others elect, and nobody writes meanwhile" for x in led if len(staying) > 0]
    notes += [f"{x.name} is down already" for x in leavers if not x.up and x.part != NO_MEMBER]
    notes += [f"{x.name} is in no list: nothing is lost with it" for x in leavers if x.part == NO_MEMBER]
    after = spare(live.quorums, staying)
    if not reasons and after == 0 and gone & live.voters:
        notes.append("none more may fail then")
    return Leave(
        leavers, tuple(sorted(staying)), str(live), spare(live.quorums, here), after, tuple(reasons), tuple(notes)
    )


def ok_to_remove(health: Health, names: Sequence[str]) -> Leave:
    """Whether all of `names` (of members) may be removed, one after the other: R1 to R4 before and after each."""
    picture, live = health.picture, health.picture.live
    leavers = tuple(leaver_of(picture, name) for name in names)
    if live is None:
        return Leave(leavers, (), "", -1, -1, (untold(health),))
    here = in_sync(health)
    newcomers = {n.id for n in health.newcomers}
    reasons = list(as_it_is(health))
    static = dynamic(picture, Purpose.LOOK)
    if static.verdict is Verdict.FAIL:
        reasons.append(Reason("R12", static.summary, tuple(map(str, static.evidence[:8]))))
    before, present = live, here
    for leaver in in_order(x for x in leavers if x.part != NO_MEMBER):
        server = before.get(leaver.id) if leaver.id is not None else None
        if server is None or reasons:
            break
        after = before.without(server.id)
        reasons += _removal(health, before, after, server, present, newcomers, up=leaver.up)
        before, present = after, present - {server.id}
    notes = [f"{x.name} is in no list: there is nothing to remove" for x in leavers if x.part == NO_MEMBER]
    notes += [
        f"{x.name} is down: its disk can vote until somebody shows it retired or wiped"
        for x in leavers
        if not x.up and x.part in ("voter", "leader")
    ]
    return Leave(
        leavers,
        tuple(sorted(present)),
        str(before),
        spare(live.quorums, here),
        spare(before.quorums, present) if before.voters else -1,
        tuple(reasons),
        tuple(notes),
    )


def in_sync(health: Health) -> frozenset[int]:
    """The voters that serve, without those that the gate `synced` has found behind."""
    gate, picture = health.gate("synced"), health.picture
    behind = {e.server for e in gate.evidence} if gate.verdict is Verdict.FAIL else set()
    late = {picture.member_id(f) for f in picture.members if picture.label(f) in behind}
    return serving_voters(picture) - late


def not_its_disk(disk: Disk | None, server: Server, *, left: bool = False) -> str:
    """Why what lies at a host is not known to be the files of the member `server`, in words; empty where it is.

    By the id that it carries, and the place that its list gives that id; of one that has `left` the list may not name it any more. (A mark
    that the ledger does not know tells nothing here: a disk may have been wiped, and is its own all the same.)
    """
    if disk is None:
        return "its disk was not read"
    if disk.server_elsewhere or disk.data_elsewhere:
        return disk.server_elsewhere or disk.data_elsewhere
    if disk.my_id != server.id:
        return f"its myid is {'missing' if disk.my_id is None else disk.my_id}"
    if disk.acting is None:
        return "no list lies there"
    named = disk.acting.members.get(server.id)
    if named is None and not left:
        return f"{disk.acting.source} does not name it: {disk.acting.members}"
    if named is not None and not named.same_place(server):
        return f"{disk.acting.source} has {server.id} at {named.address}, the ensemble at {server.address}"
    return ""


def not_to_be_started(disk: Disk | None, server: Server) -> str:
    """Why the member `server`, which is down, is not to be started on what lies at its host, in words; empty where it may.

    A voter that lost its data would count for one that has it (FACTS, "Wiped disks").
    """
    why = not_its_disk(disk, server)
    if why or disk is None:
        return why
    return "" if disk.has_data else "its data is gone"


def may_be_up(picture: Picture, leaver: Leaver) -> str:
    """Why one that does not answer may serve all the same, in words; empty where it is surely down (R9).

    Nothing listens there then, or the leader counts no more followers in sync than were seen.
    """
    facts = picture.member(leaver.id) if leaver.id is not None else None
    if facts is not None and (facts.serving or facts.srvr.outcome is Outcome.REFUSED):
        return "it serves" if facts.serving else ""
    said = str(facts.srvr) if facts is not None else "it was not asked"
    live, leader = picture.live, next((f for f in picture.members if leads(f)), None)
    told = (leader.mntr.value if leader is not None else None) or {}
    if leaver.part == "observer":
        count, like = number_in(told, "zk_synced_observers"), live.observers if live else frozenset()
    else:
        count, like = number_in(told, "zk_synced_followers"), live.voters if live else frozenset()
        count = None if count is None else count - (number_in(told, "zk_synced_non_voting_followers") or 0)
    if count is None:
        return f"{said}, and its leader does not tell how many follow it"
    seen = sum(f.serving and f is not leader and picture.member_id(f) in like for f in picture.members)
    return f"{said}, and its leader counts {count} in sync, of whom {seen} were seen" if count > seen else ""


def in_order(leavers: Iterable[Leaver]) -> list[Leaver]:
    """Observers first, then voters that are down, then the others, the leader last."""
    return sorted(leavers, key=lambda x: (x.part != "observer", x.up, x.part == "leader", x.id or 0))


def removal_margin(before: Members, after: Members, here: Set[int], server_id: int, *, up: bool) -> Reason | None:
    """R4: the rest in sync is a quorum of the shorter list, and as many may fail as before, or one; a dead voter's removal must only not
    make it worse. `here`: the voters in sync before.
    """
    rest = here - {server_id}
    now, then = spare(before.quorums, here), spare(after.quorums, rest)
    least = min(now, 1) if up else now
    if after.quorums.contains_quorum(rest) and then >= least:
        return None
    told = f"the list would be {after}; {after.quorums.describe()}; in sync {braces(rest)}"
    return Reason(
        "R4", f"without {server_id} too few may fail", (told, f"may fail before: {max(now, 0)}, after: {max(then, 0)}")
    )


def vote_may_go(
    before: Members,
    after: Members,
    here: Set[int],
    newcomers: Set[int],
    server_id: int,
    *,
    up: bool,
    overrides: Set[str] = frozenset(),
) -> list[Reason]:
    """R2 and R4 for the vote that `after` lacks. An override of R4 holds as long as the rest in sync is a quorum."""
    if not after.voters:
        return [Reason("R4", f"{server_id} is the last voter")]
    reasons: list[Reason] = []
    short = removal_margin(before, after, here, server_id, up=up)
    if short and not ("R4" in overrides and after.quorums.contains_quorum(here - {server_id})):
        reasons.append(short)
    if violated := newcomers_rule(after, newcomers):
        reasons.append(Reason("R2", f"without {server_id} newcomers would be a quorum", (str(violated),)))
    return reasons


def _removal(
    health: Health, before: Members, after: Members, server: Server, here: Set[int], newcomers: Set[int], *, up: bool
) -> list[Reason]:
    reasons = vote_may_go(before, after, here, newcomers, server.id, up=up) if server.votes else []
    if not after.voters:
        return reasons
    for label, proved in prove_step(health.picture, before, after, server):
        if not proved.safe:
            lines = tuple(proved.witness.lines()) if proved.witness else tuple(proved.fetch)
            told = f"to remove {server.id} is not proved to leave one quorum ({label}: {proved.verdict})"
            reasons.append(Reason("R1", told, lines))
            break
    return reasons


def as_it_is(health: Health) -> list[Reason]:
    """What forbids everything: danger, and not to know whether there is a leader, and one."""
    danger = next((g for g in health.gates if g.unsafe and g.verdict is Verdict.FAIL), None)
    if danger is not None:
        return [
            Reason("R1", f"the ensemble is unsafe as it is: {danger.summary}", tuple(map(str, danger.evidence[:8])))
        ]
    leader = health.gate("one leader")
    if leader.verdict is not Verdict.PASS:
        return [Reason("R8", f"one leader is not told: {leader.summary}", tuple(map(str, leader.evidence[:8])))]
    return []


def untold(health: Health) -> Reason:
    told = tuple(f"{f.name}: {f.srvr}" for f in health.picture.survey.servers[:8])
    return Reason("R8", "no list of members could be read", told)


def _broken(picture: Picture, live: Members, here: Set[int], gone: Set[int]) -> list[Reason]:
    """The lists under which the rest could elect nobody: the live one, and any newer that one of the rest holds or is about to take."""
    lists: dict[str, tuple[Members, str]] = {}
    for facts in (f for f in picture.members if picture.member_id(f) not in gone):
        for members, source in _newer(facts, live):
            lists.setdefault(str(members.canonical), (members, source))
    reasons = []
    for members, source in [(live, "the live list"), *lists.values()]:
        rest = members.voters & (here - gone)
        if not members.quorums.contains_quorum(rest):
            what = f"{source} would have no quorum" if gone & members.voters else f"{source} has no quorum now"
            evidence = (
                f"{members} ({members.version_hex}): in sync and left {braces(rest)}; {members.quorums.describe()}"
            )
            reasons.append(Reason("R4", what, (evidence, "nobody could be elected")))
    return reasons


def _newer(facts: ServerFacts, live: Members) -> list[tuple[Members, str]]:
    disk, own = facts.disk.value, own_list(facts)
    found = [(own, f"the list of {facts.name}")] if own is not None else []
    if disk is not None:
        found += [
            (x.members, x.source) for x in (disk.acting, disk.next if disk.reconfig_enabled else None) if x is not None
        ]
    return [(m, source) for m, source in found if m.version > live.version and m.voters]


def leaver_of(picture: Picture, name: str) -> Leaver:
    """The server that `named` calls so, and what part it has in the live list."""
    facts = picture.survey.by_name(name)
    server = member_at(picture.live, facts) if facts is not None and picture.live is not None else None
    if facts is None and picture.live is not None and name.isascii() and name.isdigit():
        # a member that is not where the list says, or that nobody could ask
        server = picture.live.get(int(name))
        if server is not None:
            return Leaver(name, server.id, "voter" if server.votes else "observer", False)
    if facts is None or server is None:
        return Leaver(name, facts.id if facts else None, NO_MEMBER, bool(facts and facts.serving))
    part = "leader" if leads(facts) and server.votes else "voter" if server.votes else "observer"
    return Leaver(name, server.id, part, facts.serving)
