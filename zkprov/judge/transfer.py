"""Whether a leader can hand over to another voter by two reconfigs, and what forbids it. A decision; nothing is touched.

In between the list is shorter by the leader's vote, for half a second: one quorum is proved there as everywhere (R1), newcomers are none of
its quorums (R2), and every voter of it is in sync, for none may fail (R4).
"""

from __future__ import annotations

from collections.abc import Set

from zkprov.judge.health import Health
from zkprov.judge.newcomers import newcomers_rule
from zkprov.judge.one_quorum import prove_step
from zkprov.judge.releases import too_old
from zkprov.model.members import Members
from zkprov.model.proof import Proof
from zkprov.model.quorum import braces
from zkprov.model.server import Role

NEEDED = ("dynamic", "release")
"""The gates of a list that may be changed."""


def leader_in(health: Health) -> int | None:
    """The one server that leads; None where it is not told, or several say so."""
    ours = [x.id for x in health.leaders if not x.stranger]
    return ours[0] if len(ours) == 1 else None


def why_no_transfer(health: Health, leader: int, here: Set[int]) -> str:
    """Why `leader` is not to hand over, in words; empty where it may. Where it may not, it is stopped as it is, and the others elect.

    `here`: the voters in sync at that time.
    """
    live = health.picture.live
    server = live.get(leader) if live is not None else None
    if live is None or server is None:
        return "no list of members could be read"
    for name in NEEDED:
        gate = health.gate(name)
        if gate.stops:
            return gate.summary
    if old := too_old(health.picture):
        return old
    # those that are left take it back, and ZooKeeper counts no observer for the quorum of the list with it (-13): of two, one could not
    if not live.quorums.contains_quorum(live.voters - {leader}):
        return f"too few voters for it: {braces(live.voters)}"
    shorter = live.with_server(server.with_role(Role.OBSERVER))
    missing = shorter.voters - here
    if missing:
        return f"{braces(missing)} not in sync, and none may fail meanwhile (R4)"
    if violated := newcomers_rule(shorter, {n.id for n in health.newcomers}):
        return f"newcomers would be a quorum meanwhile: {violated} (R2)"
    for label, proof in transfer_proofs(health, live, leader):
        if not proof.safe:
            return f"one quorum is not proved ({label}: {proof.verdict}) (R1)"
    return ""


def transfer_proofs(health: Health, live: Members, leader: int) -> tuple[tuple[str, Proof], ...]:
    """One quorum, for the way to the shorter list and the way back."""
    server = live.get(leader)
    assert server is not None  # noqa: S101 — the caller has found it
    observer = server.with_role(Role.OBSERVER)
    shorter = live.with_server(observer)
    there = prove_step(health.picture, live, shorter, observer)
    back = prove_step(health.picture, shorter, live, server)
    return (*((f"{x}, giving the vote up", p) for x, p in there), *((f"{x}, taking it back", p) for x, p in back))
