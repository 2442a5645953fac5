"""A server as a config names it: its id, its addresses and its role."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

import msgspec

WILDCARDS = frozenset({"0.0.0.0", "::", "0:0:0:0:0:0:0:0"})  # noqa: S104 — compared with, not bound
"""Addresses to listen at that mean all of a host's."""
_HOST = re.compile(r"[^\s,;\[\]{}|]+")


class Role(StrEnum):
    """What a `server.N=` line makes of a server (ZooKeeper's `LearnerType`)."""

    PARTICIPANT = "participant"
    OBSERVER = "observer"


class HostPort(msgspec.Struct, frozen=True, order=True):
    """A TCP endpoint. `host` is a name, an IPv4 or a bare IPv6 address (printed in brackets)."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise ValueError(f"not a host name or address: {self.host!r}")
        if not 0 < self.port < 65536:
            raise ValueError(f"not a port: {self.port}")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ServerAddress(msgspec.Struct, frozen=True, order=True):
    """One `host:quorumPort:electionPort` of a server; a server may have several, separated by `|`."""

    host: str
    quorum_port: int
    election_port: int

    def __post_init__(self) -> None:
        HostPort(self.host, self.quorum_port)
        HostPort(self.host, self.election_port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.quorum_port}:{self.election_port}"


class ClientAddress(msgspec.Struct, frozen=True):
    """The `;[address:]port` part of a server line. `host` None: only a port was given, which ZooKeeper takes as 0.0.0.0."""

    port: int
    host: str | None = None

    def __post_init__(self) -> None:
        HostPort(self.host or "0.0.0.0", self.port)  # noqa: S104 — ZooKeeper's own default, validated here, not bound

    def __str__(self) -> str:
        return str(self.port) if self.host is None else str(HostPort(self.host, self.port))


class Server(msgspec.Struct, frozen=True):
    """One member of a config: `server.<id>=<addresses>[:role][;client]`."""

    id: int
    addresses: tuple[ServerAddress, ...]
    role: Role = Role.PARTICIPANT
    client: ClientAddress | None = None

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ValueError(f"server.{self.id} has no address")

    @property
    def votes(self) -> bool:
        return self.role is Role.PARTICIPANT

    @property
    def address(self) -> ServerAddress:
        """The first address: the one that people know the server by."""
        return self.addresses[0]

    @property
    def value(self) -> str:
        """What stands right of `server.N=`, in the form that ZooKeeper itself prints."""
        text = "|".join(str(a) for a in self.addresses) + f":{self.role}"
        return f"{text};{self.client}" if self.client else text

    @property
    def place(self) -> str:
        """Where it is, without its role."""
        text = "|".join(str(a) for a in self.addresses)
        return f"{text};{self.client}" if self.client else text

    @property
    def listens_at(self) -> frozenset[HostPort]:
        """Where it is found by members and clients."""
        found = {HostPort(a.host, p) for a in self.addresses for p in (a.quorum_port, a.election_port)}
        if self.client is not None:
            host = self.client.host
            found.add(HostPort(self.address.host if host is None or host in WILDCARDS else host, self.client.port))
        return frozenset(found)

    @property
    def line(self) -> str:
        return f"server.{self.id}={self.value}"

    @property
    def canonical(self) -> Server:
        """As ZooKeeper prints it: `;2181` as `;0.0.0.0:2181`, IPv6 addresses in full, several addresses in the order of their hosts."""
        addresses = {ServerAddress(printed(a.host), a.quorum_port, a.election_port) for a in self.addresses}
        client = self.client and ClientAddress(self.client.port, printed(self.client.host or "0.0.0.0"))  # noqa: S104
        return Server(self.id, tuple(sorted(addresses)), self.role, client)

    def same_place(self, other: Server) -> bool:
        """Whether both lines name one address: ids are small, and two servers may be meant by one."""
        return bool(set(self.canonical.addresses) & set(other.canonical.addresses))

    def with_role(self, role: Role) -> Server:
        return msgspec.structs.replace(self, role=role)


@lru_cache(maxsize=4096)
def loopback(host: str) -> bool:
    """Whether `host` is an address by which every machine means itself, or the name of one."""
    try:
        return host == "localhost" or ip_address(host.split("%", maxsplit=1)[0]).is_loopback
    except ValueError:
        return False


def printed(host: str) -> str:
    """A host as Java prints it: an IPv6 address in full (`0:0:0:0:0:0:0:1`), one that wraps an IPv4 as IPv4, names as they are."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    zone = f"%{address.scope_id}" if address.scope_id else ""
    return ":".join(f"{int(g, 16):x}" for g in address.exploded.partition("%")[0].split(":")) + zone
