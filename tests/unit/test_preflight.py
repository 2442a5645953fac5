"""The preflight's judgement: each thing that it says is seen failing here; partitions and names on real machines are in tests/hosts."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

import pytest

from zkprov.judge.preflight import preflight
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.facts import Reach
from zkprov.observe.remote import program

NAMES = {"zk1": ("10.0.0.1",), "zk4": ("10.0.0.4",)}


def seen(**changed: Reach) -> list[Reach]:
    hosts = {
        "zk4": Reach("zk4", NAMES, ports={("zk1", 2888): "refused", ("zk1", 3888): "open"}),
        "zk1": Reach("zk1", NAMES, ports={("zk4", 2888): "refused", ("zk4", 3888): "refused"}),
    }
    return list({**hosts, **changed}.values())


def of(**changed: Reach) -> GateResult:
    return preflight(seen(**changed), "zk4")


def test_all_is_well() -> None:
    gate = of()
    assert (gate.verdict, gate.summary) == (Verdict.PASS, "names, ports and clocks agree on 2 hosts")


@pytest.mark.parametrize("what", ["no answer", "no route to host", "network is unreachable"])
def test_a_way_that_is_not_free(what: str) -> None:
    gate = of(zk1=Reach("zk1", NAMES, ports={("zk4", 2888): "refused", ("zk4", 3888): what}))
    assert gate.stops and gate.summary == f"zk1: does not reach zk4:3888 ({what})" and gate.remedy


def test_a_name_that_means_two_things() -> None:
    """Debian's installer writes the host's own name beside 127.0.1.1: ZooKeeper would listen there, where nobody hears it."""
    gate = of(zk4=Reach("zk4", {**NAMES, "zk4": ("127.0.1.1",)}))
    assert gate.stops and "zk4: means different addresses (zk4: 127.0.1.1, zk1: 10.0.0.4)" in gate.summary


def test_a_name_that_is_each_host_itself() -> None:
    own = {"zk1": ("127.0.0.1",), "zk4": ("10.0.0.4",)}
    assert (
        "zk1: resolves to 127.0.0.1, which is each host itself"
        in of(zk1=Reach("zk1", own), zk4=Reach("zk4", own)).summary
    )


def test_a_name_that_does_not_resolve() -> None:
    gate = of(zk1=Reach("zk1", {"zk1": ("10.0.0.1",)}, {"zk4": "Name or service not known"}))
    assert gate.stops and gate.summary == "zk1: zk4 does not resolve there (Name or service not known)"


@pytest.mark.parametrize("ahead, stops", [(59.0, False), (61.0, True), (-600.0, True)])
def test_clocks(ahead: float, stops: bool) -> None:
    gate = of(zk4=Reach("zk4", NAMES, ahead_s=ahead))
    assert gate.stops is stops and ("s ahead of" in gate.summary) is stops


def test_a_member_that_cannot_be_asked_is_told_and_a_joiner_stops_it() -> None:
    member = of(zk1=Reach("zk1", problem="zk1: no answer in 10 s"))
    assert (member.verdict, member.stops) == (Verdict.UNKNOWN, False) and "no answer in 10 s" in member.summary
    assert of(zk4=Reach("zk4", problem="zk4: an odd answer")).stops


def test_members_that_nobody_can_ask_are_told() -> None:
    """Such as one that the inventory does not have: what is not known of it does not pass for well."""
    gate = of(zk2=Reach("2", problem="not asked: it is no host of the inventory that is reached over SSH"))
    assert (gate.verdict, gate.stops) == (Verdict.UNKNOWN, False) and gate.summary.startswith("2: not asked")


class TestTheProgram:
    """`reach.py`, run here as it is run there."""

    def answer(self, names: list[str], pairs: list[list[Any]], timeout_s: float = 2.0) -> dict[str, Any]:
        arguments = {"names": names, "connect": pairs, "timeout_s": timeout_s}
        text = f"ARGUMENTS = {arguments!r}\n{program('reach')}"
        done = subprocess.run([sys.executable, "-I", "-"], input=text, text=True, capture_output=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def test_open_refused_and_lost(self) -> None:
        with ExitStack() as held:
            server = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            closed = held.enter_context(socket.socket())
            closed.bind(("127.0.0.1", 0))
            at, none = server.getsockname()[1], closed.getsockname()[1]
            # who takes nobody from a full queue answers as little as a packet filter does
            silent = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            lost = silent.getsockname()[1]
            for _ in range(4):
                waiting = held.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.1", lost))
            found = self.answer(
                ["localhost", "nowhere.invalid", "a b"],
                [["127.0.0.1", at], ["127.0.0.1", none], ["127.0.0.1", lost], ["nowhere.invalid", 1]],
                0.3,
            )
        assert found["ports"][f"127.0.0.1 {at}"] == "open" and found["ports"][f"127.0.0.1 {none}"] == "refused"
        assert found["ports"][f"127.0.0.1 {lost}"] == "no answer"
        assert found["ports"]["nowhere.invalid 1"] not in ("open", "refused")
        assert "127.0.0.1" in found["names"]["localhost"]["addresses"]
        assert found["names"]["nowhere.invalid"]["error"] and found["names"]["a b"]["error"]
