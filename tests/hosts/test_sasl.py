"""Machines with SASL among servers and for clients: nobody else gets anything, and the passwords lie where ZooKeeper's user alone reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kazoo.exceptions import KazooException

from tests.hosts.operator import QUICK, Operator
from tests.real.driver import Arguments, nobody_gets_in
from zkprov.act.session import close, connect

pytestmark = pytest.mark.real
QUORUM, OURS, KAFKA = "c4nary-of-the-quorum", "c4nary-of-zkprov", "c4nary-of-kafka"
JAAS = "/etc/zookeeper/jaas.conf"


@pytest.mark.timeout(600)
@pytest.mark.matrix(keep=1, of="who gets in", among="stories on hosts")
def test_with_sasl_nobody_else_gets_anything(
    operator: Callable[[int], Operator], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three, and a fourth; in a sample one, and a second. No super user but by SASL."""
    founders = 3 if request.config.getoption("--whole") else 1
    joiner = f"zk{founders + 1}"
    made = operator(founders + 1)
    variables: dict[str, Any] = {
        "zkprov_super_password": None,
        "zkprov_quorum_sasl": True,
        "zkprov_quorum_sasl_password": QUORUM,
        "zkprov_client_sasl": True,
        "zkprov_sasl_password": OURS,
        "zkprov_sasl_users": {"kafka": KAFKA},
        "zkprov_enforce_auth": True,
    }
    made.zkprov.secrets = (QUORUM, OURS, KAFKA)
    with Arguments(QUORUM, OURS, KAFKA) as seen:
        zkprov = made.of(founders, **variables)
        zkprov("bootstrap", *QUICK, timeout_s=300).expect(0)
        zkprov = made.of(founders + 1, **variables)
        with monkeypatch.context() as wrong:
            wrong.setenv("ZKPROV_QUORUM_SASL_PASSWORD", "another")
            zkprov("add-node", joiner, *QUICK).expect(4, "its password among servers (user zookeeper) is not the one")
        made.machines[joiner].shell("test ! -e /opt/zookeeper && test ! -e /var/lib/zookeeper")
        zkprov("add-node", joiner, *QUICK, timeout_s=200).expect(0, "done: {1,2")
        zkprov("plan", "configure", "--detailed-exitcode").expect(0, "no drift")
    assert seen.looks and not {s for s in seen.seen if "ZKPROV_QUORUM" not in s}, seen.seen

    at = made.host(1).client
    nobody_gets_in(at)
    kafka = connect([at], None, sasl=("kafka", KAFKA))
    try:
        assert "zkprov" in kafka.get_children("/")
        with pytest.raises(KazooException):
            kafka.set("/zkprov/ensemble", b"mine")
    finally:
        close(kafka)

    for file in (p for p in made.folder.rglob("*") if p.is_file() and p != made.inventory and p.stat().st_size < 10**7):
        if "machines" not in file.relative_to(made.folder).parts[0]:
            assert not any(s.encode() in file.read_bytes() for s in made.zkprov.secrets), file
    for machine in made.machines:
        assert machine.shell(f"stat -c '%U %a' {JAAS}").split() == ["zookeeper", "600"]
        words = " ".join(f"-e '{secret}'" for secret in made.zkprov.secrets)
        held = machine.shell(f"grep -rlF {words} /etc /var /opt /tmp /root /home /run 2>/dev/null || true").split()
        assert held == [JAAS], held
        machine.shell(f"! journalctl --no-pager | grep -F {words}")
