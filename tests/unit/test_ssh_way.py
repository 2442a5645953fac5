"""The way to a host: by jump hosts, each checked, and by commands of the operator."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ssh_peer import ECHO, Keys, Make, Sshd, connections, keys, refusal, sshds
from zkprov.model.facts import Outcome
from zkprov.model.inventory import InventoryHost
from zkprov.observe.ssh import Connections
from zkprov.observe.ssh_link import Link

__all__ = ["connections", "keys", "sshds"]


@pytest.fixture
def jumps(keys: Keys, sshds: Make, tmp_path: Path) -> tuple[list[Sshd], Connections]:
    """Two jump hosts, `one` and `two`, and the target `zk1`, by a configuration file."""
    made = [sshds(key=name) for name in ("one", "two", "host")]
    config = tmp_path / "config"
    stanzas = [
        f"Host {name}\n HostName 127.0.0.1\n Port {sshd.port}\n"
        for name, sshd in zip(("one", "two", "zk1"), made, strict=True)
    ]
    every = f"Host *\n User op\n IdentityFile {keys('op')}\n UserKnownHostsFile {keys.known_hosts}\n"
    config.write_text("".join(stanzas) + every)
    return made, Connections(config=str(config))


def jumped(jump: str, **access: Any) -> InventoryHost:
    from zkprov.model.inventory import Access

    return InventoryHost("zk1", "127.0.0.1", access=Access("zk1", options=(("ProxyJump", jump),), **access))


@pytest.mark.parametrize("jump", ["one", "two,one", "op@one", "ssh://op@two"])
def test_jump_hosts(jumps: tuple[list[Sshd], Connections], jump: str) -> None:
    (one, two, target), connections = jumps
    with connections:
        for _ in range(2):
            assert connections.run(jumped(jump), ECHO, {"a": 1}) == {"a": 1}
    used = {"one": [one], "two,one": [two, one], "op@one": [one], "ssh://op@two": [two]}[jump]
    assert [sshd.accepted for sshd in (*used, target)] == [1] * (len(used) + 1)
    assert used[-1].forwarded == [("127.0.0.1", target.port)]
    assert target.commands and not one.commands and not two.commands


def test_hosts_share_the_connection_to_their_jump_host(jumps: tuple[list[Sshd], Connections]) -> None:
    (one, two, target), connections = jumps
    host = jumped("one")
    from zkprov.model.inventory import Access

    other = InventoryHost("zk2", "127.0.0.1", access=Access("two", options=(("ProxyJump", "one"),)))
    with connections, ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda h: connections.run(h, ECHO, {}), (host, other))) == [{}, {}]
    assert (one.accepted, two.accepted, target.accepted) == (1, 1, 1)


def test_each_hops_host_key_is_checked(jumps: tuple[list[Sshd], Connections], keys: Keys) -> None:
    (one, _, target), connections = jumps
    lines = keys.known_hosts.read_text().splitlines()
    with connections:
        keys.known_hosts.write_text("\n".join(line for line in lines if f":{one.port} " not in line) + "\n")
        found = refusal(connections, jumped("one"))
        assert found.outcome == Outcome.DENIED
        assert "jump host" in str(found)
        assert "is not known" in str(found)
        assert target.accepted == 0
        keys.known_hosts.write_text("\n".join(line for line in lines if f":{target.port} " not in line) + "\n")
        found = refusal(connections, jumped("one"))
        assert found.outcome == Outcome.DENIED
        assert "jump host" not in str(found)
        assert one.tried == 1
        assert target.tried == 0


def test_a_jump_host_that_is_dead(jumps: tuple[list[Sshd], Connections]) -> None:
    (one, _, _), connections = jumps
    one.close()
    with connections:
        found = refusal(connections, jumped("one"))
    assert found.outcome == Outcome.REFUSED
    assert "jump host" in str(found)
    assert "Connection refused" in str(found)


def test_a_jump_host_that_does_not_reach_the_host(jumps: tuple[list[Sshd], Connections]) -> None:
    (one, _, target), connections = jumps
    with connections:
        one.forwards = False
        found = refusal(connections, jumped("one"))
        assert found.outcome == Outcome.REFUSED
        assert "AllowTcpForwarding" in found.remedy
        one.forwards = True
        target.close()
        found = refusal(connections, jumped("one"))
        assert found.outcome == Outcome.REFUSED
        assert "does not reach it" in str(found)
        assert one.accepted == 1


@pytest.mark.parametrize("noticed", [True, False])
def test_a_jump_host_that_is_lost_and_back(
    jumps: tuple[list[Sshd], Connections], noticed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, _, _), connections = jumps
    if not noticed:
        # the instant before its thread sees the end, which cannot be caught otherwise
        monkeypatch.setattr(Link, "alive", property(lambda link: not link.given_up))
    with connections:
        assert connections.run(jumped("one"), ECHO, {}) == {}
        one.cut()
        assert connections.run(jumped("one"), ECHO, {}) == {}
    assert one.accepted == 2


def test_jump_hosts_in_a_circle(connections: Connections, keys: Keys, tmp_path: Path) -> None:
    config = tmp_path / "circle"
    config.write_text("Host a\n ProxyJump b\nHost b\n ProxyJump a\n")
    with Connections(config=str(config)) as connections:
        found = refusal(connections, jumped("a"))
    assert found.outcome == Outcome.REFUSED
    assert "jump hosts, or a circle of them" in str(found)


RELAY = "import socket, os, threading; s = socket.create_connection((H, P)); "
RELAY += (
    "threading.Thread(target=lambda: [os.write(1, d) for d in iter(lambda: s.recv(65536), b'')], daemon=True).start(); "
)
RELAY += "[s.sendall(d) for d in iter(lambda: os.read(0, 65536), b'')]"


def test_a_proxy_command(connections: Connections, keys: Keys, sshds: Make, tmp_path: Path) -> None:
    sshd = sshds()
    relay = tmp_path / "relay.py"
    relay.write_text("import sys; H, P = sys.argv[1], int(sys.argv[2]); " + RELAY)
    host = keys.host(sshd, options=(("ProxyCommand", f"{sys.executable} '{relay}' %h %p"),))
    with Connections(config="/dev/null") as own:
        assert own.run(host, ECHO, {"a": 1}) == {"a": 1}
        children = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", str(relay)], capture_output=True, check=False)
        assert children.stdout.split()
    children = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", str(relay)], capture_output=True, check=False)
    assert not children.stdout.split()


def test_a_proxy_command_that_fails(connections: Connections, keys: Keys, sshds: Make) -> None:
    command = "sh -c 'echo no way to %h >&2; exit 1'"
    began = time.monotonic()
    found = refusal(connections, keys.host(sshds(), options=(("ProxyCommand", command),)))
    assert time.monotonic() - began < 5
    assert found.outcome == Outcome.REFUSED
    assert "no way to 127.0.0.1" in str(found)
