"""The suites, their budgets of minutes, and the run of them one after the other: `.ci/test [--whole] [--seed N] [SUITE…]`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CI = bool(os.environ.get("CI"))
TOTAL_MINUTES = 24.25
GRACE_S = 20.0
# In the environment of all that a suite starts, so that what is left of it is found whatever it calls itself.
MARK = "ZKPROV_TEST_RUN"


class Suite(NamedTuple):
    """Budgets are minutes on two cores, for a sample and for the whole."""

    name: str
    minutes: float
    whole_minutes: float
    workers: int
    dist: tuple[str, ...] = ("load",)


_CORES = os.cpu_count() or 1
# A real test starts three to seven servers of 100 MB, each with its own start-up load: no more of them at once than cores.
# Tests of one file share servers, so a file stays on one worker (xdist 3.8 does not see its own groups with pytest 9.2).
_BY_FILE = ("loadscope", "--no-loadscope-reorder")
SUITES = (
    Suite("unit", 4.0, 30, min(_CORES, 4)),
    Suite("cases", 0.1, 10, min(_CORES, 4)),
    Suite("real", 9.25, 60, min(_CORES, 4), _BY_FILE),
    Suite("faults", 4.4, 90, min(_CORES, 4)),
    Suite("hosts", 4.75, 100, min(_CORES, 4)),
    Suite("incidents", 1.75, 30, min(_CORES, 4)),
)


class Result(NamedTuple):
    """`failed` names tests, or says what else was wrong; `skipped` is (test, reason)."""

    suite: Suite
    passed: int = 0
    failed: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


def run(suite: Suite, base: Path, *, seed: int, whole: bool) -> Result:
    """One suite in a pytest of its own, ended when its budget is. What it leaves running is ended too, and is a failure."""
    folder = ROOT / "tests" / suite.name
    if not any(folder.rglob("test_*.py")):
        return Result(suite, failed=(f"{folder.name}: there is no test in it",))
    budget_s = 60 * (suite.whole_minutes if whole else suite.minutes)
    tally = base / f"{suite.name}.tally"
    tally.touch()
    command = [sys.executable, "-m", "pytest", f"tests/{suite.name}", "-q", "--color=no", "--durations=5"]
    command += [f"--basetemp={base / suite.name}", f"--tally={tally}", f"--seed={seed}"]
    command += ["--whole"] if whole else []
    command += ["-n", str(suite.workers), "--dist", *suite.dist] if suite.workers > 1 else []
    began = time.monotonic()
    environment = {**os.environ, MARK: str(base)}
    with subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL, env=environment
    ) as pytest:
        try:
            code: int | None = pytest.wait(budget_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(pytest)
    seconds = time.monotonic() - began
    passed, failed, skipped, running = _read(tally)
    if code is None:
        where = f"; it was at {', '.join(running)}" if running else ""
        failed.append(f"{suite.name}: longer than its budget of {budget_s / 60:g} minutes{where}")
    elif code == 5:
        failed.append(f"{suite.name}: no test ran")
    elif code and not failed and not (CI and skipped):
        failed.append(f"{suite.name}: pytest ended with exit code {code}")
    failed += [f"{suite.name}: left running: {what}" for what in _end_what_is_left(base)]
    if CI:
        failed += [f"{test} (skipped: {why})" for test, why in skipped]
    return Result(suite, passed, tuple(failed), tuple(skipped), seconds)


def _end(pytest: subprocess.Popen[bytes]) -> None:
    """Interrupted first, for fixtures to end what they started; killed with its whole process group when it takes too long."""
    with contextlib.suppress(subprocess.TimeoutExpired, ProcessLookupError):
        if pytest.poll() is None:
            pytest.send_signal(signal.SIGINT)
            pytest.wait(GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pytest.pid, signal.SIGKILL)
    pytest.wait()


def _read(tally: Path) -> tuple[int, list[str], list[tuple[str, str]], list[str]]:
    """(passed, failed, skipped with reasons, still running). A test failed when any part of it did, set-up and end included."""
    worst: dict[str, str] = {}
    why: dict[str, str] = {}
    running: dict[str, None] = {}
    rank = ("passed", "skipped", "failed")
    for line in tally.read_text().splitlines():
        record = json.loads(line)
        test, outcome = record["test"], record["outcome"]
        if outcome == "started":
            running[test] = None
        elif outcome == "ended":
            running.pop(test, None)
        else:
            worst[test] = max(worst.get(test, "passed"), outcome, key=rank.index)
            why[test] = record["why"] or why.get(test, "")
    failed = [test for test, outcome in worst.items() if outcome == "failed"]
    skipped = [(test, why[test]) for test, outcome in worst.items() if outcome == "skipped"]
    return sum(outcome == "passed" for outcome in worst.values()), failed, skipped, list(running)


def _end_what_is_left(base: Path) -> list[str]:
    """Processes that a suite started and did not end, servers above all: by its mark or its folder. They are killed."""
    # A process that is just ending is not left over: a server's own end takes a moment after its last signal.
    deadline = time.monotonic() + 3
    while (left := _left(base)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    # the kernel takes a moment for it
    deadline = time.monotonic() + 3
    while left and _left(base) and time.monotonic() < deadline:
        time.sleep(0.02)
    return [f"{pid} {command[:200]}" for pid, command in left.items()]


def _left(base: Path) -> dict[int, str]:
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            marked = f"{MARK}={base}".encode() in (process / "environ").read_bytes().split(b"\0")
            # Ended but not yet waited for has no command line, and holds nothing.
            if command and (marked or f"{base}/" in command) and int(process.name) != os.getpid():
                found[int(process.name)] = command
    return found


def _table(results: list[Result], whole: bool) -> None:
    print(f"\n{'suite':9} {'passed':>7} {'failed':>7} {'skipped':>8} {'time':>9}  budget")
    for of in results:
        budget = of.suite.whole_minutes if whole else of.suite.minutes
        counts = f"{of.passed:>7} {len(of.failed):>7} {len(of.skipped):>8} {of.seconds:>7.0f} s"
        print(f"{of.suite.name:9} {counts}  {budget:g} min")
    for of in results:
        for failure in of.failed:
            print(f"FAILED {failure}")
    for of in results if not CI else []:
        reasons = defaultdict[str, int](int)
        for _, why in of.skipped:
            reasons[why] += 1
        for why, count in reasons.items():
            print(f"NOT RUN {of.suite.name}: {count} skipped: {why}")


def main() -> int:
    parser = argparse.ArgumentParser(prog=".ci/test", description=__doc__)
    names = [suite.name for suite in SUITES]
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(names)}; by default all")
    parser.add_argument("--whole", action="store_true", help="whole matrices, many examples, long budgets")
    parser.add_argument("--seed", type=int, help="what samples are drawn by (default: $ZKPROV_SEED, else by chance)")
    asked = parser.parse_args()
    if unknown := set(asked.suites) - set(names):
        parser.error(f"there is no suite {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    seed = asked.seed
    if seed is None:
        seed = int(os.environ.get("ZKPROV_SEED") or random.SystemRandom().randrange(1_000_000))
    drawn = "whole matrices" if asked.whole else "a sample of each matrix"
    print(f"{drawn}; seed {seed} (ZKPROV_SEED={seed} repeats it)", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    base = Path(tempfile.mkdtemp(prefix="zkprov-tests-"))
    results = []
    try:
        for suite in SUITES:
            if suite.name in asked.suites or not asked.suites:
                print(f"\n{suite.name}", flush=True)
                results.append(run(suite, base, seed=seed, whole=asked.whole))
    except KeyboardInterrupt:
        _end_what_is_left(base)
        print("stopped", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(base, ignore_errors=True)
    _table(results, asked.whole)
    passed = sum(of.passed for of in results)
    failed = sum(len(of.failed) for of in results)
    skipped = 0 if CI else sum(len(of.skipped) for of in results)
    if not passed and not failed:
        failed += 1
        print("FAILED no test ran")
    again = f"make {'test-all' if asked.whole else 'test'}"
    print(f"seed {seed}" + (f": ZKPROV_SEED={seed} {again} repeats this run" if failed else ""))
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
