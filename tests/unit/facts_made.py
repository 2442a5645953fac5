"""Surveys made by hand, to be judged: `healthy(3).down(2)` is what one look at three servers, of which 2 is gone, would have seen.

Servers are `zk1` … at 10.0.0.1:2181 …; nothing here asks anything. A `Made` is a value: each word gives another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from zkprov.judge.health import Health, judge
from zkprov.judge.picture import Picture, picture_of
from zkprov.judge.verdict import Purpose
from zkprov.model.facts import (
    Conf,
    Digests,
    Disk,
    Fact,
    Identity,
    LeaderView,
    Ledger,
    LedgerMember,
    ListOnDisk,
    Mode,
    Outcome,
    Retired,
    Room,
    ServerFacts,
    Srvr,
    Survey,
    ZabState,
)
from zkprov.model.flags import Flags
from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.members import Members
from zkprov.model.server import ClientAddress, HostPort, Role, Server, ServerAddress

VERSION = 0x700000012
ZXID = 0x7000004A1
OURS = Identity("/zkprov/ensemble", 0x100000002, 1_772_323_200_000)
OTHERS = Identity("/zkprov/ensemble", 0x100000002, 1_790_000_000_000)
NOW_MS = 1_800_000_000_000
SETTINGS = {
    "reconfigEnabled": "true",
    "standaloneEnabled": "false",
    "db.autocreate": "false",
    "tickTime": "2000",
    "initLimit": "10",
    "syncLimit": "5",
}
WORDS = ("srvr", "mntr", "conf", "cons")
ADMIN = ("zabstate", "leader", "voting_view", "hash")
SESSION = ("config", "identity", "ledger")
NAMES = (*WORDS, *ADMIN, *SESSION)  # all but probe and disk


def server(server_id: int, role: Role = Role.PARTICIPANT, *, host: str = "", client: bool = True) -> Server:
    at = ServerAddress(host or f"10.0.0.{server_id}", 2888, 3888)
    return Server(server_id, (at,), role, ClientAddress(2181, "0.0.0.0") if client else None)


def members(ids: Iterable[int], observers: Iterable[int] = (), version: int = VERSION, **more: Any) -> Members:
    watching = frozenset(observers)
    every = sorted({*ids, *watching})
    return Members.of(
        *(server(i, Role.OBSERVER if i in watching else Role.PARTICIPANT, **more) for i in every), version=version
    )


def found(name: str, value: Any, at: float = 0.0) -> Fact[Any]:
    """A fact that came out well; a `Fact` or an `Outcome` stands for itself."""
    if isinstance(value, Fact):
        return value
    if isinstance(value, Outcome):
        return Fact(name, value, at=at)
    return Fact(name, Outcome.OK, value, at=at)


def facts(name: str, client: HostPort | None, **values: Any) -> ServerFacts:
    made: dict[str, Any] = {
        k: v if k in ("known_as", "expected_id", "admin") else found(k, v) for k, v in values.items()
    }
    return ServerFacts(name, client, **made)


def disk_of(server_id: int, acting: Members, following: Members | None = None, **more: Any) -> Disk:
    place = f"/etc/zookeeper/zoo.cfg.dynamic.{acting.version_hex}" if acting.version else "/etc/zookeeper/zoo.cfg:9"
    return Disk(
        server_id,
        more.pop("settings", SETTINGS),
        ListOnDisk(acting, place),
        ListOnDisk(following, "/etc/zookeeper/zoo.cfg.dynamic.next") if following else None,
        has_data=more.pop("has_data", True),
        active=more.pop("active", True),
        disk_id=more.pop("disk_id", f"disk-{server_id}"),
        data_marked=more.pop("data_marked", True),
        flags=more.pop("flags", Flags()),
        rooms=more.pop("rooms", (Room("/var/lib/zookeeper", 200_000_000_000, 250_000_000_000),)),
        **more,
    )


def serving(
    server_id: int,
    live: Members,
    leader: int,
    *,
    zxid: int = ZXID,
    identity: Identity | Outcome = OURS,
    name: str = "",
    host: str = "",
    known_as: tuple[str, ...] = ("inventory",),
) -> ServerFacts:
    """A server that serves under `live`, follows `leader` or is it, and tells all that one can tell."""
    own = live.get(server_id)
    votes = own is not None and own.votes
    mode = Mode.LEADER if server_id == leader else Mode.FOLLOWER if votes or own is None else Mode.OBSERVER
    synced = len(live.voters) - 1
    mntr = {"zk_server_state": str(mode), "zk_digest_mismatches_count": "0"}
    if server_id == leader:
        mntr |= {"zk_synced_followers": str(synced), "zk_synced_non_voting_followers": "0"}
    return facts(
        name or f"zk{server_id}",
        HostPort(host or f"10.0.0.{server_id}", 2181),
        known_as=known_as,
        expected_id=server_id,  # a survey has it from the lists
        srvr=Srvr(mode, zxid, "3.9.5", 1, 12),
        mntr=mntr,
        conf=Conf({"serverId": str(server_id), "tickTime": "2000", "syncLimit": "5"}, live),
        cons=(),
        zabstate=ZabState(server_id, votes, zxid >> 32, zxid, "BROADCAST"),
        leader=LeaderView(server_id == leader, leader, f"10.0.0.{leader}"),
        voting_view=tuple(sorted(live.voters)),
        hash=Digests({ZXID - 33: 0xD16E57}),
        config=live,
        identity=identity,
        ledger=Outcome.ABSENT,
        disk=disk_of(server_id, live),
    )


class Made(msgspec.Struct, frozen=True):
    """What a look saw. `began` in seconds since 1970."""

    servers: tuple[ServerFacts, ...]
    live: Members
    began: float = NOW_MS / 1000

    # -- one server changed

    def having(self, server_id: int | str, **values: Any) -> Made:
        """With these facts of the server with that id (or name) instead; `name=None` takes a fact away."""
        name = server_id if isinstance(server_id, str) else f"zk{server_id}"
        assert any(s.name == name for s in self.servers), name
        made = {k: Fact(k) if v is None else found(k, v) for k, v in values.items()}
        return self._with(tuple(msgspec.structs.replace(s, **made) if s.name == name else s for s in self.servers))

    def down(self, *ids: int, disk: bool = False) -> Made:
        """Nothing listens there. `disk`: its files can still be read."""
        return self._silent(ids, Outcome.REFUSED, disk)

    def paused(self, *ids: int) -> Made:
        return self._silent(ids, Outcome.TIMEOUT, True)

    def refusing(self, *ids: int) -> Made:
        """These do not trust us: they are up, and tell us nothing. Their files are read all the same."""
        return self._silent(ids, Outcome.DENIED, disk=True)

    def without(self, *ids: int) -> Made:
        """Not asked at all."""
        return self._with(tuple(s for s in self.servers if s.name not in {f"zk{i}" for i in ids}))

    def also(self, *more: ServerFacts) -> Made:
        return self._with((*self.servers, *more))

    def spare(self, *names: str) -> Made:
        """Hosts of the inventory on which there is nothing."""
        return self.also(
            *(
                facts(
                    name,
                    HostPort(f"10.0.0.{name.removeprefix('zk')}", 2181),
                    known_as=("inventory",),
                    **dict.fromkeys(NAMES, Outcome.REFUSED),
                    disk=Outcome.ABSENT,
                )
                for name in names
            )
        )

    def looking(self, *ids: int) -> Made:
        """Runs, and has no quorum."""
        made = self
        for i in ids:
            words = dict.fromkeys((*WORDS, *SESSION), Outcome.NOT_SERVING)
            made = made.having(i, **words, leader=None, hash=None, zabstate=ZabState(i, True, 7, ZXID, "ELECTION"))
        return made

    def reading(self, server_id: int, *, mode: Mode | None = None, zxid: int | None = None, release: str = "") -> Made:
        """What `srvr` and, where it is open, `zabstate` say."""
        old = next(s for s in self.servers if s.name == f"zk{server_id}")
        assert old.srvr.value
        srvr = old.srvr.value
        srvr = msgspec.structs.replace(
            srvr,
            mode=mode or srvr.mode,
            zxid=srvr.zxid if zxid is None else zxid,
            release=release or srvr.release,
        )
        changed: dict[str, Any] = {"srvr": srvr}
        if zxid is not None and old.zabstate.value:
            changed["zabstate"] = msgspec.structs.replace(old.zabstate.value, zxid=zxid, epoch=zxid >> 32)
        return self.having(server_id, **changed)

    # -- all of them changed

    def telling(self, *names: str) -> Made:
        """Only these facts can be asked: `telling("srvr")` is an ensemble with the client port alone, sessions aside."""
        shut = [n for n in (*NAMES, "disk") if n not in names]
        return self._with(
            tuple(
                msgspec.structs.replace(
                    s, **{n: Fact(n, Outcome.CLOSED if n in WORDS else Outcome.NOT_ASKED) for n in shut}
                )
                for s in self.servers
            )
        )

    def ledger(
        self,
        seasoned: Iterable[int] = (),
        young: Mapping[int, float] | None = None,
        retired: tuple[Retired, ...] = (),
        **more: Any,
    ) -> Made:
        """The ledger, as every member holds it. `young`: for how many seconds each newcomer has voted."""
        known = {i: LedgerMember(NOW_MS - 10**9, f"disk-{i}", VERSION, True) for i in seasoned}
        known |= {i: LedgerMember(NOW_MS - int(age * 1000), f"disk-{i}", VERSION) for i, age in (young or {}).items()}
        value = msgspec.structs.replace(Ledger("6f1d", known, retired, now_ms=NOW_MS), **more)
        return self._with(
            tuple(
                msgspec.structs.replace(s, ledger=found("ledger", value)) if s.config.value == self.live else s
                for s in self.servers
            )
        )

    # -- what comes of it

    @property
    def survey(self) -> Survey:
        return Survey("kafka-zk", self.began, 0.31, self.servers)

    @property
    def picture(self) -> Picture:
        return picture_of(self.survey)

    def health(self, purpose: Purpose = Purpose.LOOK, **more: Any) -> Health:
        return judge(self.survey, purpose, **more)

    def _with(self, servers: tuple[ServerFacts, ...]) -> Made:
        return msgspec.structs.replace(self, servers=servers)

    def _silent(self, ids: tuple[int, ...], outcome: Outcome, disk: bool) -> Made:
        made = self
        for i in ids:
            made = made.having(i, **dict.fromkeys(NAMES, outcome), **({} if disk else {"disk": Outcome.NOT_ASKED}))
        return made


def healthy(count: int, leader: int = 0, observers: Iterable[int] = (), **more: Any) -> Made:
    """Servers 1 … `count`, of which the last one leads, and `observers`; `more` goes to every server (`zxid`, `identity`)."""
    live = members(range(1, count + 1), observers)
    return ensemble(live, leader or count, **more)


def ensemble(live: Members, leader: int, **more: Any) -> Made:
    return Made(tuple(serving(s.id, live, leader, **more) for s in live.servers), live)


def outage(identity: Identity | Outcome = Outcome.ABSENT) -> Made:
    """The outage: 1–3 with a static list of three, led by 3; 4–7, that nobody's config names, with one of seven, led by 7. Epoch 1."""
    three, seven = members((1, 2, 3), version=0), members(range(1, 8), version=0)
    made = ensemble(three, 3, zxid=0x1000004A1)
    return made.also(
        *(serving(i, seven, 7, zxid=0x10000000C, identity=identity, known_as=("inventory",)) for i in (4, 5, 6, 7))
    )


def woken(made: Made | None = None) -> Made:
    """3 led in epoch 7, was frozen, and woke when 2 led in epoch 8: it does not know yet, and counts followers that left it."""
    start = made or healthy(3)
    after = 0x800000002
    made = start.having(3, zabstate=ZabState(3, True, 7, ZXID, "BROADCAST"))
    made = made.reading(2, mode=Mode.LEADER, zxid=after).reading(1, zxid=after)
    for i in (1, 2):
        made = made.having(i, leader=LeaderView(i == 2, 2, "10.0.0.2"))
    return made.having(2, mntr={"zk_server_state": "leader", "zk_synced_followers": "1"})


def host(server_id: int, **more: Any) -> InventoryHost:
    return InventoryHost(f"zk{server_id}", f"10.0.0.{server_id}", connection="local", **more)


def inventory(count: int = 9, *, lab: bool = False, **hosts: InventoryHost) -> Inventory:
    every = tuple(hosts.get(f"zk{i}", host(i)) for i in range(1, count + 1))
    return Inventory("kafka-zk", "inventory.yml", every, "digest", lab=lab)
