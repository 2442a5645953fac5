"""Compares the trees of the members that serve, by local reads: what differs is read again, until it stands still or is gone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from zkprov.judge.picture import Picture
from zkprov.judge.trees import alike, differing, standing
from zkprov.model.server import HostPort
from zkprov.model.tree import Compared, Difference, Znode
from zkprov.observe.trees import MOST, read_paths, read_trees

if TYPE_CHECKING:
    from zkprov.run.world import World

TIMEOUT_S = 60.0
AGAIN_S = 0.5
TIMES = 4
MOST_AGAIN = 5_000
"""Paths that are read again: of two trees with nothing in common the first ones do."""


def compare(world: World, picture: Picture, most: int = MOST) -> Compared:
    """Raises nothing for what servers do."""
    at: dict[str, HostPort] = {f.name: f.client for f in picture.members if f.serving and f.client is not None}
    trees = read_trees(world.sessions, at, TIMEOUT_S, most)
    read = [t for t in trees if not t.problem]
    problems = [t.problem for t in trees if t.problem]
    problems += [f"{t.server}: only the first {len(t.znodes)} znodes were read" for t in read if not t.whole]
    problems += [f"{t.server}: {t.unread} znodes do not let us read their children" for t in read if t.unread]
    names = tuple(t.server for t in read)
    count = max((len(t.znodes) for t in read), default=0)
    paths = differing(read)[:MOST_AGAIN]
    found = _stood(world, {n: at[n] for n in names}, paths)
    return Compared(names, count, found, alike(names, found), tuple(problems))


def _stood(world: World, at: Mapping[str, HostPort], paths: list[str]) -> tuple[Difference, ...]:
    if not paths:
        return ()
    before: dict[str, dict[str, Znode | None]] = read_paths(world.sessions, at, paths, TIMEOUT_S)
    found: tuple[Difference, ...] = ()
    for _ in range(TIMES):
        time.sleep(AGAIN_S)
        now = read_paths(world.sessions, at, paths, TIMEOUT_S)
        found = standing(paths, before, now)
        # what moves is read again; what is equal by now was on its way
        paths = [p for p in paths if len({seen.get(p) for seen in now.values()}) > 1]
        if len(found) == len(paths):
            break
        before = now
    return found
