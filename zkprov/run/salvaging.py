"""`zkprov salvage`: the losing side's disks are read, compared with the kept side, and what is not there becomes dead letters.

Read in passes, so that no log need fit into memory: where the histories part; the trees; the letters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from zkprov.judge.parting import Before, Ephemerals, took_effect, why
from zkprov.model.letters import CutOff, Kept, Kind, Letter, Why
from zkprov.model.members import Members
from zkprov.observe import data_files
from zkprov.observe.data_files import Cover, DataFiles, goes_on
from zkprov.observe.fourletter import membership_of
from zkprov.observe.server_logs import CutByLeader
from zkprov.run.crossings import Former, cover_of, cuts, formers, parting_of, present
from zkprov.run.flaws import Flaws
from zkprov.run.remains import unexplained, unheld
from zkprov.run.sources import Found, Sources, deleted_in
from zkprov.tree.compare import own
from zkprov.tree.transactions import CLOSE_SESSION, OPEN, Transaction, is_ephemeral
from zkprov.tree.znodes import Tree, Znode, sum_of


class KeptSide(msgspec.Struct, frozen=True):
    """`name`: the folder, or the ensemble. `files`: None of a living one. `unread`: paths that nobody let us read."""

    name: str
    tree: Tree
    files: DataFiles | None = None
    unread: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()


class Counts(msgspec.Struct):
    transactions: int = 0
    letters: int = 0
    conflicts: int = 0
    ephemeral: int = 0
    same: int = 0
    left_out: int = 0
    first: int = 0
    last: int = 0


class Salvage:
    """One losing side, of the disks of some of its servers, against the kept side. Nothing of either is changed.

    `beside`: disks of the kept side's servers: what they had before they took over the kept history is read as well. `told`: what leaders
    said of logs that they had cut off.

    `say` hears what is being done. Raises `BadInput` for disks of which nothing can be made.
    """

    def __init__(
        self,
        side: Sequence[DataFiles],
        kept: KeptSide,
        say: Callable[[str], None],
        beside: Sequence[DataFiles] = (),
        told: Sequence[CutByLeader] = (),
    ) -> None:
        self.side, self.beside, self.kept, self._say = tuple(side), tuple(beside), kept, say
        self.flaws, self.counts = Flaws(), Counts()
        self.notes: list[str] = []
        say("reading how far each disk reaches, and which went over to another history")
        covers = {files.name: cover_of(files, self.flaws) for files in self.side}
        self.main = max(self.side, key=lambda one: covers[one.name].last or _newest(one))
        self.covered = covers[self.main.name]
        self._formers, self._kept_now = self._kept_disks()
        self._went_over = formers(self.main, self.covered, self.flaws)
        say("comparing the histories")
        self.parting = parting_of(self.main, self.covered, kept.tree, self._kept_now, self._went_over, self.flaws)
        self._formers = tuple(f for f in self._formers if f.snapshot > self.parting.zxid)
        self.cut_off = self._cut_off(told)
        self.reaches = max([self.covered.last, *(zxid for zxid, _ in self.main.snapshots)])
        self._base()

    # -- which disks have whose history

    def _kept_disks(self) -> tuple[tuple[Former, ...], tuple[DataFiles, ...]]:
        """Of each: what it had before it took the kept history over, and what it has of that."""
        quiet, before, now = (
            Flaws(),
            list[Former](),
            list[DataFiles](),
        )  # what is missing is told where the kept side is read
        for files in (*self.beside, *((self.kept.files,) if self.kept.files else ())):
            own_log = formers(files, cover_of(files, quiet), quiet)
            before += own_log
            now.append(present(files, own_log))
        return tuple(before), tuple(now)

    def _cut_off(self, told: Sequence[CutByLeader]) -> tuple[CutOff, ...]:
        """Where logs were cut off since the histories parted: what was beyond lies on another one of these disks, or on none."""
        of_kept = (*self.beside, *((self.kept.files,) if self.kept.files else ()))
        found = [c for files in self.side for c in cuts(files, self.flaws, kept=False)]
        found += [c for files in of_kept for c in cuts(files, self.flaws, kept=True)]
        ids = {files.name: files.myid for files in (*self.side, *of_kept)}
        reached = {(t.sid, t.after): t.last for t in told}
        return tuple(
            msgspec.structs.replace(c, last=reached.get((ids[c.disk] or 0, c.after), 0))
            for c in found
            if c.after >= self.parting.zxid
        )

    # -- the losing side's tree, and what its znodes were when the histories parted

    def _base(self) -> None:
        """The tree by the end of the losing side, and what the znodes were at the parting (`_before`, or a tree of that moment)."""
        self._say("reading the losing side")
        files, parted, flaws = self.main, self.parting.zxid, self.flaws
        if not files.logs:
            remedy = "where its dataLogDir is another folder, name both: DATADIR:LOGDIR"
            self.notes.append(f"{files.name} has no transaction log, only what its snapshots hold is known ({remedy})")
        covered, end = self.covered, self.reaches
        self._joined: set[int] = set()
        self._kept_deleted = deleted_in(self._kept_now, self.parting.zxid)
        self._told: set[tuple[int, bytes]] = set()
        self._logged_elsewhere: set[int] = set()
        self._unheld: set[bytes] = set()
        self._before: dict[bytes, Before] = {}
        self._parted: Tree | None = None
        found = data_files.base(files, flaws, lambda z: z <= parted and goes_on(files, covered, z, end))
        self.known = found is not None
        if found is None:
            self._parted = self._tree_at(covered)
            self.known = self._parted is not None
            found = (
                data_files.base(files, flaws, lambda z: z > parted and goes_on(files, covered, z, end), oldest=True)
                or data_files.base(files, flaws, lambda z: z > parted)
                or data_files.base(files, flaws, lambda _: True)
            )
        if found is None:
            raise data_files.nothing_whole(files)
        if not self.known:
            self.notes.append(
                f"neither a snapshot nor the logs of {files.name} tell the znodes as they were at the parting: who changed what since "
                "is not known"
            )
        self.tree, self.based = found.tree, found
        self._deleted = self._deleted_below(found.zxid)
        at_first: tuple[tuple[bytes, int], ...] | None = None
        for txn in data_files.transactions(files, flaws, found.zxid):
            if txn.zxid > parted:
                if at_first is None:
                    at_first = tuple(self.tree.ephemeral_paths())
                if self._parted is None:
                    self._note_before(txn)
            self.tree.apply(txn)
            self._unheld.update(unheld(txn, self.tree))
        self.ephemerals = Ephemerals(tuple(self.tree.ephemeral_paths()) if at_first is None else at_first)
        self.members = _members(self.tree)

    def _deleted_below(self, zxid: int) -> frozenset[bytes]:
        """What the logs say was deleted since the parting, up to a snapshot that is younger than that."""
        if zxid <= self.parting.zxid:
            return frozenset()
        deleted: set[bytes] = set()
        for txn in data_files.transactions(self.main, self.flaws, self.parting.zxid):
            if txn.zxid > zxid:
                break
            deleted.update(change.path for change in txn.changes if change.kind == "delete")
        return frozenset(deleted)

    def _thrown_away(self, kind: Kind, path: bytes, zxid: int, final: Znode | None) -> bool:
        """Whether the log tells a change that a later snapshot of the same disk knows nothing of, and nobody undid.

        The snapshot is another server's then: it joined a leader of another history, which sent its own data.
        """
        if kind in (Kind.CREATE, Kind.SET) and final is None and path in self._unheld:
            return True
        if zxid > self.based.zxid or kind not in (Kind.CREATE, Kind.SET) or path in self._deleted:
            return False
        return final is None or final.mzxid < zxid

    def _tree_at(self, covered: Cover) -> Tree | None:
        """The tree at the parting, where the way from there to the end has a hole."""
        files, parted = self.main, self.parting.zxid
        found = data_files.base(files, self.flaws, lambda z: z <= parted and goes_on(files, covered, z, parted))
        if found is None:
            return None
        for txn in data_files.transactions(files, self.flaws, found.zxid):
            if txn.zxid > parted:
                break
            found.tree.apply(txn)
        return found.tree

    def _before_of(self, path: bytes) -> Before | None:
        if self._parted is None:
            return self._before.get(path)
        node, parted = self._parted.get(path), self.parting.zxid
        if node is None or node.czxid > parted:
            return None
        return Before(node.czxid, node.mzxid if node.mzxid <= parted else -1, node.aversion)

    def _note_before(self, txn: Transaction) -> None:
        paths: Iterable[bytes] = (c.path if c.path != b"/" else b"" for c in txn.changes)
        if txn.type == CLOSE_SESSION:
            paths = {*txn.closed, *self.tree.ephemerals(txn.session)}
        parted = self.parting.zxid
        for path in paths:
            if path not in self._before and (node := self.tree.get(path)) is not None and node.czxid <= parted:
                # a snapshot that was written across the parting
                mzxid = node.mzxid if node.mzxid <= parted else -1
                self._before[path] = Before(node.czxid, mzxid, node.aversion)

    # -- the letters

    def letters(self) -> Iterator[Letter]:
        """In order. Whole only when it is read to its end, `counts` too."""
        self._say("writing what is not on the kept side")
        for number, letter in enumerate(self._found(), 1):
            yield msgspec.structs.replace(letter, number=number)

    def _found(self) -> Iterator[Letter]:
        stood = self.based.zxid > self.parting.zxid
        for letter in self._logged():
            if stood and letter.zxid > self.based.zxid:
                stood = False
                yield from self._stood()
            yield letter
        if stood:
            yield from self._stood()
        yield from self._remaining()

    def _stood(self) -> Iterator[Letter]:
        """Of a snapshot that is younger than the parting: what the logs do not tell the making of, parents first."""
        for node, acls in data_files.nodes_of(self.based.path):
            mzxid, mtime = (int.from_bytes(node.stat[a : a + 8], "big", signed=True) for a in (8, 24))
            if not node.path or mzxid <= self.parting.zxid or self.covered.has(mzxid) or own(node.path):
                continue
            if mzxid in self._logged_elsewhere:
                continue
            version = int.from_bytes(node.stat[32:36], "big", signed=True)
            owner = int.from_bytes(node.stat[44:52], "big", signed=True)
            made = self._letter(
                (0, 0, mzxid, mtime, 0), 0, Kind.STOOD, node.path, node.data, version, acls.get(node.acl, OPEN), owner,
                is_ephemeral(owner), 1, "",
            )  # fmt: skip
            if made is not None:
                if self.cut_off:
                    self._told.add((mzxid, node.path))
                yield made

    def _remaining(self) -> Iterator[Letter]:
        """Of snapshots of the disks whose log was cut off: what was in that end."""
        read = (*self.side, *self._kept_now, *(f.files for f in self._formers))
        for disk, node, acl in unexplained(self.cut_off, (*self.side, *self.beside), read, self.kept.tree, self.flaws):
            mzxid, mtime = (int.from_bytes(node.stat[a : a + 8], "big", signed=True) for a in (8, 24))
            if (mzxid, node.path) in self._told:
                continue
            made = self._letter(
                (0, 0, mzxid, mtime, 0), 0, Kind.STOOD, node.path, node.data,
                int.from_bytes(node.stat[32:36], "big", signed=True), acl or OPEN,
                owner := int.from_bytes(node.stat[44:52], "big", signed=True), is_ephemeral(owner), 1,
                f"in a snapshot of {disk} alone, whose log was cut off before it", main=False,
            )  # fmt: skip
            if made is not None:
                yield made

    def _logged(self) -> Iterator[Letter]:
        parted, ephemerals, counts, close = self.parting.zxid, self.ephemerals, self.counts, CLOSE_SESSION
        for found in Sources(self.side, self._formers, self._kept_now)(parted, self.flaws):
            zxid, main = found.zxid, self.main.name in found.side
            source = self.main if main or not found.side else next(f for f in self.side if f.name in found.side)
            txn = data_files.parsed(found.body, zxid, source, self.flaws)
            if txn is None or zxid <= parted:
                continue
            if found.side and not main and self._in_snapshot(txn):
                # the disk that reaches furthest has it all the same, its log begins later
                main, found.side = True, found.side | {self.main.name}
                self._logged_elsewhere.add(zxid)
            if not found.kept:
                self._joined.update(found.former if found.side else ())
                counts.transactions += 1
                counts.first, counts.last = counts.first or zxid, zxid
            doubt = self._doubt(found, main=main)
            former = None if found.side else max((self._formers[n] for n in found.former), key=lambda f: f.files.upto)
            disks, head, part = len(found.side) + len(found.former), txn.head, 0
            for change in txn.changes:
                kind, path = change.kind, change.path if change.path != b"/" else b""
                if kind == "create" and change.owner and change.ephemeral:
                    ephemerals.born(path, change.owner)
                made = self._letter(
                    head, part, Kind(kind), path, change.data, 0 if kind == "create" else change.version,
                    change.acl, change.owner, path in ephemerals, disks, doubt, main=main, former=former, common=found.kept,
                )  # fmt: skip
                if kind == "delete":
                    ephemerals.gone(path)
                part += 1
                if made is not None:
                    yield made
            if txn.type == close:
                for path in ephemerals.ended(txn):
                    made = self._letter(
                        head, part, Kind.DELETE, path, None, 0, b"", 0, True, disks, doubt, main=main, former=former, common=found.kept,
                    )  # fmt: skip
                    part += 1
                    if made is not None:
                        yield made

    def _in_snapshot(self, txn: Transaction) -> bool:
        """Whether the snapshot that the tree is based on holds a znode as this transaction made or wrote it."""
        if txn.zxid > self.based.zxid:
            return False
        found = (self.tree.get(change.path) for change in txn.changes)
        return any(node is not None and txn.zxid in (node.czxid, node.mzxid) for node in found)

    def _letter(
        self, head: tuple[int, int, int, int, int], part: int, kind: Kind, path: bytes, data: bytes | None,
        version: int, acl: bytes, owner: int, ephemeral: bool, disks: int, doubt: str, *, main: bool = True,
        former: Former | None = None, common: bool = False,
    ) -> Letter | None:  # fmt: skip
        """None where it is on the kept side, or nobody's to bring there. `common`: the kept history has the transaction too."""
        counts = self.counts
        if own(path):
            counts.left_out += 1
            return None
        final, kept = (former.tree if former else self.tree).get(path), self.kept.tree.get(path)
        if common and took_effect(kind, head[2], kept, self._kept_deleted.get(path, 0)):
            counts.same += 1
            return None
        if former is not None:
            last, reason = final.sum if final else None, why(final, kept, None, known=False)
        elif main and self._thrown_away(kind, path, head[2], final):
            last, reason = _astray(kind, data, kept)
        elif main:
            last, reason = final.sum if final else None, why(final, kept, self._before_of(path), known=self.known)
        else:
            last, reason = _astray(kind, data, kept)
        if reason is None:
            counts.same += 1
            return None
        counts.letters += 1
        counts.ephemeral += ephemeral
        counts.conflicts += reason.conflict and not ephemeral
        session, _, zxid, time, _ = head
        return Letter(
            0, zxid, part, time, session, kind, text_of(path), data, version, acl, owner, ephemeral, reason, disks, doubt,
            Kept(kept.mzxid, kept.version, kept.aversion) if kept else None, last,
        )  # fmt: skip

    def _doubt(self, found: Found, *, main: bool) -> str:
        """Why it may never have been acknowledged, or nobody can say what it rests on; empty where there is no sign of that.

        What a later epoch of the same disk follows was taken over by a leader, whoever logged it first.
        """
        if not main and found.side:
            return f"only on {', '.join(sorted(found.side))}; the disk that reaches furthest does not have it"
        if not found.side and (found.other or not self._joined & set(found.former)):
            names = ", ".join(sorted(self._formers[n].files.name for n in found.former))
            return f"of a history of its own, which only {names} had, a disk of the kept side"
        if (main and found.zxid >> 32 < self.reaches >> 32) or self.members is None:
            return ""
        ids = {f.name: f.myid for f in self.side} | {f.files.name: f.files.myid for f in self._formers}
        if None in ids.values():
            return ""
        given = {i for i in ids.values() if i is not None}
        has = {*found.side, *(self._formers[n].files.name for n in found.former)}
        may = {i for name, i in ids.items() if name in has and i is not None} | (self.members.voters - given)
        if self.members.quorums.contains_quorum(may):
            return ""
        return f"on {len(has)} of {len(ids)} disks: no quorum of the side's list can have logged it"


def _newest(files: DataFiles) -> int:
    return max((zxid for zxid, _ in files.snapshots), default=0)


def _astray(kind: Kind, data: bytes | None, kept: Znode | None) -> tuple[bytes | None, Why | None]:
    """Of a change that is not in the history of the side: the sum of what it wrote, and why it is not on the kept side."""
    last = None if kind in (Kind.DELETE, Kind.ACL) else sum_of(data)
    if kept is None:
        return last, None if kind is Kind.DELETE else Why.NOT_KEPT
    return last, None if last == kept.sum else Why.DIFFERS


def kept_of(files: DataFiles) -> KeptSide:
    """Of a folder with the data of one of the kept side's members. Raises `BadInput`."""
    flaws = Flaws()
    tree = data_files.load(files, flaws)
    return KeptSide(files.name, tree, files, (), flaws.told())


def text_of(path: bytes) -> str:
    """As clients write it, the root as `/`; what Java cannot have written is shown by its bytes."""
    path = path or b"/"
    try:
        return path.decode()
    except UnicodeDecodeError:
        pass
    try:
        # Java's jute writes each half of a surrogate pair by itself
        return path.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeError:
        return path.decode(errors="backslashreplace")


def _members(tree: Tree) -> Members | None:
    """The side's own list, as far as its data tells it."""
    try:
        found = membership_of(tree.config.decode(errors="replace").strip() + "\n", "/zookeeper/config")
    except ValueError:
        return None
    return found if found.voters else None
