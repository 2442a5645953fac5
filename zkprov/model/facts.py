"""What a survey saw: one value per question and server, each with its source, its time and how it came out.

A server that does not answer, answers junk, half, late or too much is a fact as well. Nothing here judges.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from zkprov.model.certificates import Stores
from zkprov.model.flags import Flags
from zkprov.model.members import Members
from zkprov.model.server import HostPort, ServerAddress

T = TypeVar("T")


class Outcome(StrEnum):
    """How a question came out."""

    OK = "ok"
    NOT_ASKED = "not asked"  # no way to ask is known (no AdminServer port, no access to the disk)
    REFUSED = "refused"  # nothing listens there, or the host is unreachable
    TIMEOUT = "timeout"  # no whole answer by the deadline
    CLOSED = "closed"  # the server answers, but not this question (4lw whitelist, unknown command)
    NOT_SERVING = "not serving"  # ZooKeeper says that it has no quorum
    DENIED = "denied"  # no right to ask
    ABSENT = "absent"  # asked, and there is no such thing (no such znode, no such file)
    JUNK = "junk"  # an answer, but not ZooKeeper's
    ANOTHERS = "another server's"  # an answer, but not of the server that was asked
    TRUNCATED = "truncated"
    TOO_LARGE = "too large"


class Fact(msgspec.Struct, Generic[T], frozen=True):
    """One answer. `value` is there exactly when the outcome is OK.

    `asked`: when the question was begun, or before; `at`: when the answer was whole; both in seconds since the survey began.
    """

    source: str
    outcome: Outcome = Outcome.NOT_ASKED
    value: T | None = None
    at: float = 0.0
    detail: str = ""
    asked: float = 0.0

    def __post_init__(self) -> None:
        if (self.outcome is Outcome.OK) != (self.value is not None):
            raise ValueError(f"fact {self.source}: a value goes with outcome ok, and only with it ({self.outcome})")

    def __str__(self) -> str:
        return self.source if self.outcome is Outcome.OK else f"{self.source}: {self.detail or self.outcome}"


class Mode(StrEnum):
    """The `Mode:` of `srvr`. `follower` does not mean member (FACTS, "What each server can tell")."""

    LEADER = "leader"
    FOLLOWER = "follower"
    OBSERVER = "observer"
    STANDALONE = "standalone"


class Srvr(msgspec.Struct, frozen=True):
    """`srvr`. `release` as the server prints it, up to the first `-` (`3.9.5`)."""

    mode: Mode
    zxid: int
    release: str
    connections: int
    znodes: int

    @property
    def epoch(self) -> int:
        return self.zxid >> 32


class Conf(msgspec.Struct, frozen=True):
    """`conf`: the settings as text, and the membership that it ends with, where there is one."""

    settings: dict[str, str]
    members: Members | None = None

    @property
    def server_id(self) -> int | None:
        text = self.settings.get("serverId", "")
        return int(text) if text.isdigit() else None


class ClientSession(msgspec.Struct, frozen=True):
    """A client of `cons`. `timeout_ms` is the session's `to=`; `session` its id, 0x…, or empty (a 4lw connection has none)."""

    address: HostPort
    session: str = ""
    timeout_ms: int = 0


class ZabState(msgspec.Struct, frozen=True):
    """AdminServer `zabstate`: `phase` is ELECTION, DISCOVERY, SYNCHRONIZATION or BROADCAST; `voting` as the server sees itself.

    `client_port`: where it serves clients, if it says so.
    """

    server_id: int
    voting: bool
    epoch: int
    zxid: int
    phase: str
    client_port: int | None = None


class LeaderView(msgspec.Struct, frozen=True):
    """AdminServer `leader`: whom this server takes for the leader. `leader_id` −1: nobody."""

    is_leading: bool
    leader_id: int
    leader_ip: str


class Digests(msgspec.Struct, frozen=True):
    """AdminServer `hash`: zxid → digest of the data tree, the latest ones.

    `twice`: zxids for which it tells two that differ, and which say nothing. 3.6 writes transactions twice into its log where it comes in
    while clients write (`highestZxid > next log`); whoever replays that log notes the second digest when the tree holds what came later
    (3.6.4's log read by 3.8.6: the trees were equal in every stat, and so was every later digest).
    """

    by_zxid: dict[int, int]
    twice: frozenset[int] = frozenset()


LASTING = ("/zkprov/ensemble", "/cluster/id")
"""Identity znodes that nobody deletes, in the order in which a server's identity is read from them."""


class Identity(msgspec.Struct, frozen=True):
    """A permanent znode's creation: equal on servers of one history. `ctime_ms` in ms since 1970 by the leader's clock."""

    path: str
    czxid: int
    ctime_ms: int

    @property
    def lasting(self) -> bool:
        """Whether it is created once: any other znode may be made anew, and a server that is behind shows the former creation."""
        return self.path in LASTING

    @property
    def tag(self) -> str:
        """Four letters to tell histories apart on a screen; equal identities have equal tags."""
        return f"{(self.czxid * 0x9E3779B1 ^ self.ctime_ms * 0x85EBCA77) & 0xFFFF:04x}"


class ListOnDisk(msgspec.Struct, frozen=True):
    """A member list found in a file. `source` is what a person can open: `zk1/zoo.cfg:9`."""

    members: Members
    source: str


READS_WITHIN_S = 0.5
"""After its start a server has read its zoo.cfg, about: what was written until then it may have seen. Such times are coarse besides."""


class History(msgspec.Struct, frozen=True):
    """How far the history on a disk goes. `accepted`, `current`: its epochs. `snapshots`, `logs`: the zxids in files' names, rising: of a
    snapshot what it holds at the least, of a log the first one in it. `last`: the last transaction of the newest log, only where no
    server runs on it. None: not there, not read.

    `oldest_s`, `newest_s`: when the oldest and the newest of these files were written, in seconds since 1970 by the host's clock.
    """

    accepted: int | None = None
    current: int | None = None
    snapshots: tuple[int, ...] = ()
    logs: tuple[int, ...] = ()
    last: int | None = None
    oldest_s: float | None = None
    newest_s: float | None = None

    @property
    def end(self) -> int | None:
        """The last zxid that it is known to hold; a log that was not walked holds its first one."""
        known = [z for z in (self.last, *self.snapshots[-1:], *self.logs[-1:]) if z is not None]
        return max(known, default=None)


class Peer(msgspec.Struct, frozen=True):
    """Who is connected to the ports by which servers talk to each other. `port`: where it listens for others; 0 where that is not told."""

    address: str
    port: int = 0


class Room(msgspec.Struct, frozen=True):
    """The disk that `path` is on: bytes that are free for who is not root, and bytes in all."""

    path: str
    free: int
    size: int


class Unwritten(msgspec.Struct, frozen=True):
    """The last write of its data for which a server found no room, as its log has it: `said` there, `ago_s` before the look.

    Of the newest server that ran there. `ago_s` −1: the log tells no time. On a full disk the log itself does not go on.
    """

    said: str
    log: str
    ago_s: float


class Disk(msgspec.Struct, frozen=True):
    """One server's files. `acting` is the list that zoo.cfg points at or holds; `next` a `.next` beside it.

    `has_data`: a `version-2` with anything in it, in dataDir or dataLogDir. `initialize`: the marker that lets an empty server vote.
    `settings`: zoo.cfg without its secrets. `active`: whether a server runs on these files; None where unknown.
    `disk_id`: the mark that tells this disk from another (`marks`), '' where there is none, or the data that it stood for was wiped.
    `data_marked`: whether the data carries it too; until then a wipe of the data alone is not seen.
    `peers`: who is connected to the server, by the sockets of its host. `rooms`: of dataDir and dataLogDir.
    `flags`: what the server that runs on these files was given on its command line; None where none runs, or it cannot be seen.
    `wiped`: zkprov noted that data lay here, and that data is here no longer, whatever has come since.
    `stores`: the key and trust stores that zoo.cfg names. `unit`: the systemd service whose server runs on these files, where one does.
    `server_elsewhere`: there is no zoo.cfg, and a server runs on another one; `data_elsewhere`: zoo.cfg has the data in other folders than
    the inventory. Both in words, as they stand among the `problems`.
    `written_since`: whether zoo.cfg was written after the server that runs on it was started; None where none runs, or it is not told.
    """

    my_id: int | None
    settings: dict[str, str]
    acting: ListOnDisk | None = None
    next: ListOnDisk | None = None
    has_data: bool = False
    initialize: bool = False
    active: bool | None = None
    disk_id: str = ""
    data_marked: bool = False
    problems: tuple[str, ...] = ()
    stores: Stores = Stores()
    unit: str = ""
    server_elsewhere: str = ""
    data_elsewhere: str = ""
    written_since: bool | None = None
    history: History = History()
    wiped: bool = False
    peers: tuple[Peer, ...] = ()
    rooms: tuple[Room, ...] = ()
    unwritten: Unwritten | None = None
    flags: Flags | None = None

    @property
    def effective(self) -> dict[str, str]:
        """What the server goes by: its flags, and over them zoo.cfg."""
        return {**(self.flags.settings if self.flags else {}), **self.settings}

    @property
    def autocreate(self) -> bool:
        """`db.autocreate`, true by default: whether an empty server may vote without an `initialize` file (≥ 3.6)."""
        return self.settings.get("db.autocreate", "true").strip().lower() != "false"

    @property
    def reconfig_enabled(self) -> bool:
        return self.settings.get("reconfigEnabled", "false").strip().lower() == "true"


class LedgerMember(msgspec.Struct, frozen=True):
    """`/zkprov/members/<id>`: `since_ms` is the znode's ctime; `confirmed` the last config version seen on its disk."""

    since_ms: int
    disk: str = ""
    confirmed: int = 0
    seasoned: bool = False
    season_s: float = 900.0


SET_ASIDE, LEFT_BEHIND = "set aside", "left behind"
"""What became of a retired server's disk by zkprov's own knowledge: moved beside where it was, or not touched."""
GONE = frozenset({"wiped", "destroyed"})
"""What a person attests of a retired server's disk, and after which its id may be used again. Any other fate is of a disk that may vote."""


class Retired(msgspec.Struct, frozen=True):
    """`/zkprov/retired/<id>`: a server that left. `fate`: `set aside`, `left behind` where it lay, or `destroyed`, `wiped` (attested)."""

    id: int
    host: str
    client: HostPort | None
    since_ms: int
    where: str = ""
    fate: str = SET_ASIDE
    last_list: Members | None = None
    reason: str = ""


class Ledger(msgspec.Struct, frozen=True):
    """What `/zkprov` holds, read through one server. `now_ms`: the ensemble's clock at the reading, or the best known.

    `founding`: `bootstrap` has not ended yet, and nobody has data in the ensemble so far.
    """

    uuid: str = ""
    members: dict[int, LedgerMember] = {}
    retired: tuple[Retired, ...] = ()
    paused: str = ""
    lock_holder: str = ""
    run: str = ""
    now_ms: int = 0
    founding: bool = False


class ServerFacts(msgspec.Struct, frozen=True):
    """All that was seen of one server. `name`: its inventory name, else `host:port`. `known_as`: why it was asked.

    `address`: where the inventory has it among servers, given only where its line does not say where clients from elsewhere are served.
    `session`: the server's id, from the id of the session that it opened: all that names a member of a static list to clients alone.
    """

    name: str
    client: HostPort | None
    known_as: tuple[str, ...] = ()
    expected_id: int | None = None
    admin: HostPort | None = None
    address: ServerAddress | None = None
    srvr: Fact[Srvr] = Fact("srvr")
    mntr: Fact[dict[str, str]] = Fact("mntr")
    conf: Fact[Conf] = Fact("conf")
    cons: Fact[tuple[ClientSession, ...]] = Fact("cons")
    zabstate: Fact[ZabState] = Fact("zabstate")
    leader: Fact[LeaderView] = Fact("leader")
    voting_view: Fact[tuple[int, ...]] = Fact("voting_view")
    hash: Fact[Digests] = Fact("hash")
    config: Fact[Members] = Fact("/zookeeper/config")
    identity: Fact[Identity] = Fact("identity")
    ledger: Fact[Ledger] = Fact("/zkprov")
    session: Fact[int] = Fact("session")
    probe: Fact[int] = Fact("probe")
    disk: Fact[Disk] = Fact("disk")

    @property
    def id(self) -> int | None:
        """The id that the server itself gives, by zabstate, conf, its disk or a session; else the one that a list gives its endpoint."""
        if self.zabstate.value:
            return self.zabstate.value.server_id
        if self.conf.value and self.conf.value.server_id is not None:
            return self.conf.value.server_id
        if self.disk.value and self.disk.value.my_id is not None:
            return self.disk.value.my_id
        if self.mntr.value and self.mntr.value.get("zk_server_id", "").isdigit():
            return int(self.mntr.value["zk_server_id"])
        if self.session.value is not None:
            return self.session.value
        return self.expected_id

    @property
    def serving(self) -> bool:
        """Whether it serves clients just now: a mode by `srvr`, or a session that could be opened."""
        return (
            self.srvr.value is not None
            or self.config.value is not None
            or self.identity.outcome in (Outcome.OK, Outcome.ABSENT)
        )

    @property
    def up(self) -> bool:
        """Whether a ZooKeeper server runs there at all, serving or not."""
        answered = {Outcome.OK, Outcome.NOT_SERVING, Outcome.CLOSED}
        return self.serving or self.srvr.outcome in answered or self.zabstate.value is not None


class Reach(msgspec.Struct, frozen=True):
    """What one host makes of the others. `names`: name → the addresses that it resolves to, in order; `ports`: (host, port) → `open`,
    `refused` (nothing listens, and the way there is free), or why nothing came back. `ahead_s`: its clock less ours, in seconds.
    `problem`: why it was not asked.
    """

    host: str
    names: dict[str, tuple[str, ...]] = {}
    unresolved: dict[str, str] = {}
    ports: dict[tuple[str, int], str] = {}
    ahead_s: float = 0.0
    problem: str = ""


class Survey(msgspec.Struct, frozen=True):
    """One look at every known server at once. `began` is in seconds since 1970 by this machine's clock, `took` in seconds."""

    ensemble: str
    began: float
    took: float
    servers: tuple[ServerFacts, ...]
    format: int = 1

    def by_id(self, server_id: int) -> ServerFacts | None:
        """The first server that says it is `server_id`; members are asked first."""
        return next((s for s in self.servers if s.id == server_id), None)

    def by_name(self, name: str) -> ServerFacts | None:
        return next((s for s in self.servers if s.name == name), None)
