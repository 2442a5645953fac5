"""Looks at a split, and makes the plan out of it."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Mapping, Set

import msgspec

from zkprov import __version__
from zkprov.judge.health import Health, judge
from zkprov.judge.keeping import Proposal, propose
from zkprov.judge.leaders import one_leader
from zkprov.judge.sides import Side, by_data, sides_of
from zkprov.judge.verdict import Purpose, Verdict
from zkprov.model.problems import NotHealthy, Problem
from zkprov.model.split import BY_DATA
from zkprov.plan.heal import HealWish, plan_heal
from zkprov.plan.steps import Options, Plan, Refusal
from zkprov.run.journal import Journal
from zkprov.run.planning import who_am_i
from zkprov.run.world import World

APART_S = 0.4
"""Between the two looks: a leader that takes writes shows it by then."""


class Looked(msgspec.Struct, frozen=True):
    """What a look at a split found. `told_by`: what tells the sides apart."""

    health: Health
    sides: tuple[Side, ...]
    proposal: Proposal
    told_by: str


def look_at_sides(world: World, remembered: Set[str] = frozenset()) -> Looked | None:
    """None where there is one side alone: nothing to heal. Raises `NotHealthy` where that cannot be told, or nobody leads."""
    first = world.survey()
    world.stop.wait(APART_S)
    survey = world.survey()
    health = judge(survey, Purpose.LOOK, earlier=first)
    picture = health.picture
    before = {frozenset(s.servers) for s in sides_of(judge(first, Purpose.LOOK).picture) if not s.leader}
    sides = sides_of(picture, first)
    led = [s for s in sides if s.leader]
    # who only looks for a leader in this moment may find the one that there is; who lies stopped is proved to elect nobody
    up = {f.name for f in survey.servers if f.up}
    kept = [s for s in sides if s.leader or (up & set(s.servers) and frozenset(s.servers) in before)]
    sides = tuple(msgspec.structs.replace(s, name=chr(ord("A") + n)) for n, s in enumerate(kept))
    if not led:
        remedy = "zkprov status; where members are lost for good it is no split that is to be healed"
        raise NotHealthy("nobody leads", place=survey.ensemble, remedy=remedy)
    if len(led) > 1 and (gate := one_leader(picture, earlier=first)).verdict is Verdict.UNKNOWN:
        raise NotHealthy(gate.summary, place="one leader", remedy="look again: zkprov heal")
    told_by = "leaders"
    if len(sides) < 2:
        sides, told_by = by_data(picture), BY_DATA
    if len(sides) < 2:
        return None
    unread = frozenset(s.name for s in sides if s.identity is None and not s.leader)
    proposal = propose(sides, unread=unread, remembered=remembered, by_data=told_by == BY_DATA)
    return Looked(health, sides, proposal, told_by)


def histories_known(journal: Journal, ensemble: str) -> frozenset[str]:
    """The histories (`path@czxid/ctime`) that this machine's runs on the ensemble were planned for; none where it cannot be read."""
    with contextlib.suppress(Problem):
        return frozenset(r.plan.history for r in journal.runs(ensemble) if r.plan.history)
    return frozenset()


def make_heal(
    world: World,
    looked: Looked,
    keep: str,
    attested: Mapping[str, str],
    options: Options,
    made_by: str | None = None,
) -> Plan | Refusal:
    """`keep`: a side's letter or a server on it, empty for the one that the evidence speaks for; `attested`: server → why it stays off."""
    wish = HealWish(
        secrets.token_hex(3),
        keep,
        dict(attested),
        options,
        time.time(),
        who_am_i(made_by),
        __version__,
        world.templates_digest(),
        looked.told_by,
    )
    return plan_heal(looked.health, looked.sides, looked.proposal, world.inventory, wish)
