"""The hosts that an inventory names: where a server is, or would be, installed. Never who is a member (R10)."""

from __future__ import annotations

import msgspec

from zkprov.model.posture import Posture
from zkprov.model.server import HostPort, Role, Server, ServerAddress

SUPER_PASSWORD = "ZKPROV_SUPER_PASSWORD"  # noqa: S105 — the variable's name
"""In the environment: for zkprov alone, not for what it starts."""


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


class InventoryHost(msgspec.Struct, frozen=True):
    """One host of the inventory with zkprov's variables (`zkprov_*`) read and checked. Paths are absolute, on that host.

    `address` stands in server lines. `id` None: the next free id is taken. `connection`: Ansible's (`local`, `ssh`, …).
    `access`: how to reach it, unless it is `local`. `unit`, `user`: of systemd and of the system, there; `install_dir` holds the releases
    and `current`; `archive` is a path on *this* machine, or an URL. `heap`: of the JVM, as in `-Xmx` (`512m`); empty: from its memory.
    `client_host`: the address in the client part of the server line; None writes the port alone.
    `posture`: which connections are TLS; then `key_store` is a PEM file with the server's private key and its certificate chain, and
    `trust_store` one with the certificates of the CAs by which it knows the others.
    `auth_file`: a file on *this* machine with `scheme:credential`, for reconfig; its content is never kept in a value.
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
    admin_address: str | None = None
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

    @property
    def client(self) -> HostPort:
        return HostPort(self.address, self.client_port)

    @property
    def admin(self) -> HostPort | None:
        return HostPort(self.admin_address or self.address, self.admin_port) if self.admin_port else None

    @property
    def server_address(self) -> ServerAddress:
        return ServerAddress(self.address, self.quorum_port, self.election_port)

    def is_server(self, server: Server) -> bool:
        """Whether a member's line names this host: one of its addresses with the quorum port."""
        return any(a.host == self.address and a.quorum_port == self.quorum_port for a in server.addresses)


class Inventory(msgspec.Struct, frozen=True):
    """One ensemble's hosts. `ensemble` is the group's name; `digest` changes whenever what was read changes.

    `super_password`: the host with whose variables the super user's password is found, if it is there; never the password.
    `lab`: an ensemble to try things on (`zkprov_lab`): times that are too short for real data are allowed, and said.
    """

    ensemble: str
    path: str
    hosts: tuple[InventoryHost, ...]
    digest: str
    auth_file: str | None = None
    lab: bool = False
    super_password: str = ""

    def host(self, name: str) -> InventoryHost | None:
        return next((h for h in self.hosts if h.name == name), None)
