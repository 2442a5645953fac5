"""A real ensemble with groups, under load: a vote comes, goes and comes back, the leader hands over and leaves; and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.real.driver import Load, Sampler, Touched, Zkprov, edited_inventory, live_config, mode, wait_for
from tests.real.test_remove_node import gone_for_good, leader_of
from tests.real.test_restart import pids
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


def test_one_vote_at_a_time_under_load(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(4, seats=[Seat(1), Seat(1), Seat(2), Seat(3)])
    zkprov, hosts = Zkprov(lab, tmp_path / "runs"), list(lab.founders)
    zk3, zk4, zk5 = (lab.host(i) for i in (3, 4, 5))
    touched = Touched(lab, "zk5")
    zkprov("add-node", "zk5", *ADD).expect(2, "in which group zk5 is to vote is not said", "group 1 {1,2}, group 2 {3}")
    touched.nothing()
    zkprov = zkprov.with_inventory(edited_inventory(lab, tmp_path / "i.yml", "zk5", zkprov_quorum_group=3))
    assert leader_of(hosts) == zk4
    with Load([h for h in hosts if h != zk4], per_s=50) as load, Sampler(lab) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        zkprov("add-node", "zk5", *ADD).expect(0, "5 votes in group 3", "one quorum", "done: {1,2,3,4,5}")
        hosts.append(zk5)
        everywhere(hosts, group1="1:2", group2="3", group3="4:5")
        zkprov("set-role", "zk5", "observer", *ADD).expect(0)
        everywhere(hosts, group1="1:2", group2="3", group3="4:5", weight5="0")
        assert mode(zk5) == "observer"
        zkprov("set-role", "zk5", "participant", *ADD).expect(0, "5 votes in group 3")
        everywhere(hosts, group1="1:2", group2="3", group3="4:5")
        # it leads: handed over by two lists, stopped, and a voter of its group again
        zkprov("restart", "--only", "zk4", *ADD).expect(0, "hand over and restart 4", "serves again")
        everywhere(hosts, group1="1:2", group2="3", group3="4:5")
        # of two groups both would be needed; a majority of five would do without it
        zkprov("remove-node", "zk3", *QUICK).expect(3, "Refused by R4", "groups {1,2}, {4,5}", "before: 1, after: 0")
        leader = leader_of(hosts)
        sampler.epochs.clear()
        rest = [h for h in hosts if h != leader]
        assert zk3 in rest
        zkprov("remove-node", leader.name, *QUICK).expect(0, f"hand over: {leader.id}", "stopped for good")
    gone_for_good(leader, *rest)
    left = {g: [i for i in ids if i != leader.id] for g, ids in {"1": [1, 2], "2": [3], "3": [4, 5]}.items()}
    everywhere(rest, **{f"group{g}": ":".join(map(str, ids)) for g, ids in left.items()})
    assert len(sampler.epochs) <= 2, "handed over, and no election besides"
    assert not any(load.missing(h) for h in rest)
    zkprov("check").expect(0, "a quorum wins more than half of group 1")


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
    zkprov("add-node", "zk4", *ADD).expect(3, "Refused by R12", "static")
    zkprov("adopt", *ADD).expect(0, "it can be changed from here")
    assert not set(pids(lab).values()) & set(before.values())
    everywhere(hosts, group1="1", group2="2", group3="3")
    zkprov("add-node", "zk4", *ADD).expect(0, "4 votes in group 2, weight 0")
    everywhere([*hosts, lab.host(4)], group1="1", group2="2:4", group3="3", weight4="0")
    zkprov("check").expect(0)
