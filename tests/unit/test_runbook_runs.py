"""Runs of runbooks without any ensemble: steps of the operator's own, real processes, and a clock that is set by hand."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from zkprov.cli.runbook_verbs import verbs
from zkprov.model.problems import Busy
from zkprov.run.journal import Journal
from zkprov.runbook.children import run
from zkprov.runbook.document import Runbook, runbook
from zkprov.runbook.lock import locked
from zkprov.runbook.record import Approval, Outcome, Records, RunbookRecord, State, StepRecord
from zkprov.runbook.runner import Runner
from zkprov.runbook.timeline import lay_out
from zkprov.runbook.windows import Open, open_from
from zkprov.runbook.yaml_text import parse

START = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
WINDOW = "window: {time_zone: UTC, start: 2026-12-01T01:00, length: 1h, recurrence: FREQ=DAILY;COUNT=3}\n"


class Hand:
    """A clock that goes only while somebody waits: nothing else here takes time that matters."""

    ticks = 0.0

    def __init__(self, at: float = START) -> None:
        self.at = at
        self.at_each_wait: list[object] = []

    def now(self) -> float:
        self.at += self.ticks
        return self.at

    def monotonic(self) -> float:
        return self.at

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.at += seconds
        for act in self.at_each_wait:
            act(self)  # type: ignore[operator]
        return stop.is_set()


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.stop = folder, Hand(), threading.Event()
        self.said: list[str] = []
        self.records = Records(Journal(folder / "journal.db"))

    def book(self, text: str) -> Runbook:
        return runbook(parse(text, "r.yml"), verbs(), datetime.fromtimestamp(self.clock.now(), UTC))

    def runner(self, text: str, **more: bool) -> Runner:
        return Runner(
            self.book(text), verbs(), self.records, target=("-i", "hosts", "-E", "kafka"), who="me", clock=self.clock,
            stop=self.stop, say=self.said.append, folder=self.folder / "plans", **more,  # type: ignore[arg-type]
        )  # fmt: skip

    def took(self, book: Runbook, seconds: float) -> None:
        """Its first step took so long in an earlier run."""
        before = self.record(book).with_step(0, outcome=Outcome.DONE, worked_s=seconds)
        self.records.keep(msgspec.structs.replace(before, id="0", began=START - 9e6))

    def record(self, book: Runbook) -> RunbookRecord:
        steps = tuple(StepRecord(s.name, s.verb) for s in book.steps)
        return RunbookRecord("1", book.name, "r.yml", "kafka", "hosts", "", "me", self.clock.now(), steps)

    def run(self, text: str, **more: bool) -> RunbookRecord:
        runner = self.runner(text, **more)
        ended = runner.run(self.record(runner.book))
        assert self.records.all()[0] == ended, "what is returned is what is kept"
        return ended


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.records.journal.close()


def steps(*lines: str, top: str = "") -> str:
    return "runbook: r\n" + top + "steps:\n" + "\n".join(f"  - {line}" for line in lines)


def outcomes(record: RunbookRecord) -> list[str]:
    return [str(s.outcome) for s in record.steps]


PASS = "{name: passes, probe: {command: ['true']}}"
FAIL = "{name: fails, probe: {command: [sh, -c, 'echo no >&2; exit 3']}}"


class TestSteps:
    def test_a_failure_stops_it_with_4_and_what_was_said(self, scene: Scene) -> None:
        ended = scene.run(steps(PASS, FAIL, "wait: {for: 1s}"))
        assert (ended.state, ended.exit_code, outcomes(ended)) == (State.FAILED, 4, ["done", "failed", "pending"])
        assert ended.why == "fails: exit code 3: no" and ended.steps[1].exit_code == 3

    def test_it_goes_on_where_that_is_named_and_conditions_ask_of_what_came(self, scene: Scene) -> None:
        ended = scene.run(
            steps(
                FAIL.replace("{name", "{on_failure: continue, name"),
                "{name: a, wait: {for: 1s}, when: {step: fails, exit: [3, 4]}}",
                "{name: b, wait: {for: 1s}, when: {step: fails, outcome: done}}",
                "{name: c, wait: {for: 1s}, when: {step: b, outcome: skipped}}",
            )
        )
        assert (ended.state, ended.exit_code) == (State.DONE, 0)
        assert outcomes(ended) == ["failed", "done", "skipped", "done"]

    def test_a_probe_that_takes_too_long_or_is_not_there(self, scene: Scene) -> None:
        ended = scene.run(
            steps(
                "{on_failure: continue, probe: {command: [sleep, 60], timeout: 0.2s}}",
                "{name: x, probe: {command: [/no/such]}}",
            )
        )
        assert ended.steps[0].said == "not over after 0 s" and ended.why.startswith("x: exit code 127")

    def test_a_probe_knows_what_it_is_about_and_no_shell_reads_it(self, scene: Scene) -> None:
        command = (
            f"[{sys.executable}, -c, 'import os, sys; print(os.environ[\"ZKPROV_ENSEMBLE\"], sys.argv[1])', '$(id); *']"
        )
        ended = scene.run(steps(f"probe: {{command: {command}}}"))
        assert ended.steps[0].said == "kafka $(id); *"

    def test_a_wait_is_as_long_as_it_says(self, scene: Scene) -> None:
        scene.run(steps("wait: {for: 90s}"))
        assert scene.clock.at == START + 90


class TestWindows:
    def test_it_waits_for_its_window_and_rests_where_the_next_step_has_no_time(self, scene: Scene) -> None:
        text = steps("{name: a, wait: {for: 50m}}", "{name: b, wait: {for: 20m}}", top=WINDOW)
        ended = scene.run(text, waits=True)
        assert (ended.state, outcomes(ended)) == (State.DONE, ["done", "done"])
        # the second day's window, since 10 minutes were left of the first
        assert scene.clock.at == START + 25 * 3600 + 20 * 60
        assert any(
            "b takes 20 min, and 10 min are left; the next window opens Wed 2026-12-02 01:00" in s for s in scene.said
        )

    def test_without_waiting_it_ends_with_7_and_is_taken_up_where_it_was(self, scene: Scene) -> None:
        text = steps("{name: a, wait: {for: 50m}}", "{name: b, wait: {for: 20m}}", top=WINDOW)
        scene.clock.at = START + 3600
        ended = scene.run(text)
        assert (ended.state, ended.exit_code, outcomes(ended)) == (State.RESTING, 7, ["done", "pending"])
        scene.clock.at = START + 25 * 3600 + 60
        again = scene.runner(text).run(scene.records.all()[0])
        assert (again.state, outcomes(again)) == (State.DONE, ["done", "done"])

    def test_over_a_change_of_clock_between_two_of_them(self, scene: Scene) -> None:
        """01:30 in Berlin is an hour earlier in UTC from 29 March 2026 on; the second window opens 23 hours after the first."""
        top = (
            "window: {time_zone: Europe/Berlin, start: 2027-03-27T02:30, length: 1h, recurrence: FREQ=DAILY;COUNT=4}\n"
        )
        # 28 March 2027: 02:00 is 03:00, so 02:30 is 03:30 in summer time, and on the 29th it is 02:30 again
        scene.clock.at = datetime(2027, 3, 27, 1, 30, tzinfo=UTC).timestamp()
        ended = scene.run(steps(*(f"{{name: s{n}, wait: {{for: 45m}}}}" for n in range(3)), top=top), waits=True)
        assert ended.state is State.DONE and ended.windows == 3
        assert [datetime.fromtimestamp(s.began or 0, UTC).isoformat() for s in ended.steps] == [
            "2027-03-27T01:30:00+00:00",
            "2027-03-28T01:30:00+00:00",
            "2027-03-29T00:30:00+00:00",
        ]

    def test_how_long_it_took_before_decides(self, scene: Scene) -> None:
        text = steps("{name: a, probe: {command: ['true'], timeout: 1s}}", top=WINDOW)
        scene.took(scene.book(text), 1000.0)
        assert scene.runner(text).takes_s(scene.book(text).steps[0]) == 1000
        scene.clock.at = START + 3600 + 3000
        assert "a takes 16 min 40 s, and 10 min are left" in scene.run(text).why

    def test_no_window_that_is_long_enough(self, scene: Scene) -> None:
        scene.clock.at = START + 3600 + 1
        text = steps("{name: a, probe: {command: ['true'], timeout: 1s}}", top=WINDOW)
        scene.took(scene.book(text), 4000.0)
        ended = scene.run(text, waits=True)
        assert (ended.state, ended.exit_code) == (State.FAILED, 4) and "no window is long enough" in ended.why

    def test_the_last_window_is_over(self, scene: Scene) -> None:
        scene.clock.at = START + 49 * 3600 + 3000
        ended = scene.run(steps("{name: a, wait: {for: 20m}}", top=WINDOW))
        assert (ended.state, ended.exit_code) == (State.FAILED, 4) and "no window is left" in ended.why

    def test_by_somebodys_word_windows_do_not_matter(self, scene: Scene) -> None:
        assert scene.run(steps("{name: a, wait: {for: 20m}}", top=WINDOW), heedless=True).state is State.DONE


class TestApprovals:
    TEXT = steps("{name: go, approve: {within: 10m}}", "{name: a, wait: {for: 1s}}")

    def test_one_that_comes(self, scene: Scene) -> None:
        scene.clock.at_each_wait.append(lambda _: scene.records.approve(Approval("1", "go", "boss", 1.0, True, "fine")))
        ended = scene.run(self.TEXT)
        assert (
            ended.state is State.DONE
            and ended.steps[0].approved_by == "boss"
            and ended.steps[0].said == "by boss: fine"
        )

    def test_one_that_is_refused(self, scene: Scene) -> None:
        scene.records.approve(Approval("1", "go", "boss", 1.0, False, "not now"))
        ended = scene.run(self.TEXT)
        assert (ended.state, ended.exit_code, ended.why) == (State.FAILED, 3, "go: refused by boss: not now")

    def test_one_that_does_not_come(self, scene: Scene) -> None:
        ended = scene.run(self.TEXT)
        assert (ended.state, ended.exit_code) == (State.FAILED, 4) and "no approval came within 10 min" in ended.why
        assert scene.clock.at == pytest.approx(START + 600, abs=1)

    def test_one_for_another_run_does_not_count(self, scene: Scene) -> None:
        scene.records.approve(Approval("2", "go", "boss", 1.0, True))
        assert scene.run(self.TEXT).state is State.FAILED

    def test_it_is_waited_for_over_several_windows(self, scene: Scene) -> None:
        text = steps("{name: go, approve: {within: 3d}}", top=WINDOW)
        scene.clock.at = START + 3600
        first = scene.run(text)
        assert (first.state, outcomes(first)) == (State.RESTING, ["begun"])
        scene.records.approve(Approval("1", "go", "boss", 1.0, True))
        scene.clock.at = START + 25 * 3600
        assert scene.runner(text).run(first).state is State.DONE


class TestEnds:
    def test_it_tells_once_and_what_it_tells_is_the_record(self, scene: Scene) -> None:
        heard = scene.folder / "heard"
        text = steps(PASS, top=f"notify: {{command: [sh, -c, 'cat >> {heard}']}}\n")
        ended = scene.run(text)
        told = json.loads(heard.read_text())
        assert told["why"] == "ended" and told["runbook"]["state"] == str(ended.state) == "done"

    def test_who_cannot_be_told_fails_nothing(self, scene: Scene) -> None:
        assert scene.run(steps(PASS, top="notify: {command: ['false']}\n")).state is State.DONE
        assert any("the notification failed: exit code 1" in s for s in scene.said)
        assert scene.run(steps(PASS, top="notify: {webhook: 'http://127.0.0.1:1/x'}\n")).state is State.DONE

    @pytest.mark.parametrize(
        "answer", [b"no protocol at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b""]
    )
    def test_a_webhook_that_answers_anything_fails_nothing(self, scene: Scene, answer: bytes) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:

            def serve() -> None:
                caller = server.accept()[0]
                caller.recv(65536)
                caller.sendall(answer)
                caller.close()

            threading.Thread(target=serve, daemon=True).start()
            port = server.getsockname()[1]
            assert scene.run(steps(PASS, top=f"notify: {{webhook: 'http://127.0.0.1:{port}/x'}}\n")).state is State.DONE
        assert scene.run(steps(PASS, top="notify: {webhook: 'http://h:nan/x'}\n")).state is State.DONE

    def test_a_webhook_that_never_answers_is_not_waited_for_after_a_signal(self, scene: Scene) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            webhook = f"http://127.0.0.1:{server.getsockname()[1]}/x"
            threading.Timer(0.5, scene.stop.set).start()
            began = time.monotonic()
            ended = scene.run(steps(f"notify: {{webhook: '{webhook}'}}", PASS))
            assert ended.state is State.STOPPED and time.monotonic() - began < 5

    def test_a_signal_stops_it_and_its_command_and_it_is_taken_up(self, scene: Scene) -> None:
        there = scene.folder / "there"
        command = f"[sh, -c, 'touch {there}; exec sleep 60']"
        text = steps(PASS, f"{{name: long, probe: {{command: {command}, timeout: 100s}}}}")

        def stop() -> None:
            while not there.exists():
                time.sleep(0.01)
            scene.stop.set()

        threading.Thread(target=stop, daemon=True).start()
        began = time.monotonic()
        ended = scene.run(text)
        assert time.monotonic() - began < 8
        assert (ended.state, ended.exit_code, outcomes(ended)) == (State.STOPPED, 7, ["done", "begun"])
        scene.stop.clear()
        text = text.replace(command, "['true']")
        assert scene.runner(text).run(ended).state is State.DONE


class TestOneAtATime:
    def test_a_second_one_is_told_who_runs_the_first(self, tmp_path: Path) -> None:
        with locked(tmp_path, "r", "kafka", "hosts", "me@here"):
            with pytest.raises(Busy, match="me@here") as caught, locked(tmp_path, "r", "kafka", "hosts", "you"):
                pass
            assert caught.value.exit_code == 5
            with locked(tmp_path, "r", "other", "hosts", "you"), locked(tmp_path, "s", "kafka", "hosts", "you"):
                pass
        with locked(tmp_path, "r", "kafka", "hosts", "you"):
            pass

    def test_a_command_that_outlives_a_killed_runbook_holds_its_lock(self, tmp_path: Path) -> None:
        code = (
            "import sys, threading\nfrom pathlib import Path\nfrom zkprov.runbook.lock import locked\n"
            "from zkprov.runbook.children import run\n"
            "with locked(Path(sys.argv[1]), 'r', 'kafka', 'hosts', 'me') as lock:\n"
            "    words = ['sh', '-c', 'echo $$ > \"$1/pid\"; read x < \"$1/fifo\"', 'x', sys.argv[1]]\n"
            "    run(words, stop=threading.Event(), keep_open=(lock,))\n"
        )
        os.mkfifo(tmp_path / "fifo")
        parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            time.sleep(0.01)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        with pytest.raises(Busy), locked(tmp_path, "r", "kafka", "hosts", "you"):
            pass
        (tmp_path / "fifo").write_text("go on\n")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(Busy), locked(tmp_path, "r", "kafka", "hosts", "you"):
                return
        pytest.fail("the lock is held by nobody")

    def test_who_was_killed_is_not_waited_for_by_name(self, tmp_path: Path) -> None:
        gone = subprocess.Popen(["true"])
        gone.wait()
        with locked(tmp_path, "r", "kafka", "hosts", "me") as lock:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"me (pid {gone.pid})".encode(), 0)
            with (
                pytest.raises(Busy, match="by a command that outlives it: me ") as caught,
                locked(tmp_path, "r", "kafka", "hosts", "you"),
            ):
                pass
            assert "fuser -v" in caught.value.remedy

    def test_a_probe_holds_the_lock_as_well(self, scene: Scene) -> None:
        command = f"[{sys.executable}, -c, 'import os, sys; os.fstat(int(sys.argv[1]))'"
        with locked(scene.folder, "r", "kafka", "hosts", "me") as lock:
            runner = scene.runner(steps(f"probe: {{command: {command}, '{lock}']}}"))
            runner.lock = lock
            assert runner.run(scene.record(runner.book)).state is State.DONE


class TestChildren:
    def test_one_that_does_not_read_what_it_is_given_is_not_waited_for(self) -> None:
        began = time.monotonic()
        assert run(["sleep", "60"], stop=threading.Event(), timeout_s=0.3, given="x" * 1_000_000).late
        assert time.monotonic() - began < 8

    def test_what_a_probe_has_started_ends_with_it(self, tmp_path: Path) -> None:
        words = ["sh", "-c", 'sleep 60 & echo $! > "$0"; wait', str(tmp_path / "pid")]
        assert run(words, stop=threading.Event(), timeout_s=0.5, whole=True).late
        pid = (tmp_path / "pid").read_text().strip()

        def runs() -> bool:
            with contextlib.suppress(OSError):
                return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
            return False

        deadline = time.monotonic() + 5
        while runs() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not runs()

    def test_what_is_printed_without_an_end_is_neither_kept_nor_waited_for(self) -> None:
        stop = threading.Event()
        ended = run(["sh", "-c", "yes"], stop=stop, timeout_s=0.5, show=False)
        assert ended.late and len(ended.output) <= 9 * 1024 * 1024

    def test_one_that_does_not_heed_its_signal_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("zkprov.runbook.children.STOPPED_WITHIN_S", 0.3)
        ended = run(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], stop=threading.Event(), timeout_s=0.2)
        assert ended.late and ended.exit_code == -signal.SIGKILL


class TestTimeline:
    def windows(self) -> Iterator[Open]:
        book = runbook(parse(steps(PASS, top=WINDOW), "r.yml"), verbs(), datetime.fromtimestamp(START, UTC))
        assert book.window
        return open_from(book.window, (), datetime.fromtimestamp(START, UTC))

    def test_what_can_rest_is_divided_and_what_cannot_is_put_off(self) -> None:
        now = datetime.fromtimestamp(START, UTC)
        made = lay_out(
            [("a", 600, False), ("roll", 4000, True), ("b", 3000, False), ("c", 600, False)],
            self.windows(),
            now,
            lambda _: 1000.0,
        )
        assert [(p.name, p.window, (p.ends - p.begins).total_seconds(), p.rests) for p in made.planned] == [
            ("a", 0, 600, False),
            ("roll", 0, 3000, True),
            ("roll", 1, 1000, False),
            ("b", 2, 3000, False),
            ("c", 2, 600, False),
        ]
        assert not made.unplaced and len(made.windows) == 3

    def test_what_has_no_window_left(self) -> None:
        now = datetime.fromtimestamp(START, UTC)
        made = lay_out([("a", 3000, False)] * 4 + [("b", 60, False)], self.windows(), now, lambda _: 60.0)
        assert made.unplaced == ("a", "b") and len(made.planned) == 3

    def test_without_windows_all_follows_at_once(self) -> None:
        now = datetime.fromtimestamp(START, UTC)
        made = lay_out([("a", 60, False), ("b", 30, True)], None, now, lambda _: 60.0)
        assert [(p.begins - now).total_seconds() for p in made.planned] == [0, 60] and not made.windows
