"""Three servers brought from 3.8.6 to 3.9.5: `zkprov upgrade` beside a script that stops, switches and starts each, the leader last.

`python -m bench.upgrade [ROUNDS] [OLD NEW]`. Two clients write 100 times/s meanwhile and reconnect at once: one may sit on any server,
one on those that follow when it begins. Each round makes a lab for each way, in turn first. Figures: the longest write gap of either (goal
0.5 of the script's for clients on any server), seconds beyond the configured sampling (goal 1.3), and epochs: one more each, by the
hand-over without an election here, by the election there.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time

from bench.add_node import INTERVAL_S, SAMPLES, Load, epoch, spread, word
from bench.leaving import AT_ONCE
from bench.restart import ANY, TIME, carried_out, lab, leader_of


def script(made, new: str) -> tuple[float, float]:
    """Stop, switch, start, wait until `srvr` tells a mode; the leader of the first moment last. Seconds."""
    from zkprov.act.local import LocalHost

    began, leader = time.monotonic(), leader_of(made)
    for host in [*(h for h in made.founders if h != leader), leader]:
        local = LocalHost(host)
        local.stop(10)
        local.fence("bench")
        local.switch(new, "bench")
        local.start()
        local.unfence("bench")
        while b"Mode: " not in word(host.client_port, b"srvr"):
            time.sleep(0.01)
    took = time.monotonic() - began
    return took, took


def zkprov(made, new: str) -> tuple[float, float]:
    """(the run beyond its sampling, the whole command) in seconds."""
    more = ["--no-backup", "--soak", "0", "--samples", str(SAMPLES), "--sample-interval", str(INTERVAL_S)]
    return carried_out(made, ["upgrade", "--to", new, *more])


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    old, new = sys.argv[2:4] if len(sys.argv) > 3 else ("3.8.6", "3.9.5")
    found: dict[str, list[tuple[float, float, float, float, int]]] = {"script": [], "zkprov": []}
    with tempfile.TemporaryDirectory() as state:
        os.environ["XDG_STATE_HOME"] = state
        for number in range(rounds):
            ways = [("script", script), ("zkprov", zkprov)]
            for name, way in ways if number % 2 == 0 else reversed(ways):
                with lab(f"upgrade{number}{name}", old, also=[new]) as made:
                    leader, before = leader_of(made), epoch(made)
                    rest = ",".join(str(h.client) for h in made.founders if h != leader)
                    with Load(made.connect, AT_ONCE) as anywhere, Load(rest, AT_ONCE) as following:
                        took, whole = way(made, new)
                    figures = (anywhere.longest, following.longest, took, whole, epoch(made) - before)
                    found[name].append(figures)
    bare = {name: [statistics.median(f[n] for f in rows) for n in range(4)] for name, rows in found.items()}
    missed = False
    for n, what, goal in ((0, "gap, any server", ANY), (1, "gap, followers", None), (2, "time beyond sampling", TIME)):
        ratio = bare["zkprov"][n] / bare["script"][n]
        missed |= goal is not None and ratio > goal
        each = "; ".join(f"{name} {spread([f[n] for f in rows])}" for name, rows in found.items())
        print(f"{what + ', s:':<26} {each}; ratio {ratio:.2f}" + (f"   (goal {goal:g})" if goal else ""))
    print(f"{'the whole command, s:':<26} zkprov {spread([f[3] for f in found['zkprov']])}")
    for name, rows in found.items():
        print(f"{name}: epochs more {', '.join(str(f[4]) for f in rows)}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
