"""Disks that heals have set aside: of which side they are when a later heal ends, and until when they are named."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from tests.unit.facts_made import inventory, outage
from tests.unit.test_healing import planned
from zkprov.model.inventory import Inventory
from zkprov.model.problems import NotHealthy, Unreached
from zkprov.model.split import Split
from zkprov.plan.steps import Plan, StepKind
from zkprov.run.disks_aside import (
    Aside,
    LostSide,
    joined,
    note_salvaged,
    nothing_to_heal,
    set_aside_by,
    still_lost,
    told_at_end,
)
from zkprov.run.events import Event
from zkprov.run.journal import Journal, State
from zkprov.run.result import Result
from zkprov.run.world import World


def a_heal(ident: str, made_at: float = 0.0) -> Plan:
    """Side A, 1 to 3, is kept, and 4 to 7 are fenced in this order: steps 2 to 5."""
    plan = planned(outage())
    assert isinstance(plan, Plan) and plan.split is not None
    split = msgspec.structs.replace(plan.split, label=f"heal-{ident}")
    assert [s.host for s in plan.steps if s.kind is StepKind.FENCE] == ["zk4", "zk5", "zk6", "zk7"]
    return msgspec.structs.replace(plan, id=ident, split=split, made_at=made_at)


def split(plan: Plan, **more: Any) -> Split:
    assert plan.split is not None
    return msgspec.structs.replace(plan.split, **more)


class There:
    """A world of hosts, and what lies on each: (host, folder). `silent`: those that cannot be asked."""

    def __init__(self, lies: set[tuple[str, str]], silent: frozenset[str] = frozenset(), count: int = 9) -> None:
        self.inventory: Inventory = inventory(count)
        self._lies, self._silent = lies, silent

    def host(self, name: str) -> Any:
        return SimpleNamespace(name=name, backup=lambda act, **given: self._told(name, act, given))

    def _told(self, name: str, act: str, given: Mapping[str, Any]) -> Any:
        if name in self._silent:
            raise Unreached("no answer", outcome="timeout", place=name)
        if act == "list":
            return []
        if (name, given["data"]) not in self._lies:
            raise NotHealthy("neither a snapshot nor a log", place=name)
        return [{"path": f"{given['data']}/version-2/log.1", "size": 1}]


def world(*lies: tuple[str, str], silent: frozenset[str] = frozenset(), count: int = 9) -> World:
    return cast("World", There(set(lies), silent, count))


def lying(ident: str, *ids: int) -> list[tuple[str, str]]:
    return [(f"zk{i}", f"/var/lib/zookeeper.heal-{ident}") for i in ids]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal(tmp_path / "journal.db")) as found:
        yield found


def ended(journal: Journal, plan: Plan, state: State, head: int, *, at: float) -> Plan:
    journal.begin(plan, "inventory.yml", "you@here", at)
    journal.advance(plan.id, head)
    journal.finish(plan.id, state, at + 1)
    return plan


def hosts(lost: tuple[LostSide, ...]) -> dict[str, list[str]]:
    return {one.name: [d.host for d in one.disks] for one in lost}


def test_what_a_heal_had_fenced_that_was_given_up(journal: Journal) -> None:
    ended(journal, a_heal("aaa"), State.ABORTED, 3, at=1)
    # 5 was in hand: as far as it lies there
    assert hosts(still_lost(world(*lying("aaa", 4)), journal)) == {"aaa-B": ["zk4"]}
    (both,) = still_lost(world(*lying("aaa", 4, 5, 6)), journal)
    assert [d.host for d in both.disks] == ["zk4", "zk5"] and both.left == {"zk6", "zk7"}
    assert both.salvage() == f"zkprov salvage {both.disks[0].data} {both.disks[1].data} -o dead-letters-aaa-B"
    assert "given up" in str(both.disks[0])
    # nothing is known of what cannot be asked
    assert hosts(still_lost(world(silent=frozenset({"zk4", "zk5"})), journal)) == {"aaa-B": ["zk4", "zk5"]}
    assert still_lost(world(), journal) == ()


def test_in_a_mount_point_and_not_written_down_any_more(journal: Journal) -> None:
    ended(journal, a_heal("aaa"), State.ABORTED, 2, at=1)
    ((one,),) = (x.disks for x in still_lost(world(("zk4", "/var/lib/zookeeper/zkprov-aside.heal-aaa")), journal))
    assert one.data == "/var/lib/zookeeper/zkprov-aside.heal-aaa" and not one.log


def test_a_host_that_is_in_the_inventory_no_more(journal: Journal) -> None:
    plan = ended(journal, a_heal("aaa"), State.ABORTED, 2, at=1)
    assert still_lost(world(count=3), journal) == ()
    act: dict[str, Any] = {"what": "x", "host": "zk4", "where": "/data.heal-aaa"}
    journal.record(Event("2026-11-24T22:00:00.000Z", plan.id, 2, "act", act))
    ((one,),) = (x.disks for x in still_lost(world(count=3), journal))
    assert one.source == "zk4:/data.heal-aaa"


def test_since_the_last_heal_that_came_to_its_end(journal: Journal) -> None:
    ended(journal, a_heal("aaa"), State.ABORTED, 3, at=1)
    ended(journal, a_heal("bbb"), State.DONE, 9, at=2)
    ended(journal, a_heal("ccc"), State.ABORTED, 1, at=3)
    everything = world(*(x for ident in ("aaa", "bbb", "ccc") for x in lying(ident, 4, 5, 6, 7)))
    assert still_lost(everything, journal) == (), "the one that was done has named them, and the last had fenced nobody"
    done = next(r.plan for r in journal.runs(states=[State.DONE]))
    assert hosts(still_lost(everything, journal, done)) == {"aaa-B": ["zk4", "zk5"]}, "seen from that one"


def test_what_is_salvaged_is_named_no_more(journal: Journal, tmp_path: Path) -> None:
    ended(journal, a_heal("aaa"), State.ABORTED, 3, at=1)
    here = world(*lying("aaa", 4, 5))
    note_salvaged(journal.path, [Path("/var/lib/zookeeper.heal-aaa")], tmp_path / "letters")
    assert still_lost(here, journal) == (), "of local disks the folder tells: in this inventory it is the same for all"
    note_salvaged(tmp_path / "none.db", [Path("x")], tmp_path / "letters")
    assert not (tmp_path / "none.db").exists()


def test_folders_of_this_machine_are_noted_in_full(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("data", "log"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    note_salvaged(journal.path, [Path("data:log"), Path("zk4:/d:/l")], Path("letters"))
    here = Aside("B", "zk4", f"{tmp_path}/data", f"{tmp_path}/log", True)
    there = Aside("B", "zk4", "/d", "/l", False)
    assert all(journal.kept("salvaged", d.source) for d in (here, there))


def test_of_one_side_in_one_command(journal: Journal) -> None:
    """A letter of 4 alone could not have been acknowledged by itself: on how many disks it is, is counted over all of its side."""
    first, second = a_heal("aaa"), a_heal("bbb")
    ended(journal, first, State.ABORTED, 2, at=1)
    before = still_lost(world(*lying("aaa", 4)), journal)
    rest = [x for x in split(second).lost[0].servers if x.host != "zk4"]
    now = split(
        second,
        sides=(split(second).kept, msgspec.structs.replace(split(second).lost[0], name="C", servers=tuple(rest))),
    )
    aside = [Aside("C", f"zk{i}", f"/new{i}", "", True, i) for i in (5, 6, 7)]
    assert hosts(joined(now, aside, before, str)) == {"C": ["zk5", "zk6", "zk7", "zk4"]}
    # nobody is left of it: a command of its own, and so where it is another history for sure
    gone = tuple(msgspec.structs.replace(b, left=frozenset()) for b in before)
    assert hosts(joined(now, aside, gone, str)) == {"C": ["zk5", "zk6", "zk7"], "aaa-B": ["zk4"]}
    other = tuple(msgspec.structs.replace(b, identity="/app@100000002/1") for b in before)
    known = split(second, sides=tuple(msgspec.structs.replace(s, identity="/app@100000002/2") for s in now.sides))
    assert hosts(joined(known, aside, other, str)) == {"C": ["zk5", "zk6", "zk7"], "aaa-B": ["zk4"]}
    # `salvage` takes no two disks of one server
    twice = [*aside, Aside("C", "zk4", "/new4", "", True, 4)]
    assert hosts(joined(now, twice, before, str)) == {"C": ["zk5", "zk6", "zk7", "zk4"], "aaa-B": ["zk4"]}


def test_two_that_were_given_up_and_the_copies_of_the_kept_side(journal: Journal) -> None:
    ended(journal, a_heal("aaa"), State.ABORTED, 2, at=1)
    second = ended(journal, a_heal("bbb"), State.ABORTED, 5, at=2)
    lost = still_lost(world(*lying("aaa", 4), *lying("bbb", 5, 6, 7)), journal)
    assert hosts(lost) == {"bbb-B": ["zk5", "zk6", "zk7", "zk4"]}
    kept = [Aside("A", f"zk{i}", f"/backup{i}", "", True, i) for i in (3, 4)]
    assert lost[0].salvage(kept).endswith("--kept-disk /backup3 -o dead-letters-bbb-B"), "4 is of the losing side"
    (run,) = (r for r in journal.runs() if r.id == second.id)
    assert [d.host for d in set_aside_by(run, world(*lying("bbb", 5)), journal)] == ["zk5"]
    nothing = nothing_to_heal("nothing to heal", world(*lying("aaa", 4), *lying("bbb", 5, 6, 7)), journal)
    assert nothing.exit_code == 0 and len(nothing.evidence) == 4 and nothing.next == (lost[0].salvage(),)
    assert nothing_to_heal("nothing to heal", world(), journal).next == ()


def test_a_journal_that_cannot_be_read_takes_nothing_from_what_was_done(journal: Journal) -> None:
    plan = ended(journal, a_heal("aaa"), State.ABORTED, 2, at=1)
    last = a_heal("bbb")
    done = Result(last.id, State.DONE, 0, "done")
    whole = told_at_end(last, done, world(*lying("aaa", 4)), journal)
    assert any(f"by heal {plan.id}, which was given up" in e for e in whole.evidence)
    journal._db.execute("UPDATE run SET plan='{' WHERE id='aaa'")
    told = told_at_end(last, done, world(*lying("aaa", 4)), journal)
    assert "is not known" in told.evidence[-1] and told.next and told.exit_code == 0
