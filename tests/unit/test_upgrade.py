"""What a plan of another release keeps, whatever the ensemble: who goes first and last, what each may run at a step, and the way back."""

from __future__ import annotations

import itertools
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
from zkprov.model.release import Release, may_step, way
from zkprov.plan.rolling import leader_last
from zkprov.plan.steps import UPGRADE, Options, Plan, Refusal, StepKind
from zkprov.plan.upgrade import UpgradeWish, plan_upgrade
from zkprov.run.giving_up import given_up
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
    plan = planned(on(healthy(3), "3.7.2"))
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

        self.lying = ["3.8.6", "3.9.5"]

    def current(self) -> str:
        return self.release

    def releases(self) -> tuple[str, ...]:
        return tuple(self.lying)

    def switch(self, release: str, run: str, attempt: int) -> None:
        self.done.append(f"switch {release}")
        self.release = release


def undone(host: Switched, seen: Made, number: int | None = None, *, begun: bool = True) -> tuple[str | None, Any]:
    plan = planned(on(healthy(3), "3.8.6"))
    plan = plan.with_begun(2) if begun else plan
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


def test_none_is_stopped_for_a_release_that_lies_there_no_more() -> None:
    host = Switched(active=True)
    host.lying.remove("3.8.6")
    said, run = undone(host, healthy(3))
    assert said is None and host.done == [] and "3.8.6 does not lie there any more" in run.told[0]


@pytest.mark.parametrize("begun", [False, True])
def test_what_runs_is_not_told_from_what_the_next_start_would_run(begun: bool) -> None:
    """Nobody has switched it: the inventory says another release than the one that it was started with."""
    host = Switched(active=True)
    said, _ = undone(host, on(healthy(3), "3.8.6"), begun=begun)
    assert said == ("1 serves with 3.8.6" if begun else "nothing was begun") and host.done == []


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
    run: Any = SimpleNamespace(plan=plan, world=looking(on(on(healthy(3), "3.8.6"), "3.9.5", 1)))
    first, second, _ = (s for s in plan.steps if s.kind is StepKind.RESTART)
    ended = given_up(run, second, plan.base, "2 is back on 3.8.6", ())
    assert ended.exit_code == 4 and ended.next == (
        "zkprov upgrade --to 3.9.5",
        "zkprov downgrade --to 3.8.6 --reason …",
    )
    assert "3.8.6: 2, 3; 3.9.5: 1" in ended.stands
    run.world = looking(on(healthy(3), "3.8.6"))
    ended = given_up(run, first, plan.base, "1 is back on 3.8.6", ())
    assert ended.exit_code == 0 and not ended.next


@pytest.mark.parametrize("serves", [True, False])
def test_given_up_while_the_first_runs_alone_and_cannot_go_back(serves: bool) -> None:
    """2 has died, so 1 is needed as it is; or 1 is down itself."""
    plan = planned(on(healthy(3), "3.8.6"))
    soak = next(s for s in plan.steps if s.kind is StepKind.SETTLE)
    seen = on(on(healthy(3), "3.8.6"), "3.9.5", 1)
    world = looking(seen.down(2) if serves else seen.down(1), Switched(active=serves))
    run: Any = SimpleNamespace(plan=plan, world=world)
    ended = given_up(run, soak, plan.base, None, ())
    assert ended.exit_code == 4 and "3.8.6: 2, 3; 3.9.5: 1" in ended.stands
    assert ("1 serves, with 3.9.5" if serves else "1 does not serve") in ended.stands
    assert "zkprov upgrade --to 3.9.5" in ended.next and "zkprov downgrade --to 3.8.6 --reason …" in ended.next


def looking(made: Made, host: Host | None = None) -> Any:
    """A world in which every look sees `made`; who answers in it serves."""
    return SimpleNamespace(
        survey=lambda **_: made.survey,
        host=lambda _: host,
        glance=lambda name: SimpleNamespace(serving=made.survey.by_name(name).serving),  # type: ignore[union-attr]
        inventory=inventory(3),
        inventory_host=lambda name: inventory(3).host(name),
    )


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


@given(
    st.sampled_from(("3.4.5", "3.4.14", "3.5.0", "3.5.10", "3.6.4", "3.7.2", "3.8.6", "3.9.4")),
    st.sampled_from(("3.5.10", "3.6.4", "3.7.2", "3.8.4", "3.9.5", "4.0.0")),
    st.sets(st.sampled_from((*ALL, "3.4.14", "3.5.3", "3.6.0", "3.7.0", "3.8.4"))),
)
def test_one_minor_release_at_a_time_of_those_that_can_be_had(old: str, new: str, known: set[str]) -> None:
    first, last = Release.parse(old), Release.parse(new)
    had = frozenset(Release.parse(r) for r in known)
    found = way(first, last, had)
    assert bool(found) is bool(way(first, last)), "what can be had takes no way away, and makes none"
    if not found:
        return
    assert found[-1] == last and all(may_step(a, b) for a, b in itertools.pairwise((first, *found)))
    lines = [r.line for r in found]
    assert lines == sorted(set(lines)) or lines[0] == first.line
    # a line is passed over only where none of it can be had that a step leads to and from
    stops = (first, *found)
    if set(found[:-1]) <= had:
        for before, after in itertools.pairwise(stops):
            newest = {r.line: r for r in sorted(had) if first < r < last}
            over = [r for line, r in newest.items() if before.line < line < after.line]
            assert not any(may_step(before, r) and may_step(r, after) for r in over)


def test_the_whole_way_of_the_issue() -> None:
    had = frozenset(Release.parse(r) for r in ALL)
    assert [str(r) for r in way(Release.parse("3.5.10"), Release.parse("3.9.5"), had)] == list(ALL[1:])
    # without 3.7 the table has a step over it; a patch release of one's own is as good
    some = frozenset(map(Release.parse, ("3.6.4", "3.8.4")))
    assert [str(r) for r in way(Release.parse("3.5.10"), Release.parse("3.9.5"), some)] == ["3.6.4", "3.8.4", "3.9.5"]


def test_the_kind_of_plan() -> None:
    assert planned(on(healthy(3), "3.8.6")).kind == UPGRADE
