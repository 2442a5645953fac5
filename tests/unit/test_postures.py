"""All servers of an ensemble are secured alike, or it is told who is not."""

from __future__ import annotations

import pytest

from tests.unit.authorities import NOW
from tests.unit.facts_made import disk_of, healthy, host, server
from tests.unit.secured_hosts import Hosts, gate, hosts
from zkprov.judge.certificates import founders_certificates, joiner_certificates
from zkprov.judge.verdict import Verdict
from zkprov.model.certificates import Stores, client_tls, quorum_tls, tls_settings
from zkprov.model.posture import Posture
from zkprov.observe.stores import wished_stores

__all__ = ["hosts"]


@pytest.mark.parametrize("posture", [Posture.QUORUM, Posture.TLS])
def test_tls_on_one_side_only(hosts: Hosts, posture: Posture) -> None:
    """The joiner plain and the members not, and the other way round; one member of three; clients' TLS alone."""
    plain, tls = healthy(3), hosts.three()
    to_plain = hosts.joiner(plain, posture=posture)
    assert to_plain.stops and to_plain.evidence[0].server == "zk4"
    assert to_plain.summary.startswith(
        "zk4: connections between servers are TLS, and plain on 1 (zk1), 2 (zk2), 3 (zk3) (sslQuorum)"
    )
    assert to_plain.remedy == "set zkprov_posture of zk4 to what the others have"
    from_plain = joiner_certificates(tls.picture, host(4), server(4), Stores())
    assert from_plain.summary == (
        "zk4: connections between servers are plain, and TLS on 1 (zk1), 2 (zk2), 3 (zk3) (sslQuorum)"
    )
    one = gate(tls.having(2, disk=disk_of(2, tls.live)))
    assert one.stops and [e.server for e in one.evidence] == ["2 (zk2)"]
    assert "restart one by one, the leader last" in one.remedy
    clients = hosts.joiner(tls, posture=Posture.TLS)
    assert clients.summary.startswith("zk4: clients' connections are TLS, and plain on 1 (zk1), 2")


def test_postures_are_settings() -> None:
    one = host(4, posture=Posture.TLS, key_store="/k.pem", trust_store="/t.pem", settings={"ssl.keyStore.type": "PEM"})
    assert tls_settings(one) == {
        "sslQuorum": "true",
        "ssl.quorum.keyStore.location": "/k.pem",
        "ssl.quorum.trustStore.location": "/t.pem",
        "secureClientPort": "2281",
        "ssl.keyStore.location": "/k.pem",
        "ssl.trustStore.location": "/t.pem",
        "ssl.keyStore.type": "PEM",
    }
    for posture in Posture:
        settings = tls_settings(host(4, posture=posture))
        assert (quorum_tls(settings), client_tls(settings)) == (posture.quorum, posture.clients)


@pytest.mark.parametrize(
    ("setting", "value", "said", "variable"),
    [
        ("enforce.auth.enabled", "true", "is true, and false on", "zkprov_enforce_auth"),
        ("enforce.auth.schemes", "x509,digest", "is x509,digest, and unset on", "zkprov_enforce_auth"),
        ("X509AuthenticationProvider.superUser", "CN=Other", "is CN=Other, and unset on", "zkprov_super_dn"),
        ("portUnification", "True", "is true, and false on", "portUnification in zkprov_settings"),
        ("client.portUnification", "true", "is true, and false on", "client.portUnification in zkprov_settings"),
        ("ssl.clientAuth", "none", "is none, and need on", "ssl.clientAuth in zkprov_settings"),
        ("ssl.quorum.clientAuth", "want", "is want, and need on", "ssl.quorum.clientAuth in zkprov_settings"),
    ],
)
def test_who_gets_in_is_one_thing_everywhere(hosts: Hosts, setting: str, value: str, said: str, variable: str) -> None:
    """A joiner that differs is refused, whichever side is the stricter; a member that does is told, and stops nothing."""
    odd, plain = {setting: value}, hosts.three()
    joined = hosts.joiner(plain, more=odd)
    assert joined.stops and [e.server for e in joined.evidence] == ["zk4"]
    assert f"zk4: {setting} {said} 1 (zk1), 2 (zk2), 3 (zk3)" in joined.summary and variable in joined.remedy
    all_odd = plain
    for i in (1, 2, 3):
        all_odd = hosts.member(all_odd, i, hosts.settings(i) | odd)
    assert hosts.joiner(all_odd).stops
    assert hosts.joiner(all_odd, more=odd).verdict is Verdict.PASS
    one = gate(hosts.member(plain, 2, hosts.settings(2) | odd))
    assert one.verdict is Verdict.PASS and [(w.server, setting in w.what) for w in one.warnings] == [("2 (zk2)", True)]


def test_a_joiner_is_as_one_of_members_that_differ(hosts: Hosts) -> None:
    """In the middle of a roll it may be as those that are done, or as those that are not."""
    odd = {"enforce.auth.enabled": "true"}
    rolling = hosts.member(hosts.three(), 2, hosts.settings(2) | odd)
    assert not hosts.joiner(rolling).stops and not hosts.joiner(rolling, more=odd).stops
    assert hosts.joiner(rolling, more={"ssl.clientAuth": "none"}).stops


def test_subjects_are_compared_letter_by_letter_and_defaults_are_no_difference(hosts: Hosts) -> None:
    name = "X509AuthenticationProvider.superUser"
    made = healthy(3)
    for i in (1, 2, 3):
        made = hosts.member(made, i, hosts.settings(i) | {name: "CN=Ops"})
    assert hosts.joiner(made, more={name: "cn=ops"}).stops
    assert (
        hosts.joiner(made, more={name: "CN=Ops", "ssl.clientAuth": "NEED", "portUnification": "false"}).verdict
        is Verdict.PASS
    )


def test_founders_too(hosts: Hosts) -> None:
    wished = [host(i, settings=hosts.settings(i) | ({"ssl.clientAuth": "none"} if i == 3 else {})) for i in (1, 2, 3)]
    told = founders_certificates([(one, wished_stores(one)) for one in wished], NOW.timestamp())
    assert told.stops and [e.server for e in told.evidence] == ["zk3"]
