"""`status` and `check` on real servers: readable at 80 columns, whole as JSON, and the right exit code in every state."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.driver import Zkprov, client, mode, wait_for, word
from zkprov.lab.lab import Lab
from zkprov.lab.outage import kill

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("status")]


@pytest.fixture(scope="module")
def three(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkprov]:
    home = tmp_path_factory.mktemp("status")
    lab = Lab.create("kafka", 3, home=home, tick_ms=1000)
    try:
        lab.up()
        yield Zkprov(lab, home / "runs")
    finally:
        lab.down()


def test_it_says_what_the_servers_say(three: Zkprov) -> None:
    with client(*three.lab.founders) as session:
        session.create("/busy", b"")
        found = three("status", "--output", "json").expect(0).json
        assert found["format"] == 1 and found["ensemble"]["name"] == "kafka"
        assert found["ensemble"]["verdict"] == "safe" and found["ensemble"]["spare"] == 1
        assert found["ensemble"]["answered"] == 3 and found["ensemble"]["uuid"] is None
        assert sum(s["clients"] for s in found["servers"]) == 1, "our own sessions are no clients"
    assert [s["id"] for s in found["servers"]] == [1, 2, 3], "spares are no servers"
    for server, host in zip(found["servers"], three.lab.founders, strict=True):
        said = word(host)
        assert server["mode"] == mode(host)
        assert server["release"] == three.lab.release
        assert server["client"] == str(host.client) and server["config_version"] == "100000000"
        assert server["voting"] is True and server["epoch"] == 1 and not server["unseen"]
        assert int(server["zxid"], 16) <= int(said.partition("Zxid: ")[2].split()[0], 16)
    leader = next(s["id"] for s in found["servers"] if s["mode"] == "leader")
    assert {s["leader"] for s in found["servers"]} == {leader} and found["ensemble"]["leaders"] == [leader]


def test_it_is_described_by_its_schema(three: Zkprov) -> None:
    import msgspec

    from zkprov.report.documents import StatusDocument

    done = three("check", "--output", "json").expect(0)
    assert msgspec.json.decode(done.out, type=StatusDocument, strict=True).ensemble.name == "kafka"
    assert (
        json.loads(done.out).keys()
        == msgspec.json.schema(StatusDocument)["$defs"]["StatusDocument"]["properties"].keys()
    )


def test_it_fits_a_narrow_screen_and_holds_no_colour(three: Zkprov) -> None:
    for command in ("status", "check"):
        done = three(command).expect(0, "kafka", "SAFE", "one leader")
        assert "\x1b" not in done.out and done.err == ""
        assert max(map(len, done.out.splitlines())) <= 100, done.out
        rows = [line for line in done.out.splitlines() if " voter " in line]
        assert len(rows) == 3 and all(len(row.rstrip()) <= 80 for row in rows), done.out


def test_the_environment_names_the_ensemble_too(three: Zkprov, monkeypatch: pytest.MonkeyPatch) -> None:
    three("status", inventory=False).expect(2, "no ensemble is named", "ZKPROV_INVENTORY", "zkprov lab up")
    monkeypatch.setenv("ZKPROV_INVENTORY", str(three.lab.inventory_path))
    three("status", inventory=False).expect(0, "SAFE")
    monkeypatch.setenv("ZKPROV_ENSEMBLE", "other")
    three("status", inventory=False).expect(2, "no group 'other'", "kafka")


def test_watch_looks_again_until_it_is_stopped(three: Zkprov) -> None:
    running = three.start("status", "--watch", "--interval", "0.2")
    out = three.folder / f"{three._started}.out"
    wait_for(lambda: out.read_text().count("SAFE") >= 3)
    running.signal(signal.SIGINT)
    done = running.wait(10)
    assert done.code == 0 and "Traceback" not in done.err, done


def test_a_broken_pipe_is_no_traceback(three: Zkprov, tmp_path: Path) -> None:
    import subprocess
    import sys

    err = tmp_path / "err"
    command = (
        f"{sys.executable} -m zkprov -i {three.lab.inventory_path} status --watch --interval 0.2 2>{err} | head -1"
    )
    said = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False).stdout
    assert "SAFE" in said and "Traceback" not in err.read_text()


def test_degraded_and_without_quorum(three: Zkprov) -> None:
    followers = [i for i in (1, 2, 3) if mode(three.lab.host(i)) == "follower"]
    try:
        kill(three.lab, followers[0])
        three("status").expect(0, "DEGRADED", "0 may fail")
        three("check").expect(4, "DEGRADED", "members answer")
        degraded = three("status", "--output", "json").expect(0).json
        assert degraded["ensemble"]["verdict"] == "degraded" and degraded["ensemble"]["spare"] == 0
        kill(three.lab, followers[1])
        wait_for(lambda: not any(mode(h) for h in three.lab.founders))
        lost = three("status", "--output", "json").expect(4).json["ensemble"]
        assert lost["verdict"] == "unknown" and lost["leaders"] == [] and lost["spare"] == -1
        three("check").expect(4)
        three.add("zk4").expect(3, "Refused by R4", "in sync without the joiner: {}", "next")
    finally:
        three.lab.up()
    wait_for(lambda: three("check").code == 0)
