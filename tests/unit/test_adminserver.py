"""The AdminServer's documents, as ZooKeeper 3.9.5 writes them, and every way in which they can be wrong."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkprov.model.facts import Digests, Fact, LeaderView, Outcome, ZabState
from zkprov.model.server import HostPort
from zkprov.observe.adminserver import (
    PARSERS,
    Connection,
    check_status,
    parse_hash,
    parse_leader,
    parse_voting_view,
    parse_zabstate,
)
from zkprov.observe.dial import Dialer, Unanswered

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
    assert parse_zabstate(ZABSTATE) == ZabState(3, True, 1, 0x10000012E, "BROADCAST", 41623)
    assert parse_leader(LEADER) == LeaderView(True, 3, "127.0.0.1")
    assert parse_voting_view(VOTING_VIEW) == (1, 2)
    assert parse_hash(HASH).by_zxid == {4294967424: 7579001057, 4294967552: -5}
    # of a server whose log has transactions twice (3.6.4 wrote it, 3.8.6 has replayed it)
    again = HASH.replace(b'"digests" : [ ', b'"digests" : [ { "zxid" : 4294967424, "digest" : 7 }, ')
    assert parse_hash(again) == Digests({4294967552: -5}, frozenset({4294967424}))
    same = HASH.replace(b'"digests" : [ ', b'"digests" : [ { "zxid" : 4294967424, "digest" : 7579001057 }, ')
    assert parse_hash(same) == parse_hash(HASH)


@pytest.mark.parametrize("address", [b"null", b'""', b'"127.0.0.1"', b'"fe80::1"', b'"zk1:123456"', b"5", b"{}"])
def test_a_client_address_without_a_port(address: bytes) -> None:
    """A server that serves TLS only may have none; the rest of its answer stands."""
    assert parse_zabstate(ZABSTATE.replace(b'"127.0.0.1:41623"', address)) == ZabState(
        3, True, 1, 0x10000012E, "BROADCAST"
    )


@pytest.mark.parametrize("host", [b"0.0.0.0", b"zk1", b"[::]", b"0:0:0:0:0:0:0:0", b""])
def test_the_port_for_clients(host: bytes) -> None:
    assert parse_zabstate(ZABSTATE.replace(b"127.0.0.1:41623", host + b":2181")).client_port == 2181


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
        check_status(status, {}, body)
    assert caught.value.outcome is expected
    check_status(200, {}, body)


class TestConnection:
    """Questions in turn over one connection, to a server that counts connections and answers as told."""

    @staticmethod
    def asked(answers: list[bytes]) -> tuple[list[Fact[LeaderView]], int]:
        """Three questions to a server that gives `answers` in turn over each connection, and then ends it."""
        connections = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(1)
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                for answer in answers:
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(answer)
            writer.close()

        async def ask() -> list[Fact[LeaderView]]:
            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                at = HostPort("127.0.0.1", server.sockets[0].getsockname()[1])
                connection, dialer = Connection(at), Dialer(2.0)
                try:
                    return [await connection.ask(dialer, "leader", parse_leader) for _ in range(3)]
                finally:
                    await connection.end()

        return asyncio.run(ask()), len(connections)

    KEPT = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n%b" % (len(LEADER), LEADER)

    @pytest.mark.parametrize(
        ("answers", "connections"),
        [
            ([KEPT] * 3, 1),
            ([KEPT.replace(b"keep-alive", b"close")] * 3, 3),
            ([b"HTTP/1.0 200 OK\r\n\r\n" + LEADER], 3),
            ([KEPT], 3),
        ],
        ids=["kept", "told that it ends", "ends without a length", "ended without a word"],
    )
    def test_every_question_is_answered(self, answers: list[bytes], connections: int) -> None:
        found, used = self.asked(answers)
        assert [f.value for f in found] == [parse_leader(LEADER)] * 3
        assert used == connections

    def test_half_an_answer_is_asked_for_again_on_a_connection_of_its_own(self) -> None:
        found, used = self.asked([self.KEPT, self.KEPT[:-5]])
        assert [f.outcome for f in found] == [Outcome.OK] * 3
        assert used == 3


def test_an_answer_to_another_question_is_none() -> None:
    with pytest.raises(Unanswered, match="which was not asked"):
        parse_leader(LEADER.replace(b'"leader"', b'"zabstate"'))
