"""What ZooKeeper has on its disks, read: what a writer of ours wrote, what was cut off, and what somebody made up."""

from __future__ import annotations

import io
import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import zookeeper_files as zk
from zkprov.tree.acls import acl_of, vector_of
from zkprov.tree.flaw import Flaw, Torn
from zkprov.tree.log import records
from zkprov.tree.snapshot import Snapshot, plain_chunks
from zkprov.tree.transactions import CONTAINER, Change, Transaction, is_ephemeral, is_ttl, transaction, ttl_ms
from zkprov.tree.znodes import Tree, Znode

E1 = 1 << 32
paths = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=4), min_size=1, max_size=3
).map(lambda parts: "/" + "/".join(parts))
datas = st.none() | st.binary(max_size=40)
acls = st.lists(
    st.tuples(st.integers(0, 31), st.sampled_from(["world", "digest"]), st.text(max_size=5)), max_size=3
).map(tuple)


def read(data: bytes) -> tuple[list[Transaction], list[Flaw]]:
    flaws: list[Flaw] = []
    return [transaction(b) for _, b in records(io.BytesIO(data), "log.1", len(data), flaws.append)], flaws


def snap(data: bytes, ending: str = "") -> Tree:
    return Tree.of_snapshot(Snapshot(plain_chunks(io.BytesIO(data), f"snapshot.0{ending}")), 0)


# -- transactions


@given(paths, datas, acls, st.booleans(), st.integers(-1, 2**31 - 1), st.none() | st.integers(-(2**63), 2**63 - 1))
def test_a_create_is_read_as_written(
    path: str,
    data: bytes | None,
    of: tuple[tuple[int, str, str], ...],
    ephemeral: bool,
    cversion: int,
    digest: int | None,
) -> None:
    body = zk.body(
        E1 | 7, zk.create(path, data, ephemeral=ephemeral, cversion=cversion, of=of), session=5, digest=digest
    )
    found = transaction(body)
    assert found.changes == (Change("create", path.encode(), data, cversion, zk.acl(of), 5 if ephemeral else 0),)
    assert (found.session, found.cxid, found.zxid, found.type) == (5, 1, E1 | 7, 1)
    assert found.digest == (None if digest is None else (2, digest))
    assert vector_of(acl_of(found.changes[0].acl)) == zk.acl(of)


@given(paths, datas, st.integers(0, 2**31 - 1), acls)
def test_every_other_kind_is_read_as_written(
    path: str, data: bytes | None, n: int, of: tuple[tuple[int, str, str], ...]
) -> None:
    p = path.encode()
    for operation, change in (
        (zk.put(path, data, n), Change("set", p, data, n)),
        (zk.delete(path), Change("delete", p)),
        (zk.set_acl(path, n, of), Change("acl", p, None, n, zk.acl(of))),
        (zk.container(path, data, cversion=n), Change("create", p, data, n, zk.acl(), CONTAINER)),
        (zk.ttl(path, data, cversion=n, ms=n), Change("create", p, data, n, zk.acl(), -(1 << 56) | n)),
        ((20, zk.delete(path)[1]), Change("delete", p)),
        ((15, zk.create(path, data)[1]), Change("create", p, data, 1, zk.acl())),
        ((16, zk.put(path, data, n)[1]), Change("set", p, data, n)),
    ):
        for inside in (operation, zk.multi(zk.check(path, n), operation, operation)):
            found = transaction(zk.body(E1 | 7, inside))
            assert found.changes == (change,) * (1 if inside is operation else 2) and found.digest == (2, 77)


def test_what_changes_nothing_changes_nothing() -> None:
    for operation in (zk.error(), zk.opened(), zk.check("/a"), zk.multi(zk.put("/a", b"", 1), zk.error()), zk.multi()):
        found = transaction(zk.body(E1, operation))
        assert found.changes == () and found.closed == () and found.digest == (2, 77)


def test_the_end_of_a_session_tells_its_znodes_from_3_6_on() -> None:
    assert transaction(zk.body(E1, zk.closed("/a", "/b"))).closed == (b"/a", b"/b")
    assert transaction(zk.body(E1, (-11, b""), digest=None)).closed == ()


def test_the_first_releases_told_no_cversion() -> None:
    kind, record = zk.create("/a", b"x")
    found = transaction(zk.body(E1, (kind, record[:-4]), digest=None))
    assert found.changes[0].version == -1 and found.changes[0].path == b"/a"


def test_owners_tell_what_ends_with_a_session() -> None:
    assert is_ephemeral(0x1000_0000_0001) and not is_ephemeral(0) and not is_ephemeral(CONTAINER)
    assert (
        is_ttl(-(1 << 56) | 5)
        and ttl_ms(-(1 << 56) | 5) == 5
        and not is_ttl(CONTAINER)
        and not is_ephemeral(-(1 << 56) | 5)
    )


@given(st.binary(max_size=200), st.integers(-30, 30))
def test_junk_is_torn_and_nothing_else(junk: bytes, kind: int) -> None:
    for body in (junk, zk.body(E1, (kind, junk)), zk.body(E1, zk.multi((kind, junk)))):
        with suppress(Torn):
            transaction(body)


def test_a_length_of_50_mb_takes_no_memory() -> None:
    for operation in (
        (1, zk.i(50_000_000)),
        zk.multi((5, b"")),
        (14, zk.i(50_000_000)),
        (-11, zk.i(2**31 - 1)),
        (7, zk.text("/a") + zk.i(2**31 - 1)),
    ):
        with suppress(Torn):
            transaction(zk.body(E1, operation))


# -- logs


def history() -> list[bytes]:
    operations = [
        zk.opened(),
        zk.create("/a", b"1"),
        zk.put("/a", b"2", 1),
        zk.multi(zk.create("/b"), zk.delete("/a")),
        zk.closed(),
    ]
    return [zk.body(E1 + n, operation) for n, operation in enumerate(operations, 1)]


def test_a_log_cut_off_anywhere_gives_what_is_whole_before() -> None:
    bodies = history()
    whole = zk.log(*bodies, padding=0)
    ends = {16}
    for body in bodies:
        ends.add(max(ends) + len(zk.record(body)))
    for cut in range(len(whole)):
        for tail in (b"", bytes(50)):
            found, flaws = read(whole[:cut] + tail)
            assert [t.zxid for t in found] == [E1 + n for n in range(1, sum(e <= cut for e in ends))], cut
            # the first bytes of a sum are zeros, as what ZooKeeper lays ahead is
            if not whole[max((e for e in ends if e <= cut), default=0) : cut].strip(b"\0"):
                assert not flaws
            elif not tail:
                assert len(flaws) == 1 and flaws[0].place == "log.1" and 0 <= flaws[0].offset <= cut


def test_a_damaged_transaction_is_left_out_and_told_and_the_next_are_read() -> None:
    bodies = history()
    data = bytearray(zk.log(*bodies))
    at = 16 + len(zk.record(bodies[0]))
    data[at + 12 + 40] ^= 1
    found, flaws = read(bytes(data))
    assert [t.zxid - E1 for t in found] == [1, 3, 4, 5]
    assert [f.offset for f in flaws] == [at] and "sum" in flaws[0].what


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", ""),
        (bytes(100), ""),
        (b"ZKLG", "no transaction log"),
        (b"#!/bin/sh and so on", "no transaction log"),
        (zk.snapshot([]), "no transaction log"),
        (zk.log(padding=0) + zk.q(1) + zk.i(50_000_000) + bytes(100), "a length of 50000000 bytes"),
        (zk.log(padding=0) + zk.q(1) + zk.i(-5) + bytes(100), "a length of -5 bytes"),
        (zk.log(padding=0) + zk.q(7) + zk.i(40) + bytes(100), "written in part only"),
        (zk.log(padding=0) + zk.q(7) + zk.i(40) + b"x" * 100, "no end"),
    ],
)
def test_what_is_no_log_is_told(data: bytes, said: str) -> None:
    found, flaws = read(data)
    assert not found and ([said in str(f) for f in flaws] == [True] if said else not flaws), flaws


@given(st.randoms(use_true_random=False), st.integers(1, 30))
def test_a_log_with_any_bytes_changed_is_never_more_than_facts(rng: random.Random, changes: int) -> None:
    data = bytearray(zk.log(*history()))
    for _ in range(changes):
        data[rng.randrange(len(data))] = rng.randrange(256)
    flaws: list[Flaw] = []
    for _, body in records(io.BytesIO(bytes(data)), "log", len(data), flaws.append):
        with suppress(Torn):
            transaction(body)


# -- snapshots

NODES = [
    zk.node("", b"", cversion=3),
    zk.node("/a", b"x" * 300, czxid=5, mzxid=6, ctime=7, mtime=8, version=9, cversion=10, aversion=11, pzxid=12),
    zk.node("/a/é", None, czxid=1, owner=0x10000001),
    zk.node("/c", bytes(5000), owner=CONTAINER),
]


@pytest.mark.parametrize("ending", ["", ".gz", ".snappy"])
@pytest.mark.parametrize("tail", [(True, True), (True, False), (False, False)], ids=["3.9", "3.6", "3.5"])
def test_a_snapshot_is_read_as_written(ending: str, tail: tuple[bool, bool]) -> None:
    data = zk.packed(zk.snapshot(NODES, sessions=[(1, 2), (3, 4)], digest=tail[0], last_zxid=tail[1]), ending)
    snapshot = Snapshot(plain_chunks(io.BytesIO(data), f"snapshot.1{ending}"))
    assert snapshot.sessions == ((1, 2), (3, 4)) and snapshot.acls == {1: zk.acl()}
    tree = Tree.of_snapshot(snapshot, 4)
    assert snapshot.digest == ((5, 2, 99) if tail[0] else None) and snapshot.last_zxid == (5 if tail[1] else None)
    assert list(tree) == [b"", b"/a", "/a/é".encode(), b"/c"] and tree.zxid == 4
    found = tree.get(b"/a")
    assert isinstance(found, Znode)
    stat = (
        found.czxid,
        found.mzxid,
        found.ctime,
        found.mtime,
        found.version,
        found.cversion,
        found.aversion,
        found.pzxid,
    )
    assert stat == tuple(range(5, 13)) and (found.size, found.acl, found.owner) == (300, zk.acl(), 0)
    one = tree.get("/a/é".encode())
    assert one and one.ephemeral and one.size == -1 and tree.ephemerals(0x10000001) == {"/a/é".encode()}
    other = tree.get(b"/c")
    assert other and not other.ephemeral and tree.get(b"/nope") is None


@pytest.mark.parametrize("ending", ["", ".gz", ".snappy"])
def test_half_a_snapshot_is_none(ending: str) -> None:
    plain = zk.snapshot(NODES[:3], digest=False, last_zxid=False)
    data = zk.packed(plain, ending)
    for cut in range(len(data) - (20 if ending == ".gz" else 0)):
        with pytest.raises(Torn):
            snap(data[:cut], ending)
    snap(data, ending)


def test_a_snapshot_with_any_bit_flipped_is_none() -> None:
    data = bytearray(zk.snapshot(NODES[:3]))
    for at in range(16, len(data)):  # nobody looks at the version and the id in its head but the sum
        data[at] ^= 1
        with pytest.raises(Torn):
            snap(bytes(data))
        data[at] ^= 1
    snap(bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ZKSN",
        zk.log(),
        b"\x1f\x8b" + bytes(50),
        zk.snapshot([])[:16] + zk.i(2**31 - 1),
        zk.snapshot([])[:20] + zk.i(-5),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz", ".snappy"])
def test_junk_is_no_snapshot(data: bytes, ending: str) -> None:
    with pytest.raises(Torn):
        snap(data, ending)


def test_a_length_of_50_mb_in_a_snapshot_is_torn() -> None:
    plain = zk.snapshot([])[:-60]
    for size in (50_000_000, 2**31 - 1, -7):
        with pytest.raises(Torn):
            snap(plain[: plain.index(zk.acl()) + len(zk.acl())] + zk.i(size) + b"x" * 20)


# -- replay


class Leader:
    """Makes a history as a leader does: its cversions, versions and sessions are those of the tree that it has."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.children: dict[str, int] = {"": 0}
        self.version: dict[str, int] = {}
        self.owner: dict[str, int] = {}

    def operation(self, session: int) -> tuple[int, bytes]:
        rng, children, owner = self.rng, self.children, self.owner
        kind, there = rng.randrange(7), [p for p in children if p]
        if kind < 2 or not there:
            parent = rng.choice([p for p in children if p not in owner])
            path = f"{parent}/{rng.choice('abc')}"
            if path in children:
                return zk.error()
            children[parent] += 1
            children[path] = self.version[path] = 0
            if ephemeral := rng.random() < 0.3:
                owner[path] = session
            return zk.create(path, rng.randbytes(3), ephemeral=ephemeral, cversion=children[parent])
        path = rng.choice(there)
        if kind < 4:
            self.version[path] += 1
            return zk.put(path, rng.randbytes(3), self.version[path])
        if kind == 4:
            return zk.set_acl(path, rng.randrange(5), ((rng.randrange(32), "world", "anyone"),))
        if kind == 5 and not any(p.startswith(f"{path}/") for p in children):
            self._gone(path)
            return zk.delete(path)
        # without the paths (before 3.6) ZooKeeper itself may load another tree (ZOOKEEPER-3145)
        ended = [p for p, of in owner.items() if of == session]
        for path in ended:
            self._gone(path)
        return zk.closed(*ended)

    def _gone(self, path: str) -> None:
        del self.children[path], self.version[path]
        self.owner.pop(path, None)


def grown(rng: random.Random, count: int) -> list[bytes]:
    leader, bodies, sessions = Leader(rng), [], [0x100, 0x200]
    for n in range(1, count + 1):
        session = rng.choice(sessions)
        operation = leader.operation(session)
        if operation[0] == -11:
            sessions[sessions.index(session)] += 1
        bodies.append(zk.body(E1 + n, operation, session=session))
    return bodies


def applied(tree: Tree, bodies: list[bytes]) -> Tree:
    for body in bodies:
        tree.apply(transaction(body))
    return tree


def state(tree: Tree) -> dict[bytes, Znode | None]:
    return {path: tree.get(path) for path in tree}


@given(st.randoms(use_true_random=False), st.integers(1, 40), st.data())
def test_what_is_in_a_snapshot_already_may_be_applied_again(
    rng: random.Random, count: int, data: st.DataObject
) -> None:
    bodies = grown(rng, count)
    whole = state(applied(Tree.founded(), bodies))
    upto = data.draw(st.integers(0, count))
    again_from = data.draw(st.integers(0, upto))
    assert state(applied(applied(Tree.founded(), bodies[:upto]), bodies[again_from:])) == whole


def test_a_tree_keeps_what_a_leader_would() -> None:
    bodies = [
        zk.body(E1 + 1, zk.create("/a", b"1", cversion=1)),
        zk.body(E1 + 2, zk.create("/a/b", None, cversion=1, ephemeral=True), session=9),
        zk.body(E1 + 3, zk.put("/a", b"22", 1)),
        zk.body(E1 + 4, zk.set_acl("/a", 1, ((1, "world", "anyone"),))),
        zk.body(E1 + 5, zk.closed("/a/b"), session=9),
        zk.body(E1 + 6, zk.put("/", b"root", 1)),
    ]
    tree = applied(Tree.founded(), bodies)
    a, root = tree.get(b"/a"), tree.get(b"")
    assert a and root and b"/a/b" not in tree and tree.ephemerals(9) == frozenset()
    assert (a.czxid, a.mzxid, a.pzxid, a.version, a.cversion, a.aversion, a.size) == (
        E1 + 1,
        E1 + 3,
        E1 + 5,
        1,
        1,
        1,
        2,
    )
    assert a.acl == zk.acl(((1, "world", "anyone"),)) and a.ctime + 2 == a.mtime
    assert (root.cversion, root.pzxid, root.mzxid) == (1, E1 + 1, E1 + 6) and tree.zxid == E1 + 6
