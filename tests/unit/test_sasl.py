"""SASL without servers: the exchange, the file with the passwords, what the inventory says of it, and that no password shows anywhere."""

from __future__ import annotations

import contextlib
import hashlib
import re
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.facts_made import host, server
from zkprov.act.render import render_host
from zkprov.judge.rendering import judge_rendered
from zkprov.model import jaas
from zkprov.model.digest_md5 import DigestMd5, Refused, pairs
from zkprov.model.hiding import Seal, shown
from zkprov.model.inventory import PASSWORDS, QUORUM_SASL_PASSWORD, SASL_PASSWORD
from zkprov.model.members import Members
from zkprov.model.posture import Posture
from zkprov.model.problems import BadInput
from zkprov.model.release import Release
from zkprov.model.sasl import Sasl
from zkprov.model.server import HostPort
from zkprov.observe import sasl as observed
from zkprov.observe.ansible_inventory import QUORUM_SASL, SASL, SASL_USERS, Listing
from zkprov.observe.inventory import inventory_of, read_inventory
from zkprov.observe.sasl import jaas_of, sasl_at, sasl_of

CANARY = "c4nary-S3cret"
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PASSWORDS:
        monkeypatch.delenv(name, raising=False)
    observed._found.cache_clear()


# -- the exchange


def test_the_example_of_the_rfc(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 2831, section 4: its words for service and host instead of ZooKeeper's."""
    monkeypatch.setattr("zkprov.model.digest_md5.SERVICE", "imap")
    monkeypatch.setattr("zkprov.model.digest_md5.SERVER", "elwood.innosoft.com")
    exchange = DigestMd5("chris", "secret", "OA6MHXh6VqTrRk")
    challenge = b'realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8'
    said = pairs(exchange.answer(challenge))
    assert said["response"] == "d388dad90d4bbd760a152321f2143af7" and said["digest-uri"] == "imap/elwood.innosoft.com"
    assert not exchange.done
    assert exchange.answer(b"rspauth=ea40f60335c427b5527b84dbabcdfffd") == b"" and exchange.done


@pytest.mark.parametrize(
    "challenge",
    [b"", b'nonce="x"', b"\xff", b'nonce="x",algorithm=md5', b'nonce="x",algorithm=md5-sess,qop="auth-conf"', b"a,,b"],
)
def test_an_odd_challenge(challenge: bytes) -> None:
    with pytest.raises(Refused) as refused:
        DigestMd5("u", CANARY, "c").answer(challenge)
    assert CANARY not in "".join(traceback.format_exception(refused.value))


def test_a_server_that_does_not_know_the_password_is_found_out() -> None:
    exchange = DigestMd5("u", "p", "c")
    exchange.answer(b'nonce="x",algorithm=md5-sess,realm="zk-sasl-md5"')
    with pytest.raises(Refused, match="does not prove"):
        exchange.answer(b"rspauth=" + hashlib.md5(b"", usedforsecurity=False).hexdigest().encode())
    assert not exchange.done


@given(st.binary(max_size=200))
def test_whatever_a_server_says_nothing_else_is_raised(challenge: bytes) -> None:
    with contextlib.suppress(Refused):
        DigestMd5("u", "p", "c").answer(challenge)


# -- the file


@given(
    PRINTABLE.filter(lambda p: not jaas.unfit(p)),
    st.dictionaries(st.sampled_from(["kafka", "a.b", "x-1", "u_2"]), PRINTABLE),
)
def test_what_is_written_is_read_and_never_shown(password: str, users: dict[str, str]) -> None:
    text = jaas.jaas(("zookeeper", password), users)
    sections = jaas.sections_of(text)
    assert sections[jaas.QUORUM_LEARNER][0].options == {"username": "zookeeper", "password": password}
    assert sections[jaas.QUORUM_SERVER][0].options == {"user_zookeeper": password}
    assert (jaas.SERVER in sections) == bool(users)
    if users:
        assert sections[jaas.SERVER][0].options == {f"user_{n}": p for n, p in users.items()}
    assert jaas.printed(sections) == text
    hidden = jaas.sections_of(shown(jaas.NAME, text))
    assert {v for s in hidden.values() for e in s for k, v in e.options.items() if k != "username"} == {"(hidden)"}
    assert all(repr(password) not in repr(e) or len(password) < 9 for s in sections.values() for e in s)


def test_a_file_of_somebody_elses_is_shown_without_secrets() -> None:
    text = f"""
    // password="{CANARY}"
    Server {{ /* {CANARY} */
       com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true keyTab="/etc/zk.keytab" secretWord={CANARY};
       org.example.Other optional; }};
    """
    told = shown(jaas.NAME, text)
    assert CANARY not in told and 'keyTab="/etc/zk.keytab"' in told and "org.example.Other optional" in told


@pytest.mark.parametrize("text", ["Server {", f'Server {{ x required password="{CANARY}', "}", "a b c", f"{CANARY}"])
def test_a_file_that_java_would_not_read(text: str) -> None:
    with pytest.raises(BadInput, match="not a JAAS file") as refused:
        jaas.sections_of(text)
    assert CANARY not in str(refused.value) and CANARY not in shown(jaas.NAME, text)


def test_equal_passwords_are_seen_to_be_equal_and_others_not() -> None:
    one, other = Seal(b"k"), Seal(b"another")
    text = jaas.jaas(("zookeeper", CANARY), {})
    assert one.text(jaas.NAME, text) == one.text(jaas.NAME, text) != other.text(jaas.NAME, text)
    assert one.text(jaas.NAME, text) != one.text(jaas.NAME, jaas.jaas(("zookeeper", "b"), {}))


@pytest.mark.parametrize(
    ("password", "why"), [("", "empty"), ("a\nb", "printable"), ("ü", "ASCII"), ("a${user.home}", "Java replaces")]
)
def test_a_password_that_cannot_be_used(password: str, why: str) -> None:
    assert why in jaas.unfit(password)
    assert not jaas.unfit('a"b\\c d$e{f}')


# -- the inventory


def listing(everywhere: dict[str, Any], **of_host: dict[str, Any]) -> Listing:
    names = ("zk1", "zk2")
    return Listing(
        {"zk": names},
        {
            n: {"ansible_connection": "local", **everywhere, **of_host.get(n, {})}
            | ({"zkprov_address": f"10.0.0.{i}", "zkprov_config_dir": f"/c{i}", "zkprov_data_dir": f"/d{i}"})
            for i, n in enumerate(names, 1)
        },
    )


def test_what_the_variables_say() -> None:
    made = inventory_of(listing({"zkprov_quorum_sasl": True, "zkprov_client_sasl": True, "zkprov_enforce_auth": True,
                                 SASL_USERS: [["kafka", 1]], SASL: 2}), "i", None)  # fmt: skip
    one = made.hosts[0]
    assert one.posture_settings == {
        "quorum.auth.enableSasl": "true",
        "quorum.auth.learnerRequireSasl": "true",
        "quorum.auth.serverRequireSasl": "true",
        "quorum.auth.learner.saslLoginContext": "QuorumLearner",
        "quorum.auth.server.saslLoginContext": "QuorumServer",
        "authProvider.sasl": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        "superUser": "zkprov",
        "fips-mode": "false",
        "enforce.auth.enabled": "true",
        "enforce.auth.schemes": "sasl",
    }
    assert one.flags == ("-Djava.security.auth.login.config=/c1/jaas.conf",) and one.sasl_users == ("kafka",)
    assert made.passwords == {SASL: "zk1", SASL_USERS: "zk1"}


def test_certificates_and_sasl_together() -> None:
    both = host(
        1,
        posture=Posture.TLS,
        key_store="/k.pem",
        trust_store="/t.pem",
        client_sasl=True,
        enforce_auth=True,
        sasl_super=False,
    )
    assert both.posture_settings["enforce.auth.schemes"] == "x509,sasl" and "superUser" not in both.posture_settings


@pytest.mark.parametrize(
    ("everywhere", "of_two", "words"),
    [
        ({"zkprov_sasl_user": "z"}, {}, "zkprov_sasl_user set, and zkprov_client_sasl is not"),
        ({"zkprov_quorum_sasl_user": "z"}, {}, "zkprov_quorum_sasl_user set, and zkprov_quorum_sasl is not"),
        ({"zkprov_quorum_sasl": "yes"}, {}, "neither true nor false"),
        ({"zkprov_quorum_sasl": True}, {"zkprov_quorum_sasl": False}, "zkprov_quorum_sasl is false, that of zk1 is true"),
        ({"zkprov_client_sasl": True, SASL: 1}, {SASL: 2}, f"zk2: {SASL} is not that of zk1"),
        ({"zkprov_client_sasl": True, SASL_USERS: [["zkprov", 1]]}, {}, "is one of zkprov_sasl_users too"),
        ({"zkprov_client_sasl": True, SASL_USERS: 3}, {}, "not users with their passwords"),
        ({"zkprov_client_sasl": True, SASL_USERS: [["a b", 1]]}, {}, "not the name of a SASL user"),
        ({"zkprov_enforce_auth": True}, {}, "clients use neither TLS nor SASL"),
        ({"zkprov_quorum_sasl": True, "zkprov_jvm_flags": ["-Djava.security.auth.login.config=/x"]}, {}, "names another JAAS file"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_an_inventory(everywhere: dict[str, Any], of_two: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as refused:
        inventory_of(listing(everywhere, zk2=of_two), "i", None)
    assert words in str(refused.value)


def written(folder: Path, **variables: str) -> str:
    """An inventory of one host, with lines as they stand in YAML."""
    lines = "".join(f"        {name}: {value}\n" for name, value in variables.items())
    path = folder / "hosts.yml"
    path.write_text(
        f"all:\n  children:\n    zk:\n      hosts:\n        zk1: {{ansible_connection: local}}\n      vars:\n{lines}"
    )
    path.chmod(0o600)
    return str(path)


def test_passwords_from_an_inventory_are_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    users = f'{{kafka: "{CANARY}-k", flink: "{CANARY}-f"}}'
    path = written(tmp_path, zkprov_quorum_sasl="true", zkprov_client_sasl="true", zkprov_quorum_sasl_password=f"{CANARY}-q",
                   zkprov_sasl_password=f"{CANARY}-z", zkprov_sasl_users=users)  # fmt: skip
    inventory = read_inventory(path)
    assert CANARY not in repr(inventory)
    found = sasl_of(inventory)
    assert found is not None and found.pair == ("zkprov", f"{CANARY}-z") and found.at == {inventory.hosts[0].client}
    assert CANARY not in repr(found)
    sections = jaas.sections_of(jaas_of(inventory, inventory.hosts[0]))
    assert sections[jaas.SERVER][0].options == {
        "user_kafka": f"{CANARY}-k", "user_flink": f"{CANARY}-f", "user_zkprov": f"{CANARY}-z"
    }  # fmt: skip
    assert sections[jaas.QUORUM_LEARNER][0].options["password"] == f"{CANARY}-q"
    for file in (f for f in (tmp_path / "cache").rglob("*") if f.is_file()):
        assert CANARY not in file.read_text()


def test_where_passwords_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment before a file; a file that others read, or nothing at all, is refused without a word of the secret."""
    file = tmp_path / "password"
    file.write_text(f"{CANARY}\n")
    file.chmod(0o600)
    path = written(tmp_path, zkprov_quorum_sasl="true", zkprov_quorum_sasl_password_file=str(file))
    inventory = read_inventory(path)
    assert f'"{CANARY}"' in jaas_of(inventory, inventory.hosts[0])
    monkeypatch.setenv(QUORUM_SASL_PASSWORD, "other")
    assert '"other"' in jaas_of(inventory, inventory.hosts[0])
    monkeypatch.setenv(QUORUM_SASL_PASSWORD, f"{CANARY}${{x}}")
    with pytest.raises(BadInput, match="Java replaces") as refused:
        jaas_of(inventory, inventory.hosts[0])
    assert CANARY not in str(refused.value)
    file.chmod(0o644)
    with pytest.raises(BadInput, match=r"others can read .* \(mode 0644\)"):
        read_inventory(path)
    nothing = read_inventory(written(tmp_path, zkprov_client_sasl="true"))
    with pytest.raises(BadInput, match=f"nothing says {SASL}") as refused:
        sasl_of(nothing)
    assert SASL_PASSWORD in refused.value.remedy and f"{SASL}_file" in refused.value.remedy
    assert (
        sasl_of(read_inventory(written(tmp_path, zkprov_quorum_sasl="true", zkprov_quorum_sasl_password="x"))) is None
    )
    assert QUORUM_SASL != SASL


def test_without_an_inventory_the_named_servers_alone_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = HostPort("zk1", 2181), HostPort("zk2", 2181)
    file = tmp_path / "password"
    file.write_text(f"{CANARY}\n")
    file.chmod(0o600)
    found = sasl_at([one], "kafka", str(file))
    assert found.pair_at(one) == ("kafka", CANARY) and found.pair_at(two) is None and CANARY not in repr(found)
    monkeypatch.setenv(SASL_PASSWORD, "other")
    assert sasl_at([one], "kafka", str(file)).pair == ("kafka", "other")
    monkeypatch.delenv(SASL_PASSWORD)
    with pytest.raises(BadInput, match="nothing says the password of the SASL user kafka"):
        sasl_at([one], "kafka", "")
    with pytest.raises(BadInput, match="--sasl-user: not the name of a SASL user"):
        sasl_at([one], 'a"b', str(file))
    file.chmod(0o640)
    with pytest.raises(BadInput, match=r"others can read --sasl-password-file \(mode 0640\)"):
        sasl_at([one], "kafka", str(file))


def test_no_password_to_whom_the_inventory_does_not_name() -> None:
    known = host(1).client
    ours = Sasl("zkprov", CANARY, frozenset({known}))
    assert ours.pair_at(known) == ("zkprov", CANARY) and ours.pair_at(host(2).client) is None


# -- what goes to a host


def test_what_is_rendered_is_judged() -> None:
    one = host(4, quorum_sasl=True, config_dir="/etc/zk")
    release, live = Release(3, 9, 5), Members.of(server(1), server(2), server(4)).at_version(0)
    files = render_host(one, live, release=release, server_id=4)

    def judged(given: dict[str, str]) -> list[str]:
        found = judge_rendered(given, wish=live, server_id=4, host=one, release=release, joiner=False)
        return [str(v) for v in found]

    assert judged(files) == ["files: jaas.conf: missing, and SASL is wished"]
    whole = {**files, jaas.NAME: jaas.jaas(("zookeeper", CANARY), {})}
    assert judged(whole) == []
    flagless = judged({**whole, "jvm_flags": "-Xmx1g\n"})
    assert len(flagless) == 1 and "-Djava.security.auth.login.config=/etc/zk/jaas.conf must be in it" in flagless[0]
    fips = judged({**whole, "zoo.cfg": re.sub("(?m)^fips-mode=.*\n", "", whole["zoo.cfg"])})
    assert len(fips) == 1 and "fips-mode must be false, not unset: zkprov_quorum_sasl set" in fips[0]
