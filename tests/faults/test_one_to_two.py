"""From one voter to two both must be there at once: the joiner dies as it is promoted, and what docs/incidents.md says is done."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.driver import Zkprov, client, events_in, mode, wait_for
from zkprov.act.local import LocalHost
from zkprov.lab.lab import Lab
from zkprov.model.inventory import InventoryHost

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
QUICK = ("--yes", "--settle", "0", "--samples", "1", "--sample-interval", "0.1", "--step-timeout", "8")


def list_file(host: InventoryHost) -> Path:
    """The one that `zoo.cfg` names."""
    (line,) = re.findall(r"(?m)^dynamicConfigFile=(.*)$", Path(host.config_dir, "zoo.cfg").read_text())
    return Path(line.replace("\\", ""))


@pytest.fixture
def lab(software: None, tmp_path: Path) -> Iterator[Lab]:
    lab = Lab.create("onetwo", 1, home=tmp_path / "lab")
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


@pytest.mark.matrix(keep=1, of="the slow ones")
def test_a_joiner_that_dies_as_it_is_promoted_gets_the_new_list_and_nothing_is_lost(lab: Lab, tmp_path: Path) -> None:
    zkprov, events = Zkprov(lab, tmp_path / "runs"), tmp_path / "events"
    one, two = lab.host(1), lab.host(2)
    with client(one, lab=lab) as session:
        session.create("/precious", b"data")
    running = zkprov.start("add-node", "zk2", *QUICK, "--events", str(events))
    wait_for(lambda: [e for e in events_in(events) if e["step"] == 2 and e["kind"] == "gates"], what="the gates")
    os.kill(running.process.pid, signal.SIGSTOP)
    # as when its power is cut: for the leader its connection stands, and nothing comes over it
    (pid,) = (server.pid for server in lab.processes() if two.config_dir in str(server))
    os.kill(pid, signal.SIGSTOP)
    running.signal(signal.SIGCONT)
    running.wait(120).expect(7, "zkprov resume")
    os.kill(pid, signal.SIGKILL)
    # the first waits for a second vote under the list that it was about to take, or has taken; the second has none with itself in it
    zkprov("status").expect(4, "same config", "100000000")
    zkprov("resume").expect(4)
    proposed = list_file(one).with_name("zoo.cfg.dynamic.next")
    waiting = (proposed if proposed.exists() else list_file(one)).read_text()
    assert "server.2=" in waiting and "server.2=" not in list_file(two).read_text()

    # docs/incidents.md, "One server became two": the same list for the joiner, and its server started
    servers = [line for line in waiting.splitlines() if line.startswith("server.")]
    list_file(two).write_text("\n".join([*servers, ""]))
    LocalHost(two).start()
    wait_for(lambda: mode(one) == "leader" and mode(two) == "follower", 60, "a quorum of both")
    zkprov("resume").expect(0, "done: {1,2}")
    zkprov("check").expect(0, "SAFE")
    with client(two, lab=lab) as session:
        assert session.get("/precious")[0] == b"data"
