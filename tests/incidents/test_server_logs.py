"""`salvage --server-log`: of what a leader had cut off from others' logs no disk tells how much it was; that leader's own log does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tests.incidents.conftest import Broken
from tests.incidents.ways_out import QUICK, on_no_disk, to_keep
from tests.real.driver import Done, Zkprov, client, wait_for
from zkprov.lab.lab import Lab
from zkprov.lab.shapes.scene import Scene
from zkprov.lab.writers import acknowledged, stop_writers
from zkprov.model.inventory import InventoryHost
from zkprov.model.letters import CutOff
from zkprov.run.dead_letters import DeadLetters

pytestmark = [pytest.mark.real, pytest.mark.matrix(keep=1, of="rarer ways out")]

AT_INFO = "-Dzkprov.log.level=INFO"  # zkprov's servers are quieter than ZooKeeper by default
AHEAD = 100
"""By so many transactions the old side is ahead, so that it still is when its last server joins: each of them is cut off."""
CAME = re.compile(r"sid: (\d+) maxCommittedLog=0x(\w+) .*peerLastZxid=0x(\w{1,15})$", re.MULTILINE)
UNTOLD, TOLD = "how much that was it does not tell", "which it had, are on this disk no more"

Cuts = set[tuple[int, int, int]]
"""(server, after, last)"""


def words_of(host: InventoryHost) -> Path:
    return Path(host.log_dir) / "zookeeper.log"


def cut_by(host: InventoryHost) -> Cuts:
    """As the server's own log has it, read as text: who came with more than it had itself."""
    found = {(int(s), int(c, 16), int(last, 16)) for s, c, last in CAME.findall(words_of(host).read_text())}
    return {(s, committed, last) for s, committed, last in found if last > committed}


def salvaged_with(
    lab: Lab, zkprov: Zkprov, healed: Done, logs: Iterable[InventoryHost], home: Path
) -> tuple[str, Cuts, list[CutOff]]:
    """The commands that the heal ended with, and these servers' logs: what was said, and what is told to be cut off."""
    given = [word for host in logs for word in ("--server-log", str(words_of(host)))]
    said, found = "", list[CutOff]()
    home.mkdir()
    for number, told in enumerate(re.findall(r"zkprov (salvage .*)", healed.out)):
        *words, _ = shlex.split(told)
        file = home / str(number)
        said += zkprov(*words, str(file), *given, timeout_s=120).expect(0).said
        with DeadLetters(file) as letters:
            found += letters.origin.cut_off
    of = {cut: next(h for h in lab.hosts if f"/{h.name}/" in cut.disk) for cut in found}
    return said, {(of[cut].id or 0, cut.after, cut.last) for cut in found}, found


def the_old_side_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the shape `merged`: the new side is acknowledged a few writes and no more, the old one many."""
    write = Scene.write

    def otherwise(scene: Scene, name: str, hosts: Sequence[InventoryHost]) -> None:
        if name == "old":
            write(scene, name, hosts)
            return
        with client(*hosts) as session:
            last = [session.create(f"/lab/{name}-{n}", b"", include_data=True)[1].czxid for n in range(5)][-1]
        wait_for(
            lambda: max(x.zxid for x in acknowledged(scene.lab.folder)) > last + AHEAD, 60, "the old side is ahead"
        )

    monkeypatch.setattr(Scene, "write", otherwise)


def test_how_much_was_cut_off(broken: Broken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    the_old_side_far_ahead(monkeypatch)
    lab, incident = broken("merged", AT_INFO)
    zkprov = Zkprov(lab, tmp_path / "runs")
    wait_for(lambda: [x["shape"] for x in zkprov("status", "--output", "json").json["incidents"]] == ["merged"], 60)
    gone, keep = on_no_disk(lab), to_keep(lab, incident)
    hosts = [host for host in lab.hosts if words_of(host).exists()]
    cuts = {host.name: found for host in hosts if (found := cut_by(host))}
    ((leader, meant),) = cuts.items()
    healed = zkprov("heal", "--keep", keep, "--yes", *QUICK, timeout_s=240).expect(0, "done:")
    stop_writers(lab.folder)

    led = [host for host in hosts if host.name == leader]
    said, told, cut_off = salvaged_with(lab, zkprov, healed, led, tmp_path / "leader")
    assert told == meant and len(gone) > AHEAD / 2
    assert TOLD in said and UNTOLD not in said and f"{max(cut.most for cut in cut_off)} transactions at most" in said
    assert all(any(cut.after < lost.zxid <= cut.last for cut in cut_off) for lost in gone), (
        "each lost write is among them"
    )
    assert max(lost.zxid for lost in gone) <= max(cut.last for cut in cut_off) < max(lost.zxid for lost in gone) + 10

    # who led nobody knows nothing of it, and without a log nobody does
    others = [host for host in hosts if host.name != leader]
    for logs, home in ((others, tmp_path / "others"), ([], tmp_path / "none")):
        said, told, _ = salvaged_with(lab, zkprov, healed, logs, home)
        assert told == {(server, after, 0) for server, after, _ in meant}
        assert UNTOLD in said and TOLD not in said


def test_where_nothing_was_cut_off(broken: Broken, tmp_path: Path) -> None:
    """Two ensembles that never met: their leaders' logs are full of who came, and none of it is a loss."""
    lab, incident = broken("outage", AT_INFO)
    zkprov = Zkprov(lab, tmp_path / "runs")
    healed = zkprov("heal", "--keep", to_keep(lab, incident), "--yes", *QUICK, timeout_s=240).expect(0, "done:")
    stop_writers(lab.folder)
    logs = [host for host in lab.hosts if words_of(host).exists()]
    assert any(CAME.search(words_of(host).read_text()) for host in logs) and not any(map(cut_by, logs))
    said, told, _ = salvaged_with(lab, zkprov, healed, logs, tmp_path / "all")
    assert not told and "dead letters in" in said and "gone " not in said and TOLD not in said
