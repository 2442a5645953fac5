"""What an ensemble that zkprov did not make lacks before zkprov can change it: member by member, and which lines of zoo.cfg mend it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator

import msgspec

from zkprov.judge.gates import reverted
from zkprov.judge.health import Health
from zkprov.judge.newcomers import ledger_in
from zkprov.judge.picture import Picture
from zkprov.model.config import HIDDEN, POINTER, RULES, SUPER_DIGEST
from zkprov.model.facts import Disk, Outcome, ServerFacts
from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.members import Members
from zkprov.model.release import Release

WHITELIST = "4lw.commands.whitelist"
WORDS = ("srvr", "mntr", "conf", "cons")
"""The four letter words that a survey asks."""
OPENED = (*WORDS, "isro")
"""What a list that is written anyway opens: what zkprov's own template does."""
ENABLED = "admin.enableServer"
REASONS = {
    "reconfigEnabled": "R12: a static list is not grown",
    "standaloneEnabled": "R1: a server that may run alone can be a second leader",
    "db.autocreate": "R5: an empty server must not vote",
    WHITELIST: "R8: every server is asked itself",
    ENABLED: "R8: what only the AdminServer tells",
    SUPER_DIGEST: "nobody may change the list from here",
}


class Lacking(msgspec.Struct, frozen=True):
    """One member. `settings`: key → value as it will stand in its zoo.cfg, a secret hidden. `why`: what else a restart is to mend."""

    id: int
    host: str
    settings: dict[str, str] = {}
    why: tuple[str, ...] = ()

    @property
    def restart(self) -> bool:
        return bool(self.settings or self.why)


class Missing(msgspec.Struct, frozen=True):
    """What is missing. `right`: why the list could not be changed from here afterwards either; empty where it could.

    `static`: the list has no version yet. `behind`: members that do not serve, or lack on their disk the list that the others have.
    """

    members: tuple[Lacking, ...] = ()
    static: bool = False
    ledger: bool = False
    right: str = ""
    behind: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def restarts(self) -> tuple[Lacking, ...]:
        return tuple(m for m in self.members if m.restart)

    @property
    def writes(self) -> bool:
        return any(m.settings for m in self.members)

    @property
    def lines(self) -> tuple[str, ...]:
        """For people: what, and on whom."""
        found: dict[str, list[str]] = defaultdict(list)
        for member in self.members:
            for key, value in member.settings.items():
                reason = f" ({REASONS[key]})" if key in REASONS else ""
                found[f"{key}={value} in zoo.cfg{reason}"].append(member.host)
            for why in member.why:
                found[why].append(member.host)
        said = [f"{what}: {', '.join(hosts)}" for what, hosts in found.items()]
        return (*said, *(["the ledger (/zkprov)"] if self.ledger else []))


def behind(picture: Picture) -> frozenset[int]:
    """Who is restarted first: who serves nobody, and who has the members of the live list on its disk, and not its version.

    The latter was not restarted with `reconfigEnabled`, or another program has rewritten its zoo.cfg (FACTS, "Static to dynamic").
    """
    live = picture.live
    if live is None:
        return frozenset()
    return frozenset(
        s.id for s in live.servers if (f := picture.member(s.id)) is None or not f.serving or _reverted(f, live)
    )


def _reverted(facts: ServerFacts, live: Members) -> bool:
    disk = facts.disk.value
    return (
        disk is not None and disk.acting is not None and reverted(disk, live) and disk.acting.members.same_servers(live)
    )


def digests(picture: Picture) -> dict[int, str]:
    """Id → a digest of what stands in the member's zoo.cfg, but for comments and secrets; none for one that was not read."""
    found = {}
    for facts in picture.members:
        if (disk := facts.disk.value) is not None:
            static = disk.acting.members.canonical if disk.acting and POINTER not in disk.settings else None
            said = msgspec.json.encode((sorted(disk.settings.items()), str(static and static.servers)))
            found[picture.member_id(facts)] = hashlib.sha256(said).hexdigest()[:16]
    return found


def missing(health: Health, inventory: Inventory, *, no_right: str = "", with_password: bool = False) -> Missing:
    """`no_right`: what ZooKeeper says to a change of the list by us now; `with_password`: whether a super user's password is known here."""
    picture, live = health.picture, health.picture.live
    if live is None:
        return Missing()
    late, static = behind(picture), not live.version
    members, notes = [], list[str]()
    right = "" if with_password else no_right
    disks = {f.name: d for f in picture.members if (d := f.disk.value) is not None}
    # in force nowhere yet, where the flag that was written with it is not either
    known = all(SUPER_DIGEST in d.settings and not (static and d.reconfig_enabled) for d in disks.values())
    if no_right and with_password and known:
        right = f"the password that is given is not that of the {SUPER_DIGEST} in zoo.cfg of {', '.join(disks)}"
    for server in live.servers:
        facts = picture.member(server.id)
        host = inventory.host(facts.name) if facts is not None else None
        disk = facts.disk.value if facts is not None else None
        if facts is None or disk is None or host is None:
            members.append(Lacking(server.id, facts.name if facts is not None else str(server.id)))
            continue
        settings = {**_ruled(disk, _release(facts)), **_words(facts, disk), **_admin(host, disk)}
        if no_right and with_password and SUPER_DIGEST not in disk.settings:
            settings[SUPER_DIGEST] = HIDDEN
        members.append(Lacking(server.id, host.name, settings, tuple(_why(server.id, facts, disk, static, late))))
        notes += _untold(host, facts, disk)
    written = {k for m in members for k in m.settings}
    notes += [
        f"a {key} that is given as -Dzookeeper.{key} counts no more: what zoo.cfg says comes before it"
        for key in (SUPER_DIGEST, WHITELIST)
        if key in written
    ]
    seen = {f.name for f in picture.members}
    if without := [h.name for h in inventory.hosts if h.admin_port is None and h.name in seen]:
        notes.append(f"{', '.join(without)}: no AdminServer is named (zkprov_admin_port: 0); digests are not compared")
    return Missing(tuple(members), static, ledger_in(picture) is None, right, late, tuple(notes))


def _release(facts: ServerFacts) -> Release | None:
    return Release.read(
        facts.srvr.value.release if facts.srvr.value else (facts.mntr.value or {}).get("zk_version", "")
    )


def _ruled(disk: Disk, release: Release | None) -> dict[str, str]:
    """What a rule demands. A release that is not told is taken for one that heeds all of it: to the others it is of no meaning."""
    old = release is not None and not release.has_autocreate
    return {
        key: value
        for key, value in RULES.items()
        if disk.settings.get(key, "").strip().lower() != value and not (key == "db.autocreate" and old)
    }


def _words(facts: ServerFacts, disk: Disk) -> dict[str, str]:
    """The words that are closed, whatever opened the others (a flag of the JVM's counts as long as zoo.cfg says nothing)."""
    given = [w.strip() for w in disk.settings.get(WHITELIST, "").split(",") if w.strip()]
    closed = [w for w in WORDS if getattr(facts, w).outcome is Outcome.CLOSED]
    if not closed or "*" in given or set(closed) <= set(given):
        return {}
    return {WHITELIST: ", ".join((*given, *(w for w in OPENED if w not in given)))}


def _admin(host: InventoryHost, disk: Disk) -> dict[str, str]:
    if host.admin_port is None or disk.settings.get(ENABLED, "true").strip().lower() != "false":
        return {}
    at = {"admin.serverAddress": host.admin_address} if host.admin_address else {}
    return {ENABLED: "true", "admin.serverPort": str(host.admin_port), **at}


def _why(server_id: int, facts: ServerFacts, disk: Disk, static: bool, late: frozenset[int]) -> Iterator[str]:
    if static:
        where = "a file of its own" if POINTER in disk.settings else "zoo.cfg"
        yield f"the list stands in {where}, without a version (R12)"
    elif server_id in late and not facts.serving:
        way_back = "without reconfigEnabled it finds no way back to those that have it"
        yield "serves nobody" + (f": {way_back}; a restart with it is the cure" if not disk.reconfig_enabled else "")
    elif server_id in late:
        yield f"zoo.cfg has no {POINTER}, as the others' has: it was not restarted since, or another program wrote it (R10)"
    given = {w.strip() for w in disk.settings.get(WHITELIST, "").split(",")}
    closed = [w for w in WORDS if w in given and getattr(facts, w).outcome is Outcome.CLOSED]
    if closed:
        yield f"{', '.join(closed)} closed, and open by its zoo.cfg: it was not restarted since"


def _untold(host: InventoryHost, facts: ServerFacts, disk: Disk) -> Iterator[str]:
    """What no line in zoo.cfg mends."""
    on = disk.settings.get(ENABLED, "true").strip().lower() != "false"
    if host.admin_port is not None and on and facts.zabstate.value is None and facts.serving:
        yield f"{host.name}: its AdminServer is not reached ({facts.zabstate}): zkprov_admin_port, zkprov_admin_address"
