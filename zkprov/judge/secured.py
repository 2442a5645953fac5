"""A server with what its settings say of TLS and SASL, and one thing that is found about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import msgspec

from zkprov.judge.gates import listed, unseen
from zkprov.judge.picture import Picture
from zkprov.judge.verdict import Evidence
from zkprov.model.certificates import Stores, client_tls, quorum_tls
from zkprov.model.facts import Disk
from zkprov.model.release import Release
from zkprov.model.sasl import in_fips_mode
from zkprov.model.server import WILDCARDS, Server


class Secured(msgspec.Struct, frozen=True):
    """A server with its settings and stores. `new`: it is to come; then its settings are the inventory's. `release`, `id`: where known.

    `idle`: settings that were given as flags, and that ZooKeeper takes from zoo.cfg alone. `unseen`: why its flags are not all known.
    """

    label: str
    addresses: tuple[str, ...]
    settings: Mapping[str, str]
    stores: Stores
    release: Release | None = None
    new: bool = False
    id: int | None = None
    idle: Mapping[str, str] = {}
    unseen: str = ""

    @property
    def quorum(self) -> bool:
        return quorum_tls(self.settings)

    @property
    def clients(self) -> bool:
        return client_tls(self.settings)

    @property
    def wants_names(self) -> bool:
        """Whether other servers' certificates are to name them, by its settings."""
        return self.settings.get("ssl.quorum.hostnameVerification", "true").strip().lower() != "false"

    @property
    def compares_names(self) -> bool:
        """Whether it does compare them: not in FIPS mode, the default from 3.9 on (measured on 3.9.5)."""
        return self.wants_names and not in_fips_mode(self.settings, self.release)


class Finding(msgspec.Struct, frozen=True):
    """One thing about one server. `fails`: False for a warning, None for what cannot be told."""

    server: str
    what: str
    remedy: str = ""
    fails: bool | None = True

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.server, self.what)


def labels(servers: Sequence[Secured]) -> str:
    more = f" and {len(servers) - 5} more" if len(servers) > 5 else ""
    return ", ".join(s.label for s in servers[:5]) + more


def secured_members(
    picture: Picture, excused: Set[int] = frozenset(), without: int | None = None
) -> tuple[list[Secured], list[Evidence]]:
    """The members by their disks and flags, and whose disk was not read. `excused` need not be told just now; `without` is left out."""
    servers, unread = [], []
    for server, facts in listed(picture):
        if server.id == without:
            continue
        disk = facts.disk.value if facts else None
        if (facts is None or disk is None) and server.id in excused:
            continue
        if facts is None or disk is None:
            unread.append(unseen(picture, server, facts, *((facts.disk,) if facts else ())))
        else:
            release = Release.read(facts.srvr.value.release) if facts.srvr.value else None
            label, addresses = picture.label(facts), addresses_of(server)
            idle = disk.flags.idle if disk.flags else {}
            servers.append(
                Secured(
                    label,
                    addresses,
                    disk.effective,
                    disk.stores,
                    release,
                    id=server.id,
                    idle={k: v for k, v in idle.items() if k not in disk.settings},
                    unseen=_unseen(disk),
                )
            )
    return servers, unread


def _unseen(disk: Disk) -> str:
    if disk.flags is not None:
        return disk.flags.unseen
    # one that does not run will have what its unit gives it, and nothing was given yet
    return "" if disk.active is False else "its command line cannot be seen"


def addresses_of(server: Server) -> tuple[str, ...]:
    """By which others reach it."""
    return tuple(dict.fromkeys(a.host for a in server.addresses if a.host not in WILDCARDS))
