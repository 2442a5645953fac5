"""Ports that nobody but the host itself reaches: zkprov looks and acts through SSH, and says it where that is not allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.hosts.machine import Machine
from tests.hosts.operator import DIGEST, QUICK, Operator

pytestmark = pytest.mark.real

# Asked from inside a machine; what is printed says whether it was answered.
ASK = """python3 -c 'import socket
s = socket.create_connection(("{at}", {port}), 3)
s.sendall(b"{say}")
print(s.makefile("rb").read())' 2>&1 || true"""
PROPERTIES = r"GET /commands/system_properties HTTP/1.0\r\n\r\n"
# SSH and what servers say to each other; all else is dropped without a word.
ONLY_SERVERS = """
nft add table inet operators
nft add chain inet operators in '{ type filter hook input priority 0; policy drop; }'
nft add rule inet operators in iif lo accept
nft add rule inet operators in ct state established,related accept
nft add rule inet operators in tcp dport '{ 22, 2888, 3888 }' accept
nft add rule inet operators in ip protocol icmp accept
"""
WAYS: dict[str, dict[str, Any]] = {
    "loopback": {"zkprov_client_host": "127.0.0.1"},
    "closed": {"zkprov_tunnel": True},
}


def asked(machine: Machine, at: str, port: int, say: str) -> str:
    return machine.shell(ASK.format(at=at, port=port, say=say))


@pytest.mark.timeout(600)
@pytest.mark.matrix(keep=1, of="who gets in", among="stories on hosts")
@pytest.mark.parametrize("way", WAYS)
def test_an_ensemble_that_serves_nobody_from_elsewhere_is_founded_grown_and_seen(
    operator: Callable[[int], Operator], way: str, request: pytest.FixtureRequest
) -> None:
    """Three, and a fourth; in a sample one, and a second."""
    founders = 3 if request.config.getoption("--whole") else 1
    made = operator(founders + 1)
    if way == "closed":
        for machine in made.machines:
            machine.shell(ONLY_SERVERS)
    joiner = f"zk{founders + 1}"
    zkprov = made.of(founders, **WAYS[way])
    zkprov("bootstrap", *QUICK, timeout_s=300).expect(0)
    zkprov = made.of(founders + 1, **WAYS[way])
    zkprov("add-node", joiner, *QUICK, timeout_s=200).expect(
        0, f"done: {{1{',2,3' if founders == 3 else ''},{founders + 1}}}"
    )
    zkprov("check").expect(0, "SAFE")
    status = zkprov("status", "--output", "json").expect(0).json
    assert [s["unseen"] for s in status["servers"]] == [[]] * (founders + 1)

    # nobody else gets a word
    member, other = made.machines["zk1"], made.machines[joiner]
    for port, say in ((2181, "srvr"), (8080, PROPERTIES)):
        assert "b'" not in asked(other, member.address, port, say), port
    assert "Mode:" in asked(member, "127.0.0.1", 2181, "srvr")
    assert DIGEST in asked(member, "127.0.0.1", 8080, PROPERTIES), "why the AdminServer listens on loopback alone"

    # an sshd that forwards nothing: what cannot be seen is said, and is not taken for well
    member.shell("echo 'AllowTcpForwarding no' >/etc/ssh/sshd_config.d/operator.conf && systemctl reload ssh")
    blind = zkprov("status", "--output", "json").json["ensemble"]["verdict"]
    assert blind in ("unknown", "degraded"), blind
    said = zkprov("check")
    said.expect(4, "zk1", "its sshd forwards nothing to there (AllowTcpForwarding and PermitOpen of its sshd allow it)")
