"""`plan configure` on a real machine: what was installed is no drift, what changes there or in the inventory is, and no secret is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.hosts.operator import QUICK, Operator

pytestmark = pytest.mark.real
CANARY = "c4nary-of-a-key-store"


def told(document: Any) -> tuple[set[str], Any]:
    (host,) = document["drift"]["hosts"]
    return {f"{f['file']}: {s['key']}" for f in host["files"] for s in f["settings"]}, host


@pytest.mark.timeout(300)
def test_drift_of_a_machine(operator: Callable[[int], Operator]) -> None:
    made = operator(1)
    machine = made.machines["zk1"]
    zkprov = made.of(1)
    zkprov("bootstrap", *QUICK, timeout_s=200).expect(0)
    found, host = told(zkprov("plan", "configure", "--output", "json").expect(0).json)
    assert (found, host["files"], host["unread"], host["notes"], host["place"]) == (set(), [], [], [], "leader")
    zkprov("render", "zk1", "--diff").expect(0, "now/zoo.cfg")

    # in the inventory
    other = made.of(1, zkprov_heap="96m", zkprov_jvm_flags=["-Dx=y"], zkprov_release="3.9.6", zkprov_unit="zookeeper")
    found, host = told(other("plan", "configure", "--output", "json", "--detailed-exitcode").expect(10).json)
    assert found == {"jvm_flags: -Dx", "unit: Service.ExecStart", "release: current", "release: running"}
    assert host["order"] == 1
    assert any("does not lie there yet" in f["note"] for f in host["files"])

    # on the host
    zkprov = made.of(1)
    machine.shell("sed -i s/^RestartSec=.*/RestartSec=1/ /etc/systemd/system/zookeeper.service")
    machine.shell("mkdir /etc/systemd/system/zookeeper.service.d")
    machine.shell(f"printf '[Service]\\nEnvironment=X={CANARY}\\n' >/etc/systemd/system/zookeeper.service.d/own.conf")
    found, host = told(zkprov("plan", "configure", "--output", "json").expect(0).json)
    assert found == {"unit: Service.RestartSec"} and host["order"] is None
    assert any("systemctl daemon-reload" in n for n in host["notes"])
    machine.shell("systemctl daemon-reload")
    machine.shell(f"printf '%s\\n' ssl.keyStore.password={CANARY} >>/etc/zookeeper/zoo.cfg")
    machine.shell("rm /etc/zookeeper/jvm_flags; mkdir /etc/zookeeper/jvm_flags")
    done = zkprov("plan", "configure", "--diff").expect(
        4, "own.conf", "jvm_flags: not a file", "made by hand, a secret"
    )
    assert CANARY not in done.out + done.err and "daemon-reload\n" not in done.out

    # a unit that is somebody else's is theirs
    machine.shell("sed -i '/Written by zkprov/d' /etc/systemd/system/zookeeper.service; systemctl daemon-reload")
    zkprov("plan", "configure").expect(4, "is not zkprov's")
    machine.shell("systemctl stop ssh.socket ssh 2>/dev/null; true")
    zkprov("plan", "configure", "--timeout", "1").expect(4, "not read")
    left = [p for p in made.folder.rglob("*") if p.is_file() and p.stat().st_size < 10**7]
    ours = [p for p in left if not p.relative_to(made.folder).parts[0].startswith("machines")]
    assert ours and not [p for p in ours if CANARY.encode() in p.read_bytes()]
