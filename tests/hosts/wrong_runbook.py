"""Incidents on real machines, made as people make them: lists edited by hand, servers restarted in the wrong order, no zkprov anywhere."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from tests.hosts.machine import Machine
from tests.hosts.operator import DIGEST, Operator
from tests.real.driver import mode, wait_for
from zkprov.lab.writers import start_writer
from zkprov.model.inventory import InventoryHost

SETTINGS = {"tickTime": "500", "initLimit": "6", "syncLimit": "5"}
_ZOO_CFG = """\
dataDir=/var/lib/zookeeper
clientPort=2181
admin.serverPort=8080
4lw.commands.whitelist=srvr,mntr,conf,cons,isro
DigestAuthenticationProvider.superDigest=super:{digest}
"""
_UNIT = """\
[Unit]
Description=ZooKeeper, as the wiki has it

[Service]
User=zookeeper
ExecStart=/usr/bin/java -Xmx80m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp /opt/zookeeper/current/lib/*:/etc/zookeeper \\
  org.apache.zookeeper.server.quorum.QuorumPeerMain /etc/zookeeper/zoo.cfg
Restart=on-failure
SuccessExitStatus=143

[Install]
WantedBy=multi-user.target
"""
_TOP = "apache-zookeeper-3.9.5-bin"


class Incident:
    """What somebody did to these machines. `folder` has the writers' records; `sides`: name → the hosts on it, as they are in the end."""

    def __init__(self, made: Operator, folder: Path) -> None:
        made.variables["zkprov_settings"] = SETTINGS
        made.variables["zkprov_heap"] = "80m"
        self.made, self.folder, self._archive = made, folder, Path(made.variables["zkprov_archive"])
        self.zkprov = made.of(len(made.machines))
        self.sides: dict[str, list[InventoryHost]] = {}

    @property
    def hosts(self) -> list[InventoryHost]:
        """With the ids that they have, and their folders as they are seen from here: whoever reads the disks of a lab reads these."""
        return [_seen_from_here(n, host, self.made.machines[host.name]) for n, host in enumerate(self.made.hosts(), 1)]

    def named(self, *numbers: int) -> list[InventoryHost]:
        hosts = self.hosts
        return [hosts[number - 1] for number in numbers]

    # -- the three of them

    def outage(self) -> None:
        """Three serve under a static list of three; four more are started together, with a list of all seven in their files."""
        old, new = self.named(1, 2, 3), self.named(4, 5, 6, 7)
        self._each(self._software, [*old, *new])
        for host in old:
            self._list(host, old)
        for host in new:
            self._list(host, [*old, *new])
        self._start(*old)
        self._await_leader(*old)
        self._write("old", old)
        self._start(*new)
        self._await_leader(*new)
        self._write("new", new)
        self.sides = {"old": old, "new": new}

    def static_3_5(self) -> None:
        """A static list of three becomes one of five by hand, two servers at a time, and the leader is restarted first."""
        old, leader = self._half_rolled()
        self.sides = {"old": old, "new": [leader, *self.named(4, 5)]}

    def merged(self) -> None:
        """The same, and then the roll is finished: one leader, and both sides' writes where they are."""
        stay, _ = self._half_rolled()
        everyone = self.named(1, 2, 3, 4, 5)
        self._stop(*stay)
        for host in stay:
            self._list(host, everyone)
        self._start(*stay)
        self._await_leader(*everyone)
        self.sides = {"one": everyone}

    def _half_rolled(self) -> tuple[list[InventoryHost], InventoryHost]:
        old, new = self.named(1, 2, 3), self.named(4, 5)
        first, second, leader = old
        self._each(self._software, [*old, *new])
        for host in old:
            self._list(host, old)
        # whoever is first with another leads; it is to be the last one (lab/shapes/rolled says why)
        self._start(first, leader)
        self._await_leader(first, leader)
        assert mode(leader) == "leader"
        self._start(second)
        self._await_leader(*old)
        self._write("old", old)
        self._stop(leader)
        self._await_leader(first, second)
        for host in (leader, *new):
            self._list(host, [*old, *new])
        self._start(*new, leader)
        self._await_leader(leader, *new)
        self._await_leader(first, second)
        # whoever wrote before is on either side by now; another one writes to those with the former list
        self._write("stayed", [first, second])
        self._write("new", [leader, *new])
        return [first, second], leader

    # -- by hand

    def _machine(self, host: InventoryHost) -> Machine:
        return self.made.machines[host.name]

    def _software(self, host: InventoryHost) -> None:
        machine = self._machine(host)
        machine.shell("""
            useradd --system --shell /usr/sbin/nologin zookeeper
            mkdir -p /opt/zookeeper /etc/zookeeper /var/lib/zookeeper /var/log/zookeeper
        """)
        subprocess.run(["tar", "-xzf", self._archive, "-C", machine.root / "opt/zookeeper"], check=True)
        machine.shell(f"""
            ln -s {_TOP} /opt/zookeeper/current
            cp /opt/zookeeper/{_TOP}/conf/logback.xml /etc/zookeeper
            echo {host.id} >/var/lib/zookeeper/myid
            printf %s {shlex.quote(_UNIT)} >/etc/systemd/system/zookeeper.service
            chown -R zookeeper: /etc/zookeeper /var/lib/zookeeper /var/log/zookeeper
            systemctl daemon-reload; systemctl enable -q zookeeper
        """)

    def _list(self, host: InventoryHost, listed: Sequence[InventoryHost]) -> None:
        lines = [f"{name}={value}" for name, value in SETTINGS.items()]
        lines += _ZOO_CFG.format(digest=DIGEST).splitlines()
        lines += [f"server.{h.id}={h.address}:{h.quorum_port}:{h.election_port}" for h in listed]
        text = "".join(f"{line}\n" for line in lines)
        self._machine(host).shell(f"printf %s {shlex.quote(text)} >/etc/zookeeper/zoo.cfg")

    def _start(self, *hosts: InventoryHost) -> None:
        self._each(lambda host: self._machine(host).shell("systemctl start zookeeper"), hosts)

    def _stop(self, *hosts: InventoryHost) -> None:
        self._each(lambda host: self._machine(host).shell("systemctl stop zookeeper"), hosts)

    def _write(self, name: str, hosts: Sequence[InventoryHost]) -> None:
        start_writer(self.folder, name, hosts)

    @staticmethod
    def _each(act: Any, hosts: Sequence[InventoryHost]) -> None:
        with ThreadPoolExecutor(len(hosts)) as pool:
            list(pool.map(act, hosts))

    @staticmethod
    def _await_leader(*hosts: InventoryHost) -> None:
        wanted = ["follower"] * (len(hosts) - 1) + ["leader"]
        wait_for(lambda: sorted(map(mode, hosts)) == wanted, 90, f"one leader of {', '.join(h.name for h in hosts)}")


def _seen_from_here(number: int, host: InventoryHost, machine: Machine) -> InventoryHost:
    places = {name: str(machine.root / getattr(host, name)[1:]) for name in ("data_dir", "data_log_dir", "config_dir")}
    return msgspec.structs.replace(host, id=number, **places)
