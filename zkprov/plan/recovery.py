"""Quorum lost for good: who founds the ensemble anew, and why nobody else can. A decision; nothing is touched.

Refused unless it is certain that the former quorum does not come back: every voter that has no data to give is named by a person, host by
host. The best survivor is the one that ZooKeeper would prefer (epoch, then zxid); one whose list is older than another's is refused, for
the members of the newer list may know more than it does. All other survivors' disks are set aside before it starts: a higher list on one
of them could take it over.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, islice

import msgspec

from zkprov.judge.health import Condition, Health
from zkprov.judge.may_act import lists_on_disk
from zkprov.judge.picture import client_of
from zkprov.judge.verdict import Verdict
from zkprov.model import proof
from zkprov.model.acting import ProofServer, SeenList
from zkprov.model.backup import Reached
from zkprov.model.facts import Disk, Outcome, ServerFacts, Survey
from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.members import Members
from zkprov.model.problems import BadInput
from zkprov.model.quorum import braces
from zkprov.model.recovery import Gone, Recovery, Survivor, utc
from zkprov.model.server import Role, Server
from zkprov.plan.steps import Refusal

STATUS = ("zkprov status", "shows what each server tells")
DEAD, WIPED = "--dead", "--wiped"
TRIED = 5000
"""So many sets of servers that could come back are tried for one that makes a quorum, the smallest first."""


class Attested(msgspec.Struct, frozen=True):
    """What a person says: host or id → why it is known that the server does not come back, or that its disk is empty."""

    dead: Mapping[str, str] = {}
    wiped: Mapping[str, str] = {}


def plan_recovery(
    health: Health, reached: Mapping[str, Reached | str], inventory: Inventory, attested: Attested
) -> Recovery | Refusal | None:
    """What is to be done; None where a quorum serves. `reached`: host → how far its disk reaches, or why that could not be read.

    Raises `BadInput` for an attestation of whom there is none, or of whom the survey says otherwise.
    """
    survey = health.picture.survey
    if (serving := [f for f in survey.servers if f.serving]) and health.picture.live is not None:
        return _serves(health, serving)
    base = newest_list(survey, inventory)
    if base is None:
        told = tuple(f"{f.name}: {f.disk}" for f in survey.servers)
        return Refusal("R8", "no list of members could be read on any disk.", told, (STATUS,), exit_code=4)
    voters = [s for s in base.servers if s.votes]
    hosts = {s.id: next((h for h in inventory.hosts if h.is_server(s)), None) for s in base.servers}
    survivors, without = [], []
    for server in voters:
        host = hosts[server.id]
        facts = survey.by_name(host.name) if host else None
        disk = facts.disk.value if facts else None
        if host is None or disk is None or not disk.has_data:
            without.append(server)
            continue
        if disk.my_id != server.id:
            return _half(server, host, disk)
        far = reached.get(host.name, "how far its disk reaches was not read")
        if isinstance(far, str) or far.damaged:
            return _unread(server, host, far if isinstance(far, str) else far.damaged)
        survivors.append(Survivor(server.id, host.name, _list_of(disk) or base, far))
    if base.quorums.contains_quorum(frozenset(s.id for s in survivors)):
        return _not_lost(base, survivors)
    if base.hierarchical:
        return _groups(base, survivors, without)
    gone = _gone(base, without, hosts, survey, attested)
    if isinstance(gone, Refusal):
        return gone
    if not survivors:
        told = tuple(str(g) for g in gone)
        backup = ("zkprov backup list", 'is there a backup? one is founded anew by hand: docs, incidents, "No quorum"')
        return Refusal("R8", "no voter's disk holds data: there is nothing to found on.", told, (backup,))
    survivors.sort(key=lambda s: s.rank, reverse=True)
    best = survivors[0]
    if (newer := next((s for s in survivors if s.members.version > best.members.version), None)) is not None:
        told = (str(best), str(newer), f"the highest list known is of version {base.version_hex}")
        person = ("", 'a person must say which of the two histories is right: docs, incidents, "No quorum"')
        return Refusal(
            "R8", f"{best.id} reaches furthest, and acts under an older list than {newer.id}.", told, (person,)
        )
    return _made(base, survivors, gone, hosts, inventory, survey)


def newest_list(survey: Survey, inventory: Inventory) -> Members | None:
    """The list of the highest version on a disk of the inventory's hosts, committed or about to be; one that names its own server."""
    found = []
    for host in inventory.hosts:
        facts = survey.by_name(host.name)
        disk = facts.disk.value if facts else None
        members = _list_of(disk) if disk else None
        if disk is not None and members is not None and disk.has_data and disk.my_id in members.ids:
            found.append(members)
    return max(found, key=lambda m: (m.version, len(m.servers)), default=None)


def _list_of(disk: Disk) -> Members | None:
    lists = [x.members for x in (disk.acting, disk.next if disk.reconfig_enabled else None) if x is not None]
    return max((m for m in lists if m.servers), key=lambda m: m.version, default=None)


def _serves(health: Health, serving: list[ServerFacts]) -> Refusal | None:
    if health.condition is Condition.UNSAFE:
        return _unsafe(health)
    if health.spare >= 0:
        return None
    told = tuple(f"{f.name} serves" + (f" as {f.srvr.value.mode}" if f.srvr.value else "") for f in serving[:5])
    headline = "somebody serves: the quorum is not lost for good."
    return Refusal(
        "R8", headline, told, (STATUS, ("zkprov heal --plan", "leads out of a second ensemble")), exit_code=4
    )


def _unsafe(health: Health) -> Refusal:
    """A quorum serves, and not all is well: what is told here is no quorum that was lost."""
    incident = next(iter(health.incidents), None)
    bad = next(g for g in health.gates if g.unsafe and g.verdict is Verdict.FAIL)
    told = tuple(str(e) for e in (incident.evidence if incident else bad.evidence)[:5])
    what = str(incident) if incident else f"{bad.gate}: {bad.summary}"
    headline = f"no quorum is lost, and the ensemble is unsafe: {what}."
    heal = ("zkprov heal --plan", "shows the sides, and leads out of it")
    return Refusal("R1", headline, told, (heal, STATUS))


def _groups(base: Members, survivors: list[Survivor], without: list[Server]) -> Refusal:
    """Of a list with groups: who would have to come back, and else the way by hand."""
    left = frozenset(s.id for s in survivors)
    told = [f"has its disk: {s}" for s in sorted(survivors, key=lambda s: s.rank, reverse=True)]
    told.append(f"{braces(left)} are no quorum: {base.quorums.describe()}")
    sizes = range(1, len(without) + 1)
    some = (frozenset(s.id for s in back) for n in sizes for back in combinations(without, n))
    fewest = next((ids for ids in islice(some, TRIED) if base.quorums.contains_quorum(left | ids)), None)
    ways = [
        (
            "",
            'docs: recover, "A list with groups": a list without groups is founded by hand on the one that reaches furthest',
        )
    ]
    if fewest:
        what = f"bring {braces(fewest)} back with the disks that they had, if that can be: with them there is a quorum, and nothing is lost"
        ways.insert(0, ("", what))
    return Refusal("R12", "a list with groups is not founded anew by zkprov.", tuple(told), tuple(ways))


def _not_lost(base: Members, survivors: list[Survivor]) -> Refusal:
    names = ", ".join(s.host for s in survivors)
    headline = (
        f"the quorum is not lost: {braces({s.id for s in survivors})} have their disks, and are a quorum of {base}."
    )
    start = ("", f"start the servers on {names}; they elect a leader, and nothing is lost")
    return Refusal("R8", headline, tuple(str(s) for s in survivors), (start, STATUS), exit_code=4)


def _half(server: Server, host: InventoryHost, disk: Disk) -> Refusal:
    headline = f"{host.name} holds data, and not as server {server.id}: half a disk, or another server's."
    told = (f"its myid is {disk.my_id}" if disk.my_id is not None else "it has no myid", *disk.problems)
    aside = (
        "",
        f"a person must say what it is: put its files back, or move {host.data_dir} and {host.data_log_dir} aside",
    )
    return Refusal("R8", headline, told, (aside, STATUS), exit_code=4)


def _unread(server: Server, host: InventoryHost, why: str) -> Refusal:
    headline = f"how far the disk of {server.id} ({host.name}) reaches cannot be told."
    look = ("", f"make {host.data_dir} on {host.name} readable; what is damaged there, a person must look at first")
    return Refusal("R8", headline, (why,), (look,), exit_code=4)


def _gone(
    base: Members,
    without: list[Server],
    hosts: Mapping[int, InventoryHost | None],
    survey: Survey,
    attested: Attested,
) -> list[Gone] | Refusal:
    """Each voter without data, by a person's word for it; refused where one is not named, and by the word that fits."""
    used: set[str] = set()
    found, missing = [], []
    for server in without:
        host = hosts[server.id]
        name = host.name if host else str(client_of(server) or server.address.host)
        facts = survey.by_name(name) or next((f for f in survey.servers if f.id == server.id), None)
        empty = facts is not None and (
            facts.disk.outcome is Outcome.ABSENT or (facts.disk.value is not None and not facts.disk.value.has_data)
        )
        keys = (name, str(server.id))
        said = {flag: next((k for k in keys if k in words), None) for flag, words in _words(attested).items()}
        used |= {k for k in said.values() if k is not None}
        right, wrong = (WIPED, DEAD) if empty else (DEAD, WIPED)
        if said[wrong] is not None:
            seen = "its host answers, and its disk is empty" if empty else "its disk was not seen to be empty"
            seen += "" if empty or facts is None else f" ({facts.disk})"
            raise BadInput(f"{seen}", place=f"{wrong} {said[wrong]}", remedy=f"{right} {name}=WHY, if that is so")
        if (key := said[right]) is None:
            missing.append((server, name, right, facts))
            continue
        why = _words(attested)[right][key].strip()
        if not why:
            raise BadInput("no reason", place=f"{right} {key}", remedy=f"{right} {key}=WHY: how it is known")
        found.append(Gone(server, name, "wiped" if empty else "destroyed", why))
    if unknown := sorted({*attested.dead, *attested.wiped} - used):
        what = f"{unknown[0]} is no voter of {base} without data"
        raise BadInput(what, place=f"{DEAD}, {WIPED}", remedy="zkprov status shows who is who")
    if not missing:
        return found
    told = [f"{s.id} ({name}): " + _seen(flag, facts) for s, name, flag, facts in missing]
    words = " ".join(
        [f"{DEAD if g.fate == 'destroyed' else WIPED} {g.host}=…" for g in found]
        + [f"{f} {n}=WHY" for _, n, f, _ in missing]
    )
    again = (f"zkprov recover {words}", "host by host: why it is certain that none of them comes back with its data")
    headline = "whether the others stay away is not told; with their disks they are the quorum."
    return Refusal("R1", headline, tuple(told), (again,))


def _words(attested: Attested) -> dict[str, Mapping[str, str]]:
    return {DEAD: attested.dead, WIPED: attested.wiped}


def _seen(flag: str, facts: ServerFacts | None) -> str:
    if flag == WIPED:
        return "its host answers, and its disk is empty: wiped, or not mounted"
    if facts is None:
        return "no host of the inventory, and not seen"
    return f"its disk was not read ({facts.disk})"


def _made(
    base: Members,
    survivors: list[Survivor],
    gone: list[Gone],
    hosts: Mapping[int, InventoryHost | None],
    inventory: Inventory,
    survey: Survey,
) -> Recovery | Refusal:
    best = survivors[0]
    line = base.get(best.id)
    host = hosts[best.id]
    if line is None or host is None:
        raise AssertionError(best)
    founder = msgspec.structs.replace(line, role=Role.PARTICIPANT)
    proved = proof.prove(after(founder, survivors, gone, survey))
    if not proved.safe:
        told = tuple(proved.witness.lines()) if proved.witness else (proved.reason,)
        return Refusal(
            "R1", "somebody else could elect a leader besides the new founder.", told, (("zkprov prove", ""),)
        )
    # voters first: an observer adds nothing that a failure would be survived by
    here = [h for h in inventory.hosts if any(h.is_server(s) for s in base.servers) and h.name != best.host]
    present = {h.name for h in here if (f := survey.by_name(h.name)) and f.disk.outcome in (Outcome.OK, Outcome.ABSENT)}
    dead = {g.host for g in gone if g.fate == "destroyed"}
    others = [h.name for h in sorted(here, key=lambda h: h.role is Role.OBSERVER) if h.name in present - dead]
    held = [n for n in others if (f := survey.by_name(n)) and f.disk.outcome is Outcome.OK]
    last = max((s.reached.last_ms for s in survivors), default=0)
    behind = [s for s in survivors[1:] if s.rank[:2] < best.rank[:2]]
    notes = [
        f"what was acknowledged after {best.reached.zxid:#x} by {braces({g.server.id for g in gone})} alone is lost"
        + (f"; the last write that is left is of {utc(last)}" if last else ""),
        *(f"{s.id} ends at {s.reached.zxid:#x}, before the founder; its disk is set aside, not merged" for s in behind),
    ]
    return Recovery(
        ensemble=inventory.ensemble,
        base=base,
        founder=founder,
        host=best.host,
        survivors=tuple(survivors),
        gone=tuple(gone),
        hosts=(best.host, *held),
        others=tuple(others),
        proof=f"one quorum is proved for {proved.servers} servers and {proved.lists} lists",
        notes=tuple(notes),
    )


def after(founder: Server, survivors: list[Survivor], gone: list[Gone], survey: Survey) -> tuple[ProofServer, ...]:
    """Who may act under what once the founder starts: it under itself alone; what is set aside could be put back."""
    # higher than all that is known: ZooKeeper gives a list of version 0 the zxid of the new epoch (ZOOKEEPER-1783)
    highest = max((s.members.version for s in survivors), default=0) + 1
    alone = Members.of(founder).at_version(highest)
    servers = [
        ProofServer(
            f"{founder.id}, the founder", founder.id, (SeenList(alone, "the founding list"),), reconfig_enabled=True
        )
    ]
    for survivor in survivors:
        if survivor.id == founder.id:
            continue
        facts = survey.by_name(survivor.host)
        disk = facts.disk.value if facts else None
        lists = tuple(lists_on_disk(survivor.host, survivor.id, disk)) if disk else ()
        own = lists or (SeenList(survivor.members, survivor.host),)
        servers.append(ProofServer(f"{survivor.host} (set aside)", survivor.id, own, reconfig_enabled=True))
    servers += [ProofServer(f"{g.host} ({g.fate})", g.server.id, gone=True) for g in gone]
    return tuple(servers)
