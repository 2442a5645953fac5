"""From a run's record and its events to its report. Pure. A journal of an older release lacks some, and is told as far as it goes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from zkprov.plan.steps import Plan, seconds
from zkprov.report.run_document import (
    Artifact,
    Attempt,
    Ending,
    GateStop,
    GateTold,
    Happening,
    Moment,
    Pause,
    RunReport,
    StepRow,
    Tone,
    Try,
    milliseconds,
)
from zkprov.run.events import Event, Value, rfc3339
from zkprov.run.journal import Run, State

SAME_S = 0.005
"""A pause that lasted beyond its step is told twice, from the same moment on but for rounding."""
BEGINNINGS = {"run.begun": "begun", "run.resumed": "resumed", "run.aborting": "abort"}
TONES = {State.DONE: Tone.GOOD, State.UNDONE: Tone.WARNING, State.ABORTED: Tone.WARNING, State.STOPPED: Tone.BAD}


def at(time: str) -> float:
    """Seconds since 1970 of an RFC 3339 time; 0 of what is none."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0


def run_report(run: Run, events: Sequence[Event], journal: str) -> RunReport:
    """`journal`: where it lies."""
    read = _Read(run)
    for event in events:
        read.take(event)
    read.close(run.state is State.RUNNING)
    plan, options = run.plan, run.plan.options
    attempts = [a.told() for a in read.attempts]
    steps = [_step(plan, n, read) for n in range(1, len(plan.steps) + 1)]
    pauses = read.pauses
    measured = [t.pause_s for s in steps for t in s.tries if t.pause_s is not None] + [p.lasted_s for p in pauses]
    began = attempts[0].began if attempts else rfc3339(run.began)
    ended = attempts[-1].ended if attempts else rfc3339(run.ended or run.began)
    carried_out = list(dict.fromkeys(a.who for a in attempts if a.who)) or [run.who]
    pause_s = max(measured, default=None)
    return RunReport(
        run=run.id,
        ensemble=run.ensemble,
        kind=run.kind,
        state=str(run.state),
        tone=TONES.get(run.state, Tone.OPEN),
        verdict=_verdict(run, attempts, steps, pause_s),
        began=began,
        ended=ended,
        took_s=round(sum(a.took_s for a in attempts), 3),
        planned_by=plan.made_by,
        planned_at=rfc3339(plan.made_at),
        carried_out_by=carried_out,
        reason=options.reason,
        overrides=dict(options.overrides),
        options=options,
        zkprov=plan.zkprov,
        list_before=str(plan.base),
        list_after=str(plan.final),
        base_version=plan.base.version_hex,
        states_proved=plan.states_proved,
        notes=list(plan.notes),
        pause_s=pause_s,
        attempts=attempts,
        steps=steps,
        moments=read.moments,
        moments_told=read.told,
        pauses=pauses,
        gates=[GateTold(g, p, h, read.said.get(g, "")) for g, (p, h) in read.gates.items()],
        stops=read.stops,
        happenings=read.happenings,
        artifacts=_artifacts(run, read, journal),
        events=len(events),
    )


class _Attempt:
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
        code = end.get("exit_code")
        return Attempt(
            number=self.number,
            kind=self.kind,
            who=self.who,
            began=self.began,
            ended=self.last,
            took_s=_between(self.began, self.last),
            ending=_text(end, "state") or stopped,
            from_step=self.from_step,
            exit_code=code if isinstance(code, int) else None,
            headline=_text(end, "headline") or self.why,
            evidence=_lines(end, "evidence"),
            undone=_text(end, "undone"),
            stands=_text(end, "stands"),
            next=_lines(end, "next"),
        )


class _Read:
    """The events of a run, one after the other; never leaves this module."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.attempts: list[_Attempt] = []
        self.tries: dict[int, list[Try]] = {}
        self.tasks: dict[int, int] = {}
        self.in_hand: tuple[int, str] | None = None  # (step, since when)
        plan = run.plan
        self.moments: list[Moment] = []
        self.told = False
        self._now = Moment("", "", plan.leader, None, plan.base.version_hex)
        self.pauses: list[Pause] = []
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
                attempt.who = _text(said, "who")
                if not self.moments:
                    self._moment(event, config=_text(said, "base"))
            case "run.resumed":
                attempt.from_step = _number(said, "head")
            case "run.aborting":
                attempt.who, attempt.from_step = _text(said, "by"), _number(said, "head")
            case "run.stopped":
                attempt.why = _text(said, "why")
            case "run.ended":
                attempt.end = said
            case "step.begun":
                self._cut_off(attempt, event.time)
                self.in_hand = event.step, event.time
            case "step.done":
                self._ended(event, attempt, Ending.DONE, _text(said, "said"))
            case "step.failed":
                self._ended(event, attempt, Ending.FAILED, _text(said, "why"))
            case "gates" | "sample" | "gate" | "preflight" | "turned":
                self._gate(event)
            case "pause":
                self._pause(event)
            case "play":
                self._play(event)
        self._happened(event)

    def _attempt(self, event: Event) -> _Attempt:
        """The one that the event belongs to."""
        kind = BEGINNINGS.get(event.kind, "")
        now = self.attempts[-1] if self.attempts else None
        # a run that is taken up is told to be resumed first, and then to begin
        goes_on = event.kind == "run.begun" and now is not None and now.kind == "resumed" and not now.who
        if now is None or (kind and not goes_on) or (not kind and now.end is not None):
            self._cut_off(now, now.last if now else "")
            now = _Attempt(len(self.attempts) + 1, kind or "begun", event)
            self.attempts.append(now)
        return now

    def _cut_off(self, attempt: _Attempt | None, when: str, ending: Ending = Ending.CUT_OFF) -> None:
        """What is in hand ends without a word of its own."""
        if self.in_hand is None or attempt is None:
            return
        number, since = self.in_hand
        self.in_hand = None
        took = _between(since, when)
        self.tries.setdefault(number, []).append(
            Try(attempt.number, number, since, when, ending, took, said=attempt.why)
        )

    def _ended(self, event: Event, attempt: _Attempt, ending: Ending, said: str) -> None:
        since = self.in_hand[1] if self.in_hand is not None and self.in_hand[0] == event.step else event.time
        self.in_hand = None
        took = event.evidence.get("took_s")
        took_s = float(took) if isinstance(took, int | float) else _between(since, event.time)
        pause = event.evidence.get("longest_pause_s")
        # a quorum write never takes nothing: 0 is a run without a canary
        pause_s = float(pause) if isinstance(pause, int | float) and pause > 0 else None
        gate = _text(event.evidence, "gate")
        self.tries.setdefault(event.step, []).append(
            Try(attempt.number, event.step, since, event.time, ending, took_s, said, gate, pause_s)
        )

    def _gate(self, event: Event) -> None:
        said = event.evidence
        passed = _lines(said, "passed") if event.kind == "gates" else ["preflight"] if event.kind == "preflight" else []
        for name in passed:
            count, held = self.gates.get(name, (0, 0))
            self.gates[name] = count + 1, held
        told = said.get("said")
        self.said |= told if isinstance(told, dict) else {}
        if event.kind == "preflight":
            self.said["preflight"] = _text(said, "summary")
        if event.kind == "gate":
            name = _text(said, "gate")
            count, held = self.gates.get(name, (0, 0))
            self.gates[name] = count, held + 1
            self.stops.append(
                GateStop(
                    event.time,
                    event.step,
                    name,
                    _text(said, "verdict"),
                    _text(said, "summary"),
                    _lines(said, "evidence"),
                )
            )
        if event.kind == "turned":
            self._moment(event, leader=_number(said, "leader") or None)
        elif "leader" in said:
            self.told = True
            epoch = said.get("epoch")
            self._moment(
                event,
                leader=_number(said, "leader", -1),
                epoch=epoch if isinstance(epoch, int) else None,
                config=_text(said, "config"),
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
        began, lasted = _text(event.evidence, "began"), event.evidence.get("lasted_s")
        if not isinstance(lasted, int | float) or not at(began):
            return
        found = Pause(began, float(lasted), event.step)
        for place in range(len(self.pauses) - 1, max(-1, len(self.pauses) - 50), -1):
            if abs(at(self.pauses[place].began) - at(began)) < SAME_S:
                self.pauses[place] = max(found, self.pauses[place], key=lambda p: p.lasted_s)
                return
        self.pauses.append(found)

    def _play(self, event: Event) -> None:
        if _text(event.evidence, "outcome") in ("failed", "unreachable"):
            return
        self.tasks[event.step] = self.tasks.get(event.step, 0) + 1

    def _happened(self, event: Event) -> None:
        said = event.evidence
        what = ""
        match event.kind:
            case "act":
                what, config = _text(said, "what"), _text(said, "from_config")
                if config and not self.told:
                    self._moment(event, config=config)
            case "undo" | "mend":
                what = _text(said, "what")
            case "answer":
                what = " ".join(filter(None, (_text(said, "answer"), _text(said, "why"))))
            case "hook":
                what = f"hook {_text(said, 'hook')} on {_text(said, 'host')}"
            case "backup":
                what = f"backup {_text(said, 'name')} is whole"
                self.backups.append(_text(said, "name"))
            case "play":
                if _text(said, "outcome") in ("failed", "unreachable"):
                    what = (
                        f"{_text(said, 'host')}: {_text(said, 'play')}, {_text(said, 'task')}: {_text(said, 'outcome')}"
                    )
            case "turned":
                what = f"{_text(said, 'leader')} leads now: the order of the rest is another"
            case "run.stopped" | "ledger.missed":
                what = _text(said, "why")
        if what:
            self.happenings.append(Happening(event.time, event.step, event.kind, what))

    def close(self, running: bool) -> None:
        if self.attempts:
            last = self.attempts[-1]
            if running and last.end is None:
                last.cut_off = "running"
            self._cut_off(last, last.last, Ending.IN_HAND if running else Ending.CUT_OFF)


def _step(plan: Plan, number: int, read: _Read) -> StepRow:
    step, tries = plan.steps[number - 1], read.tries.get(number, [])
    last = tries[-1] if tries else None
    return StepRow(
        number=number,
        name=step.name,
        title=step.title,
        server=step.server,
        host=step.host,
        list_after=str(step.after),
        proof=step.proof,
        may_fail_after=step.spare_after,
        ending=last.ending if last else Ending.NOT_REACHED,
        said=last.said if last else "",
        tasks=read.tasks.get(number, 0),
        tries=tries,
    )


def _verdict(run: Run, attempts: Sequence[Attempt], steps: Sequence[StepRow], pause_s: float | None) -> str:
    """One sentence."""
    done = sum(s.ending is Ending.DONE for s in steps)
    last = attempts[-1] if attempts else None
    took = seconds(round(sum(a.took_s for a in attempts), 1))
    more = f", in {len(attempts)} attempts" if len(attempts) > 1 else ""
    headline = (last.headline if last else "").rstrip(".")
    told = f": {headline}" if headline else ""
    in_hand = next((s for s in steps if s.ending in (Ending.IN_HAND, Ending.CUT_OFF, Ending.FAILED)), None)
    where = f" at step {in_hand.number} ({in_hand.title})" if in_hand else f" before step {min(run.head, len(steps))}"
    match run.state:
        case State.DONE:
            pause = f"; clients could not write for {milliseconds(pause_s)} at the longest" if pause_s else ""
            all_of = f"{done} of {len(steps)} steps" if done != len(steps) else f"all {done} steps"
            return f"Done: {run.kind} on {run.ensemble}, {all_of}, {took}{more}{pause}."
        case State.UNDONE:
            return f"Not done, and what was begun was taken back{told}."
        case State.ABORTED:
            return f"Given up{where}; {done} of {len(steps)} steps had been done{more}."
        case State.STOPPED:
            why = f": {in_hand.said.rstrip('.')}" if in_hand is not None and in_hand.said else ""
            return f"Stopped{where}{more}{why}; what it had begun stands, and zkprov resume takes it up."
        case State.RUNNING:
            return f"Not over{where}: it goes on, or was cut off without a word; zkprov status tells which."


def _artifacts(run: Run, read: _Read, journal: str) -> list[Artifact]:
    found = [
        Artifact("the journal, with every event", journal, f"zkprov history {run.id}"),
        Artifact("this report as data", "", f"zkprov report {run.id} --output json"),
        Artifact("the plan and its head, in the ensemble until the next run", "/zkprov/run"),
        Artifact("the inventory it was made with", run.inventory),
    ]
    found += [Artifact("a backup", name, "zkprov backup list") for name in dict.fromkeys(read.backups) if name]
    kept = [h.what for h in read.happenings if h.kind in ("act", "undo") and " is at " in h.what]
    return found + [Artifact("set aside, not deleted", what) for what in dict.fromkeys(kept)]


def _between(began: str, ended: str) -> float:
    """Seconds; 0 where the clock was put back."""
    return round(max(0.0, at(ended) - at(began)), 3)


def _text(of: dict[str, Value], key: str) -> str:
    value = of.get(key)
    return "" if value is None else str(value)


def _number(of: dict[str, Value], key: str, otherwise: int = 0) -> int:
    value = of.get(key)
    return value if isinstance(value, int) else otherwise


def _lines(of: dict[str, Value], key: str) -> list[str]:
    value = of.get(key)
    return [str(line) for line in value] if isinstance(value, list) else []
