"""`ansible-inventory --list`, and its answer kept: it takes 0.4 s, and `status` has no time for it.

Only what zkprov reads is kept (`zkprov_*`, `ansible_host`, `ansible_connection`), never passwords. The answer is kept for plain static
files only, under a hash of everything that it is made from; an inventory that is a program, or names one, is asked each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from zkprov.model.inventory import for_others
from zkprov.model.problems import BadInput
from zkprov.observe.access import VARIABLES as ACCESS

_TIMEOUT_S = 60.0
_MAX_BYTES = 16_000_000
_KEPT = 64
"""Answers that are remembered, the newest; an edit of an inventory makes another."""
_MEMORY = 2 * 1024**3
PASSWORD = "zkprov_super_password"  # noqa: S105 — the variable's name
QUORUM_SASL, SASL, SASL_USERS = "zkprov_quorum_sasl_password", "zkprov_sasl_password", "zkprov_sasl_users"
SECRETS = (PASSWORD, QUORUM_SASL, SASL, SASL_USERS)
OPENINGS = ("{{", "{%", "{#")
"""What a template begins with, in any text."""


class Listing(msgspec.Struct, frozen=True):
    """Group → its hosts, those of its children included; host → the variables that zkprov reads, a password as True.

    SASL's passwords are numbers, equal where they are, and of users with passwords a list of (name, number).
    `children`: group → the groups in it, in the inventory's order.
    """

    groups: dict[str, tuple[str, ...]]
    variables: dict[str, dict[str, Any]]
    children: dict[str, tuple[str, ...]] = {}
    format: int = 1


def listing(path: str) -> Listing:
    """What Ansible reads at `path`. Raises `BadInput` when there is nothing, or nothing that Ansible can read."""
    source = Path(path).absolute()
    if not path or not source.exists():
        raise BadInput("no such inventory", place=path or "-i", remedy="name an Ansible inventory with -i")
    if "," in str(source):
        raise BadInput("Ansible takes a path with a comma for a list of hosts", place=path, remedy="rename it")
    try:
        key = _key(source)
    except OSError as error:
        raise BadInput(f"cannot read the inventory: {error.strerror}", place=str(error.filename or path)) from None
    kept = _cache_file(key) if key else None
    if kept and (found := _recall(kept)):
        return found
    found = _parse(_ask(source, path), path)
    if kept:
        _keep(kept, found)
    return found


def password(path: str, host: str) -> str | None:
    """`zkprov_super_password` of one host, asked for anew: it is kept nowhere. Raises `BadInput` without a word of it."""
    found = _HostVars(path, host)
    return found.secret(PASSWORD, found.values.get(PASSWORD))


def sasl_passwords(path: str, host: str) -> tuple[dict[str, str], dict[str, str]]:
    """Of one host: variable → SASL's password, and `zkprov_sasl_users`. As `password`: asked for anew, kept nowhere, told in no error."""
    found = _HostVars(path, host)
    single = {v: p for v in (QUORUM_SASL, SASL) if (p := found.secret(v, found.values.get(v))) is not None}
    users = found.rendered(SASL_USERS, found.values.get(SASL_USERS))
    if not isinstance(users, dict):
        return single, {}
    told = ((str(name), found.secret(f"{SASL_USERS}: {name}", value)) for name, value in users.items())
    return single, {name: secret for name, secret in told if secret is not None}


class _HostVars:
    """One host's variables as Ansible told them just now."""

    def __init__(self, path: str, host: str) -> None:
        self._path, self._host = path, host
        self._answer = _ask(Path(path).absolute(), path)
        self.values: dict[str, Any] = _document(self._answer, path).get("_meta", {}).get("hostvars", {}).get(host, {})

    def rendered(self, variable: str, value: Any) -> Any:
        """The value, or what it comes to where there is a template in it."""
        from zkprov.observe.ansible_values import holds_template, rendered_secret

        if not holds_template(value):
            return value
        return rendered_secret(_parse(self._answer, self._path), self._host, variable, self._path)

    def secret(self, name: str, value: Any) -> str | None:
        """One line of text. Raises `BadInput` without a word of it."""
        if isinstance(value, dict) and isinstance(value.get("__ansible_vault"), str):
            arguments, vaulted = ["decrypt", "--output=-"], value["__ansible_vault"].encode()
            value = _run("ansible-vault", arguments, self._path, vaulted).decode(errors="replace").rstrip("\n")
        if name in SECRETS:
            value = self.rendered(name, value)
        if value is None:
            return None
        if not isinstance(value, str) or not value.isprintable() or not value or "{{" in value:
            remedy = "write one line of text, vaulted if you like"
            raise BadInput(f"{name} is not a password", place=f"{self._path}: {self._host}", remedy=remedy)
        return value


def _ask(source: Path, path: str) -> bytes:
    return _run("ansible-inventory", [f"--inventory={source}", "--list"], path)


def _run(name: str, arguments: list[str], path: str, given: bytes = b"") -> bytes:
    """What one of Ansible's commands prints; bounded in time, in what is read of it, and in its memory."""
    program = Path(sys.executable).with_name(name)
    environment = {
        **for_others(os.environ),
        "ANSIBLE_NOCOLOR": "1",
        # what it says at its loudest stands before its answer; and the answer, with what a vault held, would go to the operator's log
        "ANSIBLE_VERBOSITY": "0",
        "ANSIBLE_DEBUG": "0",
        "ANSIBLE_LOG_PATH": os.devnull,
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "LC_ALL": "C.UTF-8",  # Ansible refuses to start in a locale that is not UTF-8
    }
    command = [str(program) if program.exists() else name, *arguments]
    try:
        with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as questions:
            questions.write(given)
            questions.seek(0)
            with subprocess.Popen(
                command, stdin=questions, stdout=subprocess.PIPE, stderr=errors, env=environment
            ) as asked:
                # nested aliases of YAML can stand for more than there is memory
                resource.prlimit(asked.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
                timer = threading.Timer(_TIMEOUT_S, asked.kill)
                timer.start()
                try:
                    answer = asked.stdout.read(_MAX_BYTES + 1) if asked.stdout else b""
                    if len(answer) > _MAX_BYTES:
                        asked.kill()
                    code = asked.wait()
                finally:
                    late = not timer.is_alive()
                    timer.cancel()
            errors.seek(0)
            said = errors.read(100_000)
    except OSError as error:
        raise BadInput(
            f"{name} cannot be run: {error.strerror}", place=path, remedy="pip install ansible-core"
        ) from None
    see = f"see what it says: ansible-inventory -i {path} --list"
    if len(answer) > _MAX_BYTES:
        raise BadInput(
            f"the inventory is more than {_MAX_BYTES // 1_000_000} MB large", place=path, remedy="name a smaller one"
        )
    if late:
        raise BadInput(f"{name} gave no answer in {_TIMEOUT_S:.0f} s", place=path, remedy=see)
    if code != 0:
        what = _condensed(said) if code > 0 else f"it was ended by signal {-code}"
        raise BadInput(f"Ansible cannot read the inventory: {what}", place=path, remedy=see)
    return answer


def _condensed(stderr: bytes) -> str:
    """The most telling line of what Ansible says: the reason that a parser gave, else the error."""
    lines = [re.sub(r"\s+", " ", line).strip() for line in stderr.decode(errors="replace").splitlines()]
    lines = ["".join(c for c in line if c.isprintable()) for line in lines if line]
    telling = [line for line in lines if re.search(r"(?i)\b(error|failed|unable|invalid|expected|could not)\b", line)]
    text = (telling or lines or ["it says nothing"])[0]
    return re.sub(r"^\[?(ERROR|WARNING)\]?:?\s*", "", text)[:240]


def _document(answer: bytes, path: str) -> dict[str, dict[str, Any]]:
    try:
        return msgspec.json.decode(answer, type=dict[str, dict[str, Any]])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadInput(f"ansible-inventory answered something else: {error}", place=path) from None


def _parse(answer: bytes, path: str) -> Listing:
    document = _document(answer, path)
    hostvars: dict[str, dict[str, Any]] = document.pop("_meta", {}).get("hostvars", {})
    groups = {group: tuple(dict.fromkeys(_hosts(document, group, frozenset()))) for group in document}
    numbers: dict[tuple[str, bytes], int] = {}
    variables = {
        host: {
            name: _kept(name, v, numbers) for name, v in values.items() if name.startswith("zkprov_") or name in ACCESS
        }
        for host, values in hostvars.items()
    }
    children = {group: tuple(c) for group, entry in document.items() if (c := entry.get("children"))}
    return Listing(groups, variables, children)


def _kept(name: str, value: Any, numbers: dict[tuple[str, bytes], int]) -> Any:
    """The value, without a secret that it may be. `numbers`: of secrets seen so far."""

    def number(of: str, secret: object) -> int:
        return numbers.setdefault((of, msgspec.json.encode(secret)), len(numbers) + 1)

    if value is None or name not in SECRETS:
        return value
    if name == PASSWORD:
        return True
    if name == SASL_USERS and isinstance(value, dict) and "__ansible_vault" not in value:
        return [(str(user), number(f"{name} {user}", secret)) for user, secret in sorted(value.items())]
    return number(name, value)


def _hosts(document: dict[str, dict[str, Any]], group: str, above: frozenset[str]) -> Iterator[str]:
    entry = document.get(group, {})
    yield from entry.get("hosts", ())
    for child in entry.get("children", ()):
        if child not in above:
            yield from _hosts(document, child, above | {group})


def _key(source: Path) -> str | None:
    """A hash of all that the answer is made from; None when that cannot be known. Raises OSError for what cannot be read."""
    digest = hashlib.sha256(f"4\0{version('ansible-core')}\0{source}\0".encode())
    for name, value in sorted(os.environ.items()):
        if name.startswith("ANSIBLE_"):
            digest.update(f"{name}={value}\0".encode(errors="surrogateescape"))
    folder = source if source.is_dir() else source.parent
    beside = [folder / "group_vars", folder / "host_vars"]
    # Where Ansible looks for its own settings, which can add programs to what an inventory says.
    settings = [Path("ansible.cfg").absolute(), Path.home() / ".ansible.cfg", Path("/etc/ansible/ansible.cfg")]
    for file in _files([source, *beside, *settings]):
        content = file.read_bytes()
        inventory = file == source or (source.is_dir() and file.is_relative_to(source))
        if inventory and (os.access(file, os.X_OK) or re.search(rb"(?m)^\s*plugin\s*:", content)):
            return None
        digest.update(f"{file}\0{len(content)}\0".encode(errors="surrogateescape"))
        digest.update(content)
    return digest.hexdigest()


def _files(paths: list[Path]) -> Iterator[Path]:
    """The files, and those within the folders, in one order; what is not there is left out."""
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path, followlinks=False):
                folders.sort()
                yield from (Path(folder) / name for name in sorted(names))
        elif path.exists():
            yield path


def _cache_file(key: str) -> Path:
    # The XDG base directory specification: a relative path in the variable is to be ignored.
    given = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    return home / "zkprov" / "inventories" / f"{key}.json"


def _recall(file: Path) -> Listing | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(file.read_bytes(), type=Listing)
    return None


def _keep(file: Path, found: Listing) -> None:
    """Best effort: a cache that cannot be written costs 0.4 s each time, and nothing else."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(dir=file.parent)
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(msgspec.json.encode(found))
            Path(unfinished).replace(file)
            for old in sorted(file.parent.glob("*.json"), key=lambda f: f.stat().st_mtime, reverse=True)[_KEPT:]:
                old.unlink(missing_ok=True)
        except OSError:
            Path(unfinished).unlink(missing_ok=True)
            raise
