"""What a plan of another release keeps, whatever the ensemble: who goes first and last, what each may run at a step, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.facts_made import ZXID, Made, ensemble, healthy, inventory, members
from tests.unit.test_start_again import Host, down, engine
from zkprov.judge.health import judge
from zkprov.judge.releases import releases_as_planned, running, why_not_laid
from zkprov.judge.verdict import Purpose, Verdict
from zkprov.model.facts import Digests
from zkprov.model.inventory import InventoryHost, ReleaseSource
from zkprov.model.problems import NotHealthy, Problem
from zkprov.model.release import Release, may_go_back, may_step, way
from zkprov.plan.downgrade import DowngradeWish, plan_downgrade
from zkprov.plan.rolling import leader_last
from zkprov.plan.steps import DOWNGRADE, UPGRADE, Options, Plan, Refusal, StepKind
from zkprov.plan.upgrade import UpgradeWish, plan_upgrade
from zkprov.run import going_back
from zkprov.run.giving_up import given_up
from zkprov.run.journal import State
from zkprov.run.result import Result
from zkprov.run.switching import may_run
from zkprov.run.undo import undo

ALL = ("3.5.10", "3.6.4", "3.7.2", "3.8.6", "3.9.5")


def on(made: Made, release: str, *ids: int) -> Made:
    for i in ids or made.live.ids:
        made = made.reading(i, release=release)
    return made


def upgrade(made: Made, target: str, fixed: Mapping[str, str] | None = None, **options: Any) -> Plan | Refusal | None:
    picture = made.health().picture
    wish = UpgradeWish(
        "4f1c",
        tuple(f.name for f in picture.members),
        {},
        "",
        Options(settle_s=0.0, **options),
        0.0,
        "op@host",
        "0.1.0",
        target=Release.parse(target),
        laid={f"zk{i}": (*ALL, "3.5.8", "3.9.1") for i in range(1, 21)},
        fixed=fixed or {},
    )
    told = {i: frozenset({str(r)}) for i, r in running(picture).items()}
    return plan_upgrade(judge(picture.survey, Purpose.CHANGE, releases=told), inventory(20), wish)


def planned(made: Made, target: str = "3.9.5", **options: Any) -> Plan:
    plan = upgrade(made, target, **options)
    assert isinstance(plan, Plan), plan
    return plan


@given(st.data())
def test_the_way_of_every_member(data: st.DataObject) -> None:
    count = data.draw(st.integers(3, 7))
    observers = set(range(11, 11 + data.draw(st.integers(0, 2))))
    leader = data.draw(st.integers(1, count))
    old = data.draw(st.sampled_from(ALL[:-1]))
    made = on(ensemble(members(range(1, count + 1), sorted(observers)), leader), old)
    plan = planned(made)
    hops = [s.release for s in plan.steps if s.kind is StepKind.LAY_OUT]
    assert hops[-1] == "3.9.5" and len(set(hops)) == len(hops)
    for before, after in zip([old, *hops], hops, strict=False):
        assert may_step(Release.parse(before), Release.parse(after))
    restarts = [s for s in plan.steps if s.kind is StepKind.RESTART]
    # all is laid out before the first stop, on every host
    assert all(s.number < restarts[0].number for s in plan.steps if s.kind is StepKind.LAY_OUT)
    assert all(len(s.hosts) == count + len(observers) for s in plan.steps if s.kind is StepKind.LAY_OUT)
    for at, release in enumerate(hops):
        turn = [s for s in restarts if s.release == release]
        assert restarts[at * len(turn) : (at + 1) * len(turn)] == turn, "all run one before any runs the next"
        assert {s.server for s in turn} == set(made.live.ids) and len(turn) == len(made.live.ids)
        first = turn[0]
        assert first.server == (min(observers) if observers else min(set(range(1, count + 1)) - {leader}))
        assert plan.steps[first.number].kind is StepKind.SETTLE and plan.steps[first.number].wait_s == 60.0
        assert turn[-1].server == leader and turn[-1].hands_over and turn[-1].proof == "one quorum"
    assert sum(s.kind is StepKind.SETTLE for s in plan.steps) == len(hops)
    assert set(plan.runs(1).values()) == {old} and set(plan.runs(len(plan.steps) + 1).values()) == {"3.9.5"}


def test_whoever_leads_meanwhile_comes_last_of_its_release() -> None:
    plan = planned(on(healthy(3), "3.6.4"))
    first = next(s for s in plan.steps if s.kind is StepKind.RESTART)
    turned = leader_last(plan, first.number, first.server)
    assert [s.kind for s in turned.steps] == [s.kind for s in plan.steps]
    was, now = ([(s.server, s.release) for s in p.steps if s.kind is StepKind.RESTART] for p in (plan, turned))
    assert was == [(1, "3.8.6"), (2, "3.8.6"), (3, "3.8.6"), (1, "3.9.5"), (2, "3.9.5"), (3, "3.9.5")]
    assert now == [(2, "3.8.6"), (3, "3.8.6"), (1, "3.8.6"), (1, "3.9.5"), (2, "3.9.5"), (3, "3.9.5")]
    # in the middle of it who had a turn is not asked again, in this release
    second = [s for s in plan.steps if s.kind is StepKind.RESTART][2]
    assert leader_last(plan, second.number, 1) == plan


def test_a_list_that_old_releases_have_is_left_as_it_is() -> None:
    plan = planned(on(healthy(3), "3.5.8"))
    assert not plan.reconfigures and plan.unneeded == {"dynamic"}
    assert any("leadership is not handed over" in n for n in plan.notes)
    assert any("multiAddress" in n for n in plan.notes)


def test_a_target_that_is_worse_than_needed_is_only_noted() -> None:
    notes = planned(on(healthy(3), "3.8.6"), "3.9.1").notes
    assert any("ZOOKEEPER-4785" in n for n in notes) and any("3.9.1: transactions can be lost" in n for n in notes)
    assert not any("ZOOKEEPER" in n for n in planned(on(healthy(3), "3.8.6"), "3.9.5").notes)
    between = planned(on(healthy(3), "3.5.10"), "3.9.5").notes
    assert any("3.6.4: transactions can be lost in a DIFF sync" in n for n in between)


def test_the_gate_goes_by_the_plan() -> None:
    made = on(healthy(3), "3.8.6", 2, 3)
    picture = made.health().picture
    meant = {1: {"3.9.5"}, 2: {"3.8.6"}, 3: {"3.8.6"}}
    assert releases_as_planned(picture, meant).verdict is Verdict.PASS
    for wrong in ({**meant, 1: {"3.8.6"}}, {**meant, 3: {"3.7.2"}}, {i: meant[i] for i in (1, 2)}):
        assert releases_as_planned(picture, wrong).verdict is Verdict.FAIL
    assert releases_as_planned(picture, {**meant, 1: {"3.8.6", "3.9.5"}}).verdict is Verdict.PASS
    assert releases_as_planned(made.down(2).health().picture, meant).verdict is Verdict.UNKNOWN
    assert releases_as_planned(made.down(2).health().picture, meant, {2}).verdict is Verdict.PASS
    # without a plan a mixed ensemble may not be changed
    assert made.health(Purpose.CHANGE).gate("release").verdict is Verdict.FAIL


def test_what_each_may_run_at_a_step() -> None:
    plan = planned(on(healthy(3), "3.8.6"))
    second = [s for s in plan.steps if s.kind is StepKind.RESTART][1]
    run: Any = SimpleNamespace(plan=plan, attempt=0, first=second.number)
    assert may_run(run, second) == {1: {"3.9.5"}, 2: {"3.8.6"}, 3: {"3.8.6"}}
    run.attempt = 1  # it may have been started by then, or not
    assert may_run(run, second) == {1: {"3.9.5"}, 2: {"3.8.6", "3.9.5"}, 3: {"3.8.6"}}
    assert plan.former(second) == "3.8.6"
    settle = next(s for s in plan.steps if s.kind is StepKind.SETTLE)
    assert plan.owner(settle) == plan.steps[settle.number - 2] and plan.owner(second) == second


class Switched(Host):
    """Runs 3.9.5, by what its next start would run."""

    def __init__(self, **more: Any) -> None:
        super().__init__(laid=False, **more)
        self.release = "3.9.5"

    def current(self) -> str:
        return self.release

    def switch(self, release: str, run: str, attempt: int) -> None:
        self.done.append(f"switch {release}")
        self.release = release


def undone(host: Switched, seen: Made, number: int | None = None) -> tuple[str | None, Any]:
    plan = planned(on(healthy(3), "3.8.6"))
    run = engine(host, seen, plan)
    run.journal = SimpleNamespace(advance=lambda _run, head: run.told.append(f"head {head}"))
    first = next(s for s in plan.steps if s.kind is StepKind.RESTART)
    return undo(run, plan.steps[number - 1] if number else first), run


def test_one_that_does_not_come_up_goes_back() -> None:
    host = Switched(active=False)
    said, _ = undone(host, down(healthy(3)))
    assert said == "1 is back on 3.8.6 and serves again" and host.done == ["stop", "switch 3.8.6", "start"]


def test_one_that_serves_and_fails_its_gates_goes_back_as_well() -> None:
    host = Switched(active=True)
    said, _ = undone(host, healthy(3))
    assert said == "1 is back on 3.8.6 and serves again" and host.done == ["stop", "switch 3.8.6", "start"]


def test_what_fails_while_it_runs_alone_fails_it() -> None:
    host = Switched(active=True)
    said, run = undone(host, healthy(3), number=3)
    assert said == "1 is back on 3.8.6 and serves again" and run.told[0] == "head 2"


def test_one_that_the_others_need_stays_as_it_is() -> None:
    host = Switched(active=True)
    said, run = undone(host, healthy(3).down(3))
    assert said is None and host.done == [] and "no quorum without it (R4)" in run.told[0]


def test_one_whose_data_differs_is_left_as_the_evidence_that_it_is() -> None:
    host = Switched(active=True)
    said, run = undone(host, healthy(3).having(1, hash=Digests({ZXID - 33: 0xBAD})))
    assert said is None and host.done == [] and "unsafe as it is" in run.told[0] and "no quorum" not in run.told[0]


def test_what_was_laid_out_is_not_taken_back() -> None:
    host = Switched(active=True)
    assert undone(host, healthy(3), number=1)[0] == "" and host.done == []


def test_given_up_in_the_middle() -> None:
    plan = planned(on(healthy(3), "3.8.6"))
    run: Any = SimpleNamespace(plan=plan)
    first, second, _ = (s for s in plan.steps if s.kind is StepKind.RESTART)
    ended = given_up(run, second, plan.base, "2 is back on 3.8.6", ())
    assert ended.exit_code == 4 and ended.next == (
        "zkprov upgrade --to 3.9.5",
        "zkprov downgrade --to 3.8.6 --reason …",
    )
    assert "3.8.6: 2, 3; 3.9.5: 1" in ended.stands
    ended = given_up(run, first, plan.base, "1 is back on 3.8.6", ())
    assert ended.exit_code == 0 and not ended.next


@pytest.mark.parametrize(
    "more, word",
    [
        ({"start_command": "x"}, "zkprov_start_command"),
        ({"connection": "ssh", "classpath": "/z/*"}, "zkprov_classpath"),
        ({"connection": "ssh"}, ""),
        ({"connection": "local", "classpath": "/z/*"}, ""),
    ],
)
def test_hosts_that_are_not_switched(more: dict[str, Any], word: str) -> None:
    why = InventoryHost("zk1", "10.0.0.1", **more).why_no_switch
    assert word in why and bool(why) is bool(word)


def test_all_hosts_that_say_they_cannot_be_switched_are_named() -> None:
    fixed = {"zk1": "zk.service does not start that", "zk3": "nor does zoo.service"}
    refusal = upgrade(on(healthy(3), "3.8.6"), "3.9.5", fixed)
    assert isinstance(refusal, Refusal) and refusal.exit_code == 3
    assert refusal.evidence == ("zk1: zk.service does not start that", "zk3: nor does zoo.service")
    assert "zkprov ok-to-stop" in refusal.next[0][0]


def test_what_can_be_laid_out() -> None:
    known = {"3.9.5": ReleaseSource(archive="/z.tar.gz")}
    over_ssh = InventoryHost("zk1", "10.0.0.1", connection="ssh", releases=known)
    assert why_not_laid(over_ssh, "3.9.5") == "" and "does not name 3.8.6" in why_not_laid(over_ssh, "3.8.6")
    assert (
        why_not_laid(msgspec.structs.replace(over_ssh, connection="local"), "3.9.5") == "no classpath of 3.9.5 is named"
    )


def test_ways() -> None:
    def told(old: str, new: str) -> list[str]:
        return [str(r) for r in way(Release.parse(old), Release.parse(new))]

    assert told("3.8.6", "3.9.5") == ["3.9.5"] and told("3.6.4", "3.9.5") == ["3.8.6", "3.9.5"]
    assert told("3.9.5", "3.8.6") == told("3.8.6", "4.0.0") == []
    assert planned(on(healthy(3), "3.8.6")).kind == UPGRADE


def downgrade(made: Made, target: str) -> Plan | Refusal | None:
    picture = made.health().picture
    told = {i: frozenset({str(r)}) for i, r in running(picture).items()}
    wish = DowngradeWish(
        "4f1c", tuple(f.name for f in picture.members), {}, "", Options(settle_s=0.0, reason="why"), 0.0, "op@host", "0.1.0",
        target=Release.parse(target), laid={f"zk{i}": ALL for i in range(1, 21)},
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


class Given:
    """A conductor whose run is given up at its second restart."""

    def __init__(self, old: str, new: str, kind: str = UPGRADE, state: State = State.ABORTED) -> None:
        plan = msgspec.structs.replace(planned(on(healthy(3), old), new), kind=kind)
        second = [s for s in plan.steps if s.kind is StepKind.RESTART][1]
        self.ended = Result(plan.id, state, 4, "Aborted.", undone="2 is back")
        self.world: Any = SimpleNamespace(inventory=inventory(3))
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
