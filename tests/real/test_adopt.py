"""A real static ensemble becomes one that zkprov can change: under load, killed in the middle, given up, and after it lost its file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.real.driver import (
    Load,
    Sampler,
    Zkprov,
    edited_inventory,
    lists_on_disk,
    live_config,
    mode,
    version_of,
    wait_for,
)
from tests.real.test_remove_node import leader_of
from tests.real.test_restart import pids, turns
from zkprov.lab.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("adopt")]
QUICK = ("--yes", "--samples", "2", "--sample-interval", "0.1", "--step-timeout", "20")


def zoo_cfgs(lab: Lab) -> dict[str, bytes]:
    return {h.name: (Path(h.config_dir) / "zoo.cfg").read_bytes() for h in lab.founders}


def stopped(lab: Lab, path: Path) -> Path:
    return edited_inventory(lab, path, everywhere={"zkprov_foreign_config_manager": "stopped"})


def test_a_static_ensemble_is_adopted_under_load_and_grows(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(3, static=True)
    hosts, before, files = list(lab.founders), pids(lab), zoo_cfgs(lab)
    zkprov = Zkprov(lab, tmp_path / "runs")
    # nobody has said that no other program writes zoo.cfg
    zkprov("adopt", *QUICK).expect(
        3, "Refused by R10", "zkprov_foreign_config_manager: stopped", "reconfigEnabled=true"
    )
    assert (pids(lab), zoo_cfgs(lab)) == (before, files)
    zkprov = zkprov.with_inventory(stopped(lab, tmp_path / "i.yml"))
    leader = leader_of(hosts)
    zkprov("plan", "adopt", "--detailed-exitcode").expect(10, "back up", "write reconfigEnabled", "missing")
    with Load(hosts, per_s=50) as load, Sampler(lab) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        zkprov("adopt", *QUICK, "--events", str(tmp_path / "e.jsonl")).expect(0, "it can be changed from here")
        wait_for(lambda: all(mode(h) for h in hosts))
    steps = turns(tmp_path / "e.jsonl")
    assert [s.split()[0] for s in steps] == ["backup", "flag", "restart", "restart", "restart", "adopt"]
    assert steps[-2] == f"restart {leader.id}", "the leader last"
    assert not set(pids(lab).values()) & set(before.values())
    assert all(len(names) <= 1 for names in sampler.leaders)
    assert not any(load.missing(h) for h in hosts)
    version = version_of(live_config(*hosts))
    assert int(version, 16) > 0
    assert {lists_on_disk(h)[-1] for h in hosts} == {version}
    assert all(re.search(rb"^reconfigEnabled=true$", text, re.MULTILINE) for text in zoo_cfgs(lab).values())
    zkprov("check").expect(0)
    zkprov("adopt", *QUICK).expect(0, "nothing to do")
    zkprov.add("zk4").expect(0)
    zkprov("check").expect(0)
