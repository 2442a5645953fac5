"""What `report` says of a run, in full: as it stands on a terminal and in a ticket."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cases.cases import check
from tests.unit.plans_made import plan
from tests.unit.runs_made import Told
from zkprov.plan.steps import Options
from zkprov.report.run_reading import run_report
from zkprov.report.run_text import markdown, show
from zkprov.run.journal import State

FILES = sorted((Path(__file__).parent / "report").glob("*.txt"))


class Scene:
    """`begin WHO`, `step 2`, `gates 3 7 100000000`, `pause 0.48`, `done SAID`, `failed GATE WHY`, `end STATE CODE HEADLINE`, …"""

    def __init__(self, overrides: dict[str, str]) -> None:
        self.told = Told(of=plan(options=Options(overrides=overrides, reason="" if overrides else "capacity")))

    def say(self, word: str, rest: str) -> None:
        told, first, after = self.told, rest.partition(" ")[0], rest.partition(" ")[2]
        words: dict[str, Callable[[], object]] = {
            "begin": lambda: told.begin(rest),
            "resume": lambda: told.resume(int(first), after),
            "abort": lambda: self._abort(int(first), after),
            "step": lambda: told.step_begun(int(first)),
            "gates": lambda: self._gates(rest.split()),
            "gate": lambda: told.say("gate", gate=first, verdict=after.split()[0], summary=after.partition(" ")[2]),
            "pause": lambda: told.pause(float(first)),
            "done": lambda: told.step_done(rest, pause_s=0.0 if "unmeasured" in rest else 0.05),
            "failed": lambda: told.say("step.failed", step="", gate=first, why=after),
            "act": lambda: told.say("act", what=rest, from_config="200000003"),
            "undo": lambda: told.say("undo", what=rest),
            "stop": lambda: told.say("run.stopped", why=rest),
            "end": lambda: self._end(State(first), *after.split(" ", 1)),
        }
        words[word]()

    def _abort(self, head: int, who: str) -> None:
        self.told.step = 0
        self.told.say("run.aborting", 600.0, head=head, by=who)

    def _gates(self, words: list[str]) -> None:
        if words == ["of", "old"]:
            self.told.gates(old=True)
            return
        leader, epoch, config = words
        self.told.gates(leader=None if leader == "nobody" else int(leader), epoch=int(epoch), config=config)

    def _end(self, state: State, code: str, headline: str) -> None:
        stands = "the list is {1,2,3,4}"
        following = [] if code == "0" else ["zkprov status", "zkprov resume"]
        self.told.ended(state, int(code), headline, stands=stands, next=following, evidence=[])


def reported(lines: tuple[str, ...]) -> str:
    """What happened, line by line; then `terminal` or `ticket`, with the state and the head that the record has."""
    *given, last = lines
    overrides = {x.split()[1]: x.split(" ", 2)[2] for x in given if x.startswith("override ")}
    scene = Scene(overrides)
    for line in given:
        if not line.startswith("override "):
            scene.say(*(line.split(" ", 1) if " " in line else (line, "")))
    how, state, head = last.split()
    made = run_report(scene.told.record(State(state), int(head)), scene.told.events, "journal.db")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        show(made) if how == "terminal" else print(markdown(made))
    return "\n".join(x.rstrip() for x in out.getvalue().splitlines() if x.strip())


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_shown(file: Path) -> None:
    check(file, reported)


def test_there_are_cases() -> None:
    assert len(FILES) >= 2
