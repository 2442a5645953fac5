"""Questions over SSH: each way in which one can fail, told with its outcome and its remedy; and what comes after it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko
import pytest

from tests.unit.ssh_peer import Keys, Sshd, keys, run_here, sshds
from zkprov.model.facts import Outcome
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import NotHealthy, Unreached
from zkprov.observe.ssh import Connections

__all__ = ["keys", "sshds"]
Make = Callable[..., Sshd]
ECHO = "import json\nprint(json.dumps(ARGUMENTS))\n"


@pytest.fixture
def connections() -> Iterator[Connections]:
    with Connections(timeout_s=10.0, config="/dev/null") as connections:
        yield connections


def refusal(connections: Connections, host: InventoryHost, program: str = ECHO, **given: Any) -> Unreached:
    with pytest.raises(Unreached) as caught:
        connections.run(host, program, {"a": 1}, **given)
    assert isinstance(caught.value, NotHealthy)
    assert caught.value.place == host.name
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_program_gets_its_arguments_and_gives_a_document(connections: Connections, keys: Keys, sshds: Make) -> None:
    sshd = sshds()
    given = {"text": 'it\'s "quoted" \u00e9\u2028\\n{}', "none": None, "yes": True, "list": [1, 2.5, {"a": []}]}
    assert connections.run(keys.host(sshd), ECHO, given) == given
    assert connections.run(keys.host(sshd), "print('[]')", {}) == []
    assert sshd.accepted == 1
    assert sshd.commands == ["env LC_ALL=C python3 -I -S -"] * 2


def test_nothing_of_a_program_shows_on_a_command_line(connections: Connections, keys: Keys, sshds: Make) -> None:
    program = (
        "import json, sys\nprint(json.dumps([open('/proc/self/cmdline').read(), sorted(sys.flags)[-1], sys.argv]))"
    )
    words, _, argv = connections.run(keys.host(sshds()), program, {"secret": "hunter2"})
    assert words.split("\0")[1:] == ["-I", "-S", "-", ""]
    assert argv == ["-"]


def test_threads_share_a_connection(connections: Connections, keys: Keys, sshds: Make) -> None:
    sshd = sshds()
    host = keys.host(sshd)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda n: connections.run(host, ECHO, {"n": n}), range(12)))
    assert found == [{"n": n} for n in range(12)]
    assert sshd.accepted == 1


def test_what_a_shell_prints_at_its_start_is_no_part_of_the_answer(
    connections: Connections, keys: Keys, sshds: Make
) -> None:
    sshd = sshds(lambda channel, command: run_here(channel, f"echo Welcome '{{}}'; echo hm >&2; {command}"))
    assert connections.run(keys.host(sshd), ECHO, {"a": 1}) == {"a": 1}


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


def test_nothing_listens(connections: Connections, keys: Keys, sshds: Make) -> None:
    host = keys.host(sshds())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = refusal(connections, keys.host(sshds(), port=port))
    assert found.outcome == Outcome.REFUSED
    assert f"127.0.0.1 port {port}: Connection refused" in str(found)
    assert connections.run(host, ECHO, {}) == {}


def test_a_name_that_does_not_resolve(connections: Connections, keys: Keys, sshds: Make) -> None:
    found = refusal(connections, keys.host(sshds(), options=(("HostName", "nowhere.invalid"),)))
    assert found.outcome == Outcome.REFUSED
    assert "nowhere.invalid does not resolve" in str(found)


def test_an_address_that_does_not_answer(keys: Keys, sshds: Make) -> None:
    """A full backlog drops what comes, as a firewall does."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            with Connections(timeout_s=5.0, config="/dev/null") as connections:
                began = time.monotonic()
                host = keys.host(sshds(), port=port, options=(("ConnectTimeout", "1"),))
                found = refusal(connections, host)
                took = time.monotonic() - began
    assert found.outcome == Outcome.TIMEOUT
    assert 0.9 < took < 3.0


@pytest.mark.parametrize(
    ("greeting", "outcome", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n" * 120, Outcome.JUNK, "no SSH server"),
        (b"", Outcome.TRUNCATED, "without an SSH greeting"),
        (b"SSH-2.0-x\r\n", Outcome.TRUNCATED, "the connection was closed"),
        (b"SSH-1.5-x\r\n", Outcome.JUNK, "Incompatible version"),
        (b"SSH-2.0-x\r\n" + os.urandom(2000), Outcome.TRUNCATED, ""),
    ],
)
def test_what_is_no_sshd(keys: Keys, sshds: Make, greeting: bytes, outcome: Outcome, words: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Connections(timeout_s=5.0, config="/dev/null") as connections,
    ):

        def greet() -> None:
            sock, _ = listener.accept()
            with sock, contextlib.suppress(OSError):
                sock.sendall(greeting)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass

        thread = threading.Thread(target=greet)
        thread.start()
        found = refusal(connections, keys.host(sshds(), port=listener.getsockname()[1]))
        thread.join(10)
    assert found.outcome in (outcome, Outcome.JUNK if not words else outcome)
    assert words in str(found)


def test_an_sshd_that_says_nothing(keys: Keys, sshds: Make) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Connections(timeout_s=0.5, config="/dev/null") as connections,
    ):
        found = refusal(connections, keys.host(sshds(), port=silent.getsockname()[1]))
    assert found.outcome == Outcome.TIMEOUT
    assert "no SSH greeting came in time" in str(found)


def test_a_connection_lost_in_the_middle_is_replaced_by_the_next_question(
    connections: Connections, keys: Keys, sshds: Make
) -> None:
    sshd = sshds()

    def cut(channel: paramiko.Channel, command: str) -> None:
        channel.sendall(b'{"half": ')
        sshd.behaviour = run_here
        sshd.cut()

    sshd.behaviour = cut
    found = refusal(connections, keys.host(sshd))
    assert found.outcome == Outcome.TRUNCATED
    assert "lost in the middle" in str(found)
    assert connections.run(keys.host(sshd), ECHO, {}) == {}
    assert sshd.accepted == 2


def test_a_kept_connection_that_is_gone_is_replaced_without_a_word(
    connections: Connections, keys: Keys, sshds: Make
) -> None:
    sshd = sshds()
    for _ in range(3):
        assert connections.run(keys.host(sshd), ECHO, {}) == {}
        sshd.cut()
    assert sshd.accepted == 3
    assert len(sshd.commands) == 3


def test_a_late_answer(connections: Connections, keys: Keys, sshds: Make) -> None:
    ended = threading.Event()

    def wait(channel: paramiko.Channel, command: str) -> None:
        channel.sendall(b"{")
        while not channel.closed and not ended.wait(0.01):
            pass

    sshd = sshds(wait)
    began = time.monotonic()
    found = refusal(connections, keys.host(sshd), timeout_s=0.6)
    assert 0.5 < time.monotonic() - began < 3.0
    assert found.outcome == Outcome.TIMEOUT
    sshd.behaviour = run_here
    assert connections.run(keys.host(sshd), ECHO, {}) == {}
    ended.set()


def test_who_is_answered_is_not_disturbed_by_who_is_not(connections: Connections, keys: Keys, sshds: Make) -> None:
    """The connection that a late answer makes doubtful carries another question to its end."""
    reached, go = threading.Event(), threading.Event()

    def behave(channel: paramiko.Channel, command: str) -> None:
        reached.set()
        go.wait(10)
        run_here(channel, command)

    sshd = sshds(behave)
    host = keys.host(sshd)
    with ThreadPoolExecutor(1) as pool:
        patient = pool.submit(connections.run, host, ECHO, {"patient": 1})
        assert reached.wait(10)
        assert refusal(connections, host, timeout_s=0.3).outcome == Outcome.TIMEOUT
        go.set()
        assert patient.result(10) == {"patient": 1}
    assert connections.run(host, ECHO, {}) == {}
    assert sshd.accepted == 2


def test_an_answer_without_end(connections: Connections, keys: Keys, sshds: Make) -> None:
    sent = 0

    def pour(channel: paramiko.Channel, command: str) -> None:
        nonlocal sent
        for _ in range(500):
            channel.sendall(b"x" * 100_000)
            sent += 100_000

    sshd = sshds(pour)
    found = refusal(connections, keys.host(sshd))
    assert found.outcome == Outcome.TOO_LARGE
    assert sent < 20_000_000
    sshd.behaviour = run_here
    assert connections.run(keys.host(sshd), ECHO, {}) == {}
    assert sshd.accepted == 1


def test_errors_without_end_are_read_and_not_kept(connections: Connections, keys: Keys, sshds: Make) -> None:
    program = "import sys\nfor _ in range(400): sys.stderr.write('e' * 10000)\nprint('[1]')"
    assert connections.run(keys.host(sshds()), program, {}) == [1]


def test_a_large_argument_and_a_large_answer(connections: Connections, keys: Keys, sshds: Make) -> None:
    given = {"text": "\u00e9" * 400_000}
    assert connections.run(keys.host(sshds()), ECHO, given) == given


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("print('{')", "an answer that is not JSON"),
        ("pass", "an answer that is not JSON"),
        ("print('[' * 100000)", "an answer that is not JSON"),
        ("raise ValueError('no\x1b[31m such')", "ended with exit code 1 there: ValueError: no [31m such"),
        ("import os; os.kill(os.getpid(), 9)", "ended"),
        ("import sys; sys.exit(3)", "ended with exit code 3"),
        ("not a word of Python", "SyntaxError"),
    ],
)
def test_a_program_that_goes_wrong(connections: Connections, keys: Keys, sshds: Make, program: str, words: str) -> None:
    found = refusal(connections, keys.host(sshds()), program)
    assert found.outcome == Outcome.JUNK
    assert words in str(found)


def test_no_python(connections: Connections, keys: Keys, sshds: Make, tmp_path: Path) -> None:
    sshd = sshds(lambda channel, command: run_here(channel, command, path="/nonexistent:/usr/bin"))
    found = refusal(connections, keys.host(sshd, python="python9.9"))
    assert found.outcome == Outcome.JUNK
    assert "no python9.9 there" in str(found)
    assert "ansible_python_interpreter" in found.remedy
    found = refusal(connections, keys.host(sshd, python="/bin/false"))
    assert found.outcome == Outcome.JUNK
    assert "Python did not start there (exit code 1)" in str(found)


SUDOS = {
    "asks": ("echo 'sudo: a password is required' >&2; exit 1", Outcome.DENIED, "NOPASSWD"),
    "refuses": ("echo 'op is not in the sudoers file.' >&2; exit 1", Outcome.DENIED, "NOPASSWD"),
    "no python": ('shift 2; PATH=/nonexistent exec /bin/"$@"', Outcome.JUNK, "install python3 there"),
    "none": (None, Outcome.JUNK, "install sudo there"),
}


@pytest.mark.parametrize("how", SUDOS)
def test_a_sudo_that_does_not_serve(
    connections: Connections, keys: Keys, sshds: Make, tmp_path: Path, how: str
) -> None:
    script, outcome, remedy = SUDOS[how]
    path = fake_sudo(tmp_path, script)
    sshd = sshds(lambda channel, command: run_here(channel, command, path=path))
    found = refusal(connections, keys.host(sshd, sudo=True))
    assert found.outcome == outcome
    assert remedy in found.remedy


def test_a_sudo_that_serves(connections: Connections, keys: Keys, sshds: Make, tmp_path: Path) -> None:
    path = fake_sudo(tmp_path, 'test "$1 $2" = "-n --" && shift 2 && exec "$@"')
    sshd = sshds(lambda channel, command: run_here(channel, command, path=path))
    assert connections.run(keys.host(sshd, sudo=True, python=sys.executable), ECHO, {"a": 1}) == {"a": 1}


def fake_sudo(folder: Path, script: str | None) -> str:
    """A folder of programs of which `sudo` is ours: the machine's own is not to be set up by a test. Real ones are in tests/hosts."""
    tools = folder / "tools"
    tools.mkdir()
    for name in ("env", "sh"):
        (tools / name).symlink_to(shutil.which(name) or name)
    if script is not None:
        (tools / "sudo").write_text(f"#!/bin/sh\n{script}\n")
        (tools / "sudo").chmod(0o755)
    return str(tools)


def test_an_sshd_without_room_for_a_session(connections: Connections, keys: Keys, sshds: Make) -> None:
    sshd = sshds()
    sshd.opens = False
    found = refusal(connections, keys.host(sshd))
    assert found.outcome == Outcome.REFUSED
    assert "MaxSessions" in found.remedy


def test_other_connections_are_not_asked(connections: Connections, keys: Keys, sshds: Make) -> None:
    import msgspec

    host = msgspec.structs.replace(keys.host(sshds()), connection="community.docker.docker")
    assert refusal(connections, host).outcome == Outcome.NOT_ASKED
    bare = msgspec.structs.replace(host, connection="local", access=None)
    assert refusal(connections, bare).outcome == Outcome.NOT_ASKED


def test_a_config_that_ssh_refuses(connections: Connections, keys: Keys, sshds: Make) -> None:
    found = refusal(connections, keys.host(sshds(), options=(("Bogus", "yes"),)))
    assert found.outcome == Outcome.REFUSED
    assert "Bad configuration option: bogus" in str(found)


def test_closed_connections_ask_nothing(keys: Keys, sshds: Make) -> None:
    sshd = sshds()
    connections = Connections(config="/dev/null")
    with connections:
        connections.run(keys.host(sshd), ECHO, {})
    connections.close()
    assert refusal(connections, keys.host(sshd)).outcome == Outcome.REFUSED
    assert sshd.accepted == 1


def test_closing_ends_what_is_asked(keys: Keys, sshds: Make) -> None:
    reached, ended = threading.Event(), threading.Event()

    def wait(channel: paramiko.Channel, command: str) -> None:
        reached.set()
        ended.wait(10)

    sshd = sshds(wait)
    with ThreadPoolExecutor(1) as pool:
        with Connections(config="/dev/null") as connections:
            asked = pool.submit(refusal, connections, keys.host(sshd))
            assert reached.wait(10)
        assert asked.result(5).outcome == Outcome.TRUNCATED
        ended.set()


def test_no_thread_and_no_line_is_left(keys: Keys, sshds: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Of paramiko's: it reports at levels that Python prints where nobody listens."""
    sshd = sshds(known=False)
    with Connections(config="/dev/null") as connections:
        refusal(connections, keys.host(sshd))
        sshd.cut()
    handlers = logging.getLogger("paramiko").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)


# --- the way there


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


def test_a_jump_host_that_is_lost_and_back(jumps: tuple[list[Sshd], Connections]) -> None:
    (one, _, _), connections = jumps
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


def test_help_does_not_import_paramiko() -> None:
    code = "import sys; import zkprov.cli, zkprov.observe.ssh, zkprov.observe.remote; print('paramiko' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
