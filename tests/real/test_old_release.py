"""A real ensemble of 3.4, which has no reconfig, and its list on disk alone: surveyed, not adopted, brought to 3.5 under load."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import yaml

from tests.real.driver import Load, Zkprov, mode, wait_for, word
from zkprov.act.local import LocalHost
from zkprov.act.processes import end
from zkprov.lab import ports
from zkprov.lab.lab import Lab
from zkprov.lab.provision import provision
from zkprov.model.inventory import InventoryHost
from zkprov.observe.inventory import read_inventory

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("old release")]
OLD, NEW = "3.4.14", "3.5.10"
ADD = ("--yes", "--settle", "0", "--samples", "1", "--step-timeout", "30")
# the others are said for 3.5, and 3.4 makes nothing of them
ZOO_CFG = """tickTime=500
initLimit=20
syncLimit=10
dataDir={0}/data
clientPort={1}
clientPortAddress=127.0.0.1
4lw.commands.whitelist=*
admin.serverAddress=127.0.0.1
admin.serverPort={2}
snapCount=20
"""


@pytest.fixture
def old(software: None, tmp_path: Path) -> Iterator[tuple[Zkprov, tuple[InventoryHost, ...]]]:
    """Three servers that somebody else set up, each on files of his own."""
    before, after, base = provision(OLD, static=True), provision(NEW), ports.claim(tmp_path)
    ours = {f"zk{i}": base + i * ports.PORTS_EACH for i in (1, 2, 3)}
    lines = "".join(f"server.{name[2:]}=127.0.0.1:{port + 1}:{port + 2}\n" for name, port in ours.items())
    known = {}
    for name, port in ours.items():
        home = tmp_path / name
        for folder in ("conf", "data", "log"):
            (home / folder).mkdir(parents=True)
        (home / "data" / "myid").write_text(name[2:])
        (home / "conf" / "zoo.cfg").write_text(ZOO_CFG.format(home, port, port + 3) + lines)
        at = {"client": port, "quorum": port + 1, "election": port + 2, "admin": port + 3}
        dirs = {"config": "conf", "data": "data", "data_log": "data", "log": "log"}
        known[name] = {
            "ansible_host": "127.0.0.1",
            "zkprov_id": int(name[2:]),
            **{f"zkprov_{what}_port": number for what, number in at.items()},
            **{f"zkprov_{what}_dir": str(home / folder) for what, folder in dirs.items()},
        }
    everywhere = {
        "ansible_connection": "local",
        "zkprov_java": before.java,
        "zkprov_jvm_flags": ["-Xmx96m", "-Dzookeeper.jmx.log4j.disable=true"],
        "zkprov_release": OLD,
        "zkprov_releases": {s.release: {"classpath": s.classpath} for s in (before, after)},
        "zkprov_foreign_config_manager": "stopped",
    }
    path = tmp_path / "inventory.yml"
    path.write_text(yaml.safe_dump({"all": {"children": {"old": {"vars": everywhere, "hosts": known}}}}))
    path.chmod(0o600)
    hosts = read_inventory(str(path)).hosts
    try:
        for host in hosts:
            LocalHost(host).start()
        wait_for(lambda: all(mode(h) for h in hosts), what="an ensemble")
        yield Zkprov(cast(Lab, None), tmp_path / "runs", path, ()), hosts
    finally:
        for host in hosts:
            end(LocalHost(host).processes(), 0)
        ports.release(tmp_path)


def releases(hosts: tuple[InventoryHost, ...]) -> list[str]:
    return [word(h).partition("version: ")[2].partition("-")[0] for h in hosts]


@pytest.mark.matrix(keep=1, of="ensembles before 3.5", among="long changes")
def test_it_is_surveyed_and_goes_to_the_next_line(old: tuple[Zkprov, tuple[InventoryHost, ...]]) -> None:
    zkprov, hosts = old
    pids = [p.pid for h in hosts for p in LocalHost(h).processes()]
    zkprov("check").expect(0, "SAFE one leader", f"all run {OLD}")
    zkprov("adopt", *ADD).expect(3, "Refused by R12", "upgrade first, one step at a time: 3.4.14 -> 3.5.10")
    zkprov("remove-node", "zk1", *ADD).expect(3, "Refused by R12")
    zkprov("upgrade", "--to", "3.9.5", *ADD).expect(2, "does not name 3.6.4")
    # what it goes by is told by its file alone, and here that may be another by now
    zoo_cfg = Path(hosts[0].config_dir) / "zoo.cfg"
    started = zoo_cfg.stat().st_mtime
    os.utime(zoo_cfg, (time.time(), time.time() + 1))
    zkprov("upgrade", "--to", NEW, *ADD).expect(4, "zk1", "zoo.cfg was written after its server was started")
    os.utime(zoo_cfg, (started, started))
    assert releases(hosts) == [OLD] * 3 and pids == [p.pid for h in hosts for p in LocalHost(h).processes()]
    with Load(hosts, per_s=50) as load:
        # as on any that has served for a while: without a snapshot 3.5 does not start (snapshot.trust.empty)
        wait_for(lambda: all(any((Path(h.data_dir) / "version-2").glob("snapshot.*")) for h in hosts), what="snapshots")
        zkprov("upgrade", "--to", NEW, *ADD, "--soak", "1s").expect(0, "all run 3.5.10", "R12: the list is static")
        wait_for(lambda: all(mode(h) for h in hosts))
    assert releases(hosts) == [NEW] * 3
    assert not any(load.missing(h) for h in hosts)
    zkprov("check").expect(0)
    zkprov("backup", "verify").expect(0, f"by release {NEW}")
    zkprov("downgrade", "--to", OLD, "--reason", "no", *ADD).expect(3, "is not known")
