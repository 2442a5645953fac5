"""Names for a lab's servers that only they resolve, each by a file of its own: a name server that can be made to fail, without root."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zkprov.model.inventory import LOCAL, InventoryHost

_NOTHING_KEPT = "names.security"


def name_of(lab: str, number: int) -> str:
    """A name that no name server knows (RFC 6761)."""
    return f"zk{number}.{lab.replace('_', '-')}.invalid"


def flags(folder: Path, number: int) -> tuple[str, ...]:
    """For a JVM that reads its file at each look-up, and keeps no answer."""
    return (f"-Djdk.net.hosts.file={_file(folder, number)}", f"-Djava.security.properties={folder / _NOTHING_KEPT}")


def lay(folder: Path, hosts: Sequence[InventoryHost]) -> None:
    """Each knows all."""
    # Java's own file of these has 10 s for a name that was not found, and system properties do not change it
    (folder / _NOTHING_KEPT).write_text("networkaddress.cache.ttl=0\nnetworkaddress.cache.negative.ttl=0\n")
    for host in hosts:
        know(folder, host, [h.address for h in hosts])


def know(folder: Path, host: InventoryHost, names: Sequence[str]) -> None:
    """From its next look-up on the server resolves these names, and no other one."""
    place = _file(folder, host.id or 0)
    unfinished = place.with_suffix(".part")
    unfinished.write_text("".join(f"{LOCAL} {name}\n" for name in names))
    unfinished.replace(place)


def _file(folder: Path, number: int) -> Path:
    return folder / f"zk{number}.names"
