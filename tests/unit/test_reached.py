"""Whether a plan's end stands already: by the list, the servers and the ledger, and never where any of them says otherwise."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.facts_made import (
    NOW_MS,
    OTHERS,
    OURS,
    VERSION,
    Made,
    disk_of,
    ensemble,
    healthy,
    host,
    inventory,
    members,
)
from zkprov.judge.health import Condition
from zkprov.judge.verdict import Purpose
from zkprov.model.facts import LEFT_BEHIND, SET_ASIDE, Outcome, Retired
from zkprov.model.server import HostPort, Role
from zkprov.plan.membership import Wish, plan_add
from zkprov.plan.reached import Reached, another_history, other_releases, reached
from zkprov.plan.removal import RemovalWish, plan_remove
from zkprov.plan.role import RoleWish, plan_role
from zkprov.plan.rolling import RestartWish, plan_restart
from zkprov.plan.steps import Options, Plan

LATER = VERSION + 9
OPTIONS = Options(settle_s=0.0)


def known(made: Made, *ids: int, **more: Any) -> Made:
    return made.ledger(ids, **more)


def made_plan(made: Any) -> Plan:
    assert isinstance(made, Plan), made
    return made


def adding() -> Plan:
    """4 comes to {1,2,3}."""
    before = known(healthy(3), 1, 2, 3).spare("zk4")
    wish = Wish("4f1c", (host(4),), OPTIONS, 0.0, "op@host", "0.1.0")
    return made_plan(plan_add(before.health(Purpose.CHANGE), inventory(lab=True), wish))


def removing() -> Plan:
    """2 leaves {1,2,3,4}."""
    wish = RemovalWish("4f1c", ("zk2",), OPTIONS, 0.0, "op@host", "0.1.0")
    return made_plan(plan_remove(known(healthy(4), 1, 2, 3, 4).health(Purpose.CHANGE), inventory(), wish))


def at(version: int, *ids: int, observers: tuple[int, ...] = (), leader: int = 3, identity: Any = OURS) -> Made:
    """An ensemble with that list, a while after the plan."""
    return ensemble(members(ids, observers, version=version), leader, identity=identity)


def added() -> Made:
    return known(at(LATER, 1, 2, 3, 4), 1, 2, 3, young={4: 60.0})


def gone(fate: str = SET_ASIDE, reason: str = "run 4f1c by op@host", server_id: int = 2) -> Retired:
    return Retired(server_id, f"zk{server_id}", HostPort(f"10.0.0.{server_id}", 2181), NOW_MS, "", fate, None, reason)


def removed(**more: Any) -> Made:
    return known(at(LATER, 1, 3, 4), 1, 3, 4, **{"retired": (gone(),), **more})


def told(plan: Plan, made: Made, ran: str = "") -> Reached:
    found = reached(plan, made.health(), ran)
    assert found is not None
    return found


def test_who_was_to_come_in_is_in() -> None:
    assert told(adding(), added()).done
    assert told(adding(), added(), "4f1c").done


@pytest.mark.parametrize(
    "made",
    [
        known(healthy(3), 1, 2, 3),  # nothing was done
        known(at(VERSION, 1, 2, 3, 4), 1, 2, 3, 4),  # a list of that version cannot have come after it
        known(at(VERSION - 1, 1, 2, 3, 4), 1, 2, 3, 4),
        known(at(LATER, 1, 2, 3, observers=(4,)), 1, 2, 3),  # half way
        known(at(LATER, 1, 2, 3, 4, 5), 1, 2, 3, 4, 5),  # and further
        known(at(LATER, 1, 2, 4), 1, 2, 4),
    ],
    ids=["before", "same version", "older", "half way", "further", "another"],
)
def test_another_list_is_not_the_plans_end(made: Made) -> None:
    assert reached(adding(), made.health(), "4f1c") is None


def test_a_plan_that_leaves_the_list_as_it_is_is_done_by_the_ledger_s_word_alone() -> None:
    """Whether members were restarted for it, no server can tell."""
    before = known(healthy(3), 1, 2, 3)
    wish = RestartWish("4f1c", ("zk1", "zk2", "zk3"), {}, "", OPTIONS, 0.0, "op@host", "0.1.0")
    plan = made_plan(plan_restart(before.health(Purpose.CHANGE), inventory(), wish))
    for version in (VERSION, LATER):
        now = known(at(version, 1, 2, 3), 1, 2, 3).health()
        assert reached(plan, now) is None and reached(plan, now, "another") is None
        found = reached(plan, now, plan.id)
        assert found is not None and found.done


def test_who_came_in_by_another_hand_is_not_called_done() -> None:
    """The ledger does not know since when it votes, so nobody counts it as a newcomer (R2)."""
    found = told(adding(), known(at(LATER, 1, 2, 3, 4), 1, 2, 3))
    assert not found.done and "since when 4 votes (R2)" in found.lacks[0]
    without = told(adding(), at(LATER, 1, 2, 3, 4))
    assert not without.done and "ledger" in without.lacks[0]


def test_who_came_in_and_does_not_serve_is_not_called_done() -> None:
    found = told(adding(), added().down(4, disk=True))
    assert not found.done and found.weak == ("4 (zk4) is in the list, and does not serve",)
    behind = told(adding(), added().having(4, config=members((1, 2, 3), version=VERSION)))
    assert not behind.done


def test_another_member_that_is_down_is_told_and_changes_nothing_of_it() -> None:
    found = told(adding(), added().down(2, disk=True))
    assert found.done and "degraded" in found.said[0]


def test_danger_comes_before_done() -> None:
    two = added().reading(3).having(1, identity=OTHERS)
    assert two.health().condition is Condition.UNSAFE
    found = told(adding(), two, "4f1c")
    assert not found.done and found.danger is not None and found.danger.gate == "same history"


def test_what_cannot_be_told_is_not_called_done() -> None:
    silent = added().paused(1, 2, 3)
    assert silent.health().condition is Condition.UNKNOWN
    assert not told(adding(), silent, "4f1c").done


def test_it_is_the_same_ensemble_by_its_history_or_by_the_run() -> None:
    plan = msgspec.structs.replace(adding(), history="/app@5/6")
    found = told(plan, added())
    assert not found.done and "cannot be told" in found.lacks[0]
    assert told(plan, added(), "4f1c").done
    elsewhere = known(at(LATER, 1, 2, 3, 4, identity=OTHERS), 1, 2, 3, 4)
    assert not told(adding(), elsewhere).done
    assert "another history" in another_history(adding(), elsewhere.survey)
    assert not another_history(adding(), added().survey) and not another_history(plan, added().survey)


def test_who_was_to_leave_is_out_and_retired() -> None:
    found = told(removing(), removed())
    assert found.done and found.said == ("2 (zk2) has left (set aside)",)
    assert told(removing(), removed(retired=(gone(LEFT_BEHIND),))).done
    assert told(removing(), removed(retired=(gone(reason="run 77 by her"),))).done


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (removed(retired=()), "not retired (R7)"),
        (removed(retired=(gone(server_id=9),)), "not retired (R7)"),
        # of an earlier life of the id: the one that voted since was taken out by another hand
        (known(at(LATER, 1, 3, 4), 1, 2, 3, 4, retired=(gone("wiped", "run 77 by her"),)), "not retired (R7)"),
        (removed().also(*[s for s in healthy(4).servers if s.name == "zk2"]), "still runs at zk2"),
        (
            removed().spare("zk2").having("zk2", disk=disk_of(2, members((1, 2, 3, 4)), active=False)),
            "files still lie on zk2",
        ),
    ],
    ids=["unknown", "another", "earlier life", "still up", "not set aside"],
)
def test_leaving_that_is_not_complete_is_not_called_done(made: Made, said: str) -> None:
    found = told(removing(), made)
    assert not found.done and any(said in line for line in found.lacks), found


def test_a_role_that_it_has() -> None:
    def role(made: Made, role: Role) -> Plan:
        wish = RoleWish("4f1c", "zk4", role, OPTIONS, 0.0, "op@host", "0.1.0")
        return made_plan(plan_role(made.health(Purpose.CHANGE), inventory(), wish))

    less = role(known(healthy(4, leader=3), 1, 2, 3, 4), Role.OBSERVER)
    assert told(less, known(at(LATER, 1, 2, 3, observers=(4,)), 1, 2, 3, 4)).done
    assert reached(less, known(healthy(4, leader=3), 1, 2, 3, 4).health()) is None
    more = role(known(healthy(3, observers=(4,)), 1, 2, 3), Role.PARTICIPANT)
    assert told(more, added()).done
    assert not told(more, known(at(LATER, 1, 2, 3, 4), 1, 2, 3)).done


def test_a_plan_knows_the_releases_that_it_was_made_for() -> None:
    plan = adding()
    assert plan.releases == {1: "3.9.5", 2: "3.9.5", 3: "3.9.5"}
    same = known(healthy(3), 1, 2, 3)
    assert other_releases(plan, same.picture) == ()
    assert other_releases(plan, same.reading(2, release="3.8.4").picture) == (
        "2 runs 3.8.4, the plan was made for 3.9.5",
    )
    # nobody knows of one that is silent, and an older zkprov's plan says nothing
    assert other_releases(plan, same.having(2, srvr=Outcome.TIMEOUT).picture) == ()
    assert other_releases(msgspec.structs.replace(plan, releases={}), same.reading(2, release="3.8.4").picture) == ()
