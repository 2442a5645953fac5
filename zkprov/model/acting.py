"""Which lists each server may act under: on its disk, in its memory, taken over from another server, or assumed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from zkprov.model.members import Members


class SeenList(msgspec.Struct, frozen=True):
    """A list that a server may act under, with the newer `.next` that must agree. `source` is what a person can open: `zk1/zoo.cfg:9`."""

    members: Members
    source: str
    next: Members | None = None
    next_source: str = ""

    def __post_init__(self) -> None:
        if self.next is not None and self.next.version <= self.members.version:
            raise ValueError(f"{self.next_source or self.source}: a .next counts only when it is newer than the list")

    @classmethod
    def of(cls, members: Members, source: str, following: Members | None = None, next_source: str = "") -> SeenList:
        """With `following` as `.next` where it is newer than `members`, else without, as ZooKeeper takes it."""
        if following is None or following.version <= members.version:
            return cls(members, source)
        return cls(members, source, following, next_source or f"{source}.next")

    def __str__(self) -> str:
        return f"{self.members} and {self.next}" if self.next else str(self.members)


class ProofServer(msgspec.Struct, frozen=True):
    """One physical server, that is one disk; two of them may carry one id. `lists`: any of these is what it may act under.

    `may_vote` False: empty, with `db.autocreate=false` and no `initialize` (the rule's d). `reconfig_enabled`: takes over newer lists.
    `seen` False: its files were not seen, so besides `lists` (its memory) it may act under any list seen anywhere with a version
    of at least `confirmed`, or any that is `supposed`. `gone`: attested destroyed. `fetch`: the files to look at if it was not seen.
    """

    name: str
    id: int
    lists: tuple[SeenList, ...] = ()
    may_vote: bool = True
    reconfig_enabled: bool = False
    seen: bool = True
    gone: bool = False
    confirmed: int = 0
    supposed: tuple[SeenList, ...] = ()
    fetch: str = ""

    def to_fetch(self) -> str:
        return self.fetch or f"{self.name}: zoo.cfg, the dynamic file that it names, and its .next"


class How(StrEnum):
    """Why a server may act under a list."""

    OWN = "own"  # it stands on its disk or in its memory
    ADOPTED = "adopted"  # another server can send it: committed, and of a higher version
    ASSUMED = "assumed"  # its files were not seen


class Option(msgspec.Struct, frozen=True):
    """A list that a server may act under, and why."""

    list: SeenList
    how: How


def options_of(servers: Sequence[ProofServer]) -> list[tuple[Option, ...]]:
    """For each server all that it may act under, its own first. Servers that are gone have none, and send none."""
    committed = _distinct(SeenList(x.members, x.source) for s in servers if not s.gone for x in (*s.lists, *s.supposed))
    everything = anywhere(servers)
    return [() if s.gone else tuple(_options(s, committed, everything)) for s in servers]


def anywhere(servers: Sequence[ProofServer]) -> list[SeenList]:
    """Every list seen: with its `.next`, without it, and the `.next` as if it was committed since."""
    lists = [seen for s in servers if not s.gone for seen in s.lists]
    alone = [SeenList(x.members, x.source) for x in lists] + [SeenList(x.next, x.next_source) for x in lists if x.next]
    return _distinct([*lists, *alone])


def _options(server: ProofServer, committed: list[SeenList], everything: list[SeenList]) -> Iterable[Option]:
    for own in server.lists:
        yield Option(own, How.OWN)
    if server.reconfig_enabled:
        for own in server.lists:
            for sent in committed:
                if sent.members.version > own.members.version:
                    yield Option(SeenList.of(sent.members, sent.source, own.next, own.next_source), How.ADOPTED)
    if not server.seen:
        recent = [seen for seen in everything if seen.members.version >= server.confirmed]
        # A list that new was confirmed there and is seen nowhere now: then nothing at all is known of it.
        for seen in (*(recent or everything), *server.supposed):
            yield Option(seen, How.ASSUMED)


def _distinct(lists: Iterable[SeenList]) -> list[SeenList]:
    """Each list once, by what it says and its version; the first source stays."""
    found: dict[object, SeenList] = {}
    for seen in lists:
        found.setdefault((seen.members, seen.next), seen)
    return list(found.values())
