"""The gate of TLS, with certificates that real CAs signed: each thing that it refuses is seen refused here, with host and remedy."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.unit.authorities import NOW, PKCS1, YEAR, Authority, key, key_pem, lay, rsa_key
from tests.unit.facts_made import Made, disk_of, healthy, host, server
from tests.unit.secured_hosts import CA, DAY, OTHER, Hosts, gate, hosts
from zkprov.judge.certificates import certificates, day, founders_certificates, joiner_certificates
from zkprov.judge.chains import leads_to
from zkprov.judge.verdict import Purpose, Verdict, first_stop
from zkprov.model.certificates import KeyForm, Stores, tls_settings
from zkprov.model.flags import Flags, flags_of
from zkprov.model.inventory import InventoryHost
from zkprov.model.posture import Posture
from zkprov.observe.stores import certificates_of, unread_stores, wished_stores
from zkprov.report.documents import status_document

__all__ = ["hosts"]


def test_a_plain_ensemble_has_nothing_to_ask() -> None:
    one = host(4)
    joined = joiner_certificates(healthy(3).picture, one, server(4), Stores())
    assert gate(healthy(3)) == joined
    assert (joined.verdict, joined.summary, joined.evidence) == (Verdict.PASS, "no TLS", ())
    assert founders_certificates([(one, Stores())], 0).verdict is Verdict.PASS


def test_a_flag_that_does_nothing_is_told(hosts: Hosts) -> None:
    """Who believes ZooKeeper's documentation has servers that speak in the clear to each other."""
    idle = flags_of(["-Dzookeeper.sslQuorum=true"])
    told = gate(healthy(3).having(2, disk=disk_of(2, healthy(3).live, flags=idle)))
    assert told.verdict is Verdict.PASS and told.summary.startswith(
        "no TLS; 2 (zk2): -Dzookeeper.sslQuorum=true does nothing"
    )
    assert len(told.warnings) == 1
    assert not gate(hosts.three()).warnings
    joined = joiner_certificates(
        healthy(3).picture, host(4, jvm_flags=("-Dzookeeper.sslQuorum=true",)), server(4), Stores()
    )
    assert "zk4: -Dzookeeper.sslQuorum=true does nothing" in joined.summary


def test_where_flags_are_not_seen_no_tls_is_said_of_zoo_cfg_alone() -> None:
    live = healthy(3).live
    unseen = healthy(3).having(1, disk=disk_of(1, live, flags=None))
    assert gate(unseen).summary == "no TLS; by zoo.cfg alone, for its command line cannot be seen on 1 (zk1)"
    more = healthy(3).having(1, disk=disk_of(1, live, flags=flags_of(["@/etc/zookeeper/java.args"])))
    assert "more stand in @/etc/zookeeper/java.args" in gate(more).summary
    assert gate(healthy(3).having(1, disk=disk_of(1, live, flags=None, active=False))).summary == "no TLS"


def test_stores_that_flags_name_are_judged_as_those_of_zoo_cfg(hosts: Hosts) -> None:
    """One of them is of another CA: it is seen, though no zoo.cfg names a store."""

    def by_flags(made: Made, number: int) -> Made:
        disk = next(s.disk.value for s in made.servers if s.name == f"zk{number}")
        assert disk
        named = {k: v for k, v in disk.settings.items() if k.startswith("ssl.")}
        kept = {k: v for k, v in disk.settings.items() if k not in named}
        return made.having(number, disk=msgspec.structs.replace(disk, settings=kept, flags=Flags(named)))

    made = by_flags(by_flags(by_flags(hosts.three(), 1), 2), 3)
    assert (gate(made).verdict, gate(made).summary) == (Verdict.PASS, "quorum TLS on 3 servers")
    foreign = by_flags(hosts.member(made, 2, hosts.settings(2, by=OTHER)), 2)
    assert gate(foreign).verdict is Verdict.FAIL and "not trusted by" in gate(foreign).summary


@pytest.mark.parametrize("posture", [Posture.QUORUM, Posture.TLS, Posture.TLS_ONLY])
def test_all_is_well(hosts: Hosts, posture: Posture) -> None:
    made = healthy(3)
    for i in (1, 2, 3):
        made = hosts.member(made, i, hosts.settings(i, posture=posture))
    which = "quorum and client" if posture.clients else "quorum"
    assert (gate(made).verdict, gate(made).summary) == (Verdict.PASS, f"{which} TLS on 3 servers")
    joined = hosts.joiner(made, posture=posture)
    assert (joined.verdict, joined.summary) == (Verdict.PASS, f"{which} TLS on 4 servers")
    assert first_stop(made.health(Purpose.CHANGE).gates) is None


def comparing(made: Made) -> Made:
    """Members that are not in FIPS mode."""
    for i in (1, 2, 3):
        disk = next(s.disk.value for s in made.servers if s.name == f"zk{i}")
        assert disk
        made = made.having(i, disk=msgspec.structs.replace(disk, settings={**disk.settings, "fips-mode": "false"}))
    return made


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"private": rsa_key("s"), "private_pem": key_pem(rsa_key("s"), PKCS1)}, "is PKCS#1", "openssl pkcs8 -topk8"),
    ({"private_pem": key_pem(key("server"), PKCS1)}, "is SEC1; ZooKeeper takes PKCS#8 only", "openssl pkcs8 -topk8"),
    ({"private_pem": ""}, "holds no private key", "put the key into it"),
    ({"private_pem": key_pem(key("stolen"))}, "do not belong together", "the certificate that was made for this key"),
    ({"private_pem": key_pem(key("server"))[:90] + "\n"}, "line 1: a block that does not end", "put a whole PEM file"),
    ({"sans": ()}, "has no subject alternative name (SAN)", "among its subject alternative names"),
    ({"sans": ("10.0.0.9",)}, "does not cover 10.0.0.", "among its subject alternative names"),
    ({"ends": NOW - DAY}, f"expired on {NOW - DAY:%Y-%m-%d}", "renew the certificate of"),
    ({"begins": NOW + DAY}, f"is not valid before {NOW + DAY:%Y-%m-%d}", "look at the clocks"),
    ({"by": OTHER}, "is of CN=another CA, and not trusted by", "a certificate of the CA that the members trust"),
    ({"trusts": OTHER.pem}, "does not trust the certificates of", "put the certificate of CN=CA into"),
    ({"trusts": ""}, "trust.pem holds no certificate", "put the certificate of the members' CA into it"),
    ({"trusts": CA.pem[:200]}, "trust.pem: line 1: a block that does not end", "put a whole PEM file"),
    ({"name": "keys.crt"}, "ZooKeeper tells what a store is by the end of its name", "name it ….pem"),
]


@pytest.mark.parametrize(("odd", "what", "remedy"), REFUSED)
def test_a_member_that_is_not_right(hosts: Hosts, odd: dict[str, Any], what: str, remedy: str) -> None:
    made = hosts.three(**odd)
    if "sans" in odd:
        # in FIPS mode, 3.9's default, nobody compares: such members work, and it is a warning
        assert (gate(made).verdict, gate(made).stops) == (Verdict.PASS, False)
        assert what in str(gate(made).warnings[0])
        made = comparing(made)
    result = gate(made)
    assert result.verdict is Verdict.FAIL and result.stops
    assert {e.server for e in result.evidence} == {"2 (zk2)"}, result.summary
    assert what in result.summary
    assert remedy in result.remedy


@pytest.mark.parametrize(("odd", "what", "remedy"), REFUSED)
def test_a_joiner_that_is_not_right(hosts: Hosts, odd: dict[str, Any], what: str, remedy: str) -> None:
    result = hosts.joiner(hosts.three(), **odd)
    assert result.verdict is Verdict.FAIL and result.stops
    assert {e.server for e in result.evidence} == {"zk4"}, result.summary
    assert what in result.summary
    assert remedy in result.remedy


def test_a_joiner_of_another_ca_is_one_error_with_both_sides(hosts: Hosts) -> None:
    result = hosts.joiner(hosts.three(), by=OTHER, trusts=OTHER.pem)
    assert [str(e) for e in result.evidence] == [
        "zk4: its certificate is of CN=another CA, and not trusted by 1 (zk1), 2 (zk2), 3 (zk3): "
        "none of the CAs that they trust signed it",
        f"zk4: {hosts.folder}/zk4/trust.pem does not trust the certificates of 1 (zk1), 2 (zk2), 3 (zk3) (signed by CN=CA)",
    ]
    assert result.remedy == "give zk4 a certificate of the CA that the members trust"


def test_a_ca_of_the_same_name_is_another_ca(hosts: Hosts) -> None:
    """What counts is the signature, not the name."""
    imposter = Authority("imposter")
    imposter.name = CA.name
    imposter.certificate = imposter._signed(CA.name, imposter.key, NOW - YEAR, NOW + YEAR, (), ca=True)
    assert "none of the CAs that they trust signed it" in hosts.joiner(hosts.three(), by=imposter).summary


@pytest.mark.parametrize(("left", "warned"), [(31 * DAY, False), (30 * DAY - DAY / 24, True), (DAY, True)])
def test_a_certificate_that_ends_soon_is_a_warning_with_its_date(
    hosts: Hosts, left: dt.timedelta, warned: bool
) -> None:
    made = hosts.three(ends=NOW + left)
    result = gate(made)
    assert (result.verdict, result.stops) == (Verdict.PASS, False)
    assert bool(result.warnings) is warned
    assert result.evidence == ()
    if warned:
        assert result.warnings[0].server == "2 (zk2)"
        assert f"expires on {NOW + left:%Y-%m-%d}, in {left.days} days" in result.summary
        assert status_document(made.health()).next == [str(result.warnings[0])]
        assert "expires on" in hosts.joiner(made).summary
    assert made.health().condition == "safe"
    assert status_document(healthy(3).health()).next == []


def test_a_chain_by_an_intermediate_ca(hosts: Hosts) -> None:
    between = Authority("between", by=CA)
    assert hosts.joiner(hosts.three(), by=between, behind=between.pem).verdict is Verdict.PASS
    assert hosts.joiner(
        hosts.three(), by=between, trusts=between.pem + CA.pem
    ).stops  # it does not show what is between
    late = Authority("late", by=CA, ends=NOW - DAY)
    told = hosts.joiner(hosts.three(), by=late, behind=late.pem)
    assert "a CA's certificate behind it has expired" in told.summary
    under = hosts.settings(9, by=CA)["ssl.quorum.keyStore.location"]
    not_a_ca = Authority("zk9")
    not_a_ca.certificate = CA._signed(not_a_ca.name, not_a_ca.key, NOW - YEAR, NOW + YEAR, ("zk9",), ca=False)
    assert under and hosts.joiner(hosts.three(), by=not_a_ca, behind=not_a_ca.pem).stops


def test_members_that_trust_each_other_by_their_own_certificates(hosts: Hosts) -> None:
    """No CA at all: each one's certificate, that it signed itself, lies in each one's trust store, which Java takes."""

    def alone(server_id: int, by: Authority, trusts: str) -> dict[str, str]:
        settings = hosts.settings(server_id, trusts=trusts)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"zk{server_id}")])
        own = by._signed(subject, by.key, NOW - YEAR, NOW + YEAR, (f"10.0.0.{server_id}",), ca=False)
        pem = own.public_bytes(Encoding.PEM).decode()
        trusted.append(pem)
        lay(hosts.folder / f"zk{server_id}", "keys.pem", key_pem(by.key), pem)
        return settings

    for by, good in (([Authority(f"zk{i}") for i in (1, 2, 3)], True), ([Authority()] * 3, False)):
        trusted: list[str] = []
        for i in (1, 2, 3):
            alone(i, by[i - 1], "")
        made, trusts = healthy(3), "".join(trusted)
        for i in (1, 2, 3):
            (hosts.folder / f"zk{i}" / "trust.pem").write_text(trusts)
            place = str(hosts.folder / f"zk{i}")
            made = hosts.member(
                made,
                i,
                tls_settings(
                    host(i, posture=Posture.QUORUM, key_store=f"{place}/keys.pem", trust_store=f"{place}/trust.pem")
                ),
            )
        # signed by a CA that is in no trust store, it is not even shown (measured: certificate_required)
        assert (gate(made).verdict is Verdict.PASS) is good, gate(made).summary


def test_stores_that_are_not_pem_are_told_and_stop_nothing(hosts: Hosts) -> None:
    made, settings = hosts.three(), hosts.settings(2)
    for name in ("keys.pem", "trust.pem"):
        (hosts.folder / "zk2" / name).write_bytes(b"\xfe\xed\xfe\xed" + b"\0" * 400)
    result = gate(hosts.member(made, 2, settings))
    assert (result.verdict, len(result.warnings)) == (Verdict.PASS, 2)
    assert "keys.pem is no PEM file: it was not looked into" in result.summary


def test_an_encrypted_key_is_told_and_stops_nothing(hosts: Hosts) -> None:
    result = gate(hosts.three(private_pem=key_pem(key("server"), password="hunter2")))
    assert result.verdict is Verdict.PASS
    assert "belong together was not told (the key is encrypted)" in result.summary


def test_a_store_that_cannot_be_read_is_unknown(hosts: Hosts) -> None:
    made, settings = hosts.three(), hosts.settings(2)
    (hosts.folder / "zk2" / "keys.pem").unlink()
    (hosts.folder / "zk2" / "keys.pem").mkdir()
    made = hosts.member(made, 2, settings)
    result = gate(made)
    assert (result.verdict, result.stops) == (Verdict.UNKNOWN, True)
    assert result.summary == f"2 (zk2): {hosts.folder}/zk2/keys.pem cannot be read (not a file)"
    assert "readable for zkprov" in result.remedy
    assert not gate(made, Purpose.LOOK).stops


def test_a_store_that_is_not_there_fails(hosts: Hosts) -> None:
    made, settings = hosts.three(), hosts.settings(2)
    (hosts.folder / "zk2" / "trust.pem").unlink()
    assert gate(hosts.member(made, 2, settings)).summary == f"2 (zk2): {hosts.folder}/zk2/trust.pem is not there"


def test_a_member_whose_disk_was_not_read_is_unknown(hosts: Hosts) -> None:
    """Also where the others are plain: it may have TLS."""
    assert gate(hosts.three().having(3, disk=None)).verdict is Verdict.UNKNOWN
    plain = gate(healthy(3).having(3, disk=None))
    assert plain.stops and "3 (zk3)" in plain.summary
    assert not gate(healthy(3).having(3, disk=None), Purpose.LOOK).stops, "to look, it is told"
    excused = certificates(healthy(3).having(3, disk=None).picture, Purpose.CHANGE, {3})
    assert excused.verdict is Verdict.PASS, "it need not answer just now"


def test_stores_that_no_zoo_cfg_names(hosts: Hosts) -> None:
    """Of a member they may be system properties; of a joiner they are missing variables."""
    told = gate(hosts.member(hosts.three(), 2, {"sslQuorum": "true"}))
    assert told.verdict is Verdict.PASS
    assert "neither its zoo.cfg nor its flags name a ssl.quorum.keyStore.location" in told.summary
    (disk,) = (s.disk.value for s in hosts.three().servers if s.name == "zk2")
    assert disk
    hidden = msgspec.structs.replace(disk, settings={"sslQuorum": "true"}, stores=Stores(), flags=None)
    assert "its zoo.cfg names no ssl.quorum.keyStore.location, and its command line cannot be seen" in str(
        gate(hosts.three().having(2, disk=hidden)).warnings
    )
    one = host(4, posture=Posture.QUORUM)
    result = joiner_certificates(hosts.three().picture, one, server(4), wished_stores(one))
    assert result.stops
    assert "no zkprov_key_store is set" in result.summary


def test_a_host_that_cannot_be_asked_is_unknown() -> None:
    one = host(4, posture=Posture.TLS, key_store="/k.pem", trust_store="/t.pem")
    result = founders_certificates([(one, unread_stores(one, "no answer in 3 s"))], NOW.timestamp())
    assert (result.verdict, result.stops) == (Verdict.UNKNOWN, True)
    assert "zk4: /k.pem cannot be read (no answer in 3 s)" in result.summary


def test_who_compares_no_names_needs_none(hosts: Hosts) -> None:
    off = {"ssl.quorum.hostnameVerification": "false", "fips-mode": "false"}
    made = healthy(3)
    for i in (1, 2, 3):
        made = hosts.member(made, i, {**hosts.settings(i, sans=() if i == 2 else None), **off})
    assert (gate(made).verdict, gate(made).warnings) == (Verdict.PASS, ())
    one_does = hosts.member(made, 1, {**hosts.settings(1), "fips-mode": "false"})
    assert gate(one_does).stops


def test_a_member_may_be_known_by_what_its_address_resolves_to(hosts: Hosts) -> None:
    """Out of FIPS mode ZooKeeper looks the name up; who is to come must be named as the list names it."""
    made = comparing(hosts.three(sans=("zk2.example.com",)))
    assert (gate(made).verdict, len(gate(made).warnings)) == (Verdict.PASS, 1)
    assert hosts.joiner(made, sans=("zk4.example.com",)).stops


@pytest.mark.parametrize(("release", "compares"), [("3.9.5", False), ("3.8.6", True), ("3.6.4", True)])
def test_which_releases_compare_names(hosts: Hosts, release: str, compares: bool) -> None:
    made = hosts.three(sans=())
    for i in (1, 2, 3):
        made = made.reading(i, release=release)
    assert gate(made).stops is compares


def test_names_in_lines_are_covered_by_names(hosts: Hosts) -> None:
    live = msgspec.structs.replace(
        healthy(3).live, servers=tuple(server(i, host=f"zk{i}.kafka.example.com") for i in (1, 2, 3))
    )
    one = host(4)
    line = server(4, host="ZK4.kafka.example.com")
    for sans, good in (
        (("*.kafka.example.com",), True),
        (("*.example.com",), False),
        (("zk4.kafka.example.com",), True),
    ):
        settings = hosts.settings(4, sans=sans)
        wish = msgspec.structs.replace(one, settings=settings)
        made = msgspec.structs.replace(hosts.three(sans=("10.0.0.2",)), live=live)
        result = joiner_certificates(made.picture, wish, line, wished_stores(wish))
        assert (result.verdict is Verdict.PASS) is good, result.summary


def test_founders_are_judged_together(hosts: Hosts) -> None:
    def wished(server_id: int, **odd: Any) -> tuple[InventoryHost, Stores]:
        one = host(server_id, settings=hosts.settings(server_id, **odd))
        return one, wished_stores(one)

    good = [wished(1), wished(2), wished(3)]
    assert founders_certificates(good, NOW.timestamp()).verdict is Verdict.PASS
    foreign = founders_certificates([*good[:2], wished(3, by=OTHER)], NOW.timestamp())
    assert [e.server for e in foreign.evidence] == ["zk3"]
    mixed = founders_certificates([*good[:2], (host(3), Stores())], NOW.timestamp())
    assert [e.server for e in mixed.evidence] == ["zk3"] and mixed.stops


def test_the_same_chain_is_not_computed_twice() -> None:
    chain, _ = certificates_of(CA.certificate_of("zk1"))
    trusted, _ = certificates_of(CA.pem)
    assert leads_to(chain, trusted)
    assert not leads_to((), trusted)
    assert not leads_to(chain, ())
    assert certificates_of(CA.pem) is certificates_of(CA.pem)


@pytest.mark.parametrize("at", [1e18, -1e18, float("inf")])
def test_a_day_beyond_all_calendars(at: float) -> None:
    assert day(at) == "a day that no calendar has"


def test_forms_are_those_that_the_program_for_hosts_says() -> None:
    from zkprov.shipped.remote.stores import FORMS

    assert {*FORMS.values(), "other", "none", "not PEM", "unread"} == set(KeyForm)
