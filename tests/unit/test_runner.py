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

from tests.unit.facts_made import Made, disk_of, healthy, inventory, members
from tests.unit.plans_made import plan
from zkprov.model.facts import LedgerMember, Outcome
from zkprov.model.problems import BadInput, Busy, Stale
from zkprov.plan.steps import Options, StepKind
from zkprov.run.clock import SystemClock
from zkprov.run.entries import ensure_ledger
from zkprov.run.giving_up import given_up
from zkprov.run.journal import Journal, State
from zkprov.run.ledger import RunDocument
from zkprov.run.runner import Conductor
from zkprov.run.unchanged import same_place, same_sources


class Noting:
    def __init__(self) -> None:
        self.voting: frozenset[int] = frozenset()
        self.confirmed: frozenset[int] = frozenset()
        self.entries: dict[int, LedgerMember] = {}

    def ensure(
        self, live: Any, voting: frozenset[int], disks: Any, season_s: float, *, confirmed: frozenset[int]
    ) -> str:
        self.voting, self.confirmed = voting, confirmed
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
    ensure_ledger(conductor(made, folder).world, ledger, plan(), made.survey)
    return ledger  # type: ignore[no-any-return]


def test_the_first_entry_counts_those_as_seasoned_that_vote(tmp_path: Path) -> None:
    """One that is down, perhaps wiped, is a newcomer when it comes back."""
    assert recorded(healthy(3), tmp_path).voting == {1, 2, 3}
    assert recorded(healthy(5).down(2, disk=True), tmp_path).voting == {1, 3, 4, 5}


def test_confirmed_is_what_the_disks_show(tmp_path: Path) -> None:
    """A voter whose disk was not seen, or holds another list, may act under an older one than the others (R1)."""
    assert recorded(healthy(3), tmp_path).confirmed == {1, 2, 3}
    assert recorded(healthy(3).having(2, disk=Outcome.DENIED), tmp_path).confirmed == {1, 3}
    older = disk_of(2, members((1, 2, 3), version=5))
    assert recorded(healthy(3).having(2, disk=older), tmp_path).confirmed == {1, 3}
    # the same where one comes to be known later
    later = recorded(healthy(3).having(2, disk=older).ledger((1, 3), {}, ()), tmp_path)
    assert later.entries[2].confirmed == 0
    known = recorded(healthy(3).ledger((1, 3), {}, ()), tmp_path)
    assert known.entries[2].confirmed == healthy(3).live.version


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


def test_a_run_may_be_ended_under_another_inventory_as_long_as_the_joiner_is_where_it_was(tmp_path: Path) -> None:
    made = plan()
    standing = RunDocument(made.id, State.STOPPED, 2, 0, "you", made)
    here = msgspec.structs.replace(inventory().host("zk4") or pytest.fail("no zk4"), address="zk4")
    asked = conductor(healthy(3), tmp_path, inventory_host=lambda _: here)
    same_place(asked.world, standing)
    with pytest.raises(Stale) as refused:
        same_sources(asked.world, made, "or end the run: zkprov abort")
    assert refused.value.remedy.endswith("zkprov abort")
    here = msgspec.structs.replace(here, client_port=here.client_port + 1)
    with pytest.raises(Stale, match=r"zk4 is at .*, the plan has server\.4="):
        same_place(asked.world, standing)


@pytest.mark.parametrize("kind", [StepKind.SETTLE, StepKind.SEASON])
def test_a_wait_is_ended_wherever_its_server_is(kind: StepKind, tmp_path: Path) -> None:
    """A season is about a voter that stands, perhaps of an earlier plan, and names the host that comes next."""
    made = plan()
    wait = msgspec.structs.replace(made.steps[3], kind=kind, server=3)
    standing = RunDocument(
        made.id, State.STOPPED, 4, 0, "you", msgspec.structs.replace(made, steps=(*made.steps[:3], wait))
    )
    same_place(conductor(healthy(3), tmp_path).world, standing)


def test_a_host_that_another_run_has_is_given_back_by_commands_that_there_are(tmp_path: Path) -> None:
    held = SimpleNamespace(fenced_by=lambda: "abc", fence_file="/var/lib/zkprov/zk4/run")
    with pytest.raises(Busy, match="run abc has this host") as busy:
        conductor(healthy(3), tmp_path, host=lambda _: held).free(plan(), "zk4")
    assert "zkprov resume, or zkprov abort;" in busy.value.remedy
    assert "rm /var/lib/zkprov/zk4/run, on zk4" in busy.value.remedy


def test_a_fence_that_is_left_is_named_with_its_file() -> None:
    run: Any = SimpleNamespace(
        plan=plan(), world=SimpleNamespace(host=lambda name: SimpleNamespace(fence_file=f"/var/lib/zkprov/{name}/run"))
    )
    ended = given_up(run, run.plan.steps[0], run.plan.base, "nothing was begun", ("zk4",))
    assert "zk4 could not be asked" in ended.stands and "rm /var/lib/zkprov/zk4/run there" in ended.stands
