"""Whether all servers hold the same data: synced, one history, equal digests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.unit.facts_made import (
    OTHERS,
    SESSION,
    WORDS,
    ZXID,
    Made,
    found,
    healthy,
    serving,
    woken,
)
from zkprov.judge import data
from zkprov.judge.verdict import GateResult, Purpose, Verdict
from zkprov.model.facts import (
    Digests,
    Fact,
    Identity,
    Outcome,
    ZabState,
)

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
LOOK, CHANGE = Purpose.LOOK, Purpose.CHANGE
CLIENT_PORT_ONLY = ("srvr", "config", "identity", "ledger")
EQUAL = Digests({ZXID - 33: 0xD16E57})
SESSIONS_ONLY = ("config", "identity", "ledger")


def of(gate: Callable[..., GateResult], made: Made, purpose: Purpose = CHANGE, **more: Any) -> GateResult:
    return gate(made.picture, purpose, **more)


def told(result: GateResult) -> str:
    return "\n".join(str(e) for e in result.evidence)


class TestSynced:
    def test_behind_the_former_sample(self) -> None:
        made = healthy(3).reading(2, zxid=ZXID - 656)
        assert of(data.synced, made).verdict is PASS  # within one look nothing is of one instant
        result = of(data.synced, made, earlier=healthy(3).survey)
        assert told(result) == "2 (zk2): is at 0x700000211, the leader was past 0x7000004a1 one sample ago: 656 behind"

    @pytest.mark.parametrize(("apart_s", "verdict"), [(0.05, PASS), (1.0, FAIL)])
    def test_what_the_leader_had_just_now_may_be_on_its_way(self, apart_s: float, verdict: Verdict) -> None:
        made = healthy(3).reading(2, zxid=ZXID - 1)
        earlier = msgspec.structs.replace(healthy(3).survey, began=made.picture.survey.began - apart_s)
        assert of(data.synced, made, earlier=earlier).verdict is verdict

    def test_catching_up(self) -> None:
        earlier = healthy(3).reading(3, zxid=ZXID - 700)
        assert of(data.synced, healthy(3).reading(2, zxid=ZXID - 656), earlier=earlier.survey).verdict is PASS

    @pytest.mark.parametrize(("zxid", "said"), [(0x700001000, "4096 behind"), (0x700003000, "4096 before it")])
    def test_far_away(self, zxid: int, said: str) -> None:
        made = healthy(3, zxid=0x700002000).reading(2, zxid=zxid)
        assert said in told(of(data.synced, made))

    def test_another_epoch(self) -> None:
        result = of(data.synced, healthy(3).reading(2, zxid=0x600000900))
        assert told(result) == "2 (zk2): is in epoch 6, leader 3 (zk3) in 7"

    def test_a_young_epoch(self) -> None:
        """A follower shows the new epoch in its zxid only with the first transaction; zabstate shows it before."""
        made = healthy(3, zxid=0x700000010).reading(3, zxid=0x800000000)
        assert of(data.synced, made).verdict is UNKNOWN
        for i in (1, 2):
            made = made.having(i, zabstate=ZabState(i, True, 8, 0x700000010, "BROADCAST"))
        assert of(data.synced, made).verdict is PASS

    def test_by_probe(self) -> None:
        made = healthy(3).telling(*SESSIONS_ONLY)
        assert of(data.synced, made, CHANGE).stops
        for i in (1, 2, 3):
            made = made.having(i, probe=0x7000004A2)
        assert of(data.synced, made, CHANGE).verdict is PASS
        absent = made.having(2, probe=Fact("/zkprov/probe@zk2", Outcome.ABSENT, detail="shows 0x5, written was 0x6"))
        assert of(data.synced, absent).verdict is FAIL
        assert "shows 0x5, written was 0x6" in told(of(data.synced, absent))
        late = made.having(2, probe=Fact("/zkprov/probe@zk2", Outcome.TIMEOUT))
        assert of(data.synced, late).verdict is UNKNOWN

    def test_no_leader_to_compare_with(self) -> None:
        result = of(data.synced, healthy(3).down(3))
        assert result.stops
        assert "no leader's zxid" in told(result)

    def test_two_leaders(self) -> None:
        assert of(data.synced, woken()).verdict is UNKNOWN

    def test_excused(self) -> None:
        assert of(data.synced, healthy(3).down(2), excused={2}).verdict is PASS


class TestSameHistory:
    def test_another_creation(self) -> None:
        result = of(data.same_history, healthy(3).having(2, identity=OTHERS), LOOK)
        assert (result.verdict, result.unsafe) == (FAIL, True)
        assert "1 (zk1), 3 (zk3): /zkprov/ensemble of czxid 0x100000002" in told(result)
        assert "2 (zk2): /zkprov/ensemble" in told(result)

    def test_a_joiner_of_another_history(self) -> None:
        """Told from its own followers' word, whatever else it says."""
        made = healthy(3)
        joiner = serving(4, made.live, 3, identity=Identity("/cluster/id", 9, 9))
        assert of(data.same_history, made.also(joiner)).verdict is not PASS

    @pytest.mark.parametrize("shown", [Outcome.ABSENT, Identity("/app", 0x100000001, 5)])
    def test_it_lacks_the_znode_though_past_its_creation(self, shown: Identity | Outcome) -> None:
        result = of(data.same_history, healthy(3).having(2, identity=shown))
        assert (result.verdict, result.unsafe) == (FAIL, True)
        assert told(result) == "2 (zk2): has no /zkprov/ensemble, and was past its creation"

    @pytest.mark.parametrize("shown", [Outcome.ABSENT, Identity("/app", 0x100000001, 5)])
    def test_it_does_not_show_the_znode_yet(self, shown: Identity | Outcome) -> None:
        """While the ledger's first entry is written, a follower is a moment behind: no danger, and no pass."""
        young = Identity("/zkprov/ensemble", ZXID + 1, 7)
        made = healthy(3).having(1, identity=young).having(3, identity=young).having(2, identity=shown)
        result = of(data.same_history, made)
        assert (result.verdict, result.unsafe, told(result)) == (UNKNOWN, False, "2 (zk2): has no /zkprov/ensemble yet")

    @pytest.mark.parametrize(("srvr_at", "asked", "surely"), [(0.1, 0.2, True), (0.2, 0.1, False), (0.4, 0.1, False)])
    @pytest.mark.parametrize("shown", [Outcome.ABSENT, Identity("/app", 0x100000001, 5)])
    def test_past_its_creation_when_it_was_asked(
        self, shown: Identity | Outcome, srvr_at: float, asked: float, surely: bool
    ) -> None:
        """An answer that was whole after `srvr`'s may have been asked for, and given, before it."""
        answer = msgspec.structs.replace(found("identity", shown, 0.3), asked=asked)
        made = healthy(3).having(2, identity=answer, srvr=found("srvr", healthy(3).servers[1].srvr.value, srvr_at))
        result = of(data.same_history, made)
        assert (result.verdict, result.unsafe) == ((FAIL, True) if surely else (UNKNOWN, False))

    def test_a_znode_that_was_made_anew_proves_nothing(self) -> None:
        """An application deleted its znode and created it again: a server that is a moment behind shows the former creation."""
        made = healthy(3, identity=Identity("/app", ZXID, 9)).having(2, identity=Identity("/app", 0x100000001, 5))
        behind = made.reading(2, zxid=ZXID - 1)
        result = of(data.same_history, behind, LOOK)
        assert (result.verdict, result.unsafe, result.stops) == (UNKNOWN, False, True)
        assert told(result) == (
            "1 (zk1), 3 (zk3): /app of czxid 0x7000004a1, ctime 9\n2 (zk2): /app of czxid 0x100000001, ctime 5"
        )
        assert str(behind.health().condition) == "unknown"

    def test_the_former_creation_on_a_server_past_the_later_one_does(self) -> None:
        made = healthy(3, identity=Identity("/app", ZXID, 9)).having(2, identity=Identity("/app", 0x100000001, 5))
        assert of(data.same_history, made, LOOK).unsafe

    def test_two_creations_at_one_zxid_do(self) -> None:
        made = healthy(3, identity=Identity("/app", 0x100000001, 9)).having(
            2, identity=Identity("/app", 0x100000001, 5)
        )
        assert of(data.same_history, made.having(2, srvr=Outcome.CLOSED), LOOK).unsafe

    @pytest.mark.parametrize("path", ["/zkprov/ensemble", "/cluster/id"])
    def test_one_that_nobody_deletes_does(self, path: str) -> None:
        made = healthy(3, identity=Identity(path, 0x700000400, 9)).having(2, identity=Identity(path, 0x100000001, 5))
        assert of(data.same_history, made.reading(2, zxid=0x100000005), LOOK).unsafe

    def test_znodes_that_may_be_deleted_prove_nothing(self) -> None:
        made = healthy(3).having(2, identity=Identity("/aaa", 0x700000001, 5))
        for i in (1, 3):
            made = made.having(i, identity=Identity("/bbb", 0x100000001, 5))
        assert of(data.same_history, made).verdict is UNKNOWN

    def test_an_empty_tree(self) -> None:
        made = healthy(3)
        for i in (1, 2, 3):
            made = made.having(i, identity=Outcome.ABSENT)
        result = of(data.same_history, made)
        assert (result.verdict, result.summary) == (PASS, "no server holds a permanent znode yet")

    def test_unread(self) -> None:
        made = healthy(3).having(2, identity=Outcome.DENIED)
        assert of(data.same_history, made, LOOK).verdict is UNKNOWN
        assert of(data.same_history, made, CHANGE).stops

    def test_excused(self) -> None:
        assert of(data.same_history, healthy(3).having(2, identity=OTHERS), excused={2}).verdict is PASS


class TestDigests:
    def test_they_differ(self) -> None:
        made = healthy(3).having(2, hash=Digests({ZXID - 33: 0xBAD, ZXID: 1}))
        result = of(data.digests_equal, made, LOOK)
        assert (result.verdict, result.unsafe) == (FAIL, True)
        assert "1 (zk1): differs from 2 (zk2) at 0x700000480: 0xd16e57, 0xbad" in told(result)

    def test_a_mismatch_was_counted(self) -> None:
        made = healthy(3).having(2, mntr={"zk_digest_mismatches_count": "4"}, hash=None)
        result = of(data.digests_equal, made, LOOK)
        assert (result.verdict, result.unsafe) == (FAIL, True)
        assert told(result) == "2 (zk2): zk_digest_mismatches_count is 4"

    def test_a_mismatch_is_cleared_by_an_equal_digest_later(self) -> None:
        counted = healthy(3).having(2, mntr={"zk_digest_mismatches_count": "2"})
        assert of(data.digests_equal, counted, CHANGE).verdict is PASS

    def test_a_mismatch_is_cleared_by_a_digest_after_what_is_doubtful_only(self) -> None:
        counted = healthy(3).having(2, mntr={"zk_digest_mismatches_count": "180"})
        equal = {ZXID - 33: 0xD16E57}
        for twice, verdict in (({ZXID - 40}, PASS), ({ZXID - 20}, UNKNOWN)):
            made = counted.having(2, hash=Digests(equal, frozenset(twice)))
            assert of(data.digests_equal, made, CHANGE).verdict is verdict

    def test_a_mismatch_is_not_cleared_until_a_digest_can_be_compared(self) -> None:
        result = of(
            data.digests_equal,
            healthy(3).having(2, mntr={"zk_digest_mismatches_count": "2"}, hash=Digests({5: 5})),
            CHANGE,
        )
        assert (result.verdict, result.stops, result.unsafe) == (UNKNOWN, True, False)

    def test_a_count_that_grows_is_a_failure(self) -> None:
        before = healthy(3).having(2, mntr={"zk_digest_mismatches_count": "2"})
        now = healthy(3).having(2, mntr={"zk_digest_mismatches_count": "3"})
        result = data.digests_equal(now.picture, CHANGE, before.survey)
        assert (result.verdict, result.unsafe) == (FAIL, True)

    @pytest.mark.parametrize(
        "before",
        [
            healthy(3).down(2),
            healthy(3).having(2, **dict.fromkeys((*WORDS, *SESSION), Outcome.NOT_SERVING)),
            healthy(3).having(2, mntr=Outcome.TIMEOUT),
            healthy(3).having(2, mntr={"zk_server_state": "follower"}),
        ],
        ids=["down", "without quorum", "mntr unread", "mntr without the count"],
    )
    @pytest.mark.parametrize("digests", [Digests({5: 5}), EQUAL], ids=["none common", "one equal"])
    def test_a_count_grows_only_from_one_that_was_read(self, before: Made, digests: Digests) -> None:
        """A joiner that counted two while it caught up was down, or not read, one sample ago: that is not growth."""
        now = healthy(3).having(2, mntr={"zk_digest_mismatches_count": "2", "zk_uptime": "900"}, hash=digests)
        result = data.digests_equal(now.picture, CHANGE, before.survey)
        expected = PASS if digests is EQUAL else UNKNOWN
        assert (result.verdict, result.unsafe, result.stops) == (expected, False, expected is UNKNOWN)

    @pytest.mark.parametrize(
        ("uptime", "zxid", "expected"),
        [
            ("900", ZXID - 33, UNKNOWN),
            ("900", ZXID + 128, PASS),
            ("90000000", ZXID + 128, FAIL),
            (None, ZXID + 128, FAIL),
        ],
        ids=["told before it grew", "told since", "the same process", "no uptime told"],
    )
    def test_what_another_process_counts_only_a_later_digest_clears(
        self, uptime: str | None, zxid: int, expected: Verdict
    ) -> None:
        """Each change of role begins another process: a promotion must not pass on a digest of before."""
        before = healthy(3).having(2, mntr={"zk_digest_mismatches_count": "0", "zk_uptime": "86400000"})
        mntr = {"zk_digest_mismatches_count": "2"} | ({"zk_uptime": uptime} if uptime else {})
        now = healthy(3).having(2, mntr=mntr)
        for i in (1, 2, 3):
            now = now.having(i, hash=Digests({zxid: 7}))
        result = data.digests_equal(now.picture, CHANGE, before.survey)
        assert (result.verdict, result.unsafe) == (expected, expected is FAIL)

    @pytest.mark.parametrize("before", [None, healthy(3)])
    @pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.TRUNCATED, Outcome.NOT_SERVING, Outcome.JUNK])
    def test_digests_that_were_not_read_this_time_are_waited_for(self, outcome: Outcome, before: Made | None) -> None:
        made = healthy(3).having(2, mntr={"zk_digest_mismatches_count": "2"}, hash=outcome)
        result = data.digests_equal(made.picture, CHANGE)
        assert (result.verdict, result.stops, result.unsafe) == (UNKNOWN, True, False)
        assert (
            told(result) == f"2 (zk2): zk_digest_mismatches_count is 2, and its digests were not read (hash: {outcome})"
        )
        if before is not None:
            assert data.digests_equal(made.picture, CHANGE, before.survey).unsafe

    @pytest.mark.parametrize("outcome", [Outcome.NOT_ASKED, Outcome.CLOSED, Outcome.REFUSED, Outcome.ABSENT])
    def test_a_mismatch_that_no_digest_will_ever_clear(self, outcome: Outcome) -> None:
        """Where it is no AdminServer that just ended: at this look, and where none answered at the one before."""
        admin = (
            dict.fromkeys(("zabstate", "leader", "voting_view"), Outcome.REFUSED) if outcome is Outcome.REFUSED else {}
        )
        made = healthy(3).having(2, mntr={"zk_digest_mismatches_count": "2"}, hash=outcome, **admin)
        assert of(data.digests_equal, made, CHANGE).unsafe
        assert data.digests_equal(made.picture, CHANGE, made.survey).unsafe

    @pytest.mark.parametrize(
        ("gone", "before"),
        [
            (("hash",), None),
            (("hash", "config", "identity", "ledger"), None),
            (("hash", "zabstate", "leader", "voting_view", "config"), None),
            (("hash", "zabstate", "leader", "voting_view"), healthy(3)),
        ],
        ids=["told its state", "and its sessions", "its client port alone", "a look before"],
    )
    def test_one_that_is_stopped_while_it_is_asked_is_waited_for(
        self, gone: tuple[str, ...], before: Made | None
    ) -> None:
        """Seen on real servers, in a rolling restart with clients that write: it was called `merged`."""
        refused = dict.fromkeys(gone, Outcome.REFUSED)
        made = healthy(3).having(2, mntr={"zk_digest_mismatches_count": "1"}, **refused)
        counted = before.having(2, mntr={"zk_digest_mismatches_count": "1"}).survey if before else None
        result = data.digests_equal(made.picture, LOOK, counted)
        assert (result.verdict, result.unsafe) == (UNKNOWN, False)
        assert "its digests were not read" in told(result)

    @pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.TRUNCATED])
    def test_an_answer_that_was_lost_may_hide_a_difference(self, outcome: Outcome) -> None:
        result = of(data.digests_equal, healthy(3).having(2, hash=outcome))
        assert (result.verdict, result.stops) == (UNKNOWN, True)
        assert told(result) == f"2 (zk2): its digests were not read (hash: {outcome})"

    def test_an_admin_server_behind_a_firewall_is_not_waited_for(self) -> None:
        shut = dict.fromkeys(("zabstate", "leader", "voting_view", "hash"), Outcome.TIMEOUT)
        assert of(data.digests_equal, healthy(3).having(2, **shut)).verdict is PASS

    def test_no_common_zxid(self) -> None:
        made = healthy(2).having(2, hash=Digests({5: 5}))
        result = of(data.digests_equal, made)
        assert (result.verdict, result.stops) == (UNKNOWN, False)

    def test_none(self) -> None:
        result = of(data.digests_equal, healthy(3).telling(*CLIENT_PORT_ONLY))
        assert (result.verdict, result.stops) == (UNKNOWN, False)

    def test_one_of_three(self) -> None:
        assert of(data.digests_equal, healthy(3).down(1, 2)).verdict is UNKNOWN

    def test_a_joiner_that_holds_other_data(self) -> None:
        """1→2 goes straight from non-voting follower to voter: there is no stage in which it is a member already."""
        made = healthy(1)
        joiner = msgspec.structs.replace(serving(2, made.live, 1), hash=found("hash", Digests({ZXID - 33: 7})))
        assert of(data.digests_equal, made.also(joiner)).verdict is FAIL
