"""A split as a plan to heal knows it: its sides, who is on them, which one is kept and by what evidence. Values; nothing is judged here."""

from __future__ import annotations

import msgspec

from zkprov.model.members import Members

BY_DATA = "data"
"""One leader, and trees that differ: the sides are told by what their servers hold, not by whom they follow."""


class SideServer(msgspec.Struct, frozen=True):
    """One server of a side. `host`: its inventory host, empty for none. `clients`: of its sessions, `address session`.

    `gone`: a person attests that it stays off; why.
    """

    name: str
    host: str
    id: int | None
    up: bool
    zxid: int = 0
    clients: tuple[str, ...] = ()
    gone: str = ""

    def __str__(self) -> str:
        return self.name if self.id is None else f"{self.id} ({self.name})"


class SideSeen(msgspec.Struct, frozen=True):
    """A side when the plan was made. `history` in words; `identity` as `path@czxid/ctime` in hex and ms, empty where it was not read."""

    name: str
    servers: tuple[SideServer, ...]
    leader: str = ""
    epoch: int | None = None
    zxid: int = 0
    members: Members | None = None
    history: str = ""
    identity: str = ""

    @property
    def ids(self) -> frozenset[int]:
        return frozenset(s.id for s in self.servers if s.id is not None)

    @property
    def clients(self) -> int:
        return sum(len(s.clients) for s in self.servers)


class Weighed(msgspec.Struct, frozen=True):
    """One kind of evidence: what each side has of it, by the side's name, and the side that it speaks for, empty for none."""

    what: str
    each: dict[str, str]
    favours: str = ""


class Split(msgspec.Struct, frozen=True):
    """The sides; `keep` is the name of the one that is kept, `proposed` of the one that the evidence speaks for, empty for a tie.

    `told_by`: what tells the sides apart. `label`: how the folders of a disk that was set aside end.
    """

    sides: tuple[SideSeen, ...]
    keep: str
    proposed: str
    evidence: tuple[Weighed, ...]
    label: str
    told_by: str = "leaders"

    @property
    def kept(self) -> SideSeen:
        return next(s for s in self.sides if s.name == self.keep)

    @property
    def lost(self) -> tuple[SideSeen, ...]:
        return tuple(s for s in self.sides if s.name != self.keep)

    @property
    def losers(self) -> tuple[SideServer, ...]:
        """Who is fenced, whoever has clients first; then by id."""
        found = [x for side in self.lost for x in side.servers]
        return tuple(sorted(found, key=lambda x: (-len(x.clients), not x.up, x.id is None, x.id or 0, x.name)))

    @property
    def hosts(self) -> tuple[str, ...]:
        """The inventory hosts of all sides, but those that a person attests to be off."""
        return tuple(dict.fromkeys(x.host for s in self.sides for x in s.servers if x.host and not x.gone))
