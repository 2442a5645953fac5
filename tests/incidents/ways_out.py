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


APART = ("/zookeeper", "/lab/ephemeral")


def data_of(host: InventoryHost, ending: str = "") -> str:
    """A server's data as `zkprov salvage` takes it: two folders where the logs lie apart."""
    data, logs = f"{host.data_dir}{ending}", f"{host.data_log_dir}{ending}"
    return data if data == logs else f"{data}:{logs}"


def set_aside(lab: Lab, names: Iterable[str]) -> list[str]:
    """The data of each of these servers whose disk a heal has moved."""
    moved = (
        (host, folder)
        for host in (h for h in lab.hosts if h.name in set(names))
        for folder in sorted(Path(host.data_dir).parent.glob(f"{Path(host.data_dir).name}.heal-*"))
    )
    return [data_of(host, f".{folder.name.partition('.')[2]}") for host, folder in moved]


def history_of(hosts: Iterable[InventoryHost]) -> set[tuple[int, str]]:
    """(zxid, path) of every change in the logs that these servers have now."""
    found = set()
    for host in hosts:
        files = find(Path(data_of(host)))
        for txn in transactions(files, lambda _: None):
            found |= {(txn.zxid, change.path.decode(errors="replace")) for change in txn.changes}
    return found


def lost_already(lab: Lab, losing: Iterable[str]) -> set[tuple[int, str]]:
    """Acknowledged writes that are in no log of the losing servers by now.

    Who joined the other side's leader had its log cut off (TRUNC); or has it still below that leader's snapshot, and is kept.
    """
    written = [line for line in acknowledged(lab.folder) if line.kind != "ephemeral"]
    there = history_of(host for host in lab.hosts if host.name in set(losing))
    return {(line.zxid, line.path) for line in written} - there


def nothing_is_lost(
    lab: Lab, zkprov: Zkprov, kept: list[InventoryHost], files: list[Path], gone: set[tuple[int, str]]
) -> tuple[int, int, int]:
    """Each acknowledged write is on the kept side, or a dead letter; but for those that were `gone` before. How many of each.

    What a writer itself has written over since is where that is: a server that came in later, by a snapshot, has only the last.
    """
    written = [line for line in acknowledged(lab.folder) if line.kind != "ephemeral"]
    letters = set()
    for file in files:
        shown = zkprov("salvage", "show", str(file), "--data", "--limit", "0", "--output", "json").expect(0).json
        letters |= {(int(str(x["zxid"]), 16), x["path"]) for x in shown["letters"]}
    history = history_of(kept)
    with client(*kept) as session:
        session.sync("/lab")
        living = tree(session, "/lab")

    def lives(x: Acknowledged) -> bool:
        data, stat = living.get(x.path, (b"", None))
        if stat is None:
            return False
        # a disk that was taken over has the log of its former history still
        ours = x.kind == "create" or stat.czxid < x.zxid <= stat.mzxid
        return data == x.data.encode() or (ours and (x.zxid, x.path) in history and stat.mzxid >= x.zxid)

    there = [x for x in written if lives(x)]
    last = {(x.writer, x.path): x.zxid for x in there}
    there += [x for x in written if x not in there and x.zxid < last.get((x.writer, x.path), 0)]
    missing = [x for x in written if x not in there and (x.zxid, x.path) not in letters | gone]
    assert not missing, f"{len(missing)} of {len(written)} acknowledged writes are nowhere: {missing[:5]}"
    in_letters = [x for x in written if x not in there and (x.zxid, x.path) in letters]
    return len(there), len(in_letters), len(written) - len(there) - len(in_letters)


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
            everything = tree(session, "/").items()
            # /zookeeper each server writes by itself, outside of transactions; the writers' sessions expire about now
            found.append({p: (d, s.czxid, s.mzxid) for p, (d, s) in everything if not p.startswith(APART)})
    for other in found[1:]:
        differ = [p for p in found[0].keys() | other.keys() if found[0].get(p) != other.get(p)]
        assert not differ, f"the members hold different trees: {sorted(differ)[:5]}"


def to_keep(lab: Lab, incident: Incident) -> str:
    """The server to keep: of the side that was there before; after a merge the one that has most of what the first writer was told."""
    side = next((side for side in incident.sides if side.name in ("old", "members")), None)
    known = side.servers if side else {i for side in incident.sides for i in side.servers}
    first = [x for x in acknowledged(lab.folder) if x.writer == incident.writers[0].name and x.kind == "create"]
    wanted = {(line.zxid, line.path) for line in first}
    hosts = [host for host in lab.hosts if host.id in known and Path(host.data_dir, "version-2").exists()]
    return max(hosts, key=lambda host: len(wanted & history_of([host]))).name
