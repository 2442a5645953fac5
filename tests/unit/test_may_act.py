"""Who may vote while empty: `db.autocreate=false` bars it from 3.6 on, and a server that is stopped does not tell its release."""

from __future__ import annotations

import pytest

from tests.unit.facts_made import Made, disk_of, members, outage
from zkprov.judge.may_act import servers_of
from zkprov.judge.one_quorum import one_quorum
from zkprov.judge.verdict import Purpose, Verdict
from zkprov.model.acting import ProofServer
from zkprov.model.facts import Outcome


def emptied(**releases: str) -> Made:
    """The outage before its last server runs: 7 is stopped and empty, without the right to vote. `zk1="3.5.10"`: what it says."""
    disk = disk_of(7, members(range(1, 8), version=0), has_data=False)
    made = outage().down(7).having(7, disk=disk)
    for server in made.servers:
        if server.srvr.value:
            made = made.reading(int(server.name[2:]), release=releases.get(server.name, releases.get("rest", "3.9.5")))
    return made


def seventh(made: Made) -> ProofServer:
    return next(s for s in servers_of(made.picture) if s.name == "zk7")


@pytest.mark.parametrize(
    ("releases", "may_vote"),
    [
        ({}, False),
        ({"rest": "3.6.0"}, False),
        ({"rest": "3.5.10"}, True),
        ({"zk2": "3.5.10"}, True),  # half way through an upgrade: it may be of either
        ({"zk5": "3.5.10"}, False),  # no member's
    ],
)
def test_an_empty_stopped_server_is_barred_by_the_lowest_release_of_the_members(
    releases: dict[str, str], may_vote: bool
) -> None:
    made = emptied(**releases)
    assert seventh(made).may_vote is may_vote
    verdict = Verdict.FAIL if may_vote else Verdict.PASS
    assert one_quorum(made.picture, Purpose.LOOK).verdict is verdict


def test_where_no_member_tells_its_release_it_may_vote() -> None:
    made = emptied()
    for i in (1, 2, 3):
        made = made.having(i, srvr=Outcome.CLOSED)
    assert seventh(made).may_vote
    for i in (1, 2, 3):
        made = made.having(i, mntr={"zk_server_state": "follower", "zk_version": "3.9.5-abc, built on today"})
    assert not seventh(made).may_vote


def test_its_own_word_counts_more_than_the_members() -> None:
    """It stopped serving between two questions of one look; or mntr alone is open."""
    old = emptied(rest="3.5.10").having(7, mntr={"zk_version": "3.9.5"})
    assert not seventh(old).may_vote
    new = emptied().having(7, mntr={"zk_version": "3.5.10"})
    assert seventh(new).may_vote
