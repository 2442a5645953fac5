"""Servers are added one at a time under load: no election, no acknowledged write lost, one leader whenever one looks."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.real.driver import (
    Arguments,
    Done,
    Load,
    Sampler,
    Touched,
    Zkprov,
    client,
    epoch,
    events_in,
    lists_on_disk,
    live_config,
    mode,
    secrets_of,
    tree,
    version_of,
    wait_for,
)
from zkprov.act.local import LocalHost
from zkprov.lab.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("add_node")]


class Grown:
    """What was seen while three servers became five."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.zkprov = lab, Zkprov(lab, folder)
        self.events_file = folder / "events.jsonl"
        with Load(lab.founders) as self.load, Sampler(lab) as self.sampler, Arguments(*secrets_of(lab)) as self.argv:
            wait_for(lambda: len(self.load.acknowledged) > 50)
            self.epoch = epoch(lab.host(1))
            self.sampler.epochs.clear()  # a leader without a transaction tells the epoch before its own
            self.done: Done = self.zkprov(
                "add-node", "zk4", "zk5", "--yes", "--settle", "2s", "--sample-interval", "0.3",
                "--events", str(self.events_file), "--as", "ann@desk",
            )  # fmt: skip
        self.events: list[dict[str, Any]] = events_in(self.events_file)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["kind"] == kind]


@pytest.fixture(scope="module")
def grown(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grown]:
    home = tmp_path_factory.mktemp("grown")
    lab = Lab.create("grown", 3, home=home)
    try:
        lab.up()
        yield Grown(lab, home / "runs")
    finally:
        lab.down()


def test_it_is_done_without_an_election_and_without_a_lost_write(grown: Grown) -> None:
    grown.done.expect(0, "done: {1,2,3,4,5}", "longest pause that a client saw")
    members = grown.lab.hosts[:5]
    assert [epoch(h) for h in members] == [grown.epoch] * 5
    assert sorted(mode(h) for h in members) == ["follower"] * 4 + ["leader"]
    assert len(grown.load.acknowledged) > 300 and grown.load.failed == 0
    for host in members:
        assert grown.load.missing(host) == set()
    assert grown.load.longest_gap_s < 0.7, "an election takes longer (FACTS: 0.7 s at the least)"


def test_there_is_one_leader_in_every_sample(grown: Grown) -> None:
    assert len(grown.sampler.leaders) > 50
    assert set(map(len, grown.sampler.leaders)) == {1}
    assert len(set(grown.sampler.leaders)) == 1 and grown.sampler.epochs == {grown.epoch}


def test_all_servers_hold_one_list_in_memory_and_on_disk(grown: Grown) -> None:
    members = grown.lab.hosts[:5]
    in_memory = {live_config(h) for h in members}
    assert len(in_memory) == 1
    config = in_memory.pop()
    lines = sorted(line for line in config.split() if line.startswith("server."))
    assert len(lines) == 5 and all(":participant" in line for line in lines)
    assert {lists_on_disk(h) for h in members} == {(*lines, version_of(config))}
    assert not list(Path(members[0].config_dir).parent.parent.glob("zk*/conf/*.next"))


def test_the_events_tell_the_story(grown: Grown) -> None:
    kinds = [e["kind"] for e in grown.events]
    assert kinds[0] == "run.begun" and kinds[-1] == "run.ended" and kinds.count("run.begun") == 1
    begun, done = grown.of("step.begun"), grown.of("step.done")
    names = [f"{kind} {i}" for i in (4, 5) for kind in ("start", "admit", "promote", "settle")]
    assert [e["evidence"]["step"] for e in begun] == [e["evidence"]["step"] for e in done] == names
    assert [e["step"] for e in begun] == [e["step"] for e in done] == list(range(1, 9))
    assert len({e["run"] for e in grown.events}) == 1
    times = [datetime.fromisoformat(e["time"].replace("Z", "+00:00")) for e in grown.events]
    assert times == sorted(times) and all(e["time"].endswith("Z") for e in grown.events)
    order = [e["step"] for e in grown.events if e["step"]]
    assert order == sorted(order), "no step begins before the one before it is done"

    opened = grown.of("run.begun")[0]["evidence"]
    assert opened["who"] == "ann@desk" and opened["base"] == "100000000" and opened["steps"] == 8
    closed = grown.of("run.ended")[0]["evidence"]
    assert closed["state"] == "done" and closed["exit_code"] == 0 and 0 < closed["longest_pause_s"] < 0.7


def test_each_reconfig_names_the_version_that_its_gates_read(grown: Grown) -> None:
    acts = [e for e in grown.of("act") if "reconfig" in e["evidence"]["what"]]
    assert [e["step"] for e in acts] == [2, 3, 6, 7]
    read = [int(str(e["evidence"]["from_config"]), 16) for e in acts]
    assert read[0] == 0x100000000 and read == sorted(set(read)) and read[-1] < int(_now(grown), 16)
    for act, role in zip(acts, ("observer", "participant") * 2, strict=True):
        assert f":{role}" in act["evidence"]["what"]
    answers = [e["evidence"]["answer"] for e in grown.of("answer")]
    assert answers == ["applied"] * 4
    for step in (3, 7):
        good = [e["evidence"]["good"] for e in grown.of("sample") if e["step"] == step]
        assert good[-3:] == [1, 2, 3], "three good samples in a row before a promotion"


def _now(grown: Grown) -> str:
    return version_of(live_config(grown.lab.host(1)))


def test_the_ledger_knows_the_ensemble_and_its_newcomers(grown: Grown) -> None:
    with client(grown.lab.host(5)) as session:
        found = {path: data for path, (data, _) in tree(session, "/zkprov").items()}
        acl = session.get_acls("/zkprov/ensemble")[0]
    assert len(json.loads(found["/zkprov/ensemble"])["uuid"]) == 36
    members = {i: json.loads(found[f"/zkprov/members/{i}"]) for i in range(1, 6)}
    assert [members[i].get("seasoned", False) for i in range(1, 6)] == [True, True, True, False, False]
    assert {m["confirmed"] for m in members.values()} == {int(_now(grown), 16)}
    run = json.loads(found["/zkprov/run"])
    assert run["state"] == "done" and run["who"] == "ann@desk"
    assert not [p for p in found if p.startswith("/zkprov/lock/")]
    # Readable by all, written by who may reconfig.
    assert {(a.id.scheme, a.perms) for a in acl} == {("world", 1), ("digest", 31)}
    for i in (4, 5):
        assert LocalHost(grown.lab.host(i)).fenced_by() is None


def test_status_and_check_agree_and_history_remembers(grown: Grown) -> None:
    status = grown.zkprov("status", "--output", "json").expect(0).json
    assert status["ensemble"]["verdict"] == "safe"
    assert status["ensemble"]["members"] == [1, 2, 3, 4, 5] and status["ensemble"]["spare"] == 2
    assert set(status["ensemble"]["newcomers"]) == {"4", "5"}
    assert {s["history"] for s in status["servers"]} == {status["servers"][0]["history"]} != {"none"}
    grown.zkprov("check").expect(0, "SAFE")
    grown.zkprov("history").expect(0, "zk4 zk5", "done", "ann@desk")
    run = grown.events[0]["run"]
    told = grown.zkprov("history", run, "--output", "json").expect(0).json
    assert told == grown.events, "the journal holds every event"


def test_no_secret_is_anywhere_but_where_servers_need_it(grown: Grown) -> None:
    assert grown.argv.looks > 20 and grown.argv.servers, "processes were looked at"
    assert not grown.argv.seen
    secrets = [s.encode() for s in secrets_of(grown.lab)]
    with client(grown.lab.host(1)) as session:
        znodes = b"".join(data for data, _ in tree(session, "/zkprov").values())
    sqlite3.connect(grown.zkprov.journal).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    logs = [p for h in grown.lab.hosts[:5] for p in Path(h.log_dir).glob("*") if p.is_file()]
    written = [grown.zkprov.journal, grown.events_file, *grown.zkprov.folder.glob("*.out"), *logs]
    assert len(logs) >= 5 and all(p.stat().st_size for p in (grown.zkprov.journal, grown.events_file))
    for secret in secrets:
        assert secret not in znodes
        for path in written:
            assert secret not in path.read_bytes(), path
    assert grown.zkprov.journal.stat().st_mode & 0o077 == 0


@pytest.fixture(scope="module")
def three(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkprov]:
    home = tmp_path_factory.mktemp("three")
    lab = Lab.create("three", 3, home=home, tick_ms=1000)
    try:
        lab.up()
        yield Zkprov(lab, home / "runs")
    finally:
        lab.down()


def test_nothing_is_done_without_a_yes(three: Zkprov) -> None:
    touched = Touched(three.lab, "zk4")
    three("add-node", "zk4").expect(2, "no terminal to ask on; say --yes")
    plan = three("add-node", "zk4", "--dry-run", "--output", "json").expect(0).json
    assert [s["kind"] for s in plan["plan"]["steps"]] == ["start", "admit", "promote", "settle"]
    assert all(p["verdict"] == "safe" for s in plan["plan"]["steps"] for p in s["proofs"])
    with client(three.lab.host(1)) as session:
        assert session.exists("/zkprov") is None
    touched.nothing()


def test_an_interrupt_ends_it_within_five_seconds_and_resume_goes_on(three: Zkprov, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    running = three.start("add-node", "zk4", "--yes", "--settle", "60s", "--events", str(events))
    wait_for(lambda: any(e["kind"] == "settling" for e in events_in(events)))
    began = time.monotonic()
    running.signal(signal.SIGINT)
    running.wait(30).expect(7, "Stopped before or in step 4", "zkprov resume")
    assert time.monotonic() - began < 5
    three("history").expect(0, "stopped")
    # Promoted already: what another run may not begin is first brought to its end.
    three.add("zk5").expect(5, "is unfinished", "zkprov resume")
    three("abort").expect(0, "Aborted", "4 is in it and stays")
    three("resume").expect(0, "nothing to resume")


def test_an_observer_stays_one(three: Zkprov) -> None:
    done = three.add("zk5", "--role", "observer", "--output", "json").expect(0).json
    assert [s["kind"] for s in done["plan"]["steps"]] == ["start", "admit"]
    assert done["result"]["state"] == "done"
    host = three.lab.host(5)
    wait_for(lambda: mode(host) == "observer")
    assert f"server.5=127.0.0.1:{host.quorum_port}:{host.election_port}:observer" in live_config(host)
    status = three("status", "--output", "json").expect(0).json["ensemble"]
    assert 5 in status["observers"] and 5 not in status["voters"]
