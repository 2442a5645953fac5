"""The sides of a split: who acts with whom."""

from __future__ import annotations

import msgspec

from tests.unit.facts_made import ZXID, Made, found, healthy, outage
from zkprov.judge.picture import picture_of
from zkprov.judge.sides import by_data, sides_of
from zkprov.model.facts import Digests, Survey


def test_one_ensemble_is_one_side() -> None:
    (side,) = sides_of(picture_of(healthy(3).survey))
    assert (side.name, side.ids, side.leader_id, side.established) == ("A", frozenset({1, 2, 3}), 3, True)


def test_a_member_that_is_down_is_no_side_of_its_own() -> None:
    assert len(sides_of(picture_of(healthy(3).down(2).survey))) == 1


def test_the_outage_has_two_and_ours_comes_first() -> None:
    ours, theirs = sides_of(picture_of(outage().survey))
    assert ours.ids == {1, 2, 3} and ours.leader_id == 3 and ours.name == "A"
    assert theirs.ids == {4, 5, 6, 7} and theirs.leader_id == 7 and theirs.name == "B"
    assert not ours.ids & theirs.ids


def test_after_a_merge_the_sides_are_told_by_digests() -> None:
    made = _with_digests(healthy(3), {1: 0xBAD, 2: 0xD16E57, 3: 0xD16E57})
    kept, other = by_data(picture_of(made))
    assert (kept.ids, kept.leader_id, other.ids, other.leader) == (frozenset({2, 3}), 3, frozenset({1}), "")


def test_a_digest_that_is_told_twice_says_nothing() -> None:
    made = _with_digests(healthy(3), {1: 0xBAD, 2: 0xD16E57, 3: 0xD16E57}, doubted=frozenset({ZXID - 33}))
    assert len(by_data(picture_of(made))) == 1


def _with_digests(made: Made, digests: dict[int, int], doubted: frozenset[int] = frozenset()) -> Survey:
    servers = tuple(
        msgspec.structs.replace(s, hash=found("hash", Digests({ZXID - 33: digests[s.id or 0]}, doubted)))
        for s in made.survey.servers
    )
    return msgspec.structs.replace(made.survey, servers=servers)
