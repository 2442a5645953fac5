"""Where two histories part, and why a change of one is not in the other. Pure: logs come as streams, trees as they were loaded."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from zkprov.model.letters import Why
from zkprov.tree.flaw import Torn
from zkprov.tree.transactions import DIGEST, Transaction, transaction
from zkprov.tree.znodes import Tree, Znode

Body = tuple[int, bytes]


class Parting(msgspec.Struct, frozen=True):
    """`zxid`: up to it both have one history, 0 for none. `sure`: it is known, and not only that they do not part earlier."""

    zxid: int
    sure: bool
    how: str


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
    whatever both have after it. (After a merge both go on with one history again.) `losing_tree` is its oldest snapshot, which may be
    younger than the merge. The logs are read to their end.
    """
    known = kept.zxids()
    common, clash = _in_snapshot(losing_tree, kept, known) if losing_tree else (list[int](), 0)
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
        )
    last = max(common, default=0)
    if last:
        return Parting(last, False, f"by the znodes that both have: not before {last:#x}")
    return Parting(0, False, "no znode of the kept side was written by a transaction of the losing side")


def _in_snapshot(losing: Tree, kept: Tree, known: Sequence[int]) -> tuple[list[int], int]:
    """The zxids at which both wrote the same, and the first at which each wrote something else; 0 for none."""
    common: list[int] = []
    apart: dict[int, int] = {}
    for path in losing:
        one, other = losing.get(path), kept.get(path)
        if one and other and (one.mzxid, one.mtime) == (other.mzxid, other.mtime):
            common.append(one.mzxid)
        elif one and one.mzxid:
            at = bisect_left(known, one.mzxid)
            if at < len(known) and known[at] == one.mzxid:
                apart[one.mzxid] = one.mtime
    clashes = set[int]()
    # one transaction may write many znodes, of which either side may have any; but it has one time
    for path in kept if apart else ():
        found = kept.get(path)
        if found:
            clashes.update(
                z for z, ms in ((found.mzxid, found.mtime), (found.czxid, found.ctime)) if apart.get(z, ms) != ms
            )
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
