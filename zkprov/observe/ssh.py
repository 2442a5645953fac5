"""Questions to hosts over SSH: one connection a host, opened when it is first needed and kept; each question one small program.

The program goes in by stdin and one JSON document comes back: nothing of either shows on a command line there.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zkprov.model.facts import Outcome
from zkprov.model.inventory import Access, InventoryHost
from zkprov.model.problems import Unreached
from zkprov.model.server import HostPort
from zkprov.observe.ssh_config import ConfigRefused, Hop, hop_to
from zkprov.observe.ssh_exec import Answer, Late, Lost, NotRun, command_of, document_of, script_of
from zkprov.observe.ssh_failure import printable, unreached
from zkprov.observe.ssh_forward import carried, no_way, not_forwarded
from zkprov.observe.ssh_link import Link, import_paramiko, open_link

if TYPE_CHECKING:
    import paramiko

SSH = frozenset({"ssh", "smart", "paramiko", "paramiko_ssh"})
"""Ansible's connections that are SSH; with their collection's name before them (`ansible.builtin.ssh`) as well."""


class Connections:
    """Use it with `with`. Threads may share it: a host's connection is opened by one of them, and carries what all of them ask.

    `timeout_s`: for each question, the opening included (ConnectTimeout of the configuration may shorten that).
    `config`: a configuration file instead of `~/.ssh/config` (`ssh -F`).
    """

    def __init__(self, *, timeout_s: float = 10.0, config: str | None = None) -> None:
        self.timeout_s = timeout_s
        self._config = config
        self._lock = threading.Lock()
        self._places: dict[Hop, _Place] = {}
        self._links: set[Link] = set()
        self._hops: dict[Access, Hop] = {}
        self._closed = False

    def __enter__(self) -> Connections:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections, with what is asked over them."""
        with self._lock:
            self._closed = True
            links = list(self._links)
        # those that a jump host's connection carries before itself
        for link in sorted(links, key=lambda one: -_depth(one.hop)):
            self._close(link)

    def run(
        self, host: InventoryHost, program: str, arguments: Mapping[str, Any], *, timeout_s: float | None = None
    ) -> Any:
        """Runs `program` (Python ≥ 3.6, standard library) on the host, as root where `host.access.sudo`; `ARGUMENTS` in it is
        `arguments`, and the JSON document that it prints is returned. It should end by itself: one that is late is left there.

        Raises `Unreached` with TIMEOUT, REFUSED, DENIED, TRUNCATED (lost in the middle: it may have run), TOO_LARGE, JUNK, NOT_ASKED.
        """
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        place = host.name
        try:
            hop = self._hop(host)
            marker = secrets.token_hex(8)
            script = script_of(program, arguments, marker)
            link, channel = self._session(hop, deadline)
            try:
                answer = Answer(channel, deadline).of(command_of(host), script.encode())
            except Late:
                # whether the host or the network is slow cannot be told: the next question goes over a new connection
                self._give_up(link)
                raise unreached(
                    place, Outcome.TIMEOUT, "no answer in time", "is the host overloaded, or one of its disks?"
                ) from None
            except Lost:
                self._give_up(link)
                raise unreached(
                    place, Outcome.TRUNCATED, "the connection was lost in the middle", "try again"
                ) from None
            except NotRun:
                raise unreached(place, Outcome.DENIED, "its sshd runs no command for this user") from None
            finally:
                # what is told or raised here is what came of the command, not that its end could not be said
                with contextlib.suppress(EOFError, OSError):
                    channel.close()
                self._leave(link)
        except Unreached as problem:
            raise self._placed(problem, host) from None
        return document_of(host, answer, marker)

    def forward(self, host: InventoryHost, to: HostPort, *, timeout_s: float | None = None) -> socket.socket:
        """A connection to `to` that the host makes; whoever has it closes it.

        Raises `Unreached`: REFUSED where nothing listens at `to`, and for nothing else.
        """
        import_paramiko()
        import paramiko

        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        try:
            link, channel = self._channel(self._hop(host), deadline, to)
        except paramiko.ChannelException as error:
            raise not_forwarded(host.name, error) from None
        except Unreached as problem:
            raise no_way(self._placed(problem, host)) from None
        return carried(channel, lambda: self._leave(link))

    def _hop(self, host: InventoryHost) -> Hop:
        kind = host.connection.rpartition(".")[2]
        if host.access is None or kind not in SSH:
            raise unreached(
                host.name, Outcome.NOT_ASKED, f"ansible_connection {host.connection} is not ssh", "use ssh or local"
            )
        with self._lock:
            hop = self._hops.get(host.access)
        if hop is None:
            try:
                hop = hop_to(host.access, self._config)
            except ConfigRefused as error:
                raise unreached(host.name, Outcome.REFUSED, printable(str(error)), error.remedy) from None
            with self._lock:
                self._hops[host.access] = hop
        return hop

    def _placed(self, problem: Unreached, host: InventoryHost) -> Unreached:
        """The problem as one of this host: the inventory's name first, then where it came up, if that says more."""
        where = "" if problem.place in ("", host.name) else f"{problem.place}: "
        return Unreached(f"{where}{problem.problem}", outcome=problem.outcome, place=host.name, remedy=problem.remedy)

    def _session(self, hop: Hop, deadline: float) -> tuple[Link, paramiko.Channel]:
        """A channel for one command."""
        import_paramiko()
        import paramiko

        try:
            return self._channel(hop, deadline)
        except paramiko.ChannelException as error:
            what = f"its sshd opens no session: {printable(error.text)}"
            raise unreached(hop, Outcome.REFUSED, what, "allow more with MaxSessions of its sshd") from None

    def _channel(self, hop: Hop, deadline: float, to: HostPort | None = None) -> tuple[Link, paramiko.Channel]:
        """One for a command, or `to` an endpoint; over a new connection where the kept one turns out to be gone: nothing was asked yet.

        Raises `Unreached`, and paramiko's `ChannelException` where the sshd opens none.
        """
        import paramiko

        while True:
            link, fresh = self._taken(hop, deadline)
            left = max(0.01, deadline - time.monotonic())
            try:
                # one that was kept too long may be dropped on the way without a word: then there is time for a new one
                return link, link.channel(to, time.monotonic() + (left if fresh else left / 2))
            except paramiko.ChannelException:
                self._leave(link)
                raise
            except (paramiko.SSHException, EOFError, OSError):
                self._give_up(link)
                self._leave(link)
                if time.monotonic() >= deadline:
                    raise unreached(hop, Outcome.TIMEOUT, "no answer in time") from None
                if fresh:
                    raise unreached(
                        hop, Outcome.TRUNCATED, "the connection was lost at its start", "try again"
                    ) from None

    def _taken(self, hop: Hop, deadline: float) -> tuple[Link, bool]:
        """The connection of `hop`, for one more user, and whether it was opened for this one."""
        import_paramiko()
        with self._lock:
            place = self._places.setdefault(hop, _Place())
        began = time.monotonic()
        if not place.opening.acquire(timeout=max(0.01, deadline - began)):
            raise unreached(hop, Outcome.TIMEOUT, "still being connected")
        try:
            if place.failed is not None and place.failed_at >= began:
                raise _again(place.failed)  # while this one waited for it
            with self._lock:
                if self._closed:
                    raise unreached(hop, Outcome.REFUSED, "the connections were closed")
                link = place.link
                if link is not None and link.alive:
                    link.users += 1
                    return link, False
            if link is not None and not link.transport.is_active():
                self._close(link)
            try:
                link = self._opened(hop, deadline)
            except Unreached as problem:
                place.failed, place.failed_at = problem, time.monotonic()
                raise
            with self._lock:
                place.link = link
                link.users += 1
                self._links.add(link)
                closed = self._closed
            if closed:
                self._close(link)
            return link, True
        finally:
            place.opening.release()

    def _opened(self, hop: Hop, deadline: float) -> Link:
        if hop.via is None:
            return open_link(hop, None, self._limit(hop, deadline))
        while True:
            try:
                via, fresh = self._taken(hop.via, deadline)
            except Unreached as problem:
                where = f"{problem.place}: " if problem.place else ""
                told = problem.problem.startswith("jump host")
                what = problem.problem if told else f"jump host {where}{problem.problem}"
                raise unreached("", Outcome(problem.outcome), what, problem.remedy) from None
            try:
                return open_link(hop, via, self._limit(hop, deadline))
            except BaseException as problem:
                outcome = problem.outcome if isinstance(problem, Unreached) else None
                gone = outcome in (Outcome.TIMEOUT, Outcome.TRUNCATED) and not fresh and not via.answers()
                if gone:
                    # it is the jump host's connection that is gone, without a word
                    self._give_up(via)
                self._leave(via)
                # a kept one that ended between two questions is opened anew, as the host's own would be
                if not (gone and outcome == Outcome.TRUNCATED and time.monotonic() < deadline):
                    raise

    def _limit(self, hop: Hop, deadline: float) -> float:
        return min(deadline, time.monotonic() + min(self.timeout_s, hop.connect_timeout_s or self.timeout_s))

    def _leave(self, link: Link) -> None:
        with self._lock:
            link.users -= 1
            last = link.given_up and link.users == 0
        if last:
            self._close(link)

    def _give_up(self, link: Link) -> None:
        """The link is nobody's any more after its present users; closed at once where it is dead."""
        link.given_up = True
        if not link.transport.is_active():
            self._close(link)

    def _close(self, link: Link) -> None:
        """Closes it, once; then the jump host's connection that carried it has a user less."""
        with self._lock:
            if link not in self._links:
                return
            self._links.remove(link)
        link.close()
        if link.via is not None:
            self._leave(link.via)


class _Place:
    """Where a hop's connection is kept, and what became of the last try to open it."""

    def __init__(self) -> None:
        self.opening = threading.Lock()
        self.link: Link | None = None
        self.failed: Unreached | None = None
        self.failed_at = 0.0


def _again(problem: Unreached) -> Unreached:
    """The same for another thread."""
    return Unreached(problem.problem, outcome=problem.outcome, place=problem.place, remedy=problem.remedy)


def _depth(hop: Hop) -> int:
    return 0 if hop.via is None else 1 + _depth(hop.via)
