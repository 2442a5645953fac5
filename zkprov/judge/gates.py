"""The gates: one question each to a survey, answered pass, fail or unknown with the evidence.

Each lists its sources in the order in which they are believed, and asks more when its purpose is a change (R8).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set
from typing import Any

from zkprov.judge.picture import Picture, Standing, client_of, tells_mode, told_list
from zkprov.judge.verdict import Evidence, GateResult, Purpose, weighed
from zkprov.model.config import POINTER
from zkprov.model.facts import Disk, Fact, Ledger, Mode, Outcome, ServerFacts
from zkprov.model.members import Members
from zkprov.model.quorum import braces, spare
from zkprov.model.release import Release
from zkprov.model.server import Server

NO_LIST = Evidence("", "no list of members could be read")


def listed(picture: Picture, excused: Set[int] = frozenset()) -> list[tuple[Server, ServerFacts | None]]:
    """The members of the live list that a gate asks about, each with what was seen of it: None where it was not asked."""
    servers = picture.live.servers if picture.live else ()
    return [(s, picture.member(s.id)) for s in servers if s.id not in excused]


def unseen(picture: Picture, server: Server, facts: ServerFacts | None, *wanted: Fact[Any]) -> Evidence:
    """Why a fact of a member is unknown: the first of `wanted` that did not come out well."""
    if facts is None:
        return Evidence(str(server.id), f"{server.address}: is not where the list says, or was not asked")
    missing = next((f for f in wanted if f.value is None and f.outcome is not Outcome.NOT_ASKED), None)
    missing = missing or next((f for f in wanted if f.value is None), None)
    return Evidence(picture.label(facts), str(missing or facts.srvr))


def members_answer(picture: Picture, purpose: Purpose, excused: Set[int] = frozenset()) -> GateResult:
    """Every member serves. `excused`: a member that is being removed or restarted need not answer."""
    asked = listed(picture, excused)
    failed = [_no_answer(picture, server, facts) for server, facts in asked if not (facts and facts.serving)]
    return weighed(
        "members answer",
        failed,
        [] if picture.live else [NO_LIST],
        f"{len(asked)} of {len(asked)} members serve",
        ("srvr", "zabstate", "client session"),
        remedy="look at the servers that do not answer",
    )


def _no_answer(picture: Picture, server: Server, facts: ServerFacts | None) -> Evidence:
    if facts is None:
        return unseen(picture, server, None)
    found, at = unseen(picture, server, facts, facts.srvr), client_of(server)
    if facts.srvr.outcome is not Outcome.REFUSED or at is None or not facts.client or at.port == facts.client.port:
        return found
    return Evidence(found.server, f"{found.what}; its line has clients at {at.port} (zkprov_client_port)")


def no_standalone(picture: Picture, purpose: Purpose) -> GateResult:
    """No member, and no server that names us, serves alone: such a server takes writes of its own."""
    concerned = picture.of(Standing.MEMBER, Standing.ROGUE, Standing.JOINER)
    if picture.live is None:
        concerned = tuple(f for f in picture.survey.servers if f.up)
    alone = [Evidence(picture.label(f), "serves alone (Mode: standalone)") for f in concerned if _alone(f)]
    unknown = [
        Evidence(picture.label(f), f"may serve alone: it tells neither its mode nor a list ({f.srvr})")
        for f in concerned
        if f.up and not (tells_mode(f) or f.config.value or f.zabstate.value or f.srvr.outcome is Outcome.NOT_SERVING)
    ]
    return weighed(
        "no standalone",
        alone,
        unknown if concerned else [Evidence("", "no server of ours answers")],
        "no server serves alone",
        ("srvr Mode", "mntr", "/zookeeper/config"),
        unsafe=len(concerned) > 1,
        remedy="a single server must run with standaloneEnabled=false before it can grow",
    )


def _alone(facts: ServerFacts) -> bool:
    """Whether a server says that it serves alone."""
    said = facts.srvr.value.mode if facts.srvr.value else (facts.mntr.value or {}).get("zk_server_state")
    return said == Mode.STANDALONE


def same_config(picture: Picture, purpose: Purpose, excused: Set[int] = frozenset()) -> GateResult:
    """Every member holds the live list: in memory, and on disk where the disk can be read; no `.next` waits.

    To look, the disk is taken where available. To change, memory and disk of every member are required.
    """
    live, asked = picture.live, listed(picture, excused)
    failed: list[Evidence] = []
    unknown: list[Evidence] = [] if live else [NO_LIST]
    for server, facts in asked:
        if facts is None or live is None:
            unknown.append(unseen(picture, server, facts))
            continue
        label, memory, disk = picture.label(facts), list_in_force(facts), facts.disk.value
        if memory is None and _alone(facts):
            failed.append(Evidence(label, "holds no list: it serves alone"))
        elif memory is None and disk is not None and disk.written_since and untold_in_memory(facts):
            what = f"{release_told(facts)} tells its list on disk alone, and zoo.cfg was written after its server was started"
            unknown.append(Evidence(label, what))
        elif memory is None:
            unknown.append(unseen(picture, server, facts, facts.config))
        elif not memory.same_config(live):
            failed.append(Evidence(label, f"holds {_list(memory)} in memory, the ensemble {_list(live)}"))
        if disk is not None and disk.server_elsewhere:
            # what the inventory names is not what it runs on
            unknown.append(Evidence(label, disk.server_elsewhere))
        elif disk is not None:
            failed.extend(Evidence(label, what) for what in _wrong_on_disk(server.id, disk, live))
            unknown.extend(Evidence(label, problem) for problem in disk.problems[:1])
        elif purpose is Purpose.CHANGE:
            unknown.append(unseen(picture, server, facts, facts.disk))
    unread = sum(facts is None or facts.disk.value is None for _, facts in asked)
    seen = "memory and on disk" if not unread else f"memory; {unread} of {len(asked)} disks were not read"
    return weighed(
        "same config",
        failed,
        unknown,
        f"config {live.version_hex if live else '?'} on every member, in {seen}",
        (
            "/zookeeper/config",
            "before 3.5: zoo.cfg, not written since the start",
            "dynamicConfigFile on disk",
            ".next on disk",
            "myid on disk",
        ),
        required=purpose is Purpose.CHANGE,
        remedy=_mend(asked, live),
        to_know=_to_know([f for _, f in asked if f is not None]),
    )


def _to_know(asked: list[ServerFacts]) -> str:
    if any((d := f.disk.value) and (d.server_elsewhere or d.data_elsewhere) for f in asked):
        return "correct zkprov_config_dir, zkprov_data_dir and zkprov_data_log_dir in the inventory"
    if any(untold_in_memory(f) and (d := f.disk.value) and d.written_since for f in asked):
        return "see that every zoo.cfg has the list that is meant; then restart the servers named by hand, one by one, the leader last"
    return "to change an ensemble, the list and the disk of every member must be readable from here"


def reverted(disk: Disk, live: Members) -> bool:
    """Whether another program wrote its zoo.cfg anew, or it was not restarted since the list has a version."""
    without = disk.acting is not None and not disk.acting.members.version and POINTER not in disk.settings
    return bool(live.version) and without


def _mend(asked: list[tuple[Server, ServerFacts | None]], live: Members | None) -> str:
    disks = [d for _, f in asked if f and (d := f.disk.value) and d.acting and not d.server_elsewhere]
    if live is not None and not live.version:
        lists = [d.acting.members for d in disks if d.acting]
        if any(m.version and m.same_servers(live) for m in lists):
            # measured on 3.9.5: the leader then says 0, the others the version of their files
            return "set reconfigEnabled=true again in every zoo.cfg, by hand; then restart all, one by one, the leader last"
        if any(not m.same_list(live) for m in lists):
            return (
                "the list that is meant must stand in every zoo.cfg: correct it there before anybody is restarted by it"
            )
    lost = [d for d in disks if live and reverted(d, live)]
    if live is None or not lost:
        return "let the ensemble come to rest and look again"
    stop = "do not restart it; see what writes zoo.cfg there (Puppet, Chef, Ansible, Salt) and stop that; then "
    if all(d.acting and d.acting.members.same_servers(live) for d in lost):
        return f"{stop}zkprov adopt"
    name = f"zoo.cfg.dynamic.{live.version_hex}"
    return f"{stop}take server, group and weight lines out of it and name the {name} beside it as {POINTER}"


def _wrong_on_disk(server_id: int, disk: Disk, live: Members) -> list[str]:
    wrong = []
    if disk.my_id != server_id:
        wrong.append(
            f"myid on its disk is {'missing' if disk.my_id is None else disk.my_id}, the list has it as {server_id}"
        )
    if disk.acting is not None and reverted(disk, live):
        held = (
            f"{_list(disk.acting.members)} ({disk.acting.source})" if disk.acting.members.servers else "no list at all"
        )
        what = f"it starts next by {held}; the ensemble has {_list(live)}"
        wrong.append(f"its zoo.cfg has lost its {POINTER} (R10): {what}")
    elif disk.acting is None:
        wrong.append("no list on its disk")
    elif not disk.acting.members.same_config(live):
        wrong.append(f"{disk.acting.source} holds {_list(disk.acting.members)}, the ensemble {_list(live)}")
    if disk.next is not None and disk.next.members.version > live.version:
        wrong.append(f"{disk.next.source}: a list of version {disk.next.members.version_hex} waits to be committed")
    return wrong


def _list(members: Members) -> str:
    return f"{members} of version {members.version_hex}"


def voting_as_planned(picture: Picture, purpose: Purpose, excused: Set[int] = frozenset()) -> GateResult:
    """Participants vote, observers do not. `Mode: follower` alone does not tell (FACTS).

    An AdminServer of another server leaves it unknown, whatever else tells: the inventory is to be corrected before a change.
    """
    failed: list[Evidence] = []
    unknown: list[Evidence] = [] if picture.live else [NO_LIST]
    for server, facts in listed(picture, excused):
        zab = facts.zabstate.value if facts else None
        if facts and zab is not None:
            if zab.phase != "BROADCAST":
                failed.append(Evidence(picture.label(facts), f"is in phase {zab.phase}"))
            elif zab.voting != server.votes:
                what = "votes" if zab.voting else "does not vote"
                failed.append(Evidence(picture.label(facts), f"{what}, its role is {server.role}"))
        elif facts and facts.zabstate.outcome is Outcome.ANOTHERS:
            unknown.append(unseen(picture, server, facts, facts.zabstate))
        elif facts and facts.srvr.value is not None and (in_force := list_in_force(facts)) is not None:
            own, mode = in_force.get(server.id), facts.srvr.value.mode
            if own is None or own.role is not server.role:
                failed.append(Evidence(picture.label(facts), f"does not know itself as {server.role}"))
            elif (mode is Mode.OBSERVER) == server.votes:
                failed.append(Evidence(picture.label(facts), f"is {mode}, its role is {server.role}"))
        else:
            wanted = (facts.zabstate, facts.srvr, facts.config) if facts else ()
            unknown.append(unseen(picture, server, facts, *wanted))
    return weighed(
        "voting",
        failed,
        unknown,
        "every participant votes, no other",
        ("AdminServer zabstate", "srvr Mode with /zookeeper/config"),
        required=purpose is Purpose.CHANGE,
        remedy="look at the log of the servers named",
        to_know="open the AdminServer, or srvr in 4lw.commands.whitelist",
    )


def spare_kept(picture: Picture, purpose: Purpose, excused: Set[int] = frozenset()) -> GateResult:
    """As many voters may fail as the list allows, `excused` ones being down: fewer is weaker, less than a quorum no ensemble."""
    live, up = picture.live, serving_voters(picture)
    failed: list[Evidence] = []
    unknown = [] if live else [NO_LIST]
    now = spare(live.quorums, up) if live else -1
    # who does not trust us, or is not trusted by us, is up and may serve others
    denied = [f for f in picture.members if f.srvr.outcome is Outcome.DENIED]
    if live and now < 0 and spare(live.quorums, up | ({picture.member_id(f) for f in denied} & live.voters)) >= 0:
        unknown = [Evidence(picture.label(f), str(f.srvr)) for f in denied]
    if live and now < 0 and not unknown:
        failed.append(Evidence("", f"quorum lost: {braces(up)} serve; {live.quorums.describe()}"))
    elif live and not unknown and now < (full := spare(live.quorums, live.voters - excused)):
        failed.append(Evidence("", f"{now} may fail, with all up it would be {full}"))
    return weighed(
        "spare",
        failed,
        unknown,
        f"{now} may fail",
        ("members that serve", "the list's quorum rule"),
        remedy="look at the servers that do not answer",
    )


def serving_voters(picture: Picture) -> frozenset[int]:
    """The voters of the live list that serve."""
    voters = picture.live.voters if picture.live else frozenset()
    return frozenset(i for f in picture.members if f.serving and (i := picture.member_id(f)) in voters)


def release_allowed(picture: Picture, purpose: Purpose, excused: Set[int] = frozenset()) -> GateResult:
    """One release on every member, and to change membership none below the least of its line (FACTS, "Releases")."""
    failed: list[Evidence] = []
    unknown: list[Evidence] = [] if picture.live else [NO_LIST]
    seen: dict[str, list[str]] = defaultdict(list)
    for server, facts in listed(picture, excused):
        release = release_told(facts) if facts else None
        if facts is None or release is None:
            unknown.append(unseen(picture, server, facts, *((facts.srvr, facts.mntr) if facts else ())))
            continue
        seen[str(release)].append(picture.label(facts))
        if purpose is Purpose.CHANGE and not release.allows_membership_changes:
            failed.append(Evidence(picture.label(facts), f"runs {release}; {release.least_advice}"))
    if len(seen) > 1:
        failed.extend(Evidence(", ".join(who), f"runs {text}") for text, who in sorted(seen.items()))
    return weighed(
        "release",
        failed,
        unknown,
        "all run " + ", ".join(seen),
        ("srvr Zookeeper version", "mntr zk_version"),
        required=purpose is Purpose.CHANGE,
        remedy="zkprov upgrade, or restart the rest of the roll",
    )


def release_told(facts: ServerFacts) -> Release | None:
    """The release that a server says it runs."""
    return Release.read(
        facts.srvr.value.release if facts.srvr.value else (facts.mntr.value or {}).get("zk_version", "")
    )


def untold_in_memory(facts: ServerFacts) -> bool:
    """Whether it is of a release before 3.5: such a server goes by its zoo.cfg as it was when it was started, and tells it nowhere else."""
    release = release_told(facts)
    return release is not None and not release.has_reconfig and facts.serving and not _alone(facts)


def fixed_list(picture: Picture) -> Members | None:
    """The list where a member of a release before 3.5 serves: no other can be given to it. None where there is none such."""
    static = picture.live is not None and not picture.live.version
    return picture.live if static and any(untold_in_memory(f) for f in picture.members) else None


def list_in_force(facts: ServerFacts) -> Members | None:
    """The list that a server acts under, by its own word; of one before 3.5 by zoo.cfg, if nobody wrote it since it was started."""
    disk = facts.disk.value
    if facts.config.value is not None or disk is None or disk.acting is None or not untold_in_memory(facts):
        return told_list(facts) if facts.config.value is not None else None
    return disk.acting.members if disk.written_since is False else None


def no_rogue(picture: Picture, purpose: Purpose) -> GateResult:
    """No server serves outside the config with our identity, or with our names in its list. A stranger is a warning."""
    rogues = [Evidence(picture.label(f), picture.why[f.name]) for f in picture.of(Standing.ROGUE)]
    unclear = [Evidence(name, picture.why[name]) for name in sorted(picture.unclear)]
    strangers = ", ".join(f.name for f in picture.of(Standing.STRANGER))
    return weighed(
        "no rogue",
        rogues,
        unclear if picture.live else [NO_LIST],
        "no server serves beside the ensemble"
        + (f"; strangers, with nothing of ours: {strangers}" if strangers else ""),
        ("all servers ever known",),
        unsafe=True,
        remedy='docs: incidents, "A second leader"; keep clients away from the rogue, and stop it',
        to_know="look again: zkprov status",
    )


def dynamic(picture: Picture, purpose: Purpose, excused: Set[int] = frozenset()) -> GateResult:
    """The list is a dynamic one: static ensembles are surveyed and proved, not changed (R12)."""
    failed: list[Evidence] = []
    unknown: list[Evidence] = [] if picture.live else [NO_LIST]
    remedy = "zkprov adopt: sets reconfigEnabled on every member and restarts them, the leader last"
    if picture.live and picture.live.version == 0:
        failed.append(Evidence("", "R12: the list is static (version 0); zkprov grows no static ensemble"))
    for server, facts in listed(picture, excused):
        if facts is None or facts.disk.value is None:
            unknown.append(unseen(picture, server, facts, *((facts.disk,) if facts else ())))
        elif elsewhere := facts.disk.value.server_elsewhere:
            unknown.append(Evidence(picture.label(facts), elsewhere))
        elif not facts.disk.value.reconfig_enabled:
            failed.append(Evidence(picture.label(facts), "reconfigEnabled is not true in its zoo.cfg"))
    return weighed(
        "dynamic",
        failed,
        unknown,
        f"config {picture.live.version_hex if picture.live else '?'} is dynamic",
        ("/zookeeper/config version", "reconfigEnabled on disk"),
        remedy=remedy,
        to_know="to change an ensemble, the disk of every member must be readable from here",
    )


def _nothing_yet(ledger: Fact[Ledger]) -> bool:
    """A lock or a pause may stand before the first entry does."""
    held = ledger.value
    return held is not None and not (held.uuid or held.members or held.retired or ledger.detail)


def ledger_read(picture: Picture, purpose: Purpose) -> GateResult:
    """The ledger could be read whole, or there is none: what it holds of newcomers and of retired ids is not guessed at (R2, R5)."""
    held = [f for f in picture.members if f.ledger.value is not None and f.ledger.value.uuid]
    none = [f for f in picture.members if f.ledger.outcome is Outcome.ABSENT or _nothing_yet(f.ledger)]
    unknown = [Evidence(picture.label(f), f.ledger.detail) for f in held if f.ledger.detail]
    if not held:
        unknown += [Evidence(picture.label(f), str(f.ledger)) for f in picture.members if f not in none and f.serving]
        unknown += [] if none or unknown else [Evidence("", "no member's ledger could be read")]
    return weighed(
        "ledger",
        [],
        unknown,
        "read" if held else "none yet: every voter counts as seasoned",
        ("/zkprov",),
        to_know="look again; a newer zkprov may have written it, and is needed then",
    )
