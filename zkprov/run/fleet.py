"""A change of many ensembles: each is a zkprov of its own, which plans, and later carries out the very plan that was approved."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from zkprov.model.problems import BadInput
from zkprov.plan.fleet import FleetWish, may_begin
from zkprov.plan.steps import Plan, Refusal
from zkprov.run.children import GIVE_UP_S, Child, end_all
from zkprov.run.events import Event

EVERY_S = 0.05
NOT_BEGUN = -1


class Planned(msgspec.Struct, frozen=True):
    """What became of an ensemble's plan. `code`: 0 where there is one, or nothing to do (no `plan` then). `file`: where it lies."""

    ensemble: str
    code: int
    plan: Plan | None = None
    file: str = ""
    refusal: Refusal | None = None
    headline: str = ""
    next: tuple[str, ...] = ()


class End(msgspec.Struct, frozen=True):
    """What became of one ensemble. `code`: its exit code, −1 where it was not begun. `run`: its run's id, where there was one."""

    ensemble: str
    code: int
    took_s: float = 0.0
    run: str = ""
    headline: str = ""
    next: tuple[str, ...] = ()


class Fleet:
    """Zkprovs for the ensembles of one change; what they write lies in `folder`, which is private. Use it with `with`."""

    def __init__(self, folder: Path, stop: threading.Event) -> None:
        self._folder, self._stop = folder, stop
        self._children: list[Child] = []
        self.until: float | None = None
        """When nobody is begun any more; seconds since 1970."""
        self.on_event: Callable[[str, Event], None] = lambda _ensemble, _event: None

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        end_all([child for child in self._children if child.code is None])

    def _start(self, arguments: Sequence[str]) -> Child:
        child = Child(arguments, self._folder / f"{len(self._children)}")
        self._children.append(child)
        return child

    def plans(self, names: Sequence[str], arguments: Callable[[str, Path], list[str]]) -> dict[str, Planned]:
        """A plan of each, some at once. `arguments` of the command that plans: by ensemble and where the plan is to lie.

        Raises `BadInput` as soon as one is told that it was called wrongly: then nothing is to be touched anywhere.
        """
        waiting, running = list(names), dict[str, Child]()
        files = {name: self._folder / f"plan-{number}.json" for number, name in enumerate(names)}
        planned: dict[str, Planned] = {}
        while waiting or running:
            while waiting and len(running) < max(2, os.cpu_count() or 1):
                name = waiting.pop(0)
                running[name] = self._start(arguments(name, files[name]))
            time.sleep(EVERY_S)
            for name, child in [(n, c) for n, c in running.items() if c.code is not None]:
                del running[name]
                planned[name] = _planned(name, child, files[name])
                if child.code == 2:
                    what = planned[name].headline.removeprefix("error: ")
                    remedy = "; ".join(planned[name].next) or "leave it out with --limit; nothing was touched"
                    raise BadInput(what, place=name, remedy=remedy)
        return {name: planned[name] for name in names}

    def carry_out(
        self,
        canaries: Sequence[str],
        others: Sequence[str],
        wish: FleetWish,
        arguments: Callable[[str, Path], list[str]],
        planned: dict[str, Planned] | None = None,
    ) -> list[End]:
        """All that may be begun, in the order in which they ended. `arguments`: by ensemble and where its events are to lie.

        `planned`: those without a plan end with the code that they had for it, when it is their turn.
        """
        ends: list[End] = []
        running: dict[str, Child] = {}
        told_at = 0.0
        while True:
            ended = {end.ensemble: end.code for end in ends}
            if self._stop.is_set() and not told_at:
                told_at = time.monotonic()
                for child in running.values():
                    child.stop()
            if told_at and time.monotonic() > told_at + GIVE_UP_S:
                for child in running.values():
                    child.kill()
            late = self.until is not None and time.time() >= self.until
            begin = () if told_at or late else may_begin(canaries, others, ended, running.keys(), wish)
            for name in begin:
                of = planned[name] if planned is not None else None
                if of is not None and (of.code or of.plan is None):
                    ends.append(End(name, of.code, headline=of.headline, next=of.next))
                else:
                    events = self._folder / f"{len(self._children)}" / "events"
                    try:
                        running[name] = self._start(arguments(name, events))
                    except BadInput as wrong:
                        ends.append(End(name, 1, headline=str(wrong), next=(wrong.remedy,)))
            if not running and not begin:
                return ends
            if running:
                time.sleep(EVERY_S)
            for name, child in list(running.items()):
                over = child.code is not None
                for event in child.events():
                    self.on_event(name, event)
                if over:
                    del running[name]
                    ends.append(_end(name, child))


def _planned(name: str, child: Child, file: Path) -> Planned:
    said, code = child.said(), child.code or 0
    if said.refusal is not None:
        following = tuple(command or what for command, what in said.refusal.next)
        return Planned(name, code, refusal=said.refusal, headline=str(said.refusal), next=following)
    if code:
        headline, following = child.complaint()
        return Planned(name, code, headline=headline, next=following)
    if said.plan is None or not said.plan.steps:
        return Planned(name, 0, headline="nothing to do")
    return Planned(name, 0, said.plan, str(file), headline=f"{len(said.plan.steps)} steps")


def _end(name: str, child: Child) -> End:
    said, code = child.said(), child.code or 0
    took = round(child.took_s, 1)
    if child.killed_by:
        what = f"ended by signal {child.killed_by}; what it had begun stands"
        return End(name, 7, took, headline=what, next=("zkprov resume",))
    if said.result is not None:
        return End(name, code, took, said.result.run, said.result.headline, said.result.next)
    if said.refusal is not None:
        following = tuple(command or what for command, what in said.refusal.next)
        return End(name, code, took, headline=str(said.refusal), next=following)
    if code:
        headline, following = child.complaint()
        return End(name, code, took, headline=headline, next=following)
    return End(name, code, took, headline="done")
