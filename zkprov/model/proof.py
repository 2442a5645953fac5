"""The proof of R1: from the lists that every server may act under, whether two leaders can be elected at once.

The rule is FACTS' "The quorum rule". Where it leaves room, the source of release 3.9.5 decides:

- With a newer `.next`, a quorum of both lists is needed (`FastLeaderElection.getVoteTracker`), while a voter of either is heard
  and believed (`validVoter`, `getCurrentAndNextConfigVoters`); it proposes itself only as a voter of the list it acts under
  (`getInitId`). A `.next` that is not newer counts for nothing.
- A notification carries the sender's committed list, never its `.next`, whoever the sender is: voter or not, leading, following
  or looking. So a server with `reconfigEnabled` may act under the acting list of *any* other server that is not destroyed, also
  one that stays outside its set, if the version is strictly higher than that of its own (`WorkerReceiver.run`). It keeps a `.next`
  that is newer still (`setQuorumVerifier`). This goes only upwards and only to lists that were committed, so in a history of
  reconfigs it adds no second quorum: each committed list left its mark (`.next` or the list itself) on a quorum of its predecessor,
  adopting never wipes out such a mark, and every set that can elect therefore holds a quorum of the latest committed list.
- Nothing is assumed about the moment: any server may be up, down or looking. So a proof lasts until a list changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from zkprov.model.acting import How, ProofServer, SeenList
from zkprov.model.proof_search import Budget, OutOfBudget, Search
from zkprov.model.witness import Case, Side, Standing, Witness

__all__ = ["How", "Proof", "ProofServer", "SeenList", "Side", "Standing", "Verdict", "Witness", "prove"]

STEPS = 100_000


class Verdict(StrEnum):
    SAFE = "safe"
    UNSAFE = "unsafe"
    UNKNOWN = "unknown"


class Proof(msgspec.Struct, frozen=True):
    """What came out. `reason` and `fetch` (the files to look at) go with `unknown`; `steps` tells how hard it was."""

    verdict: Verdict
    witness: Witness | None = None
    reason: str = ""
    fetch: tuple[str, ...] = ()
    servers: int = 0
    lists: int = 0
    steps: int = 0

    @property
    def safe(self) -> bool:
        return self.verdict is Verdict.SAFE


def prove(
    servers: Sequence[ProofServer],
    *,
    steps: int = STEPS,
    clock: Callable[[], float] | None = None,
    budget_s: float | None = None,
) -> Proof:
    """Whether no two disjoint sets of `servers` can each elect a leader (R1), exactly.

    Unsafe only through lists that were assumed, or not decided within `steps` search steps (some 20 to 200 µs each) or
    `budget_s` seconds by `clock`: unknown. Never safe then.
    """
    budget = Budget(steps, clock, budget_s)
    case = Case(servers)
    unread = tuple(s.to_fetch() for s in case.servers if not s.seen)
    if unread and not any(s.lists or s.supposed for s in case.servers):
        return Proof(Verdict.UNKNOWN, None, "no list of any server could be read", unread, len(case.servers))
    witness: Witness | None = None
    verdict, reason = Verdict.SAFE, ""
    try:
        # With all that is assumed first: a state that is safe even so, the common case, needs one search.
        for assume in (True, False):
            split = Search(case.actors(assume), case.lists, budget).find()
            if split is None:
                break
            witness = case.witness(split, assume)
            verdict = Verdict.UNKNOWN if witness.assumed else Verdict.UNSAFE
            if verdict is Verdict.UNSAFE:
                break
        if witness and witness.assumed:
            reason = f"nobody has seen the files of {', '.join(witness.assumed)}"
    except OutOfBudget as spent:
        verdict, reason = Verdict.UNKNOWN, f"the search ran out of its {spent} after {budget.spent} steps"
    assumed = witness.assumed if witness else ()
    fetch = tuple(s.to_fetch() for s in case.servers if s.name in assumed)
    return Proof(verdict, witness, reason, fetch, len(case.servers), len(case.lists), budget.spent)
