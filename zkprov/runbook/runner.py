"""Carries a runbook out: window, condition, step, record; stops between servers when the window closes, and goes on in the next one.

The invariant: what is begun is in the record before it is done, and how it ended before the next thing is begun; a change is known by
the id of its plan, so that whoever takes a killed runbook up does nothing twice (R9, R11).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import msgspec

from zkprov.model.durations import told
from zkprov.model.problems import Interrupted
from zkprov.run.clock import Clock
from zkprov.run.events import rfc3339
from zkprov.runbook import notifying
from zkprov.runbook.changes import Changes
from zkprov.runbook.children import Ended, zkprov
from zkprov.runbook.children import run as run_child
from zkprov.runbook.coming import Came, Rest
from zkprov.runbook.document import Condition, Notify, Runbook, Step
from zkprov.runbook.record import Approval, Outcome, Records, RunbookRecord, State, measured_s
from zkprov.runbook.verbs import DEFAULT_APPROVAL_S, DEFAULT_PROBE_S, Kind, Verb
from zkprov.runbook.windows import Open, open_from

POLL_S = 0.5
FRESH = 0.1
"""The part of a window in which it has just opened: what has no time then never will."""


class Runner:
    """One run. `say`: hears what happens, for people. `heedless`: windows and freezes do not matter, by somebody's word.

    `ask`: what somebody at the terminal has answered since, if anything; with `True` it begins to ask.
    """

    def __init__(
        self,
        book: Runbook,
        verbs: dict[str, Verb],
        records: Records,
        *,
        target: tuple[str, ...],
        who: str,
        clock: Clock,
        stop: threading.Event,
        say: Callable[[str], None],
        folder: Path,
        lock: int | None = None,
        waits: bool = False,
        heedless: bool = False,
        ask: Callable[[bool], bool | None] | None = None,
    ) -> None:
        self.book, self.verbs, self.records, self.clock, self.stop, self.say = book, verbs, records, clock, stop, say
        self.target, self.who, self.lock = target, who, lock
        """`-i FILE -E GROUP`: the words that name the ensemble."""
        self._waits, self._heedless, self._ask = waits, heedless, ask
        self._changes = Changes(self, folder)
        self.record: RunbookRecord

    def run(self, record: RunbookRecord) -> RunbookRecord:
        """Until it is over, or rests. What is returned is what the journal holds."""
        record = self._kept(record, state=State.RUNNING, why="", ended=None, exit_code=None)
        try:
            while record.position < len(self.book.steps):
                if self.stop.is_set():
                    raise Interrupted("stopped by a signal", remedy="zkprov runbook run")
                window = self.window()
                if window is None and self.amid(record):
                    # what stands in the middle of a server is brought to its end, and rests there
                    self.say("outside its window: what it has begun of a server is brought to its end")
                    window = Open(now := self.now(), now)
                if not self._heedless and self.book.window is not None and window is None:
                    record = self._rests(record, "no window is open")
                    if record.state is not State.RUNNING:
                        return record
                    continue
                came, record = self._take(self._used(record, window), window)
                if isinstance(came, Rest):
                    record = self._rests(record, came.why, window)
                    if record.state is not State.RUNNING:
                        return record
                elif came.outcome is Outcome.FAILED and not self._goes_on(record):
                    # a command that was killed has no exit code of ours
                    code = came.code if came.code > 0 else 1
                    return self._ends(
                        record, State.FAILED, code, f"{self.book.steps[record.position - 1].name}: {came.said}"
                    )
        except Interrupted as stopped:
            return self._kept(self.record, state=State.STOPPED, exit_code=stopped.exit_code, why=stopped.problem)
        return self._ends(record, State.DONE, 0, "")

    def _goes_on(self, record: RunbookRecord) -> bool:
        """After a step that failed. What stands unfinished is somebody's to end, whatever the file says of failures."""
        number = record.position - 1
        step = self.book.steps[number]
        return step.goes_on and not self._changes.stands(self._plan(record, number))

    def _plan(self, record: RunbookRecord, number: int) -> str:
        """The id of the plan that a step carries out; empty for none."""
        step = self.book.steps[number]
        return record.step(str(step.values["plan"])).plan if step.verb == "apply" else record.steps[number].plan

    # -- time

    def windows(self) -> Iterable[Open] | None:
        """Those to come, the one that is open first; None where time does not matter."""
        if self.book.window is None or self._heedless:
            return None
        return open_from(self.book.window, self.book.freezes, self.now())

    def window(self) -> Open | None:
        """The one that is open now."""
        found = next(iter(self.windows() or ()), None)
        return found if found is not None and found.opens <= self.now() else None

    def amid(self, record: RunbookRecord) -> bool:
        """Whether it was stopped, or killed, in the middle of a server, outside of which it may not wait for a window."""
        if self.book.window is None or self._heedless or record.position >= len(self.book.steps):
            return False
        begun = record.steps[record.position].outcome is Outcome.BEGUN
        return begun and self._changes.amid(self._plan(record, record.position))

    def _used(self, record: RunbookRecord, window: Open | None) -> RunbookRecord:
        """The record, once it says that this window is used: its turn in it is over when it is over."""
        if window is None or window.length_s == 0 or record.window == window.opens.timestamp():
            return record
        return msgspec.structs.replace(record, window=window.opens.timestamp(), windows=record.windows + 1)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now(), UTC)

    def takes_s(self, step: Step) -> float:
        """How long the step is thought to take: by the file, else as long as it took before, else by its verb."""
        if step.takes_s is not None:
            return step.takes_s
        mine = self.records.of(self.book.name, self.target[3], self.target[1])
        return measured_s(mine, step.name, step.verb) or self.verbs[step.verb].takes_s(step.values)

    def _rests(self, record: RunbookRecord, why: str, closing: Open | None = None) -> RunbookRecord:
        """The window is over, or too short for what comes: until the next one, in this process where it waits."""
        whole = self.book.window is not None and closing is not None and closing.length_s >= self.book.window.length_s
        if closing and whole and 0 <= (self.now() - closing.opens).total_seconds() < FRESH * closing.length_s:
            return self._ends(record, State.FAILED, 4, f"no window is long enough: {why}")
        after = [w for w in islice(self.windows() or (), 2) if closing is None or w.opens > closing.opens]
        following = next(iter(after), None)
        if following is None:
            return self._ends(record, State.FAILED, 4, f"{why}, and no window is left")
        opens = rfc3339(following.opens.timestamp())
        record = self._kept(record, state=State.RESTING, exit_code=7, why=f"{why}; the next window opens {opens}")
        self.say(f"rests: {why}; the next window opens {self.local(following.opens)}")
        if not self._waits:
            return record
        while (left := following.opens.timestamp() - self.clock.now()) > 0:
            # by the wall clock again and again: it may jump, or the machine sleep
            if self.clock.wait(self.stop, min(left, 5.0)):
                raise Interrupted("stopped by a signal", remedy="zkprov runbook run")
        return self._kept(record, state=State.RUNNING, exit_code=None, why="")

    def local(self, at: datetime) -> str:
        from zoneinfo import ZoneInfo

        return at.astimezone(ZoneInfo(self.book.zone)).strftime("%a %Y-%m-%d %H:%M:%S %Z")

    # -- steps

    def _take(self, record: RunbookRecord, window: Open | None) -> tuple[Came | Rest, RunbookRecord]:
        number = record.position
        step, before = self.book.steps[number], record.steps[number]
        if step.when is not None and before.outcome is Outcome.PENDING and not holds(step.when, record):
            self.say(f"{number + 1:>2} {step.name}: skipped, its condition does not hold")
            return Came(Outcome.SKIPPED), self._kept(record.with_step(number, outcome=Outcome.SKIPPED))
        if (
            window is not None
            and self.verbs[step.verb].kind is not Kind.CHANGE
            and step.verb not in ("approve", "apply")
        ):
            takes, left = self.takes_s(step), (window.closes - self.now()).total_seconds()
            if takes > left:
                return Rest(f"{step.name} takes {told(takes)}, and {told(max(0.0, left))} are left"), record
        self.say(f"{number + 1:>2} {step.name}: {step.verb}")
        begun = self.clock.monotonic()
        record = self._kept(record.with_step(number, outcome=Outcome.BEGUN, began=before.began or self.clock.now()))
        came = self._carry_out(step, record, number, window)
        record = self.record
        worked = record.steps[number].worked_s + self.clock.monotonic() - begun
        if isinstance(came, Rest):
            return came, self._kept(record.with_step(number, worked_s=worked))
        record = self._kept(
            record.with_step(
                number,
                outcome=came.outcome,
                ended=self.clock.now(),
                worked_s=round(worked, 3),
                exit_code=came.exit_code,
                said=came.said,
                approved_by=came.approved_by,
            )
        )
        self.say(f"   {came.outcome}" + (f": {came.said}" if came.said else "") + f" ({told(worked)})")
        return came, record

    def planned(self, number: int, plan: str) -> None:
        """A plan was made for the step: from now on that is what it carries out."""
        self._kept(self.record.with_step(number, plan=plan))

    def _carry_out(self, step: Step, record: RunbookRecord, number: int, window: Open | None) -> Came | Rest:
        verb = self.verbs[step.verb]
        match step.verb:
            case "wait":
                return self._wait(verb, step, record.steps[number].began or 0.0)
            case "approve":
                return self._approve(step, record, number, window)
            case "probe":
                return self._probe(step)
            case "notify":
                given = step.values
                words = given.get("command")
                to = Notify(
                    tuple(str(w) for w in words) if isinstance(words, list) else (), str(given.get("webhook", ""))
                )
                return Came(Outcome.DONE, said=notifying.tell(to, record, "notify", self.stop))
            case "plan":
                return self._changes.plan(step, number, kind=str(step.values["kind"]))
            case "apply":
                made = record.step(str(step.values["plan"]))
                if made.outcome is not Outcome.DONE:
                    return Came(Outcome.NOTHING, said=f"{made.name}: {made.outcome}")
                source = next(s for s in self.book.steps if s.name == made.name)
                return self._changes.apply(source, made.plan, window, since=record.steps[number].began or 0.0)
        if verb.kind is Kind.CHANGE:
            return self._changes.change(step, record.steps[number].plan, number, window)
        return self._look(verb, step)

    def _look(self, verb: Verb, step: Step) -> Came:
        ended = self.child([*verb.command, *self.target, *verb.words(step.values)])
        if ended.exit_code == 7 and self.stop.is_set():
            raise Interrupted("stopped by a signal", remedy="zkprov runbook run")
        outcome = Outcome.DONE if ended.exit_code == 0 else Outcome.FAILED
        return Came(
            outcome,
            ended.exit_code,
            "" if outcome is Outcome.DONE else last_of(ended.said or ended.output),
            ended.exit_code,
        )

    def child(self, words: list[str], *, show: bool = True) -> Ended:
        """One of zkprov's own commands. It inherits the runbook's lock, as probes do: nothing is begun beside what outlives it."""
        return run_child(zkprov(words, self.records.journal.path), stop=self.stop, keep_open=self._locks(), show=show)

    def _locks(self) -> tuple[int, ...]:
        return (self.lock,) if self.lock is not None else ()

    def _wait(self, verb: Verb, step: Step, began: float) -> Came:
        until = began + verb.takes_s(step.values)
        while (left := until - self.clock.now()) > 0:
            if self.clock.wait(self.stop, min(left, 5.0)):
                raise Interrupted("stopped by a signal", remedy="zkprov runbook run")
        return Came(Outcome.DONE)

    def _probe(self, step: Step) -> Came:
        from zkprov.model.durations import duration_s

        words = step.values["command"]
        assert isinstance(words, list)  # noqa: S101 — checked when it was read
        limit_s = duration_s(str(step.values["timeout"])) if "timeout" in step.values else DEFAULT_PROBE_S
        environment = {
            "ZKPROV_INVENTORY": self.target[1],
            "ZKPROV_ENSEMBLE": self.target[3],
            "ZKPROV_RUNBOOK": self.book.name,
        }
        ended = run_child(
            [str(w) for w in words],
            stop=self.stop,
            timeout_s=limit_s,
            environment=environment,
            keep_open=self._locks(),
            whole=True,
        )
        if self.stop.is_set():
            raise Interrupted("stopped by a signal", remedy="zkprov runbook run")
        if ended.late:
            return Came(Outcome.FAILED, ended.exit_code, f"not over after {told(limit_s)}", 4)
        if ended.exit_code:
            return Came(
                Outcome.FAILED,
                ended.exit_code,
                f"exit code {ended.exit_code}: {last_of(ended.said or ended.output)}",
                4,
            )
        return Came(Outcome.DONE, 0, last_of(ended.output))

    def _approve(self, step: Step, record: RunbookRecord, number: int, window: Open | None) -> Came | Rest:
        from zkprov.model.durations import duration_s

        message = str(step.values.get("message", "")) or f"{self.book.name}: go on with what follows {step.name}?"
        within = duration_s(str(step.values["within"])) if "within" in step.values else DEFAULT_APPROVAL_S
        until = (record.steps[number].began or self.clock.now()) + within
        self.say(f"   waits for an approval, for {told(max(0.0, until - self.clock.now()))}: {message}")
        here = "here, y or n, or " if self._ask is not None else ""
        self.say(f"   {here}zkprov runbook approve {self.book.place} {step.name!r}, or --refuse")
        first = True
        while True:
            found = self.records.approval(record.id, step.name)
            answer = self._ask(first) if self._ask is not None else None
            first = False
            if found is None and answer is not None:
                found = Approval(record.id, step.name, self.who, self.clock.now(), answer, "at the terminal")
            # one that came when its time was over is none
            if found is not None and found.at <= until:
                said = f"by {found.who}" + (f": {found.reason}" if found.reason else "")
                if found.yes:
                    return Came(Outcome.DONE, 0, said, approved_by=found.who)
                return Came(Outcome.FAILED, 3, f"refused {said}", 3)
            left = until - self.clock.now()
            if left <= 0:
                return Came(Outcome.FAILED, 4, f"no approval came within {told(within)}", 4)
            if window is not None and self.now() >= window.closes:
                return Rest(f"{step.name} still waits for its approval")
            if self.clock.wait(self.stop, min(left, POLL_S)):
                raise Interrupted("stopped by a signal", remedy="zkprov runbook run")

    # -- ends

    def _ends(self, record: RunbookRecord, state: State, code: int, why: str) -> RunbookRecord:
        record = self._kept(record, state=state, exit_code=code, ended=self.clock.now(), why=why)
        if self.book.notify is not None and (said := notifying.tell(self.book.notify, record, "ended", self.stop)):
            self.say(said)
        return record

    def _kept(self, record: RunbookRecord, **changed: object) -> RunbookRecord:
        self.record = msgspec.structs.replace(record, **changed) if changed else record
        self.records.keep(self.record)
        return self.record


def holds(condition: Condition, record: RunbookRecord) -> bool:
    """Whether the step that is asked of came to what is asked for."""
    found = record.step(condition.step)
    return found.outcome in condition.outcomes or (found.exit_code is not None and found.exit_code in condition.exits)


def last_of(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "".join(c if c.isprintable() else "?" for c in lines[-1])[:300] if lines else ""
