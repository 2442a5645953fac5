"""A host that is this machine: its files are written here, its server is a detached process of ours or a command of the operator's."""

from __future__ import annotations

import fcntl
import stat
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
from zkprov.act.local_server import LocalServer, disk_of
from zkprov.act.processes import ServerProcess, running_servers
from zkprov.model.boots import Boot
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import Busy, Interrupted, NotHealthy


class LocalHost:
    """`Host` for `ansible_connection: local`.

    What zkprov needs to know between commands lies in `<config_dir>.zkprov`: `run` (the fence), `server` (pid and start of the process),
    `disabled`, `release` (the one in force, once it was started or switched). Loss of `server` loses nothing: the process is found again by
    its zoo.cfg.
    """

    def __init__(self, host: InventoryHost) -> None:
        self.host = host
        self._control = Path(f"{host.config_dir}.zkprov")
        self._server = LocalServer(host, self._control)
        self._mine: tuple[str, int] | None = None

    @property
    def name(self) -> str:
        return self.host.name

    def fence(self, run: str, attempt: int = 0) -> bool:
        with disk_of(self.host), self._alone():
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
        with disk_of(self.host), self._alone():
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
        with disk_of(self.host):
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
        with disk_of(self.host):
            for folder in (self.host.config_dir, self.host.data_dir, self.host.data_log_dir, self.host.log_dir):
                Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._control / local_releases.IN_FORCE).unlink(missing_ok=True)
            for place, content in places.items():
                write(Path(place), content.encode() if isinstance(content, str) else content)
        self.mark_disk()

    def lay_list(self, path: str, text: str, run: str, attempt: int = 0) -> None:
        place = Path(dynamic_file(self.host, path))
        self._at_rest(run, attempt)
        with disk_of(self.host):
            before = place.lstat()
            if not stat.S_ISREG(before.st_mode):
                raise NotHealthy(f"{place} is no file", place=self.name, remedy="look what it is")
            write(place, text.encode(), before.st_mode & 0o777, before)

    def lay_files(self, files: Mapping[str, str], run: str, attempt: int = 0) -> None:
        places = places_of(self.host, files)
        self._at_rest(run, attempt)
        with disk_of(self.host):
            former.replace_files(self._former(run), {Path(p): text.encode() for p, text in places.items()})

    def check_files(self, files: Mapping[str, str], run: str, attempt: int = 0) -> None:
        self._still_mine(run, attempt)
        with disk_of(self.host):
            former.check_files(Path(p) for p in places_of(self.host, files))

    def edit_zoo_cfg(self, settings: Mapping[str, str], run: str, attempt: int = 0) -> bool:
        self._still_mine(run, attempt)
        place = Path(f"{self.host.config_dir}/zoo.cfg")
        with disk_of(self.host):
            former.check_files([place])
            before = place.read_bytes()
            after = edited(before, settings, str(place))
            if after != before:
                former.replace_files(self._former(run), {place: after})
        return after != before

    def put_back(self, run: str, attempt: int = 0, *, running: bool = False) -> bool:
        if running:
            self._still_mine(run, attempt)
        else:
            self._at_rest(run, attempt)
        with disk_of(self.host):
            return former.put_back(self._former(run))

    def has_former(self, run: str) -> bool:
        return former.has_former(self._former(run))

    def drop_former(self, run: str, attempt: int = 0) -> None:
        self._still_mine(run, attempt)
        with disk_of(self.host):
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
        with disk_of(self.host):
            return local_releases.in_force(self._control) or self.host.release or ""

    def switch(self, release: str, run: str, attempt: int = 0) -> None:
        self._at_rest(run, attempt)
        local_releases.check(self.host, local_releases.named(self.host, release))
        with disk_of(self.host):
            write(self._control / local_releases.IN_FORCE, f"{release}\n".encode())

    def configure_and_start(self, files: Mapping[str, str | bytes], run: str, attempt: int = 0) -> None:
        self.configure(files, run, attempt)
        self.enable()
        self.start()

    def start(self) -> None:
        if (self._control / "disabled").exists():
            raise NotHealthy("this server was disabled when it left", place=self.name, remedy="enable it first")
        self._not_taken()
        if self.host.start_command:
            self._server.start_by_command()
            return
        with disk_of(self.host), self._alone():
            self._not_taken()
            self._server.start()

    def _not_taken(self) -> None:
        """Whoever slept while his run was taken over does nothing more here."""
        if self._mine is not None:
            self._still_mine(*self._mine)

    def stop(self, timeout_s: float) -> None:
        self._not_taken()
        self._server.stop(timeout_s)

    def is_active(self) -> bool:
        return self._server.is_active()

    def processes(self, running: Callable[[], Iterable[ServerProcess]] = running_servers) -> list[ServerProcess]:
        """The server processes on this host's zoo.cfg: the recorded one if it still runs, else whatever a look at all (`running`) finds."""
        return self._server.processes(running)

    def boot(self) -> Boot:
        return boot_here()

    def to_reboot(self, run: str, attempt: int, server: int) -> bool:
        raise this_machine(self.host)

    def reboot(self, boot: str, timeout_s: float) -> None:
        raise this_machine(self.host)

    def disable(self) -> None:
        with disk_of(self.host):
            self._control.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(self._control / "disabled", b"")

    def enable(self) -> None:
        with disk_of(self.host):
            (self._control / "disabled").unlink(missing_ok=True)

    def set_aside(self, label: str) -> str:
        checked_label(label)
        if self.is_active():
            raise NotHealthy("a server is running here", place=self.name, remedy="stop it first")
        # config_dir comes first: after a crash between two moves there is no zoo.cfg to start a server with.
        with disk_of(self.host):
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
        with disk_of(self.host):
            return lay_mark((self.host.data_dir, self.host.data_log_dir), write)

    def has_data(self) -> bool:
        return any(holds_data(folder) for folder in (self.host.data_dir, self.host.data_log_dir))

    def backup(self, act: str, **given: Any) -> Any:
        host = self.host
        if act == "load":
            # read by the release that wrote it
            software = self._server.software()
            host = msgspec.structs.replace(host, java=software.java, classpath=software.classpath)
        return backup_here(host, act, given)
