"""`zkprov lab break SHAPE`: a lab that fits, made where there is none, with a writer; broken; and told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from zkprov.act.local import LocalHost
from zkprov.lab.incident import FILE, Incident, incident_of, keep
from zkprov.lab.lab import Lab, folder_of
from zkprov.lab.provision import DEFAULT_RELEASE
from zkprov.lab.shapes.scene import Scene
from zkprov.lab.shapes.shape import Shape
from zkprov.model.posture import Posture
from zkprov.model.problems import BadInput

OLD = "old"
_QUICK = {"fastleader.maxNotificationInterval": "2000"}
"""ms. A server that missed a notification asks again after up to a minute; it comes to the same sooner."""


def break_lab(
    name: str, shape: Shape, *, release: str | None = None, home: Path | None = None, timeout_s: float = 60.0
) -> Incident:
    """Make the shape in the lab of that name, with that release of ZooKeeper if it is said.

    Raises `BadInput` where that lab is there and does not fit, `NotHealthy` when the shape does not come about.
    """
    lab = ready_for(name, shape, release=release, home=home)
    began = time.monotonic()
    scene = Scene(lab, timeout_s)
    (lab.folder / FILE).write_text("")  # from here on it is no lab as new, whatever becomes of this
    scene.write(OLD, scene.old)
    shape.make(scene)
    incident = Incident(
        shape.name, tuple(scene.did), tuple(scene.sides), tuple(scene.writers), round(time.monotonic() - began, 1)
    )
    keep(lab.folder, incident)
    return incident


def ready_for(name: str, shape: Shape, *, release: str | None = None, home: Path | None = None) -> Lab:
    """The lab of that name, up, if it fits the shape; made and started if there is none."""
    if release and shape.needs.release not in (None, release):
        raise BadInput(
            f"{shape.name} is of ZooKeeper {shape.needs.release} only",
            place="--release",
            remedy=f"zkprov lab break {shape.name} --name {name}",
        )
    if release:
        shape = msgspec.structs.replace(shape, needs=msgspec.structs.replace(shape.needs, release=release))
    needs = shape.needs
    lab = Lab(folder_of(name, home))
    if lab.read() is None:
        lab = Lab.create(
            name,
            needs.servers,
            needs.release or DEFAULT_RELEASE,
            static=needs.static is not False,
            settings={**needs.settings, **_QUICK},
            names=needs.names,
            home=home,
        )
    elif unfit := next(misfits(lab, shape), None):
        raise BadInput(
            f"the lab {name!r} does not fit {shape.name}: {unfit}",
            place="--name",
            remedy=f"zkprov lab break {shape.name} --name {_other(name, shape)} makes another one that does",
        )
    lab.up()
    return lab


def misfits(lab: Lab, shape: Shape) -> Iterator[str]:
    """What of the lab is otherwise than the shape needs it."""
    needs, first = shape.needs, lab.hosts[0]
    if (lab.folder / FILE).exists():
        was = incident_of(lab.folder)
        yield f"it was broken already ({was.shape})" if was else "it was broken already, and not wholly"
    if len(lab.founders) != needs.servers:
        yield f"it has {len(lab.founders)} servers, not {needs.servers}"
    if needs.static is not None and lab.static != needs.static:
        yield f"its list is {'static' if lab.static else 'dynamic'}"
    if needs.release not in (None, lab.release):
        yield f"it is ZooKeeper {lab.release}, not {needs.release}"
    for key, value in needs.settings.items():
        if first.settings.get(key) != value:
            yield (
                f"its zoo.cfg has {key}={first.settings[key]}" if key in first.settings else f"its zoo.cfg has no {key}"
            )
    if needs.names and first.address == "127.0.0.1":
        yield "its servers have no names"
    if first.posture is not Posture.PLAIN or first.has_sasl:
        yield "its clients or servers must say who they are (TLS or SASL)"
    others = [host for host in lab.hosts if host not in lab.founders]
    spares = [host for host in others if not LocalHost(host).exists()]
    if len(spares) < needs.spares:
        yield f"it has {len(spares)} spares, not {needs.spares}"
    if spares != others:
        yield "servers were added to it"


def _other(name: str, shape: Shape) -> str:
    """A name for another lab, of letters that names have."""
    other = shape.name.replace("-", "_")
    return other if other != name else f"{other}_2"
