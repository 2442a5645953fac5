"""What an act does to a host and to the list, told to the least of an engine.

Another's server at our host, a list that lags behind and a run taken over within milliseconds cannot be had from real servers at will.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.unit.plans_made import plan, server
from zkprov.act import reconfig
from zkprov.model.members import Members
from zkprov.model.problems import Interrupted, Stale
from zkprov.model.server import ClientAddress, Role, Server, ServerAddress
from zkprov.plan.steps import Step, StepKind
from zkprov.run import acts
from zkprov.run.engine import Engine
from zkprov.run.gating import GateFailed
from zkprov.run.undo import listed, undo_joiner

THREE = Members.of(server(1), server(2), server(3), version=0x100000000)
ANOTHER = Server(4, (ServerAddress("elsewhere", 2888, 3888),), Role.OBSERVER, ClientAddress(2181))


class Host:
    """A host that tells what was done to it."""

    def __init__(self, fence: str | None = None, *, active: bool = True) -> None:
        self.holder, self.active, self.done = fence, active, list[str]()

    def fenced_by(self) -> str | None:
        return self.holder

    def fence(self, run: str) -> None:
        self.holder = run

    def unfence(self, run: str) -> None:
        self.holder = None

    def is_active(self) -> bool:
        return self.active

    def has_data(self) -> bool:
        return self.active

    def exists(self) -> bool:
        return True

    def stop(self, timeout_s: float) -> None:
        self.done.append("stop")
        self.active = False

    def set_aside(self, label: str) -> str:
        self.done.append("set aside")
        return label


def engine(host: Host, live: Members, *, attempt: int = 0, fences: int = 1000) -> Any:
    """`live`: the list that the acting session reads. After `fences` writes another has taken the run over."""
    made = plan()
    left = [fences]

    def fence(head: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted("this run was taken over")

    survey = SimpleNamespace(picture=SimpleNamespace(live=THREE))  # servers that lag behind: 4 is not there yet
    return SimpleNamespace(
        plan=made,
        attempt=attempt,
        world=SimpleNamespace(host=lambda _: host),
        ledger=SimpleNamespace(live=lambda: live),
        gates=SimpleNamespace(health=lambda: survey, passed=lambda **_: survey),
        events=SimpleNamespace(emit=lambda *_, **__: None),
        client=None,
        stop=SimpleNamespace(is_set=lambda: False),
        fence=fence,
        intend=lambda step: fence(step.number),
        checkpoint=lambda: None,
    )


def test_a_voter_stays_though_the_servers_that_answer_lag_behind() -> None:
    host = Host("4f1c00")
    run = engine(host, THREE.with_server(server(4)))
    assert undo_joiner(run, run.plan.steps[2]) is None
    assert host.done == [] and host.active


def test_anothers_server_of_the_same_id_is_not_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconfig, "change", lambda *_, **__: pytest.fail("another's server was taken out of the list"))
    host = Host("4f1c00")
    run = engine(host, THREE.with_server(ANOTHER))
    with pytest.raises(Stale, match="elsewhere"):
        undo_joiner(run, run.plan.steps[1])
    assert host.done == []


def test_the_same_server_however_it_is_spelt() -> None:
    spelt = msgspec.structs.replace(server(4, Role.OBSERVER), client=ClientAddress(2181, "0.0.0.0"))
    assert listed(plan(), THREE.with_server(spelt), 4) == spelt
    assert listed(plan(), THREE, 4) is None


def test_a_run_that_is_taken_up_leaves_anothers_server_on_the_host_alone() -> None:
    """The first attempt never came to this host; since then somebody else has put a server there."""
    host = Host(None)
    run = engine(host, THREE, attempt=1)
    with pytest.raises(GateFailed, match="R5"):
        acts.start(run, run.plan.steps[0])
    assert host.done == [] and host.holder is None


def test_a_wait_that_fails_says_that_the_newcomer_stands() -> None:
    four = THREE.with_server(server(4))
    wait = Step(5, StepKind.SEASON, 4, "zk5", four, four, 1, wait_s=900.0)
    run = engine(Host(None), four)
    run._say = lambda *_, **__: None
    run.unfence = run.end = lambda *_: None
    ended = Engine._ends(run, wait, "2 does not answer", None)
    assert ended.stands == f"the list is {four}"


@pytest.mark.parametrize("fences", [1, 2])
def test_a_run_that_was_taken_over_touches_the_host_no_more(fences: int) -> None:
    host = Host("4f1c00")
    run = engine(host, THREE, fences=fences)
    with pytest.raises(Interrupted, match="taken over"):
        undo_joiner(run, run.plan.steps[1])
    assert host.done == ["stop"][: fences - 1]
