"""The proof against a brute force written from the rule, against histories that must not alarm, and against FACTS' formula."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.unit import brute_force as oracle
from zkprov.model.acting import How, ProofServer, SeenList
from zkprov.model.members import Members
from zkprov.model.proof import Witness, prove
from zkprov.model.server import Role, Server, ServerAddress

WHOLE = bool(os.environ.get("ZKPROV_WHOLE"))


def few(examples: int) -> settings:
    """So many examples in the daily run, twenty times as many in the whole one."""
    return settings(
        max_examples=examples * (20 if WHOLE else 1), deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


def members(voters: set[int] | frozenset[int], observers: set[int] = frozenset(), version: int = 0, **more) -> Members:  # type: ignore[no-untyped-def]
    def server(i: int) -> Server:
        role = Role.OBSERVER if i in observers else Role.PARTICIPANT
        return Server(i, (ServerAddress(f"zk{i}", 2888, 3888),), role)

    return Members(tuple(server(i) for i in sorted({*voters, *observers})), version, **more)


def of_oracle(acts: oracle.Acts, source: str) -> SeenList:
    def convert(of: oracle.List) -> Members:
        return members(
            of.voters,
            version=of.version,
            groups=tuple(enumerate(of.groups, 1)),
            weights=of.weights,
        )

    following = convert(acts.next) if acts.next else None
    return SeenList.of(convert(acts.now), source, following)


def proof_servers(servers: list[oracle.Physical]) -> list[ProofServer]:
    return [
        ProofServer(
            f"host{n}",
            s.id,
            tuple(of_oracle(a, f"host{n}/zoo.cfg") for a in s.acts),
            may_vote=not s.empty_without_vote,
            reconfig_enabled=s.takes_over,
            seen=s.seen,
            gone=s.destroyed,
            confirmed=s.confirmed,
        )
        for n, s in enumerate(servers)
    ]


@st.composite
def lists(draw: st.DrawFn, ids: int) -> oracle.List:
    """A static list is version 0; a few versions only, so that equal ones meet."""
    # Lists that lean to one end: those of both ends meet often enough to be unsafe about as often as not.
    low = draw(st.booleans())
    core = range(1, ids // 2 + 1) if low else range(ids // 2 + 1, ids + 1)
    voters = frozenset(core) ^ draw(st.frozensets(st.integers(1, ids), max_size=2)) or frozenset(core)
    version = draw(st.integers(0, 3))
    if draw(st.integers(0, 3)):
        return oracle.List(version, voters)
    where = {i: draw(st.integers(0, 2)) for i in sorted(voters)}
    groups = tuple(tuple(i for i, g in where.items() if g == n) for n in range(3) if n in where.values())
    weights = tuple((i, draw(st.integers(0, 3))) for i in sorted(voters) if draw(st.booleans()))
    return oracle.List(version, voters, groups, weights)


@st.composite
def worlds(draw: st.DrawFn) -> list[oracle.Physical]:
    n = draw(st.integers(3, 6 if WHOLE else 5))
    pool = draw(st.lists(lists(n), min_size=2, max_size=5))
    rarely = st.sampled_from([False] * 7 + [True])
    twin = draw(rarely)
    servers = []
    for i in range(1, n + 1):
        sid = 1 if twin and i == n else i
        mine = [one for one in pool if sid in one.voters] or pool
        acts = st.builds(
            oracle.Acts,
            st.sampled_from(mine) if draw(st.integers(0, 7)) else st.sampled_from(pool),
            st.none() | st.none() | st.sampled_from(pool),
        )
        seen = not draw(rarely)
        servers.append(
            oracle.Physical(
                id=sid,
                acts=tuple(draw(st.lists(acts, min_size=int(seen), max_size=2))),
                empty_without_vote=draw(rarely),
                takes_over=draw(rarely),
                seen=seen,
                confirmed=draw(st.sampled_from([0, 0, 1, 2])),
                destroyed=draw(rarely),
            )
        )
    return servers


@few(700)
@given(worlds())
def test_agrees_with_the_brute_force(servers: list[oracle.Physical]) -> None:
    expected = oracle.verdict(servers)
    proof = prove(proof_servers(servers))
    event(expected)
    assert proof.verdict == expected
    if proof.witness:
        check_witness(proof.witness, servers)
    assert bool(proof.fetch) == (expected == "unknown")


def check_witness(witness: Witness, servers: list[oracle.Physical]) -> None:
    """The witness by the rule: disjoint, and each side elects with just the lists that the witness names."""
    taken: set[str] = set()
    for side in witness.sides:
        names = [s.server for s in side.servers]
        assert not taken & set(names)
        taken |= set(names)
        acts: list[list[oracle.Acts]] = [[] for _ in servers]
        for standing in side.servers:
            n = int(standing.server.removeprefix("host"))
            assert servers[n].id == standing.id
            assert (standing.how is How.ASSUMED) <= (not servers[n].seen)
            acts[n] = [
                a
                for a in oracle.may_act_under(n, servers, assume=True)
                if written(a) == (standing.members, standing.version, standing.next, standing.next_version)
            ]
            assert acts[n]
        assert side.leader_server in names
        assert oracle.can_elect(tuple(int(n.removeprefix("host")) for n in names), servers, acts)


def written(acts: oracle.Acts) -> tuple[str, str, str, str]:
    def braces(of: oracle.List) -> str:
        return "{" + ",".join(map(str, sorted(of.voters))) + "}"

    following = (braces(acts.next), f"{acts.next.version:x}") if acts.next else ("", "")
    return (braces(acts.now), f"{acts.now.version:x}", *following)
