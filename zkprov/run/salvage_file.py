"""`zkprov salvage` as a whole: the two sides found, the file made; and later its letters replayed, under the ensemble's gates and lock."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from zkprov import __version__
from zkprov.act.session import close
from zkprov.model.inventory import Inventory
from zkprov.model.letters import SETTLED, Fate, Origin
from zkprov.model.problems import BadInput, Busy, Interrupted, NotHealthy
from zkprov.observe.data_files import DataFiles, find
from zkprov.observe.live_tree import read_tree
from zkprov.observe.server_logs import cut_by_leaders
from zkprov.run.clock import SystemClock
from zkprov.run.dead_letters import DeadLetters, write
from zkprov.run.endpoints import endpoints_of
from zkprov.run.ledger import EnsembleLedger
from zkprov.run.replaying import Done, Replayer, safe_to_write
from zkprov.run.salvaging import KeptSide, Salvage, kept_of
from zkprov.run.watch import Watcher
from zkprov.run.world import World

MOST_SHOWN = 1000
"""Letters that `apply` tells of one by one; the file has them all."""


def can_be_made(out: Path) -> None:
    """Raises `BadInput` for a file that is there, or a place where none can be."""
    if out.exists() or out.is_symlink():
        raise BadInput(
            "there is a file already", place=str(out), remedy="give -o another name; nothing is written over"
        )
    if not out.absolute().parent.is_dir():
        raise BadInput("there is no such folder", place=str(out.absolute().parent), remedy="give -o another place")


def ready(
    sources: Sequence[Path], out: Path, beside: Sequence[Path] = (), copies: Mapping[Path, Path] = MappingProxyType({})
) -> tuple[list[DataFiles], list[DataFiles]]:
    """The losing side's disks, and those of the kept side (`beside`); `copies`: where the one of a host was copied to.

    Raises `BadInput` before any is read, as `can_be_made` too.
    """
    can_be_made(out)

    def read(folders: Sequence[Path]) -> list[DataFiles]:
        return [msgspec.structs.replace(find(copies.get(f, f)), name=str(f)) for f in dict.fromkeys(folders)]

    side = read(sources)
    found = [*side, *read(beside)]
    for n, one in enumerate(found):
        twice = next((o for o in found[:n] if one.myid is not None and o.myid == one.myid), None)
        if twice is not None:
            raise BadInput(
                f"{twice.name} and {one.name} are both of server {one.myid}",
                place="FROM",
                remedy="give one of them: as FROM one of the losing side, with --kept-disk one of the kept side",
            )
    return side, found[len(side) :]


def make(
    side: Sequence[DataFiles], kept: KeptSide, out: Path, who: str, say: Callable[[str], None], beside: Sequence[DataFiles] = (),
    server_logs: Sequence[Path] = (),
) -> Origin:  # fmt: skip
    """Writes the file. Raises as `Salvage` and `dead_letters.write`."""
    salvage = Salvage(side, kept, say, beside, [told for log in server_logs for told in cut_by_leaders(log)])
    made: list[Origin] = []

    def origin() -> Origin:
        counts, notes = salvage.counts, list(salvage.notes)
        if kept.unread:
            notes.append(f"{len(kept.unread)} znodes of the kept side cannot be read by zkprov: taken as different")
        found = Origin(
            ensemble=kept.name, sources=tuple(f.name for f in side), kept=kept.name, parted=salvage.parting.zxid,
            how=salvage.parting.how, first=counts.first, last=counts.last, transactions=counts.transactions,
            letters=counts.letters, conflicts=counts.conflicts, ephemeral=counts.ephemeral, same=counts.same,
            left_out=counts.left_out, flaws=(*salvage.flaws.told(), *kept.flaws),
            notes=tuple(notes), at=time.time(), who=who, zkprov=__version__, cut_off=salvage.cut_off,
            beside=tuple(f.name for f in beside),
        )  # fmt: skip
        made.append(found)
        return found

    write(out, salvage.letters(), origin)
    return made[0]


def kept_folder(folder: Path, *, logs: bool) -> KeptSide:
    """Raises `BadInput`; with `logs` for a folder without them too: what lacks there would be taken for lost."""
    files = find(folder)
    if logs and not files.logs:
        raise BadInput(
            "there is no transaction log in it, so what the kept side has by now is not known",
            place=files.name,
            remedy="where its dataLogDir is another folder, name both: --kept DATADIR:LOGDIR",
        )
    return kept_of(files)


def kept_live(world: World) -> KeptSide:
    """The kept side as one of its members has it by now. Raises `NotHealthy` where none serves, `BadInput` where it is too large."""
    endpoints = endpoints_of(world.survey(clients=False))
    if not endpoints:
        raise NotHealthy("no member of the kept side serves", place=world.inventory.ensemble, remedy="zkprov status")
    client = world.connect(endpoints)
    try:
        tree, unread = read_tree(client, acls=world.is_known)
    finally:
        close(client)
    return KeptSide(world.inventory.ensemble, tree, None, tuple(unread))


class Applied(msgspec.Struct):
    """What an `apply` came to. `letters`: those that were come to, the first `MOST_SHOWN` and all that were set aside among them."""

    letters: list[Done]
    counts: Counter[Fate]
    earlier: int
    more: int
    stopped: str


class Applying:
    """A file that is applied to one ensemble. Use it with `with`. Raises as `DeadLetters`."""

    def __init__(self, file: Path, inventory: Inventory, timeout_s: float, who: str, lock_timeout_s: float) -> None:
        self._file = DeadLetters(file, to_apply=True)
        self.origin = self._file.origin
        self._world = World(inventory, timeout_s=timeout_s)
        self._who, self._lock_timeout_s = who, lock_timeout_s

    def __enter__(self) -> Applying:
        return self

    def __exit__(self, *_: object) -> None:
        self._world.close()
        self._file.close()

    def open(self, only: Sequence[str]) -> int:
        """How many letters of these paths have no fate yet."""
        return sum(outcome.fate not in (*SETTLED, Fate.NEVER) for _, outcome in self._file.letters(only))

    def carry_out(self, only: Sequence[str], stop: threading.Event, *, dry_run: bool) -> Applied:
        """Raises `Unsafe` or `NotHealthy` where the ensemble is not safe, `Busy` where it is paused or another's."""
        watcher = Watcher(self._world, clients=False)

        def look() -> None:
            safe_to_write(watcher.settled())

        look()
        survey = self._world.last or self._world.survey(clients=False)
        client = self._world.connect(endpoints_of(survey), stop)
        ledger = EnsembleLedger(client, self._world.is_known, stop)
        applied = Applied([], Counter(), 0, 0, "")

        def hear(done: Done) -> None:
            if len(applied.letters) < MOST_SHOWN or done.outcome.fate is Fate.CONFLICT:
                applied.letters.append(done)
            else:
                applied.more += 1

        replayer = Replayer(self._file, client, SystemClock(), stop, look, dry_run=dry_run)
        try:
            with contextlib.ExitStack() as held:
                if not dry_run:
                    not_paused(ledger)
                    ledger.lock(f"{self._who} salvage apply", self._lock_timeout_s, stop, lambda *_: not_paused(ledger))
                    held.callback(ledger.unlock)
                replayer.carry_out(list(only), hear)
        except Interrupted as stopped:
            applied.stopped = f"{stopped}; next: {stopped.remedy}" if stopped.remedy else str(stopped)
        finally:
            close(client)
        applied.counts, applied.earlier = replayer.counts, replayer.earlier
        return applied


def not_paused(ledger: EnsembleLedger) -> None:
    reason = ledger.paused()
    if reason is not None:
        raise Busy(f"paused: {reason or 'no reason given'}", place="/zkprov/paused", remedy="zkprov unpause")
