"""How anything that stops a command is said: what, where, and what to do next; each kind has its exit code."""

from __future__ import annotations

from collections.abc import Sequence


class Problem(Exception):
    """Stops a command. `exit_code` is the one of DESIGN's table; `remedy` is a sentence or a command to type next."""

    exit_code = 1

    def __init__(self, problem: str, *, place: str = "", remedy: str = "") -> None:
        super().__init__(f"{place}: {problem}" if place else problem)
        self.problem = problem
        self.place = place
        self.remedy = remedy


class BadInput(Problem):
    """Wrong usage or an invalid file; nothing was touched. `place` names the file and line, the flag or the host."""

    exit_code = 2


class BadInputs(BadInput):
    """Several at once, each with its place and remedy."""

    def __init__(self, problem: str, each: Sequence[BadInput]) -> None:
        super().__init__(problem, remedy="correct them; nothing was touched")
        self.each = tuple(each)


class Unsafe(Problem):
    """The ensemble is in danger as it is: nothing is done, nor called done, until a person has looked."""

    exit_code = 3


class NotHealthy(Problem):
    """A gate failed, or time ran out; the former state stands."""

    exit_code = 4


class Unreached(NotHealthy):
    """A host that could not be asked or told over its connection. `outcome`: the value of the `Outcome` that a fact of it has."""

    def __init__(self, problem: str, *, outcome: str, place: str = "", remedy: str = "") -> None:
        super().__init__(problem, place=place, remedy=remedy)
        self.outcome = outcome


class NotAllowed(NotHealthy):
    """The ensemble takes no such write from who zkprov is there."""


class NotSwitchable(NotHealthy):
    """zkprov cannot say which release a host's server runs: somebody else's unit, or own commands, start it from elsewhere."""


class Busy(Problem):
    """Another run holds the lock or the host, or the ensemble is paused."""

    exit_code = 5


class Stale(Problem):
    """The ensemble, or what the plan was made from, changed since."""

    exit_code = 6


class Interrupted(Problem):
    """Stopped with something begun and standing: the journal holds the rest."""

    exit_code = 7
