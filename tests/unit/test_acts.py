"""What an act does to a host and to the list, told to the least of an engine.

Another's server at our host, a list that lags behind and a run taken over within milliseconds cannot be had from real servers at will.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.unit.facts_made import OURS, Made, ensemble, members, serving
from tests.unit.plans_made import plan, server
from zkprov.act import reconfig
from zkprov.judge.verdict import GateResult, Purpose, Verdict, first_stop
from zkprov.model.members import Members, Seat
from zkprov.model.problems import Interrupted, Stale
from zkprov.model.server import ClientAddress, Role, Server, ServerAddress
from zkprov.plan.steps import Joiner, Leaver, Step, StepKind
from zkprov.run import acts
from zkprov.run.engine import Engine
from zkprov.run.gating import GateFailed
from zkprov.run.undo import listed, undo

THREE = Members.of(server(1), server(2), server(3), version=0x100000000)
ANOTHER = Server(4, (ServerAddress("elsewhere", 2888, 3888),), Role.OBSERVER, ClientAddress(2181))


class Host:
    """A host that tells what was done to it."""

    def __init__(self, fence: str | None = None, *, active: bool = True) -> None:
        self.holder, self.active, self.done = fence, active, list[str]()

    def fenced_by(self) -> str | None:
        return self.holder

    def fence(self, run: str, attempt: int = 0) -> bool:
        before, self.holder = self.holder, run
        return before is not None

    def unfence(self, run: str, attempt: int = 0) -> None:
        self.holder = None

    def is_active(self) -> bool:
        return self.active

    def has_data(self) -> bool:
        return self.active

    def exists(self) -> bool:
        return True

    def stop(self, timeout_s: float) -> None:
        self.done.append("stop")
        self.active = False

    def set_aside(self, label: str) -> str:
        self.done.append("set aside")
        return label


def engine(host: Any, live: Members, *, attempt: int = 0, fences: int = 1000) -> Any:
    """`live`: the list that the acting session reads. After `fences` writes another has taken the run over."""
    made = plan()
    left = [fences]

    def fence(head: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted("this run was taken over")

    survey = SimpleNamespace(picture=SimpleNamespace(live=THREE))  # servers that lag behind: 4 is not there yet
    return SimpleNamespace(
        plan=made,
        attempt=attempt,
        clock=SimpleNamespace(monotonic=lambda: 0.0),
        canary=None,
        world=SimpleNamespace(host=lambda _: host),
        ledger=SimpleNamespace(live=lambda: live),
        gates=SimpleNamespace(
            health=lambda: survey, passed=lambda **_: survey, looked_at=0.0, looked_for=0.0, first_stop=first_stop
        ),
        events=SimpleNamespace(emit=lambda *_, **__: None),
        client=None,
        journal=SimpleNamespace(advance=lambda *_: None),
        stop=SimpleNamespace(is_set=lambda: False),
        fence=fence,
        intend=lambda step: fence(step.number),
        checkpoint=lambda: None,
    )


def test_a_voter_stays_though_the_servers_that_answer_lag_behind() -> None:
    host = Host("4f1c00")
    run = engine(host, THREE.with_server(server(4)))
    assert undo(run, run.plan.steps[2]) is None
    assert host.done == [] and host.active


def test_anothers_server_of_the_same_id_is_not_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconfig, "change", lambda *_, **__: pytest.fail("another's server was taken out of the list"))
    host = Host("4f1c00")
    run = engine(host, THREE.with_server(ANOTHER))
    with pytest.raises(Stale, match="elsewhere"):
        undo(run, run.plan.steps[1])
    assert host.done == []


def test_the_same_server_however_it_is_spelt() -> None:
    spelt = msgspec.structs.replace(server(4, Role.OBSERVER), client=ClientAddress(2181, "0.0.0.0"))
    assert listed(plan(), THREE.with_server(spelt), 4) == spelt
    assert listed(plan(), THREE, 4) is None


def test_a_run_that_is_taken_up_leaves_anothers_server_on_the_host_alone() -> None:
    """The first attempt never came to this host; since then somebody else has put a server there."""
    host = Host(None)
    run = engine(host, THREE, attempt=1)
    with pytest.raises(GateFailed, match="R5"):
        acts.start(run, run.plan.steps[0])
    assert host.done == [] and host.holder is None


def test_a_wait_that_fails_says_that_the_newcomer_stands() -> None:
    four = THREE.with_server(server(4))
    wait = Step(5, StepKind.SEASON, 4, "zk5", four, four, 1, wait_s=900.0)
    run = engine(Host(None), four)
    run._say = lambda *_, **__: None
    run.unfence = run.end = lambda *_: None
    run._standing = lambda: Engine._standing(run)
    run._begun_before = lambda step: Engine._begun_before(run, step)
    run.plan = msgspec.structs.replace(
        run.plan, joiners=(Joiner("zk4", server(4)), Joiner("zk5", server(5)), Joiner("zk6", server(6)))
    )
    ended = Engine._ends(run, wait, "2 does not answer", None)
    assert ended.stands == f"the list is {four}"
    assert ended.next[-1] == "zkprov add-node zk5 zk6"


def test_who_took_the_host_of_a_run_that_is_over_gives_it_back() -> None:
    """Frozen between the ledger's fence and the host's; the machine that took over has ended the run, and comes back no more."""
    host: Any = Host(None)
    run = engine(host, THREE, fences=0)
    with pytest.raises(Interrupted, match="taken over"):
        acts.take(run, host, run.plan.steps[0])
    assert host.holder is None
    host.holder = run.plan.id
    with pytest.raises(Interrupted, match="taken over"):
        acts.take(run, host, run.plan.steps[0])
    assert host.holder == run.plan.id, "an earlier attempt's leavings lie behind it"


class Waiting:
    """A clock that moves by what the ledger's writes take."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("took", "looks"), [([1.5], 1), ([9.0, 0.1], 2), ([9.0] * 99, 4)], ids=["at once", "once more", "never"]
)
def test_no_act_rests_on_what_was_seen_before_a_long_wait(
    took: list[float], looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the gates and the reconfig stand two writes, and each may wait out an election."""
    clock, seen, done = Waiting(), list[int](), list[int]()
    run = engine(Host(None), THREE)
    run.clock = clock
    run.plan = msgspec.structs.replace(run.plan, options=msgspec.structs.replace(run.plan.options, step_timeout_s=30.0))

    def passed(**_: Any) -> Any:
        seen.append(1)
        run.gates.looked_at = clock.now
        return SimpleNamespace(picture=SimpleNamespace(live=THREE))

    def intend(_: Step) -> None:
        clock.now += took[len(seen) - 1]

    def change(*_: Any, **__: Any) -> Any:
        done.append(len(seen))
        raise Interrupted("enough")

    run.gates.passed, run.intend = passed, intend
    monkeypatch.setattr(acts, "_rules", lambda *_: None)
    monkeypatch.setattr(reconfig, "change", change)
    with pytest.raises((Interrupted, GateFailed)) as ended:
        acts.change(run, run.plan.steps[1], Role.OBSERVER)
    assert len(seen) == looks
    if len(took) < 99:
        assert done == [looks]
    else:
        assert not done and "the look that the gates passed on is 9 s old" in str(ended.value)


@pytest.mark.parametrize(
    ("quick", "wrote", "done"),
    [("passes", 0.1, 1), ("fails", 0.1, 0), ("another list", 0.1, 0), ("slow", 0.1, 0), ("passes", 9.0, 0)],
)
def test_where_a_host_is_silent_those_that_answered_are_looked_at_once_more(
    quick: str, wrote: float, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that waits for a machine that is switched off ends 3 s after it began; a long wait for the ledger is another matter."""
    clock, asked = Waiting(), list[int]()
    run = engine(Host(None), THREE)
    run.clock = clock
    run.plan = msgspec.structs.replace(run.plan, options=msgspec.structs.replace(run.plan.options, step_timeout_s=20.0))

    def passed(**_: Any) -> Any:
        run.gates.looked_at, run.gates.looked_for = clock.now, 3.0
        clock.now += 3.0
        return SimpleNamespace(picture=SimpleNamespace(live=THREE))

    def again() -> Any:
        run.gates.looked_at = clock.now
        clock.now += 5.0 if quick == "slow" else 0.1
        gate = GateResult("synced", Verdict.FAIL if quick == "fails" else Verdict.PASS, "2 is behind")
        unknown = GateResult("one quorum", Verdict.UNKNOWN, "the disk of the silent one was not seen")
        live = THREE.at_version(THREE.version + 1) if quick == "another list" else THREE
        return SimpleNamespace(gates=(gate, unknown), picture=SimpleNamespace(live=live))

    def intend(_: Step) -> None:
        clock.now += wrote

    def change(*_: Any, **__: Any) -> Any:
        asked.append(1)
        raise Interrupted("enough")

    run.gates.passed, run.gates.again, run.intend = passed, again, intend
    monkeypatch.setattr(acts, "_rules", lambda *_: None)
    monkeypatch.setattr(reconfig, "change", change)
    with pytest.raises((Interrupted, GateFailed)):
        acts.change(run, run.plan.steps[1], Role.OBSERVER)
    assert len(asked) == done


def test_an_undoing_that_is_cut_off_is_taken_up_with_the_joiner_anew() -> None:
    """From the moment that it is in the list no more: its promotion would wait for a list that nobody makes again."""
    run, heads = engine(Host("4f1c00"), THREE), list[int]()
    run.fence = heads.append
    run.journal.advance = lambda _, head: heads.append(-head)
    undo(run, run.plan.steps[2])
    assert heads == [3, -1, 1, 1, 1]
    heads.clear()
    run.ledger.live = lambda: THREE.with_server(server(4))
    assert undo(run, run.plan.steps[2]) is None and heads == [3], "a voter stays"


@pytest.mark.parametrize("fences", [2, 3])
def test_a_run_that_was_taken_over_touches_the_host_no_more(fences: int) -> None:
    host = Host("4f1c00")
    run = engine(host, THREE, fences=fences)
    with pytest.raises(Interrupted, match="taken over"):
        undo(run, run.plan.steps[1])
    assert host.done == ["stop"][: fences - 2]


# -- a vote that was only given up, and the person who gives the run up


def giving_back(
    made: Made, monkeypatch: pytest.MonkeyPatch, *, answers: bool = True, base: Members | None = None
) -> tuple[str | None, list[int]]:
    """What `abort` says in the hand-over of 3, an observer of `made` by now, and how often ZooKeeper was asked."""
    live, asked = made.live, list[int]()
    voter = live.get(3).with_role(Role.PARTICIPANT)  # type: ignore[union-attr]
    was = live.seat(3)
    before = live.with_server(voter, was and Seat(was.group, 2))
    step = Step(1, StepKind.HAND_OVER, 3, "zk3", before, live, 1)
    run = engine(Host(None), live)
    run.plan = msgspec.structs.replace(
        run.plan, kind="remove", joiners=(), leavers=(Leaver("zk3", voter, True),), steps=(step,), base=base or before
    )
    run.gates.health = lambda: made.health(Purpose.CHANGE)

    def join(_: Any, want: Server, __: Members, seat: Seat | None, **___: Any) -> reconfig.Outcome:
        asked.append(want.id)
        assert seat == before.seat(3), "its former group, with its former weight"
        if answers:
            run.ledger.live = lambda: live.with_server(want, seat)
        return reconfig.Outcome(reconfig.Answer.APPLIED if answers else reconfig.Answer.REFUSED)

    monkeypatch.setattr(reconfig, "join", join)
    return undo(run, step, asked=True), asked


def test_a_vote_is_given_back_where_one_leader_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    calm = ensemble(members((1, 2), (3,)), 2)
    assert giving_back(calm, monkeypatch) == ("3 votes again", [3])
    assert giving_back(calm, monkeypatch, answers=False) == (None, [3]), "refused: it stays an observer"
    for wrong in (calm.down(3), calm.down(2), calm.also(serving(9, members((9,), version=5), 9, identity=OURS))):
        assert giving_back(wrong, monkeypatch) == (None, []), wrong.health(Purpose.CHANGE).headline


def test_a_vote_is_given_back_in_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = members((1, 2), (3,))
    live = msgspec.structs.replace(plain, groups=((1, (1,)), (2, (2,)), (3, (3,))), weights=((3, 0),))
    assert giving_back(ensemble(live, 2), monkeypatch) == ("3 votes again", [3])
    # somebody made groups of the list meanwhile, or took them away
    assert giving_back(ensemble(live, 2), monkeypatch, base=members((1, 2, 3))) == (None, [])
    grouped = live.with_server(server(3), Seat(3))
    assert giving_back(ensemble(plain, 2), monkeypatch, base=grouped) == (None, [])
