"""R2: who among the voters is a newcomer, and whether newcomers and joiners could be a quorum.

The invariant: joiners plus newcomers contain a quorum of no list that the plan passes through. A newcomer becomes seasoned
when it has voted, on this disk, for the seasoning time; a restart does not undo it, a wipe does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

import msgspec

from zkprov.judge.picture import Picture, picture_of
from zkprov.model.facts import Ledger, LedgerMember, Outcome, Survey
from zkprov.model.members import Members
from zkprov.model.quorum import braces

SEASON_S = 900.0
"""Seasoning time by default: 15 minutes (DESIGN R2)."""


class Newcomer(msgspec.Struct, frozen=True):
    """A voter that is not seasoned yet. `age_s`: how long it has voted; `left_s`: seconds until it is seasoned."""

    id: int
    age_s: float
    left_s: float


def newcomers(
    members: Members, ledger: Ledger | None, season_s: float | None = None, disks: dict[int, str] | None = None
) -> tuple[Newcomer, ...]:
    """The newcomers among the voters, by id.

    `ledger` None: this ensemble is met for the first time, its voters count as seasoned. So do founders, while there is no data yet.
    A voter that the ledger does not know, or knows on another disk, is a newcomer from now on. `season_s` overrides the time that each
    entry was made with, unless it is no less than the default and shorter than that.
    """
    if ledger is None or not ledger.uuid or ledger.founding:
        return ()
    found = []
    for server_id in sorted(members.voters):
        entry = ledger.members.get(server_id)
        if entry is None or another_disk(entry, (disks or {}).get(server_id)):
            season = SEASON_S if season_s is None else season_s
            found.append(Newcomer(server_id, 0.0, season))
            continue
        if entry.seasoned:
            continue
        season = entry.season_s if season_s is None else season_s
        if season >= SEASON_S:
            # the default of one run is no reason to cut short what another was told to wait for; a shorter time has its own
            season = max(season, entry.season_s)
        age = max(0.0, (ledger.now_ms - entry.since_ms) / 1000)
        if age < season:
            found.append(Newcomer(server_id, age, season - age))
    return tuple(found)


def longest_join_s(settings: Iterable[Mapping[str, str]]) -> float:
    """2 × initLimit × tickTime in seconds, the longest of those: what a seasoning time is at least (R2).

    ZooKeeper's defaults (10 and 2000 ms) stand for what is not set, or is no number.
    """

    def number(one: Mapping[str, str], key: str, default: int) -> int:
        text = one.get(key, "").strip()
        return int(text) if text.isdecimal() else default

    each = (2 * number(one, "initLimit", 10) * number(one, "tickTime", 2000) / 1000 for one in settings)
    return max(each, default=0.0) or 40.0


def short_season(picture: Picture, season_s: float) -> str:
    """What speaks against a seasoning time by the settings that the members run with; empty where nothing does."""
    told = [x.settings for f in picture.members for x in (f.conf.value, f.disk.value) if x is not None]
    least = longest_join_s(told)
    return (
        "" if season_s >= least else f"{season_s:g} s is less than 2 × initLimit × tickTime of the members, {least:g} s"
    )


def ledger_of(survey: Survey) -> Ledger | None:
    """The ledger as the member with the latest of it holds it. Another ensemble's, at an address that we know, is none of ours."""
    return ledger_in(picture_of(survey))


def ledger_in(picture: Picture) -> Ledger | None:
    """As `ledger_of`, for a survey whose servers have their standing."""
    seen = [f.ledger.value for f in picture.members if f.ledger.value and f.ledger.value.uuid]
    return max(seen, key=lambda x: (x.now_ms, len(x.members)), default=None)


def ledger_told(picture: Picture) -> bool:
    """Whether a quorum of the members told what the ledger holds, or that there is none: what none of them told is not there."""
    told = (f for f in picture.members if f.ledger.value is not None or f.ledger.outcome is Outcome.ABSENT)
    return picture.live is not None and picture.live.quorums.contains_quorum(frozenset(map(picture.member_id, told)))


def disks_of(picture: Picture) -> dict[int, str]:
    """The mark on each member's disk that was read: '' where it has none."""
    return {picture.member_id(f): f.disk.value.disk_id for f in picture.members if f.disk.value}


def newcomers_in(picture: Picture, season_s: float | None = None, now_ms: int = 0) -> tuple[Newcomer, ...]:
    """The newcomers among the live list's voters. `now_ms`: the time now, where it is known better than by the survey."""
    ledger = ledger_in(picture)
    if picture.live is None or ledger is None:
        return ()
    ledger = msgspec.structs.replace(ledger, now_ms=now_ms or ledger.now_ms)
    return newcomers(picture.live, ledger, season_s, disks_of(picture))


def another_disk(entry: LedgerMember, disk: str | None) -> bool:
    """Whether a voter's disk was wiped or replaced since the ledger's entry. `disk` None: its disk was not read; '': it has no mark."""
    return bool(entry.disk) and disk is not None and disk != entry.disk


class NewMajority(msgspec.Struct, frozen=True):
    """Why R2 refuses a list: `unseasoned` are a quorum of it."""

    members: Members
    unseasoned: frozenset[int]

    def __str__(self) -> str:
        return f"{braces(self.unseasoned)} would be a quorum of {self.members}; {self.members.quorums.describe()}"


def newcomers_rule(after: Members, unseasoned: Set[int]) -> NewMajority | None:
    """R2 for one list: None where it holds. `unseasoned`: joiners and newcomers."""
    among = frozenset(unseasoned) & after.voters
    return NewMajority(after, among) if after.quorums.contains_quorum(among) else None
