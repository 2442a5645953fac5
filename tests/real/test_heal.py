"""Out of a second ensemble, with clients that write on both sides: one side is kept, and what the other had lies where the plan says."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.real.driver import Done, Load, Sampler, Zkprov, client, edited_inventory, epoch, events_in, mode, wait_for
from zkprov.act.local import LocalHost
from zkprov.act.processes import end
from zkprov.lab import founding
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
            0, "done: {1,2,3}", "kept: side A", "zkprov salvage /", "-o dead-letters-B", "restart the client"
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


def relisted(host: InventoryHost, listed: list[InventoryHost]) -> None:
    """Killed, given another static list as an operator does it, and started on the data that it has."""
    local = LocalHost(host)
    end(local.processes(), 0)
    wait_for(lambda: not local.processes())
    (Path(host.config_dir) / "zoo.cfg").write_text(founding.static_files(host, listed)["zoo.cfg"])
    local.start()


def leading(hosts: list[InventoryHost]) -> InventoryHost:
    return wait_for(lambda: next((h for h in hosts if mode(h) == "leader"), None))


def sides_in(plan: dict[str, Any]) -> dict[str, list[int]]:
    return {s["name"]: sorted(x["id"] for x in s["servers"]) for s in plan["split"]["sides"]}


@pytest.mark.matrix(keep=1, of="heals that are given up", among="heals")
def test_stale_and_given_up(make_lab: Any, tmp_path: Path) -> None:
    """A plan of other sides stops nobody; of one that is given up who was fenced stays so, and the rest is planned anew."""
    zkprov, ours, theirs = split(make_lab, tmp_path, static=True)
    plan = str(tmp_path / "plan.json")
    quick = ("--settle", "0", "--samples", "1", "--season", "2s", "--reason", "a lab", "--step-timeout", "40s")
    zkprov("plan", "heal", "--keep", "A", *quick, "--out", plan).expect(0)
    # one of ours is restarted with the list of all: it is on the other side now
    moved = next(h for h in ours if mode(h) == "follower")
    relisted(moved, [*ours, *theirs])
    wait_for(lambda: mode(moved) == "follower")
    zkprov("apply", plan, "--yes").expect(6, "acts under {1,2,3,4,5,6,7} now", "nobody was stopped")
    assert all(mode(h) for h in (*ours, *theirs))
    stayed = next(h for h in ours if h != moved)
    zkprov("plan", "heal", "--keep", stayed.name, *quick, "--out", plan).expect(
        0, f"bring {moved.id} back on its new disk"
    )
    events = tmp_path / "events.jsonl"
    running = zkprov.start("apply", plan, "--yes", "--events", str(events))
    try:
        wait_for(partial(begun, events, 3), 60)
    finally:
        running.signal(signal.SIGKILL)
        running.wait()
    zkprov("abort").expect(4, "Aborted", "fenced: zk", "zkprov heal")
    assert not any((Path(f"{h.config_dir}.zkprov") / "run").exists() for h in (*ours, *theirs))
    assert sum(bool(mode(h)) for h in ours if h != moved) == 2
    zkprov("heal", "--yes", "--keep", stayed.name, *quick).expect(0, "done: {1,2,3}", "digests equal")
    assert sorted(mode(h) for h in ours) == ["follower", "follower", "leader"] and not any(mode(h) for h in theirs)
    zkprov("check").expect(0)
    zkprov("prove").expect(0)


@pytest.mark.matrix(keep=1, of="heals of members that were taken over", among="heals")
def test_the_side_with_the_data_is_kept_though_its_epoch_is_lower(make_lab: Any, tmp_path: Path) -> None:
    """The second ensemble is at the higher epoch, and took two of three over: one is left, no quorum, with all that was acknowledged."""
    lab = make_lab(3, static=True, tick_ms=500)
    zkprov, ours = Zkprov(lab, tmp_path / "runs"), list(lab.founders)
    with Load(ours, per_s=100) as load:
        wait_for(lambda: len(load.acknowledged) > 50)
    theirs = list(make_outage(lab))
    while max(epoch(h) for h in theirs) <= max(epoch(h) for h in ours):
        relisted(leading(theirs), [*ours, *theirs])
        wait_for(lambda: all(mode(h) for h in theirs))
    with client(*theirs) as session:
        session.create(load._root, b"theirs")
    last = leading(ours)
    for host in (h for h in ours if h != last):
        relisted(host, [*ours, *theirs])
        wait_for(lambda host=host: mode(host) == "follower")
    wait_for(lambda: not mode(last))
    quick = ("--settle", "0", "--samples", "1", "--season", "2s", "--reason", "a lab", "--step-timeout", "40s")
    shown = zkprov("heal", "--plan", "--output", "json", *quick).expect(0).json["plan"]
    sides = sides_in(shown)
    mine = next(name for name, ids in sides.items() if ids == [last.id])
    assert shown["split"]["proposed"] == shown["split"]["keep"] == mine, "by its disk, whatever clients and epoch say"
    assert [s["kind"] for s in shown["steps"]].count("seed") == 1
    # killed where an empty server gets its vote, where the others elect, and where the next one comes back
    command: tuple[str, ...] = ("heal", "--yes", "--keep", last.name, *quick)
    for kind in ("seed", "elect", "return"):
        number = next(s["number"] for s in shown["steps"] if s["kind"] == kind)
        events = tmp_path / f"{kind}.jsonl"
        running = zkprov.start(*command, "--events", str(events))
        try:
            wait_for(partial(begun, events, number), 90)
        finally:
            running.signal(signal.SIGKILL)
            running.wait()
        command = ("resume",)
    zkprov("resume").expect(0, "done: {1,2,3}", "digests equal")
    assert all(not load.missing(h) for h in ours)
    assert sorted(mode(h) for h in ours) == ["follower", "follower", "leader"] and not any(mode(h) for h in theirs)
    assert all("reconfigEnabled" not in (Path(h.config_dir) / "zoo.cfg").read_text() for h in ours)
    zkprov("check").expect(0)
    zkprov("prove").expect(0)


@pytest.mark.matrix(keep=1, of="heals of a merge", among="heals")
def test_a_merge_is_found_by_digests_and_rebuilt_from_the_majority(make_lab: Any, tmp_path: Path) -> None:
    """Three became five by hand, the leader first; both sides wrote; then the roll was finished."""
    lab = make_lab(3, static=True, tick_ms=500)
    zkprov, ours = Zkprov(lab, tmp_path / "runs"), list(lab.founders)
    with client(*ours) as session:
        session.create("/both", b"")
    first, new = leading(ours), list(lab.hosts[3:5])
    stay, listed = [h for h in ours if h != first], [*ours, *new]
    end(LocalHost(first).processes(), 0)
    leading(stay)
    for host in new:
        LocalHost(host).fence("by-hand")
        LocalHost(host).configure(founding.static_files(host, listed), "by-hand")
        LocalHost(host).unfence("by-hand")
        LocalHost(host).start()
    relisted(first, listed)
    wait_for(lambda: all(mode(h) for h in (first, *new)) and all(mode(h) for h in stay))
    for name, side in (("ours", stay), ("theirs", [first, *new])):
        with client(*side) as session:
            for number in range(20):
                session.create(f"/both/{name}-{number}", b"")
    for host in stay:
        relisted(host, listed)
    leading([first, *stay, *new])
    wait_for(lambda: all(mode(h) for h in listed))
    with client(*listed) as session:
        for _ in range(260):
            session.set("/both", b"")
    quick = ("--settle", "0", "--samples", "1", "--season", "2s", "--reason", "a lab", "--step-timeout", "40s")
    shown = zkprov("heal", "--plan", "--output", "json", *quick).expect(0).json["plan"]
    assert shown["split"]["told_by"] == "data"
    kept = sides_in(shown)[shown["split"]["keep"]]
    assert len(kept) >= 3 and {first.id, *(h.id for h in new)} & set(kept)
    zkprov("heal", "--yes", "--keep", shown["split"]["keep"], *quick).expect(0, "done: {1,2,3,4,5}", "digests equal")
    trees = []
    for host in listed:
        with client(host) as session:
            session.sync("/both")
            trees.append(sorted(session.get_children("/both")))
    assert all(t == trees[0] for t in trees)
    zkprov("check").expect(0)
    zkprov("heal", "--yes").expect(0, "nothing to heal")
