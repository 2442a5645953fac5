"""Ports that listen on a host alone: which they are, and what comes of it when they are asked over SSH."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import paramiko
import pytest

from tests.unit.peers import SRVR, Stubs, deaf, says, stubs, tree, welcome
from tests.unit.ssh_peer import Keys, Make, connections, keys, sshds
from zkprov.act.connecting import Handler
from zkprov.model.facts import Outcome, ServerFacts
from zkprov.model.inventory import InventoryHost
from zkprov.model.posture import Posture
from zkprov.model.problems import Unreached
from zkprov.model.server import HostPort
from zkprov.observe.sessions import Sessions
from zkprov.observe.ssh import Connections
from zkprov.observe.ssh_forward import not_forwarded
from zkprov.observe.survey import Target, take_survey
from zkprov.observe.tunnels import Tunnels

__all__ = ["connections", "keys", "sshds", "stubs"]

HERE = "127.0.0.1"
CLIENT, ADMIN = HostPort("10.0.0.1", 2181), HostPort("10.0.0.1", 8080)


@pytest.mark.parametrize(
    ("variables", "client", "admin", "tunnels"),
    [
        ({}, CLIENT, ADMIN, {ADMIN: HostPort(HERE, 8080)}),
        ({"admin_address": None}, CLIENT, ADMIN, {}),
        ({"admin_address": "0.0.0.0"}, CLIENT, ADMIN, {}),
        ({"admin_address": "10.9.9.9"}, CLIENT, HostPort("10.9.9.9", 8080), {}),
        ({"admin_port": None}, CLIENT, None, {}),
        ({"client_host": "10.9.9.9", "admin_port": None}, HostPort("10.9.9.9", 2181), None, {}),
        ({"client_host": "::1", "admin_port": None}, CLIENT, None, {CLIENT: HostPort("::1", 2181)}),
        (
            {"posture": Posture.TLS, "client_host": "localhost", "admin_port": None},
            HostPort("10.0.0.1", 2281),
            None,
            {HostPort("10.0.0.1", 2281): HostPort("localhost", 2281)},
        ),
        ({"tunnel": True}, CLIENT, ADMIN, {CLIENT: HostPort(HERE, 2181), ADMIN: HostPort(HERE, 8080)}),
        (
            {"tunnel": True, "client_host": "10.9.9.9", "admin_port": None},
            HostPort("10.9.9.9", 2181),
            None,
            {HostPort("10.9.9.9", 2181): HostPort("10.9.9.9", 2181)},
        ),
        ({"connection": "local"}, CLIENT, HostPort(HERE, 8080), {}),
        ({"connection": "local", "tunnel": True, "client_host": HERE}, HostPort(HERE, 2181), HostPort(HERE, 8080), {}),
    ],
)
def test_what_is_known_by_which_address(
    variables: dict[str, object], client: HostPort, admin: HostPort | None, tunnels: dict[HostPort, HostPort]
) -> None:
    host = msgspec.structs.replace(InventoryHost("zk1", "10.0.0.1"), **variables)
    assert (host.client, host.admin, host.tunnels) == (client, admin, tunnels)


@pytest.fixture
def asked(keys: Keys, sshds: Make, connections: Connections) -> Callable[..., ServerFacts]:
    """Looks at what stubs listen on as at ports of a host that are known by an address where nothing is."""
    sshd = sshds()

    def ask(
        client: HostPort, admin: HostPort | None = None, *, forwards: bool = True, timeout_s: float = 5.0
    ) -> ServerFacts:
        sshd.forwards = forwards
        # 192.0.2.1: of nobody (RFC 5737)
        host = msgspec.structs.replace(
            keys.host(sshd),
            address="192.0.2.1",
            client_host=HERE,
            client_port=client.port,
            admin_port=admin and admin.port,
        )
        with Sessions(tunnels=Tunnels([host], lambda: connections)) as sessions:
            survey = take_survey(
                [Target("zk1", host.client, host.admin)],
                ensemble="test",
                timeout_s=timeout_s,
                sessions=sessions,
                discover=False,
            )
        (server,) = survey.servers
        return server

    return ask


def ends(kind: str) -> bool:
    """Whether the threads that carry bytes are gone, after a moment."""
    for thread in threading.enumerate():
        if thread.name == kind:
            thread.join(5)
    return all(thread.name != kind for thread in threading.enumerate())


def test_words_and_sessions_go_through(asked: Callable[..., ServerFacts], stubs: Stubs) -> None:
    words = asked(stubs.listen(says(SRVR)))
    assert words.srvr.value and words.srvr.value.zxid == 0x100000002
    assert words.config.outcome is Outcome.JUNK, "a session to what speaks words only"
    session = asked(stubs.listen(tree({"/zookeeper/config": b"server.1=a:2888:3888:participant\nversion=100000000"})))
    assert session.config.value and session.config.value.ids == {1}
    assert ends("zkprov-there") and ends("zkprov-here")


def test_a_long_answer_comes_whole_and_an_endless_one_ends(asked: Callable[..., ServerFacts], stubs: Stubs) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    long = SRVR + b"".join(b"Key%d: value\n" % n for n in range(200_000))
    assert asked(stubs.listen(says(long))).srvr.outcome is Outcome.OK
    assert asked(stubs.listen(endless)).srvr.outcome is Outcome.TOO_LARGE
    assert ends("zkprov-there") and ends("zkprov-here"), "also those whose reader went away"


def test_nothing_listens_there(asked: Callable[..., ServerFacts], stubs: Stubs) -> None:
    closed = stubs.listen(deaf)
    facts = asked(HostPort(HERE, 1), closed, timeout_s=1.5)
    assert facts.srvr.outcome is Outcome.REFUSED and facts.srvr.detail == "over SSH: connection refused"
    assert facts.zabstate.outcome is Outcome.TIMEOUT


def test_an_sshd_that_forwards_nothing_is_told(asked: Callable[..., ServerFacts], stubs: Stubs) -> None:
    facts = asked(stubs.listen(says(SRVR)), stubs.listen(deaf), forwards=False)
    for fact in (facts.srvr, facts.config, facts.zabstate):
        assert fact.outcome is Outcome.DENIED
        assert "its sshd forwards nothing to there (AllowTcpForwarding" in str(fact)


def test_a_connection_lost_in_the_middle_is_a_fact(
    keys: Keys, sshds: Make, connections: Connections, stubs: Stubs
) -> None:
    sshd = sshds()

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SRVR[:30])
        await writer.drain()
        sshd.cut()
        await asyncio.sleep(60)

    port = stubs.listen(half).port
    host = msgspec.structs.replace(keys.host(sshd), client_host=HERE, client_port=port, admin_port=None)
    with Sessions(tunnels=Tunnels([host], lambda: connections)) as sessions:
        look = [Target("zk1", host.client)]
        survey = take_survey(look, ensemble="test", timeout_s=3, sessions=sessions, want_sessions=False, words=())
    assert survey.servers[0].srvr.outcome is Outcome.TRUNCATED


def test_kazoo_goes_through_by_a_number_and_names_stay_where_they_mean_something(
    keys: Keys, sshds: Make, connections: Connections, stubs: Stubs
) -> None:
    served = stubs.listen(says(welcome()))
    host = msgspec.structs.replace(
        keys.host(sshds()), address="inside.invalid", client_host=HERE, client_port=served.port
    )
    tunnels = Tunnels([host], lambda: connections)
    handler = Handler([served, host.client], tunnels=tunnels)
    assert handler.hosts == f"{served},0.0.0.0:1"
    another = msgspec.structs.replace(host, address="other.invalid")
    both = Handler([host.client], tunnels=Tunnels([host, another], lambda: connections))
    assert both.named([another.client, served, host.client]) == f"0.0.0.0:2,{served},0.0.0.0:1", "a number stays"
    for address in ((HERE, served.port), ("0.0.0.0", 1)):
        with handler.create_connection(address, hostname=address[0], timeout=5) as peer:
            peer.sendall(b"open")
            assert peer.recv(4)
    gone = msgspec.structs.replace(host, client_port=1)
    handler = Handler([gone.client], tunnels=Tunnels([gone], lambda: connections))
    with pytest.raises(ConnectionError, match="connection refused"):
        handler.create_connection(("0.0.0.0", 1), timeout=5)


def test_each_of_many_at_once_gets_its_own_answer(
    keys: Keys, sshds: Make, connections: Connections, stubs: Stubs
) -> None:
    """paramiko keeps one reason of failure for a whole connection: the second of two that fail at once had none, or the other's."""
    host, served = keys.host(sshds()), stubs.listen(deaf)

    def ask(number: int) -> str:
        try:
            with connections.forward(host, served if number % 3 == 0 else HostPort(HERE, 1)):
                return "open"
        except Unreached as problem:
            return f"{problem.outcome}: {problem.problem}"

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(120)))
    assert answers == ["open" if n % 3 == 0 else "refused: connection refused" for n in range(120)]


def test_a_host_without_a_way_to_it_is_not_one_on_which_nothing_listens(
    keys: Keys, sshds: Make, connections: Connections, stubs: Stubs
) -> None:
    """REFUSED frees a port for a joiner, and says that a count of digests will not be told at the next look either."""
    sshd = sshds()
    sshd.close()
    host = msgspec.structs.replace(keys.host(sshd), client_host=HERE, client_port=stubs.listen(says(SRVR)).port)
    with Sessions(tunnels=Tunnels([host], lambda: connections)) as sessions:
        look = [Target("zk1", host.client, host.admin)]
        (facts,) = take_survey(look, ensemble="test", timeout_s=3, sessions=sessions).servers
    for fact in (facts.srvr, facts.config, facts.zabstate, facts.hash):
        assert fact.outcome is Outcome.TRUNCATED and "is sshd running there" in fact.detail, fact


@pytest.mark.parametrize(
    ("code", "outcome"), [(1, "denied"), (2, "refused"), (3, "truncated"), (4, "truncated"), (77, "truncated")]
)
def test_only_a_port_that_refuses_is_refused(code: int, outcome: str) -> None:
    told = not_forwarded("zk1", paramiko.ChannelException(code, "words\nof an sshd"))
    assert told.outcome == outcome and "\n" not in told.problem
