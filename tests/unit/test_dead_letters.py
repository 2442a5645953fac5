"""The file of dead letters, and what is decided of each: what is refused, what was begun, and what is set aside."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from zkprov.cli import zkprov
from zkprov.judge.replays import Live, decide
from zkprov.model.letters import Fate, Kept, Kind, Letter, Origin, Outcome, Why
from zkprov.model.problems import BadInput, Busy
from zkprov.model.rights import ALL, ANYONE, READ, Right
from zkprov.run.dead_letters import FORMAT, DeadLetters, write
from zkprov.tree.acls import vector_of
from zkprov.tree.znodes import sum_of

OPEN = vector_of((Right(ANYONE, ALL),))
READ_ONLY = vector_of((Right(ANYONE, READ),))
ORIGIN = Origin(
    "e", ("/lost",), "e", 5, "by the logs", 6, 9, 4, 0, 0, 0, 0, 0, (), (), 0.0, "me", "test",
)  # fmt: skip


def letter(number: int, kind: Kind, path: str, data: bytes | None = None, **more: Any) -> Letter:
    last = more.pop("last", None if kind is Kind.DELETE else sum_of(data))
    values: dict[str, Any] = {
        "zxid": 100 + number, "part": 0, "time": 1_700_000_000_000, "session": 7, "version": 0, "acl": OPEN, "owner": 0,
        "ephemeral": False, "why": Why.CREATED_THERE, "disks": 1, "doubt": "", "kept": None, **more,
    }  # fmt: skip
    return Letter(number=number, kind=kind, path=path, data=data, last=last, **values)


def made(path: Path, letters: Sequence[Letter] = ()) -> Path:
    write(path, letters, lambda: ORIGIN)
    return path


LETTERS = [
    letter(1, Kind.CREATE, "/a", b"x"),
    letter(2, Kind.CREATE, "/a/b", None),
    letter(3, Kind.SET, "/s", b"2", why=Why.CHANGED_THERE, kept=Kept(3, 0, 0)),
]


# -- the file


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = made(tmp_path / "f", LETTERS)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and os.listdir(tmp_path) == ["f"]
    with DeadLetters(file) as found:
        assert [x for x, _ in found.letters()] == LETTERS and found.origin == ORIGIN
        assert {o.fate for _, o in found.letters()} == {Fate.OPEN}
        assert [x.number for x, _ in found.letters(["/a"])] == [1, 2] == found.numbers(["/a/", "/a/b"])
        assert [x.number for x, _ in found.letters(["/a/*"])] == [2] and found.numbers(["/"]) == [1, 2, 3]
        assert [x.number for x, _ in found.letters(["/*"], ["set"])] == [3]


def test_an_ephemeral_znode_is_never_replayed(tmp_path: Path) -> None:
    with DeadLetters(made(tmp_path / "f", [letter(1, Kind.CREATE, "/e", b"", owner=9, ephemeral=True)])) as found:
        assert [o.fate for _, o in found.letters()] == [Fate.NEVER]


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mine")
    with pytest.raises(BadInput, match="there is a file already"):
        made(tmp_path / "f")
    with pytest.raises(BadInput, match="cannot be made"):
        made(tmp_path / "no" / "f")
    assert (tmp_path / "f").read_text() == "mine" and os.listdir(tmp_path) == ["f"]


def test_one_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Any:
        yield LETTERS[0]
        raise BadInput("two histories")

    with pytest.raises(BadInput, match="two histories"):
        write(tmp_path / "f", broken(), lambda: ORIGIN)
    assert not os.listdir(tmp_path)


def edited(path: Path, *sql: str) -> None:
    with sqlite3.connect(path) as db:
        for statement in sql:
            db.execute(statement)
    db.close()


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda p: p.unlink(), "there is no such file"),
    "empty": (lambda p: p.write_bytes(b""), "a database of something else"),
    "junk": (lambda p: p.write_bytes(b"junk" * 1000), "no file of dead letters"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:9000]), "no file of dead letters, or damaged"),
    "other": (lambda p: (p.unlink(), edited(p, "CREATE TABLE t (x)")), "a database of something else"),
    "newer": (lambda p: edited(p, f"PRAGMA user_version={FORMAT + 1}"), f"of format {FORMAT + 1}"),
    "data": (lambda p: edited(p, "UPDATE letter SET data=x'00' WHERE number=1"), "edited"),
    "less": (lambda p: edited(p, "DELETE FROM letter WHERE number=2"), "edited"),
    "origin": (lambda p: edited(p, "UPDATE origin SET document='{}'"), "edited"),
    "seal": (lambda p: edited(p, "DELETE FROM seal"), "edited"),
    "table": (lambda p: edited(p, "DROP TABLE seal"), "no file of dead letters"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_such_file_is_one_clear_error(tmp_path: Path, wrong: str) -> None:
    file = made(tmp_path / "f", LETTERS)
    spoil, said = WRONG[wrong]
    spoil(file)
    for apply in (False, True):
        with pytest.raises(BadInput, match=said) as told:
            DeadLetters(file, to_apply=apply)
        assert str(file) in str(told.value) and told.value.remedy
    done = CliRunner().invoke(zkprov, ["salvage", "show", str(file)])
    assert isinstance(done.exception, BadInput)


def test_a_file_that_another_process_applies_is_busy(tmp_path: Path) -> None:
    file = made(tmp_path / "f", LETTERS)
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another process applies it"):
            DeadLetters(file, to_apply=True)
        with DeadLetters(file) as looked:
            assert len(list(looked.letters())) == 3
    DeadLetters(file, to_apply=True).close()


def test_a_fate_is_on_disk_when_it_is_recorded(tmp_path: Path) -> None:
    file = made(tmp_path / "f", LETTERS)
    with DeadLetters(file, to_apply=True) as found:
        found.record(2, Outcome(Fate.BEGUN, "", 1.0, -1, -1, -1))
        code = f"from zkprov.run.dead_letters import *; from pathlib import Path; print(DeadLetters(Path({str(file)!r})).letter(2)[1].fate)"
        import subprocess
        import sys

        assert (
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "begun\n"
        )
    assert os.listdir(tmp_path) == ["f"]


def test_show_tells_everything_and_data_only_when_asked(tmp_path: Path) -> None:
    file = made(tmp_path / "f", LETTERS)
    run = CliRunner().invoke
    plain = run(zkprov, ["salvage", "show", str(file)], catch_exceptions=False).output
    assert "/a/b" in plain and "created only there" in plain and "changed only there" in plain
    rows = msgspec.json.decode(run(zkprov, ["salvage", "show", str(file), "--output", "json"]).output)["letters"]
    assert [r["path"] for r in rows] == ["/a", "/a/b", "/s"] and {r["data"] for r in rows} == {None}
    rows = msgspec.json.decode(
        run(zkprov, ["salvage", "show", str(file), "--output", "json", "--data", "--only", "/a"]).output
    )["letters"]
    assert [r["data"] for r in rows] == ["eA==", None]
    limited = msgspec.json.decode(
        run(zkprov, ["salvage", "show", str(file), "--limit", "1", "--output", "json"]).output
    )
    assert len(limited["letters"]) == 1 and limited["more"] == 2


# -- what is decided

LIVE = Live(3, 0, 0, sum_of(b"1"), OPEN, 5)
SET = LETTERS[2]
CREATE = LETTERS[0]
DELETE = letter(4, Kind.DELETE, "/s", kept=Kept(3, 0, 0), why=Why.DELETED_THERE)
ACL = letter(5, Kind.ACL, "/s", acl=READ_ONLY, kept=Kept(3, 0, 0), why=Why.CHANGED_THERE, last=sum_of(b"1"))
NO = Outcome(Fate.OPEN)


def of(live: Live, **changes: Any) -> Live:
    return msgspec.structs.replace(live, **changes)


@pytest.mark.parametrize(
    ("what", "live", "parent", "previous", "said"),
    [
        (CREATE, None, LIVE, None, "do"),
        (CREATE, LIVE, LIVE, None, "there is one by now"),
        (CREATE, of(LIVE, sum=sum_of(b"x")), LIVE, None, "there already"),
        (CREATE, of(LIVE, sum=sum_of(b"x"), acl=READ_ONLY), LIVE, None, "there is one by now"),
        (CREATE, None, None, None, "its parent is not there"),
        (letter(9, Kind.CREATE, "/q/n-0000000005", b""), None, LIVE, None, "do"),
        (letter(9, Kind.CREATE, "/q/n-0000000006", b""), None, LIVE, None, "a sequence number"),
        (SET, LIVE, None, None, "do"),
        (SET, None, None, None, "it is not there"),
        (SET, of(LIVE, mzxid=4), None, None, "it was changed since"),
        (SET, of(LIVE, mzxid=4, sum=sum_of(b"2")), None, None, "there already"),
        (SET, of(LIVE, mzxid=9), None, Outcome(Fate.REPLAYED, mzxid=9), "do"),
        (SET, of(LIVE, mzxid=9), None, Outcome(Fate.REPLAYED, mzxid=8), "it was changed since"),
        (DELETE, LIVE, None, None, "do"),
        (DELETE, None, None, None, "there already"),
        (DELETE, of(LIVE, mzxid=4), None, None, "it was changed since"),
        (ACL, LIVE, None, None, "do"),
        (ACL, of(LIVE, acl=READ_ONLY, aversion=7), None, None, "there already"),
        (ACL, of(LIVE, aversion=1), None, None, "its ACL was changed since"),
        *((msgspec.structs.replace(SET, why=why), LIVE, None, None, why.value) for why in Why if why.conflict),
        (msgspec.structs.replace(SET, why=Why.CHANGED_BOTH), of(LIVE, sum=sum_of(b"2")), None, None, "there already"),
        (msgspec.structs.replace(SET, doubt="on 1 of 3"), LIVE, None, None, "perhaps never acknowledged"),
        (msgspec.structs.replace(CREATE, ephemeral=True), None, LIVE, None, "never"),
    ],
)
def test_a_change_is_replayed_only_on_what_it_rests_on(
    what: Letter, live: Live | None, parent: Live | None, previous: Outcome | None, said: str
) -> None:
    found = decide(what, NO, live, parent, previous)
    told = "do" if found.do else found.said if found.fate is Fate.CONFLICT else found.fate.value
    assert told.startswith(said), found


def test_what_follows_one_that_was_set_aside_is_set_aside() -> None:
    assert decide(SET, NO, LIVE, None, None, blocked=True).said.startswith("it follows")
    assert decide(SET, NO, of(LIVE, sum=sum_of(b"2")), None, None, blocked=True).fate is Fate.THERE


def begun(live: Live | None) -> Outcome:
    return Outcome(Fate.BEGUN, "", 0.0, *((-1, -1, -1) if live is None else (live.mzxid, live.version, live.aversion)))


@pytest.mark.parametrize(
    ("what", "before", "now", "said"),
    [
        (CREATE, None, None, "do"),
        (CREATE, None, Live(9, 0, 0, sum_of(b"x"), OPEN), "replayed"),
        (CREATE, None, Live(9, 1, 0, sum_of(b"x"), OPEN), "it was changed"),
        (CREATE, None, Live(9, 0, 0, sum_of(b"y"), OPEN), "it was changed"),
        (SET, LIVE, LIVE, "do"),
        (SET, LIVE, of(LIVE, mzxid=9, version=1, sum=sum_of(b"2")), "replayed"),
        (SET, LIVE, of(LIVE, mzxid=9, version=1, sum=sum_of(b"3")), "it was changed"),
        (SET, LIVE, of(LIVE, mzxid=9, version=2, sum=sum_of(b"2")), "it was changed"),
        (SET, LIVE, None, "it was deleted"),
        (DELETE, LIVE, None, "replayed"),
        (DELETE, LIVE, LIVE, "do"),
        (DELETE, LIVE, of(LIVE, mzxid=9, version=1), "it was changed"),
        (ACL, LIVE, of(LIVE, aversion=1, acl=READ_ONLY), "replayed"),
        (ACL, LIVE, LIVE, "do"),
    ],
)
def test_after_a_crash_it_is_looked_whether_it_came_through(
    what: Letter, before: Live | None, now: Live | None, said: str
) -> None:
    found = decide(what, begun(before), now, LIVE, None)
    told = "do" if found.do else found.said if found.fate is Fate.CONFLICT else found.fate.value
    assert told.startswith(said), found
