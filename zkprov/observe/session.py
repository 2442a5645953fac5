"""One ZooKeeper session for looking, pinned to one server.

The bytes are kazoo's (`kazoo.protocol.serialization`), the connection is ours: a kazoo client costs three threads, tries again by itself
and cannot be cancelled; here a thousand servers cost one thread, a lost session is opened again only by the next look, and a
deadline ends everything. Sessions that act (reconfig, ledger, lock) are kazoo clients and live elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
import struct
from typing import Any

from kazoo.protocol import serialization as wire

from zkprov.model.digest_md5 import NOT_KNOWN, DigestMd5, Refused
from zkprov.model.facts import Outcome
from zkprov.model.server import HostPort
from zkprov.observe.dial import MAX_ANSWER, Dialer, Unanswered, unanswered

PING_XID = -2
AUTH_XID = -4
MAX_WELCOME = 4096
"""Bytes of the answer to a new session; ZooKeeper's has 41."""

CLOSE_S = 0.3
"""How long the end of a session waits for the server's word; the server ends the session without it too."""

# ZooKeeper's KeeperException.Code
ERRORS = {
    -4: (Outcome.TRUNCATED, "the connection was lost"),
    -6: (Outcome.CLOSED, "the server does not know this operation"),
    -101: (Outcome.ABSENT, "no such znode"),
    -102: (Outcome.DENIED, "not allowed to read it"),
    -110: (Outcome.CLOSED, "the znode exists"),
    -112: (Outcome.TRUNCATED, "the session expired"),
    -115: (Outcome.DENIED, "authentication failed"),
    -124: (Outcome.DENIED, "no session without authentication (enforce.auth.enabled)"),
}
NO_NODE = -101
NODE_EXISTS = -110


class ZooKeeperError(Unanswered):
    """An error code in a reply."""

    def __init__(self, code: int, path: str = "") -> None:
        outcome, text = ERRORS.get(code, (Outcome.JUNK, f"error {code}"))
        super().__init__(outcome, f"{path}: {text}" if path else text)
        self.code = code


class Session:
    """One session on one server. All methods raise `Unanswered`, ConnectionError or TimeoutError of the caller's deadline."""

    def __init__(
        self, at: HostPort, timeout_s: float, auth: tuple[str, str] | None, sasl: tuple[str, str] | None = None
    ) -> None:
        """`auth`: (scheme, credential); `sasl`: (user, password)."""
        self.at = at
        self._sasl = sasl
        self.id = ""
        self.kept = False
        """Whether an earlier look opened it: it may have died since without our noticing."""
        self._timeout_s = timeout_s
        self._auth = auth
        self._xid = 0
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._opened = asyncio.Event()
        self._why: Exception | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._unsent: list[bytes] = []
        self._ended = asyncio.Event()

    @property
    def alive(self) -> bool:
        return self._writer is not None and self._why is None

    async def open(self, dialer: Dialer) -> None:
        """Opens the session; afterwards it keeps itself alive until `close`."""
        self._tasks.append(asyncio.get_running_loop().create_task(self._live(dialer)))
        try:
            await self._opened.wait()
            if self._why:
                raise self._why
            if self._sasl:
                await self._authenticate(*self._sasl)
            if self._auth:
                await self._call(wire.Auth(0, *self._auth), AUTH_XID)
        except BaseException:
            self.cut()
            raise

    async def _live(self, dialer: Dialer) -> None:
        try:
            async with dialer.connect(self.at) as (reader, writer):
                patience = await self._handshake(reader, writer)
                self._writer = writer
                self._opened.set()
                self._tasks.append(asyncio.get_running_loop().create_task(self._ping(patience / 3)))
                while True:
                    self._take(await read_frame(reader, patience))
        except TimeoutError:
            self._fail(Unanswered(Outcome.TIMEOUT, "the server fell silent"))
        except ssl.SSLError as error:
            self._fail(unanswered(error))
        except (OSError, asyncio.IncompleteReadError):
            if self._opened.is_set():
                self._fail(Unanswered(Outcome.TRUNCATED, "the connection was cut"))
            else:
                why = "closed the connection without opening a session (no quorum, TLS only, or too many connections)"
                self._fail(Unanswered(Outcome.TRUNCATED, why))
        except Unanswered as reason:
            self._fail(reason)
        except (struct.error, ValueError, IndexError) as wrong:
            self._fail(Unanswered(Outcome.JUNK, f"not ZooKeeper's protocol: {type(wrong).__name__}"))
        finally:
            self._fail(Unanswered(Outcome.TRUNCATED, "the session is closed"))

    async def _handshake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
        """Opens the session; returns the timeout that the server allows, in seconds."""
        hello = wire.Connect(0, 0, int(self._timeout_s * 1000), 0, bytes(16), False).serialize()
        writer.write(wire.int_struct.pack(len(hello)) + hello)
        reply, _ = wire.Connect.deserialize(await read_frame(reader, None, MAX_WELCOME), 0)
        if reply.time_out <= 0 or not reply.session_id:
            raise Unanswered(Outcome.JUNK, "the server opened no session")
        self.id = f"0x{reply.session_id & (1 << 64) - 1:x}"
        return float(reply.time_out) / 1000

    async def _authenticate(self, user: str, password: str) -> None:
        """SASL's DIGEST-MD5. A server that knows no clients by SASL says nothing to it, and is looked at as by anybody."""
        exchange = DigestMd5(user, password, secrets.token_hex(16))
        said = b""
        try:
            while not exchange.done:
                challenge, _ = wire.SASL.deserialize(await self._call(wire.SASL(said)), 0)
                if challenge is None:
                    return
                said = exchange.answer(bytes(challenge))
        except ZooKeeperError as error:
            if error.code in NOT_KNOWN:
                raise Unanswered(Outcome.DENIED, f"it refused our SASL credentials (user {user})") from None
            raise
        except Refused as wrong:
            raise Unanswered(Outcome.DENIED, f"SASL: {wrong}") from None
        except (struct.error, ValueError, IndexError) as wrong:
            raise Unanswered(Outcome.JUNK, f"not ZooKeeper's protocol: {type(wrong).__name__}") from None

    async def _ping(self, every_s: float) -> None:
        ping = wire.int_int_struct.pack(PING_XID, wire.Ping.type)
        while self.alive:
            await asyncio.sleep(every_s)
            with contextlib.suppress(Unanswered):  # it ended while we slept; whoever asks next is told why
                self._send(ping)

    def _send(self, frame: bytes) -> None:
        if self._writer is None or self._why is not None:
            raise self._why or Unanswered(Outcome.TRUNCATED, "the session is not open")
        if not self._unsent:
            # what is asked for in one turn of the loop goes out at once: a look has some twenty questions to each server
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += (wire.int_struct.pack(len(frame)), frame)

    def _flush(self) -> None:
        unsent, self._unsent = b"".join(self._unsent), []
        if self.alive and self._writer is not None:
            self._writer.write(unsent)

    def _take(self, frame: bytes) -> None:
        header, offset = wire.ReplyHeader.deserialize(frame, 0)
        future = self._waiting.pop(header.xid, None)
        if future is None or future.done():
            return  # a ping's answer, or one that nobody waits for any more
        if header.err:
            future.set_exception(ZooKeeperError(header.err))
        else:
            future.set_result(frame[offset:])

    def _fail(self, reason: Exception) -> None:
        self._why = self._why or reason
        self._opened.set()
        self._ended.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._why)
        self._waiting.clear()

    async def _call(self, request: Any, xid: int | None = None) -> bytes:
        if xid is None:
            self._xid = xid = self._xid % 0x7FFFFFFF + 1
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[xid] = future
        try:
            self._send(wire.int_int_struct.pack(xid, request.type) + bytes(request.serialize()))
            return await future
        except ZooKeeperError as error:
            raise ZooKeeperError(error.code, getattr(request, "path", "")) from None
        finally:
            self._waiting.pop(xid, None)

    async def _ask(self, request: Any) -> Any:
        """The decoded reply; None where there is no such znode."""
        try:
            return type(request).deserialize(await self._call(request), 0)
        except ZooKeeperError as error:
            if error.code == NO_NODE:
                return None
            raise
        except (struct.error, ValueError, IndexError) as wrong:
            raise Unanswered(Outcome.JUNK, f"not ZooKeeper's protocol: {type(wrong).__name__}") from None

    async def data(self, path: str) -> tuple[bytes, Any] | None:
        """Data and stat (kazoo's `ZnodeStat`), or None where there is no such znode."""
        found = await self._ask(wire.GetData(path, False))
        return None if found is None else (found[0] or b"", found[1])

    async def stat(self, path: str) -> Any | None:
        """kazoo's `ZnodeStat`, or None where there is no such znode."""
        return await self._ask(wire.Exists(path, False))

    async def children(self, path: str) -> list[str] | None:
        """The names in order, or None where there is no such znode."""
        found = await self._ask(wire.GetChildren(path, False))
        return None if found is None else sorted(found)

    async def write(self, path: str, data: bytes) -> Any:
        """Sets `path`, creating it where it is missing; its stat. Used by the probe only, never by a look."""
        from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE

        stat = await self._ask(wire.SetData(path, data, -1))
        if stat is None:
            acl = [*READ_ACL_UNSAFE, *CREATOR_ALL_ACL] if self._auth else OPEN_ACL_UNSAFE
            with contextlib.suppress(ZooKeeperError):
                await self._call(wire.Create(path, data, acl, 0))
            stat = await self._ask(wire.SetData(path, data, -1))
        if stat is None:
            raise Unanswered(Outcome.ABSENT, f"{path}: cannot be created")
        return stat

    async def close(self) -> None:
        """Ends the session at the server and here; never waits longer than `CLOSE_S`."""
        if self.alive:
            with contextlib.suppress(Exception):
                self._send(wire.int_int_struct.pack(1, wire.Close.type))
                async with asyncio.timeout(CLOSE_S):
                    await self._ended.wait()
        self.cut()

    def cut(self) -> None:
        """Ends it here only; the server lets it expire."""
        for task in self._tasks:
            task.cancel()
        self._fail(Unanswered(Outcome.TRUNCATED, "the session is closed"))


async def read_frame(reader: asyncio.StreamReader, patience_s: float | None, cap: int = MAX_ANSWER) -> bytes:
    """One length-prefixed frame; raises `Unanswered` for an absurd length, TimeoutError when nothing comes for `patience_s`."""
    async with asyncio.timeout(patience_s):
        head = await reader.readexactly(4)
        size = wire.int_struct.unpack(head)[0]
        if head.isascii() and head.decode().isprintable():
            raise Unanswered(Outcome.JUNK, f"not ZooKeeper's protocol: it begins {head.decode()!r}")
        if size < 0 or size > cap == MAX_WELCOME:
            raise Unanswered(Outcome.JUNK, f"not ZooKeeper's protocol: it begins {head.hex()}")
        if size > cap:
            raise Unanswered(Outcome.TOO_LARGE, f"a frame of {size} bytes")
        return await reader.readexactly(size)
