"""How it is said that a host was not reached: one line, in place of whatever a library or another machine says."""

from __future__ import annotations

from zkprov.model.facts import Outcome
from zkprov.model.problems import Unreached
from zkprov.observe.ssh_config import Hop


def unreached(place: Hop | str, outcome: Outcome, problem: str, remedy: str = "") -> Unreached:
    """`place`: a host of the inventory by its name, or where it was tried to log in."""
    where = place if isinstance(place, str) else f"{place.user}@{place}"
    return Unreached(problem, outcome=outcome.value, place=where, remedy=remedy)


def printable(text: str) -> str:
    """One line, for people: what other machines say is not to steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)[:300].strip()
