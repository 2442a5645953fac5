# ruff: noqa: PTH113, PTH118, PTH119, PTH120, PTH123, PTH202, PTH208, UP006, UP035
# It runs on whatever Python a host has, 3.6 or later.
"""Which of a server's files are saved, and how far its log reaches. `backup.py` uses it; over SSH it stands before that one's text."""

import io
import os
import re
import stat
import struct
import zlib
from typing import Any, BinaryIO, Dict, Iterator, List, Tuple

# No key stores and no jaas.conf: keys and passwords stay where they are.
CONFIG = re.compile(r"zoo\.cfg(\..*)?|jvm_flags|logback\.xml|log4j\.properties|java\.env|zookeeper-env\.sh")
SNAPSHOT = re.compile(r"snapshot\.([0-9a-f]{1,16})(\.gz|\.snappy)?")
LOG = re.compile(r"log\.([0-9a-f]{1,16})")
SEAL = b"\0\0\0\1/"  # the end of a snapshot that was finished
LOG_HEADER, RECORD = struct.Struct(">4siq"), struct.Struct(">qi")
TXN = struct.Struct(">qiq")  # session, cxid, zxid: how each transaction begins
TIME = struct.Struct(">q")  # in ms since 1970, after those
TIME_END = RECORD.size + TXN.size + TIME.size
MOST_CONFIG = 1_000_000
# Of what ZooKeeper lays ahead of a log: without any a log was cut off (TRUNC), and a copy shows that too.
ZEROS = 16
CHUNK = 1 << 20


class Problem(Exception):
    """As in `stands.py`."""

    def __init__(self, kind: str, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.kind, self.text, self.remedy = kind, text, remedy

    def told(self) -> Dict[str, Any]:
        msg = f"{self.text} ({self.remedy})" if self.remedy else self.text
        return {"msg": msg, "zkprov_problem": {"kind": self.kind, "text": self.text, "remedy": self.remedy}}


def opened(path: str) -> BinaryIO:
    """A plain file; not through a link of the server's user, for root reads more than he may."""
    found = os.lstat(path)
    link = stat.S_ISLNK(found.st_mode)
    if link and found.st_uid not in (0, os.geteuid()):
        raise Problem("unhealthy", f"{path} is a link that somebody else than root has made", "look who, and remove it")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if link else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Problem("unhealthy", f"{path} is no file", "look what it is")
    return os.fdopen(descriptor, "rb")


def config_files(p: Dict[str, Any]) -> List[Tuple[str, str]]:
    """(source, path in the backup). zoo.cfg before the lists: those that it pointed at stay, whatever changes meanwhile."""
    folder = p["config_dir"]
    found = [os.path.join(folder, n) for n in sorted(listing(folder)) if CONFIG.fullmatch(n)]
    pointed = dynamic_file(os.path.join(folder, "zoo.cfg"))
    if pointed and pointed not in found and os.path.lexists(pointed):
        found.append(pointed)
    small = [f for f in found if os.path.isfile(f) and os.path.getsize(f) <= MOST_CONFIG]
    named = [(f, "config/" + os.path.basename(f)) for f in small]
    myid = os.path.join(p["data_dir"], "myid")
    return named + ([(myid, "data/myid")] if os.path.lexists(myid) else [])


def dynamic_file(zoo_cfg: str) -> str:
    """What zoo.cfg points at; empty where it points at nothing, or is not there."""
    if not os.path.lexists(zoo_cfg):
        return ""
    with opened(zoo_cfg) as file:
        text = file.read(MOST_CONFIG).decode("latin-1")
    found = re.findall(r"^\s*dynamicConfigFile\s*[=:]\s*(\S+)\s*$", text, re.MULTILINE)
    path = found[-1].replace("\\", "") if found else ""
    named = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", os.path.basename(path))
    return os.path.join(os.path.dirname(zoo_cfg), path) if named else ""


def listing(folder: str) -> List[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def epochs(p: Dict[str, Any]) -> List[Tuple[str, str]]:
    """Saved after the logs, the accepted one last: an epoch older than the data, and a server does not start on it."""
    folder = os.path.join(p["data_dir"], "version-2")
    there = [n for n in ("currentEpoch", "acceptedEpoch") if os.path.lexists(os.path.join(folder, n))]
    return [(os.path.join(folder, n), "data/version-2/" + n) for n in there]


def data_files(p: Dict[str, Any]) -> Tuple[List[str], List[str]]:
    """The newest finished snapshot, and every log that has transactions since it, oldest first.

    Of compressed snapshots nobody sees whether one is finished: of those the one before is saved too, for ZooKeeper to fall back to.
    """
    folder = os.path.join(p["data_dir"], "version-2")
    known = sorted(
        ((int(m.group(1), 16), n) for n in listing(folder) for m in [SNAPSHOT.fullmatch(n)] if m), reverse=True
    )
    snapshots = []  # type: List[Tuple[int, str]]
    for zxid, name in known:
        path = os.path.join(folder, name)
        if name.endswith((".gz", ".snappy")) or finished(path):
            snapshots.append((zxid, path))
            if not name.endswith((".gz", ".snappy")) or len(snapshots) == 2:
                break
    if not snapshots:
        text = f"no finished snapshot in {folder}"
        raise Problem(
            "unhealthy",
            text,
            "look whether the server is well, or save another one's: zkprov backup create --data-of SERVER",
        )
    folder = os.path.join(p["data_log_dir"], "version-2")
    logs = sorted((int(m.group(1), 16), n) for n in listing(folder) for m in [LOG.fullmatch(n)] if m)
    first = max((z for z, _ in logs if z <= snapshots[-1][0]), default=0)
    return [s for _, s in snapshots], [os.path.join(folder, n) for z, n in logs if z >= first]


def finished(snapshot: str) -> bool:
    with opened(snapshot) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(SEAL)))
        return size > len(SEAL) and file.read() == SEAL


def filled(path: str) -> int:
    """Bytes up to the last that is not zero: ZooKeeper pads the log that it writes to, and a transaction ends with a B."""
    with opened(path) as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - CHUNK)
            file.seek(begin)
            kept = file.read(end - begin).rstrip(b"\0")
            if kept:
                return begin + len(kept)
            end = begin
    return 0


def worth(path: str) -> int:
    """Bytes of a log that are saved: what is filled, and a few of the zeros behind it, if there are any."""
    return min(os.path.getsize(path), filled(path) + ZEROS)


def former(p: Dict[str, Any], snapshots: List[str], logs: List[str]) -> Tuple[List[str], List[str]]:
    """The older snapshots and logs of a disk whose newest snapshot is not made of its own log: a leader sent it.

    A server that took over another history has what it had acknowledged before in those, and nowhere else.
    """
    at = zxid_of(SNAPSHOT, snapshots[-1]) if snapshots else 0
    try:
        own = max((z for log in logs[:1] for z, _ in records(log) if z <= at), default=0)
    except ValueError:
        own = 0
    if own == at or not logs or zxid_of(LOG, logs[0]) > at:
        return [], []
    older = []  # type: List[List[str]]
    for folder, pattern, oldest in (("data_dir", SNAPSHOT, at), ("data_log_dir", LOG, zxid_of(LOG, logs[0]))):
        place = os.path.join(p[folder], "version-2")
        found = sorted((zxid_of(pattern, n), n) for n in listing(place) if pattern.fullmatch(n))
        older.append([os.path.join(place, n) for z, n in found if z < oldest])
    return older[0], older[1]


def zxid_of(pattern: "re.Pattern[str]", path: str) -> int:
    match = pattern.fullmatch(os.path.basename(path))
    return int(match.group(1), 16) if match else 0


def last_zxid(log: str) -> int:
    """Up to which a copied log reaches; 0 where it has no whole transaction. Raises ValueError where one before its end is damaged."""
    return max((zxid for zxid, _ in records(log)), default=0)


def reached(p: Dict[str, Any]) -> Dict[str, Any]:
    """How far a server's disk reaches, whether it runs or not. Epochs are None where their file is not there, or holds no number.

    `zxid`: of the last whole transaction, else of the newest finished snapshot; `last_ms`: when that transaction was made, by the leader's
    clock, 0 where it is only a snapshot's. `damaged`: what cannot be read before that, in words.
    """
    found = {"accepted": None, "current": None, "zxid": 0, "snapshot": 0, "last_ms": 0, "damaged": ""}  # type: Dict[str, Any]
    for path, saved in epochs(p):
        with opened(path) as file:
            text = file.read(64).decode("ascii", "replace").strip()
        found["current" if saved.endswith("currentEpoch") else "accepted"] = int(text) if text.isdigit() else None
    try:
        snapshots, logs = data_files(p)
    except Problem as problem:
        return {**found, "damaged": problem.text}
    match = SNAPSHOT.fullmatch(os.path.basename(snapshots[0]))
    found["zxid"] = found["snapshot"] = int(match.group(1), 16) if match else 0
    for log in reversed(logs):
        last = b""
        try:
            for zxid, record in records(log):
                if zxid > found["zxid"]:
                    found["zxid"], last = zxid, record
        except ValueError as error:
            found["damaged"] = f"{log}: {error}"
        if last:
            found["last_ms"] = TIME.unpack_from(last, RECORD.size + TXN.size)[0] if len(last) > TIME_END else 0
            break
    return found


def once(source: str, target: str, reached: int) -> Tuple[int, int]:
    """Copies a log without the transactions that are not beyond `reached`: those stand in it twice. (How far it reaches, how many).

    Raises as `last_zxid` does. Of a transaction that is cut off at its end nothing is copied.
    """
    left_out = 0
    with open(source, "rb") as file, open(target, "wb") as out:
        out.write(file.read(LOG_HEADER.size))
        for zxid, record in records(source):
            if zxid > reached:
                out.write(record)
                reached = zxid
            else:
                left_out += 1
    return reached, left_out


def records(log: str) -> Iterator[Tuple[int, bytes]]:
    """The zxid of each whole transaction, and its bytes in the log. Raises ValueError where one before the end is damaged."""
    size = os.path.getsize(log)
    with open(log, "rb") as file:
        if size < LOG_HEADER.size:
            return
        if LOG_HEADER.unpack(file.read(LOG_HEADER.size))[0] != b"ZKLG":
            raise ValueError("no log of ZooKeeper's")
        while True:
            at = file.tell()
            head = file.read(RECORD.size)
            if len(head) < RECORD.size:
                return
            crc, length = RECORD.unpack(head)
            if length <= 0 and not (crc or length):
                return
            if length < TXN.size or at + RECORD.size + length + 1 > size:
                return
            body = file.read(length)
            if file.read(1) != b"B" or zlib.adler32(body) & 0xFFFFFFFF != crc:
                raise ValueError(f"damaged at byte {at}")
            yield TXN.unpack(body[: TXN.size])[2], head + body + b"B"


# --- whose history it is

LASTING = ("/zkprov/ensemble", "/cluster/id")
CREATE, CREATE2, DELETE, MULTI = 1, 15, 2, 14


class Bytes:
    """A reader of jute: what ZooKeeper writes its records in. Raises ValueError where there is less than it says."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def take(self, size: int) -> bytes:
        found = self.file.read(size) if size > 0 else b""
        if size > 0 and len(found) < size:
            raise ValueError("it ends in the middle of a record")
        return found

    def number(self, form: str) -> int:
        return int(struct.unpack(">" + form, self.take(struct.calcsize(form)))[0])

    def text(self) -> str:
        return self.take(self.number("i")).decode("utf-8", "replace")

    def acls(self) -> None:
        for _ in range(self.number("i")):
            self.number("i")
            self.text()
            self.text()


def permanent(path: str) -> bool:
    """Whether a creation there may tell a history: the lasting ones, and the children of the root."""
    return path in LASTING or (path.count("/") == 1 and path not in ("/", "/zookeeper"))


def history(p: Dict[str, Any]) -> Dict[str, Any]:
    """(path, czxid, ctime) of the znode by which a history is told, as a session would read it, and how far the log reaches.

    Of the newest finished snapshot and the log after it. Raises ValueError where they cannot be read.
    """
    snapshots, logs = data_files(p)
    known = {}  # type: Dict[str, Tuple[int, int]]
    at = int(SNAPSHOT.fullmatch(os.path.basename(snapshots[0])).group(1), 16)  # type: ignore[union-attr]
    if snapshots[0].endswith((".gz", ".snappy")):
        raise ValueError("its snapshots are compressed")
    with opened(snapshots[0]) as file:
        in_snapshot(Bytes(file), known)
    last = at
    for log in logs:
        for zxid, record in records(log):
            last = max(last, zxid)
            made(io.BytesIO(record[RECORD.size :]), known)
    lasting = [path for path in LASTING if path in known]
    for path in lasting + sorted(known):
        return {"path": path, "czxid": known[path][0], "ctime_ms": known[path][1], "zxid": last}
    return {"path": "", "czxid": 0, "ctime_ms": 0, "zxid": last}


def in_snapshot(read: Bytes, known: Dict[str, Tuple[int, int]]) -> None:
    if read.take(4) != b"ZKSN":
        raise ValueError("no snapshot of ZooKeeper's")
    read.take(12)
    read.take(12 * read.number("i"))
    for _ in range(read.number("i")):
        read.number("q")
        read.acls()
    while True:
        path = read.text()
        if path == "/":
            return
        read.take(read.number("i"))
        read.number("q")
        czxid, _, ctime, _ = (read.number("q") for _ in range(4))
        read.take(12)
        owner = read.number("q")
        read.number("q")
        if owner == 0 and permanent(path):
            known[path] = (czxid, ctime)


def made(file: BinaryIO, known: Dict[str, Tuple[int, int]]) -> None:
    """What one transaction creates, or deletes, of what tells a history."""
    read = Bytes(file)
    read.take(12)
    zxid, when, kind = read.number("q"), read.number("q"), read.number("i")
    changes = [(kind, read)]
    if kind == MULTI:
        changes = []
        for _ in range(read.number("i")):
            kind = read.number("i")
            changes.append((kind, Bytes(io.BytesIO(read.take(read.number("i"))))))
    for kind, change in changes:
        if kind == DELETE:
            known.pop(change.text(), None)
        elif kind in (CREATE, CREATE2):
            path = change.text()
            change.take(change.number("i"))
            change.acls()
            ephemeral = change.take(1) != b"\0"
            if permanent(path) and not ephemeral:
                known.setdefault(path, (zxid, when))
