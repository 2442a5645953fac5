"""What plans have in common that give members another release, be it newer or older.

Each release of the way is laid out everywhere before the first stop. Then one server, an observer or a follower, runs it alone for a while;
the others follow as in a restart, the leader last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set

import msgspec

from zkprov.judge.health import Health
from zkprov.judge.leaving import Leaver, in_sync, leaver_of, untold
from zkprov.judge.releases import running, why_not_laid
from zkprov.judge.transfer import transfer_proofs
from zkprov.model.inventory import Inventory
from zkprov.model.members import Members
from zkprov.model.quorum import spare
from zkprov.model.release import Release, concerns
from zkprov.plan.backup import with_backup
from zkprov.plan.beginning import begun
from zkprov.plan.removal import refused, state_allows
from zkprov.plan.rolling import RestartWish, in_turn, notes_of, too_short, why_no_handover
from zkprov.plan.steps import Plan, Proof, Refusal, Restarted, Step, StepKind


class SwitchWish(RestartWish, frozen=True, kw_only=True):
    """`target`: the release that all are to run. `laid`: host → the releases that lie there whole; `fixed`: host → why it cannot be
    switched, where it says so itself. `names`: all members; those that run it already are left out.
    """

    target: Release
    laid: Mapping[str, tuple[str, ...]]
    fixed: Mapping[str, str] = {}


Way = Callable[[Health, Mapping[int, Release], SwitchWish], tuple[Release, ...] | Refusal]
"""The releases to go through from what each member runs, the target last; empty where all run it."""


def plan_switch(
    health: Health,
    inventory: Inventory,
    wish: SwitchWish,
    kind: str,
    way: Way,
    notes: Callable[[Release], Iterable[str]],
) -> Plan | Refusal | None:
    """`health` must judge, for a change, with the releases that run now taken as they are; `notes` get what runs by then. Total.

    None where all run the target.
    """
    live = health.picture.live
    if live is None:
        return refused(untold(health), wish.command, wish.names)
    # whoever hands over needs a list that may be changed, and is asked for it below
    if stop := state_allows(health, wish.command, unneeded=frozenset({"dynamic"})):
        return stop
    told = running(health.picture)
    hops = way(health, told, wish)
    if isinstance(hops, Refusal):
        return hops
    if not hops:
        return None
    members = [leaver_of(health.picture, name) for name in wish.names]
    asked = in_turn([x for x in members if x.id is not None and told.get(x.id) != wish.target])
    if no_way := _no_way(asked, told, hops, inventory, wish):
        return no_way
    here = in_sync(health)
    if short := too_short(health, live, asked, wish):
        return short
    leader = next((x for x in asked if x.part == "leader"), None)
    old = next(r for r in told.values() if r != wish.target)
    why_not = why_no_handover(health, leader, here, wish) if leader is not None else "no leader is among them"
    restarted = tuple(Restarted(x.name, s, x.up) for x in asked if x.id is not None and (s := live.get(x.id)))
    steps = tuple(_steps(health, live, restarted, old, hops, here, wish, hands_over=not why_not))
    plan = begun(health, live, inventory, wish, kind=kind, steps=steps)
    done = [str(i) for i, r in sorted(told.items()) if r == wish.target]
    own = (
        *notes_of(health, live, restarted, here, why_not if leader is not None else "", wish),
        *([f"{', '.join(done)} {'run' if len(done) > 1 else 'runs'} {wish.target} already"] if done else []),
        *notes(old),
        # those on the way are restarted under load as well, and are what a server is in between
        *(f"{release}: {concern}" for release in hops for concern in concerns(release)),
        *([] if wish.target.allows_membership_changes else [f"{wish.target}: {wish.target.least_advice}"]),
        "while members run different releases nobody is added or removed",
    )
    plan = msgspec.structs.replace(
        plan, restarted=restarted, notes=own, releases={i: str(r) for i, r in sorted(told.items())}
    )
    return with_backup(plan, health, inventory)


def who_runs(told: Mapping[int, Release]) -> tuple[str, ...]:
    by_release = {r: [str(i) for i in sorted(told) if told[i] == r] for r in sorted(set(told.values()))}
    return tuple(f"{release}: runs on {', '.join(ids)}" for release, ids in by_release.items())


def _no_way(
    asked: Sequence[Leaver],
    told: Mapping[int, Release],
    hops: Sequence[Release],
    inventory: Inventory,
    wish: SwitchWish,
) -> Refusal | None:
    """Each host can be switched, each release of the way can be laid out there, and the one that runs lies there: the way back."""
    again = (wish.command, "again, when this is mended")
    name_it = ("", f"name it in zkprov_releases ({inventory.path})")
    hosts = {x.name: inventory.host(x.name) for x in asked}
    strange = tuple(f"{n} is no host of the group {inventory.ensemble}" for n, host in hosts.items() if host is None)
    if strange:
        way_out = ("", f"name it in {inventory.path}, so that it can be stopped and started")
        return Refusal("R8", "not every member can be upgraded from here.", strange, (way_out, again), exit_code=4)
    known = [(x, host) for x in asked if (host := hosts[x.name]) is not None]
    if fixed := tuple(
        f"{host.name}: {why}" for _, host in known if (why := host.why_no_switch or wish.fixed.get(host.name))
    ):
        ways = (("zkprov ok-to-stop …", "before each, where you switch it by hand"),)
        return Refusal("", "not every member can be given another release from here.", fixed, ways)
    lacking = [
        f"{host.name}: {why}"
        for _, host in known
        for release in map(str, hops)
        if release not in wish.laid.get(host.name, ()) and (why := why_not_laid(host, release))
    ]
    if lacking:
        return Refusal("", "not every release of the way can be had.", tuple(lacking), (name_it, again), exit_code=2)
    stuck = tuple(
        f"{host.name}: {told[x.id]} runs, and does not lie there as a release of its own"
        for x, host in known
        if x.id is not None and str(told[x.id]) not in wish.laid.get(host.name, ())
    )
    if stuck:
        return Refusal("R11", "there would be no way back.", stuck, (name_it, again))
    return None


def _steps(
    health: Health,
    live: Members,
    restarted: Sequence[Restarted],
    old: Release,
    hops: Sequence[Release],
    here: Set[int],
    wish: SwitchWish,
    *,
    hands_over: bool,
) -> Iterator[Step]:
    asks = tuple(g.gate for g in health.gates)
    same, left, number = live.at_version(0), spare(live.quorums, here), 0

    def step(kind: StepKind, member: Restarted, **more: object) -> Step:
        made = Step(number, kind, member.server.id, member.host, same, same, left, (), asks)
        return msgspec.structs.replace(made, **more)

    hosts = tuple(x.host for x in restarted)
    for release in hops:
        number += 1
        yield step(StepKind.LAY_OUT, restarted[0], host="", release=str(release), hosts=hosts)
    continued = len(restarted) < len(live.servers)
    before = old
    for release in hops:
        # whoever leads by then comes last, and hands over where releases allow it
        may = hands_over and before.allows_membership_changes and release.allows_membership_changes
        for member in restarted:
            number += 1
            over = may and member is restarted[-1]
            proved = transfer_proofs(health, live, member.server.id) if over else ()
            yield step(
                StepKind.RESTART,
                member,
                release=str(release),
                hands_over=over,
                proofs=tuple(Proof(x, str(p.verdict)) for x, p in proved),
                undo=f"{before} again, and started with it",
            )
            first = member is restarted[0] and not continued
            wait_s = max(wish.options.soak_s, wish.options.settle_s) if first else wish.options.settle_s
            if wait_s > 0:
                number += 1
                yield step(StepKind.SETTLE, member, wait_s=wait_s)
        before = release
