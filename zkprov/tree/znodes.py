"""A tree of znodes in memory, without their data: some 250 bytes a znode, for a million of them must fit twice."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from hashlib import blake2b

import msgspec

from zkprov.tree.snapshot import Snapshot
from zkprov.tree.transactions import OPEN, Change, Transaction, is_ephemeral

STAT = struct.Struct(">qqqqiiiqq")
TAIL = struct.Struct(">ii16s")
_CREATED_WRITTEN = struct.Struct(">qq")
ROW = STAT.size + TAIL.size
NO_ACL = -1
"""Of a znode that was read through a session, where nobody asked for it."""
CONFIG = b"/zookeeper/config"
UNREAD = b"\xff" * 16
"""In place of the sum of data that could not be read."""
_EMPTY = blake2b(b"", digest_size=16).digest()


def sum_of(data: bytes | None) -> bytes:
    """What stands for the data: equal for equal data; null is empty."""
    return blake2b(data, digest_size=16).digest() if data else _EMPTY


class Znode(msgspec.Struct, frozen=True, gc=False):
    """A znode's stat as ZooKeeper keeps it: `cversion` counts the children ever created. Times in ms since 1970.

    `acl`: as it lies on disk; None where it was not read. `sum`: see `sum_of`. `size` in bytes; −1: null.
    """

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    owner: int
    pzxid: int
    acl: bytes | None
    size: int
    sum: bytes

    @property
    def ephemeral(self) -> bool:
        return is_ephemeral(self.owner)


class Tree:
    """Paths are bytes, the root's is empty. `zxid`: of the last transaction that was applied, or that the snapshot is named by."""

    def __init__(self) -> None:
        self.zxid = 0
        self._rows: dict[bytes, int] = {}
        self._store = bytearray()
        self._free: list[int] = []
        self._acls: list[bytes] = []
        self._acl_ids: dict[bytes, int] = {}
        self._sessions: dict[int, set[bytes]] = {}
        self.config = b""
        """The data of `/zookeeper/config`, the one znode whose data is kept: the list of members."""

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, path: bytes) -> bool:
        return path in self._rows

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._rows)

    @classmethod
    def founded(cls) -> Tree:
        """As a server has it that has no snapshot and no log yet."""
        tree = cls()
        for path in (b"", b"/zookeeper", b"/zookeeper/quota", b"/zookeeper/config"):
            tree.put(path, bytes(STAT.size), b"", tree.acl_id(OPEN))
        return tree

    @classmethod
    def of_snapshot(cls, snapshot: Snapshot, zxid: int) -> Tree:
        """`zxid`: by the snapshot's name: transactions beyond it may be in it in part, and are applied again. Raises `Torn`."""
        tree = cls()
        tree.zxid = zxid
        numbers = {number: tree.acl_id(acl) for number, acl in snapshot.acls.items()}
        numbers[-1] = tree.acl_id(OPEN)  # what ZooKeeper means by that number
        put = tree.put
        for path, data, acl, stat in snapshot.nodes():
            put(path, stat, data, numbers.get(acl, NO_ACL))
        return tree

    def acl_id(self, acl: bytes) -> int:
        found = self._acl_ids.get(acl)
        if found is None:
            found = self._acl_ids[acl] = len(self._acls)
            self._acls.append(acl)
        return found

    def put(self, path: bytes, stat: bytes, data: bytes | None, acl: int) -> None:
        """A znode with the 60 bytes of its stat, new or in place of the one there."""
        row = self._rows.get(path)
        if path == CONFIG:
            self.config = data or b""
        whole = stat + TAIL.pack(acl, -1 if data is None else len(data), sum_of(data))
        if row is not None:
            self._store[row : row + ROW] = whole
        elif self._free:
            row = self._rows[path] = self._free.pop()
            self._store[row : row + ROW] = whole
        else:
            self._rows[path] = len(self._store)
            self._store += whole
        owner = int.from_bytes(stat[44:52], "big", signed=True)
        if owner and is_ephemeral(owner):
            self._sessions.setdefault(owner, set()).add(path)

    def get(self, path: bytes) -> Znode | None:
        row = self._rows.get(path)
        if row is None:
            return None
        czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, pzxid = STAT.unpack_from(self._store, row)
        acl, size, digest = TAIL.unpack_from(self._store, row + STAT.size)
        known = None if acl == NO_ACL else self._acls[acl]
        return Znode(czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, pzxid, known, size, digest)

    def raw(self, path: bytes) -> bytes:
        """Stat, ACL, size and sum as they are kept: for one look at many. Empty where there is none."""
        row = self._rows.get(path)
        return b"" if row is None else bytes(self._store[row : row + ROW])

    def unread(self, path: bytes) -> None:
        """Nobody could read its data: it equals nothing."""
        row = self._rows[path]
        self._store[row + 64 : row + ROW] = struct.pack(">i16s", -1, UNREAD)

    def zxids(self) -> array[int]:
        """Of the transactions that created or last wrote a znode, in order."""
        found: set[int] = set()
        for row in self._rows.values():
            found.update(_CREATED_WRITTEN.unpack_from(self._store, row))
        return array("q", sorted(found))

    def ephemerals(self, session: int) -> frozenset[bytes]:
        return frozenset(self._sessions.get(session, ()))

    def ephemeral_paths(self) -> Iterator[tuple[bytes, int]]:
        for session, paths in self._sessions.items():
            for path in paths:
                yield path, session

    # -- as ZooKeeper's DataTree applies them, when it loads its disk: what fails there is left out there

    def apply(self, txn: Transaction) -> None:
        """One transaction, which may be in the tree already, wholly or in part (a snapshot is written while the ensemble goes on)."""
        for change in txn.changes:
            self.change(change, txn.zxid, txn.time)
        if txn.type == -11:
            self.end(txn)
        self.zxid = max(self.zxid, txn.zxid)

    def end(self, txn: Transaction) -> None:
        """The end of a session: its ephemeral znodes go, those that the transaction names first."""
        left = self._sessions.pop(txn.session, set())
        for path in (*txn.closed, *(left - set(txn.closed))):
            self._remove(path, txn.zxid)

    def change(self, change: Change, zxid: int, time: int) -> None:
        kind, path = change.kind, change.path
        if path == b"/":
            path = b""  # the root, as clients call it
        if kind == "set":
            row = self._rows.get(path)
            if row is not None:
                store = self._store
                store[row + 8 : row + 16] = zxid.to_bytes(8, "big", signed=True)
                store[row + 24 : row + 36] = struct.pack(">qi", time, change.version)
                data = change.data
                if path == CONFIG:
                    self.config = data or b""
                store[row + 64 : row + ROW] = struct.pack(">i16s", -1 if data is None else len(data), sum_of(data))
        elif kind == "create":
            self._create(change, zxid, time)
        elif kind == "delete":
            self._remove(path, zxid)
        elif (row := self._rows.get(path)) is not None:
            self._store[row + 40 : row + 44] = struct.pack(">i", change.version)
            self._store[row + 60 : row + 64] = struct.pack(">i", self.acl_id(change.acl))

    def _create(self, change: Change, zxid: int, time: int) -> None:
        path = change.path
        parent = self._rows.get(path.rpartition(b"/")[0])
        if parent is None:
            return
        self._grown(parent, change.version, zxid)
        if path in self._rows:
            return
        stat = STAT.pack(zxid, zxid, time, time, 0, 0, 0, change.owner, zxid)
        self.put(path, stat, change.data, self.acl_id(change.acl))

    def _grown(self, parent: int, cversion: int, zxid: int) -> None:
        """A parent's cversion and pzxid only ever grow."""
        now = struct.unpack_from(">i", self._store, parent + 36)[0]
        if cversion == -1:
            cversion = now + 1
        if cversion > now:
            self._store[parent + 36 : parent + 40] = struct.pack(">i", cversion)
            self._store[parent + 52 : parent + 60] = struct.pack(">q", zxid)

    def _remove(self, path: bytes, zxid: int) -> None:
        parent = self._rows.get(path.rpartition(b"/")[0])
        if parent is None or not path:
            return
        if zxid > int.from_bytes(self._store[parent + 52 : parent + 60], "big", signed=True):
            self._store[parent + 52 : parent + 60] = struct.pack(">q", zxid)
        row = self._rows.pop(path, None)
        if row is None:
            return
        self._free.append(row)
        owner = int.from_bytes(self._store[row + 44 : row + 52], "big", signed=True)
        if owner and owner in self._sessions:
            self._sessions[owner].discard(path)
            if not self._sessions[owner]:
                del self._sessions[owner]
