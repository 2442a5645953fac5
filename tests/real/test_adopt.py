"""A real static ensemble becomes one that zkprov can change: under load, killed in the middle, given up, and after it lost its file."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.real.driver import (
    Done,
    Load,
    Sampler,
    Zkprov,
    edited_inventory,
    epoch,
    events_in,
    lists_on_disk,
    live_config,
    mode,
    version_of,
    wait_for,
    word,
)
from tests.real.test_remove_node import leader_of
from tests.real.test_restart import pids, turns
from zkprov.act.local import LocalHost
from zkprov.lab.founding import super_digest
from zkprov.lab.lab import Lab
from zkprov.lab.outage import kill

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("adopt")]
PASSWORD = "w=ith: ödd # letters"
QUICK = ("--yes", "--samples", "2", "--sample-interval", "0.1", "--step-timeout", "20")


def zoo_cfgs(lab: Lab) -> dict[str, bytes]:
    return {h.name: (Path(h.config_dir) / "zoo.cfg").read_bytes() for h in lab.founders}


def stopped(lab: Lab, path: Path) -> Path:
    return edited_inventory(lab, path, everywhere={"zkprov_foreign_config_manager": "stopped"})


@pytest.mark.matrix(keep=1, of="adopted under load", among="changes under load")
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
    zkprov("plan", "adopt", "--detailed-exitcode").expect(
        10, "back up", "write 2 lines into zoo.cfg of 3 members; no restart yet", "missing"
    )
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


def broken_off(
    zkprov: Zkprov, events: Path, at: Callable[[dict[str, Any]], bool], number: signal.Signals, *more: str
) -> Done:
    """`adopt`, which gets a signal at the first event that `at` knows."""
    running = zkprov.start("adopt", *QUICK, *more, "--events", str(events))
    wait_for(lambda: running.process.poll() is not None or any(map(at, events_in(events))), 60, "the instant")
    running.signal(number)
    return running.wait()


def done_with(kind: str) -> Callable[[dict[str, Any]], bool]:
    """The end of the first step of a kind."""
    return lambda event: event["kind"] == "step.done" and event["evidence"]["step"].split()[0] == kind


def adopted(lab: Lab, zkprov: Zkprov) -> None:
    """Nothing is missing, nothing of a run stands, and the list has a version everywhere."""
    hosts = list(lab.founders)
    wait_for(lambda: zkprov("check").code == 0, what="a healthy ensemble")
    version = version_of(live_config(*hosts))
    assert int(version, 16) > 0 and {lists_on_disk(h)[-1] for h in hosts} == {version}
    assert not any((Path(f"{h.config_dir}.zkprov") / "run").exists() for h in hosts), "a fence is left"
    assert not any(list(Path(f"{h.config_dir}.zkprov").glob("former*")) for h in hosts), "what was kept is left"
    zkprov("resume").expect(0, "nothing to resume")
    zkprov("adopt", *QUICK).expect(0, "nothing to do")


@pytest.mark.matrix(keep=1, of="adoptions that meet something", among="long changes")
def test_given_up(make_lab: Any, tmp_path: Path) -> None:
    """Before the first restart zoo.cfg is as it was; after it what stands is said, and the next adoption does the rest.

    Nobody is its super user until then: whose password is given here is.
    """
    lab = make_lab(3, static=True, settings={"DigestAuthenticationProvider.superDigest": None})
    before, files = pids(lab), zoo_cfgs(lab)
    everywhere = {"zkprov_foreign_config_manager": "stopped", "zkprov_auth_file": None}
    path = edited_inventory(lab, tmp_path / "i.yml", everywhere={**everywhere, "zkprov_super_password": PASSWORD})
    zkprov = Zkprov(lab, tmp_path / "runs", path, (PASSWORD, super_digest("super", PASSWORD).partition(":")[2]))
    flagged = tmp_path / "flagged.jsonl"
    broken_off(zkprov, flagged, done_with("flag"), signal.SIGINT).expect(7, "zkprov resume")
    assert not any("stop" in e["evidence"].get("what", "") for e in events_in(flagged)), "a server was stopped"
    assert all(b"reconfigEnabled=true" in text for text in zoo_cfgs(lab).values())
    # somebody else's restart meanwhile: that one has read what was written, and keeps it in memory
    other = next(h for h in lab.founders if mode(h) == "follower")
    kill(lab, other.id or 0)
    LocalHost(other).start()
    wait_for(lambda: mode(other), what="it serves again")
    said = zkprov("abort").expect(4, "is as it was", f"{other.name} was restarted by somebody else meanwhile").said
    assert f"zkprov restart --only {other.name}" in said and said.count("restart --only") == 1
    assert zoo_cfgs(lab) == files and {n for n, pid in pids(lab).items() if pid != before[n]} == {other.name}
    wait_for(lambda: zkprov("check").code == 0, what="a healthy ensemble")
    before = pids(lab)
    first = tmp_path / "first.jsonl"
    broken_off(zkprov, first, done_with("restart"), signal.SIGINT).expect(7)
    zkprov("abort").expect(0, "restarted: ", "not yet: ", "stays on every host", "zkprov adopt")
    now = pids(lab)
    assert 0 < len(set(now.values()) - set(before.values())) < 3
    assert all(b"reconfigEnabled=true" in text for text in zoo_cfgs(lab).values())
    zkprov("adopt", *QUICK).expect(0, "it can be changed from here")
    adopted(lab, zkprov)
    assert all(b"superDigest=super" in text for text in zoo_cfgs(lab).values())


@pytest.mark.matrix(keep=1, of="adoptions that meet something", among="long changes")
def test_what_is_refused(make_lab: Any, tmp_path: Path) -> None:
    """One clear error each, and nothing half done: no file is written, nobody restarted."""
    lab = make_lab(3, static=True)
    before, files = pids(lab), zoo_cfgs(lab)
    at = {h.name: Path(h.config_dir) / "zoo.cfg" for h in lab.founders}
    said = {"zkprov_foreign_config_manager": "stopped"}
    zkprov = Zkprov(lab, tmp_path / "runs", stopped(lab, tmp_path / "i.yml"))

    def with_another(name: str, host: str = "", **variables: Any) -> Zkprov:
        everywhere = said | ({} if host else variables)
        path = edited_inventory(
            lab, tmp_path / f"{name}.yml", host, everywhere=everywhere, **(variables if host else {})
        )
        return Zkprov(lab, tmp_path / name, path)

    with_another("nobody", zkprov_auth_file=None)("adopt", *QUICK).expect(3, "Refused by R12", "zkprov_super_password")
    with_another("perhaps", zkprov_foreign_config_manager="perhaps")("adopt", *QUICK).expect(2, "write stopped")
    # another hand between plan and apply
    plan = str(tmp_path / "plan.json")
    zkprov("plan", "adopt", "--out", plan, "--detailed-exitcode").expect(10)
    at["zk2"].write_bytes(files["zk2"] + b"maxClientCnxns=7\n")
    zkprov("apply", plan, "--yes").expect(6, "zk2: zoo.cfg says something else", "zkprov plan adopt")
    at["zk2"].write_bytes(files["zk2"])
    # the last of them is a link: the first is not written either
    at["zk3"].rename(at["zk3"].with_name("own.cfg"))
    at["zk3"].symlink_to("own.cfg")
    zkprov("adopt", *QUICK).expect(4, "zoo.cfg is a link")
    assert zoo_cfgs(lab) == files
    at["zk3"].with_name("own.cfg").rename(at["zk3"])
    # a copy of its files, on which no server runs
    copy = tmp_path / "copy"
    shutil.copytree(at["zk2"].parent, copy)
    with_another("copied", "zk2", zkprov_config_dir=str(copy))("adopt", *QUICK).expect(4, "no server runs on")
    assert (copy / "zoo.cfg").read_bytes() == files["zk2"]
    # its list is another one: of the servers or of their roles
    at["zk2"].write_bytes(re.sub(rb"server.3=.*\n", b"", files["zk2"]))
    zkprov("adopt", *QUICK).expect(4, "same config")
    at["zk2"].write_bytes(files["zk2"])
    assert (pids(lab), zoo_cfgs(lab)) == (before, files)
    # one that is down is restarted first; it is known by its disk alone
    follower = next(h for h in lab.founders if mode(h) == "follower")
    LocalHost(follower).stop(5)
    planned = zkprov("plan", "adopt", "--detailed-exitcode").expect(10, f"{follower.name} served nobody").said
    assert re.findall(r"restart (\d) with another zoo.cfg", planned)[0] == str(follower.id)
    LocalHost(follower).start()


INSTANTS = {
    "as it writes": lambda e: e["kind"] == "act" and "into zoo.cfg" in e["evidence"]["what"],
    "as it stops a follower": lambda e: e["kind"] == "act" and e["step"] == 3 and "stop" in e["evidence"]["what"],
    "as it edits again": lambda e: e["kind"] == "act" and e["step"] == 4 and "lay" in e["evidence"]["what"],
    "as it stops the leader": lambda e: e["kind"] == "act" and e["step"] == 5 and "stop" in e["evidence"]["what"],
    "as it starts the leader": lambda e: e["kind"] == "act" and e["step"] == 5 and "start" in e["evidence"]["what"],
    "at the last look": lambda e: e["kind"] == "step.begun" and e["step"] == 6,
}


@pytest.mark.matrix(keep=1, of="adoptions that meet something", among="long changes")
@pytest.mark.parametrize("taken_up", ["resume", "abort"])
@pytest.mark.parametrize("instant", INSTANTS)
def test_killed(make_lab: Any, tmp_path: Path, instant: str, taken_up: str) -> None:
    lab = make_lab(3, static=True)
    hosts, before, files = list(lab.founders), pids(lab), zoo_cfgs(lab)
    zkprov = Zkprov(lab, tmp_path / "runs", stopped(lab, tmp_path / "i.yml"))
    with Load(hosts, per_s=50) as load, Sampler(lab) as sampler:
        broken_off(zkprov, tmp_path / "e.jsonl", INSTANTS[instant], signal.SIGKILL)
        said = zkprov(taken_up).expect(0)
        wait_for(lambda: all(mode(h) for h in hosts))
        if taken_up == "abort" and instant == "as it writes":
            assert (pids(lab), zoo_cfgs(lab)) == (before, files), said
        if taken_up == "abort":
            zkprov("adopt", *QUICK).expect(0)
        wait_for(lambda: all(mode(h) for h in hosts))
    assert not set(pids(lab).values()) & set(before.values())
    assert all(len(names) <= 1 for names in sampler.leaders)
    assert not any(load.missing(h) for h in hosts)
    adopted(lab, zkprov)


@pytest.mark.matrix(keep=1, of="adoptions that meet something", among="long changes")
def test_what_has_a_list_of_a_version_and_lacks_the_rest(make_lab: Any, tmp_path: Path) -> None:
    """Reconfig works there, and little else is as zkprov needs it: one restart for all of it, and the leader hands over."""
    lacking: dict[str, str | None] = {
        "standaloneEnabled": None,
        "db.autocreate": None,
        "admin.enableServer": "false",
    }
    lab = make_lab(3, whitelist="srvr", settings=lacking)
    hosts, before = list(lab.founders), pids(lab)
    was, leader = epoch(hosts[0]), leader_of(hosts)
    zkprov = Zkprov(lab, tmp_path / "runs", stopped(lab, tmp_path / "i.yml"))
    said = (
        zkprov("plan", "adopt", "--detailed-exitcode").expect(10, "standaloneEnabled=false", "db.autocreate=false").said
    )
    for missing in ("4lw.commands.whitelist=srvr, mntr, conf, cons", "admin.enableServer=true", "the ledger"):
        assert missing in said, said
    with Load(hosts, per_s=50) as load, Sampler(lab) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        zkprov("adopt", *QUICK).expect(0, f"hand over and restart {leader.id}", "it can be changed from here")
        wait_for(lambda: all(mode(h) for h in hosts))
    assert not set(pids(lab).values()) & set(before.values())
    assert [epoch(h) for h in hosts] == [was + 1] * 3, "handed over, and no election besides"
    assert all(len(names) <= 1 for names in sampler.leaders[-3:])
    assert not any(load.missing(h) for h in hosts)
    assert all("zk_version" in word(h, "mntr") for h in hosts)
    adopted(lab, zkprov)


@pytest.mark.matrix(keep=1, of="adoptions that meet something", among="long changes")
def test_a_configuration_manager_that_goes_on(make_lab: Any, tmp_path: Path) -> None:
    """It renders the static zoo.cfg of long ago: that is told before the member is restarted by it, and after; adopt is the cure."""
    lab = make_lab(3)
    hosts, before = list(lab.founders), pids(lab)
    # a list of a version that nobody but zkprov's own lab made: the ledger is all that is missing
    bare = Zkprov(lab, tmp_path / "bare")
    bare("adopt", *QUICK).expect(0, "missing the ledger (/zkprov)")
    bare("adopt", *QUICK).expect(0, "nothing to do")
    assert pids(lab) == before
    follower = next(h for h in hosts if mode(h) == "follower")
    zoo_cfg = Path(follower.config_dir) / "zoo.cfg"
    text = re.sub(r"^dynamicConfigFile=.*\n", "", zoo_cfg.read_text(), flags=re.MULTILINE)
    static = "".join(f"server.{h.id}={h.server_address}\n" for h in hosts)
    static += f"clientPort={follower.client_port}\nclientPortAddress=127.0.0.1\n"
    zoo_cfg.write_text(text.replace("reconfigEnabled=true", "reconfigEnabled=false") + static)
    lost = (f"{follower.id} ({follower.name}): its zoo.cfg has lost its dynamicConfigFile", "then zkprov adopt")
    bare("check").expect(4, *lost)
    bare("adopt", *QUICK).expect(3, "Refused by R10", "zkprov_foreign_config_manager: stopped")
    # its clients' port stands nowhere in that list: it takes the ensemble's for another one, and waits for ever
    server = LocalHost(follower)
    server.stop(5)
    server.start()
    wait_for(lambda: "not currently serving" in word(follower), what="one that finds no way back")
    bare("check").expect(4, *lost)
    zkprov = Zkprov(lab, tmp_path / "runs", stopped(lab, tmp_path / "i.yml"))
    zkprov("adopt", *QUICK).expect(0, f"restart {follower.id}", "a restart with it is the cure")
    assert {h.name for h in hosts if pids(lab)[h.name] != before[h.name]} == {follower.name}
    adopted(lab, zkprov)
