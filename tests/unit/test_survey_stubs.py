"""The survey against peers that real servers cannot be made to be: junk, half, late, endless, dripping, reset, deaf, of another protocol.

Stubs on local ports, because no ZooKeeper sends these on request; what real servers say is in tests/real/test_survey.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import struct
import threading
import time

import pytest

from tests.unit.peers import (
    SRVR,
    TIMEOUT_S,
    WORDS,
    Handler,
    Stubs,
    config,
    deaf,
    facts_of,
    one,
    says,
    stubs,
    tree,
)
from zkprov.model.facts import Disk, Fact, Outcome
from zkprov.model.server import ClientAddress, HostPort, Server, ServerAddress
from zkprov.observe.dial import MAX_SOCKETS, sockets_at_once
from zkprov.observe.survey import Target, client_of, take_survey

__all__ = ["stubs"]  # the fixture


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def half_then_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4)
    writer.write(SRVR)
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4)
    for _ in range(50):
        writer.write(b"x" * 1_000_000)
        await writer.drain()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4)
    for byte in SRVR:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


PEERS: dict[str, tuple[Handler, set[Outcome]]] = {
    "junk": (says(bytes(range(256)) * 4), {Outcome.JUNK}),
    "an HTTP server": (says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), {Outcome.JUNK}),
    "a TLS alert": (says(b"\x15\x03\x03\x00\x02\x02\x46"), {Outcome.JUNK}),
    "nothing": (says(b""), {Outcome.TRUNCATED}),
    "a reset": (reset, {Outcome.TRUNCATED}),
    "never": (deaf, {Outcome.TIMEOUT}),
    "a drip": (drip, {Outcome.TIMEOUT}),
    "50 MB": (endless, {Outcome.TOO_LARGE, Outcome.JUNK}),
}


@pytest.mark.parametrize("peer", sorted(PEERS))
def test_a_peer_that_is_no_zookeeper_is_a_fact_for_every_question(stubs: Stubs, peer: str) -> None:
    handler, expected = PEERS[peer]
    at = stubs.listen(handler)
    server = one(client=at, admin=at)
    for fact in facts_of(server):
        if fact.source in ("disk", "probe"):
            continue
        assert fact.outcome in expected, fact
        assert str(at) in fact.source
        assert 0 < fact.at <= TIMEOUT_S + 0.5
        assert fact.detail
    assert not server.serving
    assert not server.up


def test_50_mb_are_not_read(stubs: Stubs) -> None:
    sent = 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        if await reader.read(4) != b"srvr":
            return
        for _ in range(500):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    assert one(client=stubs.listen(counting)).srvr.outcome is Outcome.TOO_LARGE
    assert sent < 25_000_000  # what both kernels buffer included


def test_a_whole_answer_before_a_reset_is_not_believed(stubs: Stubs) -> None:
    assert one(client=stubs.listen(half_then_reset)).srvr.outcome is Outcome.TRUNCATED


def test_refused_unresolvable_and_nothing_to_ask() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    refused = one(client=HostPort("127.0.0.1", port))
    assert refused.srvr.outcome is Outcome.REFUSED
    assert refused.config.outcome is Outcome.REFUSED
    unresolvable = one(client=HostPort("no-such-host.invalid", 2181))
    assert unresolvable.srvr.outcome in {Outcome.REFUSED, Outcome.TIMEOUT}
    assert "no-such-host.invalid" in unresolvable.srvr.detail
    nothing = one()
    assert {f.outcome for f in facts_of(nothing)} == {Outcome.NOT_ASKED}


def test_only_srvr_and_no_session(stubs: Stubs) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        word = (await reader.read(4)).decode("latin-1")
        if word == "srvr":
            writer.write(SRVR)
        elif word in WORDS:
            writer.write(f"{word} is not executed because it is not in the whitelist.\n".encode())

    server = one(client=stubs.listen(handler))
    assert server.srvr.value is not None
    assert {server.mntr.outcome, server.conf.outcome, server.cons.outcome} == {Outcome.CLOSED}
    assert server.config.outcome is Outcome.TRUNCATED
    assert server.zabstate.outcome is Outcome.NOT_ASKED
    assert server.serving


def test_when_a_question_was_begun_and_when_its_answer_was_whole(stubs: Stubs) -> None:
    """The identity is asked for only when the session is open: what `srvr` told before was told before it was asked."""
    behave = tree({"/zkprov/ensemble": b""})

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await behave(reader, writer)

    server = one(client=stubs.listen(slow))
    assert server.identity.value is not None
    assert 0.2 <= server.identity.asked <= server.identity.at
    assert server.srvr.asked + 0.2 <= server.srvr.at


def test_a_server_without_quorum_says_so_for_sessions_too(stubs: Stubs) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.read(4)).decode("latin-1") in WORDS:
            writer.write(b"This ZooKeeper instance is not currently serving requests\n")

    server = one(client=stubs.listen(handler))
    assert server.srvr.outcome is server.config.outcome is server.identity.outcome is Outcome.NOT_SERVING
    assert server.up
    assert not server.serving


HTTP = b"HTTP/1.1 200 OK\r\n"
ADMINS: dict[str, tuple[bytes, Outcome]] = {
    "wrong length, too long": (HTTP + b"Content-Length: 500\r\n\r\n{}", Outcome.TRUNCATED),
    "wrong length, no number": (HTTP + b"Content-Length: -1\r\n\r\n{}", Outcome.JUNK),
    "4 GB announced": (HTTP + b"Content-Length: 4294967296\r\n\r\n{}", Outcome.TOO_LARGE),
    "ends within headers": (HTTP + b"Content-Le", Outcome.TRUNCATED),
    "ends within status": (b"HTTP/1.1 20", Outcome.TRUNCATED),
    "endless header": (HTTP + b"X: " + b"y" * 200_000, Outcome.JUNK),
    "many headers": (HTTP + b"X: y\r\n" * 200_000, Outcome.TOO_LARGE),
    "200 headers": (HTTP + b"X: y\r\n" * 200 + b"\r\n{}", Outcome.JUNK),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", Outcome.JUNK),
    "HTML": (HTTP + b"\r\n<html>", Outcome.JUNK),
    "deep nesting": (HTTP + b"\r\n" + b"[" * 3_000_000, Outcome.JUNK),
    "deep nesting in a field": (HTTP + b'\r\n{"command":"x","x":' + b'{"a":' * 500_000, Outcome.JUNK),
    "an error": (HTTP + b'\r\n{"command":"x","error":"Unknown command: x"}', Outcome.CLOSED),
}


@pytest.mark.parametrize("answer", sorted(ADMINS))
def test_an_adminserver_that_answers_oddly(stubs: Stubs, answer: str) -> None:
    data, expected = ADMINS[answer]

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()

    server = one(admin=stubs.listen(handler))
    assert {f.outcome for f in (server.zabstate, server.leader, server.voting_view, server.hash)} == {expected}


def test_an_answer_ends_where_its_length_says_though_the_connection_stays(stubs: Stubs) -> None:
    body = json.dumps(
        {"is_leader": False, "leader_id": 3, "leader_ip": "", "command": "leader", "error": None}
    ).encode()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HTTP + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await asyncio.sleep(60)

    leader = one(admin=stubs.listen(handler)).leader
    assert leader.value is not None
    assert leader.value.leader_id == 3
    assert leader.at < TIMEOUT_S / 2


def test_members_that_are_named_are_asked_by_the_same_deadline(stubs: Stubs) -> None:
    silent = stubs.listen(deaf)
    second = stubs.listen(tree({"/app": b""}))
    first = stubs.listen(
        tree(
            config(
                "server.1=127.0.0.1:1:2:participant;127.0.0.1:1",
                f"server.2=127.0.0.1:3:4:participant;{second.port}",
                f"server.7=127.0.0.1:6:7:observer;0.0.0.0:{silent.port}",
                "server.8=192.0.2.8:6:7:participant;127.0.0.1:2181",
                "server.9=192.0.2.9:6:7:participant",
            )
        )
    )
    began = time.monotonic()
    survey = take_survey([Target("a", first, known_as=("connect",))], ensemble="t", timeout_s=TIMEOUT_S)
    assert time.monotonic() - began < TIMEOUT_S + 0.7
    by_id = {s.id: s for s in survey.servers}
    assert by_id[2].client == second
    assert by_id[2].known_as == ("named by a",)
    assert by_id[2].identity.value is not None
    assert by_id[7].srvr.outcome is Outcome.TIMEOUT
    # a loopback client address of another machine would be a server of ours
    assert by_id[8].client is None
    assert "127.0.0.1 only" in by_id[8].srvr.detail
    assert by_id[9].client is None
    assert by_id[9].srvr.outcome is Outcome.NOT_ASKED
    assert len(take_survey([Target("a", first)], ensemble="t", timeout_s=TIMEOUT_S, discover=False).servers) == 1


def test_a_member_under_another_name_is_not_asked_twice(stubs: Stubs) -> None:
    ports: list[int] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await tree(config(f"server.3=127.0.0.1:1:2:participant;127.0.0.1:{ports[0]}"))(reader, writer)

    at = stubs.listen(handler)
    ports.append(at.port)
    survey = take_survey([Target("a", HostPort("localhost", at.port))], ensemble="t", timeout_s=TIMEOUT_S)
    (server,) = survey.servers
    assert server.id == 3  # by the list, since nothing else says it


def test_targets_of_one_endpoint_are_merged(stubs: Stubs) -> None:
    at = stubs.listen(says(SRVR))
    targets = [Target("a", at, known_as=("member",)), Target("b", at, at, 4, ("inventory", "member"))]
    (server,) = take_survey(targets, ensemble="t", timeout_s=TIMEOUT_S).servers
    assert (server.name, server.known_as, server.expected_id, server.admin) == ("a", ("member", "inventory"), 4, at)


@pytest.mark.parametrize(
    ("address", "client", "expected"),
    [
        ("10.0.0.1", ClientAddress(2181), HostPort("10.0.0.1", 2181)),
        ("10.0.0.1", ClientAddress(2181, "0.0.0.0"), HostPort("10.0.0.1", 2181)),
        ("fd00::1", ClientAddress(2181, "::"), HostPort("fd00::1", 2181)),
        ("10.0.0.1", ClientAddress(2181, "10.9.9.9"), HostPort("10.9.9.9", 2181)),
        ("127.0.0.1", ClientAddress(2181, "localhost"), HostPort("localhost", 2181)),
        ("192.0.2.1", ClientAddress(2181, "127.0.0.1"), None),
        ("zk1.invalid", ClientAddress(2181, "::1"), None),
        ("10.0.0.1", None, None),
    ],
)
def test_where_a_member_serves_clients(address: str, client: ClientAddress | None, expected: HostPort | None) -> None:
    at, why = client_of(Server(1, (ServerAddress(address, 2888, 3888),), client=client))
    assert at == expected
    assert bool(why) == (expected is None)


def test_disks_that_fail_hang_or_answer() -> None:
    stuck = threading.Event()

    def broken() -> Fact[Disk]:
        raise PermissionError(13, "Permission denied")

    def hanging() -> Fact[Disk]:
        stuck.wait(20)
        return Fact("late")

    found = Fact("disk@c", Outcome.OK, Disk(3, {}))
    targets = [Target("a", disk=broken), Target("b", disk=hanging), Target("c", disk=lambda: found)]
    began = time.monotonic()
    a, b, c = take_survey(targets, ensemble="t", timeout_s=0.5).servers
    assert time.monotonic() - began < 1.5
    stuck.set()
    assert a.disk.outcome is Outcome.DENIED
    assert "denied" in a.disk.detail.lower()
    assert b.disk.outcome is Outcome.TIMEOUT
    assert c.id == 3


def test_nothing_is_left_behind(stubs: Stubs) -> None:
    targets = [Target(n, at, at) for n, at in (("a", stubs.listen(deaf)), ("b", stubs.listen(tree(config()))))]
    before = (threading.active_count(), len(os.listdir("/proc/self/fd")))
    take_survey(targets, ensemble="t", timeout_s=0.3)
    assert threading.active_count() == before[0]
    until = time.monotonic() + 5  # the stubs' own ends close when they have noticed
    while len(os.listdir("/proc/self/fd")) > before[1] + 10 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) <= before[1] + 10


def test_few_descriptors_are_enough(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    few = len(os.listdir("/proc/self/fd")) + 64 + 8
    monkeypatch.setattr(resource, "getrlimit", lambda _: (few, few))
    targets = [Target(f"s{i}", stubs.listen(says(SRVR))) for i in range(40)]
    survey = take_survey(targets, ensemble="t", timeout_s=5)
    assert all(s.srvr.value for s in survey.servers)


def test_the_soft_limit_is_raised_where_the_hard_one_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 100_000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    assert sockets_at_once() == MAX_SOCKETS
    ((soft, hard),) = asked
    assert MAX_SOCKETS < soft < hard == 100_000
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 512))
    assert 4 <= sockets_at_once() < 512
