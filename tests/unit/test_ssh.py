"""Questions over SSH: each way in which one can fail, told with its outcome and its remedy; and what comes after it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pytest

from tests.unit.ssh_peer import ECHO, Keys, Make, connections, keys, refusal, run_here, sshds
from zkprov.model.facts import Outcome
from zkprov.observe.ssh import Connections

__all__ = ["connections", "keys", "sshds"]


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


def test_help_does_not_import_paramiko() -> None:
    code = "import sys; import zkprov.cli, zkprov.observe.ssh, zkprov.observe.remote; print('paramiko' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
