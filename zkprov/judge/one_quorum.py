"""R1 for an ensemble as it is seen, and as each step would leave it: what every server may act under, put to the proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from zkprov.judge.newcomers import ledger_of
from zkprov.judge.picture import Picture, Standing
from zkprov.judge.rendering import joiner_list
from zkprov.judge.verdict import Evidence, GateResult, Purpose, Verdict
from zkprov.model import proof
from zkprov.model.acting import ProofServer, SeenList
from zkprov.model.facts import LedgerMember, ServerFacts
from zkprov.model.members import Members
from zkprov.model.server import Server


def servers_of(picture: Picture) -> tuple[ProofServer, ...]:
    """Every server ever known, with the lists that it may act under: in memory, on disk, `.next`, retired."""
    ledger = ledger_of(picture.survey)
    found = [
        _server(f, picture, ledger.members if ledger else {}) for f in picture.survey.servers if _counts(f, picture)
    ]
    named = {picture.member_id(f) for f in picture.members}
    for member in picture.live.servers if picture.live else ():
        if member.id not in named:
            confirmed = ledger.members[member.id].confirmed if ledger and member.id in ledger.members else 0
            found.append(ProofServer(str(member.id), member.id, seen=False, reconfig_enabled=True, confirmed=confirmed))
    for retired in ledger.retired if ledger else ():
        if retired.fate == "set aside" and retired.last_list is not None:
            seen = SeenList(retired.last_list, f"/zkprov/retired/{retired.id}")
            found.append(
                ProofServer(f"{retired.host} (retired {retired.id})", retired.id, (seen,), reconfig_enabled=True)
            )
    return tuple(found)


def _counts(facts: ServerFacts, picture: Picture) -> bool:
    nothing = facts.disk.value is None and facts.config.value is None
    return facts.id is not None and not (nothing and picture.standing[facts.name] in (Standing.DOWN, Standing.STRANGER))


def _server(facts: ServerFacts, picture: Picture, members: Mapping[int, LedgerMember]) -> ProofServer:
    disk, lists = facts.disk.value, []
    if disk is not None and disk.acting is not None:
        following = disk.next
        lists.append(
            SeenList.of(
                disk.acting.members,
                disk.acting.source,
                following.members if following else None,
                following.source if following else "",
            )
        )
    if facts.config.value is not None and not any(s.members.same_config(facts.config.value) for s in lists):
        lists.append(SeenList(facts.config.value, f"{facts.name}: memory"))
    empty = disk is not None and not disk.has_data and not disk.initialize and not disk.autocreate and not facts.serving
    entry = members.get(facts.id) if facts.id is not None else None
    return ProofServer(
        name=facts.name,
        id=facts.id if facts.id is not None else -1,
        lists=tuple(lists),
        may_vote=not empty,
        reconfig_enabled=disk.reconfig_enabled if disk is not None and disk.settings else True,
        seen=disk is not None or bool(lists),
        confirmed=entry.confirmed if entry else 0,
    )


def one_quorum(picture: Picture, purpose: Purpose) -> GateResult:
    """The gate: no two disjoint sets of the servers seen can each elect a leader (R1)."""
    sources = ("/zookeeper/config", "lists on disk and .next", "ledger: retired")
    result = proof.prove(servers_of(picture))
    if result.safe:
        return GateResult(
            "one quorum", Verdict.PASS, f"proved for {result.servers} servers and {result.lists} lists", (), sources
        )
    evidence = tuple(Evidence("", line) for line in str(result.witness or result.reason).splitlines())
    if result.verdict is proof.Verdict.UNSAFE:
        return GateResult(
            "one quorum",
            Verdict.FAIL,
            "two sets of servers can each elect a leader",
            evidence,
            sources,
            unsafe=True,
            remedy="zkprov prove",
        )
    return GateResult("one quorum", Verdict.UNKNOWN, result.reason, evidence, sources, remedy="; ".join(result.fetch))


def prove_step(picture: Picture, before: Members, after: Members, server: Server) -> Sequence[tuple[str, proof.Proof]]:
    """The states of one step: before it, after a crash within it, and after it; with the joiner as the step leaves it."""
    newer = after.at_version(max(before.version, 1) + 1)
    present = {s.id for s in servers_of(picture)}
    base = [_on(s, before, None) for s in servers_of(picture)]
    if server.id not in present:
        own = SeenList(joiner_list(before, server), f"{server.id}: rendered")
        base.append(ProofServer(str(server.id), server.id, (own,), reconfig_enabled=True))
    proofs = [("before", proof.prove(base))]
    if not after.same_list(before):
        # at any moment of the step a server is before it, has `.next` beside the old list, or is after it
        within = [
            msgspec.structs.replace(
                s,
                lists=tuple(
                    SeenList(x.members, x.source, newer, "the step's .next") if x.members.same_list(before) else x
                    for x in s.lists
                ),
            )
            for s in base
        ]
        proofs.append(("crash within", proof.prove(within)))
        proofs.append(("after", proof.prove([_on(s, newer, before) for s in base])))
    return proofs


def _on(server: ProofServer, members: Members, instead_of: Members | None) -> ProofServer:
    if instead_of is None:
        return server
    seen = tuple(SeenList(members, x.source) if x.members.same_list(instead_of) else x for x in server.lists)
    return msgspec.structs.replace(server, lists=seen)
