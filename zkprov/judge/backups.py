"""Whose data is saved, and whether what a release loaded is what was saved."""

from __future__ import annotations

from collections.abc import Set

import msgspec

from zkprov.judge.health import Health
from zkprov.judge.picture import Picture, leads
from zkprov.model.backup import Backup, Loaded
from zkprov.model.facts import ServerFacts


class Check(msgspec.Struct, frozen=True):
    """One comparison. `ok` None: it could not be made, and `said` tells why."""

    what: str
    ok: bool | None
    said: str


def data_source(
    health: Health, hosts: Set[str], leaving: Set[int] = frozenset(), planned: str = ""
) -> ServerFacts | None:
    """The member whose data is saved: a follower in sync, that stays, and is furthest; the leader only where there is no other.

    `hosts`: those of the inventory. A follower has what the leader has, and the leader has enough to do. `planned`: whom a plan names; who
    was a few writes further at one look is no reason to take another.
    """
    picture = health.picture
    able = [f for f in picture.members if f.serving and f.name in hosts]
    voters = picture.live.voters if picture.live else frozenset()

    def rank(facts: ServerFacts) -> tuple[bool, bool, bool, bool, int, int]:
        server_id, named = picture.member_id(facts), facts.name == planned
        zxid = facts.srvr.value.zxid if facts.srvr.value else 0
        return server_id not in leaving, not leads(facts), server_id in voters, named, zxid, -server_id

    return max(able, key=rank, default=None)


def compared(backup: Backup, loaded: Loaded) -> tuple[Check, ...]:
    """What a backup's manifest says of its data, beside what a release made of it."""
    if loaded.damaged:
        return tuple(Check("checksums", False, what) for what in loaded.damaged)
    sums = Check("checksums", True, f"{backup.count} files are what was saved")
    if loaded.said:
        return sums, Check("loads", False, f"the server does not start on it: {loaded.said}")
    loads = Check("loads", True, f"by release {loaded.release} in {loaded.took_s:.1f} s")
    reached = f"{loaded.zxid:#x}"
    same = loaded.zxid == backup.zxid
    told = (
        f"reaches {reached}, the last transaction saved"
        if same
        else f"reaches {reached}, saved was up to {backup.zxid:#x}"
    )
    return sums, loads, Check("zxid", same, told), _znodes(backup, loaded), _digests(backup, loaded)


def _znodes(backup: Backup, loaded: Loaded) -> Check:
    """The count goes with a zxid: it is comparable where the server had the same before and after its data was copied."""
    if not backup.looks:
        return Check("znodes", None, f"{loaded.nodes}; how many the server had was not told")
    at = " and ".join(dict.fromkeys(f"{look.zxid:#x}" for look in backup.looks))
    counts = {look.nodes for look in backup.looks}
    if len(counts) > 1:
        told = " and ".join(str(look.nodes) for look in backup.looks)
        return Check(
            "znodes", None, f"{loaded.nodes}; not comparable: the server had {told}, at {at}, round the copying"
        )
    (count,) = counts
    same = loaded.nodes == count
    return Check("znodes", same, f"{loaded.nodes}" if same else f"{loaded.nodes}, and the server had {count} at {at}")


def _digests(backup: Backup, loaded: Loaded) -> Check:
    """The server's own digests at the same zxids, and those that each transaction in the log carries (from 3.6)."""
    note, digests = "", loaded.digests
    if loaded.mismatches:
        if (why := _not_for_twice(loaded)) is not None:
            return Check(
                "digest", False, f"after {loaded.mismatches} transactions the data is not what the log says{why}"
            )
        note = f"; {loaded.twice} transactions stand in the log twice, as 3.6 may write it: loaded without those, none differs"
        digests = loaded.once.digests if loaded.once else {}
    common = sorted(set(backup.digests) & set(digests), key=int)
    other = _differing(backup.digests, digests)
    if other:
        return Check("digest", False, f"another than the server's at {other[0]:#x}")
    if common:
        told = " and ".join(f"{int(z):#x}" for z in dict.fromkeys((common[0], common[-1])))
        return Check("digest", True, f"the server's at {told}{note}")
    if loaded.mismatches is None:
        return Check("digest", None, "not told by this release, or without an AdminServer")
    if note:
        return Check("digest", None, f"none at a common zxid{note}")
    # the releases note one every 128 transactions
    return Check("digest", None, "none at a common zxid; no mismatch was counted while the log was applied")


def _not_for_twice(loaded: Loaded) -> str | None:
    """None where transactions that stand in the log twice are the reason of all mismatches, and do no harm; else what speaks against it.

    At the second time such a transaction finds a tree that holds later ones by then, and its digest cannot be that tree's.
    """
    once = loaded.once
    if once is None:
        return ""
    without = f"; nor is it without the {loaded.twice} that stand in it twice"
    if once.said:
        return f"{without}: {once.said}"
    if once.mismatches:
        return without
    differing = _differing(loaded.digests, once.digests)
    if differing or (once.zxid, once.nodes) != (loaded.zxid, loaded.nodes):
        at = f" at {differing[0]:#x}" if differing else ""
        return f"; the {loaded.twice} that stand in it twice make another of it{at}"
    return None


def _differing(one: dict[str, int], other: dict[str, int]) -> list[int]:
    """The zxids at which both tell a digest, and not the same."""
    return sorted(int(z) for z in one.keys() & other.keys() if one[z] != other[z])


def passed(checks: tuple[Check, ...]) -> bool:
    return all(check.ok is not False for check in checks)


def named_source(picture: Picture, wanted: str) -> ServerFacts | None:
    """The server of the survey that a person calls `wanted`: a name or an id."""
    by_name = picture.survey.by_name(wanted)
    return by_name or (picture.member(int(wanted)) if wanted.isdecimal() else None)
