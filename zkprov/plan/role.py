"""Plans a member's change of role: an observer gets a vote, or a voter gives its up. Its process, its disk and its place stay."""

from __future__ import annotations

import msgspec

from zkprov.judge.gates import serving_voters
from zkprov.judge.health import Health
from zkprov.judge.leaving import in_sync, leaver_of, untold, vote_may_go
from zkprov.judge.newcomers import newcomers_rule
from zkprov.judge.one_quorum import prove_step
from zkprov.model.inventory import Inventory
from zkprov.model.members import Members, Seat
from zkprov.model.quorum import spare
from zkprov.model.server import Role, Server
from zkprov.plan.beginning import begun
from zkprov.plan.membership import margin
from zkprov.plan.removal import refused, state_allows
from zkprov.plan.seats import by_one, seat_for, told_of
from zkprov.plan.steps import SET_ROLE, Joiner, Leaver, Options, Plan, Proof, Refusal, Step, StepKind


class RoleWish(msgspec.Struct, frozen=True):
    """What is asked: this member, by its name in the survey, in this role. `made_by` as `user@host`; `made_at` in seconds since 1970."""

    plan_id: str
    name: str
    role: Role
    options: Options
    made_at: float
    made_by: str
    zkprov: str
    templates_digest: str = ""

    @property
    def command(self) -> str:
        return f"zkprov set-role {self.name} {self.role}"


def plan_role(health: Health, inventory: Inventory, wish: RoleWish) -> Plan | Refusal:
    """One vote more or less, by a member that is there. A plan without steps where it has the role. Total: a refusal is a value."""
    live = health.picture.live
    asked = leaver_of(health.picture, wish.name)
    server = live.get(asked.id) if live is not None and asked.id is not None else None
    if live is None or server is None:
        return refused(untold(health), wish.command)
    if server.role is wish.role:
        return begun(health, live, inventory, wish, kind=SET_ROLE, steps=())
    refusal = state_allows(health, wish.command)
    if refusal:
        return refusal
    after, host = server.with_role(wish.role), asked.name if inventory.host(asked.name) else ""
    # an observer's weight is none of its own: only its group stands in the list
    was = live.seat(server.id)
    like = Seat(was.group) if was is not None else None
    seat = seat_for(inventory.host(asked.name), asked.name, live, wish.command, votes=after.votes, like=like)
    if isinstance(seat, Refusal):
        return seat
    joiner = Joiner(host, after, seat)
    stop = _vote_more(health, live, joiner, wish) if after.votes else _vote_less(health, live, after, wish)
    if stop:
        return stop
    steps = _steps(health, live, joiner, wish.options)
    bad = tuple(f"{p.state}: {p.verdict}" for p in steps[0].proofs if p.verdict != "safe")
    if bad:
        headline = f"step 1 ({steps[0].title}) is not proved to leave one quorum."
        return Refusal("R1", headline, bad, (*by_one(steps[0]), ("zkprov prove", "shows who could elect whom")))
    plan = begun(health, live, inventory, wish, kind=SET_ROLE, steps=steps)
    notes = tuple(f"override {rule}: {reason}" for rule, reason in sorted(wish.options.overrides.items()))
    young = tuple(n.id for n in health.newcomers)
    if after.votes:
        notes = (*told_of([joiner], steps), *notes)
        return msgspec.structs.replace(plan, joiners=(joiner,), unseasoned=young, notes=notes)
    return msgspec.structs.replace(plan, leavers=(Leaver(host, server, up=True),), unseasoned=young, notes=notes)


def _vote_more(health: Health, live: Members, joiner: Joiner, wish: RoleWish) -> Refusal | None:
    again, voter = (wish.command, "again, when this is mended"), joiner.server
    if len(live.voters) == 1:
        told = (f"the list is {live}; ZooKeeper wants a quorum of the new list among those that vote or are to (-13)",)
        way = (f"zkprov remove-node {voter.id}", "then add-node: it comes in as a voter at once, as the second does")
        return Refusal("R4", "an observer cannot become the second voter.", told, (way,))
    after = live.with_server(voter, joiner.seat)
    young = {n.id for n in health.newcomers} | {voter.id}
    if violated := newcomers_rule(after, young):
        waits = ("zkprov status", "shows how long each is a newcomer still")
        return Refusal("R2", "newcomers would be a quorum.", (str(violated),), (waits, again))
    return margin(
        live,
        joiner,
        serving_voters(health.picture),
        wish.options,
        (),
        (("zkprov status", "shows who is missing"), again),
    )


def _vote_less(health: Health, live: Members, observer: Server, wish: RoleWish) -> Refusal | None:
    here, young = in_sync(health), {n.id for n in health.newcomers}
    after = live.with_server(observer)
    reasons = vote_may_go(live, after, here, young, observer.id, up=True, overrides=set(wish.options.overrides))
    return refused(reasons[0], wish.command) if reasons else None


def _steps(health: Health, live: Members, joiner: Joiner, options: Options) -> tuple[Step, ...]:
    server, host = joiner.server, joiner.host
    after, up = live.with_server(server, joiner.seat if server.votes else None), in_sync(health)
    up = up | {server.id} if server.votes else up - {server.id}
    proofs = tuple(Proof(label, str(p.verdict)) for label, p in prove_step(health.picture, live, after, server))
    kind = StepKind.PROMOTE if server.votes else StepKind.DEMOTE
    asks, left = tuple(g.gate for g in health.gates), spare(after.quorums, up & after.voters)
    undo = f"{server.id} stays what it is"
    before, then = live.at_version(0), after.at_version(0)
    first = Step(1, kind, server.id, host, before, then, left, proofs, asks, undo)
    if options.settle_s <= 0:
        return (first,)
    return first, Step(2, StepKind.SETTLE, server.id, host, then, then, left, (), asks, wait_s=options.settle_s)
