"""Who is secured by SASL and who is not, as the gates tell it; each of their findings, and that there is none where all is well."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.facts_made import SETTINGS, Made, disk_of, healthy, host, server
from zkprov.judge.sasl import NO_SASL, joiner_sasl, sasl
from zkprov.judge.sasl_passwords import sasl_passwords
from zkprov.judge.verdict import GateResult, Purpose, Verdict
from zkprov.model.facts import Fact, Outcome
from zkprov.model.hiding import Seal
from zkprov.model.installed import Installed
from zkprov.model.jaas import NAME, jaas
from zkprov.model.sasl import CLIENTS, QUORUM, SUPER_USER

ON = {**QUORUM, "fips-mode": "false"}
KNOWN = {**CLIENTS, SUPER_USER: "zkprov", "fips-mode": "false"}


def three(settings: dict[str, str], odd: dict[str, str] | None = None) -> Made:
    """Three members; 2 has what is odd."""
    made = healthy(3)
    for i in (1, 2, 3):
        own = {**SETTINGS, **(settings if odd is None or i != 2 else odd)}
        made = made.having(i, disk=disk_of(i, made.live, settings=own))
    return made


def joins(made: Made, server_id: int = 4, **wish: Any) -> GateResult:
    return joiner_sasl(made.picture, host(server_id, **wish), server(server_id))


def members(made: Made) -> GateResult:
    return sasl(made.picture, Purpose.CHANGE)


def test_nobody_and_everybody() -> None:
    assert (members(healthy(3)).summary, joins(healthy(3)).summary) == (NO_SASL, NO_SASL)
    assert members(three(ON)).summary == "quorum SASL on 3 servers"
    assert joins(three(ON), quorum_sasl=True).verdict is Verdict.PASS
    both = joins(three(ON | KNOWN), quorum_sasl=True, client_sasl=True)
    assert (both.verdict, both.summary, both.warnings) == (Verdict.PASS, "quorum and client SASL on 4 servers", ())


@pytest.mark.parametrize(
    ("there", "wish", "words"),
    [
        (ON, {}, "zk4: quorum SASL is off, and on on 1 (zk1), 2 (zk2), 3 (zk3)"),
        ({}, {"quorum_sasl": True}, "zk4: quorum SASL is on, and off on 1 (zk1)"),
        (KNOWN, {}, "zk4: clients are not known by SASL, and they are on 1 (zk1)"),
        ({}, {"client_sasl": True}, "zk4: clients are known by SASL, and not on 1 (zk1)"),
        (KNOWN, {"client_sasl": True, "sasl_user": "other"}, "zk4: superUser is other, and zkprov on 1 (zk1)"),
        (KNOWN, {"client_sasl": True, "enforce_auth": True}, "zk4: enforce.auth.enabled is true, and false on 1 (zk1)"),
    ],
)
def test_a_joiner_of_another_kind(there: dict[str, str], wish: dict[str, Any], words: str) -> None:
    if "fips-mode" not in there:
        there = {**there, "fips-mode": "false"}
    told = joins(three(there), **wish)
    assert told.stops and words in told.summary, told.summary
    assert "once, for the whole group" in told.remedy


def test_fips_mode_comes_first() -> None:
    """Also by default; whatever else is wrong."""
    for odd in ({**ON, "fips-mode": "true"}, {k: v for k, v in ON.items() if k != "fips-mode"}):
        told = joins(three(ON, {**odd, "quorum.auth.serverRequireSasl": "false"}), quorum_sasl=True)
        assert told.stops and [e.server for e in told.evidence] == ["2 (zk2)"] and "fips-mode is" in told.summary
        assert told.remedy == "set fips-mode=false in zoo.cfg of 2 (zk2); restart one by one, the leader last"
    joiner = joins(three(ON), quorum_sasl=True, settings={"fips-mode": "true"})
    assert joiner.stops and joiner.summary.startswith("zk4: fips-mode is true")


def test_kerberos_and_rolls_hold_nobody_up_who_does_not_come_in() -> None:
    kerberos = members(three({**QUORUM}))
    assert (kerberos.verdict, kerberos.warnings) == (Verdict.PASS, ())
    differ = members(three(ON, {**ON, "fips-mode": "true"}))
    assert differ.verdict is Verdict.PASS and "fips-mode is true" in str(differ.warnings[0])
    first = {**ON, "quorum.auth.learnerRequireSasl": "false", "quorum.auth.serverRequireSasl": "false"}
    second = {**ON, "quorum.auth.serverRequireSasl": "false"}
    rolling = members(three(first, second))
    assert rolling.verdict is Verdict.PASS and "quorum SASL is on (learners say who they are" in str(
        rolling.warnings[0]
    )
    assert members(three(first, ON)).stops, "one that asks does not hear those that do not say"
    assert members(three(ON, {})).stops
    assert members(three(KNOWN, {**KNOWN, SUPER_USER: "x"})).verdict is Verdict.PASS


def test_a_small_id_would_not_be_called_back() -> None:
    made = healthy(5)
    for i in range(1, 6):
        made = made.having(i, disk=disk_of(i, made.live, settings={**SETTINGS, **ON}))
    picture = made.picture
    told = joiner_sasl(picture, host(3, quorum_sasl=True), server(3))
    assert told.stops and "its id 3 is smaller than that of 4 (zk4), 5 (zk5)" in told.summary
    assert told.remedy == "give zk3 a zkprov_id of 6 or more, or none"
    assert not joiner_sasl(picture, host(6, quorum_sasl=True), server(6)).stops
    assert not joiner_sasl(healthy(5).picture, host(3), server(3)).stops, "without SASL ids may be any"


def installed(seal: Seal, text: str | None) -> Fact[Installed]:
    return Fact("installed", Outcome.OK, Installed({} if text is None else {NAME: seal.text(NAME, text)}))


def test_passwords_that_others_do_not_know() -> None:
    seal = Seal(b"k")
    theirs = jaas(("zookeeper", "one"), {"zkprov": "z"})

    def told(ours: str, *there: str | None) -> GateResult:
        found = {f"zk{i}": installed(seal, t) for i, t in enumerate(there, 1)}
        return sasl_passwords("zk4", seal.text(NAME, ours), found)

    same = told(theirs, theirs, theirs)
    assert same.verdict is Verdict.PASS and same.summary == "zk4 and 2 members know each other's passwords"
    wrong = told(jaas(("zookeeper", "two"), {"zkprov": "z"}), theirs, theirs)
    assert [str(e) for e in wrong.evidence] == [
        "zk4: its password among servers (user zookeeper) is not the one that is known to zk1, zk2"
    ]
    stranger = told(jaas(("zk", "one"), {}), theirs)
    assert "zk4: comes as zk among servers, a user unknown to zk1" in stranger.summary
    assert "knows no user zookeeper among servers, the name of zk1" in stranger.summary
    assert "zkprov_quorum_sasl_password" in stranger.remedy and stranger.stops
    more = told(jaas(("zookeeper", "one"), {"zkprov": "z", "kafka": "k"}), theirs)
    assert more.verdict is Verdict.PASS and "it knows other SASL users, or other passwords of them: kafka" in str(
        more.warnings
    )
    foreign = told(theirs, None, "Server { x required; };", theirs)
    assert foreign.verdict is Verdict.PASS and len(foreign.warnings) == 2
    closed = sasl_passwords("zk4", seal.text(NAME, theirs), {"zk1": Fact("installed", Outcome.TIMEOUT, detail="slow")})
    assert closed.verdict is Verdict.PASS and "was not told: installed: slow" in str(closed.warnings[0])


def test_the_release_in_which_an_observer_would_not_come_back() -> None:
    made = healthy(3, observers=(2,))
    for i in (1, 2, 3):
        made = made.having(i, disk=disk_of(i, made.live, settings={**SETTINGS, **ON})).reading(i, release="3.9.3")
    told = members(made)
    assert told.verdict is Verdict.PASS and "ZOOKEEPER-4886" in str(told.warnings[0])
