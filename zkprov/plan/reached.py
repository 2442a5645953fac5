"""Whether what a plan would bring about stands already: read from the servers and the ledger, not from a memory of having run."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zkprov.judge.gates import serving_voters
from zkprov.judge.health import Condition, Health
from zkprov.judge.newcomers import ledger_of
from zkprov.judge.picture import Picture, client_of
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.facts import SET_ASIDE, Ledger, Retired, ServerFacts, Survey
from zkprov.model.members import Members
from zkprov.plan.steps import SET_ROLE, Plan


class Reached(msgspec.Struct, frozen=True):
    """A list that is the plan's last one. `danger`: the ensemble is unsafe; `weak`: what of the end does not serve, or cannot be told;
    `lacks`: what the ledger does not know, so that it was not a run that brought this about. `said`: what stands.
    """

    danger: GateResult | None = None
    weak: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        return not (self.danger or self.weak or self.lacks)


def reached(plan: Plan, health: Health, ran: str = "") -> Reached | None:
    """None where the list is not the plan's last one. `ran`: the id of the run that the ledger knows as done, if any.

    A plan that leaves the list as it is, a restart, is never told to be done by it: only by the ledger, as the last run that ended.
    """
    live = health.picture.live
    if live is None or not live.same_list(plan.final):
        return None
    if plan.final.same_list(plan.base):
        if ran != plan.id:
            return None
    elif live.version <= plan.base.version:
        return None
    danger = next((g for g in health.gates if g.unsafe and g.verdict is Verdict.FAIL), None)
    ledger = ledger_of(health.picture.survey)
    weak = tuple(_weak(plan, health, live))
    lacks = tuple(_lacks(plan, health, ledger, ran))
    said = [f"{x.id} ({x.host}) has left ({x.fate})" for x in _retired(plan, ledger)]
    if health.condition is Condition.DEGRADED:
        said.append(f"the ensemble is degraded: {health.headline}")
    return Reached(danger, weak, lacks, tuple(said))


def another_history(plan: Plan, survey: Survey) -> str:
    """Why the ensemble is not the one that the plan was made for; empty where it is, or where nothing comparable is told."""
    found = _histories(survey)
    same_path = {h for h in found if h.split("@")[0] == plan.history.split("@")[0]}
    if not plan.history or not same_path or plan.history in same_path:
        return ""
    return f"another history: {', '.join(sorted(same_path))}, the plan knew {plan.history}"


def other_releases(plan: Plan, picture: Picture) -> tuple[str, ...]:
    """The members that run another release than when the plan was made. One that does not tell its release is no other one."""
    told = {picture.member_id(f): f.srvr.value.release for f in picture.members if f.srvr.value}
    return tuple(
        f"{server_id} runs {told[server_id]}, the plan was made for {release}"
        for server_id, release in sorted(plan.releases.items())
        if told.get(server_id, release) != release
    )


def _histories(survey: Survey) -> set[str]:
    return {f"{i.path}@{i.czxid:x}/{i.ctime_ms}" for f in survey.servers if (i := f.identity.value)}


def _weak(plan: Plan, health: Health, live: Members) -> list[str]:
    """What a run would not have ended well with."""
    if health.condition is Condition.UNKNOWN:
        return [health.headline or "how the ensemble is cannot be told"]
    found, here = [], serving_voters(health.picture)
    for joiner in plan.joiners:
        server, facts = joiner.server, health.picture.member(joiner.server.id)
        if facts is None or not facts.serving or (server.votes and server.id not in here):
            found.append(f"{server.id} ({joiner.host}) is in the list, and does not serve")
        elif facts.config.value is not None and not facts.config.value.same_config(live):
            found.append(f"{server.id} ({joiner.host}) acts under {facts.config.value}, not yet under {live}")
    return found


def _lacks(plan: Plan, health: Health, ledger: Ledger | None, ran: str) -> list[str]:
    if ledger is None:
        return ["the ledger is not there, or could not be read"]
    found = []
    if ran != plan.id and plan.history not in _histories(health.picture.survey):
        found.append("whether this is the ensemble that the plan was made for cannot be told")
    voters = (j.server.id for j in plan.joiners if j.server.votes)
    found += [f"the ledger does not know since when {i} votes (R2)" for i in voters if i not in ledger.members]
    if plan.kind == SET_ROLE:
        return found
    kept = {r.id: r for r in _retired(plan, ledger)}
    for leaver in plan.leavers:
        server_id, entry = leaver.server.id, kept.get(leaver.server.id)
        if entry is None:
            found.append(f"{server_id} is out of the list, and not retired (R7)")
        elif (facts := _there(plan, health.picture.survey.servers, server_id)) is not None and facts.up:
            found.append(f"{server_id} is out of the list, and a server still runs at {facts.name} (R7)")
        elif facts is not None and entry.fate == SET_ASIDE and facts.disk.value and facts.disk.value.my_id == server_id:
            found.append(f"{server_id} is out of the list, and its files still lie on {facts.name} (R7)")
    return found


def _retired(plan: Plan, ledger: Ledger | None) -> list[Retired]:
    """The entries of those that the plan is about. While the ledger knows an id as a voter's, its entry is of an earlier life."""
    if ledger is None or plan.kind == SET_ROLE:
        return []
    ours = f"run {plan.id} "
    return [
        r for r in ledger.retired if r.id in plan.leaving and (r.reason.startswith(ours) or r.id not in ledger.members)
    ]


def _there(plan: Plan, servers: Sequence[ServerFacts], server_id: int) -> ServerFacts | None:
    """What was seen where it served."""
    leaver = plan.leaver(server_id)
    at = client_of(leaver.server)
    return next(
        (f for f in servers if (leaver.host and f.name == leaver.host) or (at is not None and f.client == at)), None
    )
