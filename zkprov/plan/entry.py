"""Who may come in: a new server starts empty, under an id that no other disk ever voted with (R5), and belongs to nobody else (R6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence, Set

import msgspec

from zkprov.judge.health import Health
from zkprov.judge.newcomers import ledger_in
from zkprov.judge.picture import Picture, Standing, leads
from zkprov.model.facts import GONE, Disk, Fact, Ledger, Outcome, Retired, ServerFacts
from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.members import Members
from zkprov.model.problems import BadInput
from zkprov.model.server import Role, Server
from zkprov.plan.steps import Joiner, Refusal

HIGHEST_ID = 255


def joiner_of(
    host: InventoryHost, health: Health, inventory: Inventory, before: Sequence[Joiner], role: Role
) -> Joiner | Refusal:
    """The host as a joiner, with the line that it will have in the end. `before`: those that come in before it, by the same plan."""
    live, ledger = health.picture.live or Members(()), ledger_in(health.picture)
    member = next((s for s in live.servers if host.is_server(s)), None)
    if member is not None:
        headline = f"{host.name} is a member already: server {member.id}."
        return Refusal("", headline, (member.line,), (("zkprov status", "shows the members"),), exit_code=2)
    taken = {j.server.id for j in before}
    try:
        seen = ids_seen(health.picture, host)
        server_id = host.id if host.id is not None else free_id(live, ledger, inventory, taken, seen.keys())
    except BadInput as none_free:
        told = f"in {none_free.place}, the list, the ledger and on disks, of members or of servers that left"
        return Refusal("R5", f"{none_free.problem}.", (told,), (("", none_free.remedy),))
    refusal = (
        _id_is_free(host, server_id, live, ledger, taken)
        or comes_in_empty(host, health.picture.survey.by_name(host.name), health)
        or of_another_release(host, health)
    )
    if refusal:
        return refusal
    server = Server(server_id, (host.server_address,), role, host.client_part)
    return Joiner(host.name, server)


def free_id(
    live: Members, ledger: Ledger | None, inventory: Inventory, taken: set[int], seen: Set[int] = frozenset()
) -> int:
    """The lowest id that nobody has, had, or is to have; none of `seen` (`ids_seen`). Raises `BadInput` when none is left."""
    used = set(live.ids) | taken | seen | {h.id for h in inventory.hosts if h.id is not None}
    if ledger:
        used |= {r.id for r in ledger.retired} | set(ledger.members)
    found = next((i for i in range(1, HIGHEST_ID + 1) if i not in used), None)
    if found is None:
        remedy = "attest that the disks of retired servers are wiped, and give the host one of their ids: zkprov retired list"
        raise BadInput(f"no id from 1 to {HIGHEST_ID} is free", place=inventory.path, remedy=remedy)
    return found


def of_another_release(host: InventoryHost, health: Health) -> Refusal | None:
    """Before anything is laid on it: the gate `release` would stop it only once it runs, as what its release lets it be."""
    running = sorted({f.srvr.value.release for f in health.picture.members if f.srvr.value})
    if not host.release or not running or host.release in running:
        return None
    headline = f"{host.name} would run {host.release}, the members run {' and '.join(running)}."
    remedy = ("", f"set zkprov_release of {host.name} to {running[-1]}; an upgrade is a change of its own")
    return Refusal("R8", headline, ("zkprov_release of the inventory, and `srvr` of the members",), (remedy,))


def _id_is_free(
    host: InventoryHost, server_id: int, live: Members, ledger: Ledger | None, taken: set[int]
) -> Refusal | None:
    another = ("", "give the host a zkprov_id that was never used, or none")
    if server_id in live.ids or server_id in taken:
        other = live.get(server_id)
        what = f"server {server_id} is {other.address}" if other else "two of the hosts named have it"
        return Refusal("R5", f"id {server_id} of {host.name} is taken.", (what,), (another,))
    retired = next((r for r in ledger.retired if r.id == server_id), None) if ledger else None
    attested = retired is not None and retired.fate in GONE
    if attested or not ledger or (retired is None and server_id not in ledger.members):
        return None
    told = _retired(retired) if retired else f"/zkprov/members/{server_id} knows it as a voter, and no list has it"
    attest = (f"zkprov retired attest {server_id} --wiped --reason …", "once its disk is wiped")
    headline = f"id {server_id} was a voter before, and the disk that it voted with may still hold a list."
    return Refusal("R5", headline, (told,), (attest, another) if retired else (another,))


class Sighting(msgspec.Struct, frozen=True):
    """Where an id was seen: on which host, and in what. `own`: the server there carries it; else a list there has it as a voter."""

    host: str
    what: str
    own: bool

    def __str__(self) -> str:
        return f"{self.host}: {self.what}"


def ids_seen(picture: Picture, joiner: InventoryHost) -> dict[int, list[Sighting]]:
    """The ids that other servers than `joiner` carry, or that a list seen there has as voters: their disks may still vote.

    A server of another ensemble counts for nothing while it serves and shows that it is one.
    """
    found: dict[int, list[Sighting]] = defaultdict(list)
    for facts in picture.survey.servers:
        here = facts.name == joiner.name or facts.client == joiner.client
        if here or picture.standing[facts.name] is Standing.STRANGER:
            continue
        on_disk = facts.disk.value.my_id if facts.disk.value else None
        said = msgspec.structs.replace(facts, expected_id=None, disk=Fact("disk")).id
        if on_disk is not None:
            found[on_disk].append(Sighting(facts.name, f"its myid is {on_disk}", own=True))
        if said is not None and said != on_disk:
            found[said].append(Sighting(facts.name, f"says that it is {said}", own=True))
        for source, members in _lists(facts):
            for voter in sorted(members.voters):
                found[voter].append(Sighting(facts.name, f"{source} names {voter} as a voter: {members}", own=False))
    return dict(found)


def _lists(facts: ServerFacts) -> Iterator[tuple[str, Members]]:
    disk = facts.disk.value
    yield from ((x.source, x.members) for x in (disk.acting, disk.next) if x is not None) if disk else ()
    if facts.config.value is not None:
        yield "its list in memory", facts.config.value
    elif facts.conf.value is not None and facts.conf.value.members is not None:
        yield "its list by conf", facts.conf.value.members


def id_is_new(joiner: Joiner, health: Health, inventory: Inventory) -> Refusal | None:
    """R5 for an id that the inventory gives: a disk or a list seen elsewhere has it. `free_id` passes such ids over by itself.

    A list is no obstacle to the id of a server that a person attested wiped or destroyed; its disk is, when it is seen all the same.
    """
    host, server_id = inventory.host(joiner.host), joiner.server.id
    ledger = ledger_in(health.picture)
    attested = ledger is not None and any(r.id == server_id and r.fate in GONE for r in ledger.retired)
    seen = ids_seen(health.picture, host).get(server_id, []) if host else []
    seen = [s for s in seen if s.own or not attested]
    if not seen:
        return None
    headline = f"id {server_id} of {joiner.host} belongs to another disk, or did, and that disk may still vote."
    told = [*map(str, seen[:3]), *([f"and {len(seen) - 3} more"] if len(seen) > 3 else [])]
    another = ("", f"give {joiner.host} a zkprov_id that was never used, or none")
    return Refusal("R5", headline, tuple(told), (another, *_aside(seen, joiner.host, health.picture, inventory)))


def _aside(seen: Sequence[Sighting], joiner: str, picture: Picture, inventory: Inventory) -> Iterator[tuple[str, str]]:
    """How to do away with what was seen: no way where a member or a server that runs shows it."""
    names = sorted({s.host for s in seen})
    if any(picture.standing[name] is not Standing.DOWN for name in names):
        yield "zkprov status", "shows who they are"
        return
    hosts = [(name, inventory.host(name)) for name in names]
    places = [f"{h.data_dir} and {h.config_dir} on {name}" if h else f"its files on {name}" for name, h in hosts]
    yield f"zkprov add-node {joiner}", f"again, once these are moved aside: {', '.join(places)}"


def _retired(retired: Retired) -> str:
    return f"{retired.id} retired on {retired.host}, {retired.fate}" + (f": {retired.where}" if retired.where else "")


def comes_in_empty(host: InventoryHost, facts: ServerFacts | None, health: Health) -> Refusal | None:
    aside = ("", f"stop it and move {host.data_dir} and {host.config_dir} aside on {host.name}, then try again")
    if facts is None:
        look = ("zkprov status", "shows which servers are asked")
        return Refusal("R5", f"{host.name} was not looked at.", ("no survey holds it",), (look,), exit_code=4)
    if facts.up:
        return _runs(host, facts, health, aside)
    if facts.srvr.outcome is not Outcome.REFUSED:
        headline = f"what is at the client port of {host.name} cannot be told."
        remedy = ("", f"free port {host.client_port} of {host.address}, or give the host another zkprov_client_port")
        return Refusal("R5", headline, (f"{facts.client}: {facts.srvr}",), (remedy,), exit_code=4)
    disk = facts.disk.value
    if disk is not None:
        found, unclear = _on(disk, host), [p for p in disk.problems if not p.endswith("zoo.cfg: missing")]
        unclear += ["whether a server runs on its files cannot be told"] if disk.active is None else []
        if found:
            return Refusal("R5", f"{host.name} does not come in empty.", tuple(found), (aside,))
        if unclear:
            headline = f"whether {host.name} comes in empty cannot be told."
            return Refusal("R5", headline, tuple(unclear), (aside,), exit_code=4)
    elif facts.disk.outcome is Outcome.ANOTHERS:
        headline = f"{host.name} is no bare host."
        ours = ("", "it is the one that is meant: correct zkprov_config_dir, zkprov_data_dir and the ports")
        others = ("", "it is another ensemble's: name its zoo.cfg in zkprov_other_servers, a list")
        return Refusal("R5", headline, (str(facts.disk),), (ours, others))
    elif facts.disk.outcome is not Outcome.ABSENT:
        remedy = ("", f"make {host.data_dir} and {host.config_dir} readable, then try again")
        headline = f"the disk of {host.name} cannot be read."
        return Refusal("R5", headline, (str(facts.disk),), (remedy,), exit_code=4)
    return None


def _runs(host: InventoryHost, facts: ServerFacts, health: Health, aside: tuple[str, str]) -> Refusal:
    """A server runs there: another ensemble's (R6), or one that nobody planned (R5)."""
    picture, own = health.picture, facts.config.value
    mode = facts.srvr.value.mode if facts.srvr.value else facts.srvr.outcome
    answers = f"{facts.client} answers: {mode}"
    why = (f"{host.name} {picture.why[facts.name]}",) if picture.why.get(facts.name) else ()
    if leads(facts):
        under = f"leads under {own} of version {own.version_hex}" if own else "leads, or serves alone, without a list"
        told = (answers, f"{host.name} {under}", *why)
        return Refusal("R6", f"{host.name} is the leader of an ensemble of its own.", told, (aside,))
    if facts.serving and picture.standing[facts.name] is not Standing.JOINER:
        leader = f"{host.name} follows {facts.leader.value.leader_id}" if facts.leader.value else ""
        told = tuple(filter(None, (answers, leader, *why)))
        return Refusal("R6", f"{host.name} follows another leader.", told, (aside,))
    return Refusal("R5", f"a server runs on {host.name} already.", (answers, *why), (aside,))


def _on(disk: Disk, host: InventoryHost) -> list[str]:
    """What a joiner must not bring along."""
    lists = [x for x in (disk.acting, disk.next) if x is not None and x.members.servers]
    told = [
        "a server runs on its files" if disk.active else "",
        f"{host.data_dir}/version-2 holds data" if disk.has_data else "",
        "an `initialize` file would let it vote while empty" if disk.initialize else "",
        *(f"{x.source} holds the list {x.members}" for x in lists),
    ]
    return [t for t in told if t]
