"""One ensemble of three with zk4 on its way in: instants at which something breaks, and what must hold afterwards."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tests.real.driver import (
    Done,
    Load,
    Running,
    Sampler,
    Zkprov,
    client,
    events_in,
    lists_on_disk,
    live_config,
    mode,
    wait_for,
)
from zkprov.act.processes import ServerProcess, await_end, running_servers
from zkprov.lab.lab import Lab
from zkprov.model.inventory import InventoryHost
from zkprov.model.members import Seat

QUICK = ("--yes", "--settle", "0.3", "--samples", "2", "--sample-interval", "0.1", "--step-timeout", "15")
NEW = 4
LISTS: tuple[tuple[Seat, ...], ...] = ((), (Seat(1),) * 5)
"""A majority, or one group of all: the same quorums, and another way to ZooKeeper, by the whole list."""


class Instant(NamedTuple):
    """The `nth` event of a kind in a step of the run. Step 0 and no kind: while the plan is made."""

    step: int
    kind: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.step}-{self.kind or 'planning'}" + (f"-{self.nth}" if self.nth > 1 else "")


def instants(text: str) -> tuple[Instant, ...]:
    return tuple(Instant(int(p[0]), p[1], int(p[2]) if len(p) > 2 else 1) for p in map(str.split, text.splitlines()))


# every event of an add, in order, each of them next to a different act, write or wait
EVERY = (
    Instant(0, ""),
    *instants(
        """0 run.begun
1 step.begun
1 gates
1 act
1 step.done
2 step.begun
2 gates
2 act
2 answer
2 gates 2
2 step.done
3 step.begun
3 sample
3 gates
3 act
3 answer
3 gates 2
3 step.done
4 step.begun
4 gates
4 settling
4 step.done"""
    ),
)


class Scene:
    """`zkprov` is this machine; `elsewhere` another one, with the same inventory and no journal of the run."""

    def __init__(self, lab: Lab, folder: Path, rng: random.Random) -> None:
        self.lab, self.folder, self.rng = lab, folder, rng
        self.zkprov = Zkprov(lab, folder / "here")
        self.elsewhere = Zkprov(lab, folder / "elsewhere")
        self.new = lab.host(NEW)
        self.events = folder / "events.jsonl"
        self._ending = ExitStack()
        self._running: list[Running] = []
        self.woken: set[str] = set()

    def __enter__(self) -> Scene:
        self.load = self._ending.enter_context(Load(self.lab.founders, per_s=50))
        self.sampler = self._ending.enter_context(Sampler(self.lab))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in self._running:
            if running.process.poll() is None:
                running.process.kill()
                running.process.wait()
        for server in self.lab.processes():
            os.kill(server.pid, signal.SIGCONT)
        self._ending.__exit__(kind, error, trace)
        if error is None:
            self.nothing_is_lost()

    # -- what is done

    def add(self, *more: str) -> Running:
        running = self.zkprov.start("add-node", "zk4", *QUICK, *more, "--events", str(self.events))
        self._running.append(running)
        return running

    def reach(self, running: Running, instant: Instant, *, late: bool = False) -> None:
        """Returns at the instant, or when the command ended before; `late`: some chance time after it."""
        if not instant.kind:
            time.sleep(self.rng.uniform(0.1, 1.2))  # chance is the point: anywhere while it starts and plans
            return
        deadline = time.monotonic() + 180
        while running.process.poll() is None:
            met = [e for e in events_in(self.events) if (e["step"], e["kind"]) == (instant.step, instant.kind)]
            if len(met) >= instant.nth:
                break
            assert time.monotonic() < deadline, f"{instant} does not come; {events_in(self.events)[-3:]}"
            time.sleep(0.002)
        if late:
            # the first act is long: files are laid, a server starts and finds the leader
            time.sleep(self.rng.uniform(0, 1.5 if instant == (1, "act", 1) else 0.2))

    def servers(self, *ids: int) -> list[ServerProcess]:
        """The running server processes of these ids, of all where none is given."""
        wanted = {f"{self.lab.host(i).config_dir}/zoo.cfg" for i in ids} or {
            f"{h.config_dir}/zoo.cfg" for h in self.lab.hosts
        }
        return [p for p in running_servers() if p.zoo_cfg in wanted]

    def signal(self, number: signal.Signals, *ids: int) -> list[ServerProcess]:
        """Signals servers, and waits until the signal has worked where it ends them."""
        found = self.servers(*ids)
        for server in found:
            os.kill(server.pid, number)
        if number is signal.SIGKILL:
            assert not await_end(found, 10)
        return found

    def leader(self) -> int:
        found = wait_for(lambda: [h.id for h in self.lab.founders if mode(h) == "leader"], what="a leader")
        assert len(found) == 1
        return int(found[0])

    # -- what must hold

    def planned(self) -> None:
        """zk4 votes; every member has that list in memory and on disk; nothing of the run stands."""
        members = [*self.lab.founders, self.new]
        self._same_list(members)
        assert re.search(rf"^server\.{NEW}=\S+:participant;", live_config(self.new), re.MULTILINE)
        for host in members:
            assert admin(host, "zabstate")["voting"], host.name
        assert self.ledger("members/4")["season_s"] == 900, "zk4 is not known as a newcomer"
        assert not self._fence()
        self.healthy()

    def former(self, *, untouched: bool = False) -> None:
        """zk4 is in no list, runs no more, and its folders are set aside (`untouched`: never were there)."""
        self._same_list(list(self.lab.founders))
        assert f"server.{NEW}=" not in live_config(*self.lab.founders)
        assert not self.servers(NEW)
        here = [f for f in (self.new.config_dir, self.new.data_dir, self.new.data_log_dir) if Path(f).exists()]
        assert not here, here
        if untouched:
            assert not self.set_aside()
        assert not self._fence()
        self.healthy()

    def set_aside(self) -> list[Path]:
        return list(Path(self.new.config_dir).parent.glob("*.set-aside-*"))

    def healthy(self) -> None:
        """zkprov's own word for it: safe, and nothing unfinished, on this machine or another."""
        wait_for(lambda: self.zkprov("check").code == 0, what="a healthy ensemble")
        run = self.ledger("run")
        assert run is None or run["state"] in ("done", "undone", "aborted"), run["state"]
        self.rng.choice([self.zkprov, self.elsewhere])("resume").expect(0, "nothing to resume")

    def _same_list(self, members: list[InventoryHost]) -> None:
        def same() -> bool:
            memory = {live_config(h).strip() for h in members}
            disk = {lists_on_disk(h) for h in members}
            version = next(iter(memory)).rpartition("version=")[2]
            return len(memory) == len(disk) == 1 and {d[-1] for d in disk} == {version}

        wait_for(same, what="one list in memory and on disk")
        modes = sorted(mode(h) for h in members)
        assert modes == ["follower"] * (len(members) - 1) + ["leader"], modes

    def _fence(self) -> str:
        path = Path(f"{self.new.config_dir}.zkprov") / "run"
        return path.read_text() if path.exists() else ""

    def ledger(self, name: str) -> Any:
        with client(*self.lab.founders) as session:
            path = f"/zkprov/{name}"
            return json.loads(session.get(path)[0] or b"null") if session.exists(path) else None

    def history(self, machine: Zkprov | None = None) -> dict[str, str]:
        """Run → state, as a machine's journal tells."""
        done = (machine or self.zkprov)("history", "--output", "json", inventory=False)
        return {run["id"]: run["state"] for run in done.json}

    def resumed(self, machine: Zkprov | None = None) -> Done:
        """`resume` ends in the planned state, or says that nothing was begun, and then nothing was."""
        machine = machine or self.zkprov
        done = machine("resume", "--events", str(self.folder / "resumed.jsonl")).expect(0)
        if "nothing to resume" in done.said:
            if re.search(rf"^server\.{NEW}=\S+:participant;", live_config(*self.lab.founders), re.MULTILINE):
                self.planned()  # it was killed when all was done
            else:
                self.former(untouched=True)
        else:
            self.planned()
            assert set(self.history(machine).values()) == {"done"}
        return done

    def nothing_is_lost(self) -> None:
        """Through all of it: never two leaders in one sample, and every acknowledged write is on every member."""
        # A leader that was frozen and woken says for a moment that it leads still; the last sample must be without that.
        told = [set(leaders) - self.woken for leaders in self.sampler.leaders[:-1]]
        assert all(len(leaders) <= 1 for leaders in (*told, *self.sampler.leaders[-1:])), self.sampler.leaders
        assert any(self.sampler.leaders) and len(self.load.acknowledged) > 10
        for host in self.lab.hosts:
            if mode(host):
                assert not self.load.missing(host), host.name


def admin(host: InventoryHost, command: str) -> Any:
    with urllib.request.urlopen(f"http://{host.admin}/commands/{command}", timeout=5) as answer:
        return json.load(answer)
