"""What servers' trees hold, as far as stats tell: to compare servers that tell no digests, and to name what differs."""

from __future__ import annotations

import msgspec


class Znode(msgspec.Struct, frozen=True):
    """A znode's stat as one server shows it. `length` in bytes."""

    czxid: int
    mzxid: int
    version: int
    length: int
    children: int

    def __str__(self) -> str:
        return f"czxid {self.czxid:#x}, mzxid {self.mzxid:#x}, version {self.version}, {self.length} bytes, {self.children} children"


class Tree(msgspec.Struct, frozen=True):
    """One server's. `unread`: how many paths we have no right to read. `whole`: whether to its end. `problem`: why it was not read."""

    server: str
    znodes: dict[str, Znode] = {}
    unread: int = 0
    whole: bool = True
    problem: str = ""


class Difference(msgspec.Struct, frozen=True):
    """One path. `on`: server → what it shows there; None: nothing."""

    path: str
    on: dict[str, Znode | None]


class Compared(msgspec.Struct, frozen=True):
    """What came of it. `alike`: servers by equal trees. `differences` in the order of paths, those that stood at two readings.

    `problems`: why less was compared than there is.
    """

    servers: tuple[str, ...]
    znodes: int
    differences: tuple[Difference, ...] = ()
    alike: tuple[tuple[str, ...], ...] = ()
    problems: tuple[str, ...] = ()
