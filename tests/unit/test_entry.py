"""Which id a new server may have: none that a disk or a list seen anywhere gives to another server (R5)."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.facts_made import (
    OTHERS,
    SESSION,
    VERSION,
    WORDS,
    Made,
    disk_of,
    found,
    healthy,
    host,
    inventory,
    members,
    serving,
)
from zkprov.judge.verdict import Purpose
from zkprov.model.facts import Disk, Fact, Outcome, Retired
from zkprov.model.server import Role
from zkprov.plan.membership import Wish, plan_add
from zkprov.plan.steps import Options, Plan, Refusal


def add(made: Made, name: int, given: int | None = None) -> Plan | Refusal:
    hosts = {f"zk{name}": host(name, id=given)}
    wish = Wish("4f1c", tuple(hosts.values()), Options(role=Role.OBSERVER), 0.0, "op@host", "0.1.0")
    return plan_add(made.health(Purpose.CHANGE), inventory(9, **hosts), wish)


def given_id(plan: Plan | Refusal) -> int:
    assert isinstance(plan, Plan), plan
    return plan.joiners[0].server.id


def refused(plan: Plan | Refusal) -> str:
    assert isinstance(plan, Refusal), plan
    assert (plan.rule, plan.exit_code) == ("R5", 3), plan
    assert plan.next
    return "\n".join((plan.headline, *plan.evidence))


def stopped(made: Made, name: str, disk: Disk) -> Made:
    return made.spare(name).having(name, disk=disk)


def test_a_host_where_a_server_runs_on_other_files_is_no_bare_one() -> None:
    detail = "nothing in /etc/zookeeper, and a ZooKeeper server runs there on /srv/zk/zoo.cfg (zk.service)"
    made = healthy(3).spare("zk5").having("zk5", disk=Fact("disk@zk5", Outcome.ANOTHERS, detail=detail))
    plan = add(made, 5)
    told = refused(plan)
    assert "no bare host" in told and "/srv/zk/zoo.cfg (zk.service)" in told
    assert (
        isinstance(plan, Refusal) and "zkprov_config_dir" in str(plan.next) and "zkprov_other_servers" in str(plan.next)
    )


BEFORE = members((1, 2, 3), version=VERSION - 5)
"""A list of before, which names only members of now."""


def test_an_id_on_a_stopped_disk_that_nobody_recorded_is_not_given_again() -> None:
    """4 was removed by hand, its host zk9 stopped: no ledger knows it, its disk lies there."""
    disk = disk_of(4, BEFORE, active=False)
    made = stopped(healthy(3).spare("zk5"), "zk9", disk)
    assert given_id(add(made, 5)) == 5
    told = refused(add(made, 5, 4))
    assert told.startswith("id 4 of zk5")
    assert "zk9: its myid is 4" in told


def test_a_myid_alone_is_enough() -> None:
    disk = Disk(4, {}, has_data=False)
    made = stopped(healthy(3).spare("zk5"), "zk9", disk)
    assert given_id(add(made, 5)) == 5
    refused(add(made, 5, 4))


@pytest.mark.parametrize("waiting", [False, True])
def test_a_voter_of_a_list_on_a_stopped_disk_is_not_given_again(waiting: bool) -> None:
    """The disk of 4 itself was never seen: zk9, once 5, stopped when 4 voted, or was about to."""
    named = members((1, 2, 3, 4, 5), version=VERSION - 4)
    disk = disk_of(5, BEFORE if waiting else named, named if waiting else None, active=False)
    made = stopped(healthy(3).spare("zk6"), "zk9", disk)
    assert given_id(add(made, 6)) == 6
    told = refused(add(made, 6, 4))
    assert "zk9: /etc/zookeeper/zoo.cfg.dynamic." in told
    assert (".next" in told) is waiting
    assert "names 4 as a voter" in told


def test_a_voter_of_a_list_in_memory_is_not_given_again() -> None:
    """A server that was removed runs on, under a list of before; its disk cannot be read."""
    named = members((1, 2, 3, 5, 6), version=VERSION - 4)
    left = msgspec.structs.replace(serving(5, named, 3), disk=found("disk", Outcome.NOT_ASKED))
    made = healthy(3).spare("zk4").also(left)
    assert given_id(add(made, 4)) == 4
    assert "in memory names 6 as a voter" in refused(add(made, 4, 6))
    assert "zk5: says that it is 5" in refused(add(made, 4, 5))


def test_what_is_no_obstacle() -> None:
    """Spares with nothing on them, lists of live members, observers, and the ensembles of others."""
    made = healthy(3).spare("zk4", "zk5", "zk6")
    assert given_id(add(made, 4, 4)) == 4
    watched = members((1, 2, 3), (4,), version=VERSION - 4)
    assert given_id(add(stopped(made, "zk9", disk_of(9, watched, active=False)), 4, 4)) == 4
    others = serving(4, members((4, 7), version=5), 7, identity=OTHERS, name="zk9", host="10.0.0.9")
    assert given_id(add(made.also(others), 5, 4)) == 4


def test_the_host_of_a_joiner_that_was_undone_comes_in_again() -> None:
    """Its files were moved aside, so that nothing is seen there; nobody voted with its id."""
    made = healthy(3).spare("zk4")
    assert given_id(add(made, 4, 4)) == 4
    aside = Retired(5, "zk4", None, 1, "zk4:/var/lib/zookeeper.set-aside-4f1c", last_list=made.live)
    assert given_id(add(made.ledger((1, 2, 3), retired=(aside,)), 4, 4)) == 4


def test_what_lies_on_the_host_itself_is_told_as_that() -> None:
    made = stopped(healthy(3), "zk4", disk_of(4, BEFORE, active=False, has_data=False))
    plan = add(made, 4, 4)
    assert isinstance(plan, Refusal)
    assert plan.headline == "zk4 does not come in empty."


def test_an_attested_id_is_given_again_though_a_list_names_it_but_not_while_its_disk_is_seen() -> None:
    named = members((1, 2, 3, 4, 5), version=VERSION - 4)
    wiped = Retired(4, "zk4", None, 1, fate="wiped")
    made = stopped(healthy(3).spare("zk6"), "zk9", disk_of(5, named, active=False)).ledger((1, 2, 3), retired=(wiped,))
    assert given_id(add(made, 6, 4)) == 4
    assert "zk8: its myid is 4" in refused(add(stopped(made, "zk8", disk_of(4, BEFORE, active=False)), 6, 4))


def test_an_ensemble_that_is_unsafe_as_it_is_comes_first() -> None:
    """The stopped disks could elect a leader: that is the danger, and not the id."""
    old = members((4, 5), version=VERSION - 4)
    made = healthy(3).spare("zk6")
    for i in (4, 5):
        made = stopped(made, f"zk{i}", disk_of(i, members((1, 4, 5), version=old.version), active=False))
    plan = add(made, 6, 4)
    assert isinstance(plan, Refusal)
    assert plan.rule == "R1"


def test_a_server_that_seeks_a_leader_elsewhere_stops_the_plan_and_on_the_host_itself_is_named_as_that() -> None:
    words = dict.fromkeys((*WORDS, *SESSION), Outcome.NOT_SERVING)
    made = healthy(3).spare("zk4", "zk5").having("zk5", **words, disk=Outcome.NOT_ASKED)
    plan = add(made, 4)
    assert isinstance(plan, Refusal)
    assert (plan.rule, plan.exit_code) == ("R8", 4)
    assert ("", "zk5: zoo.cfg and the files that it names") in plan.next
    assert refused(add(made, 5)).startswith("a server runs on zk5 already.")


def test_a_joiner_of_another_release_is_refused_before_it_is_laid() -> None:
    made = healthy(3).spare("zk4")
    hosts = {"zk4": host(4, release="3.8.6")}
    wish = Wish("4f1c", tuple(hosts.values()), Options(role=Role.OBSERVER), 0.0, "op@host", "0.1.0")
    plan = plan_add(made.health(Purpose.CHANGE), inventory(9, **hosts), wish)
    assert isinstance(plan, Refusal) and (plan.rule, plan.exit_code) == ("R8", 3)
    assert plan.headline == "zk4 would run 3.8.6, the members run 3.9.5."
    same = {"zk4": host(4, release="3.9.5")}
    again = msgspec.structs.replace(wish, hosts=tuple(same.values()))
    assert isinstance(plan_add(made.health(Purpose.CHANGE), inventory(9, **same), again), Plan)


def test_a_host_on_which_nobody_can_tell_what_runs_is_not_taken_for_empty() -> None:
    """`/proc` may hide other users' processes, and there may be no unit to ask."""
    files = Disk(None, {"tickTime": "2000"}, None, None, active=None)
    plan = add(stopped(healthy(3), "zk5", files), 5)
    assert isinstance(plan, Refusal) and (plan.rule, plan.exit_code) == ("R5", 4)
    assert plan.evidence == ("whether a server runs on its files cannot be told",)
    assert isinstance(add(stopped(healthy(3), "zk5", msgspec.structs.replace(files, active=False)), 5), Plan)
