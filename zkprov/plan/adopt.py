"""Plans how an ensemble that zkprov did not make becomes one that it can change: what is missing, by one rolling restart for all of it.

A static list becomes one of a version (R12) as ZooKeeper does it by itself: `reconfigEnabled` first, on every disk, then the followers are
restarted, the leader last; whoever is elected then gives the list its version. The members are the same before and after it, and so are the
quorums. A member without the flag could not come back once the others have elected (FACTS, "Static to dynamic"): so it stands on every disk
before the first is stopped, and is taken back nowhere after that.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

import msgspec

from zkprov.judge.adoption import Missing, digests
from zkprov.judge.gates import serving_voters
from zkprov.judge.health import Health
from zkprov.judge.leaving import untold
from zkprov.judge.may_act import servers_of
from zkprov.judge.one_quorum import during
from zkprov.model import proof
from zkprov.model.inventory import STOPPED, Inventory
from zkprov.model.members import Members
from zkprov.model.quorum import spare
from zkprov.model.release import BEST, Release, may_upgrade
from zkprov.plan.backup import with_backup
from zkprov.plan.beginning import begun
from zkprov.plan.removal import refused, state_allows
from zkprov.plan.rolling import RestartWish, plan_restart
from zkprov.plan.steps import ADOPTION, Plan, Proof, Refusal, Step, StepKind

ZOO_CFG = "zoo.cfg"
COMMAND = "zkprov adopt"
AGAIN = (COMMAND, "again, when this is mended")


class AdoptWish(RestartWish, frozen=True):
    """What is asked: all that is `missing`. `names` are those that are to be restarted for it."""

    missing: Missing = Missing()

    @property
    def command(self) -> str:
        return COMMAND


def plan_adopt(health: Health, inventory: Inventory, wish: AdoptWish) -> Plan | Refusal | None:
    """None where nothing is missing. `health` must judge, for a change, with those excused that are behind (`judge.adoption`)."""
    live, lacks = health.picture.live, wish.missing
    if live is None:
        return refused(untold(health), COMMAND)
    stop = (
        _too_old(health) or _strangers(health, live, inventory) or _unread(health, live) or _no_right(lacks, inventory)
    )
    if stop is None and lacks.restarts:
        stop = _rewritten(lacks, inventory)
    if stop is not None:
        return stop
    if not lacks.restarts:
        short = state_allows(health, COMMAND)
        last = _last(health, live)
        empty = begun(health, live, inventory, wish, kind=ADOPTION, steps=(last,))
        return short or (
            msgspec.structs.replace(empty, missing=lacks.lines, notes=lacks.notes) if lacks.ledger else None
        )
    mixed = health.gate("release")
    if mixed.stops:
        told = tuple(str(e) for e in mixed.evidence) or (mixed.summary,)
        return Refusal("R8", "the members do not all run one release.", told, (("", mixed.remedy), AGAIN), exit_code=4)
    # the leader is who takes a change of the list, or not
    off = {m.id for m in lacks.members if "reconfigEnabled" in m.settings}
    leads = {x.id for x in health.leaders if not x.stranger}
    why_not = "a list without a version is not changed" if lacks.static else ""
    why_not = why_not or ("the leader runs without reconfigEnabled" if leads & off else "")
    made = plan_restart(health, inventory, msgspec.structs.replace(wish, no_right=why_not or wish.no_right))
    if isinstance(made, Refusal):
        return made
    plan = _adopting(made, health, live, lacks)
    if bad := tuple(f"{p.state}: {p.verdict}" for s in plan.steps for p in s.proofs if p.verdict != "safe"):
        return Refusal(
            "R1", "half way two quorums could be possible.", bad[:8], (("zkprov prove", "shows them"), AGAIN)
        )
    return with_backup(plan, health, inventory)


def _adopting(roll: Plan, health: Health, live: Members, lacks: Missing) -> Plan:
    """The roll between the writing of what is missing and a look at the whole."""
    settings = {m.id: m.settings for m in lacks.members if m.settings}
    proofs = tuple(Proof(label, str(p.verdict)) for label, p in _proofs(health, live)) if lacks.static else ()
    steps: list[Step] = []
    if lacks.static and settings:
        hosts = tuple(m.host for m in lacks.members if m.settings)
        keys = tuple(dict.fromkeys(k for one in settings.values() for k in one))
        flag = msgspec.structs.replace(
            _last(health, live), kind=StepKind.FLAG, settings=keys, hosts=hosts, proofs=proofs
        )
        steps.append(msgspec.structs.replace(flag, undo="zoo.cfg is put back everywhere, as it was"))
    for step in roll.steps:
        if step.kind is StepKind.RESTART:
            files = (ZOO_CFG,) if step.server in settings else ()
            undo = "" if lacks.static else step.undo
            step = msgspec.structs.replace(step, files=files, proofs=step.proofs or proofs, undo=undo)  # noqa: PLW2901
        steps.append(step)
    steps.append(_last(health, live))
    numbered = tuple(msgspec.structs.replace(s, number=n) for n, s in enumerate(steps, 1))
    # who is behind is restarted first, and need not be well until then
    restarted = tuple(msgspec.structs.replace(r, up=r.up and r.server.id not in lacks.behind) for r in roll.restarted)
    notes = (*roll.notes, *lacks.notes)
    return msgspec.structs.replace(
        roll,
        kind=ADOPTION,
        steps=numbered,
        restarted=restarted,
        missing=lacks.lines,
        lacks=settings,
        zoo_cfgs=digests(health.picture),
        notes=notes,
    )


def stuck_first(plan: Plan, number: int, stuck: Set[int]) -> Plan:
    """The plan with the restarts of `stuck` as the first of those from step `number` on; until then they need not be well."""
    at = [n for n, s in enumerate(plan.steps) if n >= number - 1 and s.kind in (StepKind.RESTART, StepKind.SETTLE)]
    turns = sorted((plan.steps[n] for n in at), key=lambda s: s.server not in stuck)
    steps = list(plan.steps)
    for n, step in zip(at, turns, strict=True):
        steps[n] = msgspec.structs.replace(step, number=n + 1)
    restarted = tuple(msgspec.structs.replace(r, up=r.up and r.server.id not in stuck) for r in plan.restarted)
    return msgspec.structs.replace(plan, steps=tuple(steps), restarted=restarted)


def _proofs(health: Health, live: Members) -> Iterator[tuple[str, proof.Proof]]:
    """One quorum whichever members act under the list without a version, and which under the same with one."""
    servers = tuple(msgspec.structs.replace(s, reconfig_enabled=True) for s in servers_of(health.picture))
    half_way = proof.prove(during(servers, live, live.at_version(live.version + 1)))
    yield "before", half_way if half_way.safe else proof.prove(servers)
    yield "some with a version, some without", half_way


def _last(health: Health, live: Members) -> Step:
    """The look at the whole."""
    same = live.at_version(0)
    leader = next((x.id for x in health.leaders if x.id is not None and not x.stranger), min(live.ids))
    asks = tuple(g.gate for g in health.gates)
    return Step(
        1, StepKind.ADOPT, leader, "", same, same, spare(live.quorums, serving_voters(health.picture)), (), asks
    )


def _too_old(health: Health) -> Refusal | None:
    """R12: what cannot change its list at all is upgraded first, and the way there is said."""
    told: list[str] = []
    ways: dict[str, None] = {}
    for facts in health.picture.members:
        release = Release.read(facts.srvr.value.release) if facts.srvr.value else None
        if release is None or release.allows_membership_changes:
            continue
        told.append(f"{facts.name} runs {release}; {release.least_advice}")
        step = may_upgrade(release, BEST)
        ways[" -> ".join(map(str, (release, *step.via, BEST)))] = None
    if not told:
        return None
    way = "; ".join(ways)
    remedies = (("", f"upgrade first, one step at a time: {way}"), AGAIN)
    return Refusal("R12", "a release that is not to change its list is not adopted.", tuple(told), remedies)


def _strangers(health: Health, live: Members, inventory: Inventory) -> Refusal | None:
    """Each member must be a host of the inventory: what is to be written is written on all of them."""
    told = []
    for server in live.servers:
        facts = health.picture.member(server.id)
        if facts is None or inventory.host(facts.name) is None:
            told.append(f"{server.id} ({facts.name if facts else server.address}) is no host of {inventory.ensemble}")
    if not told:
        return None
    ways = (("", f"name each member in {inventory.path}, with its folders and how to reach it"), AGAIN)
    return Refusal("R12", "a member is not in the inventory.", tuple(told), ways, exit_code=4)


def _unread(health: Health, live: Members) -> Refusal | None:
    told = []
    for server in live.servers:
        facts = health.picture.member(server.id)
        if facts is not None and facts.disk.value is None:
            told.append(f"{server.id} ({facts.name}): {facts.disk}")
    if not told:
        return None
    ways = (("", "see that zkprov can read it: zkprov_config_dir, and the way to the host"), AGAIN)
    return Refusal("R8", "what a member's zoo.cfg says is not known.", tuple(told), ways, exit_code=4)


def _no_right(lacks: Missing, inventory: Inventory) -> Refusal | None:
    if not lacks.right:
        return None
    ways = (
        (
            "",
            f"give the super user's password: zkprov_super_password (vaulted) in {inventory.path}; adopt writes its digest",
        ),
        ("zkprov grant", "or let the super user give the right to whom zkprov is known as, once"),
        AGAIN,
    )
    return Refusal("R12", "nobody could change this ensemble from here once it is adopted.", (lacks.right,), ways)


def _rewritten(lacks: Missing, inventory: Inventory) -> Refusal | None:
    """R10: whoever renders zoo.cfg again takes the list's version away."""
    names = {m.host for m in lacks.restarts}
    open_ = [h.name for h in inventory.hosts if h.name in names and h.foreign_config_manager != STOPPED]
    if not open_:
        return None
    told = (
        f"{', '.join(open_)}: nothing says that no other program (Puppet, Chef, Ansible, Salt) writes zoo.cfg there",
        "from now on ZooKeeper keeps its list in a file of its own, and zoo.cfg names it: written anew, the member falls back to version 0",
        *(f"missing  {line}" for line in lacks.lines),
    )
    ways = (
        (f"zkprov_foreign_config_manager: {STOPPED}", f"in {inventory.path}, for the whole group, once that is so"),
        (COMMAND, "again, then"),
    )
    return Refusal("R10", "another configuration manager may write zoo.cfg.", told, ways)
