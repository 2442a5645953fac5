"""A run's record and its events, for tests of what reads them: whole, of an older release, cut off, or as hostile as can be."""

from __future__ import annotations

from typing import Any

from tests.unit.plans_made import plan
from zkprov.plan.steps import Plan
from zkprov.run.events import Event, Value, rfc3339
from zkprov.run.journal import Run, State

BEGAN = 1_795_903_200.0  # 2026-11-28T22:00:00Z
GATES = {"one leader": "one leader: 3 (epoch 7, followed by 1, 2)", "synced": "every member has what the leader has"}


class Told:
    """Events, one after the other, on a clock that is put on by hand."""

    def __init__(self, run: str = "4f1c00", of: Plan | None = None) -> None:
        self.plan = of or plan(run)
        self.run, self.time, self.step = run, BEGAN, 0
        self.events: list[Event] = []

    def say(self, kind: str, after_s: float = 0.1, **evidence: Value) -> Told:
        self.time += after_s
        self.events.append(Event(rfc3339(self.time), self.run, self.step, kind, evidence))
        return self

    def begin(self, who: str = "you@here") -> Told:
        self.step = 0
        titles = [s.title for s in self.plan.steps]
        return self.say(
            "run.begun", plan=self.run, kind_of=self.plan.kind, who=who, ensemble=self.plan.ensemble,
            base=self.plan.base.version_hex, steps=len(titles), titles=titles,
        )  # fmt: skip

    def resume(self, head: int, who: str = "other@there", after_s: float = 60.0) -> Told:
        self.step = 0
        return self.say("run.resumed", after_s, head=head, attempt=1, first_by="you@here").begin(who)

    def step_begun(self, number: int) -> Told:
        self.step = number
        step = self.plan.steps[number - 1]
        return self.say("step.begun", step=step.name, title=step.title, host=step.host)

    def gates(
        self, *, leader: int | None = 3, epoch: int | None = 7, config: str = "100000000", old: bool = False
    ) -> Told:
        if old:
            return self.say("gates", passed=list(GATES))
        return self.say("gates", passed=list(GATES), said=dict(GATES), leader=leader, epoch=epoch, config=config)

    def pause(self, lasted_s: float, ago_s: float = 0.5) -> Told:
        return self.say("pause", 0.0, began=rfc3339(self.time - ago_s), lasted_s=lasted_s)

    def step_done(self, said: str = "voting", took_s: float = 1.25, pause_s: float = 0.05) -> Told:
        name = self.plan.steps[self.step - 1].name
        return self.say("step.done", took_s, step=name, said=said, took_s=took_s, longest_pause_s=pause_s)

    def ended(self, state: State = State.DONE, code: int = 0, headline: str = "done: {1,2,3,4}", **more: Value) -> Told:
        self.step = 0
        said: dict[str, Value] = {"state": str(state), "exit_code": code, "headline": headline}
        return self.say("run.ended", **said, **more)

    def record(self, state: State = State.DONE, head: int = 4, **changed: Any) -> Run:
        values: dict[str, Any] = {
            "id": self.run, "ensemble": self.plan.ensemble, "kind": self.plan.kind, "inventory": "hosts.yml", "plan": self.plan,
            "who": "you@here", "began": BEGAN, "ended": self.time, "state": state, "head": head, "attempt": 0,
        }  # fmt: skip
        return Run(**{**values, **changed})


def whole(told: Told | None = None, *, old: bool = False) -> Told:
    """Four steps, done; the leader becomes another in the third. `old`: as a release told it that had fewer events."""
    told = (told or Told()).begin()
    for number in range(1, 5):
        told.step_begun(number)
        leader, epoch, config = (3, 7, "100000000") if number < 3 else (1, 8, "200000003")
        told.gates(leader=leader, epoch=epoch, config=config, old=old)
        if number == 3:
            told.say("act", what="reconfig joining server.4=… from config 100000000", from_config="100000000")
            told.say("answer", answer="applied", why="config 200000003")
        if not old:
            told.pause(0.483 if number == 3 else 0.02)
        told.step_done(pause_s=0.483 if number == 3 else 0.02)
    more: dict[str, Value] = (
        {} if old else {"evidence": [], "undone": "", "stands": "the list is {1,2,3,4}", "next": []}
    )
    return told.ended(**more)
