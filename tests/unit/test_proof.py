"""The proof against a brute force written from the rule, against histories that must not alarm, and against FACTS' formula."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.unit import brute_force as oracle
from tests.unit.histories import History
from zkprov.model import few_servers
from zkprov.model.acting import How, ProofServer, SeenList
from zkprov.model.members import Members
from zkprov.model.proof import Verdict, Witness, prove
from zkprov.model.proof_search import Budget
from zkprov.model.server import Role, Server, ServerAddress
from zkprov.model.witness import Case

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


@few(350)
@given(worlds())
def test_agrees_with_the_brute_force(servers: list[oracle.Physical]) -> None:
    nothing_seen = not any(s.acts for s in servers if not s.destroyed)
    blind = nothing_seen and any(not s.seen and not s.destroyed for s in servers)
    expected = "unknown" if blind else oracle.verdict(servers)
    proof = prove(proof_servers(servers))
    event(expected)
    assert proof.verdict == expected
    if proof.witness:
        check_witness(proof.witness, servers)
    # Few servers may be looked at set by set; many only by lists. Both ways alone must come to the same.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(few_servers, "FEW", 0)
        assert prove(proof_servers(servers)).verdict == expected
    case = Case(proof_servers(servers))
    by_sets = few_servers.two_sets(case.actors(True), case.lists, Budget(10**6))
    assert (by_sets is None) == (oracle.two_leaders(servers, assume=True) is False)
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


@few(60)
@given(st.randoms(use_true_random=False), st.integers(1, 7), st.booleans())
def test_no_false_alarm_in_histories_of_single_changes(rng: random.Random, voters: int, weighted: bool) -> None:
    history = History(rng, voters, weighted)
    for _ in range(4):
        history.run(6)
        proof = prove(history.servers(rng))
        assert proof.safe, f"{proof.reason}\n{proof.witness}"


def test_histories_without_the_quorums_of_both_lists_do_alarm() -> None:
    alarms = 0
    for seed in range(60):
        history = History(random.Random(seed), 3, careless=True)
        history.run(20)
        alarms += prove(history.servers(random.Random(seed))).verdict is Verdict.UNSAFE
    assert alarms >= 3


@few(60)
@given(st.data())
def test_editing_lists_one_by_one_agrees_with_the_formula(data: st.DataObject) -> None:
    """FACTS: some state on the way has two disjoint quorums exactly when max(0, q1−a) + max(0, q2−b) ≤ c."""
    before = data.draw(st.frozensets(st.integers(1, 6), min_size=1))
    after = data.draw(st.frozensets(st.integers(1, 6), min_size=1))
    a, b, c = len(before - after), len(after - before), len(before & after)
    q1, q2 = len(before) // 2 + 1, len(after) // 2 + 1
    expected = max(0, q1 - a) + max(0, q2 - b) <= c
    both = before & after
    verdicts = {edited: prove(edits(before, after, edited)).verdict for edited in subsets(both)}
    assert (Verdict.UNSAFE in verdicts.values()) == expected
    assert Verdict.UNKNOWN not in verdicts.values()
    # All those states at once: each server under the one list or the other.
    either = [
        ProofServer(f"zk{i}", i, tuple(SeenList(members(m), "zoo.cfg") for m in (before, after) if i in m))
        for i in sorted(before | after)
    ]
    assert (prove(either).verdict is Verdict.UNSAFE) == expected


def subsets(of: frozenset[int]) -> list[frozenset[int]]:
    listed = sorted(of)
    return [frozenset(x for n, x in enumerate(listed) if bits >> n & 1) for bits in range(2 ** len(listed))]


def edits(before: frozenset[int], after: frozenset[int], edited: frozenset[int]) -> list[ProofServer]:
    new = edited | (after - before)
    return [
        ProofServer(f"zk{i}", i, (SeenList(members(after if i in new else before), f"zk{i}/zoo.cfg:9"),))
        for i in sorted(before | after)
    ]


@pytest.mark.parametrize("n", range(1, 26))
def test_one_more_is_always_safe_and_two_more_only_for_even_numbers(n: int) -> None:
    before, one, two = (frozenset(range(1, m + 1)) for m in (n, n + 1, n + 2))
    assert prove(both_lists(before, one)).safe
    assert prove(both_lists(before, two)).safe == (n % 2 == 0)


def both_lists(before: frozenset[int], after: frozenset[int]) -> list[ProofServer]:
    return [
        ProofServer(f"zk{i}", i, tuple(SeenList(members(m), "zoo.cfg") for m in (before, after) if i in m))
        for i in sorted(before | after)
    ]


def outage() -> list[ProofServer]:
    three, seven = members({1, 2, 3}), members(set(range(1, 8)))
    return [ProofServer(f"zk{i}", i, (SeenList(three if i < 4 else seven, f"zk{i}/zoo.cfg:9"),)) for i in range(1, 8)]


def test_the_outage_and_its_witness() -> None:
    proof = prove(outage())
    assert proof.verdict is Verdict.UNSAFE and proof.witness
    assert [(sorted(s.ids), s.leader, s.under) for s in proof.witness.sides] == [
        ([1, 2, 3], 3, "{1,2,3}"),
        ([4, 5, 6, 7], 7, "{1,2,3,4,5,6,7}"),
    ]
    assert str(proof.witness).splitlines()[0].split() == [
        "{1,2,3}", "elect", "3", "under", "{1,2,3}", "zk1/zoo.cfg:9,", "zk2/zoo.cfg:9,", "zk3/zoo.cfg:9",
    ]  # fmt: skip


def test_destroyed_is_under_none_and_unseen_under_any() -> None:
    def fourth(**more: object) -> list[ProofServer]:
        return [s if s.id != 7 else ProofServer("zk7", 7, **more) for s in outage()]  # type: ignore[arg-type]

    assert prove(fourth(gone=True)).safe
    unseen = prove(fourth(seen=False, fetch="zk7:/etc/zookeeper/zoo.cfg"))
    assert unseen.verdict is Verdict.UNKNOWN
    assert unseen.fetch == ("zk7:/etc/zookeeper/zoo.cfg",)
    assert "zk7" in unseen.reason


def test_the_ledger_says_from_which_version_on_an_unseen_server_may_act() -> None:
    old, new = members({1, 2, 3}, version=0x100000000), members({3, 4, 5}, version=0x100000009)

    def servers(confirmed: int) -> list[ProofServer]:
        lists = {1: old, 3: new, 4: new, 5: new}
        seen = [ProofServer(f"zk{i}", i, (SeenList(m, f"zk{i}/zoo.cfg:9"),)) for i, m in lists.items()]
        return [*seen, ProofServer("zk2", 2, seen=False, confirmed=confirmed)]

    assert prove(servers(0)).verdict is Verdict.UNKNOWN
    assert prove(servers(0x100000009)).safe


def test_out_of_steps_or_time_is_unknown_and_never_safe() -> None:
    safe = both_lists(frozenset(range(1, 9)), frozenset(range(1, 10)))
    assert prove(safe).safe
    assert prove(safe, steps=0).verdict is Verdict.UNKNOWN
    late = iter([0.0, 5.0, *[9.0] * 10000])
    timed = prove(safe, clock=lambda: next(late), budget_s=1.0)
    assert timed.verdict is Verdict.UNKNOWN
    assert "time" in timed.reason


def test_hostile_lists_end_in_time_and_without_recursion() -> None:
    """100 servers, each under its own random list: whatever comes out, it is not an exception, and the steps are kept to."""
    rng = random.Random(7)
    lists = [members({i, *rng.sample(range(1, 101), 70)}, version=i) for i in range(1, 101)]
    servers = [
        ProofServer(f"zk{m.version}", m.version, (SeenList(m, "zoo.cfg"),), reconfig_enabled=True) for m in lists
    ]
    proof = prove(servers, steps=3)
    assert proof.steps <= 5


def test_no_list_at_all_is_unknown() -> None:
    proof = prove([ProofServer("zk1", 1, seen=False, fetch="zk1/zoo.cfg: missing"), ProofServer("zk2", 2, seen=False)])
    assert proof.verdict is Verdict.UNKNOWN
    assert proof.fetch[0] == "zk1/zoo.cfg: missing"


def test_a_next_that_is_not_newer_is_no_next() -> None:
    newer, older = members({1}, version=5), members({1, 2}, version=5)
    assert SeenList.of(newer, "a", older).next is None
    with pytest.raises(ValueError, match="newer"):
        SeenList(newer, "a", older)
