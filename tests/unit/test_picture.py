"""Who is who: the live list, its members, joiners, rogues and strangers, told apart without a false alarm."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.facts_made import (
    OTHERS,
    OURS,
    VERSION,
    ZXID,
    Made,
    disk_of,
    ensemble,
    facts,
    healthy,
    members,
    outage,
    serving,
)
from zkprov.judge.gates import no_rogue
from zkprov.judge.health import Condition
from zkprov.judge.picture import Standing, live_list
from zkprov.judge.verdict import Purpose, Verdict
from zkprov.model.facts import Identity, LeaderView, Mode, Outcome, ServerFacts, Srvr
from zkprov.model.members import Members
from zkprov.model.server import HostPort

MEMBER, JOINER, ROGUE, STRANGER, DOWN = (
    Standing.MEMBER,
    Standing.JOINER,
    Standing.ROGUE,
    Standing.STRANGER,
    Standing.DOWN,
)
UNREAD = dict.fromkeys(("config", "identity", "ledger"), Outcome.TIMEOUT)


def standing(made: Made, server_id: int = 4) -> Standing:
    return made.picture.standing[f"zk{server_id}"]


def outsider(live: Members, leader: int = 3, **more: object) -> ServerFacts:
    """Server 4, in no list of ours."""
    return serving(4, live, leader, **more)  # type: ignore[arg-type]


class TestLiveList:
    def test_of_servers_that_disagree(self) -> None:
        """A follower that is a moment behind, or before, does not change what the leader's list is."""
        made = healthy(3)
        newer = made.live.at_version(VERSION + 9)
        assert live_list(made.having(1, config=newer).survey) == made.live
        assert live_list(made.having(3, config=newer).survey) == newer

    def test_of_two_ensembles_zkprovs_own(self) -> None:
        assert live_list(outage().survey) == members((1, 2, 3), version=0)

    def test_of_two_ensembles_without_a_ledger_the_older_history(self) -> None:
        """More servers hold the list of seven; the older data is in the ensemble of three."""
        made = outage(msgspec.structs.replace(OTHERS, path="/app"))
        for i in (1, 2, 3):
            made = made.having(i, identity=msgspec.structs.replace(OURS, path="/app"))
        assert live_list(made.survey) == members((1, 2, 3), version=0)

    def test_never_anothers_for_one_host_of_ours(self) -> None:
        """zk9 runs another ensemble's server, which has a ledger; ours has none yet."""
        made = healthy(3, identity=Identity("/cluster/id", 0x100000003, 1_790_000_000_000))
        others = members((7, 8, 9))
        at_zk9 = serving(9, others, 9, identity=OURS)
        named = [serving(i, others, 9, identity=OURS, known_as=("named by 9",)) for i in (7, 8)]
        made = made.also(at_zk9, *named)
        assert made.picture.live == made.live
        assert [s.name for s in made.picture.members] == ["zk1", "zk2", "zk3"]
        assert standing(made, 9) is STRANGER

    def test_of_an_ensemble_at_rest(self) -> None:
        made = healthy(3).down(1, 2, 3, disk=True)
        older = disk_of(2, made.live.at_version(VERSION - 1))
        assert live_list(made.having(2, disk=older).survey) == made.live

    def test_of_nothing(self) -> None:
        assert live_list(healthy(3).down(1, 2, 3).survey) is None
        assert set(healthy(3).down(1, 2, 3).picture.standing.values()) == {DOWN}


class TestMembers:
    def test_by_endpoint(self) -> None:
        made = healthy(3)
        assert [made.picture.member_id(f) for f in made.picture.members] == [1, 2, 3]

    def test_by_another_name_for_the_host(self) -> None:
        made = healthy(3)
        renamed = msgspec.structs.replace(made.servers[0], client=HostPort("zk1.example", 2181))
        picture = made._with((renamed, *made.servers[1:])).picture
        assert picture.member(1) is not None
        downed = made._with((renamed, *made.servers[1:])).down(1, disk=True)
        assert downed.picture.standing["zk1"] is MEMBER

    def test_by_id_where_lists_have_no_client_part(self) -> None:
        live = members((1, 2, 3), version=0, client=False)
        made = ensemble(live, 3)
        assert set(made.picture.standing.values()) == {MEMBER}
        foreign = members((1, 2, 3), version=0, client=False, host="10.7.0.1")
        other = msgspec.structs.replace(
            serving(1, foreign, 2, identity=OTHERS), name="old1", client=HostPort("10.7.0.1", 2181)
        )
        assert made.also(other).picture.standing["old1"] is STRANGER

    def test_a_restored_copy_that_leads(self) -> None:
        """A disk of 1 put back on another host: it is not 1, which follows."""
        live = members((1, 2, 3))
        copy = msgspec.structs.replace(serving(1, live, 1), name="zk9", client=HostPort("10.0.0.9", 2181))
        picture = healthy(3).also(copy).picture
        assert picture.standing["zk9"] is ROGUE
        assert picture.member(1) is not None
        assert "says that it is 1" in picture.why["zk9"]

    def test_one_that_leads_under_a_list_without_itself(self) -> None:
        made = healthy(3).having(1, config=members((4, 5)), leader=LeaderView(True, 1, "")).reading(1, mode=Mode.LEADER)
        assert standing(made, 1) is ROGUE

    def test_another_id_at_a_members_address(self) -> None:
        other = msgspec.structs.replace(serving(5, members((4, 5)), 4), name="zk2", client=HostPort("10.0.0.2", 2181))
        made = healthy(3).without(2).also(other)
        assert standing(made, 2) is ROGUE
        assert (
            standing(made.looking(2).having(2, zabstate=made.servers[-1].zabstate.value, srvr=Outcome.NOT_SERVING), 2)
            is DOWN
        )


class TestJoiners:
    def test_one_that_follows(self) -> None:
        made = healthy(3)
        assert standing(made.also(outsider(made.live))) is JOINER
        assert no_rogue(made.also(outsider(made.live)).picture, Purpose.CHANGE).verdict is Verdict.PASS

    def test_one_that_follows_without_an_admin_server(self) -> None:
        made = healthy(3)
        assert standing(made.also(outsider(made.live)).telling("srvr", "config", "identity")) is JOINER

    def test_a_moment_behind_its_leaders_list(self) -> None:
        """Memory of one and the other is not read at one instant: that is no rogue, and no danger."""
        made = healthy(3)
        late = outsider(made.live.at_version(VERSION - 8).without(2))
        assert standing(made.also(late)) is JOINER
        assert no_rogue(made.also(late).picture, Purpose.CHANGE).verdict is Verdict.PASS

    def test_behind_and_silent_on_whom_it_follows(self) -> None:
        """It may as well belong to another ensemble with our history: unknown, never a pass."""
        made = healthy(3).also(outsider(members((1, 3, 4), version=VERSION - 8))).telling("srvr", "config", "identity")
        gate = no_rogue(made.picture, Purpose.CHANGE)
        assert gate.verdict is Verdict.UNKNOWN
        assert "does not say whom it follows" in gate.summary

    def test_its_leader_does_not_answer_just_now(self) -> None:
        """It names 3, which is ours; whether that 3 leads it, only 3 could say."""
        made = healthy(3).also(outsider(healthy(3).live)).down(3)
        assert standing(made) is JOINER
        assert no_rogue(made.picture, Purpose.CHANGE).verdict is Verdict.UNKNOWN

    def test_a_removed_server_that_still_follows(self) -> None:
        made = healthy(4, leader=3)
        shorter = made.live.without(4).at_version(VERSION + 1)
        for i in (1, 2, 3, 4):
            made = made.having(i, config=shorter)
        assert standing(made) is JOINER

    @pytest.mark.parametrize("up", [Outcome.NOT_SERVING, Outcome.REFUSED, Outcome.TIMEOUT])
    def test_one_that_does_not_serve_is_none_and_no_rogue(self, up: Outcome) -> None:
        words = dict.fromkeys(("srvr", "config", "identity", "ledger"), up)
        seven = members(range(1, 8), version=0)
        joiner = facts("zk4", HostPort("10.0.0.4", 2181), **words, disk=disk_of(4, seven))
        assert standing(healthy(3).also(joiner)) is DOWN

    def test_one_of_another_history(self) -> None:
        """The same list and version say nothing: both first ensembles have 100000000."""
        made = healthy(3)
        assert standing(made.also(outsider(made.live, identity=OTHERS))) is ROGUE


class TestAMoment:
    """What one look did not show of a server is no proof against it."""

    @pytest.fixture
    def silent(self) -> Made:
        """Our joiner follows, and its session timed out in this look."""
        own = disk_of(4, members((1, 2, 3), (4,), version=0), has_data=False)
        return healthy(3).also(outsider(healthy(3).live)).having(4, **UNREAD, conf=Outcome.CLOSED, disk=own)

    def test_a_joiner_whose_session_timed_out(self, silent: Made) -> None:
        gate = no_rogue(silent.picture, Purpose.CHANGE)
        assert (standing(silent), gate.verdict, gate.unsafe) == (JOINER, Verdict.UNKNOWN, False)
        assert "config: timeout" in gate.summary
        assert silent.health(Purpose.CHANGE).condition is Condition.UNKNOWN

    @pytest.mark.parametrize("more", [{"leader": Outcome.NOT_ASKED}, {"leader": LeaderView(False, -1, "")}])
    def test_whom_it_follows_not_told_either(self, silent: Made, more: dict[str, object]) -> None:
        assert no_rogue(silent.having(4, **more).picture, Purpose.CHANGE).verdict is Verdict.UNKNOWN

    def test_a_removed_server_whose_session_timed_out(self) -> None:
        made = healthy(4, leader=3)
        shorter = made.live.without(4).at_version(VERSION + 1)
        for i in (1, 2, 3):
            made = made.having(i, config=shorter)
        assert (
            no_rogue(made.having(4, **UNREAD, conf=Outcome.CLOSED).picture, Purpose.CHANGE).verdict is Verdict.UNKNOWN
        )

    @pytest.mark.parametrize("disk", [Outcome.NOT_ASKED, Outcome.DENIED])
    def test_nothing_but_its_mode_was_read(self, silent: Made, disk: Outcome) -> None:
        made = silent.having(4, leader=Outcome.NOT_ASKED, disk=disk)
        assert no_rogue(made.picture, Purpose.CHANGE).verdict is Verdict.UNKNOWN

    @pytest.mark.parametrize("told", [LeaderView(False, 3, ""), Outcome.NOT_ASKED])
    def test_a_session_that_broke_between_two_answers(self, silent: Made, told: object) -> None:
        """Our history and no list; or a list of a moment ago and no history."""
        late = silent.live.at_version(VERSION - 8).without(2)
        for more in ({"identity": OURS}, {"config": late}):
            gate = no_rogue(silent.having(4, leader=told, **more).picture, Purpose.CHANGE)
            assert not gate.unsafe, more
        elsewhere = silent.having(4, leader=told, config=late).reading(4, zxid=0x100000001)
        assert no_rogue(elsewhere.picture, Purpose.CHANGE).unsafe

    def test_one_that_names_a_leader_of_others_is_a_rogue(self, silent: Made) -> None:
        gate = no_rogue(silent.having(4, leader=LeaderView(False, 7, "10.0.0.7")).picture, Purpose.CHANGE)
        assert (gate.verdict, gate.unsafe) == (Verdict.FAIL, True)

    def test_one_that_leads_is_a_rogue(self, silent: Made) -> None:
        assert no_rogue(silent.reading(4, mode=Mode.LEADER).picture, Purpose.CHANGE).unsafe

    def test_one_that_leads_unread_is_no_stranger(self, silent: Made) -> None:
        """Nothing of it was read but that it leads: a second leader of ours whose session timed out looks so too."""
        made = silent.reading(4, mode=Mode.LEADER).having(
            4, config=Outcome.TIMEOUT, identity=Outcome.TIMEOUT, conf=Outcome.CLOSED, disk=None, leader=None
        )
        health = made.health(Purpose.CHANGE)
        assert standing(made) is not STRANGER
        assert any(g.stops for g in health.gates)

    @pytest.mark.parametrize("session", [Outcome.TIMEOUT, Outcome.DENIED])
    def test_an_ensemble_of_others_stays_a_stranger(self, silent: Made, session: Outcome) -> None:
        """Its list on disk has nothing of ours, though it has a leader 3 as well."""
        foreign = disk_of(4, members((3, 4), version=5, host="10.7.0.1"))
        unread = dict.fromkeys(UNREAD, session)
        assert standing(silent.having(4, **unread, disk=foreign, leader=LeaderView(False, 3, ""))) is STRANGER

    def test_one_that_lets_nobody_ask_stays_a_stranger(self, silent: Made) -> None:
        """No moment: it never tells."""
        assert standing(silent.having(4, **dict.fromkeys(UNREAD, Outcome.DENIED), disk=None, leader=None)) is STRANGER


def handed_over(own: Members | None, *, new_leader: bool = True, synced: bool = False) -> Made:
    """4 led, and a reconfig removed it; it says `leader` still and holds `own` in memory. 3 leads now, or nobody yet."""
    made = healthy(4)
    shorter = made.live.without(4).at_version(VERSION + 1)
    for i in (1, 2, 3):
        made = made.having(
            i, config=shorter, disk=disk_of(i, shorter), leader=LeaderView(False, 4 if synced else 3, "")
        )
    if new_leader:
        for i in (1, 2, 3):
            made = made.reading(i, zxid=0x800000001, mode=Mode.LEADER if i == 3 else None)
        made = made.having(3, leader=LeaderView(True, 3, ""))
    return made.having(4, config=own or Outcome.TIMEOUT, disk=disk_of(4, own or shorter))


class TestALeaderThatWasJustRemoved:
    OLD = healthy(4).live
    NEW = OLD.without(4).at_version(VERSION + 1)

    @pytest.mark.parametrize("own", [OLD, NEW, None], ids=["before", "after", "unread"])
    def test_may_believe_for_a_moment(self, own: Members | None) -> None:
        made = handed_over(own)
        assert made.picture.live == self.NEW
        for doubted_s, expected in ((0.0, Condition.UNKNOWN), (11.0, Condition.UNKNOWN), (12.1, Condition.UNSAFE)):
            assert made.health(Purpose.CHANGE, doubted_s=doubted_s).condition is expected, doubted_s
        gate = no_rogue(made.picture, Purpose.CHANGE)
        assert (gate.verdict, gate.unsafe) == (Verdict.UNKNOWN, False)
        assert "removed" in gate.summary

    @pytest.mark.parametrize("own", [OLD, NEW], ids=["before", "after"])
    def test_while_nobody_leads_yet(self, own: Members) -> None:
        assert handed_over(own, new_leader=False).health(Purpose.CHANGE).condition is not Condition.UNSAFE

    def test_it_notices_before_its_followers_do(self) -> None:
        """Their lists in memory are still the old one, which is the ensemble's then."""
        made = healthy(4).having(4, config=self.NEW, conf=None)
        assert made.picture.live == self.OLD
        health = made.health(Purpose.CHANGE)
        assert health.condition is not Condition.UNSAFE
        assert health.gate("same config").stops
        alone = members((1, 2), version=VERSION + 1)
        assert made.having(4, config=alone).health(Purpose.CHANGE).condition is Condition.UNSAFE

    def test_with_a_quorum_behind_it_is_a_second_leader_after_the_moment(self) -> None:
        """1 and 2 follow 4 under the list of four, which 3 says to lead as well."""
        made = handed_over(self.OLD)
        for i in (1, 2):
            made = made.having(i, config=self.OLD, leader=LeaderView(False, 4, "")).reading(i, zxid=ZXID)
        assert made.health(Purpose.CHANGE, doubted_s=12.1).condition is Condition.UNSAFE

    @pytest.mark.parametrize(
        "changed",
        [
            {"zxid": 0x900000001},  # it was elected since
            {"zxid": 0x600000001},  # the reconfig was not its own
            {"config": members((1, 4), version=VERSION)},
            {"config": members((1, 2, 3, 4), version=VERSION + 2)},
            {"identity": OTHERS},
        ],
        ids=["later", "earlier", "another list", "a newer list", "another history"],
    )
    def test_another_leader_is_a_rogue_at_once(self, changed: dict[str, object]) -> None:
        made = handed_over(self.OLD)
        more = dict(changed)
        made = made.reading(4, zxid=zxid) if isinstance(zxid := more.pop("zxid", None), int) else made
        gate = no_rogue(made.having(4, **more).picture, Purpose.CHANGE)
        assert (gate.verdict, gate.unsafe) == (Verdict.FAIL, True)


class TestRogues:
    def test_our_identity_and_another_list(self) -> None:
        assert standing(healthy(3).also(outsider(members((4, 5, 6)), 6))) is ROGUE

    def test_our_identity_and_no_word_open(self) -> None:
        made = healthy(3).also(outsider(members((4, 5, 6)), 6)).telling("config", "identity")
        assert standing(made) is ROGUE

    def test_our_identity_alone_in_standalone(self) -> None:
        alone = facts("zk4", HostPort("10.0.0.4", 2181), srvr=Srvr(Mode.STANDALONE, ZXID, "3.9.5", 0, 9), identity=OURS)
        assert standing(healthy(3).also(alone)) is ROGUE

    def test_our_addresses_in_its_list(self) -> None:
        seven = members(range(1, 8), version=0)
        assert standing(healthy(3).also(outsider(seven, 7, identity=Outcome.ABSENT))) is ROGUE

    def test_our_addresses_in_the_list_on_its_disk(self) -> None:
        seven = members(range(1, 8), version=0)
        made = healthy(3).also(outsider(seven, 7, identity=Outcome.ABSENT)).having(4, config=None, conf=None)
        assert standing(made) is ROGUE

    def test_following_the_same_id_elsewhere(self) -> None:
        """Its leader is a 3 as well, and not ours."""
        other = members((3, 4, 5), version=0, host="10.7.0.3")
        assert standing(healthy(3).also(outsider(other, 3, identity=OTHERS))) is STRANGER

    def test_nothing_of_ours(self) -> None:
        assert standing(healthy(3).also(outsider(members((4, 5, 6)), 6, identity=OTHERS))) is STRANGER
        gate = no_rogue(healthy(3).also(outsider(members((4, 5, 6)), 6, identity=OTHERS)).picture, Purpose.LOOK)
        assert gate.verdict is Verdict.PASS
        assert "strangers, with nothing of ours: zk4" in gate.summary

    def test_without_a_list_of_ours_nothing_is_told(self) -> None:
        made = healthy(3).telling("srvr")
        assert no_rogue(made.picture, Purpose.LOOK).verdict is Verdict.UNKNOWN
