"""More than half of an ensemble is gone for ever: the best disk that is left founds it anew, the others come in empty."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.real.driver import Zkprov, client, live_config, mode, some_instant, version_of, wait_for
from zkprov.act.local import LocalHost
from zkprov.lab.lab import Lab
from zkprov.lab.outage import kill

pytestmark = pytest.mark.real
QUICK = ("--yes", "--settle", "0s", "--samples", "1", "--sample-interval", "0.1", "--step-timeout", "30")
SAID = ("--wiped", "zk3=a new disk was put in", "--dead", "zk4=the rack burnt down", "--dead", "5=so did this one")


class Lost:
    """Five servers of which 3 has an empty disk, and 4 and 5 have burnt; 1 is behind 2."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.hosts = [lab.host(n) for n in range(1, 6)]
        with client(*self.hosts) as session:
            self.written = [session.create(f"/kept-{n}", f"{n}".encode()) for n in range(20)]
        wait_for(lambda: self._all_have(self.written[-1]), what="every server has all of it")
        kill(lab, 1)
        with client(*self.hosts[1:]) as session:
            self.later = [session.create(f"/later-{n}", b"") for n in range(5)]
        wait_for(lambda: self._all_have(self.later[-1], *self.hosts[1:]), what="the four have the rest")
        for n in (3, 4, 5):
            kill(lab, n)
        for n in (3, 4, 5):
            host = self.hosts[n - 1]
            for place in {host.config_dir, host.data_dir, host.data_log_dir}:
                shutil.rmtree(place)
        self.zkprov = Zkprov(lab, folder).with_inventory(_burnt(lab, folder.parent / "burnt.yml"))
        self.version = int(self._version_of_2(), 16)

    def _all_have(self, path: str, *hosts: Any) -> bool:
        for host in hosts or self.hosts:
            with client(host) as session:
                if not session.exists(path):
                    return False
        return True

    def _version_of_2(self) -> str:
        found = next(Path(self.hosts[1].config_dir).glob("zoo.cfg.dynamic.*"))
        return found.name.rpartition(".")[2]

    def stands(self) -> None:
        """2 leads a list of itself and who came in; all that it had is there; nothing was deleted."""
        assert mode(self.hosts[1]) == "leader"
        config = live_config(self.hosts[1])
        assert "server.4" not in config and "server.5" not in config
        assert int(version_of(config), 16) > self.version, "no list of before can take it over"
        with client(self.hosts[1]) as session:
            assert all(session.exists(path) for path in (*self.written, *self.later))
        for n in (1, 2):
            aside = list(Path(self.hosts[n - 1].data_dir).parent.glob("data.recovered-*"))
            assert len(aside) == 1 and any((aside[0] / "version-2").iterdir())
        assert all(LocalHost(host).fenced_by() is None for host in self.hosts[:3])


def _burnt(lab: Lab, path: Path) -> Path:
    """The lab's inventory, in which 4 and 5 are machines that nobody reaches."""
    document = yaml.safe_load(lab.inventory_path.read_text())
    hosts = document["all"]["children"][lab.name]["hosts"]
    for name in ("zk4", "zk5"):
        hosts[name] |= {"ansible_connection": "ssh", "ansible_port": 1}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    path.chmod(0o600)
    return path


@pytest.fixture
def lost(make_lab, tmp_path: Path) -> Lost:
    return Lost(make_lab(5, spares=0, tick_ms=500), tmp_path / "runs")


@pytest.mark.matrix(keep=1, of="a quorum lost for good", among="heals")
def test_a_quorum_that_is_lost_for_good(lost: Lost) -> None:
    zkprov = lost.zkprov
    refused = zkprov("recover", "--yes").expect(3, "Refused by R1", "3 (zk3): its host answers, and its disk is empty")
    refused.expect(3, "4 (zk4): its disk was not read", "--wiped zk3=WHY --dead zk4=WHY --dead zk5=WHY")
    zkprov("recover", *SAID).expect(2, "--yes")
    zkprov("recover", "--dry-run", *SAID).expect(0, "found 2 anew on zk2", "1 ends at", "4 (zk4): destroyed")
    assert not mode(lost.hosts[1]) and LocalHost(lost.hosts[1]).is_active(), "nothing was touched"
    done = zkprov("recover", *QUICK, *SAID).expect(0, "is founded anew: {2}", "zk1: set aside", "voting")
    done.expect(0, "zkprov add-node zk3 --wait")
    lost.stands()
    status = zkprov("status", "--output", "json").expect(0).json
    assert status["ensemble"]["verdict"] == "safe" and status["ensemble"]["voters"] == [1, 2]
    zkprov("prove").expect(0, "SAFE")
    told = zkprov("retired", "list").expect(0).out
    assert "the rack burnt down" in told and "a new disk was put in" in told and "must not be put back" in told
    zkprov("recover", *QUICK).expect(0, "nothing to recover")
    zkprov("add-node", "zk3", *QUICK, "--wait", "--season", "1s", "--reason", "a test").expect(0)
    assert mode(lost.hosts[2]) == "follower"


@pytest.mark.matrix(keep=1, of="recoveries that are killed", among="heals")
@pytest.mark.parametrize("number", range(8))
def test_it_is_killed_at_some_instant_and_goes_on(lost: Lost, number: int) -> None:
    """In half of them it is still at the disks; in the others it adds somebody already, which `resume` goes on with."""
    running = lost.zkprov.start("recover", *QUICK, *SAID)
    some_instant(running, random.Random(number), 4.0)
    running.signal(signal.SIGKILL)
    running.wait()
    lost.zkprov("recover", *QUICK, *SAID).expect(0)
    lost.zkprov("resume").expect(0)
    lost.stands()
    lost.zkprov("status").expect(0, "SAFE")
