"""Waits for gates to pass: survey, judge, again, until enough good samples stand in a row or time runs out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence, Set

from zkprov.judge.health import Condition, Health, judge
from zkprov.judge.verdict import GateResult, Purpose, Verdict, first_stop
from zkprov.model.facts import Survey
from zkprov.model.members import Members
from zkprov.model.problems import Interrupted
from zkprov.plan.steps import Options
from zkprov.run.clock import Clock
from zkprov.run.events import Events, Value
from zkprov.run.world import World

POLL_S = 0.05
"""Between two looks while a fact is waited for."""
KEPT_S = 0.5
"""How long a look may be kept for the next gate: what it showed is no older than with a look that takes as long."""
MOST_EVIDENCE = 20
"""Lines of a gate's evidence in one event."""


class GateFailed(Exception):
    """A gate that a step needs did not pass in time."""

    def __init__(self, gate: GateResult, server: int | None = None) -> None:
        super().__init__(gate.summary)
        self.gate, self.server = gate, server


class Gatekeeper:
    """The looks of one run, each judged for a change; remembers the sample before, and for how long two leaders have been declared."""

    def __init__(
        self,
        world: World,
        options: Options,
        events: Events,
        clock: Clock,
        stop: threading.Event,
        unneeded: Set[str] = frozenset(),
    ) -> None:
        self._world, self._options, self._events, self._clock, self._stop = world, options, events, clock, stop
        self._doubted_since: float | None = None
        self._last: Survey | None = None
        self._before: Survey | None = None
        self._kept: tuple[Survey, float] | None = None
        self._unneeded = unneeded
        self._said: dict[str, str] = {}
        self.leaving: Set[int] = frozenset()
        """Who leaves: they need never answer (R8)."""
        self.releases: Mapping[int, Set[str]] | None = None
        """What each member may run just now, while that changes; None where all are to run the same."""
        self.looked_for = 0.0
        """How long that look took, in seconds."""
        self.looked_at = 0.0
        """When the look that was judged last was begun, by the monotonic clock."""
        self.bad: GateResult | None = None
        """What failed last while `passed` waited; None where all passed at once."""
        self.bad_s = 0.0
        """For how long it did, from the first bad sample to the good one."""

    def look(self, names: Sequence[str] | None = None) -> Survey:
        return self._world.survey(names, clients=False)

    def keep(self, survey: Survey, ended: float | None = None) -> None:
        """This look is the next one to be judged, unless more than `KEPT_S` pass first. No act is to come in between.

        `ended`: when it ended by the monotonic clock, if not now.
        """
        self._kept = survey, self._clock.monotonic() if ended is None else ended

    def _next(self) -> tuple[Survey, float]:
        """The look to be judged, and when it was begun by the monotonic clock."""
        now = self._clock.monotonic()
        kept, self._kept = self._kept, None
        return (kept[0], kept[1] - kept[0].took) if kept and now - kept[1] <= KEPT_S else (self.look(), now)

    def health(self, excused: Set[int] = frozenset()) -> Health:
        """One sample, judged for a change; remembers for how long two leaders have been declared."""
        return self._judged(excused)[0]

    def _judged(self, excused: Set[int]) -> tuple[Health, float]:
        survey, began = self._next()
        earlier = self._before if survey is self._last else self._last
        doubted = 0.0 if self._doubted_since is None else self._clock.monotonic() - self._doubted_since
        health = judge(
            survey,
            Purpose.CHANGE,
            earlier=earlier,
            doubted_s=doubted,
            excused=excused | self.leaving,
            releases=self.releases,
        )
        several = sum(not x.stranger for x in health.leaders) > 1
        self._doubted_since = (self._doubted_since or self._clock.monotonic()) if several else None
        self._before, self._last = earlier, survey
        self.looked_at, self.looked_for = began, survey.took
        return health, began

    def again(self) -> Health:
        """Once more those that answered in the look before: who is silent makes a whole look as long as one may take."""
        names = [s.name for s in self._last.servers if s.up] if self._last else None
        began = self._clock.monotonic()
        health = judge(self.look(names), Purpose.CHANGE, excused=self.leaving, releases=self.releases)
        self.looked_at = began
        return health

    def passed(
        self,
        *,
        samples: int = 1,
        expect: Members | None = None,
        excused: Set[int] = frozenset(),
        also: Callable[[Health], GateResult | None] | None = None,
    ) -> Health:
        """Waits until all gates pass in `samples` surveys in a row, begun an interval apart; `excused` need not answer just now.

        Raises `GateFailed` when time runs out, at once when unsafe.
        """
        deadline = self._clock.monotonic() + self._options.step_timeout_s
        good, told = 0, ""
        self.bad, self.bad_s, bad_since = None, 0.0, self._clock.monotonic()
        while True:
            health, began = self._judged(excused)
            failing = self.first_stop(health.gates) or _expected(health, expect) or (also(health) if also else None)
            if failing is None:
                good += 1
                self.bad_s = began - bad_since if self.bad else 0.0
                if samples > 1:
                    every = [f"{len(health.gates)} gates pass"]
                    took = round(self.looked_for, 3)
                    self._events.emit("sample", good=good, of=samples, took_s=took, evidence=every, **moment(health))
                if good >= samples:
                    passed = [g for g in health.gates if g.verdict is Verdict.PASS]
                    said = self._said_anew(passed)
                    self._events.emit("gates", passed=[g.gate for g in passed], said=said, **moment(health))
                    return health
            else:
                good, bad_since = 0, bad_since if self.bad else began
                self.bad = failing
                if failing.summary != told:
                    told = failing.summary
                    figures = [str(e) for e in failing.evidence[:MOST_EVIDENCE]]
                    self._events.emit(
                        "gate",
                        gate=failing.gate,
                        verdict=str(failing.verdict),
                        summary=failing.summary,
                        evidence=figures,
                        **moment(health),
                    )
                if health.condition is Condition.UNSAFE or self._clock.monotonic() > deadline:
                    raise GateFailed(failing)
            taken = self._clock.monotonic() - began
            self.pause(max(0.0, self._options.interval_s - taken) if good else POLL_S)

    def _said_anew(self, passed: Sequence[GateResult]) -> dict[str, str]:
        """What the gates answer that is not what they said before: looks are many, and most say the same."""
        said = {g.gate: g.summary for g in passed if self._said.get(g.gate) != g.summary}
        self._said |= said
        return said

    def first_stop(self, gates: Sequence[GateResult]) -> GateResult | None:
        """The gate that stops the run, of those that it needs."""
        return first_stop([g for g in gates if g.gate not in self._unneeded])

    def pause(self, wait_s: float) -> None:
        """Waits; raises `Interrupted` as soon as a signal asks the run to stop."""
        if self._clock.wait(self._stop, wait_s):
            raise Interrupted("stopped by a signal", remedy="zkprov resume")


def moment(health: Health) -> dict[str, Value]:
    """For events: who leads, in which epoch, and the config version (hex) as this look shows them; None where it does not tell."""
    ours = [x for x in health.leaders if not x.stranger]
    leader, live = ours[0] if len(ours) == 1 else None, health.picture.live
    return {
        "leader": leader.id if leader else None,
        "epoch": leader.epoch if leader else None,
        "config": live.version_hex if live else None,
    }


def _expected(health: Health, expect: Members | None) -> GateResult | None:
    live = health.picture.live
    if expect is None or (live is not None and live.same_list(expect)):
        return None
    return GateResult("same config", Verdict.FAIL, f"the list is {live}, expected {expect}", remedy="zkprov status")
