"""One connection to one sshd, opened as `ssh` opens it: name, way there (jump host or command), host key, then keys and agent."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, TYPE_CHECKING

from zkprov.model.facts import Outcome
from zkprov.model.inventory import for_others
from zkprov.model.problems import Unreached
from zkprov.model.server import HostPort
from zkprov.observe.known_hosts import known_host
from zkprov.observe.ssh_config import Hop
from zkprov.observe.ssh_failure import printable, unreached
from zkprov.observe.ssh_keys import log_in

if TYPE_CHECKING:
    import paramiko

KEEPALIVE_S = 15
_USER_TIMEOUT_MS = 20_000
_importing = threading.Lock()


def import_paramiko() -> None:
    """Imports it, once, without what it would bring along for `Match exec` (`invoke`, half of the time that it takes)."""
    with _importing:
        log = logging.getLogger("paramiko")
        if not any(isinstance(handler, logging.NullHandler) for handler in log.handlers):
            # what goes wrong is told by exceptions; without a handler its tracebacks would reach the terminal
            log.addHandler(logging.NullHandler())
        if "paramiko" in sys.modules:
            return
        spared = "invoke" not in sys.modules
        if spared:
            sys.modules["invoke"] = None  # type: ignore[assignment]
        try:
            import paramiko  # noqa: F401
        finally:
            if spared:
                del sys.modules["invoke"]


class Link:
    """An open, authenticated connection. `users`: how many have it, connections `via` it included; one that was given up is closed
    by the last of them.
    """

    def __init__(self, hop: Hop, transport: paramiko.Transport, way: Way, via: Link | None) -> None:
        self.hop, self.transport, self._way, self.via = hop, transport, way, via
        self.users = 0
        self.given_up = False
        self._opening = threading.Lock()

    @property
    def alive(self) -> bool:
        return not self.given_up and self.transport.is_active()

    def channel(self, to: HostPort | None, deadline: float) -> paramiko.Channel:
        """For a command, or `to` an endpoint. One at a time: paramiko keeps one reason of failure for all that are being opened.

        Raises paramiko's exceptions; `ChannelException` where the sshd opens none.
        """
        import paramiko

        if not self._opening.acquire(timeout=max(0.01, deadline - time.monotonic())):
            raise paramiko.SSHException("Timeout opening channel.")
        try:
            left = max(0.01, deadline - time.monotonic())
            if to is None:
                return self.transport.open_session(timeout=left)
            return self.transport.open_channel("direct-tcpip", (to.host, to.port), ("127.0.0.1", 0), timeout=left)
        finally:
            self._opening.release()

    def answers(self) -> bool:
        """Whether the other end is there just now; takes a second if it is not."""
        import paramiko

        try:
            self.transport.open_session(timeout=1.0).close()
        except paramiko.ChannelException:
            return True
        except (paramiko.SSHException, EOFError, OSError):
            return False
        return True

    def close(self) -> None:
        self.given_up = True
        self._way.close()
        self.transport.close()


class Way:
    """What carries the bytes: a TCP connection, a channel of a jump host, or a command."""

    def __init__(
        self,
        sock: socket.socket | paramiko.Channel,
        command: subprocess.Popen[bytes] | None = None,
        said: IO[bytes] | None = None,
    ) -> None:
        self.sock, self._command, self._said = sock, command, said

    def close(self) -> None:
        # the thread that reads it would notice a mere close 0.1 s later
        with contextlib.suppress(OSError, EOFError):
            self.sock.shutdown(socket.SHUT_RDWR)
        # a channel says goodbye over its jump host's connection, which may be gone
        with contextlib.suppress(OSError, EOFError):
            self.sock.close()
        if self._command is not None:
            self._command.terminate()
            try:
                self._command.wait(1.0)
            except subprocess.TimeoutExpired:
                self._command.kill()
                self._command.wait()
        if self._said is not None:
            self._said.close()

    def last_words(self) -> str:
        """The last line that the command wrote to stderr."""
        if self._said is None:
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._command is not None:
                self._command.wait(0.2)
        with contextlib.suppress(OSError, ValueError):
            self._said.seek(0)
            lines = self._said.read(10_000).decode(errors="replace").strip().splitlines()
            return printable(lines[-1]) if lines else ""
        return ""


def open_link(hop: Hop, via: Link | None, deadline: float) -> Link:
    """Raises `Unreached`. `deadline`: of `time.monotonic`."""
    import_paramiko()
    way = _way(hop, via, deadline)
    transport = None
    try:
        transport = _greeted(hop, way, deadline)
        log_in(transport, hop, deadline)
        transport.set_keepalive(KEEPALIVE_S)
        return Link(hop, transport, way, via)
    except BaseException:
        if transport is not None:
            transport.close()
        way.close()
        raise


def _way(hop: Hop, via: Link | None, deadline: float) -> Way:
    if via is not None:
        return _through(hop, via, deadline)
    if hop.proxy_command:
        return _by_command(hop)
    return _directly(hop, deadline)


def _directly(hop: Hop, deadline: float) -> Way:
    try:
        found = socket.getaddrinfo(hop.host, hop.port, hop.family, socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, socket.gaierror) else error
        raise unreached(
            hop,
            Outcome.REFUSED,
            f"the name {hop.host} does not resolve: {why}",
            "correct ansible_host, or HostName in ~/.ssh/config",
        ) from None
    late: Unreached | None = None
    refused: Unreached | None = None
    for number, (family, kind, protocol, _, address) in enumerate(found):
        sock = socket.socket(family, kind, protocol)
        try:
            # an address that does not answer leaves time for the next one
            sock.settimeout(max(0.01, (deadline - time.monotonic()) / (len(found) - number)))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
            sock.connect(address)
            return Way(sock)
        except TimeoutError:
            sock.close()
            late = unreached(
                hop,
                Outcome.TIMEOUT,
                f"no answer from {address[0]} port {hop.port}",
                "is the host up, and its port open?",
            )
        except OSError as error:
            sock.close()
            remedy = "is sshd running there, on that port?"
            refused = unreached(
                hop, Outcome.REFUSED, f"{address[0]} port {hop.port}: {error.strerror or error}", remedy
            )
    raise late or refused or unreached(hop, Outcome.REFUSED, f"{hop.host} has no address")


def _through(hop: Hop, via: Link, deadline: float) -> Way:
    import paramiko

    jump = f"jump host {via.hop}"
    try:
        channel = via.transport.open_channel(
            "direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=max(0.01, deadline - time.monotonic())
        )
    except paramiko.ChannelException as error:
        if error.code == 1:
            raise unreached(
                hop,
                Outcome.REFUSED,
                f"{jump} may not forward to it",
                "AllowTcpForwarding and PermitOpen of its sshd allow it",
            ) from None
        raise unreached(hop, Outcome.REFUSED, f"{jump} does not reach it: {printable(error.text)}") from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        if time.monotonic() >= deadline:
            raise unreached(hop, Outcome.TIMEOUT, f"{jump} did not reach it in time") from None
        if isinstance(error, paramiko.SSHException) and via.transport.is_active():
            # of two that fail at once paramiko tells one why
            raise unreached(hop, Outcome.REFUSED, f"{jump} does not reach it") from None
        raise unreached(hop, Outcome.TRUNCATED, f"{jump} was lost: {printable(str(error)) or 'closed'}") from None
    return Way(channel)


def _by_command(hop: Hop) -> Way:
    ours, theirs = socket.socketpair()
    said = tempfile.TemporaryFile()  # noqa: SIM115  closed with the way
    shell = os.environ.get("SHELL") or "/bin/sh"
    try:
        # by the user's shell, as ssh does; a socket, unlike paramiko's own pipes, tells when the command is gone
        command = subprocess.Popen(
            [shell, "-c", f"exec {hop.proxy_command}"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=said,
            start_new_session=True,
            env=for_others(os.environ),
        )
    except OSError as error:
        ours.close()
        said.close()
        raise unreached(hop, Outcome.REFUSED, f"ProxyCommand: {shell}: {error.strerror}") from None
    finally:
        theirs.close()
    return Way(ours, command, said)


def _greeted(hop: Hop, way: Way, deadline: float) -> paramiko.Transport:
    """The host has shown a key that is known. Raises `Unreached`."""
    import paramiko

    known = known_host(hop.alias or hop.host, hop.port, hop.known_hosts, alias=bool(hop.alias))
    transport = paramiko.Transport(way.sock)
    try:
        options = transport.get_security_options()
        # the key that the host then shows is one of those that are known, where it has such a one
        kinds = {k.kind for k in known.keys}
        options.key_types = sorted(
            options.key_types, key=lambda a: not ({a, "ssh-rsa" if a.startswith("rsa-") else a} & kinds)
        )
        left = max(0.01, deadline - time.monotonic())
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = left
        done = threading.Event()
        transport.start_client(event=done)
        done.wait(left)
        if not done.is_set() or not transport.is_active() or transport.host_key is None:
            raise _not_greeted(hop, way, transport, deadline)
        key = transport.host_key
        refusal = known.refusal(key.get_name(), key.asbytes(), str(hop))
        if refusal is not None:
            raise unreached(hop, Outcome.DENIED, *refusal)
        return transport
    except BaseException:
        transport.close()
        raise


def _not_greeted(hop: Hop, way: Way, transport: paramiko.Transport, deadline: float) -> Unreached:
    from paramiko.ssh_exception import IncompatiblePeer

    error = transport.get_exception()
    via = f" (ProxyCommand: {words})" if (words := way.last_words()) else ""
    if time.monotonic() >= deadline:
        return unreached(hop, Outcome.TIMEOUT, f"it took the connection, but no SSH greeting came in time{via}")
    if isinstance(error, IncompatiblePeer):
        return unreached(hop, Outcome.JUNK, f"no common algorithm: {printable(str(error))}", "update its sshd")
    if transport.remote_version or "Indecipherable" in str(error):
        what = printable(str(error)) if error and not isinstance(error, EOFError) else "the connection was closed"
        outcome = Outcome.JUNK if "Indecipherable" in what else Outcome.TRUNCATED
        return unreached(hop, outcome, f"{'no SSH server: ' if outcome is Outcome.JUNK else ''}{what}{via}")
    remedy = "is it an sshd, and does it have room for one more (MaxStartups)?"
    if hop.proxy_command:
        return unreached(
            hop, Outcome.REFUSED, f"`{shlex.split(hop.proxy_command)[0]}` of ProxyCommand ended{via}", "try it by hand"
        )
    return unreached(hop, Outcome.TRUNCATED, "it closed the connection without an SSH greeting", remedy)
