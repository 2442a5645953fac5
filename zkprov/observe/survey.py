"""One look at every known server at once, under one deadline: whatever happens out there becomes a fact, and nothing is changed.

All questions to all servers start together (also the session: waiting for `srvr` first would double the time of slow servers). Members
that an answer names, and that are no target yet, are asked from the moment at which they are named, by the same deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from zkprov.model.facts import ClientSession, Disk, Fact, Outcome, ServerFacts, Survey
from zkprov.model.members import Members
from zkprov.model.server import HostPort, Server, ServerAddress
from zkprov.observe import adminserver, fourletter, znodes
from zkprov.observe.admin_owner import own_answers
from zkprov.observe.aliases import one_each, server_id_of
from zkprov.observe.client_place import client_of
from zkprov.observe.connected import CALLERS_WITHIN_S, OF_SEVERAL, WITHIN_S, callers, candidates, worth_telling
from zkprov.observe.dial import Unanswered
from zkprov.observe.sessions import Loop, Sessions, sessions_or_own
from zkprov.observe.target import Target, merge
from zkprov.observe.threads import in_thread
from zkprov.observe.told import server_of

REFUSED_WITHIN_S = 0.01
"""A port on which nothing listens says so within this time; the other questions to that server wait for it, and are spared then."""
LIST_WITHIN_S = 0.25
WORDS = ("mntr", "conf", "cons")
AT_ONCE = 40
MARGIN_S = 30.0
"""For the loop's own work after the deadline, with very many servers."""
MAX_NAMED = 255
"""Servers beyond the targets that are asked because an answer names them; ids go to 255 at most in a sound ensemble."""


def take_survey(
    targets: Sequence[Target],
    *,
    ensemble: str,
    timeout_s: float = 3.0,
    sessions: Sessions | None = None,
    want_sessions: bool = True,
    words: Collection[str] = WORDS,
    discover: bool = True,
    own_sessions: Collection[str] = (),
    clock: Callable[[], float] = time.time,
) -> Survey:
    """Asks all `targets` everything at once; never raises for what a server does, and takes `timeout_s` plus a moment at most.

    `sessions` keeps sessions between surveys; without it each survey opens and closes its own. `own_sessions`: ids (`0x…`) of further
    sessions of zkprov's that `cons` leaves out. `cons` holds sessions only: four letter words and our own connections are no clients.
    `words`: which of `mntr`, `conf` and `cons` are asked besides `srvr`.
    """
    with sessions_or_own(sessions, min(10.0, max(4.0, 2 * timeout_s))) as held:
        asked = Asked(
            targets,
            ensemble,
            held,
            want_sessions=want_sessions,
            words=words,
            discover=discover,
            own_sessions=own_sessions,
        )
        return held.run(_survey(asked, timeout_s, clock), timeout_s + MARGIN_S)


class Asked(NamedTuple):
    """What one look asks, and whom; as `take_survey`."""

    targets: Sequence[Target]
    ensemble: str
    sessions: Sessions
    want_sessions: bool = True
    words: Collection[str] = WORDS
    discover: bool = True
    own_sessions: Collection[str] = ()


def take_surveys(
    looks: Sequence[Asked], loop: Loop, *, timeout_s: float = 3.0, clock: Callable[[], float] = time.time
) -> tuple[Survey, ...]:
    """As `take_survey`, of many ensembles at once, whose sessions are all on `loop`; each has `timeout_s` from its first question on.

    Of very many `AT_ONCE` are asked together, and the next as soon as one is done or only waits: where this machine is what takes the
    time, all of them would be late else, and nothing known of any.
    """

    async def together() -> list[Survey]:
        slots = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(one(look, slots) for look in looks))

    async def one(look: Asked, slots: asyncio.Semaphore) -> Survey:
        async with slots:
            taken = asyncio.create_task(_survey(look, timeout_s, clock))
            await asyncio.wait({taken}, timeout=timeout_s / 2)
        return await taken

    return tuple(loop.run(together(), timeout_s * (1 + len(looks) / AT_ONCE) + MARGIN_S))


async def _survey(asked: Asked, timeout_s: float, clock: Callable[[], float]) -> Survey:
    began = clock()
    started = time.monotonic()
    look = _Look(asked.sessions, timeout_s, sessions=asked.want_sessions, words=asked.words, discover=asked.discover)
    servers, local_ends = await look.take(asked.targets)
    own = asked.sessions.own_ids | frozenset(asked.own_sessions)
    took = time.monotonic() - started
    servers = tuple(_without_own(s, own, local_ends) for s in servers)
    return Survey(asked.ensemble, began, round(took, 3), servers)


class _Look:
    """One survey under way."""

    def __init__(
        self, held: Sessions, timeout_s: float, *, sessions: bool, words: Collection[str], discover: bool
    ) -> None:
        self._sessions = held
        self._timeout_s = timeout_s
        self._want_sessions, self._words_asked = sessions, [w for w in WORDS if w in words]
        self._discover = discover
        self._facts: list[dict[str, Any]] = []
        self._targets: list[Target] = []
        self._clients: set[HostPort] = set()
        self._named: set[HostPort | str] = set()
        self._first: dict[int, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._mistake: BaseException | None = None

    async def take(self, targets: Sequence[Target]) -> tuple[tuple[ServerFacts, ...], frozenset[tuple[str, int]]]:
        self._dialer = self._sessions.dialer(self._timeout_s)
        for target in merge(targets):
            self._add(target)
        self._calls = self._discover and self._sessions.silent.callers_due()
        try:
            # the servers themselves first, then what says more of them: descriptors may be scarcer than questions
            for number in range(len(self._targets)):
                self._first[number] = self._start(self._srvr(number))
            # where nothing listens, that is said at once, and the rest is spared
            if self._first:
                await asyncio.wait(self._first.values(), timeout=REFUSED_WITHIN_S)
            asked = range(len(self._targets))
            self._sessions_asked = [self._start(self._session(number)) for number in asked]
            for ask in (self._admin, self._words, self._disk):
                for number in asked:
                    self._start(ask(number))
            while self._tasks and not self._mistake:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in self._tasks:
                task.cancel()
        if self._mistake:
            raise self._mistake
        facts = await self._with_ids()
        return facts, frozenset(self._dialer.local_ends)

    def _add(self, target: Target) -> int:
        self._targets.append(target)
        if target.client:
            self._clients.add(target.client)
        self._facts.append({})
        return len(self._targets) - 1

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._mistake = self._mistake or task.exception()  # ours, since servers' are facts: raised, not swallowed

    async def _srvr(self, number: int) -> None:
        target = self._targets[number]
        if target.client:
            self._facts[number]["srvr"] = await fourletter.ask(
                self._dialer, target.client, "srvr", fourletter.parse_srvr
            )

    async def _refused(self, number: int) -> Fact[Any] | None:
        """The `srvr` fact of a server where nothing listens: what else is asked there is refused as well."""
        first = self._first[number]
        if not first.done():
            await asyncio.wait({first}, timeout=REFUSED_WITHIN_S)
        srvr: Fact[Any] | None = self._facts[number].get("srvr")
        return srvr if first.done() and srvr and srvr.outcome is Outcome.REFUSED else None

    async def _session(self, number: int) -> None:
        target = self._targets[number]
        if target.client and self._want_sessions:
            if refused := await self._refused(number):
                at = target.client
                for key, source in (("config", znodes.CONFIG), ("identity", "identity"), ("ledger", znodes.LEDGER)):
                    detail = f"no session: {refused.detail}"
                    self._facts[number][key] = Fact(f"{source}@{at}", Outcome.REFUSED, at=refused.at, detail=detail)
                return
            config, identity, ledger = await znodes.look(self._sessions, target.client, self._dialer)
            self._facts[number] |= {"config": config, "identity": identity, "ledger": ledger}
            self._facts[number]["session"] = self._opened_by(target.client, config)
            if config.value:
                await self._found(config.value, number)

    def _opened_by(self, at: HostPort, config: Fact[Members]) -> Fact[int]:
        """The id of the server that opened the session, where it is one of an ensemble."""
        held = self._sessions.id_at(at)
        server_id = server_id_of(held) if held is not None and config.value else None
        if server_id is None:
            outcome = Outcome.ABSENT if config.outcome is Outcome.OK else config.outcome
            return Fact(f"session@{at}", outcome, at=config.at, detail=config.detail)
        return Fact(f"session@{at}", Outcome.OK, server_id, at=config.at)

    async def _admin(self, number: int) -> None:
        admin = self._targets[number].admin
        if not admin:
            return
        facts = self._facts[number]
        async with self._sessions.admin(admin) as connection:
            for name, parse in adminserver.PARSERS.items():
                if name == "voting_view" and await self._has_list(number):
                    continue
                facts[name] = fact = await connection.ask(self._dialer, name, parse)
                if fact.outcome is Outcome.REFUSED:
                    refused = {n: f"{n}@{admin}" for n in adminserver.PARSERS if n not in facts}
                    facts |= {n: Fact(at, Outcome.REFUSED, at=fact.at, detail=fact.detail) for n, at in refused.items()}
                    return

    async def _has_list(self, number: int) -> bool:
        """Whether the list itself was read, in which `voting_view` is; a session under way is waited for a moment, it costs less."""
        session = self._sessions_asked[number]
        if not session.done():
            await asyncio.wait({session}, timeout=LIST_WITHIN_S)
        config: Fact[Members] | None = self._facts[number].get("config")
        return bool(config and config.value)

    async def _words(self, number: int) -> None:
        at = self._targets[number].client
        if at and (refused := await self._refused(number)):
            for word in self._words_asked:
                self._facts[number][word] = Fact(f"{word}@{at}", Outcome.REFUSED, at=refused.at, detail=refused.detail)
        elif at:
            parsers: dict[str, Callable[[str], object]] = {
                "mntr": fourletter.parse_mntr,
                "conf": partial(fourletter.parse_conf, place=f"conf of {at}"),
                "cons": fourletter.parse_cons,
            }
            asked = [fourletter.ask(self._dialer, at, word, parsers[word]) for word in self._words_asked]
            found: dict[str, Fact[Any]] = dict(zip(self._words_asked, await asyncio.gather(*asked), strict=True))
            self._facts[number] |= found
            conf = found.get("conf")
            if conf and conf.value and conf.value.members:
                await self._found(conf.value.members, number)
            await self._called()

    async def _disk(self, number: int) -> None:
        target = self._targets[number]
        if not target.disk:
            return
        source = f"disk@{target.name}"
        limits = self._dialer.limits
        reading = limits.here.read(target.disk) if target.disk_here else in_thread(target.disk, limits.disks)
        read = await self._dialer.fact(source, reading)
        # the reader gives a fact itself; ours says only that it was late or failed
        inner = read.value or Fact(source, read.outcome, at=read.at, detail=read.detail)
        self._facts[number]["disk"] = msgspec.structs.replace(inner, at=read.at)
        if self._discover and inner.value is not None and inner.value.peers:
            await self._connected(number, inner.value)

    async def _connected(self, number: int, disk: Disk) -> None:
        """Asks who is connected to a server by the ports for servers, and is neither a target nor in a list that we know."""
        listed = [x.members for x in (disk.acting, disk.next) if x is not None]
        known = await self._hosts_known(listed)
        self._try(candidates(disk.peers, known, self._client_ports(), self._targets[number].name), WITHIN_S)

    async def _hosts_known(self, listed: Collection[Members] = ()) -> frozenset[str]:
        """Names and addresses of whoever is a target or in a list."""
        named = {a.host for m in (*self._lists(), *listed) for s in m.servers for a in s.addresses}
        named |= {t.client.host for t in self._targets if t.client} | {
            t.address.host for t in self._targets if t.address
        }
        at = [await self._endpoint(HostPort(host, 1)) for host in named]
        return frozenset(address for address, _ in filter(None, at)) | named

    def _client_ports(self) -> list[int]:
        return [t.client.port for t in self._targets if t.client]

    def _try(self, guesses: Iterable[Target], within_s: float) -> None:
        for target in guesses:
            if target.client is None or target.client in self._clients or target.client in self._sessions.silent:
                continue
            self._start(self._guessed(self._add(target), within_s))

    async def _called(self) -> None:
        """Asks who has sessions on several servers at once, where no host could be looked at that would tell more."""
        if not self._discover or any(t.disk for t in self._targets):
            return
        own = self._sessions.own_ids
        told = {
            t.name: [c.address.host for c in facts["cons"].value if c.session and c.session not in own]
            for t, facts in zip(self._targets, self._facts, strict=True)
            if facts.get("cons") and facts["cons"].value
        }
        found = callers(told, await self._hosts_known(), self._client_ports()) if len(told) >= OF_SEVERAL else ()
        heard = self._sessions.silent.heard
        self._try([t for t in found if self._calls or t.client in heard], CALLERS_WITHIN_S)

    async def _guessed(self, number: int, within_s: float) -> None:
        """Whether a server answers there; the rest is asked only where one does."""
        first = self._first[number] = self._start(self._srvr(number))
        await asyncio.wait({first}, timeout=within_s)
        if not first.done():
            first.cancel()
            return
        srvr: Fact[Any] | None = self._facts[number].get("srvr")
        if srvr is not None and srvr.outcome in (Outcome.OK, Outcome.NOT_SERVING, Outcome.CLOSED):
            for ask in (self._session, self._words):
                self._start(ask(number))

    async def _endpoint(self, at: HostPort) -> tuple[str, int] | None:
        try:
            async with asyncio.timeout_at(self._dialer.deadline):
                return (await self._dialer.resolve(at))[0]
        except (Unanswered, TimeoutError):
            return None

    async def _found(self, members: Members, by: int) -> None:
        if not self._discover:
            return
        for server in members.servers:
            await self._name(server, by)

    async def _name(self, server: Server, by: int) -> None:
        """Asks a member that an answer names, unless its endpoint is asked already."""
        client, why = client_of(server)
        key = client or f"{server.address.host}:{server.address.quorum_port}"
        if (
            key in self._named
            or len(self._named) >= MAX_NAMED
            or any(t.client == client for t in self._targets if client)
            or any(t.address in server.addresses for t in self._targets)
        ):
            return
        said = self._facts[by]
        by_id = self._targets[by].expected_id
        for fact in (said.get("zabstate"), said.get("conf")):
            if fact and fact.value and fact.value.server_id is not None:
                by_id = fact.value.server_id
        label = f"named by {by_id if by_id is not None else self._targets[by].name}"
        target = Target(str(key), client, expected_id=server.id, known_as=(label,), unasked=why)
        self._named.add(key)
        if client:
            # under another name it may be a target: all targets' names first, then this one's
            asked = [await self._endpoint(t.client) for t in self._targets if t.client]
            address = await self._endpoint(client)
            if address and address in asked:
                return
        number = self._add(target)
        self._first[number] = self._start(self._srvr(number))
        for ask in (self._session, self._words):
            self._start(ask(number))

    async def _with_ids(self) -> tuple[ServerFacts, ...]:
        """The facts, each server's expected id filled in from the lists where nothing else gives one."""
        ids: dict[tuple[str, int] | ServerAddress, set[int]] = {}
        for members in self._lists():
            for server in members.servers:
                client, _ = client_of(server)
                address = await self._endpoint(client) if client else None
                for place in (*((address,) if address else ()), *server.addresses):
                    ids.setdefault(place, set()).add(server.id)
        servers = []
        for target, facts in zip(self._targets, self._facts, strict=True):
            expected = target.expected_id
            if expected is None and target.client:
                address = await self._endpoint(target.client)
                candidates = (ids.get(address, set()) if address else set()) | (
                    ids.get(target.address, set()) if target.address else set()
                )
                # lists that disagree give no id
                expected = next(iter(candidates)) if len(candidates) == 1 else None
            servers.append(server_of(target, facts, expected))
        ours = {s.name: self._sessions.id_at(s.client) for s in servers if s.client}
        servers = own_answers(servers)
        self._sessions.silent.note(servers)
        servers = [s for s in servers if worth_telling(s)]
        return one_each(servers, {name: number for name, number in ours.items() if number is not None})

    def _lists(self) -> Iterator[Members]:
        seen: set[Members] = set()
        for facts in self._facts:
            conf = facts.get("conf")
            for members in (
                facts["config"].value if "config" in facts else None,
                conf.value.members if conf and conf.value else None,
            ):
                if members and members not in seen:
                    seen.add(members)
                    yield members


def _without_own(server: ServerFacts, own: frozenset[str], local_ends: Collection[tuple[str, int]]) -> ServerFacts:
    if server.cons.value is None:
        return server

    def client(c: ClientSession) -> bool:
        return bool(c.session) and c.session not in own and (c.address.host, c.address.port) not in local_ends

    clients = tuple(c for c in server.cons.value if client(c))
    return msgspec.structs.replace(server, cons=msgspec.structs.replace(server.cons, value=clients))
