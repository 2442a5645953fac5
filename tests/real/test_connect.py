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


def test_with_the_client_port_alone(quiet: Lab, look: Zkprov) -> None:
    with contextlib.ExitStack() as doors, nothing_changes(quiet):
        at = [doors.enter_context(words_closed(h.client)) for h in quiet.founders]
        connect = ",".join(str(a) for a in at)
        # By the list the servers are also found at their own ports, where `srvr` is open: what is asked is the doors.
        done = looked(look, "status", "--connect", connect)
        assert done.code in (0, 4), done
        found = looked(look, "status", "--connect", connect, "--output", "json").json
        behind = [s for s in found["servers"] if s["client"] in {str(a) for a in at}]
        assert len(behind) == 3
        for server in behind:
            assert server["mode"] is None and server["config_version"] == "100000000"
            assert any("srvr" in u for u in server["unseen"])


def test_addresses_that_cannot_be_or_do_not_answer(quiet: Lab, look: Zkprov) -> None:
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
