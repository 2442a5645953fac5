"""The file of dead letters and its replay: what is refused, what a crash at any instant leaves, and that twice is as once."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import threading
from collections import namedtuple
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from kazoo import exceptions

from zkprov.act import replay, rights
from zkprov.cli import zkprov
from zkprov.judge.health import Condition
from zkprov.judge.replays import Live, decide
from zkprov.model.letters import Fate, Kept, Kind, Letter, Origin, Outcome, Why
from zkprov.model.problems import BadInput, Busy, Interrupted, NotHealthy, Unsafe
from zkprov.model.rights import ALL, ANYONE, READ, Acl, Right
from zkprov.run.clock import SystemClock
from zkprov.run.dead_letters import FORMAT, DeadLetters, write
from zkprov.run.replaying import Done, Replayer, safe_to_write
from zkprov.run.salvage_file import not_paused
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


# -- the whole, on an ensemble of this test's own

EVERYBODY = (Right(ANYONE, ALL),)
Stat = namedtuple("Stat", "czxid mzxid version aversion cversion numChildren ephemeralOwner")


class Power(BaseException):
    """The machine goes down."""


class Ensemble:
    """Znodes with versions, in place of `act.replay` and `act.rights`; goes down before or after the `dies_at`th write."""

    def __init__(self) -> None:
        self.zxid = 10
        self.nodes: dict[str, list[Any]] = {"/": [b"", 0, 0, 0, 0, (), 0]}
        self.writes = 0
        self.dies_at: tuple[int, bool] | None = None
        self.dies_by: type[BaseException] = Power

    def put(self, path: str, data: bytes, acl: Acl = EVERYBODY) -> None:
        self.zxid += 1
        self.nodes[path] = [data, self.zxid, 0, 0, 0, acl, self.zxid]
        self.nodes[path.rpartition("/")[0] or "/"][4] += 1

    def _effect(self, work: Callable[[], None]) -> None:
        self.writes += 1
        number, after = self.dies_at or (-1, False)
        if self.writes == number and not after:
            raise self.dies_by
        work()
        if self.writes == number:
            raise self.dies_by

    def get(self, _: object, path: str) -> tuple[bytes, Stat] | None:
        if path not in self.nodes:
            return None
        data, mzxid, version, aversion, made, _, czxid = self.nodes[path]
        below = sum(p.rpartition("/")[0] == path.rstrip("/") and p != "/" for p in self.nodes)
        return data, Stat(czxid, mzxid, version, aversion, 2 * made - below, below, 0)

    def create(self, _: object, path: str, data: bytes | None, acl: Acl, owner: int = 0) -> None:
        if path in self.nodes:
            raise exceptions.NodeExistsError
        self._effect(lambda: self.put(path, data or b"", acl))

    def set_data(self, _: object, path: str, data: bytes | None, version: int) -> None:
        node = self.nodes[path]
        if node[2] != version:
            raise exceptions.BadVersionError

        def work() -> None:
            self.zxid += 1
            node[0], node[1], node[2] = data or b"", self.zxid, version + 1

        self._effect(work)

    def delete(self, _: object, path: str, version: int) -> None:
        if any(p.startswith(f"{path}/") for p in self.nodes):
            raise exceptions.NotEmptyError
        self._effect(lambda: self.nodes.pop(path))

    def read(self, _: object, path: str) -> tuple[Acl, int]:
        return self.nodes[path][5], self.nodes[path][3]

    def write(self, _: object, path: str, acl: Acl, version: int) -> None:
        def work() -> None:
            self.nodes[path][5], self.nodes[path][3] = acl, version + 1

        self._effect(work)

    def state(self) -> dict[str, Any]:
        return {path: (node[0], node[2], node[3], node[5]) for path, node in self.nodes.items()}


@pytest.fixture
def ensemble(monkeypatch: pytest.MonkeyPatch) -> Ensemble:
    return installed(monkeypatch)


def installed(monkeypatch: pytest.MonkeyPatch) -> Ensemble:
    """With /s, /t and /gone as the letters below know them."""
    made = Ensemble()
    for name in ("get", "create", "set_data", "delete"):
        monkeypatch.setattr(replay, name, getattr(made, name))
    monkeypatch.setattr(replay, "catch_up", lambda _: None)
    monkeypatch.setattr(rights, "read", made.read)
    monkeypatch.setattr(rights, "write", made.write)
    for path in ("/s", "/t", "/gone", "/both"):
        made.put(path, b"1")
    return made


S, T, GONE = Kept(11, 0, 0), Kept(12, 0, 0), Kept(13, 0, 0)
STORY = [
    letter(1, Kind.SET, "/s", b"2", why=Why.CHANGED_THERE, kept=S, last=sum_of(b"3")),
    letter(2, Kind.CREATE, "/n", b"n"),
    letter(3, Kind.CREATE, "/n/x", b"1", last=sum_of(b"2")),
    letter(4, Kind.SET, "/s", b"3", why=Why.CHANGED_THERE, kept=S),
    letter(5, Kind.SET, "/n/x", b"2"),
    letter(6, Kind.ACL, "/t", acl=READ_ONLY, why=Why.CHANGED_THERE, kept=T, last=sum_of(b"1")),
    letter(7, Kind.DELETE, "/gone", why=Why.DELETED_THERE, kept=GONE),
    letter(8, Kind.SET, "/both", b"lost", why=Why.CHANGED_BOTH, kept=Kept(14, 0, 0)),
    letter(9, Kind.CREATE, "/e", b"", owner=9, ephemeral=True),
    letter(10, Kind.CREATE, "/n/y", None),
]


def apply(file: Path, only: Sequence[str] = ("/",), *, dry_run: bool = False) -> dict[int, Outcome]:
    heard: list[Done] = []
    with DeadLetters(file, to_apply=True) as letters:
        client: Any = None
        replayer = Replayer(letters, client, SystemClock(), threading.Event(), lambda: None, dry_run=dry_run)
        replayer.carry_out(list(only), heard.append)
    return {done.letter.number: done.outcome for done in heard}


def test_letters_are_replayed_once_and_conflicts_set_aside(tmp_path: Path, ensemble: Ensemble) -> None:
    file = made(tmp_path / "f", STORY)
    dry = {n: o.fate for n, o in apply(file, dry_run=True).items()}
    assert ensemble.writes == 0
    found = apply(file)
    assert {n: o.fate for n, o in found.items()} == dry
    assert [n for n, o in found.items() if o.fate is Fate.CONFLICT] == [8] and found[9].fate is Fate.NEVER
    state = ensemble.state()
    assert (state["/s"][:2], state["/n/x"][:2], state["/both"][0], "/gone" in state) == (
        (b"3", 2),
        (b"2", 1),
        b"1",
        False,
    )
    assert state["/t"][3] == (Right(ANYONE, READ),) and "/e" not in state
    writes = ensemble.writes
    assert set(apply(file)) == {8, 9} and (ensemble.writes, ensemble.state()) == (writes, state)
    again = made(tmp_path / "again", STORY)  # the same letters, whose fates are forgotten
    assert Fate.REPLAYED not in {o.fate for o in apply(again).values()}
    assert (ensemble.writes, ensemble.state()) == (writes, state)


def test_a_crash_at_any_write_and_the_rest_afterwards_is_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = installed(monkeypatch)
    apply(made(tmp_path / "whole", STORY))
    for number in range(1, whole.writes + 1):
        for after in (False, True):
            ensemble = installed(monkeypatch)
            ensemble.dies_at = (number, after)
            file = made(tmp_path / f"{number}-{after}", STORY)
            with pytest.raises(Power):
                apply(file)
            ensemble.dies_at = None
            apply(file)
            assert ensemble.state() == whole.state(), (number, after)
            with DeadLetters(file) as found:
                assert Fate.BEGUN not in {o.fate for _, o in found.letters()}


def test_only_what_is_asked_for(tmp_path: Path, ensemble: Ensemble) -> None:
    file = made(tmp_path / "f", STORY)
    assert set(apply(file, ["/n/x"])) == {3, 5} and "/n" not in ensemble.nodes
    assert {o.said for o in apply(file, ["/n/x"]).values()} == {
        "its parent is not there: replay that first", "it follows a change that was set aside",
    }  # fmt: skip
    apply(file, ["/n"])
    assert ensemble.nodes["/n/x"][0] == b"2" and ensemble.nodes["/s"][0] == b"1"


def test_what_somebody_changes_in_between_is_not_overwritten(tmp_path: Path, ensemble: Ensemble) -> None:
    ensemble.nodes["/s"][:3] = [b"mine", 99, 5]
    found = apply(made(tmp_path / "f", STORY), ["/s"])
    assert {o.fate for o in found.values()} == {Fate.CONFLICT} and ensemble.nodes["/s"][0] == b"mine"
    ensemble.put("/gone/child", b"")
    assert apply(made(tmp_path / "g", STORY), ["/gone"])[7].said == "it has children on the kept side"


def test_a_full_disk_stops_before_anything_is_done(
    tmp_path: Path, ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise NotHealthy("cannot be recorded")

    monkeypatch.setattr(DeadLetters, "record", full)
    with pytest.raises(NotHealthy):
        apply(made(tmp_path / "f", STORY))
    assert ensemble.writes == 0


@pytest.mark.parametrize("after", [False, True])
def test_an_answer_that_is_lost_is_looked_for_and_nothing_is_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    whole = installed(monkeypatch)
    apply(made(tmp_path / "whole", STORY))
    for number in range(1, whole.writes + 1):
        ensemble = installed(monkeypatch)
        ensemble.dies_at, ensemble.dies_by = (number, after), exceptions.ConnectionLoss
        found = apply(made(tmp_path / f"{number}", STORY))
        assert ensemble.state() == whole.state() and ensemble.writes == whole.writes + (not after)
        assert [o.said for o in found.values()].count("found carried out") == after


def test_an_ensemble_that_does_not_answer_ends_it_with_something_begun(
    tmp_path: Path, ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise exceptions.ConnectionLoss

    monkeypatch.setattr("zkprov.run.replaying.PATIENCE_S", 0.2)
    monkeypatch.setattr(replay, "create", lost)
    file = made(tmp_path / "f", STORY)
    with pytest.raises(Interrupted, match="letter 2 may have been replayed") as told:
        apply(file)
    assert "the same command again" in told.value.remedy
    with DeadLetters(file) as found:
        assert [o.fate for _, o in found.letters()][:3] == [Fate.REPLAYED, Fate.BEGUN, Fate.OPEN]


def test_a_signal_ends_it_before_the_next_letter(tmp_path: Path, ensemble: Ensemble) -> None:
    stop = threading.Event()
    stop.set()
    client: Any = None
    with (
        DeadLetters(made(tmp_path / "f", STORY), to_apply=True) as letters,
        pytest.raises(Interrupted, match="stopped by a signal"),
    ):
        Replayer(letters, client, SystemClock(), stop, lambda: None).carry_out(["/"], lambda _: None)
    assert ensemble.writes == 0


def test_it_is_looked_again_whether_the_ensemble_is_safe(
    tmp_path: Path, ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> None:
        raise Unsafe("two leaders")

    monkeypatch.setattr("zkprov.run.replaying.LOOK_AGAIN_S", -1.0)
    client: Any = None
    with DeadLetters(made(tmp_path / "f", STORY), to_apply=True) as letters, pytest.raises(Unsafe):
        Replayer(letters, client, SystemClock(), threading.Event(), look).carry_out(["/"], lambda _: None)
    assert ensemble.writes == 0


@pytest.mark.parametrize(
    ("condition", "problem"), [("safe", None), ("degraded", NotHealthy), ("unsafe", Unsafe), ("unknown", NotHealthy)]
)
def test_nothing_is_written_to_an_ensemble_that_check_does_not_find_safe(
    condition: str, problem: type[Exception] | None
) -> None:
    survey = SimpleNamespace(ensemble="e")
    health: Any = SimpleNamespace(
        condition=Condition(condition), headline="why", picture=SimpleNamespace(survey=survey)
    )
    if problem is None:
        safe_to_write(health)
    else:
        with pytest.raises(problem, match=f"e: {condition}: why"):
            safe_to_write(health)


def test_a_pause_holds_it_up() -> None:
    paused: Any = SimpleNamespace(paused=lambda: "hands off")
    with pytest.raises(Busy, match="paused: hands off"):
        not_paused(paused)
    free: Any = SimpleNamespace(paused=lambda: None)
    not_paused(free)
