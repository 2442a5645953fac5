"""A disk that went over to another server's history: what its own log has from before, and where that was cut off.

A server that joins a leader of another history is sent the leader's snapshot (SNAP: its own log stays, below it), or is told to cut its log
off at the last transaction that the leader takes for common (TRUNC: the end is gone from that disk for good).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from zkprov.judge.parting import Parting, by_logs, by_trees, contradicts
from zkprov.model.letters import CutOff
from zkprov.observe import data_files
from zkprov.observe.data_files import Cover, Covering, DataFiles, Flawed
from zkprov.tree.flaw import Flaw
from zkprov.tree.znodes import Tree

END = 0x42
"""The last byte of each transaction in a log; behind the last one ZooKeeper has laid zeros, at least 4 kB of them."""


class Former(msgspec.Struct, frozen=True):
    """What a disk's own log has from before it took over the tree of another history. `files`: that stretch alone.

    `parted`: up to it the other history has it too. `tree`: as the stretch ends. `snapshot`: the zxid of the tree that came over it.
    """

    files: DataFiles
    parted: int
    tree: Tree
    snapshot: int


def cover_of(files: DataFiles, flawed: Flawed) -> Cover:
    log = Covering(data_files.bodies(files, flawed))
    for _ in log:
        pass
    return log.cover()


def formers(files: DataFiles, cover: Cover, flawed: Flawed) -> tuple[Former, ...]:
    """Each stretch of a disk's log, oldest first, that the snapshot after it is not made of.

    A snapshot that begins where the log ends is the server's own. One that is beyond it was sent; and unless it holds what the log tells,
    or what can have become of it since, it is of another history.
    """
    found: list[Former] = []
    for zxid, path in files.snapshots:
        last = max((min(end, zxid) for first, end in cover.stretches if first <= zxid), default=0)
        if not last or last == zxid or (found and last <= found[-1].files.upto):
            continue
        theirs = data_files.tree_of(path, zxid, flawed)
        if theirs is None:
            continue
        before = tuple((z, p) for z, p in files.snapshots if z <= last)
        own_log = msgspec.structs.replace(files, snapshots=before, upto=last, since=found[-1].snapshot if found else -1)
        first = _first(own_log)
        base = data_files.base(own_log, flawed, first.__gt__) or data_files.base(
            own_log, flawed, lambda _: True, oldest=True
        )
        tree = base.tree if base else Tree.founded()
        parted = by_trees(data_files.bodies(own_log, flawed), base.tree if base else None, theirs).zxid
        for txn in data_files.transactions(own_log, flawed, base.zxid if base else -1):
            tree.apply(txn)
        if contradicts(tree, theirs, parted, last):
            found.append(Former(own_log, parted, tree, zxid))
    return tuple(found)


def present(files: DataFiles, former: tuple[Former, ...]) -> DataFiles:
    """Of a disk only what is of the history that its server has now."""
    if not former:
        return files
    since = former[-1].snapshot
    return msgspec.structs.replace(files, since=since, snapshots=tuple(s for s in files.snapshots if s[0] >= since))


def cuts(files: DataFiles, flawed: Flawed, *, kept: bool) -> tuple[CutOff, ...]:
    """Where logs of a disk were cut off.

    ZooKeeper lays zeros ahead of what it writes and never takes them back; it sets the length of a file in one case alone: TRUNC. Where no
    log of a disk has them they may have been left out by whoever copied it.
    """
    bare = [(zxid, path) for zxid, path in files.logs if _ends_bare(path)]
    found = []
    for named, path in bare:
        one = msgspec.structs.replace(files, logs=((named, path),), since=-1, upto=-1)
        if last := max((zxid for zxid, _ in data_files.bodies(one, flawed)), default=0):
            found.append(CutOff(files.name, last, len(bare) < len(files.logs), kept))
    return tuple(found)


def _ends_bare(path: str) -> bool:
    try:
        with Path(path).open("rb") as stream:
            size = stream.seek(0, 2)
            if size <= 16:
                return False
            stream.seek(size - 1)
            return stream.read(1) == bytes([END])
    except OSError:
        return False  # told where it is read


def parting_of(
    main: DataFiles,
    cover: Cover,
    kept: Tree,
    kept_logs: Sequence[DataFiles],
    went_over: Sequence[Former],
    flawed: Flawed,
) -> Parting:
    """Where the history of a losing disk parts from the kept one: by the longest of the kept logs, else by the kept tree.

    Two that came together again have one history from then on too. That is no sign of the time before, of which a log that begins later,
    or a tree that was sent, tells nothing.
    """
    begin = cover.stretches[0][0] if cover.stretches else 0
    found = Parting(0, False, "")
    for first, files in sorted(((_first(files), files) for files in kept_logs), key=lambda x: x[0]):
        found = by_logs(data_files.bodies(main, flawed), data_files.bodies(files, _unheard))
        if found.sure and first <= begin and data_files.begins(main):
            return found
        if found.sure:
            break
    # the one that the log goes on from; a server that was sent its first has an empty one besides
    ordered = [s for s in reversed(main.snapshots) if s[0] < begin] + [s for s in main.snapshots if s[0] >= begin]
    beginning = next((t for z, p in ordered if (t := data_files.tree_of(p, z, flawed))), None)
    trees = by_trees(data_files.bodies(main, flawed), beginning, kept)
    if not trees.zxid and data_files.begins(main):
        trees = msgspec.structs.replace(trees, how=f"{trees.how}: taken as of no common history")
    if not found.sure or (trees.merged and trees.zxid < found.zxid):
        found = trees
    for former in went_over:
        if former.parted < found.zxid:
            how = f"{main.name} took over the tree of another history at {former.snapshot:#x}, and its own log parts from that"
            found = Parting(former.parted, False, how, True)
    return found


def _first(files: DataFiles) -> int:
    """The zxid of the first transaction that its logs have."""
    return next((zxid for zxid, _ in data_files.bodies(files, _unheard)), 1 << 63)


def _unheard(_: Flaw) -> None:
    """Flaws of a disk that are told where it is read for itself."""
