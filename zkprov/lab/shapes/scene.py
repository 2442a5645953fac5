"""What shapes are made with: servers of a lab stopped, started and given files by hand, as operators do it; and facts waited for."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zkprov.act.local import LocalHost
from zkprov.lab import founding, outage
from zkprov.lab.incident import Side
from zkprov.lab.lab import Lab
from zkprov.lab.ready import last_words, mode
from zkprov.lab.writers import Writer, await_writes, start_writer
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import NotHealthy

_EVERY_S = 0.05
_RUN = "lab-break"
LEADS = ("leader", "standalone")


class Scene:
    """A lab that is being broken. `sides`, `writers` and `did` are what is told of it afterwards."""

    def __init__(self, lab: Lab, timeout_s: float = 60.0) -> None:
        self.lab = lab
        self.timeout_s = timeout_s
        self.sides: list[Side] = []
        self.writers: list[Writer] = []
        self.did: list[str] = []

    @property
    def anew(self) -> str:
        return (
            f"zkprov lab down --name {self.lab.name}, then break it again; what its servers say is in {self.lab.folder}"
        )

    @property
    def old(self) -> tuple[InventoryHost, ...]:
        return self.lab.founders

    def spares(self, number: int) -> tuple[InventoryHost, ...]:
        """That many hosts without files; that there are enough was checked before."""
        return tuple(host for host in self.lab.hosts if not LocalHost(host).exists())[:number]

    def leader(self) -> InventoryHost:
        """Of the founders."""
        return next(host for host in self.old if mode(host.client_port) in LEADS)

    def note(self, what: str) -> None:
        """What was done, for the person who reads it."""
        self.did.append(what)

    # -- servers

    def lay(self, host: InventoryHost, files: Mapping[str, str]) -> None:
        """The files of a server that was never here."""
        local = LocalHost(host)
        local.fence(_RUN)
        local.configure(files, _RUN)
        local.unfence(_RUN)

    def relist(self, host: InventoryHost, listed: Sequence[InventoryHost]) -> None:
        """Another static list in the zoo.cfg of a server that is stopped, its data as it is: an edit by hand."""
        text = founding.static_files(host, listed)["zoo.cfg"]
        (Path(host.config_dir) / "zoo.cfg").write_text(text)

    def start(self, *hosts: InventoryHost) -> None:
        for host in hosts:
            LocalHost(host).start()

    def kill(self, *hosts: InventoryHost) -> None:
        for host in hosts:
            outage.kill(self.lab, host.id or 0)

    def wipe(self, *hosts: InventoryHost) -> None:
        for host in hosts:
            outage.wipe(self.lab, host.id or 0)

    def freeze(self, *hosts: InventoryHost) -> None:
        for host in hosts:
            outage.freeze(self.lab, host.id or 0)

    def thaw(self, *hosts: InventoryHost) -> None:
        for host in hosts:
            outage.thaw(self.lab, host.id or 0)

    @contextmanager
    def silent(self, *hosts: InventoryHost) -> Iterator[None]:
        """They answer nobody meanwhile, as if the network to them had failed."""
        try:
            self.freeze(*hosts)
            yield
        finally:
            self.thaw(*hosts)

    # -- facts

    def until(self, fact: Callable[[], Any], wanted: str, hosts: Iterable[InventoryHost] = ()) -> Any:
        """The fact once it is true. Raises `NotHealthy` when time runs out, or when the server of one of `hosts` has ended."""
        deadline = time.monotonic() + self.timeout_s
        while not (found := fact()):
            for host in hosts:
                if not LocalHost(host).is_active():
                    raise NotHealthy(
                        f"the server ended: {last_words(host)}", place=host.name, remedy=f"see {host.log_dir}"
                    )
            if time.monotonic() > deadline:
                raise NotHealthy(f"not within {self.timeout_s:.0f} s: {wanted}", place=self.lab.name, remedy=self.anew)
            time.sleep(_EVERY_S)
        return found

    def await_leader(self, *hosts: InventoryHost) -> InventoryHost:
        """The one of `hosts` that leads, once each other one follows it."""

        def led() -> InventoryHost | None:
            modes = [mode(host.client_port) for host in hosts]
            if not all(modes) or len(leaders := [h for h, m in zip(hosts, modes, strict=True) if m in LEADS]) != 1:
                return None
            return leaders[0] if all(follows(h) in (leaders[0].id, None) for h in hosts if h != leaders[0]) else None

        found = self.until(led, f"one leader that {', '.join(h.name for h in hosts)} follow", hosts)
        assert isinstance(found, InventoryHost)  # noqa: S101
        return found

    def await_log(self, host: InventoryHost, words: str, times: int = 1) -> None:
        def there() -> bool:
            return logged(host, words) >= times

        self.until(there, f"{words!r} in the log of {host.name}", [host])

    # -- who writes, and what is told

    def write(self, name: str, hosts: Sequence[InventoryHost]) -> None:
        """A writer to these, and to no others, which has been acknowledged some writes."""
        self.writers.append(start_writer(self.lab.folder, name, hosts, self.timeout_s))

    def await_writes(self, name: str, more: int) -> None:
        await_writes(Path(next(w.record for w in self.writers if w.name == name)), more, self.timeout_s)

    def side(self, name: str, hosts: Sequence[InventoryHost], what: str, *, writes: bool = True) -> None:
        """Servers that belong together, as they are now; where they have a leader that takes writes, somebody writes to them."""
        leader = next((host.id for host in hosts if mode(host.client_port) in LEADS), None)
        if leader and writes and name not in {w.name for w in self.writers}:
            self.write(name, [host for host in hosts if mode(host.client_port)])
        self.sides.append(Side(name, tuple(host.id or 0 for host in hosts), leader, what))


def follows(host: InventoryHost) -> int | None:
    """The leader's id as the AdminServer of a follower says it (from 3.6), else None."""
    if host.admin is None:
        return None
    try:
        with urllib.request.urlopen(f"http://{host.admin}/commands/leader", timeout=2) as answer:
            leader = json.load(answer).get("leader_id")
    except (OSError, ValueError):
        return None
    return leader if isinstance(leader, int) else None


def logged(host: InventoryHost, words: str) -> int:
    """How often a server's log has them, a regular expression."""
    text = "".join(p.read_text(errors="replace") for p in sorted(Path(host.log_dir).glob("zookeeper.log*")))
    return len(re.findall(words, text))


def epoch(host: InventoryHost) -> int:
    """The epoch that a server's disk says it has followed a leader in; 0 where it has none."""
    try:
        return int((Path(host.data_dir) / "version-2" / "currentEpoch").read_text())
    except (OSError, ValueError):
        return 0


def names(hosts: Iterable[InventoryHost]) -> str:
    return ", ".join(host.name for host in hosts)
