"""Runs on a host within look.py, and here for this machine's files: what room the folders of a server have, and whether it said in its log
that it could not write. For Python 3.6 and later.
"""

# Without pathlib, whose import takes longer than all that is done here.
# ruff: noqa: PTH100, PTH120, PTH123

import os
import time

TAIL = 64 * 1024
# What the kernel says of a write for which there is no room: of the disk, of a quota, of a limit of the process.
NO_ROOM = (b"No space left on device", b"Disk quota exceeded", b"File too large")
# A server begins its log by telling its environment: what stands before that an earlier one has said.
BEGINS = b"environment:zookeeper.version="
# Any library may meet a full /tmp. What makes a server useless is that it cannot write its data, or its epochs.
ITS_DATA = (b"server.persistence", b"SyncThread", b"AtomicFile")
FILES = 4
OVER_S = 60.0


def room_at(path: "str") -> "tuple[int, int] | None":
    """(bytes free for who is not root, bytes in all) of the disk that the path is on, or would be."""
    at = os.path.abspath(path)
    while True:
        try:
            found = os.statvfs(at.encode("utf-8", "surrogateescape"))
        except (OSError, ValueError):
            if at == os.path.dirname(at):
                return None
            at = os.path.dirname(at)
            continue
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def unwritten(folder: "str", now: "float") -> "tuple[str, str, float] | None":
    """(what it said, the log, seconds ago; -1 where it has no time) of the last write of data that failed in the newest run of a server."""
    try:
        with os.scandir(folder) as entries:
            logs = [e for e in entries if e.name.endswith((".log", ".out")) and e.is_file()]
        found = sorted(((e.stat().st_mtime, e.path) for e in logs), reverse=True)[:FILES]
    except (OSError, ValueError):
        return None
    for _, path in found:
        try:
            with open(path, "rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - TAIL))
                said = failure(file.read(), now)
        except OSError:
            continue
        if said is not None:
            return said[0], path, said[1]
    return None


def failure(text: "bytes", now: "float") -> "tuple[str, float] | None":
    text = text[max(0, text.rfind(BEGINS)) :]
    end, last = len(text), age(text, now)
    for _ in range(32):
        at = max(text.rfind(words, 0, end) for words in NO_ROOM)
        if at < 0:
            return None
        around = text[max(0, at - 500) : at + 3000]
        if any(words in around for words in ITS_DATA):
            begin = text.rfind(b"\n", 0, at) + 1
            stop = text.find(b"\n", at)
            line = text[begin : stop if stop > 0 else len(text)][:200].decode("utf-8", "replace").strip()
            ago = age(text[:at], now)
            # a server that has gone on with its log since has got over it; on a full disk the log ends there
            return None if ago - last > OVER_S else (line, ago)
        end = at
    return None


def age(before: "bytes", now: "float") -> "float":
    """Of the last line that begins with a time of the host's own clock, as log4j and logback write it; -1 where none does."""
    for line in reversed(before[-4000:].split(b"\n")):
        try:
            day, clock = line[:19].decode("ascii").split(" ")
            parts = [int(x) for x in day.split("-")] + [int(x) for x in clock.split(":")]
            if len(parts) == 6:
                year, month, date, hour, minute, second = parts
                return max(0.0, now - time.mktime((year, month, date, hour, minute, second, 0, 0, -1)))
        except (ValueError, OverflowError):
            continue
    return -1.0
