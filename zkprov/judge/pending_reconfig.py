"""A list that was proposed and that nobody can commit any more: the leader waits for acknowledgements of voters that wait for the list.

A reconfig is committed by a quorum of the old list and one of the new. A joiner that is promoted is an observer until then, and its
acknowledgement of the proposal does not count (`LearnerHandler`). So where a voter fails just now (it is paused, or cut off, and the
leader gives it up) the new list may lack a quorum; and who comes back having seen the proposal (`.next`) votes by both lists, hears of too
few that follow the leader, and looks for ever. Nothing is committed after the proposal, and no session is opened. The leader stays: each
tick it asks for a quorum of both lists among those in sync, and counts observers there (`Leader.lead`).

So it steps down once the joiner is restarted, and in an election the joiner's vote counts. Measured with 3.9.5, 3 → 4, one voter stopped as
the promotion is asked for: with the joiner restarted they elect, and the promotion is committed, whether that voter is back or gone. In the
same way a removal and a demotion: the leader steps down once it has given the voter up, and all is committed when that is back.
"""

from __future__ import annotations

import msgspec

from zkprov.judge.picture import Picture, leads
from zkprov.judge.room import stopped_by
from zkprov.judge.verdict import Evidence
from zkprov.model.facts import ServerFacts
from zkprov.model.members import Members
from zkprov.model.quorum import braces


class Pending(msgspec.Struct, frozen=True):
    """`before`, `after`: the list in force, and the one that waits. `leader`: its name. `evidence`: one line a server.

    Ids of voters of `before`: those that `acknowledge` as things stand, that `look` by both lists, and that are `missing`, since they do
    not run, or were not seen. `promoted`: observers of `before` that serve, and are to vote: id → name.
    """

    leader: str
    before: Members
    after: Members
    acknowledge: frozenset[int]
    look: frozenset[int]
    missing: frozenset[int]
    promoted: dict[int, str] = {}
    evidence: tuple[Evidence, ...] = ()

    @property
    def elects(self) -> bool:
        """Whether those that run are a quorum of each list, so that they elect when all of them look."""
        up = self.acknowledge | self.look | self.promoted.keys()
        return self.before.quorums.contains_quorum(up) and self.after.quorums.contains_quorum(up)

    @property
    def to_restart(self) -> str:
        """Who is promoted, by name, where the restart of it ends this; else empty.

        Where nobody is promoted those in sync are no quorum of the new list, and the leader steps down by itself; where those that run
        could not elect, a voter must come first.
        """
        return next(iter(self.promoted.values()), "") if self.elects else ""

    def __str__(self) -> str:
        short = f"{braces(self.acknowledge)} acknowledge it, which is no quorum of it"
        looks = f"; {braces(self.look)} look by both lists, and find no leader" if self.look else ""
        lacks = f"; {braces(self.missing)} are not seen to run" if self.missing else ""
        return f"the list {self.after} (version {self.after.version_hex}) waits to be committed: {short}{looks}{lacks}"


def pending_reconfig(picture: Picture, name: str) -> Pending | None:
    """What waits under the leader `name`; None where nothing does that cannot be committed as things stand, or its disk was not read."""
    leader = picture.survey.by_name(name)
    if leader is None or not leads(leader) or leader.disk.value is None or picture.live is None:
        return None
    waiting, before = leader.disk.value.next, picture.live
    if waiting is None or not leader.disk.value.reconfig_enabled or waiting.members.version <= before.version:
        return None
    after = waiting.members
    seen = {i: facts for i in before.voters if (facts := picture.member(i)) is not None}
    acknowledge = frozenset(i for i, f in seen.items() if f.serving)
    if after.quorums.contains_quorum(acknowledge):
        return None
    look = frozenset(i for i, f in seen.items() if i not in acknowledge and f.up and _has(f, after))
    missing = before.voters - {i for i, f in seen.items() if f.up}
    told = [
        Evidence(picture.label(f), f"{_does(i, acknowledge, look)}; {f.disk.value.next.source}: {after}")
        for i, f in sorted(seen.items())
        if f.disk.value is not None and f.disk.value.next is not None and _has(f, after)
    ]
    promoted = {
        i: f.name for i in after.voters & before.observers if (f := picture.member(i)) is not None and f.serving
    }
    return Pending(name, before, after, acknowledge, look, missing, promoted, tuple(told))


def _has(facts: ServerFacts, after: Members) -> bool:
    disk = facts.disk.value
    return disk is not None and disk.next is not None and disk.next.members.same_config(after)


def _does(server_id: int, acknowledge: frozenset[int], look: frozenset[int]) -> str:
    return "acknowledges" if server_id in acknowledge else "looks" if server_id in look else "does not run"


def steps_out(picture: Picture, pending: Pending) -> tuple[str, ...]:
    """What leads out of it, in order, as a person types it. zkprov's own restart writes to the ledger first, which nobody can now."""
    if name := pending.to_restart:
        return (
            f"zkprov resume        where it is a run of zkprov's: it restarts {name}, and goes on",
            f"else, on {name}, {restarted_by(picture.survey.by_name(name))}: all elect then, by both lists",
            "zkprov check",
        )
    if pending.missing:
        names = ", ".join(f.name if (f := picture.member(i)) else str(i) for i in sorted(pending.missing))
        return (
            f"start {names}, with the data that lies there: one that has not seen the list takes it from the leader, and acknowledges it",
            "zkprov status        says what is left to do, where that did not end it",
        )
    return ("wait until all voters run, then: zkprov status",)


def restarted_by(facts: ServerFacts | None) -> str:
    """How a person restarts a server without zkprov."""
    disk = facts.disk.value if facts is not None else None
    if disk is not None and disk.unit:
        return f"systemctl restart {disk.unit}"
    return f"{stopped_by(disk)}, and start it as it is started there (in a lab: zkprov lab up)"
