"""The run's entry in the ledger, and the fence that it is, against a ZooKeeper that loses answers.

Lost answers cannot be had from a real server at will, so the client here is the smallest stand-in: one tree with versions, and a
script of what becomes of each write. Real servers that die in the middle of a request are in tests/faults.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from kazoo.exceptions import BadVersionError, ConnectionLoss, NodeExistsError, NoNodeError

from tests.unit.plans_made import plan
from zkprov.model.facts import LedgerMember
from zkprov.model.problems import Busy, Interrupted, NotHealthy, Problem
from zkprov.plan.steps import FORMAT
from zkprov.report.documents import OPEN_RUN
from zkprov.run import ledger as room
from zkprov.run.journal import OPEN_STATES, State
from zkprov.run.ledger import MAX_RUN_BYTES, RUN, EnsembleLedger, RunDocument


class Answer:
    def __init__(self, value: Any) -> None:
        self.value = value

    def ready(self) -> bool:
        return self.value is not ...

    def wait(self, timeout: float) -> None: ...

    def get(self, block: bool = True) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


class Stat(msgspec.Struct):
    version: int
    mtime: int = 0


class Tree:
    """Znodes with versions.

    `fate`, of each write in turn: `ok`, `lost before` (it never arrived), `lost after` (done, and the answer lost), `hangs`.
    """

    def __init__(self, *fate: str) -> None:
        self.nodes: dict[str, tuple[bytes, int]] = {}
        self.fate = list(fate)

    def _write(self, work: Callable[[], Any]) -> Answer:
        fate = self.fate.pop(0) if self.fate else "ok"
        if fate == "hangs":
            return Answer(...)
        if fate == "lost before":
            return Answer(ConnectionLoss())
        try:
            value = work()
        except Exception as wrong:
            value = wrong
        return Answer(ConnectionLoss() if fate == "lost after" else value)

    def create_async(self, path: str, data: bytes, acl: Any = None, makepath: bool = False) -> Answer:
        def create() -> str:
            if path in self.nodes:
                raise NodeExistsError
            self.nodes[path] = (data, 0)
            return path

        return self._write(create)

    def set_async(self, path: str, data: bytes, version: int = -1) -> Answer:
        def put() -> Stat:
            if path not in self.nodes:
                raise NoNodeError
            at = self.nodes[path][1]
            if version not in (-1, at):
                raise BadVersionError
            self.nodes[path] = (data, at + 1)
            return Stat(at + 1)

        return self._write(put)

    def get_async(self, path: str) -> Answer:
        if path not in self.nodes:
            return Answer(NoNodeError())
        data, version = self.nodes[path]
        return Answer((data, Stat(version)))


def document(head: int = 1, **changed: Any) -> RunDocument:
    return RunDocument(
        **{"run": "4f1c00", "state": State.RUNNING, "head": head, "attempt": 0, "who": "you", "plan": plan(), **changed}
    )


def ledger(tree: Tree, stop: threading.Event | None = None) -> EnsembleLedger:
    return EnsembleLedger(tree, False, stop)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", list(State))
def test_status_knows_an_unfinished_run_by_how_its_document_begins(state: State) -> None:
    """A survey reads no more of it than that (`observe.znodes`)."""
    text = msgspec.json.encode(RunDocument("4f1c00", state, 12, 1, "op@host", plan())).decode()[:200]
    found = OPEN_RUN.match(text)
    assert (found is not None) == (state in OPEN_STATES)
    assert found is None or found.groups() == ("4f1c00", "12")


def test_a_run_that_is_written_is_read() -> None:
    tree = Tree()
    ledger(tree).claim(document(2))
    found = ledger(tree).read_run()
    assert found is not None and msgspec.structs.replace(found, holder="") == document(2)


def test_an_older_zkprov_takes_up_no_run_that_it_would_carry_out_half(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree()
    ledger(tree).claim(document(plan=plan(format=FORMAT)))
    assert ledger(tree).read_run()
    monkeypatch.setattr("zkprov.run.ledger.FORMAT", FORMAT - 1)
    with pytest.raises(Problem, match=f"format {FORMAT}; this one reads up to {FORMAT - 1}"):
        ledger(tree).read_run()


@pytest.mark.parametrize("fates", [("lost before",), ("lost after",), ("lost after", "lost before", "lost after")])
def test_a_lost_answer_is_asked_about_and_nothing_is_taken_for_another_run(fates: tuple[str, ...]) -> None:
    tree = Tree("ok", *fates)
    mine = ledger(tree)
    for head in (1, 2, 3, 4):
        mine.advance(document(head))
        assert msgspec.json.decode(tree.nodes[RUN][0], type=RunDocument).head == head


@pytest.mark.parametrize("fate", ["ok", "lost before", "lost after"])
@pytest.mark.parametrize("begun", [False, True])
def test_a_run_that_was_taken_over_is_told_and_changes_nothing(fate: str, begun: bool) -> None:
    tree = Tree()
    mine = ledger(tree)
    if begun:
        mine.claim(document(1))
    else:
        mine.read_run()
    other = ledger(tree)
    other.read_run()
    other.claim(document(1, attempt=1))
    stands = tree.nodes[RUN]
    tree.fate = [fate]
    with pytest.raises(Interrupted, match="taken over"):
        mine.advance(document(2))
    assert tree.nodes[RUN] == stands


def test_two_that_saw_the_same_run_do_not_both_get_it() -> None:
    tree = Tree()
    ledger(tree).claim(document(state=State.STOPPED))
    one, other = ledger(tree), ledger(tree)
    assert one.read_run() == other.read_run()
    one.claim(document(attempt=1))
    with pytest.raises(Busy):
        other.claim(document(attempt=1))


def test_no_answer_is_waited_for_as_long_as_it_is_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PATIENCE_S", 0.1)
    with pytest.raises(NotHealthy, match="did not take a write"):
        ledger(Tree("hangs")).claim(document())


def test_a_signal_shortens_the_patience_of_all_that_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "STOPPING_S", 0.1)
    stop = threading.Event()
    stop.set()
    mine = ledger(Tree("hangs", "hangs", "hangs"), stop)
    for _ in range(3):
        with pytest.raises(NotHealthy):
            mine.member_is(4, LedgerMember(0))


def test_a_newer_format_names_the_zkprov_that_is_needed() -> None:
    tree = Tree()
    data = {**msgspec.to_builtins(document()), "format": room.FORMAT + 1, "zkprov": "9.9.9"}
    tree.nodes[RUN] = (msgspec.json.encode(data), 0)
    with pytest.raises(Problem, match=r"zkprov 9\.9\.9") as caught:
        ledger(tree).read_run()
    assert "zkprov 9.9.9" in caught.value.remedy


@pytest.mark.parametrize("data", [b"{", b"[]", b"null", b'{"run": "x"}', b'{"format": "x"}', b"\xff"])
def test_an_entry_that_cannot_be_read_stops_everything(data: bytes) -> None:
    tree = Tree()
    tree.nodes[RUN] = (data, 7)
    with pytest.raises(Problem, match="cannot be read") as caught:
        ledger(tree).read_run()
    assert caught.value.place == RUN and tree.nodes[RUN] == (data, 7)


def test_no_run() -> None:
    tree = Tree()
    assert ledger(tree).read_run() is None
    tree.nodes[RUN] = (b"", 3)
    assert ledger(tree).read_run() is None


def test_a_plan_that_the_ledger_cannot_hold_is_refused_before_anything_is_written() -> None:
    tree = Tree()
    with pytest.raises(Problem, match="that the ledger holds"):
        ledger(tree).claim(document(plan=plan(notes=("x" * MAX_RUN_BYTES,))))
    assert not tree.nodes


def test_an_older_reader_takes_what_a_newer_one_added() -> None:
    tree = Tree()
    tree.nodes[RUN] = (msgspec.json.encode({**msgspec.to_builtins(document()), "added_later": [1]}), 0)
    assert ledger(tree).read_run() == document()


def test_the_whole_plan_fits_for_a_large_ensemble() -> None:
    """Sixteen steps and their lists take a fraction of what a znode may hold."""
    assert len(msgspec.json.encode(document(plan=plan(steps=plan().steps * 4)))) < MAX_RUN_BYTES / 10
