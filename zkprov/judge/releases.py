"""Which release each member runs, and may be given: whether it is one that is meant, and what the inventory has for its host."""

from __future__ import annotations

from collections.abc import Mapping, Set

from zkprov.judge.gates import NO_LIST, listed, release_told, unseen
from zkprov.judge.picture import Picture
from zkprov.judge.verdict import Evidence, GateResult, weighed
from zkprov.model.inventory import InventoryHost
from zkprov.model.release import Release


def running(picture: Picture) -> dict[int, Release]:
    """Id → the release of each member that tells it."""
    told = ((picture.member_id(f), release_told(f)) for f in picture.members)
    return {server_id: release for server_id, release in told if server_id is not None and release is not None}


def releases_as_planned(
    picture: Picture, planned: Mapping[int, Set[str]], excused: Set[int] = frozenset()
) -> GateResult:
    """While releases change: every member runs what the plan says of it at this moment, and none a third one."""
    failed: list[Evidence] = []
    unknown: list[Evidence] = [] if picture.live else [NO_LIST]
    seen: dict[str, None] = {}
    for server, facts in listed(picture, excused):
        release = release_told(facts) if facts else None
        if facts is None or release is None:
            unknown.append(unseen(picture, server, facts, *((facts.srvr, facts.mntr) if facts else ())))
            continue
        seen[str(release)] = None
        meant = planned.get(server.id, frozenset())
        if str(release) not in meant:
            told = f"runs {release}, the plan has it at {' or '.join(sorted(meant))}" if meant else "came in meanwhile"
            failed.append(Evidence(picture.label(facts), told))
    return weighed(
        "release",
        failed,
        unknown,
        "all run what is planned: " + ", ".join(seen),
        ("srvr Zookeeper version", "mntr zk_version"),
        remedy="zkprov status shows who runs what",
    )


def too_old(picture: Picture) -> str:
    """Which member runs a release whose lists are not to be changed, in words; empty for none."""
    for facts in picture.members:
        release = release_told(facts)
        if release is not None and not release.allows_membership_changes:
            return f"{picture.label(facts)}: runs {release}; {release.least_advice}"
    return ""


def why_not_laid(host: InventoryHost, release: str) -> str:
    """Why `release` cannot be laid out on the host, by the inventory; empty where it can, or lies there already for all that is known."""
    source = host.source_of(release)
    if source is None:
        return f"zkprov_releases does not name {release}"
    if host.connection == "local":
        return "" if source.classpath else f"no classpath of {release} is named"
    return "" if source.archive else f"no archive of {release} is named"
