"""Of hosts that are rebooted: the program that tells and notes their boot, and that the machine on which zkprov runs is none of them."""

from __future__ import annotations

from functools import lru_cache

from zkprov.model.boots import Boot
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import BadInput, NotHealthy
from zkprov.shipped import shipped


@lru_cache(maxsize=1)
def boots_program() -> str:
    """The text of the program that tells a host's boot, and notes that it is to end."""
    return "\n".join((shipped("remote") / f"{name}.py").read_text() for name in ("stands", "boots"))


def boot_here() -> Boot:
    """The boot of the machine on which zkprov runs. Raises `NotHealthy` where it cannot be told."""
    from zkprov.shipped.remote import boots, stands

    try:
        return Boot(boots.boot())
    except stands.Problem as problem:
        raise NotHealthy(problem.text, place="this machine", remedy=problem.remedy) from None


def this_machine(host: InventoryHost) -> BadInput:
    """Why a host is not rebooted that is the machine on which zkprov runs."""
    why = " (ansible_connection: local), as a lab's hosts are" if host.connection == "local" else ""
    what = f"this host is the machine on which zkprov runs{why}: it is not rebooted"
    remedy = (
        "without --reboot its server is restarted"
        if why
        else f"run it from elsewhere, or leave {host.name} out with --only"
    )
    return BadInput(what, place=host.name, remedy=remedy)
