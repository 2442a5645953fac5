"""The data of one server as it lies in a folder (its disk, one that was set aside, a backup, a copy): found, and read as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from zkprov.model.problems import BadInput
from zkprov.tree.flaw import Flaw, Torn
from zkprov.tree.log import records
from zkprov.tree.snapshot import Node, Snapshot, plain_chunks
from zkprov.tree.transactions import Transaction, transaction, zxid_of
from zkprov.tree.znodes import Tree

SNAPSHOT = re.compile(r"snapshot\.([0-9a-f]{1,16})(?:\.gz|\.snappy)?")
LOG = re.compile(r"log\.([0-9a-f]{1,16})")
DEEP = 4
"""How many folders deep data is looked for: a backup's is at data/version-2, a set-aside host's a little deeper."""
REMEDY = "name a server's data folder, a backup's, or a copy: the folder that holds version-2"
Flawed = Callable[[Flaw], None]


class DataFiles(msgspec.Struct, frozen=True):
    """One server's. `snapshots` and `logs`: (zxid of the name, path), oldest first. `myid`: None where it is not there.

    `since`, `upto`: of the logs only what is beyond the one zxid, and up to the other (−1: all).
    """

    name: str
    snapshots: tuple[tuple[int, str], ...]
    logs: tuple[tuple[int, str], ...]
    myid: int | None = None
    since: int = -1
    upto: int = -1

    @property
    def size(self) -> int:
        """Bytes of the logs, as far as they are written."""
        return sum(Path(p).stat().st_blocks * 512 for _, p in self.logs)


def find(folder: Path) -> DataFiles:
    """One server's, of a folder, or of `DATADIR:LOGDIR` where its logs lie elsewhere.

    Raises `BadInput` where there is nothing of ZooKeeper's, and where there are the data of several servers.
    """
    place = str(folder)
    folders = [folder] if folder.is_dir() else [Path(part) for part in place.split(":") if part]
    snapshots: dict[str, tuple[int, str]] = {}
    logs: dict[str, tuple[int, str]] = {}
    ids: dict[int, str] = {}
    for one in folders:
        if not one.is_dir():
            raise BadInput("there is no such folder", place=str(one), remedy=REMEDY)
        for at, name in _names(os.path.realpath(one)):
            path = os.path.join(at, name)  # noqa: PTH118 — a string is wanted
            if name == "myid":
                ids |= _id_in(path)
            for pattern, found in ((SNAPSHOT, snapshots), (LOG, logs)):
                if (match := pattern.fullmatch(name)) and os.path.isfile(path):  # noqa: PTH113
                    if name in found and found[name][1] != path:
                        what = f"several servers' data: {found[name][1]} and {path}"
                        raise BadInput(what, place=place, remedy="name each by itself")
                    found[name] = (int(match[1], 16), path)
    for found in (snapshots, logs):
        lie_in = sorted({os.path.dirname(path) for _, path in found.values()})  # noqa: PTH120
        if len(lie_in) > 1:
            what = f"several servers' data: {lie_in[0]} and {lie_in[1]}"
            raise BadInput(what, place=place, remedy="name each by itself")
    if len(ids) > 1:
        told = ", ".join(f"{i} in {p}" for i, p in sorted(ids.items()))
        raise BadInput(f"several servers' data: {told}", place=place, remedy="name each by itself")
    if not snapshots and not logs:
        raise BadInput("neither a snapshot nor a log of ZooKeeper's in it", place=place, remedy=REMEDY)
    return DataFiles(place, tuple(sorted(snapshots.values())), tuple(sorted(logs.values())), next(iter(ids), None))


def _names(root: str) -> Iterator[tuple[str, str]]:
    """(folder, name) of each file, not too deep down."""
    for at, folders, names in os.walk(root, onerror=_unread):
        if at.count(os.sep) - root.count(os.sep) >= DEEP:
            folders.clear()
        for name in sorted(names):
            yield at, name


def _unread(wrong: OSError) -> None:
    raise BadInput(
        f"cannot be read: {wrong.strerror}", place=str(wrong.filename), remedy="read it as root, or as its owner"
    )


def _id_in(path: str) -> dict[int, str]:
    try:
        text = Path(path).read_text(errors="replace")[:20].strip()
    except OSError:
        return {}
    return {int(text): path} if re.fullmatch(r"[0-9]{1,3}", text) else {}


def bodies(files: DataFiles, flawed: Flawed, beyond: int = -1) -> Iterator[tuple[int, bytes]]:
    """(zxid, bytes) of each transaction beyond a zxid, once each and in order, through all logs. `flawed` hears of what is missing.

    Raises `BadInput` for a file that the system does not let be read.
    """
    last = beyond = max(beyond, files.since)
    # a log whose next begins before what is asked for has nothing of it
    first = max((z for z, _ in files.logs if z <= beyond + 1), default=0)
    begun = False
    for named, path in files.logs:
        if named < first:
            continue
        for at, body in _records(path, flawed):
            zxid = zxid_of(body)
            if zxid <= last:
                continue
            if 0 <= files.upto < zxid:
                return
            if (begun or beyond >= 0) and (gap := missing(last, zxid)):
                flawed(Flaw(path, at, gap))
            begun = True
            last = zxid
            yield zxid, body


def _records(path: str, flawed: Flawed) -> Iterator[tuple[int, bytes]]:
    try:
        with Path(path).open("rb", buffering=1 << 18) as stream:
            yield from records(stream, path, os.fstat(stream.fileno()).st_size, flawed)
    except OSError as wrong:
        if isinstance(wrong, PermissionError):
            _unread(wrong)
        flawed(Flaw(path, 0, f"the disk does not give it: {wrong.strerror}"))


def missing(last: int, zxid: int) -> str:
    """What must lie between two transactions that follow each other in the logs; empty where nothing need.

    A leader numbers what it proposes without a hole, from 1 in each epoch.
    """
    if zxid >> 32 == last >> 32:
        if zxid == last + 1:
            return ""
        return f"the transactions {last + 1:#x} to {zxid - 1:#x} are in no log"
    before = zxid & 0xFFFFFFFF
    return f"the first {before - 1} transactions of epoch {zxid >> 32} are in no log" if before > 1 else ""


def transactions(files: DataFiles, flawed: Flawed, beyond: int = -1) -> Iterator[Transaction]:
    """As `bodies`, read. What cannot be (a type that this zkprov does not know) is told and left out."""
    for zxid, body in bodies(files, flawed, beyond):
        if (found := parsed(body, zxid, files, flawed)) is not None:
            yield found


def parsed(body: bytes, zxid: int, files: DataFiles, flawed: Flawed) -> Transaction | None:
    try:
        return transaction(body)
    except Torn as wrong:
        flawed(Flaw(files.name, 0, f"transaction {zxid:#x}: {wrong.what}; it is left out"))
        return None


def tree_of(path: str, zxid: int, flawed: Flawed) -> Tree | None:
    """What a snapshot holds; None where it is damaged, which `flawed` hears."""
    try:
        with Path(path).open("rb") as stream:
            return Tree.of_snapshot(Snapshot(plain_chunks(stream, path)), zxid)
    except Torn as wrong:
        flawed(Flaw(path, wrong.offset, f"{wrong.what}: this snapshot is not used"))
    except OSError as wrong:
        if isinstance(wrong, PermissionError):
            _unread(wrong)
        flawed(Flaw(path, 0, f"the disk does not give it: {wrong.strerror}"))
    return None


def nodes_of(path: str) -> Iterator[tuple[Node, dict[int, bytes]]]:
    """Each znode of a snapshot that was found whole, and the ACLs by their numbers."""
    with Path(path).open("rb") as stream:
        snapshot = Snapshot(plain_chunks(stream, path))
        for node in snapshot.nodes():
            yield node, snapshot.acls


class Cover(msgspec.Struct, frozen=True):
    """Which transactions the logs have: (first, last) of each stretch without a hole, in order."""

    stretches: tuple[tuple[int, int], ...]

    @property
    def last(self) -> int:
        return self.stretches[-1][1] if self.stretches else 0

    def has(self, zxid: int) -> bool:
        return any(first <= zxid <= last for first, last in self.stretches)

    def reaches(self, snapshot: int, upto: int) -> bool:
        """Whether everything after a snapshot is in them, as far as `upto`."""
        if snapshot >= upto:
            return True
        after = [(first, last) for first, last in self.stretches if last > snapshot]
        if not after or after[0][1] < upto:
            return False
        return after[0][0] <= snapshot or not missing(snapshot, after[0][0])


def goes_on(files: DataFiles, cover: Cover, snapshot: int, upto: int) -> bool:
    """As `Cover.reaches`; but not over another snapshot that was sent in between: by their numbers alone whole epochs can lack unseen."""
    if not cover.reaches(snapshot, upto):
        return False
    after = min((max(first, snapshot + 1) for first, last in cover.stretches if last > snapshot), default=upto)
    return not any(snapshot < z < after and z & 0xFFFFFFFF for z, _ in files.snapshots)


class Covering:
    """Passes transactions on, and knows afterwards which there were. `whole`: whether all were passed on."""

    def __init__(self, found: Iterator[tuple[int, bytes]]) -> None:
        self._found = found
        self._stretches: list[tuple[int, int]] = []
        self.whole = False

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        first = last = -1
        for zxid, body in self._found:
            if zxid != last + 1:
                if first >= 0 and not missing(last, zxid):
                    last = zxid
                else:
                    if first >= 0:
                        self._stretches.append((first, last))
                    first = zxid
            last = zxid
            yield zxid, body
        if first >= 0:
            self._stretches.append((first, last))
        self.whole = True

    def cover(self) -> Cover:
        """Reads the rest, if there is any."""
        return Cover(tuple(self._stretches))


def begins(files: DataFiles) -> bool:
    """Whether the logs begin with the ensemble itself."""
    return bool(files.logs) and files.logs[0][0] & 0xFFFFFFFF <= 1 and files.logs[0][0] >> 32 <= 1


class Base(msgspec.Struct, frozen=True):
    """A tree to begin at, the zxid up to which it holds everything, and the snapshot that it is of (empty: of none)."""

    tree: Tree
    zxid: int
    path: str = ""


def base(files: DataFiles, flawed: Flawed, fits: Callable[[int], bool], *, oldest: bool = False) -> Base | None:
    """The newest (or the oldest) whole snapshot whose zxid fits; without any an empty tree, if 0 fits and the logs begin with the ensemble.

    An older release's server has no snapshot before its first restart.
    """
    for zxid, path in files.snapshots if oldest else reversed(files.snapshots):
        if fits(zxid) and (tree := tree_of(path, zxid, flawed)) is not None:
            return Base(tree, zxid, path)
    return Base(Tree.founded(), 0) if fits(0) and begins(files) else None


def load(files: DataFiles, flawed: Flawed) -> Tree:
    """The tree as ZooKeeper would load it from this disk. Raises `BadInput` where there is no whole snapshot to begin at."""
    found = base(files, flawed, lambda _: True)
    if found is None:
        raise nothing_whole(files)
    for txn in transactions(files, flawed, found.zxid):
        found.tree.apply(txn)
    return found.tree


def nothing_whole(files: DataFiles) -> BadInput:
    return BadInput(
        "no snapshot in it is whole, and the logs do not begin with the ensemble",
        place=files.name,
        remedy="name another server's data of the same side, or an older copy",
    )
