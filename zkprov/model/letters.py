"""A dead letter: one change that was acknowledged on the losing side of a split and is not on the kept side. Pure values."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    CREATE = "create"
    SET = "set"
    DELETE = "delete"
    ACL = "acl"
    STOOD = "stood"  # it stood in the oldest snapshot there is; the transactions that made it are in no log


class Why(StrEnum):
    """Why it is not on the kept side. Of all changes of one znode the same."""

    CREATED_THERE = "created only there"
    CHANGED_THERE = "changed only there"
    DELETED_THERE = "deleted only there"
    NOT_KEPT = "not on the kept side"  # whether it ever was, nobody can tell
    DELETED_KEPT = "deleted on the kept side"
    CREATED_BOTH = "created on both sides"
    CHANGED_BOTH = "changed on both sides"
    DIFFERS = "different on the kept side"  # since when, nobody can tell

    @property
    def conflict(self) -> bool:
        """Whether a person must say which of two is right."""
        return self in (Why.DELETED_KEPT, Why.CREATED_BOTH, Why.CHANGED_BOTH, Why.DIFFERS)


class Fate(StrEnum):
    """What became of a letter. BEGUN: it may have been carried out; the next `apply` looks."""

    OPEN = "open"
    BEGUN = "begun"
    REPLAYED = "replayed"
    THERE = "there already"
    CONFLICT = "conflict"
    NEVER = "never"  # an ephemeral znode: whose session is gone


SETTLED = (Fate.REPLAYED, Fate.THERE)


class Kept(msgspec.Struct, frozen=True, gc=False):
    """The znode on the kept side when the salvage was made."""

    mzxid: int
    version: int
    aversion: int


class Letter(msgspec.Struct, frozen=True, gc=False):
    """`number`: their order. `zxid`, `time` (ms since 1970), `session`: of the transaction; `part`: which of a multi's changes, from 0.

    `version`: of the data (`acl`: of the ACL) after the change. `acl`: as it lies on disk. `owner`: not 0 of an ephemeral znode, a
    container, or one with a time to live. `disks`: on how many of the losing side's disks the transaction is; `doubt`: why it may never
    have been acknowledged. `kept`: None where the kept side has no such znode. `last`: the sum of the data that the losing side has by
    its end; None where the znode is gone there.
    """

    number: int
    zxid: int
    part: int
    time: int
    session: int
    kind: Kind
    path: str
    data: bytes | None
    version: int
    acl: bytes
    owner: int
    ephemeral: bool
    why: Why
    disks: int
    doubt: str
    kept: Kept | None
    last: bytes | None


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """`said`: the reason of a conflict. `at` in seconds since 1970. `mzxid`, `version`, `aversion`: of the znode before it was begun, after
    it was replayed; −1 where there was none.
    """

    fate: Fate
    said: str = ""
    at: float = 0.0
    mzxid: int = -1
    version: int = -1
    aversion: int = -1


class CutOff(msgspec.Struct, frozen=True):
    """What no letter can be of: the log of `disk` was cut off after the zxid `after`, when its server joined a leader of another history.

    What it had logged beyond that is on this disk no more. `sure`: else the disk may have been copied without the end of its logs. `kept`:
    it is a disk of the kept side. `last`: how far the log had reached, by what the leader's own log tells; 0 where none does.
    """

    disk: str
    after: int
    sure: bool = True
    kept: bool = False
    last: int = 0

    @property
    def most(self) -> int:
        """So many transactions at most; 0 where it is not told."""
        return self.last - self.after if self.last >> 32 == self.after >> 32 else 0


class Origin(msgspec.Struct, frozen=True):
    """What a file of dead letters is of. `parted`: the zxid up to which both sides have one history; `how` that is known.

    `sources`: the folders; `kept`: the kept side's folder, or its ensemble; `beside`: disks of the kept side, from before it was healed.
    `cut_off`: what lies on none of these disks, so that no letter can be of it. `flaws`: what could not be read. `left_out`: changes of
    `/zookeeper` and `/zkprov`; `same`: changes whose znode is the same on the kept side. `at` in seconds since 1970. `ephemeral`: of all.
    """

    ensemble: str
    sources: tuple[str, ...]
    kept: str
    parted: int
    how: str
    first: int
    last: int
    transactions: int
    letters: int
    conflicts: int
    ephemeral: int
    same: int
    left_out: int
    flaws: tuple[str, ...]
    notes: tuple[str, ...]
    at: float
    who: str
    zkprov: str
    cut_off: tuple[CutOff, ...] = ()
    beside: tuple[str, ...] = ()
    format: int = 1
