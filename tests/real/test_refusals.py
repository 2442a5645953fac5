"""What add-node refuses, each with its rule, the evidence and the next command; and what it takes back when a joiner fails."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.real.driver import (
    QUICK,
    Sampler,
    Touched,
    Zkprov,
    client,
    edited_inventory,
    events_in,
    live_config,
    mode,
    wait_for,
    word,
)
from zkprov.act.local import LocalHost
from zkprov.lab import founding
from zkprov.lab.lab import Lab
from zkprov.lab.outage import freeze, kill, thaw
from zkprov.model.facts import Retired
from zkprov.model.inventory import InventoryHost
from zkprov.observe.znodes import EnsembleDocument, MemberDocument, RetiredDocument
from zkprov.run.world import SESSION_S

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("refusals")]


@pytest.fixture(scope="module")
def calm(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkprov]:
    """Three servers whose list no test here changes for good."""
    home = tmp_path_factory.mktemp("calm")
    lab = Lab.create("calm", 3, home=home, tick_ms=500)
    try:
        lab.up()
        zkprov = Zkprov(lab, home / "runs")
        with client(*lab.founders) as session:
            session.create("/app", b"")
        yield zkprov
    finally:
        lab.down()


@contextlib.contextmanager
def own_ensemble(lab: Lab, *server_ids: int) -> Iterator[Sequence[InventoryHost]]:
    """Spares of the lab, up as an ensemble of their own."""
    hosts = [lab.host(i) for i in server_ids]
    try:
        for host in hosts:
            LocalHost(host).fence("stranger")
            LocalHost(host).configure(founding.founders_files(host, hosts), "stranger")
            LocalHost(host).unfence("stranger")
            LocalHost(host).start()
        wait_for(lambda: sorted(mode(h) for h in hosts) == ["follower"] * (len(hosts) - 1) + ["leader"])
        yield hosts
    finally:
        for host in hosts:
            LocalHost(host).stop(0)
            LocalHost(host).set_aside(f"was-{'-'.join(map(str, server_ids))}")


def test_a_joiner_that_led_or_followed_elsewhere(calm: Zkprov) -> None:
    with own_ensemble(calm.lab, 4, 5) as hosts:
        touched = Touched(calm.lab, "zk4")
        leader = next(h for h in hosts if mode(h) == "leader")
        follower = next(h for h in hosts if h is not leader)
        calm.add(leader.name).expect(
            3, f"Refused by R6: {leader.name} is the leader of an ensemble of its own", "{4,5}", "next", "aside"
        )
        calm.add(follower.name).expect(3, f"Refused by R6: {follower.name} follows another leader", "next")
        calm.add(leader.name, "--override", "R6", "--reason", "x").expect(2, "R6", "cannot be overridden")
        assert sorted(mode(h) for h in hosts) == ["follower", "leader"], "it is left as it is"
        touched.nothing()
        # They have nothing of ours, and are where clients look for ours; what is done to ours is only warned of it.
        status = calm("status", "--output", "json").expect(3).json
        assert [i["shape"] for i in status["incidents"]] == ["pair"] and status["incidents"][0]["foreign"]
        assert len(status["ensemble"]["rogues"]) == 2 and status["ensemble"]["strangers"] == []
        kill(calm.lab, int(follower.name[2:]))
        wait_for(lambda: "not currently serving" in word(leader), what="a leader that has noticed")
        # Without a quorum of its own it follows nobody, and is still no empty server.
        calm.add(leader.name).expect(3, "Refused by R", leader.name)


def test_a_misspelt_host(calm: Zkprov) -> None:
    touched = Touched(calm.lab, "zk4")
    calm.add("zk44").expect(2, "no host 'zk44'", "did you mean zk4?")
    calm.add("nowhere").expect(2, "no host 'nowhere'", "the group calm has: zk1, zk2")
    calm.add("zk4", "zk4").expect(2, "the same host twice")
    calm.add("zk1").expect(2, "zk1 is a member already: server 1")
    calm("add-node", "--yes").expect(2, "name the hosts to add", "--all-missing")
    touched.nothing()


def test_a_host_that_does_not_resolve(calm: Zkprov, tmp_path: Path) -> None:
    inventory = edited_inventory(calm.lab, tmp_path / "x.yml", "zk4", zkprov_address="no-such-host.invalid")
    touched = Touched(calm.lab, "zk4")
    calm.with_inventory(inventory).add("zk4").expect(4, "no-such-host.invalid does not resolve", "zkprov_address")
    touched.nothing()


@contextlib.contextmanager
def znode(lab: Lab, path: str, data: bytes) -> Iterator[None]:
    with client(*lab.founders, lab=lab) as session:
        session.create(path, data, makepath=True)
        try:
            yield
        finally:
            session.delete(path)


def test_ids_used_before(calm: Zkprov) -> None:
    def document(fate: str) -> bytes:
        return RetiredDocument.of(Retired(4, "zk4", calm.lab.host(4).client, 0, "/old/zk4", fate)).encode()

    seasoned = MemberDocument(confirmed=1 << 32, seasoned=True).encode()
    with contextlib.ExitStack() as ledger:
        ledger.enter_context(znode(calm.lab, "/zkprov/ensemble", EnsembleDocument(uuid="6a7f", zkprov="0.1").encode()))
        for i in (1, 2, 3):
            ledger.enter_context(znode(calm.lab, f"/zkprov/members/{i}", seasoned))
        ledger.enter_context(znode(calm.lab, "/zkprov/retired/4", document("set aside")))
        touched = Touched(calm.lab, "zk4")
        calm.add("zk4").expect(
            3, "Refused by R5: id 4 was a voter before", "4 retired on zk4", "zkprov retired attest 4 --wiped --reason"
        )
        calm("retired", "list").expect(0, "zk4", "set aside")
        calm("retired", "clear", "4").expect(2, "the disk of 4 is set aside")
        touched.nothing()
        calm("retired", "attest", "4", "--wiped", "--reason", "mkfs").expect(0)
        plan = calm("plan", "add", "zk4", "--output", "json").expect(0).json
        assert plan["plan"]["joiners"][0]["server"]["id"] == 4


def test_a_held_lock(calm: Zkprov) -> None:
    touched = Touched(calm.lab, "zk4")
    with client(*calm.lab.founders, lab=calm.lab) as session:
        lock = session.Lock("/zkprov/lock", "bob@other run 77")
        with lock:
            late = calm.add("zk4").expect(5, "/zkprov/lock: held by bob@other run 77", "next", "zkprov history")
    assert "waiting for the lock, held by bob@other run 77" in late.err and late.took_s > 2 * SESSION_S
    touched.nothing()


def test_the_lock_of_one_that_was_killed_before_it_began(calm: Zkprov) -> None:
    program = (
        "import sys, time; from kazoo.client import KazooClient;"
        f"session = KazooClient('{calm.lab.host(1).client}', timeout={SESSION_S}, auth_data=[('digest', sys.stdin.readline())]);"
        "session.start(); session.Lock('/zkprov/lock', 'bob@here run 77').acquire(); print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as bob:
        assert bob.stdin and bob.stdout
        bob.stdin.write(calm.lab.auth_file.read_text().strip().split(":", 1)[1])
        bob.stdin.close()
        try:
            assert bob.stdout.readline() == "held\n"
        finally:
            bob.kill()
    done = calm("restart", "--only", "zk1", *QUICK).expect(0)
    assert "waiting for the lock, held by bob@here run 77" in done.err


def test_the_kill_switch(calm: Zkprov) -> None:
    touched = Touched(calm.lab, "zk4")
    calm("pause").expect(2, "--reason")
    calm("pause", "--reason", "the auditors are here").expect(0, "paused")
    try:
        calm.add("zk4").expect(5, "/zkprov/paused: paused: the auditors are here", "zkprov unpause")
        calm("status").expect(0, "paused: the auditors are here")
    finally:
        calm("unpause").expect(0, "no longer paused")
    calm("unpause").expect(0, "was not paused")
    touched.nothing()


def test_a_paused_member(calm: Zkprov) -> None:
    follower = next(i for i in (1, 2, 3) if mode(calm.lab.host(i)) == "follower")
    touched = Touched(calm.lab, "zk4", *(h for h in calm.lab.founders if h.id != follower))
    freeze(calm.lab, follower)
    try:
        refused = calm("add-node", "zk4", *QUICK, "--timeout", "1").expect(
            3, "Refused by R4: without the joiner the voters in sync would be no quorum", "a quorum of {1,2,3,4} is 3"
        )
        assert f"{follower} (zk{follower})" in refused.said and "zkprov status" in refused.said
        calm("check", "--timeout", "1").expect(4, "DEGRADED")
        calm("status", "--timeout", "1").expect(0, "DEGRADED", "0 may fail")
    finally:
        thaw(calm.lab, follower)
    touched.nothing()
    wait_for(lambda: mode(calm.lab.host(follower)) == "follower")
    wait_for(lambda: calm("check").code == 0)


def undone(zkprov: Zkprov, name: str, *members: InventoryHost) -> None:
    """The host has nothing of a server any more, and the ensemble is the former one."""
    host = next(h for h in zkprov.lab.hosts if h.name == name)
    local = LocalHost(host)
    assert not local.exists() and not local.is_active() and local.fenced_by() is None
    config = live_config(*zkprov.lab.founders)
    assert f"server.{host.id}=" not in config and config.count("server.") == 3
    wait_for(lambda: zkprov("check").code == 0)
    zkprov("resume").expect(0, "nothing to resume")


def test_a_joiner_without_java(calm: Zkprov, tmp_path: Path) -> None:
    inventory = edited_inventory(calm.lab, tmp_path / "x.yml", "zk4", zkprov_java="/nowhere/java")
    calm.with_inventory(inventory).add("zk4").expect(4, "no executable /nowhere/java", "zkprov_java")
    undone(calm, "zk4")


def test_a_joiner_that_dies_at_its_start(calm: Zkprov, tmp_path: Path) -> None:
    """It is told as `does not start` or `ended by itself`, by whether it was still there at the first look."""
    inventory = edited_inventory(calm.lab, tmp_path / "x.yml", "zk4", zkprov_java="/bin/false")
    calm.with_inventory(inventory).add("zk4").expect(4, "zk4: the server ", "undone", "next")
    undone(calm, "zk4")

    # This one starts, and ends for want of a class.
    jar = next(p for p in calm.lab.host(4).classpath.split(":") if "zookeeper-3" in p)
    inventory = edited_inventory(
        calm.lab, tmp_path / "y.yml", "zk4", zkprov_classpath=jar, zkprov_jvm_flags=["-Xmx80m"]
    )
    done = calm.with_inventory(inventory).add("zk4").expect(4, "zk4: the server ended by itself", "undone")
    assert "its disk is at" in done.said and "look at the log in" in done.said
    undone(calm, "zk4")


def test_a_joiner_that_is_paused(calm: Zkprov) -> None:
    host, ended = calm.lab.host(4), threading.Event()
    frozen: list[int] = []

    def freeze_it() -> None:
        while not ended.is_set() and not frozen:
            for process in LocalHost(host).processes():
                os.kill(process.pid, signal.SIGSTOP)
                frozen.append(process.pid)

    thread = threading.Thread(target=freeze_it)
    thread.start()
    try:
        done = calm("add-node", "zk4", *QUICK, "--step-timeout", "4s", "--timeout", "1")
    finally:
        ended.set()
        thread.join()
    done.expect(4, "Stopped at step 1 (start 4 as observer", "undone", "zkprov add-node zk4")
    assert frozen and done.took_s < 25
    assert not Path(f"/proc/{frozen[0]}").exists(), "a frozen server is ended too"
    undone(calm, "zk4")


def test_two_joiners_at_once(make_lab, tmp_path: Path) -> None:
    lab = make_lab(3, tick_ms=1000)
    one, two = Zkprov(lab, tmp_path / "one"), Zkprov(lab, tmp_path / "two")
    events = tmp_path / "events.jsonl"
    with Sampler(lab) as sampler:
        running = one.start("add-node", "zk4", *QUICK, "--settle", "8s", "--events", str(events))
        wait_for(lambda: any(e["kind"] == "settling" for e in events_in(events)))
        two.add("zk5").expect(5, "/zkprov/lock: held by", "zkprov history")
        assert not LocalHost(lab.host(5)).exists()
        running.wait().expect(0, "done: {1,2,3,4}")
    assert set(map(len, sampler.leaders)) == {1}
    assert json.dumps(events_in(events)).count("reconfig joining server.4") == 2
    assert "server.5=" not in live_config(*lab.founders)


def test_the_kill_switch_stops_a_run_that_goes_on(make_lab, tmp_path: Path) -> None:
    lab = make_lab(3, tick_ms=1000)
    zkprov, events = Zkprov(lab, tmp_path / "runs"), tmp_path / "events.jsonl"
    running = zkprov.start("add-node", "zk4", "zk5", *QUICK, "--settle", "30s", "--events", str(events))
    wait_for(lambda: any(e["kind"] == "settling" for e in events_in(events)))
    zkprov("pause", "--reason", "lunch").expect(0)
    running.wait().expect(7, "paused: lunch", "zkprov unpause, then zkprov resume")
    assert not LocalHost(lab.host(5)).exists()
    zkprov("resume").expect(5, "paused: lunch")
    zkprov("unpause").expect(0, "zkprov resume")
    more = tmp_path / "more.jsonl"
    running = zkprov.start("resume", "--events", str(more))
    wait_for(lambda: any(e["kind"] == "settling" for e in events_in(more)))
    zkprov("pause", "--reason", "lunch").expect(0)
    running.wait().expect(7)
    zkprov("abort").expect(0, "4 is in it and stays")
