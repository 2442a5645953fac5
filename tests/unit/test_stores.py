"""Key and trust stores are read as they lie on a host, by the program for hosts: every form, every damage, and never a private key."""

from __future__ import annotations

import ast
import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.authorities import NOW, PKCS1, YEAR, Authority, key, key_pem, lay, rsa_key
from tests.unit.test_disk import BOUND
from tests.unit.test_remote_look import Here, host, run_there, same
from zkprov.model.certificates import KeyForm, KeyStore, TrustStore
from zkprov.model.facts import Outcome
from zkprov.model.posture import Posture
from zkprov.model.problems import Unreached
from zkprov.observe.remote import look_remote, program
from zkprov.observe.stores import wished_stores
from zkprov.shipped.remote.stores import blocks, shaped

CA = Authority()
CERT = CA.certificate_of("zk1.example.com", "10.0.0.1", "fd00::1")


def read(tmp_path: Path, *parts: str | bytes, trust: str | bytes = CA.pem) -> tuple[KeyStore, TrustStore]:
    """The key store that holds these parts, and the trust store: read here, and by the program for hosts, alike."""
    for name, content in (("keys.pem", parts), ("trust.pem", (trust,))):
        whole = b"".join(p if isinstance(p, bytes) else p.encode() for p in content)
        (tmp_path / name).write_bytes(whole)
    one = host(
        tmp_path,
        posture=Posture.QUORUM,
        key_store=str(tmp_path / "keys.pem"),
        trust_store=str(tmp_path / "trust.pem"),
    )
    here = Here()
    found = look_remote(here, one).stores
    assert found == wished_stores(one)
    assert here.rounds == 1
    assert found.quorum_keys and found.quorum_trust
    return found.quorum_keys, found.quorum_trust


def test_a_whole_pair(tmp_path: Path) -> None:
    keys, trust = read(tmp_path, key_pem(key("server")), CERT)
    assert (keys.form, keys.matches, keys.damage, keys.problem, keys.pem) == (KeyForm.PKCS8, True, "", "", CERT)
    assert keys.leaf is not None
    assert keys.leaf.subject == "CN=zk1.example.com,O=Kafka"  # the order of RFC 2253: the last first
    assert keys.leaf.issuer == "CN=CA"
    assert keys.leaf.sans == ("zk1.example.com", "10.0.0.1", "fd00::1")
    assert (keys.leaf.not_before, keys.leaf.not_after) == ((NOW - YEAR).timestamp(), (NOW + YEAR).timestamp())
    assert len(bytes.fromhex(keys.leaf.sha256)) == 32
    assert [c.subject for c in trust.certificates] == ["CN=CA"]
    assert trust.pem_file and not trust.damage


@pytest.mark.parametrize("order", [1, -1])
def test_where_the_key_stands_does_not_matter(tmp_path: Path, order: int) -> None:
    keys, _ = read(tmp_path, *[key_pem(key("server")), CERT][::order])
    assert keys.matches is True


@pytest.mark.parametrize(
    ("written", "private", "form", "matches"),
    [
        (key_pem(key("server")), key("server"), KeyForm.PKCS8, True),
        (key_pem(rsa_key("server")), rsa_key("server"), KeyForm.PKCS8, True),
        (key_pem(rsa_key("server"), PKCS1), rsa_key("server"), KeyForm.PKCS1, True),
        (key_pem(key("server"), PKCS1), key("server"), KeyForm.SEC1, True),
        (key_pem(key("server"), password="hunter2"), key("server"), KeyForm.ENCRYPTED, None),
        (key_pem(rsa_key("server"), PKCS1, "hunter2"), rsa_key("server"), KeyForm.PKCS1, None),
        (key_pem(key("another")), key("server"), KeyForm.PKCS8, False),
        (key_pem(key("another")), rsa_key("server"), KeyForm.PKCS8, False),
        ("", key("server"), KeyForm.NONE, None),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
            key("x"),
            KeyForm.OTHER,
            None,
        ),
    ],
)
def test_forms_of_keys(tmp_path: Path, written: str, private: Any, form: KeyForm, matches: bool | None) -> None:
    keys, _ = read(tmp_path, written, CA.certificate_of("zk1", private=private))
    assert (keys.form, keys.matches) == (form, matches)
    assert keys.leaf is not None


def test_a_label_that_lies(tmp_path: Path) -> None:
    """PKCS#1 under PKCS#8's name: OpenSSL does not take it, nor would Java."""
    lying = key_pem(rsa_key("server"), PKCS1).replace("RSA PRIVATE", "PRIVATE")
    keys, _ = read(tmp_path, lying, CA.certificate_of("zk1", private=rsa_key("server")))
    assert keys.form is KeyForm.PKCS8
    assert keys.matches is True or keys.damage.startswith("OpenSSL does not take its key")


def test_a_chain_with_an_intermediate(tmp_path: Path) -> None:
    between = Authority("between", by=CA)
    keys, _ = read(tmp_path, "Bag Attributes\n", key_pem(key("server")), between.certificate_of("zk1"), between.pem)
    assert [c.subject for c in keys.chain] == ["CN=zk1,O=Kafka", "CN=between"]
    assert keys.matches is True
    assert not keys.damage


@pytest.mark.parametrize(
    ("content", "damage"),
    [
        (key_pem(key("server")) + CERT[:-40], "a block that does not end"),
        (key_pem(key("server"))[:80] + "\n" + CERT, "line 1: a block that does not end"),
        (CERT.replace("-----BEGIN CERTIFICATE-----", ""), "the end of a block that did not begin"),
        (CERT[:200] + CERT[264:], "line 1: a block that says CERTIFICATE and holds none"),
        (CERT.replace("M", "!", 1), "line 1: a block that says CERTIFICATE and holds none"),
        (key_pem(key("server")).replace("PRIVATE KEY", "CERTIFICATE"), "line 1: a block that says CERTIFICATE"),
        (key_pem(rsa_key("server"), PKCS1).replace("RSA PRIVATE KEY", "CERTIFICATE"), "a block that says CERTIFICATE"),
        (key_pem(key("server"), PKCS1).replace("EC PRIVATE KEY", "CERTIFICATE"), "a block that says CERTIFICATE"),
        (key_pem(key("s"), password="x").replace("ENCRYPTED PRIVATE KEY", "CERTIFICATE"), "a block that says CERT"),
        ("-----BEGIN CERTIFICATE-----\nMAcwADAAAwEAAA==\n-----END CERTIFICATE-----\n", "a block that says CERTIFICATE"),
        (
            "-----BEGIN CERTIFICATE-----\nMAcwADAAAwEA\n-----END CERTIFICATE-----\n",
            "certificate 1 of it cannot be parsed",
        ),
    ],
)
def test_damage_is_told_with_its_line(tmp_path: Path, content: str, damage: str) -> None:
    keys, trust = read(tmp_path, content, trust=content)
    assert damage in keys.damage
    assert damage in trust.damage


def test_a_java_key_store_is_not_looked_into(tmp_path: Path) -> None:
    jks, p12 = b"\xfe\xed\xfe\xed\0\0\0\2" + os.urandom(900), b"\x30\x82\x0a\x5f\x02\x01\x03" + os.urandom(900)
    keys, trust = read(tmp_path, jks, trust=p12)
    assert (keys.form, keys.chain, keys.damage, keys.matches) == (KeyForm.NOT_PEM, (), "", None)
    assert (trust.pem_file, trust.certificates, trust.damage) == (False, (), "")


def test_a_real_pkcs12_is_told_apart(tmp_path: Path) -> None:
    p12 = pkcs12.serialize_key_and_certificates(b"CA", CA.key, CA.certificate, None, NoEncryption())
    keys, _ = read(tmp_path, p12)
    assert keys.form is KeyForm.NOT_PEM


@pytest.mark.parametrize("junk", [b"", b"\0" * 4000, bytes(range(256)) * 40, b"hello\n", b"-----BEGIN -----\n"])
def test_junk(tmp_path: Path, junk: bytes) -> None:
    keys, trust = read(tmp_path, junk, trust=junk)
    assert (keys.form, keys.chain, keys.problem, trust.certificates) == (KeyForm.NONE, (), "", ())


def test_what_is_too_large_missing_or_no_file(tmp_path: Path) -> None:
    read(tmp_path)
    with (tmp_path / "keys.pem").open("wb") as file:
        file.truncate(50_000_000)
    os.mkfifo(tmp_path / "pipe")
    folder = {"posture": Posture.TLS, "key_store": str(tmp_path / "keys.pem"), "trust_store": str(tmp_path)}
    found = look_remote(Here(), host(tmp_path, **folder)).stores
    assert found == wished_stores(host(tmp_path, **folder))
    assert found.client_keys == found.quorum_keys
    assert found.quorum_keys and found.quorum_keys.problem == "too large (50000000 bytes); not read"
    assert found.quorum_trust and found.quorum_trust.problem == "not a file"
    folder |= {"key_store": str(tmp_path / "gone.pem"), "trust_store": str(tmp_path / "pipe")}
    found = look_remote(Here(), host(tmp_path, **folder)).stores
    assert found == wished_stores(host(tmp_path, **folder))
    assert found.quorum_keys and found.quorum_keys.missing and found.quorum_keys.problem == "No such file or directory"
    assert found.quorum_trust and found.quorum_trust.problem == "not a file" and not found.quorum_trust.missing


CLOSED = """
import sys
from pathlib import Path
from tests.unit.test_remote_look import host
from zkprov.model.facts import Outcome
from zkprov.model.posture import Posture
from zkprov.model.problems import Unreached
from zkprov.observe.stores import wished_stores
keys = wished_stores(host(Path(sys.argv[1]), posture=Posture.QUORUM, key_store=sys.argv[1] + "/keys.pem")).quorum_keys
print(keys.problem, keys.missing)
"""


def test_what_may_not_be_read(tmp_path: Path) -> None:
    lay(tmp_path, "keys.pem", CERT).chmod(0)
    command = [*BOUND, sys.executable, "-c", CLOSED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "Permission denied False"


@pytest.mark.parametrize("location", ["{}/keys.pem", "./../keys.pem", "{}/\\u006beys.pem"])
def test_the_hosts_own_zoo_cfg_names_them(tmp_path: Path, location: str) -> None:
    """Here and there alike (`same`), also written as properties may be."""
    lay(tmp_path, "keys.pem", key_pem(key("server")), CERT)
    lay(tmp_path, "trust.pem", CA.pem)
    zoo_cfg = (
        f"sslQuorum=true\nssl.quorum.keyStore.location={location.format(tmp_path)}\n"
        f"ssl.quorum.trustStore.location={tmp_path}/trust.pem\nssl.keyStore.location={tmp_path}/gone.pem\n"
    )
    lay(tmp_path / "conf", "zoo.cfg", zoo_cfg)
    disk = same(tmp_path).disk.value
    assert disk is not None
    assert disk.stores.quorum_keys and disk.stores.quorum_keys.matches
    assert disk.stores.quorum_trust and len(disk.stores.quorum_trust.certificates) == 1
    assert disk.stores.client_keys and disk.stores.client_keys.missing
    assert disk.stores.client_trust is None


def test_a_store_that_only_we_see_is_asked_for_as_a_store(tmp_path: Path) -> None:
    """Never as a file: those are sent whole."""
    private = key_pem(key("server"))
    lay(tmp_path, "keys.pem", private, CERT)
    lay(tmp_path / "conf", "zoo.cfg", f"ssl.quorum.keyStore.location={tmp_path}/keys.pem\n")
    text = program("look").replace('for key in some["settings"] if settings.get(key)]', "for key in ()]")

    class Blind(Here):
        def run(self, host: Any, program: str, arguments: Any, *, timeout_s: float | None = None) -> Any:
            answer = super().run(host, text, arguments, timeout_s=timeout_s)
            assert f"{tmp_path}/keys.pem" not in answer["paths"]
            return answer

    here = Blind()
    disk = look_remote(here, host(tmp_path)).disk.value
    assert disk and disk.stores.quorum_keys and disk.stores.quorum_keys.matches
    assert here.rounds == 2


def test_a_bare_host_is_absent_and_its_stores_are_read(tmp_path: Path) -> None:
    path = lay(tmp_path, "keys.pem", key_pem(key("server")), CERT)
    look = run_there(tmp_path, posture=Posture.QUORUM, key_store=str(path), trust_store="/nonexistent.pem")
    assert look.disk.value is None
    assert look.stores.quorum_keys and look.stores.quorum_keys.matches is True
    assert look.stores.quorum_trust and look.stores.quorum_trust.missing


SECRETS = [
    key_pem(key("server")),
    key_pem(key("server"), PKCS1),
    key_pem(rsa_key("server")),
    key_pem(rsa_key("server"), PKCS1),
    key_pem(key("server"), password="x"),
]


def secret_parts(pem: str) -> list[bytes]:
    """Every 12 bytes of the key, as they are and as base64 has them, wherever they begin."""
    body = "".join(line for line in pem.splitlines() if "-----" not in line and ":" not in line)
    der = base64.b64decode(body)
    pieces = [body[i : i + 16].encode() for i in range(0, len(body) - 16)]
    return [*pieces, *(base64.b64encode(der[i : i + 12]) for i in range(len(der) - 12))]


@pytest.mark.parametrize("pem", SECRETS)
def test_no_byte_of_a_private_key_leaves_the_host(tmp_path: Path, pem: str) -> None:
    """Whatever was done to the file: cut, mislabelled, glued to a certificate, named as a trust store."""
    label = pem.splitlines()[0].strip("-").removeprefix("BEGIN ")
    body = "".join(pem.splitlines(keepends=True)[1:-1])
    public = blocks(CERT + CA.pem)[1]
    spoiled = [
        pem + CERT,
        CERT + pem,
        pem.replace(label, "CERTIFICATE") + CERT,
        CERT[:300] + "\n" + pem + CERT,
        CERT.replace("-----END CERTIFICATE-----", body + "-----END CERTIFICATE-----"),
        f"-----BEGIN CERTIFICATE-----\n{body}",
        f"-----BEGIN CERTIFICATE-----\n{pem}-----END CERTIFICATE-----\n{CERT}",
        pem.replace("-----BEGIN", "----BEGIN") + CERT,
        body,
    ]
    for number, content in enumerate(spoiled):
        path = lay(tmp_path, f"{number}.pem", content)
        lay(tmp_path / "conf", "zoo.cfg", f"ssl.quorum.trustStore.location={path}\nssl.keyStore.location={path}\n")
        here = Here()
        look_remote(here, host(tmp_path, posture=Posture.TLS, key_store=str(path), trust_store=str(path)))
        said = json.dumps(here.answer).replace("\\n", "").encode()
        for certificate in public:
            # the public key is in the private one as well: it may leave, in the certificate
            said = said.replace("".join(certificate.splitlines()).encode(), b"")
        assert not [p for p in secret_parts(pem) if p in said], (number, content)


def test_what_is_sent_is_bounded(tmp_path: Path) -> None:
    path = lay(tmp_path, "trust.pem", CA.pem * 1500)
    keys = lay(tmp_path, "keys.pem", key_pem(key("server")), CERT)
    lay(tmp_path / "conf", "zoo.cfg", "#" * 990_000 + "\n")
    lay(tmp_path / "conf", "zoo.cfg.dynamic.next", "#" * 990_000)
    lay(tmp_path / "data", "myid", "#" * 900_000)
    here = Here()
    found = look_remote(here, host(tmp_path, posture=Posture.TLS, key_store=str(keys), trust_store=str(path))).stores
    assert len(json.dumps(here.answer)) < 4_000_000
    assert found.quorum_trust and found.quorum_trust.problem.startswith("too large")


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=60) | st.lists(st.sampled_from([0x30, 0x03, 0x82, 0x80, 0, 1, 2, 0xFF]), max_size=40).map(bytes)
)
def test_any_bytes_are_no_exception(der: bytes) -> None:
    assert shaped(der) in (True, False)
    blocks(der.decode("latin-1"))


LINES = [
    "-----BEGIN CERTIFICATE-----",
    "-----END CERTIFICATE-----",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*LINES, *CERT.splitlines(), *SECRETS[0].splitlines(), "", "x: y"]), max_size=25))
def test_lines_in_any_order_let_no_key_out(lines: list[str]) -> None:
    form, certificates, _ = blocks("\n".join(lines))
    assert form in ("none", "pkcs8")
    assert all(shaped(base64.b64decode("".join(c.splitlines()[1:-1]))) for c in certificates)
    assert not set(certificates) or set(certificates) == set(blocks(CERT)[1])


def test_ssl_is_imported_only_for_a_key_store(tmp_path: Path) -> None:
    """Importing it takes longer than the whole look of a plain ensemble."""

    def loaded(name: str) -> bool:
        one = host(tmp_path, posture=Posture.QUORUM, key_store=str(tmp_path / "keys.pem")) if name else host(tmp_path)
        from zkprov.observe.remote import arguments_of

        text = (
            f"ARGUMENTS = {arguments_of(one)!r}\n{program('look')}\nsys.stdout.write('\\n' + str('ssl' in sys.modules))"
        )
        done = subprocess.run([sys.executable, "-I", "-S", "-"], input=text, text=True, capture_output=True, check=True)
        return done.stdout.endswith("True")

    lay(tmp_path, "keys.pem", key_pem(key("server")), CERT)
    assert loaded("keys.pem")
    assert not loaded("")


def test_a_reading_is_a_value(tmp_path: Path) -> None:
    keys, trust = read(tmp_path, key_pem(key("server")), CERT)
    assert msgspec.json.decode(msgspec.json.encode(keys), type=KeyStore) == keys
    assert msgspec.json.decode(msgspec.json.encode(trust), type=TrustStore) == trust


def test_the_program_is_python_3_6() -> None:
    ast.parse(program("stores"), feature_version=(3, 6))


def test_the_stores_of_a_host_that_is_not_reached_are_unread(tmp_path: Path) -> None:
    class Gone(Here):
        def run(self, host: Any, *_: Any, **__: Any) -> Any:
            raise Unreached("no answer", outcome=Outcome.TIMEOUT.value, place=host.name, remedy="is it up?")

    named = {"posture": Posture.QUORUM, "key_store": "/k.pem", "trust_store": "/t.pem"}
    stores = look_remote(Gone(), host(tmp_path, **named)).stores
    assert stores.quorum_keys and stores.quorum_keys.problem == "no answer (is it up?)"
    assert stores.quorum_trust and stores.quorum_trust.problem == "no answer (is it up?)"
    assert stores.client_keys is None
