"""A real ensemble with groups, under load: a vote comes, goes and comes back, the leader hands over and leaves; and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.real.driver import Load, Sampler, Touched, Zkprov, edited_inventory, epoch, live_config, mode, wait_for
from tests.real.test_remove_node import gone_for_good, leader_of
from tests.real.test_restart import pids
from tests.real.test_upgrade import releases
from zkprov.model.inventory import InventoryHost
from zkprov.model.members import Seat

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("groups")]
ADD = ("--yes", "--settle", "0", "--samples", "1", "--step-timeout", "20")
QUICK = (*ADD, "--drain", "0")


def groups(text: str) -> dict[str, str]:
    """`group.1` → `1:2`, and `weight.1` where it is not 1."""
    found = dict(re.findall(r"^((?:group|weight)\.\d+)=(\S+)$", text, re.MULTILINE))
    return {k: v for k, v in found.items() if (k.startswith("group"), v) != (False, "1")}


def on_disk(host: InventoryHost) -> dict[str, str]:
    """Of the list that its zoo.cfg names."""
    zoo_cfg = (Path(host.config_dir) / "zoo.cfg").read_text()
    return groups(Path(re.findall(r"^dynamicConfigFile=(.*)$", zoo_cfg, re.MULTILINE)[-1]).read_text())


def everywhere(hosts: list[InventoryHost], **expected: str) -> None:
    """In memory and on disk of each."""
    want = {f"{k[:-1]}.{k[-1]}": v for k, v in expected.items()}
    assert [groups(live_config(h)) for h in hosts] == [want] * len(hosts)
    wait_for(lambda: all(on_disk(h) == want for h in hosts), what=f"{want} on disk: {[on_disk(h) for h in hosts]}")


def listed(of: dict[int, list[int]]) -> dict[str, str]:
    return {f"group{g}": ":".join(str(i) for i in sorted(ids)) for g, ids in of.items()}


@pytest.mark.matrix(keep=1, of="groups under load", among="changes under load")
def test_one_vote_at_a_time_under_load(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(4, seats=[Seat(1), Seat(1), Seat(2), Seat(3)])
    zkprov, hosts, zk5 = Zkprov(lab, tmp_path / "runs"), list(lab.founders), lab.host(5)
    leader = leader_of(hosts)
    assert leader.id is not None and leader.quorum_group is not None
    # into the group of who leads, so that it is not the last of it when it leaves
    of, its = {1: [1, 2], 2: [3], 3: [4]}, leader.quorum_group
    alone = next(h for h in hosts if h != leader and len(of[h.quorum_group or 0]) == 1)
    touched = Touched(lab, "zk5")
    zkprov("add-node", "zk5", *ADD).expect(2, "in which group zk5 is to vote is not said", "group 1 {1,2}, group 2 {3}")
    touched.nothing()
    zkprov = zkprov.with_inventory(edited_inventory(lab, tmp_path / "i.yml", "zk5", zkprov_quorum_group=its))
    with Load([h for h in hosts if h != leader], per_s=50) as load, Sampler(lab) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        zkprov("add-node", "zk5", *ADD).expect(0, f"5 votes in group {its}", "one quorum", "done: {1,2,3,4,5}")
        hosts.append(zk5)
        of[its].append(5)
        everywhere(hosts, **listed(of))
        zkprov("set-role", "zk5", "observer", *ADD).expect(0)
        everywhere(hosts, **listed(of), weight5="0")
        assert mode(zk5) == "observer"
        zkprov("set-role", "zk5", "participant", *ADD).expect(0, f"5 votes in group {its}")
        everywhere(hosts, **listed(of))
        sampler.epochs.clear()
        zkprov("remove-node", leader.name, *QUICK).expect(0, f"hand over: {leader.id}, which leads", "stopped for good")
        hosts.remove(leader)
        of[its].remove(leader.id)
        everywhere(hosts, **listed(of))
        assert len(sampler.epochs) <= 2, "handed over, and no election besides"
        # of two groups both would be needed; a majority of four would do without it
        zkprov("remove-node", alone.name, *QUICK).expect(3, "Refused by R4", "may fail before: 1, after: 0")
        # it leads: handed over by two lists, stopped, and a voter of its group again
        another = leader_of(hosts)
        zkprov("restart", "--only", another.name, *ADD).expect(0, f"hand over and restart {another.id}", "serves again")
        everywhere(hosts, **listed(of))
    gone_for_good(leader, *hosts)
    assert not any(load.missing(h) for h in hosts)
    zkprov("check").expect(0, "a quorum wins more than half of group 1 {")


@pytest.mark.matrix(keep=1, of="groups that are adopted", among="long changes")
def test_a_static_list_with_groups_is_adopted_and_grows(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(3, static=True, seats=[Seat(1), Seat(2), Seat(3)])
    hosts, before = list(lab.founders), pids(lab)
    listed = edited_inventory(
        lab,
        tmp_path / "i.yml",
        "zk4",
        everywhere={"zkprov_foreign_config_manager": "stopped"},
        zkprov_quorum_group=2,
        zkprov_quorum_weight=0,
    )
    zkprov = Zkprov(lab, tmp_path / "runs").with_inventory(listed)
    zkprov("adopt", *ADD).expect(0, "it can be changed from here")
    assert not set(pids(lab).values()) & set(before.values())
    everywhere(hosts, group1="1", group2="2", group3="3")
    zkprov("add-node", "zk4", *ADD).expect(0, "4 votes in group 2, weight 0")
    everywhere([*hosts, lab.host(4)], group1="1", group2="2:4", group3="3", weight4="0")


@pytest.mark.matrix(keep=1, of="groups that are upgraded", among="long changes")
def test_a_list_with_groups_and_weights_gets_another_release_under_load(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(4, spares=0, release="3.8.6", also=["3.9.5"], seats=[Seat(1, 2), Seat(1), Seat(2, 3), Seat(3)])
    zkprov, hosts = Zkprov(lab, tmp_path / "runs"), list(lab.founders)
    leader, was = leader_of(hosts), epoch(hosts[0])
    with Load(hosts, per_s=50) as load, Sampler(lab) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        zkprov("upgrade", "--to", "3.9.5", *ADD, "--soak", "1s").expect(
            0, f"hand over and restart {leader.id} with 3.9.5", "one quorum", "all run 3.9.5"
        )
        wait_for(lambda: all(mode(h) for h in hosts))
    assert releases(lab) == ["3.9.5"] * 4
    everywhere(hosts, group1="1:2", group2="3", group3="4", weight1="2", weight3="3")
    assert [epoch(h) for h in hosts] == [was + 1] * 4, "handed over, and no election besides"
    assert all(len(names) <= 1 for names in sampler.leaders)
    assert not any(load.missing(h) for h in hosts)
    zkprov("check").expect(0, "all run 3.9.5")
