"""A list of members: what ZooKeeper calls a config, with its version."""

from __future__ import annotations

import msgspec

from zkprov.model.quorum import Hierarchical, Majority, QuorumSystem, braces
from zkprov.model.server import Server


class Seat(msgspec.Struct, frozen=True):
    """Where a server counts in a list with groups: in which group, and for how much (0: it has no say there)."""

    group: int
    weight: int = 1

    def __str__(self) -> str:
        return f"group {self.group}" + (f", weight {self.weight}" if self.weight != 1 else "")


class Members(msgspec.Struct, frozen=True):
    """The config of an ensemble: servers in the order of their ids, groups and weights if hierarchical, and the version.

    `version` is the zxid at which the list was committed; written in hex; 0 for a static list.
    """

    servers: tuple[Server, ...]
    version: int = 0
    groups: tuple[tuple[int, tuple[int, ...]], ...] = ()
    weights: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        ids = [s.id for s in self.servers]
        if ids != sorted(set(ids)):
            raise ValueError(f"server ids must be in order and differ: {ids}")
        if self.version < 0:
            raise ValueError(f"a config version cannot be negative: {self.version}")

    @classmethod
    def of(cls, *servers: Server, version: int = 0) -> Members:
        return cls(tuple(sorted(servers, key=lambda s: s.id)), version)

    @property
    def ids(self) -> frozenset[int]:
        return frozenset(s.id for s in self.servers)

    @property
    def voters(self) -> frozenset[int]:
        return frozenset(s.id for s in self.servers if s.votes)

    @property
    def observers(self) -> frozenset[int]:
        return self.ids - self.voters

    @property
    def hierarchical(self) -> bool:
        return bool(self.groups)

    @property
    def quorums(self) -> QuorumSystem:
        """As ZooKeeper builds it: groups hold voters only; a list without groups is a majority."""
        if not self.groups:
            return Majority(self.voters)
        return Hierarchical(
            tuple((g, frozenset(m) & self.voters) for g, m in self.groups),
            tuple((i, w) for i, w in self.weights if i in self.voters),
        )

    @property
    def version_hex(self) -> str:
        return f"{self.version:x}"

    def get(self, server_id: int) -> Server | None:
        return next((s for s in self.servers if s.id == server_id), None)

    def seat(self, server_id: int) -> Seat | None:
        """None where no group names it. A weight that is not written is 1."""
        group = next((g for g, ids in self.groups if server_id in ids), None)
        return None if group is None else Seat(group, dict(self.weights).get(server_id, 1))

    def with_server(self, server: Server, seat: Seat | None = None) -> Members:
        """The list with `server` added, or in place of the one with its id.

        In a list with groups a voter has `seat`, or the one that it voted from so far. An observer keeps its group, and counts for nothing
        there (ZooKeeper counts a weight whether its server votes or not), so that the group is known should it vote again.
        Raises ValueError for a voter without a group there, and for a group in a list without groups.
        """
        rest = (s for s in self.servers if s.id != server.id)
        servers = tuple(sorted((*rest, server), key=lambda s: s.id))
        if not self.hierarchical:
            if seat is not None:
                raise ValueError(f"{self} has no groups, and {server.id} was to be in {seat}")
            return msgspec.structs.replace(self, servers=servers)
        was = self.get(server.id)
        if seat is None and (not server.votes or (was is not None and was.votes)):
            seat = self.seat(server.id)
        if seat is None and server.votes:
            raise ValueError(f"{server.id} votes in a list with groups, and is in none")
        weight = (seat.weight if server.votes else 0) if seat is not None else None
        return self._seated(servers, server.id, seat.group if seat is not None else None, weight)

    def without(self, server_id: int) -> Members:
        """A group that nobody is left in goes with the last (ZooKeeper takes no empty one)."""
        return self._seated(tuple(s for s in self.servers if s.id != server_id), server_id, None, None)

    def _seated(self, servers: tuple[Server, ...], server_id: int, group: int | None, weight: int | None) -> Members:
        """`servers`, with `server_id` in that group and in no other."""
        groups = {g: {i for i in ids if i != server_id} for g, ids in self.groups}
        weights = {i: w for i, w in self.weights if i != server_id}
        if group is not None and weight is not None:
            groups.setdefault(group, set()).add(server_id)
            weights[server_id] = weight
        return msgspec.structs.replace(
            self,
            servers=servers,
            groups=tuple((g, tuple(sorted(ids))) for g, ids in sorted(groups.items()) if ids),
            weights=tuple(sorted(weights.items())),
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """The list as one sends it: `server.`, `group.` and `weight.` lines, servers as they are spelt here."""
        groups = (f"group.{g}={':'.join(str(i) for i in ids)}" for g, ids in self.groups)
        return (*(s.line for s in self.servers), *groups, *(f"weight.{i}={w}" for i, w in self.weights))

    @property
    def seated(self) -> dict[int, str]:
        """Group → `{3*2,4}`, who votes there, with the weights that are not 1: the groups that count; empty for a list without groups."""
        quorums = self.quorums
        return {} if isinstance(quorums, Majority) else quorums.parts

    @property
    def seats(self) -> str:
        """`group 1 {1,2}, group 2 {3*2,4}`, as `seated`."""
        return ", ".join(f"group {g} {x}" for g, x in self.seated.items())

    def at_version(self, version: int) -> Members:
        return msgspec.structs.replace(self, version=version)

    def same_config(self, other: Members | None) -> bool:
        """The same list at the same version, however it is spelt."""
        return other is not None and self.version == other.version and self.same_list(other)

    def same_list(self, other: Members) -> bool:
        """Equal members, roles, addresses, groups and weights, however they are spelt; the version aside."""
        # most are spelt alike, and a judgement compares some hundred times
        if (self.servers, self.groups, self.weights) == (other.servers, other.groups, other.weights):
            return True
        return self.at_version(0).canonical == other.at_version(0).canonical

    def same_servers(self, other: Members) -> bool:
        """As `same_list`, but for where clients are served, which a static list mostly does not say."""
        mine, theirs = (
            msgspec.structs.replace(m, servers=tuple(msgspec.structs.replace(s, client=None) for s in m.servers))
            for m in (self, other)
        )
        return mine.same_list(theirs)

    @property
    def canonical(self) -> Members:
        """As ZooKeeper prints it: memory and disk spell one list in two ways (`Server.canonical`; the weight 1 of a voter)."""
        weights = dict(self.weights)
        if self.groups:
            weights = dict.fromkeys(self.voters, 1) | weights
        groups = tuple(sorted((g, tuple(sorted(ids))) for g, ids in self.groups))
        return Members(tuple(s.canonical for s in self.servers), self.version, groups, tuple(sorted(weights.items())))

    def __str__(self) -> str:
        """`{1,2,3} +4o`: voters in braces, observers after a plus."""
        return " ".join([braces(self.voters), *(f"+{i}o" for i in sorted(self.observers))])
