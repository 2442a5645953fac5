"""What differs on each host from what templates and variables say, and in which order servers would be restarted for it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from zkprov.judge.drift import MY_ID, RELEASE, FileDrift, Wanted, drift_of
from zkprov.judge.health import Condition, Health
from zkprov.judge.picture import leads, tells_mode
from zkprov.model.facts import Fact, ServerFacts
from zkprov.model.installed import Installed
from zkprov.model.inventory import InventoryHost
from zkprov.model.server import Server
from zkprov.plan.steps import Refusal


class Place(StrEnum):
    """What a host is to the ensemble."""

    OBSERVER = "observer"
    FOLLOWER = "follower"
    VOTER = "voter"  # it does not say whether it leads
    LEADER = "leader"
    NO_MEMBER = "no member"


ORDER = (Place.OBSERVER, Place.FOLLOWER, Place.VOTER, Place.LEADER, Place.NO_MEMBER)
"""A leader that is restarted costs an election: it comes last, and once."""


NEVER_LAID = frozenset({RELEASE, MY_ID})
"""A release is another change's matter; an id is the server's own, and another one there is for a person."""


class Seen(msgspec.Struct, frozen=True):
    """One host: what should lie there, and what does. `wanted` None: no file may go out there, and `refused` says by which rules."""

    host: InventoryHost
    member: Server | None
    facts: ServerFacts | None
    there: Fact[Installed]
    wanted: Wanted | None
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class HostDrift(msgspec.Struct, frozen=True):
    """`order`: from 1, which restart this host's would be; None where none is needed. `unread`: why less is known than should be."""

    host: str
    id: int | None
    place: Place
    order: int | None
    files: tuple[FileDrift, ...]
    bare: bool = False
    refused: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def restart(self) -> bool:
        return self.order is not None

    @property
    def laid(self) -> tuple[str, ...]:
        """What a restart lays there."""
        return tuple(f.file for f in self.files if f.file not in NEVER_LAID)


class Drift(msgspec.Struct, frozen=True):
    """Hosts in the order in which they would be restarted, those that are no members after them.

    `condition`, `headline`, `spare`: of the ensemble, as `zkprov status` says it.
    `beside`: members that no host of the inventory stands for.
    """

    ensemble: str
    condition: Condition
    headline: str
    spare: int
    leader: int | None
    hosts: tuple[HostDrift, ...]
    beside: tuple[int, ...] = ()

    @property
    def differs(self) -> bool:
        return any(h.files for h in self.hosts)

    @property
    def unread(self) -> bool:
        """Whether a host is not known wholly: then no drift is not the same as none seen."""
        return any(h.unread for h in self.hosts)

    @property
    def refused(self) -> bool:
        return any(h.refused for h in self.hosts)

    @property
    def restarts(self) -> tuple[HostDrift, ...]:
        return tuple(h for h in self.hosts if h.restart)


def to_lay(drift: Drift) -> dict[str, tuple[str, ...]] | Refusal:
    """Host → what differs there, of those that need a restart for it; or why nothing is to be laid at all."""
    again = ("zkprov plan configure --diff", "shows what differs")
    refused = tuple(f"{h.host}: {why}" for h in drift.hosts for why in h.refused)
    if refused:
        headline = "what templates and variables make may not be laid."
        return Refusal(refused[0].split(": ")[1], headline, refused, (again,))
    unread = tuple(f"{h.host}: {why}" for h in drift.hosts for why in h.unread if h.place is not Place.NO_MEMBER)
    if unread:
        return Refusal("R8", "what lies on a host is not known wholly.", unread, (again,), exit_code=4)
    return {h.host: h.laid for h in drift.restarts if h.laid}


def configure_plan(health: Health, seen: Sequence[Seen], *, hosts: Sequence[InventoryHost]) -> Drift:
    """`hosts`: all of the inventory, of which `seen` may be a part. Total; membership is the live list's, never the inventory's (R10)."""
    live = health.picture.live
    ours = [x for x in health.leaders if not x.stranger]
    leader = ours[0].id if len(ours) == 1 else None
    rows = sorted((_row(s) for s in seen), key=lambda r: (ORDER.index(r.place), r.id is None, r.id or 0, r.host))
    numbered: list[HostDrift] = []
    count = 0
    for row in rows:
        restart = row.place is not Place.NO_MEMBER and any(f.restart for f in row.files)
        count += restart
        numbered.append(msgspec.structs.replace(row, order=count if restart else None))
    return Drift(
        health.picture.survey.ensemble,
        health.condition,
        health.headline,
        health.spare,
        leader,
        tuple(numbered),
        tuple(s.id for s in (live.servers if live else ()) if not any(h.is_server(s) for h in hosts)),
    )


def _row(seen: Seen) -> HostDrift:
    there = seen.there.value
    running = seen.facts.srvr.value.release if seen.facts and seen.facts.srvr.value else ""
    bare = there is not None and seen.member is None and not there.files and not there.unread
    known = there is not None and seen.wanted is not None and not bare
    files = drift_of(seen.wanted, there, running=running) if known and seen.wanted and there else ()
    return HostDrift(
        seen.host.name,
        seen.member.id if seen.member else seen.host.id,
        _place(seen),
        None,
        files,
        bare,
        seen.refused,
        tuple(_unread(seen)),
        (*seen.notes, *(_notes(seen, there) if there and not bare else ())),
    )


def _place(seen: Seen) -> Place:
    if seen.member is None:
        return Place.NO_MEMBER
    if not seen.member.votes:
        return Place.OBSERVER
    if seen.facts is None or not tells_mode(seen.facts):
        return Place.VOTER
    return Place.LEADER if leads(seen.facts) else Place.FOLLOWER


def _unread(seen: Seen) -> list[str]:
    there = seen.there.value
    if there is None:
        return [seen.there.detail or str(seen.there.outcome)]
    unit = there.unit.problem if there.unit and seen.wanted and seen.wanted.unit is not None else ""
    return [f"{name}: {why}" for name, why in there.unread.items()] + ([f"unit: {unit}"] if unit else [])


def _notes(seen: Seen, there: Installed) -> list[str]:
    notes = []
    if seen.member is not None and seen.host.id not in (None, seen.member.id):
        notes.append(f"zkprov_id is {seen.host.id}, the live list says {seen.member.id}: the list counts (R10)")
    if there.unit is not None and there.unit.drop_ins:
        notes.append(f"laid over the unit by hand, and left: {', '.join(there.unit.drop_ins)}")
    if there.unit is not None and there.unit.stale:
        notes.append("systemd has not read its units since they changed: systemctl daemon-reload")
    if seen.facts is not None and seen.member is not None and not seen.facts.serving:
        notes.append("its server does not answer")
    return notes
