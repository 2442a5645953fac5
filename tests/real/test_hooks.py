"""The operator's hooks around the steps of a plan: run in order, and stopping it where they fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.driver import QUICK, Zkprov, events_in, live_config
from zkprov.lab.lab import Lab

pytestmark = pytest.mark.real


@pytest.fixture
def lab(make_lab) -> Lab:
    return make_lab(1)


def hook(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_hooks_run_around_each_step_and_one_that_fails_stops_the_run(lab: Lab, tmp_path: Path) -> None:
    zkprov, hooks, told, events = Zkprov(lab, tmp_path / "runs"), tmp_path / "hooks", tmp_path / "told", tmp_path / "e"
    hooks.mkdir()
    names = [f"{when}-{step}" for step in ("start", "promote", "settle") for when in ("before", "after")]
    for name in names:
        hook(hooks, name, f'echo "{name} $ZKPROV_PHASE $ZKPROV_HOST" >>{told}')
    add = ("add-node", "zk2", *QUICK, "--settle", "1s", "--playbooks", str(hooks), "--events", str(events))

    # before the vote: undone
    hook(hooks, "before-promote", "echo 'no change window' >&2; exit 3")
    refused = zkprov(*add).expect(4, "zk2: the hook before-promote failed with exit code 3: no change window")
    refused.expect(4, "the list is {1}")
    assert "server.2" not in live_config(lab.host(1))

    # after it: the vote stands, and the run is taken up
    told.unlink()
    hook(hooks, "before-promote", f"echo 'before-promote promote zk2' >>{told}")
    hook(hooks, "after-promote", f"[ -e {tmp_path}/fixed ]")
    zkprov(*add).expect(7, "the hook after-promote failed with exit code 1", "zkprov resume")
    assert ":participant" in next(line for line in live_config(lab.host(1)).splitlines() if "server.2" in line)
    (tmp_path / "fixed").touch()
    resume = ("resume", "--playbooks", str(hooks), "--events", str(events))
    zkprov(*resume).expect(0, "done: {1,2}")
    expected = [f"{n} {n.partition('-')[2]} zk2" for n in names if n != "after-promote"]
    again = expected.index("before-promote promote zk2")
    assert told.read_text().splitlines() == expected[: again + 1] + expected[again:]
    ran = [e["evidence"]["hook"] for e in events_in(events) if e["kind"] == "hook"]
    assert ran[-4:] == names[2:], "told as events, those of the resumed run last"


def test_a_plan_is_bound_to_its_hooks_on_this_machine_too(lab: Lab, tmp_path: Path) -> None:
    zkprov, hooks, plan = Zkprov(lab, tmp_path / "runs"), tmp_path / "hooks", tmp_path / "plan.json"
    hooks.mkdir()
    hook(hooks, "before-promote", "true")
    given = ("--playbooks", str(hooks))
    zkprov("plan", "add", "zk2", "--out", str(plan), "--settle", "0", *given).expect(0)
    hook(hooks, "before-promote", "false")
    zkprov("apply", str(plan), "--yes", *given).expect(6, "playbooks")
