"""What can be done to one host: files and a server laid, started, stopped and set aside; every act may be repeated at any point."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from pathlib import PurePosixPath
from typing import Any, Protocol

from zkprov.model.boots import Boot
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import BadInput, NotHealthy

# Files that ZooKeeper looks for outside the folder of zoo.cfg. `initialize` lies in dataLogDir, beside version-2,
# whatever the docs say (FACTS, "How a second ensemble forms").
MYID = "myid"
INITIALIZE = "initialize"

STOP_S = 0.1
"""From SIGTERM to SIGKILL, in seconds: for Java's own hooks, of which a server has none but the audit log's line.

ZooKeeper makes nothing of SIGTERM (3.5 to 3.9, by its classes: no other shutdown hook), what it acknowledged is on disk. The JVM halts all
threads and then waits 0.3 s for those in system calls, while clients hang on a server that will not answer (measured: 0.315 s).
"""


class Host(Protocol):
    """One host. Every method may be called again after a crash at any point of it, and then ends in the same state.

    All raise `NotHealthy` (place: host and path) when the host cannot be reached or its disk cannot be written.
    """

    @property
    def host(self) -> InventoryHost: ...

    @property
    def name(self) -> str: ...

    def fence(self, run: str, attempt: int = 0) -> bool:
        """Take the host for an attempt at `run`: an exclusive file on it, naming both. Whether an attempt at this run had it before.

        An earlier attempt's fence is taken over. Raises `Busy` when it is another run's, `Interrupted` when a later attempt has it.
        """

    def unfence(self, run: str, attempt: int = 0) -> None:
        """Give the host back. Nothing happens when it was not taken, or by a later attempt; raises `Busy` when another run has it."""

    def fenced_by(self) -> str | None:
        """The run that has the host."""

    @property
    def fence_file(self) -> str:
        """Where that lies on the host: what a person removes when the run is over for sure."""

    def install(self) -> None:
        """Make sure that the software is there. Raises `NotHealthy` naming what is missing."""

    def configure(self, files: Mapping[str, str | bytes], run: str, attempt: int = 0) -> None:
        """Write `files` (plain names) for `run`, whole or not at all, and durable: `myid` to data_dir, `initialize` to data_log_dir, the
        rest to config_dir. Raises `Busy` (another run's host), `Interrupted` when this attempt has the host no longer, `NotHealthy` when
        there is data or a server runs, `BadInput` for a name.
        """

    def configure_and_start(self, files: Mapping[str, str | bytes], run: str, attempt: int = 0) -> None:
        """`configure`, `enable` and `start`; in one go where each takes its time, and no hook stands between. Raises what they raise."""

    def lay_list(self, path: str, text: str, run: str, attempt: int = 0) -> None:
        """Write the member list `text` into the dynamic file at `path`, a full path in config_dir, for `run`: whole or not at all, durable,
        with the owner and rights that it had. Raises `Busy` and `Interrupted` as `configure`, `NotHealthy` when a server runs or no such
        file is there, `BadInput` for another path.
        """

    def lay_files(self, files: Mapping[str, str], run: str, attempt: int = 0) -> None:
        """Replace a member's own `files` (plain names, and `unit` for its unit) for `run` while its server is down: each whole or not at
        all, durable, with the owner and rights that it had. What they replace is kept for `put_back`. Raises `Busy` and `Interrupted` as
        `configure`, `NotHealthy` when a server runs, or a place is none for a file, `BadInput` for a name.
        """

    def check_files(self, files: Mapping[str, str], run: str, attempt: int = 0) -> None:
        """Raises what `lay_files` would, but for a server that runs; nothing is written."""

    def edit_zoo_cfg(self, settings: Mapping[str, str], run: str, attempt: int = 0) -> bool:
        """Put `settings` into a member's own zoo.cfg for `run`, whole or not at all, durable, its other lines, owner and rights untouched;
        whether anything was to be changed. A server may run: it reads the file when it is started. What was there before the run's first
        edit is kept for `put_back`. Raises `Busy` and `Interrupted` as `configure`, `BadInput` for a file that is no properties text,
        `NotHealthy` where no file is, or somebody else writes it at this moment.
        """

    def put_back(self, run: str, attempt: int = 0, *, running: bool = False) -> bool:
        """Undo `lay_files` and `edit_zoo_cfg` of this run; whether there was anything to undo. A list that the member took since stays
        (R10). `running`: while its server runs, on what it read when it was started. Raises as it.
        """

    def has_former(self, run: str) -> bool:
        """Whether `lay_files` of this run has replaced anything that is still to be put back, or dropped."""

    def drop_former(self, run: str, attempt: int = 0) -> None:
        """What `lay_files` of this run replaced is not needed any more; may be repeated. Raises `Busy` and `Interrupted` as `configure`."""

    def releases(self) -> tuple[str, ...]:
        """The releases that lie here, whole, oldest first: what `switch` may choose from."""

    def lay_release(self, release: str, run: str, attempt: int = 0) -> None:
        """See to it that `release` lies here, whole and checked, beside what runs, which is not touched. Raises `Busy` and `Interrupted` as
        `configure`, `NotHealthy` where it cannot be had or is damaged, `BadInput` where the inventory does not say where it comes from.
        """

    def current(self) -> str:
        """The release that the next start runs; empty where nothing says it."""

    def switch(self, release: str, run: str, attempt: int = 0) -> None:
        """The next start runs `release`: at once or not at all, and durable. Raises `Busy` and `Interrupted` as `configure`, `NotHealthy`
        when a server runs, or that release does not lie here whole.
        """

    def start(self) -> None:
        """Start the server, detached. Returns once the process runs, not once it serves. Raises `NotHealthy` when disabled.

        `start` and `stop` of an object that has taken the fence raise `Interrupted` once another attempt or nobody has it: whoever slept
        while his run was taken over, and ended, does nothing to the host.
        """

    def stop(self, timeout_s: float) -> None:
        """End the server, by force after `timeout_s` seconds. Raises `NotHealthy` if it is there still then; `Interrupted` as `start`."""

    def is_active(self) -> bool:
        """Whether a server process runs here, serving or not, paused or not."""

    def boot(self) -> Boot:
        """Which boot it is in, and what goes down with it. Raises `NotHealthy` where that cannot be told. The machine on which zkprov runs
        is not rebooted: `to_reboot` and `reboot` raise `BadInput` for it.
        """

    def to_reboot(self, run: str, attempt: int, server: int) -> bool:
        """Note, durable, that this run is about to reboot it for `server`, in the boot of now. Whether that is still to be done: once it is
        in another boot it is not. Raises `Busy` and `Interrupted` as `configure`.
        """

    def reboot(self, boot: str, timeout_s: float) -> None:
        """Order the reboot, if it is in `boot` still. Whether it comes back is not waited for, though a playbook of the operator's may, for
        `timeout_s` seconds. Raises `Busy` and `Interrupted` as `configure`, `PlayFailed` where a task of the playbook failed, `NotHealthy`
        where it is not known what came of it.
        """

    def disable(self) -> None:
        """See to it that the server is not started again by itself, or by `start`."""

    def enable(self) -> None:
        """Undo `disable`."""

    def set_aside(self, label: str) -> str:
        """Move config_dir, data_dir and data_log_dir to `<dir>.<label>`; nothing is deleted. Returns where the data is now.

        Raises `NotHealthy` when a server runs, or when both a folder and its `<dir>.<label>` are there.
        """

    def exists(self) -> bool:
        """Whether one of the folders is there."""

    def mark_disk(self) -> str:
        """The random mark that tells this disk from a wiped or another one (`model.marks`); written now where there is none, or where the
        data that it stood for is gone; tied to the data once there is any.
        """

    def has_data(self) -> bool:
        """Whether data_dir or data_log_dir holds a `version-2` with anything in it (R5)."""

    def backup(self, act: str, **given: Any) -> Any:
        """One act on the host's backups (`act.backups` calls it): nothing of the server itself is touched."""


def place_of(host: InventoryHost, name: str) -> str:
    """The path at which the file `name` belongs on `host`. Raises `BadInput` for anything but a plain file name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise BadInput(f"not a plain file name: {name!r}", place=host.name, remedy="name files without folders")
    folder = {MYID: host.data_dir, INITIALIZE: host.data_log_dir}.get(name, host.config_dir)
    return str(PurePosixPath(folder) / name)


UNIT = "unit"


def places_of(host: InventoryHost, files: Mapping[str, str]) -> dict[str, str]:
    """Path → text of a member's own files. Raises `BadInput` for what is not replaced: its id, its leave to vote, its list."""
    places = {}
    for name, text in files.items():
        if name in (MYID, INITIALIZE) or name.startswith("zoo.cfg.dynamic"):
            raise BadInput(f"{name} of a member is not replaced", place=host.name, remedy="leave it as it is (R5, R10)")
        places[f"/etc/systemd/system/{host.unit}.service" if name == UNIT else place_of(host, name)] = text
    return places


def dynamic_file(host: InventoryHost, path: str) -> str:
    """`path` if it is a full path in `host`'s config_dir. Raises `BadInput`."""
    place = PurePosixPath(path)
    if place.parent != PurePosixPath(host.config_dir) or place.name in ("", ".", ".."):
        raise BadInput(f"no file in {host.config_dir}: {path}", place=host.name, remedy="name the dynamic file there")
    return str(place)


def folders_of(host: InventoryHost) -> tuple[str, ...]:
    """config_dir, data_dir and data_log_dir without repetition and without those that lie within another: what is moved as a whole."""
    distinct = dict.fromkeys((host.config_dir, host.data_dir, host.data_log_dir))
    paths = [PurePosixPath(folder) for folder in distinct]
    return tuple(str(p) for p in paths if not any(other in p.parents for other in paths))


ASIDE = "zkprov-aside."
"""How a folder's name begins that holds what was set aside within a mount point, which itself cannot be moved."""


def place_aside(host: InventoryHost, label: str, within: Container[str] = (), folder: str = "") -> str:
    """Where what data_dir, or another `folder` of its own, held is once it was set aside under `label`.

    `within`: the folders that are mount points.
    """
    data = PurePosixPath(folder or host.data_dir)
    outer = next(f for f in folders_of(host) if data.is_relative_to(f))
    place = f"{outer}/{ASIDE}{label}" if outer in within else f"{outer}.{label}"
    return str(PurePosixPath(place) / data.relative_to(outer))


def checked_label(label: str) -> str:
    """`label` if it can end a folder's name. Raises `BadInput`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", label):
        raise BadInput(f"not a label for a folder: {label!r}", remedy="use letters, digits, dots and hyphens")
    return label


def refuse_data(host: InventoryHost, folder: str) -> NotHealthy:
    """R5: what `configure` raises where a joiner's disk is not empty."""
    return NotHealthy(
        f"{folder}/version-2 is not empty: a server that comes in must have no data (R5)",
        place=host.name,
        remedy=f"if nobody needs it, set it aside: mv {folder} {folder}.set-aside",
    )
