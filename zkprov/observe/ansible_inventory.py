"""`ansible-inventory --list`, and its answer kept: it takes 0.4 s, and `status` has no time for it.

Only what zkprov reads is kept (`zkprov_*`, `ansible_host`, `ansible_connection`), never passwords. The answer is kept for plain static
files only, under a hash of everything that it is made from; an inventory that is a program, or names one, is asked each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from zkprov.model.problems import BadInput

_TIMEOUT_S = 60.0
_MAX_BYTES = 16_000_000
_KEPT = ("ansible_host", "ansible_connection")


class Listing(msgspec.Struct, frozen=True):
    """Group → its hosts, those of its children included; host → the variables that zkprov reads."""

    groups: dict[str, tuple[str, ...]]
    variables: dict[str, dict[str, Any]]
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


def _ask(source: Path, path: str) -> bytes:
    program = Path(sys.executable).with_name("ansible-inventory")
    environment = {
        **os.environ,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "LC_ALL": "C.UTF-8",  # Ansible refuses to start in a locale that is not UTF-8
    }
    try:
        done = subprocess.run(
            [str(program) if program.exists() else "ansible-inventory", f"--inventory={source}", "--list"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BadInput(
            f"ansible-inventory gave no answer in {_TIMEOUT_S:.0f} s",
            place=path,
            remedy=f"see what it waits for: ansible-inventory -i {path} --list",
        ) from None
    except OSError as error:
        raise BadInput(
            f"ansible-inventory cannot be run: {error.strerror}", place=path, remedy="pip install ansible-core"
        ) from None
    if done.returncode != 0:
        raise BadInput(
            f"Ansible cannot read the inventory: {_condensed(done.stderr)}",
            place=path,
            remedy=f"see all that it says: ansible-inventory -i {path} --list",
        )
    return done.stdout


def _condensed(stderr: bytes) -> str:
    """The most telling line of what Ansible says: the reason that a parser gave, else the error."""
    lines = [re.sub(r"\s+", " ", line).strip() for line in stderr.decode(errors="replace").splitlines()]
    lines = ["".join(c for c in line if c.isprintable()) for line in lines if line]
    telling = [line for line in lines if re.search(r"(?i)\b(error|failed|unable|invalid|expected|could not)\b", line)]
    text = (telling or lines or ["it says nothing"])[0]
    return re.sub(r"^\[?(ERROR|WARNING)\]?:?\s*", "", text)[:240]


def _parse(answer: bytes, path: str) -> Listing:
    if len(answer) > _MAX_BYTES:
        raise BadInput(f"the inventory is {len(answer) // 1_000_000} MB large", place=path, remedy="name a smaller one")
    try:
        document = msgspec.json.decode(answer, type=dict[str, dict[str, Any]])
    except msgspec.MsgspecError as error:
        raise BadInput(f"ansible-inventory answered something else: {error}", place=path) from None
    hostvars: dict[str, dict[str, Any]] = document.pop("_meta", {}).get("hostvars", {})
    groups = {group: tuple(dict.fromkeys(_hosts(document, group, frozenset()))) for group in document}
    variables = {
        host: {name: v for name, v in values.items() if name.startswith("zkprov_") or name in _KEPT}
        for host, values in hostvars.items()
    }
    return Listing(groups, variables)


def _hosts(document: dict[str, dict[str, Any]], group: str, above: frozenset[str]) -> Iterator[str]:
    entry = document.get(group, {})
    yield from entry.get("hosts", ())
    for child in entry.get("children", ()):
        if child not in above:
            yield from _hosts(document, child, above | {group})


def _key(source: Path) -> str | None:
    """A hash of all that the answer is made from; None when that cannot be known. Raises OSError for what cannot be read."""
    digest = hashlib.sha256(f"1\0{version('ansible-core')}\0{source}\0".encode())
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
        except OSError:
            Path(unfinished).unlink(missing_ok=True)
            raise
