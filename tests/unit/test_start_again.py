"""What the undoing of a restart does to a server that does not serve: nothing that could make it worse.

Hosts that cannot be reached, and a server that votes where zkprov cannot see it, cannot be caused on this machine: they are handed in.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.unit.facts_made import Made, disk_of, healthy, inventory
from zkprov.judge.verdict import Purpose
from zkprov.model.problems import Interrupted, NotHealthy
from zkprov.plan.rolling import RestartWish, plan_restart
from zkprov.plan.steps import Options, Plan
from zkprov.run.undo import undo

RUN = "4f1c"


class Host:
    """What is done to it is in `done`."""

    def __init__(self, *, active: bool, laid: bool = True, reached: bool = True) -> None:
        self.active, self.laid, self.reached, self.done = active, laid, reached, list[str]()

    def fenced_by(self) -> str:
        if not self.reached:
            raise NotHealthy("no route to host")
        return RUN

    def fence(self, run: str, attempt: int) -> bool:
        return True

    def has_former(self, run: str) -> bool:
        return self.laid

    def is_active(self) -> bool:
        return self.active

    def stop(self, timeout_s: float) -> None:
        self.done.append("stop")
        self.active = False

    def put_back(self, run: str, attempt: int) -> bool:
        self.done.append("put back")
        return True

    def drop_former(self, run: str, attempt: int) -> None:
        self.done.append("drop")

    def start(self) -> None:
        self.done.append("start")
        self.active = True


def planned(**options: Any) -> Plan:
    wish = RestartWish(
        RUN, ("zk1",), {"zk1": ("zoo.cfg",)}, "", Options(settle_s=0.0, **options), 0.0, "op@host", "0.1.0"
    )
    made = plan_restart(healthy(3).health(Purpose.CHANGE), inventory(), wish)
    assert isinstance(made, Plan)
    return made


def engine(host: Host, seen: Made, plan: Plan) -> Any:
    """`seen`: what every look sees; once the server is started it serves."""
    told: list[str] = []

    def survey(names: Any = None, **_: Any) -> Any:
        return seen.health().picture.survey

    def pause(_: float) -> None:
        raise Interrupted("enough")

    live = seen.live
    return SimpleNamespace(
        plan=plan,
        attempt=0,
        told=told,
        events=SimpleNamespace(emit=lambda kind, **said: told.append(said["what"])),
        world=SimpleNamespace(
            host=lambda _: host, survey=survey, glance=lambda _: SimpleNamespace(serving="start" in host.done)
        ),
        clock=SimpleNamespace(monotonic=lambda: 0.0),
        gates=SimpleNamespace(pause=pause),
        fence=lambda _: None,
        ledger=SimpleNamespace(live=lambda: live),
    )


def down(seen: Made) -> Made:
    return seen.down(1, disk=True)


def test_one_that_ended_by_itself_gets_its_former_files() -> None:
    host = Host(active=False)
    run = engine(host, down(healthy(3)), planned())
    assert undo(run, run.plan.steps[0]) == "1 has its former files and serves again"
    assert host.done == ["stop", "put back", "start"]


def test_one_that_may_vote_is_not_stopped_where_the_others_need_it() -> None:
    """It runs with the new files, and zkprov sees nothing of it; 3 is dead. It may be what the quorum rests on (R4)."""
    host = Host(active=True)
    run = engine(host, down(healthy(3)).down(3), planned())
    assert undo(run, run.plan.steps[0]) is None
    assert host.done == [] and "no quorum without it (R4)" in run.told[0]
    forced = engine(host, down(healthy(3)).down(3), planned(overrides={"R4": "x"}, reason="x"))
    assert undo(forced, forced.plan.steps[0]) == "1 has its former files and serves again"


@pytest.mark.parametrize("wrong", ["its data is gone", "myid", "not read"])
def test_none_is_started_on_another_disk(wrong: str) -> None:
    seen = down(healthy(3))
    disk = disk_of(1, seen.live)
    changed = {"its data is gone": msgspec.structs.replace(disk, has_data=False), "myid": disk_of(9, seen.live)}
    seen = seen.down(1) if wrong == "not read" else seen.having(1, disk=changed[wrong])
    host = Host(active=False)
    run = engine(host, seen, planned())
    assert undo(run, run.plan.steps[0]) is None
    assert host.done == ["stop", "put back"] and wrong in run.told[-1] and "R5" in run.told[-1]


def test_one_that_cannot_be_reached_is_left_as_it_is() -> None:
    host = Host(active=False, reached=False)
    run = engine(host, down(healthy(3)), planned())
    assert undo(run, run.plan.steps[0], asked=True) is None
    assert host.done == [] and "no route to host" in run.told[0]


@pytest.mark.parametrize("asked", [False, True])
def test_new_files_that_are_in_force_are_not_called_undone(asked: bool) -> None:
    host = Host(active=True)
    run = engine(host, healthy(3), planned())
    assert undo(run, run.plan.steps[0], asked=asked) is None
    # given up by a person, they are what stands from now on
    assert host.done == (["drop"] if asked else [])


def test_one_that_serves_as_it_did_is_as_it_was() -> None:
    host = Host(active=True, laid=False)
    run = engine(host, healthy(3), planned())
    assert undo(run, run.plan.steps[0]) == "1 serves"
    assert host.done == []
