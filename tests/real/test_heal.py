"""Out of a second ensemble, with clients that write on both sides: one side is kept, and what the other had lies where the plan says."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.real.driver import Done, Load, Sampler, Zkprov, client, edited_inventory, events_in, mode, wait_for
from zkprov.act.local import LocalHost
from zkprov.lab.outage import make_outage
from zkprov.model.inventory import InventoryHost

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("heal")]
QUICK = ("--yes", "--settle", "0", "--samples", "1", "--sample-interval", "0.1", "--step-timeout", "30")


def split(make_lab: Any, tmp_path: Path, **keywords: Any) -> tuple[Zkprov, list[InventoryHost], list[InventoryHost]]:
    """Three servers with data, and four others that elected a leader of their own."""
    lab = make_lab(3, **keywords)
    with client(*lab.founders) as session:
        session.create("/app", b"ours")
    theirs = list(make_outage(lab))
    with client(*theirs[:2]) as session:
        session.create("/app", b"theirs")
    wait_for(lambda: all(mode(h) for h in lab.hosts[:7]))
    return Zkprov(lab, tmp_path / "runs"), list(lab.founders), theirs


def aside(zkprov: Zkprov, host: InventoryHost) -> Path:
    """Where its data lies now, found without asking zkprov."""
    (found,) = Path(host.data_dir).parent.glob(f"{Path(host.data_dir).name}.heal-*")
    return found


def in_logs(hosts: list[InventoryHost], path: str) -> bool:
    """Whether the transaction log that one of them had names the znode."""
    logs = [
        f
        for h in hosts
        for f in Path(h.data_log_dir).parent.glob(f"{Path(h.data_log_dir).name}.heal-*/version-2/log.*")
    ]
    return any(path.encode() in f.read_bytes() for f in logs)


def healed(zkprov: Zkprov, ours: list[InventoryHost], theirs: list[InventoryHost]) -> None:
    """One leader, one history, and the others' servers off, with their disks set aside and given back."""
    assert sorted(mode(h) for h in ours) == ["follower", "follower", "leader"]
    for host in theirs:
        assert mode(host) == "" and not LocalHost(host).processes()
        assert not Path(host.config_dir).exists() and not Path(host.data_dir).exists()
        assert aside(zkprov, host).is_dir()
    for host in (*ours, *theirs):
        assert not (Path(f"{host.config_dir}.zkprov") / "run").exists(), "a fence is left"
    zkprov("check").expect(0)
    zkprov("prove").expect(0)
    zkprov("heal", "--yes").expect(0, "nothing to heal")


def nothing_was_stopped(done: Done, hosts: list[InventoryHost]) -> None:
    assert all(mode(h) for h in hosts), repr(done)


@pytest.mark.matrix(keep=1, of="an outage healed", among="heals")
@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_an_outage_with_writers_on_both_sides(make_lab: Any, tmp_path: Path, static: bool) -> None:
    zkprov, ours, theirs = split(make_lab, tmp_path, static=static)
    plan = str(tmp_path / "plan.json")
    with Load(ours, per_s=50) as kept, Load(theirs, per_s=50) as lost, Sampler(zkprov.lab) as sampler:
        wait_for(lambda: len(kept.acknowledged) > 20 and len(lost.acknowledged) > 20)
        # never silently, and never a side that is none
        said = zkprov("heal", "--yes").expect(2, "which side is kept is a person's to say", "zkprov heal --keep A")
        nothing_was_stopped(said, [*ours, *theirs])
        zkprov("heal", "--yes", "--keep", "C").expect(2, "names no side", "zkprov heal --keep B")
        shown = zkprov("heal", "--plan").expect(0, "side A (kept)", "side B (fenced)", "restart the client at")
        assert "back up every side" in shown.out and shown.out.index("back up") < shown.out.index("fence zk4")
        zkprov("heal", "--keep", "A", "--fenced", "zk7", "--reason", "unplugged", "--yes").expect(3, "zk7 answers")
        zkprov("heal", "--keep", "A", "--fenced", "zk7", "--yes").expect(2, "--reason")
        zkprov("heal", "--keep", "A", "--fenced", "zk8", "--reason", "x", "--yes").expect(2, "names no server")
        # no backup, nobody stopped
        (tmp_path / "no-folder").write_text("")
        nowhere = edited_inventory(
            zkprov.lab, tmp_path / "nowhere.yml", "zk6", zkprov_backup_dir=str(tmp_path / "no-folder" / "x")
        )
        other = zkprov.with_inventory(nowhere)
        nothing_was_stopped(other("heal", "--keep", "A", *QUICK).expect(4, "nobody was stopped"), [*ours, *theirs])
        document = (
            zkprov(
                "plan", "heal", "--keep", "zk1", "--settle", "0", "--samples", "1", "--out", plan, "--output", "json"
            )
            .expect(0)
            .json
        )
        sides = {s["name"]: s for s in document["plan"]["split"]["sides"]}
        assert [s["id"] for s in sides["A"]["servers"]] == [1, 2, 3] and [s["id"] for s in sides["B"]["servers"]] == [
            4,
            5,
            6,
            7,
        ]
        busy = next(s["host"] for s in sides["B"]["servers"] if s["clients"])
        fences = [s["host"] for s in document["plan"]["steps"] if s["kind"] == "fence"]
        assert fences[0] == busy and sorted(fences) == ["zk4", "zk5", "zk6", "zk7"], "whom clients are on comes first"
        done = zkprov("apply", plan, "--yes").expect(
            0, "done: {1,2,3}", "kept: side A", "zkprov salvage zk", "restart the client"
        )
        assert all(str(aside(zkprov, h)) in done.said.replace(" ", "") for h in theirs)
        lost._client.stop()  # what it asks for is answered by nobody any more
        before = len(kept.acknowledged)
        wait_for(lambda: len(kept.acknowledged) > before + 10)
    assert kept.longest_gap_s < 2, "whoever wrote on the kept side hardly noticed"
    assert all(not kept.missing(h) for h in ours)
    assert all(in_logs(theirs, f"{lost._root}/{name}") for name in lost.acknowledged), (
        "an acknowledged write lies nowhere"
    )
    assert all(len(names) <= 2 for names in sampler.leaders)
    healed(zkprov, ours, theirs)
    zkprov("apply", plan, "--yes").expect(0, "nothing to heal")
    if not static:
        zkprov.add("zk4").expect(0, "done: {1,2,3,4}")


def begun(events: Path, step: int) -> bool:
    return any(e["kind"] == "step.begun" and e["step"] == step for e in events_in(events))


@pytest.mark.matrix(keep=1, of="heals that are killed", among="heals")
def test_killed_at_each_step_and_taken_up(make_lab: Any, tmp_path: Path) -> None:
    """One run, killed as soon as each of its steps has begun: it ends as it was planned."""
    zkprov, ours, theirs = split(make_lab, tmp_path)
    plan = str(tmp_path / "plan.json")
    made = (
        zkprov("plan", "heal", "--keep", "A", "--settle", "0", "--samples", "1", "--out", plan, "--output", "json")
        .expect(0)
        .json
    )
    steps = [s["number"] for s in made["plan"]["steps"]]
    command: tuple[str, ...] = ("apply", plan, "--yes")
    for number in steps:
        events = tmp_path / f"events-{number}.jsonl"
        running = zkprov.start(*command, "--events", str(events))
        try:
            wait_for(partial(begun, events, number), 60)
        finally:
            running.signal(signal.SIGKILL)
            running.wait()
        assert all(mode(h) for h in ours), f"the kept side, after step {number}"
        command = ("resume",)
    zkprov("apply", plan, "--yes").expect(5, "unfinished", "zkprov resume")
    zkprov("resume").expect(0, "done: {1,2,3}", "set aside: zk7:")
    healed(zkprov, ours, theirs)
    zkprov("resume").expect(0, "nothing to resume")
