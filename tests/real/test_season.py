"""R2 on real servers: newcomers and joiners are never a quorum; time makes them voters like others, a restart makes no newcomers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real.driver import (
    QUICK,
    Sampler,
    Touched,
    Zkprov,
    client,
    events_in,
    mode,
    secrets_of,
    wait_for,
)
from zkprov.lab.outage import kill, wipe

pytestmark = pytest.mark.real


@pytest.mark.matrix(keep=1, of="seasons", among="long changes")
def test_one_to_three_is_refused_waits_or_has_a_reason(make_lab, tmp_path: Path) -> None:
    lab = make_lab(1, tick_ms=1000)
    zkprov = Zkprov(lab, tmp_path / "runs")
    zkprov.add("zk2").expect(0, "done: {1,2}")

    touched = Touched(lab, "zk3")
    refused = zkprov.add("zk3").expect(3, "Refused by R2: newcomers would be a quorum", "{1,2,3}")
    assert "newcomers: 2 (voting for" in refused.said and "and the joiner 3: 2 of the 3" in refused.said
    assert "zkprov add-node zk3 --wait" in refused.said and "goes on when 2 is seasoned (in 15 min)" in refused.said
    document = zkprov.add("zk3", "--output", "json").expect(3).json
    assert document["refusal"]["rule"] == "R2" and document["plan"] is None
    zkprov.add("zk3", "--season", "2s").expect(2, "is shorter than 15 min and needs a reason")
    for rule in ("R1", "R2", "R6"):
        zkprov.add("zk3", "--override", rule, "--reason", "x").expect(2, f"{rule} (", "cannot be overridden")
    touched.nothing()

    events = tmp_path / "wait.jsonl"
    age_s = 900 - zkprov("status", "--output", "json").json["ensemble"]["newcomers"]["2"]
    season = ("--season", f"{age_s + 20:.0f}s", "--reason", "a lab")
    with Sampler(lab) as sampler:
        zkprov.add("zk3", *season, "--wait", "--events", str(events)).expect(0, "done: {1,2,3}")
    waits = [e["evidence"]["left_s"] for e in events_in(events) if e["kind"] == "seasoning"]
    assert waits and waits == sorted(waits, reverse=True) and 0 < waits[0] <= 20
    promoted = [e["evidence"]["what"] for e in events_in(events) if "reconfig" in str(e["evidence"].get("what"))]
    assert len(promoted) == 2
    assert set(map(len, sampler.leaders)) == {1}
    plan = json.loads(_of_ledger(zkprov, "/zkprov/run"))["plan"]
    assert plan["options"]["reason"] == "a lab", "the reason stands in the ledger"

    # By the time that everybody else goes by, two newcomers and a joiner are three of four.
    zkprov.add("zk4").expect(3, "newcomers: 2 (voting for", "and the joiner 4: 3 of the 4")
    wait_for(lambda: zkprov.add("zk4", "--season", "3s", "--reason", "a lab").code == 0)
    assert sorted(mode(h) for h in lab.hosts[:4]) == ["follower"] * 3 + ["leader"]


def _of_ledger(zkprov: Zkprov, path: str) -> bytes:
    with client(zkprov.lab.host(1)) as session:
        data, _ = session.get(path)
    for secret in secrets_of(zkprov.lab):
        assert secret.encode() not in data
    return bytes(data)


@pytest.mark.matrix(keep=1, of="seasons", among="long changes")
def test_the_fourth_of_three_to_seven_waits(make_lab, tmp_path: Path) -> None:
    lab = make_lab(3, tick_ms=1000)
    zkprov = Zkprov(lab, tmp_path / "runs")
    events = tmp_path / "events.jsonl"
    hosts = ("zk4", "zk5", "zk6", "zk7")
    plan = zkprov("plan", "add", *hosts, "--settle", "0", "--output", "json").expect(0).json["plan"]
    kinds = [(s["kind"], s["server"]) for s in plan["steps"]]
    assert [k for k, _ in kinds].count("season") == 1
    assert kinds.index(("promote", 6)) < kinds.index(("season", 4)) < kinds.index(("start", 7))

    done = zkprov.add(*hosts, "--season", "30s", "--reason", "a lab", "--events", str(events), timeout_s=200)
    done.expect(0, "done: {1,2,3,4,5,6,7}")
    told = events_in(events)
    seasoning = [n for n, e in enumerate(told) if e["kind"] == "seasoning"]
    assert seasoning and "4" in told[seasoning[0]]["evidence"]["newcomers"]
    step_of = {e["evidence"]["step"]: n for n, e in enumerate(told) if e["kind"] == "step.done"}
    assert step_of["promote 6"] < seasoning[0] and seasoning[-1] < step_of["promote 7"]
    status = zkprov("status", "--output", "json").expect(0).json["ensemble"]
    assert status["voters"] == [1, 2, 3, 4, 5, 6, 7] and status["spare"] == 3


def test_a_restart_of_all_makes_no_newcomers_and_a_wipe_does(make_lab, tmp_path: Path) -> None:
    lab = make_lab(3, tick_ms=1000)
    zkprov = Zkprov(lab, tmp_path / "runs")
    zkprov.add("zk4").expect(0)

    def newcomers() -> dict[str, float]:
        found = zkprov("status", "--output", "json").json["ensemble"]
        return dict(found["newcomers"])

    before = newcomers()
    assert set(before) == {"4"}
    for server_id in (1, 2, 3, 4):
        kill(lab, server_id)
    zkprov("status").expect(4)
    lab.up()
    wait_for(lambda: zkprov("status").code == 0, what="safety after the restart")
    after = newcomers()
    assert set(after) == {"4"}, "the founders are seasoned for good"
    assert after["4"] < before["4"], "and the time of a newcomer goes on"

    # The founder's disk is lost: with a leader present it takes a snapshot, and is as young as its disk.
    follower = next(i for i in (1, 2, 3) if mode(lab.host(i)) == "follower")
    wipe(lab, follower)
    (Path(lab.host(follower).data_dir) / "myid").write_text(f"{follower}\n")
    lab.up()
    wait_for(lambda: mode(lab.host(follower)) == "follower")
    wait_for(lambda: zkprov("status").code == 0, what="safety after the wipe")
    assert set(newcomers()) == {"4", str(follower)}
    refused = zkprov("add-node", "zk5", *QUICK).expect(3, "Refused by R2")
    assert f"{follower}, " in refused.said or f"{follower} (" in refused.said
