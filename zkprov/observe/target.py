"""Whom a survey asks: where each server is, and why it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from zkprov.model.facts import Disk, Fact
from zkprov.model.server import HostPort, ServerAddress

DiskReader = Callable[[], Fact[Disk]]


class Target(msgspec.Struct, frozen=True):
    """A server to ask. `known_as`: why (`member`, `inventory`, `retired`, `connect`, `named by 7`). `disk` reads its files, if one can."""

    name: str
    client: HostPort | None = None
    admin: HostPort | None = None
    expected_id: int | None = None
    known_as: tuple[str, ...] = ()
    disk: DiskReader | None = None
    address: ServerAddress | None = None
    """Where its line has it, for a host whose line does not say where clients are served."""
    unasked: str = ""
    """Why there is no client address, for a server that is only named."""
    disk_here: bool = False
    """Whether the disk is one of this machine's, which is read in milliseconds."""

    def merged(self, other: Target) -> Target:
        """One target for two names of one endpoint; the first one's name stays."""
        return msgspec.structs.replace(
            self,
            client=self.client or other.client,
            admin=self.admin or other.admin,
            expected_id=self.expected_id if self.expected_id is not None else other.expected_id,
            known_as=tuple(dict.fromkeys((*self.known_as, *other.known_as))),
            disk=self.disk or other.disk,
            disk_here=self.disk_here if self.disk else other.disk_here,
            address=self.address or other.address,
        )


def merge(targets: Sequence[Target]) -> list[Target]:
    """One target an endpoint, in the order in which they were given."""
    merged: dict[HostPort | str, Target] = {}
    for target in targets:
        key = target.client or target.name
        merged[key] = merged[key].merged(target) if key in merged else target
    return list(merged.values())
