"""Each gate, passing, failing and unknown; and that none passes by what was not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cases.surveys import survey_of
from tests.unit.facts_made import (
    NAMES,
    SETTINGS,
    VERSION,
    ZXID,
    Made,
    disk_of,
    ensemble,
    healthy,
    members,
    outage,
    woken,
)
from zkprov.judge import data, gates
from zkprov.judge.picture import Picture
from zkprov.judge.verdict import GateResult, Purpose, Verdict
from zkprov.model.facts import (
    Fact,
    Ledger,
    Mode,
    Outcome,
    Srvr,
    ZabState,
)
from zkprov.model.members import Members

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

    @pytest.mark.parametrize(("since", "release", "verdict"), [
        (False, "3.4.14", PASS), (True, "3.4.14", UNKNOWN), (None, "3.4.14", UNKNOWN), (False, "3.5.10", UNKNOWN),
    ])  # fmt: skip
    def test_before_3_5_the_list_is_what_zoo_cfg_says_if_nobody_wrote_it_since_the_start(
        self, since: bool | None, release: str, verdict: Verdict
    ) -> None:
        made = survey_of(("static 3",))
        for i in (1, 2, 3):
            disk = disk_of(i, made.live, settings={}, written_since=since)
            made = made.reading(i, release=release).having(
                i, config=Outcome.ABSENT, zabstate=Outcome.REFUSED, disk=disk
            )
        result = of(gates.same_config, made)
        assert result.verdict is verdict and of(gates.voting_as_planned, made).verdict is verdict
        assert (gates.fixed_list(made.picture) == made.live) is (release == "3.4.14")
        assert ("after its server was started" in told(result)) is ("by hand" in result.remedy) is (since is True)
        # another one's file says something else: no list is taken for its own then
        other = made.having(2, disk=disk_of(2, made.live.without(3), settings={}, written_since=since))
        assert of(gates.same_config, other).verdict is FAIL

    def test_reconfig_was_switched_off_again(self) -> None:
        """The leader says 0 then, whatever its file says."""
        made = survey_of(("static 3",))
        made = made.having(2, disk=disk_of(2, made.live.at_version(VERSION)))
        result = of(gates.same_config, made)
        assert result.verdict is FAIL and "reconfigEnabled=true again" in result.remedy
        other = made.having(2, disk=disk_of(2, made.live.without(3)))
        assert "correct it there" in of(gates.same_config, other).remedy

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


class TestSpare:
    def test_weaker(self) -> None:
        result = of(gates.spare_kept, healthy(5).down(1), LOOK)
        assert (result.verdict, result.unsafe, result.summary) == (FAIL, False, "1 may fail, with all up it would be 2")

    def test_lost(self) -> None:
        result = of(gates.spare_kept, healthy(3).down(1, 2), LOOK)
        assert result.summary == "quorum lost: {3} serve; a quorum of {1,2,3} is 2"

    def test_who_refuses_us_may_serve_others(self) -> None:
        assert of(gates.spare_kept, healthy(3).refusing(1, 2)).verdict is UNKNOWN
        assert of(gates.spare_kept, healthy(3).refusing(1, 2, 3)).verdict is UNKNOWN

    def test_but_no_more_than_it_is(self) -> None:
        """Two are gone: whatever the third does, or an observer, there is no quorum."""
        assert of(gates.spare_kept, healthy(3).down(1, 2).refusing(3)).verdict is FAIL
        assert of(gates.spare_kept, healthy(3, observers=(4,)).down(1, 2).refusing(4)).verdict is FAIL

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
        assert of(gates.dynamic, ensemble(live, 3)).verdict is PASS

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
