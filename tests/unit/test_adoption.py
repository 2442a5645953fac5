"""What is an adoption's own among the rolls: who is stuck goes first, what the files said then, and how it stands half way."""

from __future__ import annotations

import msgspec
import pytest

from tests.cases.surveys import survey_of
from tests.unit.facts_made import Made, host, inventory
from zkprov.judge.adoption import behind, digests, missing
from zkprov.judge.health import judge
from zkprov.judge.verdict import Purpose
from zkprov.model.inventory import STOPPED
from zkprov.model.members import Members
from zkprov.model.server import ClientAddress
from zkprov.plan.adopt import AdoptWish, plan_adopt, stuck_first
from zkprov.plan.rolling import leader_last
from zkprov.plan.steps import Options, Plan, StepKind
from zkprov.run.unadopting import half_way

STATIC = ("static 3", "set reconfigEnabled=false")


def planned(made: Made, *, settle_s: float = 0.0) -> Plan:
    listed = inventory(9, **{f"zk{i}": host(i, foreign_config_manager=STOPPED) for i in range(1, 10)})
    health = judge(made.survey, Purpose.CHANGE, excused=behind(made.picture))
    lacks = missing(health, listed)
    names = tuple(m.host for m in lacks.restarts)
    wish = AdoptWish("4f1c", names, {}, "", Options(settle_s=settle_s), 0.0, "op@host", "0.1.0", missing=lacks)
    found = plan_adopt(health, listed, wish)
    assert isinstance(found, Plan), found
    return found


def turns(plan: Plan) -> list[tuple[str, int]]:
    return [(str(s.kind), s.server) for s in plan.steps if s.kind is not StepKind.ADOPT]


def begun(plan: Plan, *ids: int) -> Plan:
    steps = [msgspec.structs.replace(s, begun=s.kind is StepKind.RESTART and s.server in ids) for s in plan.steps]
    return msgspec.structs.replace(plan, steps=tuple(steps))


@pytest.mark.parametrize("settle_s", [0.0, 30.0])
def test_who_is_stuck_goes_first_and_the_leader_stays_last(settle_s: float) -> None:
    plan = planned(survey_of(STATIC), settle_s=settle_s)
    assert [s for kind, s in turns(plan) if kind == "restart"] == [1, 2, 3]
    found = stuck_first(plan, 2, frozenset({2}))
    assert [s for kind, s in turns(found) if kind == "restart"] == [2, 1, 3]
    # each wait stays behind its restart
    waits = [n for n, (kind, _) in enumerate(turns(found)) if kind == "settle"]
    assert all(turns(found)[n - 1] == ("restart", turns(found)[n][1]) for n in waits)
    assert [s.number for s in found.steps] == list(range(1, len(plan.steps) + 1))
    assert found.steps[0] == plan.steps[0] and found.steps[-1] == plan.steps[-1]
    assert found.excused(2) == {2} and found.excused(len(found.steps)) == frozenset()
    last = leader_last(found, 2, 2)
    assert [s for kind, s in turns(last) if kind == "restart"][-1] == 2
    assert last.steps[-1].kind is StepKind.ADOPT


def test_half_way() -> None:
    plan = planned(survey_of(STATIC))
    flag, first, second = plan.steps[0], plan.steps[1], plan.steps[2]
    assert plan.stopped_nobody and half_way(plan, flag, "zoo.cfg is as it was") == ""
    one = begun(plan, 1)
    assert not one.stopped_nobody
    assert half_way(one, second, "nothing was begun") == (
        "restarted: 1; not yet: 2, 3; what was written into zoo.cfg stays on every host"
    )
    # the only one that was begun was taken back, and all the others with it
    assert half_way(one, first, "1 has its former files and serves again") == ""
    assert half_way(one, first, None).startswith("restarted: 1; not yet: 2, 3")


def test_what_the_files_said() -> None:
    was = digests(survey_of(STATIC).picture)
    assert was == digests(survey_of(STATIC).picture) and was.keys() == {1, 2, 3}
    for word in ("set tickTime=1 2", "reverted 2 list=2 flag=false"):
        now = digests(survey_of((*STATIC, word)).picture)
        assert {i for i in was if was[i] != now[i]} == {2}, word


def test_the_same_servers_whatever_is_said_of_clients() -> None:
    live = survey_of(STATIC).live
    silent = Members.of(*(msgspec.structs.replace(s, client=None) for s in live.servers))
    moved = live.with_server(msgspec.structs.replace(live.servers[0], client=ClientAddress(2999)))
    assert live.same_servers(silent) and live.same_servers(moved) and not live.same_list(silent)
    assert not live.same_servers(silent.without(1))
