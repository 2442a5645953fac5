"""A plan is saved, looked at, and carried out later: only while the ensemble and all that it was made from are what they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.driver import Touched, Zkprov, client, edited_inventory, live_config
from zkprov.act.local import LocalHost
from zkprov.lab.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("plan_apply")]
FAST = ("--settle", "0", "--samples", "1")


@pytest.fixture(scope="module")
def three(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkprov]:
    home = tmp_path_factory.mktemp("planned")
    lab = Lab.create("planned", 3, home=home, tick_ms=1000)
    try:
        lab.up()
        with client(*lab.founders) as session:
            session.create("/app", b"")
        yield Zkprov(lab, home / "runs")
    finally:
        lab.down()


def saved(zkprov: Zkprov, path: Path, *hosts: str) -> Path:
    zkprov("plan", "add", *hosts, *FAST, "--out", str(path)).expect(0, f"saved to {path}", "zkprov apply")
    return path


def test_a_plan_is_made_without_a_change_and_holds_no_secret(three: Zkprov, tmp_path: Path) -> None:
    touched = Touched(three.lab, "zk4")
    plan = saved(three, tmp_path / "plan.json", "zk4", "zk5")
    three("plan", "add", "zk4", "--detailed-exitcode").expect(10)
    document = json.loads(plan.read_text())
    steps = document["plan"]["steps"]
    assert [s["kind"] for s in steps] == ["start", "admit", "promote"] * 2
    assert [s["spare_after"] for s in steps] == [1, 1, 1, 1, 1, 2]
    assert document["plan"]["base"]["version"] == 0x100000000
    password, digest = three.lab.auth_file.read_text().strip().split(":")[2], "superDigest"
    assert password not in plan.read_text() and digest not in plan.read_text()
    with client(*three.lab.founders) as session:
        assert session.exists("/zkprov") is None
    touched.nothing()


def test_a_plan_that_was_cut_off_edited_or_is_of_a_newer_format(three: Zkprov, tmp_path: Path) -> None:
    touched = Touched(three.lab, "zk4")
    plan = saved(three, tmp_path / "plan.json", "zk4")
    text = plan.read_text()
    document = json.loads(text)
    newer = {**document, "format": 99, "plan": {**document["plan"], "zkprov": "9.9.0"}}
    edited = text.replace('"season_s": 900.0', '"season_s": 1.0')
    assert edited != text
    wrong = {
        "cut off": (text[: len(text) // 2], "not a plan, or cut off"),
        "empty": ("", "not a plan, or cut off"),
        "edited": (edited, "the plan was edited after it was made"),
        "newer": (json.dumps(newer), "a plan of format 99"),
        "other": ("[1, 2]", "not a plan"),
        "junk": ("\x00\xff", "not a plan"),
        "deep": ("[" * 100_000, "not a plan"),
    }
    for name, (content, said) in wrong.items():
        bad = tmp_path / f"{name}.json"
        bad.write_text(content)
        three("apply", str(bad), "--yes").expect(2, str(bad).split("/")[-1], said)
    three("apply", str(tmp_path / "newer.json"), "--yes").expect(2, "use zkprov 9.9.0")
    three("apply", str(tmp_path / "none.json"), "--yes").expect(2, "does not exist")
    three("plan", "add", "zk4", *FAST, "--out", "/nowhere/plan.json").expect(2, "cannot be written", "--out")
    touched.nothing()


def test_an_inventory_or_templates_that_changed_since(three: Zkprov, tmp_path: Path) -> None:
    touched = Touched(three.lab, "zk4")
    plan = saved(three, tmp_path / "plan.json", "zk4")
    other = edited_inventory(three.lab, tmp_path / "other.yml", "zk4", zkprov_settings={"tickTime": "1234"})
    three.with_inventory(other)("apply", str(plan), "--yes").expect(6, "the inventory is not the one", "plan again")
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "zoo.cfg.j2").write_text("# ours\n")
    three("apply", str(plan), "--yes", "--templates", str(templates)).expect(6, "the templates are not those")
    touched.nothing()


def test_a_template_that_cannot_be_used_is_refused_before_the_run_begins(three: Zkprov, tmp_path: Path) -> None:
    touched = Touched(three.lab, "zk4")
    templates = tmp_path / "templates"
    templates.mkdir()
    mine = templates / "zoo.cfg.j2"
    for text, said in (("{{ nowhere }}\n", "'nowhere' is undefined"), ("standaloneEnabled=true\n", "is not allowed")):
        mine.write_text(text)
        three("add-node", "zk4", "--yes", *FAST, "--templates", str(templates)).expect(2, "zoo.cfg", said)
    touched.nothing()
    assert LocalHost(three.lab.host(4)).fenced_by() is None
    three("resume").expect(0, "nothing to resume")


def test_every_host_that_is_missing_and_roles_by_the_inventory(three: Zkprov, tmp_path: Path) -> None:
    touched = Touched(three.lab, "zk4")
    three("plan", "add", "--all-missing", "--settle", "0").expect(0, "promote 4", "promote 9")
    three("plan", "add").expect(2, "--all-missing")
    three("plan", "add", "zk4", "--all-missing").expect(2, "not both")
    reads = three.with_inventory(edited_inventory(three.lab, tmp_path / "reads.yml", "zk4", zkprov_role="observer"))
    alone = reads("plan", "add", "zk4", "--settle", "0").expect(0, "admit 4 as observer")
    assert "promote 4" not in alone.said
    reads("plan", "add", "zk4", "zk5").expect(2, "hosts of both roles", "zk4 is to be observer")
    reads("plan", "add", "zk4", "--role", "participant", "--settle", "0").expect(0, "promote 4")
    touched.nothing()


def test_data_that_came_since_is_left_alone(three: Zkprov, tmp_path: Path) -> None:
    plan = saved(three, tmp_path / "plan.json", "zk4")
    data = Path(three.lab.host(4).data_log_dir) / "version-2" / "log.1"
    data.parent.mkdir(parents=True)
    data.write_text("somebody's")
    touched = Touched(three.lab, "zk4")
    three("apply", str(plan), "--yes").expect(4, "R5", "zk4")
    touched.nothing()
    assert data.read_text() == "somebody's" and LocalHost(three.lab.host(4)).fenced_by() is None
    data.unlink()
    data.parent.rmdir()


def test_another_history(three: Zkprov, make_lab, tmp_path: Path) -> None:
    """The same list at the same version, and another ensemble: every server lost its disk, and was founded again."""
    lab = make_lab(1)
    zkprov = Zkprov(lab, tmp_path / "runs")
    with client(lab.host(1)) as session:
        session.create("/app", b"")
    plan = saved(zkprov, tmp_path / "plan.json", "zk2")
    host = lab.host(1)
    local = LocalHost(host)
    local.stop(0)
    local.set_aside("first")
    from zkprov.lab import founding

    local.fence("again")
    local.configure(founding.founders_files(host, [host]), "again")
    local.unfence("again")
    lab.up()
    with client(host) as session:
        session.create("/app", b"")
        version = session.get("/zookeeper/config")[0].decode()
    assert "version=100000000" in version
    zkprov("apply", str(plan), "--yes").expect(6, "another history", "/app@")
    assert not LocalHost(lab.host(2)).exists()


def test_a_plan_is_applied_once_and_stale_plans_are_not(three: Zkprov, tmp_path: Path) -> None:
    first = saved(three, tmp_path / "first.json", "zk4")
    second = saved(three, tmp_path / "second.json", "zk5")
    three("apply", str(first)).expect(2, "no terminal to ask on; say --yes")
    three("apply", str(first), "--yes").expect(0, "done: {1,2,3,4}")
    stale = three("apply", str(second), "--yes").expect(6, "the plan was made for {1,2,3}", "zkprov plan add")
    assert "the list is {1,2,3,4}" in stale.said
    before = live_config(*three.lab.founders)
    three("apply", str(first), "--yes").expect(0, "nothing to do", "the list is {1,2,3,4}")
    once = three("apply", str(first), "--yes", "--output", "json").expect(0).json["result"]
    assert once["state"] == "done" and live_config(*three.lab.founders) == before
    assert not LocalHost(three.lab.host(5)).exists()
    assert "server.5=" not in live_config(*three.lab.founders)
    again = saved(three, tmp_path / "second.json", "zk5")
    result = three("apply", str(again), "--yes", "--output", "json").expect(0).json["result"]
    assert result["state"] == "done" and result["exit_code"] == 0
