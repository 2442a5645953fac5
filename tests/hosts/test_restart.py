"""Real machines are restarted one after another, with another unit and zoo.cfg, under load; one that does not come up goes back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from tests.hosts.operator import QUICK, Operator
from tests.real.driver import Load, Sampler, epoch, events_in, mode, wait_for, word

pytestmark = pytest.mark.real
ROLL = ("--yes", "--samples", "2", "--sample-interval", "0.2")


@pytest.mark.timeout(600)
@pytest.mark.matrix(keep=1, of="restarts on hosts", among="stories on hosts")
def test_machines_are_restarted_with_other_files(operator: Callable[[int], Operator]) -> None:
    made = operator(3)
    made.of(3)("bootstrap", *QUICK, timeout_s=300).expect(0, "done: {1,2,3}")
    hosts = made.hosts()
    leader, was = next(h for h in hosts if mode(h) == "leader"), epoch(hosts[0])
    settings = {"maxClientCnxns": "77"}
    zkprov = made.of(3, zkprov_heap="96m", zkprov_settings=settings)
    zkprov("plan", "restart", "--config", "--detailed-exitcode").expect(10, "zoo.cfg", "unit", "hand over and restart")
    events = made.folder / "roll.jsonl"
    with Load(hosts, per_s=50) as load, Sampler(SimpleNamespace(hosts=hosts)) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        zkprov("restart", "--config", *ROLL, "--events", str(events), timeout_s=300).expect(0)
    order = [e["evidence"]["step"] for e in events_in(events) if e["kind"] == "step.done"]
    assert len(order) == 3 and order[-1] == f"restart {leader.name.removeprefix('zk')}"
    # handed over: a leader more, and none without the other's end
    assert [epoch(h) for h in hosts] == [was + 1] * 3
    assert not any(load.missing(h) for h in hosts)
    assert all(len(names) <= 1 for names in sampler.leaders[-3:])
    assert all("maxClientCnxns=77" in word(h, "conf") for h in hosts)
    for machine in made.machines:
        assert "-Xmx96m" in machine.shell("cat /proc/$(pgrep -f [Q]uorumPeerMain)/cmdline | tr '\\0' ' '")
        assert machine.shell("stat -c '%U %a' /etc/zookeeper/zoo.cfg").split() == ["zookeeper", "640"]
        assert machine.shell("stat -c '%U %a' /etc/systemd/system/zookeeper.service").split() == ["root", "644"]
    zkprov("plan", "configure", "--detailed-exitcode").expect(0, "no drift")
    zkprov("restart", "--config", *ROLL).expect(0, "nothing to do")

    # a unit by which no server starts
    broken = made.of(3, zkprov_heap="96m", zkprov_settings=settings, zkprov_jvm_flags=["-XX:+NoSuchFlag"])
    before = {m.name: m.shell("pgrep -f [Q]uorumPeerMain") for m in made.machines}
    done = broken("restart", "--config", *ROLL, "--step-timeout", "15", timeout_s=300)
    done.expect(4, "undone", "has its former files and serves again")
    after = {m.name: m.shell("pgrep -f [Q]uorumPeerMain") for m in made.machines}
    assert sum(before[n] != after[n] for n in before) == 1, "nobody else is touched"
    zkprov = made.of(3, zkprov_heap="96m", zkprov_settings=settings)
    zkprov("plan", "configure", "--detailed-exitcode").expect(0, "no drift")
    zkprov("check").expect(0)

    # other ports, without a restart; one that it may not have, since something listens there
    host = next(h for h in made.hosts() if mode(h) == "follower")
    machine = made.machines[host.name]
    document = yaml.safe_load(made.inventory.read_text())
    _variables(document, host.name).update(zkprov_client_port=2291, zkprov_quorum_port=2998, zkprov_election_port=22)
    made.inventory.write_text(yaml.safe_dump(document))
    zkprov("set-address", host.name, *QUICK).expect(4, "something listens at", ":22 already", "nothing was begun")
    _variables(document, host.name).update(zkprov_election_port=3998)
    made.inventory.write_text(yaml.safe_dump(document))
    pid = machine.shell("pgrep -f [Q]uorumPeerMain")
    zkprov("set-address", host.name, *QUICK).expect(0, "done: {1,2,3}", ":2998:3998")
    moved = next(h for h in made.hosts() if h.name == host.name)
    assert mode(moved) == "follower" and not mode(host) and machine.shell("pgrep -f [Q]uorumPeerMain") == pid
    zkprov("check").expect(0)


def _variables(document: Any, name: str) -> dict[str, Any]:
    """Of a host, wherever the inventory has it."""
    if isinstance(document, dict):
        hosts = document.get("hosts")
        if isinstance(hosts, dict) and name in hosts:
            hosts[name] = hosts[name] or {}
            return cast(dict[str, Any], hosts[name])
        for part in document.values():
            with contextlib.suppress(KeyError):
                return _variables(part, name)
    raise KeyError(name)


@pytest.mark.timeout(600)
@pytest.mark.matrix(keep=1, of="restarts on hosts", among="stories on hosts")
def test_a_machine_dies_for_good_in_the_roll(operator: Callable[[int], Operator]) -> None:
    """The run can be given up, though that machine cannot be asked; and the machine can leave."""
    made = operator(3)
    zkprov = made.of(3)
    zkprov("bootstrap", *QUICK, timeout_s=300).expect(0, "done: {1,2,3}")
    events = made.folder / "roll.jsonl"
    running = zkprov.start("restart", *ROLL, "--settle", "60", "--step-timeout", "10", "--events", str(events))
    wait_for(lambda: any(e["kind"] == "settling" for e in events_in(events)) or running.process.poll(), 120, "a settle")
    first = next(e["evidence"]["step"] for e in events_in(events) if e["kind"] == "step.done").removeprefix("restart ")
    made.machines[f"zk{first}"].power_cut()
    done = running.wait(120)
    assert done.code == 7 and f"restarted: {first}; not yet: " in done.said, done
    zkprov("resume", timeout_s=120).expect(7)
    zkprov("abort", timeout_s=120).expect(0, f"zk{first} could not be asked, and has this run's fence still")
    command = ("remove-node", f"zk{first}", *QUICK, "--no-backup")
    told = wait_for(lambda: (done := zkprov(*command, timeout_s=300)).code != 4 and done, 60, "the leader's notice")
    told.expect(0, f"retired attest {first}")
    zkprov("status").expect(0, "SAFE")
