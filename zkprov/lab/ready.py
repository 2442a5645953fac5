"""Whether a lab's servers serve: asked of each of them until all do, a process is gone, or time runs out."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zkprov.act.local import LocalHost
from zkprov.lab.certificates import context_for
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import NotHealthy

_EVERY_S = 0.05


def await_one_leader(hosts: Sequence[InventoryHost], timeout_s: float) -> None:
    """Until one of `hosts` leads and all others follow or observe.

    Raises `NotHealthy` with what each server says, or at once with the last log line of one that has ended.
    """

    def good(modes: Mapping[str, str]) -> bool:
        told = list(modes.values())
        return all(told) and told.count("leader") == 1

    await_modes(hosts, good, timeout_s, "one leader that all others follow")


def await_modes(
    hosts: Sequence[InventoryHost], good: Callable[[Mapping[str, str]], bool], timeout_s: float, wanted: str
) -> None:
    """Until `good` of the modes by host name. Raises `NotHealthy` otherwise."""
    deadline = time.monotonic() + timeout_s
    while True:
        modes = {host.name: mode(host.client.port, context_for(host)) for host in hosts}
        if good(modes):
            return
        for host in hosts:
            if not modes[host.name] and not LocalHost(host).is_active():
                raise NotHealthy(f"the server ended: {last_words(host)}", place=host.name, remedy=f"see {host.log_dir}")
        if time.monotonic() > deadline:
            said = ", ".join(f"{name} {m or 'does not serve'}" for name, m in modes.items())
            raise NotHealthy(f"no {wanted} within {timeout_s:.0f} s: {said}", remedy=f"see {hosts[0].log_dir}")
        time.sleep(_EVERY_S)


def mode(port: int, tls: ssl.SSLContext | None = None) -> str:
    """The `Mode` that the server at 127.0.0.1 says, an empty string where it does not serve. `srvr` cannot be closed by the whitelist."""
    for line in _ask(port, b"srvr", 4096, tls).decode(errors="replace").splitlines():
        if line.startswith("Mode: "):
            return line.removeprefix("Mode: ").strip()
    return ""


def _ask(port: int, request: bytes, enough: int, tls: ssl.SSLContext | None) -> bytes:
    try:
        with contextlib.ExitStack() as opened:
            plain = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=1.0))
            connection = opened.enter_context(tls.wrap_socket(plain, server_hostname="127.0.0.1")) if tls else plain
            connection.sendall(request)
            answer = b""
            while len(answer) < enough and (more := connection.recv(enough)):
                answer += more
            return answer
    except OSError:
        return b""


def last_words(host: InventoryHost) -> str:
    """The last error that a server logged, on one line."""
    for name in ("zookeeper.log", "out.log"):
        try:
            lines = (Path(host.log_dir) / name).read_text(errors="replace").splitlines()
        except OSError:
            continue
        telling = [line for line in lines if "ERROR" in line or "Exception" in line or "rror:" in line] or lines
        if telling:
            return telling[-1].strip()[:300]
    return "it said nothing"
