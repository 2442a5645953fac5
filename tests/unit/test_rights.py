"""ACLs: nobody loses a right unasked, anybody may go on reading, and a hash is shown to nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkprov.model.problems import BadInput
from zkprov.model.rights import ALL, ANYONE, READ, WRITE, Identity, Right, lost, parse_identity, widened, writers
from zkprov.observe.identities import hashed

OPS = Identity("digest", "ops:" + "A" * 27 + "=")
KAFKA = Identity("sasl", "kafka")
ACLS = st.lists(
    st.builds(Right, st.sampled_from([ANYONE, OPS, KAFKA, Identity("x509", "CN=a")]), st.integers(1, ALL)), max_size=5
).map(tuple)


@given(ACLS, st.sampled_from([OPS, KAFKA]), st.sampled_from([READ | WRITE, ALL]))
def test_nobody_loses_anything_unasked_and_twice_is_once(acl: tuple[Right, ...], who: Identity, perms: int) -> None:
    after = widened(acl, who, perms)
    has = {r.who: r.perms for r in after}
    assert has[who] & perms == perms and has[ANYONE] & READ
    assert all(has[r.who] & r.perms == r.perms for r in acl) and not lost(acl, after)
    assert widened(after, who, perms) == after and len(has) == len(after)


@given(ACLS)
def test_to_replace_leaves_one_who_writes(acl: tuple[Right, ...]) -> None:
    after = widened(acl, KAFKA, READ | WRITE, replace=True)
    assert {r.who for r in after} == {ANYONE, KAFKA} and Right(ANYONE, READ) in after
    assert all(r.who != KAFKA for r in lost(acl, after))
    assert {r.who for r in lost(acl, after)} >= {r.who for r in acl if r.who not in (ANYONE, KAFKA)}


def test_how_it_is_shown() -> None:
    """The hash could be tried out by whoever sees it."""
    assert [str(Right(OPS, READ | WRITE)), str(Right(ANYONE, READ)), str(Right(KAFKA, ALL))] == [
        "digest:ops rw", "world:anyone r", "sasl:kafka cdrwa"
    ]  # fmt: skip
    assert str(Identity("x509", "CN=zkprov,O=Example")) == "x509:CN=zkprov,O=Example"


def test_who_writes_the_list_writes_the_ledger() -> None:
    masked = Identity("digest", "ops:x")
    assert masked.masked and not OPS.masked
    acl = (Right(ANYONE, ALL), Right(OPS, READ | WRITE), Right(KAFKA, READ), Right(masked, WRITE))
    assert writers(acl) == (Right(OPS, ALL),)


def test_who_is_named_on_the_command_line() -> None:
    """As ZooKeeper's `DigestAuthenticationProvider.generateDigest("super:admin")` documents it."""
    assert hashed("super:admin") == "super:xQJmxLMiHGwaqBvst5y6rkB6HQs="
    assert parse_identity("digest:" + hashed("super:admin")).id.startswith("super:")
    assert parse_identity("x509:CN=a,O=b") == Identity("x509", "CN=a,O=b")
    for text in ("", "kafka", "sasl:", "world:anyone", "auth:", "sasl:a\nb", "digest:ops:c4nary"):
        with pytest.raises(BadInput) as refused:
            parse_identity(text)
        assert "c4nary" not in str(refused.value)
