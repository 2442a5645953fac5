"""A shape: one known way in which an ensemble becomes two, or loses or falsifies what it holds, as a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from zkprov.lab.shapes.scene import Scene


class Needs(msgspec.Struct, frozen=True):
    """The lab that a shape is made in: so many founders, at least so many spares.

    `static`: None: either will do (a static one is made where none is there). `release` None: any; the default one is
    made. `settings`: of zoo.cfg, None: not set. `names`: whether server
    lines have names that each server resolves by a file of its own.
    """

    servers: int = 3
    spares: int = 0
    static: bool | None = False
    release: str | None = None
    settings: Mapping[str, str | None] = {}
    names: bool = False


class After(msgspec.Struct, frozen=True):
    """What is true once the shape is there, to be asked of the servers.

    `leaders`: servers that say that they lead, or serve alone; None: it changes. `lost`: acknowledged creates of the old side are missing
    on the side that serves. `differ`: servers of one leader hold different trees. `logged`: a regular expression that a server of a side
    without a leader has in its log again and again. `commits`: whether each leader commits.
    """

    leaders: int | None = 2
    lost: bool = False
    differ: bool = False
    logged: str = ""
    commits: bool = True


class Shape(msgspec.Struct, frozen=True):
    """`about`: two lines, what happens and why. `make` does it and returns once the facts are there."""

    name: str
    about: tuple[str, str]
    make: Callable[[Scene], None]
    needs: Needs = Needs()
    after: After = After()
