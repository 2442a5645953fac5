"""The events of a run, read one after the other into the parts of its report. Pure."""

from __future__ import annotations

import math
from datetime import datetime

import msgspec

from zkprov.report.run_document import Attempt, Ending, GateStop, Happening, Moment, Pause, Try
from zkprov.run.events import Event, Value
from zkprov.run.journal import Run

SAME_S = 0.005
"""A pause that lasted beyond its step is told twice, from the same moment on but for rounding."""
BEGINNINGS = {"run.begun": "begun", "run.resumed": "resumed", "run.aborting": "abort"}


def at(time: str) -> float:
    """Seconds since 1970 of an RFC 3339 time; 0 of what is none."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0


class AttemptRead:
    """One that is being read."""

    def __init__(self, number: int, kind: str, event: Event) -> None:
        self.number, self.kind = number, kind
        self.began = self.last = event.time
        self.who, self.from_step = "", 0
        self.end: dict[str, Value] | None = None
        self.why = ""  # what stopped it
        self.cut_off = "cut off"

    def told(self) -> Attempt:
        end = self.end or {}
        stopped = "stopped" if self.why else self.cut_off
        return Attempt(
            number=self.number,
            kind=self.kind,
            who=self.who,
            began=self.began,
            ended=self.last,
            took_s=between(self.began, self.last),
            ending=text(end, "state") or stopped,
            from_step=self.from_step,
            exit_code=whole(end, "exit_code"),
            headline=text(end, "headline") or self.why,
            evidence=lines(end, "evidence"),
            undone=text(end, "undone"),
            stands=text(end, "stands"),
            next=lines(end, "next"),
        )


class Reader:
    """The events of a run, one after the other; never leaves this module."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.attempts: list[AttemptRead] = []
        self.tries: dict[int, list[Try]] = {}
        self.tasks: dict[int, int] = {}
        self.in_hand: tuple[int, str] | None = None  # (step, since when)
        plan = run.plan
        self.moments: list[Moment] = []
        self.told = False
        self._now = Moment("", "", plan.leader, None, plan.base.version_hex)
        self.pauses: list[Pause] = []
        self._pauses_at: list[float] = []
        self.gates: dict[str, tuple[int, int]] = {}  # (passed, held up)
        self.said: dict[str, str] = {}
        self.stops: list[GateStop] = []
        self.happenings: list[Happening] = []
        self.backups: list[str] = []

    def take(self, event: Event) -> None:
        said = event.evidence
        attempt = self._attempt(event)
        attempt.last = max(attempt.last, event.time)
        match event.kind:
            case "run.begun":
                attempt.who = text(said, "who")
                if not self.moments:
                    self._moment(event, config=text(said, "base"))
            case "run.resumed":
                attempt.from_step = whole(said, "head") or 0
            case "run.aborting":
                attempt.who, attempt.from_step = text(said, "by"), whole(said, "head") or 0
            case "run.stopped":
                attempt.why = text(said, "why")
            case "run.ended":
                attempt.end = said
            case "step.begun":
                self._cut_off(attempt, event.time)
                self.in_hand = event.step, event.time
            case "step.done":
                self._ended(event, attempt, Ending.DONE, text(said, "said"))
            case "step.failed":
                self._ended(event, attempt, Ending.FAILED, text(said, "why"))
            case "gates" | "sample" | "gate" | "preflight" | "turned":
                self._gate(event)
            case "pause":
                self._pause(event)
            case "play":
                self._play(event)
        self._happened(event)

    def _attempt(self, event: Event) -> AttemptRead:
        """The one that the event belongs to."""
        kind = BEGINNINGS.get(event.kind, "")
        now = self.attempts[-1] if self.attempts else None
        # a run that is taken up is told to be resumed first, and then to begin
        goes_on = event.kind == "run.begun" and now is not None and now.kind == "resumed" and not now.who
        if now is None or (kind and not goes_on) or (not kind and now.end is not None):
            self._cut_off(now, now.last if now else "")
            now = AttemptRead(len(self.attempts) + 1, kind or "begun", event)
            self.attempts.append(now)
        return now

    def _cut_off(self, attempt: AttemptRead | None, when: str, ending: Ending = Ending.CUT_OFF) -> None:
        """What is in hand ends without a word of its own."""
        if self.in_hand is None or attempt is None:
            return
        number, since = self.in_hand
        self.in_hand = None
        took = between(since, when)
        self.tries.setdefault(number, []).append(
            Try(attempt.number, number, since, when, ending, took, said=attempt.why)
        )

    def _ended(self, event: Event, attempt: AttemptRead, ending: Ending, said: str) -> None:
        since = self.in_hand[1] if self.in_hand is not None and self.in_hand[0] == event.step else event.time
        self.in_hand = None
        took = duration(event.evidence, "took_s")
        took_s = between(since, event.time) if took is None else took
        # a quorum write never takes nothing: 0 is a run without a canary
        pause_s = duration(event.evidence, "longest_pause_s") or None
        gate = text(event.evidence, "gate")
        self.tries.setdefault(event.step, []).append(
            Try(attempt.number, event.step, since, event.time, ending, took_s, said, gate, pause_s)
        )

    def _gate(self, event: Event) -> None:
        said = event.evidence
        passed = lines(said, "passed") if event.kind == "gates" else ["preflight"] if event.kind == "preflight" else []
        for name in passed:
            count, held = self.gates.get(name, (0, 0))
            self.gates[name] = count + 1, held
        told = said.get("said")
        self.said |= told if isinstance(told, dict) else {}
        if event.kind == "preflight":
            self.said["preflight"] = text(said, "summary")
        if event.kind == "gate":
            name = text(said, "gate")
            count, held = self.gates.get(name, (0, 0))
            self.gates[name] = count, held + 1
            self.stops.append(
                GateStop(
                    event.time,
                    event.step,
                    name,
                    text(said, "verdict"),
                    text(said, "summary"),
                    lines(said, "evidence"),
                )
            )
        if event.kind == "turned":
            self._moment(event, leader=whole(said, "leader") or None)
        elif "leader" in said:
            self.told = True
            self._moment(
                event,
                leader=-1 if (leader := whole(said, "leader")) is None else leader,
                epoch=whole(said, "epoch"),
                config=text(said, "config"),
            )

    def _moment(self, event: Event, *, leader: int | None = None, epoch: int | None = None, config: str = "") -> None:
        """What is known from now on; `leader` −1: none. What is not told stays as it was."""
        led = self._now.leader if leader is None else None if leader < 0 else leader
        epoch, config = self._now.epoch if epoch is None else epoch, config or self._now.config or ""
        before = self.moments[-1] if self.moments else None
        if before is not None and before.epoch is None and (before.leader, before.config) == (led, config):
            # what it began with, told by its first look
            before = msgspec.structs.replace(before, epoch=epoch)
        if before is not None and (before.leader, before.epoch, before.config) == (led, epoch, config):
            self.moments[-1] = self._now = msgspec.structs.replace(before, until=event.time)
        else:
            self._now = Moment(event.time, event.time, led, epoch, config)
            self.moments.append(self._now)

    def _pause(self, event: Event) -> None:
        began, lasted = text(event.evidence, "began"), duration(event.evidence, "lasted_s")
        if lasted is None or not at(began):
            return
        found, when = Pause(began, lasted, event.step), at(began)
        for place in range(len(self.pauses) - 1, max(-1, len(self.pauses) - 50), -1):
            if abs(self._pauses_at[place] - when) < SAME_S:
                self.pauses[place] = max(found, self.pauses[place], key=lambda p: p.lasted_s)
                return
        self.pauses.append(found)
        self._pauses_at.append(when)

    def _play(self, event: Event) -> None:
        if text(event.evidence, "outcome") in ("failed", "unreachable"):
            return
        self.tasks[event.step] = self.tasks.get(event.step, 0) + 1

    def _happened(self, event: Event) -> None:
        said = event.evidence
        what = ""
        match event.kind:
            case "act":
                what, config = text(said, "what"), text(said, "from_config")
                if config and not self.told:
                    self._moment(event, config=config)
            case "undo" | "mend":
                what = text(said, "what")
            case "answer":
                what = " ".join(filter(None, (text(said, "answer"), text(said, "why"))))
            case "hook":
                what = f"hook {text(said, 'hook')} on {text(said, 'host')}"
            case "backup":
                what = f"backup {text(said, 'name')} is whole"
                self.backups.append(text(said, "name"))
            case "play":
                if text(said, "outcome") in ("failed", "unreachable"):
                    what = f"{text(said, 'host')}: {text(said, 'play')}, {text(said, 'task')}: {text(said, 'outcome')}"
            case "turned":
                what = f"{text(said, 'leader')} leads now: the order of the rest is another"
            case "run.stopped" | "ledger.missed":
                what = text(said, "why")
        if what:
            self.happenings.append(Happening(event.time, event.step, event.kind, what))

    def close(self, running: bool) -> None:
        if self.attempts:
            last = self.attempts[-1]
            if running and last.end is None:
                last.cut_off = "running"
            self._cut_off(last, last.last, Ending.IN_HAND if running else Ending.CUT_OFF)


def between(began: str, ended: str) -> float:
    """Seconds; 0 where the clock was put back."""
    return round(max(0.0, at(ended) - at(began)), 3)


def text(of: dict[str, Value], key: str) -> str:
    value = of.get(key)
    return "" if value is None else str(value)


def duration(of: dict[str, Value], key: str) -> float | None:
    """None for what is no time that something can take."""
    value = of.get(key)
    return (
        float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
        else None
    )


def whole(of: dict[str, Value], key: str) -> int | None:
    value = of.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def lines(of: dict[str, Value], key: str) -> list[str]:
    value = of.get(key)
    return [str(line) for line in value] if isinstance(value, list) else []
