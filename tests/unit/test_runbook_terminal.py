"""A runbook that asks at a terminal: answers, what was typed before it asked, a signal, an approval from elsewhere."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

INVENTORY = """
all:
  children:
    kafka:
      hosts:
        zk1: {ansible_connection: local}
"""
BOOK = "runbook: r\nsteps:\n  - {name: go, approve: {within: 30s}}\n  - {probe: {command: ['true']}}\n"
OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    def __init__(self, folder: Path, *words: str, typed: bytes = b"") -> None:
        self.folder, (ours, theirs) = folder, pty.openpty()
        (folder / "hosts.yml").write_text(INVENTORY)
        (folder / "r.yml").write_text(BOOK)
        os.write(ours, typed)
        self._ours = ours
        self._process = subprocess.Popen(
            [sys.executable, "-c", OWN_TERMINAL, *self.words("run", "r.yml", *words)], cwd=folder, stdin=theirs,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.said = b""

    def words(self, *words: str) -> list[str]:
        first, *rest = words
        where = ["-i", "hosts.yml", "-E", "kafka"]
        return [sys.executable, "-m", "zkprov", "--journal", "j.db", "runbook", first, *rest, *where]

    def until(self, word: bytes) -> None:
        assert self._process.stdout
        while word not in self.said:
            assert select.select([self._process.stdout], [], [], 60)[0], self.said
            part = os.read(self._process.stdout.fileno(), 4096)
            assert part, self.said
            self.said += part

    def type(self, text: bytes) -> None:
        os.write(self._ours, text)

    def signal(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def ends(self) -> int:
        rest, _ = self._process.communicate(timeout=20)
        self.said += rest
        os.close(self._ours)
        return self._process.returncode


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"perhaps\nYES\n", 0), (b"n\n", 3)])
def test_an_answer(tmp_path: Path, answer: bytes, code: int) -> None:
    terminal = Terminal(tmp_path)
    terminal.until(b"or --refuse")
    time.sleep(0.3)
    for line in answer.splitlines(keepends=True):
        terminal.type(line)
        time.sleep(0.8)
    assert terminal.ends() == code and b"at the terminal" in terminal.said


def test_what_was_typed_before_it_asked_is_no_answer_and_a_signal_is_heard(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, typed=b"y\n")
    terminal.until(b"or --refuse")
    time.sleep(1.2)
    began = time.monotonic()
    terminal.signal()
    assert terminal.ends() == 7 and time.monotonic() - began < 5, terminal.said


def test_an_approval_from_elsewhere_by_another_way_to_the_inventory(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.until(b"or --refuse")
    words = [w if w != "hosts.yml" else str(tmp_path / "hosts.yml") for w in terminal.words("approve", "r.yml", "go")]
    subprocess.run(words, cwd=tmp_path, check=True, timeout=30)
    assert terminal.ends() == 0
