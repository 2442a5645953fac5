"""An sshd in a thread, for what a real one does not do on request: half an answer, none, 50 MB. Its commands run on this machine."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from zkprov.model.inventory import Access, InventoryHost
from zkprov.model.problems import NotHealthy, Unreached
from zkprov.observe.ssh import Connections

Behaviour = Callable[[paramiko.Channel, str], None]


def run_here(channel: paramiko.Channel, command: str, path: str = os.environ["PATH"]) -> None:
    """As an sshd does."""
    with subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": path, "HOME": "/"},
    ) as process:
        given = b"".join(iter(lambda: channel.recv(65536), b""))
        out, error = process.communicate(given)
    channel.sendall(out)
    channel.sendall_stderr(error)
    channel.shutdown_write()
    channel.send_exit_status(process.returncode)


class Sshd:
    """Listens on a port of its own until `close`. `accepted`: how many connections; `commands`: what was executed, in order."""

    def __init__(self, host_keys: list[Path], authorized: list[Path], behaviour: Behaviour = run_here) -> None:
        self._keys = [paramiko.PKey.from_path(path) for path in host_keys]
        self.authorized = {paramiko.PKey.from_path(path) for path in authorized}
        self.behaviour = behaviour
        self.accepted, self.tried = 0, 0
        self.commands: list[str] = []
        self.forwarded: list[tuple[str, int]] = []
        self.forwards, self.takes, self.opens = True, "publickey", True
        self.transports: list[paramiko.Transport] = []
        self._threads: list[threading.Thread] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._closed = False
        self._start(self._listen)

    def _start(self, work: Callable[..., None], *given: Any) -> None:
        def guarded() -> None:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                work(*given)

        thread = threading.Thread(target=guarded)
        thread.start()
        self._threads.append(thread)

    def _listen(self) -> None:
        while True:
            sock, _ = self._socket.accept()
            if self._closed:
                sock.close()
                return
            self.accepted += 1
            transport = paramiko.Transport(sock)
            self.transports.append(transport)
            for key in self._keys:
                transport.add_server_key(key)
            transport.start_server(event=threading.Event(), server=_Session(self))

    def cut(self) -> None:
        """The network fails: every connection of this moment is gone without a word; whoever lost one may be here again before it ends."""
        for transport in tuple(self.transports):
            with contextlib.suppress(OSError):
                transport.sock.shutdown(socket.SHUT_RDWR)
            transport.close()

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self.cut()
        self._socket.close()
        for thread in self._threads:
            thread.join(10)

    def execute(self, channel: paramiko.Channel, command: str) -> None:
        self.commands.append(command)

        def work() -> None:
            try:
                self.behaviour(channel, command)
            finally:
                channel.close()

        self._start(work)

    def forward(self, channel: paramiko.Channel, to: socket.socket) -> None:
        def work() -> None:
            with to, channel:
                while True:
                    ready, _, _ = select.select([channel, to], [], [])
                    for one, other in ((channel, to), (to, channel)):
                        if one in ready:
                            piece = one.recv(65536)
                            if not piece:
                                return
                            other.sendall(piece)

        self._start(work)


class _Session(paramiko.ServerInterface):
    def __init__(self, sshd: Sshd) -> None:
        self._sshd = sshd
        self._to: dict[int, socket.socket] = {}

    def get_allowed_auths(self, username: str) -> str:
        return self._sshd.takes

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self._sshd.tried += 1
        known = username == "op" and key in self._sshd.authorized
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if not self._sshd.opens:
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._sshd.execute(channel, command.decode())
        return True

    def check_channel_direct_tcpip_request(self, chanid: int, origin: Any, destination: tuple[str, int]) -> int:
        if not self._sshd.forwards:
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        try:
            to = socket.create_connection(destination, timeout=5)
        except OSError:
            return paramiko.OPEN_FAILED_CONNECT_FAILED
        self._sshd.forwarded.append(destination)
        self._to[chanid] = to
        transport = next(t for t in self._sshd.transports if t.server_object is self)

        def begin() -> None:
            # Of two that wait, the one that is woken may find its channel taken by the other, and gets none: it asks again as long as
            # its own was not forwarded. It may get the other's as well, or a session's, which is answered without this.
            while chanid in self._to and transport.is_active():
                channel = transport.accept(0.5)
                to = self._to.pop(channel.get_id(), None) if channel is not None else None
                if channel is not None and to is not None:
                    self._sshd.forward(channel, to)

        threading.Thread(target=begin).start()
        return paramiko.OPEN_SUCCEEDED


class Keys:
    """Key pairs by name, made when they are first named, and a `known_hosts`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text("")

    def __call__(self, name: str, kind: str = "ed25519", passphrase: str = "") -> Path:
        path = self.folder / name
        if not path.exists():
            bits = ["-b", "2048"] if kind == "rsa" else []
            command = ["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", name, "-f", str(path)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path

    def public(self, name: str, kind: str = "ed25519") -> str:
        return " ".join(self(name, kind).with_name(f"{name}.pub").read_text().split()[:2])

    def know(self, sshd: Sshd, name: str, kind: str = "ed25519") -> None:
        with self.known_hosts.open("a") as file:
            file.write(f"[127.0.0.1]:{sshd.port} {self.public(name, kind)}\n")

    def host(
        self, sshd: Sshd, name: str = "zk1", *, options: tuple[tuple[str, str], ...] = (), **access: Any
    ) -> InventoryHost:
        """`sshd` as a host of an inventory, its user and key the ones that it lets in."""
        known = (("UserKnownHostsFile", str(self.known_hosts)), ("GlobalKnownHostsFile", "/dev/null"))
        given = {"port": sshd.port, "user": "op", "key_file": str(self("op")), **access}
        return InventoryHost(name, "127.0.0.1", access=Access("127.0.0.1", options=(*options, *known), **given))


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    folder = tmp_path / "keys"
    folder.mkdir()
    return Keys(folder)


@pytest.fixture
def sshds(keys: Keys) -> Iterator[Callable[..., Sshd]]:
    """Makes sshds that `op` may log in to; their host keys are known unless `known` is false."""
    made: list[Sshd] = []

    def make(behaviour: Behaviour = run_here, *, key: str = "host", known: bool = True) -> Sshd:
        sshd = Sshd([keys(key)], [keys("op")], behaviour)
        made.append(sshd)
        if known:
            keys.know(sshd, key)
        return sshd

    yield make
    for sshd in made:
        sshd.close()


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
