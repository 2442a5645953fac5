"""All gates put to one survey, and the one verdict that a person reads: safe, degraded, unsafe or unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from enum import StrEnum

import msgspec

from zkprov.judge import data, gates
from zkprov.judge.certificates import certificates
from zkprov.judge.incidents import Incident, gate_of, incidents_of
from zkprov.judge.leaders import Leader, leaders_of, one_leader
from zkprov.judge.lost_history import Confirmed
from zkprov.judge.newcomers import Newcomer, newcomers_in
from zkprov.judge.one_quorum import one_quorum
from zkprov.judge.picture import Picture, picture_of
from zkprov.judge.releases import releases_as_planned
from zkprov.judge.room import room
from zkprov.judge.sasl import sasl
from zkprov.judge.verdict import GateResult, Purpose, Verdict
from zkprov.model.facts import Survey
from zkprov.model.quorum import spare
from zkprov.model.tree import Compared


class Condition(StrEnum):
    SAFE = "safe"
    DEGRADED = "degraded"
    UNSAFE = "unsafe"
    UNKNOWN = "unknown"


class Health(msgspec.Struct, frozen=True):
    """A judged survey. `spare`: voters that may fail before quorum is lost, −1 when it is lost.

    `incidents`: the shapes of a second ensemble, or of a lost one, that it shows. `suspected`: whether the next look may show one.
    """

    condition: Condition
    picture: Picture
    leaders: tuple[Leader, ...]
    newcomers: tuple[Newcomer, ...]
    spare: int
    gates: tuple[GateResult, ...]
    incidents: tuple[Incident, ...] = ()
    suspected: bool = False

    @property
    def headline(self) -> str:
        """What stands behind the verdict on the first line of `status`."""
        weak = self.condition is Condition.DEGRADED and bool(self.incidents) and self.incidents[0].weak
        if self.incidents and (self.condition is Condition.UNSAFE or weak):
            return str(self.incidents[0])
        worst = next((g for g in self.gates if g.unsafe and g.verdict is Verdict.FAIL), None)
        worst = worst or next((g for g in self.gates if g.stops), None)
        if worst is None or worst.gate in ("one leader", "no rogue"):
            return worst.summary if worst else ""
        return f"{worst.gate}: {worst.summary}"

    def gate(self, name: str) -> GateResult:
        return next(g for g in self.gates if g.gate == name)


def judge(
    survey: Survey,
    purpose: Purpose = Purpose.LOOK,
    *,
    earlier: Survey | None = None,
    doubted_s: float = 0.0,
    excused: Set[int] = frozenset(),
    releases: Mapping[int, Set[str]] | None = None,
    confirmed: Confirmed | None = None,
    commits: bool | None = None,
    trees: Compared | None = None,
    shut_s: float = 0.0,
) -> Health:
    """Puts every gate to a survey. `earlier`: the sample before. `excused`: ids that need not answer just now.

    `releases`: what each member may run at this moment of a change of releases; None where all are to run the same.
    `confirmed`: what a watch saw when all was well. `commits`: whether the leader opened a new session just now; None where not asked.
    `trees`: what a comparison of the members' trees came to. `shut_s`: for how long now no look could open a session, in seconds.
    """
    picture = picture_of(survey)
    asked: list[Callable[[], GateResult]] = [
        lambda: one_leader(picture, purpose, doubted_s=doubted_s, earlier=earlier),
        lambda: gates.no_rogue(picture, purpose),
        lambda: gates.no_standalone(picture, purpose),
        lambda: gates.members_answer(picture, purpose, excused),
        lambda: gates.same_config(picture, purpose, excused),
        lambda: gates.voting_as_planned(picture, purpose, excused),
        lambda: data.synced(picture, purpose, earlier, excused),
        lambda: data.same_history(picture, purpose, excused),
        lambda: data.digests_equal(picture, purpose, earlier),
        lambda: gates.spare_kept(picture, purpose, excused),
        lambda: (
            gates.release_allowed(picture, purpose, excused)
            if releases is None
            else releases_as_planned(picture, releases, excused)
        ),
        lambda: certificates(picture, purpose, excused),
        lambda: sasl(picture, purpose, excused),
        lambda: room(picture, purpose, excused),
        lambda: one_quorum(picture, purpose),
    ]
    if purpose is Purpose.CHANGE:
        asked += [lambda: gates.dynamic(picture, purpose, excused), lambda: gates.ledger_read(picture, purpose)]
    results = tuple(ask() for ask in asked)
    leaders = leaders_of(picture, earlier)
    shapes = incidents_of(picture, leaders, results, earlier, confirmed, commits, trees, shut_s)
    results = (*results, gate_of(shapes, purpose))
    left = spare(picture.live.quorums, gates.serving_voters(picture)) if picture.live else -1
    return Health(
        condition=_condition(results, left),
        picture=picture,
        leaders=leaders,
        # to look, this machine's clock will do; a change goes by the ensemble's own
        newcomers=newcomers_in(picture, now_ms=int(survey.began * 1000) if purpose is Purpose.LOOK else 0),
        spare=left,
        gates=results,
        incidents=shapes.incidents,
        suspected=bool(shapes.suspected),
    )


def _condition(results: Sequence[GateResult], left: int) -> Condition:
    """Danger before all; unknown where no leader is told or no quorum seen, whatever one server says; then weakness."""
    if any(r.unsafe and r.verdict is Verdict.FAIL for r in results):
        return Condition.UNSAFE
    leader = next(r for r in results if r.gate == "one leader")
    if (
        left < 0
        or leader.verdict is not Verdict.PASS
        or any(r.verdict is Verdict.UNKNOWN and r.required for r in results)
    ):
        return Condition.UNKNOWN
    return Condition.DEGRADED if any(r.verdict is Verdict.FAIL for r in results) else Condition.SAFE
