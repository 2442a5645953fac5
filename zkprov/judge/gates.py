"""The gates: one question each to a survey, answered pass, fail or unknown with the evidence.

Each lists its sources in the order in which they are believed, and asks more when its purpose is a change (R8).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Set

from zkprov.judge.picture import Picture, Standing, leads
from zkprov.judge.verdict import Evidence, GateResult, Purpose, Verdict
from zkprov.model.facts import Disk, Mode, Outcome, ServerFacts, Survey
from zkprov.model.members import Members
from zkprov.model.quorum import spare
from zkprov.model.release import Release

Gate = Callable[[Picture, Purpose], GateResult]
MAX_BEHIND = 1000
"""Transactions that a synced follower may be behind within one survey, whose answers are not of one instant."""


def _result(
    gate: str,
    failed: list[Evidence],
    unknown: list[Evidence],
    passed: str,
    sources: tuple[str, ...],
    *,
    required: bool = True,
    unsafe: bool = False,
    remedy: str = "",
) -> GateResult:
    """A failure is told before an unknown, an unknown before a pass."""
    if failed:
        return GateResult(
            gate, Verdict.FAIL, "; ".join(str(e) for e in failed[:3]), tuple(failed), sources, required, unsafe, remedy
        )
    if unknown:
        text = "; ".join(str(e) for e in unknown[:3])
        return GateResult(gate, Verdict.UNKNOWN, text, tuple(unknown), sources, required, False, remedy)
    return GateResult(gate, Verdict.PASS, passed, (), sources, required)


def members_answer(picture: Picture, purpose: Purpose, excused: Set[int] = frozenset()) -> GateResult:
    """Every member serves. `excused`: a member that is being removed or restarted need not answer."""
    sources = ("srvr", "zabstate", "client session")
    if picture.live is None:
        return GateResult("members answer", Verdict.UNKNOWN, "no list of members could be read", (), sources)
    failed = []
    for server in picture.live.servers:
        facts = picture.member(server.id)
        if server.id in excused:
            continue
        if facts is None:
            failed.append(Evidence(str(server.id), f"{server.address}: is not where the list says, or was not asked"))
        elif not facts.serving:
            failed.append(Evidence(picture.label(facts), str(facts.srvr)))
    count = len(picture.live.servers) - len(excused & picture.live.ids)
    remedy = "look at the servers that do not answer"
    return _result("members answer", failed, [], f"{count} of {count} members serve", sources, remedy=remedy)


def no_standalone(picture: Picture, purpose: Purpose) -> GateResult:
    """No member, and no server that names us, serves alone: such a server takes writes of its own."""
    concerned = picture.of(Standing.MEMBER, Standing.ROGUE, Standing.JOINER)
    alone = [
        Evidence(picture.label(f), "serves alone (Mode: standalone)")
        for f in concerned
        if (f.srvr.value and f.srvr.value.mode is Mode.STANDALONE)
        or (f.mntr.value or {}).get("zk_server_state") == "standalone"
    ]
    remedy = "a single server must run with standaloneEnabled=false before it can grow"
    only = len(alone) == 1 and len(concerned) == 1
    return _result(
        "no standalone", alone, [], "no server serves alone", ("srvr Mode", "mntr"), unsafe=not only, remedy=remedy
    )


def same_config(picture: Picture, purpose: Purpose, excused: Set[int] = frozenset()) -> GateResult:
    """Every member holds the live list: in memory, and on disk where the disk can be read; no `.next` waits.

    To look, the disk is taken where available. To change, memory and disk of every member are required.
    """
    sources = ("/zookeeper/config", "dynamicConfigFile on disk", ".next on disk")
    live = picture.live
    if live is None:
        return GateResult("same config", Verdict.UNKNOWN, "no list of members could be read", (), sources)
    failed: list[Evidence] = []
    unknown: list[Evidence] = []
    concerned = [f for f in picture.members if picture.member_id(f) not in excused]
    for facts in concerned:
        label = picture.label(facts)
        alone = facts.srvr.value is not None and facts.srvr.value.mode is Mode.STANDALONE
        if facts.config.value is None:
            (failed if alone else unknown).append(
                Evidence(label, "holds no list: it serves alone" if alone else str(facts.config))
            )
        elif not facts.config.value.same_config(live):
            failed.append(Evidence(label, f"holds {_list(facts.config.value)} in memory, the ensemble {_list(live)}"))
        if facts.disk.value is not None:
            failed.extend(Evidence(label, what) for what in _wrong_on_disk(facts.disk.value, live))
            unknown.extend(Evidence(label, problem) for problem in facts.disk.value.problems[:1])
        elif purpose is Purpose.CHANGE:
            unknown.append(Evidence(label, str(facts.disk)))
    unread = sum(f.disk.value is None for f in concerned)
    seen = "memory and on disk" if not unread else f"memory; {unread} of {len(concerned)} disks were not read"
    passed = f"config {live.version_hex} on every member, in {seen}"
    remedy = "let the ensemble come to rest and look again"
    return _result("same config", failed, unknown, passed, sources, required=purpose is Purpose.CHANGE, remedy=remedy)


def _wrong_on_disk(disk: Disk, live: Members) -> list[str]:
    wrong = []
    if disk.acting is None:
        wrong.append("no list on its disk")
    elif not disk.acting.members.same_config(live):
        wrong.append(f"{disk.acting.source} holds {_list(disk.acting.members)}, the ensemble {_list(live)}")
    if disk.next is not None and disk.next.members.version > live.version:
        wrong.append(f"{disk.next.source}: a list of version {disk.next.members.version_hex} waits to be committed")
    return wrong


def _list(members: Members) -> str:
    return f"{members} of version {members.version_hex}"


def voting_as_planned(picture: Picture, purpose: Purpose, excused: Set[int] = frozenset()) -> GateResult:
    """Participants vote, observers do not. `Mode: follower` alone does not tell (FACTS)."""
    sources = ("AdminServer zabstate", "srvr Mode with /zookeeper/config")
    failed: list[Evidence] = []
    unknown: list[Evidence] = []
    for facts in picture.members:
        server = picture.live.get(picture.member_id(facts)) if picture.live else None
        if server is None or server.id in excused:
            continue
        label = picture.label(facts)
        if facts.zabstate.value is not None:
            if facts.zabstate.value.phase != "BROADCAST":
                failed.append(Evidence(label, f"is in phase {facts.zabstate.value.phase}"))
            elif facts.zabstate.value.voting != server.votes:
                failed.append(
                    Evidence(
                        label,
                        f"{'votes' if facts.zabstate.value.voting else 'does not vote'}, its role is {server.role}",
                    )
                )
        elif facts.srvr.value is not None and facts.config.value is not None:
            role = facts.config.value.get(server.id)
            if role is None or role.role is not server.role:
                failed.append(Evidence(label, f"does not know itself as {server.role}"))
            elif (facts.srvr.value.mode is Mode.OBSERVER) == server.votes:
                failed.append(Evidence(label, f"is {facts.srvr.value.mode}, its role is {server.role}"))
        else:
            unknown.append(
                Evidence(label, str(facts.zabstate if facts.zabstate.outcome is not Outcome.NOT_ASKED else facts.srvr))
            )
    return _result(
        "voting", failed, unknown, "every participant votes, no other", sources, required=purpose is Purpose.CHANGE
    )


def synced(
    picture: Picture, purpose: Purpose, earlier: Survey | None = None, excused: Set[int] = frozenset()
) -> GateResult:
    """Every member has what the leader has: by its zxid, against the leader's of the sample before where there is one.

    Where no zxid can be read, by a write through another member that was read on this one (`probe`).
    """
    sources = ("srvr zxid", "zabstate zxid", "probe: a write through another member, read here")
    leaders = [f for f in picture.members if leads(f)]
    if len(leaders) > 1:
        return GateResult("synced", Verdict.UNKNOWN, "more than one member says that it leads", (), sources)
    leader = leaders[0] if leaders else None
    head = _zxid(leader) if leader else None
    before = earlier.by_name(leader.name) if earlier and leader else None
    before_zxid = _zxid(before) if before else None
    failed: list[Evidence] = []
    unknown: list[Evidence] = []
    for facts in picture.members:
        if facts is leader or picture.member_id(facts) in excused:
            continue
        label, own = picture.label(facts), _zxid(facts)
        if own is None or head is None:
            if facts.probe.value is None:
                what = (
                    "has not shown a write made elsewhere"
                    if facts.probe.outcome is Outcome.ABSENT
                    else "its zxid cannot be read"
                )
                (failed if facts.probe.outcome is Outcome.ABSENT else unknown).append(
                    Evidence(label, f"{what} ({facts.srvr})")
                )
            continue
        assert leader is not None  # noqa: S101 — a head comes from a leader
        behind = _behind(facts, own, head)
        if behind is None and head & 0xFFFFFFFF == 0:
            unknown.append(Evidence(label, f"is at {own:#x}; the leader's epoch {head >> 32} has no transaction yet"))
        elif behind is None:
            failed.append(Evidence(label, f"is in epoch {own >> 32}, leader {picture.label(leader)} in {head >> 32}"))
        elif (
            before_zxid is not None
            and before_zxid >> 32 == head >> 32
            and before_zxid & 0xFFFFFFFF
            and own < before_zxid
        ):
            what = f"is at {own:#x}, the leader was past {before_zxid:#x} one sample ago: {behind} behind"
            failed.append(Evidence(label, what))
        elif behind > MAX_BEHIND:
            failed.append(Evidence(label, f"is at {own:#x}, leader at {head:#x}: {behind} behind"))
    return _result(
        "synced", failed, unknown, "every member has what the leader has", sources, required=purpose is Purpose.CHANGE
    )


def _behind(facts: ServerFacts, own: int, head: int) -> int | None:
    """Transactions that a follower is behind; None where it is in another epoch than the leader.

    A follower that broadcasts in the leader's epoch had all that came before it; its zxid shows that only with the first transaction.
    """
    if own >> 32 == head >> 32:
        return max(0, head - own)
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
    """Every serving member holds the same permanent znode, created at the same zxid and time. Equal proves nothing alone."""
    sources = ("identity znode (czxid, ctime)",)
    found: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    unknown = []
    for facts in (*picture.members, *picture.of(Standing.JOINER)):
        if picture.member_id(facts) in excused:
            continue
        if facts.identity.value is not None:
            value = facts.identity.value
            found[(value.path, value.czxid, value.ctime_ms)].append(picture.label(facts))
        elif facts.identity.outcome is Outcome.ABSENT and facts.serving:
            found[("none", 0, 0)].append(picture.label(facts))
        elif facts.serving:
            unknown.append(Evidence(picture.label(facts), str(facts.identity)))
    failed = []
    if len(found) > 1:
        for (path, czxid, ctime), holders in sorted(found.items(), key=lambda kv: -len(kv[1])):
            what = "no permanent znode" if path == "none" else f"{path} of czxid {czxid:#x}, ctime {ctime}"
            failed.append(Evidence(", ".join(holders), what))
    if not found and not unknown:
        unknown.append(Evidence("", "no server's znodes could be read"))
    return _result(
        "same history",
        failed,
        unknown,
        "one history on every server",
        sources,
        required=purpose is Purpose.CHANGE,
        unsafe=True,
        remedy='docs: incidents, "A second leader"',
    )


def digests_equal(picture: Picture, purpose: Purpose) -> GateResult:
    """Equal digests at a common zxid, no mismatch counted. Taken where available: a missing one is reported (3.5 has none)."""
    sources = ("AdminServer hash", "mntr zk_digest_mismatches_count")
    failed: list[Evidence] = []
    serving = [f for f in picture.members if f.serving]
    for facts in serving:
        count = (facts.mntr.value or {}).get("zk_digest_mismatches_count", "0")
        if count.strip() not in ("0", "0.0", ""):
            failed.append(Evidence(picture.label(facts), f"zk_digest_mismatches_count is {count.strip()[:40]}"))
    with_digests = [(f, f.hash.value.by_zxid) for f in serving if f.hash.value and f.hash.value.by_zxid]
    compared = 0
    for i, (one, left) in enumerate(with_digests):
        for other, right in with_digests[i + 1 :]:
            common = left.keys() & right.keys()
            compared += bool(common)
            bad = [z for z in sorted(common) if left[z] != right[z]]
            if bad:
                failed.append(
                    Evidence(
                        picture.label(one),
                        f"differs from {picture.label(other)} at {bad[0]:#x}: {left[bad[0]]:#x}, {right[bad[0]]:#x}",
                    )
                )
    unknown = [] if compared or len(serving) < 2 else [Evidence("", "no two members tell a digest at the same zxid")]
    return _result(
        "digests", failed, unknown, f"equal wherever two were told at one zxid ({compared} pairs)", sources, required=False, unsafe=True,
        remedy="the data of these servers differs: docs, incidents, \"After a split\"",
    )  # fmt: skip


def spare_kept(picture: Picture, purpose: Purpose) -> GateResult:
    """As many voters may fail as the list allows: fewer is degraded, none at all with a quorum lost is a failure."""
    sources = ("members that serve", "the list's quorum rule")
    if picture.live is None:
        return GateResult("spare", Verdict.UNKNOWN, "no list of members could be read", (), sources)
    system = picture.live.quorums
    up = serving_voters(picture)
    now, full = spare(system, up), spare(system, picture.live.voters)
    if now < 0:
        return GateResult(
            "spare", Verdict.FAIL, f"quorum lost: {len(up)} voters serve; {system.describe()}", (), sources
        )
    if now < full:
        return GateResult("spare", Verdict.FAIL, f"{now} may fail, with all up it would be {full}", (), sources)
    return GateResult("spare", Verdict.PASS, f"{now} may fail", (), sources)


def serving_voters(picture: Picture) -> frozenset[int]:
    """The voters of the live list that serve."""
    voters = picture.live.voters if picture.live else frozenset()
    return frozenset(i for f in picture.members if f.serving and (i := picture.member_id(f)) in voters)


def release_allowed(picture: Picture, purpose: Purpose) -> GateResult:
    """One release on every member, and to change membership none below the least of its line (FACTS, "Releases")."""
    sources = ("srvr Zookeeper version", "mntr zk_version")
    failed: list[Evidence] = []
    unknown: list[Evidence] = []
    seen: dict[str, list[str]] = defaultdict(list)
    for facts in picture.members:
        text = (
            facts.srvr.value.release
            if facts.srvr.value
            else (facts.mntr.value or {}).get("zk_version", "").split("-")[0]
        )
        release = Release.read(text) if text else None
        if release is None:
            if facts.serving:
                unknown.append(Evidence(picture.label(facts), str(facts.srvr)))
            continue
        seen[str(release)].append(picture.label(facts))
        if purpose is Purpose.CHANGE and not release.allows_membership_changes:
            failed.append(Evidence(picture.label(facts), f"runs {release}; {release.least_advice}"))
    if len(seen) > 1:
        failed.extend(Evidence(", ".join(who), f"runs {text}") for text, who in sorted(seen.items()))
    passed = "all run " + next(iter(seen), "?")
    return _result(
        "release",
        failed,
        unknown,
        passed,
        sources,
        required=purpose is Purpose.CHANGE,
        remedy="zkprov upgrade, or restart the rest of the roll",
    )


def no_rogue(picture: Picture, purpose: Purpose) -> GateResult:
    """No server serves outside the config with our identity, with our names in its list, or to our clients."""
    rogues = [Evidence(picture.label(f), picture.why[f.name]) for f in picture.of(Standing.ROGUE)]
    remedy = 'docs: incidents, "A second leader"; keep clients away from the rogue, and stop it'
    return _result(
        "no rogue",
        rogues,
        [],
        "no server serves beside the ensemble",
        ("all servers ever known",),
        unsafe=True,
        remedy=remedy,
    )


def dynamic(picture: Picture, purpose: Purpose) -> GateResult:
    """The list is a dynamic, majority one: static and hierarchical ensembles are surveyed and proved, not changed (R12)."""
    sources = ("/zookeeper/config version", "reconfigEnabled on disk")
    if picture.live is None:
        return GateResult("dynamic", Verdict.UNKNOWN, "no list of members could be read", (), sources)
    failed = []
    if picture.live.version == 0:
        failed.append(Evidence("", "R12: the list is static (version 0); zkprov grows no static ensemble"))
    if picture.live.hierarchical:
        failed.append(
            Evidence(
                "",
                "the list has groups: ZooKeeper refuses incremental changes of it, and zkprov does not change it yet",
            )
        )
    failed.extend(
        Evidence(picture.label(facts), "reconfigEnabled is not true in its zoo.cfg")
        for facts in picture.members
        if facts.disk.value and facts.disk.value.settings and not facts.disk.value.reconfig_enabled
    )
    remedy = "set reconfigEnabled=true on every member and restart them, the leader last"
    return _result("dynamic", failed, [], f"config {picture.live.version_hex} is dynamic", sources, remedy=remedy)
