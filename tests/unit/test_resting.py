"""Where a run may rest, and when it is too late to begin with the next server."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.plans_made import plan
from zkprov.plan.resting import rests_before, stands_amid, takes_s, too_late, until_rest
from zkprov.plan.steps import Plan, Step, StepKind


def rolling(*kinds: tuple[StepKind, int]) -> Plan:
    made = plan()
    steps = tuple(
        Step(
            number, kind, server, f"zk{server}", made.base, made.base, 1, wait_s=60.0 if kind is StepKind.SETTLE else 0
        )
        for number, (kind, server) in enumerate(kinds, 1)
    )
    return msgspec.structs.replace(made, kind="restart", steps=steps)


ADD = plan()
ROLL = rolling(
    (StepKind.BACKUP, 2), (StepKind.RESTART, 1), (StepKind.SETTLE, 1), (StepKind.RESTART, 2), (StepKind.RESTART, 3)
)


def test_no_joiner_is_left_beside_the_list() -> None:
    assert [rests_before(ADD, s.number) for s in ADD.steps] == [True, False, False, True]


def test_nobody_who_left_runs_on() -> None:
    leaving = rolling(
        (StepKind.HAND_OVER, 3), (StepKind.REMOVE, 3), (StepKind.RETIRE, 3), (StepKind.REMOVE, 2), (StepKind.RETIRE, 2)
    )
    assert [rests_before(leaving, s.number) for s in leaving.steps] == [True, False, False, True, False]


def test_between_two_servers_and_before_a_wait() -> None:
    assert all(rests_before(ROLL, s.number) for s in ROLL.steps)


def test_an_adoption_of_a_static_list_goes_through() -> None:
    """Who was not restarted yet cannot follow a leader that was: with one of three down, an election in the night leaves no quorum."""
    adopting = rolling(
        (StepKind.BACKUP, 2),
        (StepKind.FLAG, 3),
        (StepKind.RESTART, 1),
        (StepKind.SETTLE, 1),
        (StepKind.RESTART, 2),
        (StepKind.RESTART, 3),
        (StepKind.ADOPT, 3),
    )
    assert [rests_before(adopting, s.number) for s in adopting.steps] == [True, True, *[False] * 5]
    assert takes_s(adopting, 2, {"flag": 1.0, "restart": 10.0, "adopt": 2.0}) == 1 + 10 + 60 + 10 + 10 + 2


@pytest.mark.parametrize(
    ("plan", "number", "begun", "amid"),
    [
        (ADD, 1, False, False),
        (ADD, 1, True, True),
        (ADD, 2, False, True),
        (ADD, 4, True, False),
        (ROLL, 1, True, False),
        (ROLL, 2, True, False),
        (ROLL.with_begun(2), 2, False, True),
    ],
)
def test_what_a_run_that_was_killed_may_not_leave_over_night(plan: Plan, number: int, begun: bool, amid: bool) -> None:
    assert stands_amid(plan, number, begun=begun) is amid


def test_what_is_needed_is_the_longest_of_each_kind_up_to_the_next_rest() -> None:
    assert [s.number for s in until_rest(ADD, 1)] == [1, 2, 3]
    assert (
        takes_s(ADD, 1, {"start": 5.0, "admit": 1.0}) == 5 + 1 + 60
    )  # a promotion was never measured: its whole limit
    assert takes_s(ROLL, 3, {"settle": 1.0}) == 60  # a wait is as long as it is


def test_a_reboot_is_measured_by_reboots() -> None:
    steps = (msgspec.structs.replace(ROLL.steps[1], number=1, reboots=True),)
    patching = msgspec.structs.replace(ROLL, steps=steps)
    assert takes_s(patching, 1, {"restart": 5.0}) == patching.options.reboot_timeout_s == 600
    assert takes_s(patching, 1, {"restart": 5.0, "reboot": 90.0}) == 90


@pytest.mark.parametrize(
    ("number", "left", "measured", "told"),
    [
        (2, 10.0, {"restart": 9.5}, ""),
        (2, 9.0, {"restart": 9.5}, "step 2 (restart 1) took up to 10 s, and 9 s are left"),
        (2, 59.0, {}, "step 2 (restart 1) may take 60 s, and 59 s are left"),
        (2, -5.0, {"restart": 9.5}, "step 2 (restart 1) took up to 10 s, and 0 s are left"),
        (3, 61.0, {}, ""),
    ],
)
def test_too_late(number: int, left: float, measured: dict[str, float], told: str) -> None:
    assert too_late(ROLL, number, now=1000.0, until=1000.0 + left, measured=measured) == told


def test_what_is_begun_of_a_server_goes_on_however_late() -> None:
    assert too_late(ADD, 1, now=0.0, until=-1.0, measured={}) != ""
    assert (
        too_late(ADD, 2, now=0.0, until=-1.0, measured={}) == too_late(ADD, 3, now=0.0, until=-1.0, measured={}) == ""
    )
