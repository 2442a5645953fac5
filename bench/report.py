"""A run of 10,000 events into a page: `zkprov report last --html` in a fresh process, its own start and the drawing library's included.

`python -m bench.report [EVENTS]`: ≤ 2 s and ≤ 2 MB. A rolling restart of many members, taken up twice. The limit is on processor time, the
median of 5: it is one thread, so that is how long it takes where nothing else runs; what the clock said is told beside it.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.unit.plans_made import plan
from tests.unit.runs_made import Told
from zkprov.plan.steps import ROLLING, Step, StepKind
from zkprov.run.journal import Journal, State

EVENTS, ROUNDS = 10_000, 5
LIMIT_S, LIMIT_BYTES = 2.0, 2_000_000
PER_STEP = 50


def told(count: int) -> Told:
    three = plan().base
    members = max(1, count // PER_STEP)
    steps = tuple(Step(n, StepKind.RESTART, n, f"zk{n}", three, three, 1) for n in range(1, members + 1))
    made = Told(of=plan(kind=ROLLING, steps=steps, joiners=())).begin()
    for number in range(1, members + 1):
        if number in (members // 3, members // 2):
            made.resume(number, after_s=3600)
        made.step_begun(number)
        for sample in range(12):
            made.gates(leader=number % 5, epoch=number, config=f"{number:x}0000000{sample % 3}").say(
                "sample", 0.5, good=1, of=3
            )
            made.say("act", 0.1, what=f"zk{number}: stop").pause(0.1 + (number % 17) / 50)
        made.step_done("serves again after 1.1 s, in sync; 5 servers agree, memory and disk")
    return made.ended()


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    made = told(count)
    took, by_clock = [], []
    with tempfile.TemporaryDirectory() as folder:
        page, path = Path(folder) / "page.html", Path(folder) / "journal.db"
        journal = Journal(path)
        journal.begin(made.plan, "hosts.yml", "you@here", made.time)
        journal._db.execute("BEGIN")
        for event in made.events:
            journal.record(event)
        journal._db.execute("COMMIT")
        journal.finish(made.plan.id, State.DONE, made.time)
        journal.close()
        command = [sys.executable, "-m", "zkprov", "--journal", str(path), "report", "last", "--html", str(page)]
        # the library writes down once which fonts there are
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for _ in range(ROUNDS):
            began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            by_clock.append(time.perf_counter() - began)
        size = page.stat().st_size
    median = statistics.median(took)
    print(f"{len(made.events)} events, {len(made.plan.steps)} steps into a page:")
    print(f"processor: median {median:.2f} s, least {min(took):.2f} s   (limit {LIMIT_S:g})")
    print(f"by the clock: median {statistics.median(by_clock):.2f} s, least {min(by_clock):.2f} s")
    print(f"{size / 1e6:.2f} MB   (limit {LIMIT_BYTES / 1e6:g})")
    return int(count <= EVENTS and (median > LIMIT_S or size > LIMIT_BYTES))


if __name__ == "__main__":
    sys.exit(main())
