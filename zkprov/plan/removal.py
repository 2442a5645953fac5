"""Plans the way out for servers, one at a time: observers first, then voters that are down, then the others, the leader last.

The invariant that every planned state keeps: one quorum, whatever crashes, also with the disk of who left (R1); newcomers are a quorum of
no list (R2); one vote changes per step (R3); the rest in sync is a quorum of the shorter list, and as many may fail as before, or one (R4).
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import msgspec

from zkprov.judge.gates import dynamic
from zkprov.judge.health import Health
from zkprov.judge.leaving import Leaver as Asked
from zkprov.judge.leaving import (
    Reason,
    as_it_is,
    in_order,
    in_sync,
    leaver_of,
    may_be_up,
    not_its_disk,
    untold,
    vote_may_go,
)
from zkprov.judge.newcomers import ledger_in
from zkprov.judge.one_quorum import prove_step
from zkprov.judge.verdict import Purpose, Verdict, first_stop
from zkprov.model.facts import GONE
from zkprov.model.inventory import Inventory
from zkprov.model.members import Members
from zkprov.model.quorum import spare
from zkprov.model.server import Role, Server
from zkprov.plan.backup import with_backup
from zkprov.plan.beginning import begun
from zkprov.plan.steps import Leaver, Options, Plan, Proof, Refusal, Step, StepKind, seconds

AGAIN = "again, when this is mended"


class RemovalWish(msgspec.Struct, frozen=True):
    """What is asked: these members, by their names in the survey. `made_by` as `user@host`; `made_at` in seconds since 1970."""

    plan_id: str
    names: tuple[str, ...]
    options: Options
    made_at: float
    made_by: str
    zkprov: str
    templates_digest: str = ""

    @property
    def command(self) -> str:
        return f"zkprov remove-node {' '.join(self.names)}"


def plan_remove(health: Health, inventory: Inventory, wish: RemovalWish) -> Plan | Refusal:
    """Removes members one at a time. `health` must judge, for a change, with those that leave excused. Total: a refusal is a value."""
    live = health.picture.live
    if live is None:
        return refused(untold(health), wish.command, wish.names)
    leavers = in_order(leaver_of(health.picture, name) for name in wish.names)
    stop = state_allows(health, wish.command, wish.names)
    refusal = stop or next((r for x in leavers if (r := may_leave(x, health, inventory, wish.command))), None)
    if refusal:
        return refusal
    if live.voters <= {x.id for x in leavers}:
        # none of the others is asked after either: no override lets all of them go
        last = next(x for x in reversed(leavers) if x.id in live.voters)
        return refused(Reason("R4", f"{last.id} is the last voter"), wish.command, wish.names)
    walk = WayOut(health, live, wish.options)
    for leaver in leavers:
        if why_not := walk.remove(leaver, inventory):
            return refused(why_not, wish.command, wish.names)
    plan = begun(health, live, inventory, wish, kind="remove", steps=walk.steps)
    plan = msgspec.structs.replace(
        plan,
        leavers=tuple(walk.leavers),
        unseasoned=tuple(sorted(walk.newcomers)),
        notes=notes_of(health, wish.options, walk.leavers),
    )
    return with_backup(plan, health, inventory)


def excused(leavers: Sequence[Asked]) -> frozenset[int]:
    """Who need not be well for the plan: who is down; and one that is up, if it is alone: each must be well while another leaves."""
    few = sum(x.up for x in leavers) < 2
    return frozenset(x.id for x in leavers if x.id is not None and (few or not x.up))


def state_allows(
    health: Health, command: str, names: Sequence[str] = (), unneeded: Set[str] = frozenset()
) -> Refusal | None:
    """The ensemble as it is: danger first, then what has a name, then the gates but the `unneeded` ones."""
    first = next(iter(as_it_is(health)), None)
    if first is not None:
        return refused(first, command, names)
    static = dynamic(health.picture, Purpose.LOOK)
    if static.verdict is Verdict.FAIL and static.gate not in unneeded:
        told = tuple(map(str, static.evidence))
        return Refusal("R12", "the list of this ensemble is not changed as it is.", told, (("", static.remedy),))
    stop = first_stop([g for g in health.gates if g.gate not in unneeded])
    if stop is None:
        return None
    headline = f"gate `{stop.gate}` {'failed' if stop.verdict is Verdict.FAIL else 'is unknown'}."
    told = tuple(str(e) for e in stop.evidence) or (stop.summary,)
    remedies = (("", stop.remedy),) if stop.remedy else ()
    following = (("zkprov check", "shows every gate"), *remedies, (command, AGAIN))
    return Refusal("R8", headline, told, following, exit_code=4)


def may_leave(leaver: Asked, health: Health, inventory: Inventory, command: str) -> Refusal | None:
    """Leaving is complete (R7): who may be up must be one that can be stopped from here, and what lies there must be its own."""
    picture, live = health.picture, health.picture.live
    server = live.get(leaver.id) if live is not None and leaver.id is not None else None
    if server is None:
        return None
    again, host = (command, AGAIN), inventory.host(leaver.name)
    known = ledger_in(picture)
    before = next((r for r in known.retired if r.id == server.id and r.fate not in GONE), None) if known else None
    if before is not None:
        told = (f"{before.host}: {before.fate}" + (f", {before.where}" if before.where else ""),)
        attest = (f"zkprov retired attest {server.id} --wiped|--destroyed --reason …", "once that disk is gone")
        return Refusal("R7", f"a disk of id {server.id} that left before may still vote.", told, (attest, again))
    if not leaver.up and (why := may_be_up(picture, leaver)):
        ways = (("", f"see that {leaver.name} is down, or can be asked"), again)
        return Refusal("R8", f"whether {leaver.name} is down cannot be told.", (why,), ways, exit_code=4)
    if leaver.up and host is None:
        told = (f"it serves, and is no host of the group {inventory.ensemble}",)
        ways = (
            ("", f"name it in {inventory.path}, so that it can be stopped and its disk set aside"),
            (command, "or stop it by hand; one that is down can leave, and its disk stays named until it is attested"),
        )
        return Refusal("R7", f"{leaver.name} could not be stopped once it has left.", told, ways)
    facts = picture.survey.by_name(leaver.name)
    why = not_its_disk(facts.disk.value if facts else None, server) if leaver.up else ""
    if why:
        ways = (("", f"correct zkprov_config_dir and zkprov_data_dir of {leaver.name}"), again)
        return Refusal("R7", f"what would be set aside on {leaver.name} is not known to be its own.", (why,), ways)
    return None


def refused(reason: Reason, command: str, names: Sequence[str] = ()) -> Refusal:
    """`names`: of those that are to leave."""
    following: tuple[tuple[str, str], ...] = (("zkprov status", "shows every server"),)
    if names:
        following += (("zkprov ok-to-remove " + " ".join(names), "asks the same, and changes nothing"),)
    if reason.rule == "R4" and "last voter" not in reason.what:
        forced = (f"{command} --override R4 --reason …", "in an emergency, while a quorum stays")
        following = (("zkprov add-node HOST", "adds another first"), forced)
    return Refusal(
        reason.rule, f"{reason.what}.", reason.evidence, following, exit_code=4 if reason.rule == "R8" else 3
    )


class WayOut:
    """Carries the list and the voters in sync from step to step while a plan is made. `live`: the list that it begins with, after `steps`.

    `came`: whom those steps made voters.
    """

    def __init__(
        self, health: Health, live: Members, options: Options, steps: Sequence[Step] = (), came: Set[int] = frozenset()
    ) -> None:
        self.health, self.list, self.options = health, live, options
        self.here = in_sync(health) | came
        self.newcomers = frozenset(n.id for n in health.newcomers)
        self.steps: list[Step] = list(steps)
        self.leavers: list[Leaver] = []

    def remove(self, asked: Asked, inventory: Inventory) -> Reason | None:
        server = self.list.get(asked.id) if asked.id is not None else None
        if server is None:
            return Reason("", f"{asked.name} is no member of {self.list}")
        before, after = self.list, self.list.without(server.id)
        reasons = (
            vote_may_go(
                before, after, self.here, self.newcomers, server.id, up=asked.up, overrides=set(self.options.overrides)
            )
            if server.votes
            else []
        )
        if reasons:
            return reasons[0]
        leaver = Leaver(asked.name if inventory.host(asked.name) else "", server, asked.up)
        self.leavers.append(leaver)
        self.here -= {server.id}
        if asked.part == "leader":
            observer = server.with_role(Role.OBSERVER)
            self._step(StepKind.HAND_OVER, leaver, before, before.with_server(observer), about=observer)
            before = before.with_server(observer)
        self._step(StepKind.REMOVE, leaver, before, after, about=server)
        self._step(StepKind.RETIRE, leaver, after, after)
        self.list = after
        if self.options.settle_s > 0:
            self._step(StepKind.SETTLE, leaver, after, after, wait_s=self.options.settle_s)
        return self._unproved()

    def _unproved(self) -> Reason | None:
        for step in self.steps:
            if bad := tuple(f"{p.state}: {p.verdict}" for p in step.proofs if p.verdict != "safe"):
                seat = step.before.seat(step.server)
                if seat is not None and seat.weight > 1:
                    bad += (f"its weight is {seat.weight}: that many votes would go at once",)
                return Reason("R1", f"step {step.number} ({step.title}) is not proved to leave one quorum", bad)
        return None

    def _step(
        self,
        kind: StepKind,
        leaver: Leaver,
        before: Members,
        after: Members,
        *,
        about: Server | None = None,
        wait_s: float = 0.0,
    ) -> None:
        proved = prove_step(self.health.picture, before, after, about) if about else ()
        undo = f"{leaver.server.id} stays what it is" if kind in (StepKind.HAND_OVER, StepKind.REMOVE) else ""
        self.steps.append(
            Step(
                number=len(self.steps) + 1,
                kind=kind,
                server=leaver.server.id,
                host=leaver.host,
                before=before.at_version(0),
                after=after.at_version(0),
                spare_after=spare(after.quorums, self.here & after.voters),
                proofs=tuple(Proof(label, str(p.verdict)) for label, p in proved),
                asks=tuple(g.gate for g in self.health.gates),
                undo=undo,
                wait_s=wait_s,
            )
        )


def notes_of(health: Health, options: Options, leavers: Sequence[Leaver]) -> tuple[str, ...]:
    notes = []
    for leaver in leavers:
        server_id, facts = leaver.server.id, health.picture.member(leaver.server.id)
        if not leaver.up:
            where = f"if {leaver.host} cannot be reached" if leaver.host else "it is no host of the inventory"
            may = "can vote" if leaver.server.votes else "has the list"
            notes.append(
                f"R7: {server_id} is down: its disk {may} until somebody attests it wiped or destroyed, {where}"
            )
        elif facts is not None and facts.cons.value is None:
            notes.append(f"how many clients are on {server_id} is not told ({facts.cons})")
        elif facts is not None and (count := len(facts.cons.value or ())):
            sessions, limit = "session is" if count == 1 else "sessions are", seconds(options.drain_s)
            notes.append(f"{count} client {sessions} on {server_id}; waited for {limit} at most")
    if hosts := ", ".join(x.host for x in leavers if x.host):
        notes.append(f"take {hosts} out of the inventory afterwards: --all-missing would add it again")
    notes.extend(f"override {rule}: {reason}" for rule, reason in sorted(options.overrides.items()))
    return tuple(notes)
