"""Peers for surveys that no ZooKeeper would be on request: stubs on local ports, each with the behaviour that a test gives it."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from kazoo.protocol import serialization as wire

from zkprov.model.facts import Fact, ServerFacts
from zkprov.model.server import HostPort
from zkprov.observe.survey import Target, take_survey

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WORDS = ("srvr", "mntr", "conf", "cons")
SRVR = b"Zookeeper version: 3.9.5-1, built on x\nConnections: 1\nZxid: 0x100000002\nMode: follower\nNode count: 7\n"
TIMEOUT_S = 1.0


class Stubs:
    """Local listeners with the behaviour that a test gives them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.began = time.monotonic()

    def listen(self, handler: Handler) -> HostPort:
        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handler(reader, writer)
            writer.close()

        async def start() -> int:
            server = await asyncio.start_server(guarded, "127.0.0.1", 0, backlog=1000)
            return int(server.sockets[0].getsockname()[1])

        return HostPort("127.0.0.1", asyncio.run_coroutine_threadsafe(start(), self._loop).result(5))


@pytest.fixture
def stubs() -> Iterator[Stubs]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield Stubs(loop)

    async def end() -> None:
        rest = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(end(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


def says(data: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        writer.write(data)
        await writer.drain()

    return handler


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def one(client: HostPort | None = None, admin: HostPort | None = None, timeout_s: float = TIMEOUT_S) -> ServerFacts:
    began = time.monotonic()
    survey = take_survey([Target("zk1", client, admin)], ensemble="test", timeout_s=timeout_s)
    assert time.monotonic() - began < timeout_s + 0.7
    (server,) = survey.servers
    for fact in facts_of(server):
        assert "unexpected" not in fact.detail, fact
    return server


def facts_of(server: ServerFacts) -> list[Fact[object]]:
    return [v for name in server.__struct_fields__ if isinstance(v := getattr(server, name), Fact)]


def frame(data: bytes) -> bytes:
    return struct.pack("!i", len(data)) + data


def welcome() -> bytes:
    return frame(struct.pack("!iiq", 0, 10_000, 0x1234) + wire.write_buffer(bytes(16)) + b"\0")


async def request(reader: asyncio.StreamReader) -> tuple[int, int, str]:
    """xid, operation and path of the next request."""
    (size,) = struct.unpack("!i", await reader.readexactly(4))
    data = await reader.readexactly(size)
    xid, operation = struct.unpack_from("!ii", data)
    return xid, operation, wire.read_string(data, 8)[0] or "" if size > 12 else ""


async def opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answers as ZooKeeper up to an open session; False for a four letter word."""
    head = await reader.readexactly(4)
    if head.decode("latin-1") in WORDS:
        return False
    await reader.readexactly(struct.unpack("!i", head)[0])
    writer.write(welcome())
    return True


def tree(nodes: dict[str, bytes], ephemeral: frozenset[str] = frozenset()) -> Handler:
    """A server that holds `nodes`; the n-th has czxid and ctime n."""

    def stat(path: str) -> bytes:
        n = list(nodes).index(path) + 1
        owner = 77 if path in ephemeral else 0
        return struct.pack("!qqqqiiiqiiq", n, n, n, n, 0, 0, 0, owner, 0, 0, 0)

    def answer(operation: int, path: str) -> bytes | None:
        below = [p[len(path.rstrip("/")) + 1 :] for p in nodes if p.startswith(path.rstrip("/") + "/")]
        if path not in nodes and not below:
            return None
        if operation == wire.GetChildren.type:
            names = sorted({b.split("/")[0] for b in below})
            return struct.pack("!i", len(names)) + b"".join(wire.write_string(n) for n in names)
        known = stat(path) if path in nodes else bytes(68)
        return known if operation == wire.Exists.type else wire.write_buffer(nodes.get(path, b"")) + known

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await opened(reader, writer):
            while True:
                xid, operation, path = await request(reader)
                if operation == wire.Close.type:
                    return
                body = answer(operation, path)
                writer.write(frame(struct.pack("!iqi", xid, 1, -101 if body is None else 0) + (body or b"")))

    return handler


def config(*servers: str) -> dict[str, bytes]:
    return {"/zookeeper/config": ("\n".join(servers) + "\nversion=100000000").encode()}
