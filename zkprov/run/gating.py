"""Waits for gates to pass: survey, judge, again, until enough good samples stand in a row or time runs out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Set
from typing import NamedTuple

from zkprov.judge.health import Condition, Health, judge
from zkprov.judge.verdict import GateResult, Purpose, Verdict, first_stop
from zkprov.model.facts import Survey
from zkprov.model.members import Members
from zkprov.model.problems import Interrupted
from zkprov.observe.again import with_one_anew
from zkprov.plan.steps import Options
from zkprov.run.clock import Clock
from zkprov.run.events import Events
from zkprov.run.world import World

POLL_S = 0.05
"""Between two looks while a fact is waited for."""
KEPT_S = 0.5
"""How long a look may be kept for the next gate: what it showed is no older than with a look that takes as long."""


class Look(NamedTuple):
    """A survey, and when it was begun and ended, in seconds of the monotonic clock. Of one in two parts both times are the older part's;
    `latest` is when the younger was begun.
    """

    survey: Survey
    began: float
    ended: float
    latest: float


class GateFailed(Exception):
    """A gate that a step needs did not pass in time."""

    def __init__(self, gate: GateResult, server: int | None = None) -> None:
        super().__init__(gate.summary)
        self.gate, self.server = gate, server


class Gatekeeper:
    """The looks of one run, each judged for a change; remembers the sample before, and for how long two leaders have been declared."""

    def __init__(self, world: World, options: Options, events: Events, clock: Clock, stop: threading.Event) -> None:
        self._world, self._options, self._events, self._clock, self._stop = world, options, events, clock, stop
        self._doubted_since: float | None = None
        self._last: Survey | None = None
        self._before: Survey | None = None
        self._kept: Look | None = None
        self._judged: Look | None = None

    def look(self) -> Look:
        began = self._clock.monotonic()
        survey = self._world.survey(clients=False)
        return Look(survey, began, self._clock.monotonic(), began)

    def look_again(self, earlier: Look | None, name: str) -> Look:
        """`earlier` with the host `name` as it is now; a whole look where that one is too old to be kept once the host has answered.

        So that all others are looked at while one server starts or changes its role, and it alone once it serves.
        """
        if earlier is not None and self._may_be_kept(earlier):
            began = self._clock.monotonic()
            survey = self._world.survey([name], clients=False)
            both = with_one_anew(earlier.survey, survey, self._clock.monotonic() - earlier.began)
            if both is not None and self._may_be_kept(earlier):
                return Look(both, earlier.began, earlier.ended, began)
        return self.look()

    def keep(self, look: Look) -> None:
        """This look is the next one to be judged, unless more than `KEPT_S` pass first. No act is to come in between."""
        self._kept = look

    def keep_judged(self) -> None:
        """The look that was judged last is the next one as well: nothing was done since."""
        self._kept = self._judged

    @property
    def looked_at(self) -> float:
        """When the look that was judged last was begun, by the monotonic clock."""
        return self._judged.began if self._judged else 0.0

    def _may_be_kept(self, look: Look) -> bool:
        return self._clock.monotonic() - look.ended <= KEPT_S

    def health(self, excused: Set[int] = frozenset()) -> Health:
        """One sample, judged for a change; remembers for how long two leaders have been declared."""
        kept, self._kept = self._kept, None
        self._judged = kept if kept is not None and self._may_be_kept(kept) else self.look()
        survey = self._judged.survey
        earlier = self._before if survey is self._last else self._last
        doubted = 0.0 if self._doubted_since is None else self._clock.monotonic() - self._doubted_since
        health = judge(survey, Purpose.CHANGE, earlier=earlier, doubted_s=doubted, excused=excused)
        several = sum(not x.stranger for x in health.leaders) > 1
        self._doubted_since = (self._doubted_since or self._clock.monotonic()) if several else None
        self._before, self._last = earlier, survey
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
        while True:
            health = self.health(excused)
            failing = first_stop(health.gates) or _expected(health, expect) or (also(health) if also else None)
            if failing is None:
                good += 1
                if samples > 1:
                    self._events.emit("sample", good=good, of=samples, evidence=[f"{len(health.gates)} gates pass"])
                if good >= samples:
                    self._events.emit("gates", passed=[g.gate for g in health.gates if g.verdict is Verdict.PASS])
                    return health
            else:
                good = 0
                if failing.summary != told:
                    told = failing.summary
                    self._events.emit("gate", gate=failing.gate, verdict=str(failing.verdict), summary=failing.summary)
                if health.condition is Condition.UNSAFE or self._clock.monotonic() > deadline:
                    raise GateFailed(failing)
            # of each server, also of one that was looked at last, samples are an interval apart
            taken = self._clock.monotonic() - (self._judged.latest if self._judged else 0.0)
            self.pause(max(0.0, self._options.interval_s - taken) if good else POLL_S)

    def pause(self, wait_s: float) -> None:
        """Waits; raises `Interrupted` as soon as a signal asks the run to stop."""
        if self._clock.wait(self._stop, wait_s):
            raise Interrupted("stopped by a signal", remedy="zkprov resume")


def _expected(health: Health, expect: Members | None) -> GateResult | None:
    live = health.picture.live
    if expect is None or (live is not None and live.same_list(expect)):
        return None
    return GateResult("same config", Verdict.FAIL, f"the list is {live}, expected {expect}", remedy="zkprov status")
