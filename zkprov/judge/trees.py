"""Servers whose trees differ: by stats, path by path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zkprov.model.tree import Difference, Tree, Znode


def differing(trees: Sequence[Tree]) -> list[str]:
    """The paths at which not all of `trees` show the same, in order. The number of children of a parent says nothing besides."""
    every = sorted({path for tree in trees for path in tree.znodes})
    return [p for p in every if len({t.znodes.get(p) for t in trees}) > 1]


def standing(
    paths: Sequence[str],
    before: Mapping[str, Mapping[str, Znode | None]],
    now: Mapping[str, Mapping[str, Znode | None]],
) -> tuple[Difference, ...]:
    """Of `paths` those that differ, on servers where nothing changed between two readings: what a client writes just now is on its way."""
    found = []
    for path in paths:
        on = {name: seen.get(path) for name, seen in now.items()}
        still = all(before.get(name, {}).get(path) == value for name, value in on.items())
        if still and len(on) > 1 and len(set(on.values())) > 1:
            found.append(Difference(path, on))
    return tuple(found)


def alike(servers: Sequence[str], differences: Sequence[Difference]) -> tuple[tuple[str, ...], ...]:
    """The servers by equal trees, the most first."""
    groups: list[list[str]] = []
    for name in servers:
        home = next((g for g in groups if all(d.on.get(name) == d.on.get(g[0]) for d in differences)), None)
        if home is None:
            groups.append([name])
        else:
            home.append(name)
    return tuple(tuple(g) for g in sorted(groups, key=lambda g: (-len(g), g)))
