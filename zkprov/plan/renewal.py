"""Plans to bring a member back whose disk is new: as itself, with the live list and nothing else, and a newcomer again (R2, R10).

Until it is in sync it counts as absent, never as empty: `db.autocreate=false` keeps a server without data from voting (FACTS, from 3.6 on).
"""

from __future__ import annotations

import msgspec

from zkprov.judge.health import Health
from zkprov.judge.leaving import in_sync, leaver_of, may_be_up, not_to_be_started, untold
from zkprov.judge.new_disk import not_new, unread
from zkprov.judge.newcomers import newcomers_in, newcomers_rule
from zkprov.judge.one_quorum import prove_step
from zkprov.judge.releases import running
from zkprov.model.inventory import Inventory
from zkprov.model.members import Members
from zkprov.model.quorum import braces, spare
from zkprov.model.server import Server
from zkprov.plan.backup import with_backup
from zkprov.plan.beginning import begun
from zkprov.plan.entry import of_another_release
from zkprov.plan.removal import refused, state_allows
from zkprov.plan.steps import RENEWAL, Options, Plan, Proof, Refusal, Restarted, Step, StepKind, seconds


class RenewalWish(msgspec.Struct, frozen=True):
    """What is asked: this member, by its name in the survey. `made_by` as `user@host`; `made_at` in seconds since 1970."""

    plan_id: str
    name: str
    options: Options
    made_at: float
    made_by: str
    zkprov: str
    templates_digest: str = ""

    @property
    def command(self) -> str:
        return f"zkprov replace-node {self.name} --same-host"


def plan_renew(health: Health, inventory: Inventory, wish: RenewalWish) -> Plan | Refusal:
    """`health` must judge, for a change, with the member excused. Total: a refusal is a value."""
    live = health.picture.live
    if live is None:
        return refused(untold(health), wish.command)
    member = leaver_of(health.picture, wish.name)
    server = live.get(member.id) if member.id is not None else None
    if server is None:
        told = (f"the members are {live}",)
        return Refusal("", f"{wish.name} is no member.", told, (("zkprov status", "shows who is"),), exit_code=2)
    if refusal := _not_to_be_laid(health, inventory, server, wish) or state_allows(health, wish.command):
        return refusal
    return _planned(health, live, inventory, server, wish)


def _not_to_be_laid(health: Health, inventory: Inventory, server: Server, wish: RenewalWish) -> Refusal | None:
    """It is down, from here it can be started, and its disk is a new one."""
    member, again = leaver_of(health.picture, wish.name), (wish.command, "again, when this is mended")
    told: tuple[str, ...]
    ways: tuple[tuple[str, str], ...]
    if member.up:
        told = (f"{wish.name} serves, so its disk is no new one",)
        ways = ((f"zkprov replace-node {wish.name} NEW", "puts another host in its place"),)
        return Refusal("R5", f"{wish.name} is not down.", told, ways)
    if why := may_be_up(health.picture, member):
        ways = (("", f"see that {wish.name} is down, or can be asked"), again)
        return Refusal("R8", f"whether {wish.name} is down cannot be told.", (why,), ways, exit_code=4)
    host = inventory.host(wish.name)
    if host is None:
        ways = (("", f"name it in {inventory.path}, so that it can be laid and started"), again)
        told = (f"it is no host of the group {inventory.ensemble}",)
        return Refusal("R8", f"{wish.name} cannot be started from here.", told, ways, exit_code=4)
    facts = health.picture.survey.by_name(wish.name)
    if why := unread(facts):
        ways = (
            ("", f"make its folders on {wish.name} readable, or move what is left of its configuration aside"),
            again,
        )
        return Refusal("R8", f"whether the disk of {wish.name} is new cannot be told.", (why,), ways, exit_code=4)
    if why := not_new(facts, server):
        disk = facts.disk.value if facts is not None else None
        if disk is not None and disk.active:
            ways = (
                ("", f"see why it does not answer, and end it on {wish.name} before anything there is moved"),
                again,
            )
            return Refusal("R5", f"{wish.name} has no new disk.", (why,), ways)
        own = not not_to_be_started(disk, server)
        starts = (f"zkprov restart --only {wish.name}", "starts it on what it has")
        ways = (
            *([starts] if own else []),
            ("", f"move what lies there aside on {wish.name}, where it is not needed, and {wish.command} again"),
        )
        return Refusal("R5", f"{wish.name} has no new disk.", (why,), ways)
    old = {f"{i}: runs {r}" for i, r in running(health.picture).items() if not r.has_autocreate}
    if old:
        told = (*sorted(old), "db.autocreate=false, which keeps an empty server from voting, came with 3.6")
        ways = ((f"zkprov remove-node {wish.name}", "takes it out; with add-node it comes in as a newcomer"),)
        return Refusal("R5", f"{wish.name} could vote while it is empty.", told, ways)
    return of_another_release(host, health)


def _planned(health: Health, live: Members, inventory: Inventory, server: Server, wish: RenewalWish) -> Plan | Refusal:
    here = in_sync(health)
    told: tuple[str, ...]
    if not live.quorums.contains_quorum(here - {server.id}):
        told = (f"{live}: in sync without {server.id}: {braces(here - {server.id})}; {live.quorums.describe()}",)
        return Refusal("R4", "the others are no quorum without it.", told, (("zkprov status", "shows who is missing"),))
    found = newcomers_in(health.picture, wish.options.season_s)
    young = {n.id for n in found} | ({server.id} & live.voters)
    if server.votes and (violated := newcomers_rule(live, young)):
        soonest = min((n.left_s for n in found if n.id != server.id), default=0.0)
        told = (str(violated), f"its data is new, so it is a newcomer again, beside {braces(young - {server.id})}")
        ways = ((wish.command, f"again, when the first of them is seasoned (in {seconds(soonest)})"),)
        return Refusal("R2", "newcomers would be a quorum.", told, ways)
    proofs = tuple(Proof(x, str(p.verdict)) for x, p in prove_step(health.picture, live, live, server))
    if unproved := tuple(f"{p.state}: {p.verdict}" for p in proofs if p.verdict != "safe"):
        ways = (("zkprov prove", "shows who could elect whom"),)
        return Refusal("R1", f"to bring {server.id} back is not proved to leave one quorum.", unproved, ways)
    host, same, asks = wish.name, live.at_version(0), tuple(g.gate for g in health.gates)
    after = spare(live.quorums, here | ({server.id} & live.voters))
    undo = f"stop {server.id}, set what was laid aside"
    steps = [Step(1, StepKind.RETURN, server.id, host, same, same, after, proofs, asks, undo)]
    if wish.options.settle_s > 0:
        steps.append(Step(2, StepKind.SETTLE, server.id, host, same, same, after, wait_s=wish.options.settle_s))
    plan = begun(health, live, inventory, wish, kind=RENEWAL, steps=steps)
    notes = [f"until {server.id} is in sync it counts as absent: {spare(live.quorums, here)} may fail meanwhile"]
    if server.votes:
        season = seconds(wish.options.season_s)
        notes.append(f"{server.id} is a newcomer again, for {season}; its former disk must not be started anywhere")
    notes += [f"shorter seasoning: {wish.options.reason}"] if wish.options.reason else []
    plan = msgspec.structs.replace(
        plan,
        restarted=(Restarted(host, server, up=False),),
        notes=tuple(notes),
        unseasoned=tuple(n.id for n in found if n.id != server.id),
    )
    return with_backup(plan, health, inventory)
