"""Three real ensembles of one inventory: looked at together, changed one after another, and no further after a failure."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.real.driver import Done, Zkprov, events_in, secrets_of, wait_for
from zkprov.act.local import LocalHost
from zkprov.lab.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("fleet")]
NAMES = ("alpha", "beta", "gamma")
# of two servers none may be down: with that rule aside they are the smallest ensembles that can be restarted
ROLL = ("--override", "R4", "--reason", "a test", "--samples", "1", "--sample-interval", "0.1")


class Fleet:
    def __init__(self, home: Path) -> None:
        self.labs = {name: Lab.create(name, 2, spares=0, home=home / "labs", tick_ms=500) for name in NAMES}
        self.inventory = home / "fleet.yml"
        self.write()
        self.zkprov = Zkprov(
            self.labs["alpha"],
            home / "runs",
            self.inventory,
            tuple(s for x in self.labs.values() for s in secrets_of(x)),
        )

    def write(self, **more: dict[str, Any]) -> None:
        """The inventory; `more`: variables of a group. Each lab has a zk1 of its own."""
        groups = {}
        for name, lab in self.labs.items():
            group = yaml.safe_load(lab.inventory_path.read_text())["all"]["children"][name]
            hosts = {f"{name}-{host}": values for host, values in group["hosts"].items()}
            groups[name] = {"hosts": hosts, "vars": {**group.get("vars", {}), **more.get(name, {})}}
        self.inventory.write_text(yaml.safe_dump({"all": {"children": groups}}, sort_keys=False))
        self.inventory.chmod(0o600)

    def pids(self, name: str) -> dict[str, int]:
        return {h.name: p.pid for h in self.labs[name].hosts for p in LocalHost(h).processes()}


@pytest.fixture(scope="module")
def fleet(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    home = tmp_path_factory.mktemp("fleet")
    found = Fleet(home)
    try:
        for lab in found.labs.values():
            lab.up()
        yield found
    finally:
        for lab in found.labs.values():
            lab.down()


def rows(done: Done) -> dict[str, Any]:
    return {row["ensemble"]: row for row in done.json["ensembles"]}


def test_all_are_seen_in_one_table(fleet: Fleet) -> None:
    zkprov = fleet.zkprov
    zkprov("status", "--all").expect(0, "3 ensembles", "alpha safe", "beta safe", "gamma safe", "2 of 2")
    found = rows(zkprov("check", "--limit", "all:!beta", "--output", "json").expect(0))
    assert list(found) == ["alpha", "gamma"]
    assert all(r["verdict"] == "safe" and r["answered"] == 2 and len(r["leaders"]) == 1 for r in found.values())
    # what is wrong in the inventory of one is told of that one, and the others are seen
    fleet.write(beta={"zkprov_nonsense": 1})
    done = zkprov("check", "--all", "--output", "json").expect(2)
    assert {n: r["verdict"] for n, r in rows(done).items()} == {"alpha": "safe", "beta": "error", "gamma": "safe"}
    before = {name: fleet.pids(name) for name in NAMES}
    zkprov("restart", "--all", "--yes", *ROLL).expect(2, "zkprov_nonsense", "--limit '!beta'")
    fleet.write()
    # and what is down in one is that one's too
    stopped = next(iter(fleet.pids("gamma").values()))
    os.kill(stopped, signal.SIGSTOP)
    try:
        done = zkprov("status", "--all", "--timeout", "1", "--output", "json").expect(4)
        assert {n: r["exit_code"] for n, r in rows(done).items()} == {"alpha": 0, "beta": 0, "gamma": 4}
    finally:
        os.kill(stopped, signal.SIGCONT)
    wait_for(lambda: zkprov("check", "--all").code == 0, what="a healthy fleet")
    assert before == {name: fleet.pids(name) for name in NAMES}


def test_the_canary_first_and_nobody_after_a_failure(fleet: Fleet, tmp_path: Path) -> None:
    zkprov, events = fleet.zkprov, tmp_path / "events.jsonl"
    fleet.write(gamma={"zkprov_canary": True})
    before = {name: fleet.pids(name) for name in NAMES}
    running = zkprov.start(
        "restart", "--all", "--yes", *ROLL, "--step-timeout", "3", "--timeout", "1", "--output", "json", "--events", str(events)
    )  # fmt: skip
    # all have a plan by then; of alpha, which comes next, a server hangs when it is its turn
    wait_for(lambda: [e for e in events_in(events) if e["kind"] == "step.begun"], what="the canary's first step")
    stopped = next(iter(fleet.pids("alpha").values()))
    os.kill(stopped, signal.SIGSTOP)
    try:
        done = running.wait()
    finally:
        os.kill(stopped, signal.SIGCONT)
    done.expect(4)
    found = rows(done)
    assert {n: (r["outcome"], r["exit_code"]) for n, r in found.items()} == {
        "gamma": ("done", 0), "alpha": ("not healthy", 4), "beta": ("not begun", None),
    }, done  # fmt: skip
    now = {name: fleet.pids(name) for name in NAMES}
    assert not set(now["gamma"].values()) & set(before["gamma"].values())
    assert now["alpha"] == before["alpha"] and now["beta"] == before["beta"]
    assert found["gamma"]["run"] and found["gamma"]["plan"]["steps"] and found["beta"]["plan"]["steps"]
    assert any("beta" in step for step in done.json["next"])
    zkprov("history", inventory=False).expect(0, found["gamma"]["run"])
    wait_for(lambda: zkprov("check", "--all").code == 0, what="a healthy fleet")


def test_a_signal_ends_those_that_go_on_and_begins_nobody(fleet: Fleet, tmp_path: Path) -> None:
    zkprov, events = fleet.zkprov, tmp_path / "events.jsonl"
    fleet.write()
    before = {name: fleet.pids(name) for name in NAMES}
    running = zkprov.start("restart", "--all", "--yes", *ROLL, "--settle", "1h", "--events", str(events))
    wait_for(lambda: [e for e in events_in(events) if e["kind"] == "settling"], what="the canary's settling")
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    done = running.wait().expect(7, "alpha interrupted 7", "beta not begun", "zkprov resume", "-E alpha")
    assert time.monotonic() - began < 5 + 1
    assert fleet.pids("beta") == before["beta"] and fleet.pids("gamma") == before["gamma"]
    assert "Plan" in done.out
    zkprov("abort", "-E", "alpha").expect(0)
    # without a terminal nobody is asked, and nothing is done
    zkprov("restart", "--all", *ROLL).expect(2, "no terminal to ask on; say --yes")
    zkprov("restart", "--limit", "beta", "--dry-run", *ROLL).expect(0, "Plan", "restart 1")
    assert fleet.pids("beta") == before["beta"]
