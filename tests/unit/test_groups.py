"""Lists with groups: what a change of one server makes of them, which rules allow it, and what ZooKeeper is asked."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.unit.brute_force import List, is_quorum
from tests.unit.facts_made import ensemble, host, inventory, members
from zkprov.act import reconfig
from zkprov.judge.joiner import joins_too_early
from zkprov.judge.leaving import in_sync, removal_margin
from zkprov.judge.newcomers import newcomers_rule
from zkprov.judge.one_quorum import prove_step
from zkprov.judge.transfer import why_no_transfer
from zkprov.judge.verdict import Purpose
from zkprov.model.config import parse_members, print_members
from zkprov.model.members import Members, Seat
from zkprov.model.server import ClientAddress, Role, Server, ServerAddress
from zkprov.plan.seats import GROUP, WEIGHT, seat_for
from zkprov.plan.steps import Refusal


def server(server_id: int, role: Role = Role.PARTICIPANT) -> Server:
    return Server(server_id, (ServerAddress(f"10.0.0.{server_id}", 2888, 3888),), role, ClientAddress(2181))


def grouped(*groups: tuple[int, ...], weights: dict[int, int] | None = None, version: int = 0x100000000) -> Members:
    servers = tuple(server(i) for i in sorted(i for g in groups for i in g))
    return Members(servers, version, tuple(enumerate(groups, 1)), tuple(sorted((weights or {}).items())))


THREE_OF_TWO = grouped((1, 2), (3, 4), (5, 6))


def as_oracle(of: Members) -> List:
    return List(of.version, of.voters, tuple(ids for _, ids in of.groups), of.weights)


def may_fail(of: Members, up: set[int]) -> int:
    """By trying: how many of `up` may fail, whichever they are; −1 for no quorum now."""
    oracle, up = as_oracle(of), up & of.voters
    if not is_quorum(up, oracle):
        return -1
    gone = (n for n in range(len(up) + 1) if any(not is_quorum(up - set(c), oracle) for c in combinations(up, n)))
    return next(gone) - 1


@st.composite
def lists(draw: st.DrawFn) -> Members:
    """Two to seven voters in one to three groups, of weight 0 to 3; at least one group that counts."""
    of = draw(st.lists(st.integers(1, 3), min_size=2, max_size=7))
    named = {g: tuple(i for i, at in enumerate(of, 1) if at == g) for g in set(of)}
    weights = draw(st.dictionaries(st.sampled_from(range(1, len(of) + 1)), st.integers(0, 3)))
    made = Members(
        tuple(server(i) for i in range(1, len(of) + 1)), 5, tuple(sorted(named.items())), tuple(sorted(weights.items()))
    )
    assume(is_quorum(set(made.voters), as_oracle(made)))
    return made


class TestTheList:
    def test_a_voter_comes_into_a_group(self) -> None:
        assert THREE_OF_TWO.with_server(server(7), Seat(2)).lines[8:] == ("group.2=3:4:7", "group.3=5:6", "weight.7=1")

    def test_a_voter_makes_a_new_group(self) -> None:
        made = THREE_OF_TWO.with_server(server(7), Seat(9, 0))
        assert (made.groups[-1], made.seat(7)) == ((9, (7,)), Seat(9, 0))

    def test_an_observer_comes_without_weight(self) -> None:
        observer = server(7, Role.OBSERVER)
        assert THREE_OF_TWO.with_server(observer, Seat(2, 3)).seat(7) == Seat(2, 0)
        assert THREE_OF_TWO.with_server(observer).groups == THREE_OF_TWO.groups

    def test_who_gives_its_vote_up_keeps_its_group_and_counts_for_nothing(self) -> None:
        made = THREE_OF_TWO.with_server(server(2, Role.OBSERVER))
        assert made.seat(2) == Seat(1, 0)
        assert made.quorums.contains_quorum({1, 3, 4}) and not made.quorums.contains_quorum({1, 3, 5})
        assert made.with_server(server(2), Seat(1)).same_list(THREE_OF_TWO)

    def test_another_place_is_the_same_seat(self) -> None:
        heavy = grouped((1, 2), (3, 4), weights={2: 3})
        moved = Server(2, (ServerAddress("10.9.9.9", 2888, 3888),), client=ClientAddress(2181))
        assert heavy.with_server(moved).seat(2) == Seat(1, 3)

    def test_the_last_of_a_group_takes_it_along(self) -> None:
        made = grouped((1, 2), (3,), weights={3: 2}).without(3)
        assert (made.groups, made.weights) == (((1, (1, 2)),), ())

    @pytest.mark.parametrize("seat", [None, Seat(1)])
    def test_a_vote_needs_a_group_where_there_are_some(self, seat: Seat | None) -> None:
        live = members((1, 2, 3)) if seat else THREE_OF_TWO
        with pytest.raises(ValueError, match="groups"):
            live.with_server(server(7), seat)

    def test_an_observer_is_not_promoted_by_the_weight_that_it_has_not(self) -> None:
        with pytest.raises(ValueError, match="is in none"):
            THREE_OF_TWO.with_server(server(2, Role.OBSERVER)).with_server(server(2))

    @given(lists(), st.integers(1, 9), st.sampled_from([None, Seat(1), Seat(2, 0), Seat(4, 2)]), st.sampled_from(Role))
    def test_zookeeper_reads_what_we_make(self, live: Members, server_id: int, seat: Seat | None, role: Role) -> None:
        listed = live.get(server_id)
        assume(role is Role.OBSERVER or seat is not None or listed is not None)
        changed = live.with_server(server(server_id, role), seat)
        for made in (changed, live.without(server_id)):
            if made.voters:
                assert parse_members("\n".join(made.lines), "list", made.version).same_list(made)
                assert parse_members(print_members(made, True), "memory").same_config(made)
        # nothing else differs
        assert changed.without(server_id) == live.without(server_id)

    def test_it_is_described_with_its_weights(self) -> None:
        assert grouped((1, 2), (3,), weights={1: 3}).quorums.describe().endswith("groups {1*3,2}, {3}")
        assert grouped((1, 2), (3,)).seats == "group 1 {1,2}, group 2 {3}"
        assert members((1, 2, 3)).seats == ""


class TestTheRules:
    @given(lists(), st.sets(st.integers(1, 7)), st.integers(1, 4), st.integers(0, 3))
    def test_the_margin_of_a_joiner(self, live: Members, up: set[int], group: int, weight: int) -> None:
        """R4: without it those in sync are a quorum of the list with it; with it as many may fail as before, or one."""
        up &= live.voters
        after = live.with_server(server(9), Seat(group, weight))
        holds = is_quorum(up, as_oracle(after)) and may_fail(after, {*up, 9}) >= min(may_fail(live, up), 1)
        assert (joins_too_early(live, after, up, 9) == "") == (holds or len(live.voters) == 1)

    @given(lists(), st.sets(st.integers(1, 7)), st.integers(1, 7), st.booleans())
    def test_the_margin_of_a_leaver(self, live: Members, up: set[int], leaver: int, serves: bool) -> None:
        assume(leaver in live.voters and len(live.voters) > 1)
        up = (up & live.voters) | {leaver} if serves else (up & live.voters) - {leaver}
        after = live.without(leaver)
        now, then = may_fail(live, up), may_fail(after, up - {leaver})
        holds = then >= 0 and then >= (min(now, 1) if serves else now)
        assert (removal_margin(live, after, up, leaver, up=serves) is None) == holds

    @given(lists(), st.sets(st.integers(1, 7)))
    def test_newcomers_are_no_quorum(self, live: Members, young: set[int]) -> None:
        assert (newcomers_rule(live, young) is None) == (not is_quorum(young & live.voters, as_oracle(live)))

    def test_a_majority_would_have_allowed_it(self) -> None:
        five = grouped((1, 2, 3), (4,), (5,))
        assert removal_margin(five, five.without(5), {1, 2, 3, 4, 5}, 5, up=True) is not None
        plain = members((1, 2, 3, 4, 5))
        assert removal_margin(plain, plain.without(5), {1, 2, 3, 4, 5}, 5, up=True) is None

    @settings(max_examples=60)
    @given(lists(), st.integers(1, 4), st.integers(0, 3), st.booleans())
    def test_a_step_is_proved_where_no_two_quorums_can_miss_each_other(
        self, live: Members, group: int, weight: int, comes: bool
    ) -> None:
        """R1, one vote coming or going, any weight: by trying all ways to part the servers in two."""
        longer, joiner = live.with_server(server(9), Seat(group, weight)), server(9)
        made = ensemble(live if comes else longer, max(live.voters))
        before, after = (made.live, longer) if comes else (made.live, live.at_version(made.live.version))
        everyone, two = longer.voters, (as_oracle(before), as_oracle(after))
        parted = (set(c) for n in range(len(everyone) + 1) for c in combinations(everyone, n))
        apart = any(is_quorum(a, x) and is_quorum(set(everyone - a), y) for a in parted for x in two for y in two)
        proved = prove_step(made.picture, before, after, joiner)
        assert all(p.safe for _, p in proved) == (not apart)
        # of weight 1, or 0, it always is
        assert not apart or weight > 1

    def test_a_heavy_vote_is_not_proved(self) -> None:
        made = ensemble(grouped((1, 2, 3), (4, 5, 6), (7, 8, 9)), 6)
        joiner = server(10)
        proved = {
            w: {
                str(p.verdict)
                for _, p in prove_step(made.picture, made.live, made.live.with_server(joiner, Seat(1, w)), joiner)
            }
            for w in (0, 1, 5)
        }
        assert proved[0] == proved[1] == {"safe"} and "unsafe" in proved[5]

    @pytest.mark.parametrize(
        ("live", "leader", "why"),
        [
            (THREE_OF_TWO, 6, ""),
            (grouped((1,), (2,), (3,)), 3, ""),
            (grouped((1,), (2,)), 2, "too few voters"),
            # of one group, the heavy one: the others are no quorum of the list with it
            (grouped((1, 2, 3), weights={3: 3}), 3, "too few voters"),
        ],
    )
    def test_a_leader_hands_over_where_the_others_can_take_it_back(self, live: Members, leader: int, why: str) -> None:
        health = ensemble(live, leader).health(Purpose.CHANGE)
        said = why_no_transfer(health, leader, in_sync(health))
        assert said.startswith(why) and bool(said) == bool(why)


class Asked:
    """A client that takes down what it is asked; whether ZooKeeper takes it is tested on real servers."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def reconfig_async(self, *asked: Any) -> Any:
        self.asked.append(asked)
        return SimpleNamespace(ready=lambda: True, get=lambda block: None)


class TestWhatIsAsked:
    def test_a_joiner(self) -> None:
        client = Asked()
        reconfig.join(client, server(7), THREE_OF_TWO, seat=Seat(2))  # type: ignore[arg-type]
        want = "\n".join(THREE_OF_TWO.with_server(server(7), Seat(2)).lines)
        assert client.asked == [(None, None, want, 0x100000000)]

    def test_a_leaver(self) -> None:
        client = Asked()
        reconfig.leave(client, 3, THREE_OF_TWO)  # type: ignore[arg-type]
        ((_, _, text, version),) = client.asked
        assert version == 0x100000000
        assert parse_members(text, "asked", 0).same_servers(THREE_OF_TWO.without(3).at_version(0))

    def test_of_a_majority_one_alone(self) -> None:
        client = Asked()
        reconfig.leave(client, 3, members((1, 2, 3), version=9))  # type: ignore[arg-type]
        assert client.asked == [(None, "3", None, 9)]

    @pytest.mark.parametrize(
        "after",
        [
            THREE_OF_TWO.without(3).without(4),
            msgspec.structs.replace(THREE_OF_TWO.without(3), groups=((1, (1, 2, 4)), (3, (5, 6)))),
            msgspec.structs.replace(THREE_OF_TWO.without(3), weights=((1, 2),)),
            THREE_OF_TWO,
        ],
        ids=["two", "another's group", "another's weight", "nobody"],
    )
    def test_one_server_differs_and_no_other(self, after: Members) -> None:
        client = Asked()
        with pytest.raises(ValueError):
            reconfig.replace(client, before=THREE_OF_TWO, after=after, about=3)  # type: ignore[arg-type]
        assert client.asked == []


class TestTheSeat:
    @pytest.mark.parametrize(
        ("variables", "like", "seat"),
        [
            ({"quorum_group": 2}, None, Seat(2)),
            ({"quorum_group": 2, "quorum_weight": 0}, Seat(1, 3), Seat(2, 0)),
            ({}, Seat(1, 3), Seat(1, 3)),
            ({"quorum_weight": 1}, Seat(1, 3), Seat(1, 1)),
            ({"quorum_group": 8}, None, Seat(8)),
        ],
    )
    def test_by_the_inventory_else_as_the_other_had_it(
        self, variables: dict[str, int], like: Seat | None, seat: Seat
    ) -> None:
        assert seat_for(host(7, **variables), "zk7", THREE_OF_TWO, "zkprov", votes=True, like=like) == seat

    def test_of_an_observer(self) -> None:
        assert seat_for(host(7), "zk7", THREE_OF_TWO, "zkprov", votes=False) is None
        assert seat_for(host(7, quorum_group=2), "zk7", THREE_OF_TWO, "zkprov", votes=False) == Seat(2, 0)

    def test_nobody_says_it(self) -> None:
        said = seat_for(host(7), "zk7", THREE_OF_TWO, "zkprov add-node zk7", votes=True)
        assert isinstance(said, Refusal) and said.exit_code == 2
        assert "group 2 {3,4}" in said.evidence[0] and GROUP in said.next[0][1]

    @pytest.mark.parametrize("variables", [{"quorum_group": 1}, {"quorum_weight": 2}])
    def test_a_majority_has_none(self, variables: dict[str, int]) -> None:
        live = members((1, 2, 3))
        said = seat_for(host(7, **variables), "zk7", live, "zkprov add-node zk7", votes=True)
        assert isinstance(said, Refusal) and said.exit_code == 2 and WEIGHT in said.next[0][1]
        assert seat_for(host(7, **variables), "zk7", live, "zkprov", votes=False) is None
        assert seat_for(host(7, quorum_weight=1), "zk7", live, "zkprov", votes=True) is None

    def test_of_a_member_that_is_no_host(self) -> None:
        assert inventory(3).host("elsewhere") is None
        assert seat_for(None, "elsewhere", THREE_OF_TWO, "zkprov", votes=True, like=Seat(3)) == Seat(3)
