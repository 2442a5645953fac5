"""Three servers restarted one after another: `zkprov restart` beside a script that does so, the leader last, with `srvr` as its check.

`python -m bench.restart [ROUNDS] [RELEASE]`. Two clients write 100 times/s meanwhile and reconnect at once: one may sit on any server,
one on those that follow when it begins. Each round makes a lab and restarts it by each way, in turn first; and then its leader alone,
with a client on those that follow, which are not restarted. Figures: the longest write gaps (goals 0.5, and 0.35 for the last, of the
script's), seconds beyond the configured sampling (goal 1.3 of the script's), and epochs: two more each, by the hand-overs without an
election.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from bench.add_node import INTERVAL_S, SAMPLES, SAMPLING_S, Load, epoch, spread, word
from bench.leaving import AT_ONCE

ANY, FOLLOWERS, TIME = 0.5, 0.35, 1.3


@contextmanager
def lab(name: str, release: str, also: Sequence[str] = ()) -> Iterator[object]:
    from zkprov.lab.lab import Lab

    made = Lab.create(name, 3, release, also=also)
    try:
        made.up()
        yield made
    finally:
        made.down()


def leader_of(made):
    return next(h for h in made.founders if b"Mode: leader" in word(h.client_port, b"srvr"))


def script(made, only=None) -> tuple[float, float]:
    """Stop, start, wait until `srvr` tells a mode; the leader of the first moment last. Seconds."""
    from zkprov.act.local import LocalHost

    began, leader = time.monotonic(), leader_of(made)
    for host in [only] if only else [*(h for h in made.founders if h != leader), leader]:
        local = LocalHost(host)
        local.stop(10)
        local.start()
        while b"Mode: " not in word(host.client_port, b"srvr"):
            time.sleep(0.01)
    took = time.monotonic() - began
    return took, took


def zkprov(made, only=None) -> tuple[float, float]:
    """(the run beyond its sampling, the whole command) in seconds: samples before the first server, and after each."""
    more = ["--only", only.name] if only else []
    return carried_out(made, ["restart", *more, "--samples", str(SAMPLES), "--sample-interval", str(INTERVAL_S)])


def carried_out(made, arguments: list[str]) -> tuple[float, float]:
    """A command that plans and runs; as `zkprov`."""
    with tempfile.NamedTemporaryFile() as events:
        command = [sys.executable, "-m", "zkprov", "-i", str(made.inventory_path), *arguments, "--yes"]
        began = time.monotonic()
        subprocess.run([*command, "--events", events.name], check=True, capture_output=True)
        whole = time.monotonic() - began
        told = [json.loads(line)["time"] for line in Path(events.name).read_text().splitlines()]
    times = [datetime.fromisoformat(at) for at in told]
    return (times[-1] - times[0]).total_seconds() - 4 * SAMPLING_S, whole


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    from zkprov.lab.provision import DEFAULT_RELEASE

    release = sys.argv[2] if len(sys.argv) > 2 else DEFAULT_RELEASE
    found: dict[str, list[tuple[float, float, float, float, float, int]]] = {"script": [], "zkprov": []}
    with tempfile.TemporaryDirectory() as state:
        os.environ["XDG_STATE_HOME"] = state
        for number in range(rounds):
            ways = [("script", script), ("zkprov", zkprov)]
            for name, way in ways if number % 2 == 0 else reversed(ways):
                with lab(f"restart{number}{name}", release) as made:
                    leader, before = leader_of(made), epoch(made)
                    rest = ",".join(str(h.client) for h in made.founders if h != leader)
                    with Load(made.connect, AT_ONCE) as anywhere, Load(rest, AT_ONCE) as following:
                        took, whole = way(made)
                    leader = leader_of(made)
                    rest = ",".join(str(h.client) for h in made.founders if h != leader)
                    with Load(rest, AT_ONCE) as others:
                        way(made, leader)
                    figures = (anywhere.longest, others.longest, took, following.longest, whole, epoch(made) - before)
                    found[name].append(figures)
    bare = {name: [statistics.median(f[n] for f in rows) for n in range(5)] for name, rows in found.items()}
    missed = False
    for n, what, goal in (
        (0, "gap, any server", ANY),
        (1, "gap, leader, others'", FOLLOWERS),
        (2, "time beyond sampling", TIME),
        (3, "gap, followers", None),
    ):
        ratio = bare["zkprov"][n] / bare["script"][n]
        missed |= goal is not None and ratio > goal
        each = "; ".join(f"{name} {spread([f[n] for f in rows])}" for name, rows in found.items())
        print(f"{what + ', s:':<26} {each}; ratio {ratio:.2f}" + (f"   (goal {goal:g})" if goal else ""))
    print(f"{'the whole command, s:':<26} zkprov {spread([f[4] for f in found['zkprov']])}")
    for name, rows in found.items():
        print(f"{name}: epochs more {', '.join(str(f[5]) for f in rows)}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
