"""A member of a real ensemble gives its vote up, the leader too, and gets it back, under load: its process and its disk stay."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.real.driver import Load, Sampler, Touched, Zkprov, live_config, mode, wait_for
from tests.real.test_remove_node import leader_of, ledger
from zkprov.act.local import LocalHost

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("set role")]
QUICK = ("--yes", "--settle", "0", "--samples", "1")


def role(config: str, server_id: int) -> str:
    found = re.search(rf"^server\.{server_id}=[^;]*:(\w+);", config, re.MULTILINE)
    return found[1] if found else ""


@pytest.mark.matrix(keep=1, of="members that change")
def test_there_and_back_under_load(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(4)
    zkprov, hosts = Zkprov(lab, tmp_path / "runs"), list(lab.founders)
    leader = leader_of(hosts)
    assert leader.id is not None
    rest = [h for h in hosts if h != leader]
    process = LocalHost(leader).processes()
    with Load(rest, per_s=50) as load, Sampler(lab) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        sampler.epochs.clear()
        zkprov("set-role", leader.name, "observer", *QUICK).expect(0, f"{leader.id} becomes an observer", "one quorum")
        assert mode(leader) == "observer" and all(role(live_config(h), leader.id) == "observer" for h in hosts)
        zkprov("set-role", str(leader.id), "observer", *QUICK).expect(0, "nothing to do")
        zkprov("set-role", str(leader.id), "participant", *QUICK).expect(0, f"promote {leader.id}")
        assert all(role(live_config(h), leader.id) == "participant" for h in hosts)
        zkprov("check").expect(0)
    # handed over, and no election besides
    assert len(sampler.epochs) <= 2
    assert all(len(set(names) - {leader.name}) <= 1 for names in sampler.leaders)
    assert LocalHost(leader).processes() == process, "it was not restarted"
    assert not any(load.missing(h) for h in hosts)
    # on the same disk it is no newcomer
    assert ledger(leader, f"members/{leader.id}")["seasoned"]
    assert not zkprov("status", "--output", "json").expect(0).json["ensemble"]["newcomers"]


@pytest.mark.matrix(keep=1, of="members that change")
def test_a_newcomer_that_gives_its_vote_up_begins_anew(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(3)
    zkprov = Zkprov(lab, tmp_path / "runs")
    zkprov("add-node", "zk4", *QUICK).expect(0)
    zkprov("set-role", "zk4", "observer", *QUICK).expect(0)
    assert ledger(lab.host(1), "members/4") is None
    zkprov("set-role", "zk4", "participant", *QUICK).expect(0, "newcomers {4}")
    assert zkprov("status", "--output", "json").json["ensemble"]["newcomers"].keys() == {"4"}
    touched = Touched(lab, "zk4")
    for arguments, code, words in (
        (("zk9", "observer"), 2, ("zk9 is no member",)),
        (("zk99", "observer"), 2, ("no server 'zk99'",)),
        (("zk1", "leader"), 2, ("is not one of",)),
        (("zk1",), 2, ("Missing argument",)),
        (("zk1", "observer", "--override", "R2", "--reason", "x"), 2, ("cannot be overridden",)),
    ):
        zkprov("set-role", *arguments, *QUICK).expect(code, *words)
    touched.nothing()
    zkprov("set-role", "zk1", "observer", *QUICK).expect(0)
    zkprov("set-role", "zk2", "observer", *QUICK).expect(3, "Refused by R4")
