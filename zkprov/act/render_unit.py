"""The systemd unit as the playbook `install` writes it, rendered here: ours, or the operator's `templates/zookeeper.service.j2`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import BadInput
from zkprov.shipped import shipped

NAME = "zookeeper.service.j2"
OURS = "Written by zkprov"
"""In a unit that the playbook takes for its own; any other it leaves as it is."""


def render_unit(host: InventoryHost, *, control: str, java: str, memory_kb: int, playbooks: Path | None = None) -> str:
    """`control`: zkprov's folder on the host; `java`, `memory_kb`: as found there.

    Raises `BadInput` for a template that needs more of Ansible than plain variables: what it makes is not known here.
    """
    from jinja2 import FileSystemLoader, StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    folders = [shipped("playbooks") / "templates"]
    if playbooks is not None:
        folders.insert(0, playbooks / "templates")
    # as Ansible's `template` has it
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folders),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.tests["search"] = _search
    try:
        return environment.get_template(NAME).render(_variables(host, control, java, memory_kb))
    except (TemplateError, TypeError, ValueError, re.error) as error:
        place = str((playbooks or Path("playbooks")) / "templates" / NAME)
        remedy = f"see what Ansible makes of it: ansible-playbook -l {host.name} install.yml --check --diff"
        raise BadInput(f"cannot be rendered without Ansible: {error}", place=place, remedy=remedy) from None


def _variables(host: InventoryHost, control: str, java: str, memory_kb: int) -> dict[str, Any]:
    fields = ("user", "unit", "config_dir", "data_dir", "data_log_dir", "log_dir", "install_dir", "classpath")
    return {
        "inventory_hostname": host.name,
        **{f"zkprov_{field}": getattr(host, field) for field in fields},
        "zkprov_control": control,
        "zkprov_java_path": java or "/usr/bin/java",
        "zkprov_seen": {"heap": host.heap or heap_of(memory_kb)},
    }


def heap_of(memory_kb: int) -> str:
    """As the playbooks' module has it, which runs on hosts: a third of the memory in steps of 64 MB, 4 GB at most."""
    return f"{max(64, min(4096, memory_kb // 1024 // 3 // 64 * 64))}m"


def _search(text: object, pattern: str) -> bool:
    return re.search(pattern, str(text)) is not None
