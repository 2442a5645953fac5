"""The disks of this machine's hosts, as the looks of a run read them: what costs the machine most is gone through once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zkprov.act import processes
from zkprov.act.processes import ServerProcess
from zkprov.model.facts import Peer
from zkprov.model.inventory import InventoryHost
from zkprov.run import local_disks
from zkprov.run.local_disks import LocalDisks
from zkprov.shipped.remote import peers


def host(folder: Path, number: int, quorum_port: int) -> InventoryHost:
    config = folder / f"zk{number}"
    config.mkdir()
    (config / "zoo.cfg").write_text(f"dataDir={config}\nclientPort=2181\n")
    return InventoryHost(
        name=f"zk{number}", address="127.0.0.1", id=number, connection="local", config_dir=str(config),
        data_dir=str(config), data_log_dir=str(config), quorum_port=quorum_port, election_port=quorum_port + 1,
    )  # fmt: skip


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What runs and is connected, and how often each was gone through; time stands still but for `now`."""
    here: dict[str, Any] = {"servers": [], "sockets": set(), "walks": 0, "reads": 0, "now": 100.0}

    def running() -> Any:
        here["walks"] += 1
        return iter(here["servers"])

    def established(own: list[int]) -> Any:
        here["reads"] += 1
        return {s for s in here["sockets"] if s[1] in own or s[3] in own}

    monkeypatch.setattr(processes, "running_servers", running)
    monkeypatch.setattr(processes, "since", lambda _: 0.0)
    monkeypatch.setattr(peers, "established", established)
    monkeypatch.setattr(local_disks.time, "monotonic", lambda: here["now"])
    return here


def test_a_look_goes_through_processes_once_and_a_second_through_connections(
    tmp_path: Path, machine: dict[str, Any]
) -> None:
    hosts = [host(tmp_path, n, 3000 + 10 * n) for n in (1, 2, 3)]
    machine["servers"] = [ServerProcess(n, 1, f"{h.config_dir}/zoo.cfg") for n, h in enumerate(hosts[:2], 1)]
    machine["sockets"] = {("10.0.0.1", 3011, "10.0.0.9", 50000), ("10.0.0.1", 41000, "10.0.0.8", 3020)}
    disks = LocalDisks(hosts)

    def look() -> list[Any]:
        taken = disks.of_look()
        return [taken.read(h).value for h in hosts]

    first = look()
    assert [d.active for d in first] == [True, True, False]
    assert first[0].peers == (Peer("10.0.0.9", 0),) and first[2].peers == ()
    assert machine["walks"] == 1 and machine["reads"] == 1
    machine["servers"].pop()
    assert [d.active for d in look()] == [True, False, False]  # what runs is as old as the look
    assert machine["walks"] == 2 and machine["reads"] == 1
    machine["sockets"] = set()
    machine["now"] += 1.0
    assert look()[0].peers == () and machine["reads"] == 2


def test_a_server_at_other_ports_is_heard_of_too(tmp_path: Path, machine: dict[str, Any]) -> None:
    one = host(tmp_path, 1, 3010)
    machine["servers"] = [ServerProcess(1, 1, f"{one.config_dir}/zoo.cfg")]
    machine["sockets"] = {("10.0.0.1", 7001, "10.0.0.9", 50000)}
    disks = LocalDisks([one])
    found = disks.of_look().read(one).value
    assert found is not None and found.peers == ()
    import msgspec

    moved = msgspec.structs.replace(one, quorum_port=7000, election_port=7001)
    found = disks.of_look().read(moved).value
    assert found is not None and found.peers == (Peer("10.0.0.9", 0),)
