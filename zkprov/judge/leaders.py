"""Who leads whom: one leader, two, or a moment in which that cannot be told.

Source: DESIGN, "One leader, two, or a moment". Two self-declared leaders are proof of a second ensemble only when each is
followed by a quorum of its own list or seen to serve a write; a deposed leader says `leader` until it notices, for at most
(syncLimit + 1) × tickTime. Different histories prove two ensembles; equal ones prove nothing.
"""

from __future__ import annotations

import msgspec

from zkprov.judge.history import two_histories
from zkprov.judge.picture import Picture, Standing, epoch_of, leads, own_list, tells_mode, told_list
from zkprov.judge.verdict import Evidence, GateResult, Purpose, Verdict
from zkprov.model.facts import Mode, Outcome, ServerFacts, Survey
from zkprov.model.members import Members
from zkprov.model.quorum import braces

DEFAULT_LIMIT_S = 12.0
"""(syncLimit 5 + 1) × tickTime 2 s: ZooKeeper's own defaults, where the ensemble does not tell its settings."""
BESIDE = frozenset({Standing.STRANGER, Standing.DOWN})
SOURCES = ("srvr Mode", "AdminServer leader and zabstate", "mntr", "/zookeeper/config", "identity znode")
AGAIN = "look again: zkprov status"


class Leader(msgspec.Struct, frozen=True):
    """A server that declares itself leader. `followers`: ids that are known to follow it, itself included; `names`: the servers."""

    name: str
    id: int | None
    epoch: int | None
    followers: frozenset[int]
    has_quorum: bool | None
    serves_writes: bool
    members: Members | None
    stranger: bool = False
    history: str = "not read"
    names: frozenset[str] = frozenset()

    @property
    def established(self) -> bool:
        return bool(self.has_quorum) or self.serves_writes

    def __str__(self) -> str:
        ident = self.name if self.id is None else str(self.id)
        epoch = "" if self.epoch is None else f"epoch {self.epoch}, "
        rest = sorted(self.followers - {self.id})
        by = "followed by " + ", ".join(str(i) for i in rest) if rest else "followed by nobody"
        return f"{ident} ({epoch}{by})"


def leaders_of(picture: Picture, earlier: Survey | None = None) -> tuple[Leader, ...]:
    """Every self-declared leader that answered, member or not, by id; one that was asked under two names once."""
    declared: list[ServerFacts] = []
    for facts in picture.survey.servers:
        if leads(facts) and not any(_same(facts, other) for other in declared):
            declared.append(facts)
    led: dict[str, set[int]] = {f.name: {_id(f, picture)} - {-1} for f in declared}
    names = {f.name: {f.name} for f in declared}
    for facts in picture.survey.servers:
        leader = _led_by(facts, declared, picture)
        if leader is not None:
            names[leader.name].add(facts.name)
            led[leader.name] |= {_id(facts, picture)} - {-1}
    found = [_leader(f, frozenset(led[f.name]), frozenset(names[f.name]), picture, earlier) for f in declared]
    return tuple(sorted(found, key=lambda x: (x.stranger, x.id is None, x.id or 0, x.name)))


def _id(facts: ServerFacts, picture: Picture) -> int:
    """The id that the server gives, else the one that the list gives to its address; −1 where neither does."""
    return facts.id if facts.id is not None else picture.member_id(facts)


def _same(facts: ServerFacts, other: ServerFacts) -> bool:
    """One server that was asked under two names; two with the same id, epoch, list and history cannot both lead."""
    same_list = facts.config.value is not None and facts.config.value.same_config(other.config.value)
    known = facts.id is not None and facts.identity.value is not None and same_list
    return (
        known
        and facts.id == other.id
        and facts.identity.value == other.identity.value
        and epoch_of(facts) == epoch_of(other)
    )


def _leader(
    facts: ServerFacts, followers: frozenset[int], names: frozenset[str], picture: Picture, earlier: Survey | None
) -> Leader:
    own = _list_of(facts, picture)
    ident = _id(facts, picture)
    alone = facts.srvr.value is not None and facts.srvr.value.mode is Mode.STANDALONE
    rivals = frozenset(
        f.name
        for f in picture.survey.servers
        if leads(f) and not _same(f, facts) and picture.standing[f.name] not in BESIDE and f is not facts
    )
    return Leader(
        name=facts.name,
        id=None if ident < 0 else ident,
        epoch=epoch_of(facts),
        followers=followers,
        has_quorum=True if alone else _has_quorum(facts, own, followers, picture, alone=not rivals),
        serves_writes=alone or _wrote(facts, rivals, earlier),
        members=own,
        stranger=picture.standing[facts.name] in BESIDE,
        history=_history(facts),
        names=names,
    )


def _list_of(facts: ServerFacts, picture: Picture) -> Members | None:
    own = told_list(facts)
    if own is None and picture.live is not None and picture.standing[facts.name] is Standing.MEMBER:
        view = facts.voting_view.value
        return picture.live if view is None or frozenset(view) == picture.live.voters else None
    return own


def _history(facts: ServerFacts) -> str:
    if facts.identity.value is not None:
        value = facts.identity.value
        return f"{value.path} of czxid {value.czxid:#x}, ctime {value.ctime_ms}"
    return "no permanent znode" if facts.identity.outcome is Outcome.ABSENT else "not read"


def _led_by(facts: ServerFacts, declared: list[ServerFacts], picture: Picture) -> ServerFacts | None:
    """Whom of `declared` a server follows: by its own word (AdminServer `leader`), else by sharing list, history and epoch.

    Without its word it counts for one leader only if it fits no other, and by the old epoch too while the new one has no transaction.
    """
    if leads(facts) or not facts.serving:
        return None
    told = facts.leader.value
    if told is not None:
        fits = [x for x in declared if x.id == told.leader_id and _may_follow(facts, x, picture)]
    else:
        fits = [x for x in declared if _may_follow(facts, x, picture) and _fits_epoch(facts, x, len(declared) == 1)]
        own = own_list(facts)
        if own is not None:
            fits = [x for x in fits if (led := _list_of(x, picture)) is None or own.same_list(led)]
    return fits[0] if len(fits) == 1 else None


def _fits_epoch(facts: ServerFacts, leader: ServerFacts, only: bool) -> bool:
    mine, led = epoch_of(facts), epoch_of(leader)
    if mine is None or led is None:
        return False
    # a follower shows the new epoch only with the first transaction in it
    young = only and leader.srvr.value is not None and leader.srvr.value.zxid & 0xFFFFFFFF == 0
    return mine == led or (young and mine < led)


def _may_follow(facts: ServerFacts, leader: ServerFacts, picture: Picture) -> bool:
    """Whether nothing speaks against it: another history at the same path, or another server of the leader's id in its list."""
    one, other = facts.identity.value, leader.identity.value
    if one is not None and other is not None and one.path == other.path and one != other:
        return False
    mine, led = own_list(facts), _list_of(leader, picture)
    if mine is None or led is None or leader.id is None:
        return True
    known, real = mine.get(leader.id), led.get(leader.id)
    return known is None or real is None or bool(set(known.addresses) & set(real.addresses))


def _has_quorum(
    facts: ServerFacts, own: Members | None, followers: frozenset[int], picture: Picture, *, alone: bool
) -> bool | None:
    """Whether those that follow are a quorum of the leader's own list; None where neither they nor the leader can tell.

    The servers' own words come first. The leader's own count (`mntr`) is heard only while nobody else says to lead: one that
    was frozen and woken still counts followers that left it.
    """
    if own is None:
        return None
    if own.quorums.contains_quorum(followers):
        return True
    elsewhere = {_id(f, picture) for f in picture.survey.servers if f is not facts and f.up} - followers
    if not own.quorums.contains_quorum(own.voters - elsewhere):
        return False
    if alone and facts.mntr.value and not own.hierarchical:
        synced = number_in(facts.mntr.value, "zk_synced_followers")
        others = number_in(facts.mntr.value, "zk_synced_non_voting_followers") or 0
        if synced is not None:
            return 2 * (synced - others + 1) > len(own.voters)
    return None


def number_in(mntr: dict[str, str], key: str) -> int | None:
    """The whole number that `mntr` has under `key`; None where it has none."""
    try:
        return int(float(mntr[key]))
    except (KeyError, ValueError, OverflowError):
        return None


def _wrote(facts: ServerFacts, rivals: frozenset[str], earlier: Survey | None) -> bool:
    """Its zxid grew within its epoch since an earlier survey, in which a rival said to lead as well: a quorum acknowledged it.

    What it committed before there was a rival says nothing: a leader that is frozen between two surveys has done so.
    """
    before = earlier.by_name(facts.name) if earlier else None
    if earlier is None or before is None or not before.srvr.value or not facts.srvr.value or not leads(before):
        return False
    if not any(leads(f) for f in earlier.servers if f.name in rivals):
        return False
    return before.srvr.value.epoch == facts.srvr.value.epoch and facts.srvr.value.zxid > before.srvr.value.zxid


def deposed_limit_s(survey: Survey) -> float:
    """How long a deposed leader may go on believing: (syncLimit + 1) × tickTime, the longest of those that say to lead; 120 s at most."""
    return min(max((_limit_s(f) for f in survey.servers if leads(f)), default=DEFAULT_LIMIT_S), 120.0)


def _limit_s(facts: ServerFacts) -> float:
    settings = facts.conf.value.settings if facts.conf.value else facts.disk.value.settings if facts.disk.value else {}
    try:
        limit = (int(settings.get("syncLimit", "5")) + 1) * int(settings.get("tickTime", "2000")) / 1000
    except ValueError:
        return DEFAULT_LIMIT_S
    return limit if limit > 0 else DEFAULT_LIMIT_S


def one_leader(
    picture: Picture, purpose: Purpose = Purpose.LOOK, *, doubted_s: float = 0.0, earlier: Survey | None = None
) -> GateResult:
    """The gate. `doubted_s`: for how long now more than one leader has been declared, by this observer's surveys."""
    ours = [x for x in leaders_of(picture, earlier) if not x.stranger]
    evidence = tuple(Evidence(x.name, f"leader, {_describe(x)}") for x in ours)

    def result(verdict: Verdict, summary: str, remedy: str = "", *, unsafe: bool = False) -> GateResult:
        return GateResult("one leader", verdict, summary, evidence, SOURCES, unsafe=unsafe, remedy=remedy)

    if not ours:
        return _no_leader(picture, purpose)
    if len(ours) == 1:
        leader = ours[0]
        evidence += tuple(astray := _astray(picture, leader))
        if leader.has_quorum is False:
            return result(Verdict.UNKNOWN, f"{leader} has no quorum of its list behind it", AGAIN)
        if leader.has_quorum is None:
            return result(Verdict.UNKNOWN, f"{leader}: whether a quorum follows cannot be told", AGAIN)
        if astray:
            return result(Verdict.UNKNOWN, f"one leader: {leader}, and " + "; ".join(str(e) for e in astray[:3]), AGAIN)
        return result(Verdict.PASS, f"one leader: {leader}")
    summary = ("two leaders: " if len(ours) == 2 else f"{len(ours)} leaders: ") + " and ".join(str(x) for x in ours)
    different = _two_histories(picture, ours)
    limit = deposed_limit_s(picture.survey)
    change_nothing = 'docs: incidents, "A second leader"; change nothing until one side is stopped'
    if all(x.established for x in ours) or different:
        why = "two histories" if different else "each has a quorum of its own list, or serves writes"
        evidence += (Evidence("", why),)
        return result(Verdict.FAIL, summary, change_nothing, unsafe=True)
    if doubted_s >= limit:
        return result(Verdict.FAIL, f"{summary}, for {doubted_s:.1f} s", change_nothing, unsafe=True)
    doubt = f"one may be deposed and not know it yet: for {doubted_s:.1f} s, limit {limit:g} s"
    return result(Verdict.UNKNOWN, f"{summary}; {doubt}", AGAIN)


def _no_leader(picture: Picture, purpose: Purpose) -> GateResult:
    """Nobody says to lead: a failure where members answer, unknown where none can be asked; a quorum may serve all the same."""

    def result(verdict: Verdict, summary: str, remedy: str, evidence: tuple[Evidence, ...] = ()) -> GateResult:
        return GateResult("one leader", verdict, summary, evidence, SOURCES, remedy=remedy)

    if picture.live is None:
        return result(Verdict.UNKNOWN, "no list of members could be read", "zkprov status")
    if quiet := _untold_leader(picture):
        verdict = Verdict.PASS if purpose is Purpose.LOOK else Verdict.UNKNOWN
        return result(verdict, quiet, "open srvr in 4lw.commands.whitelist, or the AdminServer")
    remedy = "look at the servers that do not answer; nothing can be changed without a leader"
    evidence = tuple(
        Evidence(f.name, str(f.srvr) if f.srvr.value is None else f"is {f.srvr.value.mode}") for f in picture.members
    )
    if any(f.up for f in picture.members):
        return result(Verdict.FAIL, "no leader", remedy, evidence)
    return result(Verdict.UNKNOWN, "no member answers", remedy, evidence)


def _astray(picture: Picture, leader: Leader) -> list[Evidence]:
    """The members that serve, and say that they follow somebody else than the one leader that could be asked."""
    return [
        Evidence(picture.label(f), f"follows {f.leader.value.leader_id}, which was not seen to lead")
        for f in picture.members
        if f.serving and not leads(f) and f.leader.value and f.leader.value.leader_id not in (-1, leader.id)
    ]


def _untold_leader(picture: Picture) -> str:
    """Where no server says its mode but a quorum of the live list serves sessions, under one list and one history.

    A server serves only while it follows an established leader, and two disjoint quorums of one list do not exist: so there
    is one leader, and nobody says which. Empty where that cannot be concluded.
    """
    if all(tells_mode(f) for f in picture.members if f.serving):
        return ""
    serving = [f for f in picture.members if f.config.value is not None and f.identity.value is not None]
    if picture.live is None or any(not picture.live.same_config(f.config.value) for f in serving):
        return ""
    ids = frozenset(picture.member_id(f) for f in serving)
    if len({f.identity.value for f in serving}) != 1 or not picture.live.quorums.contains_quorum(ids):
        return ""
    return "one leader, and no server says which: a quorum serves under one list and one history"


def _two_histories(picture: Picture, ours: list[Leader]) -> bool:
    """Whether two of the leaders hold different histories."""
    found = [f for x in ours if (f := picture.survey.by_name(x.name))]
    return any(two_histories(one, other) for n, one in enumerate(found) for other in found[:n])


def _describe(leader: Leader) -> str:
    own = "" if leader.members is None else f", acts under {leader.members} of version {leader.members.version_hex}"
    quorum = {
        True: "a quorum of its list follows",
        False: "no quorum of its list follows",
        None: "its followers are not known",
    }
    return f"followers {braces(leader.followers)}: {quorum[leader.has_quorum]}{own}; history: {leader.history}"
