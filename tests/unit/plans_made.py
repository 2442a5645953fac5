"""A plan as a value, for tests of what stores plans."""

from __future__ import annotations

from zkprov.model.members import Members
from zkprov.model.server import ClientAddress, Role, Server, ServerAddress
from zkprov.plan.steps import Joiner, Options, Plan, Proof, Step, StepKind


def server(number: int, role: Role = Role.PARTICIPANT) -> Server:
    return Server(number, (ServerAddress(f"zk{number}", 2888, 3888),), role, ClientAddress(2181))


def plan(ident: str = "4f1c00", ensemble: str = "kafka", **changed: object) -> Plan:
    three = Members.of(server(1), server(2), server(3))
    four = three.with_server(server(4))
    observer = three.with_server(server(4, Role.OBSERVER))
    proofs = (Proof("before", "safe"), Proof("crash within", "safe"), Proof("after", "safe"))
    steps = (
        Step(1, StepKind.START, 4, "zk4", three, three, 1, proofs[:1]),
        Step(2, StepKind.ADMIT, 4, "zk4", three, observer, 1, proofs),
        Step(3, StepKind.PROMOTE, 4, "zk4", observer, four, 1, proofs),
        Step(4, StepKind.SETTLE, 4, "zk4", four, four, 1, wait_s=30.0),
    )
    values: dict[str, object] = {
        "id": ident, "kind": "add", "ensemble": ensemble, "made_at": 1.0, "made_by": "you@here", "zkprov": "9.9.9",
        "base": three.at_version(0x100000000), "leader": 3, "history": "/zkprov/ensemble@1/2",
        "joiners": (Joiner("zk4", server(4)),), "steps": steps, "options": Options(),
    }  # fmt: skip
    return Plan(**{**values, **changed})  # type: ignore[arg-type]
