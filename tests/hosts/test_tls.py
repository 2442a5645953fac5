"""Machines with TLS, the super user known by a certificate: nobody else gets in, and nobody else's machine is started."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.hosts.machine import Machine
from tests.hosts.operator import QUICK, Operator
from zkprov.model.posture import Posture

pytestmark = pytest.mark.real
STORE, TRUST = "/etc/zookeeper-tls/server.pem", "/etc/zookeeper-tls/ca.pem"
# Asked from inside a machine; what is printed says whether it was answered.
SRVR = """python3 -c 'import socket; s = socket.create_connection(("{at}", 2181), 3); s.sendall(b"srvr"); print(s.recv(4096))' 2>&1"""
SECURE = """python3 -c '
import socket, ssl
context = ssl.create_default_context(cafile="{trust}")
context.load_cert_chain("{own}")
peer = context.wrap_socket(socket.create_connection(("{at}", 2281), 5), server_hostname="{at}")
peer.sendall(b"srvr")
print(peer.recv(4096))' 2>&1"""
# What the operator adds: the key is ZooKeeper's alone, once there is such a user.
HOOK = f"""
- name: The key is ZooKeeper's
  hosts: all
  gather_facts: false
  tasks:
    - name: Owner and mode
      ansible.builtin.file: {{path: {STORE}, owner: zookeeper, mode: "0400"}}
"""


def pkcs8(pem: trustme.Blob) -> bytes:
    key = serialization.load_pem_private_key(pem.bytes(), None)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def lay(machine: Machine, authority: trustme.CA, trusted: trustme.CA) -> bytes:
    """Key, certificate and trust store, as an operator's own tools would; returns the key."""
    made = authority.issue_cert(machine.address, machine.name)
    key = pkcs8(made.private_key_pem)
    for path, content in (
        (STORE, key + made.cert_chain_pems[0].bytes()),
        (TRUST, trusted.cert_pem.bytes()),
    ):
        text = base64.b64encode(content).decode()
        machine.shell(f"install -d -m 755 {Path(path).parent}; umask 077; echo {text} | base64 -d >{path}")
    machine.shell(f"chmod 644 {TRUST}")
    return key


@pytest.mark.timeout(600)
@pytest.mark.matrix(keep=1, of="who gets in", among="stories on hosts")
@pytest.mark.parametrize("posture", [Posture.TLS, Posture.TLS_ONLY])
def test_with_tls_nobody_else_gets_in_and_nobody_elses_is_started(
    operator: Callable[[int], Operator], posture: Posture, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Three, and a fourth; in a sample one, and a second."""
    founders = 3 if request.config.getoption("--whole") else 1
    joiner, foreigner = f"zk{founders + 1}", f"zk{founders + 2}"
    made = operator(founders + 2)
    ours, theirs = trustme.CA(), trustme.CA()
    keys = [lay(m, theirs if m.name == foreigner else ours, ours) for m in made.machines]
    me = ours.issue_cert("zkprov", common_name="zkprov", organization_name="zkprov", organization_unit_name="ops")
    files = {"ca": ours.cert_pem.bytes(), "cert": me.cert_chain_pems[0].bytes(), "key": pkcs8(me.private_key_pem)}
    variables: dict[str, Any] = {
        "zkprov_super_password": None,
        "zkprov_posture": str(posture),
        "zkprov_key_store": STORE,
        "zkprov_trust_store": TRUST,
        "zkprov_super_dn": "CN=zkprov,OU=ops,O=zkprov",
        "zkprov_enforce_auth": True,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
        variables[f"zkprov_{name}_file"] = str(tmp_path / name)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "after-install.yml").write_text(HOOK)
    by = ("--playbooks", str(hooks))

    zkprov = made.of(founders, **variables)
    zkprov("bootstrap", *QUICK, *by, timeout_s=300).expect(0)
    zkprov = made.of(founders + 2, **variables)
    foreign = zkprov("add-node", foreigner, *QUICK, *by, timeout_s=200)
    foreign.expect(4, foreigner, "none of the CAs that they trust signed it")
    made.machines[foreigner].shell("test ! -e /opt/zookeeper && test ! -e /var/lib/zookeeper")
    zkprov("add-node", joiner, *QUICK, *by, timeout_s=200).expect(0, "done: {1,2")
    zkprov("check").expect(0, "SAFE", "certificates")

    stranger, member = made.machines[foreigner], made.machines["zk1"]
    assert "refused" in stranger.shell(f"{SRVR.format(at=member.address)} || true"), "in the clear from nowhere else"
    from_itself = member.shell(f"{SRVR.format(at='127.0.0.1')} || true")
    assert ("Mode:" in from_itself) == (posture is Posture.TLS)
    # with a certificate of another authority it gets nothing either, and with ours it does
    refused = stranger.shell(f"{SECURE.format(at=member.address, own=STORE, trust=TRUST)} || true")
    assert "Mode:" not in refused and ("alert" in refused or "reset" in refused or "b''" in refused), refused
    mine = base64.b64encode(files["key"] + files["cert"]).decode()
    stranger.shell(f"umask 077; echo {mine} | base64 -d >/root/mine.pem")
    assert "Mode:" in stranger.shell(SECURE.format(at=member.address, own="/root/mine.pem", trust=TRUST))

    # private keys stayed where they were
    bodies = [line for key in keys for line in key.splitlines() if b"-----" not in line and len(line) > 20]
    for file in (p for p in made.folder.rglob("*") if p.is_file() and p.stat().st_size < 10**7):
        if "machines" not in file.relative_to(made.folder).parts[0]:
            content = file.read_bytes()
            assert not any(body in content for body in bodies), file
