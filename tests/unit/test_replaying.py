"""The replay of dead letters: what a crash at any instant leaves, that twice is as once, and where nothing is written."""

from __future__ import annotations

import threading
from collections import namedtuple
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kazoo import exceptions

from tests.unit.test_dead_letters import READ_ONLY, letter, made
from zkprov.act import replay, rights
from zkprov.judge.health import Condition
from zkprov.model.letters import Fate, Kept, Kind, Outcome, Why
from zkprov.model.problems import Busy, Interrupted, NotHealthy, Unsafe
from zkprov.model.rights import ALL, ANYONE, READ, Acl, Right
from zkprov.run.clock import SystemClock
from zkprov.run.dead_letters import DeadLetters
from zkprov.run.replaying import Done, Replayer, safe_to_write
from zkprov.run.salvage_file import not_paused
from zkprov.tree.znodes import sum_of

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
