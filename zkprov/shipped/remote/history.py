"""Runs on a host within look.py, and here for this machine's files: how far the history on a server's disk goes, by what costs little.

The two epoch files, and the names and times of snapshots and logs. The newest log is walked, header by header, only where no server
writes to it. For Python 3.6 and later.
"""

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST = 200
WALKED = 64 * 1024 * 1024
# A record: checksum (8), length (4), then the header: session (8), cxid (4), zxid (8), time (8), type (4); at the end one byte 'B'.
HEAD, RECORD = 16, struct.Struct(">qiqiqqi")


def history_at(data: "str", logs: "str", walk: "bool") -> "dict[str, Any]":
    """What lies in two `version-2`: `accepted`, `current` (epochs), `snapshots`, `logs` (zxids in names, rising, `MOST` at most; of a log
    its first one), `last` (the last whole transaction of the newest log, where it was walked), `oldest`, `newest` (times of these files, in
    seconds since 1970).
    """
    found = {}  # type: dict[str, Any]
    for key, file in (("accepted", "acceptedEpoch"), ("current", "currentEpoch")):
        number = epoch_in(data + "/" + file)
        if number is not None:
            found[key] = number
    times = []  # type: list[float]
    zxids = {b"snapshot.": [], b"log.": []}  # type: dict[bytes, list[tuple[int, bytes]]]
    for folder, kind in ((data, b"snapshot."), (logs, b"log.")):
        for name, zxid, written in named(folder, kind):
            times.append(written)
            zxids[kind].append((zxid, name))
    if times:
        found["oldest"], found["newest"] = min(times), max(times)
    for kind, key in ((b"snapshot.", "snapshots"), (b"log.", "logs")):
        found[key] = [zxid for zxid, _ in sorted(zxids[kind])[-MOST:]]
    if walk and zxids[b"log."]:
        last = last_zxid(max(zxids[b"log."])[1])
        if last is not None:
            found["last"] = last
    return found


def epoch_in(path: "str") -> "int | None":
    try:
        descriptor = os.open(path.encode("utf-8", "surrogateescape"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(64).strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() and len(text) < 19 else None


def named(folder: "str", kind: "bytes") -> "list[tuple[bytes, int, float]]":
    """(path, zxid, time) of each file of that kind."""
    found = []
    try:
        with os.scandir(folder.encode("utf-8", "surrogateescape")) as entries:
            for entry in entries:
                # a compressed snapshot has its method behind the zxid
                zxid = entry.name[len(kind) :].split(b".")[0]
                if entry.name.startswith(kind) and 0 < len(zxid) <= 16 and not zxid.strip(b"0123456789abcdefABCDEF"):
                    found.append((entry.path, int(zxid, 16), entry.stat().st_mtime))
    except (OSError, ValueError):
        pass
    return found


def last_zxid(path: "bytes") -> "int | None":
    """The zxid of a log's last whole transaction; None where it has none, or is larger than `WALKED`."""
    last = None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if file.read(4) != b"ZKLG":
                return None
            at = HEAD
            while at < WALKED:
                file.seek(at)
                piece = file.read(RECORD.size)
                if len(piece) < RECORD.size:
                    return last
                _, length, _, _, zxid, _, _ = RECORD.unpack(piece)
                # preallocated, and not written yet
                if length <= 0:
                    return last
                file.seek(at + 12 + length)
                if file.read(1) != b"B":
                    return last
                last, at = zxid, at + 12 + length + 1
    except (OSError, ValueError):
        pass
    return None
