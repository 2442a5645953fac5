"""The hosts that an inventory names: where a server is, or would be, installed. Never who is a member (R10)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from zkprov.model import jaas, sasl
from zkprov.model.posture import NETTY, SUPER_DN, X509, ClientFiles, Posture
from zkprov.model.server import WILDCARDS, ClientAddress, HostPort, Role, Server, ServerAddress, loopback

LOCAL = "127.0.0.1"

SUPER_PASSWORD = "ZKPROV_SUPER_PASSWORD"  # noqa: S105 — the variable's name
QUORUM_SASL_PASSWORD = "ZKPROV_QUORUM_SASL_PASSWORD"  # noqa: S105
SASL_PASSWORD = "ZKPROV_SASL_PASSWORD"  # noqa: S105
PASSWORDS = (SUPER_PASSWORD, QUORUM_SASL_PASSWORD, SASL_PASSWORD)
"""In the environment, for zkprov alone (see `for_others`)."""

STOPPED = "stopped"
"""What `zkprov_foreign_config_manager` says once no other program writes zoo.cfg."""


def for_others(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for what zkprov starts: without the passwords, which every process of ours could be asked for."""
    return {name: value for name, value in environment.items() if name not in PASSWORDS}


class Access(msgspec.Struct, frozen=True):
    """How a host is reached over SSH, by Ansible's own variables; what is None is for `~/.ssh/config` and the defaults of `ssh` to say.

    `host`: `ansible_host`, else the name in the inventory. `options`: (`ProxyJump`, `bastion`) and the like, of `ansible_ssh_common_args`
    and its kin, in `ssh_config`'s words. `sudo`: whether root is needed and is not who logs in (`ansible_become`).
    `python`: the interpreter there (`ansible_python_interpreter`).
    """

    host: str
    port: int | None = None
    user: str | None = None
    key_file: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    sudo: bool = False
    python: str = "python3"


class ReleaseSource(msgspec.Struct, frozen=True):
    """Where a release comes from. For hosts that are this machine: `classpath`, and `java` (empty: the host's). For others: `archive`
    (a path on *this* machine, or an URL) and its `sha512`.
    """

    classpath: str = ""
    java: str = ""
    archive: str = ""
    sha512: str = ""


class InventoryHost(msgspec.Struct, frozen=True):
    """One host of the inventory with zkprov's variables (`zkprov_*`) read and checked. Paths are absolute, on that host.

    `address` stands in server lines. `id` None: the next free id is taken. `connection`: Ansible's (`local`, `ssh`, …).
    `access`: how to reach it, unless it is `local`. `unit`, `user`: of systemd and of the system, there; `install_dir` holds the releases
    and `current`; `archive` is a path on *this* machine, or an URL. `heap`: of the JVM, as in `-Xmx` (`512m`); empty: from its memory.
    `client_host`: the address in the client part of the server line; None writes the port alone. `admin_address`: what the AdminServer
    listens on; None means all addresses. `tunnel`: whether clients' port and AdminServer are reached over SSH whatever they listen on.
    `key_store`, `trust_store`: PEM files there. `super_dn`: the subject of whom a client certificate makes the super user (RFC 2253).
    `enforce_auth`: whether clients are refused who are known neither by a certificate nor by SASL, as far as there is each.
    `quorum_sasl`, `client_sasl`: whether servers, and clients, say who they are by SASL; `quorum_sasl_user`: all servers' name;
    `sasl_user`: zkprov's, the super user's with `sasl_super`; `sasl_users`: the names of other clients.
    `releases`: what `upgrade` may choose from, and where each comes from; `release` is the one that the operator wants in the end.
    `other_servers`: zoo.cfg of servers of other ensembles on the same host, which are none of ours.
    `backup_dir`: where backups are kept (empty: beside the data), `backup_keep` how many of them.
    `auth_file`: a file on *this* machine with `scheme:credential`, for reconfig; its content is never kept in a value.
    `quorum_group`, `quorum_weight`: where it votes in a list with groups; None: not said (the weight is 1 then).
    `foreign_config_manager`: `stopped` once no other program (Puppet, Chef, Ansible) writes its zoo.cfg; empty where nobody said so.
    """

    name: str
    address: str
    id: int | None = None
    connection: str = "ssh"
    client_port: int = 2181
    client_host: str | None = None
    quorum_port: int = 2888
    election_port: int = 3888
    admin_port: int | None = 8080
    admin_address: str | None = LOCAL
    tunnel: bool = False
    config_dir: str = "/etc/zookeeper"
    data_dir: str = "/var/lib/zookeeper"
    data_log_dir: str = "/var/lib/zookeeper"
    log_dir: str = "/var/log/zookeeper"
    release: str | None = None
    java: str = "java"
    classpath: str = ""
    jvm_flags: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    start_command: str = ""
    stop_command: str = ""
    is_active_command: str = ""
    access: Access | None = None
    role: Role = Role.PARTICIPANT
    archive: str = ""
    archive_sha512: str = ""
    install_dir: str = "/opt/zookeeper"
    unit: str = "zookeeper"
    user: str = "zookeeper"
    heap: str = ""
    posture: Posture = Posture.PLAIN
    secure_client_port: int = 2281
    key_store: str = ""
    trust_store: str = ""
    super_dn: str = ""
    enforce_auth: bool = False
    quorum_sasl: bool = False
    quorum_sasl_user: str = "zookeeper"
    client_sasl: bool = False
    sasl_user: str = "zkprov"
    sasl_super: bool = True
    sasl_users: tuple[str, ...] = ()
    other_servers: tuple[str, ...] = ()
    backup_dir: str = ""
    backup_keep: int = 5
    releases: dict[str, ReleaseSource] = {}
    foreign_config_manager: str = ""
    quorum_group: int | None = None
    quorum_weight: int | None = None

    def source_of(self, release: str | None) -> ReleaseSource | None:
        """By `zkprov_releases`, else, for `zkprov_release`, by the variables of its own; None where nothing says it."""
        if release in self.releases:
            return self.releases[release]
        own = ReleaseSource(self.classpath, self.java, self.archive, self.archive_sha512)
        return own if release == self.release and (own.classpath or own.archive) else None

    @property
    def why_no_switch(self) -> str:
        """Why zkprov cannot say which release its server runs, in words; empty where it can, for all that the inventory says."""
        if self.start_command:
            return "zkprov_start_command starts it: which release that is, zkprov cannot say"
        if self.connection != "local" and self.classpath:
            return "zkprov_classpath says where its jars are: zkprov switches what lies in zkprov_install_dir only"
        return ""

    @property
    def backups(self) -> str:
        """The folder of its backups: beside the data, which is set aside when a server leaves."""
        return self.backup_dir or f"{self.data_dir}.backups"

    @property
    def client(self) -> HostPort:
        """Where clients are served, as it is known here (see `tunnels`)."""
        return self._known(*self._client)

    @property
    def client_part(self) -> ClientAddress | None:
        """What stands behind the `;` of its server line. With TLS for clients only the host itself is served in the clear, or nobody."""
        match self.posture:
            case Posture.TLS:
                return ClientAddress(self.client_port, "127.0.0.1")
            case Posture.TLS_ONLY:
                return None
            case _:
                return ClientAddress(self.client_port, self.client_host)

    @property
    def posture_settings(self) -> dict[str, str]:
        """The settings of zoo.cfg that TLS and SASL take. (FACTS, "TLS": PEM files and the Netty factory suffice.)"""
        settings: dict[str, str] = {}
        if self.posture.quorum:
            settings |= {
                "sslQuorum": "true",
                "ssl.quorum.keyStore.location": self.key_store,
                "ssl.quorum.trustStore.location": self.trust_store,
            }
        if self.posture.clients:
            settings |= {
                "secureClientPort": str(self.secure_client_port),
                "serverCnxnFactory": NETTY,
                "ssl.keyStore.location": self.key_store,
                "ssl.trustStore.location": self.trust_store,
                "authProvider.x509": X509,
            }
            settings |= {"secureClientPortAddress": self.client_host} if self.client_host else {}
            settings |= {SUPER_DN: self.super_dn} if self.super_dn else {}
        settings |= self._sasl_settings
        schemes = [s for s, on in (("x509", self.posture.clients), ("sasl", self.client_sasl)) if on]
        if self.enforce_auth and schemes:
            settings |= {"enforce.auth.enabled": "true", "enforce.auth.schemes": ",".join(schemes)}
        return settings

    @property
    def _sasl_settings(self) -> dict[str, str]:
        settings = dict(sasl.QUORUM) if self.quorum_sasl else {}
        if self.client_sasl:
            settings |= sasl.CLIENTS
            settings |= {sasl.SUPER_USER: self.sasl_user} if self.sasl_super else {}
        # an older release takes it for a system property that nobody reads
        return settings | ({sasl.FIPS: "false"} if self.has_sasl else {})

    @property
    def has_sasl(self) -> bool:
        """Whether its server needs a file with SASL's users and passwords."""
        return self.quorum_sasl or self.client_sasl

    @property
    def flags(self) -> tuple[str, ...]:
        """The JVM's flags: its own, and where SASL's users and passwords are."""
        named = (f"-D{jaas.LOGIN_CONFIG}={self.config_dir}/{jaas.NAME}",) if self.has_sasl else ()
        return (*self.jvm_flags, *named)

    @property
    def admin(self) -> HostPort | None:
        """Where its AdminServer is, as it is known here."""
        return self._known(self.admin_address, self.admin_port) if self.admin_port else None

    @property
    def tunnels(self) -> dict[HostPort, HostPort]:
        """Endpoint as it is known here → what it is on the host, for those that are reached over SSH only.

        A port that listens on the host alone is known by the host's address: `127.0.0.1` would be one of this machine's.
        """
        listening = [self._client, *([(self.admin_address, self.admin_port)] if self.admin_port else [])]
        return {
            self._known(host, port): HostPort(LOCAL if host is None or host in WILDCARDS else host, port)
            for host, port in listening
            if self.connection != "local" and (self.tunnel or (host is not None and loopback(host)))
        }

    @property
    def _client(self) -> tuple[str | None, int]:
        return self.client_host, self.secure_client_port if self.posture.clients else self.client_port

    def _known(self, host: str | None, port: int) -> HostPort:
        if host is None or host in WILDCARDS or (self.connection != "local" and loopback(host)):
            host = self.address
        return HostPort(host, port)

    @property
    def server_address(self) -> ServerAddress:
        return ServerAddress(self.address, self.quorum_port, self.election_port)

    def at(self, server: Server) -> InventoryHost:
        """The host, with its server at the place of that line."""
        address, client = server.address, server.client
        moved = msgspec.structs.replace(
            self, address=address.host, quorum_port=address.quorum_port, election_port=address.election_port
        )
        if client is None:
            return moved
        return msgspec.structs.replace(moved, client_port=client.port, client_host=client.host)

    def is_server(self, server: Server) -> bool:
        """Whether a member's line names this host: one of its addresses with the quorum port."""
        return any(a.host == self.address and a.quorum_port == self.quorum_port for a in server.addresses)


class Inventory(msgspec.Struct, frozen=True):
    """One ensemble's hosts. `ensemble` is the group's name; `digest` changes whenever what was read changes.

    `super_password`: the host with whose variables the super user's password is found, if it is there; never the password.
    `passwords`: variable → the host with whose variables SASL's is found; `password_files`: variable → a file on this machine.
    `client_files`: for TLS to the servers (`zkprov_ca_file`, `zkprov_cert_file`, `zkprov_key_file`).
    `lab`: an ensemble to try things on (`zkprov_lab`): times that are too short for real data are allowed, and said.
    """

    ensemble: str
    path: str
    hosts: tuple[InventoryHost, ...]
    digest: str
    auth_file: str | None = None
    lab: bool = False
    super_password: str = ""
    client_files: ClientFiles | None = None
    passwords: dict[str, str] = {}
    password_files: dict[str, str] = {}

    def host(self, name: str) -> InventoryHost | None:
        return next((h for h in self.hosts if h.name == name), None)
