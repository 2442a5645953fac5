"""The trees of servers, each read through its own session: local reads, stats only, a bounded number of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from zkprov.model.facts import Fact
from zkprov.model.server import HostPort
from zkprov.model.tree import Tree, Znode
from zkprov.observe.session import Session, ZooKeeperError
from zkprov.observe.sessions import Sessions

MOST = 50_000
"""Znodes a server: 100 bytes each, and one question, two where they have children."""
AT_ONCE = 200
OWN = "/zookeeper"
"""ZooKeeper's own znodes are each server's affair: a static list shows there what its snapshot held."""


def read_trees(sessions: Sessions, at: Mapping[str, HostPort], timeout_s: float, most: int = MOST) -> tuple[Tree, ...]:
    """Each server's tree, all at once. Never raises for what a server does."""

    async def one(name: str, where: HostPort) -> Tree:
        dialer = sessions.dialer(timeout_s)

        async def read() -> Tree:
            return await _tree(name, await sessions.session(where, dialer), most)

        fact: Fact[Tree] = await dialer.fact(f"tree@{where}", read())
        return fact.value or Tree(name, whole=False, problem=str(fact))

    async def every() -> list[Tree]:
        return await asyncio.gather(*(one(name, where) for name, where in at.items()))

    return tuple(sessions.run(every(), timeout_s + 10))


def read_paths(
    sessions: Sessions, at: Mapping[str, HostPort], paths: Sequence[str], timeout_s: float
) -> dict[str, dict[str, Znode | None]]:
    """Server → path → what it shows there now. A server that does not answer in time is left out."""

    async def one(name: str, where: HostPort) -> tuple[str, dict[str, Znode | None] | None]:
        dialer = sessions.dialer(timeout_s)

        async def read() -> dict[str, Znode | None]:
            session = await sessions.session(where, dialer)
            found: dict[str, Znode | None] = {}
            for begin in range(0, len(paths), AT_ONCE):
                some = paths[begin : begin + AT_ONCE]
                found |= zip(some, await asyncio.gather(*(_stat(session, p) for p in some)), strict=True)
            return found

        return name, (await dialer.fact(f"tree@{where}", read())).value

    async def every() -> dict[str, dict[str, Znode | None]]:
        told = await asyncio.gather(*(one(name, where) for name, where in at.items()))
        return {name: found for name, found in told if found is not None}

    return sessions.run(every(), timeout_s + 10)


async def _tree(name: str, session: Session, most: int) -> Tree:
    found: dict[str, Znode] = {}
    unread = 0
    rest = ["/"]
    while rest and len(found) < most:
        some, rest = rest[:AT_ONCE], rest[AT_ONCE:]
        stats = await asyncio.gather(*(_stat(session, path) for path in some))
        found |= {path: stat for path, stat in zip(some, stats, strict=True) if stat is not None}
        parents = [path for path in some if path in found and found[path].children]
        for path, names in zip(parents, await asyncio.gather(*(_children(session, p) for p in parents)), strict=True):
            if names is None:
                unread += 1
                continue
            own = path.rstrip("/")
            rest += [below for n in names if (below := f"{own}/{n}") != OWN]
    return Tree(name, found, unread, whole=not rest)


async def _stat(session: Session, path: str) -> Znode | None:
    stat = await session.stat(path)
    if stat is None:
        return None
    return Znode(stat.czxid, stat.mzxid, stat.version, stat.dataLength, stat.numChildren)


async def _children(session: Session, path: str) -> list[str] | None:
    """None where we have no right to read them."""
    try:
        return await session.children(path) or []
    except ZooKeeperError:
        return None
