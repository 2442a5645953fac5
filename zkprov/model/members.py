"""A list of members: what ZooKeeper calls a config, with its version."""

from __future__ import annotations

import msgspec

from zkprov.model.quorum import Hierarchical, Majority, QuorumSystem, braces
from zkprov.model.server import Server


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

    def with_server(self, server: Server) -> Members:
        """The list with `server` added, or in place of the one with its id."""
        rest = (s for s in self.servers if s.id != server.id)
        return msgspec.structs.replace(self, servers=tuple(sorted((*rest, server), key=lambda s: s.id)))

    def without(self, server_id: int) -> Members:
        return msgspec.structs.replace(self, servers=tuple(s for s in self.servers if s.id != server_id))

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
