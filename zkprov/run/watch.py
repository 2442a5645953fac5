"""Looks at an ensemble without changing it, again where one look cannot tell two leaders from a deposed one."""

from __future__ import annotations

import time

from zkprov.judge.health import Health, judge
from zkprov.judge.leaders import deposed_limit_s
from zkprov.judge.verdict import Purpose, Verdict
from zkprov.model.facts import Survey
from zkprov.run.world import World

AGAIN_S = 0.5


class Watcher:
    """Surveys over sessions that last. Use it with `with`."""

    def __init__(self, world: World, *, clients: bool = True) -> None:
        """`clients`: whether each server's clients are asked for."""
        self._world, self._clients = world, clients
        self._last: Survey | None = None
        self._doubted_since: float | None = None

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._world.close()

    def once(self) -> Health:
        """One look."""
        return self.judged(self._world.survey(clients=self._clients))

    def judged(self, survey: Survey) -> Health:
        """What was seen just now. Several leaders are remembered, so that the next look knows for how long."""
        now = time.monotonic()
        doubted = 0.0 if self._doubted_since is None else now - self._doubted_since
        health = judge(survey, Purpose.LOOK, earlier=self._last, doubted_s=doubted)
        several = sum(not x.stranger for x in health.leaders) > 1
        self._doubted_since = (self._doubted_since or now) if several else None
        self._last = survey
        return health

    def settled(self) -> Health:
        """Looks until it is told whether there are two leaders, for at most (syncLimit + 1) × tickTime."""
        health = self.once()
        deadline = time.monotonic() + deposed_limit_s(health.picture.survey) + 2 * AGAIN_S
        while self.doubts(health) and time.monotonic() < deadline:
            time.sleep(AGAIN_S)
            health = self.once()
        return health

    def doubts(self, health: Health) -> bool:
        """Whether another look would tell more: there are several leaders, and one of them may not have noticed yet."""
        return self._doubted_since is not None and health.gate("one leader").verdict is Verdict.UNKNOWN
