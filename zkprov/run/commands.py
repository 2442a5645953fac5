"""Other programs, started, watched and ended: no shell is in between."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

import msgspec

STOPPED_WITHIN_S = 8.0
"""zkprov ends within 5 s of a signal; what does not is killed."""
POLL_S = 0.05
TOLD = 2000


class Ended(msgspec.Struct, frozen=True):
    """`output`: the standard output. `said`: the end of what it printed for people. `late`: it was ended since its time was over."""

    exit_code: int
    output: str = ""
    said: str = ""
    late: bool = False


def run(
    words: Sequence[str],
    *,
    stop: threading.Event,
    timeout_s: float | None = None,
    given: str = "",
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
    show: bool = True,
    whole: bool = False,
) -> Ended:
    """Runs `words` until it ends, until `stop` (it gets SIGTERM then) or for `timeout_s`. What cannot be started has ended with 127.

    `given`: its standard input. `keep_open`: descriptors that it inherits, and with them a lock. `show`: its messages go to our stderr too.
    `whole`: what it has started is ended with it; zkprov's own commands see to that themselves.
    """
    try:
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            pass_fds=tuple(keep_open),
            start_new_session=True,  # a key pressed at the terminal is ours to pass on, once
        )
    except (OSError, ValueError) as wrong:
        return Ended(127, said=f"cannot be started: {getattr(wrong, 'strerror', None) or wrong}")
    output, said = bytearray(), bytearray()
    readers = [
        threading.Thread(target=_read, args=(process.stdout, output, False), daemon=True),
        threading.Thread(target=_read, args=(process.stderr, said, show), daemon=True),
    ]
    # one that does not read what it is given fills the pipe
    writer = threading.Thread(target=_give, args=(process, given), daemon=True)
    for thread in (*readers, writer):
        thread.start()
    late = _await(process, stop, timeout_s, whole)
    for reader in readers:
        reader.join(1)
    last = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return Ended(process.returncode, output.decode("utf-8", "replace"), "\n".join(last)[-TOLD:], late)


def _give(process: subprocess.Popen[bytes], given: str) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.write(given.encode())
        with contextlib.suppress(OSError):
            process.stdin.close()


def _await(process: subprocess.Popen[bytes], stop: threading.Event, timeout_s: float | None, whole: bool) -> bool:
    began, asked, late = time.monotonic(), None, False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
            return late
        now = time.monotonic()
        late = late or (timeout_s is not None and now - began > timeout_s)
        if (late or stop.is_set()) and asked is None:
            asked = now
            if whole:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGTERM)
            else:
                process.terminate()
        if asked is not None and now - asked > STOPPED_WITHIN_S:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def _read(stream: object, into: bytearray, show: bool) -> None:
    read = getattr(stream, "read1", None)
    while read is not None and (part := read(65536)):
        # what a command of somebody else prints without an end is not kept
        if len(into) < 8 * 1024 * 1024:
            into += part
        if show:
            with contextlib.suppress(OSError):
                os.write(2, part)
