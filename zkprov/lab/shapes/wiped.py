"""Disks that are empty or old while the servers that have the data are down: the rest is a quorum, and forgets."""

from __future__ import annotations

from zkprov.lab.shapes.scene import Scene, names


def wiped_two(scene: Scene) -> None:
    """Two of three come back empty while the third is down. Without `db.autocreate=false` two empty servers are a quorum."""
    third = scene.leader()
    scene.await_writes("old", 20)
    wiped = [host for host in scene.old if host != third]
    scene.kill(third)
    scene.note(f"{third.name} went down")
    scene.wipe(*wiped)
    scene.start(*wiped)
    scene.await_leader(*wiped)
    scene.note(f"{names(wiped)} came back with empty disks, and elected")
    scene.side("wiped", wiped, "a quorum of the list, and empty")
    scene.side("old", [third], "down; it alone has what was acknowledged")


def wiped_and_stale(scene: Scene) -> None:
    """One is down and misses writes; then one of the others is wiped and the third goes down: the stale one and the empty one elect."""
    leader = scene.leader()
    stale, wiped = (host for host in scene.old if host != leader)
    scene.kill(stale)
    scene.note(f"{stale.name} went down; the others went on")
    scene.await_writes("old", 20)
    scene.kill(leader)
    scene.note(f"{leader.name} went down as well")
    scene.wipe(wiped)
    scene.start(stale, wiped)
    scene.await_leader(stale, wiped)
    scene.note(f"{wiped.name} came back with an empty disk, {stale.name} with an old one, and they elected")
    scene.side("stale", [stale, wiped], "a quorum of the list; the last writes are missing")
    scene.side("old", [leader], "down; it alone has what was acknowledged last")
