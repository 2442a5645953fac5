"""Drives the real command against real servers, and watches what it does with eyes of its own: no code under test is asked for facts."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

from zkprov.lab import founding
from zkprov.lab.lab import Lab
from zkprov.model.inventory import InventoryHost
from zkprov.model.server import HostPort

COMMAND = (sys.executable, "-m", "zkprov")
QUICK = ("--yes", "--settle", "0", "--samples", "1", "--sample-interval", "0.1", "--step-timeout", "20")
"""For runs whose test is about something else than settling and sampling."""


class Done:
    """A command that ended: `code`, and what it wrote."""

    def __init__(self, arguments: tuple[str, ...], code: int, out: str, err: str, took_s: float) -> None:
        self.arguments, self.code, self.out, self.err, self.took_s = arguments, code, out, err, took_s

    @property
    def said(self) -> str:
        """Both streams, with the line breaks of a narrow screen taken out."""
        return re.sub(r"\s+", " ", f"{self.out} {self.err}")

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def expect(self, code: int, *words: str) -> Done:
        """Itself. Fails unless it ended with `code`, said each of `words`, and showed no traceback."""
        assert self.code == code and "Traceback" not in self.err, repr(self)
        for word in words:
            assert word in self.said, f"{word!r} is not in {self!r}"
        return self

    def __repr__(self) -> str:
        return f"exit {self.code} of {self.arguments} after {self.took_s:.1f} s\n{self.out[-6000:]}\n{self.err[-4000:]}"


class Running:
    """A command that goes on; `wait` ends it by force when it takes too long."""

    def __init__(self, arguments: tuple[str, ...], process: subprocess.Popen[bytes], folder: Path, number: int) -> None:
        self.arguments, self.process = arguments, process
        self._began = time.monotonic()
        self._out, self._err = folder / f"{number}.out", folder / f"{number}.err"

    def signal(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 90) -> Done:
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it does not end within {timeout_s} s: {self._done()!r}") from None
        return self._done()

    def _done(self) -> Done:
        code = -1 if self.process.returncode is None else self.process.returncode
        return Done(self.arguments, code, self._out.read_text(), self._err.read_text(), time.monotonic() - self._began)


class Zkprov:
    """`zkprov -i INVENTORY …` with a journal of its own. Whatever it prints is searched for the super user's secrets."""

    def __init__(
        self, lab: Lab, folder: Path, inventory: Path | None = None, secrets: tuple[str, ...] | None = None
    ) -> None:
        self.lab, self.folder = lab, folder
        self.secrets = secrets_of(lab) if secrets is None else secrets
        self.inventory = inventory or lab.inventory_path
        self.journal = folder / "journal.db"
        self._started = 0
        folder.mkdir(parents=True, exist_ok=True)

    def with_inventory(self, inventory: Path) -> Zkprov:
        return Zkprov(self.lab, self.folder / f"with-{inventory.stem}", inventory, self.secrets)

    def start(self, *arguments: str, inventory: bool = True) -> Running:
        self._started += 1
        named = ("-i", str(self.inventory)) if inventory else ()
        command = (*COMMAND, "--journal", str(self.journal), *named, *arguments)
        with (
            (self.folder / f"{self._started}.out").open("wb") as out,
            (self.folder / f"{self._started}.err").open("wb") as err,
        ):
            environment = {**os.environ, "XDG_STATE_HOME": str(self.folder / "state"), "ZKPROV_TRACEBACK": "1"}
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
        return Running(arguments, process, self.folder, self._started)

    def __call__(self, *arguments: str, inventory: bool = True, timeout_s: float = 120) -> Done:
        done = self.start(*arguments, inventory=inventory).wait(timeout_s)
        for secret in self.secrets:
            assert secret not in done.out + done.err, f"a secret is printed by {arguments}"
        return done

    def add(self, *arguments: str, timeout_s: float = 120) -> Done:
        """`add-node`, quickly."""
        return self("add-node", *arguments, *QUICK, timeout_s=timeout_s)


def secrets_of(lab: Lab) -> tuple[str, str]:
    """The super user's password, and its digest as zoo.cfg has it."""
    password = lab.auth_file.read_text().strip().split(":", 2)[2]
    return password, founding.super_digest("super", password).split(":", 1)[1]


def wait_for(fact: Callable[[], Any], timeout_s: float = 30.0, what: str = "it") -> Any:
    """The fact, once it is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := fact()):
        assert time.monotonic() < deadline, f"{what} did not come about within {timeout_s} s"
        time.sleep(0.02)
    return found


def some_instant(running: Running, rng: random.Random, within_s: float) -> None:
    """An instant drawn by chance, for a fault that may come at any: there is no fact to wait for. Earlier if the command ends."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.process.wait(rng.random() * within_s)


def events_in(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of events, one that is still being written too."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def edited_inventory(
    lab: Lab, path: Path, host: str = "", *, everywhere: Mapping[str, Any] | None = None, **variables: Any
) -> Path:
    """The lab's inventory with other variables (None: without) for one host, or for all. In a file of the owner's alone."""
    document = yaml.safe_load(lab.inventory_path.read_text())
    group = document["all"]["children"][lab.name]
    for target, given in ((group["vars"], everywhere or {}), (group["hosts"].get(host, {}), variables)):
        for name, value in given.items():
            if value is None:
                target.pop(name, None)
            else:
                target[name] = value
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    path.chmod(0o600)
    return path


# -- what the servers say, asked without any of zkprov's code


def word(host: InventoryHost, question: str = "srvr", timeout_s: float = 1.0) -> str:
    """The whole answer to a four letter word, or nothing."""
    found = b""
    with contextlib.suppress(OSError), socket.create_connection((host.address, host.client_port), timeout_s) as at:
        at.sendall(question.encode())
        while part := at.recv(65536):
            found += part
    return found.decode(errors="replace")


def mode(host: InventoryHost) -> str:
    found = re.search(r"^Mode: (\w+)", word(host), re.MULTILINE)
    return found[1] if found else ""


def epoch(host: InventoryHost) -> int:
    found = re.search(r"^Zxid: 0x([0-9a-f]+)", word(host), re.MULTILINE)
    return int(found[1], 16) >> 32 if found else -1


@contextlib.contextmanager
def client(*hosts: InventoryHost, lab: Lab | None = None) -> Iterator[KazooClient]:
    """A session; with `lab` one of its super user."""
    auth = [("digest", lab.auth_file.read_text().strip().split(":", 1)[1])] if lab else None
    found = KazooClient(",".join(str(h.client) for h in hosts), timeout=10, auth_data=auth)
    try:
        found.start(15)
        yield found
    finally:
        found.stop()
        found.close()


def nobody_gets_in(at: HostPort) -> None:
    """A client that says nothing of who it is opens no session at the endpoint, or gets nothing by it."""
    nobody = KazooClient(str(at), timeout=5)
    try:
        with pytest.raises(KazooException):
            nobody.start(10)
            nobody.get_children("/")
    finally:
        nobody.stop()
        nobody.close()


def live_config(*hosts: InventoryHost) -> str:
    """`/zookeeper/config` as the first that can be reached has it."""
    with client(*hosts) as session:
        return session.get("/zookeeper/config")[0].decode()


def version_of(config: str) -> str:
    return config.rpartition("version=")[2].strip()


def tree(session: KazooClient, root: str = "/") -> dict[str, tuple[Any, ...]]:
    """Every znode with its data and whole stat."""
    found: dict[str, tuple[Any, ...]] = {}
    rest = [root]
    while rest:
        path = rest.pop()
        found[path] = session.get(path)
        rest += [f"{path.rstrip('/')}/{child}" for child in session.get_children(path)]
    return found


def lists_on_disk(host: InventoryHost) -> tuple[str, ...]:
    """The server lines of the dynamic file that zoo.cfg points at, and its version, read as text."""
    text = (Path(host.config_dir) / "zoo.cfg").read_text()
    pointed = re.search(r"^dynamicConfigFile=(.+)$", text, re.MULTILINE)
    assert pointed, text
    lines = Path(pointed[1]).read_text().split()
    return (*sorted(line for line in lines if line.startswith("server.")), pointed[1].rpartition(".")[2])


class Touched:
    """What a refused command must leave alone: the list, the ledger, and every file of the host that it was about."""

    def __init__(self, lab: Lab, name: str, *members: InventoryHost) -> None:
        self._host = next(h for h in lab.hosts if h.name == name)
        self._members = members or lab.founders
        self._before = self._now()

    def _now(self) -> tuple[Any, ...]:
        folder = Path(self._host.config_dir).parent
        files = sorted(
            (str(p.relative_to(folder)), p.stat().st_mtime_ns if p.is_file() and "log" not in p.parts[-2] else 0)
            for p in folder.rglob("*")
            if not {"version-2", "log"} & set(p.relative_to(folder).parts)
        )
        return tuple(files), live_config(*self._members)

    def nothing(self) -> None:
        assert self._now() == self._before


class Load:
    """A client that creates `per_s` znodes a second through any of `hosts`, and remembers which creates were acknowledged."""

    def __init__(self, hosts: Iterable[InventoryHost], per_s: float = 100) -> None:
        self._client = KazooClient(",".join(str(h.client) for h in hosts), timeout=10)
        self._every_s = 1 / per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, name="load")
        self._root = f"/load-{secrets.token_hex(4)}"  # another load may have been there before
        self.acknowledged: list[str] = []
        self.failed = 0
        self.longest_gap_s = 0.0

    def __enter__(self) -> Load:
        self._client.start(15)
        self._client.ensure_path(self._root)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        self._client.stop()
        self._client.close()

    def _write(self) -> None:
        last = due = time.monotonic()
        number = 0
        while not self._stop.is_set():
            number += 1
            try:
                self._client.create(f"{self._root}/{number:07}", str(number).encode())
            except KazooException:
                self.failed += 1
            else:
                now = time.monotonic()
                self.longest_gap_s = max(self.longest_gap_s, now - last)
                last = now
                self.acknowledged.append(f"{number:07}")
            due = max(due + self._every_s, time.monotonic() - 0.2)
            self._stop.wait(max(0.0, due - time.monotonic()))

    def missing(self, host: InventoryHost) -> set[str]:
        """The acknowledged creates that a server, asked by itself, does not have."""
        with client(host) as session:
            session.sync(self._root)
            return set(self.acknowledged) - set(session.get_children(self._root))


class HasHosts(Protocol):
    @property
    def hosts(self) -> Sequence[InventoryHost]: ...


class Sampler:
    """Asks every host (of a lab, say) for its mode again and again; remembers the leaders and the epochs of each sample."""

    def __init__(self, of: HasHosts, every_s: float = 0.1) -> None:
        self._hosts, self._every_s = of.hosts, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="sampler")
        self.leaders: list[tuple[str, ...]] = []
        self.epochs: set[int] = set()

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _sample(self) -> None:
        while not self._stop.wait(self._every_s):
            leaders = []
            for host in self._hosts:
                said = word(host)
                if "Mode: leader" in said or "Mode: standalone" in said:
                    leaders.append(host.name)
                    self.epochs.add(int(said.partition("Zxid: 0x")[2].split()[0], 16) >> 32)
            self.leaders.append(tuple(leaders))


class Arguments:
    """Looks at every process's command line and environment, again and again, for words that must not be there."""

    def __init__(self, *words: str) -> None:
        self._words = [w.encode() for w in words]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="arguments")
        self.seen: set[str] = set()
        self.looks = 0
        self.servers = 0

    def __enter__(self) -> Arguments:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            self.looks += 1
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        data = (process / name).read_bytes()
                        self.servers += b"QuorumPeerMain" in data
                        if any(w in data for w in self._words):
                            self.seen.add(f"{process.name} {name}: {data[:80]!r}")
