"""The verdict on a whole survey, servers that serve alone, and the gate for a joiner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.unit.facts_made import (
    OTHERS,
    OURS,
    ZXID,
    Made,
    facts,
    found,
    healthy,
    members,
    outage,
    serving,
    woken,
)
from zkprov.judge import gates
from zkprov.judge.health import Condition
from zkprov.judge.joiner import joiner_follows
from zkprov.judge.verdict import Evidence, GateResult, Purpose, Verdict, first_stop, weighed
from zkprov.model.facts import (
    Fact,
    LeaderView,
    Mode,
    Outcome,
    Srvr,
    ZabState,
)
from zkprov.model.server import HostPort

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
LOOK, CHANGE = Purpose.LOOK, Purpose.CHANGE
CLIENT_PORT_ONLY = ("srvr", "config", "identity", "ledger")
SESSIONS_ONLY = ("config", "identity", "ledger")


def of(gate: Callable[..., GateResult], made: Made, purpose: Purpose = CHANGE, **more: Any) -> GateResult:
    return gate(made.picture, purpose, **more)


def told(result: GateResult) -> str:
    return "\n".join(str(e) for e in result.evidence)


class TestCondition:
    @pytest.mark.parametrize(
        ("made", "condition"),
        [
            (healthy(3), Condition.SAFE),
            (healthy(1), Condition.SAFE),
            (healthy(5).down(1), Condition.DEGRADED),
            (healthy(3).paused(1), Condition.DEGRADED),
            (healthy(3).reading(2, release="3.8.6"), Condition.DEGRADED),
            (healthy(3, observers=(4,)).down(4), Condition.DEGRADED),
            (healthy(3).down(3), Condition.UNKNOWN),
            (healthy(3).down(1, 2).looking(3), Condition.UNKNOWN),
            (healthy(3).down(1, 2, 3), Condition.UNKNOWN),
            (woken(), Condition.UNKNOWN),
            (outage(), Condition.UNSAFE),
            (healthy(3).having(2, identity=OTHERS), Condition.UNSAFE),
            (healthy(3).telling(*CLIENT_PORT_ONLY), Condition.SAFE),
            (healthy(3).telling(*SESSIONS_ONLY), Condition.SAFE),
        ],
    )
    def test_to_look(self, made: Made, condition: Condition) -> None:
        assert made.health().condition is condition
        assert bool(made.health().headline) is (condition is not Condition.SAFE)

    @pytest.mark.parametrize("ways", [CLIENT_PORT_ONLY, SESSIONS_ONLY])
    def test_to_change_more_is_asked(self, ways: tuple[str, ...]) -> None:
        health = healthy(3).telling(*ways).health(CHANGE)
        assert health.condition is Condition.UNKNOWN
        assert first_stop(health.gates) is not None

    def test_excused_servers(self) -> None:
        health = healthy(3).down(1).health(CHANGE, excused={1})
        assert {g.gate for g in health.gates if g.stops} <= {"spare", "release", "dynamic", "one quorum"}

    def test_a_danger_is_named_before_a_weakness(self) -> None:
        first = first_stop(healthy(3).down(1).having(2, identity=OTHERS).health().gates)
        assert first is not None
        assert first.unsafe


class TestStandalone:
    alone = facts(
        "zk1",
        HostPort("10.0.0.1", 2181),
        srvr=Srvr(Mode.STANDALONE, 5, "3.9.5", 0, 5),
        config=Outcome.ABSENT,
        identity=OURS,
    )

    def test_a_member_beside_the_others_is_a_danger(self) -> None:
        made = healthy(3).reading(1, mode=Mode.STANDALONE)
        result = of(gates.no_standalone, made, LOOK)
        assert (result.verdict, result.unsafe) == (FAIL, True)
        assert "1 (zk1): serves alone" in told(result)

    def test_by_mntr(self) -> None:
        made = healthy(3).having(1, srvr=Outcome.CLOSED, mntr={"zk_server_state": "standalone"})
        assert of(gates.no_standalone, made).verdict is FAIL

    def test_the_only_one_is_no_danger_and_no_ensemble(self) -> None:
        made = Made((self.alone,), members((1,))).spare("zk2")
        result = of(gates.no_standalone, made, LOOK)
        assert (result.verdict, result.unsafe) == (FAIL, False)
        health = made.health()
        assert health.condition is Condition.UNKNOWN

    def test_two_that_each_serve_alone(self) -> None:
        other = msgspec.structs.replace(self.alone, name="zk2", client=HostPort("10.0.0.2", 2181))
        assert Made((self.alone, other), members((1, 2))).health().condition is Condition.UNSAFE

    def test_one_that_does_not_say_and_has_no_list(self) -> None:
        made = healthy(3).telling(*SESSIONS_ONLY).having(1, config=Outcome.ABSENT)
        result = of(gates.no_standalone, made, LOOK)
        assert result.verdict is UNKNOWN
        assert "may serve alone" in told(result)


class TestJoiner:
    def joining(self, **more: Any) -> GateResult:
        made = healthy(3)
        joiner = msgspec.structs.replace(
            serving(4, made.live, 3), **{k: v if isinstance(v, Fact) else found(k, v) for k, v in more.items()}
        )
        return joiner_follows(made.also(joiner).picture, "zk4", 4)

    def test_follows(self) -> None:
        assert self.joining().verdict is PASS
        assert self.joining(**dict.fromkeys(("zabstate", "leader", "conf", "mntr"), Outcome.NOT_ASKED)).verdict is PASS

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ({"zabstate": ZabState(4, True, 7, ZXID, "BROADCAST")}, "votes, and must not yet"),
            ({"zabstate": ZabState(4, False, 7, ZXID, "SYNCHRONIZATION")}, "is in phase SYNCHRONIZATION"),
            ({"zabstate": ZabState(5, False, 7, ZXID, "BROADCAST")}, "says that it is 5"),
            ({"leader": LeaderView(False, 2, "")}, "follows 2, the leader is 3"),
            ({"srvr": Srvr(Mode.LEADER, ZXID, "3.9.5", 0, 0)}, "leads, instead of following"),
            ({"srvr": Srvr(Mode.STANDALONE, ZXID, "3.9.5", 0, 0)}, "leads, instead of following"),
            ({"config": members((1, 2, 3), (4,), version=0)}, "holds the list {1,2,3} +4o of version 0"),
            ({"identity": OTHERS}, "its history is not the leader's"),
            (dict.fromkeys(("srvr", "config", "identity"), Outcome.REFUSED), "does not serve (srvr: refused)"),
            (dict.fromkeys(("srvr", "config", "identity"), Outcome.TIMEOUT), "does not serve (srvr: timeout)"),
        ],
    )
    def test_fails(self, more: dict[str, Any], said: str) -> None:
        result = self.joining(**more)
        assert result.verdict is FAIL
        assert said in result.summary

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ({"config": Outcome.DENIED}, "its list cannot be read"),
            ({"identity": Outcome.DENIED}, "its history cannot be compared"),
            (
                {"srvr": Outcome.CLOSED, "zabstate": Outcome.NOT_ASKED, "mntr": Outcome.CLOSED},
                "does not say what it is",
            ),
        ],
    )
    def test_unknown(self, more: dict[str, Any], said: str) -> None:
        result = self.joining(**more)
        assert result.verdict is UNKNOWN
        assert said in result.summary

    def test_no_leader_or_two(self) -> None:
        made = healthy(3).also(serving(4, healthy(3).live, 3))
        assert joiner_follows(made.down(3).picture, "zk4", 4).verdict is UNKNOWN
        assert joiner_follows(woken(made).picture, "zk4", 4).verdict is UNKNOWN
        assert joiner_follows(made.picture, "zk8", 8).verdict is UNKNOWN


def test_weighed() -> None:
    many = [Evidence(str(i), "x") for i in range(5)]
    assert weighed("g", many, many, "p", (), unsafe=True).summary == "0: x; 1: x; 2: x; and 2 more"
    assert weighed("g", [], many, "p", (), unsafe=True).unsafe is False
    assert weighed("g", [], [], "p", (), remedy="r") == GateResult("g", PASS, "p")
