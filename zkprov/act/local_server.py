"""The server of a host that is this machine: a detached process of ours, or whatever commands of the operator's start and end."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from zkprov.act import local_releases
from zkprov.act.durable import write
from zkprov.act.processes import MAIN_CLASS, ServerProcess, end, running_servers, server_process
from zkprov.model.inventory import InventoryHost, ReleaseSource, for_others
from zkprov.model.problems import NotHealthy
from zkprov.shipped import shipped

_COMMAND_TIMEOUT_S = 120.0
# A server outlives the command that starts it, so it gets none of the command's environment that it has no use for.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "JAVA_HOME")

# Children of this process must be waited for, or they stay as zombies; dropping the object would do the same with a warning.
_children: list[subprocess.Popen[bytes]] = []


# Made once, by one thread: hosts are looked at by several, and msgspec's first use of a type by two at once ends the process.
_RECORD = msgspec.json.Decoder(ServerProcess)


class LocalServer:
    """Told by its zoo.cfg. `server` in the control folder has its pid and start; loss of it loses nothing.

    Who may act on it is for `LocalHost` to say. All raise `NotHealthy`, naming host and path.
    """

    def __init__(self, host: InventoryHost, control: Path) -> None:
        self.host, self._control = host, control
        self._zoo_cfg = f"{host.config_dir}/zoo.cfg"

    def start_by_command(self) -> None:
        if not self.is_active():
            self._command(self.host.start_command)

    def start(self) -> None:
        if not self.processes():
            self._launch()

    def stop(self, timeout_s: float) -> None:
        if self.host.stop_command:
            if self.is_active():
                self._command(self.host.stop_command)
            return
        try:
            left = end(self.processes(), timeout_s)
        except PermissionError:
            raise NotHealthy(
                "the server is another user's process", place=self.host.name, remedy="run zkprov as that user"
            ) from None
        _reap()
        if left:
            raise NotHealthy(f"the server (pid {left[0].pid}) does not end, even by SIGKILL", place=self.host.name)
        with disk_of(self.host):
            (self._control / "server").unlink(missing_ok=True)

    def is_active(self) -> bool:
        if self.host.is_active_command:
            return self._run(self.host.is_active_command).returncode == 0
        return bool(self.processes())

    def processes(self, running: Callable[[], Iterable[ServerProcess]] = running_servers) -> list[ServerProcess]:
        """As `LocalHost.processes`."""
        _reap()
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            recorded = _RECORD.decode((self._control / "server").read_bytes())
            if recorded.zoo_cfg == self._zoo_cfg and server_process(recorded.pid) == recorded:
                return [recorded]
        return [p for p in running() if p.zoo_cfg == self._zoo_cfg]

    def _launch(self) -> None:
        if not Path(self._zoo_cfg).is_file():
            raise NotHealthy(f"no {self._zoo_cfg}", place=self.host.name, remedy="configure the host first")
        software = self.software()
        self._ports_are_free()
        log_dir = Path(self.host.log_dir)
        log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = Path(self.host.config_dir) / "logback.xml"
        arguments = [
            shutil.which(software.java) or software.java,
            *self._flags(),
            f"-Dlogback.configurationFile={own if own.is_file() else shipped('logging') / 'logback.xml'}",
            f"-Dzkprov.log.dir={log_dir}",
            "-Dzookeeper.jmx.log4j.disable=true",
            "-cp",
            software.classpath,
            MAIN_CLASS,
            self._zoo_cfg,
        ]
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        with (log_dir / "out.log").open("wb") as out:
            try:
                child = subprocess.Popen(
                    arguments,
                    cwd=log_dir,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            except OSError as error:
                raise NotHealthy(
                    f"{arguments[0]} cannot be run: {error.strerror}",
                    place=self.host.name,
                    remedy="correct zkprov_java",
                ) from None
        _children[:] = [*(c for c in _children if c.poll() is None), child]
        # A process shows its command line only a moment after it was started.
        deadline = time.monotonic() + 5.0
        while (process := server_process(child.pid)) is None:
            if child.poll() is not None or time.monotonic() > deadline:
                said = (log_dir / "out.log").read_text(errors="replace").strip().splitlines()
                raise NotHealthy(
                    f"the server does not start{': ' + said[-1][:200] if said else ''}",
                    place=self.host.name,
                    remedy=f"see {log_dir}/out.log",
                )
            time.sleep(0.001)
        write(self._control / "server", msgspec.json.encode(process))
        local_releases.remember(self.host, self._control)

    def software(self) -> ReleaseSource:
        """Of the release in force."""
        with disk_of(self.host):
            in_force = local_releases.in_force(self._control)
        return local_releases.named(self.host, in_force) if in_force else local_releases.wanted(self.host)

    def _ports_are_free(self) -> None:
        """A server without its election port follows, is promoted, and ends seconds later by itself (3.9.5, measured)."""
        ports = {
            "zkprov_client_port": (self.host.client_host or self.host.address, self.host.client_port),
            "zkprov_quorum_port": (self.host.address, self.host.quorum_port),
            "zkprov_election_port": (self.host.address, self.host.election_port),
        }
        for variable, at in ports.items():
            # The kernel takes some 15 ms to give back the ports of a server that was just killed.
            deadline = time.monotonic() + 2.0
            while _is_taken(*at):
                if time.monotonic() > deadline:
                    raise NotHealthy(
                        f"port {at[1]} ({variable}) is taken",
                        place=self.host.name,
                        remedy=f"free it, or correct {variable} in the inventory",
                    )
                time.sleep(0.01)

    def _flags(self) -> tuple[str, ...]:
        """The file `jvm_flags` beside zoo.cfg, one flag a line, where a template wrote it; else the inventory's."""
        try:
            lines = (Path(self.host.config_dir) / "jvm_flags").read_text().splitlines()
        except FileNotFoundError:
            return self.host.flags
        return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))

    def _command(self, command: str) -> None:
        done = self._run(command)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
            raise NotHealthy(
                f"`{command}` failed with exit code {done.returncode}{': ' + said[-1][:200] if said else ''}",
                place=self.host.name,
                remedy="run it by hand to see why",
            )

    def _run(self, command: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                shlex.split(command),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_COMMAND_TIMEOUT_S,
                check=False,
                env=for_others(os.environ),
            )
        except subprocess.TimeoutExpired:
            raise NotHealthy(f"`{command}` took more than {_COMMAND_TIMEOUT_S:.0f} s", place=self.host.name) from None
        except OSError as error:
            raise NotHealthy(
                f"`{command}` cannot be run: {error.strerror}",
                place=self.host.name,
                remedy="correct it in the inventory (zkprov_start_command and its like)",
            ) from None


@contextmanager
def disk_of(host: InventoryHost) -> Iterator[None]:
    """What a disk refuses is said with its path."""
    try:
        yield
    except OSError as error:
        remedies = {
            errno.EROFS: "mount it for writing",
            errno.ENOSPC: "make room on it",
            errno.EDQUOT: "make room on it",
        }
        raise NotHealthy(
            f"cannot write {error.filename or f'{host.config_dir}.zkprov'}: {error.strerror or error}",
            place=host.name,
            remedy=remedies.get(error.errno or 0, "correct the folder or its rights, or zkprov_*_dir in the inventory"),
        ) from None


def _is_taken(host: str, port: int) -> bool:
    """Whether a server could not listen there because another socket does; no other obstacle is told."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]
