"""What each server may act under, from what was seen of it: in memory, on disk, `.next`, retired; or that nobody has looked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from zkprov.judge.newcomers import ledger_in
from zkprov.judge.picture import Picture, Standing, client_of, names_us
from zkprov.model.acting import ProofServer, SeenList
from zkprov.model.facts import GONE, Disk, Fact, Ledger, Mode, Retired, ServerFacts
from zkprov.model.members import Members
from zkprov.model.release import Release
from zkprov.model.server import Server, ServerAddress

NO_ID = -1
"""Ids from here downwards stand for servers whose id is unknown: they vote in no list, but what is on their disks was seen."""


def servers_of(picture: Picture) -> tuple[ProofServer, ...]:
    """Every server that the survey or the ledger knows, and the members that neither has seen anything of.

    Left out: strangers (an ensemble of others, whose leader is no second one of ours), hosts on which there is nothing, and
    retired servers attested destroyed or wiped, unless something is seen there after all.
    """
    ledger = ledger_in(picture)
    lowest = min((r for f in picture.members if (r := _release(f))), default=None)
    found = []
    for number, facts in enumerate(picture.survey.servers):
        nothing = facts.disk.value is None and facts.config.value is None and facts.conf.value is None
        standing = picture.standing[facts.name]
        if standing is Standing.STRANGER or (nothing and standing is Standing.DOWN) or _of_others(facts, picture):
            continue
        server_id = picture.member_id(facts) if standing is Standing.MEMBER else facts.id
        found.append(_server(facts, NO_ID - number if server_id is None else server_id, ledger, lowest))
    # What lies set aside can be put back; and a removed server that runs on has its list in memory besides.
    retired = ledger.retired if ledger else ()
    found += [_retired(r, ledger) for r in retired if r.fate not in GONE]
    # attested gone: it acts under no list, whatever list names it still; unless its id is in use again
    here = {s.id for s in found} | (picture.live.ids if picture.live else frozenset())
    found += [
        ProofServer(f"{r.host} (retired {r.id})", r.id, gone=True)
        for r in retired
        if r.fate in GONE and r.id not in here
    ]
    return with_unseen_voters(found, ledger)


def _of_others(facts: ServerFacts, picture: Picture) -> bool:
    """A stopped server whose list names none of ours: as little an ensemble of ours as a stranger that serves."""
    disk = facts.disk.value
    if picture.live is None or disk is None or disk.acting is None or picture.standing[facts.name] is not Standing.DOWN:
        return False
    waiting = disk.next.members if disk.next else None
    return not names_us(disk.acting.members, picture.live) and not names_us(waiting, picture.live)


def servers_on_disks(disks: Sequence[tuple[str, Fact[Disk]]]) -> tuple[ProofServer, ...]:
    """The servers of named folders. One whose files are broken is one that nobody has seen; so is a voter without a folder."""
    found = []
    for number, (name, fact) in enumerate(disks):
        disk = fact.value
        my_id = disk.my_id if disk else None
        lists = tuple(lists_on_disk(name, NO_ID - number if my_id is None else my_id, disk)) if disk else ()
        seen = bool(lists) and my_id is not None
        why = "" if seen else _what_is_wrong(name, fact)
        found.append(
            ProofServer(
                name,
                NO_ID - number if my_id is None else my_id,
                lists,
                may_vote=disk is None or not _barred(disk),
                reconfig_enabled=disk is not None and disk.reconfig_enabled,
                seen=seen,
                fetch=why,
            )
        )
    return with_unseen_voters(found, None)


def with_unseen_voters(servers: Iterable[ProofServer], ledger: Ledger | None) -> tuple[ProofServer, ...]:
    """With a server for each voter of any list that none of `servers` is: nobody has seen its files."""
    found = list(servers)
    # Files without an id may be those of any voter that is missing: whoever brings the id can say which.
    nameless = "; ".join(s.fetch for s in found if s.id <= NO_ID and s.fetch)
    lists = [m for s in found for seen in s.lists for m in (seen.members, seen.next) if m is not None]
    known = {s.id for s in found}
    missing: dict[int, Server] = {s.id: s for m in lists for s in m.servers if s.votes and s.id not in known}
    for server_id, server in sorted(missing.items()):
        client = client_of(server)
        host = str(client or server.address.host)
        confirmed = ledger.members[server_id].confirmed if ledger and server_id in ledger.members else 0
        fetch = nameless or f"zoo.cfg, myid and the dynamic files of server {server_id} ({host})"
        found.append(ProofServer(f"server {server_id}", server_id, seen=False, confirmed=confirmed, fetch=fetch))
    return tuple(found)


def lists_on_disk(name: str, server_id: int, disk: Disk) -> Iterator[SeenList]:
    """What a server may act under by its files; nothing where no list could be read."""
    if disk.acting is None:
        return
    if not disk.acting.members.servers:
        yield SeenList(standing_alone(server_id), f"{disk.acting.source} (no server line: it runs alone)")
        return
    # QuorumPeer.setLastSeenQuorumVerifier: without reconfigEnabled a .next counts for nothing.
    following = disk.next if disk.reconfig_enabled else None
    yield SeenList.of(
        disk.acting.members,
        disk.acting.source,
        following.members if following else None,
        following.source if following else "",
    )


def standing_alone(server_id: int) -> Members:
    """The list of a server that has none: it serves alone, and takes writes (FACTS, "How a second ensemble forms")."""
    return Members.of(Server(server_id, (ServerAddress("localhost", 2888, 3888),)))


def _release(facts: ServerFacts) -> Release | None:
    said = facts.srvr.value.release if facts.srvr.value else (facts.mntr.value or {}).get("zk_version", "")
    return Release.read(said)


def _server(facts: ServerFacts, server_id: int, ledger: Ledger | None, lowest: Release | None) -> ProofServer:
    """`lowest`: the release that a server which tells none may be of."""
    disk = facts.disk.value
    lists = list(lists_on_disk(facts.name, server_id, disk)) if disk else []
    if facts.srvr.value and facts.srvr.value.mode is Mode.STANDALONE and facts.config.value is None:
        lists.append(SeenList(standing_alone(server_id), f"{facts.name}: runs alone"))
    shown = facts.conf.value.members if facts.conf.value else None
    for members, source in ((facts.config.value, "memory"), (shown, "conf")):
        if members is None or not members.servers or any(x.members.same_config(members) for x in lists):
            continue
        # What is on disk as .next is in memory too: it was written from there, or read at the start.
        following = disk.next if disk and disk.reconfig_enabled else None
        lists.append(
            SeenList.of(
                members,
                f"{facts.name}: {source}",
                following.members if following else None,
                following.source if following else "",
            )
        )
    entry = ledger.members.get(server_id) if ledger else None
    same_disk = entry is not None and (not entry.disk or not disk or not disk.disk_id or disk.disk_id == entry.disk)
    release = _release(facts) or lowest
    # An autocreate that is not known to be heeded bars nobody.
    barred = disk is not None and _barred(disk) and not facts.serving and release is not None and release.has_autocreate
    seen = disk is not None and disk.acting is not None
    return ProofServer(
        facts.name,
        server_id,
        tuple(lists),
        may_vote=not barred,
        # Of a server whose files were not seen any list seen is assumed, which covers all that it could take over.
        reconfig_enabled=disk is not None and disk.reconfig_enabled,
        seen=seen,
        confirmed=entry.confirmed if entry and same_disk else 0,
        fetch="" if seen else _what_is_wrong(facts.name, facts.disk),
    )


def _retired(retired: Retired, ledger: Ledger | None) -> ProofServer:
    name = f"{retired.host} (retired {retired.id})"
    entry = ledger.members.get(retired.id) if ledger else None
    if retired.last_list is None:
        where = retired.where or f"{retired.host}: the config that was set aside"
        return ProofServer(name, retired.id, seen=False, confirmed=entry.confirmed if entry else 0, fetch=where)
    source = f"/zkprov/retired/{retired.id}"
    return ProofServer(name, retired.id, (SeenList(retired.last_list, source),), reconfig_enabled=True)


def _barred(disk: Disk) -> bool:
    """The rule's (d): empty, and without the right to vote."""
    return not disk.has_data and not disk.autocreate and not disk.initialize


def _what_is_wrong(name: str, fact: Fact[Disk]) -> str:
    if fact.value is None:
        return f"{name}: {fact.detail or fact.outcome}"
    broken = "; ".join(fact.value.problems)
    if fact.value.my_id is None and "myid" not in broken:
        broken = "; ".join(filter(None, (f"{name}/myid: missing", broken)))
    return broken or f"{name}/zoo.cfg: no list in it"


def replaced(server: ProofServer, lists: Sequence[SeenList]) -> ProofServer:
    return msgspec.structs.replace(server, lists=tuple(lists))
