"""A host is rebooted once for a run and a server, whoever asks and how often; what is not known of a host is waited for, within limits.

The program is run as on a host, by an interpreter that reads it; that a boot ends cannot be had here, so the note says another one.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.facts_made import inventory
from tests.unit.plans_made import plan
from tests.unit.test_remote_act import Here
from zkprov.act import ansible
from zkprov.act.ansible import AnsibleHost
from zkprov.act.boots import boot_here, boots_program
from zkprov.act.local import LocalHost
from zkprov.act.plays import PlayFailed, Plays
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.boots import Boot, one_machine
from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.problems import BadInput, Busy, Interrupted, NotHealthy, Unreached
from zkprov.plan.options import checked
from zkprov.plan.steps import Options, Step, StepKind
from zkprov.run import rebooting
from zkprov.run.gating import GateFailed
from zkprov.shipped.remote import boots as program

RUN = "4f1c"


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AnsibleHost:
    monkeypatch.setattr(ansible, "CONTROL", str(tmp_path / "control"))
    host = InventoryHost(name="zk1", address="127.0.0.1", id=1, config_dir=str(tmp_path / "etc"))
    return AnsibleHost(host, Here(), Plays(str(tmp_path / "inventory"), artifacts=tmp_path / "artifacts"))


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of systemd's: what they were called with is in the file."""
    said, folder = tmp_path / "called", tmp_path / "bin"
    folder.mkdir()
    (folder / "systemd-run").write_text(f'#!/bin/sh\necho "$@" >>{said}\n')
    (folder / "systemctl").write_text("#!/bin/sh\necho starting\nexit 1\n")
    for tool in folder.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return said


def test_it_runs_on_python_3_6() -> None:
    ast.parse(boots_program(), feature_version=(3, 6))


def test_the_program_that_ansible_ships_is_the_same() -> None:
    beside = Path(ansible.__file__).parents[1] / "shipped" / "playbooks" / "module_utils"
    assert "\n".join((beside / f"zkprov_{n}.py").read_text() for n in ("stands", "boots")) == boots_program()


def test_what_a_host_tells_of_its_boot(remote: AnsibleHost, tools: Path) -> None:
    seen = remote.boot()
    ident, began, space = seen.boot.split()
    assert ident == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert began == Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19] and space.startswith("pid:[")
    assert seen.state == "starting" and seen.under_way and seen.ordered is None
    assert seen == remote.boot() and seen.boot == boot_here().boot == LocalHost(remote.host).boot().boot


def test_a_server_of_another_ensemble_is_named(remote: AnsibleHost) -> None:
    words = [sys.executable, "-c", "import sys; sys.stdin.read()", program.MAIN_CLASS.decode()]
    config = Path(remote.host.config_dir)
    ours, other = (
        subprocess.Popen([*words, str(place)], stdin=subprocess.PIPE)
        for place in (config / "zoo.cfg", "/srv/other/zoo.cfg")
    )
    try:
        assert [o for o in remote.boot().others if o.startswith(("/srv/other", str(config)))] == ["/srv/other/zoo.cfg"]
    finally:
        for process in (ours, other):
            process.communicate(b"")


def test_it_is_noted_once_for_a_run_and_a_server(remote: AnsibleHost, tmp_path: Path) -> None:
    note = tmp_path / "control" / "zk1" / "reboot"
    with pytest.raises(Interrupted):
        remote.to_reboot(RUN, 0, 1)
    remote.fence(RUN, 0)
    assert remote.to_reboot(RUN, 0, 1) and remote.to_reboot(RUN, 0, 1), "in the same boot it is still to be done"
    now = remote.boot()
    assert now.ordered == (RUN, 1, now.boot) and not now.was_rebooted(RUN, 1)
    note.write_text(f"{RUN} 1 another boot 1 pid:[1]")
    assert remote.boot().was_rebooted(RUN, 1) and not remote.to_reboot(RUN, 0, 1)
    # for another server of the plan, or another run, it is another reboot
    assert not remote.boot().was_rebooted(RUN, 2) and not remote.boot().was_rebooted("other", 1)
    assert remote.to_reboot(RUN, 0, 2) and remote.boot().ordered == (RUN, 2, now.boot)
    # whoever was taken over, or has another's host, notes nothing
    remote.fence(RUN, 1)
    with pytest.raises(Interrupted):
        remote.to_reboot(RUN, 0, 1)
    with pytest.raises(Busy):
        remote.to_reboot("other", 0, 1)
    # the run is over: a plan that is applied once more reboots once more
    remote.unfence(RUN, 1)
    assert not note.exists() and remote.boot().ordered is None


@pytest.mark.parametrize("text", ["", "one", "one two three", "4f1c x y", "\x00 1 "])
def test_a_note_that_is_none(remote: AnsibleHost, tmp_path: Path, text: str) -> None:
    remote.fence(RUN, 0)
    (tmp_path / "control" / "zk1" / "reboot").write_text(text)
    assert not remote.boot().was_rebooted(RUN, 1) and remote.to_reboot(RUN, 0, 1)


def test_it_is_ordered_in_that_boot_alone_and_by_its_run(remote: AnsibleHost, tools: Path, tmp_path: Path) -> None:
    control = str(tmp_path / "control" / "zk1")
    remote.fence(RUN, 1)
    assert not program.order(control, RUN, 1, "another boot")
    for run, attempt in ((RUN, 0), ("other", 1)):
        with pytest.raises(program.Problem):
            program.order(control, run, attempt, program.boot())
    assert not tools.exists(), "nothing was ordered"
    assert program.order(control, RUN, 1, program.boot())
    assert tools.read_text().split()[-2:] == ["systemctl", "reboot"]


def test_an_order_that_is_refused_is_told(remote: AnsibleHost, tools: Path, tmp_path: Path) -> None:
    (tools.parent / "bin" / "systemd-run").write_text("#!/bin/sh\necho 'a package is being installed' >&2\nexit 1\n")
    remote.fence(RUN, 0)
    with pytest.raises(program.Problem, match="no reboot: systemd-run: a package is being installed"):
        program.order(str(tmp_path / "control" / "zk1"), RUN, 0, program.boot())


def test_this_machine_is_not_rebooted(remote: AnsibleHost) -> None:
    here = LocalHost(InventoryHost(name="zk1", address="127.0.0.1", connection="local"))
    with pytest.raises(BadInput, match=r"zk1: this host is the machine on which zkprov runs .*as a lab's hosts are"):
        here.reboot("", 1)
    hosts = tuple(InventoryHost(name=f"zk{i}", address=f"zk{i}") for i in (1, 2))
    world: Any = SimpleNamespace(inventory=Inventory("kafka", "hosts.yml", hosts, ""))
    rebooting.not_here(world, {"zk2": boot_here()}, ["zk1"])
    with pytest.raises(BadInput, match="zk2: this host is the machine on which zkprov runs: it is not rebooted"):
        rebooting.not_here(world, {"zk2": boot_here()}, ["zk1", "zk2"])


def test_one_machine_is_known_by_its_boot() -> None:
    boots = {"zk1": Boot("a 1"), "zk2": Boot("a 1"), "zk3": Boot("a 2"), "zk4": Boot("b 1")}
    assert one_machine(boots, "zk1") == ("zk2",) and not one_machine(boots, "zk3") and not one_machine(boots, "zk4")


def test_there_must_be_time_for_it() -> None:
    with pytest.raises(BadInput, match="--reboot-timeout"):
        checked(Options(reboot=True, reboot_timeout_s=0.0), inventory(3))


# -- within a run: hosts that are away, and orders of which nobody knows what came


class Away:
    """A host that says these things one after another, the last one for ever; its order fails as told."""

    def __init__(self, *said: Boot | NotHealthy, order: NotHealthy | None = None, active: bool = True) -> None:
        self.said, self.order, self.active, self.done = list(said), order, active, list[str]()

    def boot(self) -> Boot:
        now = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if isinstance(now, NotHealthy):
            raise now
        return now

    def to_reboot(self, run: str, attempt: int, server: int) -> bool:
        self.done.append("note")
        return True

    def reboot(self, boot: str, timeout_s: float) -> None:
        self.done.append(f"order in {boot}")
        if self.order:
            raise self.order

    def is_active(self) -> bool:
        return self.active

    def start(self) -> None:
        self.done.append("start")


class Clock:
    """Each wait is a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def engine(limit_s: float = 60.0, stop: GateResult | None = None) -> Any:
    clock, told = Clock(), list[tuple[str, dict[str, Any]]]()

    def pause(_: float) -> None:
        clock.now += 1.0

    return SimpleNamespace(
        clock=clock,
        told=told,
        attempt=0,
        plan=plan(RUN, options=Options(reboot=True, reboot_timeout_s=limit_s)),
        events=SimpleNamespace(emit=lambda kind, **said: told.append((kind, said))),
        gates=SimpleNamespace(
            pause=pause,
            health=lambda: told.append(("gates", {})) or SimpleNamespace(gates=()),
            first_stop=lambda _: stop,
            leaving=frozenset(),
        ),
        intend=lambda _: told.append(("intend", {})),
        world=SimpleNamespace(hooks=lambda *_, **__: False),
        stop=threading.Event(),
        stands="",
    )


STEP = Step(1, StepKind.RESTART, 1, "zk1", plan().base, plan().base, 1, reboots=True)
WAS, NOW = Boot("a", "running"), Boot("b", "running")
GONE = Unreached("no route to host", outcome="timeout", place="zk1")


def reboot(run: Any, host: Any, *, asks: bool = True) -> list[str]:
    rebooting.reboot(run, host, STEP, asks=asks)
    return [kind for kind, _ in run.told]


def test_a_connection_that_is_lost_is_a_fact() -> None:
    host, run = Away(WAS, GONE, WAS, GONE, GONE, Boot("b", "starting"), NOW), engine()
    assert reboot(run, host) == ["gates", "intend", "act", "rebooted"]
    assert host.done == ["note", "order in a"] and run.gates.leaving == {1}
    assert run.told[-1][1] | {"took_s": 0} == {"host": "zk1", "was": "a", "boot": "b", "took_s": 0}


def test_whose_unit_does_not_come_up_with_its_host_is_started() -> None:
    host = Away(WAS, WAS, GONE, Boot("b", "starting"), Boot("b", "starting"), NOW, active=False)
    reboot(engine(), host)
    assert host.done == ["note", "order in a", "start"]


def test_nobody_is_asked_where_the_others_are_no_quorum() -> None:
    assert reboot(engine(), Away(WAS, WAS, NOW), asks=False) == ["act", "rebooted"]


def test_a_hook_that_has_rebooted_the_host_is_enough() -> None:
    host = Away(WAS, GONE, NOW)
    assert reboot(engine(), host) == ["rebooted"] and not host.done


def test_with_another_one_gone_meanwhile_nothing_is_rebooted() -> None:
    host, run = Away(WAS), engine(stop=GateResult("members answer", Verdict.FAIL, "2 (zk2): refused"))
    with pytest.raises(GateFailed, match="zk2"):
        reboot(run, host)
    assert not host.done and run.clock.now <= rebooting.STAND_S + 2


@pytest.mark.parametrize("seen, stays", [(WAS, False), (GONE, True), (Boot("b", ordered=(RUN, 1, "a")), True)])
def test_a_reboot_is_not_taken_back(seen: Boot | NotHealthy, stays: bool) -> None:
    run = engine()
    run.world.host = lambda _: Away(seen)
    assert rebooting.cannot_be_taken_back(run, STEP) is stays


def test_an_order_of_before_that_was_carried_out_just_now_is_enough() -> None:
    host, run = Away(NOW), engine()
    host.to_reboot = lambda *_: False  # type: ignore[method-assign]
    assert reboot(run, host) == ["gates", "intend"] and not host.done and run.clock.now < 1


@pytest.mark.parametrize("lost", [GONE, PlayFailed("lost in the middle", place="zk1", task="The host reboots")])
def test_an_order_of_which_nobody_knows_is_told_by_the_boot(lost: NotHealthy) -> None:
    assert reboot(engine(), Away(WAS, WAS, WAS, WAS, GONE, GONE, NOW, order=lost))[2:] == ["act", "answer", "rebooted"]


def test_a_host_that_goes_on_as_it_was_has_not_had_its_order() -> None:
    run, failed = engine(), PlayFailed("shutdown is not there", place="zk1", task="The host reboots")
    with pytest.raises(PlayFailed, match="shutdown is not there"):
        reboot(run, Away(WAS, order=failed))
    assert run.clock.now <= rebooting.GRACE_S + 2


@pytest.mark.parametrize("said, why", [(GONE, "no route to host"), (WAS, "it is in the boot of before")])
def test_a_host_that_does_not_come_back_ends_the_step(said: Boot | NotHealthy, why: str) -> None:
    run = engine(limit_s=30)
    with pytest.raises(GateFailed, match=f"zk1 is not back after 30 s: {why}") as failed:
        reboot(run, Away(WAS, WAS, said))
    assert "zkprov resume" in failed.value.gate.remedy and run.stands == "1 was stopped, and its host is to reboot"
    assert [k for k, _ in run.told].count("rebooting") == 6


def test_what_is_taken_up_waits_for_an_order_that_is_under_way() -> None:
    run = engine()
    noted = Boot("a", "running", ordered=(RUN, 1, "a"))
    host = Away(noted, Boot("a", "stopping", ordered=(RUN, 1, "a")), GONE, Boot("b", "starting", ordered=(RUN, 1, "a")))
    run.world.host = lambda _: host
    rebooting.await_host(run, STEP)
    assert len(host.said) == 1 and host.boot().was_rebooted(RUN, 1)
    # one that was noted and never given is not waited for
    run.world.host = lambda _: Away(noted)
    rebooting.await_host(run, STEP)
