"""What a lab was broken into: kept in its folder, told by `lab break`, and read by whoever tests what comes after."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zkprov.lab.record import write_private
from zkprov.lab.writers import Writer

FILE = "incident.json"


class Side(msgspec.Struct, frozen=True):
    """Servers that belong together when the shape is there, and who leads them (None: nobody)."""

    name: str
    servers: tuple[int, ...]
    leader: int | None
    what: str


class Incident(msgspec.Struct, frozen=True):
    """`did`: what was done, in order; `writers` with their records; `took_s` in seconds."""

    shape: str
    did: tuple[str, ...]
    sides: tuple[Side, ...]
    writers: tuple[Writer, ...]
    took_s: float
    format: int = 1


def keep(folder: Path, incident: Incident) -> None:
    write_private(folder / FILE, msgspec.json.format(msgspec.json.encode(incident)).decode())


def incident_of(folder: Path) -> Incident | None:
    """Of the lab in `folder`; None where it was not broken, or is being broken."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Incident)
    except (OSError, msgspec.MsgspecError):
        return None
