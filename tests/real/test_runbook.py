"""A runbook runs unattended through short windows on real servers: it rests between two members, is killed, and does nothing twice."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.real.driver import Load, Zkprov, epoch, mode, wait_for, word
from zkprov.run.journal import Journal

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("runbook")]
QUICK = ("--yes", "--samples", "2", "--sample-interval", "0.1", "--step-timeout", "20")


def restarts(journal: Path, run: str = "") -> list[str]:
    """Of each run in the journal, or one, which members were restarted, in order."""
    known = Journal(journal, create=False)
    runs = [run] if run else [r.id for r in known.runs()]
    done = [e.evidence["step"] for r in runs for e in known.events(r) if e.kind == "step.done"]
    known.close()
    return [str(step) for step in done if str(step).startswith("restart ")]


CHANGES = {
    "restart": "restart: {{settle: '{{{{ settle }}}}', {quick}, step-timeout: 20s, reason: nightly}}",
    "upgrade": "upgrade: {{to: 3.9.5, settle: '{{{{ settle }}}}', soak: 1s, no-backup: true, {quick}, step-timeout: 10s}}",
}


@pytest.mark.matrix(keep=1, of="runbooks on real servers", among="long changes")
@pytest.mark.parametrize("change", CHANGES)
def test_through_windows_killed_and_resumed(make_lab: Any, tmp_path: Path, change: str) -> None:
    lab = make_lab(3) if change == "restart" else make_lab(3, release="3.8.6", also=["3.9.5"])
    zkprov, hosts = Zkprov(lab, tmp_path / "runs"), list(lab.founders)
    zkprov("restart", *QUICK).expect(0)
    journal = Journal(zkprov.journal)
    unit_s = journal.measured(lab.name)["restart"]
    journal.close()
    # a window has room for some of them, not for all, however slow this machine is now
    command_s = zkprov("check").expect(0).took_s
    settle_s, length_s = max(2.0, unit_s), 2 * unit_s + 4 * command_s + 3
    if change == "upgrade":
        # that a release is laid out was never measured: it may take the whole of its time
        settle_s, length_s = settle_s + 6, length_s + 10
    every_s = int(length_s) + 6
    begin = datetime.now(UTC) + timedelta(seconds=1)
    heard, book = tmp_path / "heard", tmp_path / "book.yml"
    book.write_text(f"""
runbook: nightly
ensemble: {lab.name}
parameters: {{settle: 1s}}
window:
  time_zone: UTC
  start: {begin:%Y-%m-%dT%H:%M:%S}
  recurrence: FREQ=SECONDLY;INTERVAL={every_s}
  length: {length_s:.1f}s
notify: {{command: [sh, -c, 'cat >> {heard}; echo >> {heard}']}}
steps:
  - name: healthy before
    check: {{}}
    takes: 1s
  - {CHANGES[change].format(quick="samples: 2, sample-interval: 0.1s")}
  - name: healthy after
    check: {{}}
    takes: 1s
""")
    run = ("runbook", "run", str(book), "--set", f"settle={settle_s:.1f}")
    closed = tmp_path / "closed.yml"
    closed.write_text(book.read_text().replace(f"{begin:%Y-%m-%d}", f"{begin + timedelta(30):%Y-%m-%d}"))
    zkprov("runbook", "run", str(closed)).expect(5, "no window is open; the next opens")
    zkprov("runbook", "run", str(closed), "--scheduled").expect(0)
    was = epoch(hosts[0])
    with Load(hosts, per_s=50) as load:
        wait_for(lambda: datetime.now(UTC) >= begin, what="the window")
        rested = zkprov(*run, "--output", "json").expect(7)
        record = rested.json
        assert record["state"] == "resting" and [s["outcome"] for s in record["steps"]] == ["done", "begun", "pending"]
        plan = record["steps"][1]["plan"]
        first = restarts(zkprov.journal, plan)
        assert 1 <= len(first) < 3, "it rests between two members"
        assert all(mode(h) for h in hosts), "and nobody is down meanwhile"
        zkprov("runbook", "status").expect(0, "nightly", "resting", "2 of 3")
        # what stands unfinished is nobody else's to change, nor the runbook's file
        if change == "restart":
            zkprov("restart", *QUICK).expect(5, plan)
        else:
            assert {word(h, "srvr").partition("version: ")[2][:5] for h in hosts} == {"3.8.6", "3.9.5"}, "in its midst"
        zkprov(*run[:-1], "settle=9", "--wait").expect(6, "not what it was when this run began")
        # killed while a member is restarted: the command that it began goes on, and holds its lock
        running = zkprov.start(*run, "--wait")
        wait_for(lambda: "run.resumed" in kinds(zkprov.journal, plan), 2 * every_s + 20, what="the second window")
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
        held = zkprov(*run, "--wait")
        if held.code == 5:
            held.expect(5, "is being run on", f"pid {running.process.pid}")
            wait_for(lambda: zkprov("history", "--output", "json").json[0]["state"] != "running", 60)
            deadline = time.monotonic() + 3 * every_s
            while (held := zkprov(*run, "--wait")).code == 5 and time.monotonic() < deadline:
                pass
        held.expect(0, "healthy after", "done")
        wait_for(lambda: all(mode(h) for h in hosts))
    assert sorted(restarts(zkprov.journal, plan)) == ["restart 1", "restart 2", "restart 3"], (
        "each once, over all windows"
    )
    assert [epoch(h) for h in hosts] == [was + 1] * 3, "a hand-over, and no election besides"
    assert not any(load.missing(h) for h in hosts)
    told = [json.loads(line) for line in heard.read_text().splitlines() if line]
    assert len(told) == 1 and told[0]["runbook"]["state"] == "done" and told[0]["runbook"]["windows"] >= 2
    if change == "upgrade":
        assert {word(h, "srvr").partition("version: ")[2][:5] for h in hosts} == {"3.9.5"}
    zkprov("check").expect(0)
    zkprov("resume").expect(0, "nothing to resume")


def test_killed_amid_a_server_when_its_window_is_over(make_lab: Any, tmp_path: Path) -> None:
    """Both the runbook and its command: the timer's next call starts who was stopped, and goes no further."""
    lab = make_lab(3)
    zkprov, hosts, book = Zkprov(lab, tmp_path / "runs"), list(lab.founders), tmp_path / "book.yml"
    begin = datetime.now(UTC)
    window = f"{{time_zone: UTC, start: {begin:%Y-%m-%dT%H:%M:%S}, length: %s, recurrence: FREQ=DAILY}}"
    quick = "{settle: 1s, samples: 1, sample-interval: 0.1s, step-timeout: 20s}"
    book.write_text(f"runbook: nightly\nwindow: {window % '2h'}\nsteps:\n  - restart: {quick}\n")
    running = zkprov.start("runbook", "run", str(book), "--scheduled")
    wait_for(lambda: stopped_for(zkprov.journal) is not None, 60)
    [child] = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    for pid in (running.process.pid, int(child)):
        os.kill(pid, signal.SIGKILL)
    running.process.wait()
    plan = stopped_for(zkprov.journal)
    assert plan is not None
    zkprov("resume", "--run", "another").expect(5, plan)
    zkprov("restart", "--yes", "--until", f"{begin:%Y-%m-%dT%H:%M:%SZ}").expect(2, "is over")
    zkprov("resume", "--until", f"{begin:%Y-%m-%dT%H:%M:%SZ}").expect(7, "it was to rest by")
    assert all(mode(h) for h in hosts) and len(restarts(zkprov.journal, plan)) == 1
    zkprov("resume", "--until", f"{begin:%Y-%m-%dT%H:%M:%SZ}").expect(5, "not begun, since it is to rest by")
    zkprov("runbook", "run", str(book), "--scheduled").expect(0)
    assert sorted(restarts(zkprov.journal, plan)) == ["restart 1", "restart 2", "restart 3"]
    zkprov("runbook", "run", str(book), "--scheduled").expect(0)
    assert len(restarts(zkprov.journal)) == 3, "one turn a window"


def stopped_for(journal: Path) -> str | None:
    """The run for which a server may have been stopped, just now."""
    if not journal.exists():
        return None
    known = Journal(journal, create=False)
    found = next((r.id for r in known.runs() if r.plan.begun_step(r.head)), None)
    known.close()
    return found


def kinds(journal: Path, run: str) -> set[str]:
    known = Journal(journal, create=False)
    found = {e.kind for e in known.events(run)}
    known.close()
    return found


@pytest.mark.matrix(keep=1, of="runbooks on real servers", among="long changes")
def test_steps_of_every_kind_a_failure_and_its_retry(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(3)
    zkprov, hosts = Zkprov(lab, tmp_path / "runs"), list(lab.founders)
    flag, book = tmp_path / "flag", tmp_path / "book.yml"
    quick = "samples: 1, sample-interval: 0.1s, step-timeout: 20s"
    follower = next(h for h in hosts if mode(h) == "follower")
    book.write_text(f"""
runbook: many
steps:
  - ok-to-stop: {{servers: [{follower.name}]}}
  - backup: {{}}
  - name: plan it
    plan: {{kind: restart, only: [{follower.name}], {quick}}}
  - name: go
    approve: {{within: 20s}}
  - name: do it
    apply: {{plan: plan it}}
  - name: not yet
    probe: {{command: [test, -e, {flag}]}}
  - name: both
    ok-to-stop: {{servers: [{hosts[0].name}, {hosts[1].name}]}}
    on_failure: continue
  - name: only as it is refused
    when: {{step: both, exit: 3}}
    add: {{hosts: [zk4], {quick}, settle: 0s}}
  - name: again
    add: {{hosts: [zk4], {quick}, settle: 0s}}
    on_failure: continue
""")
    other = tmp_path / "other.yml"
    other.write_text("runbook: other\nensemble: kafka\nsteps: [{check: {}}]\n")
    zkprov("runbook", "run", str(other), "-E", lab.name).expect(2, f"the runbook is for kafka, and this is {lab.name}")
    zkprov("runbook", "run", str(other)).expect(2, "kafka")
    zkprov("runbook", "run", str(book), "--set", "x=1").expect(2, "there is no parameter 'x'")
    zkprov("runbook", "run", str(book), "--outside-window").expect(2, "--reason")
    zkprov("runbook", "run", str(book), "--retry").expect(2, "there is no failed run")
    zkprov("runbook", "approve", str(book), "go").expect(2, "waits for 'go'")
    running = zkprov.start("runbook", "run", str(book))
    wait_for(lambda: zkprov("runbook", "approve", str(book), "go", "--as", "boss", "--reason", "fine").code == 0, 60)
    done = running.wait()
    done.expect(4, "by boss: fine", "not yet: exit code 1", "--retry")
    record = zkprov("runbook", "status", "--output", "json").json[0]
    assert [s["outcome"] for s in record["steps"]] == ["done"] * 5 + ["failed", "pending", "pending", "pending"]
    assert record["steps"][4]["exit_code"] == 0 and restarts(zkprov.journal) == [f"restart {follower.id}"]
    flag.touch()
    zkprov("runbook", "run", str(book), "--retry").expect(0, "only as it is refused")
    record = zkprov("runbook", "status", "--output", "json").json[0]
    assert [s["outcome"] for s in record["steps"]][5:] == ["done", "failed", "done", "failed"]
    assert record["steps"][6]["exit_code"] == 3 and "zk4 is a member" in record["steps"][8]["said"]
    assert restarts(zkprov.journal) == [f"restart {follower.id}"], "what was done is not done again"
    # stopped by a signal in the middle of a change, and taken up
    book.write_text(f"runbook: many\nsteps:\n  - restart: {{{quick}, settle: 1s}}\n")
    running = zkprov.start("runbook", "run", str(book))
    wait_for(
        lambda: "restart" in zkprov("history", "--output", "json").json[0]["kind"] and restarts_begun(zkprov.journal),
        60,
    )
    running.signal(signal.SIGTERM)
    running.wait(15).expect(7, "stopped")
    zkprov("runbook", "run", str(book)).expect(0)
    zkprov("check").expect(0)


def restarts_begun(journal: Path) -> bool:
    known = Journal(journal, create=False)
    newest = known.runs()[0]
    found = (
        any(e.kind == "step.done" for e in known.events(newest.id))
        and newest.kind == "restart"
        and len(newest.plan.steps) > 4
    )
    known.close()
    return found
