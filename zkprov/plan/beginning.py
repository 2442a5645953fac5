"""What every plan says of the moment and the hand that it was made by, so that it is applied to nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zkprov.judge.health import Health
from zkprov.model.inventory import Inventory
from zkprov.model.members import Members
from zkprov.plan.steps import Options, Plan, Step


class Wished(Protocol):
    """Of every wish."""

    @property
    def plan_id(self) -> str: ...
    @property
    def options(self) -> Options: ...
    @property
    def made_at(self) -> float: ...
    @property
    def made_by(self) -> str: ...
    @property
    def zkprov(self) -> str: ...
    @property
    def templates_digest(self) -> str: ...


def begun(
    health: Health, live: Members, inventory: Inventory, wish: Wished, *, kind: str, steps: Sequence[Step]
) -> Plan:
    """A plan of `steps` that nobody comes in or leaves by yet."""
    identity = next((f.identity.value for f in health.picture.members if f.identity.value), None)
    return Plan(
        id=wish.plan_id,
        kind=kind,
        ensemble=inventory.ensemble,
        made_at=wish.made_at,
        made_by=wish.made_by,
        zkprov=wish.zkprov,
        base=live,
        leader=next((x.id for x in health.leaders if x.id is not None and not x.stranger), -1),
        history="" if identity is None else f"{identity.path}@{identity.czxid:x}/{identity.ctime_ms}",
        joiners=(),
        steps=tuple(steps),
        options=wish.options,
        inventory_digest=inventory.digest,
        templates_digest=wish.templates_digest,
        releases={health.picture.member_id(f): f.srvr.value.release for f in health.picture.members if f.srvr.value},
    )
