"""`zkprov salvage`: the losing side's disks are read, compared with the kept side, and what is not there becomes dead letters.

Read in passes, so that no log need fit into memory: where the histories part; the trees; the letters.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from zkprov.judge.parting import Before, Ephemerals, Parting, by_logs, by_trees, same_transaction, why
from zkprov.model.letters import Kept, Kind, Letter, Why
from zkprov.model.members import Members
from zkprov.model.problems import BadInput
from zkprov.observe import data_files
from zkprov.observe.data_files import Cover, Covering, DataFiles
from zkprov.observe.fourletter import membership_of
from zkprov.tree.compare import own
from zkprov.tree.flaw import Flaw
from zkprov.tree.transactions import CLOSE_SESSION, OPEN, Transaction, is_ephemeral
from zkprov.tree.znodes import Tree, Znode, sum_of

MOST_FLAWS = 100


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


class Flaws:
    """What could not be read: each once, however often its file is read, and not more than can be looked at."""

    def __init__(self) -> None:
        self.found: dict[str, None] = {}
        self.more = 0

    def __call__(self, flaw: Flaw) -> None:
        text = str(flaw)
        if text not in self.found:
            if len(self.found) < MOST_FLAWS:
                self.found[text] = None
            else:
                self.more += 1

    def told(self) -> tuple[str, ...]:
        return (*self.found, *([f"and {self.more} more"] if self.more else []))


class Salvage:
    """One losing side, of the disks of some of its servers, against the kept side. Nothing of either is changed.

    `say` hears what is being done. Raises `BadInput` for disks of which nothing can be made.
    """

    def __init__(self, side: Sequence[DataFiles], kept: KeptSide, say: Callable[[str], None]) -> None:
        self.side, self.kept, self._say = tuple(side), kept, say
        self.flaws, self.counts = Flaws(), Counts()
        self.notes: list[str] = []
        self._told = set[int]()
        """What another disk's log tells of what this side's furthest disk has in a snapshot alone."""
        self.main = self.side[0]
        if len(self.side) > 1:
            say("reading how far each disk reaches")
            self.main = max(self.side, key=lambda files: last_of(files, self.flaws))
        self.covered, self.parting = self._parting()
        self.reaches = max([self.covered.last, *(zxid for zxid, _ in self.main.snapshots)])
        self._base()

    # -- where the histories part

    def _parting(self) -> tuple[Cover, Parting]:
        """What the logs of the losing side have, and where the histories part."""
        self._say("comparing the histories")
        found = None
        if self.kept.files is not None:
            quiet = Flaws()  # what is missing is told where the kept side is read
            log = Covering(data_files.bodies(self.main, self.flaws))
            found = by_logs(log, data_files.bodies(self.kept.files, quiet))
            if found.sure:
                return (log if log.whole else self._all()).cover(), found
        oldest = next((t for z, p in self.main.snapshots if (t := data_files.tree_of(p, z, self.flaws))), None)
        log = Covering(data_files.bodies(self.main, self.flaws))
        # of the others too: the one that reaches furthest may have come in by a snapshot, after a merge
        others = [data_files.bodies(files, Flaws()) for files in self.side if files is not self.main]
        trees = by_trees(heapq.merge(log, *others, key=lambda body: body[0]), oldest, self.kept.tree)
        if not trees.zxid and data_files.begins(self.main):
            trees = Parting(0, False, f"{trees.how}: taken as of no common history")
        return log.cover(), trees

    def _all(self) -> Covering:
        log = Covering(data_files.bodies(self.main, self.flaws))
        for _ in log:
            pass
        return log

    # -- the losing side's tree, and what its znodes were when the histories parted

    def _base(self) -> None:
        """The tree by the end of the losing side, and what the znodes were at the parting (`_before`, or a tree of that moment)."""
        self._say("reading the losing side")
        files, parted, flaws = self.main, self.parting.zxid, self.flaws
        if not files.logs:
            remedy = "where its dataLogDir is another folder, name both: DATADIR:LOGDIR"
            self.notes.append(f"{files.name} has no transaction log, only what its snapshots hold is known ({remedy})")
        covered, end = self.covered, self.reaches
        self._before: dict[bytes, Before] = {}
        self._parted: Tree | None = None
        found = data_files.base(files, flaws, lambda z: z <= parted and covered.reaches(z, end))
        self.known = found is not None
        if found is None:
            self._parted = self._tree_at(covered)
            self.known = self._parted is not None
            found = (
                data_files.base(files, flaws, lambda z: z > parted and covered.reaches(z, end), oldest=True)
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
        if zxid > self.based.zxid or kind not in (Kind.CREATE, Kind.SET) or path in self._deleted:
            return False
        return final is None or final.mzxid < zxid

    def _tree_at(self, covered: Cover) -> Tree | None:
        """The tree at the parting, where the way from there to the end has a hole."""
        files, parted = self.main, self.parting.zxid
        found = data_files.base(files, self.flaws, lambda z: z <= parted and covered.reaches(z, parted))
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

    def _stood(self) -> Iterator[Letter]:
        """Of a snapshot that is younger than the parting: what the logs do not tell the making of, parents first."""
        for node, acls in data_files.nodes_of(self.based.path):
            mzxid, mtime = (int.from_bytes(node.stat[a : a + 8], "big", signed=True) for a in (8, 24))
            if not node.path or mzxid <= self.parting.zxid or self.covered.has(mzxid) or own(node.path):
                continue
            if mzxid in self._told:
                continue
            version = int.from_bytes(node.stat[32:36], "big", signed=True)
            owner = int.from_bytes(node.stat[44:52], "big", signed=True)
            made = self._letter(
                (0, 0, mzxid, mtime, 0), 0, Kind.STOOD, node.path, node.data, version, acls.get(node.acl, OPEN), owner,
                is_ephemeral(owner), 1, "",
            )  # fmt: skip
            if made is not None:
                yield made

    def _logged(self) -> Iterator[Letter]:
        parted, ephemerals, counts, close = self.parting.zxid, self.ephemerals, self.counts, CLOSE_SESSION
        for zxid, body, logged in self._merged():
            has, main = logged, self.main.name in logged
            source = self.main if main else next(f for f in self.side if f.name in logged)
            txn = data_files.parsed(body, zxid, source, self.flaws)
            if txn is None or zxid <= parted:
                continue
            if not main and self._in_snapshot(txn):
                # whose log begins later has it all the same
                main, has = True, has | {self.main.name}
                self._told.add(zxid)
            counts.transactions += 1
            counts.first, counts.last = counts.first or zxid, zxid
            doubt = self._doubt(zxid, has, main=main)
            head, part = txn.head, 0
            for change in txn.changes:
                kind, path = change.kind, change.path if change.path != b"/" else b""
                if kind == "create" and change.owner and change.ephemeral:
                    ephemerals.born(path, change.owner)
                made = self._letter(
                    head, part, Kind(kind), path, change.data, 0 if kind == "create" else change.version,
                    change.acl, change.owner, path in ephemerals, len(has), doubt, main=main,
                )  # fmt: skip
                if kind == "delete":
                    ephemerals.gone(path)
                part += 1
                if made is not None:
                    yield made
            if txn.type == close:
                for path in ephemerals.ended(txn):
                    made = self._letter(
                        head, part, Kind.DELETE, path, None, 0, b"", 0, True, len(has), doubt, main=main
                    )
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
    ) -> Letter | None:  # fmt: skip
        """None where it is on the kept side, or nobody's to bring there."""
        counts = self.counts
        if own(path):
            counts.left_out += 1
            return None
        final, kept = self.tree.get(path), self.kept.tree.get(path)
        if main and self._thrown_away(kind, path, head[2], final):
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

    def _merged(self) -> Iterator[tuple[int, bytes, frozenset[str]]]:
        """Every transaction of every disk once, and whose disks have it. Raises `BadInput` where two have different ones of one zxid."""
        beyond = self.parting.zxid
        if len(self.side) == 1:
            names = frozenset({self.main.name})
            for zxid, body in data_files.bodies(self.main, self.flaws, beyond):
                yield zxid, body, names
            return
        streams = [_of(n, data_files.bodies(files, self.flaws, beyond)) for n, files in enumerate(self.side)]
        held: tuple[int, bytes, set[str]] | None = None
        for zxid, n, body in heapq.merge(*streams, key=lambda found: found[:2]):
            name = self.side[n].name
            if held is not None and held[0] == zxid:
                if not same_transaction(held[1], body):
                    raise BadInput(
                        f"{name} and {next(iter(held[2]))} are of two histories: transaction {zxid:#x} is another in each",
                        place=name,
                        remedy="salvage each side by itself; zkprov status shows who belongs to which",
                    )
                held[2].add(name)
                continue
            if held is not None:
                yield held[0], held[1], frozenset(held[2])
            held = zxid, body, {name}
        if held is not None:
            yield held[0], held[1], frozenset(held[2])

    def _doubt(self, zxid: int, has: frozenset[str], *, main: bool) -> str:
        """Why it may never have been acknowledged; empty where there is no sign of that.

        What a later epoch of the same disk follows was taken over by a leader, whoever logged it first.
        """
        if not main:
            return f"only on {', '.join(sorted(has))}; the disk that reaches furthest does not have it"
        if zxid >> 32 < self.reaches >> 32 or self.members is None:
            return ""
        ids = {f.name: f.myid for f in self.side}
        if None in ids.values():
            return ""
        given = {i for i in ids.values() if i is not None}
        may = {i for name, i in ids.items() if name in has and i is not None} | (self.members.voters - given)
        if self.members.quorums.contains_quorum(may):
            return ""
        return f"on {len(has)} of {len(self.side)} disks: no quorum of the side's list can have logged it"


def _of(n: int, bodies: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, int, bytes]]:
    for zxid, body in bodies:
        yield zxid, n, body


def _astray(kind: Kind, data: bytes | None, kept: Znode | None) -> tuple[bytes | None, Why | None]:
    """Of a change that is not in the history of the side: the sum of what it wrote, and why it is not on the kept side."""
    last = None if kind in (Kind.DELETE, Kind.ACL) else sum_of(data)
    if kept is None:
        return last, None if kind is Kind.DELETE else Why.NOT_KEPT
    return last, None if last == kept.sum else Why.DIFFERS


def last_of(files: DataFiles, flaws: Callable[[Flaw], None]) -> int:
    """The zxid of the last transaction that a disk has."""
    for _, path in reversed(files.logs):
        one = msgspec.structs.replace(files, logs=((0, path),))
        last = 0
        for zxid, _ in data_files.bodies(one, flaws):
            last = zxid
        if last:
            return last
    return max((z for z, _ in files.snapshots), default=0)


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
