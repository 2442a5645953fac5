"""Servers that somebody set up by hand, long before zkprov: other folders, names and ports, and a unit of his own writing."""

from __future__ import annotations

import base64
import hashlib
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.hosts.machine import Machine

PASSWORD = "c4nary-0f-dana"
DIGEST = base64.b64encode(hashlib.sha1(f"super:{PASSWORD}".encode(), usedforsecurity=False).digest()).decode()
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
TOP = "zookeeper-3.9.5"

ZOO_CFG = """\
# zk prod. See the wiki, "ZooKeeper", before you change anything here.
maxClientCnxns=500
dataLogDir={data}/log
dataDir = {data}/snap
tickTime=1000
#  slow disks in rack 4
initLimit=20
syncLimit:10
standaloneEnabled=false
reconfigEnabled={dynamic}
admin.enableServer=false
4lw.commands.whitelist={words}
dynamicConfigFile={home}/lists/prod.members
"""
JAVA_ENV = 'SERVER_JVMFLAGS="-Xmx128m -Dzookeeper.DigestAuthenticationProvider.superDigest=super:{digest}"\n'
# As zkServer.sh of a release does it.
SCRIPT = """\
#!/bin/sh
set -e
pid={data}/snap/zookeeper_server.pid
. {home}/conf/java.env
case $1 in
start)
  nohup /usr/bin/java -Dzookeeper.log.dir={logs} -cp "{home}/current/lib/*:$ZOOCFGDIR" $SERVER_JVMFLAGS \\
    -Dcom.sun.management.jmxremote.local.only=false {main} "$ZOOCFGDIR/zoo.cfg" >{logs}/zk.out 2>&1 </dev/null &
  echo $! >$pid ;;
stop) kill $(cat $pid); rm $pid ;;
esac
"""
UNITS = {
    "simple": """\
[Unit]
Description=ZooKeeper prod

[Service]
User=zkuser
Type=simple
ExecStart=/usr/bin/java -Xmx128m -Dzookeeper.DigestAuthenticationProvider.superDigest=super:{digest} \\
  -cp {home}/current/lib/*:{home}/conf {main} {home}/conf/zoo.cfg
Restart=always

[Install]
WantedBy=multi-user.target
""",
    # by a link, so that the command line does not say what the inventory says
    "forking": """\
[Unit]
Description=ZooKeeper prod

[Service]
User=zkuser
Type=forking
Environment=ZOOCFGDIR={home}/current/conf
PIDFile={data}/snap/zookeeper_server.pid
ExecStart={home}/bin/zk start
ExecStop={home}/bin/zk stop
SuccessExitStatus=143

[Install]
WantedBy=multi-user.target
""",
}


class Layout:
    """Where one server lies. `kind`: of its unit, `simple` or `forking`. `shift` is added to its ports."""

    def __init__(self, kind: str, *, name: str = "zk", unit: str = "zk-prod", shift: int = 0) -> None:
        self.kind, self.unit = kind, unit
        self.home, self.data, self.logs = f"/srv/{name}", f"/data/{name}", f"/var/log/{unit}"
        self.client, self.quorum, self.election = 12181 + shift, 12888 + shift, 13888 + shift

    def found(self, machines: Sequence[Machine], archive: Path, *, dynamic: bool = True, words: str = "srvr") -> None:
        """An ensemble on these machines, which is up when this returns only as far as systemd knows."""
        lines = [
            f"server.{n}={m.address}:{self.quorum}:{self.election}:participant;{self.client}"
            for n, m in enumerate(machines, 1)
        ]
        settings = ZOO_CFG.format(home=self.home, data=self.data, dynamic=str(dynamic).lower(), words=words)
        for number, machine in enumerate(machines, 1):
            self.software(machine, archive)
            self._write(machine, f"{self.home}/conf/zoo.cfg", settings)
            self._write(machine, f"{self.home}/lists/prod.members", "\n".join(lines) + "\n")
            machine.shell(f"""
                echo {number} >{self.data}/snap/myid
                chown -R zkuser: {self.home}/conf {self.home}/lists {self.data}
                systemctl start {self.unit}
            """)

    def software(self, machine: Machine, archive: Path) -> None:
        """The archive, the user, the folders and the unit; nothing is started."""
        home, data = self.home, self.data
        words = {"home": home, "data": data, "logs": self.logs, "digest": DIGEST, "main": MAIN}
        machine.shell(f"""
            id -u zkuser >/dev/null 2>&1 || useradd --system --shell /usr/sbin/nologin zkuser
            mkdir -p {home}/conf {home}/lists {home}/bin {data}/snap {data}/log {self.logs}
        """)
        subprocess.run(["tar", "-xzf", archive, "-C", machine.root / home[1:]], check=True)
        machine.shell(f"""
            cd {home}
            mv apache-{TOP}-bin {TOP}; ln -s {TOP} current
            mv {TOP}/conf/* conf; rmdir {TOP}/conf; ln -s {home}/conf {TOP}/conf
        """)
        self._write(machine, f"{home}/conf/java.env", JAVA_ENV.format(**words))
        self._write(machine, f"{home}/bin/zk", SCRIPT.format(**words))
        self._write(machine, f"/etc/systemd/system/{self.unit}.service", UNITS[self.kind].format(**words))
        machine.shell(f"""
            chmod 755 {home}/bin/zk; chmod 600 {home}/conf/java.env
            chown -R zkuser: {home}/conf {home}/lists {data} {self.logs}
            systemctl daemon-reload; systemctl enable -q {self.unit}
        """)

    @staticmethod
    def _write(machine: Machine, path: str, text: str) -> None:
        machine.shell(f"printf %s {shlex.quote(text)} >{path}")


def files_of(machine: Machine, *folders: str) -> dict[str, tuple[object, ...]]:
    """Path → rights, owner, and content (its digest, or where a link leads) of all that lies in the folders."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (p for folder in folders for p in (machine.root / folder[1:]).rglob("*")):
        seen = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else ""
        if not content and path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[f"/{path.relative_to(machine.root)}"] = (seen.st_mode, seen.st_uid, seen.st_gid, content)
    return found
