"""One transaction of ZooKeeper's log, from its bytes (jute, big-endian): who wrote it, when, and what it changes."""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

from zkprov.model.rights import ALL, ANYONE, Right
from zkprov.tree.acls import vector_of
from zkprov.tree.flaw import Torn

HEADER = struct.Struct(">qiqqi")
OPEN = vector_of((Right(ANYONE, ALL),))
"""The ACL that nearly every znode has."""
INT, LONG, DIGEST = struct.Struct(">i"), struct.Struct(">q"), struct.Struct(">iq")
_unpack_int = INT.unpack_from
MOST_DEEP = 4
"""How deep a multi may lie in another; ZooKeeper makes none within one."""

CONTAINER = -(1 << 63)
"""The owner that a container has; a znode with a time to live has 0xff in its first byte, and the milliseconds in the rest."""
TTL_MARK = -(1 << 56)
MOST_TTL = (1 << 40) - 1

# ZooDefs.OpCode
CREATE, DELETE, SET, SET_ACL, CHECK, MULTI = 1, 2, 5, 7, 13, 14
CREATE2, RECONFIG, CREATE_CONTAINER, DELETE_CONTAINER, CREATE_TTL = 15, 16, 19, 20, 21
CREATE_SESSION, CLOSE_SESSION, ERROR = -10, -11, -1
NAMES = {
    CREATE: "create", DELETE: "delete", SET: "set", SET_ACL: "acl", CHECK: "check", MULTI: "multi", CREATE2: "create",
    RECONFIG: "reconfig", CREATE_CONTAINER: "create", DELETE_CONTAINER: "delete", CREATE_TTL: "create",
    CREATE_SESSION: "session", CLOSE_SESSION: "close", ERROR: "error",
}  # fmt: skip


class Change(msgspec.Struct, frozen=True, gc=False):
    """What one operation does to one znode. `kind`: create, set, delete or acl.

    `data`: None where the client gave none. `version`: of the data after a `set`, of the ACL after an `acl`; of a `create` the parent's
    cversion after it, −1 where it is not told. `acl`: as it lies on disk, a vector. `owner`: the session of an ephemeral znode,
    `CONTAINER`, or a time to live; 0 for any other.
    """

    kind: str
    path: bytes
    data: bytes | None = None
    version: int = 0
    acl: bytes = b""
    owner: int = 0

    @property
    def ephemeral(self) -> bool:
        return is_ephemeral(self.owner)


class Transaction(msgspec.Struct, frozen=True, gc=False):
    """`time` in ms since 1970, by the leader's clock. `closed`: the ephemeral znodes that the end of a session removed, as far as told.

    `digest`: of the whole tree after it (3.6+), and the version of how it is made.
    """

    session: int
    cxid: int
    zxid: int
    time: int
    type: int
    changes: tuple[Change, ...] = ()
    closed: tuple[bytes, ...] = ()
    digest: tuple[int, int] | None = None

    @property
    def head(self) -> tuple[int, int, int, int, int]:
        """What tells it from any other: no two servers make one of the same session, cxid, zxid and millisecond by themselves."""
        return self.session, self.cxid, self.zxid, self.time, self.type


def zxid_of(body: bytes) -> int:
    """Of a whole transaction."""
    found: int = LONG.unpack_from(body, 12)[0]
    return found


def head_of(body: bytes) -> tuple[int, int, int, int, int]:
    """(session, cxid, zxid, time, type). Raises `Torn`."""
    try:
        found: tuple[int, int, int, int, int] = HEADER.unpack_from(body)
    except struct.error:
        raise Torn("a transaction without a whole header") from None
    return found


def is_ephemeral(owner: int) -> bool:
    """Whether the znode ends with a session; a container's owner and a time to live are none."""
    return owner not in (0, CONTAINER) and not is_ttl(owner)


def is_ttl(owner: int) -> bool:
    return owner >> 56 == -1


def ttl_ms(owner: int) -> int:
    return owner & MOST_TTL


def transaction(body: bytes) -> Transaction:
    """Of the bytes between the length and the end mark. Raises `Torn` for what is no transaction, or of a type that nobody knows."""
    session, cxid, zxid, time, kind = head_of(body)
    try:
        changes, closed, at = _record(body, HEADER.size, len(body), kind, session, 0)
        digest = DIGEST.unpack_from(body, at) if len(body) - at >= DIGEST.size else None
    except (struct.error, IndexError, UnicodeDecodeError):
        raise Torn(f"a {NAMES.get(kind, kind)} that is cut off within", HEADER.size) from None
    return Transaction(session, cxid, zxid, time, kind, changes, closed, digest)


Parsed = tuple[tuple[Change, ...], tuple[bytes, ...], int]


def _record(b: bytes, at: int, end: int, kind: int, session: int, depth: int) -> Parsed:
    """(changes, znodes of a session that ended, where the record ends)."""
    if kind in (CREATE, CREATE2):
        path, at = _text(b, at, end)
        data, at = _buffer(b, at, end)
        acl, at = _acl(b, at, end)
        owner = session if b[at] else 0
        # 3.3 told no cversion
        parent, at = (_int(b, at + 1, end), at + 5) if at + 5 <= end else (-1, at + 1)
        return (Change("create", path, data, parent, acl, owner),), (), at
    if kind in (SET, RECONFIG):
        path, at = _text(b, at, end)
        data, at = _buffer(b, at, end)
        return (Change("set", path, data, _int(b, at, end)),), (), at + 4
    if kind in _PARSERS:
        return _PARSERS[kind](b, at, end, session, depth)
    raise Torn(f"a transaction of an unknown type, {kind}", at)


def _delete(b: bytes, at: int, end: int, session: int, depth: int) -> Parsed:
    path, at = _text(b, at, end)
    return (Change("delete", path),), (), at


def _set_acl(b: bytes, at: int, end: int, session: int, depth: int) -> Parsed:
    path, at = _text(b, at, end)
    acl, at = _acl(b, at, end)
    return (Change("acl", path, None, _int(b, at, end), acl),), (), at + 4


def _create_container(b: bytes, at: int, end: int, session: int, depth: int) -> Parsed:
    path, at = _text(b, at, end)
    data, at = _buffer(b, at, end)
    acl, at = _acl(b, at, end)
    return (Change("create", path, data, _int(b, at, end), acl, CONTAINER),), (), at + 4


def _create_ttl(b: bytes, at: int, end: int, session: int, depth: int) -> Parsed:
    path, at = _text(b, at, end)
    data, at = _buffer(b, at, end)
    acl, at = _acl(b, at, end)
    parent, ttl = _int(b, at, end), LONG.unpack_from(b, at + 4)[0]
    return (Change("create", path, data, parent, acl, TTL_MARK | (ttl & MOST_TTL)),), (), at + 12


def _check(b: bytes, at: int, end: int, session: int, depth: int) -> Parsed:
    _, at = _text(b, at, end)
    return (), (), at + 4


def _four_bytes(b: bytes, at: int, end: int, session: int, depth: int) -> Parsed:
    """The timeout of a session that begins; the code of an operation that failed."""
    return (), (), min(at + 4, end)


def _close(b: bytes, at: int, end: int, session: int, depth: int) -> Parsed:
    # before 3.6 there is nothing, or a digest of a release that was told to write no paths
    if end - at < 4:
        return (), (), at
    began, paths = at, []
    count = _int(b, at, end)
    at += 4
    try:
        for _ in range(max(count, 0)):
            path, at = _text(b, at, end)
            paths.append(path)
    except (Torn, struct.error):
        return (), (), began
    return (), tuple(paths), at


def _multi(b: bytes, at: int, end: int, session: int, depth: int) -> Parsed:
    """All or nothing: one that holds an error changed nothing."""
    if depth >= MOST_DEEP:
        raise Torn("a multi within a multi, too deep", at)
    count = _int(b, at, end)
    at += 4
    changes: list[Change] = []
    closed: list[bytes] = []
    failed = False
    for _ in range(max(count, 0)):
        kind = _int(b, at, end)
        size = _int(b, at + 4, end)
        at += 8
        if size < 0 or at + size > end:
            raise Torn("an operation of a multi that is cut off", at)
        if kind == ERROR:
            failed = True
        elif not failed:
            more, ended, _ = _record(b, at, at + size, kind, session, depth + 1)
            changes += more
            closed += ended
        at += size
    return (() if failed else tuple(changes)), (() if failed else tuple(closed)), at


_PARSERS: dict[int, Callable[[bytes, int, int, int, int], Parsed]] = {
    DELETE: _delete,
    DELETE_CONTAINER: _delete,
    SET_ACL: _set_acl,
    CREATE_CONTAINER: _create_container,
    CREATE_TTL: _create_ttl,
    CHECK: _check,
    CREATE_SESSION: _four_bytes,
    ERROR: _four_bytes,
    CLOSE_SESSION: _close,
    MULTI: _multi,
}


def _int(b: bytes, at: int, end: int) -> int:
    if at + 4 > end:
        raise Torn("it is cut off", at)
    found: int = INT.unpack_from(b, at)[0]
    return found


def _buffer(b: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    # called for every field of every transaction: whether it reaches beyond the end is asked once
    size = _unpack_int(b, at)[0]
    at += 4
    if size == -1 and at <= end:
        return None, at
    if size < 0 or at + size > end:
        raise Torn(f"a length of {size} with {end - at} bytes left", at - 4)
    return b[at : at + size], at + size


def _text(b: bytes, at: int, end: int) -> tuple[bytes, int]:
    found, at = _buffer(b, at, end)
    return found or b"", at


def _acl(b: bytes, at: int, end: int) -> tuple[bytes, int]:
    """The vector as it lies there; its parts are only skipped."""
    if b.startswith(OPEN, at):
        return OPEN, at + len(OPEN)
    began = at
    count = _int(b, at, end)
    at += 4
    for _ in range(max(count, 0)):
        _, at = _buffer(b, at + 4, end)
        _, at = _buffer(b, at, end)
    return b[began:at], at
