"""R1 for an ensemble as it is seen, and as each step would leave it: what every server may act under, put to the proof."""

from __future__ import annotations

from collections.abc import Sequence, Set

import msgspec

from zkprov.judge.may_act import replaced, servers_of, with_unseen_voters
from zkprov.judge.newcomers import ledger_in
from zkprov.judge.picture import Picture, Standing, client_of, member_at
from zkprov.judge.rendering import joiner_list
from zkprov.judge.verdict import Evidence, GateResult, Purpose, Verdict
from zkprov.model import proof
from zkprov.model.acting import ProofServer, SeenList, anywhere
from zkprov.model.facts import LEFT_BEHIND, ServerFacts
from zkprov.model.members import Members
from zkprov.model.server import HostPort, Server

__all__ = ["during", "moved", "one_quorum", "prove_move", "prove_step", "servers_of"]

SOURCES = ("/zookeeper/config", "lists on disk and .next", "ledger: retired")


def one_quorum(picture: Picture, purpose: Purpose) -> GateResult:
    """The gate: no two disjoint sets of the servers seen can each elect a leader (R1)."""
    result = proof.prove(servers_of(picture))
    if result.safe and (seeking := _seeking(picture)):
        evidence = tuple(Evidence(picture.label(f), "runs, serves nobody, and its list was not seen") for f in seeking)
        said = "; ".join(str(e) for e in evidence[:3]) + (f"; and {len(seeking) - 3} more" if seeking[3:] else "")
        remedy = "; ".join(f"{f.name}: zoo.cfg and the files that it names" for f in seeking[:3])
        return GateResult("one quorum", Verdict.UNKNOWN, said, evidence, SOURCES, remedy=remedy)
    if result.safe:
        said = f"proved for {result.servers} servers and {result.lists} lists"
        return GateResult("one quorum", Verdict.PASS, said, (), SOURCES)
    evidence = tuple(Evidence("", line) for line in result.witness.lines()) if result.witness else ()
    if result.verdict is proof.Verdict.UNSAFE:
        said = "two sets of servers can each elect a leader"
        return GateResult("one quorum", Verdict.FAIL, said, evidence, SOURCES, unsafe=True, remedy="zkprov prove")
    return GateResult("one quorum", Verdict.UNKNOWN, result.reason, evidence, SOURCES, remedy="; ".join(result.fetch))


def _seeking(picture: Picture) -> list[ServerFacts]:
    """The servers beside the list that run without a leader: each asks others for their votes, under a list that nobody has seen.

    Not one that left and was left where it lay: the proof takes it for what its disk may act under. What runs where a disk was set aside,
    or is attested gone, is another server, whose list is not known.
    """
    ledger = ledger_in(picture)
    kept = {r.client for r in (ledger.retired if ledger else ()) if r.fate == LEFT_BEHIND} - {None}
    return [
        f
        for f in picture.of(Standing.DOWN)
        if f.up and f.disk.value is None and f.config.value is None and f.conf.value is None and f.client not in kept
    ]


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
    servers = _present(servers, picture, old)
    starting = _starting(servers, picture, old, [server, *(s for s in after.servers if s.id != server.id)])
    if after.same_list(before):
        proved = proof.prove(starting)
        first = proved if proved.safe else proof.prove(servers)
        return ("before", first), ("after", proved)
    crash = proof.prove(during(starting, old, new))
    if crash.safe:
        # The crash counts in every state from the one before the step to the one after it.
        return ("before", crash), ("crash within", crash), ("after", crash)
    named = frozenset(here.name for s in new.servers if (here := _here(starting, picture, s)))
    done = moved(starting, old, new, serving | named)
    return ("before", proof.prove(starting)), ("crash within", crash), ("after", proof.prove(done))


def prove_move(picture: Picture, before: Members, to: Server) -> tuple[tuple[str, proof.Proof], ...]:
    """As `prove_step`, for a member that is known at the place of `to` from then on: the same server, found by its id and not by its place.

    `before` is the live list.
    """
    old, new = before, before.with_server(to).at_version(before.version + 1)
    servers = servers_of(picture)
    crash = proof.prove(during(servers, old, new))
    if crash.safe:
        return ("before", crash), ("crash within", crash), ("after", crash)
    serving = frozenset(f.name for f in picture.of(Standing.MEMBER, Standing.JOINER) if f.serving)
    return (
        ("before", proof.prove(servers)),
        ("crash within", crash),
        ("after", proof.prove(moved(servers, old, new, serving))),
    )


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


def _present(servers: tuple[ProofServer, ...], picture: Picture, members: Members) -> tuple[ProofServer, ...]:
    """With the servers that earlier steps will have added, acting under the list that names them."""
    lists = (SeenList(members, "after the steps before"),)
    found = list(servers)
    for server in members.servers:
        here = _here(found, picture, server)
        if here is None:
            found.append(ProofServer(_name(found, picture, server), server.id, lists, reconfig_enabled=True))
        elif here.seen and not here.lists:
            found[found.index(here)] = replaced(here, lists)
    return tuple(found)


def _starting(
    servers: tuple[ProofServer, ...], picture: Picture, before: Members, named: Sequence[Server]
) -> tuple[ProofServer, ...]:
    """With each of `named`: as it is, or with the files that are rendered for it."""
    found = list(servers)
    for server in named:
        here = _here(found, picture, server)
        if here is not None and (here.lists or not here.seen):
            continue
        own = SeenList(joiner_list(before, server), f"the files rendered for {server.id}")
        found = [s for s in found if s is not here]
        found.append(ProofServer(_name(found, picture, server), server.id, (own,), reconfig_enabled=True))
    return with_unseen_voters(found, None)


def _here(servers: Sequence[ProofServer], picture: Picture, server: Server) -> ProofServer | None:
    """The one of `servers` that is this server, by its place: another disk may carry its id."""
    facts = _facts_of(picture, server)
    short, long = _names(picture, server)
    for s in servers:
        if s.id != server.id:
            continue
        if s.name == long or (facts is not None and s.name == facts.name):
            return s
        # a voter that nobody looked at is another disk where a list has it at another place
        if s.name == short and (s.seen or not _elsewhere(servers, server)):
            return s
    return None


def _elsewhere(servers: Sequence[ProofServer], server: Server) -> bool:
    lists = [m for s in servers for seen in s.lists for m in (seen.members, seen.next) if m is not None]
    named = [x for m in lists if (x := m.get(server.id)) is not None and x.votes]
    return any(not x.same_place(server) for x in named)


def _facts_of(picture: Picture, server: Server) -> ServerFacts | None:
    """What the survey saw at the server's place: under its client's endpoint, else at one of its addresses, else as the member it is."""
    servers = picture.survey.servers
    at = [client_of(server)]
    if server.client is not None:
        at += [HostPort(a.host, server.client.port) for a in server.addresses]
    place = next((f for place in at if place for f in servers if f.client == place), None)
    return place or next((f for f in picture.members if member_at(Members.of(server), f)), None)


def _name(servers: Sequence[ProofServer], picture: Picture, server: Server) -> str:
    """What a server that is not there yet is called; two disks with one id are not called alike."""
    short, long = _names(picture, server)
    return long if any(s.name == short for s in servers) else short


def _names(picture: Picture, server: Server) -> tuple[str, str]:
    facts = _facts_of(picture, server)
    return f"server {server.id}", f"server {server.id} ({facts.name if facts else server.address.host})"
