"""What lies on a host of a server's own, read for a comparison: by one program over SSH, or on this machine. Secrets are sealed at once.

A look of its own: a survey, which is taken again and again, needs none of it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from zkprov.model import jaas
from zkprov.model.facts import Fact, Outcome
from zkprov.model.hiding import Seal
from zkprov.model.installed import Installed, InstalledUnit
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import BadInput, Unreached
from zkprov.observe.decoding import decoded
from zkprov.observe.files import MAX_BYTES, LocalFiles, NotRead
from zkprov.observe.remote import program
from zkprov.observe.ssh import Connections

NAMES = ("zoo.cfg", "zoo.cfg.dynamic", "jvm_flags", "logback.xml", "myid", jaas.NAME)
_LOGBACK = "-Dlogback.configurationFile="


class _File(msgspec.Struct):
    absent: bool = False
    data: str | None = None
    problem: str = ""


class _Unit(msgspec.Struct):
    path: str = ""
    file: _File = msgspec.field(default_factory=_File)
    drop_ins: tuple[str, ...] = ()
    stale: bool = False
    problem: str = ""


class _Answer(msgspec.Struct):
    files: dict[str, _File]
    unit: _Unit | None
    current: str
    releases: tuple[str, ...]
    java: str
    memory_kb: int


def read_remote_installed(connections: Connections, host: InventoryHost, seal: Seal) -> Fact[Installed]:
    """Outcomes: OK, and TIMEOUT, REFUSED, DENIED, TRUNCATED, TOO_LARGE, JUNK, NOT_ASKED where the host could not be asked."""
    source = f"installed@{host.name}"
    try:
        answer = decoded(connections.run(host, _program(), _arguments(host)), _Answer)
        read = {name: _bytes(file) for name, file in answer.files.items() if file.data is not None}
        unread = {name: file.problem for name, file in answer.files.items() if file.problem}
        return Fact(source, Outcome.OK, _sealed(read, unread, _unit_of(answer.unit, seal), answer, seal))
    except Unreached as problem:
        detail = f"{problem.problem} ({problem.remedy})" if problem.remedy else problem.problem
        return Fact(source, Outcome(problem.outcome), detail=detail)
    except (msgspec.ValidationError, ValueError):
        return Fact(source, Outcome.JUNK, detail="an odd answer")


def read_local_installed(host: InventoryHost, seal: Seal, command_line: Sequence[str] | None = None) -> Fact[Installed]:
    """As `read_remote_installed`, of this machine. `command_line`: of the server that runs here, which zkprov itself started."""
    read: dict[str, bytes] = {}
    unread: dict[str, str] = {}
    for name, path in _places(host).items():
        try:
            read[name] = LocalFiles().read(Path(path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            unread[name] = error.strerror or str(error)
        except NotRead as why:
            unread[name] = str(why)
    flags = _flags_of(command_line)
    started = flags is not None and "jvm_flags" not in (read | unread)
    if flags is not None and started:
        read["jvm_flags"] = "\n".join(flags).encode()
    value = _sealed(read, unread, None, _Answer({}, None, "", (), "", 0), seal)
    return Fact(f"installed@{host.name}", Outcome.OK, msgspec.structs.replace(value, flags_of_process=started))


def _flags_of(command_line: Sequence[str] | None) -> list[str] | None:
    """What was given as jvm_flags, of a command line of zkprov's making."""
    words = list(command_line or ())[1:]
    at = next((n for n, word in enumerate(words) if word.startswith(_LOGBACK)), None)
    return None if at is None else words[:at]


def _program() -> str:
    return "\n".join(program(name) for name in ("stands", "releases", "installed"))


def _arguments(host: InventoryHost) -> dict[str, Any]:
    return {
        "files": _places(host),
        "max_bytes": MAX_BYTES,
        "unit": "" if host.start_command else host.unit,
        "install_dir": host.install_dir,
        "java": host.java,
    }


def _places(host: InventoryHost) -> dict[str, str]:
    return {name: f"{host.data_dir if name == 'myid' else host.config_dir}/{name}" for name in NAMES}


def _bytes(file: _File) -> bytes:
    return base64.b64decode(file.data or "", validate=True)


def _text(name: str, data: bytes) -> str:
    """Java reads properties as Latin-1."""
    return data.decode("latin-1") if name.startswith("zoo.cfg") else data.decode("utf-8", "replace")


def _sealed(
    read: dict[str, bytes], unread: dict[str, str], unit: InstalledUnit | None, answer: _Answer, seal: Seal
) -> Installed:
    files = {}
    for name, data in read.items():
        try:
            files[name] = seal.text(name, _text(name, data))
        except BadInput as bad:
            unread[name] = bad.problem
    return Installed(files, unread, unit, answer.current, answer.releases, answer.java, answer.memory_kb)


def _unit_of(unit: _Unit | None, seal: Seal) -> InstalledUnit | None:
    if unit is None:
        return None
    text = None if unit.file.data is None else seal.text("unit", _text("unit", _bytes(unit.file)))
    return InstalledUnit(unit.path, text, unit.drop_ins, unit.stale, unit.problem or unit.file.problem)
