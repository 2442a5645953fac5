"""A member whose disk is new: what counts as new, what is undone of it, and since when it is a newcomer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.unit.facts_made import Made, disk_of, healthy, host, inventory
from tests.unit.test_runner import Noting, conductor, recorded
from tests.unit.test_start_again import Host as Stopped
from tests.unit.test_start_again import engine as engine_of
from zkprov.judge.new_disk import not_new, unread
from zkprov.judge.verdict import Purpose
from zkprov.model.facts import Outcome
from zkprov.model.problems import NotHealthy
from zkprov.plan.renewal import RenewalWish, plan_renew
from zkprov.plan.steps import Options, Plan, Refusal, StepKind
from zkprov.run.acts import confirm, remember_newcomer
from zkprov.run.engine import Engine
from zkprov.run.entries import marked
from zkprov.run.giving_up import given_up
from zkprov.run.undo import undo


def lost(made: Made, server_id: int = 2, **disk: Any) -> Made:
    """Down, with a disk that can be read; without `disk` there is nothing on it."""
    made = made.down(server_id, disk=True)
    if not disk:
        return made.having(server_id, disk=Outcome.ABSENT)
    return made.having(server_id, disk=disk_of(server_id, made.live, active=False, **disk))


def renewal(made: Made, release: str = "", **options: Any) -> Plan | Refusal:
    listed = inventory(9, zk2=host(2, release=release)) if release else inventory(9)
    wish = RenewalWish("4f1c", "zk2", Options(settle_s=0.0, **options), 0.0, "op@host", "0.1.0")
    return plan_renew(made.health(Purpose.CHANGE, excused=frozenset({2})), listed, wish)


def planned(made: Made | None = None) -> Plan:
    plan = renewal(made or lost(healthy(3).ledger((1, 2, 3))))
    assert isinstance(plan, Plan), plan
    return plan


@pytest.mark.parametrize(
    "disk, word",
    [
        ({"has_data": True}, "data lies there"),
        ({"has_data": False}, ""),
        ({"has_data": False, "initialize": True}, "initialize"),
        ({"has_data": False, "server_elsewhere": "a server runs on /other/zoo.cfg"}, "/other/zoo.cfg"),
        ({"has_data": False, "data_elsewhere": "dataDir is /other"}, "/other"),
    ],
)
def test_what_is_a_new_disk(disk: dict[str, Any], word: str) -> None:
    made = lost(healthy(3), **disk)
    server = made.live.get(2)
    assert server is not None
    why = not_new(made.picture.survey.by_name("zk2"), server)
    assert word in why and bool(why) is bool(word)
    assert isinstance(renewal(made), Refusal if word else Plan)


def test_somebody_else_s_files_are_no_new_disk() -> None:
    made = healthy(3)
    server = made.live.get(2)
    assert server is not None
    for other in (
        disk_of(3, made.live, has_data=False, active=False),
        disk_of(2, healthy(5).live.without(2), has_data=False),
    ):
        seen = made.down(2, disk=True).having(2, disk=msgspec.structs.replace(other, active=False))
        assert not_new(seen.picture.survey.by_name("zk2"), server)
    assert not_new(lost(made).picture.survey.by_name("zk2"), server) == ""


@pytest.mark.parametrize("outcome", [Outcome.DENIED, Outcome.NOT_ASKED, Outcome.TIMEOUT, Outcome.ANOTHERS])
def test_what_was_not_read_is_not_taken_for_new(outcome: Outcome) -> None:
    made = healthy(3).down(2).having(2, disk=outcome)
    assert unread(made.picture.survey.by_name("zk2"))
    server = made.live.get(2)
    assert server is not None and not_new(made.picture.survey.by_name("zk2"), server)
    refused = renewal(made)
    assert isinstance(refused, Refusal) and refused.exit_code == 4
    active = lost(healthy(3), has_data=False)
    seen = active.picture.survey.by_name("zk2")
    assert seen is not None and seen.disk.value is not None
    blind = msgspec.structs.replace(seen.disk.value, active=None)
    assert unread(active.having(2, disk=blind).picture.survey.by_name("zk2"))


def test_it_is_given_the_release_that_the_others_run() -> None:
    """One of another release could vote while it is empty, whatever zoo.cfg says."""
    made = lost(healthy(3).ledger((1, 2, 3)))
    refused = renewal(made, release="3.5.10")
    assert isinstance(refused, Refusal) and "would run 3.5.10" in refused.headline and refused.rule == "R8"
    assert isinstance(renewal(made, release="3.9.5"), Plan)


def test_its_time_does_not_run_while_it_is_down(tmp_path: Path) -> None:
    made = lost(healthy(3).ledger((1, 2, 3)), has_data=False, disk_id="")
    assert 2 not in recorded(made, tmp_path).entries
    # nor is one unknown to the ledger, as long as it does not serve
    assert 2 not in recorded(lost(healthy(3).ledger((1, 3)), has_data=False), tmp_path).entries
    assert 2 in recorded(healthy(3).ledger((1, 3)), tmp_path).entries


def test_an_empty_disk_is_not_marked_by_a_run_that_begins(tmp_path: Path) -> None:
    laid: list[str] = []

    def hosts(name: str) -> Any:
        return SimpleNamespace(mark_disk=lambda: laid.append(name) or "new")

    made = lost(healthy(3), has_data=False, disk_id="", data_marked=False)
    assert marked(conductor(made, tmp_path, host=hosts).world, made.picture) and laid == []
    made = lost(healthy(3), has_data=True, disk_id="", data_marked=False)
    assert marked(conductor(made, tmp_path, host=hosts).world, made.picture)[2] == "new" and laid == ["zk2"]


def test_what_is_recorded_of_it_stands() -> None:
    """The look was taken before its entry was written: nothing older is written over it."""
    made = healthy(3).ledger((1, 2, 3)).having(2, disk=disk_of(2, healthy(3).live, disk_id="disk-new"))
    made = made.ledger((1, 3), young={2: 1000.0})
    ledger = Noting()
    written: dict[int, Any] = {}
    ledger.members_are = written.update  # type: ignore[attr-defined]
    run: Any = SimpleNamespace(
        ledger=ledger,
        plan=SimpleNamespace(options=Options(season_s=60.0)),
        clock=SimpleNamespace(monotonic=lambda: 1.0),
        came={},
        world=SimpleNamespace(host=lambda _: SimpleNamespace(mark_disk=lambda: "disk-new")),
    )
    health = made.health(Purpose.CHANGE)
    new = remember_newcomer(run, health, made.live, 2, "zk2", anew=True)
    assert new == {2} and ledger.entries[2].disk == "disk-new" and not ledger.entries[2].seasoned
    later = made.live.at_version(made.live.version + 1)
    confirm(run, health, later, new)
    assert 2 not in written


class Laid(Stopped):
    """Laid by this run."""

    def __init__(self, *, active: bool, exists: bool = True, reached: bool = True) -> None:
        super().__init__(active=active, reached=reached)
        self.there = exists

    def exists(self) -> bool:
        return self.there

    def set_aside(self, label: str) -> str:
        self.done.append(f"set aside {label}")
        return label


def undone(seen: Made, laid: Laid) -> tuple[str | None, Any]:
    run = engine_of(laid, seen, planned())
    run.world.inventory_host = lambda _: host(2)
    return undo(run, run.plan.steps[-1]), run


def test_it_is_absent_again_when_it_fails() -> None:
    laid = Laid(active=True)
    said, _ = undone(healthy(3), laid)
    assert said == "2 is stopped again; what was laid is at set-aside-4f1c.u"
    assert laid.done == ["stop", "set aside set-aside-4f1c.u"]
    assert undone(healthy(3), Laid(active=False, exists=False))[0] == "nothing was laid"


def test_one_that_the_others_need_by_now_stays() -> None:
    laid = Laid(active=True)
    said, run = undone(healthy(3).down(3, disk=True), laid)
    assert said is None and laid.done == [] and "no quorum without it (R4)" in run.told[0]
    ended = given_up(run, run.plan.steps[-1], run.plan.base, None, ())
    assert ended.exit_code == 4 and "does not serve" in ended.stands
    assert ended.next[-1] == "zkprov replace-node 2 --same-host"
    laid.done.append("start")  # the glance sees it serving
    assert given_up(run, run.plan.steps[-1], run.plan.base, None, ()).exit_code == 0


def test_one_whose_host_cannot_be_asked_can_be_given_up() -> None:
    said, run = undone(healthy(3), Laid(active=False, reached=False))
    assert said is None and "no route to host" in run.told[0]

    def asked(_: str) -> Any:
        raise NotHealthy("no route to host")

    stuck: Any = SimpleNamespace(plan=planned(), world=SimpleNamespace(host=asked))
    assert Engine.unfence(stuck, given_up=True) == ("zk2",)
    with pytest.raises(NotHealthy):
        Engine.unfence(stuck)


def test_the_plan() -> None:
    plan = planned()
    assert [s.kind for s in plan.steps] == [StepKind.RETURN] and plan.final.same_list(plan.base)
    assert plan.excused(1) == {2} and plan.excused(2) == frozenset() and plan.hosts == ("zk2",)
    assert not plan.reconfigures and plan.unneeded == frozenset()
