"""From what was seen to what each server may act under, and the states of a step; surveys made by hand."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.facts_made import (
    SESSION,
    VERSION,
    WORDS,
    Made,
    disk_of,
    facts,
    healthy,
    members,
    outage,
    server,
    serving,
)
from zkprov.judge.health import Condition
from zkprov.judge.may_act import servers_of
from zkprov.judge.one_quorum import during, one_quorum, prove_step
from zkprov.judge.verdict import Purpose, Verdict
from zkprov.model.acting import ProofServer, SeenList
from zkprov.model.facts import Mode, Outcome, Retired
from zkprov.model.proof import prove
from zkprov.model.server import ClientAddress, HostPort, Role


def by_name(made: Made) -> dict[str, ProofServer]:
    return {s.name: s for s in servers_of(made.picture)}


def verdict(made: Made) -> Verdict:
    return one_quorum(made.picture, Purpose.LOOK).verdict


def test_a_healthy_ensemble_passes() -> None:
    assert verdict(healthy(3)) is Verdict.PASS
    assert [len(s.lists) for s in servers_of(healthy(3).picture)] == [1, 1, 1]


def test_the_outage_fails_with_its_witness() -> None:
    gate = one_quorum(outage().picture, Purpose.LOOK)
    assert gate.verdict is Verdict.FAIL and gate.unsafe
    assert [str(e).split()[:3] for e in gate.evidence] == [["{1,2,3}", "elect", "3"], ["{4,5,6,7}", "elect", "7"]]


def test_memory_and_disk_both_count() -> None:
    """The disk was put back to an older list under a running server: it may act under either."""
    made = healthy(3).having(2, disk=disk_of(2, members((1, 2, 3, 4, 5), version=0x100000000)))
    assert [s.members.version for s in by_name(made)["zk2"].lists] == [0x100000000, VERSION]


def test_the_next_on_disk_is_in_memory_too() -> None:
    following = members((1, 2, 3, 4), version=VERSION + 7)
    older = members((1, 2, 3), version=VERSION - 1)
    seen = by_name(healthy(3).having(2, disk=disk_of(2, older, following)))["zk2"]
    assert [s.next for s in seen.lists] == [following, following]


def test_a_next_counts_for_nothing_without_reconfig() -> None:
    disk = disk_of(2, members((1, 2, 3)), members((1, 2, 3, 4), version=VERSION + 7), settings={})
    seen = by_name(healthy(3).having(2, disk=disk))["zk2"]
    assert [s.next for s in seen.lists] == [None]
    assert not seen.reconfig_enabled


def test_unseen_disks_are_assumed_and_named() -> None:
    """3 is down and nobody can read its disk; 1's has five members of another time on it."""
    assert verdict(healthy(3).down(3)) is Verdict.PASS
    old = members((1, 3, 4), version=0x100000000)
    made = healthy(5).down(3, 4).having(1, disk=disk_of(1, old))
    gate = one_quorum(made.picture, Purpose.LOOK)
    assert gate.verdict is Verdict.UNKNOWN
    assert "zk3" in gate.summary and "zk3" in gate.remedy


def seeking(made: Made, *names: str, word: Outcome = Outcome.NOT_SERVING) -> Made:
    """They run and serve nobody, and their disks cannot be read from here."""
    for name in names:
        made = made.having(name, **dict.fromkeys((*WORDS, *SESSION), word), disk=Outcome.NOT_ASKED)
    return made


@pytest.mark.parametrize("word", [Outcome.NOT_SERVING, Outcome.CLOSED])
def test_a_server_that_seeks_a_leader_under_a_list_that_nobody_saw_is_not_passed_over(word: Outcome) -> None:
    """The moment before the outage: 5 to 7 run already, in no list of ours."""
    made = healthy(3).spare("zk5", "zk6", "zk7")
    assert one_quorum(made.picture, Purpose.CHANGE).verdict is Verdict.PASS
    made = seeking(made, "zk5", "zk6", "zk7", word=word)
    gate = one_quorum(made.picture, Purpose.CHANGE)
    assert (gate.verdict, gate.stops, gate.unsafe) == (Verdict.UNKNOWN, True, False)
    assert "zk6" in gate.summary and "zk6" in gate.remedy
    assert made.health(Purpose.CHANGE).condition is Condition.UNKNOWN
    for i in (5, 6, 7):
        made = made.having(f"zk{i}", disk=disk_of(i, members((1, 2, 3), (i,), version=0)))
    assert one_quorum(made.picture, Purpose.CHANGE).verdict is Verdict.PASS


def test_danger_that_is_seen_is_told_before_what_nobody_saw() -> None:
    assert one_quorum(seeking(outage().spare("zk8"), "zk8").picture, Purpose.LOOK).verdict is Verdict.FAIL


def test_a_member_that_seeks_a_leader_acts_under_a_list_that_was_seen() -> None:
    assert one_quorum(seeking(healthy(3), "zk1").picture, Purpose.CHANGE).verdict is Verdict.PASS


def test_a_joiner_that_starts_seeks_a_leader_and_its_list_is_seen() -> None:
    made = healthy(3).spare("zk4").looking(4)
    made = made.having(4, disk=disk_of(4, members((1, 2, 3), (4,), version=0), has_data=False))
    assert one_quorum(made.picture, Purpose.CHANGE).verdict is Verdict.PASS


@pytest.mark.parametrize("word", [Outcome.REFUSED, Outcome.TIMEOUT, Outcome.JUNK])
def test_a_host_where_no_server_is_seen_to_run_is_no_obstacle(word: Outcome) -> None:
    assert (
        one_quorum(seeking(healthy(3).spare("zk5"), "zk5", word=word).picture, Purpose.CHANGE).verdict is Verdict.PASS
    )


def test_what_the_ledger_confirmed_on_a_disk_is_the_least_that_it_may_act_under() -> None:
    old = members((1, 3, 4), version=0x100000000)
    made = healthy(5).down(3, 4).having(1, disk=disk_of(1, old)).ledger(seasoned=(1, 2, 3, 4, 5))
    assert {s.confirmed for s in servers_of(made.picture)} == {VERSION}
    assert verdict(made) is Verdict.PASS


def test_an_empty_server_without_the_right_to_vote_counts_for_nothing() -> None:
    def fourth(**more: object) -> Made:
        disk = disk_of(7, members(range(1, 8), version=0), has_data=False, **more)  # type: ignore[arg-type]
        made = outage()
        return made.down(7).having(7, disk=disk)

    assert verdict(fourth()) is Verdict.PASS
    assert verdict(fourth(initialize=True)) is Verdict.FAIL
    assert verdict(fourth(settings={"db.autocreate": "true"})) is Verdict.FAIL


def test_a_server_that_runs_alone_elects_itself() -> None:
    made = healthy(3)
    alone = made.reading(3, mode=Mode.STANDALONE).having(3, config=None, conf=None, disk=None)
    lists = by_name(alone)["zk3"].lists
    assert [sorted(s.members.voters) for s in lists] == [[3]]


def retired(fate: str, **more: object) -> Retired:
    client = HostPort("10.0.0.9", 2181)
    return msgspec.structs.replace(Retired(9, "zk9", client, 0, fate=fate), **more)  # type: ignore[arg-type]


def test_retired_servers_count_until_they_are_attested_gone() -> None:
    """Two left long ago with a list of their own: put back, they elect."""
    old = members((8, 9), version=0x100000000)
    for fate, expected in (
        ("set aside", Verdict.FAIL),
        ("destroyed", Verdict.PASS),
        ("wiped", Verdict.PASS),
    ):
        left = tuple(retired(fate, id=i, last_list=old) for i in (8, 9))
        made = healthy(3).ledger(seasoned=(1, 2, 3), retired=left)
        assert verdict(made) is expected, fate
    unlisted = by_name(healthy(3).ledger(seasoned=(1,), retired=(retired("set aside"),)))["zk9 (retired 9)"]
    assert not unlisted.seen


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        ("left behind", Verdict.PASS),
        ("set aside", Verdict.UNKNOWN),
        ("destroyed", Verdict.UNKNOWN),
        ("wiped", Verdict.UNKNOWN),
    ],
)
def test_what_seeks_a_leader_where_one_left(fate: str, expected: Verdict) -> None:
    """Of the disk that was left there the proof knows what it may act under; anything else there is a server that nobody has seen."""
    left = retired(fate, last_list=healthy(4).live)
    seeking = facts("zk9 (retired 9)", left.client, known_as=("retired",), srvr=Outcome.NOT_SERVING)
    made = healthy(3).ledger(seasoned=(1, 2, 3), retired=(left,)).also(seeking)
    assert verdict(made) is expected
    elsewhere = msgspec.structs.replace(seeking, name="zk8", client=HostPort("10.0.0.8", 2181))
    assert verdict(healthy(3).ledger(seasoned=(1, 2, 3), retired=(left,)).also(elsewhere)) is Verdict.UNKNOWN
    # an entry without an endpoint is no leave for whoever has none
    hidden = msgspec.structs.replace(seeking, client=None)
    nowhere = msgspec.structs.replace(left, client=None)
    assert verdict(healthy(3).ledger(seasoned=(1, 2, 3), retired=(nowhere,)).also(hidden)) is Verdict.UNKNOWN


# -- steps


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_every_stage_of_adding_one_is_safe(n: int) -> None:
    made = healthy(n)
    joiner = server(n + 1)
    admitted = made.live.with_server(joiner.with_role(Role.OBSERVER))
    promoted = made.live.with_server(joiner)
    for before, after in ((made.live, made.live), (made.live, admitted), (admitted, promoted)):
        proofs = prove_step(made.picture, before, after, joiner)
        assert proofs[0][0] == "before"
        assert all(p.safe for _, p in proofs), (before, after, proofs)


def test_a_whole_plan_is_proved_ahead_and_the_down_stay_behind() -> None:
    """3 to 5 with 1 down: at each step it still has the list of three."""
    made = healthy(3).down(1, disk=True)
    before = made.live
    for i in (4, 5):
        joiner = server(i)
        for after in (before.with_server(joiner.with_role(Role.OBSERVER)), before.with_server(joiner)):
            assert all(p.safe for _, p in prove_step(made.picture, before, after, joiner))
            before = after


def test_two_votes_in_one_step_are_unsafe_within() -> None:
    made = healthy(3)
    after = made.live.with_server(server(4)).with_server(server(5))
    proofs = dict(prove_step(made.picture, made.live, after, server(5)))
    assert str(proofs["crash within"].verdict) == "unsafe"
    assert proofs["before"].safe
    assert proofs["after"].safe


def test_a_step_over_a_stale_disk_is_unsafe_before_it() -> None:
    old = members((1, 2), version=0x100000000)
    made = healthy(5).down(1, 2, disk=True)
    made = made.having(1, disk=disk_of(1, old)).having(2, disk=disk_of(2, old))
    joiner = server(6)
    proofs = dict(prove_step(made.picture, made.live, made.live.with_server(joiner), joiner))
    assert str(proofs["before"].verdict) == "unsafe"


def twin(made: Made, name: str, server_id: int, listed: tuple[int, ...] = (1, 2, 3)) -> Made:
    """A stopped disk on another host, with an id that a server of the step has too."""
    disk = disk_of(server_id, members(listed, version=VERSION - 5), active=False)
    return made.spare(name).having(name, disk=disk)


def test_a_joiner_is_not_taken_for_another_disk_with_its_id() -> None:
    """zk9 was 5 once. Woken, it takes over the list of five: {1,2,5} and {3,4,5} may elect at once, each with a 5 of its own."""
    joiner = server(5)
    for made in (healthy(4), healthy(4).spare("zk5")):
        observed = made.live.with_server(joiner.with_role(Role.OBSERVER))
        five = made.live.with_server(joiner)
        assert all(p.safe for _, p in prove_step(made.picture, observed, five, joiner))
        proofs = dict(prove_step(twin(made, "zk9", 5).picture, observed, five, joiner))
        assert proofs["before"].servers == 6
        assert {label: str(p.verdict) for label, p in proofs.items()}["crash within"] == "unsafe"


def test_an_earlier_joiner_is_not_taken_for_another_disk_with_its_id() -> None:
    """By the step that adds 6, an earlier one has added 5: beside the disk on zk9, and not in its place."""
    made = healthy(4).spare("zk5", "zk6")
    five = made.live.with_server(server(5))
    step = (five, five.with_server(server(6, Role.OBSERVER)), server(6))
    assert dict(prove_step(made.picture, *step))["before"].servers == 6
    assert dict(prove_step(twin(made, "zk9", 5).picture, *step))["before"].servers == 7


def test_a_voter_that_nobody_looked_at_is_the_joiner_only_where_its_list_means_the_same_place() -> None:
    """A list on zk9 names a voter 5. Is it the joiner's own address, then it is the joiner; else there are two with that id."""
    made, joiner = healthy(4).spare("zk5", "zk6", "zk9"), server(5)
    five, observer = made.live.with_server(joiner), server(6, Role.OBSERVER)
    for host, servers in (("10.0.0.5", 7), ("10.0.0.77", 8)):
        named = members((1, 2, 3, 4), version=VERSION - 5).with_server(server(5, host=host))
        seen = made.having("zk9", disk=disk_of(9, named, active=False))
        proofs = dict(prove_step(seen.picture, five, five.with_server(observer), observer))
        assert proofs["before"].servers == servers, host


def test_a_server_of_the_step_is_found_again_by_its_place() -> None:
    """It runs, or is named by another name than the list's client part: it is there once."""
    made = healthy(4)
    joiner = server(5)
    started = made.also(serving(5, members((1, 2, 3, 4), (5,), version=0), 4))
    observed = made.live.with_server(joiner.with_role(Role.OBSERVER))
    assert dict(prove_step(started.picture, made.live, observed, joiner))["before"].servers == 5
    local = msgspec.structs.replace(joiner, client=ClientAddress(2181, "127.0.0.1"))
    named = made.live.with_server(local.with_role(Role.OBSERVER))
    assert dict(prove_step(started.picture, made.live, named, local))["before"].servers == 5


def test_a_crash_counts_every_stage_on_every_server() -> None:
    before, after = members((1, 2, 3)), members((1, 2, 3, 4), version=VERSION + 1)
    three = tuple(ProofServer(f"zk{i}", i, (SeenList(before, "x"),)) for i in (1, 2, 3))
    crashed = during((*three, ProofServer("zk9", 9)), before, after)
    assert [len(s.lists) for s in crashed] == [3, 3, 3, 0]
    assert crashed[0].lists[1].next == after
    assert prove(crashed).safe
