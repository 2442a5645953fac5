"""Whether servers may be stopped or removed: each rule in a case in which it says no, and the count against one that is made by hand."""

from __future__ import annotations

from itertools import combinations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.facts_made import ZXID, Made, disk_of, ensemble, healthy, members, outage, serving
from zkprov.judge.leaving import Leave, Leaver, in_order, ok_to_remove, ok_to_stop
from zkprov.report.leaving import leave_document, leave_lines


def stop(made: Made, *ids: int) -> Leave:
    return ok_to_stop(made.health(), [f"zk{i}" for i in ids])


def remove(made: Made, *ids: int) -> Leave:
    return ok_to_remove(made.health(), [f"zk{i}" for i in ids])


def why(found: Leave) -> str:
    return "; ".join(f"{r} [{'; '.join(r.evidence)}]" for r in found.reasons)


class TestStop:
    @given(st.data())
    def test_as_counted_by_hand(self, data: st.DataObject) -> None:
        """More than half of the voters must be up and stay; observers count for nothing."""
        voters = list(range(1, data.draw(st.integers(1, 7)) + 1))
        observers = list(range(11, 11 + data.draw(st.integers(0, 2))))
        down = data.draw(st.sets(st.sampled_from(voters), max_size=(len(voters) - 1) // 2))
        leader = max(set(voters) - down)
        leaving = data.draw(st.lists(st.sampled_from([*voters, *observers]), unique=True))
        found = stop(ensemble(members(voters, observers), leader).down(*down), *leaving)
        staying = set(voters) - down - set(leaving)
        assert found.ok is (2 * len(staying) > len(voters)), why(found)
        assert set(found.staying) == staying
        assert found.spare_after == (max(-1, len(staying) - len(voters) // 2 - 1) if found.ok else -1)

    @pytest.mark.parametrize("gone", [set(c) for n in range(5) for c in combinations((1, 2, 3, 4, 5, 6), n)], ids=str)
    def test_in_groups_more_than_half_of_the_groups_must_stay(self, gone: set[int]) -> None:
        groups = {1: {1, 2, 3}, 2: {4, 5, 6}, 3: {7, 8, 9}}
        live = members(range(1, 10))
        live = msgspec.structs.replace(
            live,
            groups=tuple((g, frozenset(m)) for g, m in groups.items()),
            weights=tuple((i, 1) for i in range(1, 10)),
        )
        won = sum(len(m - gone) >= 2 for m in groups.values())
        assert stop(ensemble(live, 9), *gone).ok is (won >= 2)

    def test_what_it_says_of_each(self) -> None:
        made = healthy(5, observers=(6,)).down(2).spare("zk9")
        found = ok_to_stop(made.health(), ["zk2", "zk5", "zk6", "zk9"])
        assert found.leavers == (
            Leaver("zk2", 2, "voter", up=False), Leaver("zk5", 5, "leader", up=True),
            Leaver("zk6", 6, "observer", up=True), Leaver("zk9", None, "no member", up=False),
        )  # fmt: skip
        assert found.ok and found.staying == (1, 3, 4) and (found.spare_before, found.spare_after) == (1, 0)
        assert "zk5 leads: the others elect" in found.notes[0] and "none more may fail then" in found.notes
        assert any("zk2 is down already" in n for n in found.notes) and any(
            "zk9 is in no list" in n for n in found.notes
        )

    def test_one_that_is_behind_does_not_count(self) -> None:
        found = stop(healthy(3).reading(1, zxid=ZXID - 5000), 2)
        assert "R4" in why(found) and "in sync and left {3}" in why(found)
        assert stop(healthy(3).reading(1, zxid=ZXID - 5000), 1).ok

    @pytest.mark.parametrize("where", ["next", "acting"])
    def test_a_newer_list_that_is_about_to_be_taken_counts_too(self, where: str) -> None:
        """Of {1,2,3} two would do; of {1,2,3,4,5}, which 1 is about to take, they would not."""
        made, new = healthy(3), members(range(1, 6), version=0x800000001)
        disk = disk_of(1, made.live, new) if where == "next" else disk_of(1, new)
        found = stop(made.having(1, disk=disk), 2)
        assert not found.ok and found.reasons[-1].rule == "R4" and "800000001" in why(found)
        assert "in sync and left {1,3}" in why(found)

    @pytest.mark.parametrize(
        ("made", "rule", "words"),
        [
            (outage(), "R1", "unsafe as it is"),
            (healthy(3).down(2).looking(1, 3), "R8", "one leader is not told"),
            (healthy(3).telling().down(1, 2, 3), "R8", "no list of members could be read"),
        ],
        ids=["two leaders", "no leader", "nobody answers"],
    )
    def test_where_nothing_may_be_stopped(self, made: Made, rule: str, words: str) -> None:
        found = stop(made, 1)
        assert found.reasons[0].rule == rule and words in found.reasons[0].what

    def test_a_member_that_nobody_could_ask(self) -> None:
        made = healthy(3).without(2)
        assert ok_to_stop(made.health(), ["2"]).leavers == (Leaver("2", 2, "voter", up=False),)
        assert not ok_to_stop(made.health(), ["zk1"]).ok


class TestRemove:
    def test_as_many_may_fail_as_before_or_one(self) -> None:
        assert remove(healthy(5), 1).ok and remove(healthy(5), 1, 2).ok
        found = remove(healthy(3), 3)
        assert found.reasons[0].rule == "R4" and "may fail before: 1, after: 0" in why(found)
        assert "without 3 too few may fail (R4)" in why(remove(healthy(5), 1, 2, 3))
        assert remove(ensemble(members((1, 2)), 2), 1).ok, "of two none may fail either"

    def test_of_a_dead_voter_it_must_only_not_get_worse(self) -> None:
        assert remove(healthy(3).down(1, disk=True), 1).ok
        assert remove(healthy(3).down(1, disk=True), 1).notes == (
            "zk1 is down: its disk can vote until somebody shows it retired or wiped",
        )
        found = remove(healthy(3).down(1, disk=True), 2)
        assert found.reasons[0].rule == "R4" and "in sync {3}" in why(found)

    def test_newcomers_are_no_quorum_of_what_stays(self) -> None:
        made = healthy(5).ledger((1, 2, 3), young={4: 10.0, 5: 10.0})
        assert made.health().newcomers and remove(made, 4).ok
        found = remove(made, 1, 2)
        assert "R2" in why(found) and "{4,5} would be a quorum" in why(found)

    def test_the_last_voter_stays(self) -> None:
        assert "1 is the last voter (R4)" in why(remove(ensemble(members((1,)), 1), 1))

    def test_observers_go_first_and_the_leader_last(self) -> None:
        made = healthy(5, observers=(6, 7)).down(2, disk=True)
        asked = ok_to_remove(made.health(), ["zk5", "zk1", "zk7", "zk2"]).leavers
        assert [x.id for x in in_order(asked)] == [7, 2, 1, 5]
        assert ok_to_remove(made.health(), ["zk7"]).ok

    def test_a_static_ensemble_is_not_shortened_as_it_is(self) -> None:
        found = remove(ensemble(members((1, 2, 3, 4, 5), version=0), 5), 1)
        assert "R12" in {r.rule for r in found.reasons}

    def test_one_quorum_is_proved_for_each_removal(self) -> None:
        """6 is stopped, and by its list it and a 7 that nobody has seen could elect: unknown is no yes. Stopping is another matter."""
        older = members((1, 6, 7), version=0x600000001)
        made = healthy(5).also(serving(6, older, 6, known_as=("inventory",))).down(6, disk=True)
        found = remove(made, 3)
        assert [r.rule for r in found.reasons] == ["R1"] and "7" in why(found) and "unknown" in why(found)
        assert stop(made, 3).ok

    def test_danger_before_all(self) -> None:
        assert remove(outage(), 1).reasons[0].rule == "R1"


def test_said_to_people_and_programs() -> None:
    found = stop(healthy(3), 1, 2)
    lines = leave_lines("kafka-zk", "stop", found)
    assert lines == [
        "kafka-zk  NOT OK to stop zk1, zk2: the live list would have no quorum (R4)",
        "  {1,2,3} (700000012): in sync and left {3}; a quorum of {1,2,3} is 2",
        "  nobody could be elected",
        "next  zkprov status: shows every server",
    ]
    assert leave_lines("kafka-zk", "stop", stop(healthy(3), 1)) == [
        "kafka-zk  OK to stop zk1: {2,3} stay in sync, of the list {1,2,3}; 0 more may fail",
        "note  none more may fail then",
    ]
    document = leave_document("kafka-zk", "stop", found)
    assert not document.ok and document.reasons[0].rule == "R4" and document.staying == [3]
