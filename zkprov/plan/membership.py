"""Plans the way in for new servers, one at a time.

The invariant that every planned state keeps: one quorum (R1), whatever crashes; newcomers and joiners are a quorum of no list
(R2); one vote changes per step (R3); the voters that are in sync *without* the joiner are a quorum of the new list (R4).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

import msgspec

from zkprov.judge.gates import serving_voters
from zkprov.judge.health import Health
from zkprov.judge.joiner import joins_too_early
from zkprov.judge.newcomers import SEASON_S, ledger_of, newcomers_in, newcomers_rule, short_season
from zkprov.judge.one_quorum import prove_step
from zkprov.judge.verdict import GateResult, Verdict, first_stop
from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.members import Members, Seat
from zkprov.model.quorum import braces, spare
from zkprov.model.release import Release
from zkprov.model.server import Role, Server
from zkprov.plan.beginning import begun
from zkprov.plan.entry import free_id, id_is_new, joiner_of
from zkprov.plan.seats import GROUP, by_one, seat_for, told_of
from zkprov.plan.steps import Joiner, Options, Plan, Proof, Refusal, Step, StepKind, seconds

__all__ = ["Wish", "free_id", "plan_add"]

TWO_LEADERS = ("one quorum", "one leader", "no rogue", "no standalone", "same history")
"""The gates whose failure is, or may be, a second leader: R1 by its own name."""
SUMMED = ("one leader", "one quorum")
"""The gates whose summary says more than their evidence, line by line, does."""


class Wish(msgspec.Struct, frozen=True):
    """What is asked: these hosts, in this order. `made_by` as `user@host`; `made_at` in seconds since 1970."""

    plan_id: str
    hosts: tuple[InventoryHost, ...]
    options: Options
    made_at: float
    made_by: str
    zkprov: str
    templates_digest: str = ""

    @property
    def command(self) -> str:
        return f"zkprov add-node {' '.join(h.name for h in self.hosts)}"

    def like(self, health: Health) -> Seat | None:
        """The seat of whom they replace, in a list with groups."""
        return None


def plan_add(health: Health, inventory: Inventory, wish: Wish) -> Plan | Refusal:
    """Adds servers one at a time.

    `health` must judge, for a change, a survey in which every wished host was asked too. Total: a refusal is a value.
    """
    live = health.picture.live
    danger = next((g for g in health.gates if g.unsafe and g.verdict is Verdict.FAIL), None)
    # what a wished host's own disk, or a server that runs there, could do alone is that host's trouble first, and named there
    first = danger or first_stop(health.gates)
    joiners = _joiners(health, inventory, wish) if live and first and first.gate == "one quorum" else None
    if isinstance(joiners, Refusal):
        return joiners
    refusal = _state_allows(health, inventory, wish, danger)
    if refusal or live is None:
        return refusal or Refusal("R8", "no list of members could be read.", exit_code=4)
    joiners = _joiners(health, inventory, wish)
    if isinstance(joiners, Refusal):
        return joiners
    known = next((r for j in joiners if (r := id_is_new(j, health, inventory))), None)
    if known:
        return known
    walk = WayIn(health, live, wish)
    for joiner in joiners:
        refusal = walk.add(joiner)
        if refusal:
            return refusal
    plan = begun(health, live, inventory, wish, kind="add", steps=walk.steps)
    return msgspec.structs.replace(
        plan,
        joiners=tuple(joiners),
        unseasoned=tuple(n.id for n in walk.first_newcomers),
        notes=(*told_of(joiners, plan.steps), *notes_of(health, wish)),
    )


def _joiners(health: Health, inventory: Inventory, wish: Wish) -> list[Joiner] | Refusal:
    joiners: list[Joiner] = []
    for host in wish.hosts:
        joiner = joiner_of(host, health, inventory, joiners, wish.options.role)
        if not isinstance(joiner, Refusal):
            joiner = seated(joiner, host, health, wish)
        if isinstance(joiner, Refusal):
            return joiner
        joiners.append(joiner)
    return joiners


def seated(joiner: Joiner, host: InventoryHost, health: Health, wish: Wish) -> Joiner | Refusal:
    """The joiner with its seat, where the list has groups."""
    live = health.picture.live or Members(())
    seat = seat_for(host, host.name, live, wish.command, votes=joiner.server.votes, like=wish.like(health))
    return seat if isinstance(seat, Refusal) else msgspec.structs.replace(joiner, seat=seat)


def _state_allows(health: Health, inventory: Inventory, wish: Wish, danger: GateResult | None) -> Refusal | None:
    """The ensemble as it is: danger first, then the rules that have a name, then the gates."""
    again = (wish.command, "again, when this is mended")
    live, options = health.picture.live, wish.options
    if danger is not None:
        evidence = tuple(str(e) for e in danger.evidence)
        what = danger.summary if danger.gate in SUMMED else f"gate `{danger.gate}` failed"
        headline = f"the ensemble is unsafe as it is: {what}."
        steps = (("zkprov status", "shows every server"), ("", danger.remedy))
        return Refusal("R1" if danger.gate in TWO_LEADERS else "R8", headline, evidence, steps)
    dynamic = health.gate("dynamic")
    if live is not None and dynamic.verdict is Verdict.FAIL:
        evidence = tuple(str(e) for e in dynamic.evidence)
        return Refusal("R12", "this ensemble is not grown as it is.", evidence, (("", dynamic.remedy), again))
    answer = health.gate("members answer")
    if live is not None and answer.verdict is Verdict.FAIL and options.role is Role.PARTICIPANT:
        up, missing = serving_voters(health.picture), tuple(str(e) for e in answer.evidence)
        for host in wish.hosts[:1]:
            joiner = Server(host.id or max(live.ids, default=0) + 1, (host.server_address,))
            seat = seat_for(host, host.name, live, wish.command, votes=True)
            if isinstance(seat, Refusal) or joiner.id in live.ids:
                break
            ways = (("zkprov status", "shows who is missing"), again)
            refusal = margin(live, Joiner(host.name, joiner, seat), up, options, missing, ways)
            if refusal:
                return refusal
    stop = first_stop(health.gates)
    if stop is not None:
        evidence = tuple(str(e) for e in stop.evidence) or (stop.summary,)
        headline = f"gate `{stop.gate}` {'failed' if stop.verdict is Verdict.FAIL else 'is unknown'}."
        remedies = (("", stop.remedy),) if stop.remedy else ()
        return Refusal("R8", headline, evidence, (("zkprov check", "shows every gate"), *remedies, again), exit_code=4)
    short = (
        "" if inventory.lab or options.role is not Role.PARTICIPANT else short_season(health.picture, options.season_s)
    )
    if short:
        again = (wish.command, "with a longer --season, or none")
        return Refusal("R2", "the seasoning time is too short.", (short,), (again,))
    digests = health.gate("digests")
    if options.season_s < SEASON_S and digests.verdict is not Verdict.PASS and not inventory.lab:
        told = (f"seasoning time {seconds(options.season_s)} instead of {seconds(SEASON_S)}", digests.summary)
        headline = "a shorter seasoning time needs equal digests."
        return Refusal(
            "R2", headline, told, ((wish.command, "without --season"), ("zkprov check", "shows the digests"))
        )
    return None


def margin(
    before: Members,
    joiner: Joiner,
    up: Set[int],
    options: Options,
    evidence: Iterable[str] = (),
    following: tuple[tuple[str, str], ...] = (("zkprov status", "shows who is missing"),),
) -> Refusal | None:
    """R4 (see `joins_too_early`). An override holds as long as the joiner completes the quorum."""
    server_id, after = joiner.server.id, before.with_server(joiner.server, joiner.seat)
    if not joins_too_early(before, after, up, server_id):
        return None
    if "R4" in options.overrides and after.quorums.contains_quorum({*up, server_id}):
        return None
    now, then = spare(before.quorums, up), spare(after.quorums, {*up, server_id})
    told = (
        f"with {server_id} the list would be {after}; {after.quorums.describe()}",
        f"in sync without the joiner: {braces(up)}; may fail before: {max(now, 0)}, after: {max(then, 0)}",
        *evidence,
    )
    if before.hierarchical and up >= before.voters:
        # nobody is missing: it is a matter of where the joiner is to vote
        following = (("", f'another {GROUP} for it, or first another in its group: see docs, "Lists with groups"'),)
    if after.quorums.contains_quorum(up):
        return Refusal("R4", "with the joiner too few may fail.", told, following)
    return Refusal("R4", "without the joiner the voters in sync would be no quorum.", told, following)


class WayIn:
    """Carries the list and the newcomers from step to step while a plan is made. `live`: the list that it begins with, after `steps`."""

    def __init__(self, health: Health, live: Members, wish: Wish, steps: Sequence[Step] = ()) -> None:
        self.health, self.wish, self.options = health, wish, wish.options
        self.list = live
        self.first_newcomers = newcomers_in(health.picture, self.options.season_s)
        self.newcomers: dict[int, float] = {n.id: n.left_s for n in self.first_newcomers}
        self.up = set(serving_voters(health.picture)) & live.voters
        self.made_newcomers = False
        known = ledger_of(health.picture.survey)
        self.founding = known is not None and known.founding
        self.steps: list[Step] = list(steps)

    def add(self, joiner: Joiner) -> Refusal | None:
        server, before = joiner.server, self.list
        as_observer = before.with_server(server.with_role(Role.OBSERVER), joiner.seat)
        after = before.with_server(server, joiner.seat)
        if server.votes:
            # before it is started: a server that waits for its vote is one more that can go wrong meanwhile
            refusal = self._season(joiner, after) or margin(before, joiner, self.up, self.options)
            if refusal:
                return refusal
        straight = server.votes and len(before.voters) == 1
        undo = f"stop {server.id}, set its disk aside" + ("" if straight else "; take it out of the list if admitted")
        gates = tuple(g.gate for g in self.health.gates)
        self._step(StepKind.START, joiner, before, before, undo=undo, asks=("joiner",))
        if not straight:
            self._step(StepKind.ADMIT, joiner, before, as_observer, undo=undo, asks=gates)
        if server.votes:
            self._step(StepKind.PROMOTE, joiner, before if straight else as_observer, after, asks=(*gates, "steady"))
            if not self.founding:
                self.newcomers[server.id] = self.options.season_s
                self.made_newcomers = True
            self.up.add(server.id)
        self.list = after
        if self.options.settle_s > 0:
            self._step(StepKind.SETTLE, joiner, after, after, wait_s=self.options.settle_s, asks=gates)
        return self._unproved()

    def _unproved(self) -> Refusal | None:
        unproved = next((s for s in self.steps if any(p.verdict != "safe" for p in s.proofs)), None)
        if unproved is None:
            return None
        states = tuple(f"{p.state}: {p.verdict}" for p in unproved.proofs if p.verdict != "safe")
        headline = f"step {unproved.number} ({unproved.title}) is not proved to leave one quorum."
        return Refusal("R1", headline, states, (*by_one(unproved), ("zkprov prove", "shows who could elect whom")))

    def _season(self, joiner: Joiner, after: Members) -> Refusal | None:
        """R2. A plan that makes newcomers waits for the first to be seasoned; one that only finds them does so with `--wait`."""
        while violated := newcomers_rule(after, {*self.newcomers, joiner.server.id}):
            soonest = min(self.newcomers, key=lambda i: self.newcomers[i])
            left = self.newcomers[soonest]
            if not self.options.wait and not self.made_newcomers:
                return self._refuse_newcomers(joiner, after, violated.unseasoned, soonest, left)
            self._step(StepKind.SEASON, joiner, self.list, self.list, wait_s=left, server=soonest)
            self.newcomers = {i: s - left for i, s in self.newcomers.items() if s > left}
        return None

    def _refuse_newcomers(
        self, joiner: Joiner, after: Members, among: frozenset[int], soonest: int, left: float
    ) -> Refusal:
        told = ", ".join(f"{n.id} (voting for {seconds(n.age_s)})" for n in self.first_newcomers if n.id in among)
        waits = (f"{self.wish.command} --wait", f"goes on when {soonest} is seasoned (in {seconds(left)})")
        shorter = (f"{self.wish.command} --season 2m --reason …", "shortens the time, and says so in the plan")
        return Refusal(
            "R2",
            "newcomers would be a quorum.",
            (
                f"after promoting {joiner.server.id} the list would be {after}; {after.quorums.describe()}",
                f"newcomers: {told}, and the joiner {joiner.server.id}: {len(among)} of the {len(after.voters)} voters",
                'this is how the outage began: see docs, "Why was I refused?"',
            ),
            (waits, shorter) if self.options.season_s > 120 else (waits,),
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
        votes = {joiner.server.id} if kind is StepKind.PROMOTE else set()
        self.steps.append(
            Step(
                number=len(self.steps) + 1,
                kind=kind,
                server=joiner.server.id if server is None else server,
                host=joiner.host,
                before=before.at_version(0),
                after=after.at_version(0),
                spare_after=spare(after.quorums, self.up | votes),
                proofs=proofs,
                asks=asks,
                undo=undo,
                wait_s=wait_s,
            )
        )


def notes_of(health: Health, wish: Wish) -> tuple[str, ...]:
    releases = [r for f in health.picture.members if f.srvr.value and (r := Release.read(f.srvr.value.release))]
    notes = []
    if any(not r.has_autocreate for r in releases):
        what = "an empty joiner could vote if it were in a list as a voter"
        notes.append(f"R5: this release has no db.autocreate: {what}")
    if any(not r.has_digests for r in releases):
        notes.append("R8: this release has no digests: unequal data cannot be told by them")
    notes.extend(f"override {rule}: {reason}" for rule, reason in sorted(wish.options.overrides.items()))
    if wish.options.season_s < SEASON_S:
        short, usual = seconds(wish.options.season_s), seconds(SEASON_S)
        notes.append(f"seasoning time {short} instead of {usual}: {wish.options.reason}")
    return tuple(notes)
