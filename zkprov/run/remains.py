"""What no log tells, or no tree holds: the end of a log that was cut off, in a snapshot of that disk; a change made for another tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zkprov.model.letters import CutOff
from zkprov.observe import data_files
from zkprov.observe.data_files import DataFiles, Flawed
from zkprov.tree.compare import own
from zkprov.tree.snapshot import Node
from zkprov.tree.transactions import Transaction
from zkprov.tree.znodes import Tree


def unexplained(
    cut_off: Sequence[CutOff], disks: Sequence[DataFiles], logs: Sequence[DataFiles], kept: Tree, flawed: Flawed
) -> Iterator[tuple[str, Node, bytes]]:
    """(disk, znode, ACL as it lies on disk) of each that a transaction beyond a cut wrote, and that no log tells. In the order of zxids.

    Where the kept tree has it of the same transaction nothing is missing.
    """
    found: dict[tuple[int, bytes], tuple[str, Node, bytes]] = {}
    for files in disks:
        after = min((c.after for c in cut_off if c.disk == files.name), default=None)
        if after is None:
            continue
        for zxid, path in files.snapshots:
            if data_files.tree_of(path, zxid, flawed) is None:
                continue
            for node, acls in data_files.nodes_of(path):
                mzxid = int.from_bytes(node.stat[8:16], "big", signed=True)
                living = kept.get(node.path)
                if mzxid <= after or own(node.path) or (living is not None and living.mzxid == mzxid):
                    continue
                found.setdefault((mzxid, node.path), (files.name, node, acls.get(node.acl, b"")))
    first = min((zxid for zxid, _ in found), default=0)
    for files in logs if found else ():
        for txn in data_files.transactions(files, flawed, first - 1):
            for change in txn.changes:
                found.pop((txn.zxid, change.path), None)
    for key in sorted(found):
        yield found[key]


def unheld(txn: Transaction, tree: Tree) -> list[bytes]:
    """What a transaction wrote and the tree has not after it: it is not the tree that it was made for."""
    written = [(c.path if c.path != b"/" else b"", c.kind) for c in txn.changes]
    deleted = {path for path, kind in written if kind == "delete"}
    return [path for path, kind in written if kind in ("create", "set") and path not in tree and path not in deleted]
