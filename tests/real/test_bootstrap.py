"""An ensemble made of bare hosts: one founder, then one server at a time; cut off, it goes on; refused where anything lies.

The hosts are this machine's; how they are reached makes no difference to the steps, and has tests of its own.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.real.driver import Running, Zkprov, client, mode, some_instant, wait_for
from zkprov.act.local import LocalHost
from zkprov.lab.lab import Lab
from zkprov.observe.inventory import read_inventory
from zkprov.run.world import World

pytestmark = pytest.mark.real
QUICK = ("--yes", "--samples", "1", "--sample-interval", "0.1", "--step-timeout", "20")


@pytest.fixture
def bare(make_lab, tmp_path: Path) -> Zkprov:
    """Three hosts with nothing on them, and no spares."""
    return Zkprov(make_lab(3, start=False, spares=0), tmp_path / "runs")


def members(lab: Lab) -> list[str]:
    with client(*(lab.host(n) for n in (1, 2, 3))) as session:
        lines = session.get("/zookeeper/config")[0].decode().splitlines()
    return [line.split("=")[0] + line.rsplit(":", 2)[1].split(";")[0] for line in lines if line.startswith("server.")]


VOTERS = ["server.1participant", "server.2participant", "server.3participant"]


def started(running: Running, words: str) -> None:
    wait_for(lambda: words in running._err.read_text() + running._out.read_text(), what=words)


def test_three_bare_hosts_become_an_ensemble_and_then_its_founding_is_over(bare: Zkprov) -> None:
    first = bare("bootstrap", *QUICK).expect(0, "found 1 on zk1", "then add zk2", "then add zk3", "done: {1,2,3}")
    assert "seasoned" not in first.said, "founders are no newcomers"
    status = bare("status", "--output", "json").expect(0).json
    assert status["ensemble"]["verdict"] == "safe" and len(status["ensemble"]["leaders"]) == 1
    assert members(bare.lab) == VOTERS
    bare("bootstrap", *QUICK).expect(0, "every host is a member; nothing to do")
    with World(read_inventory(str(bare.lab.inventory_path))) as world:
        ledgers = [f.ledger.value for f in world.survey().servers]
    assert all(x and not x.founding and {m.seasoned for m in x.members.values()} == {True} for x in ledgers)
    assert all(LocalHost(bare.lab.host(n)).fenced_by() is None for n in (1, 2, 3))


def test_nothing_is_done_for_a_look(bare: Zkprov) -> None:
    bare("status").expect(4, "zkprov bootstrap makes an ensemble of them")
    bare("bootstrap", "--dry-run").expect(0, "found 1 on zk1")
    bare("bootstrap").expect(2, "--yes")
    assert not any(Path(bare.lab.host(n).config_dir).exists() for n in (1, 2, 3))


@pytest.mark.matrix(keep=1)
@pytest.mark.parametrize(
    "words",
    [
        "zk1: install, configure",
        "zk1: start 1",
        "boot is founded",
        "start 2",
        "promote 2",
        "start 3",
        "admit 3",
        "promote 3",
    ],
)
def test_killed_anywhere_it_goes_on(make_lab, tmp_path: Path, words: str, rng: random.Random) -> None:
    zkprov = Zkprov(make_lab(3, name="boot", start=False, spares=0), tmp_path / "runs")
    running = zkprov.start("bootstrap", *QUICK)
    started(running, words)
    some_instant(running, rng, 0.4)
    running.process.kill()
    running.process.wait()
    zkprov("bootstrap", *QUICK).expect(0)
    assert members(zkprov.lab) == VOTERS
    status = zkprov("status", "--output", "json").expect(0).json
    assert len(status["ensemble"]["leaders"]) == 1 and not status["ensemble"]["rogues"]
    zkprov("bootstrap", *QUICK).expect(0, "nothing to do")


def test_refused_where_anything_lies_or_answers(make_lab, tmp_path: Path) -> None:
    zkprov = Zkprov(make_lab(3, start=False, spares=0), tmp_path / "runs")
    third = zkprov.lab.host(3)
    data = Path(third.data_dir) / "version-2"
    data.mkdir(parents=True)
    (data / "snapshot.0").write_text("somebody's")
    zkprov("bootstrap", *QUICK).expect(3, "R5", "zk3 does not come in empty")
    (data / "snapshot.0").unlink()
    data.rmdir()
    marker = Path(third.data_log_dir) / "initialize"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text("")
    zkprov("bootstrap", *QUICK).expect(3, "R5", "zk3")
    marker.unlink()
    assert not Path(zkprov.lab.host(1).config_dir).exists(), "nothing was touched"
    other = make_lab(1, spares=0)
    taken = tmp_path / "taken.yml"
    text = zkprov.lab.inventory_path.read_text()
    taken.write_text(text.replace(str(third.client_port), str(other.host(1).client_port)))
    zkprov.with_inventory(taken)("bootstrap", *QUICK).expect(3, "R6", "zk3 is the leader of an ensemble of its own")


def test_a_founder_that_holds_data_is_started_again_and_never_laid_anew(bare: Zkprov) -> None:
    """Cut off before the ledger, written to by somebody, and down: its host is still the founding's."""
    first = LocalHost(bare.lab.host(1))
    running = bare.start("bootstrap", *QUICK)
    started(running, "zk1: start 1")
    running.process.kill()
    running.process.wait()
    first.start()
    wait_for(lambda: mode(first.host) == "leader", what="the founder leads")
    with client(first.host) as session:
        session.create("/app", b"mine")
    first.stop(5)
    assert first.fenced_by() == "bootstrap-zk1" and first.has_data()
    bare("bootstrap", "--dry-run").expect(0, "its server has run: it is started again")
    running = bare.start("bootstrap", *QUICK)
    wait_for(lambda: mode(first.host) == "leader", what="the founder leads again")
    with client(first.host) as session:
        assert session.get("/app")[0] == b"mine"
    running.process.kill()
    running.process.wait()
    assert "what an earlier attempt left" not in running._done().said


def test_without_a_super_user_nothing_is_founded(bare: Zkprov, tmp_path: Path) -> None:
    text = bare.lab.inventory_path.read_text()
    nobody = tmp_path / "nobody.yml"
    nobody.write_text("".join(x for x in text.splitlines(keepends=True) if "zkprov_auth_file" not in x))
    bare.with_inventory(nobody)("bootstrap", *QUICK).expect(
        2, "nobody could change this ensemble", "zkprov_super_password"
    )
    assert not Path(bare.lab.host(1).config_dir).exists()


def test_two_people_at_once_make_one_ensemble(bare: Zkprov, tmp_path: Path) -> None:
    """Also where each would have another founder."""
    hosts = read_inventory(str(bare.lab.inventory_path)).hosts
    other = tmp_path / "other.yml"
    text = bare.lab.inventory_path.read_text()
    first, second = text.index("zk1:"), text.index("zk2:")
    third = text.index("zk3:")
    other.write_text(text[:first] + text[second:third] + text[first:second] + text[third:])
    assert [h.name for h in read_inventory(str(other)).hosts] == ["zk2", "zk1", "zk3"] and len(hosts) == 3
    mine, theirs = bare.start("bootstrap", *QUICK), bare.with_inventory(other).start("bootstrap", *QUICK)
    codes = [mine.wait().code, theirs.wait().code]
    assert set(codes) <= {0, 4, 5, 7}, "\n".join(str(r._done()) for r in (mine, theirs))
    found = read_inventory(str(bare.lab.inventory_path)).hosts
    leading = [h for h in found if Path(h.data_dir, "initialize").exists() or Path(h.config_dir).exists()]
    status = bare("status", "--output", "json").json["ensemble"]
    assert len(status["leaders"]) <= 1 and status["verdict"] != "unsafe", (status, leading)
    if 0 not in codes:
        # each was in the other's way; whoever comes next makes it
        bare("bootstrap", *QUICK).expect(0)
    assert members(bare.lab) == VOTERS


def test_once_there_is_data_the_founding_is_over_whatever_became_of_it(bare: Zkprov) -> None:
    running = bare.start("bootstrap", *QUICK)
    started(running, "start 2")
    running.process.kill()
    running.process.wait()
    with client(bare.lab.host(1)) as session:
        session.create("/app", b"mine")
    bare("resume", timeout_s=60).expect(4, "R2 newcomers")
    assert members(bare.lab) == VOTERS[:2]
    # two empty servers would be a quorum of three
    bare("plan", "add", "zk3", "--settle", "0").expect(3, "R2", "newcomers would be a quorum")
    bare("bootstrap", *QUICK).expect(3, "R10", "stands here already", "zkprov add-node zk3")
