"""Bad input and ensembles that cannot be changed: one clear error with its place and the way out, and nothing is touched."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.driver import Touched, Zkprov, client, edited_inventory, live_config, mode, wait_for
from zkprov.act.local import LocalHost
from zkprov.lab import founding
from zkprov.lab.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("bad_input")]


@pytest.fixture(scope="module")
def calm(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkprov]:
    """Two servers; nothing here may change them."""
    home = tmp_path_factory.mktemp("bad")
    lab = Lab.create("bad", 2, home=home, tick_ms=500)
    try:
        lab.up()
        with client(*lab.founders) as session:
            session.create("/app", b"")
        yield Zkprov(lab, home / "runs")
    finally:
        lab.down()


@pytest.fixture
def untouched(calm: Zkprov) -> Iterator[None]:
    """The list, the ledger (there is none) and the joiner's folders stay as the test laid them out."""
    yield
    with client(*calm.lab.founders) as session:
        assert session.exists("/zkprov") is None
        assert b"version=100000000" in session.get("/zookeeper/config")[0]


@contextlib.contextmanager
def file(path: str, content: str = "x") -> Iterator[None]:
    """A file, and the folders for it, gone afterwards."""
    at = Path(path)
    made = [p for p in at.parents if not p.exists()]
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text(content)
    try:
        yield
    finally:
        at.unlink()
        for folder in made:
            folder.rmdir()


@pytest.mark.usefixtures("untouched")
def test_a_joiner_that_does_not_come_in_empty(calm: Zkprov) -> None:
    host = calm.lab.host(4)
    for path, said in (
        (f"{host.data_dir}/version-2/snapshot.0", "version-2 holds data"),
        (f"{host.data_log_dir}/version-2/log.1", "version-2 holds data"),
        (f"{host.data_log_dir}/initialize", "an `initialize` file would let it vote while empty"),
    ):
        with file(path):
            touched = Touched(calm.lab, "zk4")
            calm.add("zk4").expect(3, "Refused by R5: zk4 does not come in empty", said, "aside on zk4")
            touched.nothing()


@pytest.mark.usefixtures("untouched")
def test_a_server_that_runs_there(calm: Zkprov) -> None:
    """Of the same list, by hand and too early: what many a script does."""
    host = calm.lab.host(4)
    local = LocalHost(host)
    files = founding.founders_files(host, [*calm.lab.founders, host])
    del files["initialize"]
    local.fence("script")
    local.configure(files, "script")
    local.unfence("script")
    local.start()
    try:
        wait_for(lambda: mode(host) == "follower")
        calm.add("zk4").expect(3, "Refused by R5: a server runs on zk4 already", "aside on zk4")
        assert mode(host) == "follower", "it is left alone"
    finally:
        local.stop(0)
        local.set_aside("script")


@contextlib.contextmanager
def listening(port: int) -> Iterator[None]:
    """Something takes the port, and says nothing."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield


@contextlib.contextmanager
def web(port: int) -> Iterator[None]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.usefixtures("untouched")
def test_a_client_port_that_is_taken(calm: Zkprov) -> None:
    port = calm.lab.host(4).client_port
    for taken in (listening, web):
        with taken(port):
            touched = Touched(calm.lab, "zk4")
            calm("add-node", "zk4", "--yes", "--timeout", "1").expect(
                4, "Refused by R5: what is at the client port of zk4 cannot be told", "zkprov_client_port"
            )
            touched.nothing()


@pytest.mark.usefixtures("untouched")
def test_no_super_user_or_a_wrong_password(calm: Zkprov, tmp_path: Path) -> None:
    touched = Touched(calm.lab, "zk4")
    none = edited_inventory(calm.lab, tmp_path / "none.yml", everywhere={"zkprov_auth_file": None})
    calm.with_inventory(none).add("zk4").expect(
        4, "cannot be changed from here", "no right to reconfig", "zkprov_auth_file"
    )
    wrong_file = tmp_path / "auth"
    wrong_file.write_text("digest:super:guessed\n")
    wrong_file.chmod(0o600)
    wrong = edited_inventory(calm.lab, tmp_path / "wrong.yml", everywhere={"zkprov_auth_file": str(wrong_file)})
    done = calm.with_inventory(wrong).add("zk4").expect(4, "no right to reconfig", "zkprov_auth_file")
    assert "guessed" not in done.said
    wrong_file.chmod(0o644)
    calm.with_inventory(wrong).add("zk4").expect(2, "others can read the auth file", "chmod 600")
    wrong_file.unlink()
    calm.with_inventory(wrong).add("zk4").expect(2, "cannot read the auth file", str(wrong_file))
    touched.nothing()


@pytest.mark.usefixtures("untouched")
def test_inventories_that_cannot_be(calm: Zkprov, tmp_path: Path) -> None:
    touched = Touched(calm.lab, "zk4")
    # The whole table of values is in tests/unit/test_inventory.py: here, that the command stops at one of each kind.
    hostile = {
        "zkprov_address": "zk4\nserver.9=evil:1:2",
        "zkprov_id": 256,
        "zkprov_client_port": calm.lab.host(1).client_port,
        "zkprov_data_dir": "/tmp/$(reboot)",
        "zkprov_settings": {"server.9": "evil:1:2"},
        "zkprov_jvm_flags": ["-Dzookeeper.DigestAuthenticationProvider.superDigest=super:x"],
        "zkprov_nonsense": 1,
    }
    for variable, value in hostile.items():
        path = edited_inventory(calm.lab, tmp_path / f"{variable}.yml", "zk4", **{variable: value})
        calm.with_inventory(path).add("zk4").expect(2, "error", "zk4", path.name, variable)
    for name, content in (("empty.yml", ""), ("cut.yml", "all:\n  children: {")):
        (tmp_path / name).write_text(content)
        calm.with_inventory(tmp_path / name).add("zk4").expect(2, "error", name)
    calm.with_inventory(tmp_path / "not-there.yml").add("zk4").expect(2, "not-there.yml")
    touched.nothing()


@pytest.mark.usefixtures("untouched")
def test_a_journal_that_is_none(calm: Zkprov, tmp_path: Path) -> None:
    touched = Touched(calm.lab, "zk4")
    junk, newer, folder = tmp_path / "junk.db", tmp_path / "newer.db", tmp_path / "folder"
    junk.write_bytes(b"not a database" * 500)
    with contextlib.closing(sqlite3.connect(newer)) as database:
        database.execute("PRAGMA user_version=99")
    folder.mkdir()
    for journal, said in (
        (junk, "the journal cannot be used"),
        (newer, "journal of format 99; this zkprov reads up to"),
        (folder, "the journal cannot be used"),
        (Path("/proc/nowhere/journal.db"), "the journal cannot be used"),
    ):
        zkprov = Zkprov(calm.lab, tmp_path / f"runs-{journal.stem}")
        zkprov.journal = journal
        zkprov.add("zk4").expect(2, str(journal.name), said)
    assert junk.read_bytes() == b"not a database" * 500
    touched.nothing()


@pytest.mark.usefixtures("untouched")
def test_events_that_cannot_be_written(calm: Zkprov, tmp_path: Path) -> None:
    touched = Touched(calm.lab, "zk4")
    calm.add("zk4", "--events", str(tmp_path / "no" / "events")).expect(2, "cannot be written", "--events")
    calm.add("zk4", "--events", "-", "--output", "json").expect(2, "--events")
    for wrong in ("--season", "--settle", "--step-timeout"):
        calm("add-node", "zk4", "--yes", wrong, "soon").expect(2, "is not a duration", wrong)
    calm.add("zk4", "--override", "R4").expect(2, "an override needs a reason")
    calm.add("zk4", "--override", "R99", "--reason", "x").expect(2, "R99")
    touched.nothing()


def test_a_disk_that_cannot_be_written(calm: Zkprov) -> None:
    """A file stands where its folders should be: root writes through every read-only mode, but not through this."""
    host = calm.lab.host(5)
    folder = str(Path(host.config_dir).parent)
    with file(folder, "in the way"):
        done = calm.add("zk5").expect(4, "zk5: cannot write", folder, "nothing was begun", "next")
        assert Path(folder).read_text() == "in the way", done
    wait_for(lambda: calm("check").code == 0)
    calm("resume").expect(0, "nothing to resume")


def test_an_election_port_that_is_taken(calm: Zkprov) -> None:
    """Such a server would follow, be promoted, and end seconds later."""
    host = calm.lab.host(5)
    for port, variable in ((host.election_port, "zkprov_election_port"), (host.quorum_port, "zkprov_quorum_port")):
        with listening(port):
            calm.add("zk5").expect(4, f"zk5: port {port} ({variable}) is taken", "undone")
        assert not LocalHost(host).exists() and LocalHost(host).fenced_by() is None
    assert "server.5=" not in live_config(*calm.lab.founders)


def test_reconfig_switched_off(make_lab, tmp_path: Path) -> None:
    lab = make_lab(2, settings={"reconfigEnabled": "false"})
    zkprov = Zkprov(lab, tmp_path / "runs")
    touched = Touched(lab, "zk4")
    done = zkprov.add("zk4")
    assert done.code in (3, 4) and "reconfigEnabled" in done.said and "the leader last" in done.said, done
    zkprov("status").expect(0, "SAFE")
    touched.nothing()


def test_a_static_ensemble(make_lab, tmp_path: Path) -> None:
    lab = make_lab(3, static=True)
    zkprov = Zkprov(lab, tmp_path / "runs")
    touched = Touched(lab, "zk4")
    zkprov.add("zk4").expect(3, "Refused by R12", "static", "next")
    assert json.loads(zkprov("plan", "add", "zk4", "--output", "json").expect(3).out)["refusal"]["rule"] == "R12"
    zkprov("status").expect(0, "SAFE")
    zkprov("prove").expect(0, "SAFE")
    touched.nothing()
