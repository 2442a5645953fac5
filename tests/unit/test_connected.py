"""Servers that nobody listed, found by who is connected to ours."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from tests.unit.facts_made import disk_of, healthy, members, serving
from tests.unit.peers import SRVR, Handler, Stubs, stubs
from zkprov.judge.picture import Standing
from zkprov.model.facts import Disk, Fact, Mode, Outcome, Peer
from zkprov.model.server import HostPort
from zkprov.observe.connected import MOST_CALLERS, callers
from zkprov.observe.sessions import Sessions
from zkprov.observe.survey import take_survey
from zkprov.observe.target import Target
from zkprov.shipped.remote.peers import connected, established, listening

__all__ = ["stubs"]

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def hexed(address: str, port: int) -> str:
    raw = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    words = [raw[i : i + 4] for i in range(0, len(raw), 4)]
    text = b"".join(w[::-1] if sys.byteorder == "little" else w for w in words).hex().upper()
    return f"{text}:{port:04X}"


def net(folder: Path, *lines: tuple[str, int, str, int, str]) -> str:
    for name, colon in (("tcp", False), ("tcp6", True)):
        mine = [x for x in lines if (":" in x[0]) == colon]
        rows = "".join(
            f"   {n}: {hexed(a, p)} {hexed(b, q)} {s} 00000000:00000000 00:00000000 00000000 0 0 1 1 0\n"
            for n, (a, p, b, q, s) in enumerate(mine)
        )
        (folder / name).write_text(HEAD + rows)
    return str(folder)


def test_who_is_connected_by_the_ports_for_servers(tmp_path: Path) -> None:
    folder = net(
        tmp_path,
        ("10.0.0.1", 3888, "10.0.0.9", 51234, "01"),  # it called us
        ("10.0.0.1", 40000, "10.0.0.8", 3888, "01"),  # we called it
        ("::ffff:10.0.0.1", 2888, "::ffff:10.0.0.7", 50000, "01"),
        ("2001:db8::1", 41000, "2001:db8::6", 2888, "01"),
        ("10.0.0.1", 2181, "10.0.0.5", 50001, "01"),  # a client
        ("10.0.0.1", 40001, "10.0.0.4", 443, "01"),
        ("10.0.0.1", 3888, "10.0.0.3", 50002, "06"),  # gone
        ("0.0.0.0", 3888, "0.0.0.0", 0, "0A"),
        ("127.0.0.1", 3888, "127.0.0.1", 50003, "01"),  # who of this host, nobody can say
    )
    assert connected([2888, 3888], established([2888, 3888], folder)) == [
        ("10.0.0.7", 0),
        ("10.0.0.8", 3888),
        ("10.0.0.9", 0),
        ("2001:db8::6", 2888),
    ]
    assert listening(folder) == [("0.0.0.0", 3888)]


def test_where_there_is_no_such_file(tmp_path: Path) -> None:
    assert connected([3888], established([3888], str(tmp_path))) == [] and listening(str(tmp_path)) == []


def disk_with(*peers: Peer) -> Fact[Disk]:
    return Fact("disk", Outcome.OK, msgspec.structs.replace(disk_of(1, members((1,))), peers=peers))


async def server(reader: object, writer: object) -> None:
    word = await reader.read(4)  # type: ignore[attr-defined]
    if word == b"srvr":
        writer.write(SRVR)  # type: ignore[attr-defined]


def test_it_is_asked_at_the_ports_of_ours_and_told_why(stubs: Stubs) -> None:
    at = stubs.listen(server)
    # the same port at another address of this machine: nobody listed it
    with socket.create_server(("127.0.0.3", at.port)) as other:
        other.settimeout(5)

        def answer() -> None:
            while True:
                try:
                    conn, _ = other.accept()
                except OSError:
                    return
                with conn:
                    if conn.recv(4) == b"srvr":
                        conn.sendall(SRVR.replace(b"follower", b"leader"))

        threading.Thread(target=answer, daemon=True).start()
        peers = (Peer("127.0.0.3", 3888), Peer("127.0.0.1"), Peer("127.0.0.4"))
        target = Target("zk1", at, known_as=("inventory",), disk=lambda: disk_with(*peers))
        seen = take_survey([target], ensemble="x", timeout_s=2.0)
    found = [s for s in seen.servers if s.name != "zk1"]
    assert [(s.name, s.known_as) for s in found] == [(f"127.0.0.3:{at.port}", ("connected to zk1",))]
    assert found[0].srvr.value is not None and found[0].srvr.value.mode is Mode.LEADER


def test_a_guess_that_leads_nowhere_is_not_made_at_each_look(stubs: Stubs) -> None:
    at = stubs.listen(server)
    target = Target("zk1", at, disk=lambda: disk_with(Peer("127.0.0.4")))
    with Sessions(timeout_s=5) as sessions:
        seen = take_survey([target], ensemble="x", timeout_s=1.0, sessions=sessions)
        assert [s.name for s in seen.servers] == ["zk1"]
        assert HostPort("127.0.0.4", 2181) in sessions.silent and HostPort("127.0.0.4", at.port) in sessions.silent


@pytest.mark.parametrize("known", ["connected to 2", "named by 2"])
def test_who_talks_to_ours_is_no_mere_stranger(known: str) -> None:
    other = members((8, 9), version=5, host="10.9.0.1")
    found = serving(9, other, 9, identity=Outcome.ABSENT, known_as=(known,), host="10.9.0.9", name="10.9.0.9:2181")
    made = healthy(3).also(found)
    assert made.picture.standing[found.name] is Standing.STRANGER
    shapes = [str(i.shape) for i in made.health().incidents]
    assert shapes == (["pair"] if known.startswith("connected") else [])


CONS = " /{host}:{port}[1](queued=0,recved=3,sent=3,sid={sid},lop=PING,est=1,to=10000,lcxid=0x0,lzxid=0x1)\n"
LIST = (
    "server.9=127.0.0.5:2888:3888:participant;2181\nserver.10=127.0.0.6:2888:3888:participant;2181\nversion=100000000"
)
SERVES = f"clientPort=2181\nserverId=9\ninitLimit=10\nmembership: \n{LIST}\n".encode()


def one_with_clients(*hosts: str, conf: bytes = b"") -> Handler:
    """A server whose `cons` has a session of each of these hosts; `conf` where it is asked."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        word = await reader.read(4)
        said = "".join(CONS.format(host=h, port=50000 + n, sid=f"0x100{n}") for n, h in enumerate(hosts))
        writer.write({b"srvr": SRVR, b"cons": f"{said}\n".encode(), b"conf": conf}.get(word, b""))
        await writer.drain()

    return handler


class Counting:
    """A listener at an address of this machine, which counts who asks it."""

    def __init__(self, at: HostPort, answers: dict[bytes, bytes]) -> None:
        self.asked: list[bytes] = []
        self._answers = answers
        self._listener = socket.create_server((at.host, at.port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            with conn, contextlib.suppress(OSError):
                conn.settimeout(2)
                word = conn.recv(4)
                self.asked.append(word)
                if word in self._answers:
                    conn.sendall(self._answers[word])

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()


def by_client_port(*at: HostPort) -> list[Target]:
    """As `--connect` has them: nobody's disk can be read."""
    return [Target(f"zk{n}", place, known_as=("connect",)) for n, place in enumerate(at, 1)]


class TestWhereNoHostCanBeLookedAt:
    """Who has sessions on several servers at once is asked whether a server runs there."""

    def test_a_server_that_tells_its_list_is_in_the_survey(self, stubs: Stubs) -> None:
        one = stubs.listen(one_with_clients("127.0.0.5", "127.0.0.7"))
        two = stubs.listen(one_with_clients("127.0.0.5", "127.0.0.8"))
        with Counting(HostPort("127.0.0.5", one.port), {b"srvr": SRVR, b"conf": SERVES}):
            seen = take_survey(by_client_port(one, two), ensemble="x", timeout_s=2.0)
        found = [s for s in seen.servers if s.known_as[0].startswith("client of")]
        assert [(s.name, s.known_as) for s in found] == [(f"127.0.0.5:{one.port}", ("client of zk1, zk2",))]
        assert not any(s.name.startswith(("127.0.0.7", "127.0.0.8")) for s in seen.servers), (
            "clients of one server alone"
        )

    @pytest.mark.parametrize(
        "answers",
        [{}, {b"srvr": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, {b"srvr": SRVR}],
        ids=["silent", "junk", "no list"],
    )
    def test_what_answers_otherwise_is_none(self, stubs: Stubs, answers: dict[bytes, bytes]) -> None:
        at = [stubs.listen(one_with_clients("127.0.0.5")) for _ in range(2)]
        with Counting(HostPort("127.0.0.5", at[0].port), answers) as there:
            seen = take_survey(by_client_port(*at), ensemble="x", timeout_s=2.0)
            assert there.asked[:1] == [b"srvr"]
        assert [s.name for s in seen.servers] == ["zk1", "zk2"]

    def test_it_is_asked_once_in_a_while_and_makes_no_look_longer(self, stubs: Stubs) -> None:
        at = [stubs.listen(one_with_clients("127.0.0.5")) for _ in range(2)]
        with Counting(HostPort("127.0.0.5", at[0].port), {}) as there, Sessions(timeout_s=5) as sessions:
            for _ in range(3):
                seen = take_survey(
                    by_client_port(*at), ensemble="x", timeout_s=2.0, sessions=sessions, want_sessions=False
                )
                assert [s.name for s in seen.servers] == ["zk1", "zk2"] and seen.took < 1.0
            assert len(there.asked) == 1

    def test_one_that_was_heard_is_in_each_look(self, stubs: Stubs) -> None:
        at = [stubs.listen(one_with_clients("127.0.0.5")) for _ in range(2)]
        listening = Counting(HostPort("127.0.0.5", at[0].port), {b"srvr": SRVR, b"conf": SERVES})
        with listening, Sessions(timeout_s=5) as sessions:
            for _ in range(3):
                seen = take_survey(
                    by_client_port(*at), ensemble="x", timeout_s=2.0, sessions=sessions, want_sessions=False
                )
                assert len([s for s in seen.servers if s.known_as == ("client of zk1, zk2",)]) == 1

    def test_where_a_disk_is_read_its_sockets_tell_more(self, stubs: Stubs) -> None:
        at = [stubs.listen(one_with_clients("127.0.0.5")) for _ in range(2)]
        targets = by_client_port(*at)
        targets[0] = Target("zk1", at[0], disk=disk_with)
        with Counting(HostPort("127.0.0.5", at[0].port), {b"srvr": SRVR, b"conf": SERVES}) as there:
            take_survey(targets, ensemble="x", timeout_s=2.0)
            assert not there.asked


def test_the_hosts_of_most_servers_first_and_not_too_many() -> None:
    cons = {
        "zk1": [f"10.0.1.{n}" for n in range(1, 60)],
        "zk2": [f"10.0.1.{n}" for n in range(1, 60)],
        "zk3": ["10.0.1.50"],
    }
    found = list(callers(cons, frozenset({"10.0.1.1"}), [2181, 2182]))
    assert [t.client for t in found[:2]] == [HostPort("10.0.1.50", 2181), HostPort("10.0.1.50", 2182)]
    assert len(found) == 2 * MOST_CALLERS and not any(t.client and t.client.host == "10.0.1.1" for t in found)


def test_another_ensemble_at_a_client_s_host_is_no_incident() -> None:
    """A host of clients may have an ensemble of its own; one that acts as ours is a rogue wherever it is."""
    other = members((8, 9), version=5, host="10.9.0.1")
    found = serving(
        9, other, 9, identity=Outcome.ABSENT, known_as=("client of 1, 2",), host="10.9.0.9", name="10.9.0.9:2181"
    )
    made = healthy(3).also(found)
    assert made.picture.standing[found.name] is Standing.STRANGER and made.health().incidents == ()
    own = serving(9, other, 9, known_as=("client of 1, 2",), host="10.9.0.9", name="10.9.0.9:2181")
    assert healthy(3).also(own).picture.standing[own.name] is Standing.ROGUE
