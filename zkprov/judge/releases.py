"""Which release each member runs and may be given: whether its host can be switched at all, and what the inventory has for it."""

from __future__ import annotations

from zkprov.model.inventory import InventoryHost


def why_no_switch(host: InventoryHost) -> str:
    """Why zkprov cannot say which release the host's server runs, in words; empty where it can."""
    if host.start_command:
        return "zkprov_start_command starts it: which release that is, zkprov cannot say"
    if host.connection != "local" and host.classpath:
        return "zkprov_classpath says where its jars are: zkprov switches what lies in zkprov_install_dir only"
    return ""


def why_not_laid(host: InventoryHost, release: str) -> str:
    """Why `release` cannot be laid out on the host, by the inventory; empty where it can, or lies there already for all that is known."""
    source = host.source_of(release)
    if source is None:
        return f"zkprov_releases does not name {release}"
    if host.connection == "local":
        return "" if source.classpath else f"no classpath of {release} is named"
    return "" if source.archive else f"no archive of {release} is named"
