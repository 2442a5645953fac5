"""Carries playbooks out by ansible-runner, each on one host: ours, with the operator's laid over them by name, and hooks around them.

Ansible starts where zkprov was started, with the operator's own ansible.cfg, inventory, vault and connection settings. What a play is
given goes by files in a private folder that is gone when it ends; what is kept of it is one line an event, without values.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from zkprov.act.play_events import Told, condensed, hear, message_of, part_of
from zkprov.act.ssh_alive import VARIABLE, ssh_extra_args
from zkprov.model.inventory import PASSWORDS
from zkprov.model.problems import BadInput, Interrupted, NotHealthy
from zkprov.shipped import shipped

TIMEOUT_S = 600.0
_MOST_FILES, _MOST_BYTES = 2000, 20_000_000
# In the environment of all that a play starts, so that what is left of one that was cut off is found.
_MARK = "ZKPROV_PLAY"


class PlayResult(msgspec.Struct, frozen=True):
    """`changed`: tasks that changed something, or would have (check). `facts`: what its tasks gave as `zkprov_result`, later ones first.

    `diff`: what a task with `diff` showed, as lines of a unified diff's kind: `-` before, `+` after.
    """

    changed: int
    facts: dict[str, Any] = {}
    diff: tuple[str, ...] = ()
    seconds: float = 0.0


class PlayFailed(NotHealthy):
    """A task failed. `kind` is what a module of ours says of it: `busy`, `interrupted`, `unhealthy`; empty for others."""

    def __init__(self, problem: str, *, place: str, task: str, kind: str = "", remedy: str = "") -> None:
        super().__init__(problem, place=place, remedy=remedy)
        self.task, self.kind = task, kind


class Plays:
    """`inventory_path`: the operator's, as Ansible reads it. `playbooks`: a folder whose files are used instead of ours of the same name.

    `artifacts`: a folder for what is kept of each play (`<number>-<name>-<host>.jsonl`). `on_event`: called with each of those lines.
    `stop`: ends a play that runs, by force. One play at a time and object; several objects may share `artifacts` and play at once.
    """

    def __init__(
        self,
        inventory_path: str,
        *,
        playbooks: Path | None = None,
        artifacts: Path,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        stop: threading.Event | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        if playbooks is not None and not playbooks.is_dir():
            raise BadInput(
                "no such folder of playbooks", place=str(playbooks), remedy="give --playbooks an existing folder"
            )
        self.inventory = str(Path(inventory_path).absolute())
        self.playbooks, self.artifacts, self.timeout_s = playbooks, artifacts, timeout_s
        self._on_event, self._stop = on_event, stop or threading.Event()
        self._alone = threading.Lock()

    def play(
        self,
        name: str,
        host: str,
        extra: Mapping[str, Any] | None = None,
        files: Mapping[str, str | bytes] | None = None,
        *,
        check: bool = False,
        diff: bool = False,
    ) -> PlayResult:
        """Runs `<name>.yml` on `host`. `extra`: variables that go before the inventory's. `files`: a folder of them, `zkprov_files` there.

        Raises `PlayFailed` for a task that fails, `NotHealthy` for a host that is not reached, a play that takes too long or cannot be
        run, `Interrupted` when it was stopped. Place: the host; the text names the task.
        """
        with self._alone, self._workplace() as work:
            self._lay_project(work / "project")
            playbook = work / "project" / f"{name}.yml"
            if not playbook.is_file():
                raise BadInput(f"no playbook {name}.yml", place=str(self.playbooks or "playbooks"))
            variables = dict(extra or {})
            if files:
                (work / "files").mkdir(mode=0o700)
                for file, content in files.items():
                    _private(work / "files" / file, content if isinstance(content, bytes) else content.encode())
                variables["zkprov_files"] = str(work / "files")
            (work / "env").mkdir(mode=0o700)
            # JSON is YAML; on a command line everybody could read it
            _private(work / "env" / "extravars", msgspec.json.encode(variables))
            return self._run(work, playbook, name, host, check, diff)

    def hooks(self, when: str, phase: str, host: str, run: str) -> bool:
        """Runs `<when>-<phase>` of the operator's folder, a playbook (`.yml`) or an executable, where there is one. `when`: before, after.

        Whether there was one. A command gets ZKPROV_HOST, ZKPROV_PHASE and ZKPROV_RUN. Raises `NotHealthy` when it fails.
        """
        if self.playbooks is None:
            return False
        name = f"{when}-{phase}"
        found = False
        if (self.playbooks / f"{name}.yml").is_file():
            self.play(name, host, {"zkprov_host": host, "zkprov_phase": phase, "zkprov_run": run})
            found = True
        command = self.playbooks / name
        if command.is_file():
            self._command(command, {"ZKPROV_HOST": host, "ZKPROV_PHASE": phase, "ZKPROV_RUN": run})
            found = True
        return found

    def _command(self, command: Path, words: dict[str, str]) -> None:
        place, started = words["ZKPROV_HOST"], time.monotonic()
        remedy = f"see why, then zkprov resume; the hook is {command}"
        mark = f"{os.getpid()}-{time.monotonic_ns()}"
        try:
            with (
                tempfile.TemporaryFile() as said,
                subprocess.Popen(
                    [str(command.absolute())],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **words, _MARK: mark, **dict.fromkeys(PASSWORDS, "")},
                    start_new_session=True,
                ) as hook,
            ):
                while True:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        hook.wait(0.1)
                        break
                    if self._stop.is_set() or time.monotonic() - started > self.timeout_s:
                        _end_all(mark)
                        hook.wait()
                        break
                said.seek(0)
                last = condensed(said.read(100_000).decode(errors="replace").strip().rpartition("\n")[2])
        except OSError as error:
            raise NotHealthy(
                f"the hook {command.name} cannot be run: {error.strerror}", place=place, remedy=remedy
            ) from None
        if self._stop.is_set():
            raise Interrupted(f"stopped in the hook {command.name}", place=place, remedy="zkprov resume")
        if time.monotonic() - started > self.timeout_s:
            raise NotHealthy(
                f"the hook {command.name} took more than {self.timeout_s:.0f} s", place=place, remedy=remedy
            )
        if hook.returncode != 0:
            what = f"the hook {command.name} failed with exit code {hook.returncode}"
            raise NotHealthy(f"{what}{': ' + last if last else ''}", place=place, remedy=remedy)

    @contextlib.contextmanager
    def _workplace(self) -> Iterator[Path]:
        """A folder of our user's alone, gone afterwards with all that is in it."""
        try:
            self.artifacts.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _one_at_a_time(self.artifacts):
                _sweep(self.artifacts)
                work = Path(tempfile.mkdtemp(prefix=".play-", dir=self.artifacts))
                # held from now on: whoever sweeps finds no folder of a play that is not locked
                alive = (work / "lock").open("w")
                fcntl.flock(alive, fcntl.LOCK_EX)
        except OSError as error:
            raise NotHealthy(
                f"cannot write {self.artifacts}: {error.strerror}", remedy="make room, or correct its rights"
            ) from None
        try:
            with alive:
                yield work
        except OSError as error:
            raise NotHealthy(
                f"cannot prepare the play: {error.strerror}", place=str(error.filename), remedy="make room there"
            ) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _lay_project(self, project: Path) -> None:
        """Our playbooks, and the operator's over them: Ansible looks for modules and templates beside the playbook that it runs."""
        shutil.copytree(shipped("playbooks"), project, ignore=shutil.ignore_patterns("__pycache__"))
        if self.playbooks is None:
            return
        for path in _files(self.playbooks):
            target = project / path.relative_to(self.playbooks)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)

    def _run(self, work: Path, playbook: Path, name: str, host: str, check: bool, diff: bool) -> PlayResult:
        ansible_runner = _ansible_runner(host)
        began, told = time.monotonic(), Told()
        options = ["--check"] * check + ["--diff"] * diff
        with self._kept(name, host) as keep:

            def heard(event: dict[str, Any]) -> bool:
                line = hear(event, told)
                keep(None if line is None else {"play": part_of(name, event), **line})
                return False

            runner = ansible_runner.run(
                private_data_dir=str(work),
                # the folder that Ansible starts in: relative paths in the operator's settings mean this one
                project_dir=str(Path.cwd()),
                playbook=str(playbook),
                inventory=self.inventory,
                limit=host,
                forks=1,
                cmdline=" ".join(options) or None,
                envvars=self._environment(work.name),
                settings={"pexpect_timeout": 0.2},
                event_handler=heard,
                # given always: else ansible-runner takes our signal handlers away
                cancel_callback=self._stop.is_set,
                timeout=int(self.timeout_s) or 1,
                fact_cache_type="",
                quiet=True,
                suppress_env_files=True,
            )
            if runner.status in ("canceled", "timeout"):
                _end_all(work.name)
            said = _last_words(work)
        if runner.status == "canceled":
            raise Interrupted(f"stopped in {name}.yml, task `{told.task}`", place=host, remedy="zkprov resume")
        self._judge(runner.status, told, said, name, host)
        return PlayResult(told.changed, told.facts, tuple(told.diff), round(time.monotonic() - began, 3))

    def _judge(self, status: str, told: Told, said: str, name: str, host: str) -> None:
        task = f"{name}.yml, task `{told.task}`" if told.task else f"{name}.yml"
        by_hand = f"run it by hand to see why: ansible-playbook -i {self.inventory} -l {host} {name}.yml -vv"
        if status == "timeout":
            raise NotHealthy(f"{task}: took more than {self.timeout_s:.0f} s", place=host, remedy=by_hand)
        if status == "successful":
            # a failure that the playbook itself ignored or rescued is none
            return
        if told.failed is None:
            raise NotHealthy(f"{task}: {said or 'Ansible failed'}", place=host, remedy=by_hand)
        if told.unreachable:
            remedy = f"see: ansible -i {self.inventory} {host} -m ping"
            raise NotHealthy(f"{task}: not reached: {message_of(told.failed)}", place=host, remedy=remedy)
        given = told.failed.get("zkprov_problem")
        ours: dict[str, Any] = given if isinstance(given, dict) else {}
        raise PlayFailed(
            f"{task}: {condensed(str(ours.get('text') or message_of(told.failed)))}",
            place=host,
            task=told.task,
            kind=str(ours.get("kind", "")),
            remedy=str(ours.get("remedy") or by_hand),
        )

    def _environment(self, mark: str) -> dict[str, str]:
        """What is set for Ansible; the rest is the operator's ansible.cfg and environment, found as if he had typed the command here."""
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_HOST_KEY_CHECKING": os.environ.get("ANSIBLE_HOST_KEY_CHECKING", "True"),
            "ANSIBLE_PIPELINING": os.environ.get("ANSIBLE_PIPELINING", "True"),
            "ANSIBLE_NOCOLOR": "True",
            VARIABLE: ssh_extra_args(),
            # nobody is there to answer
            **dict.fromkeys(("ANSIBLE_ASK_PASS", "ANSIBLE_BECOME_ASK_PASS", "ANSIBLE_ASK_VAULT_PASS"), "False"),
            "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_DEPRECATION_WARNINGS": "False",
            _MARK: mark,
            **dict.fromkeys(PASSWORDS, ""),
        }

    @contextlib.contextmanager
    def _kept(self, name: str, host: str) -> Iterator[Callable[[dict[str, Any] | None], None]]:
        """The record of one play: one JSON line an event, from names and short texts only."""
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", host)[:100]
        with _one_at_a_time(self.artifacts):
            number = 1 + sum(1 for p in self.artifacts.glob("*.jsonl"))
            descriptor = os.open(
                self.artifacts / f"{number:03d}-{name}-{safe}.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600
            )
        with os.fdopen(descriptor, "ab") as file:

            def keep(line: dict[str, Any] | None) -> None:
                if line is not None:
                    file.write(msgspec.json.encode(line) + b"\n")
                    if self._on_event:
                        self._on_event(line)

            yield keep


def has_hook(playbooks: Path | None, name: str) -> bool:
    """Whether the operator has a hook `<when>-<phase>`."""
    return playbooks is not None and any((playbooks / f"{name}{ending}").is_file() for ending in ("", ".yml"))


def playbooks_digest(playbooks: Path | None) -> str:
    """A digest of every playbook, module and template that could be used: it changes when any of them does. Hex."""
    digest = hashlib.sha256()
    for folder in (shipped("playbooks"), playbooks):
        for path in _files(folder) if folder is not None else ():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(folder or path)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    """All plain files below it but hidden ones, sorted. Raises `BadInput` for more than playbooks ever are."""
    found: list[Path] = []
    size = 0
    for path in sorted(folder.rglob("*")):
        if any(p.startswith(".") or p == "__pycache__" for p in path.relative_to(folder).parts) or not path.is_file():
            continue
        found.append(path)
        size += path.stat().st_size
        if len(found) > _MOST_FILES or size > _MOST_BYTES:
            what = f"more than {_MOST_FILES} files or {_MOST_BYTES // 1_000_000} MB"
            raise BadInput(what, place=str(folder), remedy="name a folder that holds playbooks and what they need")
    return found


def _last_words(work: Path) -> str:
    """Of Ansible itself, where it ended before any task."""
    lines: list[str] = []
    for path in work.glob("artifacts/*/stdout"):
        lines += path.read_text(errors="replace").splitlines()
    errors = [line for line in lines if re.match(r"\[?ERROR", line.strip())]
    return condensed(re.sub(r"^\[?ERROR\]?[:!]*\s*", "", errors[0].strip())) if errors else ""


def _ansible_runner(host: str) -> Any:
    try:
        import ansible_runner
    except ImportError as error:
        raise NotHealthy(
            f"ansible-runner cannot be loaded: {error}", place=host, remedy="pip install ansible-runner ansible-core"
        ) from None
    if not shutil.which(
        "ansible-playbook", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    ):
        raise NotHealthy("no ansible-playbook on this machine", place=host, remedy="pip install ansible-core")
    return ansible_runner


def _private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


@contextlib.contextmanager
def _one_at_a_time(artifacts: Path) -> Iterator[None]:
    """Of all plays that have this folder, in this process or in others."""
    entered = os.open(artifacts, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(entered, fcntl.LOCK_EX)
        yield
    finally:
        os.close(entered)


def _sweep(artifacts: Path) -> None:
    """What a zkprov that was killed has left: its play goes on without it, and its files may hold secrets."""
    for work in artifacts.glob(".play-*"):
        with contextlib.suppress(OSError), (work / "lock").open("a") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _end_all(work.name)
            shutil.rmtree(work, ignore_errors=True)


def _end_all(mark: str) -> None:
    """Ends what a play has started and left: its workers have sessions of their own, and would go on."""
    word = f"{_MARK}={mark}".encode()
    for _ in range(3):
        left = False
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if word in (entry / "environ").read_bytes().split(b"\0"):
                        os.kill(int(entry.name), signal.SIGKILL)
                        left = True
        if not left:
            return
