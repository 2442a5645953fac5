"""A host over SSH as a run sees it: the same promises as of a local one, kept by a real machine, and what breaks on the way."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.conftest import MakeMachines
from tests.hosts.machines import Machines
from tests.hosts.test_playbooks import a_lone_server, serves, until
from zkprov.act.ansible import AnsibleHost
from zkprov.act.hosts import Host
from zkprov.act.plays import Plays
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import Busy, Interrupted, NotHealthy, Unreached
from zkprov.observe.inventory import read_inventory
from zkprov.observe.ssh import Connections


@pytest.fixture
def connections() -> Iterator[Connections]:
    with Connections() as connections:
        yield connections


def inventory_host(machines: Machines, tmp_path: Path, **variables: object) -> InventoryHost:
    path = machines.inventory(tmp_path / "inventory.yml", **variables)
    host = read_inventory(str(path)).host("zk1")
    assert host is not None
    return host


def over_ssh(
    host: InventoryHost, connections: Connections, tmp_path: Path, playbooks: Path | None = None
) -> AnsibleHost:
    plays = Plays(str(tmp_path / "inventory.yml"), playbooks=playbooks, artifacts=tmp_path / "artifacts")
    return AnsibleHost(host, connections, plays)


@pytest.mark.matrix(keep=1, of="the long ones on hosts", among="stories on hosts")
def test_the_way_of_a_joiner(
    make_machines: MakeMachines, zookeeper_archive: tuple[Path, str], connections: Connections, tmp_path: Path
) -> None:
    machines = make_machines(1)
    machine = machines[0]
    archive, sha512 = zookeeper_archive
    entry = inventory_host(machines, tmp_path, zkprov_archive=str(archive), zkprov_archive_sha512=sha512)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "after-start").write_text(f'#!/bin/sh\necho "$ZKPROV_HOST $ZKPROV_PHASE $ZKPROV_RUN" >>{tmp_path}/told\n')
    (hooks / "after-start").chmod(0o755)
    host: Host = over_ssh(entry, connections, tmp_path, hooks)
    assert (host.name, host.fenced_by(), host.exists(), host.is_active()) == ("zk1", None, False, False)
    assert host.fence("r1", 1) is False
    host.install()
    assert not host.exists(), "folders without anything are not a server's leavings"
    files = a_lone_server(machine)
    other = over_ssh(entry, connections, tmp_path)
    with pytest.raises(Busy, match="run r1 has this host"):
        other.configure(files, "r2")
    with pytest.raises(Interrupted, match="taken over"):
        other.configure(files, "r1", 0)
    assert not host.exists()
    host.configure(files, "r1", 1)
    mark = host.mark_disk()
    host.start()
    host.start()
    assert host.is_active() and host.exists()
    assert (tmp_path / "told").read_text() == "zk1 start r1\n" * 2
    until(lambda: serves(machine), "it serves")
    until(host.has_data, "it has data")
    assert host.mark_disk() == mark
    assert machine.shell("stat -c %U /var/lib/zookeeper/version-2/zkprov-disk") == "zookeeper\n"
    for attempt in (host.configure, other.configure):
        with pytest.raises((NotHealthy, Interrupted)):
            attempt(files, "r1", 1)
    with pytest.raises(NotHealthy, match="a server is running here"):
        host.set_aside("x")

    # a server that takes no notice is ended by force
    pid = machine.shell("systemctl show --value -p MainPID zookeeper").strip()
    machine.shell(f"kill -STOP {pid}; systemctl kill -s STOP zookeeper")
    began = time.monotonic()
    host.stop(0)
    assert time.monotonic() - began < 20 and not host.is_active()
    # it was told to end: no failed unit is left for whoever watches them
    assert machine.shell("systemctl show --value -p ActiveState zookeeper").strip() == "inactive"
    host.stop(5)
    with pytest.raises(NotHealthy, match="is not empty: a server that comes in must have no data"):
        host.configure({**files, "myid": "2\n"}, "r1", 1)
    host.disable()
    assert host.set_aside("gone") == "/var/lib/zookeeper.gone"
    with pytest.raises(NotHealthy, match="disabled when it left"):
        host.start()
    host.enable()
    assert not host.exists()
    # the folders are made anew
    host.configure(files, "r1", 1)
    host.start()
    until(lambda: serves(machine), "it serves once more")
    host.fence("r1", 2)
    with pytest.raises(Interrupted, match="taken over"):
        lost = over_ssh(entry, connections, tmp_path)
        lost._mine = ("r1", 1)
        lost.start()
    host.unfence("r1", 2)
    host.unfence("r1", 2)
    assert host.fenced_by() is None


def test_one_of_many_gets_the_host(make_machines: MakeMachines, tmp_path: Path) -> None:
    entry = inventory_host(make_machines(1), tmp_path)
    won: list[str] = []
    gate = threading.Barrier(4)

    def reach(run: str) -> None:
        with Connections() as own:
            host = over_ssh(entry, own, tmp_path)
            host.fenced_by()
            gate.wait()
            with contextlib.suppress(Busy):
                host.fence(run)
                won.append(run)

    threads = [threading.Thread(target=reach, args=(f"r{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


@pytest.mark.matrix(keep=1, of="the long ones on hosts", among="stories on hosts")
def test_a_server_of_somebody_else_s_making(
    make_machines: MakeMachines, zookeeper_archive: tuple[Path, str], connections: Connections, tmp_path: Path
) -> None:
    """Own unit, own paths, own jars: nothing of it is laid anew, and once it is disabled it stays down."""
    machines = make_machines(1)
    machine = machines[0]
    archive, _ = zookeeper_archive
    machine.shell("useradd --system zoo; mkdir -p /srv/zk/conf /srv/zk/data /srv/zk/logs; chown -R zoo:zoo /srv/zk")
    subprocess.run(["tar", "-xzf", archive, "-C", machine.root / "srv/zk"], check=True)
    unit = "[Service]\nUser=zoo\nExecStart=/usr/bin/java -Xmx128m -cp /srv/zk/{top}/lib/*:/srv/zk/conf {main} /srv/zk/conf/zoo.cfg\n"
    unit += "[Install]\nWantedBy=multi-user.target\n"
    text = unit.format(
        top=archive.name.removesuffix(".tar.gz"), main="org.apache.zookeeper.server.quorum.QuorumPeerMain"
    )
    (machine.root / "etc/systemd/system/zk-main.service").write_text(text)
    machine.shell("systemctl daemon-reload")
    entry = inventory_host(
        machines,
        tmp_path,
        zkprov_unit="zk-main",
        zkprov_user="zoo",
        zkprov_config_dir="/srv/zk/conf",
        zkprov_data_dir="/srv/zk/data",
        zkprov_log_dir="/srv/zk/logs",
        zkprov_install_dir="/srv/zk/releases",
    )
    host = over_ssh(entry, connections, tmp_path)
    host.fence("r1")
    host.install()
    assert (machine.root / "etc/systemd/system/zk-main.service").read_text() == text
    files = {
        name: content.replace("/etc/zookeeper", "/srv/zk/conf").replace("/var/lib/zookeeper", "/srv/zk/data")
        for name, content in a_lone_server(machine).items()
        if isinstance(content, str)
    }
    host.configure({**files, "initialize": b""}, "r1")
    host.start()
    until(lambda: serves(machine), "it serves")
    host.disable()
    machine.reboot()
    until(lambda: "running" in machine.shell("systemctl is-system-running || true"), "it is up")
    machine.shell("systemctl start zk-main")
    assert not host.is_active()
    host.enable()
    host.start()
    assert host.is_active()


def test_a_server_by_commands(make_machines: MakeMachines, connections: Connections, tmp_path: Path) -> None:
    machines = make_machines(1)
    commands = {
        "zkprov_start_command": "touch '/run/a server; with blanks'",
        "zkprov_stop_command": "rm '/run/a server; with blanks'",
        "zkprov_is_active_command": "test -e '/run/a server; with blanks'",
    }
    host = over_ssh(inventory_host(machines, tmp_path, **commands), connections, tmp_path)
    host.install()
    assert not host.is_active()
    host.start()
    assert host.is_active()
    with pytest.raises(NotHealthy, match="a server is running here"):
        host.set_aside("x")
    host.stop(5)
    assert not host.is_active()
    host.disable()
    with pytest.raises(NotHealthy, match="disabled when it left"):
        host.start()


def test_ways_that_are_barred(make_machines: MakeMachines, tmp_path: Path) -> None:
    machines = make_machines(1)
    known = machines.known_hosts.read_text()
    files = a_lone_server(machines[0])

    def tried(user: str) -> None:
        entry = inventory_host(machines, tmp_path, user=user)
        with Connections(timeout_s=5) as own:
            host = over_ssh(entry, own, tmp_path)
            for act in (host.fenced_by, lambda: host.configure(files, "r1")):
                began = time.monotonic()
                with pytest.raises(NotHealthy) as failed:
                    act()
                assert failed.value.place.startswith("zk1") and time.monotonic() - began < 60
                said.append(f"{type(failed.value).__name__} {failed.value}")

    said: list[str] = []
    tried("nosudo")
    assert said[0].startswith("Unreached") and "sudo" in said[0] and "password" in said[1], said
    said.clear()
    tried("stranger")
    assert said[0].startswith("Unreached") and "not reached" in said[1], said
    said.clear()
    machines.known_hosts.write_text("")
    tried("ops")
    assert said[0].startswith("Unreached") and "Host key verification failed" in said[1], said
    assert machines.known_hosts.read_text() == "", "and no key was taken on trust"
    said.clear()
    machines.known_hosts.write_text(known)
    machines[0].power_cut()
    tried("ops")
    assert said[0].startswith("Unreached") and "not reached" in said[1], said


def test_a_host_that_goes_in_the_middle_of_a_play(
    make_machines: MakeMachines, connections: Connections, tmp_path: Path
) -> None:
    machines = make_machines(1)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "start.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  become: true\n  tasks:\n"
        "    - {name: Begins, ansible.builtin.command: touch /begun}\n"
        "    - {name: Goes on, ansible.builtin.command: sleep 1000}\n"
    )
    host = over_ssh(inventory_host(machines, tmp_path), connections, tmp_path, hooks)

    def cut() -> None:
        until((machines[0].root / "begun").exists, "the play has begun")
        until(lambda: "sleep" in machines[0].shell("ps -e -o comm"), "it goes on")
        machines[0].power_cut()

    thread = threading.Thread(target=cut)
    thread.start()
    with pytest.raises(NotHealthy, match="task `Goes on`"):
        host.start()
    thread.join()
    with pytest.raises(Unreached):
        host.is_active()
