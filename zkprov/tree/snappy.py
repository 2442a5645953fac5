"""Snappy as snappy-java frames it (`snapshot.*.snappy`): read only, in pure Python, for few write such snapshots."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from zkprov.tree.flaw import Torn

MAGIC = b"\x82SNAPPY\x00"
HEADER = len(MAGIC) + 8
INT = struct.Struct(">i")
MOST = 64 << 20
"""Bytes of one block, plain; snappy-java makes them of 32 kB."""


def blocks(stream: BinaryIO) -> Iterator[bytes]:
    """The plain bytes, block by block. Raises `Torn`, with the offset within the file."""
    if stream.read(HEADER)[: len(MAGIC)] != MAGIC:
        raise Torn("not what snappy-java writes")
    at = HEADER
    while head := stream.read(4):
        size = INT.unpack(head)[0] if len(head) == 4 else -1
        if not 0 <= size <= MOST:
            raise Torn("a block of snappy without a size", at)
        block = stream.read(size)
        if len(block) < size:
            raise Torn("cut off in a block of snappy", at)
        try:
            yield plain(block)
        except IndexError:
            raise Torn("a block of snappy that is damaged", at) from None
        at += 4 + size


def plain(block: bytes) -> bytes:
    """One raw block. Raises `Torn` or IndexError for what is none."""
    size, at = _varint(block)
    if size > MOST:
        raise Torn(f"a block of snappy of {size} bytes")
    out = bytearray()
    end = len(block)
    while at < end:
        tag = block[at]
        at += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                more = length - 59
                length = int.from_bytes(block[at : at + more], "little")
                at += more
            length += 1
            out += block[at : at + length]
            at += length
            continue
        if tag & 3 == 1:
            length, back = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | block[at]
            at += 1
        else:
            width = 2 if tag & 3 == 2 else 4
            length, back = (tag >> 2) + 1, int.from_bytes(block[at : at + width], "little")
            at += width
        if not 0 < back <= len(out) or len(out) > size:
            raise Torn("a block of snappy that points before its beginning")
        begin = len(out) - back
        if back >= length:
            out += out[begin : begin + length]
        else:
            piece = bytes(out[begin:])
            out += (piece * (length // back + 1))[:length]
    if len(out) != size:
        raise Torn("a block of snappy that is not of the size that it says")
    return bytes(out)


def _varint(block: bytes) -> tuple[int, int]:
    value = 0
    for at in range(5):
        byte = block[at]
        value |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            return value, at + 1
    raise Torn("a block of snappy without a size")
