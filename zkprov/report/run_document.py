"""The report of a run as a document: what HTML, Markdown, text and `--output json` of `zkprov report` are renderings of."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from zkprov.plan.steps import Options


class Tone(StrEnum):
    """How a run, an attempt or a step came out, as far as a reader must see it at once."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    OPEN = "open"


class Ending(StrEnum):
    """Of a step, or of one try at it."""

    DONE = "done"
    FAILED = "failed"
    CUT_OFF = "cut off"
    IN_HAND = "in hand"
    NOT_REACHED = "not reached"


class Try(msgspec.Struct, frozen=True):
    """One try at a step. Times are RFC 3339 in UTC; `ended`: of one that was cut off, the last that was heard of it.

    `pause_s`: the longest write pause in it, in seconds; None where nobody measured one.
    """

    attempt: int
    step: int
    began: str
    ended: str
    ending: Ending
    took_s: float
    said: str = ""
    gate: str = ""
    pause_s: float | None = None


class StepRow(msgspec.Struct, frozen=True):
    """A planned step and what became of it. `server` is the id it is about; `tasks`: of plays, that ended well; `tries` in order."""

    number: int
    name: str
    title: str
    server: int
    host: str
    list_after: str
    proof: str
    may_fail_after: int
    ending: Ending
    said: str = ""
    tasks: int = 0
    tries: list[Try] = []


class Attempt(msgspec.Struct, frozen=True):
    """From a beginning, a resume or an abort to its end. `kind`: begun, resumed, abort. `ending`: the state that it left, or `cut off`.

    `from_step`: where it began; 0 where that is not told. `exit_code` None where nothing tells it.
    """

    number: int
    kind: str
    who: str
    began: str
    ended: str
    took_s: float
    ending: str
    from_step: int = 0
    exit_code: int | None = None
    headline: str = ""
    evidence: list[str] = []
    undone: str = ""
    stands: str = ""
    next: list[str] = []


class Moment(msgspec.Struct, frozen=True):
    """Who led, in which epoch, under which config version (hex), from the first look that told it to the last; None where none did.

    Between `until` and the next one's `time` nobody looked, and it became another.
    """

    time: str
    until: str
    leader: int | None
    epoch: int | None
    config: str | None


class Pause(msgspec.Struct, frozen=True):
    """No write of the canary succeeded from `began` on for `lasted_s` seconds."""

    began: str
    lasted_s: float
    step: int


class GateStop(msgspec.Struct, frozen=True):
    """A gate that did not pass when it was asked: it was waited for, or stopped the run."""

    time: str
    step: int
    gate: str
    verdict: str
    summary: str
    evidence: list[str] = []


class GateTold(msgspec.Struct, frozen=True):
    """A gate over the whole run: how often it passed and held the run up; what it said last when it passed."""

    gate: str
    passed: int
    held_up: int
    said: str = ""


class Happening(msgspec.Struct, frozen=True):
    """Something that was done or answered. `kind` is the event's."""

    time: str
    step: int
    kind: str
    what: str


class Artifact(msgspec.Struct, frozen=True):
    """Something that is left of the run. `where`: a path, a znode or hosts; `command`: shows it."""

    what: str
    where: str
    command: str = ""


class RunReport(msgspec.Struct, frozen=True):
    """`zkprov report RUN`. `verdict`: one sentence. `list_before` and `list_after` as planned; `pause_s` the longest of all, in seconds.

    `planned_by` asked for it (`--as`), `carried_out_by` are those of its attempts. `overrides`: rule → reason. `events`: how many the
    journal has of it. `moments_told`: whether looks told who leads; journals of older releases have only what acts and plans say of it.
    """

    run: str
    ensemble: str
    kind: str
    state: str
    tone: Tone
    verdict: str
    began: str
    ended: str
    took_s: float
    planned_by: str
    planned_at: str
    carried_out_by: list[str]
    reason: str
    overrides: dict[str, str]
    options: Options
    zkprov: str
    list_before: str
    list_after: str
    base_version: str
    states_proved: int
    notes: list[str]
    pause_s: float | None
    attempts: list[Attempt]
    steps: list[StepRow]
    moments: list[Moment]
    moments_told: bool
    pauses: list[Pause]
    gates: list[GateTold]
    stops: list[GateStop]
    happenings: list[Happening]
    artifacts: list[Artifact]
    events: int
    format: int = 1

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def done(self) -> int:
        """How many steps."""
        return sum(s.ending is Ending.DONE for s in self.steps)


def milliseconds(pause_s: float | None) -> str:
    """`483 ms`, `3.2 s`, `not measured`."""
    if pause_s is None:
        return "not measured"
    return f"{pause_s * 1000:.0f} ms" if pause_s < 2 else f"{pause_s:.1f} s"
