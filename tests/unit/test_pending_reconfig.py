"""A list that waits to be committed and never will be: who acknowledges, who looks, who is away; and what a run does then, and does not.

The scene is that of tests/faults/test_pending_reconfig.py on real servers: 4 is promoted while 1 stands still.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.facts_made import VERSION, Made, disk_of, ensemble, members
from tests.unit.plans_made import plan
from tests.unit.test_stopped_server import Quick
from zkprov.judge import stuck
from zkprov.judge.incidents import Shape
from zkprov.judge.pending_reconfig import Pending, pending_reconfig, steps_out
from zkprov.model.facts import Outcome
from zkprov.model.members import Members
from zkprov.model.problems import Busy, Interrupted, NotHealthy
from zkprov.plan.steps import Step, StepKind
from zkprov.run.clock import SystemClock
from zkprov.run.events import Events
from zkprov.run.pending_reconfig import commit_pending

BEFORE = members((1, 2, 3), (4,))
AFTER = members((1, 2, 3, 4), version=VERSION + 9)


def waiting(*ids: int, after: Members = AFTER, before: Members = BEFORE, leader: int = 3) -> Made:
    """These have `after` as `.next`; all serve."""
    made = ensemble(before, leader)
    for i in ids:
        made = made.having(i, disk=disk_of(i, before, after))
    return made


def pending(made: Made, leader: str = "zk3") -> Pending | None:
    return pending_reconfig(made.picture, leader)


STUCK = waiting(1, 2, 3).looking(1)


def test_who_woke_looks_and_who_is_promoted_is_to_be_restarted() -> None:
    found = pending(STUCK)
    assert found is not None and (found.to_restart, found.promoted) == ("zk4", {4: "zk4"})
    assert (found.acknowledge, found.look, found.missing) == ({2, 3}, {1}, frozenset())
    assert str(found) == (
        f"the list {{1,2,3,4}} (version {AFTER.version_hex}) waits to be committed: {{2,3}} acknowledge it, which is no quorum of it; "
        "{1} look by both lists, and find no leader"
    )
    assert [str(e) for e in found.evidence] == [
        f"{i} (zk{i}): {does}; /etc/zookeeper/zoo.cfg.dynamic.next: {{1,2,3,4}}"
        for i, does in ((1, "looks"), (2, "acknowledges"), (3, "acknowledges"))
    ]
    resume, by_hand, check = steps_out(STUCK.picture, found)
    assert resume.startswith("zkprov resume ") and check == "zkprov check"
    assert resume.endswith("it restarts zk4, and goes on")
    assert by_hand.startswith("else, on zk4, pkill -f /etc/zookeeper/zoo.cfg, and start it")


def test_of_a_host_with_systemd_the_unit_is_restarted() -> None:
    disk = msgspec.structs.replace(disk_of(4, BEFORE, AFTER), unit="zookeeper")
    made = STUCK.having(4, disk=disk)
    found = pending(made)
    assert found is not None and "systemctl restart zookeeper: all" in steps_out(made.picture, found)[1]


@pytest.mark.parametrize("away", [STUCK.down(1, disk=True), STUCK.paused(1)], ids=["down", "paused"])
def test_who_is_away_is_not_needed(away: Made) -> None:
    """The vote of who is promoted counts in an election."""
    found = pending(away)
    assert found is not None and (found.missing, found.to_restart) == ({1}, "zk4")


def test_where_nobody_can_elect_a_voter_must_come_back() -> None:
    away = STUCK.down(1, disk=True).down(4, disk=True)
    found = pending(away)
    assert found is not None and (found.missing, found.promoted, found.to_restart) == ({1}, {}, "")
    assert steps_out(away.picture, found)[0].startswith("start zk1, with the data that lies there")


LEAVES = members((1, 2, 3, 4), version=VERSION)


def test_where_nobody_is_promoted_nobody_is_restarted() -> None:
    """3 is removed, and 1 looks: the leader steps down by itself, for it is no quorum of {1,2} alone (measured)."""
    made = waiting(1, 2, 3, before=BEFORE, after=members((1, 2), version=VERSION + 9), leader=2).looking(1)
    found = pending(made, "zk2")
    assert found is not None and found.elects and not found.to_restart
    assert steps_out(made.picture, found) == ("wait until all voters run, then: zkprov status",)


def test_who_comes_back_without_having_seen_it_takes_it_from_the_leader() -> None:
    made = waiting(2, 3, before=LEAVES, after=members((1, 2, 3, 4, 5), version=VERSION + 9)).looking(1).down(4)
    found = pending(made)
    assert found is not None and not found.to_restart and found.missing == {4} and not found.look


NOTHING = {
    "a quorum of it acknowledges": waiting(1, 2, 3),
    "nothing waits": ensemble(BEFORE, 3).looking(1),
    "what waits is older": waiting(1, 2, 3, after=AFTER.at_version(VERSION - 1)).looking(1),
    "the leader's disk was not read": STUCK.having(3, disk=Outcome.DENIED),
    "the leader heeds no .next": STUCK.having(3, disk=disk_of(3, BEFORE, AFTER, settings={"reconfigEnabled": "false"})),
    "two of three are enough": waiting(1, 2, 3, after=members((1, 2, 3), version=VERSION + 9)).looking(1),
}


@pytest.mark.parametrize("made", NOTHING.values(), ids=NOTHING.keys())
def test_nothing_waits_that_could_not_be_committed(made: Made) -> None:
    assert pending(made) is None


@given(st.data())
def test_of_any_change_of_one_voter(data: st.DataObject) -> None:
    """Counted: more than half of each list. Whoever votes by the old list acknowledges or looks; an observer does neither."""
    count = data.draw(st.integers(1, 6))
    voters = set(range(1, count + 1))
    joins = data.draw(st.booleans()) or count == 1
    then = voters | {9} if joins else voters - {data.draw(st.sampled_from(sorted(voters)))}
    before = members(voters, (9,) if joins else ())
    after = members(then, version=VERSION + 9)
    leader = data.draw(st.sampled_from(sorted(voters & then) or [1]))
    states = {i: data.draw(st.sampled_from(["serves", "looks", "down"])) for i in voters - {leader}}
    states |= {9: data.draw(st.sampled_from(["serves", "looks", "down"]))} if joins else {}
    made = waiting(*voters, before=before, after=after, leader=leader)
    for i, state in states.items():
        made = made.looking(i) if state == "looks" else made.down(i, disk=True) if state == "down" else made
    serve = {leader, *(i for i, s in states.items() if s == "serves")}
    up = {leader, *(i for i, s in states.items() if s != "down" and i in voters)}
    promoted = serve & {9}
    found = pending(made, f"zk{leader}")
    if len(serve & then & voters) > len(then) / 2:
        assert found is None
    else:
        assert found is not None
        elects = len(up) > count / 2 and len((up | promoted) & then) > len(then) / 2
        assert found.to_restart == ("zk9" if elects and promoted else "")


def test_it_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stuck, "SHUT_S", 0.0)
    health = STUCK.health(earlier=STUCK.survey, commits=False)
    (incident,) = health.incidents
    assert incident.shape is Shape.CANNOT_COMMIT and "waits to be committed" in incident.sentence
    assert incident.next[0].startswith("zkprov resume")


# -- what a run does


class Host:
    def __init__(self, holder: str | None = "4f1c00") -> None:
        self.holder, self.done = holder, list[str]()

    def fenced_by(self) -> str | None:
        return self.holder

    def fence(self, run: str, _: int) -> bool:
        self.done.append("fence")
        self.holder = run
        return True

    def stop(self, _: float) -> None:
        self.done.append("stop")

    def start(self) -> None:
        self.done.append("start")


class World:
    """Opens sessions once who is promoted was restarted, or when it was asked as often as `opens_at` says."""

    def __init__(
        self, host: Host, *made: Made, opens_at: int = 0, closed: bool | None = False, cures: bool = True
    ) -> None:
        self._host, self._opens_at, self._closed, self._cures = host, opens_at, closed, cures
        self._made, self.asked = list(made), 0
        self.hosts: list[str] = []

    def host(self, name: str) -> Host:
        self.hosts.append(name)
        return self._host

    def survey(self, **_: object) -> Any:
        if "start" in self._host.done and self._cures:
            return ensemble(AFTER, 2).survey
        return (self._made.pop(0) if len(self._made) > 1 else self._made[0]).survey

    def opens_session(self, _: object) -> bool | None:
        self.asked += 1
        opens = self.asked == self._opens_at or ("start" in self._host.done and self._cures)
        return opens or self._closed


def mended(world: World, made: Made = STUCK, *, after: Members = AFTER, stop: bool = False) -> tuple[Any, list[str]]:
    step = Step(3, StepKind.PROMOTE, 4, "zk4", BEFORE, after, 1, ())
    run: Any = SimpleNamespace(plan=plan(steps=(step,)), attempt=0)
    told: list[str] = []
    events = Events("4f1c00", lambda: 0.0, [lambda e: told.append(str(e.evidence["what"]))])
    signal = threading.Event()
    if stop:
        signal.set()
    found: Any = world
    clock: SystemClock = Quick()
    return commit_pending(found, (run, step), made.survey, events=events, clock=clock, stop=signal), told


def test_a_run_restarts_whom_it_promotes() -> None:
    host = Host()
    world = World(host, STUCK)
    survey, told = mended(world)
    assert host.done == ["fence", "stop", "start"] and survey == ensemble(AFTER, 2).survey
    assert set(world.hosts) == {"zk4"}, "no member's host is touched"
    assert "restart zk4, so that all elect" in told[0] and told[1].startswith("zk2 leads and commits")


def test_where_sessions_are_opened_nobody_is_touched() -> None:
    """Between the proposal and the last acknowledgement it looks the same for a moment."""
    host = Host()
    survey, told = mended(World(host, STUCK, opens_at=1))
    assert survey == STUCK.survey and host.done == told == []


def test_what_is_committed_to_the_last_moment_is_not_disturbed() -> None:
    """The last acknowledgement comes between the last look and the stop."""
    before = World(Host(), STUCK)
    mended(before)
    last = before.asked - 1  # one more is asked after the restart
    host, done = Host(), waiting(1, 2, 3)
    survey, told = mended(World(host, *[STUCK] * (last - 2), done, opens_at=last))
    assert host.done == ["fence"] and told == [] and survey == done.survey


def test_what_is_not_told_is_no_reason() -> None:
    """A session that fails otherwise (TLS, no way there) says nothing of what is committed."""
    host = Host()
    with pytest.raises(NotHealthy):
        mended(World(host, STUCK, closed=None))
    assert host.done == []


def test_who_is_just_coming_back_is_waited_for() -> None:
    """Away at each look but the last: what the voters do must have stood for a while, too."""
    host = Host()
    away, last = STUCK.down(1, disk=True), waiting(1, 2, 3)
    changing = [x for _ in range(5) for x in [away] * 10 + [STUCK] * 10]
    survey, _ = mended(World(host, *changing, last), away)
    assert host.done == [] and survey == last.survey


def test_a_leader_that_moves_on_is_waited_for() -> None:
    host = Host()
    moving = [STUCK.reading(3, zxid=0x700000500 + n) for n in range(600)]
    with pytest.raises(NotHealthy):
        mended(World(host, *moving))
    assert host.done == []


def test_what_another_proposed_is_left_to_a_person() -> None:
    host = Host()
    world = World(host, STUCK)
    with pytest.raises(NotHealthy, match=r"waits to be committed: .*; it is none of run 4f1c00") as caught:
        mended(world, after=members((1, 2, 3, 5), version=VERSION + 9))
    assert host.done == [] and "zkprov status" in caught.value.remedy
    assert world.asked < 30, "it is told as soon as it is sure, and not when the time of a step is over"


def test_one_quorum_must_be_proved() -> None:
    """4 has a list of its own on its disk, of which it is a quorum."""
    host = Host()
    alone = STUCK.having(4, disk=disk_of(4, members((4,), version=VERSION + 1)))
    with pytest.raises(NotHealthy, match="one quorum is not proved"):
        mended(World(host, alone), alone)
    assert host.done == []


@pytest.mark.parametrize("holder", ["aaaaaa", None])
def test_a_host_that_is_not_the_run_s_is_left_alone(holder: str | None) -> None:
    """Another machine's journal may have a run as begun that ended long ago."""
    host = Host(holder)
    with pytest.raises(Busy, match="run aaaaaa has this host" if holder else "no fence of run 4f1c00"):
        mended(World(host, STUCK))
    assert host.done == []


def test_an_ensemble_that_does_not_come_back_is_told() -> None:
    host = Host()
    with pytest.raises(NotHealthy, match="nobody leads and commits after the restart"):
        mended(World(host, STUCK, cures=False))
    assert host.done == ["fence", "stop", "start"]


def test_a_signal_ends_the_waiting() -> None:
    host = Host()
    with pytest.raises(Interrupted):
        mended(World(host, STUCK), stop=True)
    assert host.done == []
