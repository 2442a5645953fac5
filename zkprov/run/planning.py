"""Makes a plan from a fresh survey, and says who makes it."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from difflib import get_close_matches
from typing import TYPE_CHECKING

import msgspec

from zkprov import __version__
from zkprov.act.session import close
from zkprov.judge.health import Health, judge
from zkprov.judge.layout import misplaced, unlike_members
from zkprov.judge.leaving import NO_MEMBER, leaver_of, named
from zkprov.judge.newcomers import ledger_of
from zkprov.judge.picture import release_of
from zkprov.judge.verdict import Purpose, Verdict, first_stop
from zkprov.model.config import scan_zoo_cfg
from zkprov.model.facts import Retired, Survey
from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.members import Members
from zkprov.model.problems import BadInput, NotAllowed, NotHealthy
from zkprov.model.server import Role, Server
from zkprov.observe.disk import ZOO_CFG
from zkprov.plan.address import AddressWish, plan_address
from zkprov.plan.membership import Wish, plan_add
from zkprov.plan.removal import RemovalWish, excused, plan_remove
from zkprov.plan.renewal import RenewalWish, plan_renew
from zkprov.plan.replacement import Replacement, plan_replace
from zkprov.plan.role import RoleWish, plan_role
from zkprov.plan.steps import Options, Plan, Refusal
from zkprov.run.endpoints import endpoints_of
from zkprov.run.ledger import EnsembleLedger
from zkprov.run.preflight import preflights
from zkprov.run.world import World

if TYPE_CHECKING:
    from kazoo.client import KazooClient

REST_S = 2.0
"""How long a plan waits for an ensemble that is a moment behind: less than a person's patience, more than a lagging sample."""


def make_plan(world: World, names: Sequence[str], options: Options, made_by: str | None = None) -> Plan | Refusal:
    """Plans to add the named hosts. Raises `BadInput` for names that the inventory does not have, or has twice."""
    hosts = tuple(_host(world.inventory, name) for name in names)
    if len(set(names)) != len(names):
        raise BadInput("the same host twice", place=" ".join(names), remedy="name each host once")
    for host in hosts:
        _resolves(host)
    wish = Wish(
        secrets.token_hex(3), hosts, options, time.time(), who_am_i(made_by), __version__, world.templates_digest()
    )
    health = steady_health(world)
    made = plan_add(health, world.inventory, wish)
    return made if isinstance(made, Refusal) else _preflighted(world, made, health)


def who_leaves(world: World, servers: Sequence[str]) -> tuple[tuple[str, ...], tuple[Retired, ...]]:
    """Of `servers` (names or ids) the members, and those that have left already. Raises `BadInput` for any other, or one named twice."""
    survey = world.survey()
    health = judge(survey, Purpose.LOOK)
    live = health.picture.live
    if live is None:
        raise NotHealthy("no server tells the list of members", place=survey.ensemble, remedy="zkprov status")
    wanted, left = [], []
    for server in servers:
        gone = next((r for r in world.retired if server in (str(r.id), r.host)), None)
        if gone is not None and leaver_of(health.picture, server).part == NO_MEMBER:
            left.append(gone)
        else:
            wanted.append(server)
    names = named(health, wanted)
    stranger = next((n for n in names if leaver_of(health.picture, n).part == NO_MEMBER), None)
    if stranger is not None:
        raise BadInput(f"{stranger} is no member of {live}", place=survey.ensemble, remedy="zkprov status shows who is")
    return tuple(names), tuple(left)


def make_removal(world: World, names: Sequence[str], options: Options, made_by: str | None = None) -> Plan | Refusal:
    """Plans to remove the members that the survey calls `names`."""
    picture = judge(world.last or world.survey(), Purpose.LOOK).picture
    health = steady_health(world, excused([leaver_of(picture, n) for n in names]))
    wish = RemovalWish(
        secrets.token_hex(3),
        tuple(names),
        options,
        time.time(),
        who_am_i(made_by),
        __version__,
        world.templates_digest(),
    )
    return plan_remove(health, world.inventory, wish)


def make_replacement(world: World, old: str, new: str, options: Options, made_by: str | None = None) -> Plan | Refusal:
    """Plans to put the host `new` in the place of the member `old` (a name or an id), in the same role.

    Raises `BadInput` for a host or a member that is none, or for the same one twice.
    """
    host = _host(world.inventory, new)
    survey = world.survey()
    known = judge(survey, Purpose.LOOK)
    members, _ = who_leaves(world, (old,))
    if not members:
        raise BadInput(f"{old} has left already", place=survey.ensemble, remedy=f"zkprov add-node {new}")
    leaver = leaver_of(known.picture, members[0])
    member = known.picture.live.get(leaver.id) if known.picture.live and leaver.id is not None else None
    if leaver.name == host.name or (member is not None and host.is_server(member)):
        what = f"{new} is {old}: a server is not replaced by itself"
        raise BadInput(
            what,
            place=world.inventory.path,
            remedy=f"name another host; one with a new disk: zkprov replace-node {old} --same-host",
        )
    _resolves(host)
    role = Role.OBSERVER if leaver.part == "observer" else Role.PARTICIPANT
    wish = Replacement(
        secrets.token_hex(3),
        (host,),
        msgspec.structs.replace(options, role=role),
        time.time(),
        who_am_i(made_by),
        __version__,
        world.templates_digest(),
        leaver.name,
    )
    health = steady_health(world, frozenset() if leaver.up or leaver.id is None else frozenset({leaver.id}))
    made = plan_replace(health, world.inventory, wish)
    return made if isinstance(made, Refusal) else _preflighted(world, made, health)


def make_renewal(world: World, server: str, options: Options, made_by: str | None = None) -> Plan | Refusal:
    """Plans to bring the member `server` (a name or an id), whose disk is new, back. Raises `BadInput` for one that is no member."""
    members, left = who_leaves(world, (server,))
    if left:
        raise BadInput(f"{server} has left", place=world.inventory.ensemble, remedy=f"zkprov add-node {server}")
    asked = leaver_of(judge(world.last or world.survey(), Purpose.LOOK).picture, members[0])
    wish = RenewalWish(
        secrets.token_hex(3),
        members[0],
        options,
        time.time(),
        who_am_i(made_by),
        __version__,
        world.templates_digest(),
    )
    health = steady_health(world, frozenset() if asked.up or asked.id is None else frozenset({asked.id}))
    made = plan_renew(health, world.inventory, wish)
    if isinstance(made, Refusal):
        return made
    host, meant = members[0], made.restarted[0].server
    files = world.render_member(host, meant, made.base, release_of(health.picture))
    return _ready_for_each_other(world, made, health, [(host, meant, files)], wish.command)


def make_role(world: World, server: str, role: Role, options: Options, made_by: str | None = None) -> Plan | Refusal:
    """Plans that the member `server` (a name or an id) gets this role. Raises `BadInput` for one that is none."""
    members, left = who_leaves(world, (server,))
    if left:
        raise BadInput(
            f"{server} has left", place=world.inventory.ensemble, remedy="zkprov add-node brings in a new one"
        )
    wish = RoleWish(
        secrets.token_hex(3),
        members[0],
        role,
        options,
        time.time(),
        who_am_i(made_by),
        __version__,
        world.templates_digest(),
    )
    return plan_role(steady_health(world), world.inventory, wish)


def make_address(world: World, name: str, options: Options, made_by: str | None = None) -> Plan | Refusal:
    """Plans that the member on the host `name` (or of that id) is known at the place that the inventory has for it now.

    Raises `BadInput` for a host that is none, or whose disk is no member's; `NotHealthy` where that cannot be read.
    """
    by_id = next((h for h in world.inventory.hosts if str(h.id) == name), None)
    host = world.inventory.host(name) or by_id or _host(world.inventory, name)
    _resolves(host)
    survey = world.survey()
    live = judge(survey, Purpose.LOOK).picture.live
    if live is None:
        raise NotHealthy("no server tells the list of members", place=survey.ensemble, remedy="zkprov status")
    server = _on_disk(survey, host, world.inventory.hosts, live)
    world.places[host.name] = server
    wish = AddressWish(
        secrets.token_hex(3),
        host.name,
        Server(server.id, (host.server_address,), server.role, host.client_part),
        options,
        time.time(),
        who_am_i(made_by),
        __version__,
        world.templates_digest(),
    )
    health = steady_health(world)
    made = plan_address(health, world.inventory, wish)
    if isinstance(made, Refusal) or not made.steps:
        return made
    stop = first_stop(preflights(world, health.picture, host.name, live, wish.to))
    if stop is None:
        return made
    evidence, again = tuple(str(e) for e in stop.evidence), (wish.command, "again, when this is mended")
    headline = f"{host.name} and the members are not ready for its new place."
    return Refusal("R8", headline, evidence, (("", stop.remedy), again), exit_code=4)


def _on_disk(survey: Survey, host: InventoryHost, hosts: Sequence[InventoryHost], live: Members) -> Server:
    """The member whose disk lies on the host, by its line in the list: an id alone is no proof that it is the same server."""
    facts = survey.by_name(host.name)
    disk = facts.disk.value if facts is not None else None
    if facts is None or disk is None:
        told = facts.disk.detail if facts is not None else "it was not looked at"
        raise NotHealthy(f"its disk could not be read: {told}", place=host.name, remedy="zkprov status")
    server = live.get(disk.my_id) if disk.my_id is not None else None
    own = disk.acting.members.get(disk.my_id) if disk.acting is not None and disk.my_id is not None else None
    if server is None or own is None or not own.same_place(server):
        what = f"what lies on {host.name} is no member of {live}"
        raise BadInput(what, place=survey.ensemble, remedy="zkprov status shows who is")
    other = next((h.name for h in hosts if h.name != host.name and h.is_server(server)), "")
    if other:
        what = f"the list has {server.id} at {server.place}, and that is {other}"
        raise BadInput(what, place=host.name, remedy="name one host for one server; zkprov status shows who is who")
    if host.id not in (None, server.id):
        what = f"zkprov_id of {host.name} is {host.id}, and the server there is {server.id}"
        raise BadInput(what, place=host.name, remedy="correct zkprov_id")
    return server


def missing(world: World) -> tuple[str, ...]:
    """The hosts of the inventory that are no members, in its order. Raises `NotHealthy` where no list can be read."""
    live = judge(world.survey(), Purpose.LOOK).picture.live
    if live is None:
        place = world.inventory.ensemble
        raise NotHealthy("no server tells the list of members", place=place, remedy="zkprov status; zkprov bootstrap")
    return tuple(h.name for h in world.inventory.hosts if not any(h.is_server(s) for s in live.servers))


def role_of(world: World, names: Sequence[str]) -> Role:
    """What `zkprov_role` of the named hosts says. Raises `BadInput` where it differs: a plan is of one role."""
    roles = {_host(world.inventory, name).role for name in names}
    if len(roles) > 1:
        told = ", ".join(f"{name} is to be {_host(world.inventory, name).role}" for name in names[:20])
        raise BadInput(
            f"hosts of both roles: {told}", place=world.inventory.path, remedy="name them apart, or say --role"
        )
    return next(iter(roles), Role.PARTICIPANT)


def _preflighted(world: World, plan: Plan, health: Health) -> Plan | Refusal:
    """The preflight of every joiner, so that no run is begun which its first step would end; what it did not see stands in the plan."""
    release = release_of(health.picture)
    coming = ((j.host, j.server, world.render(j.host, j.server, plan.base, release)) for j in plan.joiners)
    return _ready_for_each_other(
        world, plan, health, coming, f"zkprov add-node {' '.join(j.host for j in plan.joiners)}"
    )


def _ready_for_each_other(
    world: World, plan: Plan, health: Health, coming: Iterable[tuple[str, Server, Mapping[str, str]]], command: str
) -> Plan | Refusal:
    """`coming`: host, line, and the files that it will have."""
    untold: dict[str, None] = {}
    for host, server, files in coming:
        gates = preflights(world, health.picture, host, plan.base, server)
        gate = first_stop(gates)
        if gate is not None:
            evidence = tuple(str(e) for e in gate.evidence)
            headline = f"{host} and the members are not ready for each other."
            again = (command, "again, when this is mended")
            return Refusal("R8", headline, evidence, (("", gate.remedy), again), exit_code=4)
        untold |= dict.fromkeys(f"{gate.gate}: {e}" for gate in gates for e in (*gate.evidence, *gate.warnings))
        if unlike := unlike_members(health.picture, host, scan_zoo_cfg(files[ZOO_CFG], ZOO_CFG).settings):
            untold[unlike] = None
    untold |= dict.fromkeys(misplaced(health.picture, world.inventory.hosts))
    return msgspec.structs.replace(plan, notes=(*plan.notes, *untold))


def steady_health(
    world: World, silent: Set[int] = frozenset(), releases: Mapping[int, Set[str]] | None = None
) -> Health:
    """Judged for a change: `silent` ones need not answer, and members may run `releases`.

    With the ensemble's clock told by a fresh write where newcomers' ages matter. For who may not write there they are told by the last
    write: nobody is taken for older than he is.
    """
    deadline = time.monotonic() + REST_S
    survey = world.survey()
    known = ledger_of(survey)
    if known is not None and any(not m.seasoned for m in known.members.values()):
        with contextlib.suppress(NotAllowed), _writer(world) as ledger:
            ledger.now_ms()
        survey = world.survey()
    health = judge(survey, Purpose.CHANGE, excused=silent, releases=releases)
    while (
        (gate := first_stop(health.gates))
        and not gate.unsafe
        and gate.verdict is not Verdict.PASS
        and time.monotonic() < deadline
    ):
        time.sleep(0.2)
        health = judge(world.survey(), Purpose.CHANGE, earlier=health.picture.survey, excused=silent, releases=releases)
    return health


@contextlib.contextmanager
def acting(world: World) -> Iterator[KazooClient]:
    endpoints = endpoints_of(world.survey())
    if not endpoints:
        raise NotHealthy("no member of the ensemble could be read", place=world.inventory.path, remedy="zkprov status")
    client = world.connect(endpoints)
    try:
        yield client
    finally:
        close(client)


@contextlib.contextmanager
def _writer(world: World) -> Iterator[EnsembleLedger]:
    with acting(world) as client:
        yield EnsembleLedger(client, world.is_known)


@contextlib.contextmanager
def ledger_writer(inventory: Inventory, timeout_s: float) -> Iterator[EnsembleLedger]:
    """The ledger, for commands that write one entry. Raises `NotHealthy` where no member serves."""
    with World(inventory, timeout_s=timeout_s) as world, _writer(world) as ledger:
        yield ledger


def _host(inventory: Inventory, name: str) -> InventoryHost:
    found = inventory.host(name)
    if found is None:
        near = get_close_matches(name, [h.name for h in inventory.hosts], 1)
        known = ", ".join(h.name for h in inventory.hosts[:20])
        remedy = f"did you mean {near[0]}?" if near else f"the group {inventory.ensemble} has: {known}"
        raise BadInput(f"no host {name!r}", place=inventory.path, remedy=remedy)
    return found


def _resolves(host: InventoryHost) -> None:
    if host.tunnel:
        return  # its name need mean something at its own place only
    try:
        socket.getaddrinfo(host.address, host.client_port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as wrong:
        raise NotHealthy(
            f"{host.address} does not resolve: {wrong}",
            place=host.name,
            remedy="correct zkprov_address, or the name service",
        ) from None


def who_am_i(given: str | None = None) -> str:
    """`--as`, else the CI actor, else `user@host`."""
    if given:
        return given[:200]
    actor = os.environ.get("GITHUB_ACTOR") or os.environ.get("GITLAB_USER_LOGIN")
    with contextlib.suppress(Exception):
        user = actor or getpass.getuser()
        return f"{user}@{socket.gethostname()}"
    return "unknown"
