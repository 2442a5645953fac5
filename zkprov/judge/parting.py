"""Where two histories part, and why a change of one is not in the other. Pure: logs come as streams, trees as they were loaded."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from zkprov.model.letters import Kind, Why
from zkprov.tree.compare import own
from zkprov.tree.flaw import Torn
from zkprov.tree.transactions import DIGEST, Transaction, transaction
from zkprov.tree.znodes import Tree, Znode

Body = tuple[int, bytes]


class Parting(msgspec.Struct, frozen=True):
    """`zxid`: up to it both have one history, 0 for none. `sure`: it is known, and not only that they do not part earlier.

    `merged`: they came together again later, and have one history from then on.
    """

    zxid: int
    sure: bool
    how: str
    merged: bool = False


def by_logs(losing: Iterable[Body], kept: Iterable[Body]) -> Parting:
    """By two logs, each (zxid, bytes) in order: the last transaction that is the same in both. Nothing after the first that differs is.

    Without any that both have, nothing is known but that they part before the first of the later log.
    """
    ours, theirs = iter(losing), iter(kept)
    one, other = next(ours, None), next(theirs, None)
    common, differs = 0, 0
    first = (one[0] if one else 0, other[0] if other else 0)
    while one is not None and other is not None:
        if one[0] < other[0]:
            one = next(ours, None)
        elif one[0] > other[0]:
            other = next(theirs, None)
        elif same_transaction(one[1], other[1]):
            common, one, other = one[0], next(ours, None), next(theirs, None)
        else:
            differs = one[0]
            break
    if common:
        return Parting(common, True, f"both logs have the same transactions up to {common:#x}, and others after it")
    if not all(first):
        return Parting(0, False, "one side has no log")
    if differs and max(z & 0xFFFFFFFF for z in first) <= 1 and max(z >> 32 for z in first) <= 1:
        return Parting(0, True, "both logs begin with an ensemble of their own: there is no common history")
    return Parting(0, False, "the logs have no transaction in common")


def same_transaction(one: bytes, other: bytes) -> bool:
    """Whatever each server notes behind it, the digest of its own tree (from 3.6)."""
    size = DIGEST.size
    return one == other or one[:-size] == other[:-size] or one[:-size] == other or one == other[:-size]


def by_trees(losing: Iterable[Body], losing_tree: Tree | None, kept: Tree) -> Parting:
    """By what the kept tree has of the losing side's transactions: a znode that one of them wrote, at the same zxid and millisecond.

    They do not part before the last such, unless the kept side has another transaction at a zxid of the losing side's: then before that,
    whatever both have after it. (After a merge both go on with one history again.) `losing_tree` is the one that the losing side's log
    goes on from. The log is read to its end.
    """
    common: list[int] = []
    known = kept.zxids()
    clash = 0
    if losing_tree is not None:
        common, clash = _held(losing_tree, kept, known)
    for zxid, body in losing:
        at = bisect_left(known, zxid)
        # most are none of those, and need not be read
        if at < len(known) and known[at] == zxid:
            if _written(body, kept):
                common.append(zxid)
            else:
                clash = min(clash or zxid, zxid)
    if clash and any(zxid > clash for zxid in common):
        last = max((zxid for zxid in common if zxid < clash), default=0)
        return Parting(
            last,
            False,
            f"each has another transaction {clash:#x}; what both have after it, they have from after a merge",
            True,
        )
    last = max(common, default=0)
    if last:
        return Parting(last, False, f"by the znodes that both have: not before {last:#x}")
    return Parting(0, False, "no znode of the kept side was written by a transaction of the losing side")


def _held(losing: Tree, kept: Tree, known: array[int]) -> tuple[list[int], int]:
    """The transactions of which both trees have the znode, and the first zxid of which each has a znode of another; 0 for none."""
    common: list[int] = []
    doubted: dict[int, int] = {}
    for path in losing:
        one, other = losing.get(path), kept.get(path)
        if one is None:
            continue
        if other and (one.mzxid, one.mtime) == (other.mzxid, other.mtime):
            common.append(one.mzxid)
            continue
        for zxid, time in ((one.mzxid, one.mtime), (one.czxid, one.ctime)):
            at = bisect_left(known, zxid)
            if zxid and at < len(known) and known[at] == zxid:
                doubted[zxid] = time
    clashes = []
    for path in kept if doubted else ():
        if node := kept.get(path):
            found = ((node.mzxid, node.mtime), (node.czxid, node.ctime))
            clashes += [zxid for zxid, time in found if doubted.get(zxid, time) != time]
    return common, min(clashes, default=0)


def _written(body: bytes, kept: Tree) -> bool:
    """Whether a znode of the kept tree was created or last written by this transaction."""
    try:
        txn = transaction(body)
    except Torn:
        return False
    for change in txn.changes:
        found = kept.get(change.path)
        if found and (txn.zxid, txn.time) in ((found.mzxid, found.mtime), (found.czxid, found.ctime)):
            return True
    return False


def contradicts(before: Tree, after: Tree, parted: int, upto: int) -> bool:
    """Whether the tree that lies over a disk's log is not what can have become of that log's (`before`, up to `upto`).

    Of what was written since `parted` something is not there, is another znode, or is as another transaction of that time made it. What
    was written over later may be so in one history. Ephemeral znodes end with their sessions.
    """
    for path in before:
        node = before.get(path)
        if node is None or node.mzxid <= parted or node.ephemeral or not path or own(path):
            continue
        other = after.get(path)
        if (
            other is None
            or other.czxid != node.czxid
            or ((other.mzxid, other.mtime) != (node.mzxid, node.mtime) and other.mzxid <= upto)
        ):
            return True
    return False


class Before(NamedTuple):
    """Of a znode as it was when the histories parted. −1 where that is not known."""

    czxid: int
    mzxid: int
    aversion: int


def why(final: Znode | None, kept: Znode | None, before: Before | None, *, known: bool) -> Why | None:
    """Why the changes of one znode are not on the kept side; None where it is the same there.

    `final`: by the end of the losing side. `before`: when they parted, None where it was not there; `known`: whether that can be told.
    """
    if same(final, kept):
        return None
    if kept is None:
        if not known:
            return Why.NOT_KEPT
        return Why.CREATED_THERE if before is None else Why.DELETED_KEPT
    if not known:
        return Why.DIFFERS
    if before is None:
        return Why.CREATED_BOTH
    if (kept.czxid, kept.mzxid, kept.aversion) != before:
        return Why.CHANGED_BOTH
    return Why.DELETED_THERE if final is None else Why.CHANGED_THERE


def took_effect(kind: Kind, zxid: int, kept: Znode | None, deleted: int) -> bool:
    """Whether a transaction that both histories have did on the kept side what it tells, or has been written over there since.

    Two that came together hold different trees, and one transaction does different things to them: a create fails where there is one. It
    was acknowledged for all that. `deleted`: the zxid of the last deletion of that znode that the kept logs tell, 0 for none.
    """
    if kept is None:
        return kind is Kind.DELETE or deleted >= zxid
    if kind is Kind.DELETE or kind is Kind.CREATE:
        return kept.czxid >= zxid
    return kept.mzxid >= zxid or kind is Kind.ACL


def same(one: Znode | None, other: Znode | None) -> bool:
    """Whether both sides have it alike, by whichever ways it came to that: data, who may do what, and what kind of znode."""
    if one is None or other is None:
        return one is other
    if one.ephemeral != other.ephemeral or one.sum != other.sum:
        return False
    return one.acl is None or other.acl is None or one.acl == other.acl


class Ephemerals:
    """Which znodes are ephemeral at each moment of a log that is read on."""

    def __init__(self, at_first: Iterable[tuple[bytes, int]] = ()) -> None:
        self._owner: dict[bytes, int] = dict(at_first)

    def __contains__(self, path: bytes) -> bool:
        return path in self._owner

    def born(self, path: bytes, session: int) -> None:
        self._owner[path] = session

    def gone(self, path: bytes) -> None:
        self._owner.pop(path, None)

    def ended(self, txn: Transaction) -> Iterator[bytes]:
        """Those that end with the session of a transaction that closes it."""
        left = [p for p, owner in self._owner.items() if owner == txn.session]
        for path in dict.fromkeys((*txn.closed, *sorted(left))):
            self.gone(path)
            yield path
