"""Writes ZooKeeper's logs and snapshots byte by byte, by its sources and not by the code under test."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

OPEN = ((31, "world", "anyone"),)
STAT_NAMES = ("czxid", "mzxid", "ctime", "mtime", "version", "cversion", "aversion", "owner", "pzxid")


def i(n: int) -> bytes:
    return struct.pack(">i", n)


def q(n: int) -> bytes:
    return struct.pack(">q", n)


def buffer(data: bytes | None) -> bytes:
    return i(-1) if data is None else i(len(data)) + data


def text(value: str) -> bytes:
    return buffer(value.encode())


def acl(entries: Sequence[tuple[int, str, str]] = OPEN) -> bytes:
    return i(len(entries)) + b"".join(i(p) + text(s) + text(n) for p, s, n in entries)


def create(
    path: str, data: bytes | None = b"", *, ephemeral: bool = False, cversion: int = 1, of: Any = OPEN
) -> tuple[int, bytes]:
    return 1, text(path) + buffer(data) + acl(of) + bytes([ephemeral]) + i(cversion)


def container(path: str, data: bytes | None = b"", *, cversion: int = 1) -> tuple[int, bytes]:
    return 19, text(path) + buffer(data) + acl() + i(cversion)


def ttl(path: str, data: bytes | None = b"", *, cversion: int = 1, ms: int = 1000) -> tuple[int, bytes]:
    return 21, text(path) + buffer(data) + acl() + i(cversion) + q(ms)


def put(path: str, data: bytes | None, version: int) -> tuple[int, bytes]:
    return 5, text(path) + buffer(data) + i(version)


def delete(path: str) -> tuple[int, bytes]:
    return 2, text(path)


def set_acl(path: str, version: int, of: Any = OPEN) -> tuple[int, bytes]:
    return 7, text(path) + acl(of) + i(version)


def check(path: str, version: int = 0) -> tuple[int, bytes]:
    return 13, text(path) + i(version)


def error(code: int = -110) -> tuple[int, bytes]:
    return -1, i(code)


def opened(timeout: int = 30000) -> tuple[int, bytes]:
    return -10, i(timeout)


def closed(*paths: str) -> tuple[int, bytes]:
    return -11, i(len(paths)) + b"".join(text(p) for p in paths)


def multi(*operations: tuple[int, bytes]) -> tuple[int, bytes]:
    return 14, i(len(operations)) + b"".join(i(kind) + buffer(body) for kind, body in operations)


def body(
    zxid: int,
    operation: tuple[int, bytes],
    *,
    session: int = 0x10000001,
    cxid: int = 1,
    time: int = 0,
    digest: int | None = 77,
) -> bytes:
    kind, record = operation
    head = struct.pack(">qiqqi", session, cxid, zxid, time or 1_700_000_000_000 + (zxid & 0xFFFFFFFF), kind)
    return head + record + (b"" if digest is None else struct.pack(">iq", 2, digest))


def record(of: bytes) -> bytes:
    return q(zlib.adler32(of)) + i(len(of)) + of + b"B"


def log(*bodies: bytes, padding: int = 100) -> bytes:
    return struct.pack(">4siq", b"ZKLG", 2, 0) + b"".join(map(record, bodies)) + bytes(padding)


Node = tuple[str, bytes | None, dict[str, int]]


def node(path: str, data: bytes | None = b"", **stat: int) -> Node:
    """A znode; whatever of its stat is not given is 0."""
    return path, data, stat


def snapshot(
    nodes: Sequence[Node], *, sessions: Sequence[tuple[int, int]] = (), digest: bool = True, last_zxid: bool = True
) -> bytes:
    """With the root first, added where it is missing."""
    out = bytearray(
        struct.pack(">4siq", b"ZKSN", 2, -1) + i(len(sessions)) + b"".join(q(s) + i(t) for s, t in sessions)
    )
    out += i(1) + q(1) + acl()
    for path, data, stat in nodes if nodes and nodes[0][0] == "" else [node(""), *nodes]:
        values = [stat.get(name, 0) for name in STAT_NAMES]
        out += text(path) + buffer(data) + q(1) + struct.pack(">qqqqiiiqq", *values)
    out += text("/")
    out += q(zlib.adler32(out)) + text("/")
    for more in [q(5) + i(2) + q(99)] * digest + [q(5)] * last_zxid:
        out += more
        out += q(zlib.adler32(out)) + text("/")
    return bytes(out)


def snappy(plain: bytes, block: int = 1000) -> bytes:
    """As snappy-java frames it; runs of one byte are copied, all else stands as it is."""
    out = b"\x82SNAPPY\x00" + i(1) + i(1)
    for begin in range(0, len(plain), block):
        part = plain[begin : begin + block]
        packed, at = _varint(len(part)), 0
        while at < len(part):
            run = 1
            while at + run < len(part) and part[at + run] == part[at] and run < 65:
                run += 1
            packed += _literal(part[at : at + 1])
            if run > 4:
                packed += bytes([(run - 2) << 2 | 2]) + struct.pack("<H", 1)
                at += run
            else:
                at += 1
        out += i(len(packed)) + packed
    return out


def _literal(data: bytes) -> bytes:
    return bytes([(len(data) - 1) << 2]) + data


def _varint(n: int) -> bytes:
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def disk(
    folder: Path, bodies: Sequence[bytes], *, nodes: Sequence[Node] | None = (), at: int = 0, myid: int | None = None
) -> Path:
    """A data folder: a snapshot of `nodes` at zxid `at` (None: without any), and one log of `bodies`."""
    there = folder / "version-2"
    there.mkdir(parents=True)
    if nodes is not None:
        (there / f"snapshot.{at:x}").write_bytes(snapshot(nodes))
    if bodies:
        first = struct.unpack_from(">q", bodies[0], 12)[0]
        (there / f"log.{first:x}").write_bytes(log(*bodies))
    if myid is not None:
        (folder / "myid").write_text(f"{myid}\n")
    return folder


def packed(plain: bytes, ending: str) -> bytes:
    return {"": lambda b: b, ".gz": gzip.compress, ".snappy": snappy}[ending](plain)
