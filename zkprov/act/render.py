"""Renders the files of one host from Jinja2 templates: ours, with the operator's laid over them by name.

What comes out is only text: `zkprov.judge.rendering.judge_rendered` parses and judges it before it goes anywhere.

A new server's list is written as `zoo.cfg.dynamic`, whose name says no version: ZooKeeper takes that as version 0. So it is older than
every list that the ensemble committed (those are zxids, > 0), and the joiner adopts the live one from the first member that it hears
(`FastLeaderElection`: a LOOKING server takes over a strictly higher version). A name with the live version would give one version two
contents, and the joiner would keep its own; a higher one would spread the joiner's list to every member that is LOOKING, and the
leader would refuse it ("Follower is ahead of the leader", `LearnerHandler`).
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zkprov.model.config import RULES, print_members, ruled
from zkprov.model.facts import Disk
from zkprov.model.inventory import InventoryHost
from zkprov.model.members import Members
from zkprov.model.posture import Posture
from zkprov.model.problems import BadInput
from zkprov.model.properties import entry
from zkprov.model.release import Release
from zkprov.model.server import Server
from zkprov.shipped import shipped

if TYPE_CHECKING:
    from jinja2 import Environment

ZOO_CFG = "zoo.cfg"
DYNAMIC = "zoo.cfg.dynamic"
NAMES = (ZOO_CFG, DYNAMIC, "myid", "jvm_flags", "logback.xml")
"""The files that may be rendered; each has a template `<name>.j2`."""
OURS = "zkprov"
"""`{% extends "zkprov/zoo.cfg.j2" %}` names our template where the operator's has the same name."""

DEFAULTS = {
    "tickTime": "2000",
    "initLimit": "10",
    "syncLimit": "5",
    "4lw.commands.whitelist": "srvr, mntr, conf, cons, isro",
    "autopurge.snapRetainCount": "3",
    "autopurge.purgeInterval": "1",
}
"""Settings that the inventory's `zkprov_settings` may replace. Without the whitelist a survey sees `srvr` only."""


def render_host(
    host: InventoryHost,
    members: Members,
    *,
    templates: Path | None = None,
    release: Release,
    live: Disk | None = None,
    server_id: int | None = None,
) -> dict[str, str]:
    """File name → text for `host`.

    `members`: the list that the server starts with, for a new server (`live` None, or a disk without a list): for a joiner the live list
    and itself as observer. A server that has a list on its disk (`live`) keeps it: its `dynamicConfigFile` line stands in the new zoo.cfg
    and no list is rendered; a static one keeps its server lines, and its own `reconfigEnabled` and `standaloneEnabled` (R10, R12).
    `server_id`: where the inventory gives none.

    Raises BadInput for a template that cannot be rendered (place: template:line), for inventory values with line breaks, and for
    settings that a rule or another variable decides.
    """
    server = _own(host, members, server_id)
    _check(host)
    listed = live is not None and live.acting is not None and bool(live.acting.members.servers)
    variables = _variables(host, members, release, server, live if listed else None)
    environment = _environment(templates)
    names = [n for n in NAMES if not (n == DYNAMIC and listed)]
    return {name: _render(environment, f"{name}.j2", variables) for name in names}


def templates_digest(templates: Path | None) -> str:
    """A digest of every template that could be used: it changes when any of them does. Hex."""
    digest = hashlib.sha256()
    for folder in (shipped("templates"), templates):
        for path in sorted(folder.rglob("*")) if folder is not None else ():
            if path.is_file():
                content = path.read_bytes()
                digest.update(f"{path.relative_to(folder or path)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _own(host: InventoryHost, members: Members, server_id: int | None) -> Server:
    wanted = server_id if server_id is not None else host.id
    own = members.get(wanted) if wanted is not None else next((s for s in members.servers if host.is_server(s)), None)
    if own is None:
        raise BadInput(
            f"server {wanted if wanted is not None else '?'} is not in the list {members} that it would start with",
            place=host.name,
            remedy="A server whose id is not in its own list does not start.",
        )
    return own


def _check(host: InventoryHost) -> None:
    """No value may bring a line of its own into a file, and no setting may say what is not its to say."""
    texts: dict[str, str] = {
        f: str(getattr(host, f) or "") for f in host.__struct_fields__ if f not in ("settings", "jvm_flags")
    }
    texts |= {f"jvm_flags[{n}]": flag for n, flag in enumerate(host.jvm_flags)}
    for name, value in texts.items():
        if any(ord(c) < 32 or ord(c) == 127 or c in "\u0085\u2028\u2029" for c in value):
            raise BadInput(
                f"zkprov_{name} holds a line break or a control character",
                place=host.name,
                remedy="Write it in one line.",
            )
    for key, value in host.settings.items():
        try:
            entry(key, value)
        except ValueError as wrong:
            raise BadInput(f"zkprov_settings: {wrong}", place=host.name, remedy="Write it in one line.") from None
        if why := ruled(key, value):
            raise BadInput(f"zkprov_settings: {key} cannot be set ({why})", place=host.name, remedy="Take it out.")


def _variables(
    host: InventoryHost, members: Members, release: Release, server: Server, live: Disk | None
) -> dict[str, Any]:
    rules = {k: v for k, v in RULES.items() if k != "db.autocreate"}
    static: list[str] = []
    pointer: str | None = f"{host.config_dir}/{DYNAMIC}"
    client = {} if server.client or host.posture is Posture.TLS_ONLY else {"clientPort": str(host.client_port)}
    if live is not None and live.acting is not None:
        pointer = live.settings.get("dynamicConfigFile")
        own = live.acting.members.get(server.id) or server
        client = {} if own.client else {k: live.settings[k] for k in ("clientPort",) if k in live.settings}
        if pointer is None:
            static = print_members(live.acting.members, False).splitlines()
            rules = {k: live.settings[k] for k in rules if k in live.settings}
    if release.has_autocreate:
        rules["db.autocreate"] = RULES["db.autocreate"]
    if client and host.client_host:
        client["clientPortAddress"] = host.client_host
    return {
        "host": host,
        "server": server,
        "members": members,
        "release": release,
        "rules": rules,
        "settings": DEFAULTS | host.posture_settings | {k: v for k, v in host.settings.items() if k not in RULES},
        "client_settings": client,
        "dynamic_config_file": pointer,
        "static_list": static,
        "list": print_members(members, False).splitlines(),
        "setting": _setting,
    }


def _setting(key: str, value: object) -> str:
    return entry(key, str(value))


@lru_cache(maxsize=8)
def _environment(templates: Path | None) -> Environment:
    from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, PrefixLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if templates is not None and not templates.is_dir():
        raise BadInput(
            "no such folder of templates", place=str(templates), remedy="Give --templates an existing folder."
        )
    ours = FileSystemLoader(shipped("templates"))
    loaders: list[BaseLoader] = [ours, PrefixLoader({OURS: ours})]
    if templates is not None:
        loaders.insert(0, FileSystemLoader(templates))
    return ImmutableSandboxedEnvironment(
        loader=ChoiceLoader(loaders),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # no HTML: `setting` escapes what Java needs, and the judge reads what came out
    )


def _render(environment: Environment, name: str, variables: Mapping[str, Any]) -> str:
    from jinja2 import TemplateSyntaxError

    try:
        return environment.get_template(name).render(variables)
    except TemplateSyntaxError as error:
        place = f"{error.filename or error.name or name}:{error.lineno}"
        raise BadInput(f"template: {error.message}", place=place, remedy="Correct the template.") from None
    except RecursionError:
        raise BadInput(
            "template: includes or extends itself without end", place=name, remedy=f"Ours is {OURS}/{name}."
        ) from None
    except Exception as error:
        # A template is a program of the operator's: whatever it throws is bad input.
        # The frames of a template carry its own file name and line; the last of them is where it went wrong.
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.endswith(".j2")]
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else name
        raise BadInput(f"template: {_said(error)}", place=place, remedy="Correct the template.") from None


def _said(error: Exception) -> str:
    from jinja2 import TemplateNotFound
    from jinja2.exceptions import SecurityError

    if isinstance(error, SecurityError):
        return f"not allowed in a template: {error}"
    if isinstance(error, TemplateNotFound):
        return f"no such template: {error}"
    return f"{error}" or type(error).__name__
