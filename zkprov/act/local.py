"""A host that is this machine: its files are written here, its server is a detached process of ours or a command of the operator's."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shlex
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from zkprov.act import aside, former, local_releases
from zkprov.act.backup_programs import backup_here
from zkprov.act.boots import boot_here, this_machine
from zkprov.act.disk_marks import holds_data, lay_mark
from zkprov.act.durable import sync_folder, write
from zkprov.act.edit import edited
from zkprov.act.hosts import checked_label, dynamic_file, folders_of, place_aside, place_of, places_of, refuse_data
from zkprov.act.processes import MAIN_CLASS, ServerProcess, end, running_servers, server_process
from zkprov.model.boots import Boot
from zkprov.model.inventory import InventoryHost, ReleaseSource, for_others
from zkprov.model.problems import Busy, Interrupted, NotHealthy
from zkprov.shipped import shipped

_COMMAND_TIMEOUT_S = 120.0
# A server outlives the command that starts it, so it gets none of the command's environment that it has no use for.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "JAVA_HOME")

# Children of this process must be waited for, or they stay as zombies; dropping the object would do the same with a warning.
_children: list[subprocess.Popen[bytes]] = []


# Made once, by one thread: hosts are looked at by several, and msgspec's first use of a type by two at once ends the process.
_RECORD = msgspec.json.Decoder(ServerProcess)


class LocalHost:
    """`Host` for `ansible_connection: local`.

    What zkprov needs to know between commands lies in `<config_dir>.zkprov`: `run` (the fence), `server` (pid and start of the process),
    `disabled`, `release` (the one in force, once it was started or switched). Loss of `server` loses nothing: the process is found again by
    its zoo.cfg.
    """

    def __init__(self, host: InventoryHost) -> None:
        self.host = host
        self._control = Path(f"{host.config_dir}.zkprov")
        self._zoo_cfg = f"{host.config_dir}/zoo.cfg"
        self._mine: tuple[str, int] | None = None

    @property
    def name(self) -> str:
        return self.host.name

    def fence(self, run: str, attempt: int = 0) -> bool:
        with self._disk(), self._alone():
            holder, before = self._holder()
            self._free_for(run, holder)
            if holder is not None and before > attempt:
                raise self._taken_over(run)
            if holder is None or before < attempt:
                write(self._control / "run", f"{run} {attempt}".encode())
            self._mine = run, attempt
            return holder is not None

    def unfence(self, run: str, attempt: int = 0) -> None:
        self._mine = None
        if self.fenced_by() is None:
            return
        with self._disk(), self._alone():
            holder, by = self._holder()
            self._free_for(run, holder)
            if by <= attempt:
                (self._control / "run").unlink(missing_ok=True)
                sync_folder(self._control)

    def fenced_by(self) -> str | None:
        return self._holder()[0]

    @property
    def fence_file(self) -> str:
        return str(self._control / "run")

    def _holder(self) -> tuple[str | None, int]:
        """The run that has the host, and which attempt at it."""
        with self._disk():
            try:
                run, _, attempt = (self._control / "run").read_text(errors="replace").partition(" ")
            except (FileNotFoundError, NotADirectoryError):
                return None, 0
        return run, int(attempt) if attempt.isdecimal() else 0

    def _free_for(self, run: str, holder: str | None) -> None:
        if holder not in (run, None):
            raise Busy(
                f"run {holder} has this host",
                place=self.name,
                remedy=f"finish it first: zkprov resume, or zkprov abort; over for sure? rm {self.fence_file}",
            )

    def _still_mine(self, run: str, attempt: int) -> None:
        """Whoever has lost the fence is not to take it again: the run may be over."""
        holder = self._holder()
        self._free_for(run, holder[0])
        if holder != (run, attempt):
            raise self._taken_over(run)

    def _taken_over(self, run: str) -> Interrupted:
        return Interrupted(
            f"run {run} was taken over; nothing further is done here", place=self.name, remedy="zkprov history"
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Without another process of this machine at the control folder; ends with the process that holds it."""
        self._control.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._control / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def install(self) -> None:
        if self.host.start_command:
            return
        # a server that comes in runs what the inventory says, whatever ran here before
        local_releases.check(self.host, local_releases.wanted(self.host))

    def configure(self, files: Mapping[str, str | bytes], run: str, attempt: int = 0) -> None:
        places = {place_of(self.host, name): content for name, content in files.items()}
        self._still_mine(run, attempt)
        if self.is_active():
            raise NotHealthy("a server is running here", place=self.name, remedy="stop it first, if it is not needed")
        for folder in (self.host.data_dir, self.host.data_log_dir):
            if holds_data(folder):
                raise refuse_data(self.host, folder)
        with self._disk():
            for folder in (self.host.config_dir, self.host.data_dir, self.host.data_log_dir, self.host.log_dir):
                Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._control / local_releases.IN_FORCE).unlink(missing_ok=True)
            for place, content in places.items():
                write(Path(place), content.encode() if isinstance(content, str) else content)
        self.mark_disk()

    def lay_list(self, path: str, text: str, run: str, attempt: int = 0) -> None:
        place = Path(dynamic_file(self.host, path))
        self._at_rest(run, attempt)
        with self._disk():
            before = place.lstat()
            if not stat.S_ISREG(before.st_mode):
                raise NotHealthy(f"{place} is no file", place=self.name, remedy="look what it is")
            write(place, text.encode(), before.st_mode & 0o777, before)

    def lay_files(self, files: Mapping[str, str], run: str, attempt: int = 0) -> None:
        places = places_of(self.host, files)
        self._at_rest(run, attempt)
        with self._disk():
            former.replace_files(self._former(run), {Path(p): text.encode() for p, text in places.items()})

    def check_files(self, files: Mapping[str, str], run: str, attempt: int = 0) -> None:
        self._still_mine(run, attempt)
        with self._disk():
            former.check_files(Path(p) for p in places_of(self.host, files))

    def edit_zoo_cfg(self, settings: Mapping[str, str], run: str, attempt: int = 0) -> bool:
        self._still_mine(run, attempt)
        place = Path(self._zoo_cfg)
        with self._disk():
            former.check_files([place])
            before = place.read_bytes()
            after = edited(before, settings, self._zoo_cfg)
            if after != before:
                former.replace_files(self._former(run), {place: after})
        return after != before

    def put_back(self, run: str, attempt: int = 0, *, running: bool = False) -> bool:
        if running:
            self._still_mine(run, attempt)
        else:
            self._at_rest(run, attempt)
        with self._disk():
            return former.put_back(self._former(run))

    def has_former(self, run: str) -> bool:
        return former.has_former(self._former(run))

    def drop_former(self, run: str, attempt: int = 0) -> None:
        self._still_mine(run, attempt)
        with self._disk():
            former.drop(self._former(run))

    def _former(self, run: str) -> Path:
        return self._control / f"before-{run}"

    def _at_rest(self, run: str, attempt: int) -> None:
        """Still this attempt's, and no server runs."""
        self._still_mine(run, attempt)
        if self.is_active():
            raise NotHealthy("a server is running here", place=self.name, remedy="stop it first")

    def releases(self) -> tuple[str, ...]:
        return local_releases.laid(self.host)

    def lay_release(self, release: str, run: str, attempt: int = 0) -> None:
        self._still_mine(run, attempt)
        local_releases.check(self.host, local_releases.named(self.host, release))

    def current(self) -> str:
        with self._disk():
            return local_releases.in_force(self._control) or self.host.release or ""

    def switch(self, release: str, run: str, attempt: int = 0) -> None:
        self._at_rest(run, attempt)
        local_releases.check(self.host, local_releases.named(self.host, release))
        with self._disk():
            write(self._control / local_releases.IN_FORCE, f"{release}\n".encode())

    def start(self) -> None:
        if (self._control / "disabled").exists():
            raise NotHealthy("this server was disabled when it left", place=self.name, remedy="enable it first")
        self._not_taken()
        if self.host.start_command:
            if not self.is_active():
                self._command(self.host.start_command)
            return
        with self._disk(), self._alone():
            self._not_taken()
            if not self.processes():
                self._launch()

    def _not_taken(self) -> None:
        """Whoever slept while his run was taken over does nothing more here."""
        if self._mine is not None:
            self._still_mine(*self._mine)

    def _launch(self) -> None:
        if not Path(self._zoo_cfg).is_file():
            raise NotHealthy(f"no {self._zoo_cfg}", place=self.name, remedy="configure the host first")
        software = self._software()
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
                    f"{arguments[0]} cannot be run: {error.strerror}", place=self.name, remedy="correct zkprov_java"
                ) from None
        _children[:] = [*(c for c in _children if c.poll() is None), child]
        # A process shows its command line only a moment after it was started.
        deadline = time.monotonic() + 5.0
        while (process := server_process(child.pid)) is None:
            if child.poll() is not None or time.monotonic() > deadline:
                said = (log_dir / "out.log").read_text(errors="replace").strip().splitlines()
                raise NotHealthy(
                    f"the server does not start{': ' + said[-1][:200] if said else ''}",
                    place=self.name,
                    remedy=f"see {log_dir}/out.log",
                )
            time.sleep(0.001)
        write(self._control / "server", msgspec.json.encode(process))
        local_releases.remember(self.host, self._control)

    def _software(self) -> ReleaseSource:
        """Of the release in force."""
        with self._disk():
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
                        place=self.name,
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

    def stop(self, timeout_s: float) -> None:
        self._not_taken()
        if self.host.stop_command:
            if self.is_active():
                self._command(self.host.stop_command)
            return
        try:
            left = end(self.processes(), timeout_s)
        except PermissionError:
            raise NotHealthy(
                "the server is another user's process", place=self.name, remedy="run zkprov as that user"
            ) from None
        _reap()
        if left:
            raise NotHealthy(f"the server (pid {left[0].pid}) does not end, even by SIGKILL", place=self.name)
        with self._disk():
            (self._control / "server").unlink(missing_ok=True)

    def is_active(self) -> bool:
        if self.host.is_active_command:
            return self._run(self.host.is_active_command).returncode == 0
        return bool(self.processes())

    def processes(self, running: Callable[[], Iterable[ServerProcess]] = running_servers) -> list[ServerProcess]:
        """The server processes on this host's zoo.cfg: the recorded one if it still runs, else whatever a look at all (`running`) finds."""
        _reap()
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            recorded = _RECORD.decode((self._control / "server").read_bytes())
            if recorded.zoo_cfg == self._zoo_cfg and server_process(recorded.pid) == recorded:
                return [recorded]
        return [p for p in running() if p.zoo_cfg == self._zoo_cfg]

    def boot(self) -> Boot:
        return boot_here()

    def to_reboot(self, run: str, attempt: int, server: int) -> bool:
        raise this_machine(self.host)

    def reboot(self, boot: str, timeout_s: float) -> None:
        raise this_machine(self.host)

    def disable(self) -> None:
        with self._disk():
            self._control.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(self._control / "disabled", b"")

    def enable(self) -> None:
        with self._disk():
            (self._control / "disabled").unlink(missing_ok=True)

    def set_aside(self, label: str) -> str:
        checked_label(label)
        if self.is_active():
            raise NotHealthy("a server is running here", place=self.name, remedy="stop it first")
        # config_dir comes first: after a crash between two moves there is no zoo.cfg to start a server with.
        with self._disk():
            try:
                within = aside.set_aside(folders_of(self.host), label)
            except NotHealthy as problem:
                raise NotHealthy(problem.problem, place=self.name, remedy=problem.remedy) from None
        return place_aside(self.host, label, within)

    def exists(self) -> bool:
        folders = [Path(f) for f in (self.host.config_dir, self.host.data_dir, self.host.data_log_dir)]
        # a mount point stays where it is
        return any(aside.held(f) if f.is_mount() else f.exists() for f in folders)

    def mark_disk(self) -> str:
        with self._disk():
            return lay_mark((self.host.data_dir, self.host.data_log_dir), write)

    def has_data(self) -> bool:
        return any(holds_data(folder) for folder in (self.host.data_dir, self.host.data_log_dir))

    def backup(self, act: str, **given: Any) -> Any:
        host = self.host
        if act == "load":
            # read by the release that wrote it
            software = self._software()
            host = msgspec.structs.replace(host, java=software.java, classpath=software.classpath)
        return backup_here(host, act, given)

    def _command(self, command: str) -> None:
        done = self._run(command)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
            raise NotHealthy(
                f"`{command}` failed with exit code {done.returncode}{': ' + said[-1][:200] if said else ''}",
                place=self.name,
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
            raise NotHealthy(f"`{command}` took more than {_COMMAND_TIMEOUT_S:.0f} s", place=self.name) from None
        except OSError as error:
            raise NotHealthy(
                f"`{command}` cannot be run: {error.strerror}",
                place=self.name,
                remedy="correct it in the inventory (zkprov_start_command and its like)",
            ) from None

    @contextmanager
    def _disk(self) -> Iterator[None]:
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
                f"cannot write {error.filename or self._control}: {error.strerror or error}",
                place=self.name,
                remedy=remedies.get(
                    error.errno or 0, "correct the folder or its rights, or zkprov_*_dir in the inventory"
                ),
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
