"""Every transaction that a salvage reads, of all disks at once: by its zxid, and whose history has it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence

import msgspec

from zkprov.judge.parting import same_transaction
from zkprov.model.problems import BadInput
from zkprov.observe import data_files
from zkprov.observe.data_files import DataFiles
from zkprov.run.crossings import Former
from zkprov.tree.flaw import Flaw


class Found(msgspec.Struct, gc=False):
    """One transaction. `side`: the losing disks that have it; `former`: which of the kept disks' former stretches have it, by number.

    `kept`: it is in the history of the kept side too. `other`: a disk has another transaction of that zxid.
    """

    zxid: int
    body: bytes
    side: set[str]
    former: list[int]
    kept: bool = False
    other: bool = False


class Sources:
    """`side`: the losing disks. `formers`: stretches of kept disks from before these took over the kept history; `kept`: what has that."""

    def __init__(self, side: Sequence[DataFiles], formers: Sequence[Former], kept: Sequence[DataFiles]) -> None:
        self.side, self.formers, self.kept = tuple(side), tuple(formers), tuple(kept)

    def __call__(self, beyond: int, flawed: Callable[[Flaw], None]) -> Iterator[Found]:
        """In order, the losing side's own first where there are several of one zxid. Raises `BadInput` where two losing disks differ."""
        if len(self.side) == 1 and not self.formers and not self.kept:
            name = self.side[0].name
            for zxid, body in data_files.bodies(self.side[0], flawed, beyond):
                yield Found(zxid, body, {name}, [])
            return
        held: list[Found] = []
        for zxid, n, body in heapq.merge(*self._streams(beyond, flawed), key=lambda found: found[:2]):
            if held and held[0].zxid != zxid:
                yield from self._told(held)
                held = []
            found = next((f for f in held if same_transaction(f.body, body)), None)
            if found is None:
                found = Found(zxid, body, set(), [])
                held.append(found)
            self._noted(found, n)
        yield from self._told(held)

    def _streams(self, beyond: int, flawed: Callable[[Flaw], None]) -> list[Iterator[tuple[int, int, bytes]]]:
        quiet: Callable[[Flaw], None] = lambda _: None  # noqa: E731 — what is missing there is told where it is read for itself
        streams = [_of(n, data_files.bodies(files, flawed, beyond)) for n, files in enumerate(self.side)]
        for former in self.formers:
            since = max(beyond, former.parted)
            streams.append(_of(len(streams), data_files.bodies(former.files, quiet, since)))
        streams += [_of(len(streams) + n, data_files.bodies(files, quiet, beyond)) for n, files in enumerate(self.kept)]
        return streams

    def _noted(self, found: Found, number: int) -> None:
        former = number - len(self.side)
        if former < 0:
            found.side.add(self.side[number].name)
        elif former < len(self.formers):
            found.former.append(former)
        else:
            found.kept = True

    def _told(self, held: list[Found]) -> Iterator[Found]:
        lost = [f for f in held if f.side and not f.kept]
        if len(lost) > 1:
            first, second = (min(f.side) for f in lost[:2])
            raise BadInput(
                f"{second} and {first} are of two histories: transaction {lost[0].zxid:#x} is another in each",
                place=second,
                remedy="salvage each side by itself; zkprov status shows who belongs to which",
            )
        for found in held:
            found.other = len(held) > 1
            if found.side or (found.former and not found.kept):
                yield found


def deleted_in(logs: Sequence[DataFiles], beyond: int) -> dict[bytes, int]:
    """The last deletion of each znode that these logs tell, by its zxid."""
    found: dict[bytes, int] = {}
    for files in logs:
        for txn in data_files.transactions(files, lambda _: None, beyond):
            for path in (*(c.path for c in txn.changes if c.kind == "delete"), *txn.closed):
                found[path] = max(found.get(path, 0), txn.zxid)
    return found


def _of(n: int, bodies: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, int, bytes]]:
    for zxid, body in bodies:
        yield zxid, n, body
