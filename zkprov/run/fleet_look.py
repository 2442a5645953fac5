"""Looks at many ensembles at once: all servers of all of them on one event loop, and then each is judged."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence

import msgspec

from zkprov.judge.health import Health
from zkprov.judge.leaders import deposed_limit_s
from zkprov.model.problems import BadInput, Problem
from zkprov.observe.dial import MAX_SOCKETS, sockets_at_once
from zkprov.observe.fleet import Found
from zkprov.observe.sessions import Loop
from zkprov.observe.survey import take_surveys
from zkprov.run.watch import AGAIN_S, Watcher
from zkprov.run.world import World

SOCKETS_EACH = 4
"""Of a server: a session, a connection to its AdminServer, and two questions."""


class Seen(msgspec.Struct, frozen=True):
    """One ensemble, judged; or why it could not be looked at."""

    name: str
    health: Health | None = None
    wrong: Problem | None = None


class _Look:
    """An ensemble that is being looked at."""

    def __init__(self, name: str, world: World) -> None:
        self.name, self.world = name, world
        self.watcher = Watcher(world, clients=False)
        self.health: Health | None = None
        self.until = 0.0
        """Until when two leaders may be a moment's matter; monotonic seconds."""

    def settled(self) -> bool:
        """Whether another look would tell no more."""
        assert self.health is not None  # noqa: S101 — it was judged just now
        if not self.until:
            self.until = time.monotonic() + deposed_limit_s(self.health.picture.survey) + 2 * AGAIN_S
        return not self.watcher.doubts(self.health) or time.monotonic() > self.until


def look_at(ensembles: Sequence[Found], timeout_s: float = 3.0) -> tuple[Seen, ...]:
    """As `_look_at`, of all at once as far as this machine's limit on open files goes; else of as many as it allows, and then the next."""
    seen: list[Seen] = []
    for wave in waves(ensembles, sockets_at_once(MAX_SOCKETS + SOCKETS_EACH * _servers(ensembles))):
        seen += _look_at(wave, timeout_s)
    return tuple(seen)


def waves(ensembles: Sequence[Found], sockets: int) -> list[list[Found]]:
    """Who is looked at together, in the order in which they were given; one ensemble at least."""
    found: list[list[Found]] = [[]]
    for ensemble in ensembles:
        if found[-1] and SOCKETS_EACH * (_servers(found[-1]) + _servers([ensemble])) > sockets:
            found.append([])
        found[-1].append(ensemble)
    return found


def _servers(ensembles: Sequence[Found]) -> int:
    return sum(len(e.inventory.hosts) for e in ensembles if e.inventory)


def _look_at(ensembles: Sequence[Found], timeout_s: float) -> tuple[Seen, ...]:
    """All of them, each looked at again for as long as it may have a second leader or not; in the order in which they were given.

    Clients are not asked for.
    An ensemble that cannot be looked at (its certificates, say) is told, and the others are looked at.
    """
    servers = _servers(ensembles)
    loop = Loop(servers + 1)
    looks: dict[str, _Look] = {}
    wrong: dict[str, Problem] = {e.name: e.wrong for e in ensembles if e.wrong is not None}
    gc.disable()  # with ten thousand questions under way it would look at all of them again and again: half of the time
    try:
        for ensemble in ensembles:
            if ensemble.inventory is not None:
                try:
                    looks[ensemble.name] = _Look(
                        ensemble.name, World(ensemble.inventory, timeout_s=timeout_s, loop=loop)
                    )
                except BadInput as bad:
                    wrong[ensemble.name] = bad
        pending = list(looks.values())
        while pending:
            pending = _round(pending, loop, timeout_s, wrong)
    finally:
        gc.enable()
        # all sessions at once; then what each world has besides
        loop.close(_end(list(looks.values())))
        for look in looks.values():
            look.world.close()
    seen = {name: look.health for name, look in looks.items()}
    return tuple(Seen(e.name, seen.get(e.name), wrong.get(e.name)) for e in ensembles)


def _round(pending: Sequence[_Look], loop: Loop, timeout_s: float, wrong: dict[str, Problem]) -> list[_Look]:
    """One look at each; who is to be looked at once more. All have answered before the first is judged: judging takes the processor."""
    surveys = take_surveys([look.world.asked(clients=False) for look in pending], loop, timeout_s=timeout_s)
    at_once: list[_Look] = []
    later: list[_Look] = []
    for look, survey in zip(pending, surveys, strict=True):
        if look.world.names_more(survey):
            at_once.append(look)
            continue
        try:
            look.health = look.watcher.judged(survey)
        except Exception as failed:  # a mistake of ours in one is no reason to show nothing of the others
            wrong[look.name] = Problem(f"zkprov itself failed: {type(failed).__name__}: {failed}")
            continue
        if not look.settled():
            later.append(look)
    if later and not at_once:
        time.sleep(AGAIN_S)
    return at_once + later


async def _end(looks: Sequence[_Look]) -> None:
    await asyncio.gather(*(look.world.sessions.end_all() for look in looks))
