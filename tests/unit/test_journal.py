"""The journal on disks and in files that are not as they should be; nothing is lost, and what is wrong is said once."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from tests.unit.plans_made import plan
from zkprov.model.problems import BadInput
from zkprov.run.events import Event, Events
from zkprov.run.journal import FORMAT, Journal, NotRecorded, State


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


def begun(path: Path, *idents: str) -> Journal:
    journal = Journal(path)
    for number, ident in enumerate(idents):
        journal.begin(plan(ident), "hosts.yml", "you@here", float(number))
    return journal


def event(number: int, run: str = "4f1c00") -> Event:
    return Event("2026-11-24T22:00:00.000Z", run, number, "act", {"what": f"act {number}", "list": ["a"]})


class TestRecords:
    def test_a_run_is_what_was_begun(self, path: Path) -> None:
        journal = begun(path, "a")
        journal.advance("a", 3)
        (found,) = journal.runs("kafka")
        assert found.plan == plan("a") and (found.head, found.state, found.attempt) == (3, State.RUNNING, 0)
        journal.finish("a", State.DONE, 9.0)
        (found,) = journal.runs()
        assert (found.state, found.ended) == (State.DONE, 9.0)
        assert journal.runs("other") == ()

    def test_a_place_in_a_plan_that_was_turned_is_kept_with_that_plan(self, path: Path) -> None:
        journal = begun(path, "a", "b")
        turned = plan("a", steps=plan("a").steps[::-1])
        journal.advance("a", 2, turned)
        journal.advance("a", 3)
        found = {r.id: r for r in journal.runs("kafka")}
        assert found["a"].plan == turned and found["a"].head == 3
        assert found["b"].plan == plan("b") and found["b"].head == 1

    def test_events_come_back_in_order(self, path: Path) -> None:
        journal = begun(path, "4f1c00")
        for number in range(20):
            journal.record(event(number))
            journal.record(event(number, "other"))
        assert journal.events("4f1c00") == tuple(event(n) for n in range(20))

    def test_unfinished_are_the_open_ones_newest_first(self, path: Path) -> None:
        journal = begun(path, "a", "b", "c", "d")
        journal.finish("b", State.UNDONE, 1.0)
        journal.finish("c", State.STOPPED, 1.0)
        assert [r.id for r in journal.unfinished("kafka")] == ["d", "c", "a"]

    def test_what_is_recorded_survives_the_process(self, path: Path) -> None:
        code = (
            "import os, sys; sys.path.insert(0, '.')\n"
            "from tests.unit.test_journal import begun, event\n"
            "from pathlib import Path\n"
            f"journal = begun(Path({str(path)!r}), '4f1c00')\n"
            "journal.record(event(1)); journal.advance('4f1c00', 2)\n"
            "os.kill(os.getpid(), 9)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2])
        assert done.returncode == -9
        journal = Journal(path)
        assert journal.events("4f1c00") == (event(1),) and journal.runs()[0].head == 2

    def test_two_open_it_at_the_same_time(self, path: Path) -> None:
        wrong: list[BaseException] = []

        def open_it(number: int) -> None:
            try:
                journal = begun(path, f"run{number}")
                for n in range(10):
                    journal.record(event(n, f"run{number}"))
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=open_it, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong and len(Journal(path).runs()) == 6

    def test_only_the_owner_reads_it(self, path: Path) -> None:
        begun(path, "a")
        assert path.stat().st_mode & 0o077 == 0 and path.parent.stat().st_mode & 0o077 == 0

    def test_looking_makes_no_file(self, path: Path) -> None:
        assert Journal(path, create=False).runs() == () and not path.parent.exists()


class TestDamage:
    """Each is told with the path and a remedy, exit 2, and the file stays as it was."""

    def refused(self, path: Path, *words: str) -> None:
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(BadInput) as caught:
            Journal(path).runs()
        told = f"{caught.value} {caught.value.remedy}"
        assert caught.value.exit_code == 2 and str(path) in told and caught.value.remedy
        assert all(word in told for word in words), told
        assert before is None or path.read_bytes() == before

    def test_junk(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_bytes(os.urandom(5000))
        self.refused(path, "not a database", "move the file aside")

    @pytest.mark.parametrize("part", [0.1, 0.35, 0.6, 0.9, 0.99])
    def test_cut_off(self, path: Path, part: float) -> None:
        journal = begun(path, *(f"run{n}" for n in range(10)))
        for number in range(40):
            journal.record(event(number))
        journal.close()
        data = path.read_bytes()
        assert not path.with_name("journal.db-wal").exists()
        path.write_bytes(data[: int(len(data) * part)])
        self.refused(path, "move the file aside")

    def test_a_newer_format(self, path: Path) -> None:
        begun(path, "a").close()
        with sqlite3.connect(path) as database:
            database.execute(f"PRAGMA user_version={FORMAT + 1}")
        self.refused(path, f"format {FORMAT + 1}", "newer zkprov")

    def test_a_database_of_something_else(self, path: Path) -> None:
        path.parent.mkdir()
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE bookmarks (url TEXT)")
        self.refused(path, "something else")
        with sqlite3.connect(path) as database:
            assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]

    @pytest.mark.parametrize("damage", [b"", b"{", b'{"id": "a"}', b"[" * 100_000])
    def test_a_record_that_cannot_be_read_is_named(self, path: Path, damage: bytes) -> None:
        journal = begun(path, "good", "bad")
        journal._db.execute("UPDATE run SET plan=? WHERE id='bad'", (damage,))
        with pytest.raises(BadInput, match="run bad cannot be read"):
            journal.runs()
        # and once it is over, it does not stand in the way of others
        journal.finish("bad", State.DONE, 1.0)
        assert [r.id for r in journal.unfinished("kafka")] == ["good"]

    def test_a_state_that_is_not_known_is_not_taken_for_an_end(self, path: Path) -> None:
        journal = begun(path, "a")
        journal._db.execute("UPDATE run SET state='paused for tea'")
        with pytest.raises(BadInput, match="run a cannot be read"):
            journal.unfinished("kafka")

    def test_a_folder_in_its_place(self, path: Path) -> None:
        path.mkdir(parents=True)
        self.refused(path, "unable to open")

    def test_a_file_in_the_place_of_its_folder(self, path: Path) -> None:
        path.parent.write_text("")
        self.refused(path, "--journal")

    def test_another_that_writes_for_long(self, path: Path) -> None:
        journal = begun(path, "a")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(NotRecorded, match="locked") as caught:
            journal.advance("a", 2)
        assert "try again" in caught.value.remedy
        other.execute("ROLLBACK")
        journal.advance("a", 2)

    def test_an_older_reader_ignores_what_a_newer_writer_adds(self, path: Path) -> None:
        """Fields that a later release adds without a new format: read, and not refused."""
        journal = begun(path, "a")
        document = {**msgspec.to_builtins(plan("a")), "added_later": {"x": 1}}
        journal._db.execute("UPDATE run SET plan=?", (msgspec.json.encode(document),))
        assert journal.runs()[0].plan == plan("a")


class TestFullDisk:
    def test_nothing_is_begun(self, path: Path) -> None:
        """The limit on the size of files stands for a disk that is full: SQLite is refused the write in the same way."""
        code = (
            "import sys; sys.path.insert(0, '.')\n"
            "from tests.unit.test_journal import begun\n"
            "from zkprov.model.problems import BadInput\n"
            "from pathlib import Path\n"
            "try:\n"
            f"    begun(Path({str(path)!r}), 'a')\n"
            "except BadInput as problem:\n"
            "    print(problem, '|', problem.remedy)\n"
        )

        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        done = subprocess.run(
            [sys.executable, "-B", "-c", code],
            check=True,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            preexec_fn=limited,
        )
        assert str(path) in done.stdout and "make room on its disk" in done.stdout, done

    def test_in_the_middle(self, path: Path) -> None:
        journal = begun(path, "a")
        pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
        journal._db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(NotRecorded, match="full") as caught:
            for number in range(10_000):
                journal.record(event(number))
        assert caught.value.exit_code == 7 and "make room" in caught.value.remedy
        # what was recorded before it stands
        assert journal.runs()[0].id == "a"


class TestEvents:
    def test_a_reader_that_fails_is_left_out_and_never_fails_the_run(self) -> None:
        heard: list[str] = []

        def full(_: Event) -> None:
            with Path("/dev/full").open("wb") as file:
                file.write(b"x")

        events = Events("a", lambda: 0.0, [lambda e: heard.append(e.kind), full])
        events.emit("act")
        events.emit("answer")
        assert heard == ["act", "reader.lost", "answer"]

    def test_what_the_journal_refuses_stops_the_run(self) -> None:
        def refusing(_: Event) -> None:
            raise NotRecorded("the journal cannot be used: full")

        with pytest.raises(NotRecorded, match="full"):
            Events("a", lambda: 0.0, [refusing]).emit("act")


class TestMeasured:
    def test_the_longest_of_each_kind_on_this_ensemble(self, path: Path) -> None:
        journal = Journal(path)
        for run, ensemble in (("a", "kafka"), ("b", "kafka"), ("c", "other")):
            journal.begin(plan(run, ensemble), "hosts", "you", 1.0)
        done = (("a", "restart 1", 5.5), ("a", "restart 2", 3), ("b", "settle 2", 30.0), ("c", "restart 9", 99.0))
        for run, step, took in done:
            journal.record(Event("2026-11-24T22:00:00.000Z", run, 1, "step.done", {"step": step, "took_s": took}))
        journal.record(Event("2026-11-24T22:00:00.000Z", "a", 1, "step.begun", {"step": "restart 3", "took_s": 77.0}))
        assert journal.measured("kafka") == {"restart": 5.5, "settle": 30.0}
        assert journal.measured("nobody") == {}

    def test_documents_are_kept_by_kind_and_key_also_in_an_older_journal(self, path: Path) -> None:
        Journal(path).close()
        old = sqlite3.connect(path)
        old.execute("DROP TABLE document")
        old.close()
        with contextlib.closing(Journal(path)) as journal:
            journal.keep("x", "2", b"two")
            journal.keep("x", "1", b"one")
            journal.keep("y", "1", b"other")
            journal.keep("x", "2", b"II")
            assert (
                journal.kept("x") == (b"one", b"II") and journal.kept("x", "2") == (b"II",) and journal.kept("z") == ()
            )
