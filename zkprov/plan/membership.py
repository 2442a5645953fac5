"""Plans the way in for new servers, one at a time.

The invariant that every planned state keeps: one quorum (R1), whatever crashes; newcomers and joiners are a quorum of no list
(R2); one vote changes per step (R3); the voters that are in sync *without* the joiner are a quorum of the new list (R4).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zkprov.judge.gates import serving_voters
from zkprov.judge.health import Condition, Health
from zkprov.judge.newcomers import ledger_of, newcomers_in, newcomers_rule
from zkprov.judge.one_quorum import prove_step
from zkprov.judge.picture import Standing, client_of, leads
from zkprov.judge.verdict import Verdict, first_stop
from zkprov.model.facts import Ledger, Outcome, ServerFacts
from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.members import Members
from zkprov.model.quorum import braces, spare
from zkprov.model.release import Release
from zkprov.model.server import ClientAddress, Role, Server
from zkprov.plan.steps import Joiner, Options, Plan, Proof, Refusal, Step, StepKind, seconds

CHANGE_GATES = (
    "one leader",
    "no rogue",
    "members answer",
    "same config",
    "voting",
    "synced",
    "same history",
    "digests",
    "one quorum",
)


class Wish(msgspec.Struct, frozen=True):
    """What is asked: these hosts, in this order. `made_by` as `user@host`; `made_at` in seconds since 1970."""

    plan_id: str
    hosts: tuple[InventoryHost, ...]
    options: Options
    made_at: float
    made_by: str
    zkprov: str
    templates_digest: str = ""


def plan_add(health: Health, inventory: Inventory, wish: Wish) -> Plan | Refusal:
    """Adds servers one at a time.

    `health` must judge, for a change, a survey in which every wished host was asked too. Total: a refusal is a value.
    """
    live, ledger = health.picture.live, ledger_of(health.picture.survey)
    refusal = _state_allows(health, live, wish)
    if refusal or live is None:
        return refusal or Refusal("R8", "no list of members could be read", exit_code=4)
    joiners: list[Joiner] = []
    for host in wish.hosts:
        joiner = _joiner(host, health, live, ledger, inventory, joiners, wish.options)
        if isinstance(joiner, Refusal):
            return joiner
        joiners.append(joiner)
    walk = _Walk(health, live, ledger, wish)
    for joiner in joiners:
        refusal = walk.add(joiner)
        if refusal:
            return refusal
    identity = next((f.identity.value for f in health.picture.members if f.identity.value), None)
    return Plan(
        id=wish.plan_id,
        kind="add",
        ensemble=inventory.ensemble,
        made_at=wish.made_at,
        made_by=wish.made_by,
        zkprov=wish.zkprov,
        base=live,
        leader=next((x.id for x in health.leaders if x.id is not None), -1),
        history="" if identity is None else f"{identity.path}@{identity.czxid:x}/{identity.ctime_ms}",
        joiners=tuple(joiners),
        steps=tuple(walk.steps),
        options=wish.options,
        unseasoned=tuple(n.id for n in walk.first_newcomers),
        inventory_digest=inventory.digest,
        templates_digest=wish.templates_digest,
        notes=_notes(health, wish),
    )


def _state_allows(health: Health, live: Members | None, wish: Wish) -> Refusal | None:
    """The ensemble as it is: danger first, then the rules that have a name, then the gates."""
    again = ((f"zkprov add-node {' '.join(h.name for h in wish.hosts)}", "again, when this is mended"),)
    if health.condition is Condition.UNSAFE:
        gate = next(g for g in health.gates if g.unsafe and g.verdict is Verdict.FAIL)
        rule = "R1" if gate.gate in ("one quorum", "one leader", "no rogue", "no standalone") else "R8"
        evidence = (gate.summary, *(str(e) for e in gate.evidence))
        return Refusal(
            rule, f"the ensemble is unsafe as it is: {gate.gate}.", evidence, (("zkprov status", "shows every server"),)
        )
    dynamic = health.gate("dynamic")
    if live is not None and dynamic.verdict is Verdict.FAIL:
        return Refusal(
            "R12",
            "this ensemble is not grown as it is.",
            tuple(str(e) for e in dynamic.evidence),
            (("", dynamic.remedy),),
        )
    if live is not None and health.gate("members answer").verdict is Verdict.FAIL:
        up = serving_voters(health.picture)
        for host in wish.hosts[:1]:
            voter = live.with_server(Server(max(live.ids, default=0) + 1, (host.server_address,)))
            if wish.options.role is Role.PARTICIPANT and not voter.quorums.contains_quorum(up) and len(live.voters) > 1:
                evidence = (
                    f"with {host.name} the list would have {len(voter.voters)} voters; {voter.quorums.describe()}",
                    f"in sync without the joiner: {braces(up)}",
                    *(str(e) for e in health.gate("members answer").evidence),
                )
                return Refusal(
                    "R4",
                    "without the joiner the voters in sync would be no quorum.",
                    evidence,
                    (("zkprov status", "shows who is missing"), *again),
                )
    stop = first_stop(health.gates)
    if stop is None:
        return None
    evidence = tuple(str(e) for e in stop.evidence) or (stop.summary,)
    return Refusal(
        "R8",
        f"gate `{stop.gate}` {'failed' if stop.verdict is Verdict.FAIL else 'is unknown'}.",
        evidence,
        (("zkprov check", stop.remedy or "shows every gate"), *again),
        exit_code=4,
    )


def _joiner(
    host: InventoryHost,
    health: Health,
    live: Members,
    ledger: Ledger | None,
    inventory: Inventory,
    before: Sequence[Joiner],
    options: Options,
) -> Joiner | Refusal:
    """R5 and R6 for one host: who it is, and that it comes in empty."""
    member = next((s for s in live.servers if host.is_server(s)), None)
    if member is not None:
        return Refusal(
            "",
            f"{host.name} is a member already: server {member.id}.",
            (member.line,),
            (("zkprov status", ""),),
            exit_code=2,
        )
    taken = {j.server.id for j in before}
    server_id = host.id if host.id is not None else free_id(live, ledger, inventory, taken)
    if server_id in live.ids or server_id in taken:
        other = live.get(server_id)
        what = f"it is {other.address}" if other else "two of the hosts named have it"
        return Refusal(
            "R5", f"id {server_id} of {host.name} is taken: {what}.", (), (("", "give the host another zkprov_id"),)
        )
    retired = next((r for r in ledger.retired if r.id == server_id), None) if ledger else None
    if retired is not None and retired.fate not in ("wiped", "destroyed"):
        return Refusal(
            "R5",
            f"id {server_id} was a member before, on {retired.host}, and its disk may still hold a list.",
            (f"retired since {retired.since_ms} ms, {retired.where or 'place unknown'}",),
            (
                (f"zkprov retired attest {server_id} --wiped --reason …", "once its disk is wiped"),
                ("", "or give the host an id that was never used"),
            ),
        )
    facts = health.picture.survey.by_name(host.name)
    refusal = _comes_in_empty(host, server_id, facts, health)
    if refusal:
        return refusal
    server = Server(server_id, (host.server_address,), options.role, ClientAddress(host.client_port, host.client_host))
    return Joiner(host.name, server)


def free_id(live: Members, ledger: Ledger | None, inventory: Inventory, taken: set[int]) -> int:
    used = set(live.ids) | taken | {h.id for h in inventory.hosts if h.id is not None}
    if ledger:
        used |= {r.id for r in ledger.retired} | set(ledger.members)
    return next(i for i in range(1, 1 << 16) if i not in used)


def _comes_in_empty(host: InventoryHost, server_id: int, facts: ServerFacts | None, health: Health) -> Refusal | None:
    aside = (("", f"stop it and move {host.data_dir} and {host.config_dir} aside on {host.name}, then try again"),)
    if facts is None:
        return Refusal("R5", f"{host.name} was not looked at.", (), (("zkprov status", ""),), exit_code=4)
    if facts.up:
        if leads(facts):
            own = facts.config.value
            acts = (
                f"it leads under its own list {own} of version {own.version_hex}"
                if own
                else "it leads, or serves alone"
            )
            return Refusal(
                "R6", f"{host.name} is the leader of an ensemble of its own.", (acts, _standing(facts, health)), aside
            )
        if facts.serving and health.picture.standing[host.name] is not Standing.JOINER:
            return Refusal("R6", f"{host.name} follows another leader.", (_standing(facts, health),), aside)
        return Refusal(
            "R5", f"a server runs on {host.name} already.", (f"{facts.client} answers", _standing(facts, health)), aside
        )
    if facts.srvr.outcome in (Outcome.JUNK, Outcome.TRUNCATED, Outcome.TOO_LARGE, Outcome.TIMEOUT):
        evidence = (f"{facts.client}: {facts.srvr.detail or facts.srvr.outcome}",)
        return Refusal(
            "R5",
            f"something else answers at the client port of {host.name}.",
            evidence,
            (("", "free the port, or set zkprov_client_port"),),
            4,
        )
    disk = facts.disk.value
    if disk is None:
        if facts.disk.outcome is Outcome.ABSENT:
            return None
        return Refusal(
            "R5",
            f"the disk of {host.name} cannot be read.",
            (str(facts.disk),),
            (("", "make it readable, then try again"),),
            4,
        )
    found = []
    if disk.active:
        found.append("a server runs on its files")
    if disk.has_data:
        found.append(f"{host.data_dir}/version-2 holds data")
    if disk.initialize:
        found.append("an `initialize` file would let it vote while empty")
    if disk.acting is not None and disk.my_id is not None and disk.acting.members.voters:
        found.append(f"{disk.acting.source} holds the list {disk.acting.members}")
    if found:
        return Refusal("R5", f"{host.name} does not come in empty.", tuple(found), aside)
    return None


def _standing(facts: ServerFacts, health: Health) -> str:
    why = health.picture.why.get(facts.name, "")
    return (
        f"{facts.name}: {why}"
        if why
        else f"{facts.name} answers as {facts.srvr.value.mode if facts.srvr.value else facts.srvr.outcome}"
    )


class _Walk:
    """Carries the list and the newcomers from step to step while a plan is made; never leaves this module."""

    def __init__(self, health: Health, live: Members, ledger: Ledger | None, wish: Wish) -> None:
        self.health, self.wish, self.options = health, wish, wish.options
        self.list = live
        self.first_newcomers = newcomers_in(health.picture, self.options.season_s)
        self.newcomers: dict[int, float] = {n.id: n.left_s for n in self.first_newcomers}
        self.own: set[int] = set()
        self.up = set(serving_voters(health.picture))
        self.steps: list[Step] = []

    def add(self, joiner: Joiner) -> Refusal | None:
        server, before = joiner.server, self.list
        as_observer = before.with_server(server.with_role(Role.OBSERVER))
        after = before.with_server(server)
        if server.votes:
            refusal = self._season(joiner, after) or self._margin(joiner, before, after)
            if refusal:
                return refusal
        straight = server.votes and len(before.voters) == 1
        undo = f"stop {server.id}, set its disk aside" + ("" if straight else "; take it out of the list if admitted")
        self._step(StepKind.START, joiner, before, before, undo=undo, asks=("joiner",))
        if not straight:
            self._step(StepKind.ADMIT, joiner, before, as_observer, undo=undo, asks=CHANGE_GATES)
        if server.votes:
            self._step(
                StepKind.PROMOTE, joiner, before if straight else as_observer, after, asks=(*CHANGE_GATES, "steady")
            )
            self.newcomers[server.id] = self.options.season_s
            self.own.add(server.id)
            self.up.add(server.id)
        self.list = after
        if self.options.settle_s > 0:
            self._step(StepKind.SETTLE, joiner, after, after, wait_s=self.options.settle_s, asks=CHANGE_GATES)
        unproved = next((s for s in self.steps if any(p.verdict != "safe" for p in s.proofs)), None)
        if unproved:
            states = tuple(f"{p.state}: {p.verdict}" for p in unproved.proofs if p.verdict != "safe")
            return Refusal(
                "R1",
                f"step {unproved.number} ({unproved.title}) is not proved to leave one quorum.",
                states,
                (("zkprov prove", "shows who could elect whom"),),
            )
        return None

    def _season(self, joiner: Joiner, after: Members) -> Refusal | None:
        """R2. Newcomers that this very plan makes are waited for in it; those that were there before only with `--wait`."""
        while violated := newcomers_rule(after, {*self.newcomers, joiner.server.id}):
            soonest = min(self.newcomers, key=lambda i: self.newcomers[i])
            left = self.newcomers[soonest]
            if not self.options.wait and not self.own:
                return self._refuse_newcomers(joiner, after, violated.unseasoned, soonest, left)
            self._step(
                StepKind.SEASON, Joiner(joiner.host, joiner.server), self.list, self.list, wait_s=left, server=soonest
            )
            self.newcomers = {i: s - left for i, s in self.newcomers.items() if s > left}
        return None

    def _refuse_newcomers(
        self, joiner: Joiner, after: Members, among: frozenset[int], soonest: int, left: float
    ) -> Refusal:
        ages = {n.id: n for n in self.first_newcomers}
        told = [f"{i} (voting for {seconds(ages[i].age_s)})" for i in sorted(self.newcomers) if i in ages]
        host = joiner.host
        return Refusal(
            "R2",
            "newcomers would be a quorum.",
            (
                f"after promoting {joiner.server.id} the list would be {after}; {after.quorums.describe()}",
                f"newcomers: {', '.join(told)}, and the joiner {joiner.server.id}: {len(among)} of the {len(after.voters)}",
                'this is how the outage began: see docs, "Why was I refused?"',
            ),
            (
                (f"zkprov add-node {host} --wait", f"goes on when {soonest} is seasoned (in {seconds(left)})"),
                (f"zkprov add-node {host} --season 2m --reason …", "shortens the time, and says so in the plan"),
            ),
        )

    def _margin(self, joiner: Joiner, before: Members, after: Members) -> Refusal | None:
        """R4: counts the joiner as down. Only 1 → 2 cannot have that: there it must be a synced non-voting follower first."""
        now, then = spare(before.quorums, self.up), spare(after.quorums, self.up | {joiner.server.id})
        holds = after.quorums.contains_quorum(self.up) or len(before.voters) == 1
        if holds and then >= min(now, 1):
            return None
        if "R4" in self.options.overrides and after.quorums.contains_quorum(self.up | {joiner.server.id}):
            return None
        evidence = (
            f"with {joiner.server.id} the list would be {after}; {after.quorums.describe()}",
            f"in sync without the joiner: {braces(self.up)}; may fail before: {max(now, 0)}, after: {max(then, 0)}",
        )
        return Refusal(
            "R4",
            "without the joiner the voters in sync would be no quorum.",
            evidence,
            (("zkprov status", "shows who is missing"),),
        )

    def _step(
        self,
        kind: StepKind,
        joiner: Joiner,
        before: Members,
        after: Members,
        *,
        undo: str = "",
        asks: tuple[str, ...] = (),
        wait_s: float = 0.0,
        server: int | None = None,
    ) -> None:
        proofs: tuple[Proof, ...] = ()
        if kind in (StepKind.START, StepKind.ADMIT, StepKind.PROMOTE):
            proved = prove_step(self.health.picture, before, after, joiner.server)
            proofs = tuple(Proof(label, str(p.verdict)) for label, p in proved)
        self.steps.append(
            Step(
                number=len(self.steps) + 1,
                kind=kind,
                server=joiner.server.id if server is None else server,
                host=joiner.host,
                before=before.at_version(0),
                after=after.at_version(0),
                spare_after=spare(after.quorums, self.up | ({joiner.server.id} if kind is StepKind.PROMOTE else set())),
                proofs=proofs,
                asks=asks,
                undo=undo,
                wait_s=wait_s,
            )
        )


def _notes(health: Health, wish: Wish) -> tuple[str, ...]:
    notes = []
    releases = {f.srvr.value.release for f in health.picture.members if f.srvr.value}
    if any((r := Release.read(text)) and not r.has_autocreate for text in releases):
        notes.append(
            "R5: this release has no db.autocreate: an empty joiner could vote if it were in a list as a voter"
        )
    if any((r := Release.read(text)) and not r.has_digests for text in releases):
        notes.append("R8: this release has no digests: unequal data cannot be told by them")
    notes.extend(f"override {rule}: {reason}" for rule, reason in sorted(wish.options.overrides.items()))
    if wish.options.season_s < 900:
        notes.append(f"seasoning time {seconds(wish.options.season_s)} instead of 15 min: {wish.options.reason}")
    return tuple(notes)


def clients_of(members: Members) -> tuple[str, ...]:
    """`host:port` of every member that clients can reach, in order: the connect string."""
    return tuple(str(c) for s in members.servers if (c := client_of(s)) is not None)


__all__ = ["Wish", "clients_of", "plan_add"]
