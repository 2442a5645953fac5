"""A snapshot: the sessions, the ACLs and every znode with its stat, as ZooKeeper wrote it, checked by the sums at its end."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from zkprov.tree import snappy
from zkprov.tree.flaw import Torn

FILE = struct.Struct(">4siq")
INT, LONG = struct.Struct(">i"), struct.Struct(">q")
STAT = 68
"""Bytes of a znode behind its data: which ACL, then czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, pzxid."""
CHUNK = 1 << 20
MOST = 256 << 20
"""Bytes of one piece; nothing that ZooKeeper takes in is as long."""


class Node(NamedTuple):
    """`acl`: by the number that the snapshot has for it. `stat`: the 60 bytes of it as they lie there."""

    path: bytes
    data: bytes | None
    acl: int
    stat: bytes


class Source:
    """The bytes of a snapshot in order, and their Adler-32 so far."""

    def __init__(self, chunk: Callable[[], bytes]) -> None:
        self._chunk = chunk
        self.buffer = b""
        self.at = 0
        self.base = 0
        self._sum, self._summed = 1, 0

    def need(self, count: int) -> int:
        """Where the next `count` bytes begin in `buffer`. Raises `Torn` where there are fewer."""
        if self.at + count > len(self.buffer):
            if not 0 <= count <= MOST:
                raise Torn(f"a length of {count} bytes", self.base + self.at)
            self._summed_up()
            parts, have = [self.buffer[self.at :]], len(self.buffer) - self.at
            self.base += self.at
            while have < count:
                more = self._chunk()
                if not more:
                    raise Torn("cut off", self.base)
                parts.append(more)
                have += len(more)
            self.buffer, self.at, self._summed = b"".join(parts), 0, 0
        return self.at

    def _summed_up(self) -> None:
        self._sum = zlib.adler32(memoryview(self.buffer)[self._summed : self.at], self._sum)
        self._summed = self.at

    def checksum(self) -> int:
        """Of all that was taken."""
        self._summed_up()
        return self._sum

    def take(self, count: int) -> bytes:
        at = self.need(count)
        self.at = at + count
        return self.buffer[at : at + count]

    def number(self) -> int:
        found: int = INT.unpack(self.take(4))[0]
        return found

    def long(self) -> int:
        found: int = LONG.unpack(self.take(8))[0]
        return found

    def piece(self) -> bytes | None:
        """A buffer or a text, behind its length; None where it is null."""
        size = self.number()
        if size == -1:
            return None
        if size < 0:
            raise Torn(f"a length of {size} bytes", self.base + self.at - 4)
        return self.take(size)

    def ended(self) -> bool:
        try:
            self.need(1)
        except Torn:
            return True
        return False


class Snapshot:
    """Read once, in this order: `sessions`, `acls`, `nodes()`; whether it is whole is known at the end of `nodes()`.

    Each raises `Torn` with the offset within the plain bytes.
    """

    def __init__(self, chunk: Callable[[], bytes]) -> None:
        self._source = source = Source(chunk)
        head = source.take(FILE.size)
        if head[:4] != b"ZKSN":
            raise Torn("this is no snapshot of ZooKeeper's")
        self.sessions = tuple((source.long(), source.number()) for _ in range(self._count("sessions")))
        """(session, timeout in ms)."""
        self.acls: dict[int, bytes] = {}
        for _ in range(self._count("ACLs")):
            number = source.long()
            self.acls[number] = self._acl()
        self.digest: tuple[int, int, int] | None = None
        """(zxid, version, digest) of the tree, where the release tells it; and the last zxid, from 3.9."""
        self.last_zxid: int | None = None

    def _count(self, what: str) -> int:
        found = self._source.number()
        if not 0 <= found <= 100_000_000:
            raise Torn(f"{found} {what}", self._source.base + self._source.at)
        return found

    def _acl(self) -> bytes:
        source = self._source
        count = source.number()
        parts = [INT.pack(count)]
        for _ in range(max(count, 0)):
            parts.append(source.take(4))
            for _ in range(2):
                size = source.take(4)
                parts += [size, source.take(max(INT.unpack(size)[0], 0))]
        return b"".join(parts)

    def nodes(self) -> Iterator[Node]:
        """Every znode, the root first with the path "". At its end the sums are checked."""
        source, unpack, long = self._source, INT.unpack_from, LONG.unpack_from
        need = source.need
        while True:
            at = need(4)
            size = unpack(source.buffer, at)[0]
            at = need(size + 8 if size > 0 else 8)
            buffer = source.buffer
            at += 4
            path = buffer[at : at + size] if size > 0 else b""
            if path == b"/":
                source.at = at + size
                break
            at += max(size, 0)
            length = unpack(buffer, at)[0]
            whole = 4 + max(size, 0) + 4 + max(length, 0) + STAT
            at = need(whole) + 8 + max(size, 0)
            buffer = source.buffer
            data = None if length < 0 else buffer[at : at + length]
            at += max(length, 0)
            source.at = at + STAT
            yield Node(path, data, long(buffer, at)[0], buffer[at + 8 : at + STAT])
        self._seals()

    def _seals(self) -> None:
        source = self._source
        self._seal()
        if not source.ended():
            zxid, version = source.long(), source.number()
            if version < 2:
                text = source.piece()
                self.digest = (zxid, version, int(text, 16) if text else 0)
            else:
                self.digest = (zxid, version, source.long())
            self._seal()
        if not source.ended():
            self.last_zxid = source.long()
            self._seal()

    def _seal(self) -> None:
        source = self._source
        ours, at = source.checksum(), source.base + source.at
        told, mark = source.long(), source.piece()
        if told != ours or mark != b"/":
            raise Torn(f"its sum is {ours:#x}, and it says {told:#x}", at)


def plain_chunks(stream: BinaryIO, name: str) -> Callable[[], bytes]:
    """The plain bytes of a snapshot by its name's ending, a chunk a call, empty at the end. Raises `Torn`."""
    if name.endswith(".snappy"):
        found = snappy.blocks(stream)
        return lambda: next(found, b"")
    if name.endswith(".gz"):
        return _Gunzip(stream)
    return lambda: stream.read(CHUNK)


class _Gunzip:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._zip = stream, zlib.decompressobj(31)
        self._rest = b""

    def __call__(self) -> bytes:
        try:
            while True:
                raw = self._zip.unconsumed_tail or self._rest or self._stream.read(CHUNK)
                self._rest = b""
                if not raw:
                    return b""
                found = self._zip.decompress(raw, CHUNK)
                if self._zip.eof:
                    self._rest, self._zip = self._zip.unused_data, zlib.decompressobj(31)
                if found:
                    return found
        except zlib.error as wrong:
            raise Torn(f"not what gzip writes: {wrong}") from None
