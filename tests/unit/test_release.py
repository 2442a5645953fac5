"""The release table: which releases have which fault, may change membership, and may be upgraded to which."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkprov.model.problems import BadInput
from zkprov.model.release import CONCERNS, Release, allowed_for_membership_changes, concerns, may_upgrade

releases = st.builds(Release, st.just(3), st.integers(4, 10), st.integers(0, 15))


@pytest.mark.parametrize(
    "text", ["3.9.5", "3.9.5-9f1c2d", "3.9.5-9f1c2d, built on 2026-01-01", " 3.9.5\n", "3.9.5.7.1.7.0-551"]
)
def test_parse(text: str) -> None:
    assert Release.parse(text) == Release(3, 9, 5)


@pytest.mark.parametrize("text", ["", "3", "3.9", "v3.9.5", "3.9.x", "latest", "-3.9.5"])
def test_what_is_no_release(text: str) -> None:
    with pytest.raises(BadInput, match="not a ZooKeeper release") as refused:
        Release.parse(text, "inventory.yml:4")
    assert refused.value.place == "inventory.yml:4"


def test_numbers_not_letters_are_compared() -> None:
    assert Release.parse("3.10.0") > Release.parse("3.9.5")
    assert Release.parse("3.5.10") > Release.parse("3.5.9")
    assert str(Release.parse("3.5.10-abc")) == "3.5.10"


@pytest.mark.parametrize(
    ("text", "issues"),
    [
        ("3.5.2", "2172 2014 2778 3701 3829 3642 4708 4785 4394 4643 4646 4886"),
        ("3.5.6", "3701 3829 3642 4708 4785 4394 4643 4646 4886"),
        ("3.5.10", "4708 4785 4394 4643 4646 4886"),
        ("3.6.1", "3829 3642 4708 4785 4394 4643 4646 4886"),
        ("3.6.2", "3642 4708 4785 4394 4643 4646 4886"),
        ("3.7.2", "4708 4785 4394 4643 4646 4886"),
        ("3.8.4", "4785 4394 4643 4646 4886"),
        ("3.8.6", "4394 4643 4646"),
        ("3.9.1", "4708 4785 4394 4643 4646 4886"),
        ("3.9.2", "4394 4643 4646 4886"),
        ("3.9.3", "4886"),
        ("3.9.4", ""),
        ("3.9.5", ""),
        ("3.10.0", ""),
    ],
)
def test_concerns(text: str, issues: str) -> None:
    found = [i.removeprefix("ZOOKEEPER-") for c in concerns(Release.parse(text)) for i in c.issues]
    assert found == issues.split()


@given(releases)
def test_a_patch_brings_no_concern_back(release: Release) -> None:
    later = Release(release.major, release.minor, release.patch + 1)
    assert set(concerns(later)) <= set(concerns(release))
    assert all(str(c).startswith(c.what) for c in CONCERNS)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("3.4.14", False),
        ("3.5.9", False),
        ("3.5.10", True),
        ("3.6.3", False),
        ("3.6.4", True),
        ("3.7.1", False),
        ("3.7.2", True),
        ("3.8.0", False),
        ("3.8.3", False),
        ("3.8.4", True),
        ("3.9.0", True),
        ("3.9.5", True),
        ("3.10.0", True),
    ],
)
def test_membership_changes(text: str, allowed: bool) -> None:
    assert allowed_for_membership_changes(Release.parse(text)) is allowed


def test_what_to_run_at_least() -> None:
    assert "need 3.7.2 or newer" in Release.parse("3.7.0").least_advice
    assert "need 3.5.10 or newer" in Release.parse("3.4.14").least_advice
    assert Release.read("junk") is None
    assert Release.read("3.9.5-x") == Release(3, 9, 5)


@pytest.mark.parametrize(
    ("old", "new", "allowed", "via"),
    [
        ("3.9.4", "3.9.5", True, ""),
        ("3.9.5", "3.9.5", False, ""),
        ("3.9.5", "3.9.4", False, ""),
        ("3.9.5", "3.10.0", False, ""),
        ("3.4.5", "3.5.10", False, "3.4.14"),
        ("3.4.6", "3.5.10", True, ""),
        ("3.4.14", "3.9.5", False, "3.5.10 3.6.4 3.8.6"),
        ("3.5.6", "3.6.4", False, "3.5.10"),
        ("3.5.10", "3.6.4", True, ""),
        ("3.5.10", "3.9.5", False, "3.6.4 3.8.6"),
        ("3.6.4", "3.7.2", True, ""),
        ("3.6.4", "3.8.6", True, ""),
        ("3.6.4", "3.9.5", False, "3.8.6"),
        ("3.7.2", "3.9.5", True, ""),
        ("3.8.0", "3.9.5", True, ""),
    ],
)
def test_upgrades(old: str, new: str, allowed: bool, via: str) -> None:
    step = may_upgrade(Release.parse(old), Release.parse(new))
    assert step.allowed is allowed
    assert [str(r) for r in step.via] == via.split()
    assert bool(step.reason) is not allowed


@given(releases, releases)
def test_each_leg_of_a_way_is_allowed(old: Release, new: Release) -> None:
    step = may_upgrade(old, new)
    legs = [old, *step.via, new]
    if step.via:
        assert all(may_upgrade(a, b).allowed for a, b in itertools.pairwise(legs))


def test_what_to_mind_on_the_way() -> None:
    assert "multiAddress" in may_upgrade(Release.parse("3.5.10"), Release.parse("3.6.4")).notes[0]
    assert "snapshot.trust.empty" in may_upgrade(Release.parse("3.4.14"), Release.parse("3.5.10")).notes[0]


def test_what_a_release_can_do() -> None:
    old, new = Release.parse("3.5.10"), Release.parse("3.6.0")
    for feature in ("has_autocreate", "has_digests", "has_voting_view", "has_multi_address"):
        assert not getattr(old, feature)
        assert getattr(new, feature)
    assert old.has_reconfig
    assert not Release.parse("3.4.14").has_reconfig
    assert Release.parse("3.9.0").has_snapshot_command
    assert not Release.parse("3.8.6").has_snapshot_command
