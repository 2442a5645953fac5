"""Two trees side by side: which znodes are only here, only there, or different, and in what."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from zkprov.tree.znodes import ROW, STAT, Tree, Znode

OURS = (b"/zookeeper", b"/zkprov")


class Side(StrEnum):
    HERE = "only here"
    THERE = "only there"
    DIFFERENT = "different"


class Difference(msgspec.Struct, frozen=True, gc=False):
    """`what` differs, of data, acl, owner, created (czxid), written (mzxid), version; empty where one side has none."""

    path: bytes
    side: Side
    what: tuple[str, ...]
    here: Znode | None
    there: Znode | None


def own(path: bytes) -> bool:
    """Whether it is ZooKeeper's own, or zkprov's ledger: each server's, or each side's, to keep."""
    return path.startswith(OURS) and (path in OURS or path.startswith((b"/zookeeper/", b"/zkprov/")))


def differences(here: Tree, there: Tree) -> Iterator[Difference]:
    """In the order of paths. What is ZooKeeper's and zkprov's own is left out, and so is the root."""
    found = [p for p in here if _differ(here.raw(p), there.raw(p)) and p and not own(p)]
    found += [p for p in there if p not in here and not own(p)]
    found.sort()
    for path in found:
        one, other = here.get(path), there.get(path)
        if one is None or other is None:
            yield Difference(path, Side.HERE if other is None else Side.THERE, (), one, other)
        elif what := differs(one, other):
            yield Difference(path, Side.DIFFERENT, what, one, other)


def _differ(one: bytes, other: bytes) -> bool:
    """A glance: whether it is worth a closer look. pzxid and cversion tell of children, which have places of their own."""
    return (
        one[:36] != other[:36] or one[40:52] != other[40:52] or one[STAT.size + 8 : ROW] != other[STAT.size + 8 : ROW]
    )


def differs(one: Znode, other: Znode) -> tuple[str, ...]:
    found = []
    if one.sum != other.sum:
        found.append("data")
    if one.acl is not None and other.acl is not None and one.acl != other.acl:
        found.append("acl")
    if one.owner != other.owner and (one.ephemeral or other.ephemeral):
        # clients are shown no other owner
        found.append("owner")
    if (one.czxid, one.ctime) != (other.czxid, other.ctime):
        found.append("created")
    if (one.mzxid, one.mtime) != (other.mzxid, other.mtime):
        found.append("written")
    if one.version != other.version:
        found.append("version")
    return tuple(found)
