"""A small model of reconfig: one change at a time, with servers down, lagging, and crashes in the middle.

What it keeps of the real protocol (`Leader.tryToCommit`, `QuorumPeer.setLastSeenQuorumVerifier`, `setQuorumVerifier`):
a change is proposed by a leader that a quorum of its list follows; who acknowledges has the new list as `.next` on its disk;
it is committed when a quorum of the old *and* of the new list has acknowledged; each follower activates it when it hears of
that. A server that comes up joins the leader and takes over its list; a new leader finishes the change that it finds begun.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import msgspec

from zkprov.model.acting import ProofServer, SeenList
from zkprov.model.members import Members, Seat
from zkprov.model.server import Role, Server, ServerAddress


class Disk(msgspec.Struct):
    acting: Members
    next: Members | None = None


class History:
    """`disks` by server: an id is used for one server only. The ensemble starts with `voters` servers, all up."""

    def __init__(self, rng: random.Random, voters: int, weighted: bool = False, careless: bool = False) -> None:
        self.rng = rng
        self.careless = careless  # commits whatever anybody has acknowledged: what the quorums are there to prevent
        servers = [_server(i) for i in range(1, voters + 1)]
        first = Members.of(*servers, version=0x100000000)
        if weighted:
            groups = tuple((g, tuple(i for i in sorted(first.voters) if i % 3 == g)) for g in range(3))
            first = msgspec.structs.replace(first, groups=tuple((g, m) for g, m in groups if m))
        self.weighted = weighted
        self.fresh = voters + 1
        self.zxid = first.version
        self.live = first
        self.disks = {i: Disk(first) for i in first.ids}
        self.up = set(first.ids)

    def run(self, events: int) -> None:
        for _ in range(events):
            self.rng.choice([self._fail, self._return, self._change, self._change, self._change])()

    def servers(self, rng: random.Random) -> list[ProofServer]:
        return [
            ProofServer(
                f"zk{i}",
                i,
                (SeenList.of(d.acting, f"zk{i}/zoo.cfg", d.next),),
                reconfig_enabled=rng.random() < 0.9,
            )
            for i, d in self.disks.items()
        ]

    # -- what happens

    def _fail(self) -> None:
        if self.up:
            self.up.discard(self.rng.choice(sorted(self.up)))

    def _return(self) -> None:
        """One comes up; if there is a quorum, it follows and has what the leader has."""
        down = sorted(set(self.disks) - self.up)
        if down:
            self.up.add(self.rng.choice(down))
        self._elect()

    def _elect(self) -> bool:
        """Whoever is up and may elect does: by the lists on their disks, the newest that any of them has acknowledged."""
        seen = [self.disks[i] for i in sorted(self.up)]
        newest = max((d.acting for d in seen), key=lambda m: m.version, default=None)
        if (
            newest is None
            or newest.version < self.live.version
            or not (self.careless or self._quorum(self.live, self.up))
        ):
            return False
        # The leader is one that has the longest log; a change that it has begun is brought to its end, another's is cut off.
        begun = [d.next for d in seen if d.next and d.next.version > self.live.version]
        latest = max(begun, key=lambda m: m.version, default=None)
        if latest and self.rng.random() < 0.7 and self._quorum(latest, self.up):
            self._commit(latest, self.up)
        for i in sorted(self.up & self.live.ids):
            if self.rng.random() < (0.2 if self.careless else 0.8):
                self.disks[i] = Disk(self.live)
        return True

    def _change(self) -> None:
        if not self._elect():
            return
        after = self._one_change()
        if after is None:
            return
        self.zxid = max(self.zxid, self.live.version) + self.rng.choice([1, 5, 1 << 32])
        after = after.at_version(self.zxid)
        reached = [i for i in sorted(self.up & (self.live.ids | after.ids)) if self.disks[i].acting == self.live]
        acked = {i for i in reached if self.rng.random() < (0.4 if self.careless else 0.85)}
        for i in acked:
            self.disks[i] = msgspec.structs.replace(self.disks[i], next=after)
        if (self.careless and acked) or (self._quorum(self.live, acked) and self._quorum(after, acked)):
            # The commit reaches some, or nobody: then the leader crashed just after it.
            self._commit(after, {i for i in acked if self.rng.random() < self.rng.choice([0.0, 0.5, 1.0])})

    def _commit(self, after: Members, told: Iterable[int]) -> None:
        told = set(told)
        if told:
            self.live = after
        for i in told:
            self.disks[i] = Disk(after)

    def _one_change(self) -> Members | None:
        """Add an observer, promote, demote, remove; by groups also one weight up or down by one."""
        live, voters = self.live, sorted(self.live.voters)
        kinds = ["add", "promote", "promote", "demote", "remove"] + (["weight"] if self.weighted else [])
        kind = self.rng.choice(kinds)
        if kind == "add":
            joiner = _server(self.fresh, Role.OBSERVER)
            self.fresh += 1
            # As it should come: the live list and itself, as an observer (R5).
            self.disks[joiner.id] = Disk(live.with_server(joiner).at_version(0))
            self.up.add(joiner.id)
            self.disks[joiner.id] = Disk(live)
            return live.with_server(joiner)
        if kind == "promote" and live.observers:
            who = self.rng.choice(sorted(live.observers))
            return live.with_server(_server(who), Seat(self.rng.randrange(3)) if self.weighted else None)
        if kind in ("demote", "remove") and len(voters) > 1:
            who = self.rng.choice(voters if kind == "demote" else sorted(live.ids))
            if voters == [who]:
                return None
            return live.without(who) if kind == "remove" else live.with_server(_server(who, Role.OBSERVER))
        if kind == "weight":
            who = self.rng.choice(voters)
            weights = dict(live.weights)
            weights[who] = max(0, weights.get(who, 1) + self.rng.choice([-1, 1]))
            return msgspec.structs.replace(live, weights=tuple(sorted(weights.items())))
        return None

    @staticmethod
    def _quorum(members: Members, ids: Iterable[int]) -> bool:
        return members.quorums.contains_quorum(frozenset(ids))


def _server(server_id: int, role: Role = Role.PARTICIPANT) -> Server:
    return Server(server_id, (ServerAddress(f"zk{server_id}", 2888, 3888),), role)
