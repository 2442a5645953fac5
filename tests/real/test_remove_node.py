"""Servers leave a real ensemble, under load: no acknowledged write lost, one leader whenever one looks, and what has left stays away."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.real.driver import (
    Done,
    Load,
    Sampler,
    Touched,
    Zkprov,
    client,
    edited_inventory,
    events_in,
    lists_on_disk,
    live_config,
    mode,
    wait_for,
)
from zkprov.act.local import LocalHost
from zkprov.act.processes import await_end, end
from zkprov.lab.lab import Lab
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import NotHealthy

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("remove node")]
QUICK = ("--yes", "--settle", "0", "--samples", "1", "--drain", "0", "--step-timeout", "20")


def members(*hosts: InventoryHost) -> set[int]:
    return {int(i) for i in re.findall(r"^server\.(\d+)=", live_config(*hosts), re.MULTILINE)}


def leader_of(hosts: list[InventoryHost]) -> InventoryHost:
    return wait_for(lambda: next((h for h in hosts if mode(h) == "leader"), None), what="a leader")


def ledger(host: InventoryHost, path: str) -> Any:
    with client(host) as session:
        return json.loads(session.get(f"/zkprov/{path}")[0]) if session.exists(f"/zkprov/{path}") else None


def gone_for_good(host: InventoryHost, *others: InventoryHost) -> None:
    """No process, nothing where it was, all of it beside; in the ledger, and not to be started."""
    assert host.id is not None
    assert not LocalHost(host).processes()
    for folder in (host.config_dir, host.data_dir):
        assert not Path(folder).exists()
        assert len(list(Path(folder).parent.glob(f"{Path(folder).name}.retired-{host.id}-*"))) == 1
    entry = ledger(others[0], f"retired/{host.id}")
    assert entry["fate"] == "set aside" and Path(entry["where"]).is_dir()
    assert ledger(others[0], f"members/{host.id}") is None
    with pytest.raises(NotHealthy, match="disabled when it left"):
        LocalHost(host).start()


class Shrunk:
    """What was seen while five servers became three, the leader among those that left."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.zkprov = lab, Zkprov(lab, folder)
        self.events_file = folder / "events.jsonl"
        leader = leader_of(list(lab.founders))
        follower = next(h for h in lab.founders if h != leader)
        self.gone = [leader, follower]
        self.left = [h for h in lab.founders if h not in self.gone]
        with Load(self.left) as self.load, Sampler(lab) as self.sampler:
            wait_for(lambda: len(self.load.acknowledged) > 50)
            self.done: Done = self.zkprov(
                "remove-node", leader.name, str(follower.id), "--yes", "--settle", "1s", "--sample-interval", "0.2",
                "--drain", "0", "--events", str(self.events_file),
            )  # fmt: skip
        self.events = events_in(self.events_file)


@pytest.fixture(scope="module")
def shrunk(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shrunk]:
    home = tmp_path_factory.mktemp("shrunk")
    lab = Lab.create("shrunk", 5, home=home)
    try:
        lab.up()
        yield Shrunk(lab, home / "runs")
    finally:
        lab.down()


def test_five_become_three_under_load(shrunk: Shrunk) -> None:
    shrunk.done.expect(0, "done: {", "hand over:", "one quorum")
    ids = {h.id for h in shrunk.left}
    for host in shrunk.left:
        assert members(host) == ids
        assert shrunk.load.missing(host) == set()
    assert len({lists_on_disk(h) for h in shrunk.left}) == 1
    assert len(shrunk.load.acknowledged) > 100
    # the leader that hands over says so for a moment still; two that are not that one there never are
    old = shrunk.gone[0].name
    assert all(len(set(names) - {old}) <= 1 for names in shrunk.sampler.leaders), shrunk.sampler.leaders
    shrunk.zkprov("check").expect(0)


def test_the_leader_goes_last_and_hands_over(shrunk: Shrunk) -> None:
    leader, follower = (h.id for h in shrunk.gone)
    first, *begun = [e["evidence"]["step"] for e in shrunk.events if e["kind"] == "step.begun"]
    assert first in {f"backup {h.id}" for h in shrunk.left}
    assert begun == [
        f"remove {follower}", f"retire {follower}", f"settle {follower}",
        f"hand-over {leader}", f"remove {leader}", f"retire {leader}", f"settle {leader}",
    ]  # fmt: skip
    # handed over, not fought out: one epoch more, and no time without a leader that an election takes
    assert len(shrunk.sampler.epochs) == 2 and max(shrunk.sampler.epochs) - min(shrunk.sampler.epochs) == 1


def test_who_left_stays_away(shrunk: Shrunk) -> None:
    for host in shrunk.gone:
        gone_for_good(host, *shrunk.left)
    shrunk.zkprov("remove-node", shrunk.gone[0].name, "--yes").expect(0, "has left already", "nothing to do")
    shrunk.zkprov("retired", "list").expect(0, shrunk.gone[0].name, "set aside")
    shrunk.zkprov("prove").expect(0)


def test_one_that_left_and_is_started_by_hand_is_named(shrunk: Shrunk) -> None:
    host = shrunk.gone[1]
    aside = ledger(shrunk.left[0], f"retired/{host.id}")["where"].rpartition(".retired-")[2]
    for folder in (host.config_dir, host.data_dir):
        Path(f"{folder}.retired-{aside}").rename(folder)
    LocalHost(host).enable()
    LocalHost(host).start()
    try:
        said = wait_for(
            lambda: (s := shrunk.zkprov("status")) and (not LocalHost(host).processes() or host.name in s.out) and s,
            what="its name",
        )
        # by its own list it has left: it ends by itself, or is seen beside the ensemble
        said.expect(0, "SAFE")
    finally:
        LocalHost(host).stop(5)


# -- one that is down


@pytest.fixture
def four(make_lab: Any, tmp_path: Path) -> tuple[Lab, Zkprov]:
    lab = make_lab(4)
    return lab, Zkprov(lab, tmp_path / "runs")


def kill_follower(lab: Lab) -> InventoryHost:
    host = next(h for h in lab.founders if mode(h) == "follower")
    found = LocalHost(host).processes()
    end(found, 0)
    assert not await_end(found, 10)
    return host


@pytest.mark.matrix(keep=1, of="members that change")
def test_a_dead_member_leaves(four: tuple[Lab, Zkprov]) -> None:
    lab, zkprov = four
    leader_of(list(lab.founders))
    dead = kill_follower(lab)
    rest = [h for h in lab.founders if h != dead]
    zkprov("remove-node", dead.name, *QUICK).expect(0, "is down", "done: {")
    assert members(*rest) == {h.id for h in rest}
    gone_for_good(dead, *rest)
    zkprov("check").expect(0)


@pytest.mark.matrix(keep=1, of="members that change")
def test_a_dead_member_that_cannot_be_reached_stays_named(four: tuple[Lab, Zkprov], tmp_path: Path) -> None:
    """Its host is in no inventory any more. It comes back, and elects nobody; then somebody attests what became of it."""
    lab, zkprov = four
    leader_of(list(lab.founders))
    dead = kill_follower(lab)
    rest = [h for h in lab.founders if h != dead]
    without = edited_inventory(lab, tmp_path / "without.yml")
    tree = yaml.safe_load(without.read_text())
    del tree["all"]["children"][lab.name]["hosts"][dead.name]
    without.write_text(yaml.safe_dump(tree, sort_keys=False))
    other = zkprov.with_inventory(without)
    other("remove-node", str(dead.id), *QUICK).expect(0, "no host of the inventory", "remembered", "retired attest")
    assert members(*rest) == {h.id for h in rest}
    assert ledger(rest[0], f"retired/{dead.id}")["fate"] == "left behind"
    owed = f"zkprov retired attest {dead.id}"
    other("status").expect(0, "SAFE", "left behind", owed)
    other("prove").expect(0)
    with Sampler(lab) as sampler:
        LocalHost(dead).start()
        for _ in range(3):
            other("status").expect(0, "SAFE", owed)
    assert all(len(names) <= 1 for names in sampler.leaders)
    LocalHost(dead).stop(5)
    other("retired", "clear", str(dead.id)).expect(2, "left behind")
    other("retired", "attest", str(dead.id), "--destroyed", "--reason", "shredded").expect(0)
    other("retired", "clear", str(dead.id)).expect(0)
    assert owed not in other("status").expect(0).said
    assert ledger(rest[0], f"members/{dead.id}") is None


@pytest.mark.matrix(keep=1, of="members that change")
def test_its_clients_are_waited_for(four: tuple[Lab, Zkprov], tmp_path: Path) -> None:
    lab, zkprov = four
    leader = leader_of(list(lab.founders))
    host = next(h for h in lab.founders if h != leader)
    events = tmp_path / "events.jsonl"
    with client(host) as session:
        session.ensure_path("/there")
        running = zkprov.start("remove-node", host.name, *QUICK[:-4], "--drain", "60s", "--events", str(events))
        waits = wait_for(lambda: [e for e in events_in(events) if e["kind"] == "draining"], what="the wait")
        assert waits[0]["evidence"]["clients"] == 1
        assert LocalHost(host).processes()
    running.wait(60).expect(0, "1 client session is on", "stopped for good; its disk")
    with client(*[h for h in lab.founders if h != host]) as session:
        assert session.exists("/there")


@pytest.mark.matrix(keep=1, of="members that change")
def test_one_that_is_put_back_by_hand_is_not_stopped(four: tuple[Lab, Zkprov], tmp_path: Path) -> None:
    """While its clients are waited for somebody wants it back: it is a voter again, and nobody stops a voter."""
    lab, zkprov = four
    leader = leader_of(list(lab.founders))
    host = next(h for h in lab.founders if h != leader)
    rest = [h for h in lab.founders if h != host]
    line = next(x for x in live_config(leader).splitlines() if x.startswith(f"server.{host.id}="))
    events = tmp_path / "events.jsonl"
    with client(host) as session:
        session.ensure_path("/there")
        running = zkprov.start("remove-node", host.name, *QUICK[:-4], "--drain", "60s", "--events", str(events))
        wait_for(lambda: [e for e in events_in(events) if e["kind"] == "draining"], what="the wait")
        with client(*rest, lab=lab) as other:
            other.reconfig(line, None, None)
    running.wait(60).expect(7, f"somebody has put {host.id} back", "zkprov abort")
    assert LocalHost(host).processes() and members(*rest) == {1, 2, 3, 4}
    zkprov("abort").expect(0)
    zkprov("check").expect(0)
    assert not list(Path(host.config_dir).parent.glob("*.retired-*"))


@pytest.mark.matrix(keep=1, of="members that change")
def test_an_id_that_came_back_is_not_forgotten(four: tuple[Lab, Zkprov], tmp_path: Path) -> None:
    """Attested wiped, its id may be used again; to clear what was retired then takes nothing from the voter that has it now."""
    lab, zkprov = four
    zkprov("remove-node", "zk4", *QUICK).expect(0)
    zkprov("retired", "attest", "4", "--wiped", "--reason", "it is").expect(0)
    again = zkprov.with_inventory(edited_inventory(lab, tmp_path / "again.yml", "zk4", zkprov_id=4))
    again("add-node", "zk4", "--yes", "--settle", "0", "--samples", "1").expect(0, "done: {1,2,3,4}")
    assert ledger(lab.host(1), "members/4")["season_s"] == 900
    again("retired", "clear", "4").expect(0)
    assert ledger(lab.host(1), "members/4") is not None and ledger(lab.host(1), "retired/4") is None
    assert again("status", "--output", "json").expect(0).json["ensemble"]["newcomers"].keys() == {"4"}


@pytest.mark.matrix(keep=1, of="members that change")
def test_a_silent_host_keeps_nobody_out(make_lab: Any, tmp_path: Path) -> None:
    """A host of the inventory that is switched off, here one that takes connections and says nothing, makes each look 3 s long."""
    lab = make_lab(3)
    zkprov = Zkprov(lab, tmp_path / "runs")
    spare = lab.host(9)
    with socket.create_server((spare.address, spare.client_port)):
        zkprov("add-node", "zk4", "--yes", "--settle", "0", "--samples", "1").expect(0, "done: {1,2,3,4}")
        zkprov("remove-node", "zk1", *QUICK).expect(0, "done: {2,3,4}")


# -- what is refused


@pytest.fixture(scope="module")
def three(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkprov]:
    home = tmp_path_factory.mktemp("three")
    lab = Lab.create("three", 3, home=home)
    try:
        lab.up()
        yield Zkprov(lab, home / "runs")
    finally:
        lab.down()


@pytest.mark.matrix(keep=3, of="changes that are refused")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("zk1", "--yes"), 3, ("Refused by R4", "without 1 too few may fail", "--override R4 --reason")),
        (("zk1", "zk2", "zk3", "--yes"), 3, ("Refused by R4",)),
        (("zk1", "zk2", "zk3", "--yes", "--override", "R4", "--reason", "no"), 3, ("Refused by R4", "the last voter")),
        (("zk33", "--yes"), 2, ("no server 'zk33'", "did you mean zk3?")),
        (("zk4", "--yes"), 2, ("zk4 is no member of {1,2,3}",)),
        (("zk1", "1", "--yes"), 2, ("the same server twice",)),
        (("zk1", "--override", "R1", "--reason", "no"), 2, ("R1 (one quorum) cannot be overridden",)),
        (("zk1", "--override", "R4"), 2, ("an override needs a reason",)),
        (("zk1", "--override", "R4", "--reason", "fire"), 2, ("no terminal to ask on", "--yes")),
        (("zk1\n;rm -rf /", "--yes"), 2, ("no server",)),
        ((), 2, ("Missing argument 'SERVER…'",)),
    ],
)
def test_refused(three: Zkprov, arguments: tuple[str, ...], code: int, words: tuple[str, ...]) -> None:
    touched = Touched(three.lab, "zk1")
    three("remove-node", *arguments).expect(code, *words)
    touched.nothing()


@pytest.mark.matrix(keep=1, of="members that change")
def test_a_plan_is_saved_applied_and_stale_then(three: Zkprov, tmp_path: Path) -> None:
    """In an emergency three become two, by a plan; made before somebody else's change it is stale."""
    plan, late = tmp_path / "plan.json", tmp_path / "late.json"
    force = ("--override", "R4", "--reason", "fire", "--settle", "0", "--drain", "0")
    for name, file in (("zk1", plan), ("zk2", late)):
        three("plan", "remove", name, *force, "--out", str(file), "--detailed-exitcode").expect(10, "override R4: fire")
    three("apply", str(plan), "--yes").expect(0)
    three("apply", str(late), "--yes").expect(6, "plan again: zkprov plan remove")
    gone_for_good(three.lab.host(1), three.lab.host(2))
    assert members(three.lab.host(2)) == {2, 3}


@pytest.mark.matrix(keep=1, of="members that change")
def test_cut_off_by_sigterm_it_is_resumed(four: tuple[Lab, Zkprov], tmp_path: Path) -> None:
    lab, zkprov = four
    leader = leader_of(list(lab.founders))
    events = tmp_path / "events.jsonl"
    running = zkprov.start("remove-node", leader.name, *QUICK, "--events", str(events))
    wait_for(lambda: [e for e in events_in(events) if e["kind"] == "answer"], what="the hand-over")
    running.signal(signal.SIGTERM)
    running.wait(10).expect(7, "zkprov resume")
    zkprov("resume").expect(0, "done: {")
    gone_for_good(leader, *[h for h in lab.founders if h != leader])
