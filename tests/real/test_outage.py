"""The outage that zkprov exists for, made on purpose and seen; and what looks like it and is not."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.real.driver import Touched, Zkprov, client, mode, wait_for
from zkprov.act.local import LocalHost
from zkprov.lab import founding
from zkprov.lab.lab import Lab
from zkprov.lab.outage import freeze, make_outage, thaw
from zkprov.model.facts import Retired
from zkprov.model.inventory import InventoryHost
from zkprov.model.server import HostPort
from zkprov.observe.znodes import EnsembleDocument, MemberDocument, RetiredDocument

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("outage")]


@pytest.fixture(scope="module")
def split(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkprov]:
    """Three servers with a list of three that hold data, and four others with a list of seven and a leader of their own."""
    home = tmp_path_factory.mktemp("split")
    lab = Lab.create("split", 3, home=home)
    try:
        lab.up()
        with client(*lab.founders) as session:
            session.create("/app", b"")
        make_outage(lab)
        with client(lab.host(4), lab.host(5)) as session:
            session.create("/app", b"")
        wait_for(lambda: all(mode(h) for h in lab.hosts[:7]))
        yield Zkprov(lab, home / "runs")
    finally:
        lab.down()


def leaders_of(lab: Lab) -> tuple[int, int]:
    a, b = (h.id or 0 for h in lab.hosts[:7] if mode(h) == "leader")
    return a, b


def test_status_shows_both_leaders_and_who_follows_them_at_once(split: Zkprov) -> None:
    one, two = leaders_of(split.lab)
    done = split("status", "--output", "json").expect(3)
    found = done.json
    ensemble = found["ensemble"]
    assert ensemble["verdict"] == "unsafe" and ensemble["leaders"] == [one, two]
    assert len(ensemble["rogues"]) == 4 and ensemble["members"] == [1, 2, 3]
    # One survey, and no wait for the 12 s that a deposed leader may take to notice.
    assert ensemble["took_s"] < 3.5 and done.took_s < 12
    rows = {s["id"]: s for s in found["servers"]}
    assert [rows[i]["leader"] for i in range(1, 8)] == [one] * 3 + [two] * 4
    assert {rows[i]["role"] for i in (1, 2, 3)} == {"voter"} and {rows[i]["role"] for i in (4, 5, 6, 7)} == {"ROGUE"}
    assert len({rows[i]["history"] for i in (1, 2, 3)}) == len({rows[i]["history"] for i in (4, 5, 6, 7)}) == 1
    assert rows[1]["history"] != rows[4]["history"] and len(ensemble["histories"]) == 2
    leader_gate = next(g for g in found["gates"] if g["gate"] == "one leader")
    assert leader_gate["verdict"] == "fail" and leader_gate["unsafe"]


def test_a_person_reads_it_from_the_first_lines(split: Zkprov) -> None:
    one, two = leaders_of(split.lab)
    followers = {i: ", ".join(str(f) for f in side if f != i) for side in ((1, 2, 3), (4, 5, 6, 7)) for i in side}
    for command in ("status", "check"):
        done = split(command).expect(3, "UNSAFE", "two leaders")
        head = done.said[:600]
        for leader in (one, two):
            assert re.search(rf"{leader} \([^)]*followed by {followers[leader]}\)", head), head
        assert "2 histories" in done.said and "next" in done.said
    gates = split("check", "--output", "json").expect(3).json["gates"]
    assert {g["gate"] for g in gates if g["verdict"] == "fail" and g["unsafe"]} >= {
        "one leader",
        "no rogue",
        "one quorum",
    }


def test_prove_names_both_sides(split: Zkprov) -> None:
    split("prove").expect(3, "UNSAFE")
    found = split("prove", "--output", "json").expect(3).json
    assert found["verdict"] == "unsafe" and found["witness"]


def test_add_node_refuses_and_touches_nothing(split: Zkprov) -> None:
    touched = Touched(split.lab, "zk8")
    split.add("zk8").expect(3, "Refused by R1: the ensemble is unsafe as it is", "zkprov status")
    split.add("zk8", "--override", "R1", "--reason", "hurry").expect(2, "R1", "cannot be overridden")
    assert split("plan", "add", "zk8", "--output", "json").expect(3).json["refusal"]["rule"] == "R1"
    touched.nothing()


def test_clients_alone_show_it_too(split: Zkprov) -> None:
    """Without an inventory, from servers of both sides."""
    one, two = leaders_of(split.lab)
    connect = ",".join(str(split.lab.host(i).client) for i in (1, two))
    found = split("status", "--connect", connect, "--output", "json", inventory=False).expect(3).json
    assert sorted(found["ensemble"]["leaders"]) == [one, two]
    # A static list gives no client addresses: of the second side this is all that can be asked.
    connect = ",".join(str(split.lab.host(i).client) for i in (1, next(i for i in (4, 5) if i != two)))
    split("status", "--connect", connect, inventory=False).expect(3, "UNSAFE")


def test_a_second_ensemble_at_a_host_of_clients_is_found_by_their_sessions(split: Zkprov) -> None:
    """Nobody named one of its servers: a host from which two of ours have sessions is asked. That host is 127.0.0.5 here."""
    _, two = leaders_of(split.lab)
    connect = ",".join(str(split.lab.host(i).client) for i in (1, 2, 3))
    split("status", "--connect", connect, inventory=False).expect(0, "SAFE")
    there = HostPort("127.0.0.5", split.lab.host(1).client_port)
    with forwarded(there, split.lab.host(two).client), sessions_from(there.host, split.lab.hosts[:2]):
        found = split("status", "--connect", connect, "--output", "json", inventory=False).expect(3).json
    (rogue,) = [s for s in found["servers"] if s["name"] == str(there)]
    assert rogue["role"] == "ROGUE" and rogue["id"] == two
    assert [i["shape"] for i in found["incidents"]] == ["second-leader"]


@contextlib.contextmanager
def forwarded(at: HostPort, to: HostPort) -> Iterator[None]:
    """A real server at another address of this machine: what is sent there goes to `to`."""

    def pump(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((to.host, to.port), timeout=5)
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    ends: list[socket.socket] = []
    with socket.create_server((at.host, at.port)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield
        finally:
            for end in ends:
                end.close()


@contextlib.contextmanager
def sessions_from(address: str, hosts: Iterable[InventoryHost]) -> Iterator[None]:
    """A session on each of these servers, from another address of this machine."""
    asked = struct.pack("!iiqiqi16sb", 45, 0, 0, 30_000, 0, 16, bytes(16), 0)
    with contextlib.ExitStack() as opened:
        for host in hosts:
            near = socket.create_connection((host.client.host, host.client.port), 5, source_address=(address, 0))
            opened.enter_context(near).sendall(asked)
            assert len(near.recv(64)) > 30, f"{host.name} opens no session"
        yield


def test_a_leader_that_is_frozen_and_woken_is_a_moment_and_no_outage(make_lab, tmp_path: Path) -> None:
    lab = make_lab(3, tick_ms=500)
    zkprov = Zkprov(lab, tmp_path / "runs")
    with client(*lab.founders) as session:
        session.create("/app", b"")
    old = next(i for i in (1, 2, 3) if mode(lab.host(i)) == "leader")
    others = [h for h in lab.founders if h.id != old]
    seen: list[tuple[float, str, list[int]]] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.is_set():
            found = zkprov("status", "--timeout", "1", "--output", "json").json["ensemble"]
            seen.append((time.monotonic(), found["verdict"], found["leaders"]))

    thread = threading.Thread(target=sample)
    freeze(lab, old)
    frozen = time.monotonic()
    try:
        wait_for(lambda: "leader" in [mode(h) for h in others])
        thread.start()
        wait_for(lambda: time.monotonic() - frozen > 3 and len(seen) >= 2)
    finally:
        thaw(lab, old)
    woken = time.monotonic()
    try:
        wait_for(lambda: sum(at > woken for at, verdict, _ in seen if verdict == "safe") >= 3)
    finally:
        ended.set()
        thread.join()
    verdicts = [verdict for _, verdict, _ in seen]
    assert "unsafe" not in verdicts, seen
    assert verdicts[-1] == "safe" and len(seen[-1][2]) == 1
    # The survey itself, faster than a command can be started: the two leaders of that moment.
    assert set(verdicts) <= {"safe", "degraded", "unknown"}


@contextlib.contextmanager
def lone_server(lab: Lab, server_id: int) -> Iterator[None]:
    """A server at a spare's address, with an ensemble and data of its own."""
    host = lab.host(server_id)
    local = LocalHost(host)
    local.fence("other")
    local.configure(founding.founders_files(host, [host]), "other")
    local.unfence("other")
    local.start()
    try:
        wait_for(lambda: mode(host) == "leader")
        with client(host) as session:
            session.create("/theirs", b"")
        yield
    finally:
        local.stop(0)


def test_another_ensemble_at_a_retired_address_is_a_stranger(make_lab, tmp_path: Path) -> None:
    lab = make_lab(3, tick_ms=1000)
    zkprov = Zkprov(lab, tmp_path / "runs")
    retired = RetiredDocument.of(Retired(9, "gone", lab.host(4).client, 0, "/old", "set aside")).encode()
    with client(*lab.founders, lab=lab) as session:
        session.create("/zkprov", b"")
        session.create("/zkprov/members", b"")
        session.create("/zkprov/ensemble", EnsembleDocument(uuid="6a7f", zkprov="0.1").encode())
        for i in (1, 2, 3):
            session.create(f"/zkprov/members/{i}", MemberDocument(confirmed=1 << 32, seasoned=True).encode())
        session.create("/zkprov/retired", b"")
        session.create("/zkprov/retired/9", retired)
    with lone_server(lab, 4):
        for with_host in (True, False):
            named = () if with_host else ("--connect", lab.connect.split(",")[0])
            done = zkprov("status", *named, "--output", "json", inventory=with_host)
            found = done.expect(0).json
            assert found["ensemble"]["verdict"] == "safe" and found["ensemble"]["rogues"] == []
            assert len(found["ensemble"]["strangers"]) == 1 and len(found["ensemble"]["leaders"]) == 1
            stranger = next(s for s in found["servers"] if s["role"] == "stranger")
            assert stranger["client"] == str(lab.host(4).client)
        zkprov("status").expect(0, "SAFE", "stranger")
        zkprov("check").expect(0)
