"""How long the proof takes: histories, random lists and hostile ones, safe and unsafe. `python -m bench.proof` prints its figures."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

from zkprov.model.acting import ProofServer, SeenList
from zkprov.model.members import Members
from zkprov.model.proof import Proof, prove
from zkprov.model.server import Server, ServerAddress

Case = Callable[[random.Random], list[ProofServer]]


def members(ids: set[int], version: int) -> Members:
    return Members.of(*(Server(i, (ServerAddress(f"zk{i}", 2888, 3888),)) for i in ids), version=version)


def chain(rng: random.Random, voters: int, changes: int) -> list[Members]:
    """Lists of one-server changes that keep the number of voters about the same."""
    ids, fresh = set(range(1, voters + 1)), voters + 1
    lists = [members(ids, 1)]
    while len(lists) < changes + 1:
        if len(ids) >= voters:
            ids = ids - {rng.choice(sorted(ids))}
        else:
            ids, fresh = ids | {fresh}, fresh + 1
        lists.append(members(ids, len(lists) + 1))
    return lists


def history(voters: int, changes: int, adopt: bool) -> Case:
    """Each list left its mark on a quorum of itself and its predecessor; which servers lag, and how far, is chance."""

    def case(rng: random.Random) -> list[ProofServer]:
        lists = chain(rng, voters, changes)
        acting: dict[int, tuple[int, int]] = dict.fromkeys(lists[0].ids, (0, 0))
        for n in range(1, len(lists)):
            for i in lists[n].ids - lists[n - 1].ids:
                acting.setdefault(i, (n - 1, n - 1))
            old, new = lists[n - 1].voters, lists[n].voters
            everyone = sorted(old | new)
            reached: set[int] = set()
            while 2 * len(reached & old) <= len(old) or 2 * len(reached & new) <= len(new):
                reached.add(rng.choice(everyone))
            for i in reached:
                acting[i] = (n, n) if rng.random() < 0.8 else (n - 1, n)
        return [
            ProofServer(
                f"zk{i}",
                i,
                (SeenList.of(lists[now], f"zk{i}/zoo.cfg", lists[following]),),
                reconfig_enabled=adopt,
            )
            for i, (now, following) in acting.items()
        ]

    return case


def any_state(voters: int, changes: int, adopt: bool) -> Case:
    """The lists of a history on disks in any state whatever: mostly unsafe, sometimes only just safe."""

    def case(rng: random.Random) -> list[ProofServer]:
        lists = chain(rng, voters, changes)
        ids = sorted(frozenset[int]().union(*(m.ids for m in lists)))
        return [
            ProofServer(
                f"zk{i}",
                i,
                (SeenList.of(rng.choice(lists), f"zk{i}/zoo.cfg", rng.choice([None, rng.choice(lists)])),),
                reconfig_enabled=adopt,
            )
            for i in ids
        ]

    return case


def any_lists(voters: int, count: int, unseen: int, least: float = 0.6) -> Case:
    """Random lists, most of them large enough to meet; several on each disk, and some servers under any of them."""

    def case(rng: random.Random) -> list[ProofServer]:
        ids = range(1, voters + 1)
        lists = [
            members({i for i in ids if rng.random() < rng.uniform(least, 1)} or {1}, rng.randrange(1, 50))
            for _ in range(count)
        ]
        return [
            ProofServer(
                f"zk{i}",
                i,
                tuple(SeenList(m, f"zk{i}/zoo.cfg") for m in rng.sample(lists, min(count, 3))),
                seen=i > unseen,
                reconfig_enabled=rng.random() < 0.3,
            )
            for i in ids
        ]

    return case


# The last two are worse than any history: random lists on every disk. Their limit is the command's own (`prove --timeout`).
CASES: dict[str, tuple[Case, int, float]] = {
    "9 voters, history of 40 lists": (history(9, 40, False), 30, 0.05),
    "9 voters, history of 40 lists, taking over": (history(9, 40, True), 30, 0.05),
    "9 voters, 40 lists of a history in any state": (any_state(9, 40, False), 30, 0.05),
    "29 servers, 40 lists of 9, any state, taking over": (any_state(9, 40, True), 30, 1.0),
    "9 voters, 40 random lists, 2 unseen": (any_lists(9, 40, 2), 30, 0.05),
    "9 voters, 40 random large lists": (any_lists(9, 40, 0, 0.9), 30, 0.05),
    "25 voters, history of 10 changes": (history(25, 10, False), 30, 1.0),
    "25 voters, history of 10 changes, taking over": (history(25, 10, True), 30, 1.0),
    "25 voters, 10 changes, any state": (any_state(25, 10, False), 60, 1.0),
    "25 voters, 10 changes, any state, taking over": (any_state(25, 10, True), 30, 1.0),
    "25 voters, 20 changes, any state": (any_state(25, 20, False), 30, 1.0),
    "25 voters, 12 random lists": (any_lists(25, 12, 0), 30, 10.0),
    "25 voters, 12 random large lists": (any_lists(25, 12, 2, 0.85), 30, 10.0),
}


def main() -> int:
    late = 0
    print(f"{'case':<50} {'median':>9} {'worst':>9} {'limit':>8}  {'steps':>7}  verdicts")
    for name, (case, rounds, limit) in CASES.items():
        times, proofs = [], list[Proof]()
        for seed in range(rounds):
            servers = case(random.Random(seed))
            began = time.process_time()  # CPU time: what else the machine does is not ours
            proofs.append(prove(servers, clock=time.monotonic, budget_s=10))
            times.append(time.process_time() - began)
        counts = {v: sum(p.verdict == v for p in proofs) for v in ("safe", "unsafe", "unknown")}
        said = ", ".join(f"{n} {v}" for v, n in counts.items() if n)
        worst = max(times)
        late += worst > limit
        steps = max(p.steps for p in proofs)
        print(
            f"{name:<50} {statistics.median(times) * 1e3:>6.1f} ms {worst * 1e3:>6.1f} ms"
            f" {limit * 1e3:>5.0f} ms  {steps:>7}  {said}{'   LATE' if worst > limit else ''}"
        )
    return 1 if late else 0


if __name__ == "__main__":
    raise SystemExit(main())
