"""What a plan of restarting keeps, whatever the ensemble: R4 before each stop, the order, and the list; against oracles of our own."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.facts_made import Made, ensemble, healthy, inventory, members
from zkprov.judge.health import judge
from zkprov.judge.leaving import leaver_of
from zkprov.judge.verdict import Purpose
from zkprov.model.boots import Boot
from zkprov.plan.rolling import RestartWish, leader_last, plan_restart
from zkprov.plan.steps import FORMAT, ROLLING, Options, Plan, Refusal, StepKind


def restart(
    made: Made,
    *ids: int,
    files: dict[str, tuple[str, ...]] | None = None,
    boots: dict[str, Boot] | None = None,
    **options: object,
) -> Plan | Refusal:
    names = tuple(f"zk{i}" for i in ids)
    given = Options(settle_s=0.0, **options)  # type: ignore[arg-type]
    wish = RestartWish("4f1c", names, files or {}, "", given, 0.0, "op@host", "0.1.0", boots=boots or {})
    seen = [leaver_of(made.health().picture, n) for n in names]
    down = frozenset(x.id for x in seen if not x.up and x.id is not None)
    return plan_restart(judge(made.health().picture.survey, Purpose.CHANGE, excused=down), inventory(20), wish)


def majority(voters: set[int], ids: set[int]) -> bool:
    return 2 * len(voters & ids) > len(voters)


@given(st.data())
def test_nobody_is_stopped_whom_the_rest_needs(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 7))
    voters = set(range(1, count + 1))
    observers = set(range(11, 11 + data.draw(st.integers(0, 2))))
    leader = data.draw(st.sampled_from(sorted(voters)))
    asked = data.draw(st.lists(st.sampled_from(sorted(voters | observers)), unique=True, min_size=1))
    down = set(data.draw(st.lists(st.sampled_from(asked), unique=True))) - {leader}
    down = down if majority(voters, voters - down) else set()
    plan = restart(ensemble(members(sorted(voters), sorted(observers)), leader).down(*down, disk=True), *asked)

    turns = sorted(asked, key=lambda i: (i not in down, i in voters, i == leader, i))
    up, allowed = voters - down, True
    for turn in turns:
        if turn in voters and turn not in down and not majority(voters, up - {turn}):
            allowed = False
        up |= {turn} & voters
    if not allowed:
        assert isinstance(plan, Refusal) and (plan.rule, plan.exit_code) == ("R4", 3) and plan.evidence
        return
    assert isinstance(plan, Plan), plan
    assert [s.server for s in plan.steps] == turns
    assert all(s.kind is StepKind.RESTART and s.before == s.after == plan.base.at_version(0) for s in plan.steps)
    # who leads hands over, with three voters or more, and nobody else does
    handing = [s.server for s in plan.steps if s.hands_over]
    assert handing == ([leader] if leader in asked and count > 2 else [])
    assert all(s.proof == "one quorum" for s in plan.steps if s.hands_over)
    assert plan.reconfigures == bool(handing) and plan.unneeded == (frozenset() if handing else {"dynamic", "release"})
    for number, step in enumerate(plan.steps, 1):
        assert plan.excused(number) == down - {s.server for s in plan.steps[: number - 1]}, step


@given(st.data())
def test_whoever_leads_meanwhile_comes_last(data: st.DataObject) -> None:
    asked = data.draw(st.lists(st.integers(1, 7), unique=True, min_size=1))
    settle = data.draw(st.sampled_from([0.0, 5.0]))
    files = {f"zk{i}": ("zoo.cfg",) for i in data.draw(st.lists(st.sampled_from(asked), unique=True))}
    plan = restart(healthy(7), *asked, files=files)
    assert isinstance(plan, Plan)
    if settle:
        steps = [s for r in plan.steps for s in (r, msgspec.structs.replace(r, kind=StepKind.SETTLE, files=()))]
        plan = msgspec.structs.replace(plan, steps=tuple(steps))
    number = data.draw(st.integers(1, len(plan.steps)))
    leader = data.draw(st.none() | st.integers(1, 9))
    turned = leader_last(plan, number, leader)
    assert turned.steps[: number - 1] == plan.steps[: number - 1], "what was done is done"
    assert [s.kind for s in turned.steps] == [s.kind for s in plan.steps]
    was, now = (
        [(s.server, s.host, s.files) for s in p.steps[number - 1 :] if s.kind is StepKind.RESTART]
        for p in (plan, turned)
    )
    assert sorted(was) == sorted(now)
    if leader in [s for s, _, _ in was]:
        assert now[-1][0] == leader
        assert [x for x in now if x[0] != leader] == [x for x in was if x[0] != leader]
    else:
        assert turned == plan
    # a settle is of the server before it
    for before, step in zip(turned.steps, turned.steps[1:], strict=False):
        assert step.kind is not StepKind.SETTLE or step.server == before.server or step.number <= number


@pytest.mark.parametrize("flag", ["mixed", "old"])
def test_a_list_that_may_not_be_changed_is_left_as_it_is(flag: str) -> None:
    """Two releases side by side, or one that is too old for reconfig: no hand-over, and a restart all the same."""
    made = healthy(3)
    for i in (1,) if flag == "mixed" else (1, 2, 3):
        seen = next(s for s in made.servers if s.name == f"zk{i}").srvr.value
        assert seen is not None
        made = made.having(i, srvr=msgspec.structs.replace(seen, release="3.5.5"))
    plan = restart(made, 1, 2, 3)
    assert isinstance(plan, Plan) and plan.kind == ROLLING
    assert not any(s.hands_over for s in plan.steps) and [s.server for s in plan.steps] == [1, 2, 3]
    assert any("leadership is not handed over" in n for n in plan.notes) and any("release" in n for n in plan.notes)


def test_a_danger_stops_a_restart_too() -> None:
    made = healthy(3)
    alone = next(s for s in made.servers if s.name == "zk2")
    assert alone.srvr.value is not None
    made = made.having(2, srvr=msgspec.structs.replace(alone.srvr.value, mode="standalone"))
    plan = restart(made, 1)
    assert isinstance(plan, Refusal) and plan.rule == "R1" and plan.exit_code == 3


def test_a_plan_that_reboots_is_of_a_format_that_an_older_zkprov_refuses() -> None:
    boots = {f"zk{i}": Boot(f"boot {i}") for i in (1, 2, 3)}
    made, plain = (restart(healthy(3), 1, 2, boots=boots, reboot=yes) for yes in (True, False))
    assert isinstance(made, Plan) and isinstance(plain, Plan)
    assert (made.format, plain.format) == (FORMAT, 1)
    assert [s.name for s in made.steps] == ["reboot 1", "reboot 2"] and not any(s.reboots for s in plain.steps)
    # who leads meanwhile comes last, and is rebooted too
    assert [(s.server, s.reboots) for s in leader_last(made, 1, 1).steps] == [(2, True), (1, True)]
