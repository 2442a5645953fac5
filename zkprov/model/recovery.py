"""An ensemble that has lost its quorum for good, as values: what is left, what is gone by whose word, and who founds it anew."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from zkprov.model.backup import Reached
from zkprov.model.members import Members
from zkprov.model.server import Server


class Survivor(msgspec.Struct, frozen=True):
    """A voter whose disk holds data. `members`: the newest list there, committed or about to be."""

    id: int
    host: str
    members: Members
    reached: Reached

    @property
    def rank(self) -> tuple[int, int, int]:
        """The order in which ZooKeeper itself prefers histories: epoch, zxid; and, as it does, the id where those are equal."""
        return self.reached.current or 0, self.reached.zxid, self.id

    def __str__(self) -> str:
        last = f", last written {utc(self.reached.last_ms)}" if self.reached.last_ms else ""
        epoch = "no epoch" if self.reached.current is None else f"epoch {self.reached.current}"
        return f"{self.id} ({self.host}): {epoch}, up to {self.reached.zxid:#x}{last}, list of version {self.members.version_hex}"


class Gone(msgspec.Struct, frozen=True):
    """A voter that has no data to give. `fate`: `wiped` (its host answers, its disk is empty) or `destroyed`. `why`: a person's words.

    `host`: its name in the inventory, or its address where it is none of the inventory's.
    """

    server: Server
    host: str
    fate: str
    why: str

    def __str__(self) -> str:
        return f"{self.server.id} ({self.host}): {self.fate}: {self.why}"


class Recovery(msgspec.Struct, frozen=True):
    """What `recover` does. `base`: the highest list known. `founder`: the line that the first server has in the new one, alone.

    `survivors`: best first, the founder's among them; their disks are set aside, and its data is copied back. `hosts`: those that are in
    the inventory and have something to be set aside. `others`: who comes in again, empty, in order.
    """

    ensemble: str
    base: Members
    founder: Server
    host: str
    survivors: tuple[Survivor, ...]
    gone: tuple[Gone, ...]
    hosts: tuple[str, ...]
    others: tuple[str, ...]
    proof: str = ""
    notes: tuple[str, ...] = ()
    format: int = 1

    @property
    def run(self) -> str:
        """What every host is fenced by: two people who would have different founders are in each other's way, not side by side."""
        return f"{FENCE}{self.host}"

    @property
    def best(self) -> Survivor:
        return self.survivors[0]


FENCE = "recover-"
"""What the fences of a recovery begin with; the founder's host follows."""


def utc(ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return f"{ms} ms"
