"""Plans to put a new server in the place of another, as one change: the new one in, seasoned, the old one out; of a dead one, out first.

With a dead voter still in the list an added one could be the one too many: 3 → 4 with one down has no vote to spare for the joiner (R4).
"""

from __future__ import annotations

import msgspec

from zkprov.judge.health import Health
from zkprov.judge.leaving import leaver_of
from zkprov.model.inventory import Inventory
from zkprov.model.members import Seat
from zkprov.plan.backup import with_backup
from zkprov.plan.beginning import begun
from zkprov.plan.entry import id_is_new, joiner_of
from zkprov.plan.membership import WayIn, Wish, plan_add, seated
from zkprov.plan.membership import notes_of as notes_of_the_new
from zkprov.plan.removal import WayOut, may_leave, notes_of, refused, state_allows
from zkprov.plan.seats import told_of
from zkprov.plan.steps import Joiner, Options, Plan, Refusal, Step, StepKind


class Replacement(Wish, frozen=True):
    """What is asked: the one host of `hosts` in the place of `old`, a member by its name in the survey."""

    old: str = ""

    @property
    def command(self) -> str:
        return f"zkprov replace-node {self.old} {self.hosts[0].name}"

    def like(self, health: Health) -> Seat | None:
        live, old = health.picture.live, leaver_of(health.picture, self.old).id
        return live.seat(old) if live is not None and old is not None else None


def plan_replace(health: Health, inventory: Inventory, wish: Replacement) -> Plan | Refusal:
    """`health` must judge, for a change, a survey in which the new host was asked too, with `old` excused if it is down.

    Total: a refusal is a value.
    """
    dead = health.picture.live is not None and not leaver_of(health.picture, wish.old).up
    made = (_out_and_in if dead else _in_and_out)(health, inventory, wish)
    return made if isinstance(made, Refusal) else with_backup(made, health, inventory)


def _in_and_out(health: Health, inventory: Inventory, wish: Replacement) -> Plan | Refusal:
    added = plan_add(health, inventory, wish)
    if isinstance(added, Refusal):
        return added
    leaver = leaver_of(health.picture, wish.old)
    refusal = may_leave(leaver, health, inventory, wish.command)
    if refusal:
        return refusal
    new = added.joiners[0]
    steps = list(added.steps)
    if new.server.votes:
        steps.append(_season(steps, new, wish.options.season_s))
    came = frozenset({new.server.id}) & added.final.voters
    walk = WayOut(health, added.final.at_version(added.base.version), wish.options, steps, came)
    if stop := walk.remove(leaver, inventory):
        return refused(stop, wish.command, (wish.old,))
    return msgspec.structs.replace(
        added,
        kind="replace",
        steps=tuple(walk.steps),
        leavers=tuple(walk.leavers),
        notes=(*added.notes, *notes_of(health, _without_overrides(wish), walk.leavers)),
    )


def _out_and_in(health: Health, inventory: Inventory, wish: Replacement) -> Plan | Refusal:
    live = health.picture.live
    assert live is not None  # noqa: S101 — the caller has looked
    leaver = leaver_of(health.picture, wish.old)
    stop = state_allows(health, wish.command, (wish.old,)) or may_leave(leaver, health, inventory, wish.command)
    if stop:
        return stop
    # whether the new one may come in at all, before the old one is gone
    joiner = joiner_of(wish.hosts[0], health, inventory, (), wish.options.role)
    if not isinstance(joiner, Refusal):
        joiner = seated(joiner, wish.hosts[0], health, wish)
    if isinstance(joiner, Refusal):
        return joiner
    if known := id_is_new(joiner, health, inventory):
        return known
    out = WayOut(health, live, wish.options)
    if why_not := out.remove(leaver, inventory):
        return refused(why_not, wish.command, (wish.old,))
    walk = WayIn(health, out.list, wish, out.steps)
    if refusal := walk.add(joiner):
        return refusal
    plan = begun(health, live, inventory, wish, kind="replace", steps=walk.steps)
    return msgspec.structs.replace(
        plan,
        joiners=(joiner,),
        leavers=tuple(out.leavers),
        unseasoned=tuple(n.id for n in walk.first_newcomers),
        notes=(
            *told_of([joiner], walk.steps),
            *notes_of_the_new(health, wish),
            *notes_of(health, _without_overrides(wish), out.leavers),
        ),
    )


def _season(steps: list[Step], new: Joiner, wait_s: float) -> Step:
    """The new one is a voter like the others before the old one goes: the old disk is the better one until then."""
    last = steps[-1]
    return Step(
        len(steps) + 1,
        StepKind.SEASON,
        new.server.id,
        new.host,
        last.after,
        last.after,
        last.spare_after,
        wait_s=wait_s,
    )


def _without_overrides(wish: Replacement) -> Options:
    """They stand among the notes of the new one."""
    return msgspec.structs.replace(wish.options, overrides={})
