"""Labs on real servers: they come up, are found again, can be broken, and are gone after `down` whatever was killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from zkprov.act.local import LocalHost
from zkprov.act.processes import running_servers
from zkprov.lab import default_lab, ports
from zkprov.lab.asked import make_or_open
from zkprov.lab.lab import Lab
from zkprov.lab.outage import freeze, kill, make_outage, thaw, wipe
from zkprov.lab.ready import mode
from zkprov.model.problems import BadInput, Busy, NotHealthy
from zkprov.observe.inventory import read_auth, read_inventory

pytestmark = pytest.mark.real

COMMAND = [sys.executable, "-c", "from zkprov.cli.lab import lab; lab()"]


def wait_for(fact: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def modes(lab: Lab, *ids: int) -> list[str]:
    return [mode(lab.host(i).client_port) for i in ids]


def servers_under(folder: Path) -> list[int]:
    return [p.pid for p in running_servers() if p.zoo_cfg.startswith(f"{folder.resolve()}/")]


def test_three_servers_come_up_are_found_again_and_are_gone(make_lab, lab_home: Path) -> None:
    lab = make_lab(3)
    assert sorted(modes(lab, 1, 2, 3)) == ["follower", "follower", "leader"]
    assert lab.up() is False, "all was up already"

    status = Lab.open(lab.name).status()
    assert [s.up for s in status.servers] == [True] * 3 + [False] * 6
    assert status.connect == ",".join(f"127.0.0.1:{h.client_port}" for h in lab.founders)
    for server in status.servers[:3]:
        rss_kb = int(Path(f"/proc/{server.pid}/status").read_text().split("VmRSS:")[1].split()[0])
        assert rss_kb < 130_000, f"server {server.id} takes {rss_kb // 1000} MB"
    for server in status.servers[3:]:
        assert not (lab.folder / server.name).exists(), "a spare has no files"

    found = default_lab()
    assert found is not None and found.folder == lab.folder
    lab.down()
    assert servers_under(lab_home) == [] and not lab.folder.exists() and default_lab() is None
    lab.down()


def test_its_inventory_is_read_as_it_was_meant_and_its_secrets_are_its_owners(make_lab) -> None:
    lab = make_lab(2, start=False)
    inventory = read_inventory(str(lab.inventory_path))
    assert inventory.ensemble == lab.name
    assert inventory.hosts == lab.hosts
    scheme, credential = read_auth(inventory.auth_file or "")
    assert scheme == "digest" and credential.startswith("super:")
    for secret in (lab.inventory_path, lab.auth_file, lab.folder / "lab.json"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600, secret
    assert stat.S_IMODE(lab.folder.stat().st_mode) == 0o700


def test_no_secret_is_on_a_command_line_and_the_super_user_may_reconfig(make_lab) -> None:
    from kazoo.client import KazooClient
    from kazoo.security import make_digest_acl  # noqa: F401 — the import fails where kazoo is not whole

    lab = make_lab(1)
    _, credential = read_auth(str(lab.auth_file))
    for process in lab.processes():
        assert b"superDigest" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert credential.split(":")[1].encode() not in environment
    client = KazooClient(lab.connect, auth_data=[("digest", credential)])
    client.start(10)
    try:
        data, _ = client.get("/zookeeper/config")
        assert b"server.1=127.0.0.1" in data and b"version=100000000" in data
        # Writable for the super user only: a reconfig of nothing but the same server is accepted.
        client.reconfig(joining=data.decode().splitlines()[0], leaving=None, new_members=None)
    finally:
        client.stop()
        client.close()


def test_two_labs_stand_side_by_side_and_several_up_are_no_default(make_lab) -> None:
    one, two = make_lab(1), make_lab(1)
    taken = [
        p
        for lab in (one, two)
        for h in lab.hosts
        for p in (h.client_port, h.quorum_port, h.election_port, h.admin_port)
    ]
    assert len(set(taken)) == len(taken)
    assert modes(one, 1) == modes(two, 1) == ["leader"]
    with pytest.raises(BadInput, match="several labs are up: lab1, lab2"):
        default_lab()
    two.down()
    assert modes(one, 1) == ["leader"]


def test_a_killed_server_is_started_again_by_up_with_its_data(make_lab) -> None:
    lab = make_lab(3)
    kill(lab, 2)
    assert mode(lab.host(2).client_port) == ""
    assert not LocalHost(lab.host(2)).is_active()
    assert lab.up() is True
    assert "" not in modes(lab, 1, 2, 3)


def test_frozen_and_thawed_and_wiped(make_lab) -> None:
    lab = make_lab(3)
    freeze(lab, 1)
    assert LocalHost(lab.host(1)).is_active(), "a frozen server is a running one"
    assert mode(lab.host(1).client_port) == ""
    thaw(lab, 1)
    wait_for(lambda: bool(mode(lab.host(1).client_port)))
    wipe(lab, 1)
    assert not LocalHost(lab.host(1)).has_data()
    assert (Path(lab.host(1).data_dir) / "myid").exists()
    with pytest.raises(NotHealthy, match="not up"):
        freeze(lab, 1)


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_the_outage_is_two_leaders_each_with_its_followers(make_lab, static: bool) -> None:
    lab = make_lab(3, static=static)
    new = make_outage(lab)
    assert [h.id for h in new] == [4, 5, 6, 7]
    wait_for(lambda: "" not in modes(lab, 1, 2, 3, 4, 5, 6, 7))
    assert sorted(modes(lab, 1, 2, 3)) == ["follower", "follower", "leader"]
    assert sorted(modes(lab, 4, 5, 6, 7)) == ["follower"] * 3 + ["leader"]


def test_an_outage_needs_spares(make_lab) -> None:
    lab = make_lab(1, spares=1)
    with pytest.raises(BadInput, match="two spares at the least; the lab has 1 and 1"):
        make_outage(lab)


def test_an_ensemble_that_says_little(make_lab) -> None:
    lab = make_lab(1, whitelist="srvr", admin=False)
    assert modes(lab, 1) == ["leader"]
    host = lab.host(1)
    with socket.create_connection(("127.0.0.1", host.client_port), timeout=5) as connection:
        connection.sendall(b"mntr")
        assert b"not in the whitelist" in connection.recv(4096)
    assert host.admin is None and "admin.enableServer=false" in (Path(host.config_dir) / "zoo.cfg").read_text()


@pytest.mark.parametrize("release", ["3.8.6", "3.6.4", "3.5.10"])
def test_older_releases(make_lab, release: str) -> None:
    lab = make_lab(2, release=release)
    assert sorted(modes(lab, 1, 2)) == ["follower", "leader"]
    assert ("db.autocreate" in lab.hosts[0].settings) == (release != "3.5.10")


def test_up_killed_at_any_moment_is_finished_by_up_or_removed_by_down(make_lab, lab_home: Path) -> None:
    for i, pause_s in enumerate((0.25, 0.45, 0.6, 0.8, 1.2)):
        name = f"cut{i}"
        command = subprocess.Popen([*COMMAND, "up", "--servers", "2", "--name", name], stdout=subprocess.DEVNULL)
        # Not a wait for a fact: the moment of the kill is what varies here.
        time.sleep(pause_s)
        command.send_signal(signal.SIGKILL)
        command.wait()
        if i % 2:
            lab = make_or_open(name, servers=2, release=None, tick_ms=None)
            lab.up()
            assert sorted(modes(lab, 1, 2)) == ["follower", "leader"]
        for lab in Lab.list():
            lab.down()
        assert servers_under(lab_home) == [] and Lab.list() == []
    assert not list(lab_home.iterdir())


def test_down_finds_servers_whose_files_and_records_are_gone(make_lab, lab_home: Path) -> None:
    lab = make_lab(2)
    (Path(f"{lab.host(1).config_dir}.zkprov") / "server").unlink()
    (lab.folder / "lab.json").write_text("{")
    (lab.folder / "inventory.yml").unlink()
    assert len(servers_under(lab_home)) == 2
    Lab(lab.folder).down()
    assert servers_under(lab_home) == []


def test_the_command_says_where_everything_is(make_lab, lab_home: Path) -> None:
    def run(*arguments: str) -> str:
        return subprocess.run([*COMMAND, *arguments], check=True, capture_output=True, text=True).stdout

    try:
        assert "zk1 are up" in run("up", "--servers", "1")
        assert "were up already" in run("up", "--servers", "1")
        document = json.loads(run("status", "--output", "json"))
        assert Path(document["inventory"]).is_file() and document["connect"].startswith("127.0.0.1:")
        server = document["servers"][0]
        assert server["up"] and Path(f"/proc/{server['pid']}").exists() and Path(server["data_dir"]).is_dir()
        assert document["servers"][1]["pid"] is None
        text = run("status")
        assert str(server["pid"]) in text and "spare" in text and max(map(len, text.splitlines()[4:])) < 200
        assert "all removed" in run("down", "--all")
        assert "no lab" in run("down")
    finally:
        for lab in Lab.list():
            lab.down()


def test_a_lab_that_differs_from_what_is_asked_is_refused(make_lab) -> None:
    lab = make_lab(1, start=False)
    with pytest.raises(BadInput, match=r"--servers: the lab 'lab1' is there, with 1, not 5"):
        make_or_open(lab.name, servers=5, release=None, tick_ms=None)
    with pytest.raises(BadInput, match="--release"):
        make_or_open(lab.name, servers=1, release="3.8.6", tick_ms=None)
    assert make_or_open(lab.name, servers=1, release=None, tick_ms=None).folder == lab.folder
    with pytest.raises(BadInput, match="already"):
        Lab.create(lab.name, 1)


@pytest.mark.parametrize("name", ["", "../x", "a b", "A", "all", "x" * 40, "a;b"])
def test_names_that_cannot_be(lab_home: Path, name: str) -> None:
    with pytest.raises(BadInput, match="not a name for a lab"):
        Lab.open(name)


@pytest.mark.parametrize("servers", [0, -1, 10])
def test_numbers_that_cannot_be(lab_home: Path, servers: int) -> None:
    with pytest.raises(BadInput, match="1 to 9 servers"):
        Lab.create("numbers", servers)
    assert Lab.list() == []


def test_two_commands_on_one_lab_take_turns(make_lab) -> None:
    import fcntl

    lab = make_lab(1, start=False)
    descriptor = os.open(lab.folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        lab.lock_timeout_s = 0.2
        with pytest.raises(Busy, match="another command works on the lab"):
            lab.down()
    finally:
        os.close(descriptor)


def test_ports_are_given_back_and_not_given_twice(tmp_path: Path) -> None:
    folders = [tmp_path / str(i) for i in range(20)]
    for folder in folders:
        folder.mkdir()
    bases = [ports.claim(folder) for folder in folders]
    try:
        assert len(set(bases)) == 20 and all(b + 36 < 32_768 for b in bases)
    finally:
        for folder in folders:
            ports.release(folder)
