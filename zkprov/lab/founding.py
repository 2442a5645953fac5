"""What a lab's servers and its inventory are made of, as text: founders with one list, one quiet machine, one random super user."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from zkprov.lab import sasl
from zkprov.model.inventory import InventoryHost
from zkprov.model.members import Members
from zkprov.model.posture import ClientFiles
from zkprov.model.server import Role, Server

# 100 MB a server, and started fast: no profiling compiler, one collector thread, nothing written for jps.
JVM_FLAGS = (
    "-Xms16m",
    "-Xmx80m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:ReservedCodeCacheSize=24m",
    "-Xss512k",
)


def default_settings(release: str, tick_ms: int, super_digest: str, whitelist: str) -> dict[str, str]:
    """zoo.cfg settings that founders and joiners of a lab share; ports and folders are each host's own.

    `db.autocreate` is there from 3.6 (3.5 would take it for a system property of no meaning).
    """
    settings = {
        "tickTime": str(tick_ms),
        "initLimit": "10",
        "syncLimit": "5",
        "standaloneEnabled": "false",
        "reconfigEnabled": "true",
        "4lw.commands.whitelist": whitelist,
        "DigestAuthenticationProvider.superDigest": super_digest,
        # All clients of a lab have one address, so a limit for an address would be one for all of them.
        "maxClientCnxns": "0",
        # kB; the default takes 64 MB of disk for each log file.
        "preAllocSize": "1024",
        # as the templates have it, so that a fresh lab is what its inventory says
        "autopurge.snapRetainCount": "3",
        "autopurge.purgeInterval": "1",
    }
    if tuple(map(int, release.split("."))) >= (3, 6, 0):
        settings["db.autocreate"] = "false"
    return settings


def super_digest(user: str, password: str) -> str:
    """`user:base64(sha1(user:password))`: ZooKeeper's DigestAuthenticationProvider."""
    digest = hashlib.sha1(f"{user}:{password}".encode(), usedforsecurity=False).digest()
    return f"{user}:{base64.b64encode(digest).decode()}"


def server_of(host: InventoryHost) -> Server:
    assert host.id is not None  # noqa: S101 — a lab's hosts all have ids
    return Server(host.id, (host.server_address,), client=host.client_part)


def list_of(founders: Sequence[InventoryHost]) -> Members:
    """Their list; with groups, where they are in some."""
    members = Members.of(*(server_of(h) for h in founders))
    groups: dict[int, list[int]] = {}
    for host in founders:
        if host.quorum_group is not None and host.id is not None:
            groups.setdefault(host.quorum_group, []).append(host.id)
    weights = {h.id: h.quorum_weight for h in founders if h.id is not None and h.quorum_weight is not None}
    named = tuple((g, tuple(ids)) for g, ids in sorted(groups.items()))
    return msgspec.structs.replace(members, groups=named, weights=tuple(sorted(weights.items())) if groups else ())


# Written here and not by the templates: a lab also makes ensembles that the rules forbid, to see them refused.
def founders_files(host: InventoryHost, founders: Sequence[InventoryHost]) -> dict[str, str]:
    """The files of one founder: one dynamic list for all of them, and the marker that lets an empty server vote."""
    dynamic = "zoo.cfg.dynamic.0"
    members = list_of(founders)
    return {
        **sasl.file_of(host),
        "zoo.cfg": _properties({**_own_settings(host), "dynamicConfigFile": f"{host.config_dir}/{dynamic}"}),
        dynamic: "".join(f"{line}\n" for line in members.lines),
        "myid": f"{host.id}\n",
        "initialize": "",
    }


def joiner_files(host: InventoryHost, members: Sequence[InventoryHost]) -> dict[str, str]:
    """The files of a joiner: the list of the members and itself as observer, and no marker that lets it vote."""
    own = server_of(host).with_role(Role.OBSERVER)
    files = founders_files(host, members)
    del files["initialize"]
    listed = list_of(members).with_server(own)
    return files | {
        name: "".join(f"{line}\n" for line in listed.lines) for name in files if name.startswith("zoo.cfg.")
    }


def static_files(host: InventoryHost, listed: Sequence[InventoryHost]) -> dict[str, str]:
    """The files of a server with a static list in its zoo.cfg. It has its client port in zoo.cfg, as static servers mostly do."""
    lines = "".join(f"server.{h.id}={h.server_address}\n" for h in listed)
    lines += "".join(f"{line}\n" for line in list_of(listed).lines if not line.startswith("server."))
    own = {
        **{k: v for k, v in _own_settings(host).items() if k not in ("db.autocreate", "reconfigEnabled")},
        "clientPort": str(host.client_port),
        "clientPortAddress": host.client_host or "127.0.0.1",
    }
    return {"zoo.cfg": _properties(own) + lines, "myid": f"{host.id}\n", **sasl.file_of(host)}


def _own_settings(host: InventoryHost) -> dict[str, str]:
    settings = {**host.settings, "dataDir": host.data_dir, "dataLogDir": host.data_log_dir}
    settings |= host.posture_settings
    if host.admin is None:
        return {**settings, "admin.enableServer": "false"}
    return {
        **settings,
        "admin.serverAddress": host.admin.host,
        "admin.serverPort": str(host.admin.port),
    }


def _properties(settings: Mapping[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def inventory_document(
    name: str, hosts: Sequence[InventoryHost], auth_file: str, client_files: ClientFiles | None = None
) -> str:
    """An ordinary Ansible inventory: the group is the lab, what all hosts share are the group's variables."""
    import yaml

    first = hosts[0]
    shared: dict[str, Any] = {
        "ansible_connection": "local",
        "zkprov_lab": True,
        "zkprov_auth_file": auth_file,
        "zkprov_release": first.release,
        "zkprov_java": first.java,
        "zkprov_classpath": first.classpath,
        "zkprov_jvm_flags": list(first.jvm_flags),
        "zkprov_settings": dict(first.settings),
    }
    if first.releases:
        shared["zkprov_releases"] = {
            release: {"classpath": source.classpath, "java": source.java} for release, source in first.releases.items()
        }
    shared |= sasl.variables(first)
    if first.posture.quorum:
        shared |= {
            "zkprov_posture": str(first.posture),
            "zkprov_key_store": first.key_store,
            "zkprov_trust_store": first.trust_store,
        }
    if client_files is not None:
        shared |= {
            "zkprov_ca_file": client_files.ca,
            "zkprov_cert_file": client_files.cert,
            "zkprov_key_file": client_files.key,
            "zkprov_super_dn": first.super_dn,
        }
    own = {
        host.name: {
            "zkprov_id": host.id,
            "zkprov_address": host.address,
            "zkprov_client_host": host.client_host or "",
            "zkprov_client_port": host.client_port,
            "zkprov_secure_client_port": host.secure_client_port,
            "zkprov_quorum_port": host.quorum_port,
            "zkprov_election_port": host.election_port,
            "zkprov_admin_port": host.admin_port or 0,
            "zkprov_admin_address": host.admin_address or "",
            "zkprov_config_dir": host.config_dir,
            "zkprov_data_dir": host.data_dir,
            "zkprov_data_log_dir": host.data_log_dir,
            "zkprov_log_dir": host.log_dir,
            **({"zkprov_jvm_flags": list(host.jvm_flags)} if host.jvm_flags != first.jvm_flags else {}),
            **({"zkprov_quorum_group": host.quorum_group} if host.quorum_group is not None else {}),
            **({"zkprov_quorum_weight": host.quorum_weight} if host.quorum_weight is not None else {}),
        }
        for host in hosts
    }
    document = {"all": {"children": {name: {"hosts": own, "vars": shared}}}}
    text: str = yaml.safe_dump(document, sort_keys=False, width=1000)
    return f"# The lab {name!r} of zkprov; hosts that are not up are spares. Written anew by `zkprov lab up`.\n{text}"
