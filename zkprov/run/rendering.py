"""What a host's files would be, beside what they are: for `zkprov render`; nothing is written."""

from __future__ import annotations

import difflib
from pathlib import Path

import msgspec

from zkprov.act.render import render_host
from zkprov.judge.health import judge
from zkprov.judge.newcomers import ledger_of
from zkprov.judge.picture import release_of
from zkprov.judge.rendering import Violation, joiner_list, judge_rendered, shown
from zkprov.judge.verdict import Purpose
from zkprov.model.problems import BadInput, NotHealthy
from zkprov.model.release import Release
from zkprov.model.server import Server
from zkprov.plan.entry import free_id, ids_seen
from zkprov.run.world import World


class Rendered(msgspec.Struct, frozen=True):
    """Name → text, secrets hidden; `present`: what is there now, as far as it can be read."""

    files: dict[str, str]
    present: dict[str, str]
    violations: tuple[Violation, ...]
    unread: str = ""

    def difference(self, name: str) -> str:
        """A unified diff; empty where nothing would change. Raises `BadInput` where what lies there was not read."""
        if self.unread:
            raise BadInput(self.unread, place="--diff", remedy="zkprov render HOST, without --diff")
        before = self.present.get(name, "").splitlines(keepends=True)
        lines = difflib.unified_diff(
            before, self.files[name].splitlines(keepends=True), f"now/{name}", f"rendered/{name}"
        )
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def rendered(world: World, name: str) -> Rendered:
    """Renders and judges. Raises `BadInput` for an unknown host or a broken template, `NotHealthy` where no list can be read."""
    host = world.inventory.host(name)
    if host is None:
        known = ", ".join(h.name for h in world.inventory.hosts[:20])
        raise BadInput(f"no host {name!r}", place=world.inventory.path, remedy=f"the inventory has: {known}")
    health = judge(world.survey(), Purpose.LOOK)
    live = health.picture.live
    if live is None:
        raise NotHealthy("no server tells the list of members", place=world.inventory.ensemble, remedy="zkprov status")
    release = release_of(health.picture) or host.release or ""
    known_release = Release.parse(release, place=f"{world.inventory.path}: zkprov_release")
    member = next((s for s in live.servers if host.is_server(s)), None)
    facts = health.picture.survey.by_name(name)
    disk = facts.disk.value if facts and member else None
    if member is None:
        ident = (
            host.id
            if host.id is not None
            else free_id(
                live,
                ledger_of(health.picture.survey),
                world.inventory,
                set(),
                ids_seen(health.picture, host).keys(),
            )
        )
        server = Server(ident, (host.server_address,), client=host.client_part)
        wish = joiner_list(live, server)
    else:
        server, wish = member, live
    host = world.to_render(name)
    files = render_host(host, wish, templates=world.templates, release=known_release, live=disk, server_id=server.id)
    violations = judge_rendered(
        files, wish=wish, server_id=server.id, host=host, release=known_release, live=disk, joiner=member is None
    )
    places = {n: Path(host.data_dir if n == "myid" else host.config_dir) / n for n in files}
    present = {
        n: shown(n, text) for n, place in places.items() if host.connection == "local" and (text := _read(place))
    }
    unread = (
        "" if host.connection == "local" else f"what lies on {name} is not read over {host.connection} for a difference"
    )
    return Rendered({n: shown(n, text) for n, text in files.items()}, present, violations, unread)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace") if path.stat().st_size < 1_000_000 else ""
    except OSError:
        return ""
