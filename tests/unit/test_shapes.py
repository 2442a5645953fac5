"""The shapes as values, what fits them, what is told of them; and what a writer's record is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from zkprov.cli.breaking import break_
from zkprov.lab import breaking
from zkprov.lab import names as name_servers
from zkprov.lab.incident import FILE, Incident, Side, incident_of, keep
from zkprov.lab.lab import Lab
from zkprov.lab.record import State
from zkprov.lab.shapes.registry import SHAPES, shape_of
from zkprov.lab.writer import Acknowledged
from zkprov.lab.writers import FOLDER, acknowledged, records, running_writers, stop_writers
from zkprov.model.inventory import InventoryHost
from zkprov.model.posture import Posture
from zkprov.model.problems import BadInput

NAMED = """
    outage static-3-5 blind-joiners paused-seed pair lonely promoted-rogue wiped-two wiped-and-stale restored-founders
    merged epoch-loop captured full-disk-leader unresolvable-name pending-promotion
"""


def lab_of(
    folder: Path,
    servers: int = 3,
    hosts: int = 9,
    *,
    static: bool = False,
    release: str = "3.9.5",
    settings: dict[str, str] | None = None,
    posture: Posture = Posture.PLAIN,
) -> Lab:
    """As it is on disk before it was ever started."""
    made = tuple(
        InventoryHost(
            name=f"zk{i}",
            address="127.0.0.1",
            id=i,
            connection="local",
            config_dir=str(folder / f"zk{i}" / "conf"),
            data_dir=str(folder / f"zk{i}" / "data"),
            data_log_dir=str(folder / f"zk{i}" / "datalog"),
            log_dir=str(folder / f"zk{i}" / "log"),
            release=release,
            settings={"db.autocreate": "false"} if settings is None else settings,
            posture=posture,
        )
        for i in range(1, hosts + 1)
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lab.json").write_bytes(msgspec.json.encode(State(folder.name, release, servers, made, static)))
    return Lab(folder)


def misfits(lab: Lab, shape: str) -> str:
    return "; ".join(breaking.misfits(lab, SHAPES[shape]))


def test_every_known_way_is_there_and_is_explained_in_two_lines() -> None:
    assert sorted(SHAPES) == sorted(NAMED.split())
    for name, shape in SHAPES.items():
        assert shape.name == name and len(shape.about) == 2
        assert all(20 < len(line) < 120 and "\n" not in line for line in shape.about), name
        assert shape.needs.servers + shape.needs.spares <= 9
    page = (Path(__file__).parents[2] / "docs" / "incidents.md").read_text()
    assert all(f"`{name}`" in page for name in SHAPES), "the page of incidents tells each"


def test_list_says_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(break_, ["--list"])
    assert done.exit_code == 0
    for name, shape in SHAPES.items():
        assert name in done.output and all(line in done.output for line in shape.about)
    assert max(map(len, done.output.splitlines())) <= 140
    helped = CliRunner().invoke(break_, ["--help"])
    assert all(name in helped.output for name in (*SHAPES, "freeze", "thaw", "kill"))


def test_a_shape_that_is_not_known_names_the_nearest() -> None:
    with pytest.raises(BadInput) as refused:
        shape_of("wiped-too")
    assert refused.value.remedy == "zkprov lab break wiped-two"
    with pytest.raises(BadInput) as refused:
        shape_of("xyz")
    assert refused.value.remedy == "zkprov lab break --list"
    done = CliRunner().invoke(break_, [])
    assert done.exit_code == 2 and "--list" in done.output


@pytest.mark.parametrize(
    ("shape", "made", "why"),
    [
        ("outage", {"static": True}, ""),
        ("outage", {}, ""),
        ("outage", {"hosts": 5}, "it has 2 spares, not 4"),
        ("outage", {"servers": 5}, "it has 5 servers, not 3"),
        ("merged", {}, "its list is dynamic"),
        ("restored-founders", {"static": True}, "its list is static"),
        ("wiped-two", {}, "its zoo.cfg has db.autocreate=false"),
        ("wiped-two", {"settings": {}}, ""),
        ("unresolvable-name", {"static": True}, "it is ZooKeeper 3.9.5, not 3.8.3"),
        ("unresolvable-name", {"static": True, "release": "3.8.3"}, "its zoo.cfg has no quorumListenOnAllIPs"),
        ("unresolvable-name", {"static": True, "release": "3.8.3"}, "its servers have no names"),
        ("pair", {"release": "3.6.4"}, ""),
        ("pair", {"posture": Posture.TLS}, "its clients or servers must say who they are"),
    ],
)
def test_what_fits(tmp_path: Path, shape: str, made: dict[str, object], why: str) -> None:
    found = misfits(lab_of(tmp_path / "one", **made), shape)  # type: ignore[arg-type]
    assert why in found if why else not found


def test_a_lab_is_broken_once(tmp_path: Path) -> None:
    lab = lab_of(tmp_path / "one")
    (lab.folder / FILE).write_text("")
    assert misfits(lab, "pair") == "it was broken already, and not wholly"
    incident = Incident("pair", ("did",), (Side("new", (4, 5), 5, "two"),), (), 1.5)
    keep(lab.folder, incident)
    assert incident_of(lab.folder) == incident
    assert misfits(lab, "outage") == "it was broken already (pair)"
    with pytest.raises(BadInput) as refused:
        breaking.ready_for("one", SHAPES["outage"], home=tmp_path)
    assert "the lab 'one' does not fit outage" in refused.value.problem
    assert refused.value.remedy.startswith("zkprov lab break outage --name outage ")
    assert refused.value.exit_code == 2 and not list(running_writers(lab.folder))
    with pytest.raises(BadInput, match=r"unresolvable-name is of ZooKeeper 3\.8\.3 only"):
        breaking.ready_for("new", SHAPES["unresolvable-name"], release="3.9.5", home=tmp_path)
    assert not (tmp_path / "new").exists()
    other = lab_of(tmp_path / "other")
    with pytest.raises(BadInput, match=r"it is ZooKeeper 3\.9\.5, not 3\.6\.4"):
        breaking.ready_for(other.name, SHAPES["pair"], release="3.6.4", home=tmp_path)
    taken = lab_of(tmp_path / "outage", 5)
    with pytest.raises(BadInput) as refused:
        breaking.ready_for("outage", SHAPES["outage"], home=tmp_path)
    assert "--name outage_2 " in refused.value.remedy and taken.read() is not None


def test_servers_that_were_added_do_not_fit(tmp_path: Path) -> None:
    lab = lab_of(tmp_path / "one")
    for i in (1, 2, 3):
        Path(lab.host(i).config_dir).mkdir(parents=True)
    assert not misfits(lab, "pair")
    Path(lab.host(4).config_dir).mkdir(parents=True)
    assert misfits(lab, "pair") == "servers were added to it"


def test_a_record_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    assert acknowledged(tmp_path) == () and records(tmp_path) == ()
    (tmp_path / FOLDER).mkdir()
    lines = [Acknowledged("old", "create", f"/lab/writes/old-{i}", "x", i, 0, 1.0, "127.0.0.1:1") for i in range(3)]
    whole = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    (tmp_path / FOLDER / "old.jsonl").write_bytes(whole + b'{"writer": "ol')
    assert acknowledged(tmp_path) == tuple(lines)
    assert set(json.loads(whole.split(b"\n")[0])) == {
        *("writer", "kind", "path", "data", "zxid", "version", "time", "server")
    }


def test_writers_are_found_by_their_lab_and_ended(tmp_path: Path) -> None:
    """One that never reaches a server; another lab's is left alone."""
    (tmp_path / "a" / FOLDER).mkdir(parents=True)
    (tmp_path / "ab" / FOLDER).mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": str(Path(breaking.__file__).parents[2])}
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "zkprov.lab.writer",
                str(tmp_path / lab / FOLDER / "old.jsonl"),
                "127.0.0.1:1",
            ],
            env=environment,
        )
        for lab in ("a", "ab")
    ]
    try:
        assert list(running_writers(tmp_path / "a")) == [started[0].pid]
        assert stop_writers(tmp_path / "a") == 1 and stop_writers(tmp_path / "a") == 0
        assert started[0].wait(5) == -9
        record = tmp_path / "ab" / FOLDER / "old.jsonl"
        while not record.exists():
            assert started[1].poll() is None
        # whatever has removed its lab, it does not go on
        record.unlink()
        assert started[1].wait(20) == 0
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_server_can_be_made_to_forget_a_name(tmp_path: Path) -> None:
    hosts = [InventoryHost(name=f"zk{i}", address=name_servers.name_of("a_b", i), id=i) for i in (1, 2)]
    name_servers.lay(tmp_path, hosts)
    assert (tmp_path / "zk1.names").read_text() == "127.0.0.1 zk1.a-b.invalid\n127.0.0.1 zk2.a-b.invalid\n"
    name_servers.know(tmp_path, hosts[0], [hosts[1].address])
    assert (tmp_path / "zk1.names").read_text() == "127.0.0.1 zk2.a-b.invalid\n"
    assert str(tmp_path / "zk1.names") in " ".join(name_servers.flags(tmp_path, 1))
