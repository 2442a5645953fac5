"""What a plan of removing keeps, whatever the ensemble and its ledger: R2, R3, R4 and the order, against oracles of our own."""

from __future__ import annotations

from itertools import combinations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.facts_made import Made, ensemble, healthy, inventory, members
from zkprov.judge.health import judge
from zkprov.judge.leaving import leaver_of, may_be_up
from zkprov.judge.verdict import Purpose
from zkprov.plan.removal import RemovalWish, excused, plan_remove
from zkprov.plan.steps import Options, Plan, Refusal, StepKind


def remove(made: Made, *ids: int, **options: object) -> Plan | Refusal:
    wish = RemovalWish("4f1c", tuple(f"zk{i}" for i in ids), Options(settle_s=0.0, **options), 0.0, "op@host", "0.1.0")  # type: ignore[arg-type]
    silent = excused([leaver_of(made.health().picture, f"zk{i}") for i in ids])
    return plan_remove(judge(made.health().picture.survey, Purpose.CHANGE, excused=silent), inventory(20), wish)


def majority(voters: set[int], ids: set[int]) -> bool:
    return 2 * len(voters & ids) > len(voters)


def may_fail(voters: set[int], up: set[int]) -> int:
    """By trying all: how many of those up may fail, whichever they are; −1 where they are no quorum now."""
    for lost in range(len(up) + 1):
        if any(not majority(voters, up - set(gone)) for gone in combinations(sorted(up), lost)):
            return lost - 1
    return len(up) - 1


@given(st.data())
def test_each_step_keeps_the_rules(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 7))
    voters = set(range(1, count + 1))
    observers = set(range(11, 11 + data.draw(st.integers(0, 2))))
    leader = data.draw(st.sampled_from(sorted(voters)))
    leaving = data.draw(st.lists(st.sampled_from(sorted(voters | observers)), unique=True, min_size=1, max_size=4))
    # the others are well; of those that leave some are down, as long as there is a leader
    down = set(data.draw(st.lists(st.sampled_from(leaving), unique=True))) - {leader}
    down = down if majority(voters, voters - down) else set()
    made = ensemble(members(sorted(voters), sorted(observers)), leader).down(*down)
    young = set(data.draw(st.lists(st.sampled_from(sorted(voters)), unique=True)))
    made = made.ledger(tuple(sorted(voters - young)), dict.fromkeys(sorted(young), 60.0), ())
    plan = remove(made, *leaving)

    def key(i: int) -> tuple[bool, bool, bool, int]:
        return (i in voters, i not in down, i == leader, i)

    now, up, allowed = set(voters), voters - down, True
    for gone in sorted(leaving, key=key):
        if gone in observers:
            continue
        after, rest = now - {gone}, up - {gone}
        least = may_fail(now, up) if gone in down else min(may_fail(now, up), 1)
        allowed = bool(after) and majority(after, rest) and may_fail(after, rest) >= least
        allowed = allowed and not majority(after, young & after)
        if not allowed:
            break
        now, up = after, rest
    assert isinstance(plan, Plan) is allowed, plan
    if not isinstance(plan, Plan):
        assert plan.rule in ("R2", "R4") and plan.evidence is not None and plan.next
        return
    assert [x.server.id for x in plan.leavers] == sorted(leaving, key=key)
    assert set(plan.final.voters) == now and not set(plan.final.ids) & set(leaving)
    before = plan.base
    for step in plan.steps:
        assert step.before.same_list(before)
        changed = set(before.voters) ^ set(step.after.voters)
        assert len(changed) <= 1 and len(set(before.ids) ^ set(step.after.ids)) <= 1
        if step.kind is StepKind.RETIRE:
            assert step.after.same_list(before) and step.server not in step.after.ids
        else:
            assert step.proof == "one quorum"
        before = step.after
    assert sum(s.kind is StepKind.HAND_OVER for s in plan.steps) == (leader in leaving)
    # a leader is never removed as one
    if leader in leaving:
        kinds = [s.kind for s in plan.steps if s.server == leader]
        assert kinds == [StepKind.HAND_OVER, StepKind.REMOVE, StepKind.RETIRE]


@pytest.mark.parametrize("another", ["down", "behind", "another list"])
def test_only_who_leaves_is_excused(another: str) -> None:
    made = healthy(5)
    made = {
        "down": lambda: made.down(2),
        "behind": lambda: made.reading(2, zxid=1),
        "another list": lambda: made.having(2, config=members((1, 2, 3), version=5)),
    }[another]()
    assert isinstance(remove(made, 2), Plan)
    refused = remove(made, 1)
    assert isinstance(refused, Refusal) and (refused.rule, refused.exit_code) == ("R8", 4)


@pytest.mark.parametrize(
    ("what", "counted", "said"),
    [
        ("down", None, ""),
        ("paused", "3", ""),
        ("paused", "4", "counts 4 in sync, of whom 3 were seen"),
        ("paused", None, "does not tell how many follow it"),
        ("paused", "junk", "does not tell how many follow it"),
        ("unasked", "4", "counts 4 in sync, of whom 3 were seen"),
    ],
)
def test_who_may_be_up_all_the_same(what: str, counted: str | None, said: str) -> None:
    """A silence is no death (R9): a leader that counts one more than was seen has it."""
    made = healthy(5)
    made = {"down": made.down, "paused": made.paused, "unasked": made.without}[what](2)
    mntr = {"zk_server_state": "leader"} | ({"zk_synced_followers": counted} if counted else {})
    picture = made.having(5, mntr=mntr).health().picture
    why = may_be_up(picture, leaver_of(picture, "zk2" if what != "unasked" else "2"))
    assert said in why and bool(why) is bool(said), why


def test_an_old_plan_without_those_that_leave_is_read() -> None:
    from tests.unit.plans_made import plan

    document = msgspec.json.decode(msgspec.json.encode(plan()))
    del document["leavers"], document["options"]["drain_s"]
    read = msgspec.json.decode(msgspec.json.encode(document), type=Plan)
    assert read == plan() and read.leaving == frozenset() and read.hosts == ("zk4",)
