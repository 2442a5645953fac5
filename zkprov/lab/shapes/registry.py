"""The shapes by name."""

from __future__ import annotations

from collections.abc import Mapping

from zkprov.lab.shapes import beside, failing, promoted, restored, rolled, wiped
from zkprov.lab.shapes.shape import After, Needs, Shape
from zkprov.model.problems import BadInput

_AUTOCREATE = {"db.autocreate": None}

_ALL = (
    Shape(
        "outage",
        (
            "four new servers with a static list of seven are started beside three",
            "they are a quorum of their list, do not count the old leader, and elect a second one",
        ),
        beside.outage,
        Needs(spares=4, static=None),
    ),
    Shape(
        "static-3-5",
        (
            "three become five by editing static lists; the old leader is restarted first",
            "two of three and three of five are both a quorum: two leaders with the same history up to then",
        ),
        rolled.static_3_5,
        Needs(spares=2, static=True),
    ),
    Shape(
        "blind-joiners",
        (
            "four dynamic joiners, voters in a list of seven, are started while the old ones cannot be reached",
            "joiners that are heard adopt the newer list; these hear nobody, and elect",
        ),
        beside.blind_joiners,
        Needs(spares=4, static=None),
    ),
    Shape(
        "paused-seed",
        (
            "two joiners know one member only, and that one is paused while they start",
            "two of three are a quorum: a full garbage collection at the wrong moment is enough",
        ),
        beside.paused_seed,
        Needs(spares=2, static=None),
    ),
    Shape(
        "pair",
        (
            "two new servers have a list that names only each other",
            "they elect and serve; whoever has one of them in a connect string is on another ensemble",
        ),
        beside.pair,
        Needs(spares=2, static=None),
    ),
    Shape(
        "lonely",
        (
            "one new server has a list of itself, another one none (it runs standalone)",
            "both take writes alone, at once and without a word",
        ),
        beside.lonely,
        Needs(spares=2, static=None),
        After(leaders=3),
    ),
    Shape(
        "promoted-rogue",
        (
            "a server that leads an ensemble of its own is made a voter by reconfig",
            "reconfig asks only that a quorum of the new list is in sync; the new voter keeps on leading",
        ),
        beside.promoted_rogue,
        Needs(spares=1),
    ),
    Shape(
        "wiped-two",
        (
            "two of three come back with empty disks while the third is down",
            "without db.autocreate=false empty servers vote: they elect, and everything acknowledged is missing",
        ),
        wiped.wiped_two,
        Needs(settings=_AUTOCREATE),
        After(leaders=1, lost=True),
    ),
    Shape(
        "wiped-and-stale",
        (
            "one is down and misses writes; then a second is wiped, and the third goes down",
            "the stale one and the empty one are a quorum: the last acknowledged writes are missing",
        ),
        wiped.wiped_and_stale,
        Needs(settings=_AUTOCREATE),
        After(leaders=1, lost=True),
    ),
    Shape(
        "restored-founders",
        (
            "members of long ago are restored from a backup while others are the members now",
            "they have their list of then and are a quorum of it: the same history, and a second leader",
        ),
        restored.restored_founders,
        Needs(spares=3),
    ),
    Shape(
        "merged",
        (
            "as static-3-5, both sides take writes, and then the roll is finished",
            "one leader whom all follow, every check green, and the servers hold different data for ever",
        ),
        rolled.merged,
        Needs(spares=2, static=True),
        After(leaders=1, differ=True),
    ),
    Shape(
        "epoch-loop",
        (
            "after the outage the old members are restarted with the list of all",
            "the second leader is at a lower epoch than they: they try to follow it again and again, and never can",
        ),
        rolled.epoch_loop,
        Needs(spares=4, static=True),
        After(leaders=1, logged=rolled.EPOCH_LOOP),
    ),
    Shape(
        "captured",
        (
            "after the outage the old members are restarted with the list of all, one by one",
            "the second leader is at a higher epoch: it takes them over, and their data is replaced by its own",
        ),
        rolled.captured,
        Needs(spares=4, static=True),
        After(leaders=1, lost=True),
    ),
    Shape(
        "full-disk-leader",
        (
            "the disk of the leader is full, and clients go on writing",
            "it steps down with the highest zxid: it is elected again and fails again, or ends, or joins and leaves",
        ),
        failing.full_disk_leader,
        after=After(leaders=None, logged=failing.DISK_FULL),
    ),
    Shape(
        "unresolvable-name",
        (
            "a leader whose own name did not resolve when it started is elected (3.8.3, ZOOKEEPER-4708)",
            "it leads, all follow, and it commits nothing: no write, no new session",
        ),
        failing.unresolvable_name,
        Needs(static=True, release="3.8.3", settings={"quorumListenOnAllIPs": "true"}, names=True),
        After(leaders=1, commits=False),
    ),
    Shape(
        "pending-promotion",
        (
            "an observer is promoted, and one of three voters stands still for longer than the leader waits for it",
            "two acknowledge the list of four; who wakes votes by both lists and finds no leader; nothing is committed",
        ),
        promoted.pending_promotion,
        Needs(spares=1),
        After(leaders=1, commits=False),
    ),
)
SHAPES: Mapping[str, Shape] = {shape.name: shape for shape in _ALL}


def shape_of(name: str) -> Shape:
    """Raises `BadInput` when there is none of that name."""
    if name not in SHAPES:
        import difflib

        near = difflib.get_close_matches(name, SHAPES, 1)
        raise BadInput(
            f"there is no shape {name!r}",
            place="zkprov lab break",
            remedy=f"zkprov lab break {near[0]}" if near else "zkprov lab break --list",
        )
    return SHAPES[name]
