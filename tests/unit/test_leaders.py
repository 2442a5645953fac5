"""One leader, two, or a moment in which that cannot be told: never a false alarm, never a pass by what was not seen."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.facts_made import (
    OTHERS,
    OURS,
    ZXID,
    Made,
    ensemble,
    facts,
    healthy,
    members,
    outage,
    server,
    serving,
    woken,
)
from zkprov.judge.leaders import deposed_limit_s, leaders_of, one_leader
from zkprov.judge.picture import Standing
from zkprov.judge.verdict import GateResult, Purpose, Verdict
from zkprov.model.facts import Conf, Identity, LeaderView, Mode, Outcome, Srvr
from zkprov.model.server import HostPort

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
LOOK, CHANGE = Purpose.LOOK, Purpose.CHANGE
CLIENT_PORT_ONLY = ("srvr", "config", "identity")
SESSIONS_ONLY = ("config", "identity", "ledger")


def gate(made: Made, purpose: Purpose = CHANGE, *, doubted_s: float = 0.0, earlier: Made | None = None) -> GateResult:
    return one_leader(made.picture, purpose, doubted_s=doubted_s, earlier=earlier.survey if earlier else None)


def told(result: GateResult) -> str:
    return "\n".join(str(e) for e in result.evidence)


class TestOne:
    @pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
    def test_with_a_quorum(self, count: int) -> None:
        found = gate(healthy(count))
        assert found.verdict is PASS
        (leader,) = leaders_of(healthy(count).picture)
        assert leader.followers == frozenset(range(1, count + 1))
        assert leader.has_quorum is True

    def test_told_by_the_client_port_alone(self) -> None:
        assert gate(healthy(5).telling(*CLIENT_PORT_ONLY)).verdict is PASS

    def test_without_ids(self) -> None:
        made = healthy(3).telling(*CLIENT_PORT_ONLY)
        made = made._with(tuple(msgspec.structs.replace(s, expected_id=None) for s in made.servers))
        assert gate(made).verdict is PASS
        assert gate(made).summary == "one leader: 3 (epoch 7, followed by 1, 2)"

    def test_a_young_epoch_that_followers_do_not_show_yet(self) -> None:
        made = healthy(3).telling(*CLIENT_PORT_ONLY).reading(3, zxid=0x800000000)
        assert gate(made).verdict is PASS
        assert gate(made.reading(3, zxid=0x800000001)).verdict is UNKNOWN

    def test_followers_that_cannot_be_asked_are_counted_by_the_leader(self) -> None:
        alone = healthy(3).down(1, 2)
        assert gate(alone).verdict is PASS
        untold = alone.having(3, mntr=Outcome.CLOSED)
        assert gate(untold).verdict is UNKNOWN
        assert "cannot be told" in gate(untold).summary

    def test_non_voting_followers_do_not_count(self) -> None:
        mntr = {"zk_synced_followers": "2", "zk_synced_non_voting_followers": "2"}
        assert gate(healthy(3).down(1, 2).having(3, mntr=mntr)).verdict is UNKNOWN

    @pytest.mark.parametrize("junk", ["", "x", "inf", "nan", "1e999"])
    def test_a_count_that_is_junk(self, junk: str) -> None:
        assert gate(healthy(3).down(1, 2).having(3, mntr={"zk_synced_followers": junk})).verdict is UNKNOWN

    def test_followers_that_left_it(self) -> None:
        """Alone in saying that it leads, and those who answer say otherwise: its own count is not believed."""
        made = healthy(3)
        for i in (1, 2):
            made = made.having(i, leader=LeaderView(False, 9, "10.0.0.9"))
        assert gate(made, LOOK).verdict is UNKNOWN
        assert "no quorum of its list behind it" in gate(made, LOOK).summary

    def test_a_minority_that_follows_somebody_unseen(self) -> None:
        made = healthy(5)
        for i in (1, 2):
            made = made.having(i, leader=LeaderView(False, 9, "10.0.0.9"))
        assert gate(made, LOOK).verdict is UNKNOWN
        assert "1 (zk1): follows 9, which was not seen to lead" in told(gate(made, LOOK))

    def test_a_follower_without_a_leader_follows_nobody(self) -> None:
        made = healthy(3)
        for i in (1, 2):
            made = made.having(i, leader=LeaderView(False, -1, ""))
        assert gate(made).verdict is UNKNOWN

    def test_followers_of_another_history_do_not_count(self) -> None:
        made = healthy(3).having(1, identity=OTHERS).having(2, identity=OTHERS)
        assert gate(made).verdict is UNKNOWN

    def test_asked_under_two_names(self) -> None:
        made = healthy(3)
        again = msgspec.structs.replace(made.servers[2], name="vip:2181", client=HostPort("10.9.9.9", 2181))
        assert gate(made.also(again)).verdict is PASS
        assert len(leaders_of(made.also(again).picture)) == 1


class TestNone:
    def test_all_follow(self) -> None:
        found = gate(healthy(3).down(3), LOOK)
        assert found.verdict is FAIL
        assert not found.unsafe
        assert "zk1: is follower" in told(found)

    def test_all_look(self) -> None:
        assert gate(healthy(3).looking(1, 2, 3), LOOK).verdict is FAIL

    def test_nobody_answers(self) -> None:
        made = healthy(3).down(1, 2, 3, disk=True)
        assert made.picture.live == made.live
        assert gate(made, LOOK).verdict is UNKNOWN

    def test_no_list(self) -> None:
        assert gate(healthy(3).down(1, 2, 3), LOOK).verdict is UNKNOWN

    def test_words_closed(self) -> None:
        """A quorum that serves under one list and one history has a leader; who it is nobody says: enough to look."""
        made = healthy(3).telling(*SESSIONS_ONLY)
        assert gate(made, LOOK).verdict is PASS
        assert gate(made, CHANGE).verdict is UNKNOWN
        assert gate(made.down(1), LOOK).verdict is PASS
        assert gate(made.down(1, 2), LOOK).verdict is not PASS

    def test_words_closed_and_two_histories(self) -> None:
        made = healthy(3).telling(*SESSIONS_ONLY).having(1, identity=OTHERS)
        assert gate(made, LOOK).verdict is not PASS

    def test_words_closed_and_two_lists(self) -> None:
        made = healthy(3).telling(*SESSIONS_ONLY).having(1, config=members((1, 2, 3), version=5))
        assert gate(made, LOOK).verdict is not PASS

    def test_words_open_and_none_leads(self) -> None:
        """Followers that serve a moment longer than their leader lives do not make a leader."""
        made = healthy(3).telling(*CLIENT_PORT_ONLY).down(3)
        assert gate(made, LOOK).verdict is FAIL


class TestTwo:
    def test_the_outage(self) -> None:
        found = gate(outage(), LOOK)
        assert (found.verdict, found.unsafe) == (FAIL, True)
        assert found.summary == "two leaders: 3 (epoch 1, followed by 1, 2) and 7 (epoch 1, followed by 4, 5, 6)"
        assert "{1,2,3} of version 0; history: /zkprov/ensemble" in told(found)
        assert "{1,2,3,4,5,6,7} of version 0; history: no permanent znode" in told(found)
        standing = outage().picture.standing
        assert {standing[f"zk{i}"] for i in (1, 2, 3)} == {Standing.MEMBER}
        assert {standing[f"zk{i}"] for i in (4, 5, 6, 7)} == {Standing.ROGUE}

    @pytest.mark.parametrize("ways", [CLIENT_PORT_ONLY, ("srvr", "zabstate", "leader", "config", "identity")])
    def test_the_outage_however_little_is_open(self, ways: tuple[str, ...]) -> None:
        assert gate(outage().telling(*ways), LOOK).unsafe

    def test_the_outage_with_servers_down(self) -> None:
        assert gate(outage().down(1), LOOK).unsafe
        # three of seven are no quorum, so 7 will not lead for long; that it is a rogue is told all the same
        fewer = outage().down(1, 4)
        assert gate(fewer, LOOK).verdict is UNKNOWN
        assert str(fewer.health().condition) == "unsafe"

    def test_the_outage_where_no_history_was_ever_marked(self) -> None:
        made = outage()
        for i in (1, 2, 3):
            made = made.having(i, identity=Outcome.ABSENT)
        assert gate(made, LOOK).unsafe

    def test_two_histories_at_one_path(self) -> None:
        """Whoever follows them: different creations of one znode are two ensembles, at once."""
        made = outage(OTHERS).down(4, 5, 6).having(7, mntr=Outcome.CLOSED)
        found = gate(made, LOOK)
        assert (found.verdict, found.unsafe) == (FAIL, True)
        assert "two histories" in told(found)

    @pytest.mark.parametrize("path", ["/app", "/cluster/id"])
    def test_two_creations_of_what_may_be_made_anew(self, path: str) -> None:
        """A deposed leader shows the znode that an application has deleted and created again under the new one."""
        made = woken().having(3, identity=Identity(path, 0x100000001, 5))
        for i in (1, 2):
            made = made.having(i, identity=Identity(path, 0x800000001, 9))
        found = gate(made, LOOK)
        assert (found.verdict, found.unsafe) == ((FAIL, True) if path == "/cluster/id" else (UNKNOWN, False))

    def test_two_paths_say_nothing(self) -> None:
        made = outage(Identity("/cluster/id", 0x100000009, 5)).down(4, 5, 6).having(7, mntr=Outcome.CLOSED)
        assert gate(made, LOOK).verdict is UNKNOWN

    def test_a_leader_whose_followers_cannot_be_asked(self) -> None:
        """Its own count is no proof against a rival: unknown, until a deposed leader would have noticed."""
        made = outage().down(4, 5, 6)
        assert gate(made, LOOK).verdict is UNKNOWN
        assert gate(made, LOOK, doubted_s=11.9).verdict is UNKNOWN
        late = gate(made, LOOK, doubted_s=12.0)
        assert (late.verdict, late.unsafe) == (FAIL, True)

    def test_a_member_that_serves_alone(self) -> None:
        made = healthy(3).reading(1, mode=Mode.STANDALONE).having(1, zabstate=None, leader=None, config=Outcome.ABSENT)
        assert gate(made, LOOK).unsafe


class TestDeposed:
    def test_frozen_and_woken(self) -> None:
        found = gate(woken(), LOOK)
        assert (found.verdict, found.unsafe) == (UNKNOWN, False)
        assert "for 0.0 s, limit 12 s" in found.summary
        assert "3 (epoch 7, followed by nobody)" in found.summary
        assert gate(woken(), LOOK, doubted_s=11.99).verdict is UNKNOWN
        assert gate(woken(), LOOK, doubted_s=12.0).unsafe

    def test_its_own_count_is_not_believed(self) -> None:
        """Of five, only two can be asked: the deposed leader still counts followers, and so does the new one."""
        made = woken(healthy(5, leader=3)).down(1, 4, 5)
        made = made.having(2, mntr={"zk_server_state": "leader", "zk_synced_followers": "3"})
        assert gate(made, LOOK).verdict is UNKNOWN

    @pytest.mark.parametrize("ways", [CLIENT_PORT_ONLY, (*CLIENT_PORT_ONLY, "mntr", "conf")])
    def test_without_the_admin_server(self, ways: tuple[str, ...]) -> None:
        assert gate(woken().telling(*ways), LOOK).verdict is UNKNOWN

    def test_before_the_first_transaction_of_the_new_epoch(self) -> None:
        """All show epoch 7 still; a follower that fits both leaders counts for neither."""
        made = woken().reading(2, zxid=ZXID).reading(1, zxid=ZXID).telling(*CLIENT_PORT_ONLY)
        assert gate(made, LOOK).verdict is UNKNOWN
        assert [x.followers for x in leaders_of(made.picture)] == [{2}, {3}]

    def test_what_it_committed_before_it_froze(self) -> None:
        before = healthy(3).reading(3, zxid=ZXID - 40)
        assert gate(woken(), LOOK, earlier=before).verdict is UNKNOWN

    def test_seen_to_serve_a_write(self) -> None:
        """It said to lead beside the other one before, and its zxid grew since then: a quorum acknowledged."""
        before, now = woken().down(1), woken().down(1).reading(3, zxid=ZXID + 5).reading(2, zxid=0x800000007)
        assert gate(before, LOOK).verdict is UNKNOWN
        assert gate(now, LOOK, earlier=before).unsafe
        assert gate(now.reading(3, zxid=ZXID), LOOK, earlier=before).verdict is UNKNOWN

    def test_three_of_whom_one_is_deposed(self) -> None:
        made = woken(healthy(5, leader=3)).reading(1, mode=Mode.LEADER).having(1, leader=LeaderView(True, 1, ""))
        assert gate(made, LOOK).verdict is UNKNOWN
        assert gate(made, LOOK).summary.startswith("3 leaders: ")


class TestLimit:
    def test_by_default(self) -> None:
        assert deposed_limit_s(healthy(3).down(3).survey) == 12.0

    def conf(self, **settings: str) -> float:
        return deposed_limit_s(woken().having(3, conf=Conf(settings)).having(2, conf=Conf(settings)).survey)

    def test_by_conf(self) -> None:
        assert self.conf(tickTime="200", syncLimit="5") == pytest.approx(1.2)

    @pytest.mark.parametrize("tick", ["x", "0", "-5", ""])
    def test_nonsense(self, tick: str) -> None:
        assert self.conf(tickTime=tick) == 12.0

    def test_no_more_than_two_minutes(self) -> None:
        assert self.conf(tickTime="2000", syncLimit="1000000") == 120.0

    def test_by_disk_where_conf_is_closed(self) -> None:
        made = woken().having(3, conf=Outcome.CLOSED).having(2, conf=Outcome.CLOSED)
        assert deposed_limit_s(made.survey) == 12.0

    def test_the_longer_of_the_two(self) -> None:
        """A rogue with short ticks does not shorten the time of a leader that does not tell its own."""
        made = woken().having(3, conf=Outcome.CLOSED, disk=None)
        assert deposed_limit_s(made.having(2, conf=Conf({"tickTime": "200"})).survey) == 12.0


class TestStrangers:
    def stranger(self, *ids: int, leader: int, observers: tuple[int, ...] = ()) -> Made:
        """Another ensemble, at addresses that we know as retired ones."""
        live = members(ids, observers, version=0x100000000)
        moved = live.__class__.of(
            *(server(s.id, s.role, host=f"10.7.0.{s.id}") for s in live.servers), version=live.version
        )
        made = ensemble(moved, leader, zxid=0x100000009, identity=OTHERS, known_as=("retired",))
        return made._with(
            tuple(
                msgspec.structs.replace(s, name=f"old{s.id}", client=HostPort(f"10.7.0.{s.id}", 2181))
                for s in made.servers
            )
        )

    def test_another_ensemble(self) -> None:
        made = healthy(3).ledger((1, 2, 3)).also(*self.stranger(1, 2, 3, leader=3).servers)
        assert {made.picture.standing[f"old{i}"] for i in (1, 2, 3)} == {Standing.STRANGER}
        assert gate(made).verdict is PASS
        health = made.health(CHANGE)
        assert str(health.condition) == "safe"
        assert "strangers, with nothing of ours: old1" in health.gate("no rogue").summary

    def test_its_followers_never_count_for_ours(self) -> None:
        """Its 1 and 2 say that they follow 3, and so would ours, which are down."""
        made = healthy(3).down(1, 2).having(3, mntr=Outcome.CLOSED).also(*self.stranger(1, 2, 3, leader=3).servers[:2])
        assert gate(made, LOOK).verdict is UNKNOWN

    def test_one_that_serves_alone(self) -> None:
        alone = facts(
            "zk9", HostPort("10.0.0.9", 2181), srvr=Srvr(Mode.STANDALONE, 5, "3.9.5", 0, 5), config=Outcome.ABSENT
        )
        made = healthy(3).also(alone)
        assert gate(made).verdict is PASS
        assert str(made.health(CHANGE).condition) == "safe"

    def test_a_rogue_of_our_history_leads_at_a_known_address(self) -> None:
        lists = members((4, 5, 6), version=0x500000000)
        made = healthy(3).also(*(serving(i, lists, 6, identity=OURS) for i in (4, 5, 6)))
        assert gate(made, LOOK).unsafe
