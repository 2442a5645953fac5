"""A host's files and state, over SSH: fetched by one program in one round trip, and read here by the reader of this machine's files."""

from __future__ import annotations

import base64
import errno
import os
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from zkprov.model import marks
from zkprov.model.certificates import LOCATIONS, Stores, tls_settings
from zkprov.model.facts import READS_WITHIN_S, Disk, Fact, Outcome, Peer, Room, Unwritten
from zkprov.model.flags import flags_of
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import Unreached
from zkprov.model.server import HostPort
from zkprov.observe.decoding import decoded
from zkprov.observe.disk import NEXT, ZOO_CFG, read_host
from zkprov.observe.files import MAX_BYTES, DataFiles, Errno, NotRead, StoreFile, too_large
from zkprov.observe.ssh import Connections
from zkprov.observe.stores import unread_stores, wished_stores
from zkprov.shipped import shipped

MAIN_CLASS = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
_ROUNDS = 16
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP)


class Unit(msgspec.Struct, frozen=True):
    """A systemd unit, in systemd's words: `load` (loaded, not-found, masked), `active`, `sub`, `file` (enabled, disabled, …)."""

    load: str = ""
    active: str = ""
    sub: str = ""
    file: str = ""
    problem: str = ""

    @property
    def runs(self) -> bool:
        """Whether it runs, or systemd is about to run it (a back-off before a restart). `exited`: a unit that is no process."""
        return (
            self.active in ("active", "activating", "reloading", "refreshing", "deactivating") and self.sub != "exited"
        )


class RunningServer(msgspec.Struct, frozen=True):
    """A ZooKeeper server among the host's processes. `started`: in clock ticks since boot, `since`: in seconds since 1970;
    `here`: it is the one on the host's zoo.cfg.

    `known`: by the inventory it is one of other hosts' or ensembles'. `unit`: the systemd service that it is of, empty where of none.
    `flags`: of its command line, those for ZooKeeper without secrets, and the names of files with more.
    """

    pid: int
    started: int
    zoo_cfg: str
    here: bool
    known: bool = False
    unit: str = ""
    since: float = 0.0
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"a ZooKeeper server runs there on {self.zoo_cfg} ({self.unit or f'process {self.pid}'})"


class RemoteLook(msgspec.Struct, frozen=True):
    """What one look at a host saw. Where `disk` says that the host was not reached, all else is empty, and `remedy` says what to do.

    `unit`: None where the host has no systemd. `hidden`: other users' processes are not shown to who logs in there.
    `active`: whether a server runs on the host's files; None where that cannot be told, and `active_problem` says why.
    `free`: path → bytes that are free where it is or would be, for the host's folders. `java`: the first line of `java -version`.
    `clock`: seconds since 1970 by the host's clock, at the end of the look. `stores`: those that the inventory names, for a server to come.
    """

    disk: Fact[Disk]
    unit: Unit | None = None
    servers: tuple[RunningServer, ...] = ()
    hidden: bool = False
    active: bool | None = None
    active_problem: str = ""
    free: dict[str, int] = {}
    java: str = ""
    java_problem: str = ""
    listening: tuple[HostPort, ...] = ()
    clock: float = 0.0
    remedy: str = ""
    stores: Stores = Stores()


def read_remote(connections: Connections, host: InventoryHost) -> Fact[Disk]:
    """As `observe.disk.read_host` for a host of this machine, and whether a server runs there (`active`).

    Outcomes: read_host's, and TIMEOUT, REFUSED, DENIED, TRUNCATED, TOO_LARGE, JUNK, NOT_ASKED where the host could not be asked.
    """
    return look_remote(connections, host).disk


def look_remote(connections: Connections, host: InventoryHost, *, java: bool = False) -> RemoteLook:
    """One look at the host; `java`: whether to start Java for its version (0.1 s and more)."""
    more: list[str] = []
    stores: dict[bool, list[str]] = {True: [], False: []}
    source = f"disk@{host.name}"
    try:
        for _ in range(_ROUNDS):
            arguments = arguments_of(host, java=java, more=more, stores=stores)
            answer = _answer_of(connections.run(host, program("look"), arguments), host)
            try:
                return look_of(host, answer)
            except _NotFetched as missing:
                # zoo.cfg names a file in a way that the program there did not understand: asked for by its name
                more.append(str(missing))
            except _StoreNotFetched as missing:
                stores[missing.keys].append(str(missing))
        detail = "its zoo.cfg names other files with every look"
        return RemoteLook(Fact(source, Outcome.JUNK, detail=detail), stores=unread_stores(host, detail))
    except Unreached as problem:
        detail = f"{problem.problem} ({problem.remedy})" if problem.remedy else problem.problem
        fact = Fact[Disk](source, Outcome(problem.outcome), detail=detail)
        return RemoteLook(fact, remedy=problem.remedy, stores=unread_stores(host, detail))


@cache
def program(name: str) -> str:
    """The text of a program that is shipped to run on hosts."""
    return (shipped("remote") / f"{name}.py").read_text()


def arguments_of(
    host: InventoryHost,
    *,
    java: bool = False,
    more: list[str] | None = None,
    stores: dict[bool, list[str]] | None = None,
) -> dict[str, Any]:
    """What the program is told. `data_files` includes folders: of those it says whether there is anything in them.

    `stores`: more key stores (True) and trust stores (False). A store is never among the files: those are sent whole.
    """
    asked, wished = stores or {True: [], False: []}, tls_settings(host)
    named = {
        keys: {
            "paths": list(dict.fromkeys([*(wished[k] for k in where if k in wished), *asked[keys]])),
            "settings": where,
        }
        for keys, where in ((k, [v for f, v in LOCATIONS.items() if f.endswith("_keys") is k]) for k in (True, False))
    }
    return {
        "config": host.config_dir,
        "config_files": [ZOO_CFG, NEXT],
        "data": list(dict.fromkeys([host.data_dir, host.data_log_dir or host.data_dir])),
        "data_files": ["myid", "initialize", marks.DISK, marks.NOTE, "version-2", f"version-2/{marks.COPY}"],
        "hidden": marks.COPY,
        "max_bytes": MAX_BYTES,
        "more": more or [],
        "key_stores": named[True],
        "trust_stores": named[False],
        "store_program": program("stores"),
        "history_program": program("history"),
        "peers_program": program("peers"),
        "room_program": program("room"),
        "log": host.log_dir,
        "ports": [host.quorum_port, host.election_port],
        "main_class": MAIN_CLASS,
        "others": list(host.other_servers),
        "unit": host.unit,
        "is_active_command": host.is_active_command,
        "java": host.java if java else "",
        "space": list(dict.fromkeys([host.data_dir, host.data_log_dir, host.log_dir, host.install_dir])),
    }


class _Path(msgspec.Struct, frozen=True):
    errno: Errno | None = None
    kind: str = ""
    filled: bool = False
    size: int = 0
    data: str | None = None
    closed: Errno | None = None
    mtime: float = 0.0


class _Command(msgspec.Struct, frozen=True):
    status: int | None = None
    said: str = ""
    problem: str = ""


class _Java(msgspec.Struct, frozen=True):
    line: str = ""
    problem: str = ""


class _Answer(msgspec.Struct, frozen=True):
    paths: dict[str, _Path]
    stores: dict[str, StoreFile]
    history: DataFiles
    connected: tuple[tuple[str, int], ...]
    room: dict[str, tuple[int, int] | None]
    unwritten: tuple[str, str, float] | None
    servers: tuple[RunningServer, ...]
    hidden: bool
    free: dict[str, int | None]
    listening: tuple[tuple[str, int], ...]
    unit: Unit | None
    command: _Command | None
    java: _Java | None
    clock: float
    uid: int


def _answer_of(document: Any, host: InventoryHost) -> _Answer:
    try:
        return decoded(document, _Answer)
    except msgspec.ValidationError as error:
        raise Unreached(f"an odd answer: {error}", outcome=Outcome.JUNK.value, place=host.name) from None


def look_of(host: InventoryHost, answer: _Answer) -> RemoteLook:
    """What an answer of the program means. Raises `_NotFetched`, `_StoreNotFetched` for a file that must be asked for."""
    active, problem = _active(host, answer)
    files = FetchedFiles(answer.paths, answer.stores, answer.history)
    written = answer.paths.get(f"{host.config_dir}/{ZOO_CFG}", _Path()).mtime
    peers = tuple(Peer(address, port) for address, port in answer.connected)
    runs = next((s for s in answer.servers if s.here), None)
    read = read_host(host, files, flags_of(runs.flags) if runs else None)
    disk = _with_servers(read, host, answer.servers, active, written, peers)
    if disk.value is not None:
        rooms = tuple(Room(path, *found) for path, found in answer.room.items() if found is not None)
        said = Unwritten(*answer.unwritten) if answer.unwritten else None
        disk = msgspec.structs.replace(disk, value=msgspec.structs.replace(disk.value, rooms=rooms, unwritten=said))
    return RemoteLook(
        disk,
        unit=answer.unit,
        servers=answer.servers,
        hidden=answer.hidden,
        active=active,
        active_problem=problem,
        free={path: size for path, size in answer.free.items() if size is not None},
        java=answer.java.line if answer.java else "",
        java_problem=answer.java.problem if answer.java else "",
        listening=tuple(HostPort(address, port) for address, port in answer.listening),
        clock=answer.clock,
        stores=wished_stores(host, files),
    )


def _with_servers(
    disk: Fact[Disk],
    host: InventoryHost,
    servers: tuple[RunningServer, ...],
    active: bool | None,
    written: float,
    peers: tuple[Peer, ...],
) -> Fact[Disk]:
    """With what runs there. A host on whose files nothing lies, and a server of other files runs, is not a bare one."""
    others = [s for s in servers if not s.here and not s.known]
    runs = next((s for s in servers if s.here), None)
    if disk.value is None:
        if disk.outcome is not Outcome.ABSENT or not others or runs is not None:
            return disk
        detail = f"{disk.detail}, and {others[0]}"
        return msgspec.structs.replace(disk, outcome=Outcome.ANOTHERS, detail=detail)
    since = written > runs.since + READS_WITHIN_S if runs is not None and runs.since and written else None
    value = msgspec.structs.replace(
        disk.value, active=active, unit=runs.unit if runs else "", written_since=since, peers=peers
    )
    missing = f"{host.config_dir}/{ZOO_CFG}: missing"
    if others and runs is None and missing in value.problems:
        elsewhere = f"{missing}, and {others[0]}"
        problems = tuple(elsewhere if p == missing else p for p in value.problems)
        value = msgspec.structs.replace(value, problems=problems, server_elsewhere=elsewhere)
    return msgspec.structs.replace(disk, value=value)


def _active(host: InventoryHost, answer: _Answer) -> tuple[bool | None, str]:
    """Whether a server runs on the host's files, or why that cannot be told."""
    if host.is_active_command:
        if answer.command is None or answer.command.status is None:
            return None, f"`{host.is_active_command}`: {answer.command.problem if answer.command else 'not run'}"
        return answer.command.status == 0, ""
    if any(server.here for server in answer.servers) or (answer.unit is not None and answer.unit.runs):
        return True, ""
    if answer.hidden and (answer.unit is None or answer.unit.problem or answer.unit.load != "loaded"):
        return None, "the host hides the processes of other users (hidepid)"
    return False, ""


class _NotFetched(Exception):
    """A path that the reading needs. The text is the path."""


class _StoreNotFetched(Exception):
    """A key store (`keys`) or trust store that the reading needs. The text is the path."""

    def __init__(self, path: str, keys: bool) -> None:
        super().__init__(path)
        self.keys = keys


class FetchedFiles:
    """The files of a host as a look fetched them (`observe.files.Files`)."""

    def __init__(self, paths: dict[str, _Path], stores: dict[str, StoreFile], history: DataFiles | None = None) -> None:
        self._paths, self._stores, self._history = paths, stores, history or DataFiles()

    def _at(self, path: Path) -> _Path:
        found = self._paths.get(str(path))
        if found is None:
            raise _NotFetched(str(path))
        return found

    def read(self, path: Path) -> bytes:
        found = self._at(path)
        if found.errno is not None:
            raise _error(found.errno, path)
        if found.kind != "file":
            raise NotRead("not a file")
        if found.closed is not None:
            raise _error(found.closed, path)
        if found.data is None:
            raise too_large(found.size)
        try:
            return base64.b64decode(found.data, validate=True)
        except ValueError:
            raise NotRead("an odd answer") from None

    def store(self, path: Path, *, keys: bool) -> StoreFile:
        found = self._stores.get(str(path))
        if found is None:
            raise _StoreNotFetched(str(path), keys)
        return found

    def history(self, data: Path, logs: Path) -> DataFiles:
        return self._history

    def exists(self, path: Path) -> bool:
        found = self._at(path)
        if found.errno is not None and found.errno not in _NOT_THERE:
            raise _error(found.errno, path)
        return found.errno is None

    def is_dir(self, path: Path) -> bool:
        return self.exists(path) and self._at(path).kind == "folder"

    def filled(self, folder: Path, but: str) -> bool:
        found = self._at(folder)
        if found.errno in (errno.ENOENT, errno.ENOTDIR) or (found.errno is None and found.kind != "folder"):
            return False
        if found.errno is not None or found.closed is not None:
            raise _error(found.errno if found.errno is not None else found.closed or 0, folder)
        return found.filled


def _error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))
