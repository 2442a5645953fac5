"""Other zkprovs as they are started, watched and told to stop: what each is called with, and what is made of how it ended."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from click.testing import CliRunner

from tests.unit.inventories import own_cache, write
from tests.unit.plans_made import plan
from tests.unit.test_fleet import FLEET
from zkprov.cli import zkprov
from zkprov.plan.fleet import FleetWish
from zkprov.report.fleet_change import FleetChangeDocument, rows_of
from zkprov.run import children, fleet
from zkprov.run.children import Child, Said
from zkprov.run.fleet import End, Fleet, Planned
from zkprov.run.journal import State
from zkprov.run.result import Result

__all__ = ["own_cache", "write"]
NAMES = ("alpha", "beta", "test")


class Fake:
    """A zkprov that ends at once, as `ends` says of its ensemble."""

    started: ClassVar[list[list[str]]] = []
    ends: ClassVar[dict[str, tuple[int, Said]]] = {}
    killed_by = 0
    took_s = 1.25
    events_file = Path("/dev/null")

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        self.started.append(list(arguments))
        name = next(a.partition("=")[2] for a in arguments if a.startswith("--ensemble="))
        planning = "plan" in arguments
        self.code, self._said = (0, Said(plan(ensemble=name))) if planning else self.ends.get(name, (0, Said()))

    def said(self) -> Said:
        return self._said

    def events(self) -> list[object]:
        return []

    def complaint(self) -> tuple[str, tuple[str, ...]]:
        return "it broke", ("zkprov status",)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    monkeypatch.setattr(fleet, "Child", Fake)
    monkeypatch.setattr(Fake, "started", [])
    monkeypatch.setattr(Fake, "ends", {})
    return Fake


def ended(code: int, headline: str, *following: str) -> tuple[int, Said]:
    return code, Said(
        result=Result("4f1c00", State.DONE if not code else State.STOPPED, code, headline, next=following)
    )


def test_what_was_typed_goes_on_as_it_was_written_to_whom_it_is_for(fakes: type[Fake], write, tmp_path: Path) -> None:
    path = write(FLEET)
    typed = [
        "restart",
        "--limit",
        "prod",
        "--yes",
        "--as",
        "ci bot",
        "--reason=-why; $(reboot)",
        "--settle",
        "2m",
        "--no-handover",
    ]
    typed += [
        "--lock-timeout",
        "5m",
        "--playbooks",
        str(tmp_path),
        "--override",
        "R4",
        "--timeout",
        "7",
        "--output",
        "json",
    ]
    done = CliRunner().invoke(zkprov, ["--journal", "j.db", "-i", path, *typed])
    assert done.exit_code == 0, done.output
    of_beta = [a for a in fakes.started if "--ensemble=beta" in a]
    files = [
        next(x for x in a if x.startswith("--out=") or x.endswith(".json")).removeprefix("--out=") for a in of_beta
    ]
    assert files[0] == files[1], "what was planned is what is applied"
    both = [f"--inventory={path}", "--ensemble=beta", "--timeout=7"]
    planned, applied = of_beta
    assert planned == [
        "--journal=j.db", "plan", "restart", *both, "--no-handover", "--settle=2m", "--override=R4", "--reason=-why; $(reboot)",
        f"--playbooks={tmp_path}", "--as=ci bot", f"--out={files[0]}", "--output=json",
    ]  # fmt: skip
    assert applied[:-1] == [
        "--journal=j.db", "apply", files[0], *both, f"--playbooks={tmp_path}", "--as=ci bot", "--lock-timeout=5m", "--yes", "--output=json",
    ]  # fmt: skip
    assert applied[-1].startswith("--events=/") and not Path(files[0]).parent.exists(), "nothing is left behind"
    assert not any(a for a in fakes.started if "--ensemble=test" in a)


def test_the_order_and_the_table(fakes: type[Fake], write) -> None:
    fakes.ends |= {"test": ended(0, "done: {1,2}"), "beta": ended(7, "Stopped", "zkprov resume  goes on")}
    command = ["-i", write(FLEET), "restart", "--all", "--yes", "--output", "json"]
    done = CliRunner().invoke(zkprov, command)
    document = msgspec.json.decode(done.stdout, type=FleetChangeDocument)
    assert done.exit_code == document.exit_code == 7 and document.command == "restart"
    assert [(r.ensemble, r.outcome, r.exit_code, r.run) for r in document.ensembles] == [
        ("test", "done", 0, "4f1c00"), ("beta", "interrupted", 7, "4f1c00"), ("alpha", "not begun", None, ""),
    ]  # fmt: skip
    assert document.ensembles[1].next == [f"zkprov resume -i {command[1]} -E beta  goes on"]
    assert document.next == ["1 not begun; then, for those: --limit 'alpha'"]
    done = CliRunner().invoke(zkprov, [*command[:-2], "--max-fail", "1", "--canary", "alpha"])
    assert done.exit_code == 7
    lines = [line.split()[:2] for line in done.stdout.splitlines() if line.startswith(("alpha ", "beta ", "test "))]
    assert lines == [["alpha", "done"], ["test", "done"], ["beta", "interrupted"]]


def test_until_is_one_time_for_all_and_nobody_is_begun_after_it(
    fakes: type[Fake], write, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.ends |= {"test": ended(0, "done: {1,2}")}
    base = ["-i", write(FLEET), "restart", "--all", "--yes", "--output", "json"]
    assert CliRunner().invoke(zkprov, [*base, "--until", "2h"]).exit_code == 0
    times = {a for arguments in fakes.started for a in arguments if a.startswith("--until=")}
    assert len(times) == 1 and "T" in times.pop()
    now = time.time()
    plans = Fleet.plans
    monkeypatch.setattr(
        Fleet, "plans", lambda *a: (plans(*a), monkeypatch.setattr(time, "time", lambda: now + 7201))[0]
    )
    done = CliRunner().invoke(zkprov, [*base, "--until", "2h"])
    assert done.exit_code == 7
    assert {r.outcome for r in msgspec.json.decode(done.stdout, type=FleetChangeDocument).ensembles} == {"not begun"}


def test_rows_of_what_was_only_planned() -> None:
    planned = {
        "a": Planned("a", 0, plan(), "f"),
        "b": Planned("b", 0, headline="nothing to do"),
        "c": Planned("c", 3, headline="R4"),
    }
    rows = rows_of(("a", "b", "c"), [], planned, "i", dry=True)
    assert [(r.outcome, r.exit_code) for r in rows] == [("planned", 0), ("nothing to do", 0), ("refused", 3)]
    rows = rows_of(("a", "b", "c"), [End("a", 0, 1.0, "r", "done")], planned, "i")
    assert [(r.outcome, r.exit_code) for r in rows] == [("done", 0), ("not begun", None), ("not begun", None)]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def becomes(code: str) -> None:
        monkeypatch.setattr(children, "_CODE", code)

    return becomes


def test_those_that_go_on_are_told_to_stop_and_killed_where_they_do_not(
    program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(
        "import signal, sys, time; name = sys.argv[2]; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN if name == 'deaf' else lambda *_: sys.exit(7)); "
        "print('ready', flush=True); time.sleep(60)"
    )
    monkeypatch.setattr(fleet, "GIVE_UP_S", 1.0)
    stop, ends = threading.Event(), list[End]()
    with Fleet(tmp_path, stop) as running:
        wish = FleetWish(parallel=2)
        thread = threading.Thread(
            target=lambda: ends.extend(running.carry_out((), ("deaf", "good", "third"), wish, lambda name, _: [name]))
        )
        thread.start()
        until = time.monotonic() + 20
        while sum(f.read_text() == "ready\n" for f in tmp_path.glob("*/out")) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        stop.set()
        thread.join(20)
    assert [(e.ensemble, e.code) for e in ends] == [("good", 7), ("deaf", 7)]
    assert f"signal {signal.SIGKILL:d}" in ends[1].headline and ends[1].next == ("zkprov resume",)


def test_what_a_zkprov_complains_of(program, tmp_path: Path) -> None:
    said = "error: i.yml: 2 things are wrong:\\n  one\\n  two\\nnext   correct them\\n"
    program(f"import sys; sys.stderr.write('a warning\\n{said}'); print('no json'); sys.exit(2)")
    child = Child([], tmp_path / "c")
    until = time.monotonic() + 20
    while child.code is None and time.monotonic() < until:
        time.sleep(0.02)
    assert child.code == 2 and child.said() == Said() and child.events() == []
    assert child.complaint() == ("i.yml: 2 things are wrong:; one; two", ("correct them",))
