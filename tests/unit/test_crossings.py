"""A server that took over another history: what its own log has from before becomes letters, and what was cut off is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from tests.unit import zookeeper_files as zk
from tests.unit.test_salvage import COMMON, E1, E2, E3, KEPT, LOST, ROOT, P, bodies, told
from zkprov.cli import zkprov
from zkprov.model.letters import CutOff, Kind, Letter, Why
from zkprov.model.problems import BadInput
from zkprov.observe.data_files import DataFiles, find
from zkprov.observe.server_logs import CutByLeader, cut_by_leaders
from zkprov.run.crossings import cover_of, cuts, formers
from zkprov.run.dead_letters import DeadLetters
from zkprov.run.salvaging import KeptSide, Salvage, kept_of

STOOD = [*ROOT, *(zk.node(f"/{n}", b"0", czxid=E1 + i, mzxid=E1 + i, ctime=t, mtime=t) for i, n, t in (
    (i, n, 1_700_000_000_000 + i) for i, n in enumerate("abcd", 2)
))]  # fmt: skip
THEIRS = [
    *(n for n in STOOD if n[0] != "/c"), zk.node("/k", b"k", czxid=E3 + 3, mzxid=E3 + 3, ctime=1_700_000_000_003, mtime=1_700_000_000_003),
]  # fmt: skip
SINCE = bodies(zk.create("/after", b"m"), first=E3 + 4, session=0x40)


def took_over(
    folder: Path, own: Sequence[bytes], theirs: Sequence[Any] = THEIRS, at: int = E3 + 3, myid: int | None = None
) -> DataFiles:
    """A disk that has a log of its own, a leader's snapshot over it, and a log since."""
    disk = zk.disk(folder, list(own), nodes=ROOT, myid=myid)
    (disk / f"version-2/snapshot.{at:x}").write_bytes(zk.snapshot(theirs))
    (disk / f"version-2/log.{E3 + 4:x}").write_bytes(zk.log(*SINCE))
    return find(disk)


def cut(folder: Path, own: Sequence[bytes], since: Sequence[bytes], **more: Any) -> DataFiles:
    """A disk whose log was cut off, and that went on in another history."""
    disk = zk.disk(folder, list(own), nodes=ROOT, **more)
    log = next((disk / "version-2").glob("log.*"))
    log.write_bytes(log.read_bytes().rstrip(b"\0"))
    first = int.from_bytes(since[0][12:20], "big")
    (disk / f"version-2/log.{first:x}").write_bytes(zk.log(*since))
    return find(disk)


def kept_side(folder: Path) -> KeptSide:
    """As it is read live: without logs."""
    later = bodies(zk.delete("/c"), zk.create("/k", b"k"), first=E3 + 2, session=0x30)
    files = find(zk.disk(folder, [*COMMON, *later, *SINCE], nodes=ROOT))
    return msgspec.structs.replace(kept_of(files), files=None)


def letters_of(side: Sequence[DataFiles], kept: KeptSide, *beside: DataFiles) -> tuple[Salvage, list[Letter]]:
    made = Salvage(side, kept, lambda _: None, beside)
    return made, list(made.letters())


def test_what_a_leader_s_snapshot_laid_over_a_log_is_told_by_what_it_does_not_hold(tmp_path: Path) -> None:
    files = took_over(tmp_path / "x", [*COMMON, *LOST[:4]])
    (former,) = formers(files, cover_of(files, lambda _: None), lambda _: None)
    assert (former.parted, former.files.upto, former.snapshot) == (P, E2 + 4, E3 + 3) and b"/new/x" in former.tree


@pytest.mark.parametrize("own", [COMMON, COMMON[:3], [*COMMON, zk.body(E2 + 1, zk.create("/e", b"", ephemeral=True))]])
def test_one_that_only_lagged_behind_was_sent_its_own_history(tmp_path: Path, own: list[bytes]) -> None:
    own = [b for b in own if b != COMMON[3]]  # /c, which was deleted meanwhile
    files = took_over(tmp_path / "x", own, THEIRS)
    assert not formers(files, cover_of(files, lambda _: None), lambda _: None)


def test_the_losing_disk_that_took_the_kept_history_over_parts_from_it_in_its_own_log(tmp_path: Path) -> None:
    """What both have since is no sign that they never parted."""
    made, letters = letters_of([took_over(tmp_path / "lost", [*COMMON, *LOST[:4]])], kept_side(tmp_path / "kept"))
    assert made.parting.zxid == P and "took over the tree of another history" in made.parting.how
    assert ("create", "/new", b"n", Why.NOT_KEPT) in told(letters) and ("set", "/a", b"lost", Why.DIFFERS) in told(
        letters
    )


def test_what_only_a_kept_server_had_before_it_took_the_kept_history_over_is_a_letter(tmp_path: Path) -> None:
    """The losing disk is short; the one that has all of it is on the kept side by now."""
    lost = find(zk.disk(tmp_path / "lost", [*COMMON, *LOST[:2]], nodes=ROOT, myid=1))
    beside = took_over(tmp_path / "beside", [*COMMON, *LOST], myid=2)
    kept = kept_side(tmp_path / "kept")
    _, alone = letters_of([lost], kept)
    made, letters = letters_of([lost], kept, beside)
    assert [x.path for x in alone] == ["/a", "/new"] and made.parting.zxid == P
    assert [(x.kind, x.path, x.disks, x.doubt) for x in letters[:4]] == [
        (Kind.SET, "/a", 2, ""), (Kind.CREATE, "/new", 2, ""), (Kind.CREATE, "/new/x", 1, ""), (Kind.SET, "/new/x", 1, ""),
    ]  # fmt: skip
    assert not made.cut_off and letters[3].why is Why.NOT_KEPT


def test_a_history_that_only_kept_servers_had_is_never_mixed_with_another(tmp_path: Path) -> None:
    """Which of two is right a person says."""
    lost = find(zk.disk(tmp_path / "lost", [*COMMON, *LOST[:2]], nodes=ROOT))
    other = bodies(
        zk.create("/other", b"o"), zk.create("/other/x", b"1"), zk.put("/other/x", b"2", 1), first=E2 + 1, session=0x50
    )
    made, letters = letters_of([lost], kept_side(tmp_path / "kept"), took_over(tmp_path / "beside", [*COMMON, *other]))
    found = {x.path: x for x in letters}
    assert set(found) == {"/a", "/new", "/other", "/other/x"} and not found["/new"].doubt
    assert "of a history of its own" in found["/other"].doubt and made.counts.transactions == 5


def test_what_the_kept_history_has_too_is_no_letter_though_it_looks_different_by_now(tmp_path: Path) -> None:
    """By the kept disks' logs, and not by what is left of it: a value that was written over since."""
    both = bodies(zk.put("/d", b"1", 1), first=E3 + 1, session=0x40)
    later = bodies(zk.put("/d", b"2", 2), first=E3 + 2, session=0x40)
    lost = find(zk.disk(tmp_path / "lost", [*COMMON, *LOST[:4], *both], nodes=ROOT))
    kept_disk = find(zk.disk(tmp_path / "kept", [*COMMON, *KEPT, *both, *later], nodes=ROOT))
    kept = msgspec.structs.replace(kept_of(kept_disk), files=None)
    made, letters = letters_of([lost], kept, kept_disk)
    assert (made.parting.zxid, made.parting.sure) == (P, True)
    assert [x.path for x in letters] == ["/a", "/new", "/new/x", "/new/x"] and made.counts.same == 1


def test_what_the_kept_history_has_too_and_could_not_do_there_is_a_letter(tmp_path: Path) -> None:
    """After a merge a leader's create goes to servers that have such a znode already: it is acknowledged, and nothing on them."""
    kept_own = bodies(zk.create("/both", b"kept"), zk.create("/gone", b"k"), first=E2 + 1, session=0x30)
    both = bodies(
        zk.create("/both", b"lost"), zk.create("/new/y", b"y"), zk.put("/new", b"2", 1), zk.create("/short", b"s"), zk.delete("/short"),
        zk.delete("/d"), first=E3 + 1, session=0x40,
    )  # fmt: skip
    lost = find(zk.disk(tmp_path / "lost", [*COMMON, *LOST[1:2], *both], nodes=ROOT))
    kept_disk = find(zk.disk(tmp_path / "kept", [*COMMON, *kept_own, *both], nodes=ROOT))
    kept = msgspec.structs.replace(kept_of(kept_disk), files=None)
    made, letters = letters_of([lost], kept, kept_disk)
    assert told(letters) == [
        ("create", "/new", b"n", Why.CREATED_THERE),
        ("create", "/both", b"lost", Why.CREATED_BOTH),
        ("create", "/new/y", b"y", Why.CREATED_THERE),
        ("set", "/new", b"2", Why.CREATED_THERE),
    ]
    assert made.parting.zxid == P and made.counts.same == 3


def test_a_kept_log_that_begins_after_the_merge_says_nothing_of_the_time_before(tmp_path: Path) -> None:
    both = bodies(zk.create("/after", b"m"), zk.put("/d", b"m", 1), first=E3 + 1, session=0x40)
    lost = find(zk.disk(tmp_path / "lost", [*COMMON, *LOST[:4], *both], nodes=ROOT))
    kept = kept_of(find(zk.disk(tmp_path / "kept", [*COMMON, *KEPT, *both], nodes=ROOT)))
    short = find(zk.disk(tmp_path / "short", both, nodes=[*ROOT], at=E3))
    made, letters = letters_of([lost], msgspec.structs.replace(kept, files=None), short)
    assert made.parting.zxid == P and ("create", "/new", b"n", Why.CREATED_THERE) in told(letters)


def test_two_snapshots_tell_that_they_differ_where_no_log_goes_back_so_far(tmp_path: Path) -> None:
    """Of one zxid each has another znode: what both have since is from after a merge."""
    both = bodies(zk.create("/after", b"m"), first=E2 + 4, session=0x40)
    times = {"ctime": 1_700_000_000_009, "mtime": 1_700_000_000_009}
    mine = [*STOOD, zk.node("/new", b"n", czxid=E2 + 2, mzxid=E2 + 2, **times)]
    theirs = [*STOOD, zk.node("/k", b"k", czxid=E2 + 2, mzxid=E2 + 2, ctime=1, mtime=1)]
    lost = find(zk.disk(tmp_path / "lost", both, nodes=mine, at=E2 + 3))
    kept_disk = find(zk.disk(tmp_path / "kept", both, nodes=theirs, at=E2 + 3))
    for kept in (kept_of(kept_disk), msgspec.structs.replace(kept_of(kept_disk), files=None)):
        made, letters = letters_of([lost], kept)
        assert told(letters) == [("stood", "/new", b"n", Why.NOT_KEPT)] and made.parting.zxid == P


def test_an_empty_snapshot_is_no_beginning_of_a_log_that_goes_on_from_another(tmp_path: Path) -> None:
    """A server that joined has an empty one, one that it was sent, and a log of a later epoch: by the numbers nothing lacks before that."""
    lost = zk.disk(tmp_path / "lost", LOST[:4], nodes=ROOT)
    nodes = [n for n in STOOD if n[0] != "/c"]
    (lost / f"version-2/snapshot.{P:x}").write_bytes(
        zk.snapshot([*nodes, zk.node("/c", b"0", czxid=E1 + 4, mzxid=E1 + 4)])
    )
    kept = kept_of(find(zk.disk(tmp_path / "kept", [*COMMON, *KEPT], nodes=ROOT)))
    empty = msgspec.structs.replace(kept, tree=type(kept.tree)(), files=None)
    made, letters = letters_of([find(lost)], empty)
    assert made.parting.zxid == 0 and [x.path for x in letters if x.kind is not Kind.STOOD] == [
        "/a",
        "/new",
        "/new/x",
        "/new/x",
    ]
    made, letters = letters_of([find(lost)], msgspec.structs.replace(kept, files=None))
    assert made.parting.zxid == P and [x.path for x in letters] == ["/a", "/new", "/new/x", "/new/x"]


def test_what_a_log_writes_and_its_tree_cannot_hold_is_a_letter(tmp_path: Path) -> None:
    """Never taken for something that came and went: here the first epoch lacks, and with it the parent."""
    deep = bodies(
        zk.create("/far/x", b"1"), zk.put("/far/y", b"2", 1), zk.multi(zk.create("/t"), zk.delete("/t")), first=E2 + 1
    )
    lost = find(zk.disk(tmp_path / "lost", deep, nodes=ROOT))
    _, letters = letters_of([lost], kept_side(tmp_path / "kept"))
    assert told(letters) == [("create", "/far/x", b"1", Why.NOT_KEPT), ("set", "/far/y", b"2", Why.NOT_KEPT)]


# -- what was cut off


def test_a_log_that_ends_without_the_zeros_ahead_was_cut_off(tmp_path: Path) -> None:
    both = bodies(zk.create("/after", b"m"), first=E2 + 4, session=0x40)
    files = cut(tmp_path / "x", [*COMMON, *LOST[:3]], both)
    assert cuts(files, pytest.fail, kept=False) == (CutOff(files.name, E2 + 3),)
    assert not cuts(find(zk.disk(tmp_path / "whole", COMMON, nodes=ROOT)), pytest.fail, kept=False)
    copy = zk.disk(tmp_path / "copy", [], nodes=ROOT)
    (copy / f"version-2/log.{E1 + 1:x}").write_bytes(zk.log(*COMMON, padding=0))
    assert cuts(find(copy), pytest.fail, kept=True) == (CutOff(str(copy), P, False, True),)


def test_what_was_cut_off_since_the_parting_is_named_and_of_which_disk(tmp_path: Path) -> None:
    both = bodies(zk.create("/after", b"m"), first=E2 + 4, session=0x40)
    lost = cut(tmp_path / "lost", [*COMMON, *LOST[:3]], both, myid=1)
    early = cut(tmp_path / "early", COMMON[:4], [COMMON[4], *KEPT], myid=2)  # long before they parted
    kept_logs = find(zk.disk(tmp_path / "kept", [*COMMON, *KEPT, *both], nodes=ROOT))
    kept = msgspec.structs.replace(kept_of(kept_logs), files=None)
    made, letters = letters_of([lost], kept, early, kept_logs)
    assert made.cut_off == (CutOff(lost.name, E2 + 3),) and [x.path for x in letters] == ["/a", "/new", "/new/x"]
    # on the kept side it is as much a loss
    made, _ = letters_of([find(zk.disk(tmp_path / "other", [*COMMON, *KEPT], nodes=ROOT))], kept, lost)
    assert made.cut_off == (CutOff(lost.name, E2 + 3, True, True),)


@pytest.mark.parametrize(("at", "why", "doubt"), [(E2 + 5, Why.CREATED_THERE, False), (E2 + 2, Why.NOT_KEPT, True)])
def test_a_snapshot_that_holds_what_was_cut_off_is_read(tmp_path: Path, at: int, why: Why, doubt: bool) -> None:
    """One that the server made before, and one that it was writing meanwhile."""
    both = bodies(zk.create("/after", b"m"), first=E2 + 4, session=0x40)
    lost = cut(tmp_path / "lost", [*COMMON, *LOST[:3]], both)
    nodes = [
        *STOOD,
        zk.node("/gone", b"g", czxid=E2 + 5, mzxid=E2 + 5),
        zk.node("/after", b"m", czxid=E2 + 4, mzxid=E2 + 4),
    ]
    Path(lost.snapshots[0][1]).with_name(f"snapshot.{at:x}").write_bytes(zk.snapshot(nodes))
    made, letters = letters_of([find(Path(lost.name))], msgspec.structs.replace(
        kept_of(find(zk.disk(tmp_path / "kept", [*COMMON, *KEPT, *both], nodes=ROOT))), files=None
    ))  # fmt: skip
    (stood,) = [x for x in letters if x.kind is Kind.STOOD]
    assert (stood.path, stood.data, stood.zxid, stood.why) == ("/gone", b"g", E2 + 5, why)
    assert ("cut off" in stood.doubt) is doubt
    assert made.cut_off[0].after == E2 + 3


def test_the_command_names_it_and_the_file_keeps_it(tmp_path: Path) -> None:
    both = bodies(zk.create("/after", b"m"), first=E2 + 4, session=0x40)
    lost = cut(tmp_path / "lost", [*COMMON, *LOST[:3]], both, myid=1)
    kept = zk.disk(tmp_path / "kept", [*COMMON, *KEPT, *both], nodes=ROOT, myid=3)
    beside = zk.disk(tmp_path / "beside", [*COMMON, *KEPT, *both], nodes=ROOT, myid=4)
    command = ["salvage", lost.name, "--kept", str(kept), "-o", str(tmp_path / "f")]
    twice = CliRunner().invoke(zkprov, [*command, "--kept-disk", lost.name])
    assert isinstance(twice.exception, BadInput) and "--kept-disk" in twice.exception.remedy
    done = CliRunner().invoke(zkprov, [*command, "--kept-disk", str(beside)], catch_exceptions=False)
    assert f"its log was cut off after {E2 + 3:#x}" in done.output and f"from {E2 + 4:#x} on" in done.output
    with DeadLetters(tmp_path / "f") as file:
        assert file.origin.cut_off == (CutOff(lost.name, E2 + 3),) and file.origin.beside == (str(beside),)
    shown = CliRunner().invoke(zkprov, ["salvage", "show", str(tmp_path / "f")], catch_exceptions=False)
    assert f"cut off after {E2 + 3:#x}" in shown.output, "whoever reads the letters later is told too"


def synchronizing(who: str, committed: int, last: int) -> str:
    """As a leader's log has it; who comes is a learner since 3.6, and was a follower before."""
    return (
        f"2026-11-29 19:30:57,700 [myid:] - INFO  [LearnerHandler-/127.0.0.1:1:o.a.z.s.q.LearnerHandler@800] - Synchronizing with {who} "
        f"maxCommittedLog={committed:#x} minCommittedLog=0x100000001 lastProcessedZxid={committed:#x} peerLastZxid={last:#x}\n"
    )


SENT = (
    synchronizing("Learner sid: 1", E2 + 3, E2 + 7)
    + synchronizing("Follower sid: 2", E3 + 9, E2 + 9)
    + f"2026-11-29 19:30:57,702 [myid:] - INFO  [x:o.a.z.s.q.LearnerHandler@900] - Sending TRUNC zxid={E2 + 4:#x}  for peer sid: 2\n"
    + synchronizing("Learner sid: 3", E2 + 3, E2 + 2)
    + synchronizing("Learner sid: 4", E2 + 3, 0xFFFFFFFFFFFFFFFF)  # empty
)


def test_a_leader_s_log_tells_how_much_was_cut_off(tmp_path: Path) -> None:
    log = tmp_path / "zookeeper.log"
    log.write_text(SENT)
    told = list(cut_by_leaders(log))
    assert told == [CutByLeader(1, E2 + 7, E2 + 3), CutByLeader(2, E2 + 9, E2 + 4)]
    both = bodies(zk.create("/after", b"m"), first=E2 + 4, session=0x40)
    lost = cut(tmp_path / "lost", [*COMMON, *LOST[:3]], both, myid=1)
    kept = zk.disk(tmp_path / "kept", [*COMMON, *KEPT, *both], nodes=ROOT, myid=3)
    command = ["salvage", lost.name, "--kept", str(kept), "-o", str(tmp_path / "f"), "--server-log"]
    done = CliRunner().invoke(zkprov, [*command, str(log)], catch_exceptions=False)
    assert f"{E2 + 4:#x} to {E2 + 7:#x}, which it had" in done.output and "4 transactions at most" in done.output
    with DeadLetters(tmp_path / "f") as file:
        assert file.origin.cut_off == (CutOff(lost.name, E2 + 3, last=E2 + 7),) and file.origin.cut_off[0].most == 4
    (tmp_path / "f").unlink()
    wrong = CliRunner().invoke(zkprov, [*command, str(tmp_path / "none")])
    assert isinstance(wrong.exception, BadInput) and not (tmp_path / "f").exists()
