"""The language of the cases: a survey in words. `healthy 3`, then what is different: `down 2`, `only srvr`, `ledger 1 young 2=3m`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec

from tests.unit.authorities import NOW, Authority
from tests.unit.facts_made import (
    OTHERS,
    OURS,
    SETTINGS,
    ZXID,
    Made,
    disk_of,
    ensemble,
    facts,
    found,
    healthy,
    members,
    outage,
    serving,
    woken,
)
from zkprov.model.certificates import KeyForm, KeyStore, Stores, TrustStore, tls_settings
from zkprov.model.facts import Digests, Fact, History, Mode, Outcome, Retired, Room, Srvr, Unwritten, ZabState
from zkprov.model.inventory import InventoryHost
from zkprov.model.members import Members
from zkprov.model.posture import Posture
from zkprov.model.server import HostPort
from zkprov.observe.stores import certificates_of

NOTHING = members(())
DAY = dt.timedelta(days=1)


def survey_of(lines: tuple[str, ...]) -> Made:
    """Raises KeyError for a word that is not of the language."""
    made = Made((), NOTHING)
    for line in lines:
        word, *rest = line.split()
        made = WORDS[word](made, rest)
    return made


def seconds(text: str) -> float:
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def _ids(words: list[str]) -> tuple[int, ...]:
    return tuple(int(w) for w in words if w.isdigit())


def _healthy(_: Made, rest: list[str]) -> Made:
    observers = _ids(rest[2:]) if rest[1:2] == ["observers"] else ()
    leader = int(rest[2]) if rest[1:2] == ["led"] else 0
    return healthy(int(rest[0]), leader, observers)


def _static(_: Made, rest: list[str]) -> Made:
    return ensemble(members(range(1, int(rest[0]) + 1), version=0), int(rest[0]))


def _groups(made: Made, rest: list[str]) -> Made:
    """`groups 1,2 3,4 5 2=3`: who is in which, and the weight 3 of 2; one group of all where nobody is named."""
    named = [tuple(int(i) for i in w.split(",")) for w in rest if "=" not in w] or [tuple(sorted(made.live.ids))]
    weights = tuple(sorted((int(w.split("=")[0]), int(w.split("=")[1])) for w in rest if "=" in w))
    live = msgspec.structs.replace(made.live, groups=tuple(enumerate(named, 1)), weights=weights)
    return ensemble(live, max(live.voters))


def _rogue(made: Made, rest: list[str]) -> Made:
    """`rogue 9`: serves with our history under a list of its own."""
    server_id = int(rest[0])
    return made.also(serving(server_id, members((server_id,), version=5), server_id, identity=OURS))


def _stranger(made: Made, rest: list[str]) -> Made:
    """`stranger 4 leads` or `stranger 4 follows`: another ensemble's server, with nothing of ours."""
    server_id, leads = int(rest[0]), rest[1] == "leads"
    other = members((server_id, 77), version=5)
    return made.also(serving(server_id, other, server_id if leads else 77, identity=OTHERS))


def _joining(made: Made, rest: list[str]) -> Made:
    """`joining 4`: it follows our leader already."""
    leader = next(
        int(s.name.removeprefix("zk")) for s in made.servers if s.srvr.value and s.srvr.value.mode is Mode.LEADER
    )
    return made.also(serving(int(rest[0]), made.live, leader))


def _late(made: Made, rest: list[str]) -> Made:
    """`late 4`: it holds a list of ours from before, and our history."""
    older = members((3, int(rest[0])), version=made.live.version - 5)
    return made.also(serving(int(rest[0]), older, 3))


def _standalone(made: Made, rest: list[str]) -> Made:
    alone = Srvr(Mode.STANDALONE, 9, "3.9.5", 0, 5)
    at = HostPort(f"10.0.0.{rest[0]}", 2181)
    return made.also(facts(f"zk{rest[0]}", at, srvr=alone, config=Outcome.ABSENT, identity=Outcome.ABSENT))


def _port(made: Made, rest: list[str]) -> Made:
    """`port 4 junk`: how its client port answers."""
    name = " ".join(rest[1:])
    detail = {"junk": "not ZooKeeper's: 'HTTP/1.1 400 Bad Request'", "timeout": "no answer within 3 s"}.get(name, "")
    return made.having(int(rest[0]), srvr=Fact("srvr", Outcome(name), detail=detail))


def _disk(made: Made, rest: list[str]) -> Made:
    """`disk 4 data`, `own`, `initialize`, `list`, `denied`, `problem`, `next`, `another`, `stale`, `unread`, `gone`, `lost` (data)."""
    server_id, what = int(rest[0]), rest[1]
    if what in ("denied", "unread", "gone"):
        outcome = {"denied": Outcome.DENIED, "gone": Outcome.ABSENT}.get(what, Outcome.NOT_ASKED)
        return made.having(server_id, disk=outcome)
    empty = msgspec.structs.replace(disk_of(server_id, NOTHING, has_data=False, active=False, disk_id=""), acting=None)
    old = members((*made.live.ids, server_id), version=0)
    disk = {
        "data": msgspec.structs.replace(empty, has_data=True),
        "initialize": msgspec.structs.replace(empty, initialize=True),
        "own": disk_of(server_id, made.live, active=False),
        "lost": msgspec.structs.replace(disk_of(server_id, made.live, has_data=False, active=False), my_id=None),
        "list": disk_of(server_id, old, has_data=False, active=False),
        "problem": msgspec.structs.replace(
            empty, acting=None, problems=("/etc/zookeeper/zoo.cfg: cannot be read (Permission denied)",)
        ),
        "alone": disk_of(server_id, NOTHING, active=False),
        "next": disk_of(server_id, made.live, made.live.without(1).at_version(made.live.version + 1)),
        "stale": disk_of(server_id, made.live.without(1).at_version(made.live.version - 1)),
        "another": disk_of(server_id, made.live, disk_id="disk-new"),
    }[what]
    return made.having(server_id, disk=disk)


def _set(made: Made, rest: list[str]) -> Made:
    """`set reconfigEnabled=false db.autocreate=- 2 3`: zoo.cfg of these (none named: of all) says; `-` nothing, `_` a blank."""
    given = dict(w.split("=") for w in rest if "=" in w)
    for server_id in _ids(rest) or tuple(sorted(made.live.ids)):
        disk = next(s for s in made.servers if s.name == f"zk{server_id}").disk.value
        if disk is not None:
            settings = {**disk.settings, **{k: v.replace("_", " ") for k, v in given.items()}}
            settings = {k: v for k, v in settings.items() if v != "-"}
            made = made.having(server_id, disk=msgspec.structs.replace(disk, settings=settings))
    return made


def _reverted(made: Made, rest: list[str]) -> Made:
    """`reverted 2 flag=false`: its zoo.cfg has the members of the live list without a version, and no dynamicConfigFile; with `list=2` as
    many of them, with `list=none` none.
    """
    given = dict(w.split("=") for w in rest if "=" in w)
    server_id, count = int(rest[0]), given.get("list", "")
    servers = made.live.servers[: 0 if count == "none" else int(count or len(made.live.servers))]
    disk = disk_of(server_id, Members.of(*servers), settings={**SETTINGS, "reconfigEnabled": given.get("flag", "true")})
    return made.having(server_id, disk=disk)


def _behind(made: Made, rest: list[str]) -> Made:
    return made.reading(int(rest[0]), zxid=ZXID - int(rest[1]))


def _votes_not(made: Made, rest: list[str]) -> Made:
    server_id = int(rest[0])
    return made.having(server_id, zabstate=ZabState(server_id, False, 7, ZXID, "BROADCAST"))


def _release(made: Made, rest: list[str]) -> Made:
    for server_id in _ids(rest[1:]) or tuple(sorted(made.live.ids)):
        made = made.reading(server_id, release=rest[0])
    return made


def _ledger(made: Made, rest: list[str]) -> Made:
    """`ledger 1 2 3 young 4=3m retired 6`."""
    young = {int(w.split("=")[0]): seconds(w.split("=")[1]) for w in rest if "=" in w}
    at = rest.index("retired") if "retired" in rest else len(rest)
    retired = tuple(
        Retired(
            i, f"zk{i}", None, 1, f"zk{i}:/var/lib/zookeeper.retired-{i}", "wiped" if "wiped" in rest else "set aside"
        )
        for i in _ids(rest[at:])
    )
    return made.ledger(_ids(rest[:at]), young, retired)


def _tls(made: Made, rest: list[str]) -> Made:
    """`tls 1 2 3`: with quorum TLS. `tls 2 foreign`, `expired`, `soon`, `unnamed`, `elsewhere`, `pkcs1`, `jks`, `closed`: what is odd."""
    odd = rest[-1]
    for server_id in _ids(rest):
        ends = {"expired": NOW - DAY, "soon": NOW + 12 * DAY}.get(odd)
        sans = {"unnamed": (), "elsewhere": ("10.0.9.9",)}.get(odd, (f"10.0.0.{server_id}",))
        signed = (Authority("another CA") if odd == "foreign" else Authority()).certificate_of(*sans, ends=ends)
        one = InventoryHost(
            f"zk{server_id}", "", posture=Posture.QUORUM, key_store="/etc/zk/keys.pem", trust_store="/etc/zk/ca.pem"
        )
        keys = {
            "closed": KeyStore(one.key_store, problem="Permission denied"),
            "jks": KeyStore(one.key_store, KeyForm.NOT_PEM),
        }.get(
            odd, KeyStore(one.key_store, KeyForm(odd if odd == "pkcs1" else "pkcs8"), True, certificates_of(signed)[0])
        )
        trust = TrustStore(one.trust_store, certificates_of(Authority().pem)[0])
        settings = {**SETTINGS, **tls_settings(one)}
        disk = disk_of(server_id, made.live, settings=settings, stores=Stores(keys, trust))
        made = made.having(server_id, disk=disk)
    return made


def _unread(made: Made, rest: list[str]) -> Made:
    for server in made.servers:
        made = made.having(server.name, **dict.fromkeys(rest, Outcome.TIMEOUT))
    return made


def _history(made: Made, rest: list[str]) -> Made:
    """`data 2 accepted=9 current=8 snapshots=0,0x800000003 last=0x800000004 oldest_s=5 wiped stopped`: its disk tells so."""
    told = dict(w.split("=") for w in rest if "=" in w)
    several = {k: tuple(int(z, 0) for z in told.pop(k, "").split(",") if z) for k in ("snapshots", "logs")}
    given: dict[str, Any] = {**several, **{k: int(v, 0) for k, v in told.items()}}
    disk = next(s for s in made.servers if s.name == f"zk{rest[0]}").disk.value or disk_of(int(rest[0]), made.live)
    more: dict[str, Any] = {"wiped": True, "disk_id": ""} if "wiped" in rest else {}
    more |= {"active": False} if "stopped" in rest else {}
    return made.having(int(rest[0]), disk=msgspec.structs.replace(disk, history=History(**given), **more))


def _beside(made: Made, rest: list[str]) -> Made:
    """`beside 4 5 list=1,2,3,4,5 leader=5 version=0 ours retired`: these serve under a list of their own (by default of themselves)."""
    given = dict(w.split("=") for w in rest if "=" in w)
    ids = _ids(rest)
    listed = [int(i) for i in given["list"].split(",")] if "list" in given else ids
    own = members(listed, version=int(given.get("version", "0x100000000"), 0))
    leader = int(given.get("leader", ids[-1]))
    identity = OURS if "ours" in rest else OTHERS if "theirs" in rest else Outcome.ABSENT
    at = int(given.get("zxid", "0x10000000c"), 0)
    return made.without(*ids).also(*(serving(i, own, leader, zxid=at, identity=identity) for i in ids))


def _alone(made: Made, rest: list[str]) -> Made:
    """`alone 4`: it serves alone, beside the ensemble."""
    alone = Srvr(Mode.STANDALONE, 9, "3.9.5", 0, 5)
    at = HostPort(f"10.0.0.{rest[0]}", 2181)
    known = ("inventory",)
    return made.also(
        facts(f"zk{rest[0]}", at, known_as=known, srvr=alone, config=Outcome.ABSENT, identity=Outcome.ABSENT)
    )


def _digests(made: Made, rest: list[str]) -> Made:
    """`digests 2 unlike`: of the same zxid as the others', and another value."""
    return made.having(int(rest[0]), hash=Digests({ZXID - 33: 0xBAD}))


def _stopping(made: Made, rest: list[str]) -> Made:
    """`stopping 2`: it told its words, a mismatch that it had counted among them, and refuses whatever was asked after that."""
    gone = dict.fromkeys(("hash", "config", "identity", "ledger"), Outcome.REFUSED)
    return made.having(int(rest[0]), mntr={"zk_server_state": "follower", "zk_digest_mismatches_count": "1"}, **gone)


def _shut(made: Made, rest: list[str]) -> Made:
    """`shut`: every server answers its words, and opens no session in time."""
    for server in made.servers:
        made = made.having(server.name, **dict.fromkeys(("config", "identity", "ledger"), Outcome.TIMEOUT))
    return made


def _room(made: Made, rest: list[str]) -> Made:
    """`room 3 0 250e9`: so many bytes are free, of so many. `room 3 said=4 stopped`: it failed to write 4 s ago, by its log."""
    given = dict(w.split("=") for w in rest if "=" in w)
    disk = next(s for s in made.servers if s.name == f"zk{rest[0]}").disk.value
    assert disk is not None
    figures = [int(float(w)) for w in rest[1:] if w[0].isdigit()]
    room = Room("/var/lib/zookeeper", *figures) if figures else Room("/var/lib/zookeeper", 69 * 10**9, 250 * 10**9)
    said = Unwritten("java.io.IOException: No space left on device", "/var/log/zookeeper/zookeeper.log", 4.0)
    if "said" in given:
        disk = msgspec.structs.replace(disk, unwritten=msgspec.structs.replace(said, ago_s=float(given["said"])))
    disk = msgspec.structs.replace(disk, rooms=(room,), unit="zookeeper.service" if "unit" in rest else "")
    return made.having(int(rest[0]), disk=msgspec.structs.replace(disk, active="stopped" not in rest))


WORDS: dict[str, Callable[[Made, list[str]], Made]] = {
    "healthy": _healthy,
    "static": _static,
    "groups": _groups,
    "outage": lambda _, rest: outage(),
    "woken": lambda made, rest: woken(made if made.servers else None),
    "down": lambda made, rest: made.down(*_ids(rest), disk="disk" in rest),
    "paused": lambda made, rest: made.paused(*_ids(rest)),
    "looking": lambda made, rest: made.looking(*_ids(rest)),
    "unasked": lambda made, rest: made.without(*_ids(rest)),
    "only": lambda made, rest: made.telling(*rest),
    "unread": _unread,
    "spare": lambda made, rest: made.spare(*rest),
    "rogue": _rogue,
    "stranger": _stranger,
    "joining": _joining,
    "late": _late,
    "standalone": _standalone,
    "port": _port,
    "disk": _disk,
    "behind": _behind,
    "set": _set,
    "reverted": _reverted,
    "no-vote": _votes_not,
    "release": _release,
    "ledger": _ledger,
    "data": _history,
    "beside": _beside,
    "alone": _alone,
    "digests": _digests,
    "stopping": _stopping,
    "shut": _shut,
    "room": _room,
    "no-ledger": lambda made, rest: made._with(
        tuple(msgspec.structs.replace(s, identity=found("identity", Outcome.ABSENT)) for s in made.servers)
    ),
    "tls": _tls,
    "history": lambda made, rest: made.having(int(rest[0]), identity=OTHERS),
    "digest": lambda made, rest: made.having(int(rest[0]), hash=Digests({ZXID - 33: int(rest[1])})),
    "no-digests": lambda made, rest: made._with(
        tuple(msgspec.structs.replace(s, hash=found("hash", Outcome.CLOSED)) for s in made.servers)
    ),
}
