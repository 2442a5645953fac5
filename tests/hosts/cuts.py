"""Three members on real machines with zk4 on its way in, or bare ones of which they are made: where a run is met, what befalls it
there, and what must hold in the end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, cast

import yaml

from tests.faults.scene import Instant
from tests.hosts.machine import Machine
from tests.hosts.machines import Machines
from tests.hosts.operator import DIGEST, PASSWORD, Operator
from tests.real.driver import (
    Done,
    Load,
    Running,
    Sampler,
    Zkprov,
    client,
    events_in,
    live_config,
    mode,
    some_instant,
    wait_for,
)
from zkprov.lab.lab import Lab
from zkprov.model.inventory import InventoryHost
from zkprov.shipped import shipped

QUICK = (
    "--yes",
    "--settle",
    "0.3",
    "--samples",
    "3",
    "--sample-interval",
    "0.3",
    "--step-timeout",
    "20",
    "--timeout",
    "5",
)
LIMIT_S = 150.0
"""In which a run ends, whatever is cut: a step's time, what is waited for in the ledger and on hosts, and the undoing."""
FOLLOWS = re.compile(r"zkprov (resume|abort|status|add-node|bootstrap|history)|journalctl|ansible")
# Whoever comes first is held, and nobody else.
_HELD = "mv {armed} {held} 2>/dev/null || exit 0; while test -e {held}; do sleep 0.1; done"

Phase = Instant | str
"""An event of the run, or `before install`: a hook of the operator's that waits; or `in install`: a task there that does."""


class Scene:
    """`zkprov` is this machine; `elsewhere` another one, with the same inventory and no journal of the run."""

    def __init__(
        self, machines: Machines, archive: tuple[Path, str], folder: Path, rng: Random, *, count: int, members: int
    ) -> None:
        self.machines, self.folder, self.rng, self.count = machines, folder, rng, count
        self.operator = Operator(machines, archive, folder)
        self.zkprov = self.operator.of(count)
        self.elsewhere = Zkprov(cast(Lab, None), folder / "elsewhere", self.operator.inventory, (PASSWORD, DIGEST))
        self.hosts: list[InventoryHost] = self.operator.hosts()
        self.founders = self.hosts[:members]
        self.events = folder / "events.jsonl"
        self.cut: list[Machine] = []
        self.load: Load | None = None
        self._playbooks: tuple[str, ...] = ()
        self._held: Path | None = None
        self._ending = ExitStack()

    def __enter__(self) -> Scene:
        if self.founders:
            self.await_leader()
            wait_for(lambda: self.zkprov("check").code == 0, 60, "a healthy ensemble")
            self.load = self._ending.enter_context(Load(self.founders, per_s=20))
        self.sampler = self._ending.enter_context(Sampler(self, 0.3))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self.kill(everything=True)
        self.mend()
        self._ending.__exit__(kind, error, trace)
        if error is None:
            self.nothing_is_lost()

    # -- a run, and where it is met

    def start(self, phase: Phase, *command: str, host: str) -> Running:
        """`command`, that waits at the phase of `host` where that is a play's."""
        if isinstance(phase, str):
            folder = self.folder / "playbooks"
            folder.mkdir()
            self._playbooks = ("--playbooks", str(folder))
            where, play = phase.split()
            if where == "before":
                hook = folder / f"before-{play}"
                armed, self._held = self.folder / f"armed-{host}", self.folder / "held"
                hook.write_text(
                    f"#!/bin/sh\n{_HELD.format(armed=self.folder / 'armed-$ZKPROV_HOST', held=self._held)}\n"
                )
                hook.chmod(0o755)
            else:
                (folder / f"{play}.yml").write_text(held(play))
                armed, self._held = (self.machines[host].root / name for name in ("armed", "held"))
            armed.touch()
        return self.zkprov.start(*command, *self._playbooks, "--events", str(self.events))

    def reach(self, running: Running, phase: Phase) -> None:
        """Returns when the run is there; it waits there, or is stopped until `go`."""

        def there() -> bool:
            if isinstance(phase, str):
                return self._held is not None and self._held.exists()
            met = [e for e in events_in(self.events) if (e["step"], e["kind"]) == (phase.step, phase.kind)]
            return len(met) >= phase.nth

        deadline = time.monotonic() + 120
        while not there():
            assert running.process.poll() is None, f"it ended before {phase}: {running.wait()!r}"
            assert time.monotonic() < deadline, f"{phase} does not come; {events_in(self.events)[-3:]}"
            time.sleep(0.002)
        if isinstance(phase, Instant) and running.process.poll() is None:
            running.process.send_signal(signal.SIGSTOP)

    def go(self, running: Running) -> None:
        """The run goes on from where it was met."""
        self.release()
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGCONT)

    def release(self) -> None:
        if self._held:
            self._held.unlink(missing_ok=True)

    # -- what befalls it

    def cut_off(self) -> None:
        """No packet between this machine and any of them, and nobody is told."""
        for machine in self.machines:
            machine.partition(self.machines.gateway)
            self.cut.append(machine)

    def power_cut(self, name: str) -> None:
        """Without a word to those that it is connected with: a dead machine closes no connections."""
        machine = self.machines[name]
        machine.partition()
        machine.power_cut()
        self.cut.append(machine)

    def mend(self) -> None:
        """Whatever was cut is as it was; machines boot by themselves."""
        for machine in self.cut:
            machine.heal()
            machine.power_on()
        self.cut.clear()

    def kill(self, running: Running | None = None, *, everything: bool = False) -> None:
        """-9; of the command alone, or of all that it has started too."""
        if running is not None:
            running.process.kill()
            running.process.wait()
        while everything and (found := self.processes()):
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        """Of this scene, by their environment: commands, and what they have started."""
        word = f"XDG_STATE_HOME={self.folder}/".encode()
        found: list[int] = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                alive = b") Z " not in (entry / "stat").read_bytes()
                if alive and any(w.startswith(word) for w in (entry / "environ").read_bytes().split(b"\0")):
                    found.append(int(entry.name))
        return found

    def orphans(self) -> list[int]:
        """What a command that was killed has left at work; but not a connection that is kept for the next play."""
        return [pid for pid in self.processes() if not Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ssh: ")]

    def await_end(self, pids: list[int]) -> None:
        wait_for(lambda: not set(pids) & set(self.processes()), 60, "the end of what was left")

    def a_while(self, running: Running, within_s: float) -> None:
        some_instant(running, self.rng, within_s)

    # -- who is who

    def await_leader(self) -> None:
        wait_for(lambda: [h for h in self.hosts if mode(h) == "leader"], 60, "a leader")

    def leader(self) -> str:
        found = wait_for(lambda: [h.name for h in self.hosts if mode(h) == "leader"], what="a leader")
        assert len(found) == 1
        return str(found[0])

    def voters(self) -> list[str]:
        """Names of the hosts that are participants of the list."""
        config = live_config(*(h for h in self.hosts if mode(h)))
        return [h.name for h in self.hosts if re.search(rf"=\S*{re.escape(h.address)}:\S+:participant;", config)]

    # -- what is said, and done about it

    def told(self, done: Done) -> None:
        """A documented exit code and one message that names what to type next."""
        assert done.code in (0, 4, 5, 7) and "Traceback" not in done.err, done
        if done.code:
            assert re.search(r"\bnext\b", done.said) and FOLLOWS.search(done.said.partition(" next ")[2]), done

    def carried_on(self, done: Done | None, new: str) -> str:
        """Does what the messages say until nothing stands unfinished. `done`: how the add ended; None: it was killed. How it ended."""
        for _ in range(5):
            if done is not None:
                self.told(done)
                if done.code == 0 or (done.code == 4 and done.arguments[0] == "add-node"):
                    return self.ended(new)
                self.await_leader()
            where = self.elsewhere if done is None and self.rng.random() < 0.4 else self.zkprov
            word = self.rng.choice(["resume", "resume", "resume", "abort"])
            done = where(word, *self._playbooks, timeout_s=LIMIT_S)
        raise AssertionError(f"it is not over: {done!r}")

    def founded(self, done: Done | None, command: tuple[str, ...]) -> None:
        """The same of a bootstrap, which is its own way to go on: all of its hosts are members in the end."""
        if done is not None and done.code:
            assert done.code in (4, 7) and "zkprov bootstrap" in done.said.partition(" next ")[2], done
        for _ in range(4):
            if done is not None:
                self.told(done)
                if done.code == 0:
                    break
            done = self.zkprov(*command, *self._playbooks, timeout_s=2 * LIMIT_S)
        assert done is not None and done.code == 0, done
        assert self.voters() == [h.name for h in self.hosts]
        self.ended(self.hosts[-1].name)
        self.zkprov(*command, *self._playbooks).expect(0, "nothing to do")

    def ended(self, new: str) -> str:
        found = "planned" if new in self.voters() else "former"
        members = [h for h in self.hosts if h.name != new or found == "planned"]
        others = [m for m in self.machines if m.name not in {h.name for h in members}]
        wait_for(lambda: self.same_list(members), 60, "one list in memory and on disk")
        modes = sorted(mode(h) for h in members)
        assert modes == ["follower"] * (len(members) - 1) + ["leader"], modes
        for machine in others:
            self.is_bare(machine)
        for machine in self.machines:
            if machine not in others:
                assert len(machine.shell("pgrep java").split()) == 1, machine
            assert not (machine.root / f"var/lib/zkprov/{machine.name}/run").exists(), "a fence is left"
        wait_for(lambda: self.zkprov("check").code == 0, what="a healthy ensemble")
        run = self.ledger("run")
        assert run is None or run["state"] in ("done", "undone", "aborted"), run["state"]
        self.rng.choice([self.zkprov, self.elsewhere])("resume", *self._playbooks).expect(0, "nothing to resume")
        status = self.zkprov("status", "--output", "json").expect(0).json["ensemble"]
        assert (status["verdict"], len(status["leaders"])) == ("safe", 1), status
        return found

    def is_bare(self, machine: Machine) -> None:
        """No server runs there, none comes up when it boots, and its files are set aside."""
        assert not machine.shell("pgrep java || true").split(), machine
        assert machine.shell("systemctl is-active zookeeper || true").strip() != "active"
        assert not machine.shell("cat /etc/zookeeper/* /var/lib/zookeeper/* 2>/dev/null || true"), machine

    def same_list(self, members: list[InventoryHost]) -> bool:
        try:
            memory = {live_config(h).strip() for h in members}
        except Exception:  # one that does not serve yet
            return False
        version = next(iter(memory)).rpartition("version=")[2]
        disk = {on_disk(self.machines[h.name]) for h in members}
        return len(memory) == len(disk) == 1 and {d[-1] for d in disk} == {version}

    def ledger(self, name: str) -> Any:
        with client(*(h for h in self.hosts if mode(h))) as session:
            path = f"/zkprov/{name}"
            return json.loads(session.get(path)[0] or b"null") if session.exists(path) else None

    def nothing_is_lost(self) -> None:
        """Never two leaders in one sample, and every acknowledged write is on every member."""
        assert all(len(leaders) <= 1 for leaders in self.sampler.leaders), self.sampler.leaders
        assert any(self.sampler.leaders)
        if self.load:
            assert len(self.load.acknowledged) > 10
            for host in self.hosts:
                if mode(host):
                    assert not self.load.missing(host), host.name


def on_disk(machine: Machine) -> tuple[str, ...]:
    """The server lines of the list that zoo.cfg points at, and its version, read as text from the machine's disk."""
    pointed = re.search(
        r"^dynamicConfigFile=/(.+)$", (machine.root / "etc/zookeeper/zoo.cfg").read_text(), re.MULTILINE
    )
    assert pointed, machine
    lines = (machine.root / pointed[1]).read_text().split()
    return (*sorted(line for line in lines if line.startswith("server.")), pointed[1].rpartition(".")[2])


def held(play: str) -> str:
    """Our playbook, with a task in its middle that waits on the host until /held is gone."""
    (document,) = yaml.safe_load((shipped("playbooks") / f"{play}.yml").read_text())
    waits = {"name": "Held", "ansible.builtin.shell": _HELD.format(armed="/armed", held="/held"), "changed_when": False}
    tasks = document["tasks"]
    if play == "install":
        tasks = next(task["block"] for task in tasks if "block" in task)
    before = {"install": "The release", "configure": "The files", "start": "The server runs"}[play]
    tasks.insert(next(i for i, task in enumerate(tasks) if task["name"] == before), waits)
    return yaml.safe_dump([document], sort_keys=False)
