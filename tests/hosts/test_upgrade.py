"""Real machines are brought to another release under load; one that does not start goes back, and one that is missing stops nobody."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.hosts.archive import archive
from tests.hosts.operator import QUICK, Operator
from tests.hosts.test_playbooks import tarball
from tests.real.driver import Load, Sampler, Zkprov, epoch, events_in, mode, wait_for, word

pytestmark = pytest.mark.real
UPGRADE = ("upgrade", "--to", "3.9.5", "--yes", "--samples", "2", "--sample-interval", "0.2", "--soak", "1s")
NINE = "/opt/zookeeper/apache-zookeeper-3.9.5-bin"


def sources(*releases: str) -> dict[str, dict[str, str]]:
    return {r: {"archive": str(path), "sha512": sha512} for r in releases for path, sha512 in [archive(r)]}


class Old:
    """Three machines that run `release`, and an inventory that says where that one and others come from."""

    def __init__(self, made: Operator, release: str, *others: str) -> None:
        self.made, self.release = made, release
        del made.variables["zkprov_archive"], made.variables["zkprov_archive_sha512"]
        made.variables |= {"zkprov_release": release, "zkprov_releases": sources(release, *others)}
        self.inventory()("bootstrap", *QUICK, timeout_s=300).expect(0, "done: {1,2,3}")
        self.hosts = made.hosts()

    def inventory(self, **more: Any) -> Zkprov:
        return self.made.of(3, **more)

    def with_another(self, host: str, nine: Mapping[str, str]) -> Zkprov:
        """For that host 3.9.5 comes from elsewhere."""
        known = {**self.made.variables["zkprov_releases"], "3.9.5": nine}
        return self.inventory(host_vars={host: {"zkprov_releases": known}})

    def running(self) -> list[str]:
        return [word(h).partition("version: ")[2].partition("-")[0] for h in self.hosts]

    def on_each(self, command: str) -> dict[str, str]:
        return {m.name: m.shell(command).strip() for m in self.made.machines}

    def pids(self) -> dict[str, str]:
        return self.on_each("systemctl show --value -p MainPID zookeeper")


def all_run(old: Old, release: str) -> None:
    assert old.running() == [release] * 3
    assert set(old.on_each("readlink /opt/zookeeper/current").values()) == {f"apache-zookeeper-{release}-bin"}
    assert set(old.on_each("systemctl is-active zookeeper").values()) == {"active"}
    assert set(old.on_each("cat /var/lib/zkprov/*/run 2>/dev/null || true").values()) == {""}, "a fence is left"
    old.inventory()("check").expect(0)


@pytest.mark.timeout(600)
@pytest.mark.matrix(keep=1, of="upgrades on hosts", among="stories on hosts")
def test_machines_are_brought_to_another_release(operator: Callable[[int], Operator], tmp_path: Path) -> None:
    old = Old(operator(3), "3.8.6", "3.9.5")
    hosts, before = old.hosts, old.pids()

    # not to be had for one of them: those before it have it by then, and nobody was stopped
    first, second = (h for h in hosts if mode(h) == "follower")
    missing = old.with_another(second.name, {"archive": f"{tmp_path}/none.tar.gz", "sha512": "0" * 128})
    done = missing(*UPGRADE, timeout_s=200)
    done.expect(4, "lay out 3.9.5", f"{tmp_path}/none.tar.gz is not on this machine", "zkprov_releases")
    assert old.pids() == before and old.running() == ["3.8.6"] * 3
    there = old.on_each(f"test -e {NINE} && echo there || true")
    assert [n for n in there if there[n]] == [first.name]
    old.on_each(f"rm -rf {NINE}")

    # without a server in it: the first goes back, and nobody else is touched
    empty = tarball(tmp_path / "apache-zookeeper-3.9.5-bin.tar.gz")
    broken = old.with_another(
        first.name, {"archive": empty["zkprov_archive"], "sha512": empty["zkprov_archive_sha512"]}
    )
    done = broken(*UPGRADE, "--step-timeout", "30", timeout_s=200)
    done.expect(4, "the server ended by itself", f"{first.name[2:]} is back on 3.8.6 and serves again")
    after = old.pids()
    assert {n for n in before if after[n] != before[n]} == {first.name}
    all_run(old, "3.8.6")
    old.made.machines[first.name].shell(f"rm -rf {NINE}")

    zkprov = old.inventory()
    leader, was = next(h for h in hosts if mode(h) == "leader"), epoch(hosts[0])
    events = tmp_path / "e.jsonl"
    with Load(hosts, per_s=50) as load, Sampler(SimpleNamespace(hosts=hosts)) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        done = zkprov(*UPGRADE, "--events", str(events), timeout_s=300)
        done.expect(0, "all run 3.9.5", "set zkprov_release: 3.9.5")
    turns = [e["evidence"]["step"] for e in events_in(events) if e["kind"] == "step.done"]
    assert "lay-out 3.9.5" in turns and turns[-1] == f"restart {leader.name[2:]}"
    # a leader more by the hand-over, and no election besides
    assert [epoch(h) for h in hosts] == [was + 1] * 3
    assert all(len(names) <= 1 for names in sampler.leaders[-3:])
    assert not any(load.missing(h) for h in hosts)
    all_run(old, "3.9.5")
    zkprov(*UPGRADE).expect(0, "nothing to do")

    # what the inventory still says differs; with what it is told to say nothing does
    drift = zkprov("plan", "configure", "--output", "json").expect(0).json["drift"]
    told = {(s["key"], s["there"], s["wanted"]) for h in drift["hosts"] for f in h["files"] for s in f["settings"]}
    assert told == {("current", "3.9.5", "3.8.6"), ("running", "3.9.5", "3.8.6")}
    old.made.variables["zkprov_release"] = "3.9.5"
    old.inventory()("plan", "configure", "--detailed-exitcode").expect(0, "no drift")


@pytest.mark.timeout(600)
@pytest.mark.matrix(keep=1, of="upgrades on hosts", among="stories on hosts")
def test_one_that_was_cut_off_is_taken_up(operator: Callable[[int], Operator], tmp_path: Path) -> None:
    """Killed where the first server is down and switched; and where another unit starts something else, nothing is begun."""
    old = Old(operator(3), "3.8.6", "3.9.5")
    third = old.made.machines["zk3"]
    third.shell("""
        mkdir -p /etc/systemd/system/zookeeper.service.d
        printf '[Service]\\nExecStart=\\nExecStart=/bin/sleep 1\\n' >/etc/systemd/system/zookeeper.service.d/own.conf
        systemctl daemon-reload
    """)
    zkprov = old.inventory()
    refused = zkprov(*UPGRADE).expect(
        3, "not every member can be given another release", "zk3: zookeeper.service does not start"
    )
    assert "zkprov ok-to-stop" in refused.said and old.running() == ["3.8.6"] * 3
    third.shell("rm -r /etc/systemd/system/zookeeper.service.d; systemctl daemon-reload")

    events = tmp_path / "e.jsonl"
    with Load(old.hosts, per_s=50) as load:
        running = zkprov.start(*UPGRADE, "--events", str(events))
        try:
            wait_for(
                lambda: (
                    any("switch to 3.9.5" in str(e["evidence"].get("what")) for e in events_in(events))
                    or running.process.poll()
                ),
                200,
                "a switch",
            )
        finally:
            running.signal(signal.SIGKILL)
            running.wait()
        assert sum(not mode(h) for h in old.hosts) == 1
        zkprov("resume", timeout_s=300).expect(0, "all run 3.9.5")
    assert not any(load.missing(h) for h in old.hosts)
    all_run(old, "3.9.5")


@pytest.mark.timeout(1200)
@pytest.mark.matrix(keep=0)
def test_the_whole_way(operator: Callable[[int], Operator], tmp_path: Path) -> None:
    """From the oldest release that may change its list to the newest, by one command. Only with --whole."""
    old = Old(operator(3), "3.5.10", "3.6.4", "3.7.2", "3.8.6", "3.9.5")
    hosts = old.hosts
    with Load(hosts, per_s=50) as load, Sampler(SimpleNamespace(hosts=hosts)) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        was = epoch(hosts[0])
        done = old.inventory()(*UPGRADE, timeout_s=900).expect(0, "all run 3.9.5")
    hops = [s for s in ("3.6.4", "3.8.6", "3.9.5") if f"lay out {s}" in done.said]
    print(done.out, done.err, f"{len(load.acknowledged)} writes, the longest gap {load.longest_gap_s:.1f} s", sep="\n")
    assert [epoch(h) for h in hosts] == [was + len(hops)] * 3
    assert all(len(names) <= 1 for names in sampler.leaders[-3:])
    assert not any(load.missing(h) for h in hosts)
    all_run(old, "3.9.5")
