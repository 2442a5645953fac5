"""A connection that a host makes, carried here over SSH: what listens on the host alone is spoken to as if from there."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from zkprov.model.facts import Outcome
from zkprov.model.problems import Unreached
from zkprov.observe.ssh_failure import printable, unreached

if TYPE_CHECKING:
    import paramiko

AT_ONCE = 65536
# RFC 4254, 5.1
_FORBIDDEN, _NOT_CONNECTED = 1, 2


def carried(channel: paramiko.Channel, ended: Callable[[], None]) -> socket.socket:
    """Our end of `channel`, an ordinary socket; whoever has it closes it. `ended` is called once, when the connection is over.

    Two threads carry the bytes: a channel has no descriptor that an event loop could wait for (see `ssh_exec`, on paramiko's pipe).
    """
    ours, theirs = socket.socketpair()
    channel.settimeout(None)

    def there() -> None:
        with contextlib.suppress(OSError, EOFError):
            while data := theirs.recv(AT_ONCE):
                channel.sendall(data)
        with contextlib.suppress(OSError, EOFError):
            channel.close()

    def here() -> None:
        with contextlib.suppress(OSError, EOFError):
            while data := channel.recv(AT_ONCE):
                theirs.sendall(data)
        with contextlib.suppress(OSError):
            theirs.shutdown(socket.SHUT_RDWR)
        sending.join()
        theirs.close()
        ended()

    sending = threading.Thread(target=there, daemon=True, name="zkprov-there")
    sending.start()
    threading.Thread(target=here, daemon=True, name="zkprov-here").start()
    return ours


def not_forwarded(place: str, error: paramiko.ChannelException) -> Unreached:
    """What an sshd means that opens no connection. REFUSED is said of the port alone: nothing listens there."""
    if error.code == _FORBIDDEN:
        remedy = "AllowTcpForwarding and PermitOpen of its sshd allow it"
        return unreached(place, Outcome.DENIED, "its sshd forwards nothing to there", remedy)
    if error.code == _NOT_CONNECTED:
        return unreached(place, Outcome.REFUSED, "connection refused")
    return unreached(place, Outcome.TRUNCATED, f"not forwarded: {printable(error.text)}", "try again")


def no_way(problem: Unreached) -> Unreached:
    """The way to the host failed: whether anything listens on it is not known, so it is not REFUSED."""
    if problem.outcome != Outcome.REFUSED:
        return problem
    outcome = Outcome.TRUNCATED.value
    return Unreached(problem.problem, outcome=outcome, place=problem.place, remedy=problem.remedy)
