"""Sessions, and what is read through them, against servers whose replies are odd, and trees that are made up.

Stubs, because no ZooKeeper sends broken replies on request; what real servers say is in tests/real/test_survey.py.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import pytest
from kazoo.protocol import serialization as wire

from tests.unit.peers import TIMEOUT_S, WORDS, Stubs, config, frame, one, opened, request, stubs, tree
from zkprov.model.facts import Outcome
from zkprov.model.server import HostPort
from zkprov.observe import znodes
from zkprov.observe.sessions import Sessions
from zkprov.observe.survey import Target, take_survey

__all__ = ["stubs"]  # the fixture


REPLIES: dict[str, tuple[Callable[[int], bytes], Outcome]] = {
    "junk": (lambda xid: frame(struct.pack("!iqi", xid, 1, 0) + b"\x7f\xff\xff\xff"), Outcome.JUNK),
    "no header": (lambda xid: frame(b"\0"), Outcome.JUNK),
    "a negative length": (lambda xid: b"\xff\xff\xff\xff", Outcome.JUNK),
    "2 GB": (lambda xid: b"\x7f\x00\x00\x00", Outcome.TOO_LARGE),
    "an unknown error": (lambda xid: frame(struct.pack("!iqi", xid, 1, -9999)), Outcome.JUNK),
    "no right": (lambda xid: frame(struct.pack("!iqi", xid, 1, -102)), Outcome.DENIED),
    "another request's": (lambda xid: frame(struct.pack("!iqi", xid + 1000, 1, 0)), Outcome.TIMEOUT),
    "no such znode": (lambda xid: frame(struct.pack("!iqi", xid, 1, -101)), Outcome.ABSENT),
}


@pytest.mark.parametrize("reply", sorted(REPLIES))
def test_a_session_whose_replies_are_odd(stubs: Stubs, reply: str) -> None:
    make, expected = REPLIES[reply]

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await opened(reader, writer):
            while True:
                xid, _, _ = await request(reader)
                writer.write(make(xid))

    server = one(client=stubs.listen(handler))
    assert server.config.outcome is expected, server.config
    assert server.ledger.outcome is expected, server.ledger


def test_a_look_asks_only_reading_operations(stubs: Stubs) -> None:
    seen: set[int] = set()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await opened(reader, writer):
            while True:
                xid, operation, _ = await request(reader)
                seen.add(operation)
                writer.write(frame(struct.pack("!iqi", xid, 1, 0 if operation == -11 else -101)))

    one(client=stubs.listen(handler))
    assert seen <= {wire.Exists.type, wire.GetData.type, wire.GetChildren.type, wire.Close.type}
    assert wire.Close.type in seen


def test_identity_is_the_ledgers_else_the_brokers_else_the_first_permanent_znode(stubs: Stubs) -> None:
    def identity(*paths: str, ephemeral: tuple[str, ...] = ()) -> str | Outcome:
        fact = one(client=stubs.listen(tree(dict.fromkeys(paths, b""), frozenset(ephemeral)))).identity
        return fact.value.path if fact.value else fact.outcome

    assert identity("/a", "/cluster/id", "/zkprov/ensemble") == "/zkprov/ensemble"
    assert identity("/a", "/cluster/id") == "/cluster/id"
    assert identity("/zookeeper", "/c", "/b", "/a", ephemeral=("/a",)) == "/b"
    assert identity("/zookeeper", "/a", ephemeral=("/a",)) is Outcome.ABSENT


def test_the_ledger_is_read_and_a_broken_entry_is_named(stubs: Stubs) -> None:
    member = znodes.MemberDocument(disk="d", confirmed=0x100000007, seasoned=True)
    retired = znodes.RetiredDocument(id=9, host="zk9", client=HostPort("zk9", 2181), fate="wiped")
    nodes = {
        "/zkprov": b"",
        "/zkprov/ensemble": znodes.EnsembleDocument(uuid="u-1").encode(),
        "/zkprov/members/4": member.encode(),
        "/zkprov/members/5": b"{",
        "/zkprov/members/six": member.encode(),
        "/zkprov/retired/9": retired.encode(),
        "/zkprov/lock/a__lock__0000000009": b"late",
        "/zkprov/lock/b__lock__0000000002": b"ann@host",
        "/zkprov/paused": b"",
    }
    ledger = one(client=stubs.listen(tree(nodes, frozenset(p for p in nodes if "/lock/" in p)))).ledger
    assert ledger.value is not None
    assert ledger.value.uuid == "u-1"
    assert ledger.value.members == {4: member.member(3)}
    assert ledger.value.retired == (retired.retired(6),)
    assert ledger.value.lock_holder == "ann@host"
    assert ledger.value.paused
    assert ledger.value.now_ms == 9
    assert "/zkprov/members/5" in ledger.detail
    assert "/zkprov/members/six" in ledger.detail


def test_a_ledger_of_a_newer_zkprov_is_not_guessed_at(stubs: Stubs) -> None:
    nodes = {"/zkprov": b"", "/zkprov/ensemble": b'{"format": 2, "zkprov": "9.1", "uuid": {"new": "shape"}}'}
    ledger = one(client=stubs.listen(tree(nodes))).ledger
    assert ledger.value is None
    assert "zkprov 9.1" in ledger.detail


def test_sessions_are_kept_between_surveys_and_lost_ones_opened_again(stubs: Stubs) -> None:
    opened_sessions = 0
    writers: list[asyncio.StreamWriter] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened_sessions
        head = await reader.readexactly(4)
        if head.decode("latin-1") in WORDS:
            return
        opened_sessions += 1
        writers.append(writer)
        inner = asyncio.StreamReader()
        inner.feed_data(head)

        async def pump() -> None:
            while part := await reader.read(4096):
                inner.feed_data(part)
            inner.feed_eof()

        await asyncio.gather(pump(), tree(config("server.1=127.0.0.1:1:2:participant"))(inner, writer))

    target = Target("a", stubs.listen(handler))
    with Sessions() as sessions:
        for _ in range(3):
            (server,) = take_survey(
                [target], ensemble="t", timeout_s=TIMEOUT_S, sessions=sessions, discover=False
            ).servers
            assert server.config.value is not None
        assert opened_sessions == 1
        writers[0].transport.abort()
        (server,) = take_survey([target], ensemble="t", timeout_s=TIMEOUT_S, sessions=sessions, discover=False).servers
        assert server.config.value is not None
        assert opened_sessions == 2
    assert sessions.own_ids == {"0x1234"}
