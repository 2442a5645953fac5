"""Real machines are patched and rebooted one after another, under load; one at a time, and once, whatever befalls zkprov meanwhile."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from tests.hosts.machines import Machines
from tests.hosts.operator import DIGEST, PASSWORD, QUICK, Operator
from tests.real.driver import Load, Running, Sampler, Zkprov, epoch, events_in, mode, wait_for, word
from zkprov.lab.lab import Lab
from zkprov.model.inventory import InventoryHost

pytestmark = pytest.mark.real
ROLL = ("--yes", "--samples", "2", "--sample-interval", "0.2", "--reboot")
COUNTED = """cat >/etc/systemd/system/boots.service <<EOF
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cat /proc/sys/kernel/random/boot_id >>/root/boots'
[Install]
WantedBy=multi-user.target
EOF
systemctl enable --quiet --now boots"""


def boots(machines: Machines) -> dict[str, list[str]]:
    """Machine → the id of each boot that it was in, as it wrote them down itself."""
    return {m.name: m.shell("cat /root/boots").split() for m in machines}


def patching(folder: Path, more: str = "true") -> tuple[str, ...]:
    """A hook that stands for the package manager: it tells in which boot it ran, and fails where a server runs meanwhile. Then `more`."""
    folder.mkdir(exist_ok=True)
    hook = f"! pgrep -f [Q]uorumPeerMain && cat /proc/sys/kernel/random/boot_id >>/root/patched && {more}"
    task = {"name": "Patched", "ansible.builtin.shell": hook}
    play = {"hosts": "{{ zkprov_host }}", "gather_facts": False, "become": True, "tasks": [task]}
    (folder / "before-reboot.yml").write_text(yaml.safe_dump([play]))
    return "--playbooks", str(folder)


class Down:
    """Asks every server again and again for a word; remembers who said none at once. One that hands over says that it does not serve."""

    def __init__(self, hosts: list[InventoryHost]) -> None:
        self._hosts, self._stop = hosts, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.together: set[tuple[str, ...]] = set()

    @contextmanager
    def watched(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(30)

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            self.together.add(tuple(h.name for h in self._hosts if not word(h)))


@pytest.mark.timeout(600)
@pytest.mark.matrix(keep=1, of="reboots on hosts", among="stories on hosts")
@pytest.mark.parametrize("killed_at", ["never", "stop", "hook", "reboot", "ordered", "rebooted"])
def test_machines_are_patched_and_rebooted(
    operator: Callable[[int], Operator], killed_at: str, rng: random.Random
) -> None:
    made = operator(3)
    zkprov = made.of(3)
    zkprov("bootstrap", *QUICK, timeout_s=300).expect(0, "done: {1,2,3}")
    for machine in made.machines:
        machine.shell(COUNTED)
    hosts, before = made.hosts(), boots(made.machines)
    leader, was = next(h for h in hosts if mode(h) == "leader"), epoch(hosts[0])
    playbooks = patching(made.folder / "playbooks")
    events, down = made.folder / "roll.jsonl", Down(hosts)
    command = ("restart", *ROLL, *playbooks)
    with Load(hosts, per_s=50) as load, Sampler(SimpleNamespace(hosts=hosts)) as sampler, down.watched():
        wait_for(lambda: len(load.acknowledged) > 20)
        if killed_at == "never":
            done = zkprov(*command, "--events", str(events), timeout_s=300)
        else:
            kill(zkprov.start(*command, "--events", str(events)), events, killed_at, rng.randint(1, 3))
            elsewhere = Zkprov(cast(Lab, None), made.folder / "elsewhere", made.inventory, (PASSWORD, DIGEST))
            again = rng.choice([zkprov, elsewhere])
            done = again("resume", *playbooks, "--events", str(made.folder / "again.jsonl"), timeout_s=300)
        done.expect(0, "done: {1,2,3}")
    told = [*events_in(events), *events_in(made.folder / "again.jsonl")]
    order = [e["evidence"]["step"] for e in told if e["kind"] == "step.done"]
    assert len(order) == 3 and (order[-1] == f"reboot {leader.name.removeprefix('zk')}" or killed_at != "never"), order
    after = boots(made.machines)
    assert all(after[n][:-1] == before[n] and after[n][-1] not in before[n] for n in after), "each once"
    patched = {m.name: m.shell("cat /root/patched").split() for m in made.machines}
    assert all(set(patched[n]) == set(before[n]) for n in before), "patched before its reboot"
    assert all(len(names) <= 1 for names in down.together), f"two down at once: {down.together}"
    if killed_at == "never":
        said = {e["evidence"]["host"]: e["evidence"] for e in told if e["kind"] == "rebooted"}
        assert {n: e["was"].split()[0] for n, e in said.items()} == {n: b[-1] for n, b in before.items()}
        assert {n: e["boot"].split()[0] for n, e in said.items()} == {n: b[-1] for n, b in after.items()}
        # handed over: a leader more, and none without the other's end
        assert [epoch(h) for h in hosts] == [was + 1] * 3 and [len(p) for p in patched.values()] == [1] * 3
    assert all(len(names) <= 1 for names in sampler.leaders[-3:])
    assert not any(load.missing(h) for h in hosts) and len(load.acknowledged) > 100
    zkprov("check").expect(0)


@pytest.mark.timeout(600)
@pytest.mark.matrix(keep=1, of="reboots on hosts", among="stories on hosts")
def test_a_host_that_does_not_come_back(operator: Callable[[int], Operator]) -> None:
    """The rest is not touched; with the host back the run goes on, and does not reboot it again."""
    made = operator(3)
    zkprov = made.of(3)
    zkprov("bootstrap", *QUICK, timeout_s=300).expect(0, "done: {1,2,3}")
    for machine in made.machines:
        machine.shell(COUNTED)
    hosts, before = made.hosts(), boots(made.machines)
    first = made.machines[next(h.name for h in hosts if mode(h) == "follower")]
    playbooks = patching(made.folder / "playbooks", f"{{ test $(hostname) != {first.name} || systemctl disable ssh; }}")
    command = ("restart", *ROLL, *playbooks, "--reboot-timeout")
    # what the hook says of itself is what it is stopped for
    (made.folder / "playbooks" / "before-restart").write_text("#!/bin/sh\necho not now\nexit 1\n")
    (made.folder / "playbooks" / "before-restart").chmod(0o755)
    zkprov(*command, "60").expect(4, "the hook before-restart failed with exit code 1: not now", "nothing was begun")
    (made.folder / "playbooks" / "before-restart").unlink()
    assert boots(made.machines) == before
    told = zkprov(*command, "12", timeout_s=300).expect(
        7, f"{first.name} is not back after 12 s", "not yet: ", "zkprov resume"
    )
    assert "its host is to reboot" in told.said
    assert {n for n, seen in boots(made.machines).items() if seen != before[n]} == {first.name}
    first.shell("systemctl start ssh; systemctl enable --quiet ssh")
    zkprov("resume", *playbooks, timeout_s=300).expect(0, "done: {1,2,3}")
    assert {n: len(b) for n, b in boots(made.machines).items()} == dict.fromkeys(before, 2), "each once"
    zkprov("check").expect(0)


def kill(running: Running, events: Path, at: str, step: int) -> None:
    """At the step's first event of that kind, by SIGKILL."""

    def there(e: dict[str, Any]) -> bool:
        said = e["evidence"]
        return e["step"] == step and {
            "stop": e["kind"] == "act" and "stop" in said["what"],
            "hook": e["kind"] == "hook",
            "reboot": e["kind"] == "act" and said["what"].endswith(": reboot"),
            "ordered": e["kind"] == "play" and said["play"] == "reboot",
            "rebooted": e["kind"] == "rebooted",
        }[at]  # fmt: skip

    wait_for(lambda: any(map(there, events_in(events))) or running.process.poll() is not None, 120, at)
    running.signal(signal.SIGKILL)
    running.wait()
