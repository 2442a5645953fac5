"""Secrets in files: none is shown, none is in what is compared, and yet two are seen to be equal or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkprov.model.config import HIDDEN
from zkprov.model.hiding import NOT_SHOWN, Seal, shown
from zkprov.model.problems import BadInput

SEAL = Seal(b"k")
CANARY = "c4nary"
HOLDERS = [
    ("zoo.cfg", "ssl.keyStore.password={}\n"),
    ("zoo.cfg", "ssl.keyStore.password = \\\n   {}\n"),
    ("zoo.cfg", "ssl.keyStore.password {}\n"),
    ("zoo.cfg", "#ssl.keyStore.password={}\n"),
    ("zoo.cfg", "  ! # DigestAuthenticationProvider.superDigest : super:{}\n"),
    ("jvm_flags", "-Dzookeeper.DigestAuthenticationProvider.superDigest=super:{}\n"),
    ("jvm_flags", ' "-Dssl.keyStore.password={} x"\n'),
    ("unit", "[Service]\nEnvironment=KEYSTORE_PASSWORD={}\n"),
    ("unit", '[Service]\nEnvironment="A=b" "KEYSTORE_PASSWORD=a {} c"\nUser=zookeeper\n'),
    ("unit", "[Service]\nExecStart=java -Dx.password=\\\n  {}\\\n -cp x\nUser=zookeeper\n"),
    ("logback.xml", "<password>{}</password>\n"),
    ("logback.xml", '<smtpPassword a="b">\n  {}\n</smtpPassword>\n'),
    ("logback.xml", '<property name="smtp.password" value="{}"/>\n'),
]


@pytest.mark.parametrize(("name", "text"), HOLDERS)
def test_a_secret_is_neither_shown_nor_sealed_in_words(name: str, text: str) -> None:
    with_it = text.format(CANARY)
    sealed = SEAL.text(name, with_it)
    for told in (shown(name, with_it), sealed, shown(name, sealed)):
        assert CANARY not in told
    assert HIDDEN in shown(name, with_it) and HIDDEN in shown(name, sealed)
    assert "(hidden:" not in shown(name, sealed)


@pytest.mark.parametrize(("name", "text"), [h for h in HOLDERS if not h[1].lstrip().startswith(("#", "!"))])
def test_sealed_secrets_are_equal_when_they_are(name: str, text: str) -> None:
    one, same, other = (SEAL.text(name, text.format(secret)) for secret in (CANARY, CANARY, "another"))
    assert one == same != other
    assert Seal(b"another command").text(name, text.format(CANARY)) != one


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"), min_size=12))
def test_no_secret_survives(secret: str) -> None:
    for name, text in (
        ("zoo.cfg", f"a=b\nssl.trustStore.password={secret}\nc=d\n"),
        ("jvm_flags", f"-Dsecret={secret}\n"),
    ):
        assert secret not in shown(name, text).replace(HIDDEN, "")
        assert secret not in SEAL.text(name, text)


def test_what_is_no_secret_stands_as_it_is() -> None:
    for name, text in (
        ("zoo.cfg", "# a comment\nssl.keyStore.location=/etc/zookeeper/key.pem\ntickTime = 2000\n"),
        ("jvm_flags", "-Xmx1g\n-Dzookeeper.x=y\n"),
        ("unit", "[Service]\nExecStart=java -Xmx1g \\\n  -cp x\n"),
        ("logback.xml", '<configuration>\n<root level="WARN"/>\n</configuration>\n'),
        ("myid", "1\n"),
    ):
        assert shown(name, text) == SEAL.text(name, text) == text


def test_what_cannot_be_read_is_not_shown() -> None:
    assert shown("zoo.cfg", "password=\\uZZZZ c4nary\n") == NOT_SHOWN
    with pytest.raises(BadInput):
        SEAL.text("zoo.cfg", "password=\\uZZZZ\n")
