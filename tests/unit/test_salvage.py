"""A losing side's disks against a kept side: what becomes a dead letter and why, from histories written byte by byte."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from tests.unit import zookeeper_files as zk
from zkprov.cli import zkprov
from zkprov.judge.parting import Before, by_logs, why
from zkprov.model.letters import Kind, Letter, Why
from zkprov.model.problems import BadInput
from zkprov.observe.data_files import Cover, DataFiles, find, load
from zkprov.run.salvaging import KeptSide, Salvage, kept_of
from zkprov.tree.compare import Side, differences
from zkprov.tree.flaw import Flaw
from zkprov.tree.transactions import head_of
from zkprov.tree.znodes import Znode

E1, E2, E3 = 1 << 32, 2 << 32, 3 << 32
ROOT = [zk.node(""), zk.node("/zookeeper"), zk.node("/zookeeper/quota"), zk.node("/zookeeper/config")]


def bodies(*operations: tuple[int, bytes], first: int = E1 + 1, session: int = 0x10, time: int = 0) -> list[bytes]:
    return [
        zk.body(first + n, operation, session=session, time=time and time + n) for n, operation in enumerate(operations)
    ]


COMMON = bodies(zk.opened(), zk.create("/a", b"0"), zk.create("/b", b"0"), zk.create("/c", b"0"), zk.create("/d", b"0"))
P = E1 + 5
LOST = bodies(
    zk.put("/a", b"lost", 1), zk.create("/new", b"n"), zk.create("/new/x", b"1"), zk.put("/new/x", b"2", 1), zk.delete("/d"),
    zk.put("/b", b"lost", 1), zk.multi(zk.create("/m1", b"m"), zk.put("/c", b"lost", 1)), first=E2 + 1, session=0x20,
)  # fmt: skip
KEPT = bodies(zk.put("/b", b"kept", 1), zk.delete("/c"), zk.create("/k", b"k"), first=E2 + 1, session=0x30)


def salvage(
    folder: Path, kept: Sequence[bytes] = (*COMMON, *KEPT), **disks: Sequence[bytes]
) -> tuple[Salvage, list[Letter]]:
    """Of disks by name, each with a snapshot of an empty tree, `kept` beside them."""
    side = [find(zk.disk(folder / name, list(of), nodes=ROOT)) for name, of in disks.items()]
    made = Salvage(side, kept_of(find(zk.disk(folder / "kept", list(kept), nodes=ROOT))), lambda _: None)
    return made, list(made.letters())


def told(letters: Sequence[Letter]) -> list[tuple[str, str, bytes | None, Why]]:
    return [(x.kind.value, x.path, x.data, x.why) for x in letters]


def test_every_change_since_the_parting_is_a_letter_in_order_with_its_reason(tmp_path: Path) -> None:
    made, letters = salvage(tmp_path, one=[*COMMON, *LOST])
    assert (made.parting.zxid, made.parting.sure) == (P, True) and made.known
    assert told(letters) == [
        ("set", "/a", b"lost", Why.CHANGED_THERE),
        ("create", "/new", b"n", Why.CREATED_THERE),
        ("create", "/new/x", b"1", Why.CREATED_THERE),
        ("set", "/new/x", b"2", Why.CREATED_THERE),
        ("delete", "/d", None, Why.DELETED_THERE),
        ("set", "/b", b"lost", Why.CHANGED_BOTH),
        ("create", "/m1", b"m", Why.CREATED_THERE),
        ("set", "/c", b"lost", Why.DELETED_KEPT),
    ]
    assert [x.number for x in letters] == list(range(1, 9))
    assert [(x.zxid - E2, x.part) for x in letters] == [(n, 0) for n in range(1, 8)] + [(7, 1)]
    assert letters[0].session == 0x20 and letters[0].kept and letters[0].kept.mzxid == E1 + 2
    assert made.counts.letters == 8 and made.counts.conflicts == 2 and made.counts.transactions == 7
    assert not made.flaws.told() and not made.notes


def test_what_is_on_the_kept_side_anyway_is_no_letter(tmp_path: Path) -> None:
    lost = bodies(zk.put("/a", b"same", 1), zk.create("/t", b"t"), zk.delete("/t"), first=E2 + 1, session=0x20)
    kept = bodies(zk.put("/a", b"x", 1), zk.put("/a", b"same", 2), first=E2 + 1, session=0x30)
    made, letters = salvage(tmp_path, [*COMMON, *kept], one=[*COMMON, *lost])
    assert not letters and made.counts.same == 3


def test_zookeepers_own_and_zkprovs_own_stay_where_they_are(tmp_path: Path) -> None:
    lost = bodies(
        zk.create("/zkprov", b"secret"), zk.create("/zkprov/run", b"secret"), (16, zk.put("/zookeeper/config", b"x", -1)[1]),
        zk.create("/zkprovider", b"ours"), first=E2 + 1, session=0x20,
    )  # fmt: skip
    made, letters = salvage(tmp_path, one=[*COMMON, *lost])
    assert [x.path for x in letters] == ["/zkprovider"] and made.counts.left_out == 3


def test_ephemeral_znodes_are_listed_as_such_from_birth_to_the_end_of_their_session(tmp_path: Path) -> None:
    common = [*COMMON, zk.body(E1 + 6, zk.create("/e0", b"", ephemeral=True), session=0x10)]
    lost = [
        zk.body(E2 + 1, zk.create("/e", b"1", ephemeral=True), session=0x20),
        zk.body(E2 + 2, zk.put("/e", b"2", 1), session=0x21),
        zk.body(E2 + 3, zk.closed(), session=0x10),
        zk.body(E2 + 4, zk.create("/after", b""), session=0x20),
    ]
    made, letters = salvage(tmp_path, [*common], one=[*common, *lost])
    assert [(x.kind, x.path, x.ephemeral) for x in letters] == [
        (Kind.CREATE, "/e", True), (Kind.SET, "/e", True), (Kind.DELETE, "/e0", True), (Kind.CREATE, "/after", False),
    ]  # fmt: skip
    assert made.counts.ephemeral == 3


def test_two_ensembles_of_their_own_have_nothing_in_common(tmp_path: Path) -> None:
    lost = bodies(zk.opened(), zk.create("/a", b"lost"), zk.create("/x", b"x"), session=0x20)
    made, letters = salvage(tmp_path, COMMON, one=lost)
    assert (made.parting.zxid, made.parting.sure) == (0, True)
    assert told(letters) == [("create", "/a", b"lost", Why.CREATED_BOTH), ("create", "/x", b"x", Why.CREATED_THERE)]


def test_without_the_kept_logs_the_znodes_that_both_have_tell_where_they_part(tmp_path: Path) -> None:
    lost = find(zk.disk(tmp_path / "lost", [*COMMON, *LOST], nodes=ROOT))
    kept = kept_of(find(zk.disk(tmp_path / "kept", [*COMMON, *KEPT], nodes=ROOT)))
    full = list(Salvage([lost], kept, lambda _: None).letters())
    live = msgspec.structs.replace(kept, files=None)
    made = Salvage([lost], live, lambda _: None)
    assert (made.parting.zxid, made.parting.sure) == (P, False)
    assert list(made.letters()) == full


def test_the_root_is_a_znode_like_any_other(tmp_path: Path) -> None:
    lost = bodies(zk.put("/", b"lost", 1), zk.create("/n"), first=E2 + 1, session=0x20)
    _, letters = salvage(tmp_path, COMMON, one=[*COMMON, *lost])
    assert told(letters) == [("set", "/", b"lost", Why.CHANGED_THERE), ("create", "/n", b"", Why.CREATED_THERE)]


# -- several disks


def test_of_each_letter_it_is_told_on_how_many_disks_it_is(tmp_path: Path) -> None:
    config = "\n".join(f"server.{i}=h{i}:2888:3888:participant;2181" for i in (1, 2, 3, 4, 5)) + "\nversion=100000000"
    common = [*COMMON[:4], zk.body(E1 + 5, (16, zk.put("/zookeeper/config", config.encode(), -1)[1]))]
    side = []
    for n, count in ((1, 3), (2, 2), (3, 1), (4, 1)):
        lost = bodies(*(zk.create(f"/n{i}") for i in range(count)), first=E1 + 6, session=0x20)
        side.append(find(zk.disk(tmp_path / f"d{n}", [*common, *lost], nodes=ROOT, myid=n)))
    made = Salvage(side, kept_of(find(zk.disk(tmp_path / "kept", common, nodes=ROOT))), lambda _: None)
    letters = list(made.letters())
    assert [(x.path, x.disks, bool(x.doubt)) for x in letters] == [
        ("/n0", 4, False),
        ("/n1", 2, False),
        ("/n2", 1, True),
    ]
    assert "on 1 of 4 disks: no quorum" in letters[2].doubt


def test_what_only_a_server_had_that_the_rest_went_on_without_is_in_doubt(tmp_path: Path) -> None:
    alone = bodies(zk.create("/alone", b"1"), first=E1 + 6, session=0x20)
    _, letters = salvage(tmp_path, one=[*COMMON, *alone], two=[*COMMON, *LOST])
    first = letters[0]
    assert first.path == "/alone" and "does not have it" in first.doubt and first.doubt.startswith("only on")
    assert all(not x.doubt for x in letters[1:]) and len(letters) == 9


def test_disks_of_two_sides_are_no_side(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="two histories"):
        salvage(tmp_path, COMMON, one=[*COMMON, *LOST], two=[*COMMON, *KEPT])


# -- what is missing is told, and what is whole is used


def test_a_log_cut_off_in_the_middle(tmp_path: Path) -> None:
    disk = zk.disk(tmp_path / "lost", [*COMMON, *LOST], nodes=ROOT)
    log = disk / f"version-2/log.{E1 + 1:x}"
    log.write_bytes(log.read_bytes()[:-150])
    kept = kept_of(find(zk.disk(tmp_path / "kept", [*COMMON, *KEPT], nodes=ROOT)))
    made = Salvage([find(disk)], kept, lambda _: None)
    letters = list(made.letters())
    assert 0 < len(letters) < 8 and "cut off in the middle of a transaction" in made.flaws.told()[0]
    assert str(log) in made.flaws.told()[0]


def test_a_snapshot_younger_than_the_parting_tells_what_stood_and_nobody_knows_what_was_before(tmp_path: Path) -> None:
    young = [
        *ROOT,
        zk.node("/a", b"lost", czxid=E1 + 2, mzxid=E2 + 1),
        zk.node("/new", b"n", czxid=E2 + 2, mzxid=E2 + 2),
    ]
    disk = zk.disk(
        tmp_path / "lost", LOST[3:], nodes=[*young, zk.node("/new/x", b"1", czxid=E2 + 3, mzxid=E2 + 3)], at=E2 + 3
    )
    kept = kept_of(find(zk.disk(tmp_path / "kept", [*COMMON, *KEPT], nodes=ROOT)))
    made = Salvage([find(disk)], kept, lambda _: None)
    assert not made.known and made.notes
    assert told(list(made.letters()))[:4] == [
        ("stood", "/a", b"lost", Why.DIFFERS),
        ("stood", "/new", b"n", Why.NOT_KEPT),
        ("stood", "/new/x", b"1", Why.NOT_KEPT),
        ("set", "/new/x", b"2", Why.NOT_KEPT),
    ]


def test_after_a_merge_they_part_where_they_first_differ(tmp_path: Path) -> None:
    """What both have from after the merge says nothing of what came before it."""
    both = bodies(zk.create("/after", b"m"), zk.put("/d", b"m", 1), first=E3 + 1, session=0x40)
    lost = find(zk.disk(tmp_path / "lost", [*COMMON, *LOST[:4], *both], nodes=ROOT))
    kept = kept_of(find(zk.disk(tmp_path / "kept", [*COMMON, *KEPT, *both], nodes=ROOT)))
    live = msgspec.structs.replace(kept, files=None)
    made = Salvage([lost], live, lambda _: None)
    assert (made.parting.zxid, made.parting.sure) == (P, False) and "after a merge" in made.parting.how
    assert ("create", "/new", b"n", Why.CREATED_THERE) in told(list(made.letters()))


def test_what_a_server_threw_away_for_another_s_snapshot_is_a_letter(tmp_path: Path) -> None:
    """It joined another leader, and has its own log still, below a snapshot that knows nothing of it."""
    disk = zk.disk(tmp_path / "lost", LOST[:4], nodes=None)
    theirs = [*ROOT, *(zk.node(f"/{n}", b"0", czxid=E1 + i, mzxid=E1 + i) for i, n in enumerate("abcd", 2))]
    (disk / f"version-2/snapshot.{E2 + 9:x}").write_bytes(zk.snapshot(theirs))
    kept = kept_of(find(zk.disk(tmp_path / "kept", [*COMMON, *KEPT], nodes=ROOT)))
    made = Salvage([find(disk)], msgspec.structs.replace(kept, files=None), lambda _: None)
    found = told(list(made.letters()))
    assert ("create", "/new", b"n", Why.NOT_KEPT) in found and ("set", "/a", b"lost", Why.DIFFERS) in found
    assert all(x.last is not None for x in made.letters() if x.path.startswith("/new")), "it is replayed, and not there"


def test_a_hole_in_the_log_is_told_and_a_snapshot_behind_it_is_used(tmp_path: Path) -> None:
    stood = [
        *ROOT, *(zk.node(f"/{n}", b"0", czxid=E1 + i, mzxid=E1 + i) for i, n in enumerate("abcd", 2)),
        zk.node("/new", b"n", czxid=E2 + 2, mzxid=E2 + 2), zk.node("/new/x", b"1", czxid=E2 + 3, mzxid=E2 + 3),
    ]  # fmt: skip
    disk = zk.disk(tmp_path / "lost", [*COMMON, LOST[0]], nodes=ROOT)
    (disk / f"version-2/log.{E2 + 4:x}").write_bytes(zk.log(*LOST[3:]))
    (disk / f"version-2/snapshot.{E2 + 3:x}").write_bytes(zk.snapshot(stood))
    kept = kept_of(find(zk.disk(tmp_path / "kept", [*COMMON, *KEPT], nodes=ROOT)))
    made = Salvage([find(disk)], kept, lambda _: None)
    letters = told(list(made.letters()))
    assert made.known and any(f"{E2 + 2:#x} to {E2 + 3:#x} are in no log" in flaw for flaw in made.flaws.told())
    assert ("stood", "/new", b"n", Why.CREATED_THERE) in letters and (
        "set",
        "/new/x",
        b"2",
        Why.CREATED_THERE,
    ) in letters
    assert ("delete", "/d", None, Why.DELETED_THERE) in letters


def test_a_damaged_snapshot_is_told_and_the_one_before_is_used(tmp_path: Path) -> None:
    disk = zk.disk(tmp_path / "lost", [*COMMON, *LOST], nodes=ROOT)
    bad = disk / f"version-2/snapshot.{E1 + 4:x}"
    bad.write_bytes(zk.snapshot(ROOT)[:-3])
    kept = kept_of(find(zk.disk(tmp_path / "kept", [*COMMON, *KEPT], nodes=ROOT)))
    made = Salvage([find(disk)], kept, lambda _: None)
    assert len(list(made.letters())) == 8 and any(str(bad) in flaw and "not used" in flaw for flaw in made.flaws.told())


def test_a_data_folder_without_its_logs_is_told(tmp_path: Path) -> None:
    disk = find(
        zk.disk(tmp_path / "lost", [], nodes=[*ROOT, zk.node("/x", b"x", czxid=E1 + 9, mzxid=E1 + 9)], at=E1 + 9)
    )
    made = Salvage([disk], kept_of(find(zk.disk(tmp_path / "kept", COMMON, nodes=ROOT))), lambda _: None)
    assert told(list(made.letters())) == [("stood", "/x", b"x", Why.NOT_KEPT)]
    assert "DATADIR:LOGDIR" in made.notes[0]


def test_data_and_logs_in_two_folders_are_named_together(tmp_path: Path) -> None:
    data = zk.disk(tmp_path / "data", [], nodes=ROOT, myid=3)
    logs = zk.disk(tmp_path / "logs", COMMON, nodes=None)
    found = find(Path(f"{data}:{logs}"))
    assert (found.myid, len(found.snapshots), len(found.logs)) == (3, 1, 1)
    assert b"/d" in load(found, pytest.fail)


@pytest.mark.parametrize("what", ["nothing", "empty", "text", "two", "ids", "folders"])
def test_what_is_no_servers_data_is_one_clear_error(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "x"
    if what != "nothing":
        folder.mkdir()
    if what == "text":
        (folder / "log.txt").write_text("hello")
    if what in ("two", "ids"):
        zk.disk(folder / "a", COMMON, nodes=ROOT, myid=1)
        zk.disk(
            folder / "b",
            COMMON if what == "two" else [],
            nodes=None if what == "ids" else ROOT,
            myid=2 if what == "ids" else 1,
        )
    if what == "folders":
        zk.disk(folder / "a", COMMON, nodes=ROOT)
        zk.disk(folder / "b", LOST, nodes=ROOT, at=E2)
    kept = zk.disk(tmp_path / "kept", COMMON, nodes=ROOT)
    done = CliRunner().invoke(zkprov, ["salvage", str(folder), "--kept", str(kept), "-o", str(tmp_path / "f")])
    assert isinstance(done.exception, BadInput), done.output
    assert not (tmp_path / "f").exists()


def test_a_kept_side_without_its_logs_is_refused(tmp_path: Path) -> None:
    lost, kept = zk.disk(tmp_path / "lost", COMMON, nodes=ROOT), zk.disk(tmp_path / "kept", [], nodes=ROOT)
    done = CliRunner().invoke(zkprov, ["salvage", str(lost), "--kept", str(kept), "-o", str(tmp_path / "f")])
    assert isinstance(done.exception, BadInput) and "DATADIR:LOGDIR" in done.exception.remedy


# -- the parts


def test_logs_part_where_their_transactions_do() -> None:
    def of(*bodies: bytes) -> list[tuple[int, bytes]]:
        return [(head_of(b)[2], b) for b in bodies]

    assert by_logs(of(*COMMON, *LOST), of(*COMMON, *KEPT)).zxid == P
    assert by_logs(of(*COMMON[2:], *LOST), of(*COMMON[3:], *KEPT)).zxid == P
    assert by_logs(of(*COMMON), of(*COMMON)).zxid == P
    later = by_logs(of(*LOST), of(*COMMON))
    assert (later.zxid, later.sure) == (0, False)
    # of one server before 3.6, or whose tree is another; and another client's of the same session and millisecond
    plain = [b[:-12] for b in COMMON]
    assert (
        by_logs(of(*plain, *LOST), of(*COMMON, *KEPT)).zxid == P == by_logs(of(*COMMON, *LOST), of(*plain, *KEPT)).zxid
    )
    assert by_logs(of(COMMON[0]), of(zk.body(E1 + 1, zk.create("/other"), session=0x10))).zxid == 0
    assert not by_logs(of(), of(*COMMON)).sure and not by_logs(of(*COMMON), of()).sure


def test_stretches_of_a_log_tell_what_they_reach() -> None:
    cover = Cover(((E1 + 1, E1 + 9), (E2 + 4, E2 + 6)))
    assert cover.has(E1 + 9) and cover.has(E2 + 4) and not cover.has(E2 + 3) and cover.last == E2 + 6
    assert cover.reaches(E1, E1 + 9) and cover.reaches(E1 + 5, E1 + 7) and cover.reaches(E2 + 3, E2 + 6)
    assert not cover.reaches(E1, E2 + 6) and not cover.reaches(E2 + 2, E2 + 6) and cover.reaches(E2 + 9, E2 + 6)


def znode(data: int, mzxid: int, **more: int) -> Znode:
    return Znode(1, mzxid, 0, 0, 0, 0, 0, more.get("owner", 0), 0, None, 1, bytes([data]))


@pytest.mark.parametrize(
    ("final", "kept", "before", "known", "reason"),
    [
        (None, None, None, True, None),
        (znode(1, 5), znode(1, 9), None, True, None),
        (znode(1, 5), None, None, True, Why.CREATED_THERE),
        (znode(1, 5), None, Before(1, 2, 0), True, Why.DELETED_KEPT),
        (znode(1, 5), None, None, False, Why.NOT_KEPT),
        (znode(1, 5), znode(2, 2), Before(1, 2, 0), True, Why.CHANGED_THERE),
        (znode(1, 5), znode(2, 3), Before(1, 2, 0), True, Why.CHANGED_BOTH),
        (znode(1, 5), znode(2, 2), Before(1, -1, 0), True, Why.CHANGED_BOTH),
        (znode(1, 5), znode(2, 2), None, True, Why.CREATED_BOTH),
        (None, znode(2, 2), Before(1, 2, 0), True, Why.DELETED_THERE),
        (None, znode(2, 3), Before(1, 2, 0), True, Why.CHANGED_BOTH),
        (znode(1, 5), znode(2, 2), None, False, Why.DIFFERS),
        (znode(1, 5), znode(1, 5, owner=7), Before(1, 2, 0), True, Why.CHANGED_BOTH),
    ],
)
def test_why(final: Znode | None, kept: Znode | None, before: Before | None, known: bool, reason: Why | None) -> None:
    assert why(final, kept, before, known=known) is reason


def test_two_trees_are_compared_znode_by_znode(tmp_path: Path) -> None:
    flaws: list[Flaw] = []
    here = load(find(zk.disk(tmp_path / "a", [*COMMON, *LOST], nodes=ROOT)), flaws.append)
    there = load(find(zk.disk(tmp_path / "b", [*COMMON, *KEPT], nodes=ROOT)), flaws.append)
    found = [(d.path, d.side, d.what) for d in differences(here, there)]
    assert found == [
        (b"/a", Side.DIFFERENT, ("data", "written", "version")),
        (b"/b", Side.DIFFERENT, ("data", "written")),
        (b"/c", Side.HERE, ()),
        (b"/d", Side.THERE, ()),
        (b"/k", Side.THERE, ()),
        (b"/m1", Side.HERE, ()),
        (b"/new", Side.HERE, ()),
        (b"/new/x", Side.HERE, ()),
    ]
    assert not list(differences(here, here)) and not flaws


def test_who_reaches_furthest_came_in_by_a_snapshot_after_a_merge(tmp_path: Path) -> None:
    """Its log has only what both sides went on with; what tells that they parted is another disk's log, or its own snapshot."""
    theirs = bodies(*map(zk.create, ("/l1", "/l2", "/l3")), first=E2 + 1, session=0x20, time=1_000)
    ours = bodies(*map(zk.create, ("/k1", "/k2", "/k3")), first=E2 + 1, session=0x30, time=2_000)
    since = bodies(*(zk.create(f"/both{n}") for n in range(5)), first=E2 + 4, session=0x40, time=3_000)
    held = [zk.node(f"/l{n}", czxid=E2 + n, mzxid=E2 + n, ctime=1_000 + n - 1, mtime=1_000 + n - 1) for n in (1, 2, 3)]
    with_log = find(zk.disk(tmp_path / "with-log", [*COMMON, *theirs, *since[:-1]], nodes=ROOT))
    by_snapshot = find(zk.disk(tmp_path / "by-snapshot", since, nodes=[*ROOT, *held], at=E2 + 3))
    tree = load(find(zk.disk(tmp_path / "kept", [*COMMON, *ours, *since], nodes=ROOT)), lambda _: None)

    def lost(*side: DataFiles) -> list[tuple[str, str, str]]:
        made = Salvage(side, KeptSide("living", tree), lambda _: None)
        letters = [(x.kind.value, x.path, x.doubt) for x in made.letters()]
        assert "after a merge" in made.parting.how and made.main == side[-1]
        return letters

    assert lost(with_log) == [("create", f"/l{n}", "") for n in (1, 2, 3)]
    assert lost(by_snapshot) == [("stood", f"/l{n}", "") for n in (1, 2, 3)]
    # each once, and surely of the side: its furthest disk has them too
    assert lost(with_log, by_snapshot) == [("create", f"/l{n}", "") for n in (1, 2, 3)]
