"""The gate for a joiner: it is a non-voting follower of the leader, holds its list and its history, and votes for nothing."""

from __future__ import annotations

from collections.abc import Set

from zkprov.judge.picture import Picture, Standing, leads
from zkprov.judge.verdict import Evidence, GateResult, Verdict
from zkprov.model.facts import Mode, Outcome
from zkprov.model.members import Members
from zkprov.model.quorum import braces, spare


def joiner_follows(picture: Picture, name: str, server_id: int) -> GateResult:
    """Step 5 of adding a server. Sources in order: zabstate and leader (AdminServer), srvr Mode, /zookeeper/config, identity."""
    sources = ("AdminServer zabstate and leader", "srvr Mode", "/zookeeper/config", "identity znode")
    facts = picture.survey.by_name(name)
    leaders = [f for f in picture.members if leads(f)]
    leader = leaders[0] if leaders else None

    def fail(what: str, verdict: Verdict = Verdict.FAIL) -> GateResult:
        return GateResult("joiner", verdict, f"{server_id} ({name}): {what}", (Evidence(name, what),), sources)

    if facts is None:
        return fail("was not asked", Verdict.UNKNOWN)
    if leader is None:
        return fail("there is no leader to follow", Verdict.UNKNOWN)
    if len(leaders) > 1:
        return fail("more than one member says that it leads", Verdict.UNKNOWN)
    if not facts.serving:
        return fail(f"does not serve ({facts.srvr})")
    if leads(facts):
        return fail("leads, instead of following")
    if facts.zabstate.outcome is Outcome.ANOTHERS:
        return fail(str(facts.zabstate), Verdict.UNKNOWN)
    if facts.srvr.value is None and facts.zabstate.value is None:
        return fail(f"does not say what it is ({facts.srvr})", Verdict.UNKNOWN)
    if facts.id is not None and facts.id != server_id:
        return fail(f"says that it is {facts.id}")
    if facts.zabstate.value is not None:
        if facts.zabstate.value.phase != "BROADCAST":
            return fail(f"is in phase {facts.zabstate.value.phase}")
        listed = picture.live.get(server_id) if picture.live else None
        if facts.zabstate.value.voting and not (listed and listed.votes):
            return fail("votes, and must not yet")
    elif facts.srvr.value is not None and facts.srvr.value.mode not in (Mode.FOLLOWER, Mode.OBSERVER):
        return fail(f"is {facts.srvr.value.mode}")
    if facts.leader.value is not None and facts.leader.value.leader_id != picture.member_id(leader):
        return fail(f"follows {facts.leader.value.leader_id}, the leader is {picture.member_id(leader)}")
    if facts.config.value is None:
        return fail(f"its list cannot be read ({facts.config})", Verdict.UNKNOWN)
    if not facts.config.value.same_config(picture.live):
        return fail(
            f"holds the list {facts.config.value} of version {facts.config.value.version_hex}, the ensemble {picture.live}"
        )
    if facts.identity.value is None or leader.identity.value is None:
        unread = leader if facts.identity.value is not None else facts
        return fail(f"its history cannot be compared ({picture.label(unread)}: {unread.identity})", Verdict.UNKNOWN)
    if facts.identity.value != leader.identity.value:
        return fail("its history is not the leader's")
    if picture.standing[name] not in (Standing.JOINER, Standing.MEMBER):
        return fail(picture.why[name] or "does not follow us")
    return GateResult("joiner", Verdict.PASS, f"follows leader {picture.member_id(leader)}, not voting", (), sources)


def joins_too_early(before: Members, after: Members, up: Set[int], joiner: int) -> str:
    """R4, in words; empty where it holds: the voters in sync without the joiner, `up`, are a quorum of the list with it, and with it up as
    many may fail as before, or one.

    Only 1 → 2 cannot have that: there the joiner must be a synced non-voting follower first. A majority never loses a spare vote by
    growing; of groups a heavy vote may, or the first of a new group.
    """
    if len(before.voters) == 1:
        return ""
    now, then = spare(before.quorums, up), spare(after.quorums, {*up, joiner})
    if after.quorums.contains_quorum(up) and then >= min(now, 1):
        return ""
    told = f"in sync without the joiner: {braces(up)}; may fail before: {max(now, 0)}, after: {max(then, 0)}"
    return f"{told}; {after.quorums.describe()}"
