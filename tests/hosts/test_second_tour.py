"""The README's tour on machines of one's own, word for word: what a reader types is typed here, and what he is told to see is seen."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pexpect
import pytest

from tests.hosts.conftest import MakeMachines
from tests.hosts.machines import Machines

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
HEADING = "## On your own machines\n"
# In the example there is none that could be fetched, and no network to fetch it by.
ARCHIVE, SUM = re.compile(r"https://mirror\.example/\S+"), re.compile(r'"0{128}"')
ADDRESS = "10.0.0.1{}"


class Typed(NamedTuple):
    """A command as it stands in the README, and the lines that it is said to print, in their order."""

    command: str
    seen: tuple[str, ...]


def the_tour(readme: str) -> list[Typed]:
    section = readme.partition(HEADING)[2].partition("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert blocks and all(block.startswith("$ ") for block in blocks), "a tour is commands, and what they print"
    found = []
    for part in re.split(r"^\$ ", "".join(blocks), flags=re.MULTILINE)[1:]:
        command, *lines = part.splitlines()
        found.append(Typed(command, tuple(" ".join(line.split()) for line in lines if line != "…")))
    return found


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Reader:
    """Somebody with a home, an editor and a checkout, who follows the tour on `machines` and answers yes."""

    def __init__(self, machines: Machines, archive: tuple[Path, str], folder: Path) -> None:
        self.folder, self.home = folder / "checkout", folder / "home"
        self.folder.mkdir()
        self.home.mkdir()
        (self.folder / "inventory").symlink_to(ROOT / "inventory")
        self._addresses = [(ADDRESS.format(n), machine.address) for n, machine in enumerate(machines, 1)]
        # what he would have logged in with before: ssh itself goes by the system's idea of his home
        config = folder / "ssh_config"
        config.write_text(f"IdentityFile {machines.key}\nUserKnownHostsFile {machines.known_hosts}\nBatchMode yes\n")
        program(folder / "bin" / "ssh", f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')
        program(folder / "bin" / "zkprov", f'#!/bin/sh\nexec {sys.executable} -m zkprov "$@"\n')
        edits = [*self._addresses, (ARCHIVE.pattern, str(archive[0])), (SUM.pattern, f'"{archive[1]}"')]
        self._editor = program(folder / "bin" / "editor", f"#!{sys.executable}\n{EDITOR.format(edits=edits)}")
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ZKPROV_")},
            "PATH": f"{folder}/bin:{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "EDITOR": str(self._editor),
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
        }

    def follow(self, tour: list[Typed]) -> list[tuple[int, str]]:
        """The exit code of each command, and what it printed; in one shell, on a terminal, until one fails."""
        lines = []
        for number, typed in enumerate(tour):
            lines += [f"echo '@@ {number}'", self._with_addresses(typed.command)]
            lines += ['code=$?; echo; echo "@@ exit $code"; [ $code = 0 ] || exit 1']
        script = self.folder / "tour.sh"
        script.write_text("\n".join(lines) + "\n")
        shell = pexpect.spawn(
            "/bin/bash",
            [str(script)],
            cwd=str(self.folder),
            env=self._environment,
            encoding="utf-8",
            timeout=240,
            dimensions=(60, 140),
        )
        said = ""
        while shell.expect([r"\[y/N\]: ", pexpect.EOF]) == 0:
            said += shell.before + shell.after
            shell.sendline("y")
        said += shell.before
        shell.close()
        parts = re.split(r"^@@ \d+\r?\n", said, flags=re.MULTILINE)[1:]
        ended = [re.search(r"(.*)^@@ exit (\d+)", part, re.DOTALL | re.MULTILINE) for part in parts]
        return [(int(e[2]), self._with_addresses(e[1], back=True)) if e else (-1, said) for e in ended]

    def _with_addresses(self, text: str, *, back: bool = False) -> str:
        for theirs, ours in self._addresses:
            text = text.replace(*((ours, theirs) if back else (theirs, ours)))
        return text


EDITOR = """
import re, sys
from pathlib import Path
for name in sys.argv[1:]:
    text = Path(name).read_text()
    for before, after in {edits!r}:
        text = re.sub(before, after, text)
    Path(name).write_text(text)
"""


@pytest.fixture
def reader(make_machines: MakeMachines, zookeeper_archive: tuple[Path, str], tmp_path: Path) -> Callable[[], Reader]:
    return lambda: Reader(make_machines(4), zookeeper_archive, tmp_path)


@pytest.mark.timeout(600)
@pytest.mark.matrix(keep=1, of="the tour", among="stories on hosts")
def test_the_readmes_second_tour(reader: Callable[[], Reader]) -> None:
    tour, follows = the_tour((ROOT / "README.md").read_text()), reader()
    done = follows.follow(tour)
    for typed, (code, said) in zip(tour, done, strict=False):
        assert code == 0, f"$ {typed.command}\n{said}"
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
        rest = [" ".join(line.split()) for line in plain.splitlines()]
        for line in typed.seen:
            where = next((n for n, printed in enumerate(rest) if printed.startswith(line)), None)
            assert where is not None, f"$ {typed.command}\ndoes not print {line!r} (there):\n{plain}"
            rest = rest[where + 1 :]
    assert len(done) == len(tour)
    commands = " ".join(typed.command for typed in tour)
    for word in ("cp -r inventory/example", "ansible-vault", "bootstrap", "status", "add-node zk4", "plan configure"):
        assert word in commands
    assert (follows.home / ".kafka-vault").stat().st_mode & 0o077 == 0


def test_a_tour_is_taken_apart_as_it_is_read() -> None:
    first, second = "$ one  two\n  a   b\n…\nc\n$ three\n", "$ four\n"
    text = f"## A\n```\n$ no\n```\n{HEADING}\nwords\n```\n{first}```\nmore\n```\n{second}```\n## B\n```\n$ no\n```\n"
    assert the_tour(text) == [Typed("one  two", ("a b", "c")), Typed("three", ()), Typed("four", ())]
