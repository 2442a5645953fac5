"""The file of dead letters: SQLite, made whole or not at all, sealed by a sum, with the fate of each letter beside it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from zkprov.model.letters import Fate, Kept, Kind, Letter, Origin, Outcome, Why
from zkprov.model.problems import BadInput, Busy, NotHealthy

FORMAT = 1
APPLICATION = 0x7A6B646C
"""`zkdl`: SQLite's own mark for whose file it is."""
SCHEMA = """
CREATE TABLE origin (document BLOB NOT NULL);
CREATE TABLE letter (
  number INTEGER PRIMARY KEY, zxid INTEGER NOT NULL, part INTEGER NOT NULL, time INTEGER NOT NULL, session INTEGER NOT NULL,
  kind TEXT NOT NULL, path TEXT NOT NULL, version INTEGER NOT NULL, owner INTEGER NOT NULL, ephemeral INTEGER NOT NULL, why TEXT NOT NULL,
  disks INTEGER NOT NULL, doubt TEXT NOT NULL, kept_mzxid INTEGER, kept_version INTEGER, kept_aversion INTEGER,
  last BLOB, acl BLOB NOT NULL, data BLOB);
CREATE TABLE fate (
  number INTEGER PRIMARY KEY, fate TEXT NOT NULL, said TEXT NOT NULL, at REAL NOT NULL, mzxid INTEGER NOT NULL, version INTEGER NOT NULL,
  aversion INTEGER NOT NULL);
"""
COLUMNS = (
    "number, zxid, part, time, session, kind, path, version, owner, ephemeral, why, disks, doubt, kept_mzxid, kept_version, kept_aversion, "
    "last, acl, data"
)
INSERT = f"INSERT INTO letter ({COLUMNS}) VALUES ({', '.join('?' * 19)})"  # noqa: S608 — the columns are ours
AT_ONCE = 1000
_OF_LETTER = ", ".join(f"l.{column.strip()}" for column in COLUMNS.split(","))
_SELECT = (
    f"SELECT {_OF_LETTER}, f.fate, f.said, f.at, f.mzxid, f.version, f.aversion FROM letter l "  # noqa: S608
    "LEFT JOIN fate f ON f.number = l.number"
)
NOT_ONE = "name a file that `zkprov salvage … -o FILE` made"


def write(path: Path, letters: Iterable[Letter], origin: Any) -> None:
    """All of `letters`; then what `origin()` says of them. Mode 0600; nothing is written over.

    Raises `BadInput` where there is a file already, or none can be made, `NotHealthy` where there is no room.
    """
    if path.exists() or path.is_symlink():
        raise BadInput(
            "there is a file already", place=str(path), remedy="give -o another name; nothing is written over"
        )
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as wrong:
        raise BadInput(f"cannot be made: {wrong.strerror}", place=str(path), remedy="give -o another place") from None
    try:
        with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as db:
            db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA page_size=8192;")
            db.executescript(SCHEMA)
            seal = hashlib.blake2b(digest_size=32)
            db.execute("BEGIN")
            for rows in _batches(letters):
                for row in rows:
                    seal.update(msgspec.msgpack.encode(row))
                db.executemany(INSERT, rows)
            document = msgspec.json.encode(origin())
            seal.update(document)
            db.execute("INSERT INTO origin VALUES (?)", (document,))
            db.execute("COMMIT")
            db.executescript(
                f"CREATE INDEX letter_of_path ON letter (path); CREATE TABLE seal (sum BLOB NOT NULL);"
                f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={FORMAT};"
            )
            db.execute("INSERT INTO seal VALUES (?)", (seal.digest(),))
        with part.open("rb") as made:
            os.fsync(made.fileno())
        os.link(part, path)
    except (sqlite3.OperationalError, OSError) as wrong:
        if isinstance(wrong, FileExistsError):
            raise BadInput("there is a file already", place=str(path), remedy="give -o another name") from None
        raise NotHealthy(
            f"cannot be written: {wrong}", place=str(path), remedy="make room there, or give -o another place"
        ) from None
    finally:
        part.unlink(missing_ok=True)


def _batches(letters: Iterable[Letter]) -> Iterator[list[tuple[Any, ...]]]:
    rows: list[tuple[Any, ...]] = []
    for one in letters:
        kept = (one.kept.mzxid, one.kept.version, one.kept.aversion) if one.kept else (None, None, None)
        rows.append(
            (one.number, one.zxid, one.part, one.time, one.session, one.kind.value, one.path, one.version, one.owner,
             int(one.ephemeral), one.why.value, one.disks, one.doubt, *kept, one.last, one.acl, one.data)
        )  # fmt: skip
        if len(rows) >= AT_ONCE:
            yield rows
            rows = []
    if rows:
        yield rows


class DeadLetters:
    """An open file. Use it with `with`. `to_apply`: nobody else has it open for that meanwhile.

    Raises `BadInput` for what is no such file, of a newer format, cut off or edited; `Busy` while another process applies it.
    """

    def __init__(self, path: Path, *, to_apply: bool = False) -> None:
        self.path = path
        self._lock = -1
        if not path.is_file():
            raise BadInput("there is no such file", place=str(path), remedy=NOT_ONE)
        if to_apply:
            self._take()
        try:
            how = "rw" if to_apply else "ro"
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={how}", uri=True, isolation_level=None, timeout=2
            )
            self._known()
            if to_apply:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
        except sqlite3.DatabaseError as wrong:
            self.close()
            raise self._told(wrong) from None
        except BadInput:
            self.close()
            raise

    def __enter__(self) -> DeadLetters:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if hasattr(self, "_db"):
            with contextlib.suppress(sqlite3.Error):
                # one file again, that can be copied
                if self._lock >= 0:
                    self._db.execute("PRAGMA journal_mode=DELETE")
            self._db.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _take(self) -> None:
        try:
            self._lock = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise Busy("another process applies it", place=str(self.path), remedy="wait until it ends") from None
        except OSError as wrong:
            raise BadInput(f"cannot be written: {wrong.strerror}", place=str(self.path), remedy=NOT_ONE) from None

    def _told(self, wrong: sqlite3.DatabaseError) -> BadInput | Busy:
        if "locked" in str(wrong):
            return Busy("another process is writing to it", place=str(self.path), remedy="wait until it ends")
        return BadInput(f"no file of dead letters, or damaged: {wrong}", place=str(self.path), remedy=NOT_ONE)

    def _known(self) -> None:
        """Whose file it is, of which format, and whether it is as it was written."""
        place = str(self.path)
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION:
            raise BadInput("this is a database of something else", place=place, remedy=NOT_ONE)
        if found > FORMAT:
            raise BadInput(
                f"dead letters of format {found}; this zkprov reads up to {FORMAT}",
                place=place,
                remedy="use a newer zkprov",
            )
        document = self._db.execute("SELECT document FROM origin").fetchone()
        told = self._db.execute("SELECT sum FROM seal").fetchone()
        seal = hashlib.blake2b(digest_size=32)
        encode = msgspec.msgpack.encode
        for row in self._db.execute(f"SELECT {COLUMNS} FROM letter ORDER BY number"):  # noqa: S608
            seal.update(encode(row))
        sealed = document[0] if document and isinstance(document[0], bytes) else b""
        seal.update(sealed)
        if not told or told[0] != seal.digest():
            raise BadInput(
                "the dead letters were edited after they were written",
                place=place,
                remedy="make them again: zkprov salvage … -o FILE",
            )
        try:
            self.origin = msgspec.json.decode(sealed, type=Origin)
        except msgspec.MsgspecError as wrong:
            raise BadInput(f"no file of dead letters: {wrong}", place=place, remedy=NOT_ONE) from None

    def letters(self, only: Iterable[str] = (), kinds: Iterable[str] = ()) -> Iterator[tuple[Letter, Outcome]]:
        """In order; of these paths and what is below them (GLOB's `*`, `?` and `[…]` too; `*` goes over `/`), and of these kinds."""
        named = list(kinds)
        where, paths = _of(list(only))
        of = f"l.kind IN ({', '.join('?' * len(named))})" if named else "1"
        query = f"{_SELECT} WHERE ({where}) AND {of} ORDER BY l.number"
        for row in self._db.execute(query, (*paths, *named)):
            yield _letter(row), _outcome(row)

    def numbers(self, only: Iterable[str]) -> list[int]:
        """Of the letters of these paths, in order."""
        where, paths = _of(list(only))
        return [n for (n,) in self._db.execute(f"SELECT number FROM letter l WHERE {where} ORDER BY number", paths)]  # noqa: S608

    def letter(self, number: int) -> tuple[Letter, Outcome]:
        row = self._db.execute(f"{_SELECT} WHERE l.number = ?", (number,)).fetchone()
        return _letter(row), _outcome(row)

    def paths_with(self, kind: Kind) -> frozenset[str]:
        return frozenset(
            p for (p,) in self._db.execute("SELECT DISTINCT path FROM letter WHERE kind = ?", (kind.value,))
        )

    def record(self, number: int, outcome: Outcome) -> None:
        """On disk when it returns. Raises `NotHealthy` where that cannot be."""
        values = (
            number,
            outcome.fate.value,
            outcome.said,
            outcome.at,
            outcome.mzxid,
            outcome.version,
            outcome.aversion,
        )
        try:
            self._db.execute("INSERT OR REPLACE INTO fate VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        except sqlite3.Error as wrong:
            raise NotHealthy(
                f"what became of letter {number} cannot be recorded: {wrong}",
                place=str(self.path),
                remedy="make room there, then again",
            ) from None


def _of(only: list[str]) -> tuple[str, list[Any]]:
    """The condition, and what its marks stand for. `/` is everything."""
    asked = [p.rstrip("/") for p in only]
    if not asked or "" in asked:
        return "1", []
    one = "l.path = ? OR l.path GLOB ? OR substr(l.path, 1, ?) = ?"
    return " OR ".join([one] * len(asked)), [mark for p in asked for mark in (p, p, len(p) + 1, f"{p}/")]


def _letter(row: tuple[Any, ...]) -> Letter:
    (number, zxid, part, time, session, kind, path, version, owner, ephemeral, why, disks, doubt, mzxid, kept_version, aversion, last,
     acl, data) = row[:19]  # fmt: skip
    kept = None if mzxid is None else Kept(mzxid, kept_version, aversion)
    return Letter(
        number,
        zxid,
        part,
        time,
        session,
        Kind(kind),
        path,
        data,
        version,
        acl,
        owner,
        bool(ephemeral),
        Why(why),
        disks,
        doubt,
        kept,
        last,
    )


def _outcome(row: tuple[Any, ...]) -> Outcome:
    fate, said, at, mzxid, version, aversion = row[19:]
    if fate is None:
        return Outcome(Fate.NEVER, "ephemeral: its session is gone") if row[9] else Outcome(Fate.OPEN)
    return Outcome(Fate(fate), said, at, mzxid, version, aversion)
