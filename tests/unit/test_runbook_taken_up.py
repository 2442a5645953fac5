"""A runbook that was killed, or whose window is over: what is taken up, what is not begun again, and what does not wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.unit.test_resting import ADD, ROLL
from tests.unit.test_runbook_runs import FAIL, PASS, START, WINDOW, Scene, outcomes, steps
from zkprov.model.problems import Busy, Stale
from zkprov.plan.steps import Plan
from zkprov.run.events import Event
from zkprov.run.journal import State as RunState
from zkprov.runbook.beginning import begun, digest_of
from zkprov.runbook.children import Ended
from zkprov.runbook.record import Approval, Outcome, RunbookRecord, State
from zkprov.runbook.runner import Runner

HOUR = 3600.0
CHANGE = steps("{name: roll, restart: {}}", top=WINDOW)


class Stand(Scene):
    """A scene in which zkprov's own commands are played. `called`: what they were called with; `plays`: what each does, in turn."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.called: list[list[str]] = []
        self.plays: list[Any] = []

    def runner(self, text: str, **more: bool) -> Runner:
        made = super().runner(text, **more)

        def child(words: list[str], *, show: bool = True) -> Ended:
            self.called.append(words)
            done = self.plays.pop(0)()
            return done if isinstance(done, Ended) else Ended(done)

        made.child = child  # type: ignore[method-assign]
        return made

    def begin(self, runner: Runner, **more: Any) -> RunbookRecord | None:
        asked = {"scheduled": False, "retry": False, "anew": False, "reason": "", "wait": False, **more}
        read: Any = SimpleNamespace(ensemble="kafka", path="hosts")
        return begun(runner, Path("r.yml"), read, **asked)

    def go(self, text: str, **more: Any) -> RunbookRecord | None:
        """As `zkprov runbook run`."""
        runner = self.runner(text)
        begun = self.begin(runner, **more)
        return None if begun is None else runner.run(begun)

    def began(self, plan: Plan, head: int, *, in_hand: bool = True, state: RunState = RunState.RUNNING) -> None:
        """A run of the plan stands at `head`."""
        journal = self.records.journal
        journal.begin(plan, "hosts", "me", START, head=head)
        journal.record(Event("", plan.id, 0, "run.begun"))
        for number in range(1, head + in_hand):
            journal.record(Event("", plan.id, number, "step.begun"))
        journal.finish(plan.id, state, START)

    def killed_in(self, plan: Plan, head: int, **more: bool) -> None:
        """The runbook, and its command in step `head`."""
        self.began(plan, head, **more)
        book = self.book(CHANGE)
        record = self.record(book).with_step(0, outcome=Outcome.BEGUN, began=START, plan=plan.id)
        self.records.keep(msgspec.structs.replace(record, digest=digest_of(book), window=START + HOUR, windows=1))


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    made.clock.at = START + HOUR
    yield made
    made.records.journal.close()


def opens(day: int) -> float:
    return START + HOUR + day * 24 * HOUR


class TestOncePerWindow:
    TEXT = steps("{name: a, wait: {for: 50m}}", "{name: b, wait: {for: 20m}}", top=WINDOW)

    def test_one_that_ended_in_its_second_window_is_not_begun_again_in_it(self, stand: Stand) -> None:
        first = stand.go(self.TEXT, scheduled=True)
        assert first is not None and first.state is State.RESTING
        stand.clock.at = opens(1)
        second = stand.go(self.TEXT, scheduled=True)
        assert second is not None and second.state is State.DONE and second.windows == 2
        stand.clock.at += 300
        assert stand.go(self.TEXT, scheduled=True) is None, "its turn in this window is over"
        stand.clock.at = opens(2)
        third = stand.go(self.TEXT, scheduled=True)
        assert third is not None and third.id != second.id

    def test_one_that_failed_in_its_second_window_waits_for_the_next(self, stand: Stand) -> None:
        text = steps("{name: a, wait: {for: 50m}}", FAIL.replace("fails, ", "fails, takes: 20m, "), top=WINDOW)
        assert stand.go(text, scheduled=True).state is State.RESTING  # type: ignore[union-attr]
        stand.clock.at = opens(1)
        assert stand.go(text, scheduled=True).state is State.FAILED  # type: ignore[union-attr]
        assert stand.go(text, scheduled=True) is None

    def test_one_that_waited_for_its_window_has_had_its_turn(self, stand: Stand) -> None:
        stand.clock.at = START
        runner = stand.runner(steps(PASS, top=WINDOW), waits=True)
        begun = stand.begin(runner, wait=True)
        assert begun is not None and runner.run(begun).state is State.DONE
        assert stand.go(steps(PASS, top=WINDOW), scheduled=True) is None


class TestKilled:
    def test_in_the_middle_of_a_server_it_does_not_wait_for_a_window(self, stand: Stand) -> None:
        """A joiner that runs beside the list, and its window is over: brought to its end, and not one server more."""
        stand.killed_in(ADD, 1)
        stand.clock.at = opens(0) + 2 * HOUR
        stand.clock.ticks = 1e-3
        stand.plays = [lambda: stand.began(ADD, 4, in_hand=False, state=RunState.STOPPED) or 7]
        rested = stand.go(CHANGE, scheduled=True)
        assert rested is not None and (rested.state, outcomes(rested)) == (State.RESTING, ["begun"])
        [words] = stand.called
        assert words[0] == "resume" and words[words.index("--until") + 1].startswith("2026-12-01T03:00:00.")
        assert words[-2:] == ["--run", ADD.id], "and no other run that may stand by now"
        assert rested.windows == 1, "that was no window"

    def test_in_the_middle_of_a_server_it_goes_on_however_little_time_is_left(self, stand: Stand) -> None:
        stand.killed_in(ADD, 1)
        stand.clock.at = opens(0) + HOUR - 1
        stand.plays = [lambda: stand.began(ADD, 4, state=RunState.DONE) or 0]
        assert stand.go(CHANGE, scheduled=True).state is State.DONE  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("plan", "head", "in_hand"), [(ADD, 1, False), (ROLL, 1, True), (ROLL, 2, True), (ROLL, 3, True)]
    )
    def test_between_two_servers_it_waits(self, stand: Stand, plan: Plan, head: int, in_hand: bool) -> None:
        """Also in a backup, in a wait, and in a restart for which nobody was stopped yet."""
        stand.killed_in(plan, head, in_hand=in_hand)
        stand.clock.at = opens(0) + 2 * HOUR
        assert stand.go(CHANGE, scheduled=True) is None and not stand.called
        with pytest.raises(Busy, match="no window is open"):
            stand.go(CHANGE)

    def test_a_server_that_was_stopped_is_started(self, stand: Stand) -> None:
        stand.killed_in(ROLL.with_begun(2), 2)
        stand.clock.at = opens(0) + 2 * HOUR
        stand.plays = [lambda: stand.began(ROLL, 3, in_hand=False, state=RunState.STOPPED) or 7]
        assert stand.go(CHANGE, scheduled=True).state is State.RESTING  # type: ignore[union-attr]

    def test_to_begin_anew_is_still_for_a_window(self, stand: Stand) -> None:
        stand.killed_in(ADD, 1)
        stand.clock.at = opens(0) + 2 * HOUR
        with pytest.raises(Busy, match="no window is open"):
            stand.go(CHANGE, anew=True)
        assert stand.records.all()[0].state is State.RUNNING

    def test_its_command_alone_is_taken_up_at_once(self, stand: Stand) -> None:
        stand.killed_in(ROLL.with_begun(2), 2)
        stand.clock.at = opens(0)
        stand.plays = [lambda: -9, lambda: stand.began(ROLL, 5, state=RunState.DONE) or 0]
        assert stand.go(CHANGE).state is State.DONE  # type: ignore[union-attr]
        assert [words[0] for words in stand.called] == ["resume", "resume"]

    def test_a_command_that_is_killed_again_and_again_is_given_up(self, stand: Stand) -> None:
        stand.killed_in(ROLL.with_begun(2), 2)
        stand.plays = [lambda: -9] * 5
        ended = stand.go(CHANGE)
        assert ended is not None and (ended.state, ended.exit_code) == (State.FAILED, 7) and len(stand.called) == 3

    def test_a_command_that_only_looks_and_is_killed_has_failed(self, stand: Stand) -> None:
        stand.plays = [lambda: -9]
        ended = stand.go(steps("check: {}"))
        assert ended is not None and (ended.state, ended.exit_code) == (State.FAILED, 1)

    def test_before_the_ensemble_knew_of_its_run_it_is_applied_again(self, stand: Stand) -> None:
        """Killed when the run stood in the journal and not in the ledger: `resume` finds nothing, and says aborted of it."""
        stand.killed_in(ADD, 1)
        journal = stand.records.journal
        journal._db.execute("DELETE FROM event")
        stand.plays = [
            lambda: journal.finish(ADD.id, RunState.ABORTED, START) or 0,
            lambda: stand.began(ADD, 4, state=RunState.DONE) or 0,
        ]
        assert stand.go(CHANGE).state is State.DONE  # type: ignore[union-attr]
        assert [words[0] for words in stand.called] == ["resume", "apply"]

    def test_what_somebody_else_ended_has_failed(self, stand: Stand) -> None:
        stand.killed_in(ADD, 2)
        stand.plays = [lambda: stand.records.journal.finish(ADD.id, RunState.ABORTED, START) or 0]
        ended = stand.go(CHANGE)
        assert ended is not None and ended.exit_code == 4 and "by somebody else: aborted" in ended.why

    def test_a_window_that_closes_while_its_command_starts(self, stand: Stand) -> None:
        stand.clock.at = opens(0) + HOUR - 200
        stand.records.journal.begin(ROLL, "hosts", "me", START, head=5)
        stand.records.journal.finish(ROLL.id, RunState.STOPPED, START)
        stand.records.journal.record(Event("", ROLL.id, 1, "step.begun"))
        book = stand.book(CHANGE)
        record = stand.record(book).with_step(0, outcome=Outcome.BEGUN, began=START, plan=ROLL.id)
        stand.records.keep(msgspec.structs.replace(record, digest=digest_of(book)))

        def late() -> int:
            stand.clock.at += 300
            return 5

        stand.plays = [late]
        rested = stand.go(CHANGE)
        assert rested is not None and rested.state is State.RESTING


class TestStanding:
    def test_what_stands_unfinished_ends_it_whatever_the_file_says_of_failures(self, stand: Stand) -> None:
        stand.clock.at = opens(0)
        text = steps("{name: roll, restart: {}, on_failure: continue}", PASS, top=WINDOW)
        stand.began(ROLL.with_begun(2), 2)
        record = stand.record(stand.book(text)).with_step(0, outcome=Outcome.BEGUN, plan=ROLL.id)
        stand.plays = [lambda: 7]
        ended = stand.runner(text).run(record)
        assert (ended.state, ended.exit_code, outcomes(ended)) == (State.FAILED, 7, ["failed", "pending"])
        stand.began(ROLL, 2, state=RunState.UNDONE)
        assert outcomes(stand.runner(text).run(record)) == ["failed", "done"], (
            "what was undone is a failure like others"
        )


class TestRetry:
    def test_an_approved_plan_that_was_undone_is_applied_again(self, stand: Stand) -> None:
        text = steps("{name: p, plan: {kind: restart}}", "{name: do, apply: {plan: p}}")
        stand.began(ROLL, 2, state=RunState.UNDONE)
        book = stand.book(text)
        record = stand.record(book).with_step(0, outcome=Outcome.DONE, plan=ROLL.id)
        record = record.with_step(1, outcome=Outcome.FAILED, began=START - 5)
        stand.records.keep(msgspec.structs.replace(record, digest=digest_of(book), state=State.FAILED))
        stand.plays = [lambda: stand.began(ROLL, 5, state=RunState.DONE) or 0]
        assert stand.go(text, retry=True).state is State.DONE  # type: ignore[union-attr]
        assert stand.called[0][0] == "apply"

    ASKED = steps("{name: go, approve: {within: 10m}}", PASS)

    def test_a_refusal_is_asked_for_anew(self, stand: Stand) -> None:
        stand.clock.at_each_wait.append(lambda _: stand.records.approve(said(stand, yes=False)))
        refused = stand.go(self.ASKED)
        assert refused is not None and refused.exit_code == 3
        stand.clock.at_each_wait[:] = [lambda _: stand.records.approve(said(stand, yes=True))]
        assert stand.go(self.ASKED, retry=True).state is State.DONE  # type: ignore[union-attr]

    def test_an_approval_that_comes_too_late_is_none(self, stand: Stand) -> None:
        """Nobody looked when its time was over, since the runbook was killed."""
        stand.stop.set()
        begun = stand.begin(stand.runner(self.ASKED))
        assert begun is not None
        stand.stop.clear()
        stand.records.keep(begun.with_step(0, outcome=Outcome.BEGUN, began=stand.clock.at))
        stand.clock.at += HOUR
        stand.records.approve(said(stand, yes=True))
        ended = stand.go(self.ASKED)
        assert ended is not None and ended.exit_code == 4 and "no approval came within 10 min" in ended.why

    def test_of_a_file_that_got_shorter(self, stand: Stand) -> None:
        assert stand.go(steps(PASS, FAIL)).state is State.FAILED  # type: ignore[union-attr]
        with pytest.raises(Stale, match="not what it was"):
            stand.go(steps(PASS), retry=True)


def said(stand: Stand, *, yes: bool) -> Approval:
    return Approval(stand.records.all()[0].id, "go", "boss", stand.clock.at, yes)


class TestWindows:
    def test_why_it_ran_outside_its_window_stands_in_its_record(self, stand: Stand) -> None:
        text = steps(PASS, "{name: fails, probe: {command: ['false']}}", top=WINDOW)
        for why in ("a fire", "another fire"):
            runner = stand.runner(text, heedless=True)
            begun = stand.begin(runner, reason=why, retry=why != "a fire")
            assert begun is not None and runner.run(begun).outside == why
        assert stand.records.all()[0].outside == "another fire"

    def test_a_window_that_a_freeze_cuts_short_says_nothing_of_the_others(self, stand: Stand) -> None:
        top = (
            "window: {time_zone: UTC, start: 2026-12-01T22:00, length: 4h, recurrence: FREQ=DAILY}\n"
            "freeze: [{from: 2026-12-02, to: 2026-12-02}]\n"
        )
        stand.clock.at = START + 22 * HOUR
        rested = stand.go(steps("{name: a, wait: {for: 3h}}", top=top))
        assert rested is not None and rested.state is State.RESTING

    def test_a_clock_that_goes_back_does_not_make_every_window_too_short(self, stand: Stand) -> None:
        stand.clock.at = opens(0)
        runner = stand.runner(steps("{name: a, wait: {for: 1s}}", top=WINDOW))
        window = runner.window()
        assert window is not None
        record = stand.begin(runner)
        assert record is not None
        stand.clock.at -= HOUR
        assert runner._rests(record, "x", window).state is State.RESTING

    def test_how_long_a_step_took_does_not_depend_on_a_clock_that_is_set(self, stand: Stand) -> None:
        class Set(type(stand.clock)):  # type: ignore[misc]
            def monotonic(self) -> float:
                return 5.0

        stand.clock.__class__ = Set
        stand.plays = [lambda: setattr(stand.clock, "at", stand.clock.at + 8 * HOUR) or 0]
        assert stand.go(steps("check: {}")).steps[0].worked_s == 0  # type: ignore[union-attr]

    def test_a_plan_that_is_lost_is_no_matter_of_time(self, stand: Stand) -> None:
        text = steps("{name: p, plan: {kind: restart}}", "{name: do, apply: {plan: p}}", top=WINDOW)
        book = stand.book(text)
        record = stand.record(book).with_step(0, outcome=Outcome.DONE, plan="gone")
        stand.plays = [lambda: Ended(2, said="error  gone: cannot be read")]
        ended = stand.runner(text).run(record)
        assert (ended.state, ended.exit_code, ended.why) == (State.FAILED, 2, "do: error  gone: cannot be read")


def test_a_file_that_is_replaced_while_it_is_read_is_known_by_what_was_read(stand: Stand, tmp_path: Path) -> None:
    from zkprov.cli.runbook import book_of

    file = tmp_path / "book.yml"
    file.write_text("runbook: r\nsteps: [{check: {}}]\n")
    one = book_of(file, ())
    file.write_text("runbook: r\nsteps: [{wait: {for: 1s}}]\n")
    assert digest_of(one) != digest_of(book_of(file, ()))
