"""The AdminServer's documents, as ZooKeeper 3.9.5 writes them, and every way in which they can be wrong."""

from __future__ import annotations

from http.client import HTTPMessage

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkprov.model.facts import LeaderView, Outcome, ZabState
from zkprov.observe.adminserver import (
    PARSERS,
    check_status,
    parse_hash,
    parse_leader,
    parse_voting_view,
    parse_zabstate,
)
from zkprov.observe.dial import Unanswered

# copied from a running server, the addresses shortened
ZABSTATE = b"""{ "myid" : 3, "is_leader" : true, "quorum_address" : { "all_addresses" : [ "127.0.0.1:38479" ], "empty" : false },
  "client_address" : "127.0.0.1:41623", "voting" : true, "last_zxid" : "0x10000012e", "zab_epoch" : 1, "zab_counter" : 302,
  "zabstate" : "broadcast", "command" : "zabstate", "error" : null }"""
LEADER = b'{ "is_leader" : true, "leader_id" : 3, "leader_ip" : "127.0.0.1", "command" : "leader", "error" : null }'
VOTING_VIEW = b"""{ "current_config" : {
  "2" : { "server_addresses" : [ "127.0.0.1:56895" ], "client_address" : "127.0.0.1:40939", "learner_type" : "participant" },
  "1" : { "server_addresses" : [ "127.0.0.1:51231" ], "client_address" : "127.0.0.1:43877", "learner_type" : "participant" } },
  "command" : "voting_view", "error" : null }"""
HASH = b"""{ "digests" : [ { "zxid" : 4294967424, "digest" : 7579001057, "digest_version" : 2 },
  { "zxid" : 4294967552, "digest" : -5, "digest_version" : 2 } ], "command" : "hash", "error" : null }"""
BODIES = {"zabstate": ZABSTATE, "leader": LEADER, "voting_view": VOTING_VIEW, "hash": HASH}
COMMANDS = sorted(BODIES)


def outcome(command: str, body: bytes) -> Outcome:
    try:
        PARSERS[command](body)
    except Unanswered as reason:
        assert reason.detail
        return reason.outcome
    return Outcome.OK


def test_values() -> None:
    assert parse_zabstate(ZABSTATE) == ZabState(3, True, 1, 0x10000012E, "BROADCAST")
    assert parse_leader(LEADER) == LeaderView(True, 3, "127.0.0.1")
    assert parse_voting_view(VOTING_VIEW) == (1, 2)
    assert parse_hash(HASH).by_zxid == {4294967424: 7579001057, 4294967552: -5}


@pytest.mark.parametrize("command", COMMANDS)
def test_errors_that_arrive_as_success(command: str) -> None:
    def error(text: str) -> bytes:
        return msgspec.json.encode({"command": command, "error": text})

    assert outcome(command, error("This ZooKeeper instance is not currently serving requests")) is Outcome.NOT_SERVING
    assert outcome(command, error(f"Unknown command: {command}")) is Outcome.CLOSED
    assert outcome(command, error("server is not initialized")) is Outcome.ABSENT


def test_a_server_without_quorum_has_an_empty_zabstate() -> None:
    assert (
        outcome("zabstate", b'{"voting": false, "zabstate": "", "command": "zabstate", "error": null}')
        is Outcome.NOT_SERVING
    )


def test_a_standalone_server_has_no_voters() -> None:
    assert parse_voting_view(b'{"current_config": {}, "command": "voting_view", "error": null}') == ()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"42",
        b"<html>",
        b'{"error": null}',
        b'{"command": "x", "error": 5}',
        b'{"command":"x","error":null}{}',
    ],
)
def test_other_documents_are_junk(command: str, body: bytes) -> None:
    expected = {Outcome.JUNK}
    if body.startswith(b'{"command"') and command == "zabstate":
        expected = {Outcome.JUNK, Outcome.NOT_SERVING}
    assert outcome(command, body) in expected


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        ("zabstate", b'"myid" : 3', b'"myid" : "3"'),
        ("zabstate", b'"broadcast"', b'"dancing"'),
        ("zabstate", b'"0x10000012e"', b'"10000012e"'),
        ("zabstate", b'"zab_epoch" : 1', b'"zab_epoch" : 1e99'),
        ("leader", b'"leader_id" : 3', b'"leader_id" : 99999999999999999999999'),
        ("leader", b'"is_leader" : true', b'"is_leader" : "yes"'),
        ("voting_view", b'"2" :', b'"two" :'),
        ("hash", b'"zxid" : 4294967424', b'"zxid" : null'),
        ("hash", b'"digests" : [', b'"digests" : [ 5, '),
    ],
)
def test_wrong_types_are_junk(command: str, old: bytes, new: bytes) -> None:
    assert outcome(command, BODIES[command].replace(old, new)) is Outcome.JUNK


@pytest.mark.parametrize("command", COMMANDS)
def test_deep_nesting_is_junk(command: str) -> None:
    deep = b'{"command": "x", "error": null, "current_config": {"1": ' + b"[" * 200_000 + b"]" * 200_000 + b"}}"
    assert outcome(command, deep) in {Outcome.JUNK, Outcome.NOT_SERVING}
    assert outcome(command, b"[" * 1_000_000) is Outcome.JUNK


@given(st.sampled_from(COMMANDS), st.binary(max_size=300))
def test_any_bytes_have_an_outcome(command: str, body: bytes) -> None:
    assert outcome(command, body) is Outcome.JUNK


@given(st.sampled_from(COMMANDS), st.data())
def test_mutated_documents_have_an_outcome(command: str, data: st.DataObject) -> None:
    body = bytearray(BODIES[command])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    outcome(command, bytes(body))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, b"", Outcome.DENIED),
        (403, b"", Outcome.DENIED),
        (404, b"", Outcome.CLOSED),
        (302, b"", Outcome.JUNK),
        (500, b"<html>nginx</html>", Outcome.JUNK),
        (500, b"servlet: org.apache.zookeeper.server.admin.JettyAdminServer$CommandServlet", Outcome.NOT_SERVING),
        (204, b"", Outcome.JUNK),
    ],
)
def test_statuses(status: int, body: bytes, expected: Outcome) -> None:
    with pytest.raises(Unanswered) as caught:
        check_status(status, HTTPMessage(), body)
    assert caught.value.outcome is expected
    check_status(200, HTTPMessage(), body)
