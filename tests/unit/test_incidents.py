"""Incidents: never of an ensemble that is merely weak or in an election, each in the page, and what only a watch can see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.facts_made import ZXID, Made, ensemble, healthy, members, outage, woken
from zkprov.judge import stuck
from zkprov.judge.health import Condition
from zkprov.judge.incidents import Shape
from zkprov.judge.verdict import Purpose, Verdict
from zkprov.model.facts import History, Identity, Outcome, Survey
from zkprov.model.server import HostPort
from zkprov.run import watch
from zkprov.run.watch import Watcher
from zkprov.run.world import World

PAGE = (Path(__file__).parents[2] / "docs/watching.md").read_text()


def with_history(made: Made, server_id: int, **given: Any) -> Made:
    disk = next(s for s in made.servers if s.name == f"zk{server_id}").disk.value
    assert disk is not None
    return made.having(server_id, disk=msgspec.structs.replace(disk, history=History(**given)))


@given(st.data())
def test_weak_servers_and_elections_are_none(data: st.DataObject) -> None:
    """Down, silent, looking, behind; with what disks have after elections that led to the leader of now, or to one of an older epoch."""
    count = data.draw(st.integers(3, 7))
    made = healthy(count)
    others = list(range(1, count))
    for server_id in data.draw(st.lists(st.sampled_from(others), unique=True)):
        match data.draw(st.sampled_from(["down", "disk", "paused", "looking", "behind", "history"])):
            case "down":
                made = made.down(server_id)
            case "disk":
                made = made.down(server_id, disk=True)
            case "paused":
                made = made.paused(server_id)
            case "looking":
                made = made.looking(server_id)
            case "behind":
                made = made.reading(server_id, zxid=ZXID - data.draw(st.integers(0, 900)))
            case _:
                epoch = data.draw(st.integers(1, 7))
                made = with_history(
                    made.down(server_id, disk=True) if data.draw(st.booleans()) else made,
                    server_id,
                    accepted=epoch,
                    current=epoch,
                    snapshots=(0, data.draw(st.integers(0, ZXID))),
                    logs=(1, data.draw(st.integers(1, ZXID))),
                    last=data.draw(st.one_of(st.none(), st.integers(1, ZXID))),
                )
    health = made.health(earlier=data.draw(st.sampled_from([None, made.survey])))
    assert health.incidents == () and health.condition is not Condition.UNSAFE


@pytest.mark.parametrize("doubted", [0.0, 1.2, 11.9])
def test_a_deposed_leader_is_waited_for(doubted: float) -> None:
    health = woken().health(doubted_s=doubted)
    assert health.incidents == () and f"for {doubted:.1f} s, limit 12 s" in health.headline


def test_each_is_in_the_page() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", PAGE.partition("## The incidents")[2].partition("\n## ")[0], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([\w-]+)`", row)} == {str(shape) for shape in Shape}


def test_a_run_goes_on_over_none() -> None:
    gate = outage().health(Purpose.CHANGE).gate("no incident")
    assert (gate.verdict, gate.unsafe, gate.stops) == (Verdict.FAIL, True, True)
    loop = with_history(healthy(3).looking(1), 1, accepted=9)
    assert loop.health(Purpose.CHANGE).gate("no incident").verdict is Verdict.UNKNOWN
    assert loop.health(Purpose.CHANGE, earlier=loop.survey).gate("no incident").verdict is Verdict.FAIL
    assert healthy(3).health(Purpose.CHANGE).gate("no incident").verdict is Verdict.PASS


def test_an_election_between_the_leaders_answer_and_the_disk_is_none() -> None:
    """At the next look the leader is of the epoch that was accepted."""
    before = with_history(healthy(3).looking(1), 1, accepted=8, current=7)
    assert before.health().suspected and before.health().incidents == ()
    after = 0x800000000
    now = with_history(healthy(3).looking(1), 1, accepted=8, current=7)
    for i in (2, 3):
        now = now.reading(i, zxid=after)
    assert now.health(earlier=before.survey).incidents == ()


class FakeWorld:
    """Shows one survey after the other; the last for ever."""

    def __init__(self, *made: Made, opens: bool | None = True) -> None:
        self._surveys = [m.survey for m in made]
        self.opens, self.asked = opens, 0

    def survey(self, **_: object) -> Survey:
        return self._surveys.pop(0) if len(self._surveys) > 1 else self._surveys[0]

    def opens_session(self, _: HostPort) -> bool | None:
        self.asked += 1
        return self.opens

    def close(self) -> None:
        pass


def watcher(world: FakeWorld) -> Watcher:
    return Watcher(cast(World, world))


class TestAWatch:
    def test_sees_a_history_that_began_anew(self) -> None:
        look = watcher(FakeWorld(healthy(3), ensemble(members((1, 2, 3)), 3, zxid=0x100000009)))
        assert look.once().incidents == ()
        (incident,) = look.once().incidents
        assert incident.shape is Shape.WIPED and "this watch saw the ensemble at 0x7000004a1" in str(incident.evidence)

    def test_sees_a_znode_that_nobody_deletes_made_anew(self) -> None:
        other = Identity("/zkprov/ensemble", 0x700000300, 1_790_000_000_000)
        look = watcher(FakeWorld(healthy(3), ensemble(members((1, 2, 3)), 3, identity=other)))
        look.once()
        assert [i.shape for i in look.once().incidents] == [Shape.WIPED]

    def test_a_ledger_that_was_taken_away_is_none(self) -> None:
        bare = ensemble(members((1, 2, 3)), 3, identity=Outcome.ABSENT)
        look = watcher(FakeWorld(healthy(3), bare))
        look.once()
        assert look.once().incidents == ()

    def test_what_was_seen_in_doubt_is_not_gone_by(self) -> None:
        look = watcher(FakeWorld(outage(), ensemble(members((1, 2, 3)), 3, zxid=0x100000002)))
        look.once()
        assert look.once().incidents == ()

    def test_asks_a_leader_that_writes_nothing_for_a_session(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watch, "STILL_S", 0.0)
        world = FakeWorld(healthy(3), opens=False)
        look = watcher(world)
        assert look.once().incidents == () and world.asked == 0, "nothing to compare with yet"
        monkeypatch.setattr(stuck, "SHUT_S", 60.0)
        assert look.once().incidents == (), "a machine under load is slow as well"
        monkeypatch.setattr(stuck, "SHUT_S", 0.0)
        (incident,) = look.once().incidents
        assert world.asked == 2 and incident.shape is Shape.CANNOT_COMMIT
        world.opens = True
        assert look.once().incidents == ()
        world.opens = None
        assert look.once().incidents == (), "what went wrong otherwise proves nothing"

    def test_asks_none_that_writes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = FakeWorld(*(healthy(3).reading(3, zxid=ZXID + n) for n in range(5)), opens=False)
        look = watcher(world)
        for _ in range(5):
            assert look.once().incidents == ()
        assert world.asked == 0

    def test_looks_again_at_what_is_suspected(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watch, "AGAIN_S", 0.0)
        loop = with_history(healthy(3).looking(1), 1, accepted=9)
        assert [i.shape for i in watcher(FakeWorld(loop)).settled().incidents] == [Shape.EPOCH_LOOP]
        assert watcher(FakeWorld(loop, healthy(3))).settled().condition is Condition.SAFE
