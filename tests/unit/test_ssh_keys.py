"""Who a host is, and who asks: host keys that are not known, and own keys that are not accepted."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from tests.unit.ssh_peer import ECHO, Keys, Make, Sshd, connections, keys, refusal, sshds
from zkprov.model.facts import Outcome
from zkprov.observe.ssh import Connections

__all__ = ["connections", "keys", "sshds"]


def test_an_unknown_host_key_is_never_accepted(connections: Connections, keys: Keys, sshds: Make) -> None:
    sshd = sshds(known=False)
    before = keys.known_hosts.read_bytes()
    for options in ((), (("StrictHostKeyChecking", "no"),), (("StrictHostKeyChecking", "accept-new"),)):
        found = refusal(connections, keys.host(sshd, options=options))
        assert found.outcome == Outcome.DENIED
        shown = base64.b64encode(hashlib.sha256(base64.b64decode(keys.public("host").split()[1])).digest()).decode()
        assert f"ssh-ed25519 SHA256:{shown.rstrip('=')}" in str(found)
        assert str(keys.known_hosts) in str(found)
        assert f"ssh-keyscan -p {sshd.port} 127.0.0.1" in found.remedy
        assert "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`" in found.remedy
    assert keys.known_hosts.read_bytes() == before
    assert sshd.tried == 0


def test_a_changed_host_key_is_told_with_its_line(connections: Connections, keys: Keys, sshds: Make) -> None:
    sshd = sshds(known=False)
    keys.know(sshd, "another")
    found = refusal(connections, keys.host(sshd))
    assert found.outcome == Outcome.DENIED
    assert "its host key has changed" in str(found)
    assert f"{keys.known_hosts}:1 has SHA256:" in str(found)
    assert f"ssh-keygen -f {keys.known_hosts} -R '[127.0.0.1]:{sshd.port}'" in found.remedy
    assert sshd.tried == 0


def test_a_key_of_another_type_than_the_known_one_is_not_accepted(
    connections: Connections, keys: Keys, sshds: Make
) -> None:
    sshd = sshds(known=False)
    keys.know(sshd, "rsa", "rsa")
    found = refusal(connections, keys.host(sshd))
    assert found.outcome == Outcome.DENIED
    assert "has keys of another type (ssh-rsa)" in str(found)


@pytest.mark.parametrize(
    ("kind", "bits"), [("rsa", "ssh-rsa"), ("ecdsa", "ecdsa-sha2-nistp256"), ("ed25519", "ssh-ed25519")]
)
def test_a_host_with_several_keys_shows_the_one_that_is_known(
    connections: Connections, keys: Keys, kind: str, bits: str
) -> None:
    every = [keys(f"host-{k}", k) for k in ("ed25519", "ecdsa", "rsa")]
    with contextlib.closing(Sshd(every, [keys("op")])) as sshd:
        keys.know(sshd, f"host-{kind}", kind)
        assert keys.public(f"host-{kind}").startswith(bits)
        assert connections.run(keys.host(sshd), ECHO, {}) == {}


def hashed(name: str) -> str:
    salt = b"0123456789abcdefghij"
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("{hashed} {key}", True),
        ("|1|bad|worse {key}\n{hashed} {key}", True),
        ("other,[127.0.0.1]:{port},more {key} a comment", True),
        ("[127.0.0.*]:{port} {key}", True),
        ("127.0.0.1 {key}", True),
        ("[127.0.0.1]:1 {key}", False),
        ("[127.0.0.*]:*,![127.0.0.1]:{port} {key}", False),
        ("# [127.0.0.1]:{port} {key}", False),
        ("[127.0.0.1]:{port} {key}\n@revoked * {key}", False),
        ("@cert-authority *,127.0.0.1 {key}", False),
        ("[127.0.0.1]:{port} {another}\n[127.0.0.1]:{port} {key}", True),
        ("[127.0.0.1]:{port} {another}\n127.0.0.1 {key}", False),
        ("\udcff\x00 junk\n[127.0.0.1]:{port} ssh-ed25519 AAAA\n[127.0.0.1]:{port}\n[127.0.0.1]:{port} {key}", True),
    ],
)
def test_known_hosts_is_read_as_ssh_reads_it(
    connections: Connections, keys: Keys, sshds: Make, line: str, known: bool
) -> None:
    sshd = sshds(known=False)
    text = line.format(
        port=sshd.port,
        key=keys.public("host"),
        another=keys.public("another"),
        hashed=hashed(f"[127.0.0.1]:{sshd.port}"),
    )
    keys.known_hosts.write_text(text + "\n", errors="surrogateescape")
    if known:
        assert connections.run(keys.host(sshd), ECHO, {}) == {}
    else:
        found = refusal(connections, keys.host(sshd))
        assert found.outcome == Outcome.DENIED
        assert ("is revoked" in str(found)) == ("@revoked" in line)
        assert ("@cert-authority is not followed" in str(found)) == ("@cert" in line)


def test_a_host_key_alias_names_the_key(connections: Connections, keys: Keys, sshds: Make) -> None:
    sshd = sshds(known=False)
    keys.known_hosts.write_text(f"zk-one {keys.public('host')}\n")
    assert connections.run(keys.host(sshd, options=(("HostKeyAlias", "zk-one"),)), ECHO, {}) == {}
    assert refusal(connections, keys.host(sshd)).outcome == Outcome.DENIED


def test_a_key_that_is_not_accepted(connections: Connections, keys: Keys, sshds: Make) -> None:
    only = (("IdentitiesOnly", "yes"),)
    found = refusal(connections, keys.host(sshds(), key_file=str(keys("stranger")), options=only))
    assert found.outcome == Outcome.DENIED
    assert f"none of these keys was accepted: {keys.folder}/stranger" in str(found)
    assert "~op/.ssh/authorized_keys" in found.remedy
    assert refusal(connections, keys.host(sshds(), user="nobody")).outcome == Outcome.DENIED


@pytest.mark.parametrize(
    ("lay", "note"),
    [
        (lambda file: None, "{file} is not there"),
        (lambda file: file.write_text("junk"), "{file} is no private key that can be used"),
        (lambda file: file.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"), "{file} is no private key"),
        (lambda file: file.mkdir(mode=0o700), "{file}: Is a directory"),
    ],
)
def test_a_key_file_that_is_none(
    connections: Connections, keys: Keys, sshds: Make, lay: Callable[[Path], object], note: str
) -> None:
    file = keys.folder / "odd"
    lay(file)
    if file.is_file():
        file.chmod(0o600)
    found = refusal(connections, keys.host(sshds(), key_file=str(file), options=(("IdentitiesOnly", "yes"),)))
    assert found.outcome == Outcome.DENIED
    assert note.format(file=file) in str(found)


def test_a_key_that_others_may_read_is_not_used(connections: Connections, keys: Keys, sshds: Make) -> None:
    host = keys.host(sshds())
    keys("op").chmod(0o640)
    assert "chmod 600" in str(refusal(connections, host))


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_key_with_a_passphrase_needs_an_agent(
    connections: Connections, keys: Keys, sshds: Make, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = keys("locked", kind, passphrase="hunter2")
    sshd = sshds()
    sshd.authorized = {paramiko.PKey.from_path(locked, b"hunter2")}  # type: ignore[arg-type]
    only = keys.host(sshd, key_file=str(locked), options=(("IdentitiesOnly", "yes"),))
    found = refusal(connections, only)
    assert found.outcome == Outcome.DENIED
    assert f"{locked} has a passphrase, and no agent has it" in str(found)
    assert found.remedy == f"ssh-add {locked}"
    with agent(keys, monkeypatch, locked, "hunter2"):
        for number in (1, 2):
            with Connections(config="/dev/null") as again:
                assert again.run(only, ECHO, {}) == {}
                assert sshd.tried == number
            # without its public half beside it, too
            locked.with_name("locked.pub").unlink(missing_ok=True)


def test_an_agents_other_keys_are_tried_unless_that_is_forbidden(
    keys: Keys, sshds: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd = sshds()
    with agent(keys, monkeypatch, keys("op")), Connections(config="/dev/null") as connections:
        stranger = str(keys("stranger"))
        assert connections.run(keys.host(sshd, key_file=stranger), ECHO, {}) == {}
        for option in (("IdentitiesOnly", "yes"), ("IdentityAgent", "none")):
            found = refusal(connections, keys.host(sshd, key_file=stranger, options=(option,)))
            assert found.outcome == Outcome.DENIED
        sock = os.environ["SSH_AUTH_SOCK"]
        monkeypatch.delenv("SSH_AUTH_SOCK")
        named = keys.host(sshd, key_file=stranger, options=(("IdentityAgent", sock),))
        assert connections.run(named, ECHO, {}) == {}
    gone = keys.host(sshd, key_file=stranger, options=(("IdentityAgent", sock),))
    with Connections(config="/dev/null") as connections:
        assert f"no agent answers at {sock}" in str(refusal(connections, gone))


@contextlib.contextmanager
def agent(keys: Keys, monkeypatch: pytest.MonkeyPatch, key: Path, passphrase: str = "") -> Iterator[None]:
    sock = keys.folder / "a"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.DEVNULL)
    try:
        while not sock.exists():
            assert process.poll() is None
            time.sleep(0.005)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(sock))
        ask = keys.folder / "ask"
        ask.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
        ask.chmod(0o700)
        asking = {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
        subprocess.run(["ssh-add", "-q", str(key)], check=True, env={**os.environ, **asking}, stdin=subprocess.DEVNULL)
        yield
    finally:
        process.terminate()
        process.wait()


def test_an_sshd_that_takes_no_keys(connections: Connections, keys: Keys, sshds: Make) -> None:
    sshd = sshds()
    sshd.takes = "password"
    sshd.authorized = set()
    found = refusal(connections, keys.host(sshd))
    assert found.outcome == Outcome.DENIED
    assert "takes no keys, only password" in str(found)
