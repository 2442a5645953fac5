"""Each gate, passing, failing and unknown; and that none passes by what was not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.facts_made import (
    NAMES,
    OTHERS,
    OURS,
    SETTINGS,
    VERSION,
    ZXID,
    Made,
    disk_of,
    ensemble,
    facts,
    found,
    healthy,
    members,
    outage,
    serving,
    woken,
)
from zkprov.judge import data, gates
from zkprov.judge.health import Condition
from zkprov.judge.joiner import joiner_follows
from zkprov.judge.picture import Picture
from zkprov.judge.verdict import Evidence, GateResult, Purpose, Verdict, first_stop, weighed
from zkprov.model.facts import (
    Digests,
    Fact,
    Identity,
    LeaderView,
    Ledger,
    Mode,
    Outcome,
    Srvr,
    ZabState,
)
from zkprov.model.members import Members
from zkprov.model.server import HostPort

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
LOOK, CHANGE = Purpose.LOOK, Purpose.CHANGE
CLIENT_PORT_ONLY = ("srvr", "config", "identity", "ledger")
SESSIONS_ONLY = ("config", "identity", "ledger")
Gate = Callable[[Picture, Purpose], GateResult]


def of(gate: Callable[..., GateResult], made: Made, purpose: Purpose = CHANGE, **more: Any) -> GateResult:
    return gate(made.picture, purpose, **more)


def told(result: GateResult) -> str:
    return "\n".join(str(e) for e in result.evidence)


EVERY: dict[str, Gate] = {
    "members answer": gates.members_answer,
    "no standalone": gates.no_standalone,
    "same config": gates.same_config,
    "voting": gates.voting_as_planned,
    "synced": data.synced,
    "same history": data.same_history,
    "digests": data.digests_equal,
    "spare": gates.spare_kept,
    "release": gates.release_allowed,
    "no rogue": gates.no_rogue,
    "dynamic": gates.dynamic,
    "ledger": gates.ledger_read,
}
NEEDS_EACH_MEMBER = ["members answer", "same config", "voting", "synced", "same history", "release", "dynamic"]


class TestEvery:
    @pytest.mark.parametrize("name", EVERY)
    def test_passes_in_health(self, name: str) -> None:
        result = of(EVERY[name], healthy(3))
        assert (result.gate, result.verdict, result.evidence, result.remedy) == (name, PASS, (), "")
        assert result.sources

    @pytest.mark.parametrize("name", EVERY)
    def test_does_not_pass_when_nothing_was_seen(self, name: str) -> None:
        blind = healthy(3).telling()
        assert of(EVERY[name], blind).verdict is not PASS
        assert of(EVERY[name], healthy(3).down(1, 2, 3)).verdict is not PASS
        assert of(EVERY[name], Made((), members(()))).verdict is not PASS

    @pytest.mark.parametrize("name", NEEDS_EACH_MEMBER)
    def test_does_not_pass_when_a_member_was_not_asked(self, name: str) -> None:
        result = of(EVERY[name], healthy(3).without(2))
        assert result.verdict is not PASS
        assert result.stops
        assert "2: 10.0.0.2:2888:3888: is not where the list says, or was not asked" in told(result)

    @pytest.mark.parametrize("name", NEEDS_EACH_MEMBER)
    @pytest.mark.parametrize("how", [Outcome.REFUSED, Outcome.TIMEOUT, Outcome.JUNK, Outcome.TOO_LARGE, Outcome.DENIED])
    def test_does_not_pass_when_a_member_does_not_answer(self, name: str, how: Outcome) -> None:
        made = healthy(3).having(2, **dict.fromkeys((*NAMES, "disk"), how))
        result = of(EVERY[name], made)
        assert result.stops
        assert "2 (zk2)" in told(result)
        assert str(how) in told(result)

    @given(st.data())
    def test_fewer_facts_never_make_a_gate_pass(self, drawn: st.DataObject) -> None:
        """Whatever is wrong and whatever is then hidden: a gate that did not pass before may turn unknown, never pass.

        Of digests and histories only a difference is a failure, so hiding one of two that differ may hide the failure too.
        """
        made = drawn.draw(st.sampled_from(WRONG))
        name = drawn.draw(st.sampled_from([n for n in EVERY if n not in ("digests", "no standalone", "no rogue")]))
        before = of(EVERY[name], made)
        hidden = drawn.draw(st.lists(st.sampled_from([*NAMES, "disk"]), min_size=1, max_size=6, unique=True))
        ids = drawn.draw(st.lists(st.sampled_from([s.name for s in made.servers]), min_size=1, unique=True))
        after = made
        for server in ids:
            after = after.having(server, **dict.fromkeys(hidden, Outcome.TIMEOUT))
        result = of(EVERY[name], after)
        if before.verdict is not PASS and after.picture.live == made.picture.live:
            assert not (result.verdict is PASS and result.required), (name, hidden, ids, before.summary)


def broken_disk(**more: Any) -> Made:
    made = healthy(3)
    return made.having(2, disk=disk_of(2, made.live, **more))


WRONG = [
    healthy(3).down(2),
    healthy(3).paused(2),
    woken(),
    outage(),
    healthy(3).having(2, config=members((1, 2, 3), version=VERSION - 1)),
    broken_disk(settings=SETTINGS | {"reconfigEnabled": "false"}),
    # by both of its sources: what only zabstate tells is not told without it
    healthy(3).having(2, zabstate=ZabState(2, False, 7, ZXID, "BROADCAST"), config=members((1, 3), (2,))),
    healthy(3).reading(2, release="3.8.6"),
    healthy(3).reading(2, zxid=ZXID - 5000),
]


class TestMembersAnswer:
    def test_down(self) -> None:
        result = of(gates.members_answer, healthy(3).down(2), LOOK)
        assert (result.verdict, result.unsafe, result.summary) == (FAIL, False, "2 (zk2): srvr: refused")

    def test_paused(self) -> None:
        assert of(gates.members_answer, healthy(3).paused(2)).summary == "2 (zk2): srvr: timeout"

    def test_without_quorum(self) -> None:
        assert of(gates.members_answer, healthy(3).looking(1, 2)).verdict is FAIL

    def test_excused(self) -> None:
        result = of(gates.members_answer, healthy(3).down(2), excused={2})
        assert (result.verdict, result.summary) == (PASS, "2 of 2 members serve")
        assert of(gates.members_answer, healthy(3).down(1, 2), excused={2}).verdict is FAIL

    def test_sessions_alone_are_an_answer(self) -> None:
        assert of(gates.members_answer, healthy(3).telling(*SESSIONS_ONLY)).verdict is PASS


class TestStandalone:
    alone = facts(
        "zk1",
        HostPort("10.0.0.1", 2181),
        srvr=Srvr(Mode.STANDALONE, 5, "3.9.5", 0, 5),
        config=Outcome.ABSENT,
        identity=OURS,
    )

    def test_a_member_beside_the_others_is_a_danger(self) -> None:
        made = healthy(3).reading(1, mode=Mode.STANDALONE)
        result = of(gates.no_standalone, made, LOOK)
        assert (result.verdict, result.unsafe) == (FAIL, True)
        assert "1 (zk1): serves alone" in told(result)

    def test_by_mntr(self) -> None:
        made = healthy(3).having(1, srvr=Outcome.CLOSED, mntr={"zk_server_state": "standalone"})
        assert of(gates.no_standalone, made).verdict is FAIL

    def test_the_only_one_is_no_danger_and_no_ensemble(self) -> None:
        made = Made((self.alone,), members((1,))).spare("zk2")
        result = of(gates.no_standalone, made, LOOK)
        assert (result.verdict, result.unsafe) == (FAIL, False)
        health = made.health()
        assert health.condition is Condition.UNKNOWN

    def test_two_that_each_serve_alone(self) -> None:
        other = msgspec.structs.replace(self.alone, name="zk2", client=HostPort("10.0.0.2", 2181))
        assert Made((self.alone, other), members((1, 2))).health().condition is Condition.UNSAFE

    def test_one_that_does_not_say_and_has_no_list(self) -> None:
        made = healthy(3).telling(*SESSIONS_ONLY).having(1, config=Outcome.ABSENT)
        result = of(gates.no_standalone, made, LOOK)
        assert result.verdict is UNKNOWN
        assert "may serve alone" in told(result)


class TestSameConfig:
    other = members((1, 2, 3, 4), version=VERSION - 1)

    def test_memory_differs(self) -> None:
        result = of(gates.same_config, healthy(3).having(2, config=self.other))
        assert result.verdict is FAIL
        assert (
            "2 (zk2): holds {1,2,3,4} of version 700000011 in memory, the ensemble {1,2,3} of version 700000012"
            in told(result)
        )

    def test_the_version_differs(self) -> None:
        assert (
            of(gates.same_config, healthy(3).having(2, config=members((1, 2, 3), version=VERSION - 1))).verdict is FAIL
        )

    def test_a_role_differs(self) -> None:
        assert of(gates.same_config, healthy(3).having(2, config=members((1, 2), (3,)))).verdict is FAIL

    def test_an_address_differs(self) -> None:
        made = healthy(3)
        server = msgspec.structs.replace(made.live.servers[0], addresses=members((9,)).servers[0].addresses)
        moved = made.having(2, config=made.live.with_server(server))
        assert of(gates.same_config, moved).verdict is FAIL

    def test_disk_differs(self) -> None:
        made = healthy(3).having(2, disk=disk_of(2, self.other))
        result = of(gates.same_config, made)
        assert result.verdict is FAIL
        assert "/etc/zookeeper/zoo.cfg.dynamic.700000011 holds {1,2,3,4}" in told(result)

    def test_disk_spells_it_in_another_way(self) -> None:
        made = healthy(3)
        short = Members(
            tuple(
                msgspec.structs.replace(s, client=msgspec.structs.replace(s.client, host=None))
                for s in made.live.servers
                if s.client
            ),
            VERSION,
        )
        assert of(gates.same_config, made.having(2, disk=disk_of(2, short))).verdict is PASS

    def test_a_next_waits(self) -> None:
        made = healthy(3)
        waiting = made.having(2, disk=disk_of(2, made.live, self.other.at_version(VERSION + 1)))
        assert "waits to be committed" in told(of(gates.same_config, waiting, LOOK))
        old = made.having(2, disk=disk_of(2, made.live, self.other))
        assert of(gates.same_config, old).verdict is PASS

    def test_disk_unread(self) -> None:
        made = healthy(3).having(2, disk=Outcome.NOT_ASKED)
        look = of(gates.same_config, made, LOOK)
        assert (look.verdict, look.summary) == (
            PASS,
            "config 700000012 on every member, in memory; 1 of 3 disks were not read",
        )
        change = of(gates.same_config, made, CHANGE)
        assert (change.verdict, change.stops) == (UNKNOWN, True)

    def test_disk_with_a_problem(self) -> None:
        result = of(gates.same_config, broken_disk(problems=("zoo.cfg:3: what is this",)))
        assert (result.verdict, told(result)) == (UNKNOWN, "2 (zk2): zoo.cfg:3: what is this")

    def test_no_list_on_disk(self) -> None:
        made = healthy(3)
        disk = msgspec.structs.replace(disk_of(2, made.live), acting=None)
        assert "no list on its disk" in told(of(gates.same_config, made.having(2, disk=disk)))

    @pytest.mark.parametrize(("my_id", "said"), [(None, "missing"), (7, "7")])
    def test_another_id_on_disk(self, my_id: int | None, said: str) -> None:
        made = healthy(3)
        disk = msgspec.structs.replace(disk_of(2, made.live), my_id=my_id)
        assert f"myid on its disk is {said}, the list has it as 2" in told(
            of(gates.same_config, made.having(2, disk=disk))
        )

    def test_memory_unread(self) -> None:
        made = healthy(3).having(2, config=Outcome.DENIED)
        assert of(gates.same_config, made, LOOK).verdict is UNKNOWN
        assert not of(gates.same_config, made, LOOK).stops
        assert of(gates.same_config, made, CHANGE).stops

    def test_excused(self) -> None:
        assert of(gates.same_config, healthy(3).having(2, config=self.other), excused={2}).verdict is PASS


class TestVoting:
    def with_observer(self) -> Made:
        return healthy(3, observers=(4,))

    def test_an_observer(self) -> None:
        assert of(gates.voting_as_planned, self.with_observer()).verdict is PASS
        assert of(gates.voting_as_planned, self.with_observer().telling(*CLIENT_PORT_ONLY)).verdict is PASS

    def test_a_participant_that_does_not_vote(self) -> None:
        """`Mode: follower`, as any voter's: only zabstate tells."""
        made = healthy(3).having(2, zabstate=ZabState(2, False, 7, ZXID, "BROADCAST"))
        assert told(of(gates.voting_as_planned, made)) == "2 (zk2): does not vote, its role is participant"

    def test_an_observer_that_votes(self) -> None:
        made = self.with_observer().having(4, zabstate=ZabState(4, True, 7, ZXID, "BROADCAST"))
        assert told(of(gates.voting_as_planned, made)) == "4 (zk4): votes, its role is observer"

    @pytest.mark.parametrize("phase", ["ELECTION", "DISCOVERY", "SYNCHRONIZATION"])
    def test_not_yet_broadcasting(self, phase: str) -> None:
        made = healthy(3).having(2, zabstate=ZabState(2, True, 7, ZXID, phase))
        assert told(of(gates.voting_as_planned, made)) == f"2 (zk2): is in phase {phase}"

    def test_an_observer_that_says_follower(self) -> None:
        made = self.with_observer().telling(*CLIENT_PORT_ONLY).reading(4, mode=Mode.FOLLOWER)
        assert told(of(gates.voting_as_planned, made)) == "4 (zk4): is follower, its role is observer"

    def test_a_participant_that_says_observer(self) -> None:
        made = healthy(3).telling(*CLIENT_PORT_ONLY).reading(2, mode=Mode.OBSERVER)
        assert of(gates.voting_as_planned, made).verdict is FAIL

    def test_by_its_own_list(self) -> None:
        made = healthy(3).telling(*CLIENT_PORT_ONLY).having(2, config=members((1, 3), (2,)))
        assert told(of(gates.voting_as_planned, made)) == "2 (zk2): does not know itself as participant"

    def test_not_told(self) -> None:
        made = healthy(3).telling(*SESSIONS_ONLY)
        assert of(gates.voting_as_planned, made, LOOK).verdict is UNKNOWN
        assert not of(gates.voting_as_planned, made, LOOK).stops
        assert of(gates.voting_as_planned, made, CHANGE).stops
        assert "2 (zk2): srvr: closed" in told(of(gates.voting_as_planned, made))

    def test_excused(self) -> None:
        assert of(gates.voting_as_planned, healthy(3).down(2), excused={2}).verdict is PASS


class TestSynced:
    def test_behind_the_former_sample(self) -> None:
        made = healthy(3).reading(2, zxid=ZXID - 656)
        assert of(data.synced, made).verdict is PASS  # within one look nothing is of one instant
        result = of(data.synced, made, earlier=healthy(3).survey)
        assert told(result) == "2 (zk2): is at 0x700000211, the leader was past 0x7000004a1 one sample ago: 656 behind"

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
        asked_before = healthy(3).having(
            2, identity=found("identity", shown, 0.1), srvr=found("srvr", healthy(3).servers[1].srvr.value, 0.2)
        )
        assert of(data.same_history, asked_before).verdict is UNKNOWN

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


class TestSpare:
    def test_weaker(self) -> None:
        result = of(gates.spare_kept, healthy(5).down(1), LOOK)
        assert (result.verdict, result.unsafe, result.summary) == (FAIL, False, "1 may fail, with all up it would be 2")

    def test_lost(self) -> None:
        result = of(gates.spare_kept, healthy(3).down(1, 2), LOOK)
        assert result.summary == "quorum lost: {3} serve; a quorum of {1,2,3} is 2"

    def test_observers_do_not_count(self) -> None:
        assert of(gates.spare_kept, healthy(3, observers=(4, 5)).down(4, 5)).summary == "1 may fail"


class TestRelease:
    @pytest.mark.parametrize("purpose", [LOOK, CHANGE])
    def test_mixed(self, purpose: Purpose) -> None:
        result = of(gates.release_allowed, healthy(3).reading(2, release="3.8.6"), purpose)
        assert result.verdict is FAIL
        assert "2 (zk2): runs 3.8.6" in told(result)

    def test_below_the_least(self) -> None:
        made = healthy(3)
        for i in (1, 2, 3):
            made = made.reading(i, release="3.6.3")
        assert of(gates.release_allowed, made, LOOK).verdict is PASS
        assert "changes of membership need 3.6.4 or newer" in told(of(gates.release_allowed, made, CHANGE))

    def test_by_mntr(self) -> None:
        made = healthy(3).having(2, srvr=Outcome.CLOSED, mntr={"zk_version": "3.9.5-9f1c, built on 2026"})
        assert of(gates.release_allowed, made).verdict is PASS

    @pytest.mark.parametrize("text", ["", "unknown", "x.y.z"])
    def test_no_release(self, text: str) -> None:
        made = healthy(3).having(2, srvr=Srvr(Mode.FOLLOWER, ZXID, text, 0, 0), mntr=None)
        assert of(gates.release_allowed, made).stops


class TestDynamic:
    def test_static(self) -> None:
        result = of(gates.dynamic, ensemble(members((1, 2, 3), version=0), 3))
        assert result.verdict is FAIL
        assert "R12: the list is static" in told(result)

    def test_hierarchical(self) -> None:
        live = msgspec.structs.replace(members((1, 2, 3)), groups=((1, (1, 2, 3)),))
        assert "the list has groups" in told(of(gates.dynamic, ensemble(live, 3)))

    def test_not_enabled_on_one_disk(self) -> None:
        result = of(gates.dynamic, broken_disk(settings=SETTINGS | {"reconfigEnabled": "false"}))
        assert told(result) == "2 (zk2): reconfigEnabled is not true in its zoo.cfg"
        assert of(gates.dynamic, broken_disk(settings={})).verdict is FAIL

    def test_not_seen_on_one_disk(self) -> None:
        assert of(gates.dynamic, healthy(3).having(2, disk=Outcome.NOT_ASKED)).stops


class TestLedger:
    def test_none(self) -> None:
        assert of(gates.ledger_read, healthy(3)).summary == "none yet: every voter counts as seasoned"

    def test_read(self) -> None:
        assert of(gates.ledger_read, healthy(3).ledger((1, 2, 3))).summary == "read"

    @pytest.mark.parametrize("how", [Outcome.TIMEOUT, Outcome.JUNK, Outcome.DENIED, Outcome.NOT_ASKED])
    def test_unread(self, how: Outcome) -> None:
        """What cannot be read is not taken for an ensemble without newcomers."""
        made = healthy(3)
        for i in (1, 2, 3):
            made = made.having(i, ledger=how)
        assert of(gates.ledger_read, made).stops
        assert of(gates.ledger_read, made.having(1, ledger=Ledger(uuid="6f1d"))).verdict is PASS

    def test_without_its_first_entry(self) -> None:
        made = healthy(3)
        for i in (1, 2, 3):
            made = made.having(
                i, ledger=Fact("/zkprov", Outcome.OK, Ledger(now_ms=5), detail="/zkprov/ensemble: not a ledger entry")
            )
        assert (
            "/zkprov/ensemble: not a ledger entry" not in of(gates.ledger_read, made).summary
            or of(gates.ledger_read, made).stops
        )
        assert of(gates.ledger_read, made).stops

    def test_an_entry_that_cannot_be_read(self) -> None:
        made = healthy(3).having(
            1, ledger=Fact("/zkprov", Outcome.OK, Ledger(uuid="6f1d"), detail="/zkprov/retired/6: not a ledger entry")
        )
        assert told(of(gates.ledger_read, made)) == "1 (zk1): /zkprov/retired/6: not a ledger entry"


class TestCondition:
    @pytest.mark.parametrize(
        ("made", "condition"),
        [
            (healthy(3), Condition.SAFE),
            (healthy(1), Condition.SAFE),
            (healthy(5).down(1), Condition.DEGRADED),
            (healthy(3).paused(1), Condition.DEGRADED),
            (healthy(3).reading(2, release="3.8.6"), Condition.DEGRADED),
            (healthy(3, observers=(4,)).down(4), Condition.DEGRADED),
            (healthy(3).down(3), Condition.UNKNOWN),
            (healthy(3).down(1, 2).looking(3), Condition.UNKNOWN),
            (healthy(3).down(1, 2, 3), Condition.UNKNOWN),
            (woken(), Condition.UNKNOWN),
            (outage(), Condition.UNSAFE),
            (healthy(3).having(2, identity=OTHERS), Condition.UNSAFE),
            (healthy(3).telling(*CLIENT_PORT_ONLY), Condition.SAFE),
            (healthy(3).telling(*SESSIONS_ONLY), Condition.SAFE),
        ],
    )
    def test_to_look(self, made: Made, condition: Condition) -> None:
        assert made.health().condition is condition
        assert bool(made.health().headline) is (condition is not Condition.SAFE)

    @pytest.mark.parametrize("ways", [CLIENT_PORT_ONLY, SESSIONS_ONLY])
    def test_to_change_more_is_asked(self, ways: tuple[str, ...]) -> None:
        health = healthy(3).telling(*ways).health(CHANGE)
        assert health.condition is Condition.UNKNOWN
        assert first_stop(health.gates) is not None

    def test_excused_servers(self) -> None:
        health = healthy(3).down(1).health(CHANGE, excused={1})
        assert {g.gate for g in health.gates if g.stops} <= {"spare", "release", "dynamic", "one quorum"}

    def test_a_danger_is_named_before_a_weakness(self) -> None:
        first = first_stop(healthy(3).down(1).having(2, identity=OTHERS).health().gates)
        assert first is not None
        assert first.unsafe


class TestJoiner:
    def joining(self, **more: Any) -> GateResult:
        made = healthy(3)
        joiner = msgspec.structs.replace(
            serving(4, made.live, 3), **{k: v if isinstance(v, Fact) else found(k, v) for k, v in more.items()}
        )
        return joiner_follows(made.also(joiner).picture, "zk4", 4)

    def test_follows(self) -> None:
        assert self.joining().verdict is PASS
        assert self.joining(**dict.fromkeys(("zabstate", "leader", "conf", "mntr"), Outcome.NOT_ASKED)).verdict is PASS

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ({"zabstate": ZabState(4, True, 7, ZXID, "BROADCAST")}, "votes, and must not yet"),
            ({"zabstate": ZabState(4, False, 7, ZXID, "SYNCHRONIZATION")}, "is in phase SYNCHRONIZATION"),
            ({"zabstate": ZabState(5, False, 7, ZXID, "BROADCAST")}, "says that it is 5"),
            ({"leader": LeaderView(False, 2, "")}, "follows 2, the leader is 3"),
            ({"srvr": Srvr(Mode.LEADER, ZXID, "3.9.5", 0, 0)}, "leads, instead of following"),
            ({"srvr": Srvr(Mode.STANDALONE, ZXID, "3.9.5", 0, 0)}, "leads, instead of following"),
            ({"config": members((1, 2, 3), (4,), version=0)}, "holds the list {1,2,3} +4o of version 0"),
            ({"identity": OTHERS}, "its history is not the leader's"),
            (dict.fromkeys(("srvr", "config", "identity"), Outcome.REFUSED), "does not serve (srvr: refused)"),
            (dict.fromkeys(("srvr", "config", "identity"), Outcome.TIMEOUT), "does not serve (srvr: timeout)"),
        ],
    )
    def test_fails(self, more: dict[str, Any], said: str) -> None:
        result = self.joining(**more)
        assert result.verdict is FAIL
        assert said in result.summary

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ({"config": Outcome.DENIED}, "its list cannot be read"),
            ({"identity": Outcome.DENIED}, "its history cannot be compared"),
            (
                {"srvr": Outcome.CLOSED, "zabstate": Outcome.NOT_ASKED, "mntr": Outcome.CLOSED},
                "does not say what it is",
            ),
        ],
    )
    def test_unknown(self, more: dict[str, Any], said: str) -> None:
        result = self.joining(**more)
        assert result.verdict is UNKNOWN
        assert said in result.summary

    def test_no_leader_or_two(self) -> None:
        made = healthy(3).also(serving(4, healthy(3).live, 3))
        assert joiner_follows(made.down(3).picture, "zk4", 4).verdict is UNKNOWN
        assert joiner_follows(woken(made).picture, "zk4", 4).verdict is UNKNOWN
        assert joiner_follows(made.picture, "zk8", 8).verdict is UNKNOWN


def test_weighed() -> None:
    many = [Evidence(str(i), "x") for i in range(5)]
    assert weighed("g", many, many, "p", (), unsafe=True).summary == "0: x; 1: x; 2: x; and 2 more"
    assert weighed("g", [], many, "p", (), unsafe=True).unsafe is False
    assert weighed("g", [], [], "p", (), remedy="r") == GateResult("g", PASS, "p")
