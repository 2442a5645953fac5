"""A transaction log, as a stream of whole transactions. What is damaged or cut off is told, and what is whole around it is used."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from zkprov.tree.flaw import Flaw

FILE = struct.Struct(">4siq")
RECORD = struct.Struct(">qi")
LEAST = 32
"""Bytes of a transaction without anything in it: its header."""
MOST = 64 << 20
"""Bytes of one transaction; ZooKeeper's own limit for a request (`jute.maxbuffer`) is 1 MB by default."""


def records(stream: BinaryIO, place: str, size: int, flawed: Callable[[Flaw], None]) -> Iterator[tuple[int, bytes]]:
    """(offset, body) of each whole transaction of a log of `size` bytes, checked by its sum. `flawed` hears what is wrong.

    A transaction that is damaged in place is left out, and the next are read, as long as the end of it can be found. The zeros that
    ZooKeeper lays ahead of its writing are the end of a file, and no flaw.
    """
    head = stream.read(FILE.size)
    if not head.strip(b"\0"):
        return  # made, and not written yet
    if len(head) < FILE.size or head[:4] != b"ZKLG":
        flawed(Flaw(place, 0, "this is no transaction log of ZooKeeper's"))
        return
    at = FILE.size
    read, unpack, adler, most = stream.read, RECORD.unpack, zlib.adler32, min(size, MOST)
    while True:
        head = read(12)
        if len(head) < 12:
            if head.strip(b"\0"):
                flawed(Flaw(place, at, "cut off in the middle of a transaction, which is lost"))
            return
        crc, length = unpack(head)
        if length <= 0 and not crc:
            return
        if length < LEAST or length > most:
            flawed(
                Flaw(place, at, f"a length of {length} bytes, which no transaction has: the rest of the file is lost")
            )
            return
        body = read(length + 1)
        if len(body) <= length:
            flawed(Flaw(place, at, f"cut off in the middle of a transaction of {length} bytes, which is lost"))
            return
        if body[length] != 0x42:
            if not body.rstrip(b"\0") or not _whole_end(body):
                flawed(Flaw(place, at, "written in part only: the transaction is lost, and what follows it"))
                return
            flawed(Flaw(place, at, "no end of the transaction where it should be: the rest of the file is lost"))
            return
        body = body[:length]
        if adler(body) != crc:
            flawed(Flaw(place, at, f"the sum of a transaction of {length} bytes is not its own: it is left out"))
        else:
            yield at, body
        at += length + 13


def _whole_end(body: bytes) -> bool:
    """Whether its last bytes were written at all."""
    return bool(body[-16:].strip(b"\0"))
