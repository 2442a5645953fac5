"""The whole way out of an incident, and what is to be true at its end; asked from the servers and from their disks."""

from __future__ import annotations

import re
import shlex
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
from zkprov.run.dead_letters import DeadLetters

QUICK = (
    "--settle", "0", "--samples", "1", "--sample-interval", "0.1", "--season", "1s", "--reason", "a lab",
    "--step-timeout", "60s",
)  # fmt: skip


APART = ("/zookeeper", "/lab/ephemeral")


def data_of(host: InventoryHost, ending: str = "") -> str:
    """A server's data as `zkprov salvage` takes it: two folders where the logs lie apart."""
    data, logs = f"{host.data_dir}{ending}", f"{host.data_log_dir}{ending}"
    return data if data == logs else f"{data}:{logs}"


Write = tuple[int, str, bytes | None]
"""(zxid, path, data): two histories have different ones of one zxid, and a writer's data are its own."""


def history_of(folders: Iterable[str]) -> set[Write]:
    """Every change in the logs of these folders."""
    found = set()
    for folder in folders:
        for txn in transactions(find(Path(folder)), lambda _: None):
            found |= {(txn.zxid, change.path.decode(errors="replace"), change.data) for change in txn.changes}
    return found


def of(line: Acknowledged) -> Write:
    return line.zxid, line.path, line.data.encode()


def on_no_disk(lab: Lab) -> list[Acknowledged]:
    """Acknowledged writes that are in no log of any server by now: who joined another side's leader had its log cut off."""
    written = [line for line in acknowledged(lab.folder) if line.kind != "ephemeral"]
    disks = history_of(data_of(host) for host in lab.hosts if Path(host.data_dir, "version-2").exists())
    return [line for line in written if of(line) not in disks]


def salvaged(zkprov: Zkprov, healed: str, home: Path) -> list[Path]:
    """The commands that a heal ends with, as they stand there, one for each side that was not kept."""
    files = []
    for number, told in enumerate(re.findall(r"zkprov (salvage .*)", healed)):
        *words, file = shlex.split(told)
        assert words[-1] == "-o" and file.startswith("dead-letters-"), told
        files.append(home / f"{number}-{file}")
        zkprov(*words, str(files[-1]), timeout_s=120).expect(0)
    return files


def is_named(lost: Acknowledged, incident: Incident, lab: Lab, files: Iterable[Path]) -> bool:
    """Whether one of the files says that it is on the disk of a server no more to which its writer wrote."""
    servers = next(w.servers for w in incident.writers if w.name == lost.writer)
    folders = [Path(lab.host(i).data_dir).parent for i in servers]
    for file in files:
        with DeadLetters(file) as letters:
            for cut in letters.origin.cut_off:
                if cut.sure and cut.after < lost.zxid and any(cut.disk.startswith(f"{folder}/") for folder in folders):
                    return True
    return False


def nothing_is_lost(
    lab: Lab, kept: list[InventoryHost], files: list[Path], gone: Iterable[Acknowledged]
) -> tuple[int, int, list[Acknowledged]]:
    """Each acknowledged write is on the kept side, or a dead letter; but for those that were `gone` before. How many, and the rest.

    What a writer itself has written over since is where that is: a server that came in later, by a snapshot, has only the last.
    """
    written = [line for line in acknowledged(lab.folder) if line.kind != "ephemeral"]
    letters: set[Write] = set()
    for file in files:
        with DeadLetters(file) as found:
            letters |= {(x.zxid, x.path, x.data) for x, _ in found.letters()}
    history = history_of(data_of(host) for host in kept)
    with client(*kept) as session:
        session.sync("/lab")
        living = tree(session, "/lab")

    def lives(x: Acknowledged) -> bool:
        data, stat = living.get(x.path, (b"", None))
        if stat is None:
            return False
        # a disk that was taken over has the log of its former history still
        ours = x.kind == "create" or stat.czxid < x.zxid <= stat.mzxid
        return data == x.data.encode() or (ours and of(x) in history and stat.mzxid >= x.zxid)

    there = [x for x in written if lives(x)]
    last = {(x.writer, x.path): x.zxid for x in there}
    there += [x for x in written if x not in there and x.zxid < last.get((x.writer, x.path), 0)]
    excused = {of(x) for x in gone}
    missing = [x for x in written if x not in there and of(x) not in letters | excused]
    assert not missing, f"{len(missing)} of {len(written)} acknowledged writes are nowhere: {missing[:5]}"
    living_or_letter = {of(x) for x in there} | letters
    rest = [x for x in written if of(x) not in living_or_letter]
    return len(there), len(written) - len(there) - len(rest), rest


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
    wanted = {of(line) for line in first}
    hosts = [host for host in lab.hosts if host.id in known and Path(host.data_dir, "version-2").exists()]
    return max(hosts, key=lambda host: len(wanted & history_of([data_of(host)]))).name
