"""One way out to the network for every question: names resolved once, descriptors counted, one deadline, no exceptions but `Unanswered`.

A blocking call (a name server, a disk on a dead mount) runs in a daemon thread: a thread that hangs cannot hold up a survey or the exit.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from zkprov.model.facts import Fact, Outcome
from zkprov.model.problems import Unreached
from zkprov.model.server import HostPort
from zkprov.observe.threads import InTurn, in_thread
from zkprov.observe.tls import Tls, untrusted
from zkprov.observe.tunnels import NO_TUNNELS, Tunnels

T = TypeVar("T")

MAX_ANSWER = 4 * 1024 * 1024
"""Bytes that are read of one answer at most; the largest real ones (`cons` of 20,000 clients) are below."""

MAX_THREADS = 64
MAX_DISKS = 32
NO_TLS = "it does not speak TLS there"
SPARE_DESCRIPTORS = 64
MAX_SOCKETS = 1500
"""More at once would spend a short deadline on connecting: of 1,000 slow servers asked 5,000 things, none answered in 3 s."""


class Unanswered(Exception):
    """A question that came out as anything but OK."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


def sockets_at_once(most: int = MAX_SOCKETS) -> int:
    """How many sockets a survey may have open: `most`, or what the limit on descriptors leaves.

    The soft limit (1024 by default on Linux) is raised towards the hard one where that helps: it is there for `select`, which is not used.
    """
    try:
        used = sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        used = 64
    wanted = used + SPARE_DESCRIPTORS + most
    try:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if resource.RLIM_INFINITY not in (soft, hard) and soft < min(wanted, hard):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
            soft = min(wanted, hard)
    except (ImportError, OSError, ValueError):
        soft = 1024
    if soft < 0:  # RLIM_INFINITY
        return most
    return max(4, min(most, soft - used - SPARE_DESCRIPTORS))


@lru_cache(maxsize=4096)
def numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host.split("%", maxsplit=1)[0])
    except ValueError:
        return False
    return True


class Limits:
    """How much may be under way at once, of all looks that share it. `sockets`: at most, those of sessions included."""

    def __init__(self, sockets: int = MAX_SOCKETS) -> None:
        self.sockets = asyncio.Semaphore(sockets_at_once(sockets))
        self.threads = asyncio.Semaphore(MAX_THREADS)
        self.disks = asyncio.Semaphore(MAX_DISKS)
        self.here = InTurn()


class Dialer:
    """Connections of one survey. Use it inside one event loop only. `limits`: those of its own, where none are given."""

    def __init__(
        self,
        timeout_s: float,
        tls: Tls | None = None,
        tunnels: Tunnels | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._tls, self._tunnels = tls, tunnels or NO_TUNNELS
        self._loop = asyncio.get_running_loop()
        self.began = self._loop.time()
        self.deadline = self.began + timeout_s
        self.local_ends: set[tuple[str, int]] = set()
        """Our own ends of all connections made: `cons` lists them too."""
        self.limits = limits or Limits()
        self._resolved: dict[HostPort, asyncio.Task[tuple[tuple[str, int], ...]]] = {}

    def since(self) -> float:
        """Seconds since the survey began."""
        return self._loop.time() - self.began

    async def resolve(self, at: HostPort) -> tuple[tuple[str, int], ...]:
        """The addresses of `at`, in the resolver's order, asked once; raises `Unanswered` where there are none."""
        if numeric(at.host) or at in self._tunnels:  # a name that means something there need not mean anything here
            return ((at.host, at.port),)
        if at not in self._resolved:
            self._resolved[at] = self._loop.create_task(self._look_up(at))
        # shielded: one question that gives up must not take the answer from the others
        return await asyncio.shield(self._resolved[at])

    async def _look_up(self, at: HostPort) -> tuple[tuple[str, int], ...]:
        def ask() -> tuple[tuple[str, int], ...]:
            found = socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)
            return tuple(dict.fromkeys((str(a[4][0]), int(a[4][1])) for a in found))

        try:
            async with asyncio.timeout_at(self.deadline):
                return await in_thread(ask, self.limits.threads)
        except TimeoutError:
            raise Unanswered(Outcome.TIMEOUT, f"the name {at.host} was not resolved in time") from None
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a name"
            raise Unanswered(Outcome.REFUSED, f"the name {at.host} does not resolve ({reason})") from None

    @asynccontextmanager
    async def connect(self, at: HostPort) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection to `at`; cut, not lingering, at the end. Raises `Unanswered`; takes TimeoutError from the caller's deadline."""
        addresses = await self.resolve(at)
        async with self.limits.sockets:
            reader, writer = await (self._tunnelled(at) if at in self._tunnels else self._first(addresses, at))
            try:
                name = writer.get_extra_info("sockname")
                if name:
                    self.local_ends.add((str(name[0]), int(name[1])))
                yield reader, writer
            finally:
                writer.transport.abort()

    async def _tunnelled(self, at: HostPort) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = self._tls.context_at(at) if self._tls else None
        left = max(0.01, self.deadline - self._loop.time())
        try:
            sock = await in_thread(partial(self._tunnels.opened, at, left), self.limits.threads)
        except Unreached as problem:
            more = f" ({problem.remedy})" if problem.remedy else ""
            raise Unanswered(Outcome(problem.outcome), f"over SSH: {problem.problem}{more}") from None
        try:
            return await asyncio.open_connection(sock=sock, ssl=context, server_hostname=at.host if context else None)
        except ssl.SSLError as refused:
            raise unanswered(refused) from None
        except ConnectionError:
            if context is None:
                raise
            raise Unanswered(Outcome.JUNK, NO_TLS) from None
        except BaseException:
            sock.close()
            raise

    async def _first(
        self, addresses: tuple[tuple[str, int], ...], at: HostPort
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        error: OSError | None = None
        context = self._tls.context_at(at) if self._tls else None
        # the name in the certificate is that of the inventory, whatever it resolves to
        name = at.host if context else None
        for left, (host, port) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            # a black hole among several addresses must not use up the time of the ones after it
            share = (self.deadline - self._loop.time()) / left
            try:
                async with asyncio.timeout(share):
                    return await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
            except TimeoutError:
                if left == 1:
                    raise
            except ssl.SSLError as refused:
                raise unanswered(refused) from None
            except OSError as raised:
                if context and isinstance(raised, ConnectionError) and not isinstance(raised, ConnectionRefusedError):
                    # it listens, and hangs up at the first word of TLS
                    raise Unanswered(Outcome.JUNK, NO_TLS) from None
                error = raised
        code = error.errno if error is not None else None
        if code in (errno.EMFILE, errno.ENFILE):
            # ours, not the server's: nothing was learnt about it
            raise Unanswered(Outcome.NOT_ASKED, "too many open files on this machine")
        raise Unanswered(Outcome.REFUSED, os.strerror(code).lower() if code else "cannot be reached")

    async def fact(self, source: str, question: Awaitable[T]) -> Fact[T]:
        """What came of `question`, whatever happens in it; never later than the deadline."""
        asked = self.since()
        try:
            async with asyncio.timeout_at(self.deadline):
                value = await question
        except Unanswered as reason:
            return Fact(source, reason.outcome, None, self.since(), reason.detail, asked)
        except TimeoutError:
            return Fact(source, Outcome.TIMEOUT, at=self.since(), detail=f"no answer in {self.since():.1f} s")
        except (ConnectionError, asyncio.IncompleteReadError):
            return Fact(source, Outcome.TRUNCATED, at=self.since(), detail="the connection was cut")
        except ssl.SSLError as error:
            met = unanswered(error)
            return Fact(source, met.outcome, at=self.since(), detail=met.detail)
        except PermissionError:
            return Fact(source, Outcome.DENIED, at=self.since(), detail="permission denied")
        except OSError as error:
            return Fact(source, Outcome.REFUSED, at=self.since(), detail=error.strerror or "cannot be reached")
        except Exception as error:
            detail = f"unexpected: {type(error).__name__}: {str(error)[:200]}"
            return Fact(source, Outcome.JUNK, at=self.since(), detail=detail)
        return Fact(source, Outcome.OK, value, self.since(), asked=asked)


def unanswered(error: ssl.SSLError) -> Unanswered:
    """A TLS handshake that failed, or a connection that ended in it."""
    why = untrusted(error)
    return Unanswered(Outcome.DENIED, why) if why else Unanswered(Outcome.JUNK, NO_TLS)


async def read_all(reader: asyncio.StreamReader, cap: int = MAX_ANSWER) -> bytes:
    """All up to the end of the stream; raises `Unanswered` (TOO_LARGE) beyond `cap` bytes, ConnectionError when it is cut."""
    parts: list[bytes] = []
    size = 0
    while part := await reader.read(65536):
        size += len(part)
        if size > cap:
            raise Unanswered(Outcome.TOO_LARGE, f"more than {cap} bytes")
        parts.append(part)
    return b"".join(parts)
