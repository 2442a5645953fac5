"""Looks at a split, and makes the plan out of it."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Mapping, Sequence, Set

import msgspec

from zkprov import __version__
from zkprov.act import backups
from zkprov.act.backups import Known
from zkprov.judge.health import Health, judge
from zkprov.judge.incidents import Shape
from zkprov.judge.keeping import Proposal, propose
from zkprov.judge.leaders import one_leader
from zkprov.judge.picture import Picture, own_list
from zkprov.judge.sides import LETTERS, Side, by_data, sides_of
from zkprov.judge.verdict import Purpose, Verdict
from zkprov.model.facts import Identity, ServerFacts, Survey
from zkprov.model.problems import NotHealthy, Problem
from zkprov.model.split import BY_DATA
from zkprov.plan.fencing import HealWish
from zkprov.plan.heal import plan_heal
from zkprov.plan.steps import Options, Plan, Refusal
from zkprov.run.journal import Journal
from zkprov.run.planning import who_am_i
from zkprov.run.world import World

APART_S = 0.4
"""Between the two looks: a leader that takes writes shows it by then."""
LOOKS = 8
"""So often it is looked again where something is wrong, and one look does not show both sides: servers that cannot join come and go."""
UNTOLD = frozenset({Shape.CANNOT_COMMIT, Shape.FULL_DISK})
"""Incidents without a second side: there is nobody to fence."""


class Looked(msgspec.Struct, frozen=True):
    """What a look at a split found. `told_by`: what tells the sides apart."""

    health: Health
    sides: tuple[Side, ...]
    proposal: Proposal
    told_by: str


def look_at_sides(world: World, remembered: Set[str] = frozenset()) -> Looked | None:
    """None where there is one side alone: nothing to heal. Raises `NotHealthy` where that cannot be told, or nobody leads."""
    since = time.monotonic()
    first = world.survey()
    suspected = judge(first, Purpose.LOOK).suspected
    for _ in range(LOOKS):
        world.stop.wait(APART_S)
        survey = world.survey()
        # what is suspected for long enough is told: a leader that opens no session
        since = since if suspected else time.monotonic()
        health = judge(survey, Purpose.LOOK, earlier=first, shut_s=time.monotonic() - since)
        suspected = health.suspected
        if (found := _looked(world, first, health, remembered)) is not None:
            return found
        alone = one_side(health)
        # who serves nobody since a moment ago may be another side's, which has just lost its leader: the next look tells by his disk
        if alone and lookers(survey) <= lookers(first):
            return None
        first = survey
    if alone:
        return None
    remedy = "zkprov status; then look again: zkprov heal"
    what = f"something is wrong, and one side alone shows itself: {health.gate('no incident').summary}"
    raise NotHealthy(what, place="sides", remedy=remedy)


def one_side(health: Health) -> bool:
    """Whether there is nothing to heal, where one side shows itself: no incident, nor what may be one.

    Raises `NotHealthy` with its remedy for an incident of one side alone: it is none for `heal`, and not nothing.
    """
    alone = next((i for i in health.incidents if i.shape in UNTOLD), None)
    if alone is not None:
        steps = "; ".join(alone.next[:-1])
        raise NotHealthy(f"{alone}; there is no other side to fence", place="sides", remedy=steps)
    return health.gate("no incident").verdict is Verdict.PASS


def _looked(world: World, first: Survey, health: Health, remembered: Set[str]) -> Looked | None:
    """Of two looks, one after the other."""
    survey = health.picture.survey
    picture = health.picture
    sides = sides_of(picture, first)
    led = [s for s in sides if s.leader]
    if not led:
        one_side(health)
        remedy = "zkprov status; where members are lost for good it is no split that is to be healed"
        raise NotHealthy("nobody leads", place=survey.ensemble, remedy=remedy)
    if len(led) > 1 and (gate := one_leader(picture, earlier=first)).verdict is Verdict.UNKNOWN:
        raise NotHealthy(gate.summary, place="one leader", remedy="look again: zkprov heal")
    # who looked for a leader in both looks, and found none; who lies stopped is proved to elect nobody
    looking = lookers(survey) & lookers(first)
    disks = _told_by_disks(world, looking)
    sides = with_disks(sides, picture, looking, disks)
    told_by = "leaders"
    if len(sides) < 2 and (shown := _of_incident(health)):
        disks |= _told_by_disks(world, {n for s in shown if not s.leader for n in s.servers} - disks.keys())
        sides = tuple(s if s.leader else _holding(s, _furthest(s, disks)) for s in shown)
    if len(sides) < 2:
        sides = tuple(s for s in by_data(picture) if any(_serves(survey, name) for name in s.servers))
        told_by = BY_DATA
        kept = next((s for s in sides if s.leader), None)
        sides = tuple(msgspec.structs.replace(s, members=kept.members if kept else s.members) for s in sides)
    if len(sides) < 2:
        return None
    unread = frozenset(
        s.name for s in sides if s.identity is None and not s.leader and not disks.keys() & set(s.servers)
    )
    proposal = propose(sides, unread=unread, remembered=remembered, by_data=told_by == BY_DATA)
    return Looked(health, sides, proposal, told_by)


def _of_incident(health: Health) -> tuple[Side, ...]:
    """The sides of the first incident that names two of them: of a lost history the other side lies on the disk of one that is down."""
    return next((i.sides for i in health.incidents if len(i.sides) > 1 and i.shape not in (Shape.MERGED, *UNTOLD)), ())


def _furthest(side: Side, disks: Mapping[str, Known]) -> Known | None:
    return max((disks[n] for n in side.servers if n in disks), key=lambda k: k.zxid, default=None)


def lookers(survey: Survey) -> frozenset[str]:
    """Who looks for a leader, by name."""
    return frozenset(f.name for f in survey.servers if _looks(f))


def _looks(facts: ServerFacts) -> bool:
    """Whether it runs and follows nobody, and has data to lose."""
    disk = facts.disk.value
    # one that tries to follow, and is turned away, answers nothing at times
    return disk is not None and disk.has_data and not facts.serving and (facts.up or disk.active is True)


def _serves(survey: Survey, name: str) -> bool:
    facts = survey.by_name(name)
    return facts is not None and facts.serving


def _told_by_disks(world: World, names: Set[str]) -> dict[str, Known]:
    """What those servers hold that no session can be asked of; without those whose disks cannot be read."""
    found = {}
    for name in sorted(names):
        if world.inventory.host(name) is not None:
            with contextlib.suppress(Problem):
                found[name] = backups.history(world.host(name))
    return found


def with_disks(
    sides: Sequence[Side], picture: Picture, looking: Set[str], disks: Mapping[str, Known]
) -> tuple[Side, ...]:
    """The sides that are led, those of `looking` servers, and who is under the list of one that is led and holds another history.

    Named anew. What a side without a leader holds is told by its disks.
    """
    found = [s for s in sides if s.leader]
    found += [_holding(s, _furthest(s, disks)) for s in sides if not s.leader and looking & set(s.servers)]
    taken = {name for s in found for name in s.servers}
    apart: dict[Identity, list[str]] = {}
    for name in sorted(looking - taken):
        identity = _identity(disks.get(name))
        if identity is not None and any(_another(identity, s.identity) for s in found if s.leader):
            apart.setdefault(identity, []).append(name)
    for identity, names in apart.items():
        there = [f for n in names if (f := picture.survey.by_name(n)) is not None]
        ids = frozenset(f.id for f in there if f.id is not None)
        own = next((m for f in there if (m := own_list(f)) is not None), None)
        for other in own.ids - ids if own is not None else ():
            # who else is in that list has the other history: those that have this one are all that is left of it
            own = own.without(other) if own is not None else None
        zxid = max(disks[n].zxid for n in names)
        found.append(Side("", tuple(names), ids, members=own, epoch=zxid >> 32, zxid=zxid, identity=identity))
    return tuple(msgspec.structs.replace(s, name=LETTERS[n]) for n, s in enumerate(found[: len(LETTERS)]))


def _holding(side: Side, known: Known | None) -> Side:
    if known is None:
        return side
    return msgspec.structs.replace(side, identity=_identity(known), zxid=known.zxid, epoch=known.zxid >> 32)


def _identity(known: Known | None) -> Identity | None:
    return Identity(known.path, known.czxid, known.ctime_ms) if known is not None and known.path else None


def _another(one: Identity, other: Identity | None) -> bool:
    return other is not None and one.path == other.path and one != other


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
