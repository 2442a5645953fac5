"""Which side of a split the evidence speaks for: in a fixed order, the first kind that tells the sides apart. It proposes; a person says.

The order is that of what can be made afresh: an identity znode cannot, nor a config chain, nor an old history; clients go where they are
led, and an epoch grows with each election: a second ensemble that elects often overtakes the real one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import msgspec

from zkprov.judge.sides import Side
from zkprov.model.facts import LASTING, Identity
from zkprov.model.split import Weighed

NOBODY = 2**62
"""When the history of a side began that has no permanent znode: after every other."""


class Proposal(msgspec.Struct, frozen=True):
    """`side`: the name of the one that the evidence speaks for, empty for a tie; `by`: the kind of evidence that decided."""

    side: str
    by: str
    evidence: tuple[Weighed, ...]


def propose(
    sides: Sequence[Side],
    *,
    unread: Set[str] = frozenset(),
    remembered: Set[str] = frozenset(),
    by_data: bool = False,
) -> Proposal:
    """`unread`: names of sides whose permanent znodes could not be read; `remembered`: histories (`path@czxid/ctime`) of earlier runs.

    `by_data`: one leader leads them all, and their trees differ; then who is more than half comes before clients.
    """
    rows = [
        _identity(sides, unread, remembered),
        _chain(sides),
        _history(sides, unread),
        *([_servers(sides)] if by_data else []),
        _highest("clients", {s.name: len({c[2] for c in s.clients if c[2]}) for s in sides}, "client sessions"),
        _highest("epoch", {s.name: -1 if s.epoch is None else s.epoch for s in sides}, ""),
    ]
    # while nobody has read what a side holds, that clients are on the other one says nothing of it
    deciding = next((row for row in rows if row.favours and (not unread or row.what in ("identity", "config"))), None)
    return Proposal(deciding.favours if deciding else "", deciding.what if deciding else "", tuple(rows))


def told(identity: Identity | None) -> str:
    """As plans and runs have it: `path@czxid/ctime`, czxid in hex, ctime in ms."""
    return "" if identity is None else f"{identity.path}@{identity.czxid:x}/{identity.ctime_ms}"


def in_words(identity: Identity | None, *, unread: bool = False) -> str:
    if identity is None:
        return "not read" if unread else "no permanent znode"
    return f"{identity.path} of czxid {identity.czxid:#x}, ctime {identity.ctime_ms}"


def _identity(sides: Sequence[Side], unread: Set[str], remembered: Set[str]) -> Weighed:
    """A znode that nobody makes by chance. One that an earlier run of ours knew is ours for sure."""
    ranks = {}
    for side in sides:
        known = told(side.identity) in remembered
        path = side.identity.path if side.identity else ""
        ranks[side.name] = len(LASTING) + 1 if known else len(LASTING) - LASTING.index(path) if path in LASTING else 0
    each = {
        s.name: in_words(s.identity, unread=s.name in unread)
        + (", known to an earlier run" if told(s.identity) in remembered else "")
        for s in sides
    }
    best = _alone_at_top(ranks)
    sure = best and (ranks[best] > len(LASTING) or not unread)
    # equal creations prove nothing: restored disks have them too
    return Weighed("identity", each, best if sure else "")


def _chain(sides: Sequence[Side]) -> Weighed:
    """A list that was committed by an ensemble comes from the one before; one that somebody wrote into a file has no version."""
    versions = {s.name: s.members.version if s.members else 0 for s in sides}
    each = {s.name: f"{s.members or 'no list'}, version {versions[s.name]:x}" for s in sides}
    committed = [name for name, version in versions.items() if version]
    return Weighed("config", each, committed[0] if len(committed) == 1 else "")


def _history(sides: Sequence[Side], unread: Set[str]) -> Weighed:
    """Whose data is older: the other one began when it had forgotten, or never known, what was there."""
    began = {s.name: s.identity.ctime_ms if s.identity else NOBODY for s in sides}
    each = {}
    for side in sides:
        since = f"since {side.identity.ctime_ms} ms" if side.identity else "nothing permanent"
        each[side.name] = "not read" if side.name in unread else f"{since}, up to {side.zxid:#x}"
    oldest = _alone_at_top({name: -at for name, at in began.items()})
    return Weighed("history", each, "" if unread else oldest)


def _servers(sides: Sequence[Side]) -> Weighed:
    """Who holds what a quorum acknowledged."""
    each = {s.name: f"{len(s.servers)} of {len(s.members.voters) if s.members else '?'} voters" for s in sides}
    quorums = [s.name for s in sides if s.members is not None and s.members.quorums.contains_quorum(s.ids)]
    return Weighed("servers", each, quorums[0] if len(quorums) == 1 else "")


def _highest(what: str, figures: Mapping[str, int], unit: str) -> Weighed:
    each = {name: "none" if figure < 0 else f"{figure} {unit}".strip() for name, figure in figures.items()}
    return Weighed(what, each, _alone_at_top(figures))


def _alone_at_top(figures: Mapping[str, int]) -> str:
    top = max(figures.values(), default=0)
    names = [name for name, figure in figures.items() if figure == top]
    return names[0] if len(names) == 1 and len(figures) > 1 else ""
