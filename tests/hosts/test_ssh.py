"""Looks at real machines over their own sshd: what is told of them, who may look, and what a network or a power cut does to a look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.hosts.conftest import MakeMachines
from tests.hosts.machines import Machine, Machines
from zkprov.model.facts import Outcome
from zkprov.model.inventory import Access, InventoryHost
from zkprov.model.problems import Unreached
from zkprov.observe.inventory import read_inventory
from zkprov.observe.remote import MAIN_CLASS, look_remote, read_remote
from zkprov.observe.ssh import Connections

LIST = "".join(f"server.{i}=zk{i}:2888:3888:participant;2181\n" for i in (1, 2, 3))
CFG = "dataDir=/var/lib/zookeeper\nreconfigEnabled=true\ndynamicConfigFile=/etc/zookeeper/zoo.cfg.dynamic.1a\n"
WAIT = "import time\ntime.sleep(60)\nprint('{}')\n"


@pytest.fixture
def connections() -> Iterator[Connections]:
    with Connections() as connections:
        yield connections


def host(machines: Machines, machine: Machine, **access: Any) -> InventoryHost:
    options = (("UserKnownHostsFile", str(machines.known_hosts)), ("IdentitiesOnly", "yes"))
    given = {"user": "ops", "sudo": True, "key_file": str(machines.key), "python": "/usr/bin/python3", **access}
    return InventoryHost(machine.name, machine.address, access=Access(machine.address, options=options, **given))


def lay(machine: Machine, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = machine.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def clear(machine: Machine) -> None:
    machine.shell("rm -rf /etc/zookeeper /var/lib/zookeeper")


def refusal(connections: Connections, of: InventoryHost, program: str = "print('{}')", **given: Any) -> Unreached:
    with pytest.raises(Unreached) as caught:
        connections.run(of, program, {}, **given)
    assert caught.value.place == of.name
    return caught.value


def until(true: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_hosts_of_an_operators_inventory_are_read(
    shared_machines: Machines, connections: Connections, tmp_path: Path
) -> None:
    inventory = read_inventory(str(shared_machines.inventory(tmp_path / "hosts.yml")))
    for number, machine in enumerate(shared_machines, start=1):
        files = {"zoo.cfg": CFG, "zoo.cfg.dynamic.1a": LIST}
        lay(machine, {f"etc/zookeeper/{name}": text for name, text in files.items()})
        lay(machine, {"var/lib/zookeeper/myid": f"{number}\n", "var/lib/zookeeper/version-2/log.1": "x"})
    try:
        with ThreadPoolExecutor(3) as pool:
            facts = list(pool.map(lambda h: read_remote(connections, h), inventory.hosts))
    finally:
        for machine in shared_machines:
            clear(machine)
    assert [fact.outcome for fact in facts] == [Outcome.OK] * 3
    disks = [fact.value for fact in facts if fact.value is not None]
    assert [disk.my_id for disk in disks] == [1, 2, 3]
    for disk in disks:
        assert (disk.has_data, disk.active, disk.problems) == (True, False, ())
        assert disk.acting is not None
        assert disk.acting.members.ids == {1, 2, 3}
        assert disk.acting.source == "/etc/zookeeper/zoo.cfg.dynamic.1a"
    assert {read_remote(connections, h).outcome for h in inventory.hosts} == {Outcome.ABSENT}


def test_who_looks(shared_machines: Machines, connections: Connections) -> None:
    machine = shared_machines[0]
    lay(machine, {"etc/zookeeper/zoo.cfg": CFG, "var/lib/zookeeper/myid": "1\n"})
    machine.shell("chmod 700 /var/lib/zookeeper; chmod 600 /etc/zookeeper/zoo.cfg")
    try:
        as_root = look_remote(connections, host(shared_machines, machine, user="root", sudo=False)).disk
        by_sudo = look_remote(connections, host(shared_machines, machine)).disk
        bare = look_remote(connections, host(shared_machines, machine, sudo=False)).disk
        asked = look_remote(connections, host(shared_machines, machine, user="nosudo"))
    finally:
        clear(machine)
    assert as_root == by_sudo
    assert as_root.value is not None
    assert as_root.value.my_id == 1
    assert (bare.outcome, bare.detail) == (Outcome.DENIED, "/var/lib/zookeeper/version-2: Permission denied")
    assert asked.disk.outcome is Outcome.DENIED
    assert "sudo wants a password, or refuses: sudo: " in asked.disk.detail
    assert "NOPASSWD" in asked.remedy


def test_a_unit_and_its_process(shared_machines: Machines, connections: Connections) -> None:
    """A stand-in for ZooKeeper's JVM, told as it is told: the real one is in the tests of playbooks."""
    machine, of = shared_machines[1], host(shared_machines, shared_machines[1])
    look = look_remote(connections, of)
    assert look.unit is not None
    assert (look.unit.load, look.active, look.servers) == ("not-found", False, ())
    run = f"/usr/bin/python3 -c 'import time; time.sleep(600)' {MAIN_CLASS} /etc/zookeeper/zoo.cfg"
    unit = f"[Service]\nExecStart={run}\nRestart=always\nRestartSec=600\n[Install]\nWantedBy=multi-user.target\n"
    lay(machine, {"etc/systemd/system/zookeeper.service": unit, "etc/zookeeper/zoo.cfg": CFG})
    machine.shell("systemctl daemon-reload; systemctl enable -q --now zookeeper")
    try:
        look = look_remote(connections, of)
        assert look.unit is not None
        assert (look.unit.load, look.unit.active, look.unit.file) == ("loaded", "active", "enabled")
        assert [(s.zoo_cfg, s.here) for s in look.servers] == [("/etc/zookeeper/zoo.cfg", True)]
        assert look.disk.value is not None
        assert look.disk.value.active is True
        # no process, and yet there will be one
        machine.shell("systemctl kill -s KILL zookeeper")
        until(lambda: look_remote(connections, of).servers == ())
        until(lambda: "auto-restart" in machine.shell("systemctl show -P SubState zookeeper"))
        assert look_remote(connections, of).active is True
        machine.shell("systemctl disable -q --now zookeeper")
        look = look_remote(connections, of)
        assert look.unit is not None
        assert (look.unit.active, look.unit.file, look.active) == ("inactive", "disabled", False)
        # under another unit's name it is found by its process
        machine.shell(f"systemd-run -q --unit other {run}")
        assert look_remote(connections, of).active is True
    finally:
        machine.shell(
            "systemctl disable -q --now zookeeper; systemctl stop other || true; "
            "rm /etc/systemd/system/zookeeper.service; systemctl daemon-reload"
        )
        clear(machine)


@pytest.mark.parametrize("hide", [1, 2])
def test_processes_that_are_hidden_are_not_taken_for_none(
    shared_machines: Machines, connections: Connections, hide: int
) -> None:
    machine = shared_machines[1]
    machine.shell(f"mount -o remount,hidepid={hide} /proc")
    try:
        bare = look_remote(connections, host(shared_machines, machine, sudo=False))
        by_sudo = look_remote(connections, host(shared_machines, machine))
    finally:
        machine.shell("mount -o remount,hidepid=0 /proc")
    assert (bare.hidden, bare.active) == (True, None)
    assert "hidepid" in bare.active_problem
    assert (by_sudo.hidden, by_sudo.active) == (False, False)


def test_what_else_is_told_of_a_host(shared_machines: Machines, connections: Connections) -> None:
    machine = shared_machines[2]
    before = time.time()
    look = look_remote(connections, host(shared_machines, machine), java=True)
    assert before - 1 < look.clock < time.time() + 1
    assert 22 in {socket.port for socket in look.listening}
    assert bool(look.java) != bool(look.java_problem)
    machine.shell("mkdir -p /var/lib/zookeeper")
    try:
        with machine.full_disk("/var/lib/zookeeper", free=40_960):
            free = look_remote(connections, host(shared_machines, machine)).free
        assert free["/var/lib/zookeeper"] <= 81_920 < free["/opt/zookeeper"]
    finally:
        clear(machine)


def test_a_clock_that_is_wrong_is_seen(shared_machines: Machines) -> None:
    machine = shared_machines[2]
    with machine.clock(600), Connections() as connections:
        look = look_remote(connections, host(shared_machines, machine))
    assert 590 < look.clock - time.time() < 610


def test_an_interpreter_that_is_not_there(shared_machines: Machines, connections: Connections) -> None:
    for sudo in (True, False):
        found = refusal(connections, host(shared_machines, shared_machines[0], python="/usr/bin/python9", sudo=sudo))
        assert found.outcome == Outcome.JUNK
        assert "no /usr/bin/python9 there" in str(found)
        assert "ansible_python_interpreter" in found.remedy


def test_a_user_without_a_shell(shared_machines: Machines, connections: Connections) -> None:
    machine = shared_machines[0]
    machine.shell("usermod -s /usr/sbin/nologin nosudo")
    try:
        found = refusal(connections, host(shared_machines, machine, user="nosudo", sudo=False))
    finally:
        machine.shell("usermod -s /bin/bash nosudo")
    assert found.outcome == Outcome.JUNK
    assert "not available" in str(found)


def test_a_host_with_another_hosts_key(shared_machines: Machines, connections: Connections, tmp_path: Path) -> None:
    one, two = shared_machines[0], shared_machines[1]
    lines = shared_machines.known_hosts.read_text().replace(one.address, "x").replace(two.address, one.address)
    known = tmp_path / "known_hosts"
    known.write_text(lines)
    access = host(shared_machines, one).access
    assert access is not None
    options = (("UserKnownHostsFile", str(known)), ("StrictHostKeyChecking", "no"), ("IdentitiesOnly", "yes"))
    changed = msgspec.structs.replace(
        host(shared_machines, one), access=msgspec.structs.replace(access, options=options)
    )
    found = refusal(connections, changed)
    assert found.outcome == Outcome.DENIED
    assert "its host key has changed" in str(found)
    assert f"{known}:2" in str(found)


def test_by_way_of_jump_hosts(shared_machines: Machines, tmp_path: Path) -> None:
    """The last host is reached by the two others, where it is reached from here no more."""
    one, two, last = shared_machines
    config = tmp_path / "config"
    config.write_text(
        f"Host one\n HostName {one.address}\nHost two\n HostName {two.address}\n ProxyJump one\n"
        f"Host *\n User ops\n IdentityFile {shared_machines.key}\n UserKnownHostsFile {shared_machines.known_hosts}\n"
    )
    of = host(shared_machines, last)
    assert of.access is not None
    by = msgspec.structs.replace(of.access, options=(("ProxyJump", "two"), *of.access.options))
    last.partition(shared_machines.gateway)
    try:
        with Connections(timeout_s=1.0) as connections:
            assert refusal(connections, of).outcome == Outcome.TIMEOUT
        with Connections(config=str(config)) as connections:
            assert look_remote(connections, msgspec.structs.replace(of, access=by)).disk.outcome is Outcome.ABSENT
            command = f"ssh -F {config} -W %h:%p two"
            proxied = msgspec.structs.replace(by, options=(("ProxyCommand", command), *of.access.options))
            assert look_remote(connections, msgspec.structs.replace(of, access=proxied)).disk.outcome is Outcome.ABSENT
    finally:
        last.heal()


def test_a_partition_of_the_jump_host_and_of_the_host(shared_machines: Machines, tmp_path: Path) -> None:
    """A kept connection to a jump host outlives a host behind it, and is replaced where it is itself what failed."""
    jump, last, other = shared_machines
    config = tmp_path / "config"
    config.write_text(f"Host *\n User ops\n IdentityFile {shared_machines.key}\n")
    known = ("UserKnownHostsFile", str(shared_machines.known_hosts))
    config.write_text(f"{config.read_text()} {known[0]} {known[1]}\n")
    options = (("ProxyJump", jump.address), known)
    hosts = [
        InventoryHost(m.name, m.address, access=Access(m.address, options=options, sudo=True)) for m in (last, other)
    ]
    with Connections(config=str(config), timeout_s=1.5) as connections:

        def asked(of: InventoryHost) -> object:
            return connections.run(of, "print('[]')", {}, timeout_s=10)

        def logins() -> int:
            return int(jump.shell("journalctl -q -u ssh | grep -c 'Accepted publickey' || true"))

        before = logins()
        assert asked(hosts[0]) == []
        last.partition()
        try:
            assert refusal(connections, hosts[0]).outcome == Outcome.TIMEOUT
            assert refusal(connections, hosts[0]).outcome == Outcome.TIMEOUT
            assert asked(hosts[1]) == []
            assert logins() == before + 1
        finally:
            last.heal()
        assert asked(hosts[0]) == []
        jump.partition()
        try:
            for of in hosts:
                assert refusal(connections, of).outcome == Outcome.TIMEOUT
        finally:
            jump.heal()
        assert [asked(of) for of in hosts] == [[], []]


def test_a_partition_in_the_middle(shared_machines: Machines) -> None:
    machine = shared_machines[0]
    of = host(shared_machines, machine)
    with Connections(timeout_s=1.0) as connections:
        assert connections.run(of, "print('[]')", {}, timeout_s=10) == []
        machine.partition()
        try:
            began = time.monotonic()
            assert refusal(connections, of).outcome == Outcome.TIMEOUT
            assert refusal(connections, of).outcome == Outcome.TIMEOUT
            assert time.monotonic() - began < 4
        finally:
            machine.heal()
        assert connections.run(of, "print('[]')", {}, timeout_s=10) == []


def test_power_is_cut_in_the_middle(make_machines: MakeMachines) -> None:
    machines = make_machines(1)
    machine = machines[0]
    of = host(machines, machine)
    with Connections() as connections, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(refusal, connections, of, WAIT)
        until(lambda: "python3 -I -S -" in machine.shell("ps ax -o args || true"))
        machine.power_cut()
        assert asked.result(15).outcome == Outcome.TRUNCATED
        assert refusal(connections, of, timeout_s=1.0).outcome in (Outcome.REFUSED, Outcome.TIMEOUT)
        machine.power_on()
        assert look_remote(connections, of).disk.outcome is Outcome.ABSENT
        machine.reboot()
        assert look_remote(connections, of).disk.outcome is Outcome.ABSENT


def test_an_sshd_that_takes_no_further_connection(shared_machines: Machines) -> None:
    """Many looks at once are one connection, so that MaxStartups is no limit for them."""
    of = host(shared_machines, shared_machines[1])
    begin = threading.Barrier(8)

    def look(connections: Connections) -> Outcome:
        begin.wait(10)
        return look_remote(connections, of).disk.outcome

    with Connections() as connections, ThreadPoolExecutor(8) as pool:
        assert set(pool.map(look, [connections] * 8)) == {Outcome.ABSENT}
