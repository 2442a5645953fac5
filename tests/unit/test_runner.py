"""What a run records of newcomers when it begins, and which plans it takes.

The ledger here only notes what is asked of it: which moment a survey falls into cannot be chosen with real servers.
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.unit.facts_made import Made, healthy, inventory
from tests.unit.plans_made import plan
from zkprov.model.facts import LedgerMember
from zkprov.model.problems import BadInput
from zkprov.plan.steps import Options
from zkprov.run.clock import SystemClock
from zkprov.run.journal import Journal
from zkprov.run.runner import Conductor


class Noting:
    def __init__(self) -> None:
        self.voting: frozenset[int] = frozenset()
        self.entries: dict[int, LedgerMember] = {}

    def ensure(self, live: Any, voting: frozenset[int], disks: Any, season_s: float) -> str:
        self.voting = voting
        return "6f1d"

    def now_ms(self) -> int:
        return 0

    def member_is(self, server_id: int, member: LedgerMember) -> None:
        self.entries[server_id] = member

    member_came = member_is


def conductor(made: Made, folder: Path, **more: Any) -> Conductor:
    world: Any = SimpleNamespace(
        inventory=inventory(), last=made.survey, survey=lambda: made.survey, templates_digest=lambda: "", **more
    )
    journal = Journal(folder / "journal.db")
    return Conductor(world, journal, who="you", clock=SystemClock(), stop=threading.Event(), readers=[])


def recorded(made: Made, folder: Path) -> Noting:
    ledger: Any = Noting()
    conductor(made, folder)._ensure_ledger(ledger, plan(), made.survey)
    return ledger  # type: ignore[no-any-return]


def test_the_first_entry_counts_those_as_seasoned_that_vote(tmp_path: Path) -> None:
    """One that is down, perhaps wiped, is a newcomer when it comes back."""
    assert recorded(healthy(3), tmp_path).voting == {1, 2, 3}
    assert recorded(healthy(5).down(2, disk=True), tmp_path).voting == {1, 3, 4, 5}


def test_nobody_is_seasoned_for_good_by_being_down(tmp_path: Path) -> None:
    made = healthy(5).ledger((1, 2, 3), young={4: 1000.0, 5: 1000.0})
    assert {i: e.seasoned for i, e in recorded(made, tmp_path).entries.items()} == {4: True, 5: True}
    assert {i: e.seasoned for i, e in recorded(made.down(4, disk=True), tmp_path).entries.items()} == {5: True}


@pytest.mark.parametrize(
    "options", [Options(season_s=0.0, reason="quick"), Options(season_s=60.0), Options(overrides={"R1": "so"})]
)
def test_what_a_plan_may_ask_for_is_checked_when_it_is_applied(options: Options, tmp_path: Path) -> None:
    made = msgspec.structs.replace(plan(options=options), inventory_digest="digest")
    with pytest.raises(BadInput, match=r"--season|--override"):
        conductor(healthy(3), tmp_path).apply(made)
