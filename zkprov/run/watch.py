"""Looks at an ensemble without changing it, again where one look cannot tell two leaders from a deposed one."""

from __future__ import annotations

import time

from zkprov.judge.health import Condition, Health, judge
from zkprov.judge.incidents import Shape
from zkprov.judge.leaders import deposed_limit_s
from zkprov.judge.lost_history import Confirmed
from zkprov.judge.stuck import SHUT_S
from zkprov.judge.verdict import Purpose, Verdict
from zkprov.model.facts import Mode, Survey
from zkprov.model.tree import Compared
from zkprov.run.world import World

AGAIN_S = 0.5
LOOKS = 3
"""After which what is suspected is told as it is."""
STILL_S = 10.0
"""For so long nothing may have been written: then the leader is asked for a new session, which it cannot open without its quorum."""


class Watcher:
    """Surveys over sessions that last. Use it with `with`."""

    def __init__(self, world: World, *, clients: bool = True) -> None:
        """`clients`: whether each server's clients are asked for."""
        self._world, self._clients = world, clients
        self._last: Survey | None = None
        self._doubted_since: float | None = None
        self._confirmed: Confirmed | None = None
        self._shut_since: float | None = None
        self._still: tuple[str, int, float] = "", 0, 0.0

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._world.close()

    def once(self) -> Health:
        """One look."""
        return self.judged(self._world.survey(clients=self._clients))

    def with_trees(self, health: Health) -> tuple[Health, Compared]:
        """The same look, judged anew with what a comparison of the members' trees comes to."""
        from zkprov.run.trees import compare

        compared = compare(self._world, health.picture)
        return self.judged(health.picture.survey, compared), compared

    def judged(self, survey: Survey, trees: Compared | None = None) -> Health:
        """What was seen just now. Several leaders are remembered, so that the next look knows for how long."""
        now = time.monotonic()
        doubted = 0.0 if self._doubted_since is None else now - self._doubted_since
        health = judge(
            survey,
            Purpose.LOOK,
            earlier=self._last,
            doubted_s=doubted,
            confirmed=self._confirmed,
            commits=self._commits(survey, now),
            trees=trees,
            shut_s=0.0 if self._shut_since is None else now - self._shut_since,
        )
        several = sum(not x.stranger for x in health.leaders) > 1
        self._doubted_since = (self._doubted_since or now) if several else None
        self._last = survey
        stuck = health.suspected or any(i.shape is Shape.CANNOT_COMMIT for i in health.incidents)
        self._shut_since = (self._shut_since or now - survey.took) if stuck else None
        self._keep(health)
        return health

    def _keep(self, health: Health) -> None:
        """What was seen while all was well: later looks go on from there."""
        ours = [x for x in health.leaders if not x.stranger]
        well = health.condition in (Condition.SAFE, Condition.DEGRADED) and not health.suspected
        if not (well and len(ours) == 1 and ours[0].established):
            return
        facts = health.picture.survey.by_name(ours[0].name)
        zxid = facts.srvr.value.zxid if facts and facts.srvr.value else 0
        self._confirmed = Confirmed(health.picture.survey, max(zxid, self._confirmed.zxid if self._confirmed else 0))

    def _commits(self, survey: Survey, now: float) -> bool | None:
        """Whether the one that leads can write, asked only where nothing was written for `STILL_S`; None where it was not."""
        leading = [f for f in survey.servers if f.srvr.value and f.srvr.value.mode is Mode.LEADER]
        if len(leading) != 1 or leading[0].srvr.value is None or leading[0].client is None:
            return None
        name, zxid = leading[0].name, leading[0].srvr.value.zxid
        if self._still[:2] != (name, zxid):
            self._still = name, zxid, now
            return None
        return self._world.opens_session(leading[0].client) if now - self._still[2] >= STILL_S else None

    def settled(self) -> Health:
        """Looks until it is told whether there are two leaders, for at most (syncLimit + 1) × tickTime; once more, or twice, where one look
        cannot tell an incident from an election.
        """
        health = self.once()
        deadline = time.monotonic() + deposed_limit_s(health.picture.survey) + 2 * AGAIN_S
        looks = 1
        told = time.monotonic() + 2 * SHUT_S
        while (
            self.doubts(health) or (health.suspected and (looks < LOOKS or time.monotonic() < told))
        ) and time.monotonic() < deadline:
            time.sleep(AGAIN_S)
            health, looks = self.once(), looks + 1
        return health

    def doubts(self, health: Health) -> bool:
        """Whether another look would tell more: there are several leaders, and one of them may not have noticed yet."""
        return self._doubted_since is not None and health.gate("one leader").verdict is Verdict.UNKNOWN
