"""Plans a rolling restart: one member at a time, those that are down first, then observers, then followers, the leader last.

The list stays. No server is stopped when the rest would not be a quorum (R4); a leader hands over before it is stopped, where that can be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

import msgspec

from zkprov.judge.health import Health
from zkprov.judge.leaving import Leaver, in_sync, leaver_of, not_to_be_started, untold
from zkprov.judge.new_disk import not_new
from zkprov.judge.transfer import NEEDED, transfer_proofs, why_no_transfer
from zkprov.model.boots import Boot
from zkprov.model.inventory import Inventory
from zkprov.model.members import Members
from zkprov.model.quorum import braces, spare
from zkprov.plan import reboot
from zkprov.plan.beginning import begun
from zkprov.plan.removal import refused, state_allows
from zkprov.plan.steps import FORMAT, ROLLING, Options, Plan, Proof, Refusal, Restarted, Step, StepKind, seconds

SHORT_OF = "its stop would leave no quorum"


class RestartWish(msgspec.Struct, frozen=True):
    """What is asked: these members, by their names in the survey. `made_by` as `user@host`; `made_at` in seconds since 1970.

    `files`: name → what is laid on it while it is down. `no_right`: why the list cannot be changed from here, empty where it can.
    Where hosts are rebooted: `boots` of all members' hosts, or why one was not read; `patched`, whether the operator has a hook for it.
    """

    plan_id: str
    names: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]]
    no_right: str
    options: Options
    made_at: float
    made_by: str
    zkprov: str
    templates_digest: str = ""
    boots: Mapping[str, Boot | str] = {}
    patched: bool = False

    @property
    def command(self) -> str:
        flags = " --config" * self.options.configure + " --reboot" * self.options.reboot
        return f"zkprov restart --only {','.join(self.names)}{flags}"


def plan_restart(health: Health, inventory: Inventory, wish: RestartWish) -> Plan | Refusal:
    """`health` must judge, for a change, with those of the named that are down excused. Total: a refusal is a value."""
    live = health.picture.live
    if live is None:
        return refused(untold(health), wish.command)
    asked = in_turn([leaver_of(health.picture, name) for name in wish.names])
    strange = [x.name for x in asked if inventory.host(x.name) is None]
    if strange:
        told = tuple(f"{name} is no host of the group {inventory.ensemble}" for name in strange)
        others = [x.name for x in asked if x.name not in strange]
        ways = [("", f"name it in {inventory.path}, so that it can be stopped and started")]
        command = msgspec.structs.replace(wish, names=tuple(others)).command
        ways += [(command, "restarts the others")] if others else []
        return Refusal("R8", f"{strange[0]} cannot be restarted from here.", told, tuple(ways), exit_code=4)
    if unfit := _unfit(health, live, asked):
        return unfit
    leader = next((x for x in asked if x.part == "leader"), None)
    here = in_sync(health) | {x.id for x in asked if not x.up and x.id in live.voters and x.id is not None}
    why_not = why_no_handover(health, leader, here, wish) if leader is not None else "no leader is among them"
    stop = state_allows(health, wish.command, unneeded=frozenset(NEEDED) if why_not else frozenset())
    short = stop or too_short(health, live, asked, wish) or _no_reboot(asked, wish)
    if short:
        return short
    restarted = tuple(
        Restarted(x.name, server, x.up) for x in asked if x.id is not None and (server := live.get(x.id)) is not None
    )
    steps = tuple(_steps(health, live, restarted, None if why_not or leader is None else leader.id, here, wish))
    notes = notes_of(health, live, restarted, here, why_not if leader is not None else "", wish)
    plan = begun(health, live, inventory, wish, kind=ROLLING, steps=steps)
    known = FORMAT if wish.options.reboot else plan.format
    return msgspec.structs.replace(plan, restarted=restarted, notes=tuple(notes), format=known)


def _no_reboot(asked: Sequence[Leaver], wish: RestartWish) -> Refusal | None:
    if not wish.options.reboot:
        return None
    names = [x.name for x in asked]
    return reboot.may_reboot(names, wish.boots, wish.command, overridden="R4" in wish.options.overrides)


def in_turn(members: Sequence[Leaver]) -> list[Leaver]:
    """Those that are down first, then observers, then followers, the leader last."""
    return sorted(members, key=lambda x: (x.up, x.part != "observer", x.part == "leader", x.id or 0))


def leader_last(plan: Plan, number: int, leader: int | None) -> Plan:
    """The plan with the restart of who leads now as the last of those from step `number` on; as many steps as before.

    The last of those that get the same release: the next one is begun when all have it.
    """
    left = [s for s in plan.steps[number - 1 :] if s.kind is StepKind.RESTART]
    tail = [s for s in left if s.release == left[0].release]
    if leader is None or leader not in {s.server for s in tail} or tail[-1].server == leader:
        return plan
    turns = [*(s for s in tail if s.server != leader), *(s for s in tail if s.server == leader)]
    found, turn = list(plan.steps[: number - 1]), tail[0]
    for at, step in enumerate(plan.steps[number - 1 :], number - 1):
        if step.kind not in (StepKind.RESTART, StepKind.SETTLE):
            found.append(step)
            continue
        restarts = step.kind is StepKind.RESTART
        if restarts and not turns:
            found += plan.steps[at:]
            break
        turn = turns.pop(0) if restarts else turn
        files, over = (turn.files, plan.reconfigures and turn.server == leader) if restarts else ((), False)
        moved = {"server": turn.server, "host": turn.host, "begun": restarts and turn.begun}
        found.append(msgspec.structs.replace(step, **moved, files=files, hands_over=over))
    return msgspec.structs.replace(plan, steps=tuple(found))


def why_no_handover(health: Health, leader: Leaver, here: Set[int], wish: RestartWish) -> str:
    if not wish.options.handover:
        return "--no-handover"
    return wish.no_right or (why_no_transfer(health, leader.id, here) if leader.id is not None else "it is not known")


def _unfit(health: Health, live: Members, asked: Sequence[Leaver]) -> Refusal | None:
    """R5: one that is down is started on its own data only."""
    for member in (x for x in asked if not x.up):
        server = live.get(member.id) if member.id is not None else None
        facts = health.picture.survey.by_name(member.name)
        if server is None or not (why := not_to_be_started(facts.disk.value if facts else None, server)):
            continue
        new = not not_new(facts, server)
        back = (f"zkprov replace-node {member.name} --same-host", "brings it back, a newcomer, where its disk is new")
        if new:
            found = ("there is nothing on its disk" if facts is None or facts.disk.value is None else why,)
            out = (f"zkprov remove-node {member.name}", "takes it out")
            return Refusal("R5", f"{member.name}, which is down, has no data.", found, (back, out))
        unread_yet = facts is None or facts.disk.value is None
        told = (f"{member.name}: {why}", *([str(facts.disk)] if facts is not None and unread_yet else []))
        ways = [("zkprov status", "shows what was seen")]
        if not unread_yet:
            ways.append((f"zkprov remove-node {member.name}", "takes it out; with add-node it comes in as a newcomer"))
        headline = f"{member.name}, which is down, is not to be started as it is."
        return Refusal("R8" if unread_yet else "R5", headline, told, tuple(ways), exit_code=4 if unread_yet else 3)
    return None


def too_short(health: Health, live: Members, asked: Sequence[Leaver], wish: RestartWish) -> Refusal | None:
    """R4: a server is stopped only where the others that are in sync then are a quorum."""
    if "R4" in wish.options.overrides:
        return None
    here = in_sync(health)
    for member in asked:
        rest = here - {member.id}
        if member.id in live.voters and member.up and not live.quorums.contains_quorum(rest):
            told = (f"{live}: in sync without {member.id}: {braces(rest)}; {live.quorums.describe()}",)
            ways = (
                ("zkprov status", "shows who is missing"),
                (f"{wish.command} --override R4 --reason …", "nobody can write while it is down"),
            )
            return Refusal("R4", f"{member.name} is not to be stopped: {SHORT_OF}.", told, ways)
        here |= {member.id} & live.voters if member.id is not None else set()
    return None


def _steps(
    health: Health,
    live: Members,
    restarted: Sequence[Restarted],
    leader: int | None,
    here: Set[int],
    wish: RestartWish,
) -> Iterator[Step]:
    """`leader`: who hands over; None for nobody."""
    asks = tuple(g.gate for g in health.gates)
    same, left, number = live.at_version(0), spare(live.quorums, here), 0

    def step(kind: StepKind, member: Restarted, **more: object) -> Step:
        return msgspec.structs.replace(
            Step(number, kind, member.server.id, member.host, same, same, left, (), asks),
            **more,
        )

    for member in restarted:
        number += 1
        over = member.server.id == leader
        proved = transfer_proofs(health, live, member.server.id) if over else ()
        files = wish.files.get(member.host, ())
        yield step(
            StepKind.RESTART,
            member,
            files=files,
            hands_over=over,
            reboots=wish.options.reboot,
            proofs=tuple(Proof(x, str(p.verdict)) for x, p in proved),
            undo="its former files, and started with them" if files else "",
        )
        if wish.options.settle_s > 0:
            number += 1
            yield step(StepKind.SETTLE, member, wait_s=wish.options.settle_s)


def notes_of(
    health: Health,
    live: Members,
    restarted: Sequence[Restarted],
    here: Set[int],
    why_not: str,
    wish: RestartWish,
) -> Iterator[str]:
    voters = [x.server.id for x in restarted if x.server.votes and x.up]
    if voters:
        least = min(spare(live.quorums, here - {i}) for i in voters)
        yield "while a voter is down " + (f"{least} may fail" if least >= 0 else "nobody can write")
    if why_not:
        yield f"leadership is not handed over ({why_not}): the leader is stopped as it is, last, and the others elect"
    mixed = health.gate("release")
    if mixed.stops:
        yield f"release: {mixed.summary}"
    down = [x.host for x in restarted if not x.up]
    if down:
        yield f"{', '.join(down)} served nobody when this was planned"
    seen = [f for x in restarted if (f := health.picture.member(x.server.id)) is not None and f.cons.value is not None]
    if sessions := sum(len(f.cons.value or ()) for f in seen):
        yield f"{sessions} client session{'s' if sessions > 1 else ''} will connect elsewhere, one server's at a time"
    if wish.options.reboot:
        limit, hosts = seconds(wish.options.reboot_timeout_s), [x.host for x in restarted]
        yield from reboot.notes_of(hosts, wish.boots, wish.patched, limit)
    yield from (f"override {rule}: {reason}" for rule, reason in sorted(wish.options.overrides.items()))
