"""In CI: the files of docs/ci.md, played step by step as they stand there; what jobs leave behind; and the wait for another's lock."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from kazoo.client import KazooClient

from tests.real.driver import QUICK, Done, Running, Touched, Zkprov, client, events_in, live_config, wait_for
from zkprov.lab.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("ci")]
DOCS = Path(__file__).resolve().parents[2] / "docs" / "ci.md"
GITHUB, GITLAB = (yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", DOCS.read_text(), re.S | re.M))
FAST = "--settle 0 --samples 1"


class Runner:
    """A machine that runs the jobs: one checkout, one journal; `zkprov` on its PATH is this one, and asks on no terminal."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.artifacts, self.work = folder / "artifacts", folder / "work"
        for made in (self.artifacts, self.work, folder / "bin"):
            made.mkdir(parents=True)
        shim = folder / "bin" / "zkprov"
        shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m zkprov "$@"\n')
        shim.chmod(0o755)
        self.summary, self.output = folder / "summary.md", folder / "output"
        self.env = {
            **os.environ,
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(DOCS.parents[1]),
            "XDG_STATE_HOME": str(folder / "state"),
        }

    def shell(self, script: str, env: dict[str, str], *, options: tuple[str, ...] = ("-e",)) -> Done:
        """As a runner does it: bash that ends with the first command that fails."""
        began = time.monotonic()
        done = subprocess.run(
            ["bash", *options, "-c", script],
            cwd=self.work,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Done((script,), done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def named(self, env: dict[str, Any], **more: str) -> dict[str, str]:
        """The environment of the file, with the lab for the ensemble that it names."""
        here = {"ZKPROV_INVENTORY": str(self.lab.inventory_path), "ZKPROV_ENSEMBLE": self.lab.name}
        assert set(here) < set(env)
        return {**{k: str(v) for k, v in env.items()}, **here, **more}

    def junit(self, name: str) -> ET.Element:
        return ET.parse(self.work / name).getroot()


class Github(Runner):
    def job(self, name: str, plan: str = "plan", **env: str) -> tuple[Done, dict[str, str]]:
        """The end of the job's last command and its outputs, in a fresh checkout. `plan`: what that artifact is called here."""
        for left in self.work.iterdir():
            left.unlink()
        self.output.write_text("")
        self.summary.write_text("")
        done = None
        given = self.named(GITHUB["env"], **env, GITHUB_ACTIONS="true", GITHUB_OUTPUT=str(self.output))
        given["GITHUB_STEP_SUMMARY"] = str(self.summary)
        for step in GITHUB["jobs"][name]["steps"]:
            uses = step.get("uses", "")
            if step.get("name") == "install" or uses.startswith("actions/checkout"):
                continue
            assert done is None or not done.code or step.get("if") == "always()"
            if uses.startswith("actions/download-artifact"):
                (self.work / "plan.json").write_bytes((self.artifacts / plan).read_bytes())
            elif uses.startswith("actions/upload-artifact"):
                path = self.work / step["with"]["path"]
                if step.get("if", "").endswith("pending == 'true'") and "pending=true" not in self.output.read_text():
                    continue
                (self.artifacts / (plan if path.name == "plan.json" else path.name)).write_bytes(path.read_bytes())
            else:
                assert "${{" not in step["run"], "what is given from outside is no text of a script"
                done = self.shell(step["run"], given)
        assert done is not None
        pairs = (line.partition("=") for line in self.output.read_text().splitlines())
        return done, {key: value for key, _, value in pairs}


class Gitlab(Runner):
    def job(self, name: str, **env: str) -> Done:
        lines = GITLAB[name]["script"]
        return self.shell("\n".join(lines), self.named(GITLAB["variables"], **env, GITLAB_CI="true"))


@pytest.fixture(scope="module")
def lab(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab.create("ci", 3, home=tmp_path_factory.mktemp("ci"), tick_ms=1000)
    try:
        made.up()
        with client(*made.founders) as session:
            session.create("/app", b"")
        yield made
    finally:
        made.down()


@pytest.fixture
def zkprov(lab: Lab, tmp_path: Path) -> Zkprov:
    return Zkprov(lab, tmp_path / "runs")


def outcomes(root: ET.Element) -> dict[str, str]:
    """Case → passed, failure or skipped."""
    return {
        case.get("name", ""): next((c.tag for c in case if c.tag in ("failure", "skipped")), "passed")
        for case in root.iter("testcase")
    }


def test_commands_that_ask_do_not_ask_without_a_terminal(zkprov: Zkprov, lab: Lab, tmp_path: Path) -> None:
    touched = Touched(lab, "zk4")
    plan = tmp_path / "plan.json"
    zkprov("plan", "add", "zk4", *FAST.split(), "--out", str(plan)).expect(0)
    asking = (
        ("add-node", "zk4"),
        ("remove-node", "zk1", "--override", "R4", "--reason", "a test"),
        ("replace-node", "zk1", "zk4"),
        ("set-role", "zk1", "observer", "--override", "R4", "--reason", "a test"),
        ("apply", str(plan)),
        ("grant", "--to", f"digest:ops:{'A' * 27}="),
    )
    for command in asking:
        zkprov(*command).expect(2, "no terminal to ask on; say --yes")
    touched.nothing()


def test_a_bootstrap_does_not_ask_without_a_terminal(make_lab: Any, tmp_path: Path) -> None:
    bare = make_lab(3, start=False)
    junit = tmp_path / "junit.xml"
    asked = Zkprov(bare, tmp_path / "runs")("bootstrap", "--junit", str(junit))
    asked.expect(2, "no terminal to ask on; say --yes")
    assert outcomes(ET.parse(junit).getroot()) == {"zkprov bootstrap": "failure"}
    assert not Path(bare.host(1).config_dir).exists()


def test_a_junit_file_that_cannot_be_written_is_told_before_anything_is_touched(zkprov: Zkprov, lab: Lab) -> None:
    touched = Touched(lab, "zk4")
    for command in (("add-node", "zk4", *QUICK), ("check",), ("abort",)):
        zkprov(*command, "--junit", "/nowhere/junit.xml").expect(2, "/nowhere/junit.xml", "--junit")
    touched.nothing()


def test_a_refusal_is_one_case_that_failed(zkprov: Zkprov, tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    zkprov("remove-node", "zk1", "zk2", "zk3", *QUICK, "--junit", str(junit)).expect(3, "Refused by R4")
    root = ET.parse(junit).getroot()
    assert outcomes(root) == {"zkprov remove-node": "failure"}
    failure = next(root.iter("failure"))
    assert failure.get("type") == "R4" and "next  zkprov" in (failure.text or "")


def test_check_has_a_case_for_each_gate(zkprov: Zkprov, tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    done = zkprov("check", "--junit", str(junit), "--output", "json").expect(0)
    assert {f"gate {g['gate']}" for g in done.json["gates"]} == set(outcomes(ET.parse(junit).getroot()))


def test_another_runs_lock_is_waited_for(zkprov: Zkprov, lab: Lab, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    adding = ("add-node", "zk4", "--role", "observer", *QUICK, "--events", str(events))

    def waiting() -> Running:
        events.unlink(missing_ok=True)
        running = zkprov.start(*adding, "--lock-timeout", "1h")
        wait_for(lambda: [e for e in events_in(events) if e["kind"] == "waiting"], what="the wait")
        return running

    with client(*lab.founders, lab=lab) as session:
        lock = held(session)
        late = zkprov(*adding, "--lock-timeout", "2s").expect(5, "held by her@there run 77")
        assert late.took_s > 2 and "waiting for the lock, held by her@there run 77" in late.err
        waits = waiting()
        began = time.monotonic()
        waits.signal(signal.SIGTERM)
        waits.wait().expect(7, "before anything was begun")
        assert time.monotonic() - began < 5
        waits = waiting()
        zkprov("pause", "--reason", "freeze").expect(0)
        waits.wait(30).expect(5, "paused: freeze")
        zkprov("unpause").expect(0)
        assert "server.4=" not in live_config(*lab.founders)
        waits = waiting()
        lock.release()
        waits.wait().expect(0, "done: {1,2,3} +4o")


def held(session: KazooClient) -> Any:
    session.ensure_path("/zkprov")
    lock = session.Lock("/zkprov/lock", "her@there run 77")
    lock.acquire(timeout=10)
    return lock


def test_the_files_of_github_played_step_by_step(lab: Lab, tmp_path: Path) -> None:
    runner = Github(lab, tmp_path)
    jobs = GITHUB["jobs"]
    assert list(jobs) == ["plan", "apply", "resume"] and jobs["apply"]["environment"]
    assert "needs.apply.outputs.code == '7'" in jobs["resume"]["if"]

    # planned, and a second change planned for the same state
    done, outputs = runner.job("plan", CHANGE=f"add zk5 {FAST}")
    assert done.expect(0, "promote 5") and outputs == {"pending": "true"}
    assert "| 3 | promote 5 | {1,2,3,5} +4o | one quorum |" in runner.summary.read_text()
    assert set(outcomes(runner.junit("plan.xml")).values()) == {"skipped"}
    runner.job("plan", plan="other", CHANGE=f"add zk6 {FAST}")[0].expect(0)

    # approved, carried out; once more: nothing to do
    done, outputs = runner.job("apply")
    assert done.expect(0, "done: {1,2,3,5} +4o", "::notice title=zkprov apply ci::done") and outputs == {"code": "0"}
    assert list(outcomes(runner.junit("apply.xml")).values()) == ["passed"] * 3
    assert "voting; config" in runner.summary.read_text() and "longest pause" in runner.summary.read_text()
    before = live_config(*lab.founders)
    done, outputs = runner.job("apply")
    assert done.expect(0, "nothing to do") and outputs == {"code": "0"} and live_config(*lab.founders) == before

    # stale
    done, outputs = runner.job("apply", plan="other")
    done.expect(6, "the plan was made for {1,2,3} +4o", "::error title=zkprov apply ci%3A stale (exit 6)")
    assert outputs == {"code": "6"} and outcomes(runner.junit("apply.xml"))["zkprov apply"] == "failure"
    assert "**stale** (exit 6)" in runner.summary.read_text() and "plan again" in runner.summary.read_text()

    # cut off by the limit; the same job again is told so; resumed, on another machine
    runner.job("plan", CHANGE="add zk6 --settle 6s --samples 1")[0].expect(0)
    done, outputs = runner.job("apply", LIMIT="4s")
    assert done.expect(7, "zkprov resume").took_s < 4 + 5 + 1 and outputs == {"code": "7"}
    assert "failure" in outcomes(runner.junit("apply.xml")).values()
    assert "**interrupted** (exit 7)" in runner.summary.read_text()
    runner.job("apply")[0].expect(5, "is unfinished", "zkprov resume")
    elsewhere = Github(lab, tmp_path / "elsewhere")
    done, _ = elsewhere.job("resume")
    done.expect(0, "done: {1,2,3,5,6} +4o")
    assert set(outcomes(elsewhere.junit("resume.xml")).values()) <= {"passed", "skipped"}
    assert "done: {1,2,3,5,6} +4o" in elsewhere.summary.read_text()
    runner.job("apply")[0].expect(0, "nothing to do")


def test_the_files_of_gitlab_played_step_by_step(lab: Lab, tmp_path: Path) -> None:
    runner = Gitlab(lab, tmp_path)
    runner.job("apply").expect(0, "nothing to do")
    runner.job("plan", CHANGE="set-role zk1 observer " + FAST).expect(0, "becomes an observer")
    assert (runner.work / GITLAB["plan"]["artifacts"]["paths"][0]).exists()
    runner.job("apply").expect(0, "done: ")
    assert "passed" in outcomes(runner.junit(GITLAB["apply"]["artifacts"]["reports"]["junit"])).values()
    runner.job("apply").expect(0, "nothing to do")
    runner.job("plan", CHANGE="set-role zk1 observer " + FAST).expect(0, "nothing to do")
    runner.job("resume").expect(0, "nothing to resume")


def test_a_summary_that_cannot_be_written_is_a_warning(lab: Lab, tmp_path: Path) -> None:
    runner = Runner(lab, tmp_path)
    here = {"ZKPROV_INVENTORY": str(lab.inventory_path), "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "/nowhere/s"}
    done = runner.shell("zkprov check --output json", here).expect(0, "::warning", "could not be written")
    assert done.json["ensemble"]["verdict"] == "safe"
