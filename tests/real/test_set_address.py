"""A member that is known at another place: other ports of the same process on the same disk; found there, or taken back."""

from __future__ import annotations

import os
import random
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.real.driver import (
    QUICK,
    Load,
    Running,
    Sampler,
    Touched,
    Zkprov,
    client,
    edited_inventory,
    events_in,
    lists_on_disk,
    live_config,
    mode,
    some_instant,
    wait_for,
)
from zkprov.act.local import LocalHost
from zkprov.lab.lab import Lab
from zkprov.model.inventory import InventoryHost
from zkprov.observe.inventory import read_inventory

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("set address")]


@pytest.fixture(scope="module")
def lab(software: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = Lab.create("moving", 3, home=tmp_path_factory.mktemp("moving"), tick_ms=500)
    try:
        made.up()
        yield made
    finally:
        made.down()


def leader_of(lab: Lab) -> InventoryHost:
    return wait_for(lambda: next((h for h in lab.founders if mode(h) == "leader"), None), what="a leader")


def follower_of(lab: Lab) -> InventoryHost:
    leader = leader_of(lab)
    return next(h for h in lab.founders if h != leader and mode(h) == "follower")


def spare_ports(lab: Lab, number: int = 9) -> dict[str, int]:
    """Those of a host of the lab on which nothing runs."""
    host = lab.host(number)
    names = ("client_port", "quorum_port", "election_port")
    return {f"zkprov_{name}": getattr(host, name) for name in names}


def moved(zkprov: Zkprov, path: Path, name: str, **variables: Any) -> Zkprov:
    """With another place for one host; those whose ports it may get are in that inventory no more."""
    document = yaml.safe_load(edited_inventory(zkprov.lab, path, name, **variables).read_text())
    hosts = document["all"]["children"][zkprov.lab.name]["hosts"]
    for spare in ("zk8", "zk9"):
        del hosts[spare]
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return zkprov.with_inventory(path)


def at_home(lab: Lab, folder: Path) -> Zkprov:
    """With the places that all had from the start."""
    return moved(Zkprov(lab, folder / "runs"), folder / "home.yml", "zk1")


def host_in(zkprov: Zkprov, name: str) -> InventoryHost:
    host = read_inventory(str(zkprov.inventory)).host(name)
    assert host is not None
    return host


def killed_at(
    zkprov: Zkprov, host: InventoryHost, events: Path, at: str, later: Callable[[Running], None] = lambda _: None
) -> Running:
    """zkprov on its way to move the host, ended at the first event of that kind, or `later`."""
    running = zkprov.start("set-address", host.name, *QUICK, "--settle", "5s", "--events", str(events))
    wait_for(lambda: [e for e in events_in(events) if e["kind"] == at] or running.process.poll() is not None, what=at)
    later(running)
    running.process.kill()
    running.process.wait()
    return running


def test_a_follower_moves_under_load_and_back(lab: Lab, tmp_path: Path) -> None:
    zkprov, old = at_home(lab, tmp_path), follower_of(lab)
    others = [h for h in lab.founders if h != old]
    pid = LocalHost(old).processes()
    there = moved(zkprov, tmp_path / "there.yml", old.name, **spare_ports(lab))
    new = host_in(there, old.name)
    with Load(others) as load, Sampler(lab) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        there("plan", "set-address", old.name, "--settle", "0", "--detailed-exitcode").expect(
            10, f"move {old.id} to 127.0.0.1:{new.quorum_port}", "connect string"
        )
        there("set-address", old.name, *QUICK).expect(0, "done: {", f"serves at 127.0.0.1:{new.quorum_port}")
    assert mode(new) == "follower" and mode(old) == "" and LocalHost(old).processes() == pid
    assert f"server.{old.id}={new.server_address}:participant;{new.client}" in live_config(new)
    assert len({lists_on_disk(h) for h in lab.founders}) == 1
    assert len({n for names in sampler.leaders for n in names}) == 1 and len(sampler.epochs) == 1
    with socket.create_connection(("127.0.0.1", new.election_port), 2):
        pass
    assert all(load.missing(h) == set() for h in (*others, new))
    there("check").expect(0)
    there("set-address", str(old.id), *QUICK).expect(0, "nothing to do")
    # what it listens at after a restart is what the list says
    there("restart", "--only", old.name, *QUICK).expect(0, "serves again")
    assert mode(new) == "follower"
    zkprov("set-address", old.name, *QUICK).expect(0, "done: {")
    assert mode(old) == "follower" and mode(new) == ""
    zkprov("check").expect(0)


@pytest.mark.matrix(keep=1, of="moves that meet something else")
def test_a_leader_moves_its_clients_only(lab: Lab, tmp_path: Path) -> None:
    zkprov, leader = at_home(lab, tmp_path), leader_of(lab)
    touched = Touched(lab, leader.name)
    spare = spare_ports(lab)
    there = moved(zkprov, tmp_path / "there.yml", leader.name, **spare)
    there("set-address", leader.name, *QUICK).expect(
        4, "Refused by R8", f"{leader.id} leads", f"zkprov restart --only {leader.name}"
    )
    touched.nothing()
    clients = moved(zkprov, tmp_path / "clients.yml", leader.name, zkprov_client_port=spare["zkprov_client_port"])
    with Sampler(lab) as sampler:
        clients("set-address", leader.name, *QUICK).expect(0, "done: {")
    assert len(sampler.epochs) == 1 and mode(host_in(clients, leader.name)) == "leader"
    zkprov("set-address", leader.name, *QUICK).expect(0, "done: {")
    assert mode(leader) == "leader"


def test_what_is_refused(lab: Lab, tmp_path: Path) -> None:
    zkprov, host, other = at_home(lab, tmp_path), follower_of(lab), leader_of(lab)
    touched = Touched(lab, host.name)
    zkprov("set-address", "zk33", "--yes").expect(2, "no host 'zk33'")
    zkprov("set-address", "zk7", "--yes").expect(4, "zk7", "its disk could not be read")
    zkprov("set-address").expect(2, "Missing argument 'SERVER'")
    taken = moved(zkprov, tmp_path / "taken.yml", host.name, zkprov_election_port=other.election_port)
    taken("set-address", host.name, *QUICK).expect(2, f"{other.name}: zkprov_election_port", "zkprov_election_port too")
    nowhere = moved(zkprov, tmp_path / "nowhere.yml", host.name, zkprov_address="no.such.host.invalid")
    nowhere("set-address", host.name, *QUICK).expect(4, "does not resolve")
    wrong = moved(zkprov, tmp_path / "wrong.yml", host.name, zkprov_id=7, **spare_ports(lab))
    wrong("set-address", host.name, *QUICK).expect(2, "zkprov_id")
    with socket.create_server(("127.0.0.1", spare_ports(lab)["zkprov_election_port"])):
        there = moved(zkprov, tmp_path / "there.yml", host.name, **spare_ports(lab))
        there("set-address", host.name, *QUICK, "--step-timeout", "5").expect(
            4, "something listens at", "nothing was begun"
        )
    touched.nothing()


@pytest.mark.matrix(keep=1, of="moves that meet something else")
@pytest.mark.parametrize("port", ["client_port", "election_port"])
def test_one_that_cannot_listen_there_is_taken_back_and_lives(lab: Lab, tmp_path: Path, port: str) -> None:
    """ZooKeeper says so in its log only, and ends after three tries of an election port."""
    zkprov, host = at_home(lab, tmp_path), follower_of(lab)
    pid, spare = LocalHost(host).processes(), spare_ports(lab, 8)
    with socket.socket() as taken:
        # bound, and not listening: nobody who looks finds it
        taken.bind(("127.0.0.1", spare[f"zkprov_{port}"]))
        there = moved(zkprov, tmp_path / "there.yml", host.name, **spare)
        there("set-address", host.name, *QUICK).expect(
            4,
            f"does not listen at 127.0.0.1:{spare[f'zkprov_{port}']}",
            f"{host.id} is at {host.server_address}",
            "log",
        )
        zkprov("check").expect(0)
    assert LocalHost(host).processes() == pid and mode(host) == "follower"
    with socket.create_connection(("127.0.0.1", host.election_port), 2):
        pass


@pytest.mark.matrix(keep=1, of="moves that meet something else")
@pytest.mark.parametrize("at", ["answer", "settling"])
def test_one_that_dies_on_its_way_is_not_called_taken_back(lab: Lab, tmp_path: Path, at: str) -> None:
    zkprov, host = at_home(lab, tmp_path), follower_of(lab)
    there = moved(zkprov, tmp_path / "there.yml", host.name, **spare_ports(lab))
    killed_at(there, host, tmp_path / "events.jsonl", at)
    os.kill(LocalHost(host).processes()[0].pid, signal.SIGKILL)
    there("abort").expect(4, "does not serve there", f"zkprov restart --only {host.name}")
    others = [h for h in lab.founders if h != host]
    back = f"server.{host.id}={host.server_address}" in live_config(*others)
    assert not (back and at == "settling")
    (zkprov if back else there)("restart", "--only", host.name, *QUICK).expect(0, "serves again")
    zkprov("set-address", host.name, *QUICK).expect(0)
    zkprov("check").expect(0)


@pytest.mark.matrix(keep=1, of="moves that meet something else")
def test_one_that_came_to_lead_meanwhile_is_not_moved(lab: Lab, tmp_path: Path) -> None:
    """The list is the same, so the plan is not stale: the step looks for itself."""
    zkprov, leader = at_home(lab, tmp_path), leader_of(lab)
    # equal zxids: the greater id wins
    heir = max((h for h in lab.founders if h != leader), key=lambda h: h.id or 0)
    there, plan = moved(zkprov, tmp_path / "there.yml", heir.name, **spare_ports(lab)), tmp_path / "plan.json"
    there("plan", "set-address", heir.name, *QUICK[1:], "--out", str(plan)).expect(0)
    os.kill(LocalHost(leader).processes()[0].pid, signal.SIGKILL)
    wait_for(lambda: mode(heir) == "leader", what="the heir")
    LocalHost(leader).start()
    wait_for(lambda: mode(leader) == "follower", what="the old leader")
    there("apply", str(plan), "--yes").expect(4, f"{heir.id} leads", "nothing was begun", "hands over")
    zkprov("check").expect(0)


@pytest.mark.matrix(keep=1, of="moves that meet something else")
def test_a_plan_is_applied_once_and_then_stands(lab: Lab, tmp_path: Path) -> None:
    zkprov, host = at_home(lab, tmp_path), follower_of(lab)
    there, plan = moved(zkprov, tmp_path / "there.yml", host.name, **spare_ports(lab)), tmp_path / "plan.json"
    there("plan", "set-address", host.name, *QUICK[1:], "--out", str(plan)).expect(0)
    there("apply", str(plan), "--yes").expect(0, "done: {")
    there("apply", str(plan), "--yes").expect(0, "nothing to do")
    zkprov("set-address", host.name, *QUICK).expect(0, "done: {")
    there("apply", str(plan), "--yes").expect(6, "plan again: zkprov plan set-address")


@pytest.mark.matrix(keep=1, of="moves that meet something else")
def test_not_without_a_quorum_of_the_others(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(2)
    zkprov, host = at_home(lab, tmp_path), follower_of(lab)
    there = moved(zkprov, tmp_path / "there.yml", host.name, **spare_ports(lab))
    there("set-address", host.name, *QUICK).expect(3, "Refused by R4", "--override R4 --reason")
    force = ("--override", "R4", "--reason", "nobody is here at night")
    there("set-address", host.name, *QUICK, *force).expect(0, "done: {", "override R4")
    assert mode(host_in(there, host.name)) == "follower"


@pytest.mark.matrix(keep=1)
@pytest.mark.parametrize("how", ["resume", "abort"])
@pytest.mark.parametrize("at", ["act", "answer", "settling"])
def test_killed_anywhere(lab: Lab, tmp_path: Path, at: str, how: str, rng: random.Random) -> None:
    zkprov, host = at_home(lab, tmp_path), follower_of(lab)
    there = moved(zkprov, tmp_path / "there.yml", host.name, **spare_ports(lab))
    new = host_in(there, host.name)
    running = killed_at(there, host, tmp_path / "events.jsonl", at, lambda r: some_instant(r, rng, 0.2))
    assert running.process.returncode < 0
    there(how).expect(0)
    where = new if mode(new) else host
    if how == "resume" or at == "settling":
        assert where == new
    assert mode(where) == "follower" and f"server.{host.id}={where.server_address}" in live_config(where)
    assert len({lists_on_disk(h) for h in lab.founders}) == 1
    (there if where == new else zkprov)("check").expect(0)
    zkprov("set-address", host.name, *QUICK).expect(0)
    assert mode(host) == "follower"
    with client(*lab.founders) as session:
        assert session.exists("/zkprov/ensemble")
