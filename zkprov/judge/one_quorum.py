"""R1 for an ensemble as it is seen, and as each step would leave it: what every server may act under, put to the proof."""

from __future__ import annotations

from collections.abc import Sequence, Set

import msgspec

from zkprov.judge.may_act import replaced, servers_of, with_unseen_voters
from zkprov.judge.picture import Picture, Standing
from zkprov.judge.rendering import joiner_list
from zkprov.judge.verdict import Evidence, GateResult, Purpose, Verdict
from zkprov.model import proof
from zkprov.model.acting import ProofServer, SeenList, anywhere
from zkprov.model.members import Members
from zkprov.model.server import Server

__all__ = ["during", "moved", "one_quorum", "prove_step", "servers_of"]

SOURCES = ("/zookeeper/config", "lists on disk and .next", "ledger: retired")


def one_quorum(picture: Picture, purpose: Purpose) -> GateResult:
    """The gate: no two disjoint sets of the servers seen can each elect a leader (R1)."""
    result = proof.prove(servers_of(picture))
    if result.safe:
        said = f"proved for {result.servers} servers and {result.lists} lists"
        return GateResult("one quorum", Verdict.PASS, said, (), SOURCES)
    evidence = tuple(Evidence("", line) for line in result.witness.lines()) if result.witness else ()
    if result.verdict is proof.Verdict.UNSAFE:
        said = "two sets of servers can each elect a leader"
        return GateResult("one quorum", Verdict.FAIL, said, evidence, SOURCES, unsafe=True, remedy="zkprov prove")
    return GateResult("one quorum", Verdict.UNKNOWN, result.reason, evidence, SOURCES, remedy="; ".join(result.fetch))


def prove_step(
    picture: Picture, before: Members, after: Members, server: Server
) -> tuple[tuple[str, proof.Proof], ...]:
    """The states of one step, labelled: `before` it, `crash within` it, and `after` it.

    `before` may be a list that earlier steps of the plan lead to: the servers that act under the live list now are then taken to
    have followed, and those that were added to it to be there; who does not serve keeps what it has. `server`: the one that the
    step is about; one that has no list yet starts with the one rendered for it.
    """
    live = picture.live
    version = before.version
    if live is not None and not before.same_list(live):
        version = max(before.version, live.version + 1)
    old, new = before.at_version(version), after.at_version(version + 1)
    serving = frozenset(f.name for f in picture.of(Standing.MEMBER, Standing.JOINER) if f.serving)
    servers = servers_of(picture)
    if live is not None and not before.same_list(live):
        servers = moved(servers, live, old, serving)
    servers = _present(servers, old)
    starting = _starting(servers, old, [server, *(s for s in after.servers if s.id != server.id)])
    if after.same_list(before):
        proved = proof.prove(starting)
        first = proved if proved.safe else proof.prove(servers)
        return ("before", first), ("after", proved)
    crash = proof.prove(during(starting, old, new))
    if crash.safe:
        # The crash counts in every state from the one before the step to the one after it.
        return ("before", crash), ("crash within", crash), ("after", crash)
    done = moved(starting, old, new, serving | {s.name for s in starting if s.id in new.ids})
    return ("before", proof.prove(starting)), ("crash within", crash), ("after", proof.prove(done))


def during(servers: tuple[ProofServer, ...], before: Members, after: Members) -> tuple[ProofServer, ...]:
    """Every state that a crash within the step from `before` to `after` can leave, as one state.

    Each server named in either list may act under what it has, under `before` with `after` as `.next`, or under `after`, whatever
    the others do. That is more than can be: `after` alone stands somewhere only once a quorum of both lists has at least the
    `.next`. It is no false alarm where any quorum of the one list meets any of the other, as with one vote more or less by
    majority, or one server more or less in a group: a set that can elect needs a quorum of `before` or of `after` (in a legal
    history it needed one of `before`, and its members have moved from there to `after` at most), and two such always meet.
    For more than that (one weight changed by more than 1) it may say unsafe of a step that ZooKeeper would survive.
    """
    stages = (
        SeenList.of(before, "this step, not committed", after, "this step's .next"),
        SeenList(after, "this step, committed"),
    )
    return tuple(
        msgspec.structs.replace(s, lists=(*s.lists, *stages)) if s.id in before.ids | after.ids and not s.gone else s
        for s in servers
    )


def moved(
    servers: tuple[ProofServer, ...], before: Members, after: Members, names: Set[str]
) -> tuple[ProofServer, ...]:
    """As a step leaves them: `names` that had `before` act under `after`; the others keep what they have, also what is only assumed."""
    assumed = anywhere(servers)
    found = []
    for s in servers:
        if not s.seen:
            older = tuple(x for x in assumed if x.members.version >= s.confirmed)
            s = msgspec.structs.replace(s, supposed=(*s.supposed, *older))  # noqa: PLW2901
        here = [SeenList(after, x.source) if x.members.same_list(before) else x for x in s.lists]
        found.append(replaced(s, tuple(dict.fromkeys(here))) if s.name in names else s)
    return tuple(found)


def _present(servers: tuple[ProofServer, ...], members: Members) -> tuple[ProofServer, ...]:
    """With the servers that earlier steps will have added, acting under the list that names them."""
    lists = (SeenList(members, "after the steps before"),)
    found = []
    for s in servers:
        if s.id in members.ids and not s.lists and s.seen:
            s = replaced(s, lists)  # noqa: PLW2901
        found.append(s)
    known = {s.id for s in servers}
    found += [ProofServer(f"server {i}", i, lists, reconfig_enabled=True) for i in sorted(members.ids - known)]
    return tuple(found)


def _starting(servers: tuple[ProofServer, ...], before: Members, named: Sequence[Server]) -> tuple[ProofServer, ...]:
    """With each of `named`: as it is, or with the files that are rendered for it."""
    found = list(servers)
    for server in named:
        if any(s.id == server.id and (s.lists or not s.seen) for s in found):
            continue
        own = SeenList(joiner_list(before, server), f"the files rendered for {server.id}")
        found = [s for s in found if s.id != server.id]
        found.append(ProofServer(f"server {server.id}", server.id, (own,), reconfig_enabled=True))
    return with_unseen_voters(found, None)
