"""Ensembles that zkprov did not set up, looked at through client ports alone: what can be said is said, and nothing is changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.driver import Done, Zkprov, client, tree, wait_for
from tests.real.test_survey import words_closed
from zkprov.lab.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("connect")]


@pytest.fixture(scope="module")
def quiet(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three servers with `srvr` alone, no AdminServer, and somebody's znodes."""
    home = tmp_path_factory.mktemp("quiet")
    lab = Lab.create("quiet", 3, home=home, whitelist="srvr", admin=False, spares=0)
    try:
        lab.up()
        with client(*lab.founders) as session:
            session.create("/app/a", b"x", makepath=True)
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def static(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The same, with the list in each zoo.cfg: most ensembles in the world are like this."""
    home = tmp_path_factory.mktemp("static")
    lab = Lab.create("static", 3, home=home, whitelist="srvr", admin=False, spares=0, static=True)
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


@pytest.fixture
def look(quiet: Lab, tmp_path: Path) -> Zkprov:
    return Zkprov(quiet, tmp_path / "runs")


@contextlib.contextmanager
def nothing_changes(lab: Lab) -> Iterator[None]:
    """No znode, and no stat of one, differs afterwards; no session but this one is left."""
    with client(*lab.founders) as session:
        before = tree(session)
        yield
        assert tree(session) == before


def looked(zkprov: Zkprov, *arguments: str) -> Done:
    return zkprov(*arguments, inventory=False)


def test_with_srvr_alone(quiet: Lab, look: Zkprov) -> None:
    with nothing_changes(quiet):
        done = looked(look, "status", "--connect", quiet.connect).expect(0, "SAFE", "one leader")
        told = done.said.partition("not told")[2]
        assert "mntr" in told and "disk" in told and "zabstate" in told
        found = looked(look, "status", "--connect", quiet.connect, "--output", "json").expect(0).json
        assert found["ensemble"]["members"] == [1, 2, 3] and len(found["ensemble"]["leaders"]) == 1
        assert sorted(s["mode"] for s in found["servers"]) == ["follower", "follower", "leader"]
        assert all(any("mntr" in u for u in s["unseen"]) for s in found["servers"])
        looked(look, "check", "--connect", quiet.connect).expect(0, "SAFE", "disks were not read")
        looked(look, "prove", "--connect", quiet.connect).expect(0, "SAFE")


def test_one_address_is_enough_to_find_the_rest(quiet: Lab, look: Zkprov) -> None:
    with nothing_changes(quiet):
        first = quiet.connect.split(",")[0]
        found = looked(look, "status", "--connect", first, "--output", "json").expect(0).json
        assert found["ensemble"]["members"] == [1, 2, 3] and found["ensemble"]["answered"] == 3


@contextlib.contextmanager
def behind_doors(lab: Lab) -> Iterator[str]:
    """Where to connect to reach the client ports and no word."""
    with contextlib.ExitStack() as doors:
        yield ",".join(str(doors.enter_context(words_closed(h.client))) for h in lab.founders)


def test_a_static_ensemble_with_srvr_alone(static: Lab, tmp_path: Path) -> None:
    """Its list gives no client addresses, and `srvr` no ids: which server is which is told by the sessions."""
    look = Zkprov(static, tmp_path / "runs")
    with nothing_changes(static):
        found = looked(look, "status", "--connect", static.connect, "--output", "json").expect(0).json
        assert found["ensemble"]["verdict"] == "safe" and found["ensemble"]["answered"] == 3
        assert [(s["id"], s["role"], s["client"]) for s in found["servers"]] == [
            (h.id, "voter", str(h.client)) for h in static.founders
        ]
        leader = next(s["id"] for s in found["servers"] if s["mode"] == "leader")
        assert found["ensemble"]["leaders"] == [leader]
        for command in ("check", "prove"):
            looked(look, command, "--connect", static.connect).expect(0, "SAFE")


def test_with_the_client_port_alone(static: Lab, tmp_path: Path) -> None:
    look = Zkprov(static, tmp_path / "runs")
    with behind_doors(static) as connect, nothing_changes(static):
        done = looked(look, "status", "--connect", connect).expect(0, "SAFE", "one leader, not told which")
        assert "srvr is not in 4lw.commands.whitelist" in done.said.partition("not told")[2]
        found = looked(look, "status", "--connect", connect, "--output", "json").expect(0).json
        assert found["ensemble"]["leaders"] == [] and found["ensemble"]["spare"] == 1
        assert [s["id"] for s in found["servers"]] == [1, 2, 3]
        for server in found["servers"]:
            assert server["mode"] is None and server["config_version"] == "0" and server["history"]
            assert any("srvr" in u for u in server["unseen"])
        looked(look, "check", "--connect", connect).expect(0, "SAFE", "synced", "unknown")
        looked(look, "prove", "--connect", connect).expect(0, "SAFE", "nobody has seen the files of")


def test_one_server_under_two_names_is_one_server(quiet: Lab, look: Zkprov) -> None:
    """By another name of the host, or through a door: what it tells under either is told of the one."""
    with behind_doors(quiet) as doors:
        for connect in (f"{quiet.connect},{quiet.connect.replace('127.0.0.1', 'localhost')}", doors):
            found = looked(look, "status", "--connect", connect, "--output", "json").expect(0).json
            assert found["ensemble"]["verdict"] == "safe" and found["ensemble"]["asked"] == 3
            assert [s["id"] for s in found["servers"]] == [1, 2, 3]
            assert sorted(s["mode"] for s in found["servers"]) == ["follower", "follower", "leader"]
            looked(look, "prove", "--connect", connect).expect(0, "SAFE")


def test_addresses_that_cannot_be_or_do_not_answer(quiet: Lab, look: Zkprov) -> None:
    looked(look, "prove", "--connect", "127.0.0.1:1").expect(
        4, "no list of any server could be read", "next zkprov status"
    )
    looked(look, "status", "--connect", "127.0.0.1:x").expect(2, "--connect: not host:port: '127.0.0.1:x'")
    looked(look, "status", "--connect", "127.0.0.1:99999").expect(2, "not host:port")
    looked(look, "status", "--connect", "").expect(2)
    looked(look, "status", "--connect", "127.0.0.1:1", "--timeout", "1").expect(4, "UNKNOWN")
    looked(look, "check", "--connect", "127.0.0.1:1", "--timeout", "1").expect(4)
    looked(look, "prove", "--connect", "127.0.0.1:1", "--timeout", "1").expect(4, "UNKNOWN", "no list")
    looked(look, "status", "--connect", "no-such-host.invalid:2181", "--timeout", "2").expect(4, "UNKNOWN")


def test_sessions_end_with_the_look(quiet: Lab, look: Zkprov) -> None:
    def sessions() -> int:
        found = looked(look, "status", "--connect", quiet.connect, "--output", "json").json
        return max(s["clients"] or 0 for s in found["servers"])

    wait_for(lambda: sessions() == 0)
