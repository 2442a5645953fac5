"""What a plan of adding keeps, whatever the ensemble and its ledger: R2, R3, R4 and one change a step, against oracles of our own."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.facts_made import (
    NOW_MS,
    OURS,
    Made,
    facts,
    healthy,
    host,
    inventory,
    members,
    serving,
)
from zkprov.judge.verdict import Purpose
from zkprov.model.facts import Conf, Ledger, LedgerMember, Mode, Outcome, Srvr
from zkprov.model.problems import BadInput
from zkprov.model.server import HostPort, Role
from zkprov.plan.entry import free_id
from zkprov.plan.membership import Wish, margin, plan_add
from zkprov.plan.options import checked, least_season_s
from zkprov.plan.steps import Joiner, Options, Plan, Refusal, StepKind, seconds


def add(made: Made, *ids: int, lab: bool = True, health: Any = None, **options: Any) -> Plan | Refusal:
    wish = Wish("4f1c", tuple(host(i) for i in ids), Options(**options), 0.0, "op@host", "0.1.0")
    return plan_add(health or made.health(Purpose.CHANGE), inventory(20, lab=lab), wish)


def planned(made: Plan | Refusal) -> Plan:
    assert isinstance(made, Plan), made
    return made


def refused(made: Plan | Refusal, rule: str, exit_code: int) -> Refusal:
    assert isinstance(made, Refusal)
    assert (made.rule, made.exit_code) == (rule, exit_code), made
    assert made.evidence
    assert made.next
    return made


def majority(voters: frozenset[int], ids: set[int]) -> bool:
    """Written from the rule: more than half of the voters."""
    return len([v for v in voters if v in ids]) * 2 > len(voters)


def may_fail(voters: frozenset[int], up: set[int]) -> int:
    """By trying all: how many of those up may fail, whichever they are; −1 where they are no quorum now."""
    for lost in range(len(up) + 1):
        if any(not majority(voters, up - set(gone)) for gone in combinations(sorted(up), lost)):
            return lost - 1
    return len(up)


FEWER = settings(max_examples=settings().max_examples // 4)
"""For properties whose every example proves a whole plan: a tenth of a second each."""
AGES = st.one_of(st.none(), st.floats(0, 2000))
"""How long a voter has voted by the ledger; None: it is not in it. From 900 s on it is seasoned."""


@st.composite
def ensembles(draw: st.DrawFn) -> tuple[Made, dict[int, float]]:
    """A healthy ensemble with any ledger; and, by an account of our own, how long each newcomer still is one."""
    count = draw(st.integers(1, 6))
    ages = {i: draw(AGES) for i in range(1, count + 1)}
    lasting = draw(st.sets(st.integers(1, count)))
    known = {
        i: LedgerMember(NOW_MS - int((age or 0) * 1000), f"disk-{i}", 1, i in lasting)
        for i, age in ages.items()
        if age is not None
    }
    young = {}
    for i, age in ages.items():
        if age is None:
            young[i] = 900.0
        elif i not in lasting and int(age * 1000) < 900_000:
            young[i] = 900.0 - int(age * 1000) / 1000
    return healthy(count).ledger(uuid="6f1d", members=known), young


@FEWER
@given(ensembles(), st.integers(1, 4), st.booleans())
def test_newcomers_and_joiners_are_a_quorum_of_no_list(
    given_: tuple[Made, dict[int, float]], more: int, wait: bool
) -> None:
    """R2. Ages advance by the waits for seasoning only, never by what the rest of the plan takes."""
    made, young = given_
    count = len(made.live.servers)
    new = list(range(count + 1, count + 1 + more))
    plan = add(made.spare(*(f"zk{i}" for i in new)), *new, wait=wait)
    if isinstance(plan, Refusal):
        refused(plan, "R2", 3)
        # only what was there before the plan is refused for, and only without --wait
        first = members([*sorted(made.live.ids), new[0]])
        assert not wait
        assert majority(first.voters, {*young, new[0]})
        return
    left = dict(young)
    for step in plan.steps:
        if step.kind is StepKind.SEASON:
            left = {i: s - step.wait_s for i, s in left.items() if s - step.wait_s > 1e-9}
        if step.kind is StepKind.PROMOTE:
            left[step.server] = 900.0
            assert not majority(step.after.voters, set(left)), step.title
    assert plan.final.voters == made.live.voters | set(new)


@FEWER
@given(st.integers(1, 6), st.integers(1, 4), st.sampled_from(list(Role)), st.sampled_from([0.0, 30.0]))
def test_every_step_changes_one_server(count: int, more: int, role: Role, settle: float) -> None:
    """R3; and each list is that of the step before it."""
    new = list(range(count + 1, count + 1 + more))
    made = healthy(count).spare(*(f"zk{i}" for i in new))
    plan = planned(add(made, *new, role=role, settle_s=settle))
    now = made.live.at_version(0)
    for number, step in enumerate(plan.steps, 1):
        assert step.number == number
        assert step.before == now
        assert step.before.version == step.after.version == 0
        changed = {i for i in step.before.ids | step.after.ids if step.before.get(i) != step.after.get(i)}
        match step.kind:
            case StepKind.START | StepKind.SETTLE | StepKind.SEASON:
                assert changed == set()
            case StepKind.ADMIT:
                assert changed == {step.server}
                assert step.before.voters == step.after.voters
            case StepKind.PROMOTE:
                assert changed == {step.server}
                assert step.after.voters - step.before.voters == {step.server}
                # 1 → 2 goes straight from non-voting follower to voter
                assert (step.server in step.before.ids) == (len(step.before.voters) > 1)
        now = step.after
    assert plan.final == now
    assert now.ids == set(range(1, count + 1 + more))
    order = [(s.kind, s.server) for s in plan.steps if s.kind is not StepKind.SEASON]
    for i in new:
        kinds = [k for k, server in order if server == i]
        voting = role is Role.PARTICIPANT
        straight = voting and i == 2
        settled = [StepKind.SETTLE] if settle else []
        assert kinds == [
            StepKind.START,
            *([] if straight else [StepKind.ADMIT]),
            *([StepKind.PROMOTE] if voting else []),
            *settled,
        ]
    assert all(p.verdict == "safe" for s in plan.steps for p in s.proofs)
    assert all(s.proofs for s in plan.steps if s.kind in (StepKind.START, StepKind.ADMIT, StepKind.PROMOTE))


@given(st.integers(2, 9), st.sets(st.integers(1, 9)))
def test_the_margin_of_each_promotion(count: int, down: set[int]) -> None:
    """R4: without the joiner those in sync are a quorum of the longer list; with it as many may fail as before."""
    before = members(range(1, count + 1))
    up = set(before.voters) - down
    joiner = Joiner("zk10", members((10,)).servers[0])
    refusal = margin(before, joiner, up, Options())
    after = before.with_server(joiner.server).voters
    assert (refusal is None) == majority(after, up)
    if refusal is None:
        assert may_fail(after, {*up, 10}) >= may_fail(before.voters, up)
    else:
        assert "in sync without the joiner" in "\n".join(refusal.evidence)
    # an override lets a joiner complete the quorum, and never makes do without one
    forced = margin(before, joiner, up, Options(overrides={"R4": "because"}))
    assert (forced is None) == majority(after, {*up, 10})


@FEWER
@given(st.integers(1, 6), st.integers(1, 3))
def test_as_many_may_fail_after_each_step_as_before(count: int, more: int) -> None:
    new = list(range(count + 1, count + 1 + more))
    plan = planned(add(healthy(count).spare(*(f"zk{i}" for i in new)), *new))
    spares = [may_fail(frozenset(range(1, count + 1)), set(range(1, count + 1)))]
    for step in plan.steps:
        up = set(step.after.voters)
        assert step.spare_after == may_fail(step.after.voters, up)
        spares.append(step.spare_after)
    assert spares == sorted(spares)


@FEWER
@given(st.integers(2, 6), st.sets(st.integers(1, 6), min_size=1))
def test_a_server_down_is_refused_by_r4_or_by_the_gate(count: int, down: set[int]) -> None:
    down &= set(range(1, count + 1))
    up = set(range(1, count + 1)) - down
    made = healthy(count, leader=max(up, default=1)).paused(*down).spare("zk9")
    after = frozenset(range(1, count + 1)) | {9}
    plan = add(made, 9)
    if not down:
        planned(plan)
    elif up and not majority(after, up):
        refused(plan, "R4", 3)
    else:
        assert isinstance(plan, Refusal)
        assert (plan.rule, plan.exit_code) in (("R8", 4), ("R4", 3))


class TestPlan:
    def test_what_it_rests_on(self) -> None:
        made = healthy(3).ledger((1, 2), young={3: 60.0})
        plan = planned(add(made.spare("zk4"), 4))
        assert (plan.base, plan.leader, plan.unseasoned) == (made.live, 3, (3,))
        assert plan.history == f"{OURS.path}@{OURS.czxid:x}/{OURS.ctime_ms}"
        assert plan.joiner(4).host == "zk4"
        assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan

    def test_every_gate_is_asked_before_each_change(self) -> None:
        made = healthy(3).spare("zk4")
        plan = planned(add(made, 4))
        gates = {g.gate for g in made.health(Purpose.CHANGE).gates}
        for step in plan.steps:
            if step.kind in (StepKind.ADMIT, StepKind.PROMOTE, StepKind.SETTLE):
                assert gates <= set(step.asks)

    def test_a_stranger_that_leads_is_not_the_plans_leader(self) -> None:
        stranger = facts(
            "zk0", HostPort("10.0.0.99", 2181), srvr=Srvr(Mode.STANDALONE, 5, "3.9.5", 0, 5), config=Outcome.ABSENT
        )
        assert planned(add(healthy(3).also(stranger).spare("zk4"), 4)).leader == 3

    def test_a_season_is_waited_for_before_the_server_is_started(self) -> None:
        """A started server that may not vote for a quarter of an hour is one more that can go wrong meanwhile."""
        made = healthy(3).spare("zk4", "zk5", "zk6", "zk7")
        kinds = [s.kind for s in planned(add(made, 4, 5, 6, 7, settle_s=0.0)).steps]
        assert kinds.index(StepKind.SEASON) == 9
        assert kinds[9:] == [StepKind.SEASON, StepKind.START, StepKind.ADMIT, StepKind.PROMOTE]

    def test_no_list(self) -> None:
        assert refused(add(healthy(3).down(1, 2, 3), 4), "R8", 4).next

    def test_observers_need_no_margin(self) -> None:
        made = healthy(3).paused(2).spare("zk4")
        refused(add(made, 4, role=Role.OBSERVER), "R8", 4)

    def test_an_override_stands_in_the_notes(self) -> None:
        plan = planned(add(healthy(3).spare("zk4"), 4, overrides={"R4": "a reason"}, reason="a reason"))
        assert plan.notes == ("override R4: a reason",)


class TestSeason:
    def test_shorter_outside_a_lab_needs_equal_digests(self) -> None:
        made = healthy(3).spare("zk4")
        planned(add(made, 4, lab=False, season_s=120.0, reason="r"))
        blind = made.having(1, hash=Outcome.CLOSED).having(2, hash=Outcome.CLOSED)
        refused(add(blind, 4, lab=False, season_s=120.0, reason="r"), "R2", 3)
        planned(add(blind, 4, lab=True, season_s=120.0, reason="r"))
        planned(add(blind, 4, lab=False))

    @pytest.mark.parametrize(("season", "fits"), [(59.0, False), (60.0, True), (900.0, True)])
    def test_at_least_two_init_limits(self, season: float, fits: bool) -> None:
        slow = inventory(4, zk3=host(3, settings={"initLimit": "15", "tickTime": "2000"}))
        assert least_season_s(slow) == 60.0
        options = Options(season_s=season, reason="r")
        if fits:
            assert checked(options, slow) == options
        else:
            with pytest.raises(BadInput, match="59 s is less than 2 × initLimit × tickTime = 60 s"):
                checked(options, slow)
        assert checked(options, msgspec.structs.replace(slow, lab=True)) == options

    def test_at_least_two_init_limits_of_the_members_themselves(self) -> None:
        """Whatever the inventory says: it is theirs by which a joiner may take so long."""
        told = Conf({"serverId": "2", "initLimit": "100", "tickTime": "3000"}, healthy(3).live)
        made = healthy(3).ledger((1, 2, 3)).having(2, conf=told).spare("zk4")
        why = refused(add(made, 4, lab=False, season_s=120.0, reason="r"), "R2", 3)
        assert "120 s is less than 2 × initLimit × tickTime of the members, 600 s" in why.evidence
        planned(add(made, 4, lab=False, season_s=600.0, reason="r"))
        planned(add(made, 4, lab=True, season_s=120.0, reason="r"))

    @pytest.mark.parametrize("value", ["x", "", "-5"])
    def test_settings_that_are_nonsense(self, value: str) -> None:
        assert least_season_s(inventory(1, zk1=host(1, settings={"initLimit": value}))) == 40.0

    @pytest.mark.parametrize("reason", ["", "  "])
    def test_a_reason_is_needed(self, reason: str) -> None:
        with pytest.raises(BadInput, match="needs a reason"):
            checked(Options(season_s=60.0, reason=reason), inventory())
        with pytest.raises(BadInput, match="needs a reason"):
            checked(Options(overrides={"R4": ""}, reason=reason), inventory())

    @pytest.mark.parametrize("rule", ["R1", "R2", "R6"])
    def test_never_overridden(self, rule: str) -> None:
        with pytest.raises(BadInput, match=f"{rule} .* cannot be overridden"):
            checked(Options(overrides={rule: "r"}, reason="r"), inventory())

    @pytest.mark.parametrize("rule", ["R3", "R5", "R8", "R13", "", "r4"])
    def test_no_such_override(self, rule: str) -> None:
        with pytest.raises(BadInput, match="no such rule"):
            checked(Options(overrides={rule: "r"}, reason="r"), inventory())


class TestEntry:
    def test_ids(self) -> None:
        live, listed = members((1, 2, 3)), inventory(4, zk4=host(4, id=4))
        ledger = Ledger("6f1d", {i: LedgerMember(0) for i in (1, 2, 3, 6)})
        assert free_id(live, None, inventory(4), set()) == 4
        assert free_id(live, None, listed, set()) == 5
        assert free_id(live, ledger, listed, {5}) == 7

    def test_no_id_is_left(self) -> None:
        many = Ledger("6f1d", {i: LedgerMember(0) for i in range(1, 256)})
        with pytest.raises(BadInput, match="no id from 1 to 255 is free"):
            free_id(members((1,)), many, inventory(), set())
        made = healthy(3).ledger(uuid="6f1d", members=many.members).spare("zk4")
        assert refused(add(made, 4), "R5", 3).headline == "no id from 1 to 255 is free."

    @pytest.mark.parametrize("how", [o for o in Outcome if o is not Outcome.OK])
    def test_only_a_port_where_nothing_listens_is_free(self, how: Outcome) -> None:
        made = healthy(3).spare("zk4").having(4, srvr=how)
        plan = add(made, 4)
        if how is Outcome.REFUSED:
            planned(plan)
        else:
            assert isinstance(plan, Refusal)
            assert plan.rule == "R5"

    @pytest.mark.parametrize("how", [o for o in Outcome if o is not Outcome.OK])
    def test_only_a_disk_with_nothing_on_it_is_empty(self, how: Outcome) -> None:
        plan = add(healthy(3).spare("zk4").having(4, disk=how), 4)
        assert isinstance(plan, Plan) is (how is Outcome.ABSENT)

    def test_a_second_host_of_a_plan_is_looked_at_before_the_first_is_touched(self) -> None:
        made = healthy(3).spare("zk4").also(serving(5, members((5,), version=5), 5, identity=Outcome.ABSENT))
        refused(add(made, 4, 5), "R6", 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 s"), (0.5, "0.5 s"), (12.4, "12 s"), (99.0, "99 s"), (120, "2 min"), (899, "15 min"), (7200, "2 h 0 min")],
)
def test_durations(value: float, text: str) -> None:
    assert seconds(value) == text
