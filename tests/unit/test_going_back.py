"""The way back to an older release: what may go back, and over whom an abort does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.facts_made import Made, healthy, inventory
from tests.unit.test_upgrade import ALL, looking, on, planned
from zkprov.judge.health import judge
from zkprov.judge.releases import running
from zkprov.judge.verdict import Purpose
from zkprov.model.problems import NotHealthy, Problem
from zkprov.model.release import Release, may_go_back, may_step
from zkprov.plan.downgrade import DowngradeWish, plan_downgrade
from zkprov.plan.steps import DOWNGRADE, UPGRADE, Options, Plan, Refusal, StepKind
from zkprov.run import going_back
from zkprov.run.journal import State
from zkprov.run.result import Result


def downgrade(made: Made, target: str) -> Plan | Refusal | None:
    picture = made.health().picture
    told = {i: frozenset({str(r)}) for i, r in running(picture).items()}
    wish = DowngradeWish(
        "4f1c", tuple(f.name for f in picture.members), {}, "", Options(settle_s=0.0, reason="why"), 0.0, "op@host", "0.1.0",
        target=Release.parse(target), laid={f"zk{i}": (*ALL, "3.9.1") for i in range(1, 21)},
    )  # fmt: skip
    return plan_downgrade(judge(picture.survey, Purpose.CHANGE, releases=told), inventory(20), wish)


@given(st.sampled_from(ALL), st.sampled_from((*ALL, "3.4.14")))
def test_the_way_back_is_a_step_that_was_a_step_forward(new: str, old: str) -> None:
    made = downgrade(on(healthy(3), new), old)
    if new == old:
        assert made is None
    elif Release.parse(old).has_reconfig and may_step(Release.parse(old), Release.parse(new)):
        assert isinstance(made, Plan) and made.kind == DOWNGRADE and made.rolls
        assert [s.release for s in made.steps if s.kind is StepKind.RESTART] == [old] * 3
        assert made.steps[-1].server == 3 and set(made.runs(len(made.steps) + 1).values()) == {old}
    else:
        assert isinstance(made, Refusal) and made.exit_code == 3
        for command, _ in made.next:
            nearer = command.partition("downgrade --to ")[2].split(" ")[0]
            assert not nearer or may_go_back(Release.parse(new), Release.parse(nearer)).allowed


def test_those_that_went_back_already_stay() -> None:
    made = downgrade(on(on(healthy(3), "3.9.5"), "3.8.6", 2), "3.8.6")
    assert isinstance(made, Plan) and [s.server for s in made.steps if s.kind is StepKind.RESTART] == [1, 3]
    assert "2 runs 3.8.6 already" in made.notes
    made = downgrade(on(on(healthy(3), "3.9.5"), "3.7.2", 2), "3.6.4")
    assert isinstance(made, Refusal) and made.rule == "R8"


def test_what_only_the_newer_one_reads() -> None:
    made = on(healthy(3), "3.6.4")
    picked = made.health().picture.members[1]
    disk = picked.disk.value
    assert disk is not None
    settings = {**disk.settings, "snapshot.compression.method": "gz"}
    compressed = made.having(2, disk=msgspec.structs.replace(disk, settings=settings))
    refused = downgrade(compressed, "3.5.10")
    assert isinstance(refused, Refusal) and "snapshot.compression.method=gz" in refused.evidence[0]
    assert isinstance(downgrade(on(compressed, "3.7.2"), "3.6.4"), Plan)


def test_only_what_was_measured_is_called_so() -> None:
    for new, old, measured in (("3.9.5", "3.8.6", True), ("3.9.5", "3.9.1", False)):
        back = downgrade(on(healthy(3), new), old)
        assert isinstance(back, Plan), back
        assert any("(measured)" in n for n in back.notes) is measured
        assert any("was not tried" in n for n in back.notes) is not measured


class Given:
    """A conductor whose run is given up at its second restart."""

    def __init__(self, old: str, new: str, kind: str = UPGRADE, state: State = State.ABORTED) -> None:
        plan = msgspec.structs.replace(planned(on(healthy(3), old), new), kind=kind)
        second = [s for s in plan.steps if s.kind is StepKind.RESTART][1]
        self.plan = plan
        self.ended = Result(plan.id, state, 4, "Aborted.", undone="2 is back")
        self.world = looking(on(on(healthy(3), old), new, 1))
        self.journal: Any = SimpleNamespace(
            runs=lambda _: (SimpleNamespace(id=plan.id, plan=plan, head=second.number),)
        )
        self.who, self.applied = "op@host", list[Plan]()

    def abort(self) -> Result:
        return self.ended

    def apply(self, plan: Plan) -> Result:
        self.applied.append(plan)
        return Result(plan.id, State.DONE, 0, "done: {1,2,3}, all run 3.8.6", undone="")


def given_back(conductor: Any, monkeypatch: pytest.MonkeyPatch, made: Any, *, stay: bool = False) -> Result:
    asked: list[tuple[str, Options]] = []

    def make(_world: object, target: str, options: Options, _who: str) -> Any:
        asked.append((target, options))
        if isinstance(made, Problem):
            raise made
        return made

    monkeypatch.setattr(going_back, "make_downgrade", make)
    ended = going_back.abort(conductor, stay=stay)
    conductor.asked = asked
    assert ended is not None
    return ended


def test_who_gives_up_has_all_back(monkeypatch: pytest.MonkeyPatch) -> None:
    conductor, back = Given("3.8.6", "3.9.5"), downgrade(on(on(healthy(3), "3.8.6"), "3.9.5", 1), "3.8.6")
    ended = given_back(conductor, monkeypatch, back)
    assert conductor.applied == [back] and ended.exit_code == 0 and ended.undone == "2 is back"
    assert ended.headline.startswith("Aborted. Run 4f1c went back: done")
    [(target, options)] = conductor.asked  # type: ignore[attr-defined]
    assert (
        target == "3.8.6" and options.reason == "run 4f1c was given up" and not options.backup and options.soak_s == 0
    )


@pytest.mark.parametrize(
    "conductor, stay, made, said",
    [
        (Given("3.8.6", "3.9.5"), True, None, ()),
        (Given("3.8.6", "3.9.5", kind="downgrade"), False, None, ()),
        (Given("3.8.6", "3.9.5", state=State.STOPPED), False, None, ()),
        (
            Given("3.8.6", "3.9.5"),
            False,
            Refusal("R4", "zk1 is not to be stopped.", ("1: no spare",)),
            ("nobody else goes back: zk1 is not to be stopped.", "1: no spare"),
        ),
        (Given("3.8.6", "3.9.5"), False, NotHealthy("no member"), ("nobody else goes back: no member",)),
    ],
)
def test_who_stays(
    conductor: Given, stay: bool, made: Any, said: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = given_back(conductor, monkeypatch, made, stay=stay)
    assert conductor.applied == [] and ended.exit_code == 4 and ended.evidence == said


def test_who_gives_up_while_the_first_runs_alone_has_it_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the steps that are done all run the former release, and the first has it not: it could not go back a moment ago."""
    conductor, seen = Given("3.8.6", "3.9.5"), on(on(healthy(3), "3.8.6"), "3.9.5", 1)
    plan = conductor.plan
    soak = next(s for s in plan.steps if s.kind is StepKind.SETTLE)
    conductor.journal.runs = lambda _: (SimpleNamespace(id=plan.id, plan=plan, head=soak.number),)
    back = downgrade(seen, "3.8.6")
    assert given_back(conductor, monkeypatch, back).exit_code == 0 and conductor.applied == [back]


@pytest.mark.parametrize("at", [StepKind.LAY_OUT, StepKind.RESTART])
def test_nobody_goes_back_whom_this_run_has_not_brought_there(at: StepKind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one had ended that gave 1 the release, another went on, and is given up."""
    conductor, seen = Given("3.8.6", "3.9.5"), on(on(healthy(3), "3.8.6"), "3.9.5", 1)
    plan = planned(seen)
    assert {s.server for s in plan.steps if s.kind is StepKind.RESTART} == {2, 3}
    last = [s for s in plan.steps if s.kind is at][-1]
    conductor.world = looking(on(seen, "3.9.5", *([1, 2] if at is StepKind.RESTART else [1])))
    conductor.journal.runs = lambda _: (SimpleNamespace(id=plan.id, plan=plan, head=last.number),)
    ended = given_back(conductor, monkeypatch, downgrade(seen, "3.8.6"))
    assert conductor.applied == [] and ended.exit_code == 4
    assert ended.evidence == ("nobody else goes back: 1 had 3.9.5 before run 4f1c, which has not restarted it",)
