"""R2: who is a newcomer, by the ledger, the ensemble's clock and the mark on the disk; and the rule for one list."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.facts_made import NOW_MS, OTHERS, Made, disk_of, ensemble, healthy, members, server
from zkprov.judge.newcomers import (
    SEASON_S,
    another_disk,
    ledger_of,
    ledger_told,
    newcomers,
    newcomers_in,
    newcomers_rule,
)
from zkprov.judge.verdict import Purpose
from zkprov.model.facts import Ledger, LedgerMember, Outcome
from zkprov.model.members import Members
from zkprov.model.server import HostPort


def ids(made: Made, season_s: float | None = None) -> list[int]:
    return [n.id for n in newcomers_in(made.picture, season_s)]


def test_what_is_not_in_the_ledger_takes_a_quorum_to_tell() -> None:
    """A survey in which no session was answered says nothing of who is retired (R9)."""
    made = healthy(3)
    assert ledger_told(made.picture), "none of them has a ledger"
    made = made.ledger(seasoned=(1, 2, 3))
    assert ledger_told(made.picture)
    one_silent = made.having(1, ledger=Outcome.TIMEOUT)
    assert ledger_told(one_silent.picture)
    assert not ledger_told(one_silent.having(3, ledger=Outcome.REFUSED).picture)


class TestWho:
    def test_nobody_when_first_met(self) -> None:
        assert ids(healthy(3)) == []

    def test_by_age(self) -> None:
        made = healthy(5).ledger((1, 2, 3), young={4: 899.0, 5: 900.0})
        assert ids(made) == [4]
        (four,) = newcomers_in(made.picture)
        assert (four.age_s, four.left_s) == (899.0, 1.0)

    def test_one_that_the_ledger_does_not_know(self) -> None:
        (four,) = newcomers_in(healthy(4).ledger((1, 2, 3)).picture)
        assert (four.id, four.age_s, four.left_s) == (4, 0.0, SEASON_S)

    def test_observers_are_none(self) -> None:
        assert ids(healthy(3, observers=(4,)).ledger((1, 2, 3))) == []

    @pytest.mark.parametrize("disk_id", ["another", ""])
    def test_a_wiped_disk(self, disk_id: str) -> None:
        """A wipe takes the mark away as well."""
        made = healthy(3).ledger((1, 2, 3))
        assert ids(made.having(2, disk=disk_of(2, made.live, disk_id=disk_id))) == [2]

    def test_a_disk_that_was_not_read(self) -> None:
        assert ids(healthy(3).ledger((1, 2, 3)).having(2, disk=Outcome.NOT_ASKED)) == []
        assert not another_disk(LedgerMember(0, ""), "disk-2")  # it had no mark when it was met

    def test_a_restart_changes_nothing(self) -> None:
        made = healthy(3).ledger((1, 2, 3))
        assert ids(made.down(2, disk=True)) == ids(made.reading(2, zxid=0x800000000)) == []

    def test_another_season(self) -> None:
        made = healthy(4).ledger((1, 2, 3), young={4: 130.0})
        assert ids(made, 120.0) == []
        assert ids(made, 3600.0) == [4]
        entry = LedgerMember(NOW_MS - 5000, "disk-4", 1, season_s=3.0)
        quick = Ledger(
            "6f1d", {i: LedgerMember(1, f"disk-{i}", 1, True) for i in (1, 2, 3)} | {4: entry}, now_ms=NOW_MS
        )
        assert newcomers(members((1, 2, 3, 4)), quick) == ()

    def test_the_default_cuts_nothing_short(self) -> None:
        """4 was added with a season of an hour; a run that says nothing of it waits for that, one with a reason need not."""
        entry = LedgerMember(NOW_MS - 1_000_000, "disk-4", 1, season_s=3600.0)
        long = Ledger("6f1d", {i: LedgerMember(1, f"disk-{i}", 1, True) for i in (1, 2, 3)} | {4: entry}, now_ms=NOW_MS)
        assert [n.id for n in newcomers(members((1, 2, 3, 4)), long, SEASON_S)] == [4]
        assert newcomers(members((1, 2, 3, 4)), long, 120.0) == ()

    def test_a_clock_that_went_back(self) -> None:
        """Its entry is of the future: it is as young as can be, not as old."""
        (four,) = newcomers_in(healthy(4).ledger((1, 2, 3), young={4: -500.0}).picture)
        assert four.age_s == 0.0

    def test_to_change_goes_by_the_ensembles_clock(self) -> None:
        made = healthy(4).ledger((1, 2, 3), young={4: 100.0})
        ahead = msgspec.structs.replace(made, began=made.began + 10_000)
        assert [n.id for n in ahead.health(Purpose.CHANGE).newcomers] == [4]
        assert [n.id for n in ahead.health(Purpose.LOOK).newcomers] == []


class TestLedger:
    def test_the_latest_of_the_members(self) -> None:
        made = healthy(3).ledger((1, 2, 3))
        later = Ledger("6f1d", {}, now_ms=NOW_MS + 1)
        assert ledger_of(made.having(2, ledger=later).survey) == later

    def test_never_a_strangers(self) -> None:
        """A stranger's ledger, of a later clock, says that all are seasoned: our voters are not."""
        made = healthy(3).ledger((1,), young={2: 1.0, 3: 1.0})
        foreign = Members.of(*(server(i, host=f"10.7.0.{i}") for i in (1, 2, 3)), version=0x100000000)
        other = ensemble(foreign, 3, identity=OTHERS).ledger((1, 2, 3), now_ms=NOW_MS + 10**6)
        moved = tuple(
            msgspec.structs.replace(s, name=f"old{i}", client=HostPort(f"10.7.0.{i}", 2181))
            for i, s in enumerate(other.servers, 1)
        )
        assert ids(made.also(*moved)) == [2, 3]


@given(st.sets(st.integers(1, 9), min_size=1), st.sets(st.integers(1, 9)))
def test_the_rule_for_one_list(voters: set[int], young: set[int]) -> None:
    violated = newcomers_rule(members(voters), young)
    assert (violated is not None) == (len(voters & young) > len(voters) / 2)
    if violated:
        assert violated.unseasoned == voters & young
        assert "would be a quorum of" in str(violated)
