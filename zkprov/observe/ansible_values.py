"""What templates in values come to, by Ansible itself: one play of ours for all of a group, with none of its hosts asked for anything.

Lookups run on this machine, as in any play of the operator's. Names of hosts and groups may come from elsewhere (a cloud's, say): where
one is a template, nothing is rendered. Facts that Ansible has kept of hosts are not there. What was rendered is never rendered again,
and is kept nowhere: values go through a pipe into memory.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from zkprov.model.inventory import for_others
from zkprov.model.problems import BadInput
from zkprov.observe.ansible_inventory import OPENINGS, SECRETS, Listing
from zkprov.observe.host_variables import raise_all
from zkprov.shipped import shipped

LIMIT_S = 30.0
"""For all of them: a play takes one to two seconds."""
_MAX_BYTES = 16_000_000
_MEMORY = 2 * 1024**3


def holds_template(value: object) -> bool:
    """Whether Ansible would render any text in it."""
    if isinstance(value, str):
        return any(opening in value for opening in OPENINGS)
    if isinstance(value, Mapping):
        return any(holds_template(part) for item in value.items() for part in item)
    return isinstance(value, list) and any(holds_template(part) for part in value)


def with_values(found: Listing, hosts: Iterable[str], path: str) -> Listing:
    """The listing with what the templates of these hosts' variables come to; as it is where they have none.

    Raises `BadInput` naming each host and variable that cannot be rendered.
    """
    variables = found.variables
    asked = {h: [n for n, v in variables.get(h, {}).items() if n not in SECRETS and holds_template(v)] for h in hosts}
    asked = {host: names for host, names in asked.items() if names}
    if not asked:
        return found
    _names_are_plain(found, path)
    values = _rendered(asked, path)
    return msgspec.structs.replace(found, variables={h: {**of, **values.get(h, {})} for h, of in variables.items()})


def rendered_secret(found: Listing, host: str, variable: str, path: str) -> Any:
    """What a template with a secret in it comes to, for one host. Raises `BadInput` without a word of it."""
    _names_are_plain(found, path)
    return _rendered({host: [variable]}, path)[host][variable]


def _names_are_plain(found: Listing, path: str) -> None:
    names = {*found.groups, *found.variables, *(host for hosts in found.groups.values() for host in hosts)}
    bad = sorted(name for name in names if not name.isprintable() or holds_template(name))
    if bad:
        what = f"the name of a host or group holds a template: {bad[0]!r:.80}"
        raise BadInput(what, place=path, remedy="no template in the inventory is rendered while it is there: rename it")


def _rendered(asked: Mapping[str, list[str]], path: str) -> dict[str, dict[str, Any]]:
    answer = _answer(asked, path)
    wrong = []
    values: dict[str, dict[str, Any]] = {}
    for host, names in asked.items():
        for name in names:
            said = answer.get(host, {}).get(name, {})
            if "value" in said:
                values.setdefault(host, {})[name] = said["value"]
                continue
            problem = str(said.get("problem", "no answer"))
            remedy = f"{'define' if 'is undefined' in problem else 'correct'} it; see: ansible -i {path} {host} -m debug -a var={name}"
            # a password with braces in it is a template too: not even the name of what is missing is told
            told = (
                f"{name} is not a password: it is a template that cannot be rendered"
                if name in SECRETS
                else f"{name}: {problem}"
            )
            wrong.append(BadInput(told, place=f"{path}: {host}", remedy=remedy))
    raise_all(wrong)
    return values


def _answer(asked: Mapping[str, list[str]], path: str) -> dict[str, dict[str, dict[str, Any]]]:
    program = Path(sys.executable).with_name("ansible-playbook")
    with tempfile.TemporaryDirectory(prefix="zkprov-values-") as private:
        folder = Path(private)
        (folder / "asked").write_bytes(msgspec.json.encode(asked))
        os.mkfifo(folder / "answer", mode=0o600)
        command = [str(program) if program.exists() else program.name, f"--inventory={Path(path).absolute()}"]
        command.append(str(shipped("values") / "values.yml"))
        environment = {
            **for_others(os.environ),
            "ZKPROV_VALUES": private,
            # what hosts once said of themselves has no say in where things are
            "ANSIBLE_CACHE_PLUGIN": "memory",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_DEBUG": "0",
            "ANSIBLE_LOG_PATH": os.devnull,
            "ANSIBLE_VERBOSITY": "0",
            "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
            **dict.fromkeys(("ANSIBLE_ASK_PASS", "ANSIBLE_BECOME_ASK_PASS", "ANSIBLE_ASK_VAULT_PASS"), "0"),
            "LC_ALL": "C.UTF-8",
        }
        try:
            said, code = _piped(command, environment, folder / "answer")
        except OSError as error:
            remedy = "pip install ansible-core"
            raise BadInput(f"{program.name} cannot be run: {error.strerror}", place=path, remedy=remedy) from None
    try:
        return msgspec.json.decode(said, type=dict[str, dict[str, dict[str, Any]]])
    except (msgspec.MsgspecError, RecursionError):
        see = f"see what Ansible says: ansible -i {path} {next(iter(asked))} -m debug -a var={next(iter(asked.values()))[0]}"
        why = f"not within {LIMIT_S:.0f} s" if code is None else "Ansible failed"
        what = ", ".join(dict.fromkeys(name for names in asked.values() for name in names))
        raise BadInput(f"the templates in {what:.200} cannot be rendered: {why}", place=path, remedy=see) from None


def _piped(command: list[str], environment: dict[str, str], pipe: Path) -> tuple[bytes, int | None]:
    """What was written into the pipe, and the exit code; None where it took too long or was too much, and was ended with all it started."""
    said = b""
    deadline = time.monotonic() + LIMIT_S
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with (
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            ) as play,
            selectors.DefaultSelector() as waiting,
        ):
            # a template can make more text than there is memory
            resource.prlimit(play.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            waiting.register(reader, selectors.EVENT_READ)
            try:
                while time.monotonic() < deadline and len(said) <= _MAX_BYTES:
                    ended = play.poll() is not None
                    piece = os.read(reader, 65536) if waiting.select(0.02) else b""
                    said += piece
                    if ended and not piece:
                        return said, play.returncode
                    if not piece:
                        # once the writer is gone there is always nothing to read
                        time.sleep(0.01)
                return b"", None
            finally:
                _end(environment["ZKPROV_VALUES"])
    finally:
        os.close(reader)


def _end(folder: str) -> None:
    """All that was started for it: Ansible's workers have sessions of their own, and a lookup may be a program that goes on."""
    mark = f"ZKPROV_VALUES={folder}".encode()
    for _ in range(100):
        found = [int(p.name) for p in Path("/proc").glob("[0-9]*") if _environment_of(p, mark)]
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        time.sleep(0.01)


def _environment_of(process: Path, mark: bytes) -> bool:
    try:
        return mark in (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
