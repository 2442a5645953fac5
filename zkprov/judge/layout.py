"""Where an inventory says something else of servers that were set up by other hands than they show; what stops nothing, and is told.

Membership is the live list's (R10), and a member's files are its own: neither is changed for what stands here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from zkprov.judge.picture import Picture, Standing, member_at
from zkprov.model.config import is_secret
from zkprov.model.inventory import InventoryHost
from zkprov.model.members import Seat
from zkprov.model.server import Server

# What is each server's own, what the list decides, and what other gates compare.
_OWN = re.compile(
    r"dataDir|dataLogDir|dynamicConfigFile|db\.autocreate|(client|secureClient)Port.*|admin\..*|(server|group|weight)\..*|ssl.*"
)


def misplaced(picture: Picture, hosts: Sequence[InventoryHost]) -> tuple[str, ...]:
    """Members whose line has them at another place, or in another group, than the inventory, or whose unit is another than it names."""
    told = []
    for host in hosts:
        facts = picture.survey.by_name(host.name)
        if facts is None or picture.live is None or picture.standing[facts.name] is not Standing.MEMBER:
            continue
        server = member_at(picture.live, facts)
        if server is not None and (wrong := _of_line(host, server)):
            told.append(f"{host.name} is server {server.id}, {server.value}: by the inventory {wrong}")
        if server is not None and server.votes and (wrong := _of_seat(host, seat := picture.live.seat(server.id))):
            told.append(f"{host.name} votes in {seat or 'a list without groups'}: by the inventory {wrong}")
        if (
            facts.disk.value is not None
            and not host.start_command
            and facts.disk.value.unit not in ("", f"{host.unit}.service")
        ):
            told.append(f"{host.name}: its server is run by {facts.disk.value.unit}, zkprov_unit says {host.unit}")
    return tuple(told)


def _of_line(host: InventoryHost, server: Server) -> str:
    """The variables that a member's line gainsays, with their values; empty where none does."""
    wished: dict[str, tuple[str | int, set[str] | set[int]]] = {
        "zkprov_address": (host.address, {a.host for a in server.addresses}),
        "zkprov_quorum_port": (host.quorum_port, {a.quorum_port for a in server.addresses}),
        "zkprov_election_port": (host.election_port, {a.election_port for a in server.addresses}),
    }
    return ", ".join(f"{variable} is {own}" for variable, (own, theirs) in wished.items() if own not in theirs)


def _of_seat(host: InventoryHost, seat: Seat | None) -> str:
    """The variables that a voter's seat gainsays; of a list without groups each weight is 1."""
    wished = (
        ("zkprov_quorum_group", host.quorum_group, seat.group if seat is not None else None),
        ("zkprov_quorum_weight", host.quorum_weight, seat.weight if seat is not None else 1),
    )
    return ", ".join(f"{variable} is {own}" for variable, own, there in wished if own not in (None, there))


def unlike_members(picture: Picture, name: str, settings: Mapping[str, str]) -> str:
    """The settings of zoo.cfg that all members have alike, and the joiner `name` would have otherwise; empty where there are none.

    Secrets are left out: what was read of members has them hidden.
    """
    read = [f.disk.value.settings for f in picture.members if f.disk.value is not None and f.disk.value.settings]
    usual = {key: value for key, value in (read[0].items() if read else ()) if all(s.get(key) == value for s in read)}
    differ = [
        f"{key} {settings.get(key, 'not set')} ({value})"
        for key, value in sorted(usual.items())
        if not _OWN.fullmatch(key) and not is_secret(key) and _plain(settings.get(key)) != _plain(value)
    ]
    if not differ:
        return ""
    return f"{name} will have other settings than the members: {', '.join(differ)}; what is meant belongs into zkprov_settings"


def _plain(value: str | None) -> str:
    return re.sub(r"\s*,\s*", ",", value or "").strip().lower()
