"""Judges rendered files by what ZooKeeper would read from them: a template cannot talk zkprov into a bad list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from zkprov.model.config import ZooCfg, is_secret, parse_members, parse_zoo_cfg
from zkprov.model.facts import Disk
from zkprov.model.hiding import shown
from zkprov.model.inventory import InventoryHost
from zkprov.model.jaas import NAME as JAAS
from zkprov.model.members import Members
from zkprov.model.posture import Posture
from zkprov.model.problems import BadInput
from zkprov.model.properties import given_twice
from zkprov.model.release import Release
from zkprov.model.sasl import CLIENTS, FIPS, QUORUM, SUPER_USER
from zkprov.model.server import Role, Server

__all__ = ["Violation", "joiner_list", "judge_rendered", "shown"]

SASL_SETTINGS = frozenset({*QUORUM, *CLIENTS, SUPER_USER, FIPS})
ZOO_CFG = "zoo.cfg"
DYNAMIC = "zoo.cfg.dynamic"
KNOWN = frozenset({ZOO_CFG, DYNAMIC, "myid", "jvm_flags", "logback.xml", JAAS})


class Violation(msgspec.Struct, frozen=True):
    """What is wrong with rendered text. `rule` as in the rules (`R5`), or `files` for what is plainly broken; `place`: file:line."""

    rule: str
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.place}: {self.reason}"


def joiner_list(live: Members, server: Server) -> Members:
    """The list that a joiner starts with: the live one and itself as observer, of version 0 (R5)."""
    return live.with_server(server.with_role(Role.OBSERVER)).at_version(0)


def judge_rendered(
    files: Mapping[str, str],
    *,
    wish: Members,
    server_id: int,
    host: InventoryHost,
    release: Release,
    live: Disk | None = None,
    joiner: bool = True,
) -> tuple[Violation, ...]:
    """All that is wrong with `files` (name → text); empty when they may go out. Total: a broken file is a violation.

    `wish`: the list that was meant for a new server. `live`: the disk of a server that has a list, which must keep it.
    `joiner`: whether it comes into an ensemble that lives (R5); False for founders and members.
    """
    listed = live if live is not None and live.acting is not None and live.acting.members.servers else None
    meant = _Meant(wish, server_id, host, release, listed, joiner and listed is None)
    return tuple(_violations(files, meant))


class _Meant(msgspec.Struct, frozen=True):
    """What the files must say."""

    wish: Members
    server_id: int
    host: InventoryHost
    release: Release
    live: Disk | None
    joiner: bool


def _violations(files: Mapping[str, str], meant: _Meant) -> Iterator[Violation]:
    server_id, host, live = meant.server_id, meant.host, meant.live
    own = meant.wish.get(server_id)
    if meant.joiner and (own is None or own.votes):
        yield Violation(
            "R5",
            DYNAMIC,
            f"a joiner must be an observer in its own list; {server_id} is {own.role if own else 'not in it'}",
        )
    for name in sorted(files.keys() - KNOWN):
        yield Violation("R5" if "initialize" in name else "files", name, "no template may make this file")
    if files.get("myid", "").strip() != str(server_id) or not re.fullmatch(r"[0-9]+\n?", files.get("myid", "")):
        yield Violation("files", "myid", f"must hold {server_id} and nothing else")
    if ZOO_CFG not in files:
        yield Violation("files", ZOO_CFG, "missing")
        return
    try:
        cfg = parse_zoo_cfg(files[ZOO_CFG], ZOO_CFG)
    except BadInput as bad:
        yield Violation("R10", bad.place, bad.problem)
        return
    yield from _settings(cfg, host, meant.release, live)
    yield from _lists(files, cfg, meant)
    yield from _client(cfg, host, own, live)
    yield from _flags(files.get("jvm_flags", ""))
    yield from _sasl(files, host)


def _sasl(files: Mapping[str, str], host: InventoryHost) -> Iterator[Violation]:
    """A server that finds no passwords does not start, or knows nobody."""
    if not host.has_sasl:
        return
    if not files.get(JAAS):
        yield Violation("files", JAAS, "missing, and SASL is wished")
    missing = [f for f in host.flags[len(host.jvm_flags) :] if f not in files.get("jvm_flags", "").split()]
    for flag in missing if not host.start_command else []:
        yield Violation("files", "jvm_flags", f"{flag} must be in it: the template is to write each of host.flags")


def _settings(cfg: ZooCfg, host: InventoryHost, release: Release, live: Disk | None) -> Iterator[Violation]:
    for refusal in cfg.refusals():
        place, _, reason = refusal.partition(": ")
        yield Violation("files", place, reason)
    for earlier, later in given_twice(cfg.lines):
        yield Violation(
            "files", f"{ZOO_CFG}:{later.number}", f"{later.key} stands twice, first in line {earlier.number}"
        )
    must = {"dataDir": host.data_dir, "dataLogDir": host.data_log_dir or host.data_dir}
    reasons = dict.fromkeys(must, ("R5", "the data must lie where the inventory says"))
    if live is None or "dynamicConfigFile" in live.settings:
        must |= {"standaloneEnabled": "false", "reconfigEnabled": "true"}
    else:
        must |= {k: live.settings.get(k, d) for k, d in (("standaloneEnabled", "true"), ("reconfigEnabled", "false"))}
    reasons["standaloneEnabled"] = ("R1", "a server that may run alone can be a second leader")
    reasons["reconfigEnabled"] = ("R12", "a static server stays static, a dynamic one dynamic")
    if release.has_autocreate:
        must["db.autocreate"] = "false"
        reasons["db.autocreate"] = ("R5", "an empty server must not vote")
    defaults = {
        "standaloneEnabled": "true",
        "reconfigEnabled": "false",
        "db.autocreate": "true",
        "dataLogDir": host.data_dir,
    }
    for key, wanted in must.items():
        found = cfg.settings.get(key, defaults.get(key, ""))
        if found.lower() != wanted.lower() if wanted in ("true", "false") else found != wanted:
            rule, why = reasons[key]
            yield Violation(
                rule, f"{ZOO_CFG}:{cfg.line_of(key) or 1}", f"{key} must be {wanted}, not {found or 'unset'}: {why}"
            )
    for key, wanted in host.posture_settings.items():
        if (found := cfg.settings.get(key, "")) != wanted:
            yield Violation(
                "files",
                f"{ZOO_CFG}:{cfg.line_of(key) or 1}",
                f"{key} must be {wanted}, not {found or 'unset'}: {_why(key, host)}",
            )
    for key, rule in (("version", "R10"), ("oraclePath", "R1")):
        if key in cfg.settings:
            yield Violation(
                rule,
                f"{ZOO_CFG}:{cfg.line_of(key)}",
                f"{key} must not be set: ZooKeeper takes it for a say in elections",
            )


def _why(setting: str, host: InventoryHost) -> str:
    if setting in SASL_SETTINGS:
        on = [f"zkprov_{s}" for s in ("quorum_sasl", "client_sasl") if getattr(host, s)]
        return f"{' and '.join(on)} set"
    return f"zkprov_posture is {host.posture}"


def _lists(files: Mapping[str, str], cfg: ZooCfg, meant: _Meant) -> Iterator[Violation]:
    live = meant.live
    pointer = cfg.dynamic_config_file
    place = f"{ZOO_CFG}:{cfg.line_of('dynamicConfigFile') or cfg.list_line or 1}"
    wanted = live.settings.get("dynamicConfigFile") if live else f"{meant.host.config_dir}/{DYNAMIC}"
    if pointer != wanted:
        yield Violation("R10", place, f"dynamicConfigFile must be {wanted or 'unset'}, not {pointer or 'unset'}")
    if live is not None and live.acting is not None:
        if DYNAMIC in files:
            yield Violation("R10", DYNAMIC, "the list of a server that has one is never rendered again")
        if wanted is None and (cfg.static is None or not cfg.static.same_list(live.acting.members)):
            yield Violation(
                "R10", place, f"the static list must stay {live.acting.members} as it is in {live.acting.source}"
            )
        return
    if cfg.static is not None:
        yield Violation("R10", place, "a list in zoo.cfg itself")
    try:
        found = parse_members(files.get(DYNAMIC, ""), DYNAMIC, 0)
    except BadInput as bad:
        yield Violation("R10", bad.place, bad.problem)
        return
    if not found.same_list(meant.wish):
        difference = _difference(meant.wish, found)
        yield Violation("R10", DYNAMIC, f"the list must be {meant.wish}, and is {found}: {difference}")


def _difference(wish: Members, found: Members) -> str:
    for server_id in sorted(wish.ids | found.ids):
        wanted, given = wish.get(server_id), found.get(server_id)
        if wanted is None or given is None or wanted.canonical != given.canonical:
            return f"server.{server_id} should be {wanted.value if wanted else 'absent'}, is {given.value if given else 'absent'}"
    return "groups or weights differ"


def _client(cfg: ZooCfg, host: InventoryHost, own: Server | None, live: Disk | None) -> Iterator[Violation]:
    port = cfg.settings.get("clientPort")
    place = f"{ZOO_CFG}:{cfg.line_of('clientPort') or 1}"
    kept = live.acting.members.get(own.id) if live and live.acting and own else own
    if kept is not None and kept.client is not None:
        if port is not None and port != str(kept.client.port):
            yield Violation(
                "files", place, f"clientPort {port} is not the one of the server's line, {kept.client.port}"
            )
        if live is None and kept.client.port != host.client_port:
            yield Violation("files", DYNAMIC, f"the client port must be the inventory's, {host.client_port}")
        return
    wanted = None if host.posture is Posture.TLS_ONLY else str(host.client_port)
    wanted = live.settings.get("clientPort") if live else wanted
    if port != wanted:
        yield Violation("files", place, f"clientPort must be {wanted or 'unset'}, not {port or 'unset'}")


def _flags(text: str) -> Iterator[Violation]:
    for number, flag in enumerate(text.splitlines(), 1):
        key = re.match(r"-D([^=\s]+)=", flag)
        if key and is_secret(key[1]):
            yield Violation(
                "files", f"jvm_flags:{number}", f"-D{key[1]}: a secret among the flags is seen by everybody in `ps`"
            )
        elif flag and not flag.startswith("-"):
            yield Violation("files", f"jvm_flags:{number}", f"not a flag: {flag[:40]!r}")
