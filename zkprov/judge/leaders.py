"""Who leads whom: one leader, two, or a moment in which that cannot be told.

Source: DESIGN, "One leader, two, or a moment". Two self-declared leaders are proof of a second ensemble only when each is
followed by a quorum of its own list or seen to serve a write; a deposed leader says `leader` until it notices, for at most
(syncLimit + 1) × tickTime. Different histories prove two ensembles; equal ones prove nothing.
"""

from __future__ import annotations

import msgspec

from zkprov.judge.picture import Picture, Standing, leads
from zkprov.judge.verdict import Evidence, GateResult, Purpose, Verdict
from zkprov.model.facts import Mode, ServerFacts, Survey
from zkprov.model.members import Members
from zkprov.model.quorum import braces

DEFAULT_LIMIT_S = 12.0
"""(syncLimit 5 + 1) × tickTime 2 s: ZooKeeper's own defaults, where the ensemble does not tell its settings."""


class Leader(msgspec.Struct, frozen=True):
    """A server that declares itself leader. `followers`: ids that are known to follow it, itself included."""

    name: str
    id: int | None
    epoch: int | None
    followers: frozenset[int]
    has_quorum: bool | None
    serves_writes: bool
    members: Members | None
    stranger: bool = False

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
    """Every self-declared leader that answered, member or not, by id."""
    found = [_leader(f, picture, earlier) for f in picture.survey.servers if leads(f)]
    return tuple(sorted(found, key=lambda x: (x.stranger, x.id is None, x.id or 0, x.name)))


def _leader(facts: ServerFacts, picture: Picture, earlier: Survey | None) -> Leader:
    own = facts.config.value or (facts.conf.value.members if facts.conf.value else None)
    if own is None and facts.voting_view.value is None and picture.standing[facts.name] is Standing.MEMBER:
        own = picture.live
    followers = frozenset(
        f.id for f in picture.survey.servers if f is not facts and f.id is not None and _follows(f, facts, own, picture)
    ) | ({facts.id} if facts.id is not None else set())
    alone = facts.srvr.value is not None and facts.srvr.value.mode is Mode.STANDALONE
    return Leader(
        name=facts.name,
        id=facts.id,
        epoch=_epoch(facts),
        followers=followers,
        has_quorum=True if alone else _has_quorum(facts, own, followers, picture),
        serves_writes=alone or _wrote(facts, earlier),
        members=own,
        stranger=picture.standing[facts.name] in (Standing.STRANGER, Standing.DOWN),
    )


def _epoch(facts: ServerFacts) -> int | None:
    if facts.zabstate.value:
        return facts.zabstate.value.epoch
    return facts.srvr.value.epoch if facts.srvr.value else None


def _follows(facts: ServerFacts, leader: ServerFacts, leader_list: Members | None, picture: Picture) -> bool:
    """By its own word (AdminServer `leader`), else by sharing the leader's list, history and epoch."""
    if leads(facts) or not facts.serving:
        return False
    if facts.leader.value is not None and facts.leader.value.leader_id >= 0 and leader.id is not None:
        if facts.leader.value.leader_id != leader.id:
            return False
        rivals = [f for f in picture.survey.servers if leads(f) and f.id == leader.id]
        if len(rivals) == 1:
            return True
    if facts.identity.value and leader.identity.value and facts.identity.value != leader.identity.value:
        return False
    if facts.config.value is not None and leader_list is not None and not facts.config.value.same_list(leader_list):
        return False
    follower_epoch, leader_epoch = _epoch(facts), _epoch(leader)
    return follower_epoch is not None and follower_epoch == leader_epoch


def _has_quorum(facts: ServerFacts, own: Members | None, followers: frozenset[int], picture: Picture) -> bool | None:
    """Whether those that follow are a quorum of the leader's own list; None where neither they nor the leader can tell.

    The servers' own words come first: a leader that was frozen and woken still counts, in `mntr`, followers that left it.
    """
    if own is None:
        return None
    if own.quorums.contains_quorum(followers):
        return True
    elsewhere = {f.id for f in picture.survey.servers if f is not facts and f.up and f.id is not None} - followers
    if not own.quorums.contains_quorum(own.voters - elsewhere):
        return False
    if facts.mntr.value and not own.hierarchical:
        synced = _number(facts.mntr.value, "zk_synced_followers")
        others = _number(facts.mntr.value, "zk_synced_non_voting_followers") or 0
        if synced is not None:
            return 2 * (synced - others + 1) > len(own.voters)
    return None


def _number(mntr: dict[str, str], key: str) -> int | None:
    try:
        return int(float(mntr[key]))
    except (KeyError, ValueError, OverflowError):
        return None


def _wrote(facts: ServerFacts, earlier: Survey | None) -> bool:
    """Its zxid grew within its epoch since an earlier survey in which it led too: a quorum acknowledged a write of its."""
    before = earlier.by_name(facts.name) if earlier else None
    if before is None or not before.srvr.value or not facts.srvr.value or not leads(before):
        return False
    return before.srvr.value.epoch == facts.srvr.value.epoch and facts.srvr.value.zxid > before.srvr.value.zxid


def deposed_limit_s(survey: Survey) -> float:
    """How long a deposed leader may go on believing: (syncLimit + 1) × tickTime, the largest that any server tells."""
    limits = [DEFAULT_LIMIT_S] if not any(f.conf.value for f in survey.servers) else []
    for facts in survey.servers:
        if facts.conf.value:
            try:
                tick_ms = int(facts.conf.value.settings.get("tickTime", "2000"))
                limits.append((int(facts.conf.value.settings.get("syncLimit", "5")) + 1) * tick_ms / 1000)
            except ValueError:
                limits.append(DEFAULT_LIMIT_S)
    return min(max(limits, default=DEFAULT_LIMIT_S), 120.0)


def one_leader(
    picture: Picture, purpose: Purpose = Purpose.LOOK, *, doubted_s: float = 0.0, earlier: Survey | None = None
) -> GateResult:
    """The gate. `doubted_s`: for how long now more than one leader has been declared, by this observer's surveys."""
    sources = ("srvr Mode", "AdminServer leader and zabstate", "mntr", "/zookeeper/config", "identity znode")
    everyone = leaders_of(picture, earlier)
    ours = [x for x in everyone if not x.stranger]
    evidence = tuple(Evidence(x.name, f"leader, {_describe(x)}") for x in ours)
    if not ours and (quiet := _untold_leader(picture)):
        verdict = Verdict.PASS if purpose is Purpose.LOOK else Verdict.UNKNOWN
        return GateResult(
            "one leader", verdict, quiet, (), sources, remedy="open srvr in 4lw.commands.whitelist, or the AdminServer"
        )
    if not ours:
        return GateResult(
            "one leader",
            Verdict.FAIL if picture.of(Standing.MEMBER) else Verdict.UNKNOWN,
            "no leader",
            tuple(Evidence(f.name, str(f.srvr)) for f in picture.members),
            sources,
            remedy="look at the servers that do not answer; nothing can be changed without a leader",
        )
    if len(ours) == 1:
        leader = ours[0]
        if leader.has_quorum is False and picture.of(Standing.MEMBER):
            return GateResult(
                "one leader", Verdict.UNKNOWN, f"{leader} has no quorum of its list behind it", evidence, sources
            )
        return GateResult("one leader", Verdict.PASS, f"one leader: {leader}", evidence, sources)
    summary = ("two leaders: " if len(ours) == 2 else f"{len(ours)} leaders: ") + " and ".join(str(x) for x in ours)
    histories = _histories(picture, ours)
    limit = deposed_limit_s(picture.survey)
    if all(x.established for x in ours) or len(histories) > 1:
        why = "two histories" if len(histories) > 1 else "each has a quorum of its own list"
        return GateResult(
            "one leader",
            Verdict.FAIL,
            summary,
            (*evidence, Evidence("", why)),
            sources,
            unsafe=True,
            remedy='docs: incidents, "A second leader"; change nothing until one side is stopped',
        )
    if doubted_s >= limit:
        return GateResult(
            "one leader", Verdict.FAIL, f"{summary}, for {doubted_s:.1f} s", evidence, sources, unsafe=True
        )
    return GateResult(
        "one leader",
        Verdict.UNKNOWN,
        f"{summary}; one may be deposed and not know it yet: {doubted_s:.1f} s of {limit:.0f} s",
        evidence,
        sources,
        remedy="look again: zkprov status",
    )


def _untold_leader(picture: Picture) -> str:
    """Where no server says its mode but a quorum of the live list serves sessions, under one list and one history.

    A server serves only while it follows an established leader, and two disjoint quorums of one list do not exist: so there
    is one leader, and nobody says which. Empty where that cannot be concluded.
    """
    serving = [f for f in picture.members if f.config.value is not None and f.identity.value is not None]
    if picture.live is None or any(not picture.live.same_config(f.config.value) for f in serving):
        return ""
    ids = frozenset(picture.member_id(f) for f in serving)
    if len({f.identity.value for f in serving}) != 1 or not picture.live.quorums.contains_quorum(ids):
        return ""
    return "one leader, and no server says which: a quorum serves under one list and one history"


def _histories(picture: Picture, ours: list[Leader]) -> set[tuple[str, int, int]]:
    """The different histories that the leaders hold, compared at one and the same path."""
    values = [f.identity.value for x in ours if (f := picture.survey.by_name(x.name)) and f.identity.value]
    paths = {v.path for v in values}
    if len(paths) == 1 and len(values) == len(ours):
        return {(v.path, v.czxid, v.ctime_ms) for v in values}
    return set()


def _describe(leader: Leader) -> str:
    own = "" if leader.members is None else f", acts under {leader.members} of version {leader.members.version_hex}"
    quorum = {
        True: "a quorum of its list follows",
        False: "no quorum of its list follows",
        None: "its followers are not known",
    }
    return f"followers {braces(leader.followers)}: {quorum[leader.has_quorum]}{own}"
