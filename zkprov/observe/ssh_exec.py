"""One command on a host and what comes of it: the program by stdin, one JSON document from stdout, all of it bounded in time and size."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zkprov.model.facts import Outcome
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import Unreached
from zkprov.observe.dial import MAX_ANSWER
from zkprov.observe.ssh_failure import printable, unreached

if TYPE_CHECKING:
    import paramiko

_MAX_STDERR = 64_000
# No json there: it would double the time in which Python starts.
_PRELUDE = """\
import sys
sys.stdout.write({marker!a} + "\\n")
sys.stdout.flush()
exec(compile({program!a}, "<zkprov>", "exec"), {{"__name__": "__main__", "ARGUMENTS": {arguments!a}}})
"""


def script_of(program: str, arguments: Mapping[str, Any], marker: str) -> str:
    """What is given to Python there. `marker`: what it prints first, on a line of its own."""
    plain = json.loads(json.dumps(arguments))
    return _PRELUDE.format(marker=marker, program=program, arguments=plain)


class Late(Exception):
    """No whole answer by the deadline."""


class Lost(Exception):
    """The connection is gone."""


class NotRun(Exception):
    """The connection stands, and no command was run."""


class _News(threading.Event):
    """That something came, for one thread that waits. (paramiko's own pipe for this, `fileno`, ends the whole connection when a channel is
    closed while data still comes: the thread that reads them writes into the closed pipe.)
    """

    def clear(self) -> None:
        """Not for the buffers to say: one is empty, the other may not be."""

    def came(self, within_s: float) -> bool:
        if not self.wait(within_s):
            return False
        super().clear()
        return True


class Answer:
    """What a command made of its input: `status` (−1: ended by a signal), `out` (at most one byte more than is read), `error`."""

    def __init__(self, channel: paramiko.Channel, deadline: float) -> None:
        self._channel, self._deadline = channel, deadline
        self.status = -1
        self.out, self.error = bytearray(), bytearray()

    def of(self, command: str, script: bytes) -> Answer:
        """Raises `Late`, `Lost`, `NotRun`."""
        import paramiko

        try:
            self._begin(command, script)
            self._read()
        except TimeoutError:
            raise Late from None
        except (paramiko.SSHException, EOFError, OSError):
            if self._left() <= 0:
                raise Late from None
            raise (Lost if self._lost() else NotRun) from None
        return self

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _begin(self, command: str, script: bytes) -> None:
        channel = self._channel
        # exec_command itself would wait for ever
        guard = threading.Timer(max(0.01, self._left()), channel.close)
        guard.daemon = True
        guard.start()
        try:
            channel.exec_command(command)
        finally:
            guard.cancel()
        channel.settimeout(max(0.01, self._left()))
        try:
            channel.sendall(script)
            channel.shutdown_write()
        except TimeoutError:
            raise
        except OSError:
            # it ended without having read all: what it said tells why
            if self._lost():
                raise

    def _read(self) -> None:
        channel, news = self._channel, _News()
        channel.in_buffer.set_event(news)
        channel.in_stderr_buffer.set_event(news)
        while self._take():
            if channel.eof_received or channel.closed:
                # no more data; the status comes after it
                if not channel.status_event.wait(max(0.0, self._left())):
                    raise TimeoutError
                break
            if not news.came(max(0.0, self._left())):
                raise TimeoutError
        if self._take():
            self.status = channel.exit_status
            if self.status == -1 and self._lost():
                raise EOFError

    def _take(self) -> bool:
        """Takes what has come; whether that is not too much."""
        channel = self._channel
        while len(self.out) <= MAX_ANSWER and channel.recv_ready():
            self.out += channel.recv(256_000)
        while channel.recv_stderr_ready():
            piece = channel.recv_stderr(256_000)
            self.error += piece[: max(0, _MAX_STDERR - len(self.error))]
        return len(self.out) <= MAX_ANSWER

    def _lost(self) -> bool:
        """Whether the connection is what ended. Its thread closes the channels first, and is then done at once."""
        transport = self._channel.get_transport()
        transport.join(0.3)
        return not transport.is_active()


def command_of(host: InventoryHost) -> str:
    """What is executed on the host. Its words mean the same to every shell that may be the user's."""
    access = host.access
    python = f"{access.python if access else 'python3'} -I -S -"
    # C: what sudo says is to be known again; sh: as Ansible's sudo has it, so that one line of sudoers is right for both
    return f"env LC_ALL=C sudo -n -- sh -c 'exec {python}'" if access and access.sudo else f"env LC_ALL=C {python}"


def document_of(host: InventoryHost, answer: Answer, marker: str) -> Any:
    """The JSON document in the answer. Raises `Unreached`."""
    if len(answer.out) > MAX_ANSWER:
        what = f"an answer of more than {MAX_ANSWER // 1024**2} MB"
        raise unreached(host.name, Outcome.TOO_LARGE, what, "see what lies in the server's folders there")
    # whatever a shell's start-up files print comes before the marker
    before, ran, document = bytes(answer.out).partition(f"{marker}\n".encode())
    words = _last_line(answer.error) or (_last_line(before) if not ran else "")
    if not ran:
        raise _not_run(host, answer.status, words)
    if answer.status != 0:
        how = "was ended by a signal" if answer.status < 0 else f"ended with exit code {answer.status}"
        raise unreached(host.name, Outcome.JUNK, f"the program {how} there{': ' + words if words else ''}")
    try:
        return json.loads(document)
    except (ValueError, RecursionError):
        raise unreached(host.name, Outcome.JUNK, "an answer that is not JSON") from None


def _not_run(host: InventoryHost, status: int, words: str) -> Unreached:
    access = host.access
    why = f": {words}" if words else ""
    if access and access.sudo and status == 1:
        user = access.user or "the user"
        remedy = f"allow {user} `NOPASSWD: ALL` in sudoers there, or log in as root without ansible_become"
        return unreached(host.name, Outcome.DENIED, f"sudo wants a password, or refuses{why}", remedy)
    if status == 127 or "not found" in words or "No such file" in words:
        missing = "sudo" if "sudo" in words else access.python if access else "python3"
        remedy = (
            f"install {missing} there"
            if missing == "sudo"
            else "install python3 there, or name one with ansible_python_interpreter"
        )
        return unreached(host.name, Outcome.JUNK, f"no {missing} there{why}", remedy)
    remedy = "ansible_python_interpreter must name a Python 3.6 or later, and the user must have a shell"
    return unreached(host.name, Outcome.JUNK, f"Python did not start there (exit code {status}){why}", remedy)


def _last_line(text: bytes | bytearray) -> str:
    lines = bytes(text).decode(errors="replace").strip().splitlines()
    return printable(lines[-1]) if lines else ""
