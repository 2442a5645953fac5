"""Other zkprovs, one for each ensemble of a fleet: started, watched, told to stop. What they say is what any zkprov says to a program."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec

import zkprov
from zkprov.model.problems import BadInput
from zkprov.plan.steps import Plan, Refusal
from zkprov.run.events import Event
from zkprov.run.result import Result

GIVE_UP_S = 4.5
"""From being told to stop on: a zkprov ends within less. One that does not is killed, which leaves nothing that `resume` does not find."""
OF_CI = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")
"""What the whole tells, its parts need not."""
# -P: what lies in the folder that the operator is in is no part of zkprov; and the zkprov that is started is this one
_CODE = "import sys; p = sys.argv.pop(1); p in sys.path or sys.path.insert(0, p); from zkprov.cli import main; main()"


def this_zkprov(arguments: Sequence[str]) -> list[str]:
    """The words that call the zkprov that runs now."""
    return [sys.executable, "-P", "-c", _CODE, str(Path(zkprov.__file__).parents[1]), *arguments]


class Said(msgspec.Struct, frozen=True):
    """What `--output json` of a change is, as far as it is needed here."""

    plan: Plan | None = None
    refusal: Refusal | None = None
    result: Result | None = None


class Child:
    """`zkprov ARGUMENTS`, in a session of its own: what is typed at the terminal reaches it only through us. It asks nothing."""

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        """`folder` is its own, for what it says. Raises `BadInput` where it cannot be started."""
        self.arguments = tuple(arguments)
        self._began = time.monotonic()
        self.took_s = 0.0
        self._out, self._err, self.events_file = folder / "out", folder / "err", folder / "events"
        self._read = 0
        environment = {name: value for name, value in os.environ.items() if name not in OF_CI}
        command = this_zkprov(arguments)
        try:
            folder.mkdir(mode=0o700)
            with self._out.open("wb") as out, self._err.open("wb") as err:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, start_new_session=True
                )
        except OSError as wrong:
            raise BadInput(f"no further zkprov can be started: {wrong.strerror}", remedy="--parallel 1") from None

    @property
    def code(self) -> int | None:
        """Its exit code; None while it goes on. 7 where a signal ended it: what it had begun stands."""
        code = self._process.poll()
        if code is None:
            return None
        if not self.took_s:
            self.took_s = time.monotonic() - self._began
        return code if code >= 0 else 7

    @property
    def killed_by(self) -> int:
        """The signal that ended it, which it did not take itself; 0: none."""
        return max(0, -(self._process.returncode or 0))

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def said(self) -> Said:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(self._out.read_bytes(), type=Said)
        return Said()

    @property
    def output(self) -> bytes:
        with contextlib.suppress(OSError):
            return self._out.read_bytes()
        return b""

    def complaint(self) -> tuple[str, tuple[str, ...]]:
        """(what it complained of, what to do next), by what it wrote for people."""
        text = ""
        with contextlib.suppress(OSError):
            text = self._err.read_text(errors="replace")
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        for word in ("error: ", "Error: "):
            for number, line in enumerate(lines):
                if line.startswith(word):
                    rest = lines[number + 1 :]
                    following = tuple(x.removeprefix("next").strip() for x in rest if x.startswith("next "))
                    more = [x.strip() for x in rest if x.startswith("  ")]
                    return "; ".join([line.removeprefix(word), *more])[:2000], following
        return (lines[-1] if lines else "it said nothing"), ()

    def events(self) -> list[Event]:
        """What has happened since they were asked for last."""
        with contextlib.suppress(OSError), self.events_file.open("rb") as file:
            return self._events(file)
        return []

    def _events(self, file: IO[bytes]) -> list[Event]:
        file.seek(self._read)
        whole, found, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(found)
        return [msgspec.json.decode(line, type=Event) for line in whole.split(b"\n") if line]


def end_all(children: Sequence[Child]) -> None:
    """All are told to stop, waited for, and killed where they do not end."""
    for child in children:
        child.stop()
    until = time.monotonic() + GIVE_UP_S
    while any(child.code is None for child in children) and time.monotonic() < until:
        time.sleep(0.02)
    for child in children:
        if child.code is None:
            child.kill()
