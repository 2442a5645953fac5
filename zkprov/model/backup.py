"""A backup as its manifest tells it, and what was found when it was loaded. Pure values; the files are `shipped/remote/backup.py`'s."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from zkprov.model.problems import BadInput

BY_HAND = "by-hand"
"""In place of the run, in the name of a backup that no run made."""


class Look(msgspec.Struct, frozen=True):
    """What a server said of itself: how far it was, and how many znodes it had."""

    zxid: int
    nodes: int


class About(msgspec.Struct, frozen=True):
    """What zkprov knows of a backup that is made, beside its files. `made_at` in seconds since 1970; `run`: empty for one by hand.

    `looks`: the server before and after its data was copied; `digests`: zxid in decimal → digest of its data, the latest ones.
    """

    ensemble: str
    host: str
    server: int
    release: str
    made_at: float
    by: str
    run: str
    zkprov: str
    looks: tuple[Look, ...] = ()
    digests: dict[str, int] = {}


class Backup(msgspec.Struct, frozen=True):
    """One on one host. `state`: `whole`, `partial` (somebody was cut off, or is at it) or `damaged` (its manifest is not readable).

    `size` in bytes. `zxid`: of the last whole transaction saved; `snapshot`: that of the snapshot; 0 where no data was saved.
    """

    name: str
    size: int = 0
    state: str = "whole"
    count: int = 0
    zxid: int = 0
    snapshot: int = 0
    ensemble: str = ""
    host: str = ""
    server: int = 0
    release: str = ""
    made_at: float = 0.0
    by: str = ""
    run: str = ""
    zkprov: str = ""
    looks: tuple[Look, ...] = ()
    digests: dict[str, int] = {}
    data: bool = False
    format: int = 1

    @property
    def what(self) -> str:
        if self.state != "whole":
            return ""
        return "config, epochs, data" if self.data else "config, epochs"


class Loaded(msgspec.Struct, frozen=True):
    """What a release made of a backup. `damaged`: files that are not what was saved; `said`: why it could not be loaded.

    `mismatches`: transactions after which the data was not what their log says; None where the release tells none. Where there are any,
    `twice`: how many stand in the log again, which 3.6 writes so at times; and `once`: what was made of the backup without those.
    """

    zxid: int = 0
    nodes: int = 0
    release: str = ""
    mismatches: int | None = None
    digests: dict[str, int] = {}
    took_s: float = 0.0
    damaged: tuple[str, ...] = ()
    said: str = ""
    twice: int = 0
    once: Loaded | None = None


class Reached(msgspec.Struct, frozen=True):
    """How far a server's disk reaches. Epochs are None where they are not there, or are no numbers.

    `zxid`: of the last whole transaction in its log, else of its newest finished snapshot; `last_ms`: when that transaction was made, in
    ms since 1970 by the leader's clock, 0 where only a snapshot tells it. `damaged`: what cannot be read before that, in words.
    """

    accepted: int | None = None
    current: int | None = None
    zxid: int = 0
    snapshot: int = 0
    last_ms: int = 0
    damaged: str = ""


class FileSum(msgspec.Struct, frozen=True):
    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """`manifest.json`, as far as its files go."""

    files: tuple[FileSum, ...]
    format: int = 1


def name_of(made_at: float, run: str) -> str:
    """`20261128T235508Z-4f1c2a`: it sorts by time, and is the same on every host of one backup."""
    return f"{datetime.fromtimestamp(made_at, UTC):%Y%m%dT%H%M%SZ}-{run or BY_HAND}"


def readable(format_number: int, place: str) -> None:
    """Raises `BadInput` for a backup of a newer zkprov than this one."""
    if format_number > 1:
        what = f"a backup of format {format_number}; this zkprov reads 1"
        raise BadInput(what, place=place, remedy="use the zkprov that made it, or a newer one")
