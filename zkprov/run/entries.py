"""The ledger's entries of the voters: the first ones, those of whom it does not know yet, and whose time as a newcomer is over."""

from __future__ import annotations

import contextlib

import msgspec

from zkprov.judge.gates import serving_voters
from zkprov.judge.health import judge
from zkprov.judge.newcomers import another_disk, disks_of, ledger_of, newcomers_in
from zkprov.judge.picture import Picture, holds, picture_of
from zkprov.judge.verdict import Purpose
from zkprov.model.facts import LedgerMember, Survey
from zkprov.model.problems import NotHealthy, Problem
from zkprov.plan.steps import Plan, StepKind
from zkprov.run.ledger import EnsembleLedger
from zkprov.run.world import World


def ensure_ledger(world: World, ledger: EnsembleLedger, plan: Plan, survey: Survey | None = None) -> None:
    """The ledger's first entry needs one proved leader (DESIGN, "Ledger"); newcomers whose time is over are marked for good.

    `survey`: one of this moment, where there is one.
    """
    health = judge(survey or world.survey(), Purpose.CHANGE)
    leader = health.gate("one leader")
    live = health.picture.live
    if live is None or leader.stops:
        raise NotHealthy(leader.summary, place="one leader", remedy="zkprov status")
    season = plan.options.season_s
    shown = {i for i in live.voters if (f := health.picture.member(i)) is not None and holds(f, live)}
    # an empty server that was given leave to vote is a newcomer, also where the ledger is new (R2)
    seeds = {s.server for s in plan.steps if s.kind is StepKind.SEED}
    ledger.ensure(live, serving_voters(health.picture) - seeds, marked(world, health.picture), season, confirmed=shown)
    if not (seeds or _to_be_told(health.picture)):
        return
    ledger.now_ms()
    picture = picture_of(world.survey())
    known = ledger_of(picture.survey)
    if known is None:
        return
    disks = disks_of(picture)
    grown = serving_voters(picture) - {n.id for n in newcomers_in(picture)}
    for server_id in sorted(live.voters):
        entry, disk, facts = known.members.get(server_id), disks.get(server_id), picture.member(server_id)
        if entry is None or another_disk(entry, disk):
            if facts is None or not facts.serving:
                # it does not vote, so its time does not run (R2)
                continue
            confirmed = live.version if holds(facts, live) else 0
            ledger.member_came(server_id, LedgerMember(0, disk or "", confirmed, False, season))
            continue
        now = msgspec.structs.replace(
            entry, disk=entry.disk or disk or "", seasoned=entry.seasoned or server_id in grown
        )
        if now != entry:
            ledger.member_is(server_id, now)


def _to_be_told(picture: Picture) -> bool:
    """Whether the ledger that the picture shows lacks a voter, has one whose time may be over, or knows one by another disk."""
    known, disks = ledger_of(picture.survey), disks_of(picture)
    if known is None or picture.live is None:
        return False  # its entries were made just now
    entries = {i: known.members.get(i) for i in picture.live.voters}
    return any(e is None or not e.seasoned or not e.disk or another_disk(e, disks.get(i)) for i, e in entries.items())


def marked(world: World, picture: Picture) -> dict[int, str]:
    """The mark on each member's disk, laid now where one has none and can be reached: with it a wipe is seen (R2)."""
    marks = disks_of(picture)
    for facts in picture.members:
        # also one that was marked before it held data: the mark is tied to the data now; an empty one is marked when it is laid
        disk = facts.disk.value
        if disk is not None and disk.has_data and not (disk.disk_id and disk.data_marked):
            with contextlib.suppress(Problem):
                marks[picture.member_id(facts)] = world.host(facts.name).mark_disk()
    return marks
