"""What a host's files would be, beside what they are: for `zkprov render`; nothing is written."""

from __future__ import annotations

import difflib
import secrets

import msgspec

from zkprov.act.render import render_host
from zkprov.judge.health import Health, judge
from zkprov.judge.newcomers import ledger_of
from zkprov.judge.picture import release_of
from zkprov.judge.rendering import Violation, joiner_list, judge_rendered, shown
from zkprov.judge.verdict import Purpose
from zkprov.model.hiding import Seal
from zkprov.model.inventory import InventoryHost
from zkprov.model.members import Members
from zkprov.model.problems import BadInput, NotHealthy
from zkprov.model.release import Release
from zkprov.model.server import Server
from zkprov.plan.entry import free_id, ids_seen
from zkprov.run.world import World


class Rendered(msgspec.Struct, frozen=True):
    """Name → text, secrets hidden; `present`: what is there now, as far as it can be read. `unread`: name → why a file was not.

    `unseen`: why nothing of the host is known.
    """

    files: dict[str, str]
    present: dict[str, str]
    violations: tuple[Violation, ...]
    unread: dict[str, str] = {}
    unseen: str = ""

    def difference(self, name: str) -> str:
        """A unified diff; empty where nothing would change. Raises `NotHealthy` where what lies there was not read."""
        if why := self.unseen or self.unread.get(name, ""):
            raise NotHealthy(f"what lies there was not read: {why}", place=name, remedy="zkprov render without --diff")
        before = self.present.get(name, "").splitlines(keepends=True)
        lines = difflib.unified_diff(
            before, self.files[name].splitlines(keepends=True), f"now/{name}", f"rendered/{name}"
        )
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


class Made(msgspec.Struct, frozen=True):
    """A host's files as they would be, with their secrets: never printed. `member`: its line in the live list."""

    files: dict[str, str]
    member: Server | None
    violations: tuple[Violation, ...]


def host_of(world: World, name: str) -> InventoryHost:
    """Raises `BadInput` for a host that the inventory does not have."""
    host = world.inventory.host(name)
    if host is None:
        known = ", ".join(h.name for h in world.inventory.hosts[:20])
        raise BadInput(f"no host {name!r}", place=world.inventory.path, remedy=f"the inventory has: {known}")
    return host


def live_of(world: World, health: Health) -> Members:
    """Raises `NotHealthy` where no list can be read."""
    if health.picture.live is None:
        raise NotHealthy("no server tells the list of members", place=world.inventory.ensemble, remedy="zkprov status")
    return health.picture.live


def made_for(world: World, health: Health, host: InventoryHost) -> Made:
    """What templates and variables make for `host` now; a member keeps its list (R10). Raises `BadInput` for a broken template."""
    live, picture = live_of(world, health), health.picture
    known_release = Release.parse(
        release_of(picture) or host.release or "", place=f"{world.inventory.path}: zkprov_release"
    )
    member = next((s for s in live.servers if host.is_server(s)), None)
    facts = picture.survey.by_name(host.name)
    disk = facts.disk.value if facts and member else None
    if member is None:
        ident = host.id
        if ident is None:
            seen = ids_seen(picture, host).keys()
            ident = free_id(live, ledger_of(picture.survey), world.inventory, set(), seen)
        server = Server(ident, (host.server_address,), client=host.client_part)
        wish = joiner_list(live, server)
    else:
        server, wish = member, live
    host = world.to_render(host.name)
    files = render_host(host, wish, templates=world.templates, release=known_release, live=disk, server_id=server.id)
    files |= world.passwords_file(host)
    violations = judge_rendered(
        files, wish=wish, server_id=server.id, host=host, release=known_release, live=disk, joiner=member is None
    )
    return Made(files, member, violations)


def rendered(world: World, name: str, *, compared: bool = False) -> Rendered:
    """Renders and judges. `compared`: whether to read what lies there.

    Raises `BadInput` for an unknown host or a broken template, `NotHealthy` where no list can be read.
    """
    host = host_of(world, name)
    made = made_for(world, judge(world.survey(), Purpose.LOOK), host)
    files = {n: shown(n, text) for n, text in made.files.items()}
    if not compared:
        return Rendered(files, {}, made.violations)
    fact = world.installed([host], Seal(secrets.token_bytes(32)))[name]
    if fact.value is None:
        return Rendered(files, {}, made.violations, unseen=fact.detail or str(fact.outcome))
    there = fact.value
    present = {n: shown(n, t) for n, t in there.files.items() if n != "jvm_flags" or not there.flags_of_process}
    return Rendered(files, present, made.violations, there.unread)
