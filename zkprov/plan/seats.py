"""In which group a server gets its vote, and with which weight: by the inventory, or as it was, or as of the one that it replaces.

A joiner's group is nobody's to guess: it decides what one site, or one rack, may fail of.
"""

from __future__ import annotations

from collections.abc import Sequence

from zkprov.model.inventory import InventoryHost
from zkprov.model.members import Members, Seat
from zkprov.plan.steps import Joiner, Refusal, Step, StepKind

GROUP, WEIGHT = "zkprov_quorum_group", "zkprov_quorum_weight"
MOST = "a quorum wins more than half of them"


def seat_for(
    host: InventoryHost | None, name: str, live: Members, command: str, *, votes: bool, like: Seat | None = None
) -> Seat | Refusal | None:
    """None for one that needs none: of a list without groups, or an observer that nobody has a group for.

    `host`: of the inventory, called `name`; `like`: the seat that it had, or that of the one that it replaces.
    """
    group, weight = (host.quorum_group, host.quorum_weight) if host is not None else (None, None)
    if not live.hierarchical:
        given = [f"{GROUP}: {group}"] * (group is not None) + [f"{WEIGHT}: {weight}"] * (weight not in (None, 1))
        if not votes or not given:
            return None
        told = (f"{name} has {', '.join(given)}", f"{live} is a majority list, and zkprov makes no groups of one")
        ways = (("", f"take {GROUP} and {WEIGHT} of {name} out of the inventory"), (command, "again, then"))
        return Refusal("", f"{name} cannot have a vote in a group: the list has none.", told, ways, exit_code=2)
    if group is None and like is not None:
        group = like.group
    if group is None:
        return _nowhere(name, live, command) if votes else None
    if weight is None:
        weight = like.weight if like is not None else 1
    return Seat(group, weight if votes else 0)


def told_of(joiners: Sequence[Joiner], steps: Sequence[Step]) -> tuple[str, ...]:
    """What a plan says of each vote in a group: where it goes, and which groups there are then."""
    told = []
    for joiner in joiners:
        own = [s for s in steps if s.server == joiner.server.id]
        step = next((s for s in own if s.kind is StepKind.PROMOTE), None)
        if joiner.seat is not None and step is not None:
            new = "" if joiner.seat.group in {g for g, _ in own[0].before.groups} else ", a new one"
            told.append(f"{joiner.server.id} votes in {joiner.seat}{new}: {step.after.seats}; {MOST}")
    return tuple(told)


def by_one(step: Step) -> tuple[tuple[str, str], ...]:
    """What to do where a vote of more weight than 1 is not proved to come in: it counts for several votes at once (R3)."""
    seat = step.after.seat(step.server)
    if step.kind is not StepKind.PROMOTE or seat is None or seat.weight <= 1:
        return ()
    return (
        (
            "",
            f"set {WEIGHT}: 1 for it, or put it into a group of its own: a weight of {seat.weight} is that many votes at once",
        ),
    )


def _nowhere(name: str, live: Members, command: str) -> Refusal:
    evidence = (
        f"the list has {live.seats}",
        f"a voter is in one of them, or in a new one; the inventory has no {GROUP} for {name}",
    )
    ways = (("", f"set {GROUP} of {name} (and {WEIGHT}, if it is not 1)"), (command, "again, then"))
    return Refusal("", f"in which group {name} is to vote is not said.", evidence, ways, exit_code=2)
