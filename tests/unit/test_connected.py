"""Servers that nobody listed, found by who is connected to ours."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import msgspec
import pytest

from tests.unit.facts_made import disk_of, healthy, members, serving
from tests.unit.peers import SRVR, Stubs, stubs
from zkprov.judge.picture import Standing
from zkprov.model.facts import Disk, Fact, Mode, Outcome, Peer
from zkprov.model.server import HostPort
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
        import threading

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
