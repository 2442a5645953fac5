"""The lab that a command asks for: opened as it is, or made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zkprov.lab.lab import DEFAULT_SERVERS, DEFAULT_TICK_MS, Lab, folder_of
from zkprov.lab.provision import DEFAULT_RELEASE
from zkprov.lab.sasl import Secured
from zkprov.model.posture import Posture
from zkprov.model.problems import BadInput


def make_or_open(
    name: str,
    *,
    servers: int | None,
    release: str | None,
    tick_ms: int | None,
    posture: str | None = None,
    sasl: str | None = None,
    also: Sequence[str] = (),
    home: Path | None = None,
) -> Lab:
    """The lab of that name, made if it is not there. Raises `BadInput` when it is there and is not as asked for (None: as it may be)."""
    lab = Lab(folder_of(name, home))
    state = lab.read()
    if state is None:
        return Lab.create(
            name,
            DEFAULT_SERVERS if servers is None else servers,
            DEFAULT_RELEASE if release is None else release,
            tick_ms=DEFAULT_TICK_MS if tick_ms is None else tick_ms,
            posture=Posture(posture or "plain"),
            secured=Secured(sasl or "none"),
            also=also,
            home=home,
        )
    others = sorted(set(state.hosts[0].releases) - {state.release})
    has: dict[str, tuple[object, object]] = {
        "--servers": (servers, state.founders),
        "--release": (release, state.release),
        "--tick": (tick_ms, int(state.hosts[0].settings.get("tickTime", "0"))),
        "--posture": (posture, str(state.hosts[0].posture)),
        "--sasl": (sasl, str(Secured.of(state.hosts[0]))),
        "--also": (", ".join(sorted(set(also) - {state.release})) or None, ", ".join(others) or "no other release"),
    }
    for option, (wanted, there) in has.items():
        if wanted not in (None, there):
            raise BadInput(
                f"the lab {name!r} is there, with {there}, not {wanted}",
                place=option,
                remedy=f"servers are added with zkprov add-node; for another lab: zkprov lab down --name {name}, or --name OTHER",
            )
    return lab
