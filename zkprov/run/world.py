"""What a run sees and touches: surveys over sessions that last, the hosts of the inventory, and what is rendered for them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import msgspec

from zkprov.act.hosts import Host
from zkprov.judge.rendering import joiner_list, judge_rendered
from zkprov.model.certificates import Stores, client_tls, quorum_tls, tls_settings
from zkprov.model.facts import Disk, Fact, Ledger, Outcome, Retired, ServerFacts, Survey
from zkprov.model.hiding import Seal
from zkprov.model.installed import Installed
from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.jaas import NAME
from zkprov.model.members import Members
from zkprov.model.posture import ClientFiles
from zkprov.model.problems import BadInput
from zkprov.model.release import Release
from zkprov.model.rights import Identity
from zkprov.model.sasl import Sasl
from zkprov.model.server import HostPort, Server
from zkprov.observe.credentials import acting_credential, credential_of, super_settings
from zkprov.observe.identities import digest_of
from zkprov.observe.sasl import jaas_of, sasl_of
from zkprov.observe.sessions import Loop, Sessions, opens_session
from zkprov.observe.survey import WORDS, Asked, take_survey
from zkprov.observe.target import Target
from zkprov.observe.tls import Tls, context_of, tls_of
from zkprov.observe.tunnels import Tunnels
from zkprov.run.journal import default_path
from zkprov.run.local_disks import LocalDisks, LocalLook

if TYPE_CHECKING:
    from kazoo.client import KazooClient

    from zkprov.act.plays import Plays
    from zkprov.observe.ssh import Connections

SESSION_S = 6.0
"""The session timeout of clients that act: a run that was killed holds the lock for this long at most."""

SSH = ("ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh", "ansible.builtin.paramiko_ssh")
"""Ansible's connections that end at an sshd."""


class World:
    """Use it with `with`; sessions end with it. `retired`: addresses once used, asked in every survey (R7). `last`: the last full one."""

    def __init__(
        self,
        inventory: Inventory,
        *,
        timeout_s: float = 3.0,
        templates: Path | None = None,
        playbooks: Path | None = None,
        artifacts: Path | None = None,
        tls: Tls | None = None,
        sasl: Sasl | None = None,
        loop: Loop | None = None,
    ) -> None:
        """`loop`: what its sessions live on, together with those of other worlds."""
        self.inventory, self.timeout_s, self.templates = inventory, timeout_s, templates
        self.stop = threading.Event()
        """Ends a play that runs; a run sets its own."""
        self.on_play: Callable[[dict[str, Any]], None] | None = None
        """Hears of each task of a play; a run sets its own."""
        self.playbooks, self.artifacts = playbooks, artifacts or default_path().parent / "plays"
        self._tls, self._sasl = tls or tls_of(inventory), sasl or sasl_of(inventory)
        self.tunnels = Tunnels(inventory.hosts, lambda: self.connections)
        self.sessions = Sessions(timeout_s=10.0, tls=self._tls, sasl=self._sasl, tunnels=self.tunnels, loop=loop)
        self._connections: Connections | None = None
        self._opening = threading.Lock()
        self.retired: tuple[Retired, ...] = ()
        self._extra: list[Target] = []
        self._disks = LocalDisks([h for h in inventory.hosts if h.connection == "local"])
        self._acting: WeakSet[KazooClient] = WeakSet()
        self.last: Survey | None = None
        self.places: dict[str, Server] = {}
        """Hosts that are looked at where this line says, and not where the inventory does."""

    @classmethod
    def connected(
        cls,
        endpoints: Sequence[HostPort],
        *,
        timeout_s: float = 3.0,
        files: ClientFiles | None = None,
        sasl: Sasl | None = None,
    ) -> World:
        """A world without an inventory, for looking only: these servers, and those that they name.

        `files`: these servers are asked over TLS; `sasl`: who we are to them. Raises `BadInput` for files that do not serve.
        """
        tls = Tls(context_of(files, "--{}-file"), frozenset(endpoints)) if files else None
        named = Inventory(",".join(str(e) for e in endpoints[:3]), "--connect", (), "")
        world = cls(named, timeout_s=timeout_s, tls=tls, sasl=sasl)
        world._extra = [Target(str(e), e, known_as=("connect",)) for e in endpoints]
        return world

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends sessions and connections; a second call does nothing."""
        self.sessions.close()
        if self._connections is not None:
            self._connections.close()

    @property
    def connections(self) -> Connections:
        """The connections to hosts, one each, opened when they are needed."""
        from zkprov.observe.ssh import Connections

        with self._opening:
            if self._connections is None:
                self._connections = Connections()
            return self._connections

    def connect(self, endpoints: Sequence[HostPort], stop: threading.Event | None = None) -> KazooClient:
        """A session that acts, at any of `endpoints`: by certificate, SASL or digest. Raises as `act.session.connect`."""
        return self._connect(endpoints, acting_credential(self.inventory), self._sasl, stop)

    @property
    def tls(self) -> bool:
        """Whether clients from elsewhere speak TLS."""
        return self._tls is not None

    @property
    def is_known(self) -> bool:
        """Whether the ensemble knows who we are: what we write there is then ours alone to change."""
        files = self.inventory.client_files
        by_certificate = self._tls is not None and bool(files and files.cert)
        return by_certificate or self._sasl is not None or credential_of(self.inventory) is not None

    def connect_as(self, who: Identity, endpoints: Sequence[HostPort]) -> KazooClient:
        """As `connect`, known as `who` and, beside its certificate, nobody else. Raises `BadInput` where the inventory says not how."""
        own = digest_of(self.inventory) if who.scheme == "digest" else None
        by_sasl = who.scheme == "sasl" or not self.inventory.hosts[0].sasl_super
        return self._connect(endpoints, ("digest", own) if own else None, self._sasl if by_sasl else None)

    def _connect(
        self,
        endpoints: Sequence[HostPort],
        auth: tuple[str, str] | None,
        sasl: Sasl | None,
        stop: threading.Event | None = None,
    ) -> KazooClient:
        from zkprov.act.session import connect

        tls, pair = self._tls.context if self._tls else None, sasl.pair if sasl else None
        client = connect(endpoints, auth, SESSION_S, stop=stop, tls=tls, sasl=pair, tunnels=self.tunnels)
        self._acting.add(client)
        return client

    def go_to(self, endpoints: Sequence[HostPort]) -> None:
        """Where the sessions that act go when they connect anew: members come and go while a run goes on."""
        from zkprov.act.session import redirect

        for client in list(self._acting):
            redirect(client, endpoints)

    def _own_sessions(self) -> list[str]:
        """Ids of the sessions that act: they are no clients of the servers that they are on."""
        held = [client.client_id for client in self._acting]
        return [f"0x{one[0]:x}" for one in held if one is not None]

    def targets(self, names: Sequence[str] | None = None) -> list[Target]:
        """The hosts of the inventory (or those named), and every retired server's address."""
        hosts = [h for h in self.inventory.hosts if names is None or h.name in names]
        disks = self._disks.of_look()
        found = [self._target(h, disks) for h in hosts] + self._extra
        if names is None:
            found += [
                Target(f"{r.host} (retired {r.id})", r.client, known_as=("retired",))
                for r in self.retired
                if r.client is not None and r.fate != "destroyed" and all(h.client != r.client for h in hosts)
            ]
        return found

    def survey(self, names: Sequence[str] | None = None, *, clients: bool = True) -> Survey:
        """One look; at the named hosts only, or at all that is known. What the ledger retired is remembered for the next.

        `clients`: whether each server's clients are asked for, which no gate needs.
        """
        asked = self.asked(names, clients=clients)
        survey = take_survey(timeout_s=self.timeout_s, **asked._asdict())
        if names is None and self.names_more(survey):
            return self.survey(clients=clients)
        return survey

    def asked(self, names: Sequence[str] | None = None, *, clients: bool = True) -> Asked:
        """What such a look asks, and whom."""
        return Asked(
            self.targets(names),
            self.inventory.ensemble,
            self.sessions,
            words=WORDS if clients else ("mntr", "conf"),
            discover=names is None,
            own_sessions=self._own_sessions(),
        )

    def names_more(self, survey: Survey) -> bool:
        """Whether a survey of all tells of retired servers that were not asked in it; they are in the next. Else it is the last one."""
        fresh = _retired_in(survey)
        if fresh - set(self.retired):
            self.retired = tuple(sorted(fresh, key=lambda r: r.id))
            return True
        self.last = survey
        return False

    def opens_session(self, at: HostPort) -> bool | None:
        """Whether the server opens a new session within the time of a look; None where anything else goes wrong with it."""
        return opens_session(self.sessions, at, self.timeout_s)

    def glance(self, name: str) -> ServerFacts:
        """`srvr` of one host: whether it serves yet, and as what. For waiting only; what is decided rests on a survey."""
        glance = [Target(name, self._at(self.inventory_host(name)).client)]
        survey = take_survey(
            glance,
            ensemble=name,
            timeout_s=self.timeout_s,
            sessions=self.sessions,
            want_sessions=False,
            words=(),
            discover=False,
        )
        return survey.servers[0]

    def inventory_host(self, name: str) -> InventoryHost:
        host = self.inventory.host(name)
        if host is None:
            raise BadInput(
                f"no host {name}", place=self.inventory.path, remedy="use the inventory that the plan was made with"
            )
        return host

    def host(self, name: str) -> Host:
        """The host to act on. Raises `BadInput` for a connection that this release cannot carry."""
        host = self.inventory_host(name)
        if host.connection == "local":
            from zkprov.act.local import LocalHost

            return LocalHost(host)
        if not over_ssh(host):
            raise BadInput(
                f"ansible_connection {host.connection}: hosts are changed over `ssh` and `local` only",
                place=f"{self.inventory.path}: {name}",
                remedy="everything that only looks works",
            )
        from zkprov.act.ansible import AnsibleHost

        return AnsibleHost(host, self.connections, self._plays())

    def has_hook(self, name: str) -> bool:
        """Whether the operator has a hook `<when>-<phase>`."""
        from zkprov.act.plays import has_hook

        return has_hook(self.playbooks, name)

    def hooks(self, when: str, phase: str, host: str, run: str, *, limit_s: float = 0.0) -> bool:
        """Runs the operator's hooks `<when>-<phase>`; whether there was one. Raises `NotHealthy` when one fails, or takes longer than a
        play may, or than `limit_s` seconds, if that is more.
        """
        if self.playbooks is None:
            return False
        plays = self._plays()
        plays.timeout_s = max(plays.timeout_s, limit_s)
        return plays.hooks(when, phase, host, run)

    def _plays(self) -> Plays:
        from zkprov.act.plays import Plays

        return Plays(
            self.inventory.path,
            playbooks=self.playbooks,
            artifacts=self.artifacts,
            on_event=self.on_play,
            stop=self.stop,
        )

    def _at(self, host: InventoryHost) -> InventoryHost:
        """The host, with the place at which its server is looked for."""
        server = self.places.get(host.name)
        return host if server is None else host.at(server)

    def _target(self, host: InventoryHost, disks: LocalLook) -> Target:
        host = self._at(host)
        # where the line does not say where clients are served
        hidden = host.posture.clients or host.client in self.tunnels
        address = host.server_address if hidden else None
        return Target(
            host.name,
            host.client,
            host.admin,
            known_as=("inventory",),
            disk=partial(self._read_disk, host, disks),
            address=address,
            disk_here=host.connection == "local",
        )

    def _read_disk(self, host: InventoryHost, disks: LocalLook) -> Fact[Disk]:
        if host.connection == "local":
            return disks.read(host)
        if not over_ssh(host):
            return Fact("disk", Outcome.NOT_ASKED, detail=f"no way to read files over {host.connection}")
        from zkprov.observe.remote import read_remote

        return read_remote(self.connections, host)

    def stores(self, name: str) -> Stores:
        """The key and trust stores that the inventory names for a server to come, as they lie on its host; none of a plain one."""
        from zkprov.observe.stores import unread_stores, wished_stores

        host = self.inventory_host(name)
        wished = tls_settings(host)
        if not quorum_tls(wished) and not client_tls(wished):
            return Stores()
        if host.connection == "local":
            return wished_stores(host)
        if not over_ssh(host):
            return unread_stores(host, f"no way to read files over {host.connection}")
        from zkprov.observe.remote import look_remote

        return look_remote(self.connections, host).stores

    def installed(self, hosts: Sequence[InventoryHost], seal: Seal) -> dict[str, Fact[Installed]]:
        """Host → what lies there of a server's own, all read at once; secrets sealed."""
        if not hosts:
            return {}
        with ThreadPoolExecutor(min(32, len(hosts))) as pool:
            return dict(zip((h.name for h in hosts), pool.map(partial(self._installed, seal=seal), hosts), strict=True))

    def _installed(self, host: InventoryHost, *, seal: Seal) -> Fact[Installed]:
        from zkprov.observe.installed import read_local_installed, read_remote_installed

        if host.connection != "local":
            return read_remote_installed(self.connections, host, seal)
        from zkprov.act.local import LocalHost
        from zkprov.act.processes import command_line

        runs = [] if host.start_command else LocalHost(host).processes()
        return read_local_installed(host, seal, command_line(runs[0]) if runs else None)

    def templates_digest(self) -> str:
        """Of the templates in use, the operator's and the shipped ones; and of the playbooks, where hosts are changed by them."""
        from zkprov.act.render import templates_digest

        found = templates_digest(self.templates)
        if self.playbooks is None and all(h.connection == "local" for h in self.inventory.hosts):
            return found
        from zkprov.act.plays import playbooks_digest

        return hashlib.sha256(f"{found} {playbooks_digest(self.playbooks)}".encode()).hexdigest()

    def render(self, name: str, server: Server, live: Members, release: str) -> dict[str, str]:
        """The joiner's files, rendered and judged (R1, R5, R10). Raises `BadInput` naming the template and the rule."""
        return self._rendered(name, server, joiner_list(live, server), release, joiner=True)

    def render_founder(self, name: str, server: Server, release: str) -> dict[str, str]:
        """The files of an ensemble's first server: a list of itself alone, and the leave to vote though it is empty."""
        return {**self._rendered(name, server, Members.of(server), release, joiner=False), "initialize": ""}

    def render_member(self, name: str, server: Server, live: Members, release: str) -> dict[str, str]:
        """The files of a member whose disk is new: the live list, as version 0, so that it takes the ensemble's own (R10).

        Of a list that has no version: as the others have it, in zoo.cfg. With `reconfigEnabled` it would give the list a version once it
        leads, and those that lack the flag would not find back after a restart.
        """
        files = self._rendered(name, server, live.at_version(0), release, joiner=False)
        return files if live.version else as_static(files, live, self.inventory_host(name))

    def to_render(self, name: str) -> InventoryHost:
        """The host, with the setting by which it knows the super user."""
        host = self.inventory_host(name)
        settings = {**super_settings(self.inventory), **host.settings}
        return msgspec.structs.replace(host, settings=settings)

    def passwords_file(self, host: InventoryHost) -> dict[str, str]:
        """`jaas.conf` with SASL's users and passwords, no template's; none where the host uses no SASL. Raises `BadInput`."""
        text = jaas_of(self.inventory, host)
        return {NAME: text} if text else {}

    def _rendered(self, name: str, server: Server, wish: Members, release: str, *, joiner: bool) -> dict[str, str]:
        from zkprov.act.render import render_host

        host = self.to_render(name)
        known = Release.parse(release, place=f"{self.inventory.path}: zkprov_release")
        files = render_host(host, wish, templates=self.templates, release=known, server_id=server.id)
        files |= self.passwords_file(host)
        violations = judge_rendered(files, wish=wish, server_id=server.id, host=host, release=known, joiner=joiner)
        if violations:
            raise BadInput(
                f"what the templates made for {name} is not allowed: " + "; ".join(str(v) for v in violations[:3]),
                place=str(self.templates or "templates"),
                remedy=f"zkprov render {name}",
            )
        return files


def as_static(files: Mapping[str, str], members: Members, host: InventoryHost) -> dict[str, str]:
    """The same files, with the list in zoo.cfg and no other one."""
    left_out = ("dynamicConfigFile", "reconfigEnabled")
    kept = [x for x in files["zoo.cfg"].splitlines() if x.partition("=")[0].strip() not in left_out]
    port = [f"clientPort={host.client_port}"] + [f"clientPortAddress={host.client_host}"] * bool(host.client_host)
    bare = msgspec.structs.replace(
        members, servers=tuple(msgspec.structs.replace(s, client=None) for s in members.servers)
    )
    own = [] if host.client_part is None else port
    text = "".join(f"{line}\n" for line in (*kept, *own, *bare.lines))
    rest = {name: content for name, content in files.items() if not name.startswith("zoo.cfg")}
    return {**rest, "zoo.cfg": text}


def over_ssh(host: InventoryHost) -> bool:
    return host.access is not None and host.connection in SSH


def _retired_in(survey: Survey) -> set[Retired]:
    ledgers: list[Ledger] = [f.ledger.value for f in survey.servers if f.ledger.value]
    return {r for ledger in ledgers for r in ledger.retired}
