"""Each known way to a second ensemble, made on real servers: what is stated of it is true when the servers themselves are asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.incidents.asked import children, held, leader_of, leaders, mode, opens_no_session
from tests.incidents.conftest import Broken
from tests.real.driver import COMMAND, Zkprov, wait_for
from zkprov.cli.breaking import break_
from zkprov.lab.breaking import break_lab
from zkprov.lab.incident import Incident, incident_of
from zkprov.lab.lab import Lab
from zkprov.lab.shapes.registry import SHAPES
from zkprov.lab.shapes.scene import logged
from zkprov.lab.shapes.shape import Shape
from zkprov.lab.writers import acknowledged, read, running_writers
from zkprov.model.problems import BadInput

pytestmark = pytest.mark.real


@pytest.mark.matrix(keep=2)
@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_what_is_stated_of_it(broken: Broken, tmp_path: Path, name: str) -> None:
    shape = SHAPES[name]
    lab, incident = broken(name)
    assert incident.shape == name and incident.did and incident.sides
    who_leads_whom(lab, incident, shape)
    who_writes(lab, incident, shape)
    if shape.after.lost:
        an_acknowledged_write_is_missing(lab, incident)
    if shape.after.differ:
        one_leader_and_different_data(lab, incident)
    if shape.after.logged:
        left = [lab.host(i) for side in incident.sides if side.leader is None for i in side.servers]
        assert any(logged(host, shape.after.logged) > 1 for host in left)
        assert shape.after.leaders is None or not any(mode(host) for host in left), "they form nothing"
    if not shape.after.commits:
        (side,) = incident.sides
        assert side.leader and opens_no_session(lab.host(side.leader))
    if shape.after.leaders is not None and not shape.after.differ:
        # what differs is seen with the next digest (test_ways_out.py)
        assert Zkprov(lab, tmp_path / "runs")("status").code in (3, 4)


def who_leads_whom(lab: Lab, incident: Incident, shape: Shape) -> None:
    if shape.after.leaders is None:
        return
    stated = sorted(side.leader for side in incident.sides if side.leader)
    wait_for(lambda: leaders(lab.hosts) == stated, what=f"{stated} lead")
    assert len(stated) == shape.after.leaders
    for side in incident.sides:
        serving = [lab.host(i) for i in side.servers if mode(lab.host(i))]
        assert bool(serving) == bool(side.leader)
        for host in serving:
            if mode(host) != "standalone":
                assert leader_of(host) == side.leader, (side, host.name)


def who_writes(lab: Lab, incident: Incident, shape: Shape) -> None:
    """Whoever is acknowledged something goes on to be, and each record is one that others can read."""
    assert {line.writer for line in acknowledged(lab.folder)} == {writer.name for writer in incident.writers}
    for writer in incident.writers:
        lines = read(Path(writer.record))
        assert {line.kind for line in lines} >= {"create", "ephemeral", "set"}, writer.name
        assert all(line.zxid > 0 and line.data and line.path.startswith("/lab") for line in lines)
    for side in incident.sides:
        for writer in incident.writers:
            if side.leader and shape.after.commits and writer.name == side.name:
                before = len(read(Path(writer.record)))
                wait_for(lambda r=Path(writer.record), b=before: len(read(r)) > b + 2)


def an_acknowledged_write_is_missing(lab: Lab, incident: Incident) -> None:
    creates = {
        line.path.rpartition("/")[2]
        for line in acknowledged(lab.folder)
        if line.kind == "create" and line.writer == "old" and line.path.startswith("/lab/writes/old-")
    }
    for side in incident.sides:
        if side.leader:
            for server in side.servers:
                there = children(lab.host(server), "/lab/writes")
                assert creates - there, f"{server} has every write that was acknowledged"


def one_leader_and_different_data(lab: Lab, incident: Incident) -> None:
    (side,) = incident.sides
    trees = [held(lab.host(server)) for server in side.servers]
    # what is written now reaches all, so only what is old is compared
    end = max(znode[1] for znode in trees[0].values())
    old = [{path: znode for path, znode in tree.items() if znode[1] < end} for tree in trees]
    assert len({tuple(sorted(tree.items())) for tree in old}) > 1
    assert any(set(a) - set(b) for a in old for b in old), "a znode is on one server and not on another"


def test_the_command_makes_a_lab_breaks_it_once_and_ends_its_writers(software: None, lab_home: Path) -> None:
    def typed(*arguments: str) -> Result:
        return CliRunner().invoke(break_, arguments)

    try:
        done = typed("lonely", "--name", "odd")
        assert done.exit_code == 0, done.output
        lab = Lab.open("odd")
        incident = incident_of(lab.folder)
        assert incident is not None and len(list(running_writers(lab.folder))) == len(incident.writers) == 3
        assert lab.status().records == tuple(sorted(writer.record for writer in incident.writers))
        told = (*incident.did, *lab.status().records, "zkprov status", "zkprov lab down --name odd")
        assert all(words in done.output for words in told)
        again = typed("lonely", "--name", "odd")
        assert isinstance(again.exception, BadInput) and "broken already (lonely)" in str(again.exception)
        assert "3 writers are ended" in typed("--stop-writers", "--name", "odd").output
        assert not list(running_writers(lab.folder))
        before = acknowledged(lab.folder)
        with Path(incident.writers[0].record).open("ab") as record:
            record.write(b'{"writer":"old","ki')
        assert before and acknowledged(lab.folder) == before
    finally:
        for lab in Lab.list():
            lab.down()
            assert not list(running_writers(lab.folder)) and not lab.processes()


def test_a_break_that_is_killed_leaves_nothing_that_down_does_not_end(software: None, lab_home: Path) -> None:
    command = subprocess.Popen([*COMMAND, "lab", "break", "outage", "--name", "cut"], stdout=subprocess.DEVNULL)
    folder = lab_home / "cut"
    try:
        wait_for(lambda: list(running_writers(folder)), 60)
        command.kill()
        command.wait()
        lab = Lab.open("cut")
        assert incident_of(folder) is None
        with pytest.raises(BadInput, match="broken already, and not wholly"):
            break_lab("cut", SHAPES["pair"])
        assert list(running_writers(folder)) and lab.processes(), "both outlive the command"
        lab.down()
        assert not list(running_writers(folder)) and not lab.processes() and not folder.exists()
    finally:
        command.kill()
        command.wait()
        for lab in Lab.list():
            lab.down()
