"""Real servers with quorum TLS: a host whose certificate does not fit is stopped before anything is laid, one whose does comes in."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tests.real.driver import QUICK, Touched, Zkprov, edited_inventory, live_config
from tests.unit.authorities import PKCS1, Authority, key, key_pem, lay, rsa_key

pytestmark = pytest.mark.real
NOW = dt.datetime.now(dt.UTC)
CA, OTHER = Authority(now=NOW), Authority("another CA", now=NOW)
PRIVATE = key_pem(key("server"))
QUORUM_KEYS, QUORUM_TRUST = "ssl.quorum.keyStore.location", "ssl.quorum.trustStore.location"


def tls(folder: Path, name: str, *parts: str, trusts: str = CA.pem) -> dict[str, str]:
    """Settings of quorum TLS, with stores of their own."""
    return {
        "sslQuorum": "true",
        QUORUM_KEYS: str(lay(folder / name, "keys.pem", *(parts or (PRIVATE, CA.certificate_of("127.0.0.1"))))),
        QUORUM_TRUST: str(lay(folder / name, "trust.pem", trusts)),
    }


def test_a_joiner_comes_in_by_its_certificate_alone(make_lab, tmp_path: Path) -> None:
    made = make_lab(3, spares=1, settings=tls(tmp_path, "good"))
    zkprov, touched = Zkprov(made, tmp_path / "runs"), Touched(made, "zk4")
    zkprov("check").expect(0, "certificates", "quorum TLS on 3 servers")
    before = live_config(made.host(1))
    common = dict(made.host(4).settings)
    plain = {k: v for k, v in common.items() if k not in ("sslQuorum", QUORUM_KEYS, QUORUM_TRUST)}
    rsa = rsa_key("server")
    wrong = {
        "foreign": (
            tls(tmp_path, "foreign", PRIVATE, OTHER.certificate_of("127.0.0.1"), trusts=OTHER.pem),
            ("CN=another CA, and not trusted by 1 (zk1), 2 (zk2), 3 (zk3)", "give zk4 a certificate of the CA"),
        ),
        "expired": (
            tls(tmp_path, "expired", PRIVATE, CA.certificate_of("127.0.0.1", ends=NOW - dt.timedelta(days=2))),
            (f"expired on {NOW - dt.timedelta(days=2):%Y-%m-%d}", "renew the certificate of zk4"),
        ),
        "pkcs1": (
            tls(tmp_path, "pkcs1", key_pem(rsa, PKCS1), CA.certificate_of("127.0.0.1", private=rsa)),
            ("is PKCS#1; ZooKeeper takes PKCS#8 only", "openssl pkcs8 -topk8 -nocrypt"),
        ),
        "elsewhere": (
            tls(tmp_path, "elsewhere", PRIVATE, CA.certificate_of("10.0.0.1")),
            ("does not cover 127.0.0.1", "among its subject alternative names"),
        ),
    }
    for name, (settings, words) in wrong.items():
        path = edited_inventory(made, tmp_path / f"{name}.yml", "zk4", zkprov_settings={**common, **settings})
        done = zkprov.with_inventory(path).add("zk4").expect(4, "Refused by R8", "zk4: ", *words)
        assert not set(PRIVATE.splitlines()[1:-1]) & set(done.out.split() + done.err.split())
    path = edited_inventory(made, tmp_path / "plain.yml", "zk4", zkprov_settings=plain)
    zkprov.with_inventory(path).add("zk4").expect(
        4, "connections between servers are plain", "set zkprov_posture of zk4"
    )
    touched.nothing()
    assert live_config(made.host(1)) == before
    zkprov.add("zk4").expect(0, "done: {1,2,3,4}")
    zkprov("check").expect(0, "quorum TLS on 4 servers")


def test_a_group_whose_certificates_do_not_fit_is_not_founded(make_lab, tmp_path: Path) -> None:
    made = make_lab(3, start=False, spares=0, settings=tls(tmp_path, "good"))
    zkprov = Zkprov(made, tmp_path / "runs")
    common = dict(made.host(3).settings)
    late = tls(tmp_path, "late", PRIVATE, OTHER.certificate_of("127.0.0.1"))
    path = edited_inventory(made, tmp_path / "late.yml", "zk3", zkprov_settings={**common, **late})
    told = ("zk3: its certificate is of CN=another CA, and not trusted by zk1, zk2", "zkprov bootstrap")
    zkprov.with_inventory(path)("bootstrap", *QUICK[:1]).expect(4, *told)
    assert not any(Path(made.host(n).config_dir).exists() for n in (1, 2, 3))
    quick = ("--yes", "--samples", "1", "--sample-interval", "0.1", "--step-timeout", "20")
    zkprov("bootstrap", *quick).expect(0, "done: {1,2,3}")
