"""The whole way out of an incident, and what is to be true at its end; asked from the servers and from their disks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.incidents.asked import leaders, mode
from tests.real.driver import Zkprov, client, tree, wait_for
from zkprov.lab.incident import Incident
from zkprov.lab.lab import Lab
from zkprov.lab.writers import Acknowledged, acknowledged
from zkprov.model.inventory import InventoryHost
from zkprov.observe.data_files import find, transactions

QUICK = (
    "--settle", "0", "--samples", "1", "--sample-interval", "0.1", "--season", "1s", "--reason", "a lab",
    "--step-timeout", "60s",
)  # fmt: skip


def data_of(host: InventoryHost, ending: str = "") -> str:
    """A server's data as `zkprov salvage` takes it: two folders where the logs lie apart."""
    data, logs = f"{host.data_dir}{ending}", f"{host.data_log_dir}{ending}"
    return data if data == logs else f"{data}:{logs}"


def set_aside(lab: Lab) -> dict[int, str]:
    """Id → the data of each server whose disk a heal has moved."""
    found = {}
    for host in lab.hosts:
        for folder in sorted(Path(host.data_dir).parent.glob(f"{Path(host.data_dir).name}.heal-*")):
            found[host.id or 0] = data_of(host, f".{folder.name.partition('.')[2]}")
    return found


def history_of(hosts: Iterable[InventoryHost]) -> set[tuple[int, str]]:
    """(zxid, path) of every change in the logs that these servers have now."""
    found = set()
    for host in hosts:
        files = find(Path(data_of(host)))
        for txn in transactions(files, lambda _: None):
            found |= {(txn.zxid, change.path.decode(errors="replace")) for change in txn.changes}
    return found


def nothing_is_lost(lab: Lab, zkprov: Zkprov, kept: list[InventoryHost], file: Path) -> tuple[int, int]:
    """Each acknowledged write is on the kept side, or a dead letter. How many of each.

    What both sides have from before they parted is on the kept side, whoever of it came in later, by a snapshot.
    """
    written = [line for line in acknowledged(lab.folder) if line.kind != "ephemeral"]
    shown = zkprov("salvage", "show", str(file), "--data", "--limit", "0", "--output", "json").expect(0).json
    parted = shown["origin"]["parted"]
    letters = {(int(str(x["zxid"]), 16), x["path"]) for x in shown["letters"]}
    history = history_of(kept)
    with client(*kept) as session:
        session.sync("/lab")
        living = {path: data for path, (data, _) in tree(session, "/lab").items()}
    there = [
        x for x in written if x.zxid <= parted or (x.zxid, x.path) in history or living.get(x.path) == x.data.encode()
    ]
    missing = [x for x in written if x not in there and (x.zxid, x.path) not in letters]
    assert not missing, f"{len(missing)} of {len(written)} acknowledged writes are nowhere: {missing[:5]}"
    return len(there), len(written) - len(there)


def one_ensemble(lab: Lab, zkprov: Zkprov, members: list[InventoryHost]) -> None:
    """One leader, whom all members follow; equal trees; a write through each; R1."""
    wait_for(lambda: all(mode(h) for h in members), what="all serve")
    assert len(leaders(lab.hosts)) == 1
    zkprov("check").expect(0)
    zkprov("prove").expect(0)
    found: list[Any] = []
    for number, host in enumerate(members):
        with client(host) as session:
            session.create(f"/through-{number}", b"")
    for host in members:
        with client(host) as session:
            session.sync("/")
            # what is below /zookeeper each server writes by itself, outside of transactions
            own = {
                p: (d, s.czxid, s.mzxid) for p, (d, s) in tree(session, "/").items() if p.split("/")[1] != "zookeeper"
            }
            found.append(own)
    for other in found[1:]:
        differ = [p for p in found[0].keys() | other.keys() if found[0].get(p) != other.get(p)]
        assert not differ, f"the members hold different trees: {sorted(differ)[:5]}"


def stayed(lab: Lab, incident: Incident, lines: Iterable[Acknowledged]) -> str:
    """The server to keep: of the side whose writer was there first, the one whose disk has most of what it was told is stored."""
    first = [line for line in lines if line.writer == incident.writers[0].name and line.kind == "create"]
    wanted = {(line.zxid, line.path) for line in first}
    known = {i for side in incident.sides for i in side.servers}
    ranked = {}
    for host in lab.hosts:
        if host.id in known and Path(host.data_dir, "version-2").exists():
            ranked[host.name] = len(wanted & history_of([host]))
    return max(ranked, key=lambda name: ranked[name])
