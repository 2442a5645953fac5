"""Processes of servers: what has ended, and what only looks so."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from zkprov.act.processes import MAIN_CLASS, ServerProcess, await_end, end, server_process

# Taken for a server by its command line. At the first line it hears, its first thread ends, as those of a JVM do one after the other
# when it is killed; at the second the rest. (The call is `exit` of one thread, which Python has no name for.)
_SERVER = """
import ctypes, os, platform, sys, threading
first_ends = threading.Event()
def rest():
    first_ends.wait()
    sys.stdin.readline()
    os._exit(0)
threading.Thread(target=rest).start()
print("up", flush=True)
sys.stdin.readline()
first_ends.set()
ctypes.CDLL(None).syscall(60 if platform.machine() == "x86_64" else 93, 0)
"""


@pytest.fixture
def process() -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-c", _SERVER, MAIN_CLASS, "/of/a/test/zoo.cfg"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def _found(process: subprocess.Popen) -> ServerProcess:
    found = server_process(process.pid)
    assert found is not None and found.zoo_cfg == "/of/a/test/zoo.cfg"
    return found


def _tell(process: subprocess.Popen) -> None:
    process.stdin.write(b"\n")
    process.stdin.flush()


def test_a_server_runs_until_its_last_thread_is_gone(process) -> None:
    server = _found(process)
    assert await_end([server], 0) == [server]
    _tell(process)
    deadline = time.monotonic() + 10
    while server_process(process.pid):
        assert time.monotonic() < deadline
    assert await_end([server], 0.1) == [server], "its command line is gone, and it may hold its ports still"
    _tell(process)
    assert await_end([server], 10) == []


def test_it_is_ended_whole(process) -> None:
    server = _found(process)
    assert end([server], 10) == []
    assert process.wait(0) == -15


def test_another_process_of_that_number_is_not_waited_for(process) -> None:
    server = _found(process)
    earlier = ServerProcess(server.pid, server.started - 1, server.zoo_cfg)
    assert await_end([earlier], 10) == []
    assert process.poll() is None
