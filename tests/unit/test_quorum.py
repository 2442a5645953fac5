"""Quorum systems: properties, and spare() against trying every way to fail."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkprov.model.quorum import Hierarchical, Majority, QuorumSystem, braces, spare

ids = st.integers(1, 9)


@st.composite
def hierarchies(draw: st.DrawFn) -> Hierarchical:
    voters = sorted(draw(st.sets(ids, min_size=1, max_size=8)))
    group_of = {i: draw(st.integers(1, 4)) for i in voters}
    groups = tuple((g, frozenset(i for i in voters if group_of[i] == g)) for g in sorted(set(group_of.values())))
    weights = draw(st.dictionaries(st.sampled_from(voters), st.integers(0, 4)))
    return Hierarchical(groups, tuple(sorted(weights.items())))


systems = st.one_of(st.frozensets(ids, max_size=8).map(Majority), hierarchies())


def subsets(of: frozenset[int]) -> list[frozenset[int]]:
    return [frozenset(c) for c in chain.from_iterable(combinations(sorted(of), n) for n in range(len(of) + 1))]


@given(systems)
@settings(max_examples=60, deadline=None)
def test_two_quorums_of_one_system_always_intersect(system: QuorumSystem) -> None:
    quorums = [s for s in subsets(system.voters) if system.contains_quorum(s)]
    assert all(a & b for a in quorums for b in quorums)


@given(systems, st.frozensets(ids), st.frozensets(ids))
@settings(deadline=None)
def test_more_servers_never_lose_a_quorum_and_strangers_add_none(
    system: QuorumSystem, some: frozenset[int], more: frozenset[int]
) -> None:
    assert system.contains_quorum(some | more) >= system.contains_quorum(some)
    assert system.contains_quorum(some | {98, 99}) == system.contains_quorum(some)
    assert not system.contains_quorum(frozenset())


@given(systems, st.frozensets(ids))
@settings(deadline=None)
def test_spare_against_trying_every_way_to_fail(system: QuorumSystem, up: frozenset[int]) -> None:
    voting = up & system.voters
    survivable = [
        n
        for n in range(len(voting) + 1)
        if all(system.contains_quorum(voting - frozenset(gone)) for gone in combinations(sorted(voting), n))
    ]
    # What survives n failures survives fewer, so the largest n is the answer.
    assert survivable == list(range(len(survivable)))
    assert spare(system, up) == max(survivable, default=-1)


@given(st.frozensets(ids, min_size=1))
def test_one_group_of_equal_weights_is_a_majority(voters: frozenset[int]) -> None:
    grouped = Hierarchical(((1, voters),), ())
    assert all(grouped.contains_quorum(s) == Majority(voters).contains_quorum(s) for s in subsets(voters))


@pytest.mark.parametrize(("voters", "figure"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3)])
def test_spare_of_a_majority_with_all_up(voters: int, figure: int) -> None:
    members = frozenset(range(1, voters + 1))
    assert spare(Majority(members), members) == figure
    assert f"is {voters // 2 + 1}" in Majority(members).describe()


def test_no_voters_no_quorum() -> None:
    assert spare(Majority(frozenset()), frozenset({1})) == -1


def test_groups_of_no_weight_do_not_count() -> None:
    system = Hierarchical(((1, frozenset({1, 2, 3})), (2, frozenset({4, 5}))), ((4, 0), (5, 0)))
    assert system.contains_quorum(frozenset({1, 2}))
    assert not system.contains_quorum(frozenset({1, 4, 5}))


def test_more_than_half_is_asked_of_weight_and_of_groups() -> None:
    system = Hierarchical(((1, frozenset({1, 2})), (2, frozenset({3, 4})), (3, frozenset({5}))), ((1, 3),))
    assert system.contains_quorum(frozenset({1, 5}))  # 3 of 4 in group 1
    assert not system.contains_quorum(frozenset({2, 5}))  # 1 of 4
    assert not system.contains_quorum(frozenset({3, 5}))  # 1 of 2 is half
    assert not system.contains_quorum(frozenset({1, 2}))  # 1 group of 3
    assert braces(frozenset({3, 1})) == "{1,3}"


def test_spare_of_many_voters_in_groups_is_told_at_once() -> None:
    """Trying every way to fail took minutes for 25 voters, and every look asks it."""
    groups = tuple((g, frozenset(range(9 * g, 9 * g + 9))) for g in range(9))
    system = Hierarchical(groups, ())
    assert spare(system, system.voters) == 5 * 5 - 1
