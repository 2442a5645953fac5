"""What is told of a lab: where each server, each folder and each record is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkprov.act.local import LocalHost
from zkprov.lab.record import LabStatus, ServerStatus
from zkprov.lab.writers import records

if TYPE_CHECKING:
    from zkprov.lab.lab import Lab


def status_of(lab: Lab) -> LabStatus:
    pids = {p.zoo_cfg: p.pid for p in lab.processes()}
    servers = tuple(
        ServerStatus(
            id=host.id or 0,
            name=host.name,
            pid=pids.get(f"{host.config_dir}/zoo.cfg"),
            up=f"{host.config_dir}/zoo.cfg" in pids,
            address=host.address,
            client_port=host.client_port,
            quorum_port=host.quorum_port,
            election_port=host.election_port,
            admin_port=host.admin_port,
            config_dir=host.config_dir,
            data_dir=host.data_dir,
            data_log_dir=host.data_log_dir,
            log_dir=host.log_dir,
        )
        for host in lab.hosts
    )
    running = {LocalHost(host).current(): None for host in lab.hosts if LocalHost(host).exists()}
    release = ", ".join(running) or lab.release
    inventory, kept = str(lab.inventory_path), tuple(str(record) for record in records(lab.folder))
    return LabStatus(lab.name, release, str(lab.folder), inventory, lab.connect, servers, kept)
