"""The survey on real servers: every question answered and of one mind, a frozen server late and nothing else, nothing ever changed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from kazoo.client import KazooClient

from zkprov.lab.lab import Lab
from zkprov.lab.outage import freeze, kill, thaw
from zkprov.model.facts import Fact, Mode, Outcome, ServerFacts, Survey
from zkprov.model.server import HostPort
from zkprov.observe import znodes
from zkprov.observe.disk import read_host
from zkprov.observe.sessions import Sessions, probe_write_and_read
from zkprov.observe.survey import Target, take_survey

pytestmark = pytest.mark.real
QUESTIONS = ("srvr", "mntr", "conf", "cons", "zabstate", "leader", "hash", "config", "disk")


def targets(lab: Lab, admin: bool = True, disk: bool = True) -> list[Target]:
    return [
        Target(
            h.name, h.client, h.admin if admin else None, None, ("inventory",), partial(read_host, h) if disk else None
        )
        for h in lab.founders
    ]


def look(lab: Lab, sessions: Sessions | None = None, timeout_s: float = 3.0) -> Survey:
    return take_survey(targets(lab), ensemble=lab.name, sessions=sessions, timeout_s=timeout_s)


def await_survey(take: Callable[[], Survey], good: Callable[[Survey], bool]) -> Survey:
    deadline = time.monotonic() + 30
    while not good(survey := take()):
        assert time.monotonic() < deadline, survey
    return survey


@pytest.fixture
def client() -> Iterator[Callable[[HostPort], KazooClient]]:
    with contextlib.ExitStack() as ending:

        def make(at: HostPort) -> KazooClient:
            kazoo = KazooClient(str(at))
            kazoo.start(15)
            ending.callback(kazoo.close)
            ending.callback(kazoo.stop)
            return kazoo

        yield make


def tree(kazoo: KazooClient) -> dict[str, tuple[Any, ...]]:
    """Every znode with its data and whole stat."""
    found: dict[str, tuple[Any, ...]] = {}
    rest = ["/"]
    while rest:
        path = rest.pop()
        found[path] = kazoo.get(path)
        rest += [f"{path.rstrip('/')}/{child}" for child in kazoo.get_children(path)]
    return found


def test_every_fact_of_three_servers_and_all_of_one_mind(make_lab, client) -> None:
    lab = make_lab(3)
    app = client(lab.host(1).client)
    app.create("/app", b"x")
    own = f"0x{app.client_id[0]:x}"
    survey = await_survey(lambda: look(lab), lambda s: all(x.srvr.value and x.identity.value for x in s.servers))

    assert survey.took < 3
    for server in survey.servers:
        for name in QUESTIONS:
            fact: Fact[object] = getattr(server, name)
            assert fact.outcome is Outcome.OK, fact
            assert 0 < fact.at < 3
        assert server.ledger.outcome is Outcome.ABSENT
        assert server.serving and server.up
    first, *_ = survey.servers
    assert [s.id for s in survey.servers] == [1, 2, 3]
    assert {s.config.value for s in survey.servers} == {first.config.value}
    assert first.config.value is not None and first.config.value.voters == {1, 2, 3}
    assert {s.conf.value and s.conf.value.members for s in survey.servers} == {first.config.value}
    assert {s.disk.value and s.disk.value.acting and s.disk.value.acting.members for s in survey.servers} == {
        first.config.value
    }
    assert len({s.identity.value for s in survey.servers}) == 1
    leaders = [s for s in survey.servers if s.srvr.value and s.srvr.value.mode is Mode.LEADER]
    assert len(leaders) == 1
    for server in survey.servers:
        assert server.zabstate.value is not None and server.zabstate.value.voting
        assert server.zabstate.value.phase == "BROADCAST"
        assert server.leader.value is not None and server.leader.value.leader_id == leaders[0].id
        assert server.voting_view.value in {None, (1, 2, 3)}, "not asked where the list itself was read before"
        assert server.srvr.value is not None and server.srvr.value.release == lab.release
    clients = [c.session for s in survey.servers for c in s.cons.value or ()]
    assert clients == [own], "the application's session, and none of ours"
    hidden = take_survey(targets(lab), ensemble="t", own_sessions=[own])
    assert [c for s in hidden.servers for c in s.cons.value or ()] == []


def test_a_frozen_server_is_late_and_the_others_are_not(make_lab) -> None:
    lab = make_lab(3)
    with Sessions() as sessions:
        before = await_survey(lambda: look(lab, sessions), lambda s: all(x.config.value for x in s.servers))
        leader = next(s.id for s in before.servers if s.srvr.value and s.srvr.value.mode is Mode.LEADER)
        frozen = next(i for i in (1, 2, 3) if i != leader)
        freeze(lab, frozen)
        began = time.monotonic()
        survey = look(lab, sessions, timeout_s=1)
        assert time.monotonic() - began < 1.7
        for server in survey.servers:
            late = server.name == f"zk{frozen}"
            asked = [getattr(server, name) for name in QUESTIONS if name != "disk"]
            assert {f.outcome for f in asked} == {Outcome.TIMEOUT if late else Outcome.OK}, asked
            assert server.disk.value is not None
            assert server.serving is not late
        thaw(lab, frozen)
        await_survey(lambda: look(lab, sessions), lambda s: all(x.config.value and x.srvr.value for x in s.servers))


def test_without_a_quorum_the_last_one_says_so(make_lab) -> None:
    lab = make_lab(3)
    kill(lab, 2)
    kill(lab, 3)

    def told(survey: Survey) -> bool:
        # a server that was killed a moment ago may still have taken a connection
        answers = [{x.srvr.outcome, x.config.outcome, x.zabstate.outcome} for x in survey.servers[1:]]
        return survey.servers[0].srvr.outcome is Outcome.NOT_SERVING and Outcome.TRUNCATED not in set().union(*answers)

    survey = await_survey(lambda: look(lab), told)
    last, *gone = survey.servers
    assert {last.config.outcome, last.identity.outcome, last.mntr.outcome, last.zabstate.outcome} == {
        Outcome.NOT_SERVING
    }
    assert last.up and not last.serving
    assert last.id == 1  # by its disk
    for server in gone:
        assert {server.srvr.outcome, server.config.outcome, server.zabstate.outcome} == {Outcome.REFUSED}
        assert server.disk.value is not None


def test_with_srvr_alone_and_no_admin_server_and_one_address_all_are_found(make_lab) -> None:
    lab = make_lab(3, admin=False, whitelist="srvr")
    (first, *_) = lab.founders
    connect = Target(str(first.client), first.client, known_as=("connect",))
    survey = await_survey(
        lambda: take_survey([connect], ensemble="connect"),
        lambda s: len(s.servers) == 3 and all(x.srvr.value and x.config.value for x in s.servers),
    )
    assert {s.id for s in survey.servers} == {1, 2, 3}, "the asked one's id too is known by the list"
    assert [s.known_as for s in survey.servers[1:]] == [(f"named by {first.client}",)] * 2
    for server in survey.servers:
        assert {server.mntr.outcome, server.conf.outcome, server.cons.outcome} == {Outcome.CLOSED}
        assert {server.zabstate.outcome, server.disk.outcome} == {Outcome.NOT_ASKED}


@contextlib.contextmanager
def words_closed(to: HostPort) -> Iterator[HostPort]:
    """A door before a real server that lets sessions through and answers each four letter word as a closed whitelist does.

    3.9.5 adds `srvr` to any whitelist, so a real server cannot be made to close it; a firewall or an older one can.
    """
    loop = asyncio.new_event_loop()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(65536):
                writer.write(part)
        writer.close()

    async def door(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readexactly(4)
            if head.isalpha():
                writer.write(head + b" is not executed because it is not in the whitelist.\n")
            else:
                server_reader, server_writer = await asyncio.open_connection(to.host, to.port)
                server_writer.write(head)
                await asyncio.gather(pump(reader, server_writer), pump(server_reader, writer))
        writer.close()

    async def start() -> int:
        return int((await asyncio.start_server(door, "127.0.0.1", 0)).sockets[0].getsockname()[1])

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield HostPort("127.0.0.1", asyncio.run_coroutine_threadsafe(start(), loop).result(5))
    finally:

        async def end() -> None:
            rest = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


def test_with_every_word_closed_a_session_tells_that_it_serves(make_lab) -> None:
    lab = make_lab(1)
    with words_closed(lab.host(1).client) as at:
        survey = await_survey(
            lambda: take_survey([Target("door", at)], ensemble="connect", discover=False),
            lambda s: s.servers[0].config.value is not None,
        )
    (server,) = survey.servers
    assert {getattr(server, word).outcome for word in ("srvr", "mntr", "conf", "cons")} == {Outcome.CLOSED}
    assert server.serving and server.up


def test_no_znode_ever_changes(make_lab, client) -> None:
    lab = make_lab(3)
    kazoo = client(lab.host(1).client)
    kazoo.create("/app/a", b"x", makepath=True)
    kazoo.create("/e", ephemeral=True)
    before = tree(kazoo)
    with Sessions() as sessions:
        for kept in (None, sessions, sessions):
            look(lab, kept)
    assert tree(kazoo) == before


def test_sessions_end_with_the_survey_and_are_kept_by_a_watch(make_lab) -> None:
    lab = make_lab(3)

    def connected(survey: Survey) -> int:
        return sum(int((s.mntr.value or {}).get("zk_global_sessions", "-1")) for s in survey.servers)

    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    await_survey(lambda: look(lab), lambda s: all(x.config.value for x in s.servers))
    with Sessions() as sessions:
        for _ in range(4):
            look(lab, sessions)
        assert len(sessions.own_ids) == 3
        assert threading.active_count() == threads + 1
    # a session that was not closed would live on for 4 s at least
    last = look(lab)
    assert connected(last) <= 3 * 3, "none but this look's own, seen by three servers"
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def test_the_ledger_is_read_on_every_server(make_lab, client) -> None:
    lab = make_lab(3)
    kazoo = client(lab.host(1).client)
    ensemble = znodes.EnsembleDocument(uuid="6a7f", zkprov="0.1")
    kazoo.create("/zkprov/ensemble", ensemble.encode(), makepath=True)
    kazoo.create("/zkprov/members/3", znodes.MemberDocument(disk="d3", confirmed=0x100000000).encode(), makepath=True)
    kazoo.create("/zkprov/members/4", b"not json")
    kazoo.create("/zkprov/lock/x__lock__", b"ann@host", ephemeral=True, sequence=True, makepath=True)
    kazoo.create("/zkprov/paused", b"holiday")
    since_ms = kazoo.exists("/zkprov/members/3").ctime

    def seen(survey: Survey) -> bool:
        return all(s.ledger.value and s.ledger.value.paused for s in survey.servers)

    survey = await_survey(lambda: look(lab), seen)
    for server in survey.servers:
        ledger = server.ledger.value
        assert ledger is not None
        assert (ledger.uuid, ledger.lock_holder, ledger.paused) == ("6a7f", "ann@host", "holiday")
        assert ledger.members[3].since_ms == since_ms
        assert ledger.members[3].confirmed == 0x100000000
        assert ledger.now_ms >= since_ms
        assert "/zkprov/members/4" in server.ledger.detail
        assert server.identity.value is not None and server.identity.value.path == "/zkprov/ensemble"


def test_a_write_through_one_member_is_seen_on_the_others_and_not_on_a_frozen_one(make_lab) -> None:
    lab = make_lab(3)
    at = [h.client for h in lab.founders]
    scheme, credential = lab.auth_file.read_text().strip().split(":", 1)
    with Sessions(auth=(scheme, credential)) as sessions:
        survey = await_survey(lambda: look(lab, sessions), lambda s: all(x.config.value for x in s.servers))
        wrote, seen = probe_write_and_read(sessions, at[0], at, path="/probe")
        assert wrote.value is not None
        assert all(f.value is not None and f.value >= wrote.value for f in seen.values())
        frozen = next(i for i, s in enumerate(survey.servers) if i and not is_leader(s))
        freeze(lab, frozen + 1)
        wrote, seen = probe_write_and_read(sessions, at[0], at, path="/probe", timeout_s=1)
        assert wrote.value is not None
        assert [f.outcome is Outcome.OK for f in seen.values()] == [i != frozen for i in range(3)]
        thaw(lab, frozen + 1)


def is_leader(server: ServerFacts) -> bool:
    return server.srvr.value is not None and server.srvr.value.mode is Mode.LEADER
