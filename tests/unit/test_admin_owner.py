"""A wrong `zkprov_admin_port` makes no second leader and no rogue: what another server's AdminServer says is not believed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.facts_made import ADMIN, OTHERS, Made, ensemble, healthy, members, serving
from zkprov.judge.health import Condition
from zkprov.judge.joiner import joiner_follows
from zkprov.judge.verdict import Purpose, Verdict
from zkprov.model.facts import Conf, Fact, Mode, Outcome, ServerFacts, Srvr
from zkprov.model.server import HostPort
from zkprov.observe.admin_owner import own_answers

SILENT: dict[str, Any] = dict.fromkeys(("mntr", "conf", "cons", "config", "identity", "ledger"), Outcome.CLOSED)


def asked(made: Made, **admin_of: int) -> Made:
    """The survey when the inventory names the AdminServer of another server: `zk1=3`."""
    everyone = {s.name: s for s in made.servers}

    def of(facts: ServerFacts) -> ServerFacts:
        owner = admin_of.get(facts.name, facts.expected_id)
        told = {name: getattr(everyone[f"zk{owner}"], name) for name in ADMIN}
        return msgspec.structs.replace(facts, admin=HostPort(f"10.0.0.{owner}", 8080), **told)

    return made._with(tuple(own_answers([of(s) for s in made.servers])))


def sessions(made: Made) -> Made:
    """`conf` and `mntr` are closed, as by default; a session tells the id."""
    for i in (1, 2, 3):
        made = made.having(i, conf=Outcome.CLOSED, mntr=Outcome.CLOSED, cons=Outcome.CLOSED, session=i)
    return made


def unread(facts: ServerFacts) -> set[Outcome]:
    return {getattr(facts, name).outcome for name in ADMIN}


def test_right_ports_change_nothing() -> None:
    assert asked(healthy(3)).servers == asked(asked(healthy(3))).servers
    assert all(unread(s) == {Outcome.OK} for s in asked(healthy(3)).servers)


@pytest.mark.parametrize("made", [healthy(3), sessions(healthy(3))], ids=["conf", "session"])
@pytest.mark.parametrize(("server", "owner"), [(1, 3), (1, 2), (3, 1)])
def test_one_wrong_port(made: Made, server: int, owner: int) -> None:
    wrong = asked(made, **{f"zk{server}": owner})
    facts = wrong.servers[server - 1]
    assert unread(facts) == {Outcome.ANOTHERS}
    assert facts.id == server
    assert facts.zabstate.detail == (
        f"AdminServer at 10.0.0.{owner}:8080 is that of another server (id {owner}): correct zkprov_admin_port of zk{server}"
    )
    health = wrong.health(Purpose.LOOK)
    assert health.condition is Condition.SAFE
    assert health.gate("one leader").verdict is Verdict.PASS
    voting = health.gate("voting")
    assert (voting.verdict, voting.stops) == (Verdict.UNKNOWN, False)
    assert "correct zkprov_admin_port of zk" in voting.summary
    change = wrong.health(Purpose.CHANGE)
    assert change.condition is Condition.UNKNOWN
    assert change.gate("voting").stops


def test_each_has_the_other_ones() -> None:
    wrong = asked(healthy(3), zk1=2, zk2=3, zk3=1)
    assert all(unread(s) == {Outcome.ANOTHERS} for s in wrong.servers)
    assert wrong.health().condition is Condition.SAFE


def test_all_have_the_default_port_of_one_machine() -> None:
    wrong = asked(healthy(3), zk1=3, zk2=3)
    assert [unread(s) == {Outcome.OK} for s in wrong.servers] == [False, False, True]
    assert wrong.health().condition is Condition.SAFE


def test_one_that_is_down_does_not_live_by_anothers_answers() -> None:
    wrong = asked(healthy(3).down(1), zk1=3)
    assert unread(wrong.servers[0]) == {Outcome.ANOTHERS}
    assert not wrong.servers[0].up
    assert wrong.health().condition is Condition.DEGRADED


def test_a_host_without_a_server_does_not_live_by_anothers_answers() -> None:
    """A joiner to be, with the AdminServer of a member in the inventory."""
    made = asked(healthy(3).spare("zk4"), zk4=1)
    assert unread(made.servers[3]) == {Outcome.ANOTHERS}
    assert not made.servers[3].up
    assert unread(made.servers[0]) == {Outcome.OK}


def test_a_joiner_with_a_wrong_port_is_not_admitted() -> None:
    made = healthy(3)
    made = asked(made.also(serving(4, made.live, 3)), zk4=2)
    gate = joiner_follows(made.picture, "zk4", 4)
    assert gate.verdict is Verdict.UNKNOWN
    assert "correct zkprov_admin_port of zk4" in gate.summary


@pytest.mark.parametrize("known", [True, False])
def test_a_client_port_that_tells_no_id(known: bool) -> None:
    """The list gives the id then, and the other one is disbelieved only where it is known to be elsewhere."""
    made = asked(healthy(3).having(1, **SILENT), zk1=3)
    assert unread(made.servers[0]) == {Outcome.ANOTHERS}
    alone = healthy(1).having(1, **SILENT)
    (facts,) = own_answers([msgspec.structs.replace(alone.servers[0], expected_id=1 if known else 9)])
    assert unread(facts) == {Outcome.OK}


def test_a_server_that_runs_where_its_client_port_is_shut_is_seen() -> None:
    """A copy of server 2 on the joiner's host: its AdminServer is nobody else's, so it is believed, and something runs there."""
    made = healthy(3)
    copy = msgspec.structs.replace(
        serving(4, made.live, 3),
        **{n: Fact(n, Outcome.REFUSED) for n in ("srvr", *SILENT)},
        session=Fact("session", Outcome.REFUSED),
        zabstate=made.servers[1].zabstate,
        admin=HostPort("10.0.0.4", 8080),
    )
    *_, seen = own_answers([*made.servers, copy])
    assert seen.zabstate.outcome is Outcome.OK and seen.up


def test_a_second_leader_is_not_hidden() -> None:
    """What is at the client port leads, whosever AdminServer was asked."""
    alone = Srvr(Mode.STANDALONE, 5, "3.9.5", 0, 5)
    made = healthy(3).having(1, srvr=alone, conf=Conf({"serverId": "1"}), config=Outcome.ABSENT)
    assert asked(made, zk1=2).health().condition is Condition.UNSAFE
    rogue = serving(4, members((4,), version=5), 4)
    assert asked(healthy(3).also(rogue), zk4=1).health().condition is Condition.UNSAFE
    assert asked(healthy(3).also(rogue), zk1=4).health().condition is Condition.UNSAFE


def test_a_server_of_another_id_at_a_members_address_is_a_rogue_all_the_same() -> None:
    """Its client port says so too."""
    made = healthy(3)
    changed = made.having(1, conf=Conf({"serverId": "9"}, made.live))
    changed = changed.having(
        1, zabstate=msgspec.structs.replace(changed.servers[0].zabstate.value or pytest.fail(), server_id=9)
    )
    believed = changed._with(tuple(own_answers(changed.servers)))
    assert unread(believed.servers[0]) == {Outcome.OK}
    assert believed.health().condition is Condition.UNSAFE


def test_another_ensemble_on_the_same_hosts() -> None:
    """Its server has the same id; the port on which it serves clients is another one."""
    theirs = ensemble(members((1, 2, 3), version=5), 1, identity=OTHERS, zxid=0x900000007)
    made = healthy(3)
    for i in (1, 2, 3):
        other = theirs.servers[i - 1]
        zab = msgspec.structs.replace(other.zabstate.value or pytest.fail(), client_port=2182)
        made = made.having(i, **{name: getattr(other, name) for name in ADMIN} | {"zabstate": zab})
    assert all(unread(f) == {Outcome.ANOTHERS} for f in own_answers(made.servers))
    assert "(id 1, client port 2182)" in own_answers(made.servers)[0].zabstate.detail


def test_a_translated_port_is_no_other_server() -> None:
    """Behind a translated port the server itself, and its list, know another one than we ask."""
    made = healthy(3)
    facts = made.servers[0]
    zab = msgspec.structs.replace(facts.zabstate.value or pytest.fail(), client_port=2181)
    made = made.having(1, zabstate=zab)
    outside = msgspec.structs.replace(made.servers[0], client=HostPort("192.0.2.1", 30001))
    assert unread(own_answers([outside])[0]) == {Outcome.OK}
