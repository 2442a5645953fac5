"""What a bootstrap makes of what it sees: found, go on, or refuse. Real hosts, killed at any instant, are in tests/real."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.facts_made import Made, disk_of, ensemble, facts, found, healthy, host, inventory, members
from zkprov.judge.verdict import Purpose
from zkprov.model.facts import Disk, Ledger, Outcome
from zkprov.model.inventory import Inventory
from zkprov.model.problems import BadInput
from zkprov.model.server import HostPort, Role
from zkprov.plan.founding import Founding, Stage, plan_founding
from zkprov.plan.steps import Refusal

OURS, ALONE = "bootstrap-zk1", members((1,), version=0)
GROUP = inventory(3, **{f"zk{n}": host(n, release="3.9.5") for n in (1, 2, 3)})
BARE = Made((), ALONE).spare("zk1", "zk2", "zk3")


def of(made: Made, holder: str | None = None, group: Inventory = GROUP) -> Founding | Refusal | None:
    return plan_founding(made.health(Purpose.LOOK), group, holder)


def stage(made: Made, holder: str | None = None) -> Stage:
    plan = of(made, holder)
    assert isinstance(plan, Founding), plan
    return plan.stage


def refused(made: Made, holder: str | None, rule: str, code: int) -> str:
    plan = of(made, holder)
    assert isinstance(plan, Refusal) and (plan.rule, plan.exit_code) == (rule, code), plan
    assert plan.evidence and any(command or what for command, what in plan.next)
    return "\n".join((plan.headline, *plan.evidence))


def founded(founding: bool) -> Made:
    made = healthy(1).spare("zk2", "zk3")
    told = found("ledger", Ledger("6f1d", {}, founding=founding))
    return made.having(1, ledger=told)


def test_bare_hosts() -> None:
    plan = of(BARE)
    assert isinstance(plan, Founding)
    assert (plan.founder.id, plan.host, plan.others, plan.stage) == (1, "zk1", ("zk2", "zk3"), Stage.BARE)


def test_the_founder_votes_and_observers_come_last() -> None:
    roles = {n: host(n, release="3.9.5", role=Role.OBSERVER if n < 3 else Role.PARTICIPANT) for n in (1, 2, 3)}
    plan = of(BARE, None, inventory(3, **{f"zk{n}": h for n, h in roles.items()}))
    assert isinstance(plan, Founding) and (plan.host, plan.others) == ("zk3", ("zk1", "zk2"))


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"role": Role.OBSERVER, "release": "3.9.5"}, "no host of the group is to vote"),
        ({}, "no zkprov_release"),
        ({"release": "3.9.5", "quorum_group": 1}, "founds a majority list"),
        ({"release": "3.9.5", "quorum_weight": 0}, "founds a majority list"),
    ],
)
def test_a_group_that_cannot_found(changed: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said) as wrong:
        of(BARE, None, inventory(3, **{f"zk{n}": host(n, **changed) for n in (1, 2, 3)}))
    assert wrong.value.remedy


def test_anything_that_lies_or_answers_is_refused() -> None:
    assert "zk2" in refused(BARE.having("zk2", disk=disk_of(2, ALONE, active=False)), None, "R5", 3)
    other = msgspec.structs.replace(
        ensemble(members((9,)), 9).servers[0], name="zk3", client=HostPort("10.0.0.3", 2181)
    )
    assert "zk3" in refused(Made((*BARE.without(3).servers, other), ALONE), None, "R6", 3)


def test_what_another_founding_has_begun_is_its_own() -> None:
    """Neither a leader without a ledger yet nor files that were just laid are for an `add-node`, or to be set aside."""
    theirs = "bootstrap-zk2"
    leads = healthy(1).spare("zk2", "zk3").having(1, ledger=Outcome.ABSENT)
    laid = BARE.having("zk2", disk=disk_of(2, ALONE, active=False))
    for made in (leads, laid):
        assert "zk2 is its founder" in refused(made, theirs, "R8", 5)
    # bare hosts are founded on, and the fence on each is in the way
    assert stage(BARE, theirs) is Stage.BARE


@pytest.mark.parametrize("name", ["zk1", "zk3"])
@pytest.mark.parametrize("outcome", [Outcome.DENIED, Outcome.TIMEOUT, Outcome.NOT_ASKED])
def test_a_disk_that_was_not_seen_is_not_bare(name: str, outcome: Outcome) -> None:
    assert name in refused(BARE.having(name, disk=outcome), None, "R5", 4)
    assert name in refused(BARE.having(name, disk=outcome), OURS, "R5", 4)


def test_what_an_earlier_attempt_left_may_go_only_as_long_as_there_is_no_data() -> None:
    configured = disk_of(1, ALONE, has_data=False, active=False, initialize=True)
    assert stage(BARE.having("zk1", disk=configured), OURS) is Stage.BEGUN
    assert stage(BARE, OURS) is Stage.BEGUN
    ran = disk_of(1, ALONE, active=False)
    assert stage(BARE.having("zk1", disk=ran), OURS) is Stage.LAID
    assert stage(BARE.having("zk1", disk=msgspec.structs.replace(configured, active=True)), OURS) is Stage.LAID
    assert "zk1" in refused(BARE.having("zk1", disk=ran), None, "R5", 3), "not ours"
    assert "zk1" in refused(BARE.having("zk1", disk=ran), "bootstrap-zk2", "R8", 5), "another founding's"


def test_servers_that_have_just_been_started_are_waited_for() -> None:
    """A founder that lost its power, and is coming up again, is no host to be cleared."""
    comes_up = BARE.having("zk1", disk=disk_of(1, ALONE, active=True))
    assert "none serves yet" in refused(comes_up, None, "R8", 4)
    two = members((1, 2), version=7)
    elects = BARE.having("zk1", disk=disk_of(1, two, active=True)).having("zk2", disk=disk_of(2, two, active=True))
    assert "none serves yet" in refused(elects, None, "R8", 4)
    # of servers that are no hosts of the group nothing is waited for
    others = members((1, 2, 9), version=7)
    assert "does not come in empty" in refused(BARE.having("zk1", disk=disk_of(1, others, active=True)), None, "R5", 3)
    # nor for files on which nothing runs
    assert "does not come in empty" in refused(BARE.having("zk1", disk=disk_of(1, two, active=False)), None, "R5", 3)


@pytest.mark.parametrize("listed", [members((1, 2), version=0), None])
def test_data_of_another_list_is_refused_though_the_host_is_ours(listed: object) -> None:
    disk = disk_of(1, members((1, 2), version=0), active=False) if listed else Disk(1, {}, None, None, has_data=True)
    assert "holds data, and not of a founder" in refused(BARE.having("zk1", disk=disk), OURS, "R5", 3)


def test_a_founder_that_leads() -> None:
    leads = healthy(1).spare("zk2", "zk3")
    assert stage(leads, OURS) is Stage.LEADS
    assert "stands here already" in refused(leads, None, "R10", 3), "nobody's fence: it is not ours to go on with"


def test_a_founding_that_goes_on_and_one_that_is_over() -> None:
    assert stage(founded(True)) is Stage.FOUNDED
    told = refused(founded(False), None, "R10", 3)
    assert "its founding is over" in told and "not in it: zk2, zk3" in told
    whole = healthy(3).ledger((1, 2, 3))
    assert of(whole) is None
    assert "did not found it" in refused(healthy(3), None, "R10", 3)


def test_a_founder_that_fell_silent_is_no_bare_host() -> None:
    """Its ports do not answer and its disk cannot be read: nothing may be concluded."""
    silent = facts("zk1", HostPort("10.0.0.1", 2181), srvr=Outcome.TIMEOUT, disk=Outcome.TIMEOUT)
    refused(Made((silent, *BARE.without(1).servers), ALONE), OURS, "R5", 4)
