"""Whose data is saved, what a plan says of its backup, and what is found when one is loaded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from tests.unit.facts_made import ZXID, Made, ensemble, healthy, inventory, members, outage
from zkprov.judge.backups import Check, compared, data_source, named_source, passed
from zkprov.judge.health import judge
from zkprov.judge.leaving import leaver_of
from zkprov.judge.verdict import Purpose
from zkprov.model.backup import Backup, Loaded, Look, name_of
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import BadInput, NotHealthy
from zkprov.observe.host_variables import host_of
from zkprov.plan.removal import RemovalWish, excused, plan_remove
from zkprov.plan.steps import Options, Plan, Refusal, StepKind
from zkprov.run.backups import Found, chosen, create
from zkprov.run.world import World

HOSTS = frozenset(f"zk{i}" for i in range(1, 8))


def source(made: Made, leaving: frozenset[int] = frozenset(), hosts: frozenset[str] = HOSTS, planned: str = "") -> str:
    found = data_source(made.health(), hosts, leaving, planned)
    return found.name if found else ""


class TestWhoseData:
    def test_of_a_follower_that_stays_and_is_furthest(self) -> None:
        five = ensemble(members((1, 2, 3, 4, 5)), 5)
        assert source(five) == "zk1"
        assert source(five, frozenset({1})) == "zk2"
        assert source(five.down(1)) == "zk2"
        behind = five.reading(1, zxid=ZXID - 5).reading(2, zxid=ZXID - 7)
        assert source(behind) == "zk3"

    def test_whom_the_plan_names_as_long_as_it_is_able(self) -> None:
        five = ensemble(members((1, 2, 3, 4, 5)), 5).reading(2, zxid=ZXID - 7)
        assert source(five, planned="zk2") == "zk2"
        assert source(five, planned="zk9") == source(five, planned="zk5") == "zk1", "it leads, or is nobody"
        assert source(five, frozenset({2}), planned="zk2") == source(five.down(2), planned="zk2") == "zk1"

    def test_of_no_observer_where_there_is_a_voter(self) -> None:
        assert source(healthy(2, observers=(3,)), frozenset({1})) == "zk3", "the leader has enough to do"
        assert source(healthy(3, observers=(4,))) == "zk1"

    def test_of_the_leader_where_there_is_no_other(self) -> None:
        assert source(healthy(1)) == "zk1"
        # one that leaves has the data too
        assert source(healthy(2), frozenset({1})) == "zk2"

    def test_of_nobody_who_is_no_host_of_the_inventory_or_serves_not(self) -> None:
        assert source(healthy(3), hosts=frozenset({"zk3"})) == "zk3"
        assert source(healthy(3), hosts=frozenset()) == ""
        assert source(healthy(3).down(1, 2, 3)) == ""

    def test_named_by_a_person(self) -> None:
        picture = healthy(3).health().picture
        for wanted in ("zk2", "2"):
            found = named_source(picture, wanted)
            assert found is not None and found.name == "zk2"
        assert named_source(picture, "zk9") is None and named_source(picture, "9") is None


def plan(made: Made, *names: str, without: str = "", backup: bool = True) -> Plan:
    wish = RemovalWish("4f1c", names, Options(settle_s=0.0, backup=backup), 0.0, "op@host", "0.1.0")
    silent = excused([leaver_of(made.health().picture, n) for n in names])
    listed = inventory(9)
    listed = msgspec.structs.replace(listed, hosts=tuple(h for h in listed.hosts if h.name != without))
    found = plan_remove(judge(made.health().picture.survey, Purpose.CHANGE, excused=silent), listed, wish)
    assert isinstance(found, Plan), found
    return found


class TestPlans:
    def test_it_comes_first_and_changes_nothing(self) -> None:
        made = plan(healthy(5), "zk1", "zk2")
        first, *rest = made.steps
        assert (first.kind, first.server, first.host) == (StepKind.BACKUP, 3, "zk3")
        assert first.before == first.after and first.before.same_list(made.base) and first.spare_after == 2
        assert first.title == "back up: configs and epochs of all, data of 3" and first.name == "backup 3"
        assert [s.number for s in made.steps] == list(range(1, len(made.steps) + 1))
        bare = plan(healthy(5), "zk1", "zk2", backup=False)
        assert [s.title for s in rest] == [s.title for s in bare.steps]
        assert made.hosts == bare.hosts, "what it acts on is taken by no run"

    @pytest.mark.parametrize("unwell", ["down", "behind"])
    def test_who_need_not_be_well_in_the_first_step_of_leaving_need_not_in_this(self, unwell: str) -> None:
        made = healthy(5).down(2) if unwell == "down" else healthy(5).reading(2, zxid=1)
        assert plan(made, "zk2").excused(1) == {2} == plan(made, "zk2").excused(2)

    def test_of_several_that_leave_each_is_well_until_it_is_its_turn(self) -> None:
        made = plan(healthy(5), "zk1", "zk2")
        assert made.excused(1) == made.excused(2) == {1}

    def test_a_member_without_a_backup_is_named(self) -> None:
        made = plan(healthy(5), "zk1", without="zk3")
        assert "no backup of 3: it is no host of the inventory" in made.notes
        assert made.steps[0].server == 2


class TestByHand:
    world = cast(World, SimpleNamespace(inventory=inventory(9)))

    def test_of_two_ensembles_a_person_says_which(self) -> None:
        refused = create(self.world, outage().health(), "op@host")
        assert isinstance(refused, Refusal) and (refused.rule, refused.exit_code) == ("R8", 3)
        assert "--data-of SERVER" in refused.next[1][0]

    @pytest.mark.parametrize("wanted", ["zk77", "77"])
    def test_whose_data_is_named_wrongly(self, wanted: str) -> None:
        with pytest.raises(BadInput, match="no server"):
            create(self.world, healthy(3).health(), "op@host", wanted)

    def test_which_is_meant(self) -> None:
        new = [Backup("20270101T000000Z-a", host=f"zk{i}", data=i == 2) for i in (1, 2)]
        newest = Backup("20270102T000000Z-b", host="zk1")
        found = Found((newest, *new))
        assert chosen(found, self.world, None, ()) == tuple(new), "the newest that has data"
        assert chosen(found, self.world, newest.name, ()) == (newest,)
        assert chosen(found, self.world, None, ("zk2",)) == (new[1],)
        with pytest.raises(NotHealthy, match="no backup with data") as none:
            chosen(found, self.world, None, ("zk1",))
        assert none.value.remedy == "zkprov backup create"
        with pytest.raises(BadInput, match="no backup '2020'"):
            chosen(found, self.world, "2020", ())
        with pytest.raises(BadInput, match="no host 'zk77'"):
            chosen(found, self.world, None, ("zk77",))


SAVED = Backup(
    "20261128T235508Z-4f1c2a",
    data=True,
    count=9,
    zxid=0x100000180,
    snapshot=0x100000005,
    looks=(Look(0x10000017F, 12), Look(0x100000181, 12)),
    digests={str(0x100000080): 11, str(0x100000100): 22},
)
SOUND = Loaded(0x100000180, 12, "3.9.5", 0, {str(0x100000080): 11, str(0x100000100): 22}, 0.7)


def checks(loaded: Loaded = SOUND, saved: Backup = SAVED, **changed: Any) -> dict[str, Check]:
    found = compared(saved, msgspec.structs.replace(loaded, **changed))
    assert passed(found) is all(c.ok is not False for c in found)
    return {c.what: c for c in found}


class TestLoaded:
    def test_all_is_as_it_was(self) -> None:
        found = checks()
        assert [(c.what, c.ok) for c in found.values()] == [
            (w, True) for w in ("checksums", "loads", "zxid", "znodes", "digest")
        ]
        assert found["digest"].said == "the server's at 0x100000080 and 0x100000100"

    @pytest.mark.parametrize(
        ("changed", "what", "said"),
        [
            ({"damaged": ("data/myid is missing",)}, "checksums", "data/myid is missing"),
            ({"said": "CRC check failed"}, "loads", "does not start on it: CRC check failed"),
            ({"zxid": 0x10000017A}, "zxid", "reaches 0x10000017a, saved was up to 0x100000180"),
            ({"nodes": 11}, "znodes", "11, and the server had 12 at 0x10000017f and 0x100000181"),
            ({"digests": {str(0x100000100): 23}}, "digest", "another than the server's at 0x100000100"),
            ({"mismatches": 3}, "digest", "after 3 transactions the data is not what the log says"),
        ],
    )
    def test_what_is_not_sound(self, changed: dict[str, Any], what: str, said: str) -> None:
        found = checks(**changed)
        assert found[what].ok is False and said in found[what].said

    def test_transactions_that_stand_in_the_log_twice_are_no_damage(self) -> None:
        """At the second time they find a tree that holds later ones, and what the log says of it cannot be."""
        twice = {"mismatches": 3, "twice": 4, "once": SOUND}
        found = checks(**twice)["digest"]
        assert found.ok and found.said.startswith("the server's at 0x100000080 and 0x100000100; 4 transactions stand")
        apart = checks(saved=msgspec.structs.replace(SAVED, digests={}), **twice)["digest"]
        assert apart.ok is None and "none at a common zxid; 4 transactions stand in the log twice" in apart.said
        # one that was read at the second time only: what the log without them gives is the right one
        assert checks(**twice, digests={str(0x100000080): 33, str(0x100000100): 22})["digest"].ok is False
        assert checks(**{**twice, "once": msgspec.structs.replace(SOUND, digests={str(0x100000100): 22})})["digest"].ok

    @pytest.mark.parametrize(
        ("once", "said"),
        [
            ({"mismatches": 1}, "nor is it without the 4 that stand in it twice"),
            ({"said": "CRC check failed"}, "without the 4 that stand in it twice: CRC check failed"),
            ({"nodes": 13}, "the 4 that stand in it twice make another of it"),
            ({"digests": {str(0x100000100): 23}}, "make another of it at 0x100000100"),
        ],
    )
    def test_beside_them_damage_is_damage(self, once: dict[str, Any], said: str) -> None:
        found = checks(mismatches=3, twice=4, once=msgspec.structs.replace(SOUND, **once))["digest"]
        assert found.ok is False and said in found.said

    @pytest.mark.parametrize(
        ("saved", "changed", "what", "said"),
        [
            ({"looks": (Look(1, 12), Look(2, 13))}, {}, "znodes", "not comparable: the server had 12 and 13"),
            ({"looks": ()}, {}, "znodes", "12; how many the server had was not told"),
            ({"digests": {}}, {}, "digest", "none at a common zxid; no mismatch was counted"),
            ({}, {"digests": {}, "mismatches": None}, "digest", "not told by this release"),
        ],
    )
    def test_what_cannot_be_compared_is_said(
        self, saved: dict[str, Any], changed: dict[str, Any], what: str, said: str
    ) -> None:
        found = checks(saved=msgspec.structs.replace(SAVED, **saved), **changed)
        assert found[what].ok is None and said in found[what].said
        assert passed(tuple(found.values()))


def test_a_name_sorts_by_time() -> None:
    assert name_of(1_800_000_000.7, "4f1c2a") == "20270115T080000Z-4f1c2a"
    assert name_of(1_800_000_000, "") == "20270115T080000Z-by-hand"


class TestInventory:
    def host(self, **variables: object) -> InventoryHost:
        return host_of("zk1", {f"zkprov_{name}": value for name, value in variables.items()}, "inventory.yml")

    def test_beside_the_data_unless_said_otherwise(self) -> None:
        host = self.host(data_dir="/data/zk")
        assert (host.backups, host.backup_keep) == ("/data/zk.backups", 5)
        host = self.host(backup_dir="/backup/zk", backup_keep="9")
        assert (host.backups, host.backup_keep) == ("/backup/zk", 9)

    @pytest.mark.parametrize(
        ("variables", "said"),
        [
            (
                {"backup_dir": "/var/lib/zookeeper/backups"},
                "lies in /var/lib/zookeeper, and would be set aside with it",
            ),
            ({"backup_dir": "/etc/zookeeper"}, "lies in /etc/zookeeper"),
            ({"backup_dir": "backups"}, "zkprov_backup_dir: not an absolute path"),
            ({"backup_keep": 0}, "zkprov_backup_keep: 0 is not a number of backups"),
            ({"backup_keep": "many"}, "zkprov_backup_keep: not a whole number"),
        ],
    )
    def test_what_is_refused(self, variables: dict[str, object], said: str) -> None:
        with pytest.raises(BadInput, match=said):
            self.host(**variables)
