"""A host reached over SSH: slow acts are plays of Ansible's, quick ones one small program over a connection that is open already."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from zkprov.act.backup_programs import answered, backup_program, backup_variables
from zkprov.act.boots import boots_program
from zkprov.act.edit import CHARSET, edited
from zkprov.act.hosts import checked_label, dynamic_file, folders_of, place_aside, place_of, places_of
from zkprov.act.plays import PlayFailed, PlayResult, Plays, has_hook
from zkprov.model.boots import Boot
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import BadInput, Busy, Interrupted, NotHealthy, NotSwitchable, Problem
from zkprov.model.release import Release
from zkprov.shipped import shipped

CONTROL = "/var/lib/zkprov"
"""There, `<host>/run` is the fence and `<host>/disabled` keeps a server down for good."""
_COMMAND_S = 130.0
STOP_MORE_S = 50.0
"""For a server that must be ended by force, and the way there and back."""


class Connected(Protocol):
    """What is needed of `zkprov.observe.ssh.Connections`."""

    def run(
        self, host: InventoryHost, program: str, arguments: Mapping[str, Any], *, timeout_s: float | None = None
    ) -> Any:
        """The JSON that `program` prints on the host. Raises `Unreached`."""


class AnsibleHost:
    """`Host` for any other connection than `local`. What zkprov must know between commands lies in /var/lib/zkprov/<host> there.

    Each method raises `Unreached` where the host cannot be asked. A host with zkprov_start_command and its like has no unit; its commands
    are run as given, without a shell.
    """

    def __init__(self, host: InventoryHost, connections: Connected, plays: Plays) -> None:
        self.host, self._connections, self._plays = host, connections, plays
        self._zoo_cfg = f"{host.config_dir}/zoo.cfg"
        # a play goes on when zkprov is killed: it looks for itself whether it still has the host
        self._mine: tuple[str, int] = ("", 0)

    @property
    def name(self) -> str:
        return self.host.name

    def fence(self, run: str, attempt: int = 0) -> bool:
        had = bool(self._act("fence", run=run, attempt=attempt))
        self._mine = (run, attempt)
        return had

    def unfence(self, run: str, attempt: int = 0) -> None:
        self._act("unfence", run=run, attempt=attempt)
        self._mine = ("", 0)

    def fenced_by(self) -> str | None:
        held = self._act("fenced_by")
        return str(held) if held else None

    @property
    def fence_file(self) -> str:
        return f"{self._control}/run"

    def install(self) -> None:
        if not self.host.start_command:
            self._play("install")

    def configure(self, files: Mapping[str, str | bytes], run: str, attempt: int = 0) -> None:
        for name in files:
            place_of(self.host, name)
        self._mine = (run, attempt)
        self._play("configure", files)

    def configure_and_start(self, files: Mapping[str, str | bytes], run: str, attempt: int = 0) -> None:
        between = any(has_hook(self._plays.playbooks, name) for name in ("after-configure", "before-start"))
        # one that is to stay down is enabled only once its new files lie there: what refuses them must leave it as it is
        if between or self._act("disabled"):
            self.configure(files, run, attempt)
            self.enable()
            self.start()
            return
        for name in files:
            place_of(self.host, name)
        self._mine = (run, attempt)
        self._plays.hooks("before", "configure", self.name, run)
        self._played("configure_and_start", files)
        self._plays.hooks("after", "start", self.name, run)

    def lay_list(self, path: str, text: str, run: str, attempt: int = 0) -> None:
        self._commands_rest()
        self._act("lay_list", path=dynamic_file(self.host, path), text=text, run=run, attempt=attempt)

    def lay_files(self, files: Mapping[str, str], run: str, attempt: int = 0) -> None:
        self._commands_rest()
        self._act("lay_files", files=places_of(self.host, files), run=run, attempt=attempt)

    def check_files(self, files: Mapping[str, str], run: str, attempt: int = 0) -> None:
        self._act("check_files", files=list(places_of(self.host, files)), run=run, attempt=attempt)

    def edit_zoo_cfg(self, settings: Mapping[str, str], run: str, attempt: int = 0) -> bool:
        before = str(self._act("read_zoo_cfg")).encode(CHARSET)
        after = edited(before, settings, self._zoo_cfg)
        if after != before:
            was = hashlib.sha256(before).hexdigest()
            self._act("edit_zoo_cfg", text=after.decode(CHARSET), was=was, run=run, attempt=attempt)
        return after != before

    def put_back(self, run: str, attempt: int = 0, *, running: bool = False) -> bool:
        if not running:
            self._commands_rest()
        return bool(self._act("put_back", run=run, attempt=attempt, running=running))

    def has_former(self, run: str) -> bool:
        return bool(self._act("has_former", run=run))

    def drop_former(self, run: str, attempt: int = 0) -> None:
        self._act("drop_former", run=run, attempt=attempt)

    def releases(self) -> tuple[str, ...]:
        self._switchable()
        told = [
            (r, name) for name in self._act("releases", install_dir=self.host.install_dir) if (r := Release.read(name))
        ]
        return tuple(name for release, name in sorted(told) if str(release) == name)

    def lay_release(self, release: str, run: str, attempt: int = 0) -> None:
        self._switchable()
        if self._act("has_release", install_dir=self.host.install_dir, release=release, run=run, attempt=attempt):
            return
        source = self.host.source_of(release)
        if source is None or not source.archive:
            raise BadInput(
                f"nothing says where {release} comes from",
                place=self.name,
                remedy=f"name it in zkprov_releases, as {release}: {{archive: …, sha512: …}}",
            )
        self._mine = (run, attempt)
        self._play("release", zkprov_release=release)

    def current(self) -> str:
        self._switchable()
        return str(self._act("current", install_dir=self.host.install_dir))

    def switch(self, release: str, run: str, attempt: int = 0) -> None:
        self._switchable()
        self._act("switch", install_dir=self.host.install_dir, release=release, run=run, attempt=attempt)

    def _switchable(self) -> None:
        if why := self.host.why_no_switch:
            remedy = "give it another release by your own commands, after zkprov ok-to-stop"
            raise NotSwitchable(why, place=self.name, remedy=remedy)

    def _commands_rest(self) -> None:
        """A server that is run by commands of the operator's tells only them whether it runs."""
        if self.host.is_active_command and self.is_active():
            raise NotHealthy("a server is running here", place=self.name, remedy="stop it first")

    def start(self) -> None:
        self._play("start")

    def stop(self, timeout_s: float) -> None:
        if not self.host.stop_command and self._plays.playbooks is None:
            # what the playbook does, but for the seconds that a play takes to begin: clients of a leader that hands over wait for it
            run, attempt = self._mine
            limit_s = timeout_s + STOP_MORE_S
            self._act("stop", timeout_s=limit_s, patience=timeout_s, run=run, attempt=attempt)
            return
        # where nothing runs, no play is needed to stop it
        running = self.is_active() if self.host.stop_command else not self._act("at_rest")
        if running:
            self._play("stop", zkprov_stop_timeout=timeout_s)

    def is_active(self) -> bool:
        if self.host.is_active_command:
            return bool(self._command(self.host.is_active_command)["code"] == 0)
        return bool(self._act("is_active"))

    def boot(self) -> Boot:
        told = self._boots("boot")
        try:
            return msgspec.convert(told, Boot)
        except msgspec.ValidationError:
            raise NotHealthy("what it says of its boot is none of ours", place=self.name) from None

    def to_reboot(self, run: str, attempt: int, server: int) -> bool:
        return bool(self._boots("note", run=run, attempt=attempt, server=server))

    def reboot(self, boot: str, timeout_s: float) -> None:
        self._plays.timeout_s = max(self._plays.timeout_s, timeout_s)
        self._played("reboot", zkprov_boot=boot, zkprov_reboot_timeout=int(timeout_s))

    def _boots(self, act: str, **more: Any) -> Any:
        arguments = {"act": act, "control": self._control, "zoo_cfg": self._zoo_cfg, **more}
        return answered(self._connections.run(self.host, boots_program(), arguments), act, self.name)

    def disable(self) -> None:
        self._act("disable")

    def enable(self) -> None:
        self._act("enable")

    def set_aside(self, label: str) -> str:
        checked_label(label)
        self._commands_rest()
        within = self._act("set_aside", folders=folders_of(self.host), label=label)
        return place_aside(self.host, label, within or ())

    def exists(self) -> bool:
        """Whether one of the folders holds anything: installed ones lie there empty until they are configured."""
        folders = (self.host.config_dir, self.host.data_dir, self.host.data_log_dir)
        return bool(self._act("exists", folders=folders))

    def mark_disk(self) -> str:
        return str(self._act("mark_disk", folders=(self.host.data_dir, self.host.data_log_dir)))

    def has_data(self) -> bool:
        return bool(self._act("has_data", folders=(self.host.data_dir, self.host.data_log_dir)))

    def retire(self, label: str, timeout_s: float) -> None:
        """Disabled, stopped, set aside, by one play: what `disable`, `stop` and `set_aside` do one by one."""
        checked_label(label)
        self._play("retire", zkprov_label=label, zkprov_stop_timeout=timeout_s)

    def preview(self, name: str, files: Mapping[str, str | bytes] | None = None) -> PlayResult:
        """What a playbook would change here (check mode), with its diff."""
        return self._plays.play(name, self.name, self._variables(), files or {}, check=True, diff=True)

    def _play(
        self, name: str, files: Mapping[str, str | bytes] | None = None, **more: str | float | bool
    ) -> PlayResult:
        """The playbook between its hooks."""
        run = self._mine[0]
        self._plays.hooks("before", name, self.name, run)
        result = self._played(name, files, **more)
        self._plays.hooks("after", name, self.name, run)
        return result

    def _played(
        self, name: str, files: Mapping[str, str | bytes] | None = None, **more: str | float | bool
    ) -> PlayResult:
        """The playbook alone."""
        run, attempt = self._mine
        given = {**self._variables(), "zkprov_run": run, "zkprov_attempt": attempt, **more}
        try:
            return self._plays.play(name, self.name, given, files or {})
        except PlayFailed as failed:
            kinds: dict[str, type[Problem]] = {"busy": Busy, "interrupted": Interrupted}
            if failed.kind not in kinds:
                raise
            raise kinds[failed.kind](failed.problem, place=failed.place, remedy=failed.remedy) from None

    def _variables(self) -> dict[str, Any]:
        """What was read and checked goes before what Ansible would make of the inventory a second time. No secrets."""
        h = self.host
        return {
            **{f"zkprov_{field}": getattr(h, field) for field in _GIVEN},
            **({"zkprov_release": h.release} if h.release else {}),
            "zkprov_releases": {name: {"archive": s.archive, "sha512": s.sha512} for name, s in h.releases.items()},
            "zkprov_control": self._control,
            # what zkprov itself uses there; to let Ansible look for one takes longer than a task
            **({"ansible_python_interpreter": h.access.python} if h.access else {}),
        }

    @property
    def _control(self) -> str:
        return f"{CONTROL}/{self.name}"

    def _command(self, command: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._act("command", command=command, timeout_s=_COMMAND_S)
        return answer

    def _act(self, act: str, *, timeout_s: float | None = None, **more: Any) -> Any:
        arguments = {"act": act, "control": self._control, "zoo_cfg": self._zoo_cfg, "unit": self.host.unit, **more}
        said = self._connections.run(self.host, act_program(), arguments, timeout_s=timeout_s)
        return answered(said, act, self.name)

    def backup(self, act: str, **given: Any) -> Any:
        """What is quick by the program; data is copied by the playbook, which may take its time."""
        if act == "copy" and given["data"]:
            self._mine = (given["run"], 0)
            return self._play("backup", None, **backup_variables(self.host, given)).facts
        program, arguments, timeout_s = backup_program(self.host, act, given)
        return answered(self._connections.run(self.host, program, arguments, timeout_s=timeout_s), act, self.name)


_GIVEN = (
    "address",
    "client_port",
    "quorum_port",
    "election_port",
    "config_dir",
    "data_dir",
    "data_log_dir",
    "log_dir",
    "install_dir",
    "java",
    "classpath",
    "archive",
    "archive_sha512",
    "unit",
    "user",
    "heap",
    "start_command",
    "stop_command",
    "is_active_command",
)


@lru_cache(maxsize=1)
def act_program() -> str:
    """The text of the program that acts on a host."""
    return "\n".join((shipped("remote") / f"{name}.py").read_text() for name in ("stands", "releases", "act"))
